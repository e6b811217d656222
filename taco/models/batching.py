"""One thread owns a chat model, and generates together what waits for it.

>>> loop = BatchingLoop(model, max_batch=8)
>>> loop.start()
>>> loop.put(Job(messages, emit=print))                               # prints the Completion
"""

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from taco.models.chat import ChatModel, Completion
from taco.prompts import Message


class ClosedError(Exception):
    """The loop is being closed; nothing new is begun."""


Event = str | Completion | Exception
"""A piece of a streamed reply; the whole reply (of a stream: with its end); or why there is none."""


@dataclass(eq=False)
class Job:
    """One request at the model's door.

    Attributes:
        emit: Takes the events, from the model's thread.
        limit: Tokens of the reply, where that is fewer than the model's own.
        schema: A JSON schema that the reply must satisfy; not of a stream.
        gone: Set when nobody waits for the reply any more.
    """

    messages: list[Message]
    emit: Callable[[Event], None]
    stop: tuple[str, ...] = ()
    limit: int | None = None
    schema: dict[str, Any] | None = None
    stream: bool = False
    gone: bool = False

    @property
    def settings(self) -> tuple[Any, ...]:
        """What jobs of one batch have in common."""
        return self.stream, self.stop, self.limit, self.schema is None


class BatchingLoop:
    """Generates what waits, in order; jobs with the same settings up to ``max_batch`` at a time, streams alone.

    Args:
        model: Used by this loop's thread only.
        max_batch: Conversations of one call.

    Attributes:
        max_new_tokens: The model's own, where it has any.
    """

    def __init__(self, model: ChatModel, max_batch: int) -> None:
        if max_batch < 1:
            raise ValueError(f"The batch has at least 1 conversation; got {max_batch}.")
        self.model, self.max_batch = model, max_batch
        self.max_new_tokens: int | None = getattr(model, "max_new_tokens", None)
        self._waiting: list[Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True, name="model")

    def start(self) -> None:
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive() and not self._closed

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return len(self._waiting)

    def put(self, job: Job) -> None:
        """Let a job wait its turn. Raises ClosedError."""
        with self._changed:
            if self._closed:
                raise ClosedError("The server is shutting down.")
            self._waiting.append(job)
            self._changed.notify()

    def close(self) -> None:
        """Finish what runs; what waits is refused."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._changed.notify()
        for job in waiting:
            job.emit(ClosedError("The server is shutting down."))

    def _work(self) -> None:
        while batch := self._next():
            if batch[0].stream:
                self._stream(batch[0])
            else:
                self._generate(batch)

    def _next(self) -> list[Job]:
        """The oldest job and those behind it that can be generated with it; none when the loop is closed."""
        with self._changed:
            while True:
                self._waiting = [job for job in self._waiting if not job.gone]
                if self._waiting or self._closed:
                    break
                self._changed.wait()
            batch = self._waiting[:1]
            if batch and not batch[0].stream:
                batch = [job for job in self._waiting if job.settings == batch[0].settings][: self.max_batch]
            self._waiting = [job for job in self._waiting if job not in batch]
            return batch

    def _generate(self, jobs: Sequence[Job]) -> None:
        try:
            replies = self._replies(jobs)
        except Exception as error:  # noqa: BLE001 - the thread must live on, and the client be told
            replies = []
            if len(jobs) == 1:
                jobs[0].emit(error)
        for job, reply in zip(jobs, replies, strict=False):
            job.emit(reply)
        if not replies and len(jobs) > 1:
            # So that only the one at fault fails; out here, where the failure's memory is free again.
            for job in jobs:
                if not job.gone:
                    self._generate([job])

    def _replies(self, jobs: Sequence[Job]) -> list[Completion]:
        with _capped(self.model, jobs[0].limit):
            schemas = [job.schema for job in jobs if job.schema is not None]
            more: dict[str, Any] = {"schemas": schemas} if schemas else {}
            completions = self.model.generate([job.messages for job in jobs], stop=list(jobs[0].stop) or None, **more)
        return [
            completion.model_copy(update={"text": _before(completion.text, job.stop)})
            for job, completion in zip(jobs, completions, strict=True)
        ]

    def _stream(self, job: Job) -> None:
        try:
            with _capped(self.model, job.limit), _closing(self.model.stream(job.messages)) as pieces:
                end = _passed_on(pieces, job)
        except Exception as error:  # noqa: BLE001 - as above
            job.emit(error)
        else:
            job.emit(end)


def _passed_on(pieces: Iterator[str], job: Job) -> Completion:
    """Emits a reply until it ends, a stop string is whole or nobody listens any more; returns the whole."""
    text, sent = "", 0
    while not job.gone:
        try:
            text += next(pieces)
        except StopIteration as end:
            if len(text) > sent:
                job.emit(text[sent:])
            # A stream that returns its Completion tells usage and how it ended; the interface does not ask for it.
            whole = end.value if isinstance(end.value, Completion) else Completion(text=text)
            return whole.model_copy(update={"text": text})
        kept = _before(text, job.stop)
        stopped = len(kept) < len(text)
        ready = len(kept) if stopped else len(text) - _may_begin(text, job.stop)
        if ready > sent:
            job.emit(text[sent:ready])
            sent = ready
        if stopped:
            break
    return Completion(text=_before(text, job.stop))  # what it used is not known half-way


@contextlib.contextmanager
def _closing(pieces: Iterator[str]) -> Iterator[Iterator[str]]:
    """A generator that is closed stops its model. Other iterators go on as they will."""
    try:
        yield pieces
    finally:
        if isinstance(pieces, Generator):
            pieces.close()


@contextlib.contextmanager
def _capped(model: Any, limit: int | None) -> Iterator[None]:
    """The interface has no cap for one call, but a local model reads its own at each."""
    if limit is None:
        yield
        return
    own, model.max_new_tokens = model.max_new_tokens, limit
    try:
        yield
    finally:
        model.max_new_tokens = own


def _before(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop string, as OpenAI gives it."""
    return text[: min((place for word in stop if (place := text.find(word)) >= 0), default=len(text))]


def _may_begin(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end may be the beginning of a stop string."""
    return max((n for word in stop for n in range(1, len(word)) if text.endswith(word[:n])), default=0)
