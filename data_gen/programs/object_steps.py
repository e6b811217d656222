"""Steps that the programs about objects share: find objects, estimate their depths, look at them.

>>> found = yield from look_for(rng, ["mug", "box"])                # in a program: calls LocalizeObjects
>>> found.one("mug").box, found.count("box")
([0.12, 0.3, 0.31, 0.52], 2)

What a thought quotes stands in an observation; where an observation lacks it, GaveUp ends the program.
"""

import itertools
import random
import re
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from taco.data_gen.programs.object_facts import (
    SAME_BOX,
    depth_gap,
    trait,
)
from taco.data_gen.programs.object_nouns import joined, listed
from taco.data_gen.programs.question import GaveUp, Parameters, Plan, Program, behind, call
from taco.data_gen.scenes.scene import Box, ObjectScene, SceneObject, overlap
from taco.tools.action import Action, Observation

_T = TypeVar("_T")
Steps = Generator[tuple[str, list[Action]], list[Observation], _T]
"""Part of a program, and what it found out."""

IMAGE = "image-0"
SMALL = 0.02
"""Share of the image of a box that is zoomed into."""
UNCLEAR = 0.25
"""Share of the gap of annotated depths (`depth_gap`) that observed ones have to keep: 3 % of the larger."""
SEEN_AS = 0.5
"""Intersection over union of the box that is looked at with that of the object seen there, at least."""


@dataclass(frozen=True)
class Region:
    """One found object: the description that it was asked by, its label (``mug-2``) and box [left, top, right, bottom]."""

    name: str
    label: str
    box: Box

    def __str__(self) -> str:
        return f"{self.label} {list(self.box)}"


@dataclass(frozen=True)
class Found:
    """What LocalizeObjects gave, objects that were found twice taken for one; `note` says which, and is empty or a sentence."""

    regions: tuple[Region, ...]
    note: str = ""

    def all(self, name: str) -> list[Region]:
        return [region for region in self.regions if region.name == name]

    def count(self, name: str) -> int:
        return len(self.all(name))

    def one(self, name: str) -> Region:
        """The only one of a description. Raises GaveUp where there is none or several."""
        found = self.all(name)
        if len(found) != 1:
            raise GaveUp("the object was not found" if not found else "the object was found several times")
        return found[0]


class Eyes:
    """What the model sees for itself where it looks closely, by the annotation: whatever is there, asked for or not."""

    def __init__(self, scene: ObjectScene) -> None:
        self._scene = scene

    def trait(self, region: Region, kind: str) -> str:
        """The attribute of a kind that the object in a box has. Raises GaveUp where that cannot be told."""
        value = trait(self._object(region), kind)
        if value is None:
            raise GaveUp(f"the {kind} cannot be told")
        return value

    def related(self, region: Region, predicate: str, *, as_subject: bool) -> str:
        """The name of what the object in a box is related to, as subject or object. Raises GaveUp if that is not one."""
        seen, objects = self._object(region), self._scene.objects
        relations = [relation for relation in self._scene.relations if relation.predicate == predicate]
        if as_subject:
            names = {objects[relation.object].name for relation in relations if objects[relation.subject] is seen}
        else:
            names = {objects[relation.subject].name for relation in relations if objects[relation.object] is seen}
        if len(names) != 1:
            raise GaveUp("the relation cannot be told")
        return names.pop()

    def _object(self, region: Region) -> SceneObject:
        seen = max(self._scene.objects, key=lambda item: overlap(item.bbox, region.box))
        if overlap(seen.bbox, region.box) < SEEN_AS:
            raise GaveUp("no object is in the box")
        return seen


def _box(sides: Sequence[float]) -> Box:
    left, top, right, bottom = sides
    return left, top, right, bottom


def say(rng: random.Random, templates: Sequence[str], *quoted: object, **values: object) -> str:
    """One of several sentences, with what it quotes put in."""
    return rng.choice(templates).format(*quoted, **values)


# ---------------------------------------------------------------------- finding

_LOCATE = (
    "I need to know where {the} {is_are}.",
    "First I locate {the}.",
    "To answer this I have to find {the} in the image.",
    "I start by finding {the}.",
    "Let me find {the} with the detector.",
)
_NAME = (
    "I need to know which objects there are.",
    "First I find out what is in the image.",
    "I have to know all objects, so I ask for their names.",
    "Let me list the objects in the image first.",
)
_LOCATE_NAMED = (
    "The image has {names}. I need to know where each of them is.",
    "The objects are {names}. Next I locate all of them.",
    "These were found: {names}. Now I need their boxes.",
)


def locate(rng: random.Random, names: Sequence[str], thought: str = "", seen: str = "") -> Steps[Found]:
    """Where objects are; a call of LocalizeObjects. `seen` opens the thought."""
    thought = thought or say(rng, _LOCATE, the=listed(names), is_are="is" if len(names) == 1 else "are")
    thought = f"{seen} {thought}".strip()
    result = yield from call(thought, "LocalizeObjects", image=IMAGE, objects=list(names))
    return read_regions(result["regions"], names)


def name_objects(rng: random.Random, thought: str = "") -> Steps[list[str]]:
    """The names of all objects; a call of GetObjects. Raises GaveUp where there are none."""
    names = (yield from call(thought or say(rng, _NAME), "GetObjects", image=IMAGE))["objects"]
    if not names:
        raise GaveUp("no object was named")
    return list(names)


def after_a_list(asked: Parameters, rng: random.Random, *, plan: Plan) -> Program:
    """The same plan behind a call of GetObjects: what there is at all is known before it is looked for."""
    named = yield from name_objects(rng)
    seen = say(rng, ("The image has {names}.", "The list has {names}."), names=joined(named))
    yield from behind(seen, plan(asked, rng))


def with_a_list(*plans: Plan) -> tuple[Plan, ...]:
    """These plans, and each `after_a_list`."""
    return (*plans, *(partial(after_a_list, plan=plan) for plan in plans))


def look_for(rng: random.Random, names: Sequence[str] | None, attribute: str = "") -> Steps[Found]:
    """Where some objects are; without names all that there are. An attribute is put before each name."""
    if names is not None:
        return (yield from locate(rng, names))
    named = yield from name_objects(rng)
    thought = say(rng, _LOCATE_NAMED, names=joined(named))
    return (yield from locate(rng, [f"{attribute} {name}".strip() for name in named], thought))


def read_regions(regions: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Found:
    """Regions as LocalizeObjects gives them, surest first; of two of a name in one place the second is left out."""
    kept: list[Region] = []
    notes = []
    for found in regions:
        region = Region(_asked_by(found["label"], names), found["label"], _box(found["bbox"]))
        twin = next((one for one in kept if one.name == region.name and overlap(one.box, region.box) >= SAME_BOX), None)
        if twin is None:
            kept.append(region)
        else:
            notes.append(f"The box of {region.label} is nearly that of {twin.label}, so they are one object. ")
    return Found(tuple(kept), "".join(notes))


def _asked_by(label: str, names: Sequence[str]) -> str:
    return label if label in names else re.sub(r"-\d+$", "", label)


# ---------------------------------------------------------------------- comparing

_WHICH = ("{told} Which is the {size}?", "{told} I let the calculator find the {size}.", "{told} I need the {size} of these.")


def so_far(values: Mapping[str, float]) -> str:
    """``So far: 2.31 mug, 4.02 box.``

    To copy is to find what stands behind something, and a small model looks few tokens back: so the number stands first, and
    nothing but a space between the two (`docs/nano.md`).
    """
    return f"So far: {', '.join(f'{value} {label}' for label, value in values.items())}." if values else ""


def pick(rng: random.Random, values: Mapping[str, float], told: str, *, largest: bool) -> Steps[tuple[str, str]]:
    """The label of the largest value, or the smallest, and a sentence that says so; a call of Calculate.

    Args:
        rng: The chance for the words.
        values: By label; of equal ones the first is taken.
        told: What is known of them, see `so_far`.
        largest: Else the smallest.
    """
    function, size = ("max", "largest") if largest else ("min", "smallest")
    expression = f"{function}({', '.join(map(str, values.values()))})"
    result = (yield from call(say(rng, _WHICH, told=told, size=size), "Calculate", expression=expression))["result"]
    found = next((label for label, value in values.items() if value == result), None)
    if found is None:
        raise GaveUp("the calculator gave none of them")
    ways = ("The {size}: {value} {label}.", "The {size} of these: {value} {label}.", "It is this one: {value} {label}.")
    return found, say(rng, ways, value=values[found], label=found, size=size)


# ---------------------------------------------------------------------- depth

_DEPTH = (
    "{seen}Now I need the depth of the {label}.",
    "{seen}I estimate how far away the {label} is.",
    "{seen}I ask for the depth in the box of the {label}.",
)
_DEPTH_OF = (
    "{seen}I need the depth of the {name}.",
    "{seen}I estimate the depth of the {name}.",
    "{seen}I have to know how far away the {name} is.",
)


def region_depth(rng: random.Random, region: Region, seen: str = "") -> Steps[float]:
    """The depth in a box, smaller is closer; a call of EstimateRegionDepth. `seen` opens the thought."""
    thought = say(rng, _DEPTH, seen=seen and f"{seen} ", label=region.label)
    result = yield from call(thought, "EstimateRegionDepth", image=IMAGE, bbox=list(region.box))
    return float(result["depth"])


def object_depth(rng: random.Random, name: str, seen: str = "") -> Steps[float]:
    """The same of an object by its name; a call of EstimateObjectDepth."""
    result = yield from call(
        say(rng, _DEPTH_OF, seen=seen and f"{seen} ", name=name), "EstimateObjectDepth", image=IMAGE, object=name
    )
    return float(result["depth"])


def depths_by_box(rng: random.Random, names: Sequence[str] | None) -> Steps[dict[str, float]]:
    """Depth of each object (without names: of all there are), by its box. Raises GaveUp where one is not found just once."""
    found = yield from look_for(rng, names)
    regions = [found.one(name) for name in names] if names is not None else list(found.regions)
    seen = f"{found.note}I see {joined([str(region) for region in regions])}."
    depths: dict[str, float] = {}
    for region in regions:
        depths[region.label] = yield from region_depth(rng, region, seen)
        seen = f"The depth of the {region.label} is {depths[region.label]}."
    return depths


def depths_by_name(rng: random.Random, names: Sequence[str] | None, *, tally: bool = False) -> Steps[dict[str, float]]:
    """The same by the object's names, without looking for boxes; with a tally every thought repeats the depths so far."""
    depths: dict[str, float] = {}
    seen = ""
    for name in names if names is not None else (yield from name_objects(rng)):
        depths[name] = yield from object_depth(rng, name, seen)
        seen = so_far(depths) if tally else f"The depth of the {name} is {depths[name]}."
    return depths


def require_apart(depths: Collection[float], greatest: float = 0.0) -> None:
    """Raises GaveUp where two depths, or differences of depths up to a greatest one, are too near each other to be compared."""
    greatest = max([greatest, *depths])
    for one, other in itertools.combinations(depths, 2):
        if abs(one - other) < UNCLEAR * depth_gap(max(one, other), greatest):
            raise GaveUp("two depths are too near each other")


def told_depths(depths: Mapping[str, float]) -> str:
    """``mug 2.31 and box 4.02``: as it stands in a thought."""
    return joined([f"{label} {depth}" for label, depth in depths.items()])


# ---------------------------------------------------------------------- looking

_CROP = (
    "{seen} I cut it out to look at it.",
    "{seen} Let me look at that part of the image.",
    "{seen} I crop it to see it well.",
)
_ZOOM = (
    "{seen} That is small, so I zoom in.",
    "{seen} The box is small; I enlarge it.",
    "{seen} To see such a small thing I zoom in.",
)


def look_at(rng: random.Random, region: Region, seen: str = "") -> Steps[None]:
    """Cut out a box; a small one is enlarged: a call of Crop or ZoomIn."""
    seen = seen or f"It is at {list(region.box)}."
    left, top, right, bottom = region.box
    if (right - left) * (bottom - top) < SMALL:
        factor = rng.choice((2, 3, 4))
        yield from call(say(rng, _ZOOM, seen=seen), "ZoomIn", image=IMAGE, bbox=list(region.box), zoom_factor=factor)
    else:
        yield from call(say(rng, _CROP, seen=seen), "Crop", image=IMAGE, bbox=list(region.box))
