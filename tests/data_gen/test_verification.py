"""Verification runs the recorded actions again, and names the stage where a trace fails."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from taco.data_gen.pipeline import Recipe, generate, stream_traces
from taco.data_gen.verification import Verifier, verify_folder
from taco.prompts import reply_text
from taco.tools.action import Action, Observation
from taco.trace import Step, ToolRecord, Trace, read_traces


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[Trace]:
    folder = tmp_path_factory.mktemp("real")
    generate(Recipe(seed=3, observations="real", types=("price_of_n", "total_of_two"), max_items=3), 2, folder)
    return list(read_traces(folder))


def changed(trace: Trace, number: int, **update: object) -> Trace:
    """The trace with a changed step."""
    steps = [step.model_copy(update=update) if index == number else step for index, step in enumerate(trace.steps)]
    other = trace.model_copy(update={"steps": tuple(steps)})
    return other.with_store(trace.store)


def test_traces_with_real_observations_pass(traces: list[Trace]) -> None:
    verifier = Verifier()
    verdicts = [verifier.verify(trace) for trace in traces]
    assert [(verdict.failed, verdict.skipped) for verdict in verdicts] == [(None, None)] * 2


def test_a_changed_observation_fails_in_execution(traces: list[Trace]) -> None:
    [trace, _] = traces
    text = trace.steps[0].observations[0].content["text"]
    for number, content in ((0, {"text": text + " "}), (1, {"result": 1.5})):
        verdict = Verifier().verify(changed(trace, number, observations=(Observation(content=content),)))
        assert verdict.failed == "execution"
        assert json.dumps(content) in verdict.reason


def test_a_reply_that_says_something_else_fails_in_format(traces: list[Trace]) -> None:
    trace = traces[0]
    other = Action(name="Calculate", arguments={"expression": "1 + 1"})
    assert Verifier().verify(changed(trace, 1, reply=reply_text(trace.steps[1].thought, [other]))).failed == "format"
    assert Verifier().verify(changed(trace, 1, reply="I would rather not.")).failed == "format"
    assert Verifier().verify(trace.model_copy(update={"answer": "0"}).with_store(trace.store)).failed == "format"
    assert Verifier().verify(trace.model_copy(update={"steps": trace.steps[:-1]}).with_store(trace.store)).failed == "format"


def test_a_call_that_the_schema_forbids_fails_in_execution(traces: list[Trace]) -> None:
    trace = traces[0]
    wrong = (Action(name="Calculate", arguments={"formula": "2 * 3"}),)
    verdict = Verifier().verify(changed(trace, 1, actions=wrong, reply=reply_text(trace.steps[1].thought, wrong)))
    assert verdict.failed == "execution"
    assert "IAN" in verdict.reason


def test_another_engine_is_named(traces: list[Trace]) -> None:
    trace = traces[0]
    others = [tool for tool in trace.tools if tool.name != "OCR"]
    tools = (ToolRecord(name="OCR", backend="rapidocr 1.0"), *others)
    verdict = Verifier().verify(trace.model_copy(update={"tools": tools}).with_store(trace.store))
    assert verdict.failed == "execution"
    assert "rapidocr 1.0" in verdict.reason


def test_changed_pixels_fail(traces: list[Trace], tmp_path: Path) -> None:
    trace = traces[0]
    trace.save(tmp_path)
    [image] = (tmp_path / "images").iterdir()
    picture = trace.store["image-0"].copy()
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(image)
    [read] = read_traces(tmp_path)
    verdict = Verifier().verify(read)
    assert verdict.failed == "execution"
    assert "pixels changed" in verdict.reason


def longer(trace: Trace) -> Trace:
    task = trace.task.model_copy(update={"images": trace.task.images * 2})
    return trace.model_copy(update={"task": task})


def silent(trace: Trace) -> Trace:
    last = trace.steps[-1].model_copy(update={"observations": (Observation(),)})
    return trace.model_copy(update={"steps": (*trace.steps[:-1], last)})


TWICE = (
    lambda trace: trace.model_copy(update={"tools": (*trace.tools, trace.tools[0])}),
    "a tool is listed twice",
)  # not made by Trace(...)
DAMAGES: list[tuple[Callable[[Trace], Trace], str]] = [
    (longer, "image-1"),
    (lambda trace: trace.model_copy(update={"images": {}}), "image-0"),
    TWICE,
    (silent, "Terminate says ''"),
]


@pytest.mark.parametrize(("damage", "said"), [item for item in DAMAGES if item is not TWICE])
def test_a_damaged_trace_fails_in_format_and_nothing_raises(
    traces: list[Trace], damage: Callable[[Trace], Trace], said: str
) -> None:
    verdict = Verifier().verify(damage(traces[0]))
    assert verdict.failed == "format"
    assert said in verdict.reason


def test_the_other_lines_are_judged(tmp_path: Path) -> None:
    [one, two] = itertools.islice(stream_traces(0, types=["price_of"], max_items=2), 2)
    one.save(tmp_path)
    with (tmp_path / "traces.jsonl").open("a") as file:
        file.write("\n{\n" + "".join(damage(one).to_json() + "\n" for damage, _ in DAMAGES))
    two.save(tmp_path)
    verdicts = list(verify_folder(tmp_path))
    assert [verdict.outcome for verdict in verdicts] == ["skipped execution", *["failed format"] * 5, "skipped execution"]
    assert verdicts[1].id == "line 3"
    assert "traces.jsonl, line 3" in verdicts[1].reason
    assert all(verdict.reason for verdict in verdicts)


def test_simulated_traces_are_skipped_but_their_format_is_checked() -> None:
    [trace] = itertools.islice(stream_traces(0, types=["price_of_n"], max_items=2), 1)
    verdict = Verifier().verify(trace)
    assert (verdict.failed, verdict.skipped) == (None, "execution")
    assert Verifier().verify(changed(trace, 0, reply="{")).failed == "format"
    empty = Trace(task=trace.task, steps=(Step(reply=""),), stop_reason="failed")
    assert Verifier().verify(empty.with_store(trace.store)).failed == "format"
