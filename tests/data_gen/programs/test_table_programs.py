"""Questions and programs of the family `tables`, held against a checker that shares no code with them."""

import dataclasses
import random
import runpy
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from taco.data_gen.grounding import ungrounded
from taco.data_gen.observations import Simulated, make_observer
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.pipeline import Candidates, Recipe, Rejected, candidates, play
from taco.data_gen.programs import figures, tables
from taco.data_gen.programs.figures import answer_of, figure
from taco.data_gen.programs.question import CANNOT_TELL, Asked, GaveUp, Question, QuestionType, phrase, wordings
from taco.data_gen.programs.table_phrasings import PHRASINGS
from taco.data_gen.programs.table_sheets import Sheet, amounts, fields, total_of
from taco.data_gen.programs.tables import QUESTION_TYPES
from taco.data_gen.scenes.tables import TableScene, render
from taco.tools.calculator import Calculate
from taco.tools.images import ImageStore
from taco.tools.regions import Crop, ZoomIn
from taco.tools.terminate import Terminate
from taco.tools.tool import Tool, tool
from taco.tools.toolbox import Toolbox

ALL_TYPES = Recipe(family="tables", seed=5, questions_per_scene=len(QUESTION_TYPES))
PIXEL_TYPES = {name for name, kind in QUESTION_TYPES.items() if not kind.plans}
RIGHT = dict(QUESTION_TYPES)
FAULTLESS = OcrErrors.load().model_copy(update={"severity": (0.0,)})


@pytest.fixture(scope="module")
def checker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "table_checker.py")))


@pytest.fixture(scope="module")
def scenes() -> list[TableScene]:
    """Annotations; the photograph is not taken, which is what takes time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taco.data_gen.scenes.photo._place", lambda board, backdrop, *_, **__: backdrop)
        patch.setattr("taco.data_gen.scenes.photo._degrade", lambda image, *_: image)
        splits: tuple[Any, Any] = ("train", "test")
        return [render(random.Random(number), split=splits[number % 2]).annotation for number in range(160)]


@pytest.fixture(scope="module")
def made() -> list[Candidates]:
    observer = Simulated(FAULTLESS)
    return [candidates(ALL_TYPES, number, observer) for number in range(25)]


def disagreements(
    checker: SimpleNamespace, scenes: list[TableScene], types: dict[str, QuestionType]
) -> tuple[list[Question], int]:
    """Questions about the scenes to which the checker has another answer, and how many there are."""
    asked = [
        (scene, question)
        for number, scene in enumerate(scenes)
        for name in types
        if (question := tables.ask(random.Random(f"{number}/{name}"), scene, name))
    ]
    assert {question.type for _, question in asked} == set(types)
    wrong = [question for scene, question in asked if not _agree(checker, scene, question.text, question.answer)]
    return wrong, len(asked)


def _agree(checker: SimpleNamespace, scene: Any, text: str, answer: str) -> bool:
    return bool(checker.agrees(checker.right_answer(scene, text), answer))


def test_an_independent_checker_agrees_with_every_answer(checker: SimpleNamespace, scenes: list[TableScene]) -> None:
    wrong, asked = disagreements(checker, scenes, QUESTION_TYPES)
    assert wrong == []
    assert asked > 2000


def test_it_agrees_with_the_answer_of_every_trace_that_was_kept(checker: SimpleNamespace, made: list[Candidates]) -> None:
    traces = [(scene.annotation, trace) for scene in made for trace in scene.traces]
    assert {trace.task.source.removeprefix("tables/") for _, trace in traces} == set(QUESTION_TYPES)
    for scene, trace in traces:
        assert _agree(checker, scene, trace.task.question, trace.answer or ""), trace.task
        assert ungrounded(trace) == ""


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
    name: str, checker: SimpleNamespace, scenes: list[TableScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUESTION_TYPES, name, dataclasses.replace(RIGHT[name], choose=planted(RIGHT[name].choose)))
    wrong, asked = disagreements(checker, scenes, {name: QUESTION_TYPES[name]})
    assert len(wrong) > 0.8 * asked


@pytest.mark.parametrize(
    ("name", "other"),
    [("highest", "lowest"), ("difference", "total_of_two"), ("total", "mean"), ("percent_change", "sum_across")],
)
def test_a_wrong_program_gives_no_traces(name: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUESTION_TYPES, name, dataclasses.replace(RIGHT[name], plans=RIGHT[other].plans))
    recipe = dataclasses.replace(ALL_TYPES, types=(name,), min_items=3)
    outcomes = [outcome for number in range(12) for outcome in candidates(recipe, number, Simulated(FAULTLESS)).outcomes]
    assert outcomes
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


def test_most_traces_are_kept_with_the_packaged_error_rates() -> None:
    made = [candidates(ALL_TYPES, number, make_observer("simulated")) for number in range(10)]
    kept, asked = sum(len(scene.traces) for scene in made), sum(len(scene.tasks) for scene in made)
    assert kept > 0.85 * asked


def test_every_type_has_a_hundred_wordings_and_no_loose_ends() -> None:
    assert set(PHRASINGS) == set(QUESTION_TYPES)
    values = dict.fromkeys(
        ("item", "other", "meaning", "noun", "nouns", "side", "threshold", "value", "first", "second", "column"), "word"
    )
    for name, grammar in PHRASINGS.items():
        assert sum(map(wordings, grammar)) >= 100, name
        said = {phrase(random.Random(seed), grammar, values) for seed in range(1000)}
        assert len(said) >= 80, name
        assert not any(character in text for text in said for character in "(){}|"), name
        assert not any("  " in text or " ?" in text or " ," in text for text in said), name
        assert all(text.endswith(("?", ".")) for text in said), name


def test_wrong_options_are_wrong(checker: SimpleNamespace, scenes: list[TableScene]) -> None:
    for number, scene in enumerate(scenes[:40]):
        for name in QUESTION_TYPES:
            question = tables.ask(random.Random(number), scene, name)
            choices = question.with_choices(random.Random(0)).choices if question else None
            if question and choices:
                assert len(set(choices)) == len(choices)
                assert [choice for choice in choices if _agree(checker, scene, question.text, choice)] == [question.answer]


# ---------------------------------------------------------------------- plans, on observations made by hand

TEXT = "Standings\nTeam Wins Points\nRovers 12 1,045\nOld Foxes 10 938\nKnights 31 77\nAs of last week"
WORDS = [[("Team", 0.1), ("Wins", 0.4), ("Points", 0.7)], [("Old Foxes", 0.1), ("10", 0.41), ("938", 0.72)]]


def says(text: str, rows: list[list[tuple[str, float]]] | None = None) -> Tool:
    @tool(name="OCR")
    def read(image: Image.Image, boxes: bool = False) -> dict[str, Any]:
        """Reads.

        Args:
            image: The image.
            boxes: With places.
        """
        places = [
            {"label": label, "bbox": [left, 0.1 * index, left + 0.02 * len(label), 0.1 * index + 0.05], "score": 1.0}
            for index, row in enumerate(rows or [])
            for label, left in row
        ]
        return {"text": text} | ({"regions": places} if boxes else {})

    return read


def run(name: str, parameters: dict[str, Any], plan: int, ocr: Tool) -> list[tuple[list[str], str]]:
    """The calls and thoughts of a plan, by number."""
    toolbox = Toolbox([ocr, Crop, ZoomIn, Calculate, Terminate])
    program = QUESTION_TYPES[name].plans[plan](parameters, random.Random(0))
    steps = play(program, ImageStore([Image.new("RGB", (200, 200))]), toolbox)
    return [([step.actions[0].name, *map(str, step.actions[0].arguments.values())], step.thought) for step in steps]


def test_a_column_is_calculated_with_as_it_was_read() -> None:
    parameters = {"item": "old foxes", "other": "Rovers", "column": "Points", "count": 3}
    read, calculated, ended = run("total_of_two", parameters, 0, says(TEXT))
    assert read[0] == ["OCR", "image-0"]
    assert calculated[0] == ["Calculate", "938 + 1045"]
    assert "Team Wins Points\nOld Foxes 10 938\nRovers 12 1,045\nPoints: 938, 1,045." in calculated[1]
    assert ended[0] == ["Terminate", "1983"]


def test_a_cell_is_found_by_its_place() -> None:
    steps = run(
        "cell", {"item": "Old Foxes", "column": "Points", "count": 1}, 1, says("Team Wins Points\nOld Foxes 10 938", WORDS)
    )
    assert [calls for calls, _ in steps] == [["OCR", "image-0", "True"], ["Terminate", "938"]]


def test_a_small_table_is_enlarged_or_cut_out_first_and_a_large_one_is_not() -> None:
    parameters: dict[str, Any] = {"item": "Knights", "column": "Wins", "count": 3}
    small = parameters | {"region": [0.1, 0.1, 0.5, 0.4]}
    assert [calls[0] for calls, _ in run("cell", small, 2, says(TEXT))] == ["ZoomIn", "OCR", "Terminate"]
    assert [calls[:2] for calls, _ in run("cell", small, 2, says(TEXT))][1] == ["OCR", "image-1"]
    assert [calls[0] for calls, _ in run("cell", parameters, 2, says(TEXT))] == ["OCR", "Terminate"]
    placed = small | {"item": "Old Foxes", "count": 1}
    steps = run("cell", placed, 3, says("Team Wins Points\nOld Foxes 10 938", WORDS))
    assert [calls[0] for calls, _ in steps] == ["Crop", "OCR", "Terminate"]


def test_what_is_not_there_cannot_be_determined_and_what_was_not_read_is_given_up() -> None:
    parameters = {"item": "Dragons", "column": "Wins", "count": 3}
    assert run("no_such_row", parameters, 0, says(TEXT))[-1][0] == ["Terminate", CANNOT_TELL]
    for text in ("", "Standings", "Team Wins Points\nRovers 12 1,045\nAs of last week"):
        with pytest.raises(GaveUp):
            run("no_such_row", parameters, 0, says(text))
        with pytest.raises(GaveUp):
            run("total", {"column": "Wins", "count": 3}, 0, says(text))


def test_the_total_of_a_bill_is_read_where_it_stands_and_else_added_up() -> None:
    bill = "Receipt\nTea $3.50\nGreen Jam $12.00"
    assert [calls for calls, _ in run("bill_total", {"count": 2}, 0, says(bill))][1:] == [
        ["Calculate", "3.5 + 12"],
        ["Terminate", "15.5"],
    ]
    assert [calls for calls, _ in run("bill_total", {"count": 2}, 0, says(f"{bill}\nTotal $15.50"))][1:] == [
        ["Terminate", "15.5"]
    ]


def test_times_and_rows_across() -> None:
    times = "Departures\nCity Departs Arrives\nOslo 08:45 13:05\nRiga 09:10 14:00"
    steps = run("minutes", {"item": "Oslo", "columns": ("Departs", "Arrives"), "count": 2}, 0, says(times))
    assert [calls[1] for calls, _ in steps] == ["image-0", "(13 - 8) * 60 + 5 - 45", "260"]
    quarters = "Sales\nCity Q1 Q2 Q3\nOslo 110 220 330\nRiga 5 6 7"
    parameters = {"item": "Oslo", "first": "Q1", "second": "Q3", "count": 2}
    assert run("sum_across", parameters, 0, says(quarters))[1][0] == ["Calculate", "110 + 220 + 330"]
    assert run("percent_change", parameters, 0, says(quarters))[-1][0] == ["Terminate", "200"]


def test_reading() -> None:
    assert Sheet.of({"text": TEXT}).column("Points", 3).rows[1][:2] == ("Old Foxes", "938")
    assert [row[:2] for row in amounts("Bill\nTea 3.50\nJam 2.00\nTotal 5.50").rows] == [("Tea", "3.50"), ("Jam", "2.00")]
    assert total_of("Tea 3.50\nAmount due 3.50") is not None
    assert total_of("Tea 3.50") is None
    assert [row[:2] for row in fields("Member number: 4711\nTown Riga", "town").rows][1] == ("Town", "Riga")
    assert [figure(text) is None for text in ("1,200", "$4.50", "12.5%", "12.05.2024", "08:45", "B12", "")] == [False] * 3 + [
        True
    ] * 4
    assert [answer_of(text) for text in ("1,200", "€4.50", "12.0", "12.5%", "2024-05-01")] == [
        "1200",
        "4.5",
        "12",
        "12.5%",
        "2024-05-01",
    ]
    assert figures.rounded(Fraction(1, 8), 2) == "0.13"
