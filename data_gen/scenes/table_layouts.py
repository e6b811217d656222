"""The looks of tables, forms and bills: one grid of cells, with lines, stripes and frames or without.

Run: `boxes = draw(canvas, plan)`; `tables.render` makes the plan and takes the photograph.
"""

import random
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw

from taco.data_gen.scenes import fonts
from taco.data_gen.scenes.canvas import Canvas, PixelBox
from taco.data_gen.scenes.chart_layouts import mixed
from taco.data_gen.scenes.colours import RGB, Palette, muted

GAP = 1.8
"""Least blank between two columns, in font sizes: with less, engines take two cells for one text."""
HEAD = 1.5
"""Height of the title's line, in title sizes."""

Align = Literal["l", "m", "r"]


@dataclass(frozen=True)
class Style:
    """Which lines a grid has: between rows, between columns, around it (0, 1 or 2), and whether every other row is shaded."""

    rows: bool = False
    columns: bool = False
    frame: int = 0
    stripes: bool = False
    dashes: bool = False


LAYOUTS: dict[str, Style] = {
    "ruled": Style(rows=True),
    "striped": Style(stripes=True),
    "plain": Style(),
    "boxed": Style(rows=True, columns=True, frame=1),
    "framed": Style(frame=1, stripes=True),
    "columns": Style(columns=True, frame=1),
    "dashed": Style(rows=True, dashes=True),
    "ledger": Style(rows=True, columns=True),
    "double": Style(rows=True, frame=2),
}
TEST_LAYOUTS = ("ledger", "double")
"""Layouts that no training scene uses."""


@dataclass(frozen=True)
class Plan:
    """What is drawn, and how; lengths in pixels.

    Attributes:
        title: Above the grid.
        note: Below it; may be empty.
        header: Of the columns; empty for forms and bills.
        cells: Row by row.
        strong: Rows that are drawn apart from the others: totals.
        align: Of each column.
        style: See `Style`.
        font: Its name.
        palette: Ink for names, accent for title and values.
        header_fill: What the header stands on; None for the paper.
        header_ink: What it is written in.
        size: Of the texts in the grid.
        title_size: Of the title.
        pitch: Height of a row.
        left: Of the grid.
        top: Of the title.
        widths: Of the columns.
    """

    title: str
    note: str
    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    strong: int
    align: tuple[Align, ...]
    style: Style
    font: str
    palette: Palette
    header_fill: RGB | None
    header_ink: RGB
    size: int
    title_size: int
    pitch: float
    left: float
    top: float
    widths: tuple[float, ...]


def widths_in_sizes(font: str, rows: tuple[tuple[str, ...], ...]) -> list[float]:
    """How wide each column's widest text is, in font sizes."""
    face = fonts.load(font, 100)
    return [max(face.getlength(text) for text in column) / 100 for column in zip(*rows, strict=True)]


def draw(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """Draw title, grid and note; returns the box of each row, the header's first where there is one."""
    right = plan.left + sum(plan.widths)
    middle = plan.align[0] == "m" or plan.style.frame > 0
    x, anchor = ((plan.left + right) / 2, "ms") if middle else (plan.left, "ls")
    canvas.write(plan.title, (x, plan.top + plan.title_size), plan.font, plan.title_size, plan.palette.accent, anchor)
    top = plan.top + HEAD * plan.title_size
    rows = ((plan.header,) if plan.header else ()) + plan.cells
    boxes = [(plan.left, top + index * plan.pitch, right, top + (index + 1) * plan.pitch) for index in range(len(rows))]
    _fill(canvas, plan, boxes)
    for index, (row, box) in enumerate(zip(rows, boxes, strict=True)):
        _write(canvas, plan, row, box, is_header=bool(plan.header) and index == 0)
    _lines(canvas, plan, boxes)
    if plan.note:
        small = max(12, round(0.8 * plan.size))
        canvas.write(plan.note, (plan.left, boxes[-1][3] + 1.6 * small), plan.font, small, plan.palette.ink)
    return boxes


def illustrate(canvas: Canvas, plan: Plan, rng: random.Random) -> None:
    """A picture (hills and a sun) in the larger blank above or below the grid, where that is high enough."""
    width, height = canvas.image.size
    above, below = (
        plan.top - 2 * plan.size,
        plan.top + HEAD * plan.title_size + plan.pitch * (len(plan.cells) + 1) + 4 * plan.size,
    )
    top, bottom = (0.04 * height, above) if above > height - below else (below, 0.96 * height)
    if bottom - top < 0.12 * height:
        return
    left, right = 0.06 * width, rng.uniform(0.7, 0.94) * width
    sky, hill, sun = (muted(rng) for _ in range(3))
    picture = Image.new("RGB", (round(right - left), round(bottom - top)), sky)
    pen, (wide, high) = ImageDraw.Draw(picture), picture.size
    x, y, r = rng.uniform(0.1, 0.9) * wide, rng.uniform(0.1, 0.4) * high, rng.uniform(0.05, 0.12) * high
    pen.ellipse((x - r, y - r, x + r, y + r), fill=sun)
    for share in (0.3, 0.6):
        x, r = rng.uniform(0, 1) * wide, rng.uniform(0.3, 0.7) * wide
        pen.ellipse((x - r, share * high, x + r, 2.5 * high), fill=mixed(hill, (20, 30, 20), share))
    canvas.image.paste(picture, (round(left), round(top)))


def _fill(canvas: Canvas, plan: Plan, boxes: list[PixelBox]) -> None:
    """Shaded rows and the header's ground."""
    paper, ink = plan.palette.paper, plan.palette.ink
    shade = mixed(paper, ink, 0.09)
    for index, box in enumerate(boxes):
        if plan.header and index == 0:
            if plan.header_fill is not None:
                canvas.draw.rectangle(box, fill=plan.header_fill)
        elif plan.style.stripes and index % 2:
            canvas.draw.rectangle(box, fill=shade)


def _write(canvas: Canvas, plan: Plan, row: tuple[str, ...], box: PixelBox, *, is_header: bool) -> None:
    left, top, _, bottom = box
    baseline = (top + bottom) / 2 + 0.35 * plan.size
    for index, (text, width, align) in enumerate(zip(row, plan.widths, plan.align, strict=True)):
        pad = GAP / 2 * plan.size
        x = {"l": left + pad, "m": left + width / 2, "r": left + width - pad}[align]
        ink = plan.header_ink if is_header else plan.palette.ink if index == 0 else plan.palette.accent
        canvas.write(text, (x, baseline), plan.font, plan.size, ink, f"{align}s")
        left += width


def _lines(canvas: Canvas, plan: Plan, boxes: list[PixelBox]) -> None:
    paper, ink = plan.palette.paper, plan.palette.ink
    fine = mixed(paper, ink, 0.45)
    left, top, right, bottom = boxes[0][0], boxes[0][1], boxes[0][2], boxes[-1][3]
    if plan.style.rows:
        for box in boxes[:-1]:
            _line(canvas, left, right, box[3], fine, plan.style.dashes)
    if plan.header and plan.header_fill is None:
        canvas.draw.line((left, boxes[0][3], right, boxes[0][3]), fill=ink, width=2)
    if plan.strong:
        canvas.draw.line((left, boxes[-plan.strong][1], right, boxes[-plan.strong][1]), fill=ink, width=2)
    if plan.style.columns:
        x = left
        for width in plan.widths[:-1]:
            x += width
            canvas.draw.line((x, top, x, bottom), fill=fine, width=1)
    for ring in range(plan.style.frame):
        edge = 5 * ring
        canvas.draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), outline=ink, width=2)


def _line(canvas: Canvas, left: float, right: float, y: float, ink: RGB, dashes: bool) -> None:
    for x in range(round(left), round(right), 12 if dashes else max(1, round(right - left))):
        canvas.draw.line((x, y, min(right, x + 7) if dashes else right, y), fill=ink, width=1)
