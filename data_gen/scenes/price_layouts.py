"""The looks of the `prices` family: each layout draws one plan on a canvas, one item a row.

Run: `row_boxes = LAYOUTS["receipt"](canvas, plan)`; `prices.render` makes the plan and takes the photograph.
"""

from collections.abc import Callable
from dataclasses import dataclass

from taco.data_gen.scenes import fonts
from taco.data_gen.scenes.canvas import Canvas, PixelBox, hull
from taco.data_gen.scenes.colours import RGB, Palette, contrast, readable_on


@dataclass(frozen=True)
class Plan:
    """What a layout draws: texts in their final case, and how. `rows` holds (name, price text)."""

    rows: tuple[tuple[str, str], ...]
    title: str
    note: str  # under the title; may be empty
    footer: str  # may be empty
    font: str
    palette: Palette
    highlighted: int | None
    spread: float  # 0..1: how far the rows spread over the height left to them


@dataclass(frozen=True)
class _Slot:
    """Where one row stands, in pixels, and what its texts are written in."""

    index: int
    box: PixelBox
    ink: RGB
    accent: RGB


Layout = Callable[[Canvas, Plan], list[PixelBox]]


def board(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A sign: title in the middle, names left, prices right."""
    top, bottom = _head(canvas, plan, 0.04), _foot(canvas, plan)
    return _rows(canvas, plan, top, bottom)


def menu(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A cafe's card: a fine frame, title on the left with a rule, a dotted leader from name to price."""
    width, height = canvas.image.size
    edge = 0.025 * min(width, height)
    canvas.draw.rectangle((edge, edge, width - edge, height - edge), outline=plan.palette.accent, width=2)
    top, bottom = _head(canvas, plan, 0.06, anchor="l", rule=True), _foot(canvas, plan, 0.06)
    return _rows(canvas, plan, top, bottom, leader=True)


def receipt(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A till slip: dashed rules above and below the rows."""
    top, bottom = _head(canvas, plan, 0.04, share=0.05), _foot(canvas, plan)
    for y in (top, bottom):
        _dashes(canvas, y, plan.palette.ink)
    return _rows(canvas, plan, top + 6, bottom - 6, margin=0.06)


def table(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A price table: grid lines and a head row."""
    width, _ = canvas.image.size
    top, bottom = _head(canvas, plan, 0.03, share=0.06), _foot(canvas, plan)
    size = max(15, round(0.045 * canvas.image.height))
    head = top + 2.0 * size
    left, right = 0.05 * width, 0.95 * width
    canvas.write("Item", (left + 0.03 * width, head - 0.6 * size), plan.font, size, plan.palette.accent)
    canvas.write("Price", (right - 0.03 * width, head - 0.6 * size), plan.font, size, plan.palette.accent, "rs")

    def grid(slot: _Slot) -> None:
        canvas.draw.rectangle(slot.box, outline=plan.palette.ink, width=2)

    canvas.draw.rectangle((left, top, right, head), outline=plan.palette.ink, width=2)
    return _rows(canvas, plan, head, bottom, margin=0.08, bleed=0.03, before=grid)


def chalkboard(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A slate in a wooden frame."""
    width, height = canvas.image.size
    frame = round(0.035 * min(width, height))
    for inset in range(frame):
        shade = 96 + (inset * 37) % 24
        canvas.draw.rectangle((inset, inset, width - 1 - inset, height - 1 - inset), outline=(shade + 36, shade, shade - 48))
    top, bottom = _head(canvas, plan, 0.07, wave=True), _foot(canvas, plan, 0.07)
    return _rows(canvas, plan, top, bottom, margin=0.1)


def tags(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A shelf: each row is a card of its own."""
    card = (250, 250, 248) if contrast(plan.palette.paper, (255, 255, 255)) > 1.6 else (52, 56, 62)

    def draw_card(slot: _Slot) -> None:
        left, top, right, bottom = slot.box
        gap = 0.07 * (bottom - top)
        fill = plan.palette.mark if slot.index == plan.highlighted else card
        canvas.draw.rounded_rectangle((left, top + gap, right, bottom - gap), 0.12 * (bottom - top), fill=fill)

    top, bottom = _head(canvas, plan, 0.03), _foot(canvas, plan)
    return _rows(canvas, plan, top, bottom, margin=0.09, bleed=0.05, before=draw_card, paper=card)


def kiosk(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A screen: a bar with the title, thin lines between the rows."""
    width, height = canvas.image.size
    bar = 0.15 * height
    fill = plan.palette.ink
    canvas.draw.rectangle((0, 0, width, bar), fill=fill)
    size = _fitting(plan.font, [plan.title], 0.8 * width, 0.085 * height)
    canvas.write(plan.title, (0.06 * width, 0.68 * bar), plan.font, size, plan.palette.paper)

    def line(slot: _Slot) -> None:
        left, _, right, bottom = slot.box
        canvas.draw.line((left, bottom, right, bottom), fill=plan.palette.ink, width=1)

    return _rows(canvas, plan, bar + 0.02 * height, _foot(canvas, plan), margin=0.06, before=line)


def price_first(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A market sign: the price on the left, the name after it."""
    top, bottom = _head(canvas, plan, 0.04, anchor="l"), _foot(canvas, plan)
    return _rows(canvas, plan, top, bottom, order="price first")


def ticket(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A kiosk's ticket: double frame, round bites in its sides, title between two rules."""
    width, height = canvas.image.size
    unit = 0.015 * min(width, height)
    for inset in (1.0, 2.2):
        edge = inset * unit
        canvas.draw.rectangle((edge, edge, width - edge, height - edge), outline=plan.palette.accent, width=2)
    for step in range(1, 10):
        for x in (0, width):
            y = height * step / 10
            canvas.draw.ellipse((x - unit, y - unit, x + unit, y + unit), fill=plan.palette.accent)
    _line(canvas, 0.05 * height, plan.palette.accent)
    top, bottom = _head(canvas, plan, 0.065, rule=True), _foot(canvas, plan, 0.06)
    return _rows(canvas, plan, top, bottom, margin=0.1)


def axis(canvas: Canvas, plan: Plan) -> list[PixelBox]:
    """A poster: names end and prices begin at one upright line."""
    top, bottom = _head(canvas, plan, 0.04), _foot(canvas, plan)
    return _rows(canvas, plan, top, bottom, order="axis")


LAYOUTS: dict[str, Layout] = {
    layout.__name__: layout for layout in (board, menu, receipt, table, chalkboard, tags, kiosk, price_first, ticket, axis)
}
TEST_LAYOUTS = ("ticket", "axis")
"""Layouts that no training scene uses."""
FREE_STANDING = frozenset({"receipt", "ticket"})
"""Layouts that are always seen before a backdrop."""


def _head(
    canvas: Canvas, plan: Plan, start: float, *, share: float = 0.075, anchor: str = "m", rule: bool = False, wave: bool = False
) -> float:
    """Write title and note from `start` (share of the height) down; returns the y below them."""
    width, height = canvas.image.size
    size = _fitting(plan.font, [plan.title], 0.8 * width, share * height)
    x = 0.5 * width if anchor == "m" else 0.07 * width
    y = start * height + size
    canvas.write(plan.title, (x, y), plan.font, size, plan.palette.accent, anchor + "s")
    if plan.note:
        small = _fitting(plan.font, [plan.note], 0.75 * width, 0.5 * size)
        y += 1.45 * small
        canvas.write(plan.note, (x, y), plan.font, small, plan.palette.ink, anchor + "s")
    y += 0.45 * size
    if rule:
        _line(canvas, y, plan.palette.accent)
    if wave:
        for step in range(12):
            left = width * (0.2 + 0.05 * step)
            start_angle = 180 * (step % 2)
            arc = (left, y - 4, left + 0.05 * width, y + 4)
            canvas.draw.arc(arc, start_angle, start_angle + 180, plan.palette.ink, 2)
    return y + 0.25 * size


def _foot(canvas: Canvas, plan: Plan, end: float = 0.04) -> float:
    """Write the footer above `end` (share of the height from the bottom); returns the y above it."""
    width, height = canvas.image.size
    y = (1 - end) * height
    if not plan.footer:
        return y
    size = _fitting(plan.font, [plan.footer], 0.75 * width, 0.036 * height)
    # Written last, so that the texts stay in reading order: see _rows.
    return y - 1.8 * size


def _write_foot(canvas: Canvas, plan: Plan, top: float) -> None:
    width, height = canvas.image.size
    if plan.footer:
        size = _fitting(plan.font, [plan.footer], 0.75 * width, 0.036 * height)
        canvas.write(plan.footer, (0.5 * width, top + 1.35 * size), plan.font, size, plan.palette.ink, "ms")


def _rows(
    canvas: Canvas,
    plan: Plan,
    top: float,
    bottom: float,
    *,
    margin: float = 0.07,
    bleed: float = 0.02,
    order: str = "name first",
    leader: bool = False,
    before: Callable[[_Slot], None] | None = None,
    paper: RGB | None = None,
) -> list[PixelBox]:
    """Draw the rows between `top` and `bottom`, then the footer; returns the box of each row's texts.

    `margin` is the blank at both sides and `bleed` how far a row's background reaches into it (shares of the width);
    `before` draws what lies under a row's texts; `paper` is what they stand on, where it is not the board.
    """
    width = canvas.image.width
    inner = (1 - 2 * margin) * width
    pitch = (bottom - top) / len(plan.rows)
    size = _row_size(canvas, plan, inner, pitch)
    pitch = min(pitch, size * (2.2 + 3 * plan.spread))
    boxes = []
    for index, row in enumerate(plan.rows):
        box = ((margin - bleed) * width, top + index * pitch, (1 - margin + bleed) * width, top + (index + 1) * pitch)
        slot = _Slot(index, box, *_inks(plan, index, paper))
        if index == plan.highlighted and paper is None:
            canvas.draw.rectangle(box, fill=plan.palette.mark)
        if before:
            before(slot)
        boxes.append(_write_row(canvas, plan, row, slot, size, (margin * width, (1 - margin) * width), order, leader))
    _write_foot(canvas, plan, bottom)
    return boxes


def _write_row(
    canvas: Canvas, plan: Plan, row: tuple[str, str], slot: _Slot, size: int, sides: tuple[float, float], order: str, leader: bool
) -> PixelBox:
    name, price = row
    left, right = sides
    y = (slot.box[1] + slot.box[3]) / 2 + 0.35 * size
    if order == "price first":
        column = max(fonts.load(plan.font, size).getlength(text) for _, text in plan.rows) + 1.2 * size
        first = canvas.write(price, (left, y), plan.font, size, slot.accent)
        second = canvas.write(name, (left + column, y), plan.font, size, slot.ink)
    elif order == "axis":
        middle = left + (right - left) * 0.62
        first = canvas.write(name, (middle - 0.7 * size, y), plan.font, size, slot.ink, "rs")
        second = canvas.write(price, (middle + 0.7 * size, y), plan.font, size, slot.accent)
        canvas.draw.line((middle, slot.box[1], middle, slot.box[3]), fill=slot.ink, width=2)
    else:
        first = canvas.write(name, (left, y), plan.font, size, slot.ink)
        second = canvas.write(price, (right, y), plan.font, size, slot.accent, "rs")
        if leader:
            for x in range(round(first[2] + 0.6 * size), round(second[0] - 0.6 * size), max(6, size // 3)):
                canvas.draw.line((x, y, x + 1, y), fill=slot.ink, width=2)
    return hull(first, second)


def _row_size(canvas: Canvas, plan: Plan, inner: float, pitch: float) -> int:
    """The largest font size at which the widest name and price share a line with a gap between them."""
    face = fonts.load(plan.font, 100)
    names = max(face.getlength(name) for name, _ in plan.rows) / 100
    prices = max(face.getlength(price) for _, price in plan.rows) / 100
    # On the axis layout names have 62 % of the line; the factor keeps one rule for all layouts.
    widest = max(names + prices + 1.6, (names + 0.7) / 0.62, (prices + 0.7) / 0.38)
    return max(12, int(min(inner / widest, 0.62 * pitch, 0.08 * canvas.image.height)))


def _inks(plan: Plan, index: int, paper: RGB | None) -> tuple[RGB, RGB]:
    palette = plan.palette
    if index == plan.highlighted:
        return palette.mark_ink, palette.mark_ink
    if paper is None:
        return palette.ink, palette.accent
    inks = readable_on(paper)
    return inks[0], inks[-1]


def _fitting(font: str, texts: list[str], width: float, size: float) -> int:
    """`size`, or less where the widest text would not fit into `width`."""
    widest = max(fonts.load(font, 100).getlength(text) for text in texts) / 100
    return max(12, int(min(size, width / widest)))


def _line(canvas: Canvas, y: float, ink: RGB) -> None:
    width = canvas.image.width
    canvas.draw.line((0.07 * width, y, 0.93 * width, y), fill=ink, width=2)


def _dashes(canvas: Canvas, y: float, ink: RGB) -> None:
    width = canvas.image.width
    for x in range(round(0.06 * width), round(0.94 * width), 14):
        canvas.draw.line((x, y, x + 8, y), fill=ink, width=2)
