"""Questions and programs of the family `signs`, held against a checker that shares no code with them."""

import dataclasses
import random
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from taco.data_gen.grounding import ungrounded
from taco.data_gen.observations import Simulated, make_observer
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.pipeline import Candidates, Recipe, Rejected, candidates, play
from taco.data_gen.programs.question import CANNOT_TELL, Asked, GaveUp, Question, QuestionType, make_question, phrase, wordings
from taco.data_gen.programs.sign_phrasings import PHRASINGS
from taco.data_gen.programs.sign_steps import PATTERNS, Seen, week
from taco.data_gen.programs.signs import QUESTION_TYPES
from taco.data_gen.scenes.signs import SignScene, render
from taco.tools.calculator import Calculate
from taco.tools.images import ImageStore
from taco.tools.regions import Crop, ZoomIn
from taco.tools.terminate import Terminate
from taco.tools.tool import Tool, tool
from taco.tools.toolbox import Toolbox

ALL_TYPES = Recipe(family="signs", seed=5, questions_per_scene=len(QUESTION_TYPES))
RIGHT = dict(QUESTION_TYPES)
FAULTLESS = OcrErrors.load().model_copy(update={"severity": (0.0,), "small": ((0.0, 0.0),)})
BY_EYE = {"no_such_sign", "count_signs", "colour_of_sign", "kind_of_sign"}


@pytest.fixture(scope="module")
def checker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "sign_checker.py")))


@pytest.fixture(scope="module")
def scenes() -> list[SignScene]:
    """Annotations; the photograph is not taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taco.data_gen.scenes.signs.paint", lambda place, size, rng: Image.new("RGB", size))
        patch.setattr("taco.data_gen.scenes.signs.degrade", lambda image, *_: image)
        splits: tuple[Any, Any] = ("train", "test")
        return [render(random.Random(number), split=splits[number % 2]).annotation for number in range(100)]


@pytest.fixture(scope="module")
def made() -> list[Candidates]:
    observer = Simulated(FAULTLESS)
    return [candidates(ALL_TYPES, number, observer) for number in range(25)]


def disagreements(
    checker: SimpleNamespace, scenes: list[SignScene], types: dict[str, QuestionType]
) -> tuple[list[Question], int]:
    """Questions about the scenes to which the checker has another answer, and how many there are."""
    asked = [
        (scene, question)
        for number, scene in enumerate(scenes)
        for name, kind in types.items()
        if (question := make_question(random.Random(f"{number}/{name}"), name, kind, scene))
    ]
    assert {question.type for _, question in asked} == set(types)
    wrong = [question for scene, question in asked if not _agree(checker, scene, question.text, question.answer)]
    return wrong, len(asked)


def _agree(checker: SimpleNamespace, scene: Any, text: str, answer: str) -> bool:
    return bool(checker.agrees(checker.right_answer(scene, text), answer))


def test_an_independent_checker_agrees_with_every_answer(checker: SimpleNamespace, scenes: list[SignScene]) -> None:
    wrong, asked = disagreements(checker, scenes, QUESTION_TYPES)
    assert wrong == []
    assert asked > 1000


def test_it_agrees_with_the_answer_of_every_trace_that_was_kept(checker: SimpleNamespace, made: list[Candidates]) -> None:
    traces = [(scene.annotation, trace) for scene in made for trace in scene.traces]
    assert {trace.task.source.removeprefix("signs/") for _, trace in traces} == set(QUESTION_TYPES)
    for scene, trace in traces:
        assert _agree(checker, scene, trace.task.question, trace.answer or ""), trace.task
        assert ungrounded(trace) == ""
        assert (len(trace.steps) == 1) == (trace.task.source.removeprefix("signs/") in BY_EYE)


def test_programs_reach_the_annotated_answer_where_nothing_is_misread(made: list[Candidates]) -> None:
    assert [outcome for scene in made for outcome in scene.outcomes if isinstance(outcome, Rejected)] == []


def planted(choose: Callable[[random.Random, Any], Asked | None]) -> Callable[[random.Random, Any], Asked | None]:
    """The same questions with a wrong answer: another one that is offered, or a number one off."""

    def wrong(rng: random.Random, scene: Any) -> Asked | None:
        asked = choose(rng, scene)
        if asked is None:
            return None
        others = [other for other in asked.wrong if other != asked.answer]
        return dataclasses.replace(asked, answer=others[0] if others else str(float(asked.answer) + 1))

    return wrong


@pytest.mark.parametrize("name", sorted(QUESTION_TYPES))
def test_a_planted_wrong_answer_turns_the_checker_red(
    name: str, checker: SimpleNamespace, scenes: list[SignScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUESTION_TYPES, name, dataclasses.replace(RIGHT[name], choose=planted(RIGHT[name].choose)))
    wrong, asked = disagreements(checker, scenes, {name: QUESTION_TYPES[name]})
    assert len(wrong) == asked


@pytest.mark.parametrize(
    ("name", "other"), [("farther", "travel_time"), ("travel_time", "farther"), ("tickets_total", "ticket_price")]
)
def test_a_wrong_program_gives_no_traces(name: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUESTION_TYPES, name, dataclasses.replace(RIGHT[name], plans=RIGHT[other].plans))
    recipe = dataclasses.replace(ALL_TYPES, types=(name,), min_items=6)
    outcomes = [outcome for number in range(8) for outcome in candidates(recipe, number, Simulated(FAULTLESS)).outcomes]
    assert outcomes
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


def test_most_traces_are_kept_with_the_packaged_error_rates() -> None:
    made = [candidates(ALL_TYPES, number, make_observer("simulated")) for number in range(8)]
    kept, asked = sum(len(scene.traces) for scene in made), sum(len(scene.tasks) for scene in made)
    assert kept > 0.6 * asked


def test_every_type_has_a_hundred_wordings_and_no_loose_ends() -> None:
    assert set(PHRASINGS) == set(QUESTION_TYPES)
    names = ("item", "other", "sign", "shop", "day", "verb", "unit", "number", "side", "options", "kind", "a_kind", "kinds")
    for name, grammar in PHRASINGS.items():
        assert sum(map(wordings, grammar)) >= 100, name
        said = {phrase(random.Random(seed), grammar, dict.fromkeys((*names, "colour"), "word")) for seed in range(1000)}
        assert len(said) >= 80, name
        assert not any(character in text for text in said for character in "(){}|"), name
        assert not any(loose in text for text in said for loose in ("  ", " ?", " ,", ":,")), name
        assert all(text.endswith(("?", ".")) for text in said), name


def test_wrong_options_are_wrong(checker: SimpleNamespace, scenes: list[SignScene]) -> None:
    for number, scene in enumerate(scenes[:40]):
        for name, kind in QUESTION_TYPES.items():
            question = make_question(random.Random(number), name, kind, scene)
            choices = question.with_choices(random.Random(0)).choices if question else None
            if question:
                assert choices is not None
                assert len(set(choices)) == len(choices) >= 2
                assert [choice for choice in choices if _agree(checker, scene, question.text, choice)] == [question.answer]


# ---------------------------------------------------------------------- plans, on observations made by hand

LEFT = Seen("the white door plate", "door plate", "white", "room", 1, True, (0.0, 0.2, 0.3, 0.4))
RIGHTMOST = Seen("the blue door plate", "door plate", "blue", "room", 1, True, (0.6, 0.2, 0.9, 0.4))
BUSES = Seen("the bus stop sign", "bus stop sign", "red", "line", 2, False, (0.0, 0.2, 0.3, 0.4))
WHOLE, ZOOM, CROP = range(3)


def says(*texts: str) -> Tool:
    """OCR that reads one text after the other; each line stands at the left, one that begins with > at the right."""
    left = iter(texts)

    @tool(name="OCR")
    def read(image: Image.Image, boxes: bool = False) -> dict[str, Any]:
        """Reads.

        Args:
            image: The image.
            boxes: With places.
        """
        lines = next(left).split("\n")
        sides = [(line.lstrip(">"), 0.65 if line.startswith(">") else 0.05) for line in lines]
        regions = [{"label": line, "bbox": [x, 0.25, x + 0.1, 0.35], "score": 1.0} for line, x in sides]
        return {"text": "\n".join(line for line, _ in sides)} | ({"regions": regions} if boxes else {})

    return read


def run(name: str, parameters: dict[str, Any], plan: int, ocr: Tool) -> list[tuple[str, list[str], str]]:
    """The calls of a plan, by number: tool, arguments, thought."""
    toolbox = Toolbox([ocr, Crop, ZoomIn, Calculate, Terminate])
    program = QUESTION_TYPES[name].plans[plan](parameters, random.Random(0))
    steps = play(program, ImageStore([Image.new("RGB", (200, 200))]), toolbox)
    return [(step.actions[0].name, [str(value) for value in step.actions[0].arguments.values()], step.thought) for step in steps]


def test_what_is_legible_in_the_whole_picture_is_not_enlarged() -> None:
    steps = run("bus_line", {"signs": (BUSES,), "item": "oslo"}, WHOLE, says("Bus\n12Oslo\n>7 Riga\n38 Porto"))
    assert [name for name, _, _ in steps] == ["OCR", "Terminate"]
    assert steps[0][1] == ["image-0", "True"]
    assert "12 Oslo" in steps[1][2]
    assert steps[1][1] == ["12"]


def test_large_letters_are_read_from_afar_and_small_ones_enlarged_first() -> None:
    assert run("bus_line", {"signs": (BUSES,), "item": "Oslo"}, ZOOM, says("Bus 12 Oslo 38 Porto"))[0][0] == "OCR"
    small = BUSES._replace(small=True)
    steps = run("bus_line", {"signs": (small,), "item": "Oslo"}, ZOOM, says("Bus 12 Oslo 38 Porto"))
    assert [name for name, _, _ in steps] == ["ZoomIn", "OCR", "Terminate"]
    assert steps[0][1][:2] == ["image-0", "[0.0, 0.2, 0.3, 0.4]"]
    assert steps[1][1] == ["image-1"]


def test_it_goes_on_to_the_next_sign_until_the_name_is_found() -> None:
    asked = {"signs": (LEFT, RIGHTMOST), "item": "Bruno Dale"}
    steps = run("room", asked, CROP, says("Room 255\nCecilia Marsh", "Room 301\nBruno Dale"))
    assert [name for name, _, _ in steps] == ["Crop", "OCR", "Crop", "OCR", "Terminate"]
    assert "says: Room 255 Cecilia Marsh. That is not what I look for." in steps[2][2]
    assert steps[4][1] == ["301"]
    steps = run("room", asked, WHOLE, says("Room 255\nCecilia Marsh\n>Ro", "Room 301\nBruno Dale"))
    assert [name for name, _, _ in steps] == ["OCR", "ZoomIn", "OCR", "Terminate"]
    assert "On the blue door plate I could read only: Ro." in steps[1][2]


def test_one_of_two_that_are_wanted_is_not_said_to_be_the_wrong_one() -> None:
    asked = {"signs": (LEFT, RIGHTMOST), "item": "Bruno Dale", "other": "Cecilia Marsh", "higher": True, "side": "higher"}
    steps = run("room_order", asked, ZOOM, says("Room 255\nCecilia Marsh", "Room 301\nBruno Dale"))
    assert steps[2][2].startswith("The white door plate says: Room 255 Cecilia Marsh. The letters")
    assert steps[4][1] == ["Bruno Dale"]


def test_what_stays_unreadable_is_enlarged_once_more_and_then_given_up() -> None:
    asked = {"signs": (LEFT,), "item": "Bruno Dale"}
    steps = run("room", asked, WHOLE, says("", "Room 3?1", "Room 301 Bruno Dale"))
    assert [name for name, _, _ in steps] == ["OCR", "ZoomIn", "OCR", "ZoomIn", "OCR", "Terminate"]
    assert [float(steps[index][1][2]) for index in (1, 3)] in ([2, 4], [3, 4])
    assert "I could read only: Room 3?1." in steps[3][2]
    for plan in (WHOLE, ZOOM, CROP):
        with pytest.raises(GaveUp, match="could not be read"):
            run("room", asked, plan, says("", "", ""))


def test_that_there_is_none_is_said_only_when_all_was_read() -> None:
    asked = {"signs": (LEFT, RIGHTMOST), "item": "Emma Vogel", "kind": "door plate", "a_kind": "a door plate"}
    steps = run("is_there", asked, CROP, says("Room 255\nCecilia Marsh", "Room 301\nBruno Dale"))
    assert [name for name, _, _ in steps].count("Crop") == 2
    assert steps[-1][1] == ["no"]
    assert "Cecilia Marsh" in steps[-1][2]
    with pytest.raises(GaveUp):
        run("is_there", asked, CROP, says("Room 255\nCecilia Marsh", "", ""))
    assert run("is_there", asked | {"item": "Cecilia Marsh"}, CROP, says("Room 255\nCecilia Marsh"))[-1][1] == ["yes"]
    missing = {"signs": (BUSES,), "item": "Dallas"}
    assert run("no_such_row", missing, WHOLE, says("12 Oslo 38 Porto"))[-1][1] == [CANNOT_TELL]
    assert [name for name, _, _ in run("no_such_row", missing, WHOLE, says("12 Oslo", "12 Oslo 38 Porto"))][:2] == [
        "OCR",
        "ZoomIn",
    ]


def test_figures_that_were_read_are_calculated_with() -> None:
    times = BUSES._replace(kind="timetable", form="departure")
    asked = {"signs": (times,), "item": "Oslo", "other": "Riga"}
    steps = run("minutes_between", asked, WHOLE, says("Departures 09:05 Oslo\n11:50 Riga"))
    assert [arguments[0] for _, arguments, _ in steps] == ["image-0", "(11 - 9) * 60 + 50 - 5", "165"]
    limit = LEFT._replace(name="the speed limit sign", form="limit")
    ways = RIGHTMOST._replace(name="the direction sign", form="distance", rows=2)
    asked = {"signs": (limit, ways), "item": "Oslo", "other": "the speed limit sign"}
    steps = run("travel_time", asked, WHOLE, says("50\n>Oslo 66 km\n>Riga 8 km"))
    assert [arguments[0] for _, arguments, _ in steps] == ["image-0", "round(60 * 66 / 50)", "79"]
    poster = LEFT._replace(form="price")
    steps = run(
        "tickets_total", {"signs": (poster,), "item": "Law Fair", "number": 3}, ZOOM, says("Law Fair\n3 May\nTickets $12.50")
    )
    assert [steps[index][1][0] for index in (2, 3)] == ["3 * 12.5", "37.5"]


def test_patterns() -> None:
    shop = "Cafe Berg Mon - Thu 8.30 - 18.00 Fri 9.00-13.00 Sat 9.15 - 12.00"
    assert [match.groups() for match in PATTERNS["hours"].finditer(shop)] == [
        ("Mon - Thu", "8.30 - 18.00"),
        ("Fri", "9.00-13.00"),
        ("Sat", "9.15 - 12.00"),
    ]
    assert [PATTERNS["heading"].findall(text) for text in (shop, "Law Fair 3 May", "BUMP")] == [["Cafe Berg"], ["Law Fair"], []]
    assert PATTERNS["plate"].findall("D XY 1234") == ["XY 1234"]
    assert PATTERNS["distance"].findall("Oslo 2O0 m Riga 900m") == [("Riga", "900")]
    assert PATTERNS["line"].findall("Bus B0 Oslo Z13 Riga 7 Porto") == [("7", "Porto")]
    assert PATTERNS["price"].findall("Law Fair 3 May Tickets C39,50") == [("Law Fair", "39,50")]
    assert PATTERNS["words"].findall("Rose Lane 7") == PATTERNS["limit"].findall("I20") == []
    assert [list(week(days)) for days in ("Mon - Wed", "Sat-Sun", "Fri")] == [[0, 1, 2], [5, 6], [4]]
