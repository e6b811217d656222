"""Questions and programs of the family `sets`, held against a checker that shares no code with them.

Most tests ask about drawn-up annotations with tiny images: the tools are simulated, so that the pixels do not matter.
"""

import dataclasses
import random
import re
import runpy
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from taco.data_gen.families import FAMILIES
from taco.data_gen.observations import Simulated
from taco.data_gen.perception_errors import PerceptionErrors
from taco.data_gen.pipeline import Candidates, Recipe, Rejected, candidates
from taco.data_gen.programs.object_facts import lacks
from taco.data_gen.programs.question import CANNOT_TELL, Asked, Question, make_question, near_numbers, phrase, wordings
from taco.data_gen.programs.set_facts import naming, said
from taco.data_gen.programs.set_phrasings import PHRASINGS
from taco.data_gen.programs.sets import QUESTION_TYPES
from taco.data_gen.scenes.object_names import KINDS
from taco.data_gen.scenes.scene import ObjectScene, Scene, SceneObject, SceneSet
from taco.data_gen.verification import Verifier
from taco.trace import Trace

RIGHT = dict(QUESTION_TYPES)
ALL_TYPES = Recipe(family="sets", seed=7, questions_per_scene=len(QUESTION_TYPES), multiple_choice=0.3)
NO_TOOL = {"number_of_images", "image_of_format", "colour_at_sight_in_image", "unanswerable_image"}
SETS, ROUNDS = 130, 2
RARE = 10
"""Fewest questions of a type among them."""


def draw_up(rng: random.Random, split: str = "train", items: tuple[int, int] = (2, 5)) -> Scene:
    """A set without pixels to speak of: things on a grid, of few kinds, so that there is something to compare."""
    groups = {kind.group: name for name, kind in rng.sample(sorted(KINDS.items()), len(KINDS)) if name != "table"}
    kinds = rng.sample(sorted(groups.values()), rng.randint(2, 5))
    base = things(rng, kinds)
    scenes, images = [], []
    for index in range(rng.randint(*items)):
        chance = rng.random() if index else 1.0
        shown = base if chance < 0.15 else turned(base) if chance < 0.4 else things(rng, kinds)
        size = rng.choice(((24, 24), (24, 24), (30, 20), (20, 30)))
        scenes.append(ObjectScene(width=size[0], height=size[1], objects=shown))
        images.append(Image.new("RGB", size, (40 * index, rng.randrange(256), 9)))
    return Scene(tuple(images), SceneSet(scenes=tuple(scenes)))


def things(rng: random.Random, kinds: list[str]) -> tuple[SceneObject, ...]:
    shown = rng.sample(kinds, rng.randint(1, len(kinds)))
    cells = rng.sample(range(16), rng.randint(len(shown), len(shown) + 2))
    names = shown + [rng.choice(shown) for _ in cells[len(shown) :]]
    return tuple(thing(rng, name, cell) for name, cell in zip(names, cells, strict=True))


def thing(rng: random.Random, name: str, cell: int) -> SceneObject:
    left, top = 0.25 * (cell % 4) + rng.uniform(0.01, 0.04), 0.25 * (cell // 4) + rng.uniform(0.01, 0.04)
    box = (round(left, 4), round(top, 4), round(left + rng.uniform(0.1, 0.2), 4), round(top + rng.uniform(0.12, 0.2), 4))
    return SceneObject(name=name, attributes=(rng.choice(KINDS[name].colours[:3]), "matte"), bbox=box, depth=1.0)


def turned(objects: tuple[SceneObject, ...]) -> tuple[SceneObject, ...]:
    boxes = [(round(1 - right, 4), top, round(1 - left, 4), bottom) for left, top, right, bottom in (o.bbox for o in objects)]
    return tuple(item.model_copy(update={"bbox": box}) for item, box in zip(objects, boxes, strict=True))


@pytest.fixture(scope="module")
def checker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "set_checker.py")))


@pytest.fixture(scope="module")
def drawn() -> list[SceneSet]:
    rng = random.Random(3)
    return [draw_up(rng).annotation for _ in range(SETS)]


@pytest.fixture(scope="module")
def _drawn_up() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "sets", dataclasses.replace(FAMILIES["sets"], render=draw_up))
        yield


@pytest.fixture(scope="module")
def made(_drawn_up: None) -> list[Candidates]:
    observer = Simulated()
    return [candidates(ALL_TYPES, number, observer) for number in range(60)]


@pytest.fixture(scope="module")
def traces(made: list[Candidates]) -> list[Trace]:
    return [trace for one in made for trace in one.traces]


def kind_of(trace: Trace) -> str:
    return (trace.task.source or "").removeprefix("sets/")


def agrees(checker: SimpleNamespace, annotation: SceneSet, question: str, answer: str) -> bool:
    try:
        return bool(checker.right_answer(annotation, question) == answer)
    except ValueError:
        return False


# ---------------------------------------------------------------------- truth


def test_an_independent_checker_agrees_with_every_answer(checker: SimpleNamespace, drawn: list[SceneSet]) -> None:
    rng = random.Random(5)
    asked = [
        (annotation, question)
        for annotation in drawn * ROUNDS
        for name, kind in QUESTION_TYPES.items()
        if (question := make_question(rng, name, kind, annotation))
    ]
    counts = Counter(question.type for _, question in asked)
    assert len(asked) >= 2000
    assert {name for name in QUESTION_TYPES if counts[name] < RARE} == set()
    assert [question for annotation, question in asked if not agrees(checker, annotation, question.text, question.answer)] == []


def test_it_agrees_with_every_answer_about_rendered_sets(checker: SimpleNamespace) -> None:
    rng = random.Random(6)
    for seed in range(3):
        annotation = FAMILIES["sets"].render(random.Random(seed), "train", (3, 3)).annotation
        for name, kind in QUESTION_TYPES.items():
            for _ in range(4):
                question = make_question(rng, name, kind, annotation)
                assert question is None or agrees(checker, annotation, question.text, question.answer), question


def test_it_agrees_with_the_answer_of_every_trace_that_was_kept(checker: SimpleNamespace, made: list[Candidates]) -> None:
    kept = [(one.annotation, trace) for one in made for trace in one.traces]
    assert {kind_of(trace) for _, trace in kept} == set(QUESTION_TYPES)
    for annotation, trace in kept:
        assert agrees(checker, annotation, trace.task.question, trace.answer or ""), trace.task  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(QUESTION_TYPES))
def test_a_wrong_answer_function_turns_the_checker_red(name: str, checker: SimpleNamespace, drawn: list[SceneSet]) -> None:
    def wrong(rng: random.Random, annotation: Any) -> Asked | None:
        asked = RIGHT[name].choose(rng, annotation)
        others = asked and [one for one in asked.wrong or sorted(near_numbers(asked.answer)) if one != asked.answer]
        return dataclasses.replace(asked, answer=rng.choice(others)) if asked and others else None

    planted, rng = dataclasses.replace(RIGHT[name], choose=wrong), random.Random(0)
    pairs = [(annotation, question) for annotation in drawn if (question := make_question(rng, name, planted, annotation))]
    assert len(pairs) >= 5
    assert not any(agrees(checker, annotation, question.text, question.answer) for annotation, question in pairs)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("image_with_object", "image_without_object"),
        ("image_with_most", "image_with_fewest"),
        ("image_with_relation", "image_without_relation"),
        ("count_in_image", "total_over_images"),
    ],
)
def test_one_type_answered_as_another_turns_the_checker_red(
    name: str, other: str, checker: SimpleNamespace, drawn: list[SceneSet]
) -> None:
    """The words of one, the answer of the other."""
    rng, red, asked = random.Random(0), 0, 0
    planted = dataclasses.replace(RIGHT[other], phrasings=RIGHT[name].phrasings)
    for annotation in drawn:
        try:
            question = make_question(rng, name, planted, annotation)
        except KeyError:  # "in image-1" of a question about all images
            question = None
            red += 1
        asked += question is not None
        red += question is not None and not agrees(checker, annotation, question.text, question.answer)
    assert red > max(10, asked // 3)


@pytest.mark.parametrize(
    "name", ["count_in_image", "count_attributed_in_image", "number_of_images_with_object", "how_many_more_in_image"]
)
def test_no_number_is_the_answer_most_of_the_time(name: str, drawn: list[SceneSet]) -> None:
    rng = random.Random(8)
    asked = (make_question(rng, name, RIGHT[name], annotation) for annotation in drawn * 2)
    answers = Counter(question.answer for question in asked if question)
    assert answers.total() > 100
    assert max(answers.values()) <= 0.5 * answers.total()


def test_a_swapped_pair_turns_the_checker_red(checker: SimpleNamespace, drawn: list[SceneSet]) -> None:
    def swapped(rng: random.Random, annotation: Any) -> Asked | None:
        asked = RIGHT["how_many_more_in_image"].choose(rng, annotation)
        words = asked and {"image": asked.parameters["other"], "other": asked.parameters["image"]}
        return asked and dataclasses.replace(asked, parameters={**asked.parameters, **(words or {})})

    rng, planted = random.Random(0), dataclasses.replace(RIGHT["how_many_more_in_image"], choose=swapped)
    pairs = [(one, question) for one in drawn if (question := make_question(rng, "how_many_more_in_image", planted, one))]
    assert len(pairs) > 40
    assert not any(agrees(checker, annotation, question.text, question.answer) for annotation, question in pairs)


# ---------------------------------------------------------------------- traces


def test_kept_traces_pass_the_verifier(traces: list[Trace]) -> None:
    """Format, grounding, images named as running them names them; what was simulated is not run again."""
    verifier = Verifier()
    assert len(traces) > 600
    assert [(verdict.reason, trace) for trace in traces if (verdict := verifier.verify(trace)).failed] == []


def test_tools_are_called_where_they_are_needed_and_look_at_the_given_images(traces: list[Trace]) -> None:
    used: dict[str, set[str]] = defaultdict(set)
    for trace in traces:
        calls = [action for step in trace.steps for action in step.actions]
        used[kind_of(trace)] |= {action.name for action in calls}
        given = {f"image-{index}" for index in range(len(trace.task.images))}
        for action in calls[:-1]:
            named = [
                action.arguments.get("image"),
                *action.arguments.get("images", ()),
                *action.arguments.get("other_images", ()),
            ]
            assert {name for name in named if name} <= given
    assert {name for name, tools in used.items() if tools == {"Terminate"}} == NO_TOOL
    assert set.union(*used.values()) == set(FAMILIES["sets"].tools)
    assert used["image_of_text"] >= {"GetTextToImagesSimilarity", "LocalizeObjects"}
    assert used["text_of_image"] >= {"GetImageToTextsSimilarity", "LocalizeObjects"}
    assert used["most_similar_image"] >= {"GetImageToImagesSimilarity", "GetObjects"}
    assert used["total_over_images"] == {"LocalizeObjects", "Calculate", "Terminate"}
    assert used["image_with_object"] == {"LocalizeObjects", "GetObjects", "Terminate"}


def test_thoughts_quote_only_what_was_observed(traces: list[Trace]) -> None:
    """Boxes, scores and similarities stand in an observation before; images are those of the task."""
    for trace in traces:
        seen = ""
        for step in trace.steps:
            assert all(number in seen for number in re.findall(r"\d\.\d+", step.thought)), trace
            assert all(int(number) < len(trace.task.images) for number in re.findall(r"image-(\d)", step.thought)), trace
            assert not re.search(r"[{}]|  |\bnone\b has", step.thought), step.thought
            seen += "".join(observation.to_json() for observation in step.observations)


def test_programs_believe_a_blind_detector() -> None:
    """No thought tells of a thing that was not observed, and no wrong answer is kept."""
    nothing = PerceptionErrors.load().model_copy(update={"missed": ((1.0, 1.0),)})
    observer = Simulated(perception=nothing)
    types = (
        "image_with_object",
        "count_in_image",
        "total_over_images",
        "same_colour_across",
        "object_in_all_images",
        "image_with_most",
    )
    recipe = dataclasses.replace(ALL_TYPES, types=types)
    outcomes = [outcome for number in range(20) for outcome in candidates(recipe, number, observer).outcomes]
    assert len(outcomes) > 40
    for outcome in outcomes:
        assert isinstance(outcome, Rejected) or outcome.answer == "0", outcome


def test_annotated_answers_do_not_depend_on_what_was_observed(made: list[Candidates]) -> None:
    nothing = PerceptionErrors.load().model_copy(update={"missed": ((1.0, 1.0),)})
    again = candidates(ALL_TYPES, 0, Simulated(perception=nothing))
    assert again.tasks == made[0].tasks


@pytest.mark.usefixtures("_drawn_up")
@pytest.mark.parametrize(
    ("name", "other"), [("image_with_object", "image_without_object"), ("image_with_most", "image_with_fewest")]
)
def test_a_wrong_program_gives_no_traces(name: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(RIGHT[name], plans=RIGHT[other].plans)
    monkeypatch.setitem(QUESTION_TYPES, name, wrong)
    faultless = PerceptionErrors.load().model_copy(
        update={"missed": ((1.0, 0.0),), "mistaken": {}, "confused": {}, "invented": 0.0}
    )
    observer, recipe = Simulated(perception=faultless), dataclasses.replace(ALL_TYPES, types=(name,))
    outcomes = [
        outcome
        for number in range(40)
        if len((made := candidates(recipe, number, observer)).store) > 2  # of two, one with and one without are the same question
        for outcome in made.outcomes
    ]
    assert len(outcomes) > 5
    assert all(isinstance(outcome, Rejected) for outcome in outcomes)


# ---------------------------------------------------------------------- wording


def test_every_type_has_at_least_a_hundred_wordings_and_no_loose_ends() -> None:
    assert set(PHRASINGS) == set(QUESTION_TYPES)
    rng = random.Random(0)
    names = ("items", "item", "an_item", "image", "other", "second", "these", "which", "every", "side", "text", "options")
    values = dict.fromkeys((*names, "longer", "shorter", "format"), "x")
    for kind, grammar in PHRASINGS.items():
        assert sum(map(wordings, grammar)) >= 100, kind
        texts = {phrase(rng, grammar, values) for _ in range(600)}
        assert not any(character in text for text in texts for character in "(){}|"), kind
        assert not any(re.search(r"  | [?.,:]", text) for text in texts), kind


def test_answers_that_are_images_are_names_and_the_other_options_are_images_of_the_set(made: list[Candidates]) -> None:
    tasks = [(len(one.store), task) for one in made for task in one.tasks if str(task.answer).startswith("image-")]
    chosen = [(count, task) for count, task in tasks if task.choices]
    assert len(chosen) > 50
    for count, task in chosen:
        assert task.choices is not None
        assert set(task.choices) - {CANNOT_TELL} <= {f"image-{index}" for index in range(count)}
        assert task.answer in task.choices


def test_a_question_names_images_in_one_manner() -> None:
    for seed in range(40):
        first, second = said(random.Random(seed), 0, 2)
        assert (first, second) == ("image-0", "image-2") or (first[:9], second[:9]) == ("the first", "the third")
        assert first.replace("first", "third") == second.replace("image-2", "image-0")
        some = naming(random.Random(seed), ("image-0", "image-2"), whole=False)
        assert "image-0 and image-2" in str(some["which"])
        assert "image-0 and image-2" in str(some["these"])


def test_what_looks_alike_is_not_said_to_be_missing() -> None:
    mug = SceneObject(name="mug", attributes=("red", "matte"), bbox=(0.1, 0.1, 0.5, 0.5))
    scene = ObjectScene(width=9, height=9, objects=(mug,))
    assert lacks(scene, "car")
    assert not any(lacks(scene, name) for name in ("mug", "bowl", "coffee mug", "table"))
    assert not lacks(scene.model_copy(update={"exhaustive": False}), "car")
    photographed = scene.model_copy(update={"objects": (mug.model_copy(update={"attributes": ()}),)})
    assert not lacks(photographed, "car")
    assert lacks(photographed.model_copy(update={"absent": ("car", "bus")}), "car")
    assert not lacks(ObjectScene(width=9, height=9, objects=()), "car")
    assert lacks(ObjectScene(width=9, height=9, objects=(), absent=("car",)), "car")


@pytest.mark.parametrize("looked_for", [True, False])
def test_photographs_are_asked_what_their_annotation_tells(looked_for: bool, drawn: list[SceneSet]) -> None:
    def photographed(scene: ObjectScene) -> ObjectScene:
        things = tuple(item.model_copy(update={"attributes": ()}) for item in scene.objects)
        absent = tuple(name for name in KINDS if looked_for and name not in {item.name for item in things})
        return scene.model_copy(update={"objects": things, "absent": absent})

    rng, asked = random.Random(0), Counter[str]()
    for one in drawn[:60]:
        photographs = SceneSet(scenes=tuple(map(photographed, one.scenes)))
        for name, kind in QUESTION_TYPES.items():
            asked[name] += make_question(rng, name, kind, photographs) is not None
    by_attributes = {name for name in QUESTION_TYPES if "attributed" in name or "colour" in name}
    needs_absence = {
        "any_image_with_object", "unanswerable_in_images", "image_with_object", "image_without_object", "object_in_all_images",
        "object_in_one_image", "image_of_text", "text_of_image",
    }  # fmt: skip
    never = {name for name in QUESTION_TYPES if not asked[name]}
    assert never == by_attributes | {"most_similar_image"} | (set() if looked_for else needs_absence)


def test_equal_chance_gives_equal_questions(drawn: list[SceneSet]) -> None:
    def texts() -> list[Question | None]:
        rng = random.Random(11)
        return [make_question(rng, name, kind, one) for one in drawn[:20] for name, kind in QUESTION_TYPES.items()]

    first, second = texts(), texts()
    assert [one and (one.text, one.answer, one.wrong) for one in first] == [
        one and (one.text, one.answer, one.wrong) for one in second
    ]
