"""Questions of every family: neither options nor hints tell whether a question has an answer; counts are drawn evenly."""

import functools
import itertools
import random
from collections import Counter

import pytest

from taco.data_gen.families import FAMILIES
from taco.data_gen.programs.question import (
    CANNOT_TELL,
    Asked,
    Question,
    QuestionType,
    doubtful,
    evenly,
    make_question,
    weighted_order,
)
from taco.data_gen.scenes.object_names import OBJECT_COLOURS

SCENES, ROUNDS, ASKED = 6, 60, 4
UNCHECKED = {"prices"}
"""Has no such questions."""


@functools.cache
def asked_about_scenes(family: str) -> list[Question]:
    """As the pipeline asks, several times about each scene."""
    kind, rng = FAMILIES[family], random.Random(3)
    weights, questions = {name: own.weight for name, own in kind.types.items()}, list[Question]()
    for _ in range(SCENES):
        annotation = kind.render(rng, "train", (kind.fewest, kind.items[1])).annotation
        for _ in range(ROUNDS):
            made = (kind.ask(rng, annotation, name) for name in weighted_order(rng, weights))
            questions += itertools.islice(filter(None, made), ASKED)
    return questions


@pytest.fixture(scope="module", params=sorted(set(FAMILIES) - UNCHECKED))
def asked(request: pytest.FixtureRequest) -> list[Question]:
    return asked_about_scenes(request.param)


def test_where_an_option_says_that_it_cannot_be_told_it_is_mostly_wrong(asked: list[Question]) -> None:
    with_options = [question.with_choices(random.Random(index)) for index, question in enumerate(asked)]
    offered = [question for question in with_options if CANNOT_TELL in (question.choices or ())]
    right = [question for question in offered if question.answer == CANNOT_TELL]
    assert len(right) > 5
    assert len(right) <= 0.4 * len(offered)
    assert sum(len(question.choices or ()) > 2 for question in right) > 0.8 * len(right)
    assert not any(CANNOT_TELL in question.text for question in with_options if question.choices)


def test_a_hint_stands_as_often_behind_questions_with_an_answer_as_behind_those_without(asked: list[Question]) -> None:
    counts = Counter((question.answer == CANNOT_TELL, CANNOT_TELL in question.text) for question in asked if question.doubtful)
    for lacks in (True, False):
        if sum(counts[lacks, hinted] for hinted in (True, False)) < 50:  # too few to tell
            continue
        assert 0.3 < counts[lacks, True] / (counts[lacks, True] + counts[lacks, False]) < 0.65


def typed(answer: str, *wrong: str, doubt: bool = True) -> Question:
    kinds = {"one": QuestionType(1.0, lambda rng, scene: Asked({}, answer, wrong), (), ("What is it?",))}
    question = make_question(random.Random(1), "one", doubtful(kinds, *kinds if doubt else ())["one"], None)
    assert question is not None
    return question


@pytest.mark.parametrize(
    ("answer", "wrong"), [("7", ()), ("red", ("blue", "green")), ("yes", ("yes", "no")), (CANNOT_TELL, ("a",))]
)
def test_options_of_a_doubtful_type_hold_that_it_cannot_be_told_once(answer: str, wrong: tuple[str, ...]) -> None:
    choices = typed(answer, *wrong).with_choices(random.Random(0)).choices or ()
    assert choices.count(CANNOT_TELL) == choices.count(answer) == 1
    assert 2 <= len(set(choices)) == len(choices) <= 4


def test_other_types_have_neither_hint_nor_such_an_option() -> None:
    question = typed("7", doubt=False)
    assert question.text == "What is it?"
    assert CANNOT_TELL not in (question.with_choices(random.Random(0)).choices or ())


def test_a_name_of_no_type_is_refused() -> None:
    with pytest.raises(KeyError, match="mising"):
        doubtful({}, "mising")


def test_answers_are_drawn_evenly() -> None:
    rng, found = random.Random(0), [("a", 1)] * 90 + [("b", 2)] * 9 + [("c", 3)]
    drawn = Counter(evenly(rng, found, lambda one: one[1])[0] for _ in range(600))
    assert all(150 < drawn[name] < 250 for name in "abc")


def test_options_of_a_question_without_an_answer_are_of_the_kind_that_is_asked_for() -> None:
    for family in ("objects", "sets", "equations"):
        questions = [question for question in asked_about_scenes(family) if question.answer == CANNOT_TELL]
        seen = set()
        for question in questions:
            others = set(question.with_choices(random.Random(0)).choices or ()) - {CANNOT_TELL}
            text = question.text.lower()
            if "colour" in text or "color" in text:
                kind, fits = "colour", others <= set(OBJECT_COLOURS)
            elif others <= {"yes", "no"}:
                kind, fits = "whether", not text.startswith(("how many", "which", "what"))
            elif all(other.startswith("image-") for other in others):
                kind, fits = "image", "which" in text or "one of" in text
            elif all(other.lstrip("-").replace(".", "").isdigit() for other in others):
                kind, fits = "number", family == "equations" or "many" in text or "count" in text or "number" in text
            else:
                kind, fits = "thing", family == "objects" and ("what" in text or "which" in text)
            assert fits, (question.text, others)
            seen.add(kind)
        assert (
            seen
            == {
                "objects": {"colour", "whether", "thing"},
                "sets": {"colour", "whether", "number", "image"},
                "equations": {"number"},
            }[family]
        )
