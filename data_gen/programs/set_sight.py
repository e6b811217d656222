"""What the pictures plainly show, so that no tool is needed, and questions that have no answer.

Run: `make_question(rng, "number_of_images", TYPES["number_of_images"], annotation)`.
"""

import random
from collections.abc import Callable
from functools import partial

from taco.data_gen.programs.object_facts import (
    mentions,
    plain,
    trait,
    whole,
)
from taco.data_gen.programs.object_nouns import joined, singular
from taco.data_gen.programs.object_steps import say
from taco.data_gen.programs.question import CANNOT_TELL, Asked, GaveUp, Parameters, Plan, Program, QuestionType, terminate
from taco.data_gen.programs.set_facts import NUMBERS, ORDINALS, image, images_of, naming, others, said, tallies
from taco.data_gen.programs.set_phrasings import BEYOND, NOWHERE, PHRASINGS
from taco.data_gen.programs.set_presence import nowhere, words_for
from taco.data_gen.programs.set_steps import pointed, survey, survey_names
from taco.data_gen.scenes.object_names import OBJECT_COLOURS
from taco.data_gen.scenes.scene import SceneSet, area

SHAPE = 1.2
"""Height by width (or width by height) from which a picture is plainly upright (or wide); of the others it is 1 at most."""
PLAIN_AREA, PLAIN_SIDE, PLAIN_OBJECTS = 0.02, 0.1, 3
"""Share of the image, and objects in it, with which one is plain to see."""

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _number(rng: random.Random, asked: SceneSet) -> Asked | None:
    images = images_of(asked)
    return Asked({"images": images}, str(len(images)), tuple(str(n) for n in range(1, 7) if n != len(images)))


def _shaped(rng: random.Random, asked: SceneSet) -> Asked | None:
    upright = rng.random() < 0.5
    ratios = [scene.height / scene.width if upright else scene.width / scene.height for scene in asked.scenes]
    odd = [index for index, ratio in enumerate(ratios) if ratio >= SHAPE]
    if len(odd) != 1 or any(1 < ratio < SHAPE for ratio in ratios):
        return None
    images, form = images_of(asked), ("taller", "wide", "portrait") if upright else ("wider", "tall", "landscape")
    parameters = naming(rng, images) | {"longer": form[0], "shorter": form[1], "format": form[2], "seen": image(odd[0])}
    return Asked(parameters, image(odd[0]), others(images, image(odd[0])))


def _colour(rng: random.Random, asked: SceneSet) -> Asked | None:
    found = []
    for index, scene in enumerate(asked.scenes):
        if whole(scene) and len(scene.objects) <= PLAIN_OBJECTS:
            for mention in mentions(scene):
                colour = trait(mention.item, "colour")
                large = area(mention.item.bbox) >= PLAIN_AREA and plain(mention.item, PLAIN_SIDE)
                if large and colour and mention.words == mention.item.name:
                    found.append((index, mention.words, colour))
    if not found:
        return None
    index, name, colour = rng.choice(found)
    [words] = said(rng, index)
    parameters = words_for(name) | {"picture": image(index), "image": words, "seen": colour}
    return Asked(parameters, colour, tuple(other for other in OBJECT_COLOURS if other != colour))


def _beyond(rng: random.Random, asked: SceneSet) -> Asked | None:
    """About the fourth image of three, or one farther on."""
    count, names = len(asked.scenes), list(tallies(asked.scenes))
    if not names or count >= len(ORDINALS):
        return None
    index = count if rng.random() < 0.7 else rng.randrange(count, len(ORDINALS))
    [words] = said(rng, index)
    wrong = {"number": ("0", "1", "2", "3", "4"), "colour": tuple(OBJECT_COLOURS), "whether": ("yes", "no")}
    wanted = rng.choice(list(BEYOND))
    parameters = {"images": images_of(asked), "image": words, "ordinal": ORDINALS[index], **words_for(rng.choice(names))}
    return Asked(parameters, CANNOT_TELL, wrong[wanted], BEYOND[wanted])


def _missing(rng: random.Random, asked: SceneSet) -> Asked | None:
    """About an object that none of them shows."""
    names, there = nowhere(asked), list(tallies(asked.scenes))
    if not names or not there:
        return None
    images, name, wanted = images_of(asked), rng.choice(names), rng.choice(list(NOWHERE))
    parameters = naming(rng, images) | words_for(name) | {"other": singular(rng.choice(there))}
    return Asked(parameters, CANNOT_TELL, images if wanted == "image" else tuple(OBJECT_COLOURS), NOWHERE[wanted])


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)


def _count(asked: Parameters, rng: random.Random) -> Program:
    images = asked["images"]
    ways = (
        "I was given {all}.",
        "The images are {all}; no tool is needed for that.",
        "They are {all}.",
        "{all}: nothing has to be looked up to count them.",
    )
    yield from terminate(say(rng, ways, all=joined(images)), str(len(images)))


def _see_shape(asked: Parameters, rng: random.Random) -> Program:
    ways = (
        "I can see the shapes of the images: only {image} is {longer} than it is {shorter}.",
        "No tool is needed: {image} is the one that is {longer} than {shorter}.",
        "Plainly {image} has the {format} format.",
    )
    words = {key: asked[key] for key in ("longer", "shorter", "format")}
    yield from terminate(say(rng, ways, image=asked["seen"], **words), asked["seen"])


def _see_colour(asked: Parameters, rng: random.Random) -> Program:
    ways = (
        "One look at {image} is enough: the {item} is {seen}.",
        "The {item} in {image} is plain to see, so I need no tool.",
        "I can see the {item} in {image} well.",
    )
    thought = pointed((asked["image"], asked["picture"]))
    thought += say(rng, ways, item=asked["item"], image=asked["picture"], seen=asked["seen"])
    yield from terminate(thought, asked["seen"])


def _no_such_image(asked: Parameters, rng: random.Random) -> Program:
    images = asked["images"]
    ways = (
        "There are only {n} images: {all}.",
        "I was given {all}, so there is no {ordinal} image to look at.",
        "The images are {all}; the question is about one that is not there.",
        "The last image is {last}. A {ordinal} one does not exist.",
    )
    said_ = say(rng, ways, n=NUMBERS[len(images)], all=joined(images), ordinal=asked["ordinal"], last=images[-1])
    yield from terminate(said_, CANNOT_TELL)


_BEFORE = (
    "First I have to find the {item}. I look in {image}.",
    "Which image has the {item} at all? I begin with {image}.",
    "Before anything else I look for the {item}, first in {image}.",
)
_NO_ANSWER = (
    "None of the images has {an_item}, so this has no answer.",
    "There is no {item} anywhere, so it cannot be told.",
    "The question supposes {an_item} that is not there.",
)


def _miss(asked: Parameters, rng: random.Random, *, named: bool) -> Program:
    name, images = asked["name"], asked["images"]
    if named:
        first = say(
            rng, ("Is there {an_item} at all? I list the objects of {image}.",), an_item=asked["an_item"], image=images[0]
        )
        names, told = yield from survey_names(rng, images, first)
        there = any(name in own for own in names.values())
    else:
        found, told = yield from survey(rng, images, [name], say(rng, _BEFORE, item=asked["item"], image=images[0]))
        there = any(own.regions for own in found.values())
    if there:
        raise GaveUp("it was found")
    yield from terminate(told + say(rng, _NO_ANSWER, item=asked["item"], an_item=asked["an_item"]), CANNOT_TELL)


def _type(weight: float, name: str, choose: Callable[..., Asked | None], *plans: Plan) -> dict[str, QuestionType]:
    return {name: QuestionType(weight, choose, plans, PHRASINGS[name])}


TYPES: dict[str, QuestionType] = {
    **_type(0.15, "number_of_images", _number, _count),
    **_type(0.4, "image_of_format", _shaped, _see_shape),
    **_type(0.6, "colour_at_sight_in_image", _colour, _see_colour),
    **_type(0.3, "unanswerable_image", _beyond, _no_such_image),
    **_type(0.6, "unanswerable_in_images", _missing, *(partial(_miss, named=named) for named in (True, False))),
}
"""Every type; with `set_phrasings` and `sets` all there is to one."""
