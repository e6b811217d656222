"""Signs as flat drawings: what is written on them, laid out by kind, on a board of their shape.

Run: `canvas, mask = draw(content, "poster", "rectangular", "Caladea", Paints((255, 255, 255), (0, 0, 0)), 40)`.
"""

from typing import NamedTuple

from PIL import Image, ImageDraw

from taco.data_gen.scenes import fonts
from taco.data_gen.scenes.canvas import Canvas
from taco.data_gen.scenes.colours import RGB
from taco.data_gen.scenes.sign_contents import Content, Shape

CAPITAL = 0.7
"""Height of capitals over a font's size, see `fonts.load`."""
_PITCH = 1.75  # from row to row, in heights of capitals
_PAD = 0.95
_GAP = 1.4  # between the two columns


class Paints(NamedTuple):
    """Of a board and of what is written on it."""

    paper: RGB
    ink: RGB


def draw(content: Content, shape: Shape, font: str, paints: Paints, capitals: int) -> tuple[Canvas, Image.Image]:
    """A sign, and its outline as a mask (mode L).

    Args:
        content: What it says.
        shape: Its outline.
        font: Of all its texts.
        paints: Its colours.
        capitals: Height of the capitals of its rows, pixels; a title's are larger.
    """
    title = capitals * (1.35 if content.rows else 1.0)
    heights = [title * _PITCH] * bool(content.title) + [capitals * _PITCH] * len(content.rows)
    columns = [max((_length(row[column], font, capitals) for row in content.rows), default=0.0) for column in (0, 1)]
    two = any(all(row) for row in content.rows)
    rows_width = columns[0] + _GAP * capitals + columns[1] if two else max(columns)
    width = max(rows_width, _length(content.title, font, title))
    height = sum(heights) - (_PITCH - 1) * (capitals if content.rows else title)
    (board_width, board_height), (x, y) = _board(shape, width, height, capitals)
    canvas = Canvas((round(board_width), round(board_height)), paints.paper)
    mask = _outline(canvas, shape, paints.ink, capitals)
    if content.title:
        canvas.write(content.title, (x + width / 2, y + title), font, round(title / CAPITAL), paints.ink, "ms")
        y += title * _PITCH
    for left, right in content.rows:
        size, baseline = round(capitals / CAPITAL), y + capitals
        if left and right:
            canvas.write(left, (x, baseline), font, size, paints.ink)
            canvas.write(right, (x + width, baseline), font, size, paints.ink, "rs")
        else:
            canvas.write(left or right, (x + width / 2, baseline), font, size, paints.ink, "ms")
        y += capitals * _PITCH
    return canvas, mask


def _length(text: str, font: str, capitals: float) -> float:
    return fonts.load(font, 100).getlength(text) * capitals / CAPITAL / 100


def _board(shape: Shape, width: float, height: float, unit: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """The board's size, and where in it the texts begin."""
    pad = _PAD * unit
    if shape == "round":
        side = (width**2 + height**2) ** 0.5 + 1.4 * pad
        return (side, side), ((side - width) / 2, (side - height) / 2)
    if shape == "diamond-shaped":
        side = width + height + 2 * pad
        return (side, side), ((side - width) / 2, (side - height) / 2)
    tip = (height + 2 * pad) / 2 if shape == "arrow-shaped" else 0.0
    return (width + 2 * pad + tip, height + 2 * pad), (pad, pad)


def _outline(canvas: Canvas, shape: Shape, ink: RGB, unit: int) -> Image.Image:
    """The mask of a shape; its rim is drawn onto the canvas."""
    width, height = canvas.image.size
    mask = Image.new("L", canvas.image.size)
    pen, rim = ImageDraw.Draw(mask), max(3, round(unit * 0.12))
    inset = rim + 2
    for draw, by, fill, line in ((pen, 0, 255, None), (canvas.draw, inset, None, ink)):
        left, top, right, bottom = by, by, width - 1 - by, height - 1 - by
        middle = (height - 1) / 2
        if shape == "round":
            draw.ellipse((left, top, right, bottom), fill=fill, outline=line, width=rim)
        elif shape == "rectangular":
            draw.rounded_rectangle((left, top, right, bottom), radius=unit * 0.4, fill=fill, outline=line, width=rim)
        elif shape == "arrow-shaped":
            tip = height / 2
            points = [(left, top), (right - tip, top), (right, middle), (right - tip, bottom), (left, bottom)]
            draw.polygon(points, fill=fill, outline=line, width=rim)
        else:
            points = [((width - 1) / 2, top), (right, middle), ((width - 1) / 2, bottom), (left, middle)]
            draw.polygon(points, fill=fill, outline=line, width=rim)
    return mask
