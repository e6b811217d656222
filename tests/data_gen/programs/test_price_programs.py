"""Questions and programs of the family `prices`, held against a checker that shares no code with them."""

import dataclasses
import itertools
import random
import runpy
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from taco.data_gen.observations import Simulated, make_observer
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.pipeline import Candidates, Recipe, Rejected, candidates, play
from taco.data_gen.programs import prices
from taco.data_gen.programs.price_phrasings import PHRASINGS
from taco.data_gen.programs.prices import QUESTION_TYPES
from taco.data_gen.programs.question import Asked, GaveUp, Question, phrase, wordings
from taco.data_gen.scenes.scene import PriceScene, Scene
from taco.prompts import terminated
from taco.tools.calculator import Calculate
from taco.tools.images import ImageStore
from taco.tools.terminate import Terminate
from taco.tools.tool import Tool, tool
from taco.tools.toolbox import Toolbox

ALL_TYPES = Recipe(seed=77, questions_per_scene=len(QUESTION_TYPES))
RIGHT = dict(QUESTION_TYPES)
PIXEL_TYPES = {"board_colour", "number_of_rows", "highlighted_row", "any_highlighted"}


@pytest.fixture(scope="module")
def checker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "checker.py")))


@pytest.fixture(scope="module")
def made() -> list[Candidates]:
    observer = make_observer("simulated")
    return [candidates(ALL_TYPES, number, observer) for number in range(24)]


@pytest.fixture(scope="module")
def scenes(made: list[Candidates]) -> list[PriceScene]:
    return [scene.annotation for scene in made]


def disagreements(checker: SimpleNamespace, scenes: list[PriceScene], rounds: int = 2) -> list[Question]:
    """Questions of all types about the scenes to which the checker has another answer."""
    rng = random.Random(5)
    asked = [
        (scene, question) for scene in scenes * rounds for kind in QUESTION_TYPES if (question := prices.ask(rng, scene, kind))
    ]
    assert {question.type for _, question in asked} == set(QUESTION_TYPES)
    assert len(asked) > 300
    return [
        question for scene, question in asked if not checker.agrees(checker.right_answer(scene, question.text), question.answer)
    ]


def test_an_independent_checker_agrees_with_every_answer(checker: SimpleNamespace, scenes: list[PriceScene]) -> None:
    assert disagreements(checker, scenes) == []


def test_it_agrees_with_the_answer_of_every_trace_that_was_kept(checker: SimpleNamespace, made: list[Candidates]) -> None:
    traces = [(scene.annotation, trace) for scene in made for trace in scene.traces]
    assert {trace.task.source.removeprefix("prices/") for _, trace in traces} == set(QUESTION_TYPES)
    for scene, trace in traces:
        assert trace.answer is not None
        assert checker.agrees(checker.right_answer(scene, trace.task.question), trace.answer), trace.task


def one_too_few(rng: random.Random, scene: PriceScene) -> Asked | None:
    asked = RIGHT["price_of_n"].choose(rng, scene)
    return asked and dataclasses.replace(asked, parameters={**asked.parameters, "count": asked.parameters["count"] - 1})


def counted_from_zero(rng: random.Random, scene: PriceScene) -> Asked | None:
    return None if scene.highlighted is None else Asked({}, str(scene.highlighted))


def without_the_first(rng: random.Random, scene: PriceScene) -> Asked | None:
    return Asked({}, str(sum(Decimal(item.price) for item in scene.items[1:])))


def swapped(rng: random.Random, scene: PriceScene) -> Asked | None:
    asked = RIGHT["difference"].choose(rng, scene)
    return asked and dataclasses.replace(asked, parameters={"item": asked.parameters["other"], "other": asked.parameters["item"]})


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("cheapest", RIGHT["dearest"].choose),
        ("dearest", RIGHT["cheapest"].choose),
        ("price_of_n", one_too_few),
        ("highlighted_row", counted_from_zero),
        ("total_of_all", without_the_first),
        ("difference", swapped),
    ],
)
def test_a_wrong_answer_function_turns_the_checker_red(
    kind: str, wrong: prices.Choose, checker: SimpleNamespace, scenes: list[PriceScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUESTION_TYPES, kind, dataclasses.replace(RIGHT[kind], choose=wrong))
    found = disagreements(checker, scenes)
    assert {question.type for question in found} == {kind}
    assert len(found) > len(scenes) // 4


@pytest.mark.parametrize(("kind", "right"), [("cheapest", "dearest"), ("total_of_two", "difference")])
def test_a_wrong_program_gives_no_traces(kind: str, right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(RIGHT[kind], plans=RIGHT[right].plans)
    monkeypatch.setitem(QUESTION_TYPES, kind, wrong)
    observer = make_observer("simulated")
    recipe = dataclasses.replace(ALL_TYPES, types=(kind,))
    outcomes = [outcome for number in range(6) for outcome in candidates(recipe, number, observer).outcomes]
    assert outcomes
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


def test_every_type_has_at_least_twelve_wordings_and_no_loose_ends() -> None:
    assert set(PHRASINGS) == set(QUESTION_TYPES)
    rng = random.Random(0)
    values = {"item": "Tea", "other": "Cake", "count": "3", "budget": "20"}
    for kind, grammar in PHRASINGS.items():
        assert sum(map(wordings, grammar)) >= 12, kind
        said = {phrase(rng, grammar, values) for _ in range(400)}
        assert len(said) >= 12, kind
        assert not any(character in text for text in said for character in "(){}|"), kind
        assert not any("  " in text or " ?" in text for text in said), kind


def test_traces_are_short_and_end_once(made: list[Candidates]) -> None:
    for trace in (trace for scene in made for trace in scene.traces):
        read = trace.steps[0].observations[0].content.get("text", "").split("\n")
        for step in trace.steps:
            if step.thought.startswith("I see:\n"):  # rows as they were read, nothing else
                known = {*read, *map(" ".join, itertools.pairwise(read))}
                for line in step.thought.removeprefix("I see:\n").split("\n"):
                    assert line in known, trace
            else:
                assert len(step.thought.split()) <= 15, trace
        calls = [action.name for step in trace.steps for action in step.actions]
        assert calls[-1] == "Terminate"
        assert calls.count("Terminate") == 1
        kind = trace.task.source.removeprefix("prices/")
        assert (calls == ["Terminate"]) == (kind in PIXEL_TYPES)


def question_about(scene: PriceScene, kind: str) -> Question:
    question = prices.ask(random.Random(3), scene, kind)
    assert question is not None
    return question


def run(question: Question, text: str) -> list[tuple[str, list[str]]]:
    """The thoughts and arguments of a question's program where OCR says ``text``."""
    program = question.program(random.Random(0))
    steps = play(program, ImageStore([Image.new("RGB", (4, 4))]), Toolbox([says(text), Calculate, Terminate]))
    return [(step.thought, [str(value) for value in step.actions[0].arguments.values()]) for step in steps]


def says(text: str) -> Tool:
    @tool(name="OCR")
    def read(image: Image.Image) -> dict[str, Any]:
        """Reads."""
        return {"text": text}

    return read


def test_a_program_believes_the_observation_and_nothing_else(scenes: list[PriceScene]) -> None:
    scene = scenes[0]
    question = dataclasses.replace(question_about(scene, "price_of_n"), parameters={"item": "Green Tea", "count": 4}, answer="14")
    steps = run(question, "MENU\nGreen Tee $3.99\nCake $7.00\nThank you")
    assert steps == [
        (f"{question.sighting} I need to read the prices.", ["image-0"]),
        ("I see:\nGreen Tee $3.99", ["4 * 3.99"]),
        ("The total is 15.96.", ["15.96"]),
    ]


def test_where_ocr_errs_the_candidate_is_rejected_and_no_thought_holds_the_annotated_answer() -> None:
    nines = {str(digit): {str(9 - digit): 1.0} for digit in range(10)}
    nothing_else = dict.fromkeys(("missed_price", "missed_text", "broken_row", "merged_rows", "glued"), 0.0)
    changes = {**nothing_else, "dropped_space": {}, "characters": nines, "severity": (1.0,)}
    observer = Simulated(OcrErrors.load().model_copy(update=changes))
    recipe = dataclasses.replace(ALL_TYPES, types=("price_of", "total_of_two", "total_of_all"), max_items=4)
    played = 0
    for number in range(3):
        made = candidates(recipe, number, observer)
        assert [type(outcome) for outcome in made.outcomes] == [Rejected] * 3
        for kind in recipe.types or ():
            question = question_about(made.annotation, kind)
            scene = Scene((made.store["image-0"],), made.annotation)
            toolbox = observer.look(scene, recipe.kind.tools, random.Random(0))
            steps = play(question.program(random.Random(0)), made.store.copy(), toolbox)
            assert terminated(steps[-1]) != question.answer
            thoughts = [step.thought.removeprefix(question.sighting) for step in steps]
            assert not any(question.answer in thought.rstrip(".").split() for thought in thoughts)
            played += 1
    assert played == 9


@pytest.mark.parametrize("text", ["", "MENU\nThank you", "Lemonade 3.50\nCoffee 4.00"])
def test_a_program_gives_up_where_the_item_is_not_to_be_found(text: str, scenes: list[PriceScene]) -> None:
    question = dataclasses.replace(question_about(scenes[0], "price_of"), parameters={"item": "Waffle"})
    with pytest.raises(GaveUp):
        run(question, text)


def test_annotated_answers_do_not_depend_on_what_was_observed(made: list[Candidates]) -> None:
    silent = OcrErrors.load().model_copy(update={"missed_price": 1.0, "missed_text": 1.0, "severity": (1.0,)})
    for number in range(3):
        again = candidates(ALL_TYPES, number, Simulated(silent))
        assert again.tasks == made[number].tasks
        rejected = {outcome.source for outcome in again.outcomes if isinstance(outcome, Rejected)}
        assert rejected.isdisjoint(f"prices/{kind}" for kind in PIXEL_TYPES)
        assert len(rejected) + len(again.traces) == len(again.tasks)
