"""The `objects` family: annotation that the geometry bears out, splits that share nothing."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from taco.data_gen.masks import decode
from taco.data_gen.scenes import objects, photo
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS, KINDS, OBJECT_COLOURS, PREDICATES, colours_of, held_out
from taco.data_gen.scenes.object_relations import OPPOSITES, Extent, relations
from taco.data_gen.scenes.object_shapes import SHAPES, box, bulge, ellipsoid, extent, frustum, placed, tapered
from taco.data_gen.scenes.raytrace import Camera, Grid, Placed, Points, Solid, Torus, tile
from taco.data_gen.scenes.scene import ObjectScene, Scene
from taco.data_gen.scenes.surroundings import ABOVE, GROUNDS, WALLS
from taco.tools.images import pixel_hash

SCENES = 60
Floats = npt.NDArray[np.floating]
SPLITS: tuple[Split, ...] = ("train", "test")


@pytest.fixture(scope="module")
def plain() -> dict[Split, list[Scene]]:
    """60 scenes, half a split, without colours: shading is most of the work."""
    with pytest.MonkeyPatch.context() as patch:
        blank: Callable[..., Image.Image] = lambda camera, *_: Image.new("RGB", (camera.width, camera.height))  # noqa: E731
        patch.setattr(objects, "picture", blank)
        patch.setattr(photo, "degrade", lambda image, rng: image)
        return {
            split: [objects.render(random.Random(f"{split}-{i}"), split=split) for i in range(SCENES // 2)] for split in SPLITS
        }


@pytest.fixture(scope="module")
def painted() -> list[Scene]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo, "degrade", lambda image, rng: image)
        return [objects.render(random.Random(seed)) for seed in range(8)]


def _every(plain: dict[Split, list[Scene]]) -> Iterator[Scene]:
    return (scene for split in SPLITS for scene in plain[split])


def test_render_neither_uses_nor_changes_global_random_state() -> None:
    before = random.getstate(), str(np.random.get_state())
    first = pixel_hash(objects.render(random.Random(1)).image)
    assert (random.getstate(), str(np.random.get_state())) == before
    random.random()
    np.random.random()
    assert pixel_hash(objects.render(random.Random(1)).image) == first


# ---------------------------------------------------------------------- words and splits


def test_vocabulary() -> None:
    assert set(SHAPES) == set(KINDS)
    assert len({kind.group for kind in KINDS.values()}) >= 14
    assert all(name == name.lower() and name.isalpha() for name in KINDS)
    assert set(ATTRIBUTE_KINDS.values()) == {"colour", "material", "pattern", "size"}
    for name, kind in KINDS.items():
        assert kind.table or kind.floor, name
        assert set(kind.colours) <= set(OBJECT_COLOURS)
        assert {ATTRIBUTE_KINDS[word] for word in kind.materials} == {"material"}
        assert colours_of(name, "train"), name


def test_splits_share_nothing(plain: dict[Split, list[Scene]]) -> None:
    seen = {
        split: {(thing.name, thing.attributes[0]) for scene in plain[split] for thing in scene.annotation.objects}
        for split in SPLITS
    }
    assert all(not held_out(*pair) for pair in seen["train"])
    assert all(held_out(*pair) for pair in seen["test"])
    assert len(seen["test"]) > 30
    for setting, (low, high) in ABOVE["train"].items():
        assert not max(low, ABOVE["test"][setting][0]) < min(high, ABOVE["test"][setting][1])
        assert not set(GROUNDS["train"][setting]) & set(GROUNDS["test"][setting])
    assert not set(WALLS["train"]) & set(WALLS["test"])


def test_variety(plain: dict[Split, list[Scene]]) -> None:
    every = [scene.annotation for scene in _every(plain)]
    names = Counter(thing.name for scene in every for thing in scene.objects)
    assert len(names) >= 28
    assert {len(scene.objects) for scene in every} >= set(range(2, 12))
    assert np.median([scene.width for scene in every]) >= 600
    assert np.median([scene.height for scene in every]) >= 600
    words = {word for scene in every for thing in scene.objects for word in thing.attributes}
    assert words == set(ATTRIBUTE_KINDS)
    assert {relation.predicate for scene in every for relation in scene.relations} == set(PREDICATES)
    ratios = [
        max(t.depth for t in scene.objects) / min(t.depth for t in scene.objects) for scene in every if len(scene.objects) > 3
    ]
    assert np.median(ratios) > 1.5


def test_names_of_a_scene_do_not_overlap(plain: dict[Split, list[Scene]]) -> None:
    for scene in _every(plain):
        kinds = {thing.name for thing in scene.annotation.objects}
        assert len({KINDS[kind].group for kind in kinds}) == len(kinds)


def test_attributes(plain: dict[Split, list[Scene]]) -> None:
    for scene in _every(plain):
        for thing in scene.annotation.objects:
            found = Counter(ATTRIBUTE_KINDS[word] for word in thing.attributes)
            assert found["colour"] == found["material"] == 1
            assert max(found["pattern"], found["size"]) <= 1


def test_sizes_are_said_of_a_whole_kind_and_show_in_the_image(plain: dict[Split, list[Scene]]) -> None:
    for scene in _every(plain):
        classes: dict[tuple[str, str], list[float]] = {}
        for thing in scene.annotation.objects:
            size = next((word for word in thing.attributes if ATTRIBUTE_KINDS[word] == "size"), "")
            left, top, right, bottom = thing.bbox
            classes.setdefault((thing.name, size), []).append((right - left) * (bottom - top))
        for name in {name for name, size in classes if size}:
            assert (name, "") not in classes
            assert min(classes[name, "large"]) > max(classes[name, "small"])


# ---------------------------------------------------------------------- the annotation against the pixels


def test_boxes_depths_and_counts_are_those_of_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second tracing, ray by ray: which object is seen where, how far it is; nothing that is seen is missing."""
    caught: list[Any] = []

    def picture(*given: Any) -> Image.Image:
        caught.append(given)
        return Image.new("RGB", (9, 9))

    monkeypatch.setattr(objects, "picture", picture)
    monkeypatch.setattr(photo, "degrade", lambda image, rng: image)
    for seed in range(4):
        scene = objects.render(random.Random(seed), max_items=6)
        camera, _, bodies, seen = caught.pop()
        assert len(bodies) == len(scene.annotation.objects)
        y, x = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32) + np.float32(0.5)
        directions = camera.directions(x.ravel(), y.ravel())
        depths = np.stack([np.min([part.hit(camera.position, directions) for part in body.parts], axis=0) for body in bodies])
        [disparity] = scene.disparities
        assert disparity is not None
        assert disparity.shape == (camera.height, camera.width)
        nearest = np.where(np.isfinite(depths.min(axis=0)), depths.argmin(axis=0), -1).reshape(disparity.shape)
        for index, thing in enumerate(scene.annotation.objects):
            mask = decode(thing.mask, (camera.width, camera.height))
            assert (mask == (seen.identity == index)).all()
            assert (mask != (nearest == index)).sum() <= 0.01 * mask.sum()
            rows, columns = np.nonzero(mask)
            ends = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert np.multiply(thing.bbox, (camera.width, camera.height) * 2) == pytest.approx(ends, abs=0.1)
            rows, columns = np.nonzero(nearest == index)
            ends = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            hull = [end / side for end, side in zip(ends, (camera.width, camera.height) * 2, strict=True)]
            assert thing.bbox == pytest.approx(hull, abs=2.5 / min(disparity.shape))
            assert thing.depth == pytest.approx(depths[index].reshape(disparity.shape)[rows, columns].mean(), rel=0.01)
            assert thing.depth == pytest.approx((1 / disparity[rows, columns]).mean(), rel=0.01)
            outline = np.isfinite(depths[index]).sum()
            assert len(rows) >= 0.97 * objects.MIN_VISIBLE * outline
            assert len(rows) >= 0.97 * objects.MIN_AREA


def test_boxes_lie_inside(plain: dict[Split, list[Scene]]) -> None:
    for scene in _every(plain):
        annotation = scene.annotation
        assert scene.image.size == (annotation.width, annotation.height)
        assert annotation.exhaustive
        for thing in annotation.objects:
            left, top, right, bottom = thing.bbox
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
            assert (right - left) * annotation.width >= objects.MIN_SIDE - 0.2
            assert 0.2 < thing.depth < 40


def test_disparity_of_ground_and_sky(plain: dict[Split, list[Scene]]) -> None:
    for scene in _every(plain):
        [disparity] = scene.disparities
        assert disparity is not None
        assert disparity.dtype == np.float32
        assert np.isfinite(disparity).all()
        assert disparity.min() >= 0
        assert disparity[-1].mean() > disparity[0].mean()


def test_things_have_the_colour_that_is_said(painted: list[Scene]) -> None:
    """The hue of most of an object's brighter pixels is nearest to its own name's."""
    right, asked = 0, 0
    for scene in painted:
        pixels = np.asarray(scene.image, np.float32)
        for thing in scene.annotation.objects:
            if thing.attributes[0] in ("white", "black", "brown") or thing.name in (
                "truck",
                "car",
                "candle",
                "lamp",
                "donut",
                "house",
            ):
                continue
            left, top, right_, bottom = (round(v * s) for v, s in zip(thing.bbox, scene.image.size * 2, strict=True))
            inner = pixels[top:bottom, left:right_].reshape(-1, 3)
            spread = inner.max(axis=1) - inner.min(axis=1)
            vivid = inner[spread >= np.quantile(spread, 0.6)]
            hues = {
                name: _direction(np.array([colour], np.float32))[0]
                for name, colour in OBJECT_COLOURS.items()
                if name not in ("white", "black", "brown")
            }
            nearest = Counter(max(hues, key=lambda name: float(hues[name] @ one)) for one in _direction(vivid)[::7])
            right += nearest.most_common(1)[0][0] == thing.attributes[0]
            asked += 1
    assert asked >= 15
    assert right >= 0.9 * asked


def _direction(colours: Floats) -> Floats:
    grey = colours - colours.mean(axis=1, keepdims=True)
    unit: Floats = grey / np.maximum(np.linalg.norm(grey, axis=1, keepdims=True), 1e-6)
    return unit


# ---------------------------------------------------------------------- relations


def test_relations_are_true_in_the_image_and_in_depth(plain: dict[Split, list[Scene]]) -> None:
    for scene in _every(plain):
        things = scene.annotation.objects
        for relation in scene.annotation.relations:
            one, other = things[relation.subject], things[relation.object]
            if relation.predicate == "left of":
                assert one.bbox[0] < other.bbox[0]
                assert one.bbox[2] < other.bbox[2]
            elif relation.predicate == "in front of":
                assert one.depth < other.depth
                assert one.bbox[3] > other.bbox[3]
                assert min(one.bbox[2], other.bbox[2]) > max(one.bbox[0], other.bbox[0])
            elif relation.predicate == "on":
                assert other.bbox[1] - 0.02 < one.bbox[3] <= other.bbox[3] + 1e-9
                assert KINDS[other.name].holds
            elif relation.predicate == "next to":
                assert one.depth == pytest.approx(other.depth, rel=0.5)


def test_relations_have_their_opposites_and_do_not_contradict(plain: dict[Split, list[Scene]]) -> None:
    for scene in _every(plain):
        found = {(relation.subject, relation.predicate, relation.object) for relation in scene.annotation.relations}
        assert len(found) == len(scene.annotation.relations)
        for subject, predicate, object_ in found:
            assert subject != object_
            if predicate == "on":
                assert {p for s, p, o in found if {s, o} == {subject, object_}} == {"on"}
                continue
            assert (object_, OPPOSITES[predicate], subject) in found
            if predicate != "next to":
                assert (subject, OPPOSITES[predicate], object_) not in found


def _at(x: float, y: float, *, radius: float = 0.2, on: int | None = None) -> Extent:
    """Seen from above the origin, along y: boxes as a pinhole gives them."""
    middle, half = 0.5 + 0.5 * x / y, 0.5 * radius / y
    return Extent(
        (middle - half, 0.5, middle + half, 0.5 + 0.4 / y),
        (x, y),
        0.0,
        radius,
        (x - radius, x + radius),
        (y - radius, y + radius),
        on,
    )


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (_at(-1, 3), _at(1, 3), {"left of"}),
        (_at(1, 3), _at(-1, 3), {"right of"}),
        (_at(0, 2), _at(0, 4), {"in front of"}),
        (_at(0, 4), _at(0.05, 2), {"behind"}),
        (_at(-0.25, 3), _at(0.25, 3), {"left of", "next to"}),
        (_at(0, 3), _at(0.1, 3.2), set()),
        (_at(0.5, 2), _at(0.6, 6), set()),  # to the right in the image, not in the world
        (_at(0, 3, on=1), _at(0, 3), {"on"}),
    ],
)
def test_relations_of_two(one: Extent, other: Extent, expected: set[str]) -> None:
    found = {relation.predicate for relation in relations([one, other]) if relation.subject == 0}
    assert found == expected


# ---------------------------------------------------------------------- the tracer

_SOLIDS: dict[str, tuple[Solid, Callable[[Any, Any, Any], Any]]] = {
    "ball": (ellipsoid(0, 1, 1), lambda x, y, z: x * x + y * y + z * z <= 1),
    "cone": (frustum(0, 1, 2, 0), lambda x, y, z: (z >= 0) & (z <= 2) & (np.hypot(x, y) <= 1 - z / 2)),
    "cylinder": (frustum(-1, 0.5, 1, 0.5), lambda x, y, z: (abs(z) <= 1) & (np.hypot(x, y) <= 0.5)),
    "waist": (
        bulge(-1, 1, 0.4, 1, 1),
        lambda x, y, z: (abs(z) <= 1) & (x * x + y * y <= 0.16 + 0.84 * z * z),
    ),
    "box": (box((-1, -0.5, 0), (1, 0.5, 1)), lambda x, y, z: (abs(x) <= 1) & (abs(y) <= 0.5) & (z >= 0) & (z <= 1)),
    "roof": (
        tapered(0, (1, 0.6), 1, (0.5, 0)),
        lambda x, y, z: (z >= 0) & (z <= 1) & (abs(x) <= 1 - z / 2) & (abs(y) <= 0.6 * (1 - z)),
    ),
    "ring": (Torus(0.8, 0.25), lambda x, y, z: (np.hypot(x, y) - 0.8) ** 2 + z * z <= 0.0625),
    "arch": (Torus(0.8, 0.25, half=True), lambda x, y, z: ((np.hypot(x, y) - 0.8) ** 2 + z * z <= 0.0625) & (x >= 0)),
}


@pytest.mark.parametrize("name", _SOLIDS)
def test_rays_meet_solids_where_they_begin(name: str) -> None:
    """Against a walk along each ray in small steps; the solid is turned, enlarged and moved."""
    solid, inside = _SOLIDS[name]
    generator = np.random.default_rng(3)
    turn, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    put = Placed(solid, turn, 1.7, np.array([0.3, 6.0, 1.0]))
    camera = Camera(60, 50, 55.0, 1.4, 0.05)
    x, y = (generator.uniform(0, size, 400).astype(np.float32) for size in (60, 50))
    directions = camera.directions(x, y)
    found = put.hit(camera.position, directions)
    steps = np.linspace(2, 11, 4501)
    points = np.stack([(directions[i][:, None] * steps + camera.position[i] - put.origin[i]) / 1.7 for i in range(3)])
    local = np.einsum("ij,jnk->ink", turn.T, points)
    within = inside(*local)
    first = np.where(within.any(axis=1), steps[within.argmax(axis=1)], np.inf)
    both = np.isfinite(found) & np.isfinite(first)
    assert both.sum() > 30
    assert (np.isfinite(found) == np.isfinite(first)).mean() > 0.985  # but for grazing rays
    assert np.quantile(abs(found[both] - first[both]), 0.97) < 0.01
    corners = camera.rectangle(put.corners)
    assert ((x[both] >= corners[0]) & (x[both] <= corners[2]) & (y[both] >= corners[1]) & (y[both] <= corners[3])).all()
    at = tuple(directions[i][both] * found[both] + np.float32(camera.position[i]) for i in range(3))
    normal = put.normal(put.inside(at))
    assert np.linalg.norm(normal, axis=0) == pytest.approx(1, abs=1e-3)
    towards = sum(normal[i] * directions[i][both] for i in range(3))
    assert (towards < 0.05).mean() > 0.97


def test_grid_and_points_agree() -> None:
    camera = Camera(48, 40, 50.0, 1.2, 0.2)
    parts = [Placed(frustum(0, 0.5, 1, 0.3), np.eye(3), 1.0, np.array([0.2, 4.0, 0.0]))]
    grid = tile(Grid(camera), parts)
    x, y = (part.ravel().astype(np.float32) for part in np.meshgrid(np.arange(48) + 0.5, np.arange(40) + 0.5))
    points = tile(Points(camera, x, y), parts)
    assert grid is not None
    assert points is not None
    whole = np.full((40, 48), np.inf, np.float32)
    whole[grid.selected] = grid.depth
    flat = np.full(40 * 48, np.inf, np.float32)
    flat[points.selected] = points.depth
    np.testing.assert_allclose(whole.ravel(), flat, rtol=1e-5)
    assert np.isfinite(flat).sum() > 50


def test_camera_projects_along_its_rays() -> None:
    camera = Camera(640, 480, 500.0, 1.5, 0.3)
    x, y = np.array([10.0, 320.0, 600.0], np.float32), np.array([20.0, 240.0, 470.0], np.float32)
    directions = np.stack(camera.directions(x, y), axis=1)
    found = camera.project(np.array(camera.position) + 3.5 * directions)
    np.testing.assert_allclose(found, np.stack([x, y, np.full(3, 3.5)], axis=1), atol=1e-3)
    assert math.isclose(directions[1, 2], -math.sin(0.3), abs_tol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_things_stand_on_their_foot(kind: str) -> None:
    for seed in range(5):
        parts = SHAPES[kind](random.Random(seed))
        lowest = min(part.corners[:, 2].min() for part in placed(parts, 1.0, 0.0, (0.0, 0.0, 0.0)))
        assert lowest == pytest.approx(0, abs=0.06)
        radius, height = extent(parts)
        assert 0.1 < radius < 1.2
        assert 0.1 < height < 1.5
        assert any(part.colour is None for part in parts)


# ---------------------------------------------------------------------- limits


@pytest.mark.parametrize(("least", "most"), [(1, 1), (2, 3), (10, 12)])
def test_number_of_items(least: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "picture", lambda *_: Image.new("RGB", (9, 9)))
    counts = {len(objects.render(random.Random(seed), min_items=least, max_items=most).annotation.objects) for seed in range(6)}
    assert counts <= set(range(least, most + 1))


@pytest.mark.parametrize(("least", "most"), [(0, 4), (5, 4), (2, 13)])
def test_impossible_number_of_items(least: int, most: int) -> None:
    with pytest.raises(ValueError, match=f"min_items={least}, max_items={most}"):
        objects.render(random.Random(0), min_items=least, max_items=most)


def test_annotation_round_trip(painted: list[Scene]) -> None:
    annotation = painted[0].annotation
    assert ObjectScene.model_validate_json(annotation.model_dump_json()) == annotation
    assert painted[0].image.mode == "RGB"


def test_degradation_moves_nothing_and_follows_its_rng(painted: list[Scene]) -> None:
    image = painted[0].image
    one, same, other = (photo.degrade(image, random.Random(seed)) for seed in (1, 1, 2))
    assert one.size == image.size
    assert pixel_hash(one) == pixel_hash(same) != pixel_hash(other)
