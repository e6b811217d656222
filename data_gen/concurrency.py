"""How many calls an endpoint takes at a time, found out while calling it; and how long to wait after a refusal.

    >>> limit = AdaptiveLimit(64)
    >>> with limit.slot():
    ...     reply = model.generate([conversation])[0]

Additive increase, multiplicative decrease (AIMD; Chiu and Jain 1989; in TCP: RFC 5681): the limit doubles with each round of
calls until the first refusal, from then on it grows by one a round, and a refusal takes a part of it away.
"""

import heapq
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from taco.models.endpoint import BusyError

START = 4
"""Calls at a time of which nothing is known yet."""
DECREASE = 0.75
"""What is left of the limit after a refusal. TCP's half would leave more of the endpoint unused; a refused call costs little."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds: the longest wait after a first refusal, which doubles with every further one; and where that ends."""


class StoppedError(Exception):
    """No call is begun any more."""


class AdaptiveLimit:
    """The calls that may be under way at a time.

    Args:
        maximum: Never more than so many.

    Attributes:
        calls_at_a_time: The limit now. Calls begin while fewer are under way.
        closed: Whether no call is begun any more.
        refused: Calls that ended as `BusyError`.
    """

    def __init__(self, maximum: int) -> None:
        if maximum < 1:
            raise ValueError(f"At least one call at a time is needed; got {maximum}.")
        self.maximum = maximum
        self.calls_at_a_time, self.refused = float(min(START, maximum)), 0
        self._slow_start = True
        self._under_way, self._decreases = 0, 0
        self._not_before = 0.0  # the endpoint asked to be left alone until then
        self._waiting: list[tuple[int, int]] = []
        self._tickets, self.closed = 0, False
        self._changed = threading.Condition()

    @contextmanager
    def slot(self, rank: int = 0) -> Iterator[None]:
        """One call; waits until it may begin. Calls of a lower rank go first. `BusyError` lowers the limit, a success raises it.

        Raises:
            StoppedError: If the limit was closed.
        """
        seen = self._enter(rank)
        try:
            yield
        except BusyError as error:
            self._leave(seen, error)
            raise
        except BaseException:
            self._leave(seen, None, told=False)
            raise
        self._leave(seen, None)

    def pause(self, seconds: float) -> None:
        """Wait, unless the limit is closed. Raises StoppedError then."""
        with self._changed:
            if self._changed.wait_for(lambda: self.closed, seconds):
                raise StoppedError

    def close(self) -> None:
        """Begin no further call."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _enter(self, rank: int) -> tuple[int, int]:
        """Returns how often the limit had been lowered when the call began, and how many were under way then."""
        with self._changed:
            self._tickets += 1
            own = (rank, self._tickets)
            heapq.heappush(self._waiting, own)
            while not self.closed:
                pause = self._not_before - time.monotonic()
                if self._waiting[0] == own and self._under_way < int(self.calls_at_a_time) and pause <= 0:
                    break
                self._changed.wait(pause if pause > 0 else None)
            self._waiting.remove(own)
            heapq.heapify(self._waiting)
            self._changed.notify_all()  # who is next may begin too
            if self.closed:
                raise StoppedError
            self._under_way += 1
            return self._decreases, self._under_way

    def _leave(self, seen: tuple[int, int], busy: BusyError | None, *, told: bool = True) -> None:
        with self._changed:
            if busy is not None:
                self._lower(*seen, busy)
            elif told and self._under_way >= int(self.calls_at_a_time):  # a limit that is not reached says nothing
                grown = self.calls_at_a_time + (1.0 if self._slow_start else 1.0 / self.calls_at_a_time)
                self.calls_at_a_time = min(grown, float(self.maximum))
            self._under_way -= 1
            self._changed.notify_all()

    def _lower(self, decreases: int, under_way: int, busy: BusyError) -> None:
        self.refused += 1
        if busy.retry_after is not None:
            self._not_before = max(self._not_before, time.monotonic() + busy.retry_after)
        if decreases == self._decreases:  # calls that were under way already when the limit was lowered tell nothing new
            self._decreases += 1
            self._slow_start = False
            self.calls_at_a_time = max(1.0, DECREASE * min(self.calls_at_a_time, max(under_way, self._under_way)))


def wait_seconds(attempt: int, rng: random.Random) -> float:
    """Seconds to wait after refusal number ``attempt`` (from 0) of a call: exponential, with full jitter, so that calls that were
    refused together do not come again together."""
    return rng.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2**attempt))
