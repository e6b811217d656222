"""A table as OCR gave it: lines of pieces, with places or without, in which columns and rows are found.

>>> sheet = Sheet.of({"text": "Standings\\nTeam Wins Points\\nRovers 12 45\\nOld Foxes 10 38"})
>>> [(row.name, row.price) for row in sheet.column("Points", 2).rows]
[('Rovers', '45'), ('Old Foxes', '38')]
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from taco.data_gen.programs.figure_steps import Reading
from taco.data_gen.programs.figures import figure
from taco.data_gen.programs.price_rows import SIMILAR, Row, find_row, read_rows
from taco.data_gen.programs.question import GaveUp

TOTALS = ("total", "grandtotal", "amountdue", "sum")
"""What the row under a bill is called, letters only."""


class Piece(NamedTuple):
    """A text as it was read; a word without a place, or a region with its left and right side."""

    text: str
    left: float = 0.0
    right: float = 0.0


class Sheet:
    """Lines of pieces from top to bottom.

    Args:
        lines: The pieces of each line, from left to right.
        placed: Whether pieces are whole texts with places; otherwise they are words, and only their order is known.
    """

    def __init__(self, lines: Sequence[Sequence[Piece]], placed: bool) -> None:
        self.lines, self.placed = lines, placed

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Sheet":
        """What the tool OCR gave, with places or without."""
        if "regions" not in content:
            return cls([[Piece(word) for word in line.split()] for line in content["text"].split("\n")], placed=False)
        lines = lines_of(content)
        return cls([[Piece(each["label"], each["bbox"][0], each["bbox"][2]) for each in line] for line in lines], placed=True)

    def column(self, name: str, count: int) -> Reading:
        """Names and cells of a column in the `count` lines below its header, those that are rows. Raises GaveUp without any."""
        head, place = self._find(name)
        header = self.lines[head]
        cells = [(self._cell(line, header, place), _joined(line)) for line in self.lines[head + 1 : head + 1 + count]]
        rows = [Row(*cell, line) for cell, line in cells if cell]
        if not rows:
            raise GaveUp("the column has no cells")
        return Reading(rows, _joined(header), header[place].text)

    def between(self, name: str, first: str, last: str, count: int) -> Reading:
        """Headers and cells of a row from one column to another. Raises GaveUp where the row or a cell is missing."""
        (head, start), (other, end) = self._find(first), self._find(last)
        row = find_row(self.column(first, count).rows, name)
        line = next((line for line in self.lines if row and _joined(line) == row.text), [])
        header = self.lines[head]
        cells = [self._cell(line, header, place) for place in range(start, end + 1)]
        if head != other or not cells or None in cells:
            raise GaveUp("the row was not found whole")
        rows = [Row(header[start + index].text, cell[1], _joined(line)) for index, cell in enumerate(cells) if cell]
        return Reading(rows, _joined(header))

    def _find(self, name: str) -> tuple[int, int]:
        """Line and place of the header that is most like a name: in the longest of equal lines."""
        best = max(
            (
                (_likeness(name, piece.text), len(line), head, place)
                for head, line in enumerate(self.lines[:-1])
                for place, piece in enumerate(line)
                if place > 0
            ),
            default=(0.0, 0, 0, 0),
        )
        if best[0] < SIMILAR:
            raise GaveUp("the column was not found")
        return best[2], best[3]

    def _cell(self, line: Sequence[Piece], header: Sequence[Piece], place: int) -> tuple[str, str] | None:
        """Name and cell of a line; None for a line that is no row."""
        if not line or figure(line[0].text) is not None:
            return None
        if not self.placed:
            # A name may have several words, all other headers and cells have one.
            behind = len(header) - 1
            if len(line) <= behind:
                return None
            return " ".join(piece.text for piece in line[:-behind]), line[place - len(header)].text
        cells = [piece for piece in line[1:] if _nearest(piece, header) == place]
        return (line[0].text, cells[0].text) if len(cells) == 1 else None


def amounts(text: str) -> Reading:
    """Items and amounts of a bill, without its total."""
    rows = [row for row in read_rows(text) if not is_total(row)]
    if not rows:
        raise GaveUp("no amount was read")
    return Reading(rows)


def total_of(text: str) -> Row | None:
    """The total that stands under a bill."""
    return next((row for row in read_rows(text) if is_total(row)), None)


def is_total(row: Row) -> bool:
    return any(_likeness(row.name, total) >= SIMILAR for total in TOTALS)


def fields(text: str, label: str) -> Reading:
    """Every line of a form, split where its beginning is most like a label."""
    rows = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) > 1:
            cut = max(range(1, len(words)), key=lambda place: _likeness(" ".join(words[:place]), label))
            rows.append(Row(" ".join(words[:cut]).rstrip(":"), " ".join(words[cut:]).lstrip(": "), line))
    if not rows:
        raise GaveUp("no field was read")
    return Reading(rows)


def lines_of(content: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """The regions of an observation, line by line as its text has them."""
    regions, lines = list(content["regions"]), []
    for line in content["text"].split("\n") if regions else []:
        taken: list[dict[str, Any]] = []
        while regions and " ".join(region["label"] for region in taken) != line:
            taken.append(regions.pop(0))
        lines.append(taken)
    return lines


def _joined(line: Sequence[Piece]) -> str:
    return " ".join(piece.text for piece in line)


def _nearest(piece: Piece, header: Sequence[Piece]) -> int:
    """Which header a cell belongs to: columns are aligned at their left, their right or their middle."""

    def apart(other: Piece) -> float:
        left, right = piece.left - other.left, piece.right - other.right
        return min(abs(left), abs(right), abs(left + right) / 2)

    return min(range(1, len(header)), key=lambda place: apart(header[place]))


def _likeness(one: str, other: str) -> float:
    one, other = ("".join(letter for letter in text.lower() if letter.isalnum()) for text in (one, other))
    return 1.0 if one == other else difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
