"""Shares of a total, met from pools that overlap.

>>> apportioned(10, [293, 287])
[5, 5]
>>> assign({(0, 1): 4, (1,): 3}, [4, 3]).taken        # of the pool that fits both parts, part 0 gets all
{(0, 1): {0: 4}, (1,): {1: 3}}
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

Pools = Mapping[tuple[int, ...], int]
"""How many items fit exactly these parts, by the parts' numbers."""


class Assignment(NamedTuple):
    """How many of each pool each part gets; and, where that falls short of what is wanted, the parts that together want more than
    the pools they can take from hold."""

    taken: dict[tuple[int, ...], dict[int, int]]
    short: tuple[int, ...] = ()


def apportioned(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that add up to ``total``, by largest remainder; of equal remainders the first."""
    whole = sum(map(Fraction, shares))
    exact = [total * Fraction(share) / whole for share in shares]
    counts = [int(number) for number in exact]
    for index in sorted(range(len(shares)), key=lambda i: counts[i] - exact[i])[: total - sum(counts)]:
        counts[index] += 1
    return counts


def assign(pools: Pools, wanted: Sequence[int]) -> Assignment:
    """Give each part what it wants, moving earlier parts to other pools where that makes room (augmenting paths)."""
    free = dict(pools)
    taken: dict[tuple[int, ...], Counter[int]] = {pool: Counter() for pool in pools}
    for part, number in enumerate(wanted):
        while number:
            came: dict[int, tuple[int, tuple[int, ...]] | None] = {part: None}
            end = _room(came, free, taken)
            if end is None:
                return Assignment({}, tuple(sorted(came)))
            moves = _moves(came, *end)
            amount = min([number, free[end[1]], *(taken[pool][giver] for _, giver, pool in moves if giver is not None)])
            for taker, giver, pool in moves:
                taken[pool][taker] += amount
                if giver is None:
                    free[pool] -= amount
                else:
                    taken[pool][giver] -= amount
            number -= amount
    return Assignment({pool: {part: n for part, n in sorted(counts.items()) if n} for pool, counts in taken.items()})


def _room(
    came: dict[int, tuple[int, tuple[int, ...]] | None], free: Pools, taken: Mapping[tuple[int, ...], Counter[int]]
) -> tuple[int, tuple[int, ...]] | None:
    """A part that can take more, and its pool, breadth first; ``came`` gets from where, over which pool, each was reached."""
    queue = list(came)
    for part in queue:
        for pool in free:
            if part not in pool:
                continue
            if free[pool]:
                return part, pool
            for other in pool:
                if other not in came and taken[pool][other]:
                    came[other] = (part, pool)
                    queue.append(other)
    return None


def _moves(
    came: Mapping[int, tuple[int, tuple[int, ...]] | None], part: int, pool: tuple[int, ...]
) -> list[tuple[int, int | None, tuple[int, ...]]]:
    """(taker, giver, pool) along the path back; the giver of the last pool is None: it has some left."""
    moves: list[tuple[int, int | None, tuple[int, ...]]] = [(part, None, pool)]
    while (step := came[part]) is not None:
        taker, through = step
        moves.append((taker, part, through))
        part = taker
    return moves


def available(pools: Pools, parts: Sequence[int]) -> int:
    """How many items fit at least one of the parts."""
    return sum(number for pool, number in pools.items() if set(pool) & set(parts))


def most(pools: Pools, shares: Sequence[float]) -> int:
    """The largest total whose shares the pools can meet."""
    low, high = 0, sum(pools.values())
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (low, middle - 1) if assign(pools, apportioned(middle, shares)).short else (middle, high)
    return low
