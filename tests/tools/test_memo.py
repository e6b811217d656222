import pytest

from taco.tools.memo import Memo


def test_the_one_used_longest_ago_is_forgotten() -> None:
    memo = Memo[str, int](2)
    for key, number in (("a", 1), ("b", 2), ("a", 0), ("c", 3)):
        memo.get(key, lambda number=number: number)  # type: ignore[misc]
    assert len(memo) == 2
    assert memo["a"] == 1
    with pytest.raises(KeyError):
        memo["b"]


def test_sizes_count_and_the_newest_is_kept_however_large() -> None:
    memo = Memo[str, str](5, len)
    memo["a"], memo["b"] = "xxx", "yy"
    assert (memo.total, len(memo)) == (5, 2)
    memo["c"] = "z"
    assert (memo.total, len(memo)) == (3, 2)
    memo["d"] = "x" * 9
    assert (memo.total, len(memo)) == (9, 1)
    memo["d"] = "x"
    assert memo.total == 1
    memo.clear()
    assert memo.total == 0


def test_nothing_is_kept_where_the_making_fails() -> None:
    memo = Memo[str, int](2)
    with pytest.raises(ZeroDivisionError):
        memo.get("a", lambda: 1 // 0)
    assert len(memo) == 0
