"""Counting across pictures: most and fewest, in one of them, over all of them, how many more here than there.

Run: `make_question(rng, "image_with_most", TYPES["image_with_most"], annotation)`. Asked only where all of a name are annotated.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter

from taco.data_gen.programs.object_counting import ONE_LEFT_OUT
from taco.data_gen.programs.object_nouns import plural, singular
from taco.data_gen.programs.object_steps import Found, Steps, say
from taco.data_gen.programs.question import Asked, Parameters, Plan, Program, QuestionType, call, evenly, terminate
from taco.data_gen.programs.set_facts import described_tallies, image, images_of, naming, others, said, tallies
from taco.data_gen.programs.set_phrasings import PHRASINGS
from taco.data_gen.programs.set_presence import described, words_for
from taco.data_gen.programs.set_steps import (
    by_image,
    extreme,
    locate_in,
    names_in,
    pointed,
    survey,
    tell_counts,
    tell_looks,
    tell_names,
)
from taco.data_gen.scenes.scene import SceneSet

NONE_THERE = 0.15
"""Share of the totals of what only one picture shows that are asked."""

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _known(asked: SceneSet) -> list[tuple[str, list[int]]]:
    """Names that some picture shows, with their numbers in all of them."""
    found = [(name, [count for count in counts if count is not None]) for name, counts in tallies(asked.scenes).items()]
    return [(name, counts) for name, counts in found if len(counts) == len(asked.scenes)]


def _extreme(rng: random.Random, asked: SceneSet, *, sign: int) -> Asked | None:
    found = []
    for name, counts in _known(asked):
        best = max(sign * count for count in counts)
        # The fewest of what is in one picture alone would be a question of presence.
        if [sign * count for count in counts].count(best) == 1 and sum(map(bool, counts)) > 1:
            found.append((name, counts.index(sign * best)))
    if not found:
        return None
    name, index = rng.choice(found)
    images = images_of(asked)
    return Asked(naming(rng, images) | words_for(name), image(index), others(images, image(index)))


def _in_one(rng: random.Random, asked: SceneSet, *, with_attribute: bool) -> Asked | None:
    """ "Red mugs" are asked for where there are mugs."""
    counts = tallies(asked.scenes)
    table = described_tallies(asked.scenes) if with_attribute else {("", name): own for name, own in counts.items()}
    found = [
        (value, name, index, number)
        for (value, name), own in table.items()
        for index, number in enumerate(own)
        if number is not None and (number or not value or counts[name][index])
    ]
    if not found:
        return None
    value, name, index, number = evenly(rng, found, itemgetter(3))
    [words] = said(rng, index)
    parameters = described(asked, value, name) if value else words_for(name)
    return Asked(parameters | {"picture": image(index), "image": words}, str(number))


def _total(rng: random.Random, asked: SceneSet) -> Asked | None:
    found = [(name, counts) for name, counts in _known(asked) if sum(map(bool, counts)) > 1 or rng.random() < NONE_THERE]
    if not found:
        return None
    name, counts = rng.choice(found)
    return Asked(naming(rng, images_of(asked)) | words_for(name), str(sum(counts)))


def _how_many_more(rng: random.Random, asked: SceneSet) -> Asked | None:
    found = [
        (name, one, other, first - second)
        for name, counts in tallies(asked.scenes).items()
        for one, first in enumerate(counts)
        for other, second in enumerate(counts)
        if first is not None and second is not None and first > second
    ]
    if not found:
        return None
    name, one, other, difference = evenly(rng, found, itemgetter(3))
    if difference == 1 and rng.random() < ONE_LEFT_OUT:
        return None
    words = said(rng, one, other)
    parameters = {"pictures": (image(one), image(other)), "image": words[0], "other": words[1]}
    return Asked(parameters | words_for(name), str(difference))


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)

_TO_COMPARE = (
    "I have to count the {items} in every image. I start with {image}.",
    "To compare the images I count their {items}, those of {image} first.",
    "Each image's {items} have to be counted; {image} comes first.",
    "I let the detector find the {items} of each image and begin with {image}.",
)
_TO_ADD = (
    "I need the number of {items} in every image. I start with {image}.",
    "I count the {items} image by image and add them up. First {image}.",
    "The {items} of all images have to be counted, those of {image} first.",
)
_TO_COUNT = (
    "I locate the {items} in {image} to count them.",
    "To count the {items} I let the detector find them in {image}.",
    "Each of the {items} in {image} gets a box; then I can count.",
    "I need the boxes of all {items} in {image}.",
    "How many {items} does the detector find in {image}?",
)


def _counted(
    asked: Parameters, rng: random.Random, ways: Sequence[str], tally: Callable[[dict[str, int]], str] | None = None
) -> Steps[tuple[dict[str, int], str]]:
    """How many each picture shows, and what the last observation says; a tally stands behind what each says."""
    images, name, numbers = asked["images"], asked["name"], dict[str, int]()

    def tell(picture: str, found: Found) -> str:
        numbers[picture] = found.count(name)
        told = tell_counts(rng, picture, found, [name])
        return f"{told}{tally(numbers)} " if tally else told

    _, told = yield from survey(rng, images, [name], say(rng, ways, items=plural(name), image=images[0]), tell)
    return numbers, told


def _summed(numbers: Mapping[str, int]) -> str:
    return " + ".join(map(str, numbers.values()))


def _sum_so_far(numbers: Mapping[str, int]) -> str:
    """``So far: 2 + 1 = 3.``: the sum before, and what the last picture adds."""
    *before, last = numbers.values()
    return f"So far: {sum(before)} + {last} = {sum(before) + last}." if before else f"So far: {last}."


def _best_so_far(numbers: Mapping[str, int], sign: int) -> str:
    """``Not more than 3. Most so far: image-1, 3.``: one word decides, and what follows is copied."""
    most, more = ("Most", "more") if sign > 0 else ("Fewest", "fewer")
    *before, _ = numbers
    best = max(numbers, key=lambda image: sign * numbers[image])
    told = f"{most} so far: {best}, {numbers[best]}."
    if not before:
        return told
    known = max((numbers[image] for image in before), key=lambda number: sign * number)
    return f"{f'Not {more}' if best in before else more.capitalize()} than {known}. {told}"


def _compare(asked: Parameters, rng: random.Random, *, sign: int) -> Program:
    numbers, told = yield from _counted(asked, rng, _TO_COMPARE)
    answer = extreme(numbers, sign)
    ways = (
        "The numbers are {all}, so {image} has the {most}.",
        "{all}: the {most} are in {image}.",
        "By number ({all}) it is {image}.",
    )
    end = say(rng, ways, all=by_image(numbers), image=answer, most="most" if sign > 0 else "fewest")
    yield from terminate(told + end, answer)


def _compare_in_turn(asked: Parameters, rng: random.Random, *, sign: int) -> Program:
    """Every thought says which picture has the most so far."""
    numbers, told = yield from _counted(asked, rng, _TO_COMPARE, partial(_best_so_far, sign=sign))
    answer = extreme(numbers, sign)
    yield from terminate(told + say(rng, ("So it is {image}.", "That is {image}."), image=answer), answer)


def _count(asked: Parameters, rng: random.Random) -> Program:
    name, picture = asked["name"], asked["picture"]
    thought = pointed((asked["image"], picture)) + say(rng, _TO_COUNT, items=plural(name), image=picture)
    found = yield from locate_in(picture, [name], thought)
    yield from terminate(tell_counts(rng, picture, found, [name]).strip(), str(found.count(name)))


def _count_if_named(asked: Parameters, rng: random.Random) -> Program:
    """Asks for the names first: what is not there need not be located."""
    name, picture = asked["name"], asked["picture"]
    ways = ("First I check what {image} has.", "Which objects are in {image} at all?", "I list the objects of {image} first.")
    named = yield from names_in(picture, pointed((asked["image"], picture)) + say(rng, ways, image=picture))
    told = tell_names(rng, picture, named)
    if name not in named:
        yield from terminate(f"{told}There is no {asked['item']}, so it is 0.", "0")
        return
    found = yield from locate_in(picture, [name], told + say(rng, _TO_COUNT, items=plural(name), image=picture))
    yield from terminate(tell_counts(rng, picture, found, [name]).strip(), str(found.count(name)))


def _count_by_looks(asked: Parameters, rng: random.Random) -> Program:
    """Finds all mugs, and sees how many are red."""
    base, picture, kind, value = asked["base"], asked["picture"], asked["kind"], asked["value"]
    ways = (
        "I locate all {items} in {image} and look at their {kind}.",
        "First I need every {item} in {image}; its {kind} I can see then.",
        "Which of the {items} in {image} are {value}? I find them all first.",
    )
    thought = say(rng, ways, items=plural(base), item=singular(base), image=picture, kind=kind, value=value)
    found = yield from locate_in(picture, [base], pointed((asked["image"], picture)) + thought)
    looks = {region.label: asked["eyes"][picture].trait(region, kind) for region in found.regions}
    number = sum(look == value for look in looks.values())
    told = found.note + (tell_looks(rng, picture, looks) if looks else tell_counts(rng, picture, found, [base]))
    ends = ("That makes {n} that {are} {value}.", "So {n} of {all} {are} {value}.") if looks else ("So none is {value}.",)
    end = say(rng, ends, n=number, value=value, all=len(looks), are="is" if number == 1 else "are")
    yield from terminate(told + end, str(number))


def _add_in_turn(asked: Parameters, rng: random.Random) -> Program:
    """Every thought says the sum so far."""
    numbers, told = yield from _counted(asked, rng, _TO_ADD, _sum_so_far)
    total = sum(numbers.values())
    yield from terminate(told + say(rng, ("The sum is {n}.", "So there are {n} in all."), n=total), str(total))


def _add(asked: Parameters, rng: random.Random) -> Program:
    numbers, told = yield from _counted(asked, rng, _TO_ADD)
    yield from _calculated(rng, told, _summed(numbers), "sum")


def _add_by_head(asked: Parameters, rng: random.Random) -> Program:
    """Few and small numbers need no calculator."""
    numbers, told = yield from _counted(asked, rng, _TO_ADD)
    total = sum(numbers.values())
    end = say(rng, ("{sums} = {n}.", "Together: {sums} = {n}."), sums=_summed(numbers), n=total)
    yield from terminate(told + end, str(total))


def _subtract(asked: Parameters, rng: random.Random, *, calculate: bool) -> Program:
    pictures, name = asked["pictures"], asked["name"]
    named = pointed((asked["image"], pictures[0]), (asked["other"], pictures[1]))
    first = named + say(rng, _TO_COUNT, items=plural(name), image=pictures[0])
    found, told = yield from survey(rng, pictures, [name], first)
    numbers = [own.count(name) for own in found.values()]
    if calculate:
        yield from _calculated(rng, told, " - ".join(map(str, numbers)), "difference")
        return
    difference = numbers[0] - numbers[1]
    ways = ("The difference is {one} - {other} = {n}.", "{one} - {other} = {n}.", "That is {one} - {other} = {n} more.")
    yield from terminate(told + say(rng, ways, one=numbers[0], other=numbers[1], n=difference), str(difference))


def _calculated(rng: random.Random, told: str, expression: str, what: str) -> Program:
    ways = ("Now I calculate the {what}.", "I let the calculator give the {what}.", "What is the {what}?")
    result = yield from call(told + say(rng, ways, what=what), "Calculate", expression=expression)
    answer = json.dumps(result["result"])
    yield from terminate(say(rng, ("The result is {n}.", "It is {n}.", "That gives {n}."), n=answer), answer)


def _type(weight: float, name: str, choose: Callable[..., Asked | None], *plans: Plan) -> dict[str, QuestionType]:
    return {name: QuestionType(weight, choose, plans, PHRASINGS[name])}


def _comparisons(sign: int) -> tuple[Plan, ...]:
    return tuple(partial(plan, sign=sign) for plan in (_compare_in_turn, _compare))


TYPES: dict[str, QuestionType] = {
    **_type(1.0, "image_with_most", partial(_extreme, sign=1), *_comparisons(1)),
    **_type(0.8, "image_with_fewest", partial(_extreme, sign=-1), *_comparisons(-1)),
    **_type(1.0, "count_in_image", partial(_in_one, with_attribute=False), _count, _count_if_named),
    **_type(0.8, "count_attributed_in_image", partial(_in_one, with_attribute=True), _count, _count_by_looks),
    **_type(0.8, "total_over_images", _total, _add_in_turn, _add, _add_by_head),
    **_type(0.8, "how_many_more_in_image", _how_many_more, *(partial(_subtract, calculate=c) for c in (True, False))),
}
"""Every type; with `set_phrasings` and `sets` all there is to one."""
