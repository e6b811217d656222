"""Counting: objects of a name, with an attribute, on a side, nearer than another; most and fewest; how many more, how many kinds.

Run: `make_question(rng, "count_objects", TYPES["count_objects"], scene)`. Asked only of scenes that are exhaustive.
"""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import itemgetter

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
    trait,
    traits_of,
    whole,
)
from taco.data_gen.programs.object_nouns import counted, joined, listed, plural, singular
from taco.data_gen.programs.object_phrasings import PHRASINGS
from taco.data_gen.programs.object_steps import (
    Eyes,
    Found,
    locate,
    look_for,
    name_objects,
    object_depth,
    region_depth,
    require_apart,
    say,
    told_depths,
    with_a_list,
)
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Plan, Program, QuestionType, call, evenly, terminate
from taco.data_gen.scenes.object_names import OBJECT_COLOURS
from taco.data_gen.scenes.scene import ObjectScene

NONE_THERE = 0.12
"""Share of "how many" that ask for what is not there, where that is known; """
ONE_LEFT_OUT = 0.4
"""Share of "how many more" with the answer 1 that are not asked: in most scenes there is no other."""
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
    """None of a name has an attribute that other objects have: with that a detector can be tempted."""
    choices = [
        (values.count(value), value, name, kind)
        for name, items in countable(scene).items()
        for kind in KINDS
        for values in [traits_of(items, kind)]
        if values
        for value in _there(scene, kind)
    ]
    if not choices:
        return None
    number, value, name, kind = evenly(rng, choices, itemgetter(0))
    asked = _counted(f"{value} {name}", number)
    return replace(asked, parameters={**asked.parameters, "base": name, "value": value, "kind": kind, "eyes": Eyes(scene)})


def _there(scene: ObjectScene, kind: str) -> list[str]:
    """The attributes of a kind that objects have."""
    return sorted({value for item in scene.objects if (value := trait(item, kind))})


def _count_all_with_attribute(rng: random.Random, scene: ObjectScene) -> Asked | None:
    if not whole(scene) or len(countable(scene)) != len({item.name for item in scene.objects}):
        return None
    choices = [
        (value, values.count(value))
        for kind in KINDS[:3]
        for values in [traits_of(scene.objects, kind)]
        if values
        for value in ([*OBJECT_COLOURS] if kind == "colour" else _there(scene, kind))
    ]
    value, number = evenly(rng, choices, itemgetter(1))
    return Asked({"attribute": value, "items": f"{value} {rng.choice(('objects', 'things'))}"}, str(number))


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
    sign = 1 if operator == "+" else -1
    pairs = [
        ((one, other), len(items) + sign * len(groups[other]))
        for one, items in groups.items()
        for other in groups
        if one != other and (len(items) > len(groups[other]) or operator == "+")
    ]
    if not pairs:
        return None
    names, number = evenly(rng, pairs, itemgetter(1))
    if operator == "-" and number == 1 and rng.random() < ONE_LEFT_OUT:
        return None
    return Asked({"names": names, "items": plural(names[0]), "others": plural(names[1])}, str(number))


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
    found = []
    for anchor in mentions(scene):
        for name, items in countable(scene).items():
            nearer = [is_nearer(item, anchor.item, scene) for item in items]
            clear = all(near or is_nearer(anchor.item, item, scene) for near, item in zip(nearer, items, strict=True))
            if clear and name != anchor.item.name:
                found.append((sum(nearer), name, anchor.words))
    if not found:
        return None
    number, name, words = evenly(rng, found, itemgetter(0))
    return _counted(name, number, anchor=words, other=singular(words))


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


def _count_seen(asked: Parameters, rng: random.Random) -> Program:
    """Finds all of the name, and sees which have the attribute."""
    base, value = asked["base"], asked["value"]
    found = yield from locate(rng, [base], f"{say(rng, _TO_COUNT, items=plural(base))} Then I see which are {value}.")
    looks = {region.label: asked["eyes"].trait(region, asked["kind"]) for region in found.all(base)}
    if not looks:
        yield from terminate(f"No {singular(base)} was found.", "0")
        return
    number = sum(look == value for look in looks.values())
    told = joined([f"{label} is {look}" for label, look in looks.items()])
    yield from terminate(f"{found.note}In the boxes I see: {told}. That makes {counted(number, asked['name'])}.", str(number))


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
    told = f"{note}I count {counted(counts[0], first)} and {counted(counts[1], second)}."
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
    told, number = _sorted_out(found, name, side, middle)
    yield from terminate(f"{found.note}{told} So {number} in the {HALVES[side]}.", str(number))


def _count_beside_anchor(asked: Parameters, rng: random.Random) -> Program:
    name, side, anchor = asked["name"], asked["side"], asked["anchor"]
    found = yield from locate(rng, [name, anchor])
    edge = facing(found.one(anchor).box, side)[1]
    told, number = _sorted_out(found, name, side, edge)
    where = f"The centre of the {anchor} is at x = {abs(edge):.2f}."
    yield from terminate(f"{found.note}{where} {told} So {number} to the {side} of it.", str(number))


def _sorted_out(found: Found, name: str, side: str, edge: float) -> tuple[str, int]:
    """A sentence with the centres of the boxes of a name, and how many lie beyond an edge towards a side."""
    centres = {region.label: facing(region.box, side)[1] for region in found.all(name)}
    if not centres:
        return f"No {singular(name)} was found.", 0
    if any(abs(centre - edge) < MIN_SIDE / 2 for centre in centres.values()):
        raise GaveUp("one lies on the edge")
    axis = "x" if side in ("left", "right") else "y"
    told = joined([f"{label} {axis} = {abs(centre):.2f}" for label, centre in centres.items()])
    return f"Centres: {told}.", sum(centre > edge for centre in centres.values())


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
    for depth in depths.values():
        require_apart([depth, limit])
    number = sum(depth < limit for depth in depths.values())
    told = f"Against {limit} of the {asked['anchor']}: {told_depths(depths)}. Smaller is closer, so {number} of them "
    told += "is closer." if number == 1 else "are closer."
    yield from terminate(told if depths else f"{note}No {singular(asked['name'])} was found, so 0 are closer.", str(number))


def _count_type(weight: float, name: str, choose: Callable[..., Asked | None], *plans: Plan) -> dict[str, QuestionType]:
    return {name: QuestionType(weight, choose, plans, PHRASINGS[name])}


def _sums(operator: str) -> tuple[Plan, ...]:
    return tuple(partial(_calculate, operator=operator, at_once=at_once) for at_once in (False, True))


TYPES: dict[str, QuestionType] = {
    **_count_type(1.5, "count_objects", _count, _count_boxes, _count_if_named),
    **_count_type(1.2, "count_with_attribute", _count_with_attribute, _count_boxes, _count_seen),
    **_count_type(0.7, "count_all_with_attribute", _count_all_with_attribute, _count_described),
    **_count_type(0.8, "most_frequent_object", partial(_most_or_fewest, sign=1), partial(_rank, sign=1)),
    **_count_type(0.8, "least_frequent_object", partial(_most_or_fewest, sign=-1), partial(_rank, sign=-1)),
    **_count_type(0.8, "how_many_more", partial(_two_counts, operator="-"), *_sums("-")),
    **_count_type(0.6, "how_many_together", partial(_two_counts, operator="+"), *_sums("+")),
    **_count_type(0.7, "count_in_half", _count_in_half, *with_a_list(_count_on_side)),
    **_count_type(0.7, "count_beside", _count_beside, *with_a_list(_count_beside_anchor)),
    **_count_type(0.7, "count_closer_than", _count_nearer, _count_nearer_by_box, _count_nearer_by_name),
}
"""Every type; with `object_phrasings` and `objects` all there is to one."""
