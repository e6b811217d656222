"""Scenes of the family `objects`: things on a table, in a room or in a yard, in true perspective, with exact annotation.

Run: `render(random.Random(7)).image.show()`; the same seed gives the same pixels on any number of workers.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from taco.data_gen.masks import encode
from taco.data_gen.scenes import photo
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.object_names import KINDS, OBJECT_COLOURS, colours_of
from taco.data_gen.scenes.object_relations import Extent, relations
from taco.data_gen.scenes.object_shapes import SHAPES, Part, extent, placed
from taco.data_gen.scenes.raytrace import Camera, Grid, Placed, Tile, tile
from taco.data_gen.scenes.scene import Box, Disparity, ObjectScene, Scene, SceneObject
from taco.data_gen.scenes.shading import Body, Paint, Seen, backdrop, merge, picture
from taco.data_gen.scenes.surroundings import DEPTHS, SETTINGS, Setting, Surroundings, draw_camera, linear, surroundings

MOST_ITEMS = 12
SIDES = (480, 800)
"""Of an image, pixels."""
KINDS_A_SCENE = (2, 6)
MIN_VISIBLE = 0.45
"""Share of an object's own outline that must be seen, or it is left out."""
MIN_AREA = 400
"""Pixels of an object that must be seen."""
MIN_SIDE = 20
"""Pixels, of the box of what is seen."""
MIN_INSIDE = 0.8
"""Share of an object's rectangle that lies in the image."""
MAX_SIDE = 0.62
"""Of an object's rectangle, as a share of the image's."""
MAX_OVERLAP = 0.55
"""Of two objects' rectangles, as a share of the smaller."""
ON_SHARE = 0.5
"""How often an object is put on another where one is free to hold it."""
ON_SCALE = 1.5
"""In rooms and yards, things on tables and stools are larger than on a table top by so much, to be seen from farther."""
PATTERN_SHARE = 0.3
PATTERN_SIDE = 44
"""Pixels: patterns are put on objects at least so large."""
SIZE_RATIO = 1.5
"""Two objects of a kind are called small and large if one is so many times as large, and in the image as well."""
_TRIES_A_THING = 14
_ATTEMPTS = 60


@dataclass(frozen=True)
class Thing:
    """An object that is placed in the world.

    Attributes:
        kind: One of `KINDS`.
        colour: One of `OBJECT_COLOURS`.
        material: One of `MATERIALS`.
        pattern: One of `PATTERNS`, or "".
        scale: Metres a unit of its shape.
        position: Of the middle of its foot, metres.
        radius: Of the upright cylinder that holds it, metres.
        height: Of the same, metres.
        shape: Its parts.
        solids: The same in the world.
        outline: Its rectangle in pixels, also outside the image.
        on: The thing that it stands on; None: the ground.
    """

    kind: str
    colour: str
    material: str
    pattern: str
    scale: float
    position: tuple[float, float, float]
    radius: float
    height: float
    shape: list[Part]
    solids: list[Placed]
    outline: tuple[float, float, float, float]
    on: "Thing | None" = None


def render(rng: random.Random, *, split: Split = "train", min_items: int = 2, max_items: int = MOST_ITEMS) -> Scene:
    """Draw one scene.

    Args:
        rng: Where all chance comes from: equal states give equal scenes.
        split: "train" and "test" share no pair of kind and colour (`object_names.held_out`), no height of the camera
            (`surroundings.ABOVE`), and no texture of ground or wall (`surroundings.GROUNDS`, `WALLS`).
        min_items: Fewest objects, at least 1.
        max_items: Most objects, at most 12.

    Returns:
        The image, its annotation (depths in metres along the camera's axis, masks of what is seen), and 1 / depth of every pixel
        (sky: 0). All objects that can be seen are annotated; relations are those of `object_relations`.

    Raises:
        ValueError: If not 1 <= min_items <= max_items <= 12.
    """
    if not 1 <= min_items <= max_items <= MOST_ITEMS:
        raise ValueError(
            f"A scene has 1 to {MOST_ITEMS} objects, min_items <= max_items; got min_items={min_items}, max_items={max_items}."
        )
    generator = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
    for _ in range(_ATTEMPTS):
        setting = rng.choices(list(SETTINGS), list(SETTINGS.values()))[0]
        camera = draw_camera(rng, setting, (rng.randint(*SIDES), rng.randint(*SIDES)), split)
        place = surroundings(rng, generator, setting, split)
        things = _arranged(rng, camera, place, split, rng.randint(min_items, max_items))
        things, tiles, seen = _visible(camera, place, things)
        if len(things) >= min_items:
            break
    else:
        raise RuntimeError(f"No room for {min_items} objects was found in {_ATTEMPTS} scenes; ask for fewer.")
    image = picture(camera, place, [_body(rng, thing) for thing in things], seen)
    return Scene((photo.degrade(image, rng),), _annotation(camera, things, tiles, seen), (_disparity(seen),))


# ---------------------------------------------------------------------- where things stand


def _arranged(rng: random.Random, camera: Camera, place: Surroundings, split: Split, count: int) -> list[Thing]:
    """About `count` things that do not touch and do not hide each other too much."""
    kinds = _kinds(rng, place.setting, split)
    things: list[Thing] = []
    for _ in range(count * _TRIES_A_THING):
        if len(things) == count:
            break
        thing = _proposed(rng, camera, place, split, kinds, things)
        if thing is not None and _fits(camera, place, thing, things):
            things.append(_patterned(rng, thing))
    return things


def _kinds(rng: random.Random, setting: Setting, split: Split) -> list[str]:
    """Kinds for a scene, one of a group; in rooms and yards some of them small enough for tables."""
    kinds: list[str] = []
    names = [name for name in KINDS if colours_of(name, split)]
    rng.shuffle(names)
    for name in names:
        kind = KINDS[name]
        if (kind.table if setting == "table" else kind.floor) and all(KINDS[other].group != kind.group for other in kinds):
            kinds.append(name)
    kinds = kinds[: rng.randint(*KINDS_A_SCENE)]
    if setting != "table" and any(KINDS[name].holds for name in kinds):
        small = [name for name in names if KINDS[name].table and all(KINDS[other].group != KINDS[name].group for other in kinds)]
        kinds += small[:2]
    return kinds


def _proposed(
    rng: random.Random, camera: Camera, place: Surroundings, split: Split, kinds: Sequence[str], things: Sequence[Thing]
) -> Thing | None:
    name = rng.choice(kinds)
    kind = KINDS[name]
    colour = rng.choice(colours_of(name, split))
    shape = SHAPES[name](rng)
    radius, height = extent(shape)
    holder = _holder(rng, name, things) if kind.table and rng.random() < ON_SHARE else None
    sizes = kind.table if place.setting == "table" or holder else kind.floor
    if sizes is None:
        return None
    scale = rng.uniform(*sizes) * (ON_SCALE if holder and place.setting != "table" else 1.0)
    if holder is None:
        position = _on_ground(rng, camera, place)
    elif radius * scale <= KINDS[holder.kind].holds * holder.scale:
        position = (holder.position[0], holder.position[1], holder.height)
    else:
        return None
    material = "wooden" if kind.wood and colour == "brown" else rng.choice(kind.materials)
    if material == "metal" and colour in ("white", "black"):
        material = "matte"  # white or black metal is taken for silver
    solids = placed(shape, scale, math.radians(rng.uniform(*kind.yaw)), position)
    return Thing(
        kind=name, colour=colour, material=material, pattern="", scale=scale, position=position, radius=radius * scale,
        height=height * scale, shape=shape, solids=solids, outline=_outline(camera, solids), on=holder,
    )  # fmt: skip


def _holder(rng: random.Random, name: str, things: Sequence[Thing]) -> Thing | None:
    """A thing of another kind on the ground that something may stand on and nothing does."""
    laden = {id(thing.on) for thing in things}
    free = [one for one in things if KINDS[one.kind].holds and one.kind != name and one.on is None and id(one) not in laden]
    return rng.choice(free) if free else None


def _on_ground(rng: random.Random, camera: Camera, place: Surroundings) -> tuple[float, float, float]:
    """A point of the ground in the image, distances spread evenly by ratio."""
    steepest = camera.pitch + math.atan(camera.height / 2 / camera.focal)
    nearest = max(DEPTHS[place.setting][0], camera.above / math.tan(min(steepest, 1.5)))
    y = nearest * (place.farthest / nearest) ** rng.random() if place.farthest > nearest else nearest
    depth = y * math.cos(camera.pitch) + camera.above * math.sin(camera.pitch)
    return depth * rng.uniform(-0.5, 0.5) * camera.width / camera.focal, y, 0.0


def _fits(camera: Camera, place: Surroundings, thing: Thing, things: Sequence[Thing]) -> bool:
    x, y, _ = thing.position
    if y - thing.radius < 0.15 or any(y + thing.radius > plane.reach - 0.02 for plane in place.planes):
        return False
    if any(
        plane.normal[0] * x + plane.normal[1] * y - plane.limit < thing.radius for plane in place.planes if not plane.normal[2]
    ):
        return False
    for other in things:
        if other is not thing.on and math.dist((x, y), other.position[:2]) < 1.05 * (thing.radius + other.radius):
            return False
    box = thing.outline
    width, height = box[2] - box[0], box[3] - box[1]
    if min(width, height) < MIN_SIDE or width > MAX_SIDE * camera.width or height > MAX_SIDE * camera.height:
        return False
    if _shared(box, (0, 0, camera.width, camera.height)) < MIN_INSIDE * width * height:
        return False
    for other in things:
        rival = other.outline
        smaller = min(width * height, (rival[2] - rival[0]) * (rival[3] - rival[1]))
        if _shared(box, rival) > MAX_OVERLAP * smaller and other is not thing.on:
            return False
    return True


def _outline(camera: Camera, solids: Sequence[Placed]) -> tuple[float, float, float, float]:
    points = camera.project(np.concatenate([solid.corners for solid in solids]))
    if not points[:, 2].min() > 0.05:
        return -math.inf, -math.inf, math.inf, math.inf
    (left, top), (right, bottom) = points[:, :2].min(axis=0).tolist(), points[:, :2].max(axis=0).tolist()
    return left, top, right, bottom


def _shared(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _patterned(rng: random.Random, thing: Thing) -> Thing:
    box = thing.outline
    patterns = KINDS[thing.kind].patterns
    if not patterns or thing.material != "matte" or min(box[2] - box[0], box[3] - box[1]) < PATTERN_SIDE:
        return thing
    return replace(thing, pattern=rng.choice(patterns)) if rng.random() < PATTERN_SHARE else thing


# ---------------------------------------------------------------------- what is seen of them


def _visible(camera: Camera, place: Surroundings, things: list[Thing]) -> tuple[list[Thing], list[Tile], Seen]:
    """The things that can be seen well once those that cannot are taken away, their tiles, and what every pixel sees then."""
    grid = Grid(camera)
    behind = backdrop(grid, place)
    tiles = {id(thing): tile(grid, thing.solids) for thing in things}
    while True:
        found = [tiles[id(thing)] for thing in things]
        seen = merge(behind, found, range(len(things)))
        shares = [_share_seen(seen, index, own) for index, own in enumerate(found)]
        if not things or min(shares) >= MIN_VISIBLE:
            return things, [own for own in found if own], seen
        worst = things[shares.index(min(shares))]
        things = [thing for thing in things if thing is not worst and thing.on is not worst]


def _share_seen(seen: Seen, index: int, own: Tile | None) -> float:
    """Of an object's outline; 0 where too little for a box is left."""
    if own is None:
        return 0.0
    mine = seen.identity[own.selected] == index
    area = int(mine.sum())
    if area < MIN_AREA or min(mine.any(axis=0).sum(), mine.any(axis=1).sum()) < MIN_SIDE:
        return 0.0
    return area / int(np.isfinite(own.depth).sum())


def _body(rng: random.Random, thing: Thing) -> Body:
    red, green, blue = (min(255, max(0, value + rng.randint(-8, 8))) for value in OBJECT_COLOURS[thing.colour])
    paint = Paint(linear((red, green, blue)), thing.material, thing.pattern, rng.choice((4.0, 5.0)))
    return Body(thing.solids, [paint if part.colour is None else Paint(linear(part.colour)) for part in thing.shape], thing.scale)


# ---------------------------------------------------------------------- annotation


def _annotation(camera: Camera, things: Sequence[Thing], tiles: Sequence[Tile], seen: Seen) -> ObjectScene:
    boxes, depths = [], []
    for index, own in enumerate(tiles):
        mine = seen.identity[own.selected] == index
        boxes.append(_box(camera, own, mine))
        depths.append(round(float(own.depth[mine].mean(dtype=np.float64)), 3))
    sizes = _sizes(things, boxes)
    objects = tuple(
        SceneObject(
            name=thing.kind,
            attributes=tuple(word for word in (thing.colour, thing.material, thing.pattern, size) if word),
            bbox=box,
            depth=depth,
            mask=encode(seen.identity == index),
        )
        for index, (thing, box, depth, size) in enumerate(zip(things, boxes, depths, sizes, strict=True))
    )
    extents = [_extent(camera, thing, box, things) for thing, box in zip(things, boxes, strict=True)]
    return ObjectScene(width=camera.width, height=camera.height, objects=objects, relations=relations(extents))


def _box(camera: Camera, own: Tile, mine: npt.NDArray[np.bool_]) -> Box:
    """Hull of the pixels of a tile that show its object."""
    rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
    top, left = (axis.start for axis in own.selected)
    return (
        round(int(left + columns[0]) / camera.width, 4),
        round(int(top + rows[0]) / camera.height, 4),
        round(int(left + columns[-1] + 1) / camera.width, 4),
        round(int(top + rows[-1] + 1) / camera.height, 4),
    )


def _sizes(things: Sequence[Thing], boxes: Sequence[Box]) -> list[str]:
    """Small, large or "" of each: said of a kind only if all of it fall into two clear classes, in metres and in the image."""
    sizes = [""] * len(things)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in boxes]
    for kind in dict.fromkeys(thing.kind for thing in things):
        own = sorted((index for index, thing in enumerate(things) if thing.kind == kind), key=lambda index: things[index].scale)
        for cut in range(1, len(own)):
            small, large = own[:cut], own[cut:]
            apart = things[large[0]].scale >= SIZE_RATIO * things[small[-1]].scale
            if apart and min(areas[i] for i in large) >= SIZE_RATIO * max(areas[i] for i in small):
                sizes = ["small" if i in small else "large" if i in large else size for i, size in enumerate(sizes)]
    return sizes


def _extent(camera: Camera, thing: Thing, box: Box, things: Sequence[Thing]) -> Extent:
    corners = np.concatenate([solid.corners for solid in thing.solids])
    depth = camera.project(corners)[:, 2]
    return Extent(
        box=box,
        middle=(thing.position[0], thing.position[1]),
        foot=thing.position[2],
        radius=thing.radius,
        across=(float(corners[:, 0].min()), float(corners[:, 0].max())),
        depth=(float(depth.min()), float(depth.max())),
        on=next((index for index, other in enumerate(things) if other is thing.on), None),
    )


def _disparity(seen: Seen) -> Disparity:
    nearness: Disparity = np.float32(1) / seen.depth
    return nearness
