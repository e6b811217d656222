"""The agent: a model thinks and acts, tools observe, until it terminates with an answer.

>>> trace = Agent().run("How much are 3 teas?", ["board.png"])
>>> trace.answer, trace.stop_reason
('13.5', 'answered')
"""

import hashlib
import itertools
import logging
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from taco.models.chat import ChatModel, Completion, ContextError, ModelError, Usage
from taco.parser import is_complete, parse_reply
from taco.prompts import SystemStyle, conversation, terminated
from taco.tools.action import Action, Observation
from taco.tools.catalogue import default_toolbox
from taco.tools.finding import Finding, feedback
from taco.tools.images import ImageError, ImageSource, ImageStore
from taco.tools.tool import Tool
from taco.tools.toolbox import Toolbox
from taco.trace import Step, StopReason, Task, ToolRecord, Trace

log = logging.getLogger(__name__)

MAX_FAULTY = 3
"""Replies in a row of which nothing could be run, before a run is given up."""


@dataclass(frozen=True)
class Replied:
    """The model has replied: its text, verbatim."""

    step: int
    text: str
    usage: Usage


@dataclass(frozen=True)
class Observed:
    """An action has run, or was stopped by findings."""

    step: int
    action: Action
    observation: Observation


@dataclass(frozen=True)
class Finished:
    """The run is over. ``error`` says why where the stop reason is ``failed`` or ``context``; ``usage`` is of all replies."""

    trace: Trace
    error: str | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0


Event = Replied | Observed | Finished


@dataclass
class _Run:
    """What a run has come to so far."""

    task: Task
    store: ImageStore
    steps: list[Step] = field(default_factory=list)
    history: list[Action] = field(default_factory=list)
    faulty: int = 0
    stop_reason: StopReason | None = None  # set when the run is over
    answer: str | None = None
    error: str | None = None
    usage: Usage = field(default_factory=Usage)
    started: float = field(default_factory=time.perf_counter)


class Agent:
    """Answers questions about images in steps.

    Args:
        model: A `ChatModel`, a name for `load_model`, or None for the embedded model.
        tools: A `Toolbox` or tools. By default those the model was trained with, or for a general model all that can run here.
            Terminate is always among them.
        max_steps: Replies of one run.
        system: Style of the system prompt; by default the one the model was trained with, ``full`` for a general model.
        allow_urls: Whether images may be given by URL.
        constrained: Whether the model can only write valid steps: JSON, tools, arguments and image names that there are.

    Attributes:
        missing_tools: Tools that the model was trained with and that cannot run here, each with the remedy.
    """

    def __init__(
        self,
        model: ChatModel | str | None = None,
        tools: Toolbox | Iterable[Tool] | None = None,
        *,
        max_steps: int = 10,
        system: SystemStyle | None = None,
        allow_urls: bool = False,
        constrained: bool = False,
    ) -> None:
        if max_steps < 1:
            raise ValueError(f"max_steps is at least 1; got {max_steps}.")
        if model is None or isinstance(model, str):
            from taco.models import load_model

            model = load_model(model or "nano")
        self.model, self.max_steps, self.allow_urls, self.constrained = model, max_steps, allow_urls, constrained
        record = model.record
        self.missing_tools: dict[str, str] = {}
        if tools is None:
            self.toolbox = self._trained_tools([item.name for item in record.tools]) if record else default_toolbox()
        else:
            self.toolbox = _with_terminate(tools)
        self.system: SystemStyle = system or (record.system if record else "full")

    def run(
        self, question: str, images: Iterable[ImageSource] | ImageSource = (), *, choices: Sequence[str] | None = None
    ) -> Trace:
        """Answer one question.

        Args:
            question: The question.
            images: Paths, PIL images, arrays or bytes: image-0, image-1 ... One alone needs no list.
            choices: The options of a multiple-choice question.

        Returns:
            The trace; its pixels are in ``trace.store``. A model that fails does not raise: the stop reason says so.

        Raises:
            ImageError: If an image cannot be used.
        """
        for event in self.stream(question, images, choices=choices):
            if isinstance(event, Finished):
                return event.trace
        raise AssertionError("a stream ends with Finished")

    def stream(
        self, question: str, images: Iterable[ImageSource] | ImageSource = (), *, choices: Sequence[str] | None = None
    ) -> Iterator[Event]:
        """As `run`, but yields what happens while it happens; the last event is `Finished`."""
        if not question.strip():
            raise ValueError("The question is empty.")
        store = ImageStore(_as_list(images), allow_urls=self.allow_urls)
        # The same question about the same pixels has the same id, so equal runs give equal traces.
        digest = hashlib.sha256("\n".join([question, *(choices or ()), *map(store.sha256, store)]).encode()).hexdigest()
        task = Task(id=digest[:16], question=question, images=tuple(store), choices=tuple(choices) if choices else None)
        yield from self._play(_Run(task, store))

    def stream_task(self, task: Task) -> Iterator[Event]:
        """As `stream`, for a task whose ``images`` are files. An image that cannot be used ends the run as ``failed``."""
        yield from self._play(self._begun(task))

    def run_batch(self, tasks: Iterable[Task], batch_size: int = 8) -> Iterator[Trace]:
        """The traces of many tasks, in their order; the same traces as one by one. See `stream_batch`."""
        due, waiting = 0, dict[int, Trace]()  # at most those that can end while the slowest run takes its steps
        for number, finished in self._lockstep(tasks, batch_size):
            waiting[number] = finished.trace
            while due in waiting:
                yield waiting.pop(due)
                due += 1

    def stream_batch(self, tasks: Iterable[Task], batch_size: int = 8) -> Iterator[Finished]:
        """The ends of many runs, as they come.

        So many runs go in step: their replies are generated together, their tools run at the same time, each run's in a thread.
        One that is over makes room for the next task. A task that fails touches no other; where a batch fails, for example
        because the memory is full, its replies are asked for one by one.
        """
        for _, finished in self._lockstep(tasks, batch_size):
            yield finished

    def _lockstep(self, tasks: Iterable[Task], batch_size: int) -> Iterator[tuple[int, Finished]]:
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1; got {batch_size}.")
        waiting, runs = enumerate(tasks), dict[int, _Run]()
        with ThreadPoolExecutor(max_workers=batch_size) as pool:
            while True:
                for number in [number for number, run in runs.items() if run.stop_reason is not None]:
                    yield number, self._finished(runs.pop(number))
                for number, task in itertools.islice(waiting, batch_size - len(runs)):
                    runs[number] = self._begun(task)
                if not runs:
                    return
                alive = [run for run in runs.values() if run.stop_reason is None]
                replies = self._replies(alive) if alive else []
                steps = [pool.submit(deque, self._step(run, reply), 0) for run, reply in zip(alive, replies, strict=True)]
                if any(step.exception() for step in steps):  # a bug in a tool: those that ended are told before it surfaces
                    for number in [number for number, run in runs.items() if run.stop_reason is not None]:
                        yield number, self._finished(runs.pop(number))
                for step in steps:
                    step.result()

    def _begun(self, task: Task) -> _Run:
        try:
            return _Run(task, ImageStore(task.images))
        except ImageError as error:
            return _Run(task.model_copy(update={"images": ()}), ImageStore(), stop_reason="failed", error=str(error))

    def _play(self, run: _Run) -> Iterator[Event]:
        while run.stop_reason is None:
            [reply] = self._replies([run])
            yield from self._step(run, reply)
        yield self._finished(run)

    def _finished(self, run: _Run) -> Finished:
        trace = Trace(
            task=run.task,
            tools=self._records(),
            steps=tuple(run.steps),
            answer=run.answer,
            stop_reason=run.stop_reason or "failed",
        )
        return Finished(trace.with_store(run.store), run.error, run.usage, time.perf_counter() - run.started)

    def _replies(self, runs: Sequence[_Run]) -> list[Completion | ModelError]:
        """What the model says next in each run, or why it says nothing."""
        conversations = [conversation(run.task, run.store, run.steps, self.toolbox, system=self.system) for run in runs]
        schemas = None
        if self.constrained:
            from taco.step_schema import step_schema

            schemas = [step_schema(self.toolbox, run.store.names(), min_actions=0) for run in runs]
        try:
            return list(self.model.generate(conversations, ended=is_complete, schemas=schemas))
        except ModelError as error:
            if len(runs) == 1:
                return [error]
        # Not inside of the except: the error holds what the failed batch had in memory.
        return [reply for run in runs for reply in self._replies([run])]

    def _step(self, run: _Run, reply: Completion | ModelError) -> Iterator[Event]:
        if isinstance(reply, ModelError):
            run.stop_reason, run.error = "context" if isinstance(reply, ContextError) else "failed", str(reply)
            log.warning("%s: %s", run.task.id, reply)
            return
        run.usage += reply.usage
        yield Replied(len(run.steps), reply.text, reply.usage)
        yield from self._take_step(run, reply.text)

    def _take_step(self, run: _Run, text: str) -> Iterator[Event]:
        reply = parse_reply(text)
        observations: list[Observation] = []
        findings = list(reply.findings)
        ran = False
        for index, action in enumerate(reply.actions):
            found = self.toolbox.check(action, run.store, run.history)
            findings += [_located(finding, index) for finding in found]
            if found:
                observation = Observation(error=feedback(found))
            else:
                observation, ran = self.toolbox.execute(action, run.store), True
                run.history.append(action)
            observations.append(observation)
            yield Observed(len(run.steps), action, observation)
            if action.name == "Terminate" and observation.error is None:
                break
        step = Step(
            reply=text,
            thought=reply.thought,
            actions=reply.actions,
            observations=tuple(observations),
            findings=tuple(findings),
        )
        run.steps.append(step)
        run.answer = terminated(step)
        run.faulty = run.faulty + 1 if findings and not ran else 0
        run.stop_reason = self._stop_reason(run)

    def _stop_reason(self, run: _Run) -> StopReason | None:
        if run.answer is not None:
            return "answered"
        if run.faulty >= MAX_FAULTY:
            return "faulty"
        return "max_steps" if len(run.steps) >= self.max_steps else None

    def _trained_tools(self, names: Sequence[str]) -> Toolbox:
        from taco.tools.catalogue import all_tools

        known = Toolbox(all_tools())
        for name in names:
            remedy = known[name].unavailable() if name in known else f"This version has no tool named {name}."
            if remedy:
                self.missing_tools[name] = remedy
                log.warning("%s was trained with the tool %s, which cannot run here. %s", self.model.name, name, remedy)
        return known.select([name for name in names if name not in self.missing_tools])

    def _records(self) -> tuple[ToolRecord, ...]:
        return tuple(ToolRecord(name=item.name, backend=item.backend) for item in self.toolbox)


def _as_list(images: Any) -> list[ImageSource]:
    """One image is as good as a list of one; an array or a PIL image must not be taken for a list of rows."""
    alone = isinstance(images, str | bytes | os.PathLike | Image.Image) or hasattr(images, "__array_interface__")
    return [images] if alone else list(images)


def _with_terminate(tools: Toolbox | Iterable[Tool]) -> Toolbox:
    from taco.tools.terminate import Terminate

    toolbox = tools if isinstance(tools, Toolbox) else Toolbox(tools)
    return toolbox if Terminate.name in toolbox else Toolbox([*toolbox, Terminate])


def _located(finding: Finding, index: int) -> Finding:
    where = f"actions[{index}]" + (f".{finding.where}" if finding.where else "")
    return finding.model_copy(update={"where": where})
