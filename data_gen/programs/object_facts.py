"""What an annotation says of its objects for certain: which can be named, and which lies clearly left of or nearer than another.

    >>> [mention.words for mention in mentions(scene)]                  # each singles out one object
    ['red mug', 'blue mug', 'book']

Questions are asked only where these say yes: a tie, or what is a matter of taste, is never asked.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from taco.data_gen.programs.object_nouns import is_mass
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS, KINDS
from taco.data_gen.scenes.scene import Box, ObjectScene, SceneObject, area, overlap, shared

MIN_SIDE = 0.02
"""Of a box that is asked about, share of the image: it has to outlive being rounded to 2 decimals."""
SAME_BOX = 0.7
"""Intersection over union from which two boxes may be of one thing, annotated or found twice."""
SIDE_GAP = 0.04
"""Share of the image by which one object is at least farther left (right, up, down) than another: its edge and its centre."""
SIDE_OVERLAP = 0.1
"""Beside each other: boxes overlap by at most this share of the narrower."""
DEPTH_GAP = 0.12
"""Share of the farther one's depth by which another is nearer. From 0.05 on an order is true; at 0.05 to 0.08 the mean over a
box, which holds some background, tells it rightly of 85 % of rendered pairs, at 0.12 to 0.16 of 98 %."""
DEPTH_GAP_OF_ALL = 0.02
"""The same as a share of the greatest depth: relative depths begin at 0."""
HIDDEN = 0.15
"""Share of the smaller box that two boxes have in common, at most, where their depths are compared."""
AREA_RATIO = 1.35
"""One box is so many times as large as another."""
MOST_LISTED = 4
"""Objects that a question lists, at most."""
TRIES = 6
"""Draws of objects until one allows the question."""
NOT_ABSENT = frozenset({"table"})
"""Rendered scenes may be set on one."""

DIRECTIONS = ("left", "right", "top", "bottom")


class Mention(NamedTuple):
    """Words that single out one object of a scene, and a detector finds: ``mug``, ``red mug``."""

    words: str
    item: SceneObject


def whole(scene: ObjectScene) -> bool:
    """Whether every object there is annotated, of whatever name, with its attributes: a rendering, no photograph."""
    return scene.exhaustive and bool(scene.objects) and all(item.attributes and item.name in KINDS for item in scene.objects)


def absent_names(scene: ObjectScene) -> list[str]:
    """Names of what is certainly not there, nor anything that looks like it or is called nearly so: of a rendering all others
    that renderings have, of a photograph those that were looked for."""
    return _unlike(scene, [name for name in KINDS if name not in NOT_ABSENT] if whole(scene) else scene.absent)


def lacks(scene: ObjectScene, name: str) -> bool:
    """Whether a name is one of `absent_names`."""
    known = name in KINDS and name not in NOT_ABSENT if whole(scene) else name in scene.absent
    return known and bool(_unlike(scene, [name]))


def _unlike(scene: ObjectScene, names: Iterable[str]) -> list[str]:
    """Those that can be counted, and that nothing there looks like or is called nearly as (glass, wine glass)."""
    there = {item.name for item in scene.objects}
    groups = {KINDS[name].group for name in there if name in KINDS}
    ends = tuple(f" {name}" for name in there)
    others = (name for name in names if not is_mass(name) and (name not in KINDS or KINDS[name].group not in groups))
    return [name for name in others if not f" {name}".endswith(ends) and not any(end.endswith(f" {name}") for end in ends)]


def by_name(scene: ObjectScene) -> dict[str, list[SceneObject]]:
    """The objects of each name that can be told from others and counted as such."""
    groups: dict[str, list[SceneObject]] = {}
    for item in scene.objects:
        groups.setdefault(item.name, []).append(item)
    return {name: items for name, items in groups.items() if not any(other.endswith(f" {name}") for other in groups)}


def countable(scene: ObjectScene) -> dict[str, list[SceneObject]]:
    """The same where all of a name are there, none too small to be found and no two in one place."""
    groups = by_name(scene) if scene.exhaustive else {}
    complete = {name: items for name, items in groups.items() if name not in scene.partial}
    return {name: items for name, items in complete.items() if not is_mass(name) and _distinct(items)}


def _distinct(items: Sequence[SceneObject]) -> bool:
    apart = all(overlap(one.bbox, other.bbox) < SAME_BOX for one, other in combinations(items, 2))
    return apart and all(plain(item) for item in items)


def plain(item: SceneObject, side: float = MIN_SIDE) -> bool:
    """Whether an object's box has sides of at least so much."""
    left, top, right, bottom = item.bbox
    return right - left >= side and bottom - top >= side


def trait(item: SceneObject, kind: str) -> str | None:
    """Its one attribute of a kind (colour ...); None where it has none or several."""
    found = [attribute for attribute in item.attributes if ATTRIBUTE_KINDS.get(attribute) == kind]
    return found[0] if len(found) == 1 else None


def traits_of(items: Sequence[SceneObject], kind: str) -> list[str]:
    """The attribute of a kind of each; none at all where one's is not known."""
    found = [value for item in items if (value := trait(item, kind))]
    return found if len(found) == len(items) else []


def mentions(scene: ObjectScene) -> list[Mention]:
    """The objects that words single out, by name or else by one attribute before it; tiny and twin boxes are left out.

    Where the annotation may lack objects, so may this: a detector that finds another one makes the program give up.
    """
    found = []
    for name, items in by_name(scene).items():
        if len(items) == 1:
            found.append(Mention(name, items[0]))
            continue
        for kind in ("colour", "pattern", "material", "size"):
            values = traits_of(items, kind)
            found += [
                Mention(f"{value} {name}", item) for value, item in zip(values, items, strict=False) if values.count(value) == 1
            ]
            if values and len(set(values)) == len(values):
                break
    first = {id(mention.item): mention for mention in reversed(found)}
    return [mention for mention in found if first[id(mention.item)] is mention and _stands_alone(mention.item, scene)]


def _stands_alone(item: SceneObject, scene: ObjectScene) -> bool:
    others = (other for other in scene.objects if other is not item)
    return plain(item) and all(overlap(item.bbox, other.bbox) < SAME_BOX for other in others)


def sample(rng: random.Random, mentioned: Sequence[Mention], least: int = 2, most: int = MOST_LISTED) -> list[Mention]:
    """Some of them in random order; none where there are too few."""
    if len(mentioned) < least:
        return []
    return rng.sample(mentioned, rng.randint(least, min(most, len(mentioned))))


# ---------------------------------------------------------------------- boxes


def facing(box: Box, direction: str) -> tuple[float, float]:
    """How far a box lies towards a direction: its foremost edge and its centre, larger is farther."""
    index = DIRECTIONS.index(direction)
    axis, sign = (0, 2, 1, 3)[index], -1 if direction in ("left", "top") else 1
    return sign * box[axis], sign * (box[axis % 2] + box[axis % 2 + 2]) / 2


def is_beside(one: Box, other: Box, direction: str) -> bool:
    """Whether one box lies to the left (right, top, bottom) of another with a margin."""
    axis = 0 if direction in ("left", "right") else 1
    first, second = (one, other) if direction in ("left", "top") else (other, one)
    narrower = min(one[axis + 2] - one[axis], other[axis + 2] - other[axis])
    return (
        first[axis + 2] <= second[axis] + SIDE_OVERLAP * narrower
        and facing(one, direction)[1] >= facing(other, direction)[1] + SIDE_GAP
    )


# ---------------------------------------------------------------------- depths


def is_nearer(one: SceneObject, other: SceneObject, scene: ObjectScene) -> bool:
    """Whether one is clearly closer to the camera than another, and their boxes do not hide it."""
    if one.depth is None or other.depth is None or shared(one.bbox, other.bbox) > HIDDEN * min(area(one.bbox), area(other.bbox)):
        return False
    greatest = max(item.depth for item in scene.objects if item.depth is not None)
    return other.depth - one.depth >= depth_gap(other.depth, greatest)


def depth_gap(farther: float, greatest: float) -> float:
    """By how much another is at least nearer than one at a depth, to be clearly so; ``greatest`` is that of all depths."""
    return max(DEPTH_GAP * farther, DEPTH_GAP_OF_ALL * greatest, 1e-9)


def by_depth(mentioned: Sequence[Mention], scene: ObjectScene) -> list[Mention]:
    """From nearest to farthest; none where one's depth is not known or two are not clearly apart."""
    if any(mention.item.depth is None for mention in mentioned):
        return []
    ordered = sorted(mentioned, key=lambda mention: mention.item.depth or 0.0)
    return ordered if all(is_nearer(one.item, other.item, scene) for one, other in combinations(ordered, 2)) else []


# ---------------------------------------------------------------------- choices


def leading(mentioned: Sequence[Mention], ahead: Callable[[SceneObject, SceneObject], bool]) -> Mention | None:
    """The one that is ahead of every other, or None."""
    for mention in mentioned:
        if all(ahead(mention.item, other.item) for other in mentioned if other is not mention):
            return mention
    return None


def names_of(mentioned: Sequence[Mention]) -> tuple[str, ...]:
    """Their words."""
    return tuple(mention.words for mention in mentioned)
