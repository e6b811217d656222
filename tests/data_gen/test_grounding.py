"""Answers and arguments have to come from what was observed."""

from typing import Any

import pytest

from taco.data_gen.grounding import numbers_in, ungrounded, words_in
from taco.prompts import reply_text
from taco.tools.action import Action, Observation
from taco.trace import ImageFile, Step, Task, Trace

Call = tuple[str, dict[str, Any], dict[str, Any]]
OCR, DEPTH = "OCR", "EstimateObjectDepth"
IMAGE = {"image": "image-0"}
BOARD = {"text": "MENU\nGreen tea $4,50\nCake 3.20\nTotal 1.200,00"}
NOTHING: dict[str, Any] = {"image": "image-1", "regions": []}


def regions(*found: tuple[str, list[float]]) -> dict[str, Any]:
    return {"regions": [{"label": label, "bbox": bbox, "score": 0.5} for label, bbox in found]}


DOGS = regions(("dog", [0.12, 0.2, 0.31, 0.6]), ("dog-2", [0.5, 0.22, 0.71, 0.63]), ("cat", [0.8, 0.1, 0.93, 0.3]))


def trace_of(question: str, answer: str, *calls: Call, choices: tuple[str, ...] | None = None, thought: str = "") -> Trace:
    """A trace with a call each step."""
    steps = []
    names = [f"image-{index}" for index in range(2)]
    for number, (name, arguments, content) in enumerate(calls):
        action = Action(name=name, arguments=arguments)
        observation = Observation(error=content["error"]) if "error" in content else Observation(content=content)
        if "image" in content:
            names.append(f"image-{len(names)}")
            observation = Observation(content=content | {"image": names[-1]}, images=(names[-1],))
        said = thought if number else ""
        steps.append(Step(reply=reply_text(said, [action]), thought=said, actions=(action,), observations=(observation,)))
    end = Action(name="Terminate", arguments={"answer": answer})
    steps.append(Step(reply="", thought=thought, actions=(end,), observations=(Observation(content={"answer": answer}),)))
    task = Task(id="1", question=question, images=("images/a.png", "images/b.png"), answer=answer, choices=choices)
    images = {name: ImageFile(file=f"images/{name}.png", sha256="0" * 64) for name in names}
    return Trace(task=task, steps=tuple(steps), answer=answer, stop_reason="answered", images=images)


def calculate(expression: str, result: float) -> Call:
    return "Calculate", {"expression": expression}, {"result": result}


def depth(name: str, value: float) -> Call:
    return DEPTH, {"image": "image-0", "object": name}, {"depth": value}


def crop(bbox: list[float], **more: Any) -> Call:
    return "ZoomIn" if more else "Crop", {**IMAGE, "bbox": bbox, **more}, {"image": ""}


def region_depth(bbox: list[float]) -> Call:
    return "EstimateRegionDepth", {**IMAGE, "bbox": bbox}, {"depth": 2.5}


def localize(*names: str, found: dict[str, Any] = DOGS) -> Call:
    return "LocalizeObjects", {"image": "image-0", "objects": list(names)}, found


READ: Call = (OCR, IMAGE, BOARD)
GROUNDED = {
    "a printed number": trace_of("How much is the cake?", "3.2", READ),
    "decimal comma": trace_of("How much is the green tea?", "4.50", READ),
    "thousands": trace_of("What is the total?", "1200", READ),
    "with a currency": trace_of("How much is the cake?", "$3.20", READ),
    "a result": trace_of("How much are 3 cakes?", "9.6", READ, calculate("3 * 3.20", 9.6)),
    "a number in words": trace_of("How much are three cakes?", "9.6", READ, calculate("3 * 3.20", 9.6)),
    "a dozen": trace_of("How much are a dozen cakes?", "38.4", READ, calculate("12 * 3.20", 38.4)),
    "a mean": trace_of("What is the mean price?", "3.85", READ, calculate("(4.50 + 3.20) / 2", 3.85)),
    "a rounded result": trace_of("The ratio?", "1.41", READ, calculate("4.50 / 3.20", 1.40625)),
    "a per cent": trace_of("What share?", "71%", READ, calculate("3.20 / 4.50", 0.711111)),
    "a list of arguments": trace_of("Which is cheaper?", "Cake", READ, calculate("min(4.50, 3.20)", 3.2)),
    "a name as read": trace_of("Which is cheapest?", "cake", READ),
    "a misread name": trace_of("Which is cheapest?", "Espresso", (OCR, IMAGE, {"text": "Espress0 2.50"})),
    "a name without its space": trace_of("Which is dearest?", "Green tea", (OCR, IMAGE, {"text": "Greentea 4.50"})),
    "a date": trace_of("When?", "12/05/2024", (OCR, IMAGE, {"text": "Sale 12/05/2024"})),
    "a sentence": trace_of("Which costs most?", "It is the green tea that is dearest.", READ),
    "a count": trace_of("How many dogs are there?", "2", localize("dog")),
    "a count in words": trace_of("How many dogs are there?", "two", localize("dog")),
    "none": trace_of("How many dogs are there?", "0", localize("dog", found=NOTHING)),
    "over two images": trace_of("How many dogs do both images show?", "5", localize("dog"), localize("cat")),
    "counted lines": trace_of("How many rows are there?", "3", READ),
    "which row": trace_of("Which row is the cake?", "3", READ),
    "yes": trace_of("Is there a dog?", "yes", localize("dog")),
    "No.": trace_of("Is there a dog?", "No.", localize("dog", found=NOTHING)),
    "cannot be told": trace_of("How much is the fish?", "It cannot be told", READ),
    "not there": trace_of("How far is the cow?", "none", (DEPTH, {"object": "cow", **IMAGE}, {"error": "No 'cow' was found."})),
    "closer": trace_of("Which is closer, the mug or the box?", "mug", depth("mug", 1.2), depth("box", 3.4)),
    "an option": trace_of("Which is closer?", "B", depth("box", 1.2), depth("mug", 3.4), choices=("mug", "box")),
    "a direction": trace_of("Where is the dog?", "left of the cat", localize("dog", "cat")),
    "left-most": trace_of("What is left-most?", "dog", (OCR, IMAGE, {"objects": ["cat", "dog"]}), localize("cat", "dog")),
    "an image": trace_of("Which image has more dogs?", "image-1", localize("dog"), localize("dog")),
    "the second image": trace_of("Which image has more dogs?", "the second image", localize("dog"), localize("dog")),
    "an area": trace_of("How large is the dog?", "0.076", localize("dog"), calculate("(0.31 - 0.12) * (0.6 - 0.2)", 0.076)),
    "width and height": trace_of("How large is the dog?", "0.076", localize("dog"), calculate("0.19 * 0.4", 0.076)),
    "a sum in a thought": trace_of("How much are both?", "7.70", READ, thought="4.50 + 3.20 = 7.70, so that is it."),
    "an equation": trace_of(
        "Solve it.",
        "2 or 3",
        (OCR, IMAGE, {"text": "x² - 5x + 6 = 0"}),
        ("SolveMathEquation", {"query": "x^2 - 5x + 6 = 0"}, {"result": "x = 2 or x = 3"}),
    ),
    "a chart": trace_of("What is the rise?", "25", (OCR, IMAGE, {"text": "2019 2020\n110 135"}), calculate("135 - 110", 25)),
    "a colour": trace_of("What colour is the cake's row?", "red", READ),
    "seen in a crop": trace_of("Which number does the player wear?", "23", crop([0.1, 0.2, 0.4, 0.5])),
    "a name seen in an image": trace_of("What does the dog hold?", "stick", localize("dog", found=DOGS | {"image": ""})),
    "an object that was found": trace_of("Is anyone there?", "yes", localize("person", found=regions(("person", [0, 0, 1, 1])))),
    "a region's box": trace_of("How far is the cat?", "2.5", localize("cat"), region_depth([0.8, 0.1, 0.93, 0.3])),
    "around two boxes": trace_of("Which?", "yes", localize("dog"), crop([0.1, 0.18, 0.73, 0.65])),
    "beside a box": trace_of("Which?", "yes", localize("dog"), crop([0, 0, 0.12, 1])),
    "a box by eye": trace_of("Which?", "yes", crop([0.25, 0.33, 0.6, 1], zoom_factor=2.7)),
    "a box of the question": trace_of("What is in [0.11, 0.2, 0.37, 0.5]?", "x", crop([0.11, 0.2, 0.37, 0.5])),
    "similar": trace_of(
        "Which image is more like the first?",
        "image-1",
        ("GetImageToImagesSimilarity", {**IMAGE, "other_images": ["image-1"]}, {"similarity": [0.9], "best_image": "image-1"}),
    ),
    "no tool": trace_of("How many dogs are there?", "7"),
}


@pytest.mark.parametrize("name", GROUNDED)
def test_grounded(name: str) -> None:
    assert ungrounded(GROUNDED[name]) == ""


UNGROUNDED = {
    "3.5 was not observed": trace_of("How much is the cake?", "3.5", READ),
    "9 was not observed": trace_of("How much is the cake?", "9", READ),
    "4 was not observed": trace_of("How many dogs are there?", "4", localize("dog", found=NOTHING)),
    "waffle was not observed": trace_of("Which is cheapest?", "Waffle", READ),
    "fish was not observed": trace_of("What do we see?", "fish", READ, choices=("fish", "bird")),
    "no call before it gave anything": trace_of("Is there a dog?", "yes", (OCR, IMAGE, {"error": "It failed."})),
    "there is no image-7": trace_of("Which image has more dogs?", "image-7", localize("dog"), localize("dog")),
    "Calculate is given 3.25": trace_of("How much are 3 cakes?", "9.75", READ, calculate("3 * 3.25", 9.75)),
    "Calculate is given 14.5": trace_of("How much is it?", "14.5", calculate("14.5", 14.5)),
    "Calculate is given 1,300": trace_of("How much is it?", "1300", READ, calculate("1,300 * 1", 1300)),
    "LocalizeObjects is given 'unicorn'": trace_of("How many dogs are there?", "0", localize("unicorn", found=NOTHING)),
    "EstimateRegionDepth is given the box [0.13, 0.57, 0.41, 0.92]": trace_of(
        "How far is the cat?", "2.5", localize("cat"), region_depth([0.13, 0.57, 0.41, 0.92])
    ),
    "Crop is given the box [0.03, 0.02, 0.97, 0.98]": trace_of("Which?", "yes", localize("dog"), crop([0.03, 0.02, 0.97, 0.98])),
    "8.70 was not observed": trace_of("How much are both?", "8.70", READ, thought="4.50 + 3.20 = 8.70, so that is it."),
}


@pytest.mark.parametrize("reason", UNGROUNDED)
def test_ungrounded(reason: str) -> None:
    assert reason in ungrounded(UNGROUNDED[reason])


def test_what_comes_beside_the_answer_supports_nothing() -> None:
    trace = trace_of("How much is the cake?", "3.20", READ)
    read, end = trace.steps
    both = Step(reply="", actions=read.actions + end.actions, observations=read.observations + end.observations)
    assert "no call before it" in ungrounded(trace.model_copy(update={"steps": (both,)}))


def test_numbers_and_words_of_texts() -> None:
    assert numbers_in("1.200,50 and 3,20; 15% of a dozen") == {120050, 1200.5, 320, 3.2, 15, 0.15, 12}
    assert words_in("Boxes, mugs and GLASSES; Cherries 3x") == words_in("box mug and glass cherry x")


def test_a_word_and_its_plural_are_one() -> None:
    for one, several in (
        ("house", "houses"), ("vase", "vases"), ("suitcase", "suitcases"), ("prize", "prizes"), ("glass", "glasses"),
        ("bus", "buses"), ("cactus", "cactuses"), ("box", "boxes"), ("bench", "benches"), ("dish", "dishes"),
        ("snowman", "snowmen"), ("cherry", "cherries"), ("knife", "knives"), ("mug", "mugs"),
    ):  # fmt: skip
        assert words_in(several) == words_in(one), several
    assert words_in("houses vases snowmen") == {"house", "vase", "snowman"}
