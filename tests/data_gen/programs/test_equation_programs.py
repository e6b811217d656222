"""Questions and programs of the family `equations`, held against a checker that shares no code with them."""

import dataclasses
import random
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from taco.data_gen.observations import Simulated
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.pipeline import Candidates, Recipe, Rejected, candidates, play
from taco.data_gen.programs.equations import QUESTION_TYPES
from taco.data_gen.programs.question import Asked, make_question, wordings
from taco.data_gen.scenes.scene import Scene
from taco.prompts import terminated

ALL_TYPES = Recipe(family="equations", seed=77, questions_per_scene=len(QUESTION_TYPES), min_items=1)
FAULTLESS = OcrErrors(
    engine="none 1.0", missed_price=0, missed_text=0, broken_row=0, merged_rows=0, glued=0, dropped_space={}, characters={},
    severity=(1,), small=((1.0, 1.0), (2.0, 1.0)),
)  # fmt: skip
RIGHT = dict(QUESTION_TYPES)
TOOLS = ["OCR", "Calculate", "SolveMathEquation", "Terminate"]


@pytest.fixture(scope="module")
def checker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "equation_checker.py")))


@pytest.fixture(scope="module")
def made() -> list[Candidates]:
    observer = Simulated(FAULTLESS)
    return [candidates(ALL_TYPES, number, observer) for number in range(30)]


def disagreements(checker: SimpleNamespace, made: list[Candidates], kind: str) -> tuple[int, int]:
    """How many questions of a type the checker answers otherwise, of how many."""
    rng = random.Random(5)
    asked = [(scene.annotation, make_question(rng, kind, QUESTION_TYPES[kind], scene.annotation)) for scene in made * 3]
    answers = [(checker.right_answer(scene, question.text), question.answer) for scene, question in asked if question]
    return sum(right != told for right, told in answers), len(answers)


@pytest.mark.parametrize("kind", QUESTION_TYPES)
def test_the_checker_agrees_with_every_answer(kind: str, checker: SimpleNamespace, made: list[Candidates]) -> None:
    wrong, count = disagreements(checker, made, kind)
    assert wrong == 0
    assert count >= 15


@pytest.mark.parametrize("kind", QUESTION_TYPES)
def test_a_wrong_answer_turns_the_checker_red(
    kind: str, checker: SimpleNamespace, made: list[Candidates], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(rng: random.Random, scene: Any) -> Asked | None:
        asked = RIGHT[kind].choose(rng, scene)
        other = {"yes": "no", "no": "yes"}.get(asked.answer) if asked else None
        return asked and dataclasses.replace(asked, answer=other or asked.answer + "1")

    monkeypatch.setitem(QUESTION_TYPES, kind, dataclasses.replace(RIGHT[kind], choose=wrong))
    found, count = disagreements(checker, made, kind)
    assert found == count


def test_programs_reach_the_annotated_answer_where_nothing_is_misread(made: list[Candidates], checker: SimpleNamespace) -> None:
    rejected = [outcome for scene in made for outcome in scene.outcomes if isinstance(outcome, Rejected)]
    traces = [(scene.annotation, trace) for scene in made for trace in scene.traces]
    assert {trace.task.source.removeprefix("equations/") for _, trace in traces} == set(QUESTION_TYPES)
    assert rejected == []
    for scene, trace in traces:
        assert checker.right_answer(scene, trace.task.question) == trace.answer


def test_a_misread_number_makes_no_trace() -> None:
    nines = {str(digit): {str(9 - digit): 1.0} for digit in range(10)}
    observer = Simulated(FAULTLESS.model_copy(update={"characters": nines}))
    recipe = dataclasses.replace(ALL_TYPES, types=("solve", "sum_value", "system_value"))
    outcomes = [outcome for number in range(8) for outcome in candidates(recipe, number, observer).outcomes]
    assert len(outcomes) > 10
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


@pytest.mark.parametrize("kind", QUESTION_TYPES)
def test_a_type_is_asked_in_a_hundred_ways(kind: str) -> None:
    assert sum(map(wordings, QUESTION_TYPES[kind].phrasings)) >= 100


def test_options_are_different_and_one_is_right(made: list[Candidates]) -> None:
    rng = random.Random(1)
    for scene in made:
        for kind in QUESTION_TYPES:
            question = make_question(rng, kind, QUESTION_TYPES[kind], scene.annotation)
            if question:
                choices = question.with_choices(rng).choices or ()
                assert [question.accepts(choice) for choice in choices].count(True) == 1
                assert len(set(choices)) == len(choices) >= 2


def test_every_type_that_is_read_has_several_plans_and_each_is_right(made: list[Candidates]) -> None:
    toolbox_of, sight = Simulated(FAULTLESS), {"number_of_exercises", "paper_colour"}
    for number, scene in enumerate(made[:12]):
        for kind in set(QUESTION_TYPES) - sight:
            question = make_question(random.Random(number), kind, QUESTION_TYPES[kind], scene.annotation)
            assert len(QUESTION_TYPES[kind].plans) >= 2
            for plan in QUESTION_TYPES[kind].plans if question else ():
                assert question is not None
                drawn = Scene(tuple(scene.store[name] for name in scene.store), scene.annotation)
                toolbox = toolbox_of.look(drawn, TOOLS, random.Random(0), list(drawn.images))
                steps = play(plan(question.parameters, random.Random(0)), scene.store.copy(), toolbox)
                assert question.accepts(terminated(steps[-1]) or ""), question.text
