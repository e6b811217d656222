"""Counting: objects of a name, with an attribute, on a side, nearer than another; most and fewest; how many more, how many kinds.

Run: `make_question(rng, "count_objects", TYPES["count_objects"], scene)`. Asked only of scenes that are exhaustive.
"""

import json
import random
from collections.abc import Callable
from functools import partial

from taco.data_gen.programs.object_facts import (
    DIRECTIONS,
    MIN_SIDE,
    MOST_LISTED,
    SIDE_GAP,
    absent_names,
    countable,
    facing,
    is_beside,
    is_nearer,
    mentions,
    traits_of,
    whole,
)
from taco.data_gen.programs.object_nouns import counted, joined, listed, plural, singular
from taco.data_gen.programs.object_phrasings import PHRASINGS
from taco.data_gen.programs.object_steps import (
    Found,
    Region,
    locate,
    look_for,
    name_objects,
    object_depth,
    region_depth,
    say,
    told_depths,
)
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Plan, Program, QuestionType, call, terminate
from taco.data_gen.scenes.scene import ObjectScene

NONE_THERE = 0.12
"""Share of "how many" that ask for what is not there, where that is known; """
HALVES = {"left": "left half", "right": "right half", "top": "upper half", "bottom": "lower half"}
MIDDLE = 0.5
KINDS = ("colour", "pattern", "material", "size")

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _count(rng: random.Random, scene: ObjectScene) -> Asked | None:
    groups = countable(scene)
    absent = absent_names(scene)
    if absent and rng.random() < NONE_THERE:
        return _counted(rng.choice(absent), 0)
    if not groups:
        return None
    name = rng.choice(sorted(groups))
    return _counted(name, len(groups[name]))


def _counted(name: str, number: int, **parameters: str) -> Asked:
    return Asked({"name": name, "items": plural(name), **parameters}, str(number))


def _count_with_attribute(rng: random.Random, scene: ObjectScene) -> Asked | None:
    choices = [
        (f"{value} {name}", values.count(value))
        for name, items in countable(scene).items()
        for kind in KINDS
        for values in [traits_of(items, kind)]
        for value in sorted(set(values))
    ]
    return _counted(*rng.choice(choices)) if choices else None


def _count_all_with_attribute(rng: random.Random, scene: ObjectScene) -> Asked | None:
    kind = rng.choice(KINDS[:2])
    values = (
        traits_of(scene.objects, kind) if whole(scene) and len(countable(scene)) == len({o.name for o in scene.objects}) else []
    )
    if not values:
        return None
    value = rng.choice(sorted(set(values)))
    return Asked({"attribute": value, "items": f"{value} {rng.choice(('objects', 'things'))}"}, str(values.count(value)))


def _most_or_fewest(rng: random.Random, scene: ObjectScene, *, sign: int) -> Asked | None:
    groups = countable(scene)
    if len(groups) < 2:
        return None
    everything = whole(scene) and len(groups) == len({item.name for item in scene.objects}) and rng.random() < 0.5
    names = list(groups) if everything else rng.sample(sorted(groups), rng.randint(2, min(MOST_LISTED, len(groups))))
    first, second, *_ = sorted(names, key=lambda name: -sign * len(groups[name]))
    if len(groups[first]) == len(groups[second]):
        return None
    shown = [plural(name) for name in names]
    lists = {"choice": f": {joined(shown, 'or')}", "among": f"among {joined(shown)}, "}
    parameters = {"names": None, "choice": "", "among": ""} if everything else {"names": tuple(names), **lists}
    return Asked(parameters, first, tuple(n for n in names if n != first))


def _two_counts(rng: random.Random, scene: ObjectScene, *, operator: str) -> Asked | None:
    groups = countable(scene)
    if len(groups) < 2:
        return None
    names = sorted(rng.sample(sorted(groups), 2), key=lambda name: -len(groups[name]))
    more, fewer = (len(groups[name]) for name in names)
    if operator == "-" and more == fewer:
        return None
    parameters = {"names": tuple(names), "items": plural(names[0]), "others": plural(names[1])}
    return Asked(parameters, str(more - fewer if operator == "-" else more + fewer))


def _count_in_half(rng: random.Random, scene: ObjectScene) -> Asked | None:
    name, direction = _some_name(rng, scene), rng.choice(DIRECTIONS)
    if name is None:
        return None
    items = countable(scene)[name]
    axis = 0 if direction in ("left", "right") else 1
    for item in items:  # across the middle it is a matter of taste
        low, high = item.bbox[axis], item.bbox[axis + 2]
        if min(high - MIDDLE, MIDDLE - low) > 0.15 * (high - low) or abs((low + high) / 2 - MIDDLE) < SIDE_GAP:
            return None
    edge = MIDDLE if direction in ("right", "bottom") else -MIDDLE
    number = sum(facing(item.bbox, direction)[1] > edge for item in items)
    return _counted(name, number, side=direction, half=HALVES[direction])


def _some_name(rng: random.Random, scene: ObjectScene, but: str = "") -> str | None:
    """One to be counted, rather one of which there are several."""
    groups = {name: items for name, items in countable(scene).items() if name != but}
    several = sorted(name for name, items in groups.items() if len(items) > 1)
    names = several if several and rng.random() < 0.8 else sorted(groups)
    return rng.choice(names) if names else None


def _count_beside(rng: random.Random, scene: ObjectScene) -> Asked | None:
    mentioned = mentions(scene)
    anchor = rng.choice(mentioned) if mentioned else None
    name, direction = _some_name(rng, scene, but=anchor.item.name if anchor else ""), rng.choice(DIRECTIONS[:2])
    if anchor is None or name is None:
        return None
    other = "right" if direction == "left" else "left"
    items = countable(scene)[name]
    there = [is_beside(item.bbox, anchor.item.bbox, direction) for item in items]
    if not all(side or is_beside(item.bbox, anchor.item.bbox, other) for side, item in zip(there, items, strict=True)):
        return None
    return _counted(name, sum(there), side=direction, anchor=anchor.words, other=singular(anchor.words))


def _count_nearer(rng: random.Random, scene: ObjectScene) -> Asked | None:
    mentioned = mentions(scene)
    anchor = rng.choice(mentioned) if mentioned else None
    name = _some_name(rng, scene, but=anchor.item.name if anchor else "")
    if anchor is None or name is None:
        return None
    items = countable(scene)[name]
    nearer = [is_nearer(item, anchor.item, scene) for item in items]
    if not all(near or is_nearer(anchor.item, item, scene) for near, item in zip(nearer, items, strict=True)):
        return None
    return _counted(name, sum(nearer), anchor=anchor.words, other=singular(anchor.words))


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)

_COUNTED = (
    "{note}The detector found {what}.",
    "{note}I count {what}.",
    "{note}That makes {what}.",
)


def _result(rng: random.Random, note: str, number: int, name: str) -> Program:
    return terminate(say(rng, _COUNTED, note=note, what=counted(number, name)), str(number))


def _count_boxes(asked: Parameters, rng: random.Random) -> Program:
    name = asked["name"]
    found = yield from locate(rng, [name], say(rng, _TO_COUNT, items=plural(name)))
    yield from _result(rng, found.note, found.count(name), name)


_TO_COUNT = (
    "To count the {items} I locate them.",
    "I let the detector find all {items}.",
    "Each of the {items} gets a box, then I can count them.",
    "I need the boxes of all {items}.",
    "Counting by eye is unsure, so I locate the {items}.",
)


def _count_if_named(asked: Parameters, rng: random.Random) -> Program:
    """Asks for the names first: what is not there need not be located."""
    name = asked["name"]
    named = yield from name_objects(rng, say(rng, ("First I check which objects there are.", "What is in the image at all?")))
    if name not in named:
        yield from terminate(f"The image has {joined(named)}, but no {singular(name)}.", "0")
        return
    found = yield from locate(
        rng,
        [name],
        say(rng, ("{name} is among them. ", "The list has {name}. "), name=name) + say(rng, _TO_COUNT, items=plural(name)),
    )
    yield from _result(rng, found.note, found.count(name), name)


def _count_described(asked: Parameters, rng: random.Random) -> Program:
    found = yield from look_for(rng, None, asked["attribute"])
    labels = [region.label for region in found.regions]
    seen = f"{found.note}Found: {joined(labels)}. " if labels else ""
    yield from terminate(f"{seen}That makes {len(labels)}.", str(len(labels)))


def _rank(asked: Parameters, rng: random.Random, *, sign: int) -> Program:
    found = yield from look_for(rng, asked["names"])
    names = list(dict.fromkeys(region.name for region in found.regions)) if asked["names"] is None else list(asked["names"])
    counts = {name: found.count(name) for name in names}
    ordered = sorted(counts, key=lambda name: -sign * counts[name])
    if len(ordered) < 2 or counts[ordered[0]] == counts[ordered[1]]:
        raise GaveUp("the counts are equal")
    told = joined([counted(counts[name], name) for name in names])
    end = say(
        rng,
        ("The {name} comes {most} often.", "So the {name} is the {most} frequent."),
        name=ordered[0],
        most="most" if sign > 0 else "least",
    )
    yield from terminate(f"{found.note}I count {told}. {end}", ordered[0])


def _calculate(asked: Parameters, rng: random.Random, *, operator: str, at_once: bool) -> Program:
    first, second = asked["names"]
    if at_once:
        found = yield from locate(
            rng, [first, second], f"To count them I locate {listed([plural(first), plural(second)], article='the ')}."
        )
        counts, note = [found.count(first), found.count(second)], found.note
    else:
        one = yield from locate(rng, [first], say(rng, _TO_COUNT, items=plural(first)))
        so_far = f"{one.note}I count {counted(one.count(first), first)}. "
        other = yield from locate(rng, [second], so_far + say(rng, _TO_COUNT, items=plural(second)))
        counts, note = [one.count(first), other.count(second)], other.note
    told = f"{note}There are {counted(counts[0], first)} and {counted(counts[1], second)}."
    end = say(
        rng,
        (" I calculate the {what}.", " Now the {what}.", " What is the {what}?"),
        what="sum" if operator == "+" else "difference",
    )
    result = yield from call(told + end, "Calculate", expression=f"{counts[0]} {operator} {counts[1]}")
    answer = json.dumps(result["result"])
    yield from terminate(say(rng, ("The result is {}.", "It is {}.", "That gives {}."), answer), answer)


def _count_on_side(asked: Parameters, rng: random.Random) -> Program:
    name, side = asked["name"], asked["side"]
    found = yield from locate(rng, [name], say(rng, _TO_COUNT, items=plural(name)))
    middle = MIDDLE if side in ("right", "bottom") else -MIDDLE
    told, number = _sorted_out(found.all(name), side, middle)
    yield from terminate(f"{found.note}{told} So {number} in the {HALVES[side]}.", str(number))


def _count_beside_anchor(asked: Parameters, rng: random.Random) -> Program:
    name, side, anchor = asked["name"], asked["side"], asked["anchor"]
    found = yield from locate(rng, [name, anchor])
    edge = facing(found.one(anchor).box, side)[1]
    told, number = _sorted_out(found.all(name), side, edge)
    where = f"The centre of the {anchor} is at x = {abs(edge):.2f}."
    yield from terminate(f"{found.note}{where} {told} So {number} to the {side} of it.", str(number))


def _sorted_out(regions: list[Region], side: str, edge: float) -> tuple[str, int]:
    """A sentence with the centres of boxes, and how many lie beyond an edge towards a side."""
    centres = {region.label: facing(region.box, side)[1] for region in regions}
    if any(abs(centre - edge) < MIN_SIDE / 2 for centre in centres.values()):
        raise GaveUp("one lies on the edge")
    axis = "x" if side in ("left", "right") else "y"
    told = joined([f"{label} {axis} = {abs(centre):.2f}" for label, centre in centres.items()]) if centres else ""
    return told and f"Centres: {told}.", sum(centre > edge for centre in centres.values())


def _count_nearer_by_box(asked: Parameters, rng: random.Random) -> Program:
    name, anchor = asked["name"], asked["anchor"]
    found: Found = yield from locate(rng, [name, anchor])
    limit = yield from region_depth(
        rng, found.one(anchor), f"{found.note}I see {joined([str(region) for region in found.regions])}."
    )
    yield from _compare_to_anchor(asked, rng, found, limit)


def _count_nearer_by_name(asked: Parameters, rng: random.Random) -> Program:
    limit = yield from object_depth(rng, asked["anchor"])
    found = yield from locate(
        rng,
        [asked["name"]],
        f"The depth of the {asked['anchor']} is {limit}. " + say(rng, _TO_COUNT, items=plural(asked["name"])),
    )
    yield from _compare_to_anchor(asked, rng, found, limit, found.note)


def _compare_to_anchor(asked: Parameters, rng: random.Random, found: Found, limit: float, note: str = "") -> Program:
    seen, depths = f"{note}The {asked['anchor']} has depth {limit}.", dict[str, float]()
    for region in found.all(asked["name"]):
        depths[region.label] = yield from region_depth(rng, region, seen)
        seen = f"The depth of the {region.label} is {depths[region.label]}."
    if limit in depths.values():
        raise GaveUp("two depths are equal")
    number = sum(depth < limit for depth in depths.values())
    told = f"Against {limit} of the {asked['anchor']}: {told_depths(depths)}. " if depths else ""
    yield from terminate(f"{told}Smaller is closer, so {number} of them {'is' if number == 1 else 'are'} closer.", str(number))


def _count_type(weight: float, name: str, choose: Callable[..., Asked | None], *plans: Plan) -> dict[str, QuestionType]:
    return {name: QuestionType(weight, choose, plans, PHRASINGS[name])}


def _sums(operator: str) -> tuple[Plan, ...]:
    return tuple(partial(_calculate, operator=operator, at_once=at_once) for at_once in (True, False))


TYPES: dict[str, QuestionType] = {
    **_count_type(1.5, "count_objects", _count, _count_boxes, _count_if_named),
    **_count_type(1.2, "count_with_attribute", _count_with_attribute, _count_boxes),
    **_count_type(0.7, "count_all_with_attribute", _count_all_with_attribute, _count_described),
    **_count_type(0.8, "most_frequent_object", partial(_most_or_fewest, sign=1), partial(_rank, sign=1)),
    **_count_type(0.8, "least_frequent_object", partial(_most_or_fewest, sign=-1), partial(_rank, sign=-1)),
    **_count_type(0.8, "how_many_more", partial(_two_counts, operator="-"), *_sums("-")),
    **_count_type(0.6, "how_many_together", partial(_two_counts, operator="+"), *_sums("+")),
    **_count_type(0.7, "count_in_half", _count_in_half, _count_on_side),
    **_count_type(0.7, "count_beside", _count_beside, _count_beside_anchor),
    **_count_type(0.7, "count_closer_than", _count_nearer, _count_nearer_by_box, _count_nearer_by_name),
}
"""Every type; with `object_phrasings` and `objects` all there is to one."""
