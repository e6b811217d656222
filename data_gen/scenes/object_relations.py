"""How objects stand to each other, where both the world and the image say so with a margin.

Run: `relations([Extent(...), Extent(...)])`. That a relation is missing says nothing: it may be a matter of taste.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from taco.data_gen.scenes.scene import Box, Relation

SIDE_OVERLAP = 0.1
"""Beside each other: boxes overlap across by at most this share of the narrower."""
FRONT_OVERLAP = 0.4
"""In front of each other: boxes overlap across by at least this share of the narrower."""
DEPTH_GAP = 0.02
"""In front: the nearer one ends this share of its distance before the farther begins."""
LOWER = 0.01
"""In front: the nearer one's box ends this share of the image lower."""
NEAR = 0.5
"""Next to: the gap between their feet is at most this share of their radii together."""

OPPOSITES = {"left of": "right of", "right of": "left of", "in front of": "behind", "behind": "in front of", "next to": "next to"}


class Extent(NamedTuple):
    """Where an object is.

    Attributes:
        box: Of what is seen of it.
        middle: x and y of its foot, metres.
        foot: Height of what it stands on, metres.
        radius: Metres.
        across: Least and greatest x, metres.
        depth: Nearest and farthest, metres along the camera's axis.
        on: Index of the object that it stands on.
    """

    box: Box
    middle: tuple[float, float]
    foot: float
    radius: float
    across: tuple[float, float]
    depth: tuple[float, float]
    on: int | None


def relations(extents: Sequence[Extent]) -> tuple[Relation, ...]:
    """All that hold, each with its opposite; of an object on another only "on" is said of the two."""
    found = []
    for first, second in combinations(range(len(extents)), 2):
        one, other = extents[first], extents[second]
        if one.on == second or other.on == first:
            upper, lower = (first, second) if one.on == second else (second, first)
            found.append(Relation(subject=upper, predicate="on", object=lower))
            continue
        for predicate, test in (("left of", _left), ("in front of", _in_front), ("next to", _next_to)):
            for subject, object_ in ((first, second), (second, first)):
                if test(extents[subject], extents[object_]):
                    found.append(Relation(subject=subject, predicate=predicate, object=object_))
                    found.append(Relation(subject=object_, predicate=OPPOSITES[predicate], object=subject))
                    break
    return tuple(found)


def _left(one: Extent, other: Extent) -> bool:
    return one.across[1] < other.across[0] and one.box[2] <= other.box[0] + SIDE_OVERLAP * _narrower(one, other)


def _in_front(one: Extent, other: Extent) -> bool:
    shared = min(one.box[2], other.box[2]) - max(one.box[0], other.box[0])
    return (
        one.depth[1] * (1 + DEPTH_GAP) < other.depth[0]
        and one.box[3] > other.box[3] + LOWER
        and shared >= FRONT_OVERLAP * _narrower(one, other)
    )


def _next_to(one: Extent, other: Extent) -> bool:
    radii = one.radius + other.radius
    gap = max(one.box[0], other.box[0]) - min(one.box[2], other.box[2])
    return (
        one.foot == other.foot
        and math.dist(one.middle, other.middle) <= (1 + NEAR) * radii
        and max(one.depth[0], other.depth[0]) < min(one.depth[1], other.depth[1])
        and -SIDE_OVERLAP * _narrower(one, other) <= gap <= _narrower(one, other)
    )


def _narrower(one: Extent, other: Extent) -> float:
    return min(one.box[2] - one.box[0], other.box[2] - other.box[0])
