"""An answer is compared with the right one: exactly, by ANLS, by a judge."""

import pytest

from taco.data_gen.semantics import anls, ask_score, wrong_answer
from taco.trace import Task, Trace


def answered(answer: str | None, gold: str | None, *choices: str) -> Trace:
    task = Task(id="1", question="What is it?", answer=gold, choices=choices or None)
    return Trace(task=task, answer=answer, stop_reason="answered")


@pytest.mark.parametrize(
    ("answer", "gold", "choices"),
    [("14.0", "14", ()), ("Tea.", "tea", ()), ("B", "tea", ("milk", "tea")), ("x", None, ()), (None, None, ())],
)
def test_right_answers(answer: str | None, gold: str | None, choices: tuple[str, ...]) -> None:
    assert wrong_answer(answered(answer, gold, *choices)) == ""


@pytest.mark.parametrize(
    ("answer", "gold", "choices"), [("15", "14", ()), (None, "14", ()), ("A", "tea", ("milk", "tea")), ("green tea", "tea", ())]
)
def test_wrong_answers(answer: str | None, gold: str, choices: tuple[str, ...]) -> None:
    assert wrong_answer(answered(answer, gold, *choices)) == f"the answer is {answer!r}, right is {gold!r}"


def test_anls_is_that_of_st_vqa() -> None:
    assert anls("Coca Cola", "coca cola") == 1
    assert anls("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert anls("ab", "ac") == 0, "a normalized distance of 0.5 counts no more"
    assert anls("", "tea") == 0


def test_with_anls_texts_may_be_nearly_right_and_numbers_may_not() -> None:
    assert wrong_answer(answered("coca colo", "Coca Cola"))
    assert wrong_answer(answered("coca colo", "Coca Cola"), "anls") == ""
    assert wrong_answer(answered("pepsi", "Coca Cola"), "anls")
    assert wrong_answer(answered("13.50", "18.50"), "anls")
    assert wrong_answer(answered("Coca Cols", "Coca Cola", "Coca Cols", "Coca Cola"), "anls")


def test_a_right_answer_that_is_no_choice_is_a_fault_of_the_task() -> None:
    assert wrong_answer(answered("tea", "coffee", "tea", "milk")).startswith(
        "the task is at fault: its right answer 'coffee' is none"
    )
    assert wrong_answer(answered("tea", "milk", "tea", "milk")) == "the answer is 'tea', right is 'milk'"
    assert wrong_answer(answered("a tea", "Tea.", "a tea", "milk"), judge=lambda prompt: "1.0") == "", "a judge may know better"


def test_a_judge_is_asked_where_the_answers_differ() -> None:
    asked: list[str] = []

    def judge(prompt: str) -> str:
        asked.append(prompt)
        return replies.pop(0)

    replies = ["0.5", "I think 0.4", "It is fine", "0.2 or 0.9", "7"]
    assert wrong_answer(answered("tea", "tea"), judge=judge) == ""
    assert asked == []
    assert wrong_answer(answered("a cup of tea", "tea"), judge=judge) == ""
    assert '"answer": "a cup of tea"' in asked[0]
    assert wrong_answer(answered("milk", "tea"), judge=judge).endswith("the judge gives it 0.4")
    assert wrong_answer(answered("milk", "tea"), judge=judge).endswith("the judge gave no score in 3 tries")
    assert len(asked) == 5


def test_scores_that_are_none() -> None:
    for reply in ("", "a1", "1/2", "10", "0.5.1", "v0.3", "-1"):
        assert ask_score(lambda prompt, reply=reply: reply, "", 5) is None, reply  # type: ignore[misc]
    assert ask_score(lambda prompt: "Score: 4.", "", 5) == 4
