"""Where objects are in the image, and how large: farthest left (right, up, down), beside each other, larger boxes, shares.

Run: `make_question(rng, "leftmost_object", TYPES["leftmost_object"], scene)`.
"""

import json
import random
from collections.abc import Collection
from functools import partial
from operator import itemgetter

from taco.data_gen.programs.object_facts import (
    AREA_RATIO,
    DIRECTIONS,
    SIDE_GAP,
    TRIES,
    Mention,
    facing,
    is_beside,
    leading,
    mentions,
    names_of,
    sample,
    whole,
)
from taco.data_gen.programs.object_nouns import joined, listed, singular
from taco.data_gen.programs.object_phrasings import PHRASINGS
from taco.data_gen.programs.object_steps import Region, Steps, locate, look_for, name_objects, pick, say, so_far, with_a_list
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Program, QuestionType, call, evenly, terminate
from taco.data_gen.scenes.scene import ObjectScene, SceneObject, area

SHARE_STEP = 5
"""Per cent to which the share of a box is asked."""
SHARE_MARGIN = 1.2
"""Per cent by which the true share keeps away from where the rounding turns."""
SHARES = (4.0, 70.0)
SMALL_LEFT_OUT = 0.7
"""Share of questions with the least answer that are not asked."""
TWO = {"er": "er", "more": "more", "less": "less"}
"""How two objects are compared in the grammar; `MANY`, how more than two are."""
MANY = {"er": "est", "more": "most", "less": "least"}

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def compared(rng: random.Random, chosen: list[Mention], first: Mention, **parameters: object) -> Asked:
    """Which of the listed objects is first: parameters for the grammar and the program."""
    names = names_of(chosen)
    ending = TWO if len(names) == 2 else MANY
    lists = {"choice": f": {listed(names, 'or')}", "among": f"{rng.choice(('of', 'among'))} {listed(names)}, "}
    wrong = tuple(name for name in names if name != first.words)
    return Asked({"names": names, **lists, **ending, **parameters}, first.words, wrong)


def _farther(one: SceneObject, other: SceneObject, direction: str) -> bool:
    pairs = zip(facing(one.bbox, direction), facing(other.bbox, direction), strict=True)
    return all(ahead - behind >= SIDE_GAP for ahead, behind in pairs)


def _extreme(rng: random.Random, scene: ObjectScene, *, direction: str) -> Asked | None:
    if whole(scene) and rng.random() < 0.5:
        return _extreme_of_all(scene, direction)
    mentioned = mentions(scene)
    for _ in range(TRIES):
        chosen = sample(rng, mentioned)
        first = leading(chosen, partial(_farther, direction=direction))
        if first is not None:
            return compared(rng, chosen, first)
    return None


def _extreme_of_all(scene: ObjectScene, direction: str) -> Asked | None:
    """The name of the extreme one among all objects: others of its name may be as far."""
    names = {item.name for item in scene.objects}
    for name in sorted(names):
        own = [item for item in scene.objects if item.name == name]
        others = [item for item in scene.objects if item.name != name]
        if others and any(all(_farther(item, other, direction) for other in others) for item in own):
            wrong = tuple(sorted(names - {name}))
            return Asked({"names": None, "choice": "", "among": "", **MANY}, name, wrong)
    return None


def _beside(rng: random.Random, scene: ObjectScene) -> Asked | None:
    mentioned = mentions(scene)
    for _ in range(TRIES):
        pair, direction = sample(rng, mentioned, most=2), rng.choice(DIRECTIONS)
        opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[direction]
        if not pair:
            return None
        one, other = pair
        yes = is_beside(one.item.bbox, other.item.bbox, direction)
        if yes or is_beside(one.item.bbox, other.item.bbox, opposite):
            words = {"item": singular(one.words), "other": singular(other.words), "where": rng.choice(_WHERE[direction])}
            parameters = {"names": names_of(pair), "side": direction, **words}
            return Asked(parameters, "yes" if yes else "no", ("yes", "no"))
    return None


_WHERE = {
    "left": ("to the left of", "left of", "on the left side of", "further left than", "more to the left than"),
    "right": ("to the right of", "right of", "on the right side of", "further right than", "more to the right than"),
    "top": ("higher up than", "higher in the image than", "nearer to the top of the image than"),
    "bottom": ("lower down than", "lower in the image than", "nearer to the bottom of the image than"),
}


def _larger(one: SceneObject, other: SceneObject) -> bool:
    return area(one.bbox) >= AREA_RATIO * area(other.bbox)


def _largest(rng: random.Random, scene: ObjectScene, *, smallest: bool) -> Asked | None:
    mentioned = mentions(scene)
    for _ in range(TRIES):
        chosen = sample(rng, mentioned, most=3)
        first = leading(chosen, (lambda one, other: _larger(other, one)) if smallest else _larger)
        if first is not None:
            return compared(rng, chosen, first)
    return None


def _share(rng: random.Random, scene: ObjectScene) -> Asked | None:
    large = (mention for mention in mentions(scene) if SHARES[0] <= 100 * area(mention.item.bbox) <= SHARES[1])
    found = []
    for mention in large:
        share = 100 * area(mention.item.bbox)
        rounded = round(share / SHARE_STEP) * SHARE_STEP
        if abs(share - rounded) <= SHARE_STEP / 2 - SHARE_MARGIN and rounded:
            found.append((rounded, mention.words))
    if not found:
        return None
    rounded, words = evenly(rng, found, itemgetter(0))
    if rounded == SHARE_STEP and rng.random() < SMALL_LEFT_OUT:  # most objects are as small
        return None
    wrong = tuple(str(rounded + step) for step in (-10, -5, 5, 10, 15) if rounded + step > 0)
    return Asked({"name": words, "item": singular(words)}, str(rounded), wrong)


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)

_EDGES = {"left": ("left edge", "x", "smallest"), "right": ("right edge", "x", "largest")}
_EDGES |= {"top": ("upper edge", "y", "smallest"), "bottom": ("lower edge", "y", "largest")}
MOST = {"left": "farthest left", "right": "farthest right", "top": "highest", "bottom": "lowest"}


def _regions(asked: Parameters, rng: random.Random) -> Steps[tuple[list[Region], str]]:
    """The one box of each listed object, or all boxes; and what stands before the next thought."""
    names = asked["names"]
    found = yield from look_for(rng, names)
    regions = list(found.regions) if names is None else [found.one(name) for name in names]
    _require_two([region.name for region in regions])
    return regions, found.note


def _require_two(names: Collection[str]) -> None:
    if len(set(names)) < 2:
        raise GaveUp("there are no two objects to compare")


def _edges_in_turn(asked: Parameters, rng: random.Random, *, direction: str) -> Program:
    """One object after the other; the calculator compares."""
    names = asked["names"] if asked["names"] is not None else (yield from name_objects(rng))
    edge, _, extreme = _EDGES[direction]
    edges: dict[str, float] = {}
    kinds: dict[str, str] = {}
    seen = ""
    for name in names:
        found = yield from locate(rng, [name], seen=seen)
        for region in [found.one(name)] if asked["names"] is not None else found.regions:
            edges[region.label], kinds[region.label] = abs(facing(region.box, direction)[0]), name
        told = [f"The {edge} of {region} is {edges[region.label]}." for region in found.regions]
        seen = " ".join([found.note.strip(), *told, so_far(edges)]).strip()
    _require_two(kinds.values())
    label, thought = yield from pick(rng, edges, seen, largest=extreme == "largest")
    if any(edges[other] == edges[label] and kinds[other] != kinds[label] for other in edges):
        raise GaveUp("two are equally far")
    yield from terminate(thought, kinds[label])


def _find_extreme(asked: Parameters, rng: random.Random, *, direction: str, by_centre: bool = False) -> Program:
    regions, note = yield from _regions(asked, rng)
    places = {region.label: facing(region.box, direction)[by_centre] for region in regions}
    first = max(regions, key=lambda region: places[region.label])
    if any(places[region.label] == places[first.label] and region.name != first.name for region in regions):
        raise GaveUp("two are equally far")
    edge, axis, extreme = _EDGES[direction]
    what = f"centre's {axis}" if by_centre else edge
    told = f"{note}The {what} of each: {joined([f'{label} {abs(place):.3g}' for label, place in places.items()])}."
    end = say(
        rng,
        ("That of the {label} is the {extreme}.", "The {label} has the {extreme}.", "The {extreme} is that of the {label}."),
        label=first.label,
        extreme=extreme,
    )
    yield from terminate(f"{told} {end}", first.name)


def _compare_sides(asked: Parameters, rng: random.Random) -> Program:
    regions, note = yield from _regions(asked, rng)
    side = asked["side"]
    one, other = (facing(region.box, side)[1] for region in regions)
    if one == other:
        raise GaveUp("they are at one place")
    axis, word = _EDGES[side][1], MOST[side].replace("farthest", "farther").replace("est", "er")
    first = regions[0] if one > other else regions[1]
    told = joined([f"{region.label} {axis} = {abs(place):.3g}" for region, place in zip(regions, (one, other), strict=True)])
    end = say(rng, ("The {label} is {word}.", "So the {label} is {word}."), label=first.label, word=word)
    yield from terminate(f"{note}The centres: {told}. {end}", "yes" if one > other else "no")


def area_of(region: Region) -> str:
    """The area of a box as an expression: ``(0.31 - 0.12) * (0.52 - 0.3)``."""
    left, top, right, bottom = region.box
    return f"({right} - {left}) * ({bottom} - {top})"


def _calculate(thought: str, expression: str) -> Steps[float]:
    return float((yield from call(thought, "Calculate", expression=expression))["result"])


def _areas_in_turn(asked: Parameters, rng: random.Random, *, smallest: bool) -> Program:
    """One object after the other; the calculator compares."""
    areas: dict[str, float] = {}
    for name in asked["names"]:
        found = yield from locate(rng, [name], seen=so_far(areas))
        areas[name] = yield from _calculate(
            f"{found.note}I see {found.one(name)}. I calculate its area.", area_of(found.one(name))
        )
    first, thought = yield from pick(rng, areas, so_far(areas), largest=not smallest)
    if list(areas.values()).count(areas[first]) > 1:
        raise GaveUp("two areas are equal")
    yield from terminate(thought, first)


def _compare_areas(asked: Parameters, rng: random.Random, *, smallest: bool) -> Program:
    regions, note = yield from _regions(asked, rng)
    seen = f"{note}The boxes: {joined([str(region) for region in regions])}. "
    areas: dict[str, float] = {}
    for region in regions:
        thought = seen + say(
            rng,
            ("I calculate the area of the {label}.", "How large is that of the {label}?", "I need the area of the {label}."),
            label=region.label,
        )
        areas[region.label] = yield from _calculate(thought, area_of(region))
        seen = f"The area of the {region.label} is {areas[region.label]}. "
    first = (min if smallest else max)(regions, key=lambda region: areas[region.label])
    if list(areas.values()).count(areas[first.label]) > 1:
        raise GaveUp("two areas are equal")
    told = joined([f"{label} {value}" for label, value in areas.items()])
    yield from terminate(f"The areas: {told}. The {first.label} has the {'smallest' if smallest else 'largest'}.", first.name)


def _subtract_areas(asked: Parameters, rng: random.Random, *, smallest: bool) -> Program:
    """Of two: the sign of the difference tells."""
    if len(asked["names"]) != 2:
        yield from _compare_areas(asked, rng, smallest=smallest)
        return
    (one, other), note = yield from _regions(asked, rng)
    thought = f"{note}The boxes: {one} and {other}. I subtract the area of the {other.label} from that of the {one.label}."
    difference = yield from _calculate(thought, f"{area_of(one)} - {area_of(other)}")
    if difference == 0:
        raise GaveUp("the areas are equal")
    first = one if (difference > 0) != smallest else other
    sign = "positive" if difference > 0 else "negative"
    yield from terminate(
        f"{difference} is {sign}, so the box of the {(one if difference > 0 else other).label} is larger.", first.name
    )


def _work_out_share(asked: Parameters, rng: random.Random) -> Program:
    found = yield from locate(rng, [asked["name"]])
    region = found.one(asked["name"])
    thought = f"{found.note}The box is {list(region.box)}. " + say(
        rng,
        (
            "I calculate its area in steps of five per cent.",
            "Its area, rounded to five per cent, needs a calculation.",
            "Width times height gives its share.",
        ),
    )
    result = yield from call(thought, "Calculate", expression=f"round(100 * {area_of(region)} / {SHARE_STEP}) * {SHARE_STEP}")
    answer = json.dumps(result["result"])
    yield from terminate(
        say(rng, ("That is {} per cent.", "It covers about {} per cent.", "The share is about {} per cent."), answer),
        answer,
    )


def _extreme_type(name: str, direction: str) -> QuestionType:
    edges = partial(_find_extreme, direction=direction)
    plans = (partial(_edges_in_turn, direction=direction), edges, partial(edges, by_centre=True))
    return QuestionType(1.0, partial(_extreme, direction=direction), plans, PHRASINGS[name])


def _area_type(name: str, smallest: bool) -> QuestionType:
    plans = tuple(partial(plan, smallest=smallest) for plan in (_areas_in_turn, _compare_areas, _subtract_areas))
    return QuestionType(0.8, partial(_largest, smallest=smallest), plans, PHRASINGS[name])


TYPES: dict[str, QuestionType] = {
    **{f"{direction}most_object": _extreme_type(f"{direction}most_object", direction) for direction in DIRECTIONS},
    "is_beside": QuestionType(1.2, _beside, with_a_list(_compare_sides), PHRASINGS["is_beside"]),
    "largest_object": _area_type("largest_object", smallest=False),
    "smallest_object": _area_type("smallest_object", smallest=True),
    "share_of_image": QuestionType(0.6, _share, with_a_list(_work_out_share), PHRASINGS["share_of_image"]),
}
"""Every type; with `object_phrasings` and `objects` all there is to one."""
