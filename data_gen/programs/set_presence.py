"""Which picture shows something or lacks it, whether any does, what all of them show and what only one.

Run: `make_question(rng, "image_with_object", TYPES["image_with_object"], annotation)`. Asked only
where what is not annotated in a picture is not there.
"""

import random
from collections.abc import Callable
from functools import partial

from taco.data_gen.programs.object_facts import absent_names, lacks
from taco.data_gen.programs.object_nouns import a, joined, plural, singular
from taco.data_gen.programs.object_steps import Eyes, Found, Steps, say
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Plan, Program, QuestionType, evenly, terminate
from taco.data_gen.programs.set_facts import (
    by_look,
    described_tallies,
    image,
    images_of,
    naming,
    only,
    others,
    said,
    tallies,
)
from taco.data_gen.programs.set_phrasings import PHRASINGS
from taco.data_gen.programs.set_steps import (
    conclude,
    names_in,
    pointed,
    survey,
    survey_names,
    tell_counts,
    tell_looks,
    tell_names,
    the_one,
)
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS
from taco.data_gen.scenes.scene import SceneSet

TEMPTED = 0.7
"""Share of the questions about "a red mug" where another picture shows a mug of another colour, if there is one."""

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def words_for(name: str) -> dict[str, object]:
    """Parameters: the description that a tool is asked for, and its forms in a sentence."""
    return {"name": name, "item": singular(name), "an_item": a(name), "items": plural(name)}


def _image_with(rng: random.Random, asked: SceneSet, *, without: bool) -> Asked | None:
    found = [
        (name, index) for name, counts in tallies(asked.scenes).items() if (index := only(counts, without=without)) is not None
    ]
    if not found:
        return None
    name, index = rng.choice(found)
    images = images_of(asked)
    return Asked(naming(rng, images) | words_for(name), image(index), others(images, image(index)))


def _image_with_described(rng: random.Random, asked: SceneSet, *, without: bool) -> Asked | None:
    counts = tallies(asked.scenes)
    found = [
        (value, name, index)
        for (value, name), own in described_tallies(asked.scenes).items()
        if (index := only(own, without=without)) is not None
    ]
    tempting = [one for one in found if sum(bool(count) for count in counts[one[1]]) > (len(asked.scenes) - 1 if without else 1)]
    if not found:
        return None
    value, name, index = by_look(rng, tempting if tempting and rng.random() < TEMPTED else found)
    images = images_of(asked)
    return Asked(naming(rng, images) | described(asked, value, name), image(index), others(images, image(index)))


def described(asked: SceneSet, value: str, name: str) -> dict[str, object]:
    """Parameters: the words for "red mug", and what it takes to see which mug is red."""
    return words_for(f"{value} {name}") | {"base": name, "value": value, "kind": ATTRIBUTE_KINDS[value], "eyes": eyes_of(asked)}


def eyes_of(asked: SceneSet) -> dict[str, Eyes]:
    """What a model sees for itself in each picture."""
    return {image(index): Eyes(scene) for index, scene in enumerate(asked.scenes)}


def _any_image(rng: random.Random, asked: SceneSet) -> Asked | None:
    yes, missing = rng.random() < 0.5, nowhere(asked)
    if not missing:  # else it would always be yes
        return None
    names = [name for name, counts in tallies(asked.scenes).items() if any(counts)] if yes else missing
    if not names:
        return None
    return Asked(naming(rng, images_of(asked)) | words_for(rng.choice(names)), "yes" if yes else "no", ("yes", "no"))


def nowhere(asked: SceneSet) -> list[str]:
    """Names of what is certainly in none of the pictures."""
    missing = [absent_names(scene) for scene in asked.scenes]
    return [name for name in missing[0] if all(name in names for names in missing)]


def _number_of_images(rng: random.Random, asked: SceneSet) -> Asked | None:
    found = {name: sum(map(bool, counts)) for name, counts in tallies(asked.scenes).items() if None not in counts}
    if not found:
        return None
    found |= dict.fromkeys(nowhere(asked), 0)
    name = evenly(rng, found, found.__getitem__)
    number = found[name]
    wrong = tuple(str(other) for other in range(len(asked.scenes) + 1) if other != number)
    return Asked(naming(rng, images_of(asked)) | words_for(name), str(number), wrong)


def _names(asked: SceneSet) -> list[set[str]]:
    return [{item.name for item in scene.objects} for scene in asked.scenes]


def _in_all(rng: random.Random, asked: SceneSet) -> Asked | None:
    names = _names(asked)
    everywhere, somewhere = set.intersection(*names), set.union(*names)
    if len(everywhere) != 1 or len(somewhere) < 2:
        return None
    for name in somewhere - everywhere:  # whatever else could be taken for the answer
        if not any(lacks(scene, name) for scene in asked.scenes):
            return None
    return Asked(naming(rng, images_of(asked)), everywhere.pop(), tuple(sorted(somewhere - everywhere)))


def _only_in(rng: random.Random, asked: SceneSet) -> Asked | None:
    names, found = _names(asked), list[tuple[str, int]]()
    for index, own in enumerate(names):
        rest = [scene for scene in asked.scenes if scene is not asked.scenes[index]]
        single = [name for name in sorted(own) if all(lacks(scene, name) for scene in rest)]
        elsewhere = set.union(*(other for other in names if other is not own))
        if len(single) == 1 and own - set(single) <= elsewhere:
            found.append((single[0], index))
    if not found:
        return None
    name, index = rng.choice(found)
    [words] = said(rng, index)
    parameters = naming(rng, images_of(asked)) | {"picture": image(index), "image": words}
    return Asked(parameters, name, tuple(sorted(set.union(*names) - {name})))


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)

_LOOK_FOR = (
    "I look for {an_item} in one image after the other and begin with {image}.",
    "Which image has {an_item}? I let the detector search {image} first.",
    "To find {an_item} I search the images in turn, {image} first.",
    "I have to know where there is {an_item}. I start with {image}.",
    "The detector can tell whether {image} has {an_item}; the others come after it.",
)
_LIST = (
    "I need to know what is in each image. I begin with {image}.",
    "The names of the objects will tell; first those of {image}.",
    "I list the objects of each image, {image} first.",
    "What does each image have? I start with {image}.",
)


def _which_have(
    asked: Parameters, rng: random.Random, *, named: bool, until: bool | None = None
) -> Steps[tuple[dict[str, bool], str]]:
    """Which pictures have it, by names or by boxes, and what was seen last; `until`: ends once one has it, or lacks it."""
    name, images = asked["name"], asked["images"]
    if named:
        first = say(rng, _LIST, image=images[0])
        names, told = yield from survey_names(rng, images, first, until=lambda own: (name in own) is until)
        return {one: name in own for one, own in names.items()}, told
    first = say(rng, _LOOK_FOR, an_item=asked["an_item"], image=images[0])
    found, told = yield from survey(rng, images, [name], first, until=lambda own: bool(own.regions) is until)
    return {one: bool(own.regions) for one, own in found.items()}, told


def _search(asked: Parameters, rng: random.Random, *, named: bool, without: bool, early: bool) -> Program:
    """In all pictures, or `early`, until the one is found."""
    has, told = yield from _which_have(asked, rng, named=named, until=not without if early else None)
    answer = the_one([one for one, there in has.items() if there != without])
    yield from terminate(told + conclude(rng, answer, list(has), asked["images"], _clause(asked, without)), answer)


def _clause(asked: Parameters, without: bool) -> str:
    return f"{{image}} {'lacks' if without else 'has'} {asked['an_item']}"


def _search_by_looks(asked: Parameters, rng: random.Random, *, without: bool) -> Program:
    """Finds all mugs, and sees which is red."""
    base, kind, eyes, images = asked["base"], asked["kind"], asked["eyes"], asked["images"]
    looks: dict[str, dict[str, str]] = {}

    def tell(picture: str, found: Found) -> str:
        looks[picture] = {region.label: eyes[picture].trait(region, kind) for region in found.regions}
        if not found.regions:
            ways = ("In {image} there are no {items}. ", "No {items} were found in {image}. ")
            return say(rng, ways, image=picture, items=plural(base))
        return found.note + tell_looks(rng, picture, looks[picture])

    ways = (
        "I locate the {items} of each image to see their {kind}, and begin with {image}.",
        "First I need the {items}; their {kind} I can see then. I begin with {image}.",
        "What {kind} do the {items} have? I find those of {image} first.",
    )
    _, told = yield from survey(rng, images, [base], say(rng, ways, items=plural(base), kind=kind, image=images[0]), tell)
    answer = the_one([one for one, seen in looks.items() if (asked["value"] in seen.values()) != without])
    yield from terminate(told + conclude(rng, answer, list(looks), images, _clause(asked, without)), answer)


def _check_any(asked: Parameters, rng: random.Random, *, named: bool) -> Program:
    has, told = yield from _which_have(asked, rng, named=named, until=True)
    yes = any(has.values())
    there = ("That is enough to know.", "So the answer is yes.", "One is enough.", "There it is.")
    missing = ("So none of the images has {an_item}.", "No image has {an_item}.", "There was no {item} in any image.")
    end = say(rng, there if yes else missing, an_item=asked["an_item"], item=asked["item"])
    yield from terminate(told + end, "yes" if yes else "no")


def _count_images(asked: Parameters, rng: random.Random, *, named: bool) -> Program:
    has, told = yield from _which_have(asked, rng, named=named)
    having = [one for one, there in has.items() if there]
    who = f"{joined(having)} {'has' if len(having) == 1 else 'have'}" if having else "no image has"
    ways = (
        "So {who} {an_item}: that makes {n}.",
        "In all, {who} {an_item}, which is {n}.",
        "{n} of {all}, since {who} {an_item}.",
    )
    yield from terminate(told + say(rng, ways, who=who, an_item=asked["an_item"], n=len(having), all=len(has)), str(len(having)))


def _count_images_in_turn(asked: Parameters, rng: random.Random) -> Program:
    """Every thought says how many pictures had it so far."""
    name, images, number = asked["name"], asked["images"], 0

    def tell(picture: str, found: Found) -> str:
        nonlocal number
        number += bool(found.regions)
        return f"{tell_counts(rng, picture, found, [name])}Images so far: {number}. "

    _, told = yield from survey(rng, images, [name], say(rng, _LOOK_FOR, an_item=asked["an_item"], image=images[0]), tell)
    yield from terminate(told + say(rng, ("So it is {n}.", "That makes {n}."), n=number), str(number))


_COMMON = (
    "To see what they share I list the objects of each image. First {image}.",
    "I need the names of the objects in every image; {image} first.",
    "What do they share? I begin with the objects of {image}.",
)
_OTHERS = ("What does {image} show?", "I compare that with {image}.", "Now the names of {image}.")
_THIS = ("Is it in {image} as well?", "Now I look for it in {image}.", "I search {image} for it.")
_THESE = ("Which of these are in {image}?", "Now I look for these in {image}.", "I search {image} for them.")


def _share(asked: Parameters, rng: random.Random) -> Program:
    images = asked["images"]
    named, told = yield from survey_names(rng, images, say(rng, _COMMON, image=images[0]))
    first, *rest = named.values()
    answer = _single([name for name in first if all(name in names for names in rest)])
    ways = ("Only {item} is in every list.", "All the lists have {item}, and nothing else.", "What they share is: {item}.")
    yield from terminate(told + say(rng, ways, item=answer), answer)


def _share_by_boxes(asked: Parameters, rng: random.Random) -> Program:
    """Names one picture's objects, and looks for these in the others."""
    first, *rest = asked["images"]
    names = yield from _named(rng, first, say(rng, _COMMON, image=first))
    thought = tell_names(rng, first, names) + say(rng, _THESE if len(names) > 1 else _THIS, image=rest[0])
    found, told = yield from survey(rng, rest, names, thought)
    answer = _single([name for name in names if all(own.count(name) for own in found.values())])
    yield from terminate(told + say(rng, ("So they all have: {item}.", "In all of them is only: {item}."), item=answer), answer)


def _named(rng: random.Random, picture: str, thought: str) -> Steps[list[str]]:
    names = yield from names_in(picture, thought)
    if not names:
        raise GaveUp("no object was named")
    return names


def _only_there(asked: Parameters, rng: random.Random, *, boxes: bool) -> Program:
    picture = asked["picture"]
    rest = [one for one in asked["images"] if one != picture]
    ways = ("I list the objects of {image}.", "First I need the names of what {image} shows.", "What does {image} show?")
    thought = pointed((asked["image"], picture)) + say(rng, ways, image=picture)
    names = yield from _named(rng, picture, thought)
    ways = _OTHERS if not boxes else _THESE if len(names) > 1 else _THIS
    thought = tell_names(rng, picture, names) + say(rng, ways, image=rest[0])
    if boxes:
        found, told = yield from survey(rng, rest, names, thought)
        elsewhere = {name for own in found.values() for name in names if own.count(name)}
    else:
        named, told = yield from survey_names(rng, rest, thought)
        elsewhere = {name for own in named.values() for name in own}
    answer = _single([name for name in names if name not in elsewhere])
    ends = ("Only {item} is in {image} alone.", "Of {image} only {item} is nowhere else.", "In {image} alone is: {item}.")
    yield from terminate(told + say(rng, ends, item=answer, image=picture), answer)


def _single(names: list[str]) -> str:
    if len(names) != 1:
        raise GaveUp("not just one object is like that")
    return names[0]


def _both(plan: Callable[..., Program], **settings: bool) -> tuple[Plan, ...]:
    """By boxes and by names."""
    return tuple(partial(plan, named=named, **settings) for named in (False, True))


def _searches(without: bool) -> tuple[Plan, ...]:
    return tuple(plan for early in (True, False) for plan in _both(_search, without=without, early=early))


def _looks(without: bool) -> tuple[Plan, ...]:
    by_boxes = tuple(partial(_search, named=False, without=without, early=early) for early in (True, False))
    return (*by_boxes, partial(_search_by_looks, without=without))


def _type(weight: float, name: str, choose: Callable[..., Asked | None], *plans: Plan) -> dict[str, QuestionType]:
    return {name: QuestionType(weight, choose, plans, PHRASINGS[name])}


TYPES: dict[str, QuestionType] = {
    **_type(1.0, "image_with_object", partial(_image_with, without=False), *_searches(False)),
    **_type(0.7, "image_without_object", partial(_image_with, without=True), *_searches(True)),
    **_type(1.0, "image_with_attributed_object", partial(_image_with_described, without=False), *_looks(False)),
    **_type(0.6, "image_without_attributed_object", partial(_image_with_described, without=True), *_looks(True)),
    **_type(0.7, "any_image_with_object", _any_image, *_both(_check_any)),
    **_type(0.7, "number_of_images_with_object", _number_of_images, _count_images_in_turn, *_both(_count_images)),
    **_type(0.8, "object_in_all_images", _in_all, _share, _share_by_boxes),
    **_type(0.8, "object_in_one_image", _only_in, *(partial(_only_there, boxes=boxes) for boxes in (True, False))),
}
"""Every type; with `set_phrasings` and `sets` all there is to one."""
