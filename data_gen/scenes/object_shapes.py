"""What objects are built of: solids, each with the paint of the object or one of its own.

Run: `SHAPES["mug"](random.Random(0))` gives its parts in units of the object, standing on z = 0; `extent(parts)` its size.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from taco.data_gen.scenes.colours import RGB
from taco.data_gen.scenes.raytrace import Lathe, Matrix, Placed, Polytope, Solid, Torus, box_corners

_STEEL: RGB = (150, 152, 156)
_DARK: RGB = (38, 38, 42)
_BARK: RGB = (92, 64, 42)
_PAPER: RGB = (238, 234, 220)
_WINDOW: RGB = (70, 88, 104)
_WAX: RGB = (255, 214, 120)
_AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Part:
    """A solid in the frame of its object.

    Attributes:
        solid: In its own frame, units of the object.
        colour: Of its own; None: that of the object, and its material and pattern too.
        at: Where its frame's origin lies in the object.
        turn: [3, 3] rotation from its frame to the object's.
    """

    solid: Solid
    colour: RGB | None = None
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn: Matrix | None = None


def extent(parts: Sequence[Part]) -> tuple[float, float]:
    """Radius of the upright cylinder about the object's axis that holds all parts, and its height; units of the object."""
    corners = np.concatenate([part.corners for part in placed(parts, 1.0, 0.0, (0.0, 0.0, 0.0))])
    return float(np.sqrt((corners[:, :2] ** 2).sum(axis=1)).max()), float(corners[:, 2].max())


def placed(parts: Sequence[Part], scale: float, yaw: float, position: tuple[float, float, float]) -> list[Placed]:
    """The solids of an object in the world.

    Args:
        parts: Of the object.
        scale: Metres a unit.
        yaw: Turn about the upright axis, radians.
        position: Of the middle of its foot, metres.
    """
    cosine, sine = math.cos(yaw), math.sin(yaw)
    spin = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    found = []
    for part in parts:
        turn = spin if part.turn is None else spin @ part.turn
        found.append(Placed(part.solid, turn, scale, spin @ np.array(part.at) * scale + np.array(position)))
    return found


# ---------------------------------------------------------------------- solids by what they look like


def frustum(low: float, low_radius: float, high: float, high_radius: float, *, bottom: bool = True, top: bool = True) -> Lathe:
    """A cylinder, cone or stump of one."""
    slope = (high_radius - low_radius) / (high - low)
    start = low_radius - slope * low
    return Lathe(low, high, slope * slope, 2 * slope * start, start * start, bottom, top)


def ellipsoid(
    middle: float, radius: float, half_height: float, low: float = -1.0, high: float = 1.0, *, top: bool = True
) -> Lathe:
    """An ellipsoid about z, or the slice of it between two heights, given in half heights from its middle."""
    ratio = (radius / half_height) ** 2
    return Lathe(
        middle + low * half_height, middle + high * half_height,
        -ratio, 2 * ratio * middle, radius * radius - ratio * middle * middle, top=top,
    )  # fmt: skip


def bulge(
    low: float, low_radius: float, middle_radius: float, high: float, high_radius: float, *, bottom: bool = True, top: bool = True
) -> Lathe:
    """A barrel or waist: a smooth curve through three radii, the second halfway up."""
    heights = np.array([low, (low + high) / 2, high])
    squares = np.array([low_radius, middle_radius, high_radius]) ** 2
    square, linear, constant = np.linalg.solve(np.stack([heights**2, heights, np.ones(3)], axis=1), squares).tolist()
    return Lathe(low, high, square, linear, constant, bottom, top)


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> Polytope:
    """An axis-parallel box."""
    slabs = tuple((axis, least, most) for axis, least, most in zip(_AXES, low, high, strict=True))
    return Polytope(slabs, box_corners(low, high))


def block(x: float, y: float, z: float, width: float, depth: float, height: float) -> Polytope:
    """A box by the middle of its foot and its sizes."""
    return box((x - width / 2, y - depth / 2, z), (x + width / 2, y + depth / 2, z + height))


def tapered(low: float, low_half: tuple[float, float], high: float, high_half: tuple[float, float], x: float = 0.0) -> Polytope:
    """A pyramid, a roof or a stump: a rectangle of half sizes at one height to one at another; x shifts it."""
    rise = high - low
    slabs = [(_AXES[2], low, high)]
    for axis in range(2):
        slope = (low_half[axis] - high_half[axis]) / rise
        length = math.sqrt(1 + slope * slope)
        for sign in (-1.0, 1.0):
            normal = (sign / length * (axis == 0), sign / length * (axis == 1), slope / length)
            slabs.append((normal, -math.inf, (low_half[axis] + slope * low) / length + normal[0] * x))
    corners = [
        (x + sx * half[0], sy * half[1], z)
        for z, half in ((low, low_half), (high, high_half))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]
    return Polytope(tuple(slabs), np.array(corners, np.float64))


_LYING = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # its z along the object's x
_SIDEWAYS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # its z along the object's y
_TOWARDS = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # its z along the object's -y
_ARCH = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # its x upwards


# ---------------------------------------------------------------------- the kinds, about one unit large


def _ball(rng: random.Random) -> list[Part]:
    return [Part(ellipsoid(0.5, 0.5, 0.5))]


def _cube(rng: random.Random) -> list[Part]:
    return [Part(block(0, 0, 0, 1, 1, 1))]


def _cylinder(rng: random.Random) -> list[Part]:
    radius = rng.uniform(0.28, 0.45)
    return [Part(frustum(0, radius, 1, radius))]


def _cone(rng: random.Random) -> list[Part]:
    return [Part(frustum(0, rng.uniform(0.34, 0.48), 1, 0.0))]


def _pyramid(rng: random.Random) -> list[Part]:
    half = rng.uniform(0.42, 0.58)
    return [Part(tapered(0, (half, half), rng.uniform(0.75, 1.0), (0.0, 0.0)))]


def _ring(rng: random.Random) -> list[Part]:
    thickness = rng.uniform(0.07, 0.1)
    if rng.random() < 0.5:
        return [Part(Torus(0.5 - thickness, thickness), at=(0, 0, thickness))]
    return [Part(Torus(0.5 - thickness, thickness), at=(0, 0, 0.5), turn=_SIDEWAYS)]


def _donut(rng: random.Random) -> list[Part]:
    return [Part(Torus(0.31, 0.18), (206, 150, 88), (0, 0, 0.18)), Part(Torus(0.31, 0.185), at=(0, 0, 0.2))]


def _mug(rng: random.Random) -> list[Part]:
    radius = rng.uniform(0.36, 0.44)
    drink = rng.choice(((52, 32, 20), (120, 72, 34), (196, 160, 120)))
    handle = Part(Torus(0.26, 0.06, half=True), at=(radius - 0.03, 0, 0.52), turn=_TOWARDS)
    return [
        Part(frustum(0, radius * 0.94, 1, radius, top=False)),
        Part(frustum(0.7, radius * 0.95, 0.78, radius * 0.96), drink),
        handle,
    ]


def _bowl(rng: random.Random) -> list[Part]:
    depth = rng.uniform(0.34, 0.44)
    return [Part(ellipsoid(0.9 * depth, 0.5, depth, -0.9, 0.0, top=False)), Part(Torus(0.49, 0.015), at=(0, 0, 0.9 * depth))]


def _bottle(rng: random.Random) -> list[Part]:
    radius, shoulder = rng.uniform(0.13, 0.17), rng.uniform(0.55, 0.65)
    neck = 0.055
    return [
        Part(frustum(0, radius, shoulder, radius, top=False)),
        Part(bulge(shoulder, radius, (radius + neck) / 2 + 0.02, 0.78, neck, bottom=False, top=False)),
        Part(frustum(0.78, neck, 0.93, neck, bottom=False)),
        Part(frustum(0.93, neck + 0.012, 1.0, neck + 0.012), rng.choice((_PAPER, _DARK, _STEEL))),
    ]


def _vase(rng: random.Random) -> list[Part]:
    belly, waist = rng.uniform(0.26, 0.34), rng.uniform(0.1, 0.14)
    return [
        Part(bulge(0, 0.16, belly, 0.66, waist + 0.03, top=False)),
        Part(bulge(0.66, waist + 0.03, waist, 1.0, rng.uniform(0.16, 0.22), bottom=False, top=False)),
    ]


def _candle(rng: random.Random) -> list[Part]:
    radius = rng.uniform(0.13, 0.2)
    return [
        Part(frustum(0, radius, 0.76, radius)),
        Part(frustum(0.76, 0.014, 0.84, 0.014), _DARK),
        Part(ellipsoid(0.9, 0.05, 0.1), _WAX),
        Part(frustum(0, 0.3, 0.05, 0.34), rng.choice((_STEEL, _DARK))),
    ]


def _lamp(rng: random.Random) -> list[Part]:
    metal = rng.choice((_STEEL, _DARK, (170, 140, 80)))
    return [
        Part(frustum(0, 0.2, 0.05, 0.18), metal),
        Part(frustum(0.05, 0.022, 0.62, 0.022), metal),
        Part(frustum(0.58, rng.uniform(0.24, 0.32), 1.0, rng.uniform(0.12, 0.2), bottom=False, top=False)),
    ]


def _book(rng: random.Random) -> list[Part]:
    thick = rng.uniform(0.12, 0.2)
    return [
        Part(block(0, 0, 0, 0.74, 1.0, 0.02)),
        Part(block(0, 0, thick - 0.02, 0.74, 1.0, 0.02)),
        Part(block(-0.36, 0, 0, 0.02, 1.0, thick)),
        Part(block(-0.01, 0, 0.01, 0.69, 0.96, thick - 0.02), _PAPER),
    ]


def _egg(rng: random.Random) -> list[Part]:
    return [Part(ellipsoid(0.42, 0.36, 0.42, -1.0, 0.0)), Part(ellipsoid(0.42, 0.36, 0.58, 0.0, 1.0))]


def _apple(rng: random.Random) -> list[Part]:
    return [
        Part(Torus(0.13, 0.35), at=(0, 0, 0.35)),
        Part(frustum(0.55, 0.02, 0.86, 0.035), _BARK),
        Part(Lathe(0, 0.3, -0.6, 0.18, 0.0), (58, 118, 46), (0.02, 0, 0.78), _LYING),
    ]


def _can(rng: random.Random) -> list[Part]:
    return [
        Part(frustum(0.06, 0.27, 0.92, 0.27)),
        Part(frustum(0, 0.23, 0.06, 0.27), _STEEL),
        Part(frustum(0.92, 0.27, 1.0, 0.23), _STEEL),
    ]


def _mushroom(rng: random.Random) -> list[Part]:
    cap = rng.uniform(0.4, 0.5)
    return [
        Part(bulge(0, 0.17, 0.12, 0.6, 0.13), (232, 222, 200)),
        Part(ellipsoid(0.52, cap, 0.45, 0.0, 1.0)),
    ]


def _hat(rng: random.Random) -> list[Part]:
    return [
        Part(frustum(0, 0.5, 0.035, 0.49)),
        Part(bulge(0.03, 0.28, 0.29, rng.uniform(0.35, 0.5), 0.24)),
        Part(frustum(0.035, 0.292, 0.12, 0.296), _DARK if rng.random() < 0.5 else _PAPER),
    ]


def _duck(rng: random.Random) -> list[Part]:
    body = Part(ellipsoid(0, 0.33, 0.5), at=(0, 0, 0.33), turn=_LYING)
    tail = Part(
        frustum(0, 0.16, 0.34, 0.02), at=(-0.36, 0, 0.4), turn=np.array([[0.6, 0.0, -0.8], [0.0, 1.0, 0.0], [0.8, 0.0, 0.6]])
    )
    beak = Part(ellipsoid(0, 0.1, 0.16), (240, 120, 20), (0.52, 0, 0.76), _LYING)
    eyes = [Part(ellipsoid(0, 0.04, 0.04), (12, 12, 14), (0.46, side * 0.15, 0.86)) for side in (-1, 1)]
    return [body, tail, Part(ellipsoid(0.8, 0.25, 0.25), at=(0.26, 0, 0)), beak, *eyes]


def _wheels(where: Sequence[float], half_width: float, radius: float) -> list[Part]:
    solid = frustum(-0.04, radius, 0.04, radius)
    return [Part(solid, (26, 26, 28), (x, side * half_width, radius), _SIDEWAYS) for x in where for side in (-1, 1)]


def _car(rng: random.Random) -> list[Part]:
    cabin = rng.uniform(0.17, 0.21)
    return [
        Part(tapered(0.08, (0.5, 0.2), 0.24, (0.48, 0.19))),
        Part(tapered(0.24, (0.29, 0.185), 0.24 + cabin * 0.8, (0.2, 0.155), x=-0.04), _WINDOW),
        Part(block(-0.04, 0, 0.24 + cabin * 0.8, 0.4, 0.31, 0.035)),
        *_wheels((-0.3, 0.3), 0.18, 0.1),
        Part(block(0.49, 0, 0.16, 0.02, 0.28, 0.05), (250, 244, 214)),
    ]


def _truck(rng: random.Random) -> list[Part]:
    tall = rng.uniform(0.4, 0.5)
    return [
        Part(block(-0.14, 0, 0.1, 0.68, 0.36, tall)),
        Part(block(0.36, 0, 0.08, 0.26, 0.34, 0.17)),
        Part(tapered(0.25, (0.13, 0.17), 0.4, (0.11, 0.155), x=0.34), _WINDOW),
        *_wheels((-0.34, -0.14, 0.34), 0.16, 0.085),
    ]


def _rocket(rng: random.Random) -> list[Part]:
    trim = rng.choice((_STEEL, _PAPER, _DARK))
    fins = [
        Part(
            tapered(0.0, (0.13, 0.012), 0.3, (0.0, 0.012), x=0.0), trim, (0.17 * math.cos(a), 0.17 * math.sin(a), 0.0), _about(a)
        )
        for a in (0.5, 0.5 + 2 * math.pi / 3, 0.5 + 4 * math.pi / 3)
    ]
    window = Part(frustum(-0.02, 0.05, 0.02, 0.05), _WINDOW, (0, -0.16, 0.58), _SIDEWAYS)
    return [Part(bulge(0.1, 0.12, 0.18, 0.74, 0.15)), Part(bulge(0.74, 0.15, 0.1, 1.0, 0.0), trim), window, *fins]


def _about(angle: float) -> Matrix:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def _robot(rng: random.Random) -> list[Part]:
    limbs = [Part(block(side * 0.12, 0, 0, 0.12, 0.14, 0.3), _STEEL) for side in (-1, 1)]
    arms = [Part(block(side * 0.28, 0, 0.32, 0.08, 0.12, 0.32), _STEEL) for side in (-1, 1)]
    eyes = [Part(ellipsoid(0, 0.04, 0.04), (250, 240, 150), (side * 0.08, -0.14, 0.84)) for side in (-1, 1)]
    return [Part(block(0, 0, 0.28, 0.46, 0.28, 0.4)), Part(block(0, 0, 0.7, 0.34, 0.28, 0.24)), *limbs, *arms, *eyes,
            Part(frustum(0.94, 0.012, 1.04, 0.012), _DARK)]  # fmt: skip


def _dumbbell(rng: random.Random) -> list[Part]:
    disc = frustum(-0.1, 0.2, 0.1, 0.2)
    return [
        Part(disc, at=(-0.4, 0, 0.2), turn=_LYING),
        Part(disc, at=(0.4, 0, 0.2), turn=_LYING),
        Part(frustum(-0.32, 0.055, 0.32, 0.055), _STEEL, (0, 0, 0.2), _LYING),
    ]


def _tree(rng: random.Random) -> list[Part]:
    trunk = Part(frustum(0, 0.06, 0.45, 0.045), _BARK)
    if rng.random() < 0.5:
        return [
            trunk,
            *(
                Part(frustum(low, radius, high, 0.0))
                for low, radius, high in ((0.2, 0.3, 0.62), (0.42, 0.24, 0.82), (0.64, 0.17, 1))
            ),
        ]
    crown = [
        (0, 0, 0.72, 0.27),
        (0.16, 0.06, 0.6, 0.19),
        (-0.15, -0.05, 0.62, 0.2),
        (0.02, -0.14, 0.58, 0.18),
        (0.0, 0.15, 0.64, 0.18),
    ]
    return [trunk, *(Part(ellipsoid(0, radius, radius), at=(x, y, z)) for x, y, z, radius in crown)]


def _house(rng: random.Random) -> list[Part]:
    roof = rng.choice(((124, 62, 48), (92, 92, 98), (70, 58, 52)))
    windows = [Part(block(x, -0.36, 0.3, 0.14, 0.02, 0.16), _WINDOW) for x in (-0.28, 0.28)]
    door = Part(block(0, -0.36, 0, 0.16, 0.02, 0.34), (84, 58, 40))
    return [Part(block(0, 0, 0, 1.0, 0.7, 0.56)), Part(tapered(0.56, (0.56, 0.42), 0.95, (0.5, 0.0)), roof), door, *windows]


def _tent(rng: random.Random) -> list[Part]:
    return [
        Part(tapered(0, (0.5, 0.61), 0.78, (0.0, 0.61))),
        Part(tapered(0, (0.17, 0.01), 0.55, (0.0, 0.01)), _DARK, (0, -0.61, 0)),
    ]


def _snowman(rng: random.Random) -> list[Part]:
    eyes = [Part(ellipsoid(0, 0.018, 0.018), (14, 14, 16), (side * 0.05, -0.115, 0.78)) for side in (-1, 1)]
    buttons = [Part(ellipsoid(0, 0.018, 0.018), (14, 14, 16), (0, -y, z)) for y, z in ((0.195, 0.5), (0.175, 0.6))]
    nose = Part(frustum(0, 0.03, 0.15, 0.0), (238, 120, 28), (0, -0.11, 0.73), _TOWARDS)
    hat = [Part(frustum(0.84, 0.15, 0.86, 0.15), _DARK), Part(frustum(0.86, 0.1, 1.0, 0.1), _DARK)]
    return [
        Part(ellipsoid(0.23, 0.27, 0.25)),
        Part(ellipsoid(0.53, 0.19, 0.17)),
        Part(ellipsoid(0.75, 0.13, 0.13)),
        nose,
        *eyes,
        *buttons,
        *hat,
    ]


def _barrel(rng: random.Random) -> list[Part]:
    hoops = [
        Part(bulge(z, r, r + 0.001, z + 0.06, r), _STEEL) for z, r in ((0.08, 0.345), (0.86, 0.345), (0.38, 0.392), (0.56, 0.392))
    ]
    return [Part(bulge(0, 0.31, 0.385, 1.0, 0.31)), *hoops]


def _bucket(rng: random.Random) -> list[Part]:
    return [
        Part(frustum(0, 0.32, 0.9, 0.46, top=False)),
        Part(Torus(0.46, 0.025), at=(0, 0, 0.9)),
        Part(Torus(0.45, 0.015, half=True), _STEEL, (0, 0, 0.9), _ARCH),
    ]


def _legs(x: float, y: float, height: float, thick: float) -> list[Part]:
    return [Part(block(sx * x, sy * y, 0, thick, thick, height)) for sx in (-1, 1) for sy in (-1, 1)]


def _table(rng: random.Random) -> list[Part]:
    half_x, half_y = rng.uniform(0.6, 0.95), rng.uniform(0.45, 0.6)
    return [Part(block(0, 0, 0.93, 2 * half_x, 2 * half_y, 0.07)), *_legs(half_x - 0.08, half_y - 0.08, 0.93, 0.08)]


def _stool(rng: random.Random) -> list[Part]:
    legs = [Part(frustum(0, 0.035, 0.93, 0.035), at=(sx * 0.19, sy * 0.19, 0)) for sx in (-1, 1) for sy in (-1, 1)]
    return [Part(frustum(0.92, 0.34, 1.0, 0.34)), *legs]


def _bench(rng: random.Random) -> list[Part]:
    ends = [Part(block(side * 0.42, 0, 0, 0.06, 0.26, 0.31)) for side in (-1, 1)]
    return [Part(block(0, 0, 0.31, 1.0, 0.3, 0.04)), *ends]


def _chair(rng: random.Random) -> list[Part]:
    back = [
        Part(block(0, 0.2, 0.72, 0.46, 0.04, 0.28)),
        *(Part(block(side * 0.2, 0.2, 0.5, 0.05, 0.04, 0.3)) for side in (-1, 1)),
    ]
    return [Part(block(0, 0, 0.46, 0.48, 0.46, 0.05)), *_legs(0.2, 0.19, 0.46, 0.05), *back]


SHAPES: dict[str, Callable[[random.Random], list[Part]]] = {
    "ball": _ball, "cube": _cube, "cylinder": _cylinder, "cone": _cone, "pyramid": _pyramid, "ring": _ring, "donut": _donut,
    "mug": _mug, "bowl": _bowl, "bottle": _bottle, "vase": _vase, "candle": _candle, "lamp": _lamp, "book": _book, "egg": _egg,
    "apple": _apple, "can": _can, "mushroom": _mushroom, "hat": _hat, "duck": _duck, "car": _car, "truck": _truck,
    "rocket": _rocket, "robot": _robot, "dumbbell": _dumbbell, "tree": _tree, "house": _house, "tent": _tent,
    "snowman": _snowman, "barrel": _barrel, "bucket": _bucket, "table": _table, "stool": _stool, "bench": _bench,
    "chair": _chair,
}  # fmt: skip
"""Kind -> its parts; the chance is for its proportions."""
