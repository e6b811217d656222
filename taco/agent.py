"""The agent: a model thinks and acts, tools observe, until it terminates with an answer.

>>> trace = Agent().run("How much are 3 teas?", ["board.png"])
>>> trace.answer, trace.stop_reason
('13.5', 'answered')
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from taco.models.chat import ChatModel, ContextError, ModelError, Usage
from taco.parser import parse_reply
from taco.prompts import SystemStyle, conversation, terminated
from taco.tools.action import Action, Observation
from taco.tools.finding import Finding, feedback
from taco.tools.images import ImageError, ImageSource, ImageStore
from taco.tools.tool import Tool
from taco.tools.toolbox import Toolbox, default_toolbox
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
    """The run is over. ``error`` says why where the stop reason is ``failed`` or ``context``."""

    trace: Trace
    error: str | None = None


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


class Agent:
    """Answers questions about images in steps.

    Args:
        model: A `ChatModel`, a name for `load_model`, or None for the embedded model.
        tools: A `Toolbox` or tools. By default those the model was trained with, or for a general model all that can run here.
            Terminate is always among them.
        max_steps: Replies of one run.
        system: Style of the system prompt; by default the one the model was trained with, ``full`` for a general model.
        allow_urls: Whether images may be given by URL.

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
    ) -> None:
        if max_steps < 1:
            raise ValueError(f"max_steps is at least 1; got {max_steps}.")
        if model is None or isinstance(model, str):
            from taco.models import load_model

            model = load_model(model or "nano")
        self.model, self.max_steps, self.allow_urls = model, max_steps, allow_urls
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
        try:
            store = ImageStore(task.images)
        except ImageError as error:
            trace = Trace(task=task.model_copy(update={"images": ()}), tools=self._records(), stop_reason="failed")
            yield Finished(trace.with_store(ImageStore()), str(error))
            return
        yield from self._play(_Run(task, store))

    def run_batch(self, tasks: Iterable[Task]) -> Iterator[Trace]:
        """The traces of many tasks, in their order. A task that fails touches no other."""
        for task in tasks:
            yield from (event.trace for event in self.stream_task(task) if isinstance(event, Finished))

    def _play(self, run: _Run) -> Iterator[Event]:
        while run.stop_reason is None:
            messages = conversation(run.task, run.store, run.steps, self.toolbox, system=self.system)
            try:
                [completion] = self.model.generate([messages])
            except ModelError as error:
                run.stop_reason, run.error = "context" if isinstance(error, ContextError) else "failed", str(error)
                log.warning("%s: %s", run.task.id, error)
                break
            yield Replied(len(run.steps), completion.text, completion.usage)
            yield from self._take_step(run, completion.text)
        trace = Trace(
            task=run.task,
            tools=self._records(),
            steps=tuple(run.steps),
            answer=run.answer,
            stop_reason=run.stop_reason,
        )
        yield Finished(trace.with_store(run.store), run.error)

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
        from taco.tools.toolbox import all_tools

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
