"""Is a trace what it says? Its format, then its execution: every action is run again and must give what was observed.

    >>> [verdict.reason for verdict in verify_folder("out")]
    ['', '', 'step 2: Calculate gave {"result": 14}, recorded is {"result": 15}']

Stages as in APIGen (arXiv 2406.18518): format -> execution; the first failure names its stage.
"""

import os
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from taco.data_gen.observations import SIMULATED, Real, direct_toolbox
from taco.parser import parse_reply
from taco.prompts import terminated
from taco.tools.action import Action
from taco.tools.catalogue import all_tools
from taco.tools.finding import feedback
from taco.tools.images import ImageStore
from taco.tools.toolbox import Toolbox
from taco.trace import Step, Trace, TraceError, scan_traces

Stage = Literal["format", "execution"]


class Verdict(BaseModel):
    """What a check says of a whole trace.

    Attributes:
        id: The task's id; ``line 3`` where the line cannot be read.
        failed: The first stage that failed, or None.
        skipped: The stage that could not be judged, or None.
        reason: Why it failed or was skipped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    failed: Stage | None = None
    skipped: Stage | None = None
    reason: str = ""

    @property
    def outcome(self) -> str:
        """``passed``, ``failed format``, ``skipped execution`` ...: what is counted."""
        if self.failed:
            return f"failed {self.failed}"
        return f"skipped {self.skipped}" if self.skipped else "passed"


class _Fault(Exception):
    """What is wrong with a trace."""


class Verifier:
    """Checks traces with the real tools. Keeps the last image's reading, since traces of one image follow each other."""

    def __init__(self) -> None:
        self._toolboxes: dict[tuple[str, ...], Toolbox] = {}
        self._inputs = ImageStore()

    def verify(self, trace: Trace) -> Verdict:
        """The verdict on one trace; needs its pixels. Only a bug raises."""
        stage: Stage = "format"
        try:
            _check_format(trace)
            stage = "execution"
            simulated = [tool.name for tool in trace.tools if tool.backend.startswith(SIMULATED)]
            if simulated:
                reason = f"{', '.join(simulated)} was simulated, so it cannot be run again"
                return Verdict(id=trace.task.id, skipped="execution", reason=reason)
            self._run_again(trace)
        except (_Fault, TraceError) as fault:
            return Verdict(id=trace.task.id, failed=stage, reason=str(fault))
        return Verdict(id=trace.task.id)

    def _run_again(self, trace: Trace) -> None:
        toolbox = self._toolbox(trace)
        store = self._images(trace)
        history: list[Action] = []
        for number, step in enumerate(trace.steps, start=1):
            for action, recorded in zip(step.actions, step.observations, strict=True):
                findings = toolbox.check(action, store, history)
                if findings:
                    raise _Fault(f"step {number}: {feedback(findings)}")
                observed = toolbox.execute(action, store)
                if observed != recorded:
                    raise _Fault(f"step {number}: {action.name} gave {observed.to_json()}, recorded is {recorded.to_json()}")
                history.append(action)
        if {name: store.sha256(name) for name in store} != {name: file.sha256 for name, file in trace.images.items()}:
            raise _Fault("the tools made other images than the recorded ones")

    def _toolbox(self, trace: Trace) -> Toolbox:
        names = tuple(tool.name for tool in trace.tools)
        if names not in self._toolboxes:
            known = {tool.name: tool for tool in [*all_tools(), *direct_toolbox(), *Real().tools]}
            missing = [name for name in names if name not in known]
            if missing:
                raise _Fault(f"there is no tool {', '.join(missing)} here")
            self._toolboxes[names] = Toolbox(known[name] for name in names)
        for record in trace.tools:
            here = self._toolboxes[names][record.name].backend
            if here != record.backend:
                raise _Fault(f"{record.name} was {record.backend}, here it is {here}")
        return self._toolboxes[names]

    def _images(self, trace: Trace) -> ImageStore:
        """The inputs: the same objects as last time where they have the same pixels, so that tools know them again."""
        store, last = trace.store, self._inputs
        names = _inputs(trace)
        if [store.sha256(name) for name in names] != [last.sha256(name) for name in last]:
            self._inputs = ImageStore(store[name] for name in names)
        return self._inputs.copy()


def verify_folder(folder: str | os.PathLike[str]) -> Iterator[Verdict]:
    """The verdict on each line of a folder's ``traces.jsonl``, in order. A line that is no trace fails in format.

    Raises:
        TraceError: If there is no such file, or it is no text.
    """
    verifier = Verifier()
    for item in scan_traces(folder):
        if isinstance(item, TraceError):
            yield Verdict(id=f"line {item.line}", failed="format", reason=str(item))
        else:
            yield verifier.verify(item)


def _check_format(trace: Trace) -> None:
    missing = [name for name in _inputs(trace) if name not in trace.images]
    if missing:
        raise _Fault(f"it has no {', '.join(missing)}, and its task has {len(trace.task.images)} images")
    if not trace.steps:
        raise _Fault("it has no steps")
    for number, step in enumerate(trace.steps, start=1):
        _check_step(step, f"step {number}")
    answer = terminated(trace.steps[-1])
    if answer is None or trace.stop_reason != "answered":
        raise _Fault("it does not end with Terminate")
    if answer != trace.answer:
        raise _Fault(f"Terminate says {answer!r}, the trace's answer is {trace.answer!r}")


def _check_step(step: Step, where: str) -> None:
    reply = parse_reply(step.reply)
    if reply.findings or step.findings:
        raise _Fault(f"{where}: {feedback([*reply.findings, *step.findings]) or 'its reply had to be mended'}")
    if reply.thought != step.thought or reply.actions != step.actions:
        raise _Fault(f"{where}: its thought and actions are not those of its reply")
    if not step.actions or len(step.observations) != len(step.actions):
        raise _Fault(f"{where}: {len(step.actions)} actions have {len(step.observations)} observations")


def _inputs(trace: Trace) -> list[str]:
    return [f"image-{index}" for index in range(len(trace.task.images))]
