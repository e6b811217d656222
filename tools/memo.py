"""A memory of results with a limit, the one used longest ago forgotten first.

>>> squares = Memo[int, int](2)
>>> squares.get(3, lambda: 9), squares.get(3, lambda: 0)
(9, 9)
"""

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Memo(Generic[Key, Value]):
    """Values by their keys. Safe between threads; two that ask for a new key at once both make it.

    Args:
        limit: The sum of sizes that is kept; the newest value is kept, however large.
        size: Of a value; each counts 1 by default.
    """

    def __init__(self, limit: int | Callable[[], int], size: Callable[[Value], int] = lambda value: 1) -> None:
        self._limit = limit if callable(limit) else lambda: limit
        self._size = size
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, key: Key) -> Value:
        with self._lock:
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def __setitem__(self, key: Key, value: Value) -> None:
        limit, size = self._limit(), self._size(value)
        with self._lock:
            self._kept[key] = value, size
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and self.total > limit:
                self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def total(self) -> int:
        """The sum of the sizes."""
        return sum(size for _, size in self._kept.values())

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The kept value, or what ``make`` gives; nothing is kept where it raises."""
        with contextlib.suppress(KeyError):
            return self[key]
        self[key] = value = make()
        return value

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
