"""The steps to an answer about figures beside names: they are read, and then looked up, compared or calculated with.

>>> plan = partial(look_up, read=read_column)             # a plan of a question type; `read_column` is a `Read`
>>> next(plan({"item": "Oslo", "column": "Rain"}, random.Random(0)))
('I need to read the table.', [Action(name='OCR', arguments={'image': 'image-0'})])
"""

import json
import random
from collections.abc import Callable, Generator, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple, TypeVar

from taco.data_gen.programs.figures import answer_of, figure, number
from taco.data_gen.programs.price_rows import Row, find_row
from taco.data_gen.programs.question import CANNOT_TELL, GaveUp, Parameters, Program, call, phrase, terminate
from taco.tools.action import Action, Observation

_T = TypeVar("_T")
Steps = Generator[tuple[str, list[Action]], list[Observation], _T]
"""Some steps of a program, and what they found."""


class Reading(NamedTuple):
    """Names with figures (`Row.price`, as printed) as they were read, in order; of a table, its header and the column's, too."""

    rows: list[Row]
    heading: str = ""
    column: str = ""


Read = Callable[[Parameters, random.Random], Steps[Reading]]
"""Looks with tools for the figures that a question is about. Raises GaveUp where nothing like them was read."""

FOUND = ("(So the|The) (figure|entry|value) (for|of|beside) {name} is {value}.", "{name} (has|shows|comes with) {value}.")
ABSENT = ("(There is no|I find no|Nothing is called) {item} (here|among them)(|, so this cannot be told).",)
CALCULATE = (
    "(I|Now I|Next I) (work this out|calculate with these|put these into the calculator|calculate).",
    "(The calculator|Calculate) (does|gives) the rest.",
)
QUOTE = ("(I (see|read|find)|(It|The text|The picture) (says|reads)|(OCR|The tool) (gives|found)):",)


def look_up(asked: Parameters, rng: random.Random, *, read: Read) -> Program:
    """The figure beside a name; where no such name was read, it cannot be determined."""
    reading = yield from read(asked, rng)
    row = find_row(reading.rows, asked["item"])
    if row is None:
        said = phrase(rng, ABSENT, {"item": asked["item"]})
        yield from terminate(f"{quoted(rng, reading, whole(asked, reading))}\n{said}", CANNOT_TELL)
    else:
        said = phrase(rng, FOUND, {"name": row.name, "value": row.price})
        yield from terminate(f"{quoted(rng, reading, [row])}\n{said}", answer_of(row.price))


def look_for(asked: Parameters, rng: random.Random, *, read: Read) -> Program:
    """The name beside a figure."""
    reading = yield from read(asked, rng)
    found = [row for row in whole(asked, reading) if answer_of(row.price) == answer_of(asked["value"])]
    if len(found) != 1:
        raise GaveUp("the figure was not found once")
    said = phrase(rng, FOUND, {"name": found[0].name, "value": found[0].price})
    yield from terminate(f"{quoted(rng, reading, found)}\n{said}", found[0].name)


def work_out(
    asked: Parameters, rng: random.Random, *, read: Read, expression: str, said: str, named: Sequence[str] = ("item", "other")
) -> Program:
    """Calculate with some figures; ``expression`` has them as ``{0}``, ``{1}`` in the order of `named`."""
    reading = yield from read(asked, rng)
    rows = [found(reading, asked[name]) for name in named]
    yield from calculated(rng, reading, rows, expression.format(*map(digits, rows)), said)


def work_out_all(asked: Parameters, rng: random.Random, *, read: Read, expression: str, said: str) -> Program:
    """Calculate with all figures: ``{plus}``, ``{list}``, ``{count}`` in ``expression``, and that of the item, ``{0}``."""
    reading = yield from read(asked, rng)
    values = [digits(row) for row in whole(asked, reading)]
    named = [digits(found(reading, asked["item"]))] if "item" in asked else []
    filled = expression.format(*named, plus=" + ".join(values), list=", ".join(values), count=len(values))
    yield from calculated(rng, reading, reading.rows, filled, said)


def find_extreme(asked: Parameters, rng: random.Random, *, read: Read, function: str, word: str) -> Program:
    """The name beside the highest or lowest figure, by the calculator."""
    reading = yield from read(asked, rng)
    values = ", ".join(digits(row) for row in whole(asked, reading))
    result = yield from calculate(_so_calculate(rng, reading, reading.rows), f"{function}({values})")
    row = next(row for row in reading.rows if figure(row.price) == Decimal(result))
    yield from terminate(f"The {word} is {row.price}: {row.name}.", row.name)


def see_extreme(asked: Parameters, rng: random.Random, *, read: Read, function: str, word: str) -> Program:
    """The same, by comparing."""
    reading = yield from read(asked, rng)
    choose = max if function == "max" else min
    row = choose(whole(asked, reading), key=lambda row: Decimal(digits(row)))
    yield from terminate(f"{quoted(rng, reading, reading.rows)}\nThe {word} is {row.price}: {row.name}.", row.name)


def count_beyond(asked: Parameters, rng: random.Random, *, read: Read) -> Program:
    """How many figures are more, or less, than a threshold."""
    reading = yield from read(asked, rng)
    threshold = figure(asked["threshold"])
    if threshold is None:
        raise GaveUp("the threshold is no number")
    beyond = [row for row in whole(asked, reading) if (Decimal(digits(row)) > threshold) == asked["above"]]
    names = ", ".join(f"{row.name} ({row.price})" for row in beyond) or "None"
    said = f"{asked['side'].capitalize()} {asked['threshold']}: {names}. That makes {len(beyond)}."
    yield from terminate(f"{quoted(rng, reading, reading.rows)}\n{said}", str(len(beyond)))


def compare(asked: Parameters, rng: random.Random, *, read: Read) -> Program:
    """Whether the second figure is higher than the first."""
    reading = yield from read(asked, rng)
    rows = [found(reading, asked[name]) for name in ("first", "second")]
    before, after = (Decimal(digits(row)) for row in rows)
    if before == after:
        raise GaveUp("the figures are equal")
    said = f"{rows[1].price} is {'more' if after > before else 'less'} than {rows[0].price}."
    yield from terminate(f"{quoted(rng, reading, rows)}\n{said}", "yes" if after > before else "no")


DIFFERENCE = "(The difference is|They differ by|That is a difference of) {result}."
TOTAL = "(The total is|Together that is|They add up to|That makes) {result}."
RESULT = "(The result is|That makes|This gives) {result}."
MEANS = (
    partial(work_out_all, expression="round(mean({list}), 2)", said=RESULT),
    partial(work_out_all, expression="round(({plus}) / {count}, 2)", said=RESULT),
)
SPREAD = partial(work_out_all, expression="max({list}) - min({list})", said=DIFFERENCE)
HIGHEST = tuple(partial(way, function="max", word="highest") for way in (find_extreme, see_extreme))
LOWEST = tuple(partial(way, function="min", word="lowest") for way in (find_extreme, see_extreme))
"""Ways to an answer that tables and charts share; a `Read` is still wanted."""

# ---------------------------------------------------------------------- what they share


def calculated(rng: random.Random, reading: Reading, rows: Sequence[Row], expression: str, said: str) -> Program:
    """Calculate, and give the result as the answer: ``said`` has it as ``{result}``."""
    result = yield from calculate(_so_calculate(rng, reading, rows), expression)
    yield from terminate(phrase(rng, (said,), {"result": result}), result)


def calculate(thought: str, expression: str) -> Steps[str]:
    return json.dumps((yield from call(thought, "Calculate", expression=expression))["result"])


def quoted(rng: random.Random, reading: Reading, rows: Sequence[Row]) -> str:
    """Rows as they were read, line by line, under their heading, and then their figures: grounded, and plain copying."""
    heading = [reading.heading] if reading.heading else []
    lines = dict.fromkeys(row.text for row in rows)
    column = [f"{reading.column}: {', '.join(row.price for row in rows)}."] if reading.column else []
    return "\n".join([phrase(rng, QUOTE, {}), *heading, *lines, *column])


def whole(asked: Parameters, reading: Reading) -> list[Row]:
    """All rows. Raises GaveUp where they are not as many (``count``) as were seen."""
    if len(reading.rows) != asked.get("count", len(reading.rows)):
        raise GaveUp("not every row was read")
    return reading.rows


def found(reading: Reading, name: str) -> Row:
    row = find_row(reading.rows, name)
    if row is None:
        raise GaveUp("a name was not found")
    return row


def digits(row: Row) -> str:
    """A row's figure as the calculator takes it."""
    value = figure(row.price)
    if value is None:
        raise GaveUp("a figure was not read as one")
    return number(value)


def _so_calculate(rng: random.Random, reading: Reading, rows: Sequence[Row]) -> str:
    return f"{quoted(rng, reading, rows)}\n{phrase(rng, CALCULATE, {})}"
