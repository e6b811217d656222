"""Traces made by a model: it plays the agent with live tools on a set of questions, and is never shown the answers.

    >>> model = EndpointModel("gpt-4o", temperature=1.0, max_retries=0)
    >>> budget = Budget(max_cost=20, price_in=2.5, price_out=10)
    >>> report = begin(Path("ai2d.tsv"), model, Path("out"), plan=Plan(samples=4), budget=budget).run()

The folder then holds traces.jsonl and images/ for `taco-data verify`; runs.jsonl: seconds, tokens, money, errors; tasks.jsonl and
skipped.jsonl: the set as it was read; calls.jsonl: every reply that was paid.
"""

import contextlib
import queue
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from taco.agent import Agent, Finished
from taco.data_gen.calls import Budget, CallLog, Calls, PacedModel
from taco.data_gen.concurrency import StoppedError
from taco.data_gen.folders import CONFIG_FILE, claim
from taco.data_gen.questions import SKIPPED_FILE, TASKS_FILE, Prepared, digest, prepare
from taco.evaluation.running import run_record, save_record, unfinished
from taco.models.chat import ChatModel, Usage
from taco.models.endpoint import EndpointModel
from taco.trace import IMAGES_DIR, Task, Trace, read_tasks

CALLS_FILE = "calls.jsonl"
FIRST_ROWS = 4
"""Rows that are begun while it is not known what one takes of the budget."""


@dataclass(frozen=True)
class Plan:
    """What is asked of each question. A folder keeps to the plan that it was begun with.

    Args:
        samples: Runs of each question.
        per_image: At most so many questions about the same images (the reference: 3).
        seed: Of their draw.
        limit: Only the first so many questions.
        max_steps: Replies of one run.
        constrained: As in `Agent`.

    Raises:
        ValueError: If a number is below 1.
    """

    samples: int = 1
    per_image: int = 3
    seed: int = 0
    limit: int | None = None
    max_steps: int = 10
    constrained: bool = False

    def __post_init__(self) -> None:
        if min(self.samples, self.per_image, self.max_steps, 1 if self.limit is None else self.limit) < 1:
            raise ValueError(f"samples, per_image, limit and max_steps are at least 1; got {self}.")


@dataclass
class Report:
    """What `Lesson.run` did.

    Attributes:
        rows: Wanted: questions times samples.
        done_before: Rows that had a trace already.
        finished: Rows that got one now: those that were answered with tool calls (``cota``) and without (``cot``), and the next.
        unanswered: How many ended without an answer, by `taco.trace.StopReason`. Verification rejects them.
        failed: Rows that got none now; runs.jsonl says why. The same command tries them again.
        skipped: Rows of the set that cannot be used; skipped.jsonl says why. None where the set had been read before.
        not_chosen: Questions left out because there are more than ``per_image`` about their images. None, as above.
        stopped: Why rows are left: ``interrupted`` or ``budget``.
        asked: Calls made, refused ones among them.
        refused: Calls that ended in a refusal, a timeout or a broken connection.
        known: Replies that were on disk already.
        tokens: Read and written, of all calls of the folder, in this run and before.
        cost: Their price.
    """

    rows: int = 0
    done_before: int = 0
    finished: int = 0
    cota: int = 0
    cot: int = 0
    unanswered: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    skipped: int | None = None
    not_chosen: int | None = None
    stopped: str | None = None
    asked: int = 0
    refused: int = 0
    known: int = 0
    tokens: int = 0
    cost: float | None = None
    seconds: float = 0.0

    @property
    def left(self) -> int:
        return self.rows - self.done_before - self.finished


def tool_calls(trace: Trace) -> int:
    """Calls other than Terminate: above 0 the trace is a chain of thought and action (CoTA), else one of thought (CoT)."""
    return sum(action.name != "Terminate" for step in trace.steps for action in step.actions)


def begin(
    source: Path,
    model: ChatModel,
    out: Path,
    *,
    plan: Plan | None = None,
    budget: Budget | None = None,
    workers: int | None = None,
    on_read: Callable[[], None] = lambda: None,
) -> "Lesson":
    """Make a folder ready, or find it so: the set read, what is done already known. `Lesson.run` then does the rest.

    Args:
        source: The set; see `taco.data_gen.questions.LAYOUTS`.
        model: An `EndpointModel` with ``max_retries=0`` and a temperature, or any other chat model.
        out: The folder.
        plan: What is asked.
        budget: What may be spent on the folder; no limits by default.
        workers: Rows under way at a time: 32 for an endpoint, 8 for another model (in step, their replies generated together).
        on_read: Called after each row of the set while it is read.

    Raises:
        ValueError: If the set cannot be used, the folder was begun otherwise (the difference is named), or several samples are
            wanted of a model that says the same each time.
        OSError: If the disk is full.
    """
    plan, temperature = plan or Plan(), getattr(model, "temperature", 0.0)
    if plan.samples > 1 and not temperature:
        raise ValueError(f"{model.name} would say the same {plan.samples} times. Give an endpoint and a temperature above 0.")
    agent = Agent(model, max_steps=plan.max_steps, constrained=plan.constrained)
    new = not (out / CONFIG_FILE).exists()
    claim(out, _settings(source, agent, temperature, plan))
    prepared = None
    if not (out / TASKS_FILE).exists():
        try:
            prepared = prepare(source, out, per_image=plan.per_image, seed=plan.seed, limit=plan.limit, on_row=on_read)
        except ValueError:
            (out / f"{TASKS_FILE}.part").unlink(missing_ok=True)
            if new:  # mended, the set would be another one than the folder was begun with
                for name in (CONFIG_FILE, SKIPPED_FILE):
                    (out / name).unlink(missing_ok=True)
                shutil.rmtree(out / IMAGES_DIR, ignore_errors=True)
            raise
    return Lesson(agent, out, plan, budget or Budget(), workers, prepared)


def _settings(source: Path, agent: Agent, temperature: float, plan: Plan) -> dict[str, Any]:
    """All that the replies depend on, as far as it can be known from here."""
    return {
        "questions": source.name,
        "questions_digest": digest(source),
        "model": agent.model.name,
        "temperature": temperature,
        "max_new_tokens": getattr(agent.model, "max_new_tokens", None),
        "system": agent.system,
        "tools": [f"{tool.name}: {tool.backend}" for tool in agent.toolbox],
        **asdict(plan),
    }


class Lesson:
    """What is left to do in a folder. Made by `begin`.

    Attributes:
        report: What was done so far.
        calls: Made so far.
    """

    def __init__(
        self, agent: Agent, out: Path, plan: Plan, budget: Budget, workers: int | None, prepared: Prepared | None
    ) -> None:
        self.agent, self.out, self.plan, self.budget = agent, out, plan, budget
        self.workers = workers or (32 if isinstance(agent.model, EndpointModel) else 8)
        self.calls = Calls(agent.model, CallLog(out / CALLS_FILE), budget, concurrency=self.workers, seed=plan.seed)
        rows = {task.id: (task, sample) for task, sample in _samples(read_tasks(out / TASKS_FILE), plan.samples)}
        self._left = [rows[task.id] for task in unfinished((task for task, _ in rows.values()), out, agent.model.name)]
        self.report = Report(rows=len(rows), done_before=len(rows) - len(self._left))
        if prepared is not None:
            self.report.skipped, self.report.not_chosen = prepared.skipped, prepared.not_chosen
        self._begun, self._ended, self._usage, self._spent_before = 0, 0, Usage(), self.calls.log.spent
        self._broken_off = False
        self._started, self._changed = time.perf_counter(), threading.Condition()

    def run(self, on_row: Callable[["Lesson"], None] = lambda lesson: None, on_stop: Callable[[], None] = lambda: None) -> Report:
        """Do it; write traces and records as rows end. The same once more goes on where it was stopped.

        Ctrl-C (or SIGTERM) lets the rows under way finish; a second one breaks them off, and their replies so far are on disk.

        Args:
            on_row: Called after each row that ended.
            on_stop: Called at the first Ctrl-C.

        Raises:
            RunError: If the endpoint refuses (its address, the model, the key), or call after call fails.
            OSError: If the disk is full. What was finished is kept.
        """
        ends = self._in_threads() if self.calls.paced else self._in_step()
        try:
            with self._interruptible(on_stop), contextlib.suppress(StoppedError):
                for _ in ends:
                    on_row(self)
        except KeyboardInterrupt:
            with self._changed:  # threads that end later must not write into a folder that another run may hold by then
                self._broken_off = True
            raise
        finally:
            self._halt()
        if self.report.left > self.report.failed and self.report.stopped is None:
            self.report.stopped = "budget"
        return self.counted()

    def counted(self) -> Report:
        """The report with the calls so far."""
        calls, spent = self.calls, self.calls.log.spent
        self.report.asked, self.report.refused, self.report.known = calls.asked, calls.limit.refused, calls.known
        self.report.tokens, self.report.cost = spent.prompt_tokens + spent.completion_tokens, self.budget.cost(spent)
        self.report.seconds = time.perf_counter() - self._started
        return self.report

    def projected(self) -> Usage:
        """Tokens of the folder when all its rows are done, if the others take as much as those that ended in this run."""
        ratio = len(self._left) / max(self._ended, 1)
        before, spent, ended = self._spent_before, self.calls.log.spent, self._usage
        return Usage(
            prompt_tokens=max(spent.prompt_tokens, before.prompt_tokens + round(ratio * ended.prompt_tokens)),
            completion_tokens=max(spent.completion_tokens, before.completion_tokens + round(ratio * ended.completion_tokens)),
        )

    def _rows(self) -> Iterator[tuple[int, int, Task]]:
        """Rank, sample and task of the rows to begin, until the run is stopped or the next row would not fit into the budget."""
        for rank, (task, sample) in enumerate(self._left):
            with self._changed:
                if self.budget.limited and self.calls.paced:
                    self._changed.wait_for(lambda: self._ended or self._begun < FIRST_ROWS or self._stopping())
                    self._changed.wait_for(lambda: self._fits() or self._begun == self._ended or self._stopping())
                if self._stopping() or not self._fits():
                    return
                self._begun += 1
            yield rank, sample, task

    def _stopping(self) -> bool:
        return self.report.stopped is not None or self.calls.out_of_budget or self.calls.limit.closed

    def _halt(self) -> None:
        self.calls.limit.close()
        with self._changed:
            self._changed.notify_all()

    def _fits(self) -> bool:
        """Whether one more row fits, each of those under way reckoned as a whole one: too much, until it ends."""
        if not self.budget.limited or not self._ended:
            return True
        row = self.budget.share(self._usage) / self._ended
        return self.budget.share(self.calls.log.spent) + row * (self._begun - self._ended + 1) <= 1.0

    def _in_threads(self) -> Iterator[None]:
        """Rows of an endpoint: each in a thread, none waits for another's reply."""
        toolbox, system = self.agent.toolbox, self.agent.system

        def run(rank: int, sample: int, task: Task) -> None:
            model = PacedModel(self.calls, sample, rank)
            agent = Agent(model, toolbox, max_steps=self.plan.max_steps, system=system, constrained=self.plan.constrained)
            try:
                for event in agent.stream_task(task):
                    if isinstance(event, Finished):
                        self._save(event)
            finally:
                with self._changed:
                    self._changed.notify_all()

        return _threaded(self._rows(), run, self.workers, self._halt)

    def _in_step(self) -> Iterator[None]:
        """Rows of a model on this machine: their replies are generated together."""
        self.agent.model = PacedModel(self.calls)
        for finished in self.agent.stream_batch((task for _, _, task in self._rows()), self.workers):
            self._save(finished)
            yield

    def _save(self, finished: Finished) -> None:
        with self._changed:
            if self._broken_off:
                return
            trace = finished.trace
            calls = tool_calls(trace)
            record = run_record(finished, self.agent.model.name)
            record |= {"cost": self.budget.cost(finished.usage), "calls": calls}
            if trace.stop_reason == "failed":  # no trace of anything; the record says why
                self.report.failed += 1
            else:
                trace.save(self.out)
                self.report.finished += 1
                if trace.stop_reason == "answered":
                    self.report.cota += calls > 0
                    self.report.cot += calls == 0
                else:
                    unanswered = self.report.unanswered
                    unanswered[trace.stop_reason] = unanswered.get(trace.stop_reason, 0) + 1
            save_record(record, self.out)
            self._ended += 1
            self._usage += finished.usage

    @contextlib.contextmanager
    def _interruptible(self, on_stop: Callable[[], None]) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self.report.stopped:
                raise KeyboardInterrupt
            self.report.stopped = "interrupted"
            with self._changed:
                self._changed.notify_all()
            on_stop()

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _samples(tasks: Iterable[Task], samples: int) -> Iterator[tuple[Task, int]]:
    """Each task so many times, under ids of their own."""
    for task in tasks:
        for sample in range(1, samples + 1):
            yield (task if samples == 1 else task.model_copy(update={"id": f"{task.id}#{sample}"})), sample


def _threaded(
    rows: Iterator[tuple[int, int, Task]], run: Callable[[int, int, Task], None], workers: int, halt: Callable[[], None]
) -> Iterator[None]:
    """Yields after each row that was run. On the first error `halt` is called, the rest is waited for, and the error raised.

    The threads are daemons, since a second Ctrl-C must not wait for replies that may take minutes.
    """
    ended: queue.SimpleQueue[BaseException | bool] = queue.SimpleQueue()
    lock = threading.Lock()

    def work() -> None:
        try:
            while True:
                with lock:
                    row = next(rows, None)
                if row is None:
                    break
                with contextlib.suppress(StoppedError):
                    run(*row)
                    ended.put(True)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            ended.put(error)
        ended.put(False)

    for _ in range(workers):
        threading.Thread(target=work, daemon=True, name="teacher").start()
    first: BaseException | None = None
    while workers:
        event = ended.get()
        if isinstance(event, BaseException):
            first = first or event
            halt()
        elif event:
            yield
        else:
            workers -= 1
    if first is not None:
        raise first
