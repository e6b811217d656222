"""Scenes of the family `signs`: streets, stations, corridors with signs, large ones and some that can only be read from near.

Run: `render(random.Random(7)).image.show()`; the same seed gives the same pixels on any number of workers.
"""

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from taco.data_gen.scenes import fonts
from taco.data_gen.scenes.canvas import Canvas, PixelBox
from taco.data_gen.scenes.colours import COLOURS, muted, readable_on
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.photo import Quad, degrade, homography, warped
from taco.data_gen.scenes.scene import Annotation, Box, Scene, TextLine
from taco.data_gen.scenes.sign_contents import KINDS, Content, Shape, SignKind, clash, make
from taco.data_gen.scenes.sign_places import PLACES, TEST_PLACES, Place, paint
from taco.data_gen.scenes.sign_shapes import Paints, draw
from taco.tools.regions import with_margin

MOST_SIGNS = 7
CAPITALS = ((4.8, 5.8, 0.72), (5.8, 9.0, 0.1), (9.0, 15.0, 0.1), (15.0, 26.0, 0.08))
"""Heights of a sign's smallest capitals in pixels, from, to, and their share; what shrinks to fit is smaller.

Letters of 5 pixels are where a near look helps an engine most: larger ones it reads in the whole image, smaller ones nowhere. See
``benchmarks/sign_legibility.py --n 16``: 44 % of all texts are not read in the whole image, 19 % not when enlarged.
"""
_SIDES = (600, 1000)
_FLAT = 3  # times larger than in the picture are signs drawn, so that their texts become small as a camera makes them
_SLACK = 0.04  # share of the image that a look takes in around a sign, at least
_WEAR = (0.1, 0.4)  # share of what `degrade` makes of an image
_TRIES = 60  # contents made for a sign, arrangements tried: the ends of what chance alone need not end


class Sign(Annotation):
    """One sign.

    Attributes:
        kind: What it is for.
        colour: Its name in `COLOURS`, of the board.
        shape: Its outline.
        font: Of all its texts.
        title: Its heading, or all that it says; may be empty.
        rows: See `sign_contents.Content`.
        texts: All pieces from top to bottom, as they are drawn.
        capitals: Height of its smallest capitals in the image, pixels.
        bbox: Of the board.
    """

    kind: SignKind
    colour: str
    shape: Shape
    font: str
    title: str
    rows: tuple[tuple[str, str], ...]
    texts: tuple[str, ...]
    capitals: float
    bbox: Box


class SignScene(Annotation):
    """A place with signs, none of which hides another."""

    family: Literal["signs"] = "signs"
    place: str
    width: int
    height: int
    signs: tuple[Sign, ...]
    lines: tuple[TextLine, ...]


def render(rng: random.Random, *, split: Split = "train", max_items: int = MOST_SIGNS, min_items: int = 2) -> Scene:
    """Draw one place.

    Args:
        rng: Where all chance comes from: equal states give equal scenes.
        split: "test" has the words that are held out of "train", and held-out fonts and places in half of its scenes each.
        max_items: Most signs, at most MOST_SIGNS.
        min_items: Fewest signs, at least 1. There are fewer only if chance finds no room for them in many tries.

    Raises:
        ValueError: If not 1 <= min_items <= max_items <= MOST_SIGNS.
    """
    if not 1 <= min_items <= max_items <= MOST_SIGNS:
        raise ValueError(f"A place has 1 to {MOST_SIGNS} signs; got min_items={min_items}, max_items={max_items}.")
    name = rng.choice(_allowed(rng, tuple(PLACES), TEST_PLACES, split))
    faces = _allowed(rng, fonts.FONTS, fonts.TEST_FONTS, split)
    place = PLACES[name]
    boards = _boards(rng, _contents(rng, place, rng.randint(min_items, max_items), split, faces))
    size, placed = _arranged(rng, place, boards, min_items)
    image = paint(name, size, rng)
    pen = ImageDraw.Draw(image)
    for board, quad in placed:
        _support(pen, board, quad, place, size[1], rng)
    signs, lines = [], []
    for board, quad in placed:
        where = _put(image, board, quad)
        signs.append(board.annotated(quad, where))
        lines += [TextLine(text=text, bbox=where(box)) for text, box in board.canvas.written]
    annotation = SignScene(place=name, width=size[0], height=size[1], signs=tuple(signs), lines=tuple(lines))
    # What `degrade` does at its worst leaves nothing of letters of five pixels, from however near one looks.
    worn = Image.blend(image, degrade(image, rng), rng.uniform(*_WEAR))
    return Scene((worn,), annotation)


def look_box(bbox: Box) -> Box:
    """A round box (multiples of 1/20), as the eye chooses it, that holds a sign and something around it.

    Crop and ZoomIn draw a line along it, which OCR takes for a letter where it is near the text.
    """
    low = [math.floor((side - _SLACK) * 20) / 20 for side in bbox[:2]]
    high = [math.ceil((side + _SLACK) * 20) / 20 for side in bbox[2:]]
    return max(0.0, low[0]), max(0.0, low[1]), min(1.0, high[0]), min(1.0, high[1])


def _allowed(rng: random.Random, every: Sequence[str], held_out: Sequence[str], split: Split) -> list[str]:
    if split == "test" and rng.random() < 0.5:
        return list(held_out)
    return [name for name in every if name not in held_out]


# ---------------------------------------------------------------------- the boards


@dataclass(frozen=True)
class _Board:
    """A sign before it has a place: its drawing, _FLAT times as large as it will be at the scale 1."""

    kind: SignKind
    colour: str
    shape: Shape
    font: str
    content: Content
    canvas: Canvas
    mask: Image.Image
    capitals: float

    def annotated(self, quad: Quad, where: Callable[[PixelBox], Box]) -> Sign:
        """The sign as it is in an image; `where` tells in which part of it a box of the drawing lies."""
        tall = (quad[3][1] - quad[0][1] + quad[2][1] - quad[1][1]) / 2
        return Sign(
            kind=self.kind,
            colour=self.colour,
            shape=self.shape,
            font=self.font,
            title=self.content.title,
            rows=self.content.rows,
            texts=self.content.texts,
            capitals=round(self.capitals * tall / self.canvas.image.height, 1),
            bbox=where((0, 0, *self.canvas.image.size)),
        )


_Said = tuple[SignKind, str, Content]  # kind, font, content


def _contents(rng: random.Random, place: Place, count: int, split: Split, faces: Sequence[str]) -> list[_Said]:
    """What signs that may stand together say: no text of one stands in a text of another."""
    kinds = rng.sample(place.kinds, len(place.kinds))
    chosen: list[_Said] = []
    for kind in itertools.islice(itertools.cycle(kinds), count * _TRIES):
        if len(chosen) == count:
            break
        font = rng.choice(faces)
        content = make(rng, kind, split, font)
        if not any(clash(content, other) for _, _, other in chosen):
            chosen.append((kind, font, content))
    return chosen


def _boards(rng: random.Random, contents: Sequence[_Said]) -> list[_Board]:
    """Their drawings; most of them differ in colour, as far as there are enough."""
    boards: list[_Board] = []
    for kind, font, content in contents:
        colours, shapes = KINDS[kind]
        used = {board.colour for board in boards}
        colour = rng.choice([name for name in colours if name not in used or rng.random() < 0.25] or colours)
        shape = rng.choice(shapes)
        low, high, _ = rng.choices(CAPITALS, [share for _, _, share in CAPITALS])[0]
        capitals = round(rng.uniform(low, high) * _FLAT)
        paints = Paints(COLOURS[colour], rng.choice(readable_on(COLOURS[colour])[:2]))
        boards.append(_Board(kind, colour, shape, font, content, *draw(content, shape, font, paints, capitals), capitals))
    return boards


# ---------------------------------------------------------------------- where they stand

_Placed = tuple[_Board, Quad]


def _arranged(rng: random.Random, place: Place, boards: Sequence[_Board], fewest: int) -> tuple[tuple[int, int], list[_Placed]]:
    """An image's size, and where its signs stand: none in what a look at another takes in.

    Where there is no room, the image grows, the signs shrink, and of more than `fewest` one is left out now and then.
    """
    size, scale = (rng.randint(*_SIDES), rng.randint(*_SIDES)), 1.0
    order = sorted(boards, key=lambda board: -board.canvas.image.width * board.canvas.image.height)
    placed: list[_Placed] = []
    for attempt in range(_TRIES):
        placed = []
        for board in order:
            quad = _free_place(rng, place, board, placed, size, scale)
            if quad is not None:
                placed.append((board, quad))
        if len(placed) >= max(fewest, len(boards) - attempt // 4):
            break
        size = min(_SIDES[1], round(size[0] * 1.06)), min(_SIDES[1], round(size[1] * 1.06))
        scale *= 0.97
    return size, placed


def _free_place(
    rng: random.Random, place: Place, board: _Board, placed: Sequence[_Placed], size: tuple[int, int], scale: float
) -> Quad | None:
    width, height = (side / _FLAT * scale for side in board.canvas.image.size)
    left, top, right, bottom = _footprint(board, [(0, 0), (width, 0), (width, height), (0, height)])
    shrunk = min(1.0, 0.46 * size[0] / (right - left), 0.4 * size[1] / (bottom - top))
    for _ in range(40):
        turned = _turned(width * shrunk, height * shrunk, rng)
        left, top, right, bottom = _footprint(board, turned)
        x = rng.uniform(0.02 * size[0] - left, 0.98 * size[0] - right)
        y = rng.uniform(*_heights(board.kind, place, (bottom - top) / size[1])) * size[1] - bottom
        quad = [(corner[0] + x, corner[1] + y) for corner in turned]
        if all(_apart((board, quad), other, size) for other in placed):
            return quad
    return None


def _heights(kind: SignKind, place: Place, height: float) -> tuple[float, float]:
    """Between what the lower edge of a sign, or of its car, may be; like `height`, in shares of the image's height."""
    if kind == "number plate":
        return place.ground + 0.02, 0.98
    if kind in place.posts:
        return 0.03 + height, place.ground - 0.08
    return place.wall + 0.01 + height, place.ground - 0.02


def _turned(width: float, height: float, rng: random.Random) -> Quad:
    """The corners of a board about its centre, turned in space and seen from a finite distance."""
    roll, pitch, yaw = (math.radians(max(-limit, min(limit, rng.gauss(0, sd)))) for sd, limit in ((1.0, 3), (4, 9), (13, 32)))
    distance = 3.5 * max(width, height)
    quad = []
    for sign_x, sign_y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x, y = sign_x * width / 2, sign_y * height / 2
        x, y = x * math.cos(roll) - y * math.sin(roll), x * math.sin(roll) + y * math.cos(roll)
        y, z = y * math.cos(pitch), y * math.sin(pitch)
        x, z = x * math.cos(yaw) - z * math.sin(yaw), x * math.sin(yaw) + z * math.cos(yaw)
        quad.append((x * distance / (distance + z), y * distance / (distance + z)))
    return quad


def _around(quad: Quad) -> PixelBox:
    xs, ys = zip(*quad, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _footprint(board: _Board, quad: Quad) -> PixelBox:
    """What a sign covers together with what it hangs on: a number plate hangs on a car."""
    left, top, right, bottom = _around(quad)
    if board.kind != "number plate":
        return left, top, right, bottom
    width = right - left
    return left - 0.75 * width, top - 0.95 * width, right + 0.75 * width, bottom + 0.32 * width


def _apart(one: _Placed, other: _Placed, size: tuple[int, int]) -> bool:
    """Whether two signs neither touch nor come into the view that a look at the other gives."""
    if not _disjoint(_footprint(*one), _footprint(*other)):
        return False
    quads = (one[1], other[1])
    boxes = [(a / size[0], b / size[1], c / size[0], d / size[1]) for a, b, c, d in map(_around, quads)]
    views = [with_margin(list(look_box(box))) for box in boxes]
    return _disjoint(views[0], boxes[1]) and _disjoint(views[1], boxes[0])


def _disjoint(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


# ---------------------------------------------------------------------- into the picture


def _support(pen: ImageDraw.ImageDraw, board: _Board, quad: Quad, place: Place, height: int, rng: random.Random) -> None:
    """A car, a post, or nothing but the wall."""
    left, top, right, bottom = _around(quad)
    middle, thick = (left + right) / 2, max(3.0, min(12.0, (right - left) * 0.06))
    if board.kind == "number plate":
        _car(pen, _footprint(board, quad), rng)
    elif board.kind in place.posts:
        pen.rectangle((middle - thick / 2, (top + bottom) / 2, middle + thick / 2, place.ground * height), fill=(110, 112, 114))


def _car(pen: ImageDraw.ImageDraw, box: PixelBox, rng: random.Random) -> None:
    """A car from behind."""
    left, top, right, bottom = box
    width, height, paint_ = right - left, bottom - top, muted(rng)
    dark = (40, 42, 46)
    for x in (left + 0.08 * width, right - 0.24 * width):
        pen.rectangle((x, bottom - 0.25 * height, x + 0.16 * width, bottom), fill=dark)
    pen.polygon(
        [(left + 0.16 * width, top), (right - 0.16 * width, top), (right, top + 0.45 * height), (left, top + 0.45 * height)],
        fill=paint_,
    )
    pen.polygon(
        [
            (left + 0.21 * width, top + 0.07 * height),
            (right - 0.21 * width, top + 0.07 * height),
            (right - 0.12 * width, top + 0.36 * height),
            (left + 0.12 * width, top + 0.36 * height),
        ],
        fill=(62, 70, 80),
    )
    pen.rounded_rectangle((left, top + 0.42 * height, right, bottom - 0.1 * height), radius=0.05 * width, fill=paint_)
    for x in (left + 0.03 * width, right - 0.15 * width):
        pen.rectangle((x, top + 0.48 * height, x + 0.12 * width, top + 0.58 * height), fill=(128, 74, 70))


def _put(image: Image.Image, board: _Board, quad: Quad) -> Callable[[PixelBox], Box]:
    """Paste a sign into the image, seen as the quad says; returns where its boxes come to lie."""
    left, top, right, bottom = _around(quad)
    x, y = math.floor(left) - 1, math.floor(top) - 1
    width, height = math.ceil(right) + 1 - x, math.ceil(bottom) + 1 - y
    to_image = homography([(0, 0), (w := board.canvas.image.width, 0), (w, h := board.canvas.image.height), (0, h)], quad)
    # Twice as large at first: a transformed pixel is a sample, and no mean.
    double = np.diag([2.0, 2.0, 1.0]) @ np.array([[1, 0, -x], [0, 1, -y], [0, 0, 1.0]]) @ to_image
    inverse = np.linalg.inv(double)
    coefficients = tuple(float(value) for value in (inverse / inverse[2, 2]).ravel()[:8])
    parts = [
        part.transform((2 * width, 2 * height), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC).reduce(2)
        for part in (board.canvas.image, board.mask)
    ]
    image.paste(parts[0], (x, y), parts[1])
    return lambda box: warped(to_image, box, image.size)
