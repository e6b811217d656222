"""Where signs stand: streets, roads, stations, corridors and arcades, in muted colours that no sign has.

Run: `paint("station", (800, 600), random.Random(0)).show()`.
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter

from taco.data_gen.scenes.colours import RGB, muted
from taco.data_gen.scenes.sign_contents import SignKind


class Place(NamedTuple):
    """Where what may stand, in shares of the image's height.

    Attributes:
        kinds: Of signs; twice what may be there twice.
        posts: Kinds that stand on a post; the others, but for number plates, hang on a wall.
        wall: Its upper end, below which signs hang.
        ground: Its lower end and the foot of posts.
        painter: Draws it.
    """

    kinds: tuple[SignKind, ...]
    posts: tuple[SignKind, ...]
    wall: float
    ground: float
    painter: Callable[[ImageDraw.ImageDraw, int, int, random.Random], None]


def paint(place: str, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """An RGB picture of a place without signs."""
    image = _gradient(size, _light(rng, 205), _light(rng, 160))
    PLACES[place].painter(ImageDraw.Draw(image), *size, rng)
    return image.filter(ImageFilter.BoxBlur(1))


def _gradient(size: tuple[int, int], top: RGB, bottom: RGB) -> Image.Image:
    strip = Image.new("RGB", (1, 2))
    strip.putpixel((0, 0), top)
    strip.putpixel((0, 1), bottom)
    return strip.resize(size, Image.Resampling.BILINEAR)


def _light(rng: random.Random, level: int) -> RGB:
    """Nearly grey, somewhat blue."""
    value = level + rng.randint(-20, 20)
    return value - rng.randint(0, 22), value - rng.randint(0, 8), value + rng.randint(0, 14)


def _shade(colour: RGB, factor: float) -> RGB:
    red, green, blue = (min(255, max(0, round(value * factor))) for value in colour)
    return red, green, blue


def _street(draw: ImageDraw.ImageDraw, width: int, height: int, rng: random.Random) -> None:
    """Houses side by side, a pavement and a road."""
    foot, left = 0.8 * height, -rng.random() * 60
    while left < width:
        right = left + width * rng.uniform(0.16, 0.34)
        _house(draw, (left, height * rng.uniform(0.02, 0.24), right, foot), rng)
        left = right
    paving, tar = muted(rng), _shade(muted(rng), 0.55)
    draw.rectangle((0, foot, width, 0.88 * height), fill=_shade(paving, 1.1))
    draw.rectangle((0, 0.88 * height, width, height), fill=tar)
    for x in range(rng.randint(-60, 0), width, 130):
        draw.rectangle((x, 0.94 * height, x + 60, 0.95 * height), fill=_shade(tar, 1.9))


def _house(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], rng: random.Random) -> None:
    left, top, right, bottom = box
    wall = muted(rng)
    draw.rectangle(box, fill=wall)
    draw.rectangle((left, top, right, top + 8), fill=_shade(wall, 0.7))
    columns, rows = rng.randint(2, 4), rng.randint(3, 5)
    wide, high, pane = (right - left) / columns, (bottom - top) * 0.78 / rows, _shade(wall, rng.choice((0.45, 0.6, 1.35)))
    for row in range(rows):
        for column in range(columns):
            x, y = left + (column + 0.28) * wide, top + 20 + (row + 0.15) * high
            draw.rectangle((x, y, x + 0.45 * wide, y + 0.6 * high), fill=pane, outline=_shade(wall, 0.75), width=2)


def _road(draw: ImageDraw.ImageDraw, width: int, height: int, rng: random.Random) -> None:
    """Hills, fields, trees, and a road towards the horizon."""
    horizon, middle = height * rng.uniform(0.5, 0.62), width * rng.uniform(0.35, 0.65)
    for step in range(4):
        x, hill = width * (step / 3) + rng.uniform(-60, 60), height * rng.uniform(0.08, 0.2)
        draw.ellipse((x - 0.3 * width, horizon - hill, x + 0.3 * width, horizon + hill), fill=_grass(rng, 130))
    draw.rectangle((0, horizon, width, height), fill=_grass(rng, 118))
    for _ in range(rng.randint(2, 6)):
        x, size = rng.uniform(0, width), rng.uniform(0.04, 0.1) * height
        draw.rectangle((x - 3, horizon - size, x + 3, horizon + 6), fill=(88, 78, 70))
        draw.ellipse((x - size, horizon - 2.4 * size, x + size, horizon - 0.5 * size), fill=_grass(rng, 92))
    tar = _shade(muted(rng), 0.6)
    draw.polygon([(middle - 8, horizon), (middle + 8, horizon), (width * 0.9, height), (width * 0.1, height)], fill=tar)
    for near in (0.08, 0.2, 0.4, 0.7):
        y, end, half = horizon + near * (height - horizon), horizon + near * 1.3 * (height - horizon), 1 + 7 * near
        x, far = middle + (width / 2 - middle) * near, middle + (width / 2 - middle) * near * 1.3
        draw.polygon([(x - half, y), (x + half, y), (far + half, end), (far - half, end)], fill=_shade(tar, 1.9))


def _grass(rng: random.Random, level: int) -> RGB:
    value = level + rng.randint(-12, 12)
    return value - 14, value, value - 26


def _station(draw: ImageDraw.ImageDraw, width: int, height: int, rng: random.Random) -> None:
    """A tiled wall, pillars, a roof and the platform."""
    wall, step = _shade(muted(rng), 1.1), rng.randint(34, 60)
    draw.rectangle((0, 0, width, height), fill=wall)
    for left in range(0, width, step):
        draw.line((left, 0, left, 0.8 * height), fill=_shade(wall, 0.93), width=1)
    for y in range(0, round(0.8 * height), step // 2):
        draw.line((0, y, width, y), fill=_shade(wall, 0.93), width=1)
    draw.rectangle((0, 0, width, 0.06 * height), fill=_shade(wall, 0.55))
    for _ in range(rng.randint(1, 3)):
        x = rng.uniform(0, width)
        draw.rectangle((x, 0, x + 0.05 * width, 0.84 * height), fill=_shade(wall, rng.uniform(0.65, 0.8)))
    draw.rectangle((0, 0.8 * height, width, height), fill=_shade(wall, 0.7))
    draw.rectangle((0, 0.9 * height, width, 0.92 * height), fill=_shade(wall, 1.25))


def _corridor(draw: ImageDraw.ImageDraw, width: int, height: int, rng: random.Random) -> None:
    """A wall with doors, a rail along it, the ceiling and the floor."""
    wall, foot = _shade(muted(rng), 1.2), 0.8 * height
    draw.rectangle((0, 0, width, height), fill=wall)
    draw.rectangle((0, 0, width, 0.06 * height), fill=_shade(wall, 1.15))
    draw.rectangle((0, 0.55 * height, width, 0.57 * height), fill=_shade(wall, 0.85))
    draw.rectangle((0, foot, width, height), fill=_shade(wall, 0.6))
    draw.rectangle((0, foot - 0.02 * height, width, foot), fill=_shade(wall, 0.75))
    door, count = _shade(muted(rng), 0.8), rng.randint(2, 4)
    for index in range(count):
        left, right = (index + rng.uniform(0.1, 0.3)) * width / count, (index + rng.uniform(0.65, 0.85)) * width / count
        draw.rectangle((left, 0.24 * height, right, foot), fill=door, outline=_shade(door, 0.7), width=4)
        draw.ellipse((right - 22, 0.53 * height, right - 12, 0.53 * height + 10), fill=_shade(door, 1.5))


def _arcade(draw: ImageDraw.ImageDraw, width: int, height: int, rng: random.Random) -> None:
    """A brick wall with round-arched windows."""
    wall, step = _shade(muted(rng), 0.9), rng.randint(14, 22)
    draw.rectangle((0, 0, width, height), fill=wall)
    for row, y in enumerate(range(0, round(0.88 * height), step)):
        draw.line((0, y, width, y), fill=_shade(wall, 0.9), width=1)
        for x in range(-(row % 2) * step, width, 2 * step):
            draw.line((x, y, x, y + step), fill=_shade(wall, 0.9), width=1)
    count, glass = rng.randint(2, 4), _shade(wall, rng.choice((0.4, 1.4)))
    for index in range(count):
        left, right = (index + 0.15) * width / count, (index + 0.85) * width / count
        top = height * 0.35
        draw.pieslice((left, top, right, top + right - left), 180, 360, fill=glass, outline=_shade(wall, 0.6))
        draw.rectangle((left, top + (right - left) / 2, right, 0.88 * height), fill=glass)
    draw.rectangle((0, 0.88 * height, width, height), fill=_shade(wall, 0.75))


_OUTDOORS: tuple[SignKind, ...] = (
    "street sign", "bus stop sign", "direction sign", "speed limit sign", "warning sign", "number plate", "poster",
)  # fmt: skip
_STATION: tuple[SignKind, ...] = (
    "timetable", "direction sign", "shop sign", "shop sign", "poster", "bus stop sign", "warning sign",
)  # fmt: skip
_CORRIDOR: tuple[SignKind, ...] = (
    "door plate", "door plate", "door plate", "door plate", "direction sign", "poster", "timetable", "warning sign",
)  # fmt: skip
_ARCADE: tuple[SignKind, ...] = (
    "shop sign", "shop sign", "poster", "street sign", "direction sign", "timetable", "number plate",
)  # fmt: skip
PLACES = {
    "street": Place((*_OUTDOORS, "shop sign"), _OUTDOORS[:5], 0.24, 0.84, _street),
    "road": Place(_OUTDOORS, _OUTDOORS, 0.03, 0.84, _road),
    "station": Place(_STATION, (), 0.07, 0.79, _station),
    "corridor": Place(_CORRIDOR, (), 0.07, 0.79, _corridor),
    "arcade": Place(_ARCADE, (), 0.03, 0.87, _arcade),
}
TEST_PLACES = ("arcade",)
