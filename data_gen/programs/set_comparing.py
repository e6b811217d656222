"""Comparing objects across pictures: on which side of another they are, and what they look like.

Run: `make_question(rng, "image_with_relation", TYPES["image_with_relation"], annotation)`. Sides are those of the image, left and
right; they are told by the centres of boxes, and asked only where boxes are clearly beside each other.
"""

import random
from collections.abc import Callable
from functools import partial
from itertools import combinations, permutations

from taco.data_gen.programs.object_facts import trait
from taco.data_gen.programs.object_nouns import listed, plural, singular
from taco.data_gen.programs.object_steps import Found, say
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Plan, Program, QuestionType, terminate
from taco.data_gen.programs.set_facts import image, images_of, naming, others, said, side_of, singles, tallies
from taco.data_gen.programs.set_phrasings import PHRASINGS
from taco.data_gen.programs.set_presence import eyes_of, words_for
from taco.data_gen.programs.set_steps import conclude, locate_in, pointed, side_in, survey, tell_looks, tell_side, the_one
from taco.data_gen.scenes.scene import SceneSet

OPPOSITE = {"left": "right", "right": "left"}
ONE_NAME = 0.15
"""Share of the questions with answer yes that ask whether things of one name are the same colour."""
BOTH_THERE = 0.7
"""Share of "in which image is the mug left of the book" where another picture has both, if there is one."""

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _sides(asked: SceneSet) -> dict[tuple[str, str], list[str | None]]:
    """Of every two names that single out objects in one picture, in both orders, the side in each picture."""
    pairs = sorted({pair for scene in asked.scenes for pair in permutations(singles(scene), 2)})
    return {pair: [side_of(scene, *pair) for scene in asked.scenes] for pair in pairs}


def _image_with_relation(rng: random.Random, asked: SceneSet, *, without: bool) -> Asked | None:
    """Of those pictures where it can be told; `without`: of those that show both."""
    found = []
    for pair, sides in _sides(asked).items():
        told = {image(index): own for index, own in enumerate(sides) if own and not (without and own == "absent")}
        for side in OPPOSITE:
            odd = [name for name, own in told.items() if (own == side) != without]
            if len(odd) == 1 < len(told):
                found.append((pair, side, odd[0], tuple(told), set(OPPOSITE) <= set(told.values())))
    tempting = [one for one in found if one[-1]]
    if not found:
        return None
    pair, side, answer, images, _ = rng.choice(tempting if tempting and rng.random() < BOTH_THERE else found)
    named = naming(rng, images, whole=len(images) == len(asked.scenes))
    return Asked(named | _pair(pair) | {"side": side}, answer, others(images, answer))


def _pair(names: tuple[str, str]) -> dict[str, object]:
    return {"names": names, "item": singular(names[0]), "other": singular(names[1])}


def _same_side(rng: random.Random, asked: SceneSet) -> Asked | None:
    same = rng.random() < 0.5
    found = [
        (pair, one, other)
        for pair, sides in _sides(asked).items()
        for one, other in combinations(range(len(sides)), 2)
        if {sides[one], sides[other]} <= {"left", "right"} and (sides[one] == sides[other]) == same
    ]
    if not found:
        return None
    pair, one, other = rng.choice(found)
    return Asked(_two(rng, one, other) | _pair(pair), "yes" if same else "no", ("yes", "no"))


def _two(rng: random.Random, one: int, other: int) -> dict[str, object]:
    """Parameters for two pictures, in either order."""
    indices = (one, other) if rng.random() < 0.5 else (other, one)
    words = said(rng, *indices)
    return {"pictures": tuple(map(image, indices)), "image": words[0], "second": words[1]}


def _same_colour(rng: random.Random, asked: SceneSet) -> Asked | None:
    """Things of one name are rather asked about where they differ: in variations they are mostly the same thing."""
    same = rng.random() < 0.5
    things = [
        (index, name, colour)
        for index, scene in enumerate(asked.scenes)
        for name, item in singles(scene).items()
        if (colour := trait(item, "colour"))
    ]
    found = [(a, b) for a, b in combinations(things, 2) if a[0] != b[0] and (a[2] == b[2]) == same]
    of_a_name = [pair for pair in found if pair[0][1] == pair[1][1]]
    if not found:
        return None
    of_two = [pair for pair in found if pair[0][1] != pair[1][1]]
    preferred = of_a_name if not same or rng.random() < ONE_NAME else of_two
    one, other = rng.choice(preferred or found)
    words = said(rng, one[0], other[0])
    parameters = {"pictures": (image(one[0]), image(other[0])), "image": words[0], "second": words[1], "eyes": eyes_of(asked)}
    return Asked(parameters | _pair((one[1], other[1])), "yes" if same else "no", ("yes", "no"))


def _colour_in_all(rng: random.Random, asked: SceneSet) -> Asked | None:
    found = []
    for name, counts in tallies(asked.scenes).items():
        colours = {trait(item, "colour") for scene in asked.scenes for item in scene.objects if item.name == name}
        if set(counts) == {1} and len(colours) == 1 and None not in colours:
            found.append((name, colours.pop()))
    if not found:
        return None
    name, colour = rng.choice(found)
    wrong = {trait(item, "colour") for scene in asked.scenes for item in scene.objects} - {colour, None}
    parameters = naming(rng, images_of(asked)) | words_for(name) | {"eyes": eyes_of(asked)}
    return Asked(parameters, str(colour), tuple(sorted(map(str, wrong))))


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)

_BOTH = (
    "I need the boxes of {things} in each image, {image} first.",
    "On which side is what? I locate {things}, beginning with {image}.",
    "To compare their places I find {things} in {image} first.",
    "Boxes tell left from right, so I locate {things} in {image}.",
)


def _search(asked: Parameters, rng: random.Random, *, without: bool, early: bool) -> Program:
    name, other = asked["names"]
    images, side = asked["images"], asked["side"]

    def is_it(found: Found) -> bool:
        return bool((side_in(found, name, other) == side) != without)

    def tell(picture: str, found: Found) -> str:
        return found.note + tell_side(rng, picture, found, name, other)

    first = say(rng, _BOTH, things=listed((name, other)), image=images[0])
    found, told = yield from survey(rng, images, [name, other], first, tell, lambda own: early and is_it(own))
    answer = the_one([one for one, own in found.items() if is_it(own)])
    clause = f"in {{image}} is the {asked['item']} {'not ' if without else ''}to the {side} of the {asked['other']}"
    yield from terminate(told + conclude(rng, answer, list(found), images, clause), answer)


def _compare_sides(asked: Parameters, rng: random.Random) -> Program:
    name, other = asked["names"]
    pictures = asked["pictures"]
    named = pointed((asked["image"], pictures[0]), (asked["second"], pictures[1]))
    first = named + say(rng, _BOTH, things=listed((name, other)), image=pictures[0])
    found, told = yield from survey(
        rng, pictures, [name, other], first, lambda one, own: own.note + tell_side(rng, one, own, name, other)
    )
    one, two = (side_in(own, name, other) for own in found.values())
    if not one or not two:
        raise GaveUp("the object was not found")
    if one == two:
        yield from terminate(told + say(rng, ("That is the same side.", "Both times it is the {side} side."), side=one), "yes")
    else:
        before = say(
            rng, ("In {image} it was the {side} side.", "It was the {side} side in {image}."), image=pictures[0], side=one
        )
        yield from terminate(told + before, "no")


def _compare_colours(asked: Parameters, rng: random.Random) -> Program:
    pictures, names, eyes = asked["pictures"], asked["names"], asked["eyes"]
    thought = pointed((asked["image"], pictures[0]), (asked["second"], pictures[1]))
    seen = []
    for index, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        ways = (
            "I look for the {item} in {image} to see its colour.",
            "What colour does the {item} in {image} have? I locate it.",
            "I need to see the {item} of {image}.",
        )
        found = yield from locate_in(picture, [name], thought + say(rng, ways, item=singular(name), image=picture))
        seen.append(eyes[picture].trait(found.one(name), "colour"))
        ways = ("In {image} the {item} is {colour}. ", "The {item} in {image} is {colour}. ", "{image} has a {colour} {item}. ")
        thought = found.note + say(rng, ways[: 2 + bool(found.note)], image=picture, item=singular(name), colour=seen[index])
    same = seen[0] == seen[1]
    ends = (
        ("Both are {one}.", "That is the same colour.") if same else ("The other was {one}.", "So {one} and {two}: they differ.")
    )
    yield from terminate(thought + say(rng, ends, one=seen[0], two=seen[1]), "yes" if same else "no")


def _find_colour(asked: Parameters, rng: random.Random) -> Program:
    images, name, eyes = asked["images"], asked["name"], asked["eyes"]
    seen: dict[str, str] = {}

    def tell(picture: str, found: Found) -> str:
        seen[picture] = eyes[picture].trait(found.one(name), "colour")
        return found.note + tell_looks(rng, picture, {found.one(name).label: seen[picture]})

    ways = (
        "I look at the {item} of each image and begin with {image}.",
        "Its colour can be seen once it is found; first the {item} of {image}.",
        "I locate the {item} in every image, {image} first, to see whether it is the same colour.",
    )
    _, told = yield from survey(rng, images, [name], say(rng, ways, item=singular(name), image=images[0]), tell)
    colours = set(seen.values())
    if len(colours) != 1:
        raise GaveUp("the colours differ")
    [colour] = colours
    ends = ("It is {colour} in every image.", "All {items} are {colour}.", "So they are all {colour}.")
    yield from terminate(told + say(rng, ends, colour=colour, items=plural(name)), colour)


def _type(weight: float, name: str, choose: Callable[..., Asked | None], *plans: Plan) -> dict[str, QuestionType]:
    return {name: QuestionType(weight, choose, plans, PHRASINGS[name])}


def _searches(without: bool) -> tuple[Plan, ...]:
    return tuple(partial(_search, without=without, early=early) for early in (True, False))


TYPES: dict[str, QuestionType] = {
    **_type(1.0, "image_with_relation", partial(_image_with_relation, without=False), *_searches(False)),
    **_type(0.6, "image_without_relation", partial(_image_with_relation, without=True), *_searches(True)),
    **_type(0.9, "same_relation", _same_side, _compare_sides),
    **_type(0.9, "same_colour_across", _same_colour, _compare_colours),
    **_type(0.7, "colour_in_all_images", _colour_in_all, _find_colour),
}
"""Every type; with `set_phrasings` and `sets` all there is to one."""
