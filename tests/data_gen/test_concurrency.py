"""The limit on calls at a time: what raises it, what lowers it, who goes first."""

import random
import threading
import time

import pytest

from taco.data_gen.concurrency import DECREASE, FIRST_WAIT, LONGEST_WAIT, START, AdaptiveLimit, StoppedError, wait_seconds
from taco.models.endpoint import BusyError


def round_of(limit: AdaptiveLimit, calls: int, *, refused: int = 0, retry_after: float | None = None) -> None:
    """So many calls that are all under way before the first one ends."""
    barrier = threading.Barrier(calls)

    def call(busy: bool) -> None:
        try:
            with limit.slot():
                barrier.wait(30)
                if busy:
                    raise BusyError("no", retry_after)
        except BusyError:
            pass

    threads = [threading.Thread(target=call, args=(number < refused,)) for number in range(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_it_grows_only_where_it_is_reached() -> None:
    limit = AdaptiveLimit(64)
    round_of(limit, START - 1)
    assert limit.calls_at_a_time == START
    round_of(limit, START)
    assert limit.calls_at_a_time > START


def test_it_ends_at_the_maximum() -> None:
    limit = AdaptiveLimit(2)
    for _ in range(5):
        round_of(limit, 2)
    assert limit.calls_at_a_time == 2
    with pytest.raises(ValueError, match="At least one call"):
        AdaptiveLimit(0)


def test_a_round_of_refusals_lowers_it_once_and_then_it_grows_slowly() -> None:
    limit = AdaptiveLimit(64)
    limit.calls_at_a_time = 16.0
    round_of(limit, 16, refused=9)
    assert limit.refused == 9
    assert limit.calls_at_a_time < 16 * DECREASE + 1
    assert limit.calls_at_a_time >= 9 * DECREASE, "lowered once: so many were under way at least"
    before = limit.calls_at_a_time
    round_of(limit, int(before))
    assert limit.calls_at_a_time <= before + 1
    for _ in range(40):
        round_of(limit, 1, refused=1)
    assert limit.calls_at_a_time == 1, "one call goes on asking"


def test_what_is_under_way_counts_not_what_was_allowed() -> None:
    limit = AdaptiveLimit(64)
    limit.calls_at_a_time = 60.0
    round_of(limit, 8, refused=1)
    assert limit.calls_at_a_time <= 8


def test_other_errors_tell_nothing() -> None:
    limit = AdaptiveLimit(1)
    with pytest.raises(KeyError), limit.slot():
        raise KeyError
    assert (limit.calls_at_a_time, limit.refused) == (1, 0)
    round_of(limit, 1)


def test_a_pause_that_the_endpoint_asks_for_is_kept_by_all() -> None:
    limit = AdaptiveLimit(64)
    start = time.monotonic()
    round_of(limit, 1, refused=1, retry_after=0.2)
    round_of(limit, 1)
    assert time.monotonic() - start >= 0.2


def test_the_lowest_rank_goes_first_and_closing_wakes_all() -> None:
    limit, order = AdaptiveLimit(1), list[int]()

    def call(rank: int) -> None:
        try:
            with limit.slot(rank):
                order.append(rank)
        except StoppedError:
            order.append(-rank)

    def waiting(ranks: tuple[int, ...]) -> list[threading.Thread]:
        threads = [threading.Thread(target=call, args=(rank,)) for rank in ranks]
        for number, thread in enumerate(threads, start=1):
            thread.start()
            while len(limit._waiting) < number:
                time.sleep(0.001)
        return threads

    with limit.slot():
        threads = waiting((3, 1, 2))
    for thread in threads:
        thread.join(30)
    assert order == [1, 2, 3]
    with limit.slot():
        threads = waiting((4, 5))
        limit.close()
        for thread in threads:
            thread.join(30)
    assert sorted(order[3:]) == [-5, -4]
    with pytest.raises(StoppedError):
        limit.pause(100)


def test_waits_double_up_to_a_cap_and_are_spread() -> None:
    rng = random.Random(0)
    for attempt in range(20):
        waits = [wait_seconds(attempt, rng) for _ in range(200)]
        cap = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
        assert 0 <= min(waits) < 0.1 * cap
        assert 0.9 * cap < max(waits) <= cap
