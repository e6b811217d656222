"""Verification runs the recorded actions again, and names the stage where a trace fails."""

import itertools
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from taco.agent import Agent
from taco.data_gen.generation import generate
from taco.data_gen.pipeline import Recipe, stream_traces
from taco.data_gen.verification import Rules, Verifier, verify_folder
from taco.models.scripted import ScriptedModel
from taco.prompts import reply_text
from taco.tools.action import Action, Observation, ToolError
from taco.tools.calculator import Calculate
from taco.tools.catalogue import load_tools
from taco.tools.images import ImageStore
from taco.tools.isolation import stop_worker
from taco.tools.regions import Crop
from taco.tools.tool import Tool
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
    assert [(verdict.outcome, verdict.kind, verdict.rating) for verdict in verdicts] == [("passed", "CoTA", 5)] * 2


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


def test_a_call_that_the_schema_forbids_fails_in_format(traces: list[Trace]) -> None:
    trace = traces[0]
    wrong = (Action(name="Calculate", arguments={"formula": "2 * 3"}),)
    verdict = Verifier().verify(changed(trace, 1, actions=wrong, reply=reply_text(trace.steps[1].thought, wrong)))
    assert (verdict.failed, verdict.fault) == ("format", "faulty call")
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
    (lambda trace: trace.model_copy(update={"steps": (trace.steps[-1], *trace.steps)}), "step 1 terminates"),
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
    [one, two] = itertools.islice(stream_traces(Recipe(types=("price_of",), max_items=2)), 2)
    one.save(tmp_path)
    damaged = [one.model_copy(update={"task": one.task.model_copy(update={"id": str(n)})}) for n in range(len(DAMAGES))]
    with (tmp_path / "traces.jsonl").open("a") as file:
        file.write("\n{\n" + "".join(damage(each).to_json() + "\n" for (damage, _), each in zip(DAMAGES, damaged, strict=True)))
    two.save(tmp_path)
    verdicts = list(verify_folder(tmp_path))
    assert [verdict.outcome for verdict in verdicts] == ["skipped execution", *["failed format"] * 6, "skipped execution"]
    assert verdicts[1].id == "line 3"
    assert "traces.jsonl, line 3" in verdicts[1].reason
    assert all(verdict.reason or verdict.skipped for verdict in verdicts)


def test_simulated_calls_are_skipped_and_the_others_run_again() -> None:
    [trace] = itertools.islice(stream_traces(Recipe(types=("price_of_n",), max_items=2)), 1)
    verdict = Verifier().verify(trace)
    assert (verdict.failed, verdict.skipped) == (None, {"execution": "OCR was simulated, so it cannot be run again."})
    assert Verifier().verify(changed(trace, 0, reply="{")).failed == "format"
    verdict = Verifier().verify(changed(trace, 1, observations=(Observation(content={"result": 1}),)))
    assert (verdict.failed, verdict.fault) == ("execution", "other observation")
    empty = Trace(task=trace.task, steps=(Step(reply=""),), stop_reason="failed")
    assert Verifier().verify(empty.with_store(trace.store)).failed == "format"


@pytest.mark.parametrize("backend", ["simulated calc", "imported"])
def test_calls_that_need_no_weights_run_again_whatever_the_record_says_of_them(backend: str) -> None:
    [trace] = itertools.islice(stream_traces(Recipe(types=("price_of_n",), max_items=2)), 1)
    tools = tuple(tool.model_copy(update={"backend": backend}) if tool.name == "Calculate" else tool for tool in trace.tools)
    labelled = trace.model_copy(update={"tools": tools}).with_store(trace.store)
    assert Verifier().verify(labelled).fault == ("other backend" if backend != "imported" else "")
    end = Action(name="Terminate", arguments={"answer": "777"})
    false = changed(labelled, 1, observations=(Observation(content={"result": 777}),))
    false = changed(false, 2, actions=(end,), observations=(Observation(content=end.arguments),), thought="So it is.")
    false = changed(false, 2, reply=reply_text("So it is.", [end]))
    task = trace.task.model_copy(update={"answer": "777"})
    false = false.model_copy(update={"answer": "777", "task": task}).with_store(trace.store)
    assert Verifier().verify(false).failed == "execution"


def test_what_crop_made_in_a_simulated_trace_is_compared() -> None:
    made = (trace for trace in stream_traces(Recipe(family="signs")) if len(trace.images) == 2)
    trace = next(made)
    assert Verifier().verify(trace).outcome == "skipped execution"
    other = ImageStore([trace.store["image-0"], trace.store["image-1"].rotate(180)])
    assert Verifier().verify(trace.with_store(other)).fault == "other image"


def test_the_right_answer_is_asked_for(traces: list[Trace]) -> None:
    trace = traces[0]

    def with_answer(answer: str | None) -> Trace:
        task = trace.task.model_copy(update={"answer": answer})
        return trace.model_copy(update={"task": task}).with_store(trace.store)

    verdict = Verifier().verify(with_answer("0.01"))
    assert (verdict.failed, verdict.fault) == ("semantics", "wrong answer")
    verdict = Verifier().verify(with_answer(None))
    assert (verdict.outcome, verdict.rating) == ("skipped semantics", 4)
    verdict = Verifier(Rules(min_rating=5)).verify(with_answer(None))
    assert (verdict.failed, verdict.fault, verdict.rating) == ("rating", "low rating", 4)


# ---------------------------------------------------------------------- tools that differ, hang or fail


def played(tools: list[Tool], *actions: tuple[str, dict[str, Any]], answer: str) -> Trace:
    """What an agent does with these tools, a call each step, then Terminate."""
    calls = [[Action(name=name, arguments=arguments)] for name, arguments in actions]
    calls.append([Action(name="Terminate", arguments={"answer": answer})])
    model = ScriptedModel([reply_text("Next.", call) for call in calls])
    trace = Agent(model, tools).run("How much is 2 + 12, and what colour is it?", Image.new("RGB", (40, 40)))
    return trace.model_copy(update={"task": trace.task.model_copy(update={"answer": answer})}).with_store(trace.store)


def depth_tool(value: float, backend: str = "small", problem: str | None = None) -> Tool:
    def EstimateDepth(image: Image.Image) -> dict[str, Any]:
        """Depth."""
        return {"depth": value, "result": 2 * value if value > 9 else 1}

    return Tool(EstimateDepth, backend=backend, unavailable=lambda: problem)


LOOK = ("EstimateDepth", {"image": "image-0"})


def test_numbers_of_neural_tools_may_differ_a_little() -> None:
    trace = played([depth_tool(2.31)], LOOK, answer="2.31")
    assert Verifier(tools=[depth_tool(2.34)]).verify(trace).outcome == "passed"
    assert Verifier(tools=[depth_tool(2.41)]).verify(trace).fault == "other observation"
    trace = played([depth_tool(20.0)], LOOK, answer="20")
    verdict = Verifier(tools=[depth_tool(20.1)]).verify(trace)
    assert verdict.fault == "other observation", "only the depth has a tolerance"


def test_what_cannot_run_here_is_skipped_and_another_version_is_named() -> None:
    trace = played([depth_tool(2.31), Calculate], LOOK, ("Calculate", {"expression": "2 + 12"}), answer="14")
    verdict = Verifier(tools=[depth_tool(0, problem="No weights.")]).verify(trace)
    assert verdict.skipped == {"execution": "EstimateDepth cannot run here: No weights."}
    assert verdict.outcome == "skipped execution"
    false = changed(trace, 1, observations=(Observation(content={"result": 15}),))
    assert Verifier(tools=[depth_tool(0, problem="No weights.")]).verify(false).fault == "other observation"
    assert Verifier(tools=[depth_tool(2.31, "large")]).verify(trace).reason == "EstimateDepth was small, here it is large"
    assert Verifier(tools=[depth_tool(1, "large"), depth_tool(2.31)]).verify(trace).outcome == "passed"
    assert Verifier().verify(trace).fault == "unknown tool"
    unused = played([depth_tool(2.31), Calculate], ("Calculate", {"expression": "2 + 12"}), answer="14")
    assert Verifier().verify(unused).outcome == "passed", "a tool that was offered and not called does not matter"


def test_images_that_calls_made_are_compared() -> None:
    trace = played([Crop], ("Crop", {"image": "image-0", "bbox": [0, 0, 0.5, 0.5]}), answer="black")
    assert Verifier().verify(trace).outcome == "passed"
    store = ImageStore([trace.store["image-0"], Image.new("RGB", trace.store["image-1"].size, "red")])
    assert Verifier().verify(trace.with_store(store)).fault == "other image"
    more = trace.store.copy()
    more.add(Image.new("RGB", (3, 3)))
    assert Verifier().verify(trace.with_store(more)).fault == "image name"


LOOPS = '''
from typing import Any
from taco.tools import tool

@tool(isolated=True, deadline=0.3)
def Spin(number: int) -> dict[str, Any]:
    """Spins."""
    while number:
        pass
    return {"number": 3}
'''


def test_a_tool_that_hangs_or_crashes_ends_its_trace_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tools_that_loop.py").write_text(LOOPS)
    monkeypatch.syspath_prepend(str(tmp_path))
    [spin] = load_tools("tools_that_loop:Spin")

    def Wait(seconds: bool) -> dict[str, Any]:
        """Waits."""
        if seconds:
            threading.Event().wait()
        return {"number": 3}

    def Crash(really: bool) -> dict[str, Any]:
        """Crashes."""
        return {"number": 3 // (not really)}

    tools = [spin, Tool(Wait), Tool(Crash)]
    verifier = Verifier(tools=tools, deadline=0.2)
    turns = {"Spin": ("number", 0, 1), "Wait": ("seconds", False, True), "Crash": ("really", False, True)}
    faults = []
    for name, (argument, good, bad) in turns.items():
        trace = played(tools, (name, {argument: good}), answer="3")
        assert verifier.verify(trace).outcome == "passed"
        action = Action(name=name, arguments={argument: bad})
        false = changed(trace, 0, actions=(action,), reply=reply_text("Next.", [action]))
        verdict = verifier.verify(false)
        assert verdict.failed == "execution"
        faults.append(verdict.fault)
        assert verifier.verify(trace).outcome == "passed", "the next trace is judged as ever"
    assert faults == ["other observation", "hang", "crash"]
    stop_worker()
    del sys.modules["tools_that_loop"]


# ---------------------------------------------------------------------- traces of a live agent


def recovered() -> Trace:
    """A run with a mended reply, a wrong argument, a failed call and a repeated one, and the right answer at last."""

    def Read(page: int) -> dict[str, Any]:
        """Reads."""
        raise ToolError(f"There is no page {page}.")

    replies = [
        """{"thought": "Read it.", "actions": [{"name": "Read", "arguments": {"page": 2}},]}""",
        reply_text("Add.", [Action(name="Calculate", arguments={"formula": "2 + 12"})]),
        reply_text("Add.", [Action(name="Calculate", arguments={"expression": "2 + 12"})]),
        reply_text("Again.", [Action(name="Calculate", arguments={"expression": "2 + 12"})]),
        reply_text("Hm.", []),
        reply_text("Done.", [Action(name="Terminate", arguments={"answer": 14}), Action(name="Read", arguments={"page": 1})]),
    ]
    trace = Agent(ScriptedModel(replies), [Tool(Read), Calculate]).run("What is 2 + 12?")
    trace = trace.model_copy(update={"task": trace.task.model_copy(update={"answer": "14"})}).with_store(trace.store)
    assert trace.answer == "14"
    return trace


def reads(message: str) -> Tool:
    def Read(page: int) -> dict[str, Any]:
        """Reads."""
        raise ToolError(f"{message} {page}.")

    return Tool(Read)


def test_faults_that_the_model_was_told_of_can_be_allowed() -> None:
    trace, tools = recovered(), [reads("There is no page")]
    assert Verifier(tools=tools).verify(trace).fault == "faulty reply"
    lenient = Verifier(Rules(allow_errors=True), tools=tools)
    verdict = lenient.verify(trace)
    assert (verdict.outcome, verdict.rating) == ("passed", 2), "the replies were not clean, calls failed, one was repeated"
    hidden = changed(trace, 1, findings=())
    assert lenient.verify(hidden).fault == "findings"
    other = changed(trace, 1, observations=(Observation(error="Try again."),))
    assert lenient.verify(other).fault == "observations"
    assert Verifier(Rules(allow_errors=True), tools=[reads("Missing page")]).verify(trace).fault == "other observation"


def test_a_failed_call_is_refused_without_leave() -> None:
    trace = played(
        [reads("There is no page"), Calculate], ("Read", {"page": 2}), ("Calculate", {"expression": "2 + 12"}), answer="14"
    )
    tools = [reads("There is no page")]
    assert Verifier(tools=tools).verify(trace).fault == "failed call"
    assert Verifier(Rules(allow_errors=True), tools=tools).verify(trace).outcome == "passed"
