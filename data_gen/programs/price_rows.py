"""Rows of names and prices in a text that OCR gave.

>>> rows = read_rows("MENU\\nGreen tea $4.50\\nCake 3,20 €")
>>> find_row(rows, "green tea").price
'4.50'
"""

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

CURRENCY_WORDS = frozenset({"kr"})
"""Currencies that stand behind a price as a word; symbols are no words."""
SIMILAR = 0.75
"""difflib ratio from which a name that was read is taken for the one that was asked for."""


class Row(NamedTuple):
    """A row that was read: the item's name, its price as a plain decimal, and the text as it was read."""

    name: str
    price: str
    text: str


_PRICE = re.compile(r"[^\w\s]*[^\W\d]{0,3}[^\w\s]*(\d+(?:[.,]\d+)*)[^\w\s]*[^\W\d]{0,3}[^\w\s]*")
"""A word that is a price: digits, with a currency's symbol or letters (as they may be misread) on either side."""
_THOUSANDS = re.compile(r"[1-9]\d{0,2}([.,])\d{3}(?:\1\d{3})*")


def read_rows(text: str) -> list[Row]:
    """Every row with a price in a text that OCR gave. A price on a line of its own belongs to the line above.

    >>> [(row.name, row.price, row.text) for row in read_rows("MENU\\nGreen tea $4.50\\n2 kr Jam\\nCake\\n3,20 €")]
    [('Green tea', '4.50', 'Green tea $4.50'), ('Jam', '2', '2 kr Jam'), ('Cake', '3.20', 'Cake\\n3,20 €')]
    """
    rows: list[Row] = []
    above = ""
    for line in text.split("\n"):
        labels, prices = _parts(line)
        if not prices:
            above = labels[0]
        elif not any(labels):
            rows += [Row(above, prices[0], f"{above}\n{line}")] if above else []
        else:
            names = labels[:-1] if labels[0] else labels[1:]  # the price stands behind the name, or before it
            whole = len(prices) == 1
            rows += [
                Row(name, price, line if whole else f"{name} {price}") for name, price in zip(names, prices, strict=True) if name
            ]
        above = "" if prices else above
    return rows


def _parts(line: str) -> tuple[list[str], list[str]]:
    """The prices of a line, and the words before, between and behind them (one more)."""
    labels: list[list[str]] = [[]]
    prices: list[str] = []
    for word in line.split():
        match = _PRICE.fullmatch(word)
        if match:
            prices.append(plain(match[1]))
            labels.append([])
        elif any(character.isalnum() for character in word) and not (prices and word.lower() in CURRENCY_WORDS):
            labels[-1].append(word)
    return [" ".join(words) for words in labels], prices


def plain(printed: str) -> str:
    """Digits with any separators -> a plain decimal: ``4,50`` -> ``4.50``, ``1.200`` -> ``1200``."""
    if _THOUSANDS.fullmatch(printed):
        return re.sub(r"[.,]", "", printed)
    *whole, cents = re.split(r"[.,]", printed)
    return f"{''.join(whole)}.{cents}" if whole else cents


def find_row(rows: Sequence[Row], name: str) -> Row | None:
    """The row whose name is most like the one asked for; None where none is `SIMILAR`, or there are no rows."""
    wanted = _letters(name)
    row = max(rows, key=lambda row: _likeness(wanted, _letters(row.name)), default=None)
    return None if row is None or _likeness(wanted, _letters(row.name)) < SIMILAR else row


def _likeness(wanted: str, read: str) -> float:
    return 1.0 if wanted == read else difflib.SequenceMatcher(None, wanted, read, autojunk=False).ratio()


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())
