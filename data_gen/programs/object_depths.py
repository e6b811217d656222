"""How far away objects are: which is closer, closer to another in depth, their order, in front of another or behind it.

Run: `make_question(rng, "closer_object", TYPES["closer_object"], scene)`. Depth is relative and **smaller is closer**.
"""

import random
from collections.abc import Callable
from functools import partial
from itertools import permutations

from taco.data_gen.programs.object_facts import TRIES, Mention, by_depth, is_nearer, mentions, names_of, sample, whole
from taco.data_gen.programs.object_nouns import listed, singular
from taco.data_gen.programs.object_phrasings import PHRASINGS
from taco.data_gen.programs.object_positions import MANY, compared
from taco.data_gen.programs.object_steps import (
    Steps,
    depths_by_box,
    depths_by_name,
    pick,
    require_apart,
    say,
    so_far,
    told_depths,
)
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Plan, Program, QuestionType, terminate
from taco.data_gen.scenes.scene import ObjectScene

MOST_OF_ALL = 5
"""Objects of a scene whose nearest one is asked for without listing them, at most: each costs a call."""
Depths = dict[str, float]
Conclude = Callable[[Parameters, random.Random, Depths], tuple[str, str]]
"""From the depths to what is thought of them, and the answer."""

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _ordered(rng: random.Random, scene: ObjectScene, least: int = 2, most: int = 4) -> list[Mention]:
    """Some objects from nearest to farthest, all clearly apart; none where there are too few."""
    mentioned = [mention for mention in mentions(scene) if mention.item.depth is not None]
    for _ in range(TRIES):
        ordered = by_depth(sample(rng, mentioned, least, most), scene)
        if ordered:
            return ordered
    return []


def _nearest(rng: random.Random, scene: ObjectScene, *, farthest: bool) -> Asked | None:
    everything = list(mentions(scene))
    names = {item.name for item in scene.objects}
    listless = whole(scene) and 2 <= len(everything) == len(names) == len(scene.objects) <= MOST_OF_ALL and rng.random() < 0.5
    ordered = by_depth(everything, scene) if listless else _ordered(rng, scene)
    if not ordered:
        return None
    first = ordered[-1 if farthest else 0]
    rng.shuffle(ordered)
    asked = compared(rng, ordered, first)
    if not listless:
        return asked
    parameters = {**asked.parameters, "names": None, "choice": "", "among": "", **MANY}
    return Asked(parameters, asked.answer, asked.wrong)


def _near_anchor(rng: random.Random, scene: ObjectScene, *, farthest: bool) -> Asked | None:
    """Which of the others is nearer in depth to one that lies before or behind both.

    So the order alone decides: differences of distance and of what depth estimators give need not agree.
    """
    ordered = _ordered(rng, scene, least=3)
    if not ordered:
        return None
    if rng.random() < 0.5:
        ordered.reverse()
    anchor, *others = ordered
    first = others[-1 if farthest else 0]
    rng.shuffle(others)
    return compared(rng, others, first, anchor=anchor.words, other=singular(anchor.words))


def _order(rng: random.Random, scene: ObjectScene) -> Asked | None:
    ordered = _ordered(rng, scene, least=3)
    if not ordered:
        return None
    reverse = rng.random() < 0.5
    names = names_of(ordered[::-1] if reverse else ordered)
    wrong = tuple(", ".join(other) for other in permutations(names) if other != names)
    order = rng.choice(_FARTHEST_FIRST if reverse else _NEAREST_FIRST)
    shown = names_of(rng.sample(ordered, len(ordered)))
    return Asked({"names": shown, "reverse": reverse, "order": order, "list": listed(shown)}, ", ".join(names), wrong)


_NEAREST_FIRST = (
    "from closest to farthest", "from the closest to the farthest", "from nearest to farthest", "from near to far",
    "nearest first", "closest first",
)  # fmt: skip
_FARTHEST_FIRST = (
    "from farthest to closest", "from the farthest to the closest", "from farthest to nearest", "from far to near",
    "farthest first", "most distant first",
)  # fmt: skip


def _is_closer(rng: random.Random, scene: ObjectScene) -> Asked | None:
    return _yes_or_no(rng, _ordered(rng, scene, most=2), rng.random() < 0.5)


def _yes_or_no(rng: random.Random, ordered: list[Mention], closer: bool) -> Asked | None:
    """Whether one is closer (else: farther away) than another; `ordered` are two from nearest to farthest."""
    if not ordered:
        return None
    near, _ = ordered
    one, other = rng.sample(ordered, 2)
    yes = (one is near) == closer
    names = {"names": (one.words, other.words), "item": singular(one.words), "other": singular(other.words)}
    how = rng.choice(("closer to", "nearer to") if closer else ("farther from", "further from", "more distant from"))
    front = "in front of" if closer else "behind"
    return Asked({**names, "closer": closer, "how": how, "front": front}, "yes" if yes else "no", ("yes", "no"))


def _is_in_front(rng: random.Random, scene: ObjectScene) -> Asked | None:
    """As annotated, since it takes more than depth; told by depth."""
    mentioned = {id(mention.item): mention for mention in mentions(scene)}
    pairs = []
    for relation in scene.relations:
        one, other = scene.objects[relation.subject], scene.objects[relation.object]
        near, far = (one, other) if relation.predicate == "in front of" else (other, one)
        if (
            relation.predicate in ("in front of", "behind")
            and id(one) in mentioned
            and id(other) in mentioned
            and is_nearer(near, far, scene)
        ):
            pairs.append([mentioned[id(near)], mentioned[id(far)]])
    return _yes_or_no(rng, rng.choice(pairs), rng.random() < 0.5) if pairs else None


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)


def _measured(asked: Parameters, rng: random.Random, measure: Callable[..., Steps[Depths]]) -> Steps[Depths]:
    """The depths of all that is asked about. Raises GaveUp where there are no two, or two are too near each other."""
    names = asked["names"]
    if names is not None and "anchor" in asked:
        names = (asked["anchor"], *names)
    depths: Depths = yield from measure(rng, names)
    if len(depths) < 2:
        raise GaveUp("there are no two depths to compare")
    require_apart(depths.values())
    return depths


def _plan(asked: Parameters, rng: random.Random, *, measure: Callable[..., Steps[Depths]], conclude: Conclude) -> Program:
    depths = yield from _measured(asked, rng, measure)
    thought, answer = conclude(asked, rng, depths)
    yield from terminate(thought, answer)


def _by_calculator(asked: Parameters, rng: random.Random, *, farthest: bool = False) -> Program:
    """The smallest depth by the calculator, or the largest: which of all, or whether it is the one that is asked about."""
    depths = yield from _measured(asked, rng, partial(depths_by_name, tally=True))
    first, told = yield from pick(rng, depths, so_far(depths), largest=farthest)
    if "closer" in asked:
        answer = "yes" if (first == next(iter(depths))) == asked["closer"] else "no"
        yield from terminate(f"{told} Smaller is closer, so the {first} is closer.", answer)
    else:
        yield from terminate(f"{told} Smaller is closer, so it is the {'farthest' if farthest else 'closest'}.", first)


def plans(conclude: Conclude) -> tuple[Plan, ...]:
    """By the depth of named objects, or by that of boxes."""
    return tuple(partial(_plan, measure=measure, conclude=conclude) for measure in (depths_by_name, depths_by_box))


_SMALLER = (
    "The depths are {told}. Smaller is closer, so the {first} is {which}.",
    "{told}: the {first} is {which}, since a smaller depth is closer.",
)


def _extreme(asked: Parameters, rng: random.Random, depths: Depths, *, farthest: bool) -> tuple[str, str]:
    first = (max if farthest else min)(depths, key=lambda name: depths[name])
    return say(rng, _SMALLER, told=told_depths(depths), first=first, which="the farthest" if farthest else "the closest"), first


def _at_anchor(asked: Parameters, rng: random.Random, depths: Depths, *, farthest: bool) -> tuple[str, str]:
    anchor = depths[asked["anchor"]]
    gaps = {name: round(abs(depth - anchor), 2) for name, depth in depths.items() if name != asked["anchor"]}
    first = (max if farthest else min)(gaps, key=lambda name: gaps[name])
    require_apart(gaps.values(), max(depths.values()))
    told = ", ".join(f"|{depths[name]} - {anchor}| = {gap} for {name}" for name, gap in gaps.items())
    end = say(
        rng,
        ("The {size} difference is that of the {name}.", "The {name} has the {size} difference."),
        size="largest" if farthest else "smallest",
        name=first,
    )
    return f"The depths are {told_depths(depths)}. Differences: {told}. {end}", first


def _in_order(asked: Parameters, rng: random.Random, depths: Depths) -> tuple[str, str]:
    names = sorted(depths, key=lambda name: depths[name], reverse=asked["reverse"])
    told = ", ".join(f"{name} {depths[name]}" for name in names)
    word = "falling" if asked["reverse"] else "rising"
    return say(
        rng, ("By {word} depth: {told}. Smaller is closer.", "Smaller is closer. In {word} order: {told}."), word=word, told=told
    ), ", ".join(names)


def _decide(asked: Parameters, rng: random.Random, depths: Depths) -> tuple[str, str]:
    (one, first), (other, second) = depths.items()
    near = one if first < second else other
    thought = say(rng, _SMALLER, told=told_depths(depths), first=near, which="closer")
    return thought, "yes" if (near == one) == asked["closer"] else "no"


def _both(conclude: Callable[..., tuple[str, str]], farthest: bool) -> tuple[Plan, ...]:
    return plans(partial(conclude, farthest=farthest))


def _first_of(farthest: bool) -> tuple[Plan, ...]:
    return (partial(_by_calculator, farthest=farthest), *_both(_extreme, farthest))


TYPES: dict[str, QuestionType] = {
    "closer_object": QuestionType(1.5, partial(_nearest, farthest=False), _first_of(farthest=False), PHRASINGS["closer_object"]),
    "farther_object": QuestionType(1.5, partial(_nearest, farthest=True), _first_of(farthest=True), PHRASINGS["farther_object"]),
    "closer_to_anchor": QuestionType(
        1.0, partial(_near_anchor, farthest=False), _both(_at_anchor, False), PHRASINGS["closer_to_anchor"]
    ),
    "farther_from_anchor": QuestionType(
        1.0, partial(_near_anchor, farthest=True), _both(_at_anchor, True), PHRASINGS["farther_from_anchor"]
    ),
    "order_by_depth": QuestionType(1.0, _order, plans(_in_order), PHRASINGS["order_by_depth"]),
    "is_closer": QuestionType(1.0, _is_closer, (_by_calculator, *plans(_decide)), PHRASINGS["is_closer"]),
    "is_in_front": QuestionType(0.8, _is_in_front, plans(_decide), PHRASINGS["is_in_front"]),
}
"""Every type; with `object_phrasings` and `objects` all there is to one."""
