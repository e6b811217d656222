"""nano-perception on 30 scenes of another renderer: matplotlib's, whose light, outlines, ground and colours are its own.

$ python benchmarks/perception_outside.py --out out/outside     # the scenes with what is found drawn on them, and every result
"""

import argparse
import itertools
import os
import random
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot
from mpl_toolkits.mplot3d import proj3d
from PIL import Image

from taco.data_gen.scenes.scene import overlap
from taco.tools import depth, perception
from taco.tools.detection import LocalizeObjects
from taco.tools.images import ImageStore

COLOURS = {
    "red": "firebrick", "blue": "royalblue", "green": "forestgreen", "yellow": "gold", "orange": "darkorange",
    "purple": "rebeccapurple", "white": "whitesmoke", "pink": "hotpink",
}  # fmt: skip
GROUNDS = ("tan", "lightgrey", "darkseagreen", "lightsteelblue", "wheat", "rosybrown")
TURN = np.linspace(0, 2 * np.pi, 40)


def turned(profile: list[tuple[float, float]]) -> list[Any]:
    """The surface that a line of (radius, height) makes when it is turned."""
    radius, height = (np.array(part)[:, None] for part in zip(*profile, strict=True))
    return [radius * np.cos(TURN), radius * np.sin(TURN), height + 0 * TURN]


def sphere(x: float, y: float, z: float, radius: float, tall: float = 1.0) -> list[Any]:
    rise = np.linspace(-np.pi / 2, np.pi / 2, 20)[:, None]
    return [
        x + radius * np.cos(rise) * np.cos(TURN),
        y + radius * np.cos(rise) * np.sin(TURN),
        z + radius * tall * np.sin(rise) + 0 * TURN,
    ]


def torus(x: float, y: float, z: float, large: float, small: float, upright: bool = False) -> list[Any]:
    around = np.linspace(0, 2 * np.pi, 16)[:, None]
    first, second, third = (
        (large + small * np.cos(around)) * np.cos(TURN),
        (large + small * np.cos(around)) * np.sin(TURN),
        small * np.sin(around) + 0 * TURN,
    )
    return [x + first, y + third, z + second] if upright else [x + first, y + second, z + third]


def boxes(*corners: tuple[float, float, float, float, float, float]) -> list[list[Any]]:
    """The six faces of each cuboid x0, y0, z0, x1, y1, z1."""
    faces = []
    for x0, y0, z0, x1, y1, z1 in corners:
        for z in (z0, z1):
            faces.append([np.array([[x0, x1], [x0, x1]]), np.array([[y0, y0], [y1, y1]]), np.full((2, 2), z)])
        for y in (y0, y1):
            faces.append([np.array([[x0, x1], [x0, x1]]), np.full((2, 2), y), np.array([[z0, z0], [z1, z1]])])
        for x in (x0, x1):
            faces.append([np.full((2, 2), x), np.array([[y0, y1], [y0, y1]]), np.array([[z0, z0], [z1, z1]])])
    return faces


def shapes(kind: str) -> list[list[Any]]:
    """Surfaces of an object about 1 high that stands on z = 0."""
    return {
        "ball": lambda: [sphere(0, 0, 0.5, 0.5)],
        "egg": lambda: [sphere(0, 0, 0.5, 0.37, 1.35)],
        "cube": lambda: boxes((-0.45, -0.45, 0, 0.45, 0.45, 0.9)),
        "cylinder": lambda: [turned([(0, 0), (0.35, 0), (0.35, 1), (0, 1)])],
        "can": lambda: [turned([(0, 0), (0.3, 0), (0.32, 0.04), (0.32, 0.94), (0.28, 1), (0, 0.98)])],
        "cone": lambda: [turned([(0.45, 0), (0, 1)])],
        "pyramid": lambda: [
            [np.array([[a, b], [0, 0]]), np.array([[c, d], [0, 0]]), np.array([[0, 0], [0.9, 0.9]])]
            for a, b, c, d in ((-0.5, 0.5, -0.5, -0.5), (0.5, 0.5, -0.5, 0.5), (0.5, -0.5, 0.5, 0.5), (-0.5, -0.5, 0.5, -0.5))
        ],
        "ring": lambda: [torus(0, 0, 0.13, 0.4, 0.13)],
        "bottle": lambda: [turned([(0, 0), (0.22, 0), (0.22, 0.6), (0.08, 0.8), (0.08, 1), (0, 1)])],
        "vase": lambda: [turned([(0.18, 0), (0.33, 0.3), (0.3, 0.5), (0.13, 0.75), (0.22, 1)])],
        "bowl": lambda: [turned([(0.2, 0), (0.45, 0.2), (0.55, 0.5), (0.5, 0.5), (0.4, 0.25), (0, 0.1)])],
        "mug": lambda: [
            turned([(0, 0), (0.36, 0), (0.36, 0.85), (0.31, 0.85), (0.31, 0.1), (0, 0.1)]),
            torus(0.4, 0, 0.43, 0.22, 0.06, True),
        ],
        "snowman": lambda: [sphere(0, 0, 0.27, 0.27), sphere(0, 0, 0.66, 0.2), sphere(0, 0, 0.93, 0.13)],
        "table": lambda: boxes(
            (-0.6, -0.4, 0.62, 0.6, 0.4, 0.7), *((x, y, 0, x + 0.08, y + 0.08, 0.62) for x in (-0.58, 0.5) for y in (-0.38, 0.3))
        ),
    }[kind]()


KINDS = ("ball", "egg", "cube", "cylinder", "can", "cone", "pyramid", "ring", "bottle", "vase", "bowl", "mug", "snowman", "table")
REACH = 4.0
SIDE, TOP, HEIGHT = 640, 20, 480
"""Pixels of the square that matplotlib draws, and which of its rows are the picture."""


def draw(rng: random.Random) -> tuple[Image.Image, list[dict[str, Any]]]:
    """A scene of 2 to 5 objects that do not hide each other: image, and kind, colour, box in 0..1 and depth of each."""
    figure = pyplot.figure(figsize=(SIDE / 100, SIDE / 100), dpi=100)
    axes: Any = figure.add_axes((0, 0, 1, 1), projection="3d", computed_zorder=False)
    axes.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), zlim=(-REACH, REACH))
    axes.set_box_aspect((1, 1, 1), zoom=1.9)
    axes.set_proj_type("persp", focal_length=rng.uniform(0.5, 0.8))
    elevation, azimuth = rng.uniform(16, 32), rng.uniform(0, 360)
    axes.view_init(elev=elevation, azim=azimuth)
    axes.set_axis_off()
    figure.set_facecolor(rng.choice(("aliceblue", "white", "lavender", "gainsboro")))
    side = np.array([-12.0, 12.0])
    axes.plot_surface(*np.meshgrid(side, side), np.zeros((2, 2)), color=rng.choice(GROUNDS), shade=False, zorder=0)
    up, around = np.radians(elevation), np.radians(azimuth)
    towards = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    found: list[dict[str, Any]] = []
    wanted = rng.randint(2, 5)
    for _ in range(60):
        if len(found) == wanted:
            break
        kind, colour, size = rng.choice(KINDS), rng.choice(list(COLOURS)), rng.uniform(0.8, 1.4)
        if kind == "snowman":
            colour = "white"
        x, y, spin = rng.uniform(-2.6, 2.6), rng.uniform(-2.6, 2.6), np.radians(rng.uniform(0, 360))
        surfaces = []
        for a, b, c in shapes(kind):
            surfaces.append(
                [x + size * (a * np.cos(spin) - b * np.sin(spin)), y + size * (a * np.sin(spin) + b * np.cos(spin)), size * c]
            )
        points = np.concatenate(
            [np.stack([part.ravel() for part in np.broadcast_arrays(*surface)]) for surface in surfaces], axis=1
        )
        across, down, _ = proj3d.proj_transform(*points, axes.get_proj())
        x_pixels, y_pixels = axes.transData.transform(np.stack([across, down], axis=1)).T
        y_pixels = SIDE - y_pixels - TOP
        box = (x_pixels.min() / SIDE, y_pixels.min() / HEIGHT, x_pixels.max() / SIDE, y_pixels.max() / HEIGHT)
        if min(box) < 0.01 or max(box) > 0.99 or any(_meet(box, other["bbox"]) for other in found):
            continue
        depth_of = float(-towards @ np.array([x, y, size / 2]))
        found.append({"kind": kind, "colour": colour, "bbox": box, "depth": depth_of, "surfaces": surfaces})
    for order, item in enumerate(sorted(found, key=lambda one: -one["depth"]), 1):
        parts = sorted(item.pop("surfaces"), key=lambda part: float(towards @ np.array([np.mean(side) for side in part])))
        for part in parts:
            axes.plot_surface(
                *part, color=COLOURS[item["colour"]], linewidth=0, antialiased=False, rstride=1, cstride=1, zorder=order
            )
    figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[TOP : TOP + HEIGHT, :, :3].copy())
    pyplot.close(figure)
    return image, found


def _meet(one: Any, other: Any) -> bool:
    return min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) > max(one[1], other[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="nano-perception on scenes of another renderer.")
    parser.add_argument("--out", type=Path, default=Path("out/outside"))
    parser.add_argument("--n", type=int, default=30)
    chosen = parser.parse_args()
    os.environ.update(dict.fromkeys(("TACO_DETECTION_MODEL", "TACO_DEPTH_MODEL", "TACO_TAGGING_MODEL"), "nano"))
    chosen.out.mkdir(parents=True, exist_ok=True)
    count = found = named = coloured = pairs = in_order = extra = 0
    for number in range(chosen.n):
        image, items = draw(random.Random(f"outside/{number}"))
        sight = perception.see(image)
        report = []
        for item in items:
            near = [one for one in sight.objects if overlap(one.bbox, item["bbox"]) >= 0.5]
            same = [one for one in near if one.kind == item["kind"]]
            first = (same or near or [None])[0]
            count, found, named = count + 1, found + bool(near), named + bool(same)
            coloured += first is not None and first.attributes[0] == item["colour"]
            told = f"{first.attributes[0]} {first.kind} {first.score:.2f}" if first else "nothing"
            report.append(f"{item['colour']} {item['kind']}: {told}")
        extra += sum(all(overlap(one.bbox, item["bbox"]) < 0.5 for item in items) for one in sight.objects)
        for one, other in itertools.combinations(items, 2):
            near, far = sorted((one, other), key=lambda item: item["depth"])
            pairs += 1
            in_order += depth.region_depth(image, list(near["bbox"])) < depth.region_depth(image, list(far["bbox"]))
        names = sorted({item["kind"] for item in items})
        drawn = LocalizeObjects.call({"image": "image-0", "objects": names}, ImageStore([image]))["image"]
        drawn.save(chosen.out / f"{number:02}.png")
        print(f"{number:02}  " + "; ".join(report))
    print(
        f"{count} objects: {found} found, {named} under their name, {coloured} with their colour; {extra} boxes where nothing is"
    )
    print(f"depth order right in {in_order} of {pairs} pairs")


if __name__ == "__main__":
    main()
