"""Steps that the programs about sets share: find or name objects in one picture after another, and say what was found.

>>> found, told = yield from survey(rng, images, ["mug"], "I count the mugs of image-0 first.")       # in a program
>>> found["image-1"].count("mug"), told
(2, 'In image-1 there are 2 mugs. ')

A thought tells what the observation before it gave, and why the next picture has to be looked at.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taco.data_gen.programs.object_nouns import counted, joined, plural
from taco.data_gen.programs.object_steps import Found, Region, Steps, read_regions, say
from taco.data_gen.programs.question import GaveUp, call

MIN_APART = 0.02
"""Share of the image by which two centres have to differ to tell left from right."""

_NEXT = (
    "Next is {image}.",
    "Now {image}.",
    "Next I look at {image}.",
    "I do the same for {image}.",
    "I need to know the same of {image}.",
    "To compare, I need {image} too.",
)
_LAST = (
    "Only {image} is left.",
    "The last one is {image}.",
    "Now the last one, {image}.",
    "I still need {image}.",
    "It remains to look at {image}.",
    "To compare, I need {image} too.",
)
_COUNTED = (
    "In {image} there {are} {what}. ",
    "The detector finds {what} in {image}. ",
    "I count {what} in {image}. ",
    "For {image} that makes {what}. ",
)
_NAMED = ("In {image} there are: {names}. ", "The objects of {image} are: {names}. ", "Named in {image}: {names}. ")
_NAMED_ONE = ("In {image} there is only one name: {names}. ", "Of {image} just one object is named: {names}. ")
_NOTHING_NAMED = ("No object was named in {image}. ", "The list for {image} is empty. ")


def locate_in(image: str, names: Sequence[str], thought: str) -> Steps[Found]:
    """Where objects are in one picture; a call of LocalizeObjects."""
    result = yield from call(thought, "LocalizeObjects", image=image, objects=list(names))
    return read_regions(result["regions"], names)


def names_in(image: str, thought: str) -> Steps[list[str]]:
    """The names of all objects of one picture; a call of GetObjects."""
    return list((yield from call(thought, "GetObjects", image=image))["objects"])


def survey(
    rng: random.Random,
    images: Sequence[str],
    names: Sequence[str],
    first: str,
    tell: Callable[[str, Found], str] | None = None,
    until: Callable[[Found], bool] = lambda found: False,
) -> Steps[tuple[dict[str, Found], str]]:
    """Where objects are in each picture, and what the last observation says, as a sentence.

    Args:
        rng: The chance for the words.
        images: In this order.
        names: Descriptions of what to find.
        first: The first thought.
        tell: What a picture's observation says; by default how many there are of each description.
        until: Whether to stop after an observation.
    """
    found: dict[str, Found] = {}
    told = ""
    for index, image in enumerate(images):
        thought = told + _leads_to(rng, images, index) if index else first
        found[image] = yield from locate_in(image, names, thought)
        told = tell(image, found[image]) if tell else tell_counts(rng, image, found[image], names)
        if until(found[image]):
            break
    return found, told


def survey_names(
    rng: random.Random, images: Sequence[str], first: str, until: Callable[[list[str]], bool] = lambda names: False
) -> Steps[tuple[dict[str, list[str]], str]]:
    """The names of the objects of each picture, and what the last observation says, as a sentence."""
    named: dict[str, list[str]] = {}
    told = ""
    for index, image in enumerate(images):
        thought = told + _leads_to(rng, images, index) if index else first
        named[image] = yield from names_in(image, thought)
        told = tell_names(rng, image, named[image])
        if until(named[image]):
            break
    return named, told


def _leads_to(rng: random.Random, images: Sequence[str], index: int) -> str:
    return say(rng, _LAST if index == len(images) - 1 else _NEXT, image=images[index])


def tell_counts(rng: random.Random, image: str, found: Found, names: Sequence[str]) -> str:
    """``In image-1 there are 2 mugs and no book.``"""
    numbers = [found.count(name) for name in names]
    what = joined([count(number, name) for number, name in zip(numbers, names, strict=True)])
    return found.note + say(rng, _COUNTED, image=image, what=what, are="is" if numbers[0] == 1 else "are")


def tell_names(rng: random.Random, image: str, names: Sequence[str]) -> str:
    """``In image-1 there are: book, mug.``"""
    ways = _NAMED if len(names) > 1 else _NAMED_ONE if names else _NOTHING_NAMED
    return say(rng, ways, image=image, names=", ".join(names))


def count(number: int, name: str) -> str:
    """``no mugs``, ``1 mug``, ``2 mugs``."""
    return counted(number, name) if number else f"no {plural(name)}"


def by_image(numbers: Mapping[str, object]) -> str:
    """``image-0: 2, image-1: 3``."""
    return ", ".join(f"{image}: {number}" for image, number in numbers.items())


def pointed(*named: tuple[str, str]) -> str:
    """``The second image is image-1. `` for each (words, name) that differ: what a question calls it, and what a call must."""
    return "".join(f"{words[0].upper()}{words[1:]} is {image}. " for words, image in named if words != image)


def extreme(numbers: Mapping[str, float], sign: int) -> str:
    """The picture with the most (1) or the least (-1). Raises GaveUp where that is not one."""
    best = max(sign * number for number in numbers.values())
    found = [image for image, number in numbers.items() if sign * number == best]
    if len(found) != 1:
        raise GaveUp("two images are equal")
    return found[0]


def the_one(images: Sequence[str]) -> str:
    """The only one. Raises GaveUp where there are none or several."""
    if len(images) != 1:
        raise GaveUp("no image is like that" if not images else "several images are like that")
    return images[0]


def conclude(rng: random.Random, answer: str, seen: Sequence[str], images: Sequence[str], clause: str) -> str:
    """``So it is image-1.``; ``So only image-1 has a mug.`` where all were seen, another of them last.

    Args:
        rng: The chance for the words.
        answer: The picture.
        seen: Those that were looked at, in this order.
        images: All of them.
        clause: What is true of the answer alone, with ``{image}``.
    """
    ways = ("So only {clause}.", "Of all, only {clause}.", "It follows that only {clause}.")
    short = ("So it is {image}.", "That is {image}.", "Hence {image}.", "The answer is {image}.")
    fitting = short if len(seen) < len(images) else ways + short if answer == seen[-1] else ways
    return say(rng, fitting, image=answer, clause=clause.format(image=answer))


def side_in(found: Found, name: str, other: str) -> str:
    """``left``, ``right``, or "" where one of them is not there. Raises GaveUp where that cannot be told."""
    if not found.count(name) or not found.count(other):
        return ""
    middles = [_middle(found.one(words)) for words in (name, other)]
    if abs(middles[0] - middles[1]) < MIN_APART:
        raise GaveUp("neither is left of the other")
    return "left" if middles[0] < middles[1] else "right"


def _middle(region: Region) -> float:
    return (region.box[0] + region.box[2]) / 2


def tell_side(rng: random.Random, image: str, found: Found, name: str, other: str) -> str:
    """``In image-1 I see mug [...] and book [...]: the mug is to the left of the book.``"""
    side = side_in(found, name, other)
    if not side:
        missing = next(words for words in (name, other) if not found.count(words))
        return say(rng, ("In {image} there is no {name}. ", "No {name} was found in {image}. "), image=image, name=missing)
    boxes = f"{found.one(name)} and {found.one(other)}"
    ways = (
        "In {image} I see {boxes}, so the {name} is to the {side} of the {other}. ",
        "The boxes in {image} are {boxes}: the {name} lies to the {side} of the {other}. ",
        "{boxes} in {image}: there the {name} is on the {side} side of the {other}. ",
    )
    return say(rng, ways, image=image, boxes=boxes, name=name, other=other, side=side)


def tell_looks(rng: random.Random, image: str, looks: Mapping[str, Any]) -> str:
    """``In image-1 the mug is red and mug-2 blue.``"""
    told = joined([f"{label} {look}" if index else f"the {label} is {look}" for index, (label, look) in enumerate(looks.items())])
    ways = ("In {image} {told}. ", "As I see in {image}, {told}. ", "Looking at the boxes of {image}, {told}. ")
    return say(rng, ways, image=image, told=told)
