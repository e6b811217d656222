"""Questions and programs of the family `charts`, held against a checker that shares no code with them."""

import dataclasses
import random
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taco.data_gen.grounding import ungrounded
from taco.data_gen.observations import Simulated, make_observer
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.pipeline import Candidates, Recipe, Rejected, candidates
from taco.data_gen.programs import chart_reading, charts
from taco.data_gen.programs.chart_phrasings import PHRASINGS
from taco.data_gen.programs.charts import QUESTION_TYPES
from taco.data_gen.programs.question import Asked, GaveUp, Question, QuestionType, phrase, wordings
from taco.data_gen.scenes.charts import ChartScene, render

ALL_TYPES = Recipe(family="charts", seed=5, questions_per_scene=len(QUESTION_TYPES))
PIXEL_TYPES = {name for name, kind in QUESTION_TYPES.items() if not kind.plans}
RIGHT = dict(QUESTION_TYPES)
FAULTLESS = OcrErrors.load().model_copy(update={"severity": (0.0,)})


@pytest.fixture(scope="module")
def checker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "chart_checker.py")))


@pytest.fixture(scope="module")
def scenes() -> list[ChartScene]:
    """Annotations; the photograph is not taken, which is what takes time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taco.data_gen.scenes.photo._place", lambda board, backdrop, *_, **__: backdrop)
        patch.setattr("taco.data_gen.scenes.photo._degrade", lambda image, *_: image)
        splits: tuple[Any, Any] = ("train", "test")
        return [render(random.Random(number), split=splits[number % 2]).annotation for number in range(220)]


@pytest.fixture(scope="module")
def made() -> list[Candidates]:
    observer = Simulated(FAULTLESS)
    return [candidates(ALL_TYPES, number, observer) for number in range(40)]


def disagreements(
    checker: SimpleNamespace, scenes: list[ChartScene], types: dict[str, QuestionType]
) -> tuple[list[Question], int]:
    """Questions about the scenes to which the checker has another answer, and how many there are."""
    asked = [
        (scene, question)
        for number, scene in enumerate(scenes)
        for name in types
        if (question := charts.ask(random.Random(f"{number}/{name}"), scene, name))
    ]
    assert {question.type for _, question in asked} == set(types)
    wrong = [question for scene, question in asked if not _agree(checker, scene, question.text, question.answer)]
    return wrong, len(asked)


def _agree(checker: SimpleNamespace, scene: Any, text: str, answer: str) -> bool:
    return bool(checker.agrees(checker.right_answer(scene, text), answer))


def test_an_independent_checker_agrees_with_every_answer(checker: SimpleNamespace, scenes: list[ChartScene]) -> None:
    wrong, asked = disagreements(checker, scenes, QUESTION_TYPES)
    assert wrong == []
    assert asked > 2000


def test_it_agrees_with_the_answer_of_every_trace_that_was_kept(checker: SimpleNamespace, made: list[Candidates]) -> None:
    traces = [(scene.annotation, trace) for scene in made for trace in scene.traces]
    assert {trace.task.source.removeprefix("charts/") for _, trace in traces} == set(QUESTION_TYPES)
    for scene, trace in traces:
        assert _agree(checker, scene, trace.task.question, trace.answer or ""), trace.task
        assert ungrounded(trace) == ""
        calls = [action.name for step in trace.steps for action in step.actions]
        assert (calls == ["Terminate"]) == (trace.task.source.removeprefix("charts/") in PIXEL_TYPES)


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
    name: str, checker: SimpleNamespace, scenes: list[ChartScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUESTION_TYPES, name, dataclasses.replace(RIGHT[name], choose=planted(RIGHT[name].choose)))
    wrong, asked = disagreements(checker, scenes, {name: QUESTION_TYPES[name]})
    assert len(wrong) > 0.8 * asked


@pytest.mark.parametrize(
    ("name", "other"), [("highest", "lowest"), ("difference", "total_of_two"), ("total", "mean"), ("mean", "total")]
)
def test_a_wrong_program_gives_no_traces(name: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(QUESTION_TYPES, name, dataclasses.replace(RIGHT[name], plans=RIGHT[other].plans))
    recipe = dataclasses.replace(ALL_TYPES, types=(name,), min_items=3)
    outcomes = [outcome for number in range(12) for outcome in candidates(recipe, number, Simulated(FAULTLESS)).outcomes]
    assert outcomes
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


def test_most_traces_are_kept_with_the_packaged_error_rates() -> None:
    made = [candidates(ALL_TYPES, number, make_observer("simulated")) for number in range(15)]
    kept, asked = sum(len(scene.traces) for scene in made), sum(len(scene.tasks) for scene in made)
    assert kept > 0.85 * asked


def test_every_type_has_a_hundred_wordings_and_no_loose_ends() -> None:
    assert set(PHRASINGS) == set(QUESTION_TYPES)
    names = ("item", "other", "meaning", "noun", "nouns", "side", "threshold", "first", "second", "category", "marks", "mark")
    values = dict.fromkeys((*names, "series", "kind_asked"), "word")
    for name, grammar in PHRASINGS.items():
        assert sum(map(wordings, grammar)) >= 100, name
        said = {phrase(random.Random(seed), grammar, values) for seed in range(1000)}
        assert len(said) >= 80, name
        assert not any(character in text for text in said for character in "(){}|"), name
        assert not any("  " in text or " ?" in text or " ," in text for text in said), name
        assert all(text.endswith(("?", ".")) for text in said), name


def test_wrong_options_are_wrong(checker: SimpleNamespace, scenes: list[ChartScene]) -> None:
    for number, scene in enumerate(scenes[:60]):
        for name in QUESTION_TYPES:
            question = charts.ask(random.Random(number), scene, name)
            choices = question.with_choices(random.Random(0)).choices if question else None
            if question and choices:
                assert len(set(choices)) == len(choices)
                assert [choice for choice in choices if _agree(checker, scene, question.text, choice)] == [question.answer]


def test_values_that_are_not_written_are_asked_for_only_at_ticks(scenes: list[ChartScene]) -> None:
    for number, scene in enumerate(scenes):
        asked = {name for name in QUESTION_TYPES if charts.ask(random.Random(number), scene, name)}
        if not scene.labelled:
            assert asked - PIXEL_TYPES <= {"value_at_tick"}
        question = charts.ask(random.Random(number), scene, "value_at_tick")
        if question:
            assert question.answer in [tick.replace(",", "") for tick in scene.ticks]
            assert str(question.parameters["level"]) in question.sighting


# ---------------------------------------------------------------------- readings, of observations made by hand


def observed(*rows: list[tuple[str, float]]) -> dict[str, Any]:
    """What OCR gives with places: each row a tenth of the height below the one before, texts by their middles."""
    regions = [
        {"label": label, "bbox": [middle - 0.02, 0.1 * index, middle + 0.02, 0.1 * index + 0.05], "score": 1.0}
        for index, row in enumerate(rows)
        for label, middle in row
    ]
    return {"text": "\n".join(" ".join(label for label, _ in row) for row in rows), "regions": regions}


def test_values_above_names_are_told_from_the_axis() -> None:
    content = observed(
        [("Sales", 0.5)], [("100", 0.05), ("93", 0.6)], [("50", 0.05), ("44", 0.3)], [("0", 0.05)], [("2019", 0.3), ("2020", 0.6)]
    )
    assert [row[:2] for row in chart_reading.upright(content).rows] == [("2019", "44"), ("2020", "93")]
    assert chart_reading.tick_at(content, 0.22)[0] == "50"
    with pytest.raises(GaveUp):
        chart_reading.tick_at(content, 0.175)  # between two
    with pytest.raises(GaveUp):
        chart_reading.upright(observed([("93", 0.6)], [("2019", 0.3), ("2020", 0.6)]))


def test_values_of_a_group_follow_the_legend() -> None:
    content = observed(
        [("Votes", 0.5)],
        [("Foxes", 0.3), ("Bears", 0.7)],
        [("80", 0.55), ("70", 0.25)],
        [("30", 0.65), ("20", 0.35)],
        [("Oslo", 0.3), ("Riga", 0.6)],
    )
    assert [row[:2] for row in chart_reading.grouped(content, "riga").rows] == [("Foxes", "80"), ("Bears", "30")]
    with pytest.raises(GaveUp):
        chart_reading.grouped(content, "Turin")


def test_values_beside_names() -> None:
    assert [row[:2] for row in chart_reading.beside("Income\n2019 5,040\nOld Jam 2,700\n0 2,000 4,000").rows] == [
        ("2019", "5,040"),
        ("Old Jam", "2,700"),
    ]
    assert [row[:2] for row in chart_reading.around("Poll\nOld Jam 25% Tea 75%").rows] == [("Old Jam", "25%"), ("Tea", "75%")]
    for read in (chart_reading.beside, chart_reading.around):
        with pytest.raises(GaveUp):
            read("Poll\nOslo")
