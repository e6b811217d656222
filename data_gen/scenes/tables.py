"""Scenes of the family `tables`: tables, forms and bills, each with its exact annotation.

Run: `render(random.Random(7)).image.show()`; the same seed gives the same pixels on any number of workers.
"""

import random
from typing import Literal

from taco.data_gen.scenes import fonts, proper_names
from taco.data_gen.scenes.canvas import Canvas, hull
from taco.data_gen.scenes.colours import COLOURS, RGB, Palette, contrast, palette, readable_on
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.photo import photograph
from taco.data_gen.scenes.scene import Annotation, Box, Scene, TextLine
from taco.data_gen.scenes.table_layouts import GAP, HEAD, LAYOUTS, TEST_LAYOUTS, Align, Plan, draw, illustrate, widths_in_sizes
from taco.data_gen.scenes.table_topics import BILLS, FORMS, TEST_TOPICS, TOPICS, ColumnTopic, money

MIN_ROWS, MAX_ROWS, MAX_COLUMNS = 2, 8, 6
WIDTHS, HEIGHTS = (600, 960), (560, 880)
"""Of images, pixels."""
FORM_SHARE, BILL_SHARE, SMALL_SHARE = 0.2, 0.2, 0.2
"""How many scenes are forms and bills, and how many show the grid small, in a part of the picture."""
SIZES = (16, 32)
SMALL_SIZES = (12, 15)
"""Font sizes, pixels; capitals are 0.7 of them."""
MIN_PITCH = 1.75
"""Height of a row, in font sizes."""
NOTES = ("", "", "", "", "As of last week", "All data without guarantee", "Please keep this page", "Approved by the office")
TOTALS = ("Total", "Total", "Grand total", "Amount due", "Sum")
"""What the last row of a bill is called; no other row is."""


_ALIGNS: tuple[Align, ...] = ("r", "r", "m", "l")


class Column(Annotation):
    """A column: header as drawn, what it says of a row, and what its cells are (the first column's are names)."""

    name: str
    meaning: str
    kind: Literal["name", "number", "money", "percent", "time", "date", "text"]


class TableRow(Annotation):
    """A row: its texts as drawn, name or label first, and the place of the whole row."""

    cells: tuple[str, ...]
    bbox: Box


class TableScene(Annotation):
    """A table, a form or a bill.

    `kind` is ``table`` (named columns), ``form`` (labels and values) or ``bill`` (items and amounts). `rows` run top to bottom,
    without header and total; `total` is the row under a bill, where there is one. `periods`: the columns are one figure at
    different times. `header_colour` is the name of what the header stands on, "" for the paper. `area` holds the whole grid.
    """

    family: Literal["tables"] = "tables"
    kind: Literal["table", "form", "bill"]
    topic: str
    layout: str
    font: str
    width: int
    height: int
    title: str
    noun: str
    columns: tuple[Column, ...]
    rows: tuple[TableRow, ...]
    total: TableRow | None
    periods: bool
    header_colour: str
    area: Box
    lines: tuple[TextLine, ...]


class _Content:
    """Texts of a scene; `cells` include a bill's total."""

    def __init__(
        self, kind: Literal["table", "form", "bill"], topic: str, title: str, noun: str, cells: list[tuple[str, ...]]
    ) -> None:
        self.kind, self.topic, self.title, self.noun, self.cells = kind, topic, title, noun, cells
        self.columns: tuple[Column, ...] = ()
        self.periods = self.has_total = False


def render(rng: random.Random, *, split: Split = "train", min_items: int = MIN_ROWS, max_items: int = MAX_ROWS) -> Scene:
    """Draw one scene.

    Args:
        rng: Where all chance comes from: equal states give equal scenes.
        split: "train" never uses the titles, names, topics, layouts and fonts that are held out. "test" has only held-out
            titles and names, and held-out topics, layouts and fonts in half of its scenes each.
        min_items: Fewest rows, at least 2.
        max_items: Most rows, at most 8.

    Raises:
        ValueError: If not 2 <= min_items <= max_items <= 8.
    """
    if not MIN_ROWS <= min_items <= max_items <= MAX_ROWS:
        raise ValueError(f"A table has 2 to 8 rows, min_items <= max_items; got min_items={min_items}, max_items={max_items}.")
    count, draw_kind = rng.randint(min_items, max_items), rng.random()
    if draw_kind < FORM_SHARE:
        content = _form(rng, split, count)
    else:
        content = _bill(rng, split, count) if draw_kind < FORM_SHARE + BILL_SHARE else _table(rng, split, count)
    layout = choose(rng, tuple(LAYOUTS), TEST_LAYOUTS, split)
    font = choose(rng, fonts.FONTS, fonts.TEST_FONTS, split)
    background = "white" if rng.random() < 0.6 else rng.choice(tuple(COLOURS))
    paints = palette(background, rng)
    header_colour = rng.choice(_grounds(background)) if content.columns and rng.random() < 0.55 else ""
    size = rng.randint(*WIDTHS), rng.randint(*HEIGHTS)
    canvas, plan = _lay_out(rng, content, layout, font, paints, COLOURS.get(header_colour), size)
    boxes = draw(canvas, plan)
    fills = canvas.image.width == size[0]
    image, where = photograph(canvas.image, canvas.image.size if fills else size, rng, fills_image=fills)
    kept = len(plan.header) or 2
    rows = [TableRow(cells=cells, bbox=where(box)) for cells, box in zip(plan.cells, boxes[bool(plan.header) :], strict=True)]
    annotation = TableScene(
        kind=content.kind,
        topic=content.topic,
        layout=layout,
        font=font,
        width=image.width,
        height=image.height,
        title=content.title,
        noun=content.noun,
        columns=content.columns[:kept],
        rows=tuple(rows[: len(rows) - content.has_total]),
        total=rows[-1] if content.has_total else None,
        periods=content.periods,
        header_colour=header_colour,
        area=where(hull(*boxes)),
        lines=tuple(TextLine(text=text, bbox=where(box)) for text, box in canvas.written),
    )
    return Scene((image,), annotation)


def choose(rng: random.Random, every: tuple[str, ...], held_out: tuple[str, ...], split: Split) -> str:
    """One of what there is: in half of the scenes of the split "test" one that is held out, else never one of those."""
    if split == "test" and rng.random() < 0.5:
        return rng.choice(held_out)
    return rng.choice([name for name in every if name not in held_out])


def choose_title(rng: random.Random, titles: tuple[str, ...], split: Split) -> str:
    """One of the titles; the last is kept for the split "test", which has no other."""
    return titles[-1] if split == "test" else rng.choice(titles[:-1] or titles)


# ---------------------------------------------------------------------- what it says


def _table(rng: random.Random, split: Split, count: int) -> _Content:
    topic_name = choose(rng, tuple(TOPICS), TEST_TOPICS, split)
    topic = TOPICS[topic_name]
    wanted = rng.randint(1, min(MAX_COLUMNS - 1, len(topic.columns)))
    if topic.periods:
        wanted = max(2, wanted)
        first = rng.randint(0, len(topic.columns) - wanted)
        chosen: list[ColumnTopic] = list(topic.columns[first : first + wanted])
    else:
        chosen = [topic.columns[index] for index in sorted(rng.sample(range(len(topic.columns)), wanted))]
    names = proper_names.draw(rng, topic.names or topic.noun, count, split)
    cells = list(zip(names, *(column.write(rng, count) for column in chosen), strict=True))
    content = _Content("table", topic_name, choose_title(rng, topic.titles, split), topic.noun, cells)
    head = Column(name=topic.noun.title(), meaning=topic.noun, kind="name")
    content.columns = (head, *(Column(name=each.name, meaning=each.meaning, kind=each.kind) for each in chosen))
    content.periods = topic.periods
    return content


def _form(rng: random.Random, split: Split, count: int) -> _Content:
    topic = rng.choice(tuple(FORMS))
    titles, fields = FORMS[topic]
    labels = [tuple(fields)[index] for index in sorted(rng.sample(range(len(fields)), min(count, len(fields))))]
    colon = rng.choice((":", ":", ""))
    cells: list[tuple[str, ...]] = [(label + colon, fields[label](rng, split)) for label in labels]
    return _Content("form", topic, choose_title(rng, titles, split), "field", cells)


def _bill(rng: random.Random, split: Split, count: int) -> _Content:
    names = proper_names.draw(rng, "item", count, split)
    amounts = money(1, rng.choice((9, 60, 400)))(rng, count)
    content = _Content("bill", "bill", choose_title(rng, BILLS, split), "item", list(zip(names, amounts, strict=True)))
    content.has_total = rng.random() < 0.4
    if content.has_total:
        sign = amounts[0][0] if not amounts[0][0].isdigit() else ""
        cents = sum(int(amount.lstrip("$€£").replace(".", "")) for amount in amounts)
        content.cells.append((rng.choice(TOTALS), f"{sign}{cents // 100}.{cents % 100:02}"))
    return content


def _grounds(background: str) -> list[str]:
    """Colours for a header that stand out from the paper."""
    return [name for name in COLOURS if contrast(COLOURS[name], COLOURS[background]) >= 2]


# ---------------------------------------------------------------------- where it stands


def _lay_out(
    rng: random.Random, content: _Content, layout: str, font: str, paints: Palette, header_fill: RGB | None, size: tuple[int, int]
) -> tuple[Canvas, Plan]:
    """A blank board no larger than `size`, and the plan of what comes onto it: all over its width, or small in one part of it."""
    small = rng.random() < SMALL_SHARE
    sheet = not small and rng.random() < 0.5
    width = round(size[0] * rng.uniform(0.84, 0.97)) if sheet else size[0]
    inner = width * (rng.uniform(0.42, 0.6) if small else rng.uniform(0.86, 0.94))
    least, most = SMALL_SIZES if small else SIZES
    header, cells, ems = _columns_that_fit(content, font, inner / least)
    rows = len(cells) + bool(header)
    needed = sum(ems) + GAP * len(ems)
    text = max(least, min(most, int(inner / needed), int(size[1] / (MIN_PITCH * rows + 8))))
    title = min(round(text * rng.uniform(1.1, 1.7)), int(0.94 * inner / widths_in_sizes(font, ((content.title,),))[0]))
    around = HEAD * title + 5 * text
    pitch = min((size[1] - around) / rows, text * rng.uniform(MIN_PITCH, 2.9))
    height = round(around + rows * pitch)
    board = (width, height) if sheet else (width, size[1] if small else min(size[1], max(HEIGHTS[0], round(1.3 * height))))
    blank = max(0.0, inner / text - needed) * (1 if rng.random() < 0.6 else rng.uniform(0, 0.5))
    widths = tuple((em + GAP + blank / len(ems)) * text for em in ems)
    across = rng.uniform(0.1, 0.9) if small else rng.uniform(0.35, 0.65)
    others: Align = rng.choice(_ALIGNS) if header else "r" if content.kind == "bill" else "l"
    plan = Plan(
        title=content.title,
        note=rng.choice(NOTES),
        header=header,
        cells=cells,
        strong=int(content.has_total),
        align=("l", *[others] * (len(ems) - 1)),
        style=LAYOUTS[layout],
        font=font,
        palette=paints,
        header_fill=header_fill,
        header_ink=rng.choice(readable_on(header_fill)) if header_fill else paints.accent,
        size=text,
        title_size=max(least, title),
        pitch=pitch,
        left=(board[0] - sum(widths)) * across,
        top=text if sheet else max(text, (board[1] - height + 2 * text) * rng.uniform(0.1, 0.7)),
        widths=widths,
    )
    canvas = Canvas(board, paints.paper)
    if small:
        illustrate(canvas, plan, rng)
    return canvas, plan


def _columns_that_fit(
    content: _Content, font: str, most: float
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], list[float]]:
    """Header, rows and widths in font sizes, without the last columns where all together would be wider than `most` sizes."""
    header, cells = tuple(column.name for column in content.columns), tuple(content.cells)
    while True:
        ems = widths_in_sizes(font, ((header,) if header else ()) + cells)
        if sum(ems) + GAP * len(ems) <= most or len(ems) == 2:
            return header, cells, ems
        header, cells = header[:-1], tuple(row[:-1] for row in cells)
