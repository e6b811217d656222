"""The teacher against an endpoint on this machine: what is kept, what is paid, what ends a run."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from fake_endpoint import FakeEndpoint, adds_then_answers, answers, texts

from taco.data_gen import calls, concurrency, teacher
from taco.data_gen.calls import Budget
from taco.data_gen.teacher import Lesson, Plan, begin
from taco.data_gen.verification import verify_folder
from taco.errors import RunError
from taco.models import EndpointModel, ScriptedModel
from taco.trace import Trace, read_traces

CALLS = 2  # of a row, by adds_then_answers
TOKENS = 110  # of a call


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "FIRST_WAIT", 0.002)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write(tmp_path / "set.jsonl", 12)


def write(path: Path, count: int) -> Path:
    Image.linear_gradient("L").save(path.parent / "a.png")
    lines = [{"id": f"q{n}", "question": f"Number {n}: 2 + 2?", "images": ["a.png"], "answer": f"gold{n}"} for n in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def lesson(source: Path, endpoint: FakeEndpoint, **options: Any) -> Lesson:
    plan = Plan(per_image=1_000, **options.pop("plan", {}))
    return begin(source, endpoint.model(), source.parent / "out", plan=plan, **options)


def saved(source: Path) -> list[Trace]:
    return list(read_traces(source.parent / "out"))


def stages(source: Path) -> list[str | None]:
    """Where verification fails each trace."""
    return [verdict.failed for verdict in verify_folder(source.parent / "out")]


def runs(source: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (source.parent / "out" / "runs.jsonl").read_text().splitlines()]


def test_traces_pass_verification_and_no_message_holds_an_answer(questions: Path) -> None:
    with FakeEndpoint() as endpoint:
        report = lesson(questions, endpoint, budget=Budget(price_in=2, price_out=30)).run()
    assert (report.rows, report.finished, report.cota, report.cot, report.left) == (12, 12, 12, 0, 0)
    assert (report.asked, report.tokens) == (12 * CALLS, 12 * CALLS * TOKENS)
    assert report.cost == pytest.approx(12 * CALLS * (100 * 2 + 10 * 30) / 1e6)
    traces = saved(questions)
    assert {trace.task.id: trace.task.answer for trace in traces} == {f"q{n}": f"gold{n}" for n in range(12)}
    assert stages(questions) == ["semantics"] * 12, "format and execution pass; 4 is not what these answers say"
    said = list(texts(endpoint.requests))
    assert sum("2 + 2?" in text for text in said) == 12 * CALLS
    assert not any("gold" in text for text in said)
    assert all(run["seconds"] > 0 and run["calls"] == 1 and run["cost"] == pytest.approx(0.001) for run in runs(questions))


def test_traces_without_tools_are_told_apart(questions: Path) -> None:
    with FakeEndpoint(reply=answers) as endpoint:
        report = lesson(questions, endpoint).run()
    assert (report.cota, report.cot, report.cost) == (0, 12, None)


def test_runs_without_an_answer_are_neither(questions: Path) -> None:
    def reply(request: dict[str, Any]) -> str:
        question = str(request["messages"][1]["content"])
        if "Number 0:" in question:
            return "No JSON."
        return adds_then_answers(request) if "Number 1:" in question else answers(request)

    with FakeEndpoint(reply=reply) as endpoint:
        report = lesson(questions, endpoint, plan={"max_steps": 1}).run()
    assert (report.finished, report.cota, report.cot, report.unanswered) == (12, 0, 10, {"max_steps": 2})


def test_samples_have_ids_and_replies_of_their_own(questions: Path) -> None:
    with FakeEndpoint() as endpoint:
        report = lesson(questions, endpoint, plan={"samples": 3}).run()
        assert endpoint.served == 36 * CALLS
    assert {request["temperature"] for request in endpoint.requests} == {1.0}
    assert report.finished == 36
    assert {trace.task.id for trace in saved(questions)} == {f"q{n}#{k}" for n in range(12) for k in (1, 2, 3)}


def test_samples_that_would_be_equal_are_refused(questions: Path) -> None:
    with pytest.raises(ValueError, match="scripted would say the same 2 times"):
        begin(questions, ScriptedModel([]), questions.parent / "out", plan=Plan(samples=2))
    with pytest.raises(ValueError, match="at least 1"):
        Plan(samples=0)
    assert not (questions.parent / "out").exists()


def test_refusals_and_broken_connections_lose_no_row(tmp_path: Path) -> None:
    source = write(tmp_path / "set.jsonl", 60)
    with FakeEndpoint(drops=0.1) as endpoint:
        endpoint.refusals = [0, 0, 429] * 20  # not by a capacity: how many calls meet at a time is a matter of luck
        report = lesson(source, endpoint).run()
        assert endpoint.refused == 20
        assert endpoint.dropped > 0
        assert endpoint.served == 60 * CALLS, "no reply is asked for twice"
    assert (report.finished, report.failed) == (60, 0)
    assert report.refused == endpoint.refused + endpoint.dropped
    assert sorted(trace.task.id for trace in saved(source)) == sorted(f"q{n}" for n in range(60))


def test_what_the_endpoint_asks_for_is_waited(questions: Path) -> None:
    with FakeEndpoint(retry_after=0.3) as endpoint:
        endpoint.refusals = [429]
        start = time.monotonic()
        assert lesson(questions, endpoint).run().finished == 12
        assert time.monotonic() - start >= 0.3
    with FakeEndpoint(retry_after=100_000) as endpoint:
        endpoint.refusals = [429]
        with pytest.raises(RunError, match="come again in 100,000 s; the same command goes on then"):
            begin(questions, endpoint.model(), questions.parent / "other").run()


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((401, {"error": {"message": "no"}}), "refused the key"),
        ((404, {"error": {"message": "no such model"}}), "does not know the model"),
        ((429, {"error": {"message": "pay", "code": "insufficient_quota"}}), "account is used up"),
        ((200, {}), "did not answer as an OpenAI-compatible endpoint"),
        ((400, {"error": {"message": "bad image"}}), "calls in a row failed. The last one: .* bad image"),
    ],
)
def test_an_endpoint_that_refuses_ends_the_run(questions: Path, refusal: tuple[int, dict[str, Any]], said: str) -> None:
    with FakeEndpoint() as endpoint:
        endpoint.refusal = refusal
        with pytest.raises(RunError, match=said):
            lesson(questions, endpoint).run()
        assert endpoint.calls <= 12
        endpoint.refusal = None
        assert lesson(questions, endpoint).run().left == 0
    assert len(saved(questions)) == 12


def test_nobody_there(questions: Path) -> None:
    model = EndpointModel("fake", base_url="http://127.0.0.1:9/v1", temperature=1.0, max_retries=0)
    with pytest.raises(RunError, match="cannot be reached"):
        begin(questions, model, questions.parent / "out").run()


def test_a_server_that_starts_anew_is_waited_for(questions: Path) -> None:
    with FakeEndpoint() as endpoint:
        endpoint.on_call = lambda number: setattr(endpoint, "refusal", (401, {}) if 5 <= number < 9 else None)
        assert lesson(questions, endpoint, workers=1).run().finished == 12


def test_one_bad_row_touches_no_other_and_is_tried_again(questions: Path) -> None:
    def reply(request: dict[str, Any]) -> str:
        if "Number 3:" in str(request["messages"]):
            raise ConnectionError  # the server breaks off, each time
        return adds_then_answers(request)

    with FakeEndpoint(reply=reply) as endpoint:
        report = lesson(questions, endpoint).run()
        assert (report.finished, report.failed, report.left, report.stopped) == (11, 1, 1, None)
        assert [run["id"] for run in runs(questions) if run["error"]] == ["q3"]
        assert "q3" not in {trace.task.id for trace in saved(questions)}
        endpoint.reply = adds_then_answers
        report = lesson(questions, endpoint).run()
        assert (report.done_before, report.finished, report.left) == (11, 1, 0)


def test_finished_calls_are_not_paid_again(questions: Path) -> None:
    def breaks_at(number: int) -> None:
        if number == 16:  # an odd number of calls is served, of which each row takes two
            endpoint.refusal = (401, {})

    with FakeEndpoint() as endpoint:
        endpoint.on_call = breaks_at
        stopped = lesson(questions, endpoint, workers=4)
        stopped.calls.retries = 0
        with pytest.raises(RunError, match="refused the key"):
            stopped.run()
        paid, rows = endpoint.served, len(saved(questions))
        assert 0 < rows < 12
        assert paid > rows * CALLS, "rows were under way, whose calls are paid"
        endpoint.on_call, endpoint.refusal = lambda number: None, None
        report = lesson(questions, endpoint).run()
        assert endpoint.served == 12 * CALLS
        assert (report.known, report.done_before) == (paid - rows * CALLS, rows)
        again = lesson(questions, endpoint).run()
        assert (again.asked, again.left) == (0, 0)
    assert len(saved(questions)) == 12


def test_ctrl_c_finishes_what_runs_and_a_second_one_breaks_off(questions: Path) -> None:
    stops: list[int] = []

    def interrupts(when: int) -> Callable[[int], None]:
        return lambda number: os.kill(os.getpid(), signal.SIGINT) if number == when else None

    before = signal.getsignal(signal.SIGINT)
    with FakeEndpoint(seconds=0.01) as endpoint:
        endpoint.on_call = interrupts(5)
        report = lesson(questions, endpoint, workers=2).run(on_stop=lambda: stops.append(1))
        assert report.stopped == "interrupted"
        assert 0 < report.finished < 12
        assert endpoint.served == report.finished * CALLS, "what ran was finished, nothing else begun"
        assert stops == [1]
        endpoint.on_call = interrupts(endpoint.calls + 3)
        with pytest.raises(KeyboardInterrupt):
            lesson(questions, endpoint, workers=2).run(on_stop=lambda: os.kill(os.getpid(), signal.SIGINT))
        endpoint.on_call = lambda number: None
        assert lesson(questions, endpoint).run().left == 0
    assert len(saved(questions)) == 12
    assert signal.getsignal(signal.SIGINT) is before


KILLED = """
import sys
from pathlib import Path
from taco.data_gen.teacher import Plan, begin
from taco.models import EndpointModel
model = EndpointModel("fake", base_url=sys.argv[2], temperature=1.0, max_retries=0)
begin(Path(sys.argv[1]), model, Path(sys.argv[1]).parent / "out", plan=Plan(per_image=1_000), workers=4).run()
"""


def test_kill_9_loses_no_finished_row_and_doubles_none(tmp_path: Path) -> None:
    source = write(tmp_path / "set.jsonl", 40)
    with FakeEndpoint(seconds=0.01) as endpoint:
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(source), endpoint.url])
        endpoint.on_call = lambda number: process.kill() if number == 40 else None
        assert process.wait(60) == -signal.SIGKILL
        before = {trace.task.id for trace in saved(source)}
        assert before
        endpoint.on_call = lambda number: None
        report = lesson(source, endpoint).run()
        assert report.done_before == len(before)
        assert endpoint.served <= 40 * CALLS + 4, "at most what was under way is asked for again"
    assert sorted(trace.task.id for trace in saved(source)) == sorted(f"q{n}" for n in range(40))
    assert stages(source) == ["semantics"] * 40


@pytest.mark.parametrize("where", ["calls", "traces"])
def test_a_full_disk_ends_the_run_and_costs_no_row(questions: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    written: list[int] = []

    def full(write: Callable[..., None]) -> Callable[..., None]:
        def writes(*arguments: Any) -> None:
            written.append(1)
            if len(written) > 6:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write(*arguments)

        return writes

    with FakeEndpoint() as endpoint, monkeypatch.context() as patch:
        if where == "calls":
            patch.setattr(calls, "append_line", full(calls.append_line))
        else:
            patch.setattr(Trace, "save", full(Trace.save))
        with pytest.raises(OSError, match="No space left"):
            lesson(questions, endpoint, workers=2).run()
        assert endpoint.calls < 12 * CALLS, "nothing more is paid"
        patch.undo()
        assert lesson(questions, endpoint).run().left == 0
    assert len({trace.task.id for trace in saved(questions)}) == len(saved(questions)) == 12


@pytest.mark.parametrize("budget", [Budget(max_tokens=10 * TOKENS), Budget(max_cost=0.005, price_in=2, price_out=30)])
def test_a_budget_of_ten_calls_gives_five_rows(tmp_path: Path, budget: Budget) -> None:
    source = write(tmp_path / "set.jsonl", 60)
    with FakeEndpoint(seconds=0.005) as endpoint:
        report = lesson(source, endpoint, budget=budget).run()
        assert endpoint.served <= 10
        assert report.stopped == "budget"
        assert report.finished == 5
        report = lesson(source, endpoint, budget=Budget(max_tokens=60 * TOKENS)).run()
        assert endpoint.served == 60
        assert len(saved(source)) == 30, "the money went into whole rows"


def test_budgets_that_cannot_be_kept(questions: Path) -> None:
    with pytest.raises(ValueError, match="needs both prices"):
        Budget(max_cost=1.0)
    with pytest.raises(ValueError, match="needs both prices"):
        Budget(price_in=1.0)
    with pytest.raises(ValueError, match="above 0"):
        Budget(max_tokens=0)
    with FakeEndpoint() as endpoint:
        endpoint.usage = None
        with pytest.raises(RunError, match="does not tell its tokens"):
            lesson(questions, endpoint, budget=Budget(max_tokens=1_000)).run()


def test_another_plan_or_set_is_refused_with_the_difference(questions: Path) -> None:
    with FakeEndpoint() as endpoint:
        lesson(questions, endpoint).run()
        with pytest.raises(ValueError, match="max_steps is 10 there and 3 here"):
            lesson(questions, endpoint, plan={"max_steps": 3})
        write(questions, 13)
        with pytest.raises(ValueError, match="questions_digest is"):
            lesson(questions, endpoint)


def test_a_set_that_cannot_be_used_leaves_nothing_that_is_in_the_way(questions: Path) -> None:
    good = questions.read_text()
    questions.write_text(good + good)
    with FakeEndpoint() as endpoint:
        with pytest.raises(ValueError, match="have the same id"):
            lesson(questions, endpoint)
        assert not list((questions.parent / "out").iterdir())
        questions.write_text(good)
        assert lesson(questions, endpoint).run().finished == 12
        (questions.parent / "out" / "config.json").unlink()
        with pytest.raises(ValueError, match="holds something else"):
            lesson(questions, endpoint)
    assert len(saved(questions)) == 12


def test_a_model_on_this_machine_in_step(questions: Path) -> None:
    asked: list[Any] = []

    def reply(messages: Any) -> str:
        asked.append(messages)
        request = {"messages": [{"role": message["role"], "content": str(message["content"])} for message in messages]}
        return adds_then_answers(request)

    report = begin(questions, ScriptedModel(reply), questions.parent / "out", plan=Plan(per_image=5), workers=4).run()
    assert (report.finished, report.cota, report.not_chosen, len(asked)) == (5, 5, 7, 5 * CALLS)
    (questions.parent / "out" / "traces.jsonl").unlink()
    again = begin(questions, ScriptedModel(reply), questions.parent / "out", plan=Plan(per_image=5), workers=4).run()
    assert (again.finished, again.known, len(asked)) == (5, 5 * CALLS, 5 * CALLS)


def test_equal_questions_in_one_batch(questions: Path) -> None:
    image, same = "a.png", "2 + 2?"
    questions.write_text("".join(json.dumps({"id": f"{n}", "question": same, "images": [image]}) + "\n" for n in range(3)))
    model = ScriptedModel(lambda messages: answers({}))
    assert begin(questions, model, questions.parent / "out").run().cot == 3
    assert len(model.conversations) == 1


def test_a_bug_surfaces(questions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "tool_calls", lambda trace: 1 / 0)
    with FakeEndpoint() as endpoint, pytest.raises(ZeroDivisionError):
        lesson(questions, endpoint).run()
    assert not [thread for thread in threading.enumerate() if thread.name == "teacher"]
