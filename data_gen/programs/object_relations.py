"""How objects stand to each other: what is left of the mug or on the table, and what annotations of photographs say beyond that.

Run: `make_question(rng, "thing_beside", TYPES["thing_beside"], scene)`.

No tool gives relations. Where boxes decide, the program compares boxes; "holding" and the like are seen in a cut-out.
"""

import random
from collections.abc import Iterator
from functools import partial

from taco.data_gen.programs.object_facts import (
    MOST_LISTED,
    SAME_BOX,
    Mention,
    facing,
    is_beside,
    mentions,
    names_of,
    sample,
    trait,
    traits_of,
    whole,
)
from taco.data_gen.programs.object_nouns import joined, listed, singular
from taco.data_gen.programs.object_phrasings import PHRASINGS
from taco.data_gen.programs.object_steps import Eyes, Region, Steps, locate, look_at, look_for, say, with_a_list
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Program, QuestionType, terminate
from taco.data_gen.scenes.scene import Box, ObjectScene, SceneObject, area, overlap, shared
from taco.tools.regions import with_margin

SIDES = ("left", "right")
OPPOSITE = {"left": "right", "right": "left"}
IN_VIEW = 0.5
"""Share of the other's box that the cut-out of one shows, where their relation is to be seen in it."""

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _anchors(scene: ObjectScene) -> list[Mention]:
    """Objects that their name alone singles out."""
    return [mention for mention in mentions(scene) if mention.words == mention.item.name]


def _thing_beside(rng: random.Random, scene: ObjectScene) -> Asked | None:
    """What is the one object to the left of another: of all there are, or of some that are listed."""
    anchors, everything = mentions(scene), whole(scene) and rng.random() < 0.4
    places = [(anchor, side) for anchor in anchors for side in SIDES]
    rng.shuffle(places)
    for anchor, side in places:
        if everything:
            items = [item for item in scene.objects if item is not anchor.item]
            there = _all_there(items, anchor.item.bbox, side)
            if there is not None and len(there) == 1 and len(items) > 1:
                return _which_thing(anchor, side, items[there[0]].name, [item.name for item in items], listless=True)
            continue
        left, right = (
            [one for one in anchors if is_beside(one.item.bbox, anchor.item.bbox, side)] for side in (side, OPPOSITE[side])
        )
        if left and right:
            answer = rng.choice(left).words
            names = [answer, *names_of(sample(rng, right, least=1, most=2))]
            rng.shuffle(names)
            return _which_thing(anchor, side, answer, names, listless=False)
    return None


def _which_thing(anchor: Mention, side: str, answer: str, names: list[str], *, listless: bool) -> Asked:
    lists = {"choice": f": {listed(names, 'or')}", "among": f"of {listed(names)}, "}
    parameters = {"names": None, "choice": "", "among": ""} if listless else {"names": tuple(names), **lists}
    words = {"anchor": anchor.words, "other": singular(anchor.words), "side": side}
    return Asked({**words, **parameters}, answer, tuple(sorted(set(names) - {answer})))


def _all_there(items: list[SceneObject], box: Box, side: str) -> list[int] | None:
    """Which of the items are to a side of a box; None where it is not clear of each."""
    there = [is_beside(item.bbox, box, side) for item in items]
    clear = all(yes or is_beside(item.bbox, box, OPPOSITE[side]) for yes, item in zip(there, items, strict=True))
    return [index for index, yes in enumerate(there) if yes] if clear else None


def _described_beside(rng: random.Random, scene: ObjectScene) -> Asked | None:
    """What is the red thing to the left of another; red things may be on the other side, and other things on that."""
    anchors = mentions(scene)
    if not whole(scene) or not anchors:
        return None
    anchor, side, kind = rng.choice(anchors), rng.choice(SIDES), rng.choice(("colour", "colour", "pattern"))
    items = [item for item in scene.objects if item is not anchor.item]
    values = sorted(set(traits_of(scene.objects, kind)))
    rng.shuffle(values)
    for value in values:
        described = [item for item in items if trait(item, kind) == value]
        there = _all_there(described, anchor.item.bbox, side)
        if there is not None and len(there) == 1:
            answer = described[there[0]].name
            words = {"anchor": anchor.words, "other": singular(anchor.words), "side": side, "attribute": value}
            return Asked({**words, "names": None}, answer, tuple(sorted({item.name for item in items} - {answer})))
    return None


def stands_on(box: Box, ground: Box) -> bool:
    """Whether boxes look as if one object stands on another: it ends within the other's box and rises above it.

    They are rounded as a detector gives them, so that an annotated and an observed box give one answer.
    """
    box, ground = _rounded(box), _rounded(ground)
    middle, rises = (box[0] + box[2]) / 2, ground[1] - box[1] >= 0.25 * (box[3] - box[1])
    return (
        ground[0] <= middle <= ground[2]
        and ground[1] < box[3] <= (ground[1] + ground[3]) / 2 + 0.25 * (ground[3] - ground[1])
        and rises
    )


def _rounded(box: Box) -> Box:
    left, top, right, bottom = (round(side, 2) for side in box)
    return left, top, right, bottom


def _on(scene: ObjectScene) -> Iterator[tuple[SceneObject, Mention]]:
    """What is on what, as annotated and by their boxes."""
    named = {id(mention.item): mention for mention in mentions(scene)}
    for relation in scene.relations:
        one, ground = scene.objects[relation.subject], named.get(id(scene.objects[relation.object]))
        if relation.predicate == "on" and ground and stands_on(one.bbox, ground.item.bbox):
            yield one, ground


def _thing_on(rng: random.Random, scene: ObjectScene) -> Asked | None:
    pairs = list(_on(scene)) if whole(scene) else []
    if not pairs:
        return None
    answer, ground = rng.choice(pairs)
    others = [item for item in scene.objects if item is not ground.item]
    if sum(stands_on(item.bbox, ground.item.bbox) for item in others) != 1:
        return None
    names = sorted({item.name for item in others})
    lists = {"choice": f": {listed(names, 'or')}", "among": f"of {listed(names)}, "}
    if not 1 < len(names) == len(others) <= MOST_LISTED or ground.item.name in names or rng.random() < 0.5:
        lists = {"choice": "", "among": ""}
    wrong = tuple(name for name in names if name != answer.name)
    return Asked({"anchor": ground.words, "other": singular(ground.words), "names": None, **lists}, answer.name, wrong)


def _is_on(rng: random.Random, scene: ObjectScene) -> Asked | None:
    mentioned = mentions(scene)
    named = {id(mention.item): mention for mention in mentioned}
    pairs = [(named[id(one)], ground) for one, ground in _on(scene) if id(one) in named]
    if rng.random() < 0.5:  # certainly not: they are side by side
        grounds = [ground for _, ground in _on(scene)]
        pairs = [
            (one, ground)
            for ground in grounds
            for one in mentioned
            if any(is_beside(one.item.bbox, ground.item.bbox, side) for side in SIDES)
        ]
    if not pairs:
        return None
    one, other = rng.choice(pairs)
    yes = stands_on(one.item.bbox, other.item.bbox)
    words = {"item": singular(one.words), "other": singular(other.words)}
    return Asked({"names": (one.words, other.words), **words}, "yes" if yes else "no", ("yes", "no"))


def _related(rng: random.Random, scene: ObjectScene, *, as_subject: bool) -> Asked | None:
    """What the man is holding, or who is holding the ball: a verb in -ing, one relation of it, both seen in one cut-out."""
    named = {id(mention.item): mention for mention in _anchors(scene)}
    found = []
    for relation in scene.relations:
        ends = scene.objects[relation.subject], scene.objects[relation.object]
        asked, answer = ends if as_subject else ends[::-1]
        twins = [
            other
            for other in scene.relations
            if other.predicate == relation.predicate and scene.objects[other.subject if as_subject else other.object] is asked
        ]
        verb = relation.predicate.split()[0].endswith("ing")
        if (
            verb
            and id(asked) in named
            and len(twins) == 1
            and shared(view(asked.bbox), answer.bbox) >= IN_VIEW * area(answer.bbox)
        ):
            found.append((named[id(asked)], relation.predicate, answer))
    if not found:
        return None
    mention, predicate, answer = rng.choice(found)
    wrong = {item.name for item in scene.objects if not shared(view(mention.item.bbox), item.bbox)} - {answer.name}
    word = {"item" if as_subject else "other": singular(mention.words)}
    return Asked({"name": mention.words, "predicate": predicate, "eyes": Eyes(scene), **word}, answer.name, tuple(sorted(wrong)))


def view(box: Box) -> Box:
    """What Crop shows of it."""
    left, top, right, bottom = with_margin(list(box))
    return left, top, right, bottom


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)


def _beside(asked: Parameters, rng: random.Random) -> Program:
    note, anchor, regions = yield from _around(asked, rng)
    side = asked["side"]
    edge = facing(anchor.box, side)[1]
    there = [region for region in regions if facing(region.box, side)[1] > edge]
    if len(there) != 1:
        raise GaveUp("not just one is there")
    told = joined([f"{region.label} x = {abs(facing(region.box, side)[1]):.3g}" for region in [anchor, *regions]])
    templates = ("Only the {label} is to the {side} of the {anchor}.", "To the {side} of the {anchor} is the {label} alone.")
    end = say(rng, templates, label=there[0].label, side=side, anchor=anchor.label)
    yield from terminate(f"{note}The centres: {told}. {end}", there[0].name.removeprefix(f"{asked.get('attribute')} "))


def _around(asked: Parameters, rng: random.Random) -> Steps[tuple[str, Region, list[Region]]]:
    """What stands before the next thought, the anchor, and the listed objects, or else all there are (with an attribute)."""
    anchor, names = asked["anchor"], asked["names"]
    if names is not None:
        found = yield from locate(rng, [anchor, *names])
        return found.note, found.one(anchor), [found.one(name) for name in names]
    ground = (yield from locate(rng, [anchor])).one(anchor)
    found = yield from look_for(rng, None, asked.get("attribute", ""))
    return found.note, ground, [region for region in found.regions if overlap(region.box, ground.box) < SAME_BOX]


def _find_on(asked: Parameters, rng: random.Random) -> Program:
    note, ground, regions = yield from _around(asked, rng)
    there = [region for region in regions if stands_on(region.box, ground.box)]
    if len(there) != 1:
        raise GaveUp("not just one is on it")
    yield from terminate(f"{note}{_on_told(there[0], ground)}", there[0].name)


def _on_told(one: Region, ground: Region) -> str:
    return f"The box of the {one.label} ends at y = {one.box[3]}, inside that of the {ground.label}, and rises above it."


def _decide_on(asked: Parameters, rng: random.Random) -> Program:
    found = yield from locate(rng, asked["names"])
    one, ground = (found.one(name) for name in asked["names"])
    if stands_on(one.box, ground.box):
        yield from terminate(f"{found.note}{_on_told(one, ground)}", "yes")
    elif any(is_beside(one.box, ground.box, side) for side in SIDES):
        yield from terminate(f"{found.note}{one} and {ground} lie side by side.", "no")
    else:
        raise GaveUp("the boxes do not tell")


def _look_closer(asked: Parameters, rng: random.Random, *, as_subject: bool) -> Program:
    found = yield from locate(rng, [asked["name"]])
    region = found.one(asked["name"])
    yield from look_at(rng, region, f"{found.note}The {region.label} is at {list(region.box)}.")
    name = asked["eyes"].related(region, asked["predicate"], as_subject=as_subject)
    told = (
        f"The {region.label} is {asked['predicate']} the {singular(name)}."
        if as_subject
        else f"The {singular(name)} is {asked['predicate']} the {region.label}."
    )
    yield from terminate(say(rng, ("{}", "I see it: {}", "In the cut-out it is plain. {}"), told), name)


def _related_type(name: str, as_subject: bool) -> QuestionType:
    choose, plan = partial(_related, as_subject=as_subject), partial(_look_closer, as_subject=as_subject)
    return QuestionType(1.0, choose, with_a_list(plan), PHRASINGS[name])


TYPES: dict[str, QuestionType] = {
    "thing_beside": QuestionType(1.0, _thing_beside, (_beside,), PHRASINGS["thing_beside"]),
    "described_thing_beside": QuestionType(1.0, _described_beside, (_beside,), PHRASINGS["described_thing_beside"]),
    "thing_on": QuestionType(0.8, _thing_on, (_find_on,), PHRASINGS["thing_on"]),
    "is_on": QuestionType(0.8, _is_on, with_a_list(_decide_on), PHRASINGS["is_on"]),
    "related_object": _related_type("related_object", as_subject=True),
    "related_subject": _related_type("related_subject", as_subject=False),
}
"""Every type; with `object_phrasings` and `objects` all there is to one."""
