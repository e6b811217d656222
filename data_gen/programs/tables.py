"""Questions about tables, forms and bills: each type's right answer, and the programs that reach it through tools.

>>> question = ask(random.Random(0), scene, "highest")               # from the annotation: text, parameters, answer
>>> next(question.program(random.Random(0)))
('A table with 3 columns and 5 rows below its header. I need to read it.', [Action(name='OCR', arguments={...})])

A table is read as lines of words, or with places (`boxes`); one that is small in the picture may be enlarged or cut out first.
"""

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from taco.data_gen.programs import figures
from taco.data_gen.programs.figure_steps import (
    DIFFERENCE,
    HIGHEST,
    LOWEST,
    MEANS,
    RESULT,
    SPREAD,
    TOTAL,
    Reading,
    Steps,
    calculated,
    count_beyond,
    digits,
    found,
    look_for,
    look_up,
    quoted,
    whole,
    work_out,
    work_out_all,
)
from taco.data_gen.programs.figures import Chooser, Figures, number, rounded
from taco.data_gen.programs.price_rows import Row
from taco.data_gen.programs.question import (
    Asked,
    GaveUp,
    Parameters,
    Plan,
    Program,
    Question,
    QuestionType,
    call,
    doubtful,
    make_question,
    phrase,
    terminate,
)
from taco.data_gen.programs.table_phrasings import PHRASINGS
from taco.data_gen.programs.table_sheets import Sheet, amounts, fields, total_of
from taco.data_gen.scenes import proper_names
from taco.data_gen.scenes.colours import COLOURS
from taco.data_gen.scenes.names import split_of
from taco.data_gen.scenes.table_topics import FORMS, SPANS, TOPICS
from taco.data_gen.scenes.tables import TableScene

NUMERIC = ("number", "money", "percent")
SMALL = 0.3
"""Share of the picture below which a table is small: it may be enlarged before it is read."""
ZOOM = 2
PLURALS = {"city": "cities", "person": "people"}

_Look = Callable[[Parameters, random.Random], Steps[dict[str, Any]]]


def ask(rng: random.Random, scene: TableScene, kind: str) -> Question | None:
    """One question of a type about a scene, or None where the scene does not allow it."""
    question = make_question(rng, kind, QUESTION_TYPES[kind], scene)
    if question is None:
        return None
    region = region_of(scene)
    parameters = dict(question.parameters)
    if scene.kind != "form":  # on a form, no line can be told from the others
        parameters["count"] = len(scene.rows)
    if region:
        parameters["region"] = region
    return replace(question, parameters=parameters, sighting=sighting_of(scene))


def region_of(scene: TableScene) -> list[float] | None:
    """Where a small table is, as one can tell by eye: in twentieths of the picture. None where it is large."""
    left, top, right, bottom = scene.area
    if (right - left) * (bottom - top) > SMALL:
        return None
    low, high = ([math.floor(20 * side) / 20 for side in (left, top)], [math.ceil(20 * side) / 20 for side in (right, bottom)])
    return [max(0.0, side) for side in low] + [min(1.0, side) for side in high]


def sighting_of(scene: TableScene) -> str:
    """What can be seen without reading. Every trace says it, and so teaches to look."""
    if scene.kind == "table":
        colour = f", which is {scene.header_colour}" if scene.header_colour else ""
        columns, rows = _counted(len(scene.columns), "column"), _counted(len(scene.rows), "row")
        seen = f"A table with {columns} and {rows} below its header{colour}."
    elif scene.kind == "form":
        seen = f"A form with {_counted(len(scene.rows), 'field')}."
    else:
        seen = f"A bill with {_counted(len(scene.rows), 'item')}{' and a total' if scene.total else ''}."
    region = region_of(scene)
    return f"{seen} It is small, within {region}." if region else seen


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _of_column(rng: random.Random, scene: TableScene, *, choose: Chooser, kinds: tuple[str, ...] = NUMERIC) -> Asked | None:
    """A question about a column of a table, or the amounts of a bill."""
    if scene.kind == "bill" and "number" in kinds:
        return _with(choose(rng, _cells(scene, 1)), {"meaning": "amount", "noun": "item", "nouns": "items"})
    places = [place for place, column in enumerate(scene.columns) if column.kind in kinds]
    if scene.kind != "table" or not places:
        return None
    place = rng.choice(places)
    column = scene.columns[place]
    nouns = PLURALS.get(scene.noun, f"{scene.noun}s")
    parameters = {"column": column.name, "meaning": column.meaning, "noun": scene.noun, "nouns": nouns}
    return _with(choose(rng, _cells(scene, place)), parameters)


def _with(asked: Asked | None, parameters: Mapping[str, Any]) -> Asked | None:
    return asked and replace(asked, parameters={**asked.parameters, **parameters})


def _cells(scene: TableScene, place: int) -> Figures:
    return {row.cells[0]: row.cells[place] for row in scene.rows}


def _no_such_row(rng: random.Random, scene: TableScene) -> Asked | None:
    if scene.kind == "form":
        return None
    topic = TOPICS.get(scene.topic)
    kind = topic.names or topic.noun if topic else "item"
    names = proper_names.draw(rng, kind, 8, split_of(scene.rows[0].cells[0]) or "train")
    return _of_column(rng, scene, choose=partial(figures.stranger, names=names), kinds=EVERY)


def _in_periods(rng: random.Random, scene: TableScene, *, worth: Callable[[list[Fraction]], str]) -> Asked | None:
    """A question about one row from a column to a later one."""
    if not scene.periods or len(scene.columns) < 3:
        return None
    row = rng.choice(scene.rows)
    first, last = sorted(rng.sample(range(1, len(scene.columns)), 2))
    values = [Fraction(figures.figure(text) or 0) for text in row.cells[first : last + 1]]
    names = {"item": row.cells[0], "first": scene.columns[first].name, "second": scene.columns[last].name}
    return Asked(names, worth(values)) if values[0] != values[-1] else None


def _minutes(rng: random.Random, scene: TableScene) -> Asked | None:
    headers = [column.name for column in scene.columns]
    for first, second in SPANS:
        if first in headers and second in headers:
            row = rng.choice(scene.rows)
            places = headers.index(first), headers.index(second)
            start, end = (_minute(row.cells[place]) for place in places)
            meanings = {name: scene.columns[place].meaning for name, place in zip(("first", "second"), places, strict=True)}
            return Asked({"item": row.cells[0], **meanings, "columns": (first, second)}, str(end - start))
    return None


def _minute(time: str) -> int:
    hours, minutes = time.split(":")
    return 60 * int(hours) + int(minutes)


def _field(rng: random.Random, scene: TableScene) -> Asked | None:
    if scene.kind != "form":
        return None
    cells = {label.rstrip(":"): text for label, text in _cells(scene, 1).items()}
    label = rng.choice(list(cells))
    answer = figures.answer_of(cells[label])
    wrong = tuple(figures.answer_of(text) for text in cells.values() if text != cells[label])
    return Asked({"item": _lower(label), "is_field": True}, answer, wrong)


def _no_such_field(rng: random.Random, scene: TableScene) -> Asked | None:
    if scene.kind != "form":
        return None
    cells = {label.rstrip(":"): text for label, text in _cells(scene, 1).items()}
    labels = [label for _, form in FORMS.values() for label in form]
    asked = figures.stranger(rng, cells, labels)
    return asked and replace(asked, parameters={"item": _lower(asked.parameters["item"]), "is_field": True})


def _lower(label: str) -> str:
    return label[0].lower() + label[1:]


def _bill_total(rng: random.Random, scene: TableScene) -> Asked | None:
    return figures.total(rng, _cells(scene, 1)) if scene.kind == "bill" else None


def _rows(rng: random.Random, scene: TableScene) -> Asked | None:
    return Asked({}, str(len(scene.rows))) if scene.kind == "table" else None


def _columns(rng: random.Random, scene: TableScene) -> Asked | None:
    return Asked({}, str(len(scene.columns))) if scene.kind == "table" else None


def _fields(rng: random.Random, scene: TableScene) -> Asked | None:
    return Asked({}, str(len(scene.rows))) if scene.kind == "form" else None


def _header_colour(rng: random.Random, scene: TableScene) -> Asked | None:
    return Asked({}, scene.header_colour, tuple(COLOURS)) if scene.header_colour else None


def _kind(rng: random.Random, scene: TableScene) -> Asked | None:
    return Asked({}, scene.kind, ("table", "form", "bill"))


# ---------------------------------------------------------------------- how it is read (parameters and observations only)

READ = ("(I (need to|have to|must) read (it|what it says)|(First|So|Now) I read (it|what it says)|Reading it comes first).",)
READ_PLACES = (
    "I (need|want|read) the (texts|words) (and|with) their places(, to tell the columns apart|, to see what stands where|).",
)
ENLARGE = ("(The print is small, so|Since it is small,|To read it well,) I (enlarge it|zoom in|zoom in on it) first.",)
CUT_OUT = (
    "(It is only a part of the picture, so|To have nothing else in view,|Since it is small,) I (crop it|cut it out) first.",
)
_NOW = "Now I (read|can read|have to read) "
THEN_READ = (_NOW + "(it|what it says|the enlarged part|this part).",)
READ_CUT = (_NOW + "(it|what it says|the part that I cut out|this part).",)


def _plain(asked: Parameters, rng: random.Random) -> Steps[dict[str, Any]]:
    return (yield from call(phrase(rng, READ, {}), "OCR", image="image-0"))


def _placed(asked: Parameters, rng: random.Random) -> Steps[dict[str, Any]]:
    return (yield from call(phrase(rng, READ_PLACES, {}), "OCR", image="image-0", boxes=True))


def _enlarged(asked: Parameters, rng: random.Random) -> Steps[dict[str, Any]]:
    """ZoomIn, then OCR, where the table is small."""
    if "region" not in asked:
        return (yield from _plain(asked, rng))
    part = yield from call(phrase(rng, ENLARGE, {}), "ZoomIn", image="image-0", bbox=asked["region"], zoom_factor=ZOOM)
    return (yield from call(phrase(rng, THEN_READ, {}), "OCR", image=part["image"]))


def _cut_out(asked: Parameters, rng: random.Random) -> Steps[dict[str, Any]]:
    """Crop, then OCR with places, where the table is small."""
    if "region" not in asked:
        return (yield from _placed(asked, rng))
    part = yield from call(phrase(rng, CUT_OUT, {}), "Crop", image="image-0", bbox=asked["region"])
    return (yield from call(phrase(rng, READ_CUT, {}), "OCR", image=part["image"], boxes=True))


LOOKS: tuple[_Look, ...] = (_plain, _placed, _enlarged, _cut_out)


def _read(asked: Parameters, rng: random.Random, *, look: _Look) -> Steps[Reading]:
    """The column, amounts or fields that a question is about."""
    content = yield from look(asked, rng)
    if "is_field" in asked:
        return fields(content["text"], asked["item"])
    return Sheet.of(content).column(asked["column"], asked["count"]) if "column" in asked else amounts(content["text"])


def _in_row(asked: Parameters, rng: random.Random, *, look: _Look, expression: str, said: str) -> Program:
    """Calculate with the cells of a row from one column to another."""
    sheet = Sheet.of((yield from look(asked, rng)))
    reading = sheet.between(asked["item"], asked["first"], asked["second"], asked["count"])
    values = [digits(row) for row in reading.rows]
    filled = expression.format(values[0], values[-1], plus=" + ".join(values))
    yield from calculated(rng, reading, reading.rows, filled, said)


def _time_between(asked: Parameters, rng: random.Random, *, look: _Look) -> Program:
    sheet = Sheet.of((yield from look(asked, rng)))
    rows = [found(sheet.column(name, asked["count"]), asked["item"]) for name in asked["columns"]]
    (hours, minutes), (later_hours, later_minutes) = (_clock(row) for row in rows)
    expression = f"({later_hours} - {hours}) * 60 + {later_minutes} - {minutes}"
    yield from calculated(
        rng,
        sheet.column(asked["columns"][0], asked["count"]),
        rows[:1],
        expression,
        "(It takes|That is|That makes) {result} minutes.",
    )


def _clock(row: Row) -> tuple[int, int]:
    match = re.fullmatch(r"(\d\d)[:.](\d\d)", row.price)
    if match is None:
        raise GaveUp("a time was not read as one")
    return int(match[1]), int(match[2])


def _add_up(asked: Parameters, rng: random.Random, *, look: _Look) -> Program:
    """The total that a bill shows, or the sum of its amounts."""
    content = yield from look(asked, rng)
    shown = total_of(content["text"])
    if shown:
        said = phrase(rng, ("(The bill shows it|It stands there|The total is printed): {value}.",), {"value": shown.price})
        yield from terminate(f"{quoted(rng, Reading([shown]), [shown])}\n{said}", number(Decimal(shown.price)))
        return
    reading = amounts(content["text"])
    rows = whole(asked, reading)
    yield from calculated(rng, reading, rows, " + ".join(map(digits, rows)), TOTAL)


# ---------------------------------------------------------------------- the types

EVERY = (*NUMERIC, "time", "date", "text")


def _plans(*ways: Callable[..., Program]) -> tuple[Plan, ...]:
    """Each way with each look, through `_read`."""
    return tuple(partial(way, read=partial(_read, look=look)) for way in ways for look in LOOKS)


def _looks(*ways: Callable[..., Program]) -> tuple[Plan, ...]:
    return tuple(partial(way, look=look) for way in ways for look in LOOKS)


def _column_type(choose: Chooser) -> Callable[[random.Random, TableScene], Asked | None]:
    return partial(_of_column, choose=choose)


def _type(
    weight: float, name: str, choose: Callable[[random.Random, TableScene], Asked | None], plans: tuple[Plan, ...] = ()
) -> QuestionType:
    return QuestionType(weight, choose, plans, PHRASINGS[name])


_TYPES: dict[str, QuestionType] = {
    "cell": _type(2.0, "cell", partial(_of_column, choose=figures.one, kinds=EVERY), _plans(look_up)),
    "no_such_row": _type(0.7, "no_such_row", _no_such_row, _plans(look_up)),
    "whose": _type(1.0, "whose", partial(_of_column, choose=figures.owner, kinds=EVERY), _plans(look_for)),
    "total_of_two": _type(
        1.0, "total_of_two", _column_type(figures.total_of_two), _plans(partial(work_out, expression="{0} + {1}", said=TOTAL))
    ),
    "difference": _type(
        1.0, "difference", _column_type(figures.difference), _plans(partial(work_out, expression="{0} - {1}", said=DIFFERENCE))
    ),
    "ratio": _type(
        0.8, "ratio", _column_type(figures.ratio), _plans(partial(work_out, expression="round({0} / {1}, 2)", said=RESULT))
    ),
    "total": _type(1.0, "total", _column_type(figures.total), _plans(partial(work_out_all, expression="{plus}", said=TOTAL))),
    "mean": _type(1.0, "mean", _column_type(figures.mean), _plans(*MEANS)),
    "spread": _type(0.8, "spread", _column_type(figures.spread), _plans(SPREAD)),
    "highest": _type(1.0, "highest", _column_type(partial(figures.extreme, highest=True)), _plans(*HIGHEST)),
    "lowest": _type(1.0, "lowest", _column_type(partial(figures.extreme, highest=False)), _plans(*LOWEST)),
    "count_beyond": _type(1.0, "count_beyond", _column_type(figures.beyond), _plans(count_beyond)),
    "sum_across": _type(
        1.2,
        "sum_across",
        partial(_in_periods, worth=lambda values: rounded(sum(values, Fraction(0)), 2)),
        _looks(partial(_in_row, expression="{plus}", said=TOTAL)),
    ),
    "percent_change": _type(
        1.2,
        "percent_change",
        partial(_in_periods, worth=lambda values: rounded(100 * (values[-1] - values[0]) / values[0], 1)),
        _looks(
            partial(
                _in_row,
                expression="round(100 * ({1} - {0}) / {0}, 1)",
                said="(It changed by|That is a change of) {result} percent.",
            )
        ),
    ),
    "minutes": _type(1.5, "minutes", _minutes, _looks(_time_between)),
    "field": _type(2.0, "field", _field, _plans(look_up)),
    "no_such_field": _type(0.7, "no_such_field", _no_such_field, _plans(look_up)),
    "bill_total": _type(2.0, "bill_total", _bill_total, _looks(_add_up)),
    "number_of_rows": _type(0.4, "number_of_rows", _rows),
    "number_of_columns": _type(0.4, "number_of_columns", _columns),
    "number_of_fields": _type(0.4, "number_of_fields", _fields),
    "header_colour": _type(0.5, "header_colour", _header_colour),
    "kind_of_page": _type(0.3, "kind_of_page", _kind),
}
QUESTION_TYPES = doubtful(_TYPES, "no_such_row", "no_such_field", "cell", "field", "total_of_two", "difference")
"""Every type, with the one table of weights. Types with plans are answered through tools, the others from the pixels."""
