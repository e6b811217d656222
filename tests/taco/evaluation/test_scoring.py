"""Which answers count as right."""

import pytest

from taco.evaluation import evaluate, is_correct, parse_number
from taco.tools import Finding, Observation
from taco.trace import Step, Task, Trace


def task(answer: str | None, choices: tuple[str, ...] | None = None, **more: str) -> Task:
    return Task(id=more.get("id", "1"), question="?", answer=answer, choices=choices, source=more.get("source", ""))


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("14", "14.00", True), ("$14.00", "14", True), ("14,000", "14000", True), ("It costs 14 dollars.", "14", True),
        ("14 or 15", "14", False), ("14.01", "14", False), ("", "14", False), (None, "14", False), ("-3", "−3", True),
        ("fourteen", "14", False), ("0.1", ".1", True), ("1e3", "1000", True), ("12 €", "12", True), ("-3", "3", False),
        ("Green tea", "green  TEA.", True), ("Tea", "Green tea", False), ("yes", "Yes", True), ("nan", "14", False),
        ("-$5", "5", False), ("-$5", "-5", True), ("Room B4", "4", False), ("4.", "4", True), ("(4)", "4", True),
    ],
)  # fmt: skip
def test_text_and_numbers(answer: str | None, gold: str, right: bool) -> None:
    assert is_correct(answer, task(gold)) is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [("red", True), ("B", True), ("(b)", True), ("b. red", True), ("A", False), ("blue", False), ("E", False), ("", False)],
)
def test_choices(answer: str, right: bool) -> None:
    assert is_correct(answer, task("red", ("blue", "red"))) is right
    assert is_correct(answer, task("B", ("blue", "red"))) is right


def test_an_article_is_no_option() -> None:
    pets = ("cat", "dog")
    assert [is_correct(answer, task("dog", pets)) for answer in ("A dog", "a) cat", "b: the dog", "B")] == [
        False,
        False,
        True,
        True,
    ]
    assert not is_correct("A dog", task("cat", pets))


def test_numbers_that_are_none() -> None:
    assert [parse_number(text) for text in ("", ".", "-", "e5", "1.2.3", "a1", "1,2")] == [None] * 7


def test_a_task_without_an_answer_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="no answer"):
        is_correct("1", task(None))


def test_report() -> None:
    bad = Finding(code="IFE", where="", message="")
    mended = Finding(code="IFE.repaired", where="", message="")
    step = Step(reply="", observations=(Observation(), Observation(error="no")))
    traces = [
        Trace(task=task("1", id="a", source="x"), answer="2", stop_reason="answered"),
        Trace(task=task("1", id="a", source="x"), answer="1", stop_reason="answered", steps=(step,)),  # the last one counts
        Trace(task=task("1", id="b", source="y"), stop_reason="failed"),
        Trace(task=task("1", id="c", source="y"), answer="1", stop_reason="answered",
              steps=(Step(reply="", findings=(bad,)), Step(reply="", findings=(mended,)))),
        Trace(task=task(None, id="d"), answer="1", stop_reason="answered"),
    ]  # fmt: skip
    report = evaluate(traces)
    assert (report.traces, report.correct, report.unscored) == (3, 2, 1)
    assert (report.replies, report.malformed, report.repaired, report.calls, report.failed_calls) == (3, 1, 1, 2, 1)
    assert report.stop_reasons == {"answered": 2, "failed": 1}
    assert {name: group.accuracy for name, group in report.sources.items()} == {"x": 1.0, "y": 0.5}
    assert "66.7%" in report.to_text()
