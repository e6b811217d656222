"""The right answer to a question about a table, form or bill, from annotation and question text alone. Shares no code with the
generator.

>>> right_answer(scene.annotation, "What is the rainfall of Oslo?")
'12.4'
"""

import re
from fractions import Fraction
from typing import Any

CANNOT_TELL = "cannot be determined"


def right_answer(scene: Any, question: str) -> str:
    """The answer as text. Raises ValueError for a question that it cannot read."""
    text = " ".join(question.lower().split()).rstrip("?.")
    answer = _of_the_look(scene, text) or (_of_form(scene, text) if scene.kind == "form" else _of_grid(scene, text))
    return str(_to_decimals(answer, text)) if isinstance(answer, Fraction) else answer


def agrees(one: str, other: str) -> bool:
    """Equal as numbers (one may be a fraction, "7/3"), or as texts."""
    if re.fullmatch(r"-?\d+(/\d+)?(\.\d+)?", one) and re.fullmatch(r"-?\d+(\.\d+)?", other):
        return Fraction(one) == Fraction(other)
    return one == other


def _to_decimals(value: Fraction, text: str) -> Fraction:
    """As many decimals as the question wants; half away from zero."""
    wanted = re.search(r"(two|one) decimal", text)
    if not wanted:
        return value
    unit = 100 if wanted[1] == "two" else 10
    whole = int(abs(value) * unit + Fraction(1, 2))
    return Fraction(whole if value >= 0 else -whole, unit)


def _of_grid(scene: Any, text: str) -> str | Fraction:
    text, named = _without_names(scene, text)
    if re.search(r"\b(bill|slip|receipt|invoice|account)\b", text):
        return sum((_number(row.cells[1]) for row in scene.rows), Fraction(0))
    if "minutes" in text or re.search(r" from .* to ", text):
        return _across(scene, text, named[0])
    return _of_column(named, *_column(scene, text))


def _of_the_look(scene: Any, text: str) -> str:
    if re.search(r"colou?r", text):
        return str(scene.header_colour)
    if re.search("a form( with fields)? or a bill", text):
        return str(scene.kind)
    if re.search(r"\brows\b", text):
        return str(len(scene.rows))
    if re.search(r"\bcolumns\b", text):
        return str(len(scene.columns))
    return str(len(scene.rows)) if re.search(r"\b(fields|entries|labels)\b", text) else ""


def _of_form(scene: Any, text: str) -> str:
    found = [row for row in scene.rows if re.search(rf"(?<!\w){re.escape(row.cells[0].lower().rstrip(':'))}(?!\w)", text)]
    return _plain(max(found, key=lambda row: len(row.cells[0])).cells[1]) if found else CANNOT_TELL


def _without_names(scene: Any, text: str) -> tuple[str, list[Any]]:
    """The question with the rows' names blotted out, and the rows in the order in which they were named."""
    places = []
    for row in scene.rows:
        pattern = rf"(?<!\w){re.escape(row.cells[0].lower())}(?!\w)"
        match = re.search(pattern, text)
        if match:
            places.append((match.start(), row))
    for _, row in places:
        text = re.sub(rf"(?<!\w){re.escape(row.cells[0].lower())}(?!\w)", "@", text)
    return text, [row for _, row in sorted(places, key=lambda place: place[0])]


def _column(scene: Any, text: str) -> tuple[str, dict[str, str]]:
    """The question with what the column says blotted out, and its cells by name."""
    if scene.kind == "bill":
        return text.replace("amount", "#"), {row.cells[0]: row.cells[1] for row in scene.rows}
    named = [
        (len(column.meaning), place) for place, column in enumerate(scene.columns) if place and column.meaning.lower() in text
    ]
    place = max(named)[1]
    cells = {row.cells[0]: row.cells[place] for row in scene.rows}
    return text.replace(scene.columns[place].meaning.lower(), "#"), cells


def _of_column(named: list[Any], text: str, cells: dict[str, str]) -> str | Fraction:
    own = [cells[row.cells[0]] for row in named]
    if len(own) == 2:
        first, second = map(_number, own)
        if "how many times" in text:  # ... that of the second is the first
            return second / first
        if "ratio" in text:
            return first / second
        return first - second if re.search(r"difference|how much|exceed", text) else first + second
    if len(own) == 1:
        return _plain(own[0])
    threshold = re.search(r"(more than|above|over|higher than|less than|below|under|lower than) ([\d.]+)%?( |$)", text)
    if threshold:
        more = threshold[1] in ("more than", "above", "over", "higher than")
        limit = Fraction(threshold[2])
        return str(sum((_number(cell) > limit) if more else (_number(cell) < limit) for cell in cells.values()))
    return _of_whole_column(text, cells)


def _of_whole_column(text: str, cells: dict[str, str]) -> str | Fraction:
    high, low = r"highest|largest|greatest|biggest", r"lowest|smallest|least"
    if re.search(r"as (its|the) #|(the \w+ whose|whose|\w+'s) # is", text):
        [name] = [name for name, cell in cells.items() if f" {cell.lower()} " in f" {text} "]
        return name
    numbers = {name: _number(cell) for name, cell in cells.items() if re.fullmatch(r"\D?\d[\d,]*(\.\d+)?%?", cell)}
    if re.search("range|spread", text) or (re.search(high, text) and re.search(low, text)):
        return max(numbers.values()) - min(numbers.values())
    if re.search(f"{high}|{low}", text):
        wanted = max(numbers.values()) if re.search(high, text) else min(numbers.values())
        [name] = [name for name, value in numbers.items() if value == wanted]
        return name
    if re.search(r"\b(mean|average)\b", text):
        return sum(numbers.values(), Fraction(0)) / len(numbers)
    if re.search(r"\b(all|total|sum|overall|combined)\b", text):
        return sum(numbers.values(), Fraction(0))
    if re.search(r"# (of|for|given for|shown for) ", text):
        return CANNOT_TELL
    raise ValueError(text)


def _across(scene: Any, text: str, row: Any) -> str | Fraction:
    """What stands in a row between two columns."""
    if "minutes" in text:
        times = [cell for cell, column in zip(row.cells, scene.columns, strict=True) if column.kind == "time"]
        (hours, minutes), (later_hours, later_minutes) = (map(int, time.split(":")) for time in times)
        return str(60 * later_hours + later_minutes - 60 * hours - minutes)
    match = re.search(r"from (\w+) to (\w+)", text)
    if match is None:
        raise ValueError(text)
    headers = [column.name.lower() for column in scene.columns]
    values = [_number(cell) for cell in row.cells[headers.index(match[1]) : headers.index(match[2]) + 1] if cell]
    if re.search(r"change", text):
        return (values[-1] / values[0] - 1) * 100
    return sum(values, Fraction(0))


def _number(cell: str) -> Fraction:
    return Fraction(re.sub(r"[^\d.]", "", cell))


def _plain(cell: str) -> str:
    """As printed; a number without its currency and thousands."""
    if re.fullmatch(r"[$€£]?\d[\d,]*(\.\d{1,2})?", cell):
        return cell.lstrip("$€£").replace(",", "")
    return cell
