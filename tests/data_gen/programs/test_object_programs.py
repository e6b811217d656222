"""Questions and programs about one picture of objects, held against a checker that shares no code with them."""

import dataclasses
import random
import re
import runpy
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from taco.data_gen.grounding import ungrounded
from taco.data_gen.observations import Simulated
from taco.data_gen.perception_errors import PerceptionErrors
from taco.data_gen.pipeline import Recipe, Rejected, candidates, play
from taco.data_gen.programs import object_nouns as nouns
from taco.data_gen.programs.object_facts import absent_names, countable, lacks, mentions
from taco.data_gen.programs.object_phrasings import PHRASINGS
from taco.data_gen.programs.object_steps import read_regions
from taco.data_gen.programs.objects import QUESTION_TYPES
from taco.data_gen.programs.question import CANNOT_TELL, Asked, GaveUp, Question, make_question, phrase, wordings
from taco.data_gen.scenes.scene import ObjectScene, Relation, Scene, SceneObject
from taco.prompts import terminated
from taco.tools.action import Observation
from taco.tools.images import ImageStore
from taco.trace import Step, Task, ToolRecord, Trace

RIGHT = dict(QUESTION_TYPES)
TOOLS = [
    "LocalizeObjects",
    "GetObjects",
    "EstimateRegionDepth",
    "EstimateObjectDepth",
    "Crop",
    "ZoomIn",
    "Calculate",
    "Terminate",
]
DEPTHS = {
    "closer_object",
    "farther_object",
    "closer_to_anchor",
    "farther_from_anchor",
    "order_by_depth",
    "is_closer",
    "is_in_front",
}
AT_SIGHT = {"colour_at_sight", "count_at_sight", "only_object"}
PLAYED = 30
"""Scenes, the photographs among them, on which programs are run."""
FREQUENT = {name for name, kind in RIGHT.items() if kind.weight >= 1.2}
FAULTLESS = PerceptionErrors.load().model_copy(
    update={
        **dict.fromkeys(("doubled", "invented", "shift", "depth_noise"), 0.0),
        **{"missed": ((1.0, 0.0),), "confused": {}, "mistaken": {}},
    }
)


@pytest.fixture(scope="module")
def checker() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "object_checker.py")))


# ---------------------------------------------------------------------- scenes with planted depth


def planted(seed: int) -> Scene:
    """A scene on a grid, sometimes with one large object: each its own depth, and a disparity that varies within it.

    Within a box the disparity has the right mean but its own maximum: turned over by that, as the TACO reference does, the
    order of two objects would be a coin flip.
    """
    rng = random.Random(seed)
    objects, on = (_alone(rng), []) if seed % 8 == 0 else _grid(rng)
    relations = [Relation(subject=upper, predicate="on", object=lower) for upper, lower in on]
    for i, one in enumerate(objects):
        for j, other in enumerate(objects):
            middles = [(item.bbox[0] + item.bbox[2]) / 2 for item in (one, other)]
            if i != j and abs(middles[0] - middles[1]) < 0.1 and (one.depth or 0) < (other.depth or 0) and (i, j) not in on:
                relations.append(Relation(subject=i, predicate="in front of", object=j))
    scene = ObjectScene(width=320, height=240, objects=tuple(objects), relations=tuple(relations))
    disparity = np.full((240, 320), 0.01, np.float32)
    for item in objects:
        left, top, right, bottom = (round(side * length) for side, length in zip(item.bbox, (320, 240) * 2, strict=True))
        assert item.depth is not None
        noise = 1 + rng.choice((0.1, 0.5, 1.0)) * np.random.default_rng(seed).uniform(-1, 1, (bottom - top, right - left))
        disparity[top:bottom, left:right] = noise / noise.mean() / item.depth
    return Scene((Image.new("RGB", (320, 240), (seed % 256, 0, 0)),), scene, (disparity,))


def _alone(rng: random.Random) -> list[SceneObject]:
    return [SceneObject(name=rng.choice(("robot", "car")), attributes=("red", "matte"), bbox=(0.3, 0.3, 0.7, 0.8), depth=2.0)]


def _grid(rng: random.Random) -> tuple[list[SceneObject], list[tuple[int, int]]]:
    names = rng.sample(["mug", "bench", "egg", "duck", "snowman", "can"], rng.randint(2, 4))
    cells = [(column, row) for column in range(4) for row in range(3)]
    depths = [1.25**power for power in range(7)]  # more would hardly differ in disparity
    rng.shuffle(depths)
    objects, on = [], []
    for (column, row), depth in zip(rng.sample(cells, rng.randint(2, 6)), depths, strict=False):
        left, top = 0.25 * column + rng.choice((0.02, 0.04)), 0.33 * row + rng.choice((0.1, 0.12))
        width, height = rng.choice((0.1, 0.14, 0.18)), rng.choice((0.1, 0.15, 0.2))
        attributes = (rng.choice(("red", "blue", "green")), rng.choice(("metal", "matte")))
        objects.append(
            SceneObject(name=rng.choice(names), attributes=attributes, bbox=_box(left, top, width, height), depth=depth)
        )
    if rng.random() < 0.6:
        left, top, right, _ = objects[0].bbox
        box = _box((left + right) / 2 - 0.03, top - 0.07, 0.06, 0.09)
        objects.append(SceneObject(name="hat", attributes=("yellow", "matte"), bbox=box, depth=depths[-1]))
        on.append((len(objects) - 1, 0))
    return objects, on


def _box(left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
    return round(left, 2), round(top, 2), round(left + width, 2), round(top + height, 2)


def photograph(*, exhaustive: bool, **more: Any) -> Scene:
    """As an annotated photograph is: names of any kind, few attributes, no depth, relations with verbs."""
    objects = (
        SceneObject(name="person", bbox=(0.3, 0.2, 0.6, 0.95)),
        SceneObject(name="umbrella", attributes=("black",), bbox=(0.28, 0.1, 0.62, 0.3)),
        SceneObject(name="scissors", attributes=("red",), bbox=(0.7, 0.7, 0.85, 0.78)),
        SceneObject(name="traffic light", bbox=(0.88, 0.05, 0.95, 0.3)),
        SceneObject(name="glass", attributes=("white",), bbox=(0.05, 0.5, 0.1, 0.6)),
        SceneObject(name="glass", attributes=("green",), bbox=(0.12, 0.7, 0.18, 0.8)),
        SceneObject(name="dog", bbox=(0.65, 0.3, 0.8, 0.5)),
        SceneObject(name="frisbee", bbox=(0.66, 0.28, 0.8, 0.4)),
    )
    relations = tuple(
        Relation(subject=one, predicate=verb, object=other) for one, verb, other in ((0, "holding", 1), (6, "catching", 7))
    )
    scene = ObjectScene(width=320, height=240, objects=objects, relations=relations, exhaustive=exhaustive, **more)
    return Scene((Image.new("RGB", (320, 240)),), scene, (None,))


@cache
def scenes() -> tuple[Scene, ...]:
    return (*map(planted, range(90)), photograph(exhaustive=True), photograph(exhaustive=False))


def questions(rounds: int = 1, kinds: tuple[str, ...] = tuple(RIGHT)) -> list[tuple[int, Question]]:
    """Questions of all types about the scenes, with the number of their scene."""
    asked = (
        (number, make_question(random.Random(f"{number}/{name}/{turn}"), name, QUESTION_TYPES[name], scene.annotation))
        for number, scene in enumerate(scenes())
        for name in kinds
        for turn in range(rounds)
    )
    return [(number, question) for number, question in asked if question]


@dataclasses.dataclass(frozen=True)
class Played:
    scene: Scene
    question: Question
    steps: tuple[Step, ...]
    gave_up: str = ""

    @property
    def answer(self) -> str | None:
        return terminated(self.steps[-1]) if self.steps else None

    @property
    def kept(self) -> bool:
        return self.answer is not None and self.question.accepts(self.answer)


def play_all(errors: PerceptionErrors, kinds: tuple[str, ...] = tuple(RIGHT)) -> list[Played]:
    observer, played = Simulated(perception=errors), []
    asked = questions(kinds=kinds)
    for number, scene in [*enumerate(scenes())][-PLAYED:]:
        store = ImageStore(scene.images)
        toolbox = observer.look(scene, TOOLS, random.Random(number), [store["image-0"]])
        for question in (question for own, question in asked if own == number):
            try:
                played.append(Played(scene, question, play(question.program(random.Random(number)), store.copy(), toolbox)))
            except GaveUp as problem:
                played.append(Played(scene, question, (), str(problem)))
    return played


@pytest.fixture(scope="module")
def faultless() -> list[Played]:
    return play_all(FAULTLESS)


# ---------------------------------------------------------------------- right answers


def disagreements(checker: SimpleNamespace, asked: list[tuple[int, Question]]) -> list[Question]:
    found = []
    for number, question in asked:
        try:
            answer = checker.right_answer(scenes()[number].annotation, question.text)
        except ValueError as error:
            answer = str(error)
        if not checker.agrees(answer, question.answer):
            found.append(question)
    return found


def test_an_independent_checker_agrees_with_every_answer(checker: SimpleNamespace) -> None:
    asked = questions(rounds=2)
    assert {question.type for _, question in asked} == set(RIGHT)
    assert len(asked) > 2000
    assert [(question.text, question.answer) for question in disagreements(checker, asked)] == []


def other_answer(choose: Callable[..., Asked | None], rng: random.Random, scene: ObjectScene) -> Asked | None:
    asked = choose(rng, scene)
    if asked is None:
        return None
    if asked.answer.isdigit():
        return dataclasses.replace(asked, answer=str(int(asked.answer) + 1))
    return dataclasses.replace(asked, answer=next((wrong for wrong in asked.wrong if wrong != asked.answer), "another"))


@pytest.mark.parametrize("kind", RIGHT)
def test_a_wrong_answer_of_any_type_turns_the_checker_red(
    kind: str, checker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = dataclasses.replace(RIGHT[kind], choose=lambda rng, scene: other_answer(RIGHT[kind].choose, rng, scene))
    monkeypatch.setitem(QUESTION_TYPES, kind, wrong)
    asked = questions(kinds=(kind,))
    assert asked
    assert len(disagreements(checker, asked)) == len(asked)


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        ("closer_object", "farther_object"),
        ("farther_object", "closer_object"),
        ("closer_to_anchor", "farther_from_anchor"),
        ("leftmost_object", "rightmost_object"),
        ("topmost_object", "bottommost_object"),
        ("largest_object", "smallest_object"),
        ("most_frequent_object", "least_frequent_object"),
        ("how_many_more", "how_many_together"),
    ],
)
def test_an_inverted_choose_turns_the_checker_red(
    kind: str, instead: str, checker: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUESTION_TYPES, kind, dataclasses.replace(RIGHT[kind], choose=RIGHT[instead].choose))
    asked = questions(kinds=(kind,))
    assert len(disagreements(checker, asked)) > 0.8 * len(asked) > 10


# ---------------------------------------------------------------------- programs


def test_with_faultless_tools_every_program_reaches_the_annotated_answer(faultless: list[Played]) -> None:
    failed = [(one.question.text, one.question.answer, one.answer or one.gave_up) for one in faultless if not one.kept]
    assert failed == []
    assert {one.question.type for one in faultless} == set(RIGHT)


def test_the_order_of_planted_depths_is_right_though_the_objects_own_maxima_differ(faultless: list[Played]) -> None:
    asked = [one for one in faultless if one.question.type in DEPTHS]
    assert len(asked) > 60
    assert all(one.kept for one in asked)
    turned_by_own_maximum = 0
    for scene in (planted(seed) for seed in range(1, 8)):
        [disparity] = scene.disparities
        assert disparity is not None
        items = sorted(scene.annotation.objects, key=lambda item: item.depth)
        boxes = [[round(side * length) for side, length in zip(item.bbox, (320, 240) * 2, strict=True)] for item in items]
        parts = [disparity[top:bottom, left:right] for left, top, right, bottom in boxes]
        own = [float(part.max() - part.mean()) for part in parts]
        turned_by_own_maximum += own != sorted(own)
    assert turned_by_own_maximum > 4  # the plant would catch that


def test_thoughts_quote_what_was_observed(faultless: list[Played]) -> None:
    for one in faultless:
        if one.question.type not in DEPTHS:
            continue
        depths = [o.content["depth"] for step in one.steps for o in step.observations if "depth" in (o.content or {})]
        sides = {
            side
            for step in one.steps
            for o in step.observations
            for r in (o.content or {}).get("regions", ())
            for side in r["bbox"]
        }
        gaps = {round(abs(a - b), 2) for a in depths for b in depths}
        quoted = {float(number) for step in one.steps for number in re.findall(r"\d+\.\d+", step.thought)}
        assert quoted <= {*depths, *gaps, *sides}, one.steps


def test_every_kept_answer_is_grounded_and_checked(faultless: list[Played], checker: SimpleNamespace) -> None:
    erring = [one for one in play_all(PerceptionErrors.load()) if one.kept]
    assert len(erring) > 400
    for one in [*faultless[::4], *erring[::2]]:
        question, answer = one.question, one.answer
        assert answer is not None
        task = Task(id="t", question=question.text, images=("images/0.png",), answer=question.answer)
        tools = tuple(ToolRecord(name=name, backend="test") for name in TOOLS)
        trace = Trace(task=task, tools=tools, steps=one.steps, answer=answer, stop_reason="answered")
        assert ungrounded(trace) == "", (question.text, answer)
        assert checker.agrees(checker.right_answer(one.scene.annotation, question.text), answer)


def test_steps_end_once_and_only_what_is_plain_to_see_needs_no_tool(faultless: list[Played]) -> None:
    for one in faultless:
        calls = [action.name for step in one.steps for action in step.actions]
        assert calls.count("Terminate") == 1
        assert calls[-1] == "Terminate"
        assert (calls == ["Terminate"]) == (one.question.type in AT_SIGHT)
        assert len(calls) == len({str(action) for step in one.steps for action in step.actions}), one.steps


def test_every_plan_of_a_type_is_taken(faultless: list[Played]) -> None:
    for kind, tools in {
        "closer_object": {"EstimateRegionDepth", "EstimateObjectDepth", "Calculate"},
        "leftmost_object": {"LocalizeObjects", "Calculate"},
        "is_there": {"LocalizeObjects", "GetObjects"},
        "colour_of_object": {"Crop", "ZoomIn"},
    }.items():
        used = {action.name for one in faultless if one.question.type == kind for step in one.steps for action in step.actions}
        assert tools <= used


def test_where_the_detector_misses_no_trace_pretends(checker: SimpleNamespace) -> None:
    blind = FAULTLESS.model_copy(update={"missed": ((1.0, 1.0),)})
    for one in play_all(blind):
        if one.kept and one.question.type not in AT_SIGHT:  # nothing was found, and that was the answer
            assert one.answer in {"0", "no"} or one.question.type in ("unanswerable", "how_many_together"), one.steps


def test_where_nothing_to_count_was_found_the_thought_says_so() -> None:
    blind = FAULTLESS.model_copy(update={"missed": ((1.0, 1.0),)})
    ends = [one.steps[-1].thought for one in play_all(blind, ("count_in_half",)) if one.steps]
    assert ends
    assert all(re.match(r"No \w.* was found\. So 0 in the", end) for end in ends)


def test_depths_that_hardly_differ_are_not_compared() -> None:
    asked = {"anchor": "mug", "names": ("box", "egg")}
    at_anchor = RIGHT["closer_to_anchor"].plans[0]

    def answer(*depths: float) -> str | None:
        program = at_anchor(asked, random.Random(0))
        next(program)
        for depth in depths[:-1]:
            program.send([Observation(content={"depth": depth})])
        _, [end] = program.send([Observation(content={"depth": depths[-1]})])
        return str(end.arguments["answer"])

    assert answer(5.0, 3.0, 2.0) == "box"
    for near in ((5.0, 3.32, 3.31), (3.0, 1.0, 5.05), (5.0, 5.0, 3.0)):  # two depths, two differences, a depth and the anchor's
        with pytest.raises(GaveUp, match="too near"):
            answer(*near)


@pytest.mark.parametrize("kind", ["count_with_attribute", "count_all_with_attribute", "count_closer_than", "how_many_more"])
def test_no_number_is_the_answer_most_of_the_time(kind: str) -> None:
    answers = Counter(question.answer for _, question in questions(rounds=4, kinds=(kind,)))
    assert answers.total() >= 40
    assert max(answers.values()) <= 0.5 * answers.total()


def test_an_object_that_was_found_twice_is_one() -> None:
    boxes = [[0.1, 0.1, 0.5, 0.5], [0.11, 0.1, 0.5, 0.5], [0.6, 0.1, 0.9, 0.5]]
    labels = ["red mug", "red mug-2", "red mug-3"]
    found = read_regions([{"label": label, "bbox": box} for label, box in zip(labels, boxes, strict=True)], ["red mug"])
    assert found.count("red mug") == 2
    assert found.note == "The box of red mug-2 is nearly that of red mug, so they are one object. "
    with pytest.raises(GaveUp):
        found.one("red mug")


# ---------------------------------------------------------------------- what is asked


def test_nothing_is_counted_or_called_absent_where_the_annotation_may_lack_objects() -> None:
    scene = photograph(exhaustive=False).annotation
    asked = {name for name in RIGHT for turn in range(20) if make_question(random.Random(turn), name, RIGHT[name], scene)}
    assert {"leftmost_object", "is_beside", "related_object", "colour_of_object"} <= asked
    assert not asked & {"count_objects", "how_many_more", "is_there", "is_there_with_attribute", "unanswerable", "count_kinds"}
    assert not asked & DEPTHS  # no depth is known


def test_of_a_photograph_is_said_to_be_absent_what_was_looked_for() -> None:
    absent = ("kite", "wine glass", "light", "rice")
    scene = photograph(exhaustive=True, absent=absent).annotation
    assert absent_names(scene) == ["kite"]  # the others are called nearly as what is there, or not counted
    assert [name for name in (*absent, "boat", "dog") if lacks(scene, name)] == ["kite"]
    asked = [
        question
        for name in ("is_there", "count_objects", "unanswerable")
        for turn in range(60)
        if (question := make_question(random.Random(turn), name, RIGHT[name], scene))
    ]
    assert {question.answer for question in asked if "kite" in question.text} == {"no", "0", CANNOT_TELL}
    assert "yes" in {question.answer for question in asked if question.type == "is_there"}


def test_what_may_be_there_more_often_than_annotated_is_not_counted() -> None:
    scene = photograph(exhaustive=True, partial=("person", "glass")).annotation
    assert set(countable(scene)) == {"umbrella", "scissors", "traffic light", "dog", "frisbee"}


def test_ties_and_near_ties_are_not_asked() -> None:
    def pair(shift: float, depth: float) -> ObjectScene:
        one = SceneObject(name="mug", attributes=("red",), bbox=(0.1, 0.1, 0.3, 0.3), depth=2.0)
        other = SceneObject(name="egg", attributes=("red",), bbox=(0.1 + shift, 0.5, 0.3 + shift, 0.7), depth=depth)
        return ObjectScene(width=100, height=100, objects=(one, other))

    def asks(name: str, scene: ObjectScene) -> bool:
        return any(RIGHT[name].choose(random.Random(turn), scene) for turn in range(30))

    for name in ("leftmost_object", "rightmost_object"):
        assert not asks(name, pair(0.02, 3.0))
        assert asks(name, pair(0.2, 3.0))
    for name in ("closer_object", "farther_object", "is_closer"):
        assert not asks(name, pair(0.2, 2.08))
        assert asks(name, pair(0.2, 3.0))
    assert not asks("largest_object", pair(0.2, 3.0))
    assert not asks("most_frequent_object", pair(0.2, 3.0))


def test_objects_are_named_so_that_words_single_them_out() -> None:
    scene = photograph(exhaustive=True).annotation
    assert [mention.words for mention in mentions(scene)] == [
        "person", "umbrella", "scissors", "traffic light", "white glass", "green glass", "dog", "frisbee",
    ]  # fmt: skip


def test_options_hold_the_answer_once_and_what_is_wrong() -> None:
    for _, question in questions()[::2]:
        options = question.with_choices(random.Random(0)).choices
        assert options is not None or not question.wrong, question
        assert options is None or (options.count(question.answer) == 1 and len(set(options)) == len(options)), question


def test_unanswerable_questions_have_one_fixed_answer() -> None:
    answers = [question.answer for _, question in questions(kinds=("unanswerable",))]
    assert answers
    assert set(answers) == {CANNOT_TELL}


# ---------------------------------------------------------------------- wording


@pytest.mark.parametrize("kind", RIGHT)
def test_every_type_has_a_hundred_wordings_or_more(kind: str) -> None:
    assert sum(map(wordings, PHRASINGS[kind])) >= (300 if kind in FREQUENT else 100)
    assert set(PHRASINGS) == set(RIGHT)


def test_questions_and_thoughts_are_well_formed(faultless: list[Played]) -> None:
    texts = {question.text for _, question in questions()} | {step.thought for one in faultless for step in one.steps}
    for text in texts:
        assert text[0].isupper() or text[0].isdigit() or text[0] in "-" or text.split()[0].islower(), text
        assert not re.search(r"[{}|]|  | [.?,:;]|\bNone\b|\(\)|^\s|\s$", re.sub(r"\|[\d.]+ - [\d.]+\|", "gap", text)), text
        assert not re.search(r"\ba [aeiou](?!ni|se)|\ban [^aeiou]", text), text
        assert text.endswith((".", "?", ".)", "]")), text


def test_a_question_reads_well_with_hard_nouns() -> None:
    values = {"items": nouns.plural("red scissors"), "an_item": nouns.a("scissors"), "item": nouns.singular("scissors")}
    rng = random.Random(1)
    assert "pairs of red scissors" in phrase(rng, PHRASINGS["count_objects"], values)
    assert "a pair of scissors" in phrase(rng, PHRASINGS["is_there"], values)
    assert "the pair of scissors" in phrase(rng, PHRASINGS["colour_of_object"], values)


@pytest.mark.parametrize(
    ("name", "one", "many"),
    [
        ("mug", "a mug", "mugs"),
        ("orange box", "an orange box", "orange boxes"),
        ("wine glass", "a wine glass", "wine glasses"),
        ("mouse", "a mouse", "mice"),
        ("scissors", "a pair of scissors", "pairs of scissors"),
        ("hour glass", "an hour glass", "hour glasses"),
        ("unicorn", "a unicorn", "unicorns"),
        ("umbrella", "an umbrella", "umbrellas"),
        ("snowman", "a snowman", "snowmen"),
        ("bus", "a bus", "buses"),
        ("sheep", "a sheep", "sheep"),
        ("cup of coffee", "a cup of coffee", "cups of coffee"),
        ("teddy bear", "a teddy bear", "teddy bears"),
        ("knife", "a knife", "knives"),
        ("berry", "a berry", "berries"),
        ("toy", "a toy", "toys"),
        ("bench", "a bench", "benches"),
        ("human", "a human", "humans"),
    ],
)
def test_articles_and_plurals(name: str, one: str, many: str) -> None:
    assert (nouns.a(name), nouns.plural(name)) == (one, many)


def test_the_family_is_registered_and_makes_traces_of_rendered_scenes(checker: SimpleNamespace) -> None:
    recipe = Recipe(family="objects", seed=4, min_items=4, questions_per_scene=len(RIGHT), multiple_choice=0.5)
    made = [candidates(recipe, number, Simulated(perception=FAULTLESS)) for number in range(2)]
    outcomes: list[Any] = [outcome for scene in made for outcome in scene.outcomes]
    assert sum(isinstance(outcome, Rejected) for outcome in outcomes) < 0.3 * len(outcomes)
    for scene in made:
        for trace in scene.traces:
            assert trace.answer is not None
            assert checker.agrees(checker.right_answer(scene.annotation, trace.task.question), trace.answer)
