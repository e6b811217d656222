"""All that is asked of a teacher: kept on disk so that nothing is paid twice, paced, counted, within a budget.

>>> calls = Calls(model, CallLog(out / "calls.jsonl"), Budget(max_cost=5, price_in=2.5, price_out=10), concurrency=32)
>>> Agent(PacedModel(calls, sample=1)).run("How much are 3 teas?", ["board.png"])
"""

import hashlib
import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taco.data_gen.concurrency import AdaptiveLimit, StoppedError, wait_seconds
from taco.errors import RunError
from taco.models.chat import ChatModel, Completion, ContextError, ModelError, Usage
from taco.models.endpoint import BusyError, EndpointModel, UnusableError
from taco.prompts import Message
from taco.tools.images import pixel_hash
from taco.trace import append_line

RETRIES = 8
"""How often a refused call is asked again: about a minute and a half in all."""
LONGEST_RETRY_AFTER = 600.0
"""Seconds. An endpoint that asks for a longer pause (a daily quota) ends the run."""
FAILURES = 10
"""Calls that fail in a row, none succeeding between them, before a run is given up: then it is not the rows."""


@dataclass(frozen=True)
class Budget:
    """What may be spent on a folder, over all runs.

    Args:
        max_tokens: Tokens, read and written.
        max_cost: Money, in the currency of the prices.
        price_in: Price of a million tokens that the model reads.
        price_out: Price of a million tokens that it writes.

    Raises:
        ValueError: If a limit is not above 0, or there is a limit of money and no price.
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if any(limit is not None and limit <= 0 for limit in (self.max_tokens, self.max_cost)):
            raise ValueError(f"A budget is above 0; got {self.max_tokens} tokens and {self.max_cost} in money.")
        if any(price is not None and price < 0 for price in (self.price_in, self.price_out)):
            raise ValueError(f"Prices are not below 0; got {self.price_in} and {self.price_out}.")
        if (self.price_in is None) != (self.price_out is None) or (self.max_cost is not None and self.price_in is None):
            raise ValueError("Money needs both prices: of a million tokens read (price_in) and written (price_out).")

    @property
    def limited(self) -> bool:
        return self.max_tokens is not None or self.max_cost is not None

    def cost(self, usage: Usage) -> float | None:
        """Money; None where no prices are known."""
        if self.price_in is None or self.price_out is None:
            return None
        return (usage.prompt_tokens * self.price_in + usage.completion_tokens * self.price_out) / 1e6

    def share(self, usage: Usage) -> float:
        """The part of the budget that this is; 1 is all of it, 0 where there is no limit."""
        tokens = (usage.prompt_tokens + usage.completion_tokens) / self.max_tokens if self.max_tokens else 0.0
        return max(tokens, (self.cost(usage) or 0.0) / self.max_cost if self.max_cost else 0.0)


class CallLog:
    """Finished calls on disk, one JSON line each, appended only: the hash of what was asked, the reply, the tokens.

    Attributes:
        spent: Tokens of all calls in the file.

    Raises:
        ValueError: If the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._places: dict[str, int] = {}  # where in the file: replies of a million calls are too much for the memory
        self.spent = Usage()
        if path.exists():
            with path.open("rb") as file:
                self._read(file)

    def _read(self, lines: Any) -> None:
        place = 0
        for number, line in enumerate(lines, start=1):
            if line.endswith(b"\n"):  # else an interruption cut it; the next one to be appended takes its place
                try:
                    entry = json.loads(line)
                    self._places[entry["call"]] = place
                    self.spent += _completion(entry).usage
                except (ValueError, KeyError, TypeError):
                    raise ValueError(f"{self._path}, line {number}, is no call of a teacher. Choose a new folder.") from None
            place += len(line)

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Completion | None:
        """The reply to what has this hash."""
        place = self._places.get(key)
        if place is None:
            return None
        with self._path.open("rb") as file:
            file.seek(place)
            return _completion(json.loads(file.readline()))

    def add(self, key: str, reply: Completion) -> None:
        """Append a call. Raises OSError where the disk is full."""
        line = json.dumps({"call": key, "text": reply.text, "finish_reason": reply.finish_reason, **reply.usage.model_dump()})
        with self._lock:
            append_line(self._path, line)
            self._places[key] = self._path.stat().st_size - len(line) - 1
            self.spent += reply.usage


def _completion(entry: dict[str, Any]) -> Completion:
    usage = Usage(prompt_tokens=entry["prompt_tokens"], completion_tokens=entry["completion_tokens"])
    return Completion(text=entry["text"], finish_reason=entry["finish_reason"], usage=usage)


class Calls:
    """Asks a model: what is on disk is not asked again, refusals are waited out, the budget is kept.

    Args:
        model: An `EndpointModel` is paced, and should not retry by itself (``max_retries=0``): hidden retries would keep refusals
            from `AdaptiveLimit`, and occupy a slot while they wait. Any other model is asked as it is.
        log: Where finished calls are kept.
        budget: What may be spent.
        concurrency: Calls at a time, at most.
        retries: How often a refused call is asked again.
        seed: Of the waiting times.

    Attributes:
        asked: Calls made, refused ones among them.
        known: Calls whose reply was on disk.
        out_of_budget: Whether a call was not made because of the budget.
    """

    def __init__(
        self, model: ChatModel, log: CallLog, budget: Budget, *, concurrency: int = 32, retries: int = RETRIES, seed: int = 0
    ) -> None:
        self.model, self.log, self.budget, self.retries = model, log, budget, retries
        self.limit = AdaptiveLimit(concurrency)
        self.paced = isinstance(model, EndpointModel)
        self.asked = self.known = 0
        self.out_of_budget = False
        self._rng, self._lock = random.Random(seed), threading.Condition()
        self._open, self._largest = 0, 0.0  # calls under way; the largest share of the budget that one took
        self._answered, self._failures = False, 0

    def ask(self, conversations: Sequence[Sequence[Message]], sample: int, rank: int, **how: Any) -> list[Completion]:
        """As `ChatModel.generate`.

        Raises:
            ModelError: If this call cannot be answered, which is its row's own matter.
            RunError: If no call can be: the address, the model, the key; a budget that cannot be kept.
            StoppedError: If no call is to be begun any more, or the budget is used up.
            OSError: If the disk is full.
        """
        schemas = how.get("schemas") or [None] * len(conversations)
        keys = [_key(self.model.name, *row, sample) for row in zip(conversations, schemas, strict=True)]
        replies = {key: reply for key in keys if (reply := self.log.get(key))}
        self.known += len(replies)
        missing = {key: row for key, *row in zip(keys, conversations, schemas, strict=True) if key not in replies}
        if missing:
            if how.get("schemas"):
                how["schemas"] = [schema for _, schema in missing.values()]
            replies |= self._fresh({key: conversation for key, (conversation, _) in missing.items()}, rank, how)
        return [replies[key] for key in keys]

    def _fresh(self, asked: dict[str, Sequence[Message]], rank: int, how: dict[str, Any]) -> dict[str, Completion]:
        """Replies to the conversations, by their hashes."""
        if not self.paced:
            return self._generated(asked, how)
        for attempt in itertools.count():
            try:
                with self.limit.slot(rank):
                    return self._generated(asked, how)
            except ModelError as error:
                if attempt >= self.retries or not self._passing(error):
                    raise self._failed(error) from error
            self.limit.pause(wait_seconds(attempt, self._rng))
        raise AssertionError("counting does not end")

    def _passing(self, error: ModelError) -> bool:
        """Whether to ask again."""
        if isinstance(error, UnusableError):  # a server that answered before may be starting anew
            return self._answered
        return isinstance(error, BusyError) and (error.retry_after or 0.0) <= LONGEST_RETRY_AFTER

    def _failed(self, error: ModelError) -> RunError:
        """What a call that failed for good ends: its row (ModelError), or the run."""
        if isinstance(error, ContextError):
            return error
        with self._lock:
            self._failures += 1
            failures = self._failures
        if isinstance(error, UnusableError):
            return RunError(str(error))
        if isinstance(error, BusyError) and (error.retry_after or 0.0) > LONGEST_RETRY_AFTER:
            return RunError(f"{error} It asks to come again in {error.retry_after:,.0f} s; the same command goes on then.")
        if failures >= FAILURES:
            return RunError(f"{failures} calls in a row failed. The last one: {error}")
        return error

    def _generated(self, asked: dict[str, Sequence[Message]], how: dict[str, Any]) -> dict[str, Completion]:
        with self._within_budget(len(asked)):  # until the replies are counted as spent
            replies = dict(zip(asked, self.model.generate(list(asked.values()), **how), strict=True))
            for key, reply in replies.items():
                self.log.add(key, reply)
            with self._lock:
                self._answered, self._failures = True, 0
                self._largest = max([self._largest, *(self.budget.share(reply.usage) for reply in replies.values())])
        if self.budget.limited and any(reply.usage == Usage() for reply in replies.values()):
            raise RunError(f"{self.model.name} does not tell its tokens, so a budget cannot be kept. Leave the budget out.")
        return replies

    @contextmanager
    def _within_budget(self, count: int) -> Iterator[None]:
        """Reserves, for each call under way, what the largest so far took; waits while one that ends may leave room."""

        def fits() -> bool:
            return self.budget.share(self.log.spent) + (self._open + count) * self._largest <= 1.0

        with self._lock:
            self._lock.wait_for(lambda: fits() or not self._open)
            if not fits():
                self.out_of_budget = True
                raise StoppedError
            self._open += count
            self.asked += count
        try:
            yield
        finally:
            with self._lock:
                self._open -= count
                self._lock.notify_all()


class PacedModel:
    """The model as one run of an agent asks it: a `ChatModel` over `Calls`.

    Args:
        calls: Shared by all runs.
        sample: Samples of one question are told apart by it: each has replies of its own on disk.
        rank: Of two runs that wait for a call, the one with the lower rank goes first.
    """

    def __init__(self, calls: Calls, sample: int = 1, rank: int = 0) -> None:
        self.name, self.record = calls.model.name, calls.model.record
        self._calls, self._sample, self._rank = calls, sample, rank

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        stop: Sequence[str] | None = None,
        *,
        ended: Callable[[str], bool] | None = None,
        schemas: Sequence[dict[str, Any]] | None = None,
    ) -> list[Completion]:
        """See `Calls.ask`."""
        return self._calls.ask(conversations, self._sample, self._rank, stop=stop, ended=ended, schemas=schemas)

    def stream(self, conversation: Sequence[Message]) -> Iterator[str]:
        yield self.generate([conversation])[0].text


def _key(model: str, messages: Sequence[Message], schema: dict[str, Any] | None, sample: int) -> str:
    """A hash of what is asked, images by their pixels."""

    def plain(part: dict[str, Any]) -> dict[str, Any]:
        return {"image": pixel_hash(part["image"])} if part["type"] == "image" else part

    asked = [{**message, "content": [plain(part) for part in message["content"]]} for message in messages]
    text = json.dumps([model, sample, schema, asked], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
