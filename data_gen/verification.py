"""Is a trace what it says? Format, execution, semantics, rating; the first stage that fails names the reason.

    >>> [verdict.reason for verdict in verify_folder("out")]
    ['', '', 'step 2: Calculate gave {"result": 14}, recorded is {"result": 15}']

$ taco-data verify out

Stages as in APIGen (arXiv 2406.18518), the rating as in AgentOhana (arXiv 2402.15506):

- format: replies parse, calls have no `Finding`, the trace ends with Terminate;
- execution: every call is run again and must give what was recorded, as far as `taco.data_gen.reruns` asks;
- semantics: the answer is right (`taco.data_gen.semantics`) and comes from what was observed (`taco.data_gen.grounding`);
- rating: `taco.data_gen.rating`, where a least rating is asked for.

A trace of a live agent may hold faults that the model recovered from. They are refused, unless `Rules.allow_errors`: then the
record must show each as the model was told it, with the same findings, and the same error when the call is run again.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from taco.data_gen.formats.form import IMPORTED
from taco.data_gen.grounding import ungrounded
from taco.data_gen.observations import ENGINE, SIMULATED, THREADS
from taco.data_gen.rating import rate
from taco.data_gen.reruns import compare, compare_imported
from taco.data_gen.selection import Lasts, last_lines, numbered, outdated
from taco.data_gen.semantics import Answers, Judge, faulty_task, wrong_answer
from taco.data_gen.simulation import Simulation
from taco.parser import parse_reply
from taco.prompts import terminated
from taco.tools.action import Action, Observation
from taco.tools.catalogue import all_tools
from taco.tools.finding import Finding, feedback
from taco.tools.images import ImageStore
from taco.tools.ocr import make_ocr
from taco.tools.tool import Tool
from taco.tools.toolbox import Toolbox
from taco.trace import Step, Trace, TraceError

Stage = Literal["format", "execution", "semantics", "rating"]
_T = TypeVar("_T")

ANYWHERE = frozenset({"Calculate", "SolveMathEquation", "Crop", "ZoomIn", "Terminate"})
"""Tools that need no weights: their calls are run again also where others ran them (imported), or beside simulated ones."""
FAULTY_TASK = "faulty task"
"""The `Verdict.fault` of a trace whose question cannot be answered rightly."""
DEADLINE = 120.0
"""Seconds that a call may take; an isolated tool has a deadline of its own."""


class Verdict(BaseModel):
    """What a check says of a whole trace.

    Attributes:
        id: The task's id; ``line 3`` where the line cannot be read.
        kind: ``CoTA`` where tools were called. ``CoT`` where not: nothing but the pixels supports its answer, and whether it is
            grounded is not judged.
        failed: The first stage that failed, or None.
        fault: The kind of fault in a word or two, for counting.
        reason: Why it failed, in a sentence.
        skipped: What could not be judged and why, by stage: calls that cannot be run again here, a task without an answer.
        rating: 0 to 5, of a trace that came so far.
        repaired: Whether a trace that answers at once was made of its task (`taco.data_gen.sorting`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: Literal["CoTA", "CoT"] | None = None
    failed: Stage | None = None
    fault: str = ""
    reason: str = ""
    skipped: dict[Stage, str] = Field(default_factory=dict)
    rating: int | None = None
    repaired: bool = False

    @property
    def outcome(self) -> str:
        """``passed``, ``failed format``, ``skipped execution`` (in part; the rest passed) ...: what is counted."""
        if self.failed:
            return f"failed {self.failed}"
        return f"skipped {' and '.join(self.skipped)}" if self.skipped else "passed"


@dataclass(frozen=True)
class Rules:
    """What is asked of a trace.

    Attributes:
        allow_errors: Whether it may hold faulty replies and failed calls, as a live agent's have that it recovered from.
        answers: How a text is compared with the right answer: ``exact``, or ``anls`` for texts read from images.
        min_rating: The least rating, 0 to 5.
    """

    allow_errors: bool = False
    answers: Answers = "exact"
    min_rating: int = 0


class _Fault(Exception):
    """What is wrong with a trace: its kind, and a sentence."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class _Call(NamedTuple):
    """A call that ran, and what is recorded of it."""

    step: int
    action: Action
    recorded: Observation


class Verifier:
    """Checks traces with the real tools, which remember what they gave for equal pixels.

    Args:
        rules: What is asked of a trace.
        tools: Further tools that traces may name; one of ours with the same name and back end gives way.
        judge: Asked where an answer does not match the right one: prompt -> text.
        rater: Asked for the rating of a trace that passed: prompt -> text.
        deadline: Seconds that a call may take.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        tools: Iterable[Tool] = (),
        judge: Judge | None = None,
        rater: Judge | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        self.rules, self._judge, self._rater, self._deadline = rules or Rules(), judge, rater, deadline
        self._known: dict[str, list[Tool]] = {}
        for tool in [*tools, make_ocr(ENGINE, threads=THREADS), *all_tools()]:
            self._known.setdefault(tool.name, []).append(tool)
        self._toolboxes: dict[tuple[tuple[str, str], ...], Toolbox] = {}
        self._simulated = {tool.name for tool in Simulation().tools} - ANYWHERE

    def judge_line(self, item: Trace | TraceError, line: int, lasts: Lasts) -> Verdict:
        """The verdict on a line of a folder: as `verify`, but a line that is no trace fails in format, and one whose id comes
        again later (`taco.data_gen.selection.last_lines`)."""
        if isinstance(item, TraceError):
            return Verdict(id=f"line {item.line}", failed="format", fault="unreadable", reason=str(item))
        old = outdated(item, line, lasts)
        return Verdict(id=item.task.id, failed="format", fault=old[0], reason=old[1]) if old else self.verify(item)

    def verify(self, trace: Trace) -> Verdict:
        """The verdict on one trace; needs its pixels. Only a bug of ours raises, or a judge that cannot be asked (RunError)."""
        calls = any(action.name != "Terminate" for step in trace.steps for action in step.actions)
        kind: Literal["CoTA", "CoT"] = "CoTA" if calls else "CoT"
        stage: Stage = "format"
        skipped: dict[Stage, str] = {}
        rating = None
        try:
            toolbox = self.toolbox(trace)
            ran = _check_format(trace, toolbox, self.rules.allow_errors)
            stage = "execution"
            not_run = self._run_again(trace, ran, toolbox)
            skipped |= {"execution": not_run} if not_run else {}
            stage = "semantics"
            if trace.task.answer is None:
                skipped["semantics"] = "The task has no answer to compare with."
            self._check_semantics(trace)
            stage = "rating"
            rating = rate(trace, correct=trace.task.answer is not None, grounded=True, judge=self._rater)
            if rating < self.rules.min_rating:
                raise _Fault("low rating", f"it is rated {rating}, at least {self.rules.min_rating} is asked for")
        except _Fault as fault:
            return _failed(trace, kind, stage, fault.kind, str(fault), skipped, rating)
        except TraceError as error:
            return _failed(trace, kind, stage, "image", str(error), skipped, rating)
        return Verdict(id=trace.task.id, kind=kind, skipped=skipped, rating=rating)

    def toolbox(self, trace: Trace) -> Toolbox:
        """The tools that a trace offers, as far as they are known here."""
        key = tuple((record.name, record.backend) for record in trace.tools)
        if key not in self._toolboxes:
            known = {name: self._known[name] for name, _ in key if name in self._known}
            same = {name: tool for name, backend in key for tool in known.get(name, []) if tool.backend == backend}
            self._toolboxes[key] = Toolbox(same.get(name, tools[0]) for name, tools in known.items())
        return self._toolboxes[key]

    def _run_again(self, trace: Trace, calls: list[_Call], toolbox: Toolbox) -> str:
        """Run the calls, each on the recorded images before it. Returns which could not be run, and why."""
        backends = {record.name: record.backend for record in trace.tools}
        store, not_run = _inputs(trace), dict[str, str]()
        for call in calls:
            name = call.action.name
            if call.recorded.error is not None and not self.rules.allow_errors:
                raise _Fault("failed call", f"step {call.step}: {name} failed: {call.recorded.error}")
            why = self._cannot_run(name, backends[name], toolbox[name])
            if not why:
                here = store.copy()
                why = _held_against(call, self._observe(call, toolbox, here), trace.store, here, backends[name] == IMPORTED)
            if why:
                not_run[name] = why
            for image in call.recorded.images:
                if store.add(trace.store[image]) != image:
                    raise _Fault(
                        "image name", f"step {call.step}: {name}'s image is called {image}, the next is {store.names()[-1]}"
                    )
        if len(store) != len(trace.images):
            raise _Fault(
                "image name", f"it has {len(trace.images)} images; {len(store)} are its inputs or were made by its calls"
            )
        return " ".join(not_run.values())

    def _cannot_run(self, name: str, backend: str, tool: Tool) -> str:
        """Why a tool's calls are skipped; empty if they are not. Raises _Fault where its back end is another one here."""
        simulated = backend.startswith(SIMULATED) and name in self._simulated
        if simulated or (backend == IMPORTED and name not in ANYWHERE):
            return f"{name} was {backend.split()[0]}, so it cannot be run again."
        problem = tool.unavailable()
        if problem:
            return f"{name} cannot run here: {problem}"
        if backend not in (tool.backend, IMPORTED):
            raise _Fault("other backend", f"{name} was {backend}, here it is {tool.backend}")
        return ""

    def _observe(self, call: _Call, toolbox: Toolbox, store: ImageStore) -> Observation:
        """What a call gives here."""
        name = call.action.name
        try:
            if toolbox[name].isolated:
                return toolbox.execute(call.action, store)
            return _within(self._deadline, lambda: toolbox.execute(call.action, store))
        except TimeoutError:
            raise _Fault("hang", f"step {call.step}: {name} took longer than {self._deadline:g} s") from None
        except Exception as error:  # a tool's bug ends this trace, not the run
            raise _Fault("crash", f"step {call.step}: {name} raised {type(error).__name__}: {error}") from error

    def _check_semantics(self, trace: Trace) -> None:
        wrong = wrong_answer(trace, self.rules.answers, self._judge)
        if wrong:
            raise _Fault(FAULTY_TASK if faulty_task(trace.task) else "wrong answer", wrong)
        unsupported = ungrounded(trace)
        if unsupported:
            raise _Fault("ungrounded", unsupported)


def verify_folder(folder: str | os.PathLike[str], verifier: Verifier | None = None) -> Iterator[Verdict]:
    """The verdict on each line of a folder's ``traces.jsonl``, in order.

    A line that is no trace fails in format, and so does one whose id comes again: the last one counts (`Trace.save`). Samples of
    one question have ids of their own. What is kept in memory of a trace are its id and 16 bytes.

    Raises:
        TraceError: If there is no such file, nothing in it, or it is no text.
    """
    verifier = verifier or Verifier()
    lasts = last_lines(Path(folder))
    for line, _, item in numbered(Path(folder)):
        yield verifier.judge_line(item, line, lasts)


def _failed(
    trace: Trace,
    kind: Literal["CoTA", "CoT"],
    stage: Stage,
    fault: str,
    reason: str,
    skipped: dict[Stage, str],
    rating: int | None,
) -> Verdict:
    return Verdict(id=trace.task.id, kind=kind, failed=stage, fault=fault, reason=reason, skipped=skipped, rating=rating)


# ---------------------------------------------------------------------- format


def _check_format(trace: Trace, toolbox: Toolbox, allow_errors: bool) -> list[_Call]:
    """The calls that ran. Raises _Fault."""
    names = [f"image-{index}" for index in range(len(trace.task.images))]
    missing = [name for name in names if name not in trace.images]
    if missing:
        raise _Fault("image", f"it has no {', '.join(missing)}, and its task has {len(names)} images")
    if not trace.steps:
        raise _Fault("no steps", "it has no steps")
    calls: list[_Call] = []
    for number, step in enumerate(trace.steps, start=1):
        calls += _check_step(trace, number, toolbox, names, [call.action for call in calls], allow_errors)
        names += [image for observation in step.observations for image in observation.images]
        if number < len(trace.steps) and terminated(step) is not None:
            raise _Fault("early end", f"step {number} terminates, and {len(trace.steps) - number} more follow")
    unknown = [name for name in names if name not in trace.images]
    if unknown:
        raise _Fault("image", f"it has no {', '.join(unknown)}, which its observations name")
    answer = terminated(trace.steps[-1])
    if answer is None or trace.stop_reason != "answered":
        raise _Fault("no answer", "it does not end with Terminate")
    if answer != trace.answer:
        raise _Fault("other answer", f"Terminate says {answer!r}, the trace's answer is {trace.answer!r}")
    return calls


def _check_step(
    trace: Trace, number: int, toolbox: Toolbox, images: list[str], before: list[Action], allow_errors: bool
) -> list[_Call]:
    step, where = trace.steps[number - 1], f"step {number}"
    reply = parse_reply(step.reply)
    if reply.findings and not allow_errors:
        raise _Fault("faulty reply", f"{where}: {feedback(reply.findings) or 'its reply had to be mended'}")
    if reply.thought != step.thought or reply.actions != step.actions:
        raise _Fault("other reply", f"{where}: its thought and actions are not those of its reply")
    if len(step.observations) != len(step.actions) and not (allow_errors and _ended(step)):
        raise _Fault("observations", f"{where}: {len(step.actions)} actions have {len(step.observations)} observations")
    if not step.actions and not allow_errors:
        raise _Fault("observations", f"{where}: it has no action")
    offered = {record.name for record in trace.tools}
    findings, images, calls = list(reply.findings), images.copy(), list[_Call]()
    for action, recorded in zip(step.actions, step.observations, strict=False):
        if action.name in offered and action.name not in toolbox:
            raise _Fault("unknown tool", f"{where}: there is no tool {action.name} here")
        found = toolbox.check(action, images, [*before, *(call.action for call in calls)])
        findings += found
        if found and not allow_errors:
            raise _Fault("faulty call", f"{where}: {feedback(found)}")
        if found and recorded != Observation(error=feedback(found)):
            raise _Fault("observations", f"{where}: {feedback(found)} But recorded is {recorded.to_json()}")
        calls += [] if found else [_Call(number, action, recorded)]
        images += recorded.images
    if _told(findings) != _told(step.findings):
        raise _Fault("findings", f"{where}: recorded findings are {_told(step.findings)}, found were {_told(findings)}")
    return calls


def _ended(step: Step) -> bool:
    """Whether a step's later actions were not reached, since it had terminated."""
    reached = len(step.observations)
    return 0 < reached < len(step.actions) and step.actions[reached - 1].name == "Terminate"


def _told(findings: Iterable[Finding]) -> list[str]:
    """Without the places: an agent's begin with the number of the action."""
    return sorted(f"{finding.code}: {finding.message}" for finding in findings)


# ---------------------------------------------------------------------- execution


def _inputs(trace: Trace) -> ImageStore:
    count = len(trace.task.images)
    if len(trace.store) == count:
        return trace.store.copy()  # with their hashes
    return ImageStore(trace.store[f"image-{index}"] for index in range(count))


def _held_against(call: _Call, observed: Observation, there: ImageStore, here: ImageStore, imported: bool) -> str:
    """Hold a call's record against what it gave here; returns why it cannot be told whether they agree. Raises _Fault."""
    name, recorded = call.action.name, call.recorded
    found = (compare_imported if imported else compare)(recorded, observed, there, here)
    if found == "other image":
        raise _Fault(found, f"step {call.step}: {name} made another {recorded.images[0]} than the recorded one")
    if found == "other observation":
        said = f"{name} gave {observed.to_json()}, recorded is {recorded.to_json()}"
        raise _Fault(found, f"step {call.step}: {said}")
    if found == "unclear":
        return f"{name} was imported: {recorded.to_json()} cannot be compared with what it gives here, {observed.to_json()}."
    return ""


def _within(seconds: float, function: Callable[[], _T]) -> _T:
    """What a function gives. It runs in a thread: one that hangs is left behind.

    Raises:
        TimeoutError: If it took longer.
    """
    done: list[_T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            done.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not done:
        raise TimeoutError
    return done[0]
