"""The mutator below plants one fault in a clean trace and calls no checker."""

import itertools
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from taco.agent import Agent
from taco.cli import app
from taco.data_gen.pipeline import Recipe, stream_traces
from taco.diagnosis import Diagnosis, diagnose, diagnose_all
from taco.models import ScriptedModel
from taco.parser import parse_reply
from taco.prompts import reply_text
from taco.tools import Action, tool
from taco.tools.finding import CODES
from taco.trace import Step, Trace

TRACES = 40


@pytest.fixture(scope="module")
def clean() -> list[Trace]:
    return list(itertools.islice(stream_traces(Recipe(seed=11, questions_per_scene=2)), TRACES))


def actions_of(trace: Trace) -> list[Action]:
    return [action for step in trace.steps for action in step.actions]


def rebuilt(trace: Trace, steps: list[Step]) -> Trace:
    return trace.model_copy(update={"steps": tuple(steps)})


def with_call(trace: Trace, number: int, change: Callable[[Action], Action]) -> Trace:
    steps = list(trace.steps)
    step = steps[number]
    changed = [change(step.actions[0]), *step.actions[1:]]
    steps[number] = step.model_copy(update={"reply": reply_text(step.thought, changed)})
    return rebuilt(trace, steps)


def misnamed(action: Action) -> Action:
    return Action(name=action.name + "Tool", arguments=action.arguments)


def misnamed_argument(action: Action) -> Action:
    return Action(name=action.name, arguments={f"the_{name}": value for name, value in action.arguments.items()})


def mistyped(action: Action) -> Action:
    return Action(name=action.name, arguments={name: [value] for name, value in action.arguments.items()})


def other_value(action: Action) -> Action:
    others = {"OCR": {"image": "image-7"}, "Calculate": {"expression": "1 + 1"}, "Terminate": {"answer": "nothing of the kind"}}
    return Action(name=action.name, arguments=others[action.name])


def mutant(trace: Trace, code: str, rng: random.Random) -> Trace:
    number = rng.randrange(len(trace.steps))
    steps = list(trace.steps)
    if code == "IFE":
        steps[number] = steps[number].model_copy(update={"reply": "Let me think: " + steps[number].thought.replace("{", "")})
        return rebuilt(trace, steps)
    if code == "RAC":
        return rebuilt(trace, [*steps[: number + 1], *steps[number:]])
    if code == "IAC":
        return rebuilt(trace, steps[:number] + steps[number + 1 :])
    change = {"IFN": misnamed, "IAN": misnamed_argument, "IAT": mistyped, "IAV": other_value}[code]
    return with_call(trace, number, change)


def codes(trace: Trace, reference: Trace) -> list[str]:
    return [fault.code for fault in diagnose(trace, [actions_of(reference)])]


def test_clean_traces_have_no_faults(clean: list[Trace]) -> None:
    assert [codes(trace, trace) for trace in clean] == [[]] * TRACES
    assert len({len(trace.steps) for trace in clean}) > 1


@pytest.mark.parametrize("code", CODES)
def test_each_planted_fault_is_found_and_called_by_its_name(code: str, clean: list[Trace]) -> None:
    rng = random.Random(code)
    found = [codes(mutant(trace, code, rng), trace) for trace in clean]
    assert found == [[code]] * TRACES


def test_two_planted_faults_are_both_found(clean: list[Trace]) -> None:
    long = [trace for trace in clean if len(trace.steps) >= 2]
    for one, other in itertools.permutations(["IFN", "IAN", "IAT", "IAV"], 2):
        for trace in long:
            twice = with_call(with_call(trace, 0, CHANGES[one]), len(trace.steps) - 1, CHANGES[other])
            assert sorted(codes(twice, trace)) == sorted([one, other])


CHANGES = {"IFN": misnamed, "IAN": misnamed_argument, "IAT": mistyped, "IAV": other_value}


def test_of_several_references_the_nearest_counts(clean: list[Trace]) -> None:
    trace = next(trace for trace in clean if len(trace.steps) == 3)
    other_way = [*actions_of(trace), Action(name="Crop", arguments={"image": "image-0", "bbox": [0, 0, 1, 1]})]
    assert [fault.code for fault in diagnose(trace, [other_way])] == ["IAC"]
    assert diagnose(trace, [other_way, actions_of(trace)]) == []


def test_an_argument_that_the_reference_leaves_out_is_no_fault(clean: list[Trace]) -> None:
    trace = next(trace for trace in clean if len(trace.steps) == 3)
    more = with_call(trace, 0, lambda action: Action(name="OCR", arguments=action.arguments | {"boxes": True}))
    assert codes(more, trace) == []


def test_rates_count_what_could_have_gone_wrong(clean: list[Trace]) -> None:
    trace = next(trace for trace in clean if len(trace.steps) == 3)
    report = diagnose_all([mutant(trace, "IFN", random.Random(0)), *clean[20:25]], references=clean)
    calls = 3 + sum(len(actions_of(other)) for other in clean[20:25])
    assert (report.patterns["IFN"].faults, report.patterns["IFN"].of) == (1, calls)
    assert report.patterns["IAC"].of == report.with_reference == report.traces == 6
    assert report.clean == 5
    [example] = report.examples["IFN"]
    assert example.trace == trace.task.id
    assert sum(rates["IFN"].faults for rates in report.sources.values()) == 1
    assert Diagnosis.model_validate_json(report.model_dump_json()) == report


def test_calls_of_a_foreign_tool_are_not_judged() -> None:
    @tool
    def Weigh(what: str) -> dict[str, Any]:
        """Weighs."""
        return {"grams": 3}

    replies = [reply_text("Weigh it.", [Action(name="Weigh", arguments={"what": "tea"})]), reply_text("Done.", [end("3")])]
    trace = Agent(ScriptedModel(replies), [Weigh]).run("How heavy?")
    assert diagnose(trace) == []


def end(answer: str) -> Action:
    return Action(name="Terminate", arguments={"answer": answer})


@pytest.mark.parametrize("code", ["IFE", "IFN", "IAN", "IAT", "RAC"])
def test_the_agents_own_findings_are_those_of_the_report(code: str, clean: list[Trace]) -> None:
    trace = next(trace for trace in clean if len(trace.steps) == 3)
    wrong = mutant(trace, code, random.Random(1))
    played = Agent(ScriptedModel([step.reply for step in wrong.steps] + [trace.steps[-1].reply] * 2)).run(
        "?", [trace.store["image-0"]]
    )
    live = [finding.code for step in played.steps for finding in step.findings if finding.stops]
    assert {fault.finding.code for fault in diagnose(played)} <= set(live)
    assert min((name.partition(".")[0] for name in live), key=list(CODES).index) == code


class Repairing:
    """Plays a trace with a fault planted in one reply, and says it rightly once it is told what was wrong."""

    def __init__(self, trace: Trace, wrong: str) -> None:
        self.right, self.wrong, self.told = [step.reply for step in trace.steps], wrong, 0

    def __call__(self, messages: Sequence[Any]) -> str:
        done = sum(message["role"] == "assistant" for message in messages)
        error = '{"error"' in str(messages[-1]["content"][0]) if done else False
        self.told += error
        return self.wrong if done == 1 else self.right[done - bool(self.told)]


def changed(reply: str, change: Callable[[Action], Action]) -> str:
    parsed = parse_reply(reply)
    return reply_text(parsed.thought, [change(parsed.actions[0])])


def test_a_model_that_repairs_on_feedback_gets_there_and_a_wrong_value_that_is_valid_stays_wrong(clean: list[Trace]) -> None:
    trace = next(trace for trace in clean if len(trace.steps) == 3)
    reply = trace.steps[1].reply
    faulty = {
        "IFE": reply.replace("{", "("),
        **{code: changed(reply, CHANGES[code]) for code in ("IFN", "IAN", "IAT")},
        "RAC": trace.steps[0].reply,
    }
    for code, wrong in faulty.items():
        model = ScriptedModel(Repairing(trace, wrong))
        played = Agent(model).run(trace.task.question, [trace.store["image-0"]])
        assert played.answer == trace.answer, code
        assert [fault.code for fault in diagnose(played)] == [code]
    valid = ScriptedModel(Repairing(trace, changed(reply, other_value)))
    played = Agent(valid, max_steps=3).run(trace.task.question, [trace.store["image-0"]])
    assert [finding for step in played.steps for finding in step.findings] == []
    assert [fault.code for fault in diagnose(played, [actions_of(trace)])] == ["IAV"]


@pytest.mark.parametrize("name", ["report.json", "report.html"])
def test_the_command(name: str, clean: list[Trace], tmp_path: Path) -> None:
    rng = random.Random(0)
    for trace, code in zip(clean, CODES, strict=False):
        trace.save(tmp_path / "gold")
        mutant(trace, code, rng).with_store(trace.store).save(tmp_path / "out")
    call = ["diagnose", str(tmp_path / "out"), "--reference", str(tmp_path / "gold"), "--out", str(tmp_path / name)]
    result = CliRunner().invoke(app, [*call, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {code: rate["faults"] for code, rate in report["patterns"].items()} == dict.fromkeys(CODES, 1)
    written = (tmp_path / name).read_text()
    assert json.loads(written) == report if name.endswith("json") else written.count('class="bar"') == len(CODES)
    assert "7 traces, 0 without a fault" in CliRunner().invoke(app, call).stdout
    assert CliRunner().invoke(app, [*call[:-1], "report.txt"]).exit_code == 2


def test_what_traces_say_is_escaped_on_the_page(clean: list[Trace]) -> None:
    hostile = "<script>alert(1)</script>"
    trace = clean[0]
    task = trace.task.model_copy(update={"id": hostile, "source": hostile})
    step = trace.steps[0].model_copy(update={"reply": "no JSON", "actions": (), "observations": ()})
    page = diagnose_all(
        [trace.model_copy(update={"task": task, "steps": (step, *trace.steps[1:])}).with_store(trace.store)]
    ).to_html()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 2


def test_a_page_about_nothing(clean: list[Trace]) -> None:
    page = diagnose_all(clean).to_html()
    assert 'class="bar"' not in page
    assert "nothing to compare" in page
