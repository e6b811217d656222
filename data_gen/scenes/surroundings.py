"""Where objects stand: a table top, a room or a yard, with its light, and the textures of its planes.

Run: `surroundings(random.Random(0), generator, "table", camera, "train")`; all ranges stand at the top.
"""

import math
import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from taco.data_gen.scenes.colours import RGB, muted
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.raytrace import Array, Camera, Vector

Setting = Literal["table", "room", "yard"]

SETTINGS: dict[Setting, float] = {"table": 0.45, "room": 0.3, "yard": 0.25}
"""How often each is drawn."""
ABOVE: dict[Split, dict[Setting, tuple[float, float]]] = {
    "train": {"table": (0.28, 0.62), "room": (1.1, 2.2), "yard": (1.2, 3.2)},
    "test": {"table": (0.64, 0.8), "room": (2.25, 2.8), "yard": (3.25, 4.5)},
}
"""Height of the camera over the objects' ground, metres."""
PITCH: dict[Setting, tuple[float, float]] = {"table": (16, 34), "room": (11, 26), "yard": (9, 22)}
"""How far the camera looks down, degrees."""
FIELD_OF_VIEW = (42.0, 66.0)
"""Degrees, along the image's longer side."""
DEPTHS: dict[Setting, tuple[float, float]] = {"table": (0.35, 2.0), "room": (1.6, 8.0), "yard": (2.2, 18.0)}
"""Nearest and farthest distance of objects along the ground, metres."""
TABLE_HEIGHT = 0.75
"""Metres over the floor."""
SUN_ELEVATION = (28.0, 70.0)
"""Degrees."""
GROUNDS: dict[Split, dict[Setting, tuple[str, ...]]] = {
    "train": {"table": ("plain", "wood", "speckle", "cloth"), "room": ("wood", "tiles", "carpet", "plain", "speckle"),
              "yard": ("grass", "speckle", "tiles", "carpet")},
    "test": {"table": ("marble", "checks"), "room": ("checks", "marble", "bricks"), "yard": ("checks", "bricks")},
}  # fmt: skip
WALLS: dict[Split, tuple[str, ...]] = {"train": ("plain", "plain", "stripes", "speckle"), "test": ("bricks", "marble")}

_SIDE_BITS = 9
TEXELS = 1 << _SIDE_BITS
"""Side of a texture; it repeats after `Plane.period` metres."""
_LEVELS = 6


@dataclass(frozen=True)
class Plane:
    """A textured half of the world's backdrop.

    Attributes:
        normal: Of length 1, towards the camera.
        limit: normal . point of its points.
        axes: Two directions along it, for its texture.
        colour: See `mipmaps`.
        texture: See `mipmaps`.
        period: Metres after which the texture repeats.
        reach: Where it ends along y, metres; a table's far edge.
    """

    normal: tuple[float, float, float]
    limit: float
    axes: tuple[tuple[float, float, float], tuple[float, float, float]]
    colour: Array
    texture: Array
    period: float
    reach: float = math.inf


@dataclass(frozen=True)
class Surroundings:
    """All that is not an object.

    Attributes:
        setting: Which kind of place.
        planes: The first is the objects' ground, z = 0.
        sun: Direction to the light, length 1.
        key: Colour of the light, linear.
        ambient: Light from everywhere, linear.
        sky: Colours at the horizon and above, linear.
        softness: Radius of the shadows' blur as a share of the image's width.
        farthest: Distance along the ground that objects keep, metres.
        haze: Metres after which half the light is the sky's; infinite indoors.
    """

    setting: Setting
    planes: tuple[Plane, ...]
    sun: tuple[float, float, float]
    key: Array
    ambient: Array
    sky: tuple[Array, Array]
    softness: float
    farthest: float
    haze: float


def linear(colour: RGB) -> Array:
    """[3] of light, 0..1, of an sRGB colour (gamma 2: its inverse is a square root, the same on every processor)."""
    levels = np.array(colour, np.float32) / np.float32(255)
    squares: Array = levels * levels
    return squares


def draw_camera(rng: random.Random, setting: Setting, size: tuple[int, int], split: Split) -> Camera:
    """A camera for a setting."""
    focal = max(size) / 2 / math.tan(math.radians(rng.uniform(*FIELD_OF_VIEW)) / 2)
    return Camera(*size, focal, rng.uniform(*ABOVE[split][setting]), math.radians(rng.uniform(*PITCH[setting])))


def surroundings(rng: random.Random, generator: np.random.Generator, setting: Setting, split: Split) -> Surroundings:
    """A place of a setting, its ground and walls in muted colours so that they do not rival the objects'."""
    far = DEPTHS[setting][1]
    farthest = far if setting == "yard" else rng.uniform(0.55, 1.0) * far
    period = (0.5 if setting == "table" else 2.0) * rng.uniform(0.8, 1.6)
    reach = farthest + rng.uniform(0.1, 0.25) if setting == "table" else math.inf
    planes = [_level(0.0, mipmaps(rng.choice(GROUNDS[split][setting]), rng, generator), period, reach)]
    if setting == "table":
        planes.append(_level(-TABLE_HEIGHT, mipmaps("even", rng, generator), 2.0))
    if setting != "yard":
        planes += _walls(rng, generator, split, farthest * rng.uniform(1.25, 1.8) + 0.3)
    warmth = rng.uniform(-0.1, 0.14)
    grey = rng.randint(178, 226)
    return Surroundings(
        setting=setting,
        planes=tuple(planes),
        sun=_sun(rng),
        key=np.array([1 + warmth, 1.0, 1 - warmth], np.float32) * np.float32(rng.uniform(0.6, 1.0)),
        ambient=np.array([1 - warmth / 2, 1.0, 1 + warmth / 2], np.float32) * np.float32(rng.uniform(0.26, 0.46)),
        sky=(
            linear((grey, grey + 4, grey + 10)),
            linear((grey - rng.randint(40, 110), grey - rng.randint(10, 40), grey + 8)),
        ),
        softness=rng.uniform(0.0015, 0.008),
        farthest=farthest,
        haze=rng.uniform(90, 400) if setting == "yard" else math.inf,
    )


def _level(height: float, texture: tuple[Array, Array], period: float, reach: float = math.inf) -> Plane:
    return Plane((0, 0, 1), height, ((1, 0, 0), (0, 1, 0)), *texture, period, reach)


def _sun(rng: random.Random) -> tuple[float, float, float]:
    """Mostly from the camera's side, so that what is seen of the objects is lit."""
    turn, height = math.radians(rng.uniform(0, 360)), math.radians(rng.uniform(*SUN_ELEVATION))
    away = -abs(math.sin(turn)) * rng.choice((1, 1, 1, -0.4))
    direction = (math.cos(turn) * math.cos(height), away * math.cos(height), math.sin(height))
    length = math.hypot(*direction)
    return direction[0] / length, direction[1] / length, direction[2] / length


def _walls(rng: random.Random, generator: np.random.Generator, split: Split, distance: float) -> list[Plane]:
    """One wall across, or two that meet in a corner."""
    texture, period = mipmaps(rng.choice(WALLS[split]), rng, generator), rng.uniform(0.8, 2.0)
    yaw = math.radians(rng.uniform(-12, 12))
    corner = rng.random() < 0.4
    if corner:
        yaw = math.radians(rng.choice((-1, 1)) * rng.uniform(20, 45))
    walls = []
    for angle in (yaw, yaw - math.copysign(math.pi / 2, yaw)) if corner else (yaw,):
        normal = (math.sin(angle), -math.cos(angle), 0.0)
        along = (math.cos(angle), math.sin(angle), 0.0)
        walls.append(
            Plane(normal, -distance * abs(normal[1]) - (0.4 * distance if corner else 0), (along, (0, 0, 1)), *texture, period)
        )
    return walls


# ---------------------------------------------------------------------- textures


def mipmaps(style: str, rng: random.Random, generator: np.random.Generator) -> tuple[Array, Array]:
    """A colour [3] in sRGB, 0..1, and what a seamless square texture adds to it: [n], row by row, then halved again and again."""
    base, shade = _texture(style, rng, generator)
    levels = [shade]
    for _ in range(_LEVELS - 1):
        fine = levels[-1]
        levels.append((fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]) * np.float32(0.25))
    flat: Array = np.concatenate([level.ravel() for level in levels]) * np.float32(1 / 255)
    colour: Array = np.array(base, np.float32) * np.float32(1 / 255)
    return colour, flat


def look_up(plane: Plane, point: Vector, footprint: Array) -> Array:
    """[3, n] linear colours at [n] points of a plane; `footprint` [n] is a pixel's size there in metres."""
    per_texel = TEXELS / plane.period
    spans = footprint * per_texel
    level = ((spans * 1.3).view(np.int32) >> 23) - 127  # the exponent of a float32: log2, rounded down
    level = level.clip(0, _LEVELS - 1)
    starts = np.cumsum([0] + [(TEXELS >> power) ** 2 for power in range(_LEVELS - 1)]).astype(np.int32)
    # Far off, numbers of texels leave the range of int32; there the coarsest level is one colour anyway.
    column, row = (
        (sum(axis[i] * point[i] for i in range(3) if axis[i]) * per_texel).clip(-1e9, 1e9).astype(np.int32) & (TEXELS - 1)
        for axis in plane.axes
    )
    shade = plane.texture.take(starts[level] + ((row >> level) << (_SIDE_BITS - level)) + (column >> level))
    found = (plane.colour[:, None] + shade).clip(0, 1)
    squares: Array = found * found
    return squares


def _texture(style: str, rng: random.Random, generator: np.random.Generator) -> tuple[RGB, Array]:
    """sRGB base and [TEXELS, TEXELS] of what is added to it, 0..255."""
    base = muted(rng)
    if style == "even":
        return base, np.zeros((TEXELS, TEXELS), np.float32)
    fine = _noise(generator, TEXELS // 2)  # a quarter of the numbers, repeated: nobody sees it
    x = np.arange(TEXELS)[None, :]
    y = np.arange(TEXELS)[:, None]
    if style == "wood":
        base = rng.choice(((172, 130, 88), (126, 88, 58), (196, 164, 124), (98, 72, 54)))
        boards = rng.choice((2, 4, 8))
        tint = generator.standard_normal(boards, dtype=np.float32)[x * boards // TEXELS]
        shade = 10 * tint - 34 * ((x * boards % TEXELS) < boards * 2.5) + 12 * _noise(generator, 4, TEXELS // 4) + 2 * fine
    elif style in ("tiles", "bricks"):
        rows, columns, shift = (8, 4, TEXELS // 8) if style == "bricks" else (4, 4, 0)
        if style == "bricks":
            base = rng.choice(((150, 92, 72), (176, 150, 128), (120, 110, 104)))
        shifted = (x + y * rows // TEXELS % 2 * shift) % TEXELS
        joint = (shifted * columns % TEXELS < columns * 7) | (y * rows % TEXELS < rows * 7)
        tint = generator.standard_normal((rows, columns), dtype=np.float32)[y * rows // TEXELS, shifted * columns // TEXELS]
        shade = (7 * tint + 4 * fine) * ~joint + np.float32(rng.choice((-38, 38))) * joint
    elif style == "checks":
        shade = rng.choice((-60, -40, 40, 60)) * ((x * 4 // TEXELS + y * 4 // TEXELS) % 2) + 4 * fine
    elif style == "stripes":
        shade = rng.uniform(8, 22) * (x * rng.choice((4, 8)) // TEXELS % 2) + 2 * fine
    elif style == "cloth":
        shade = 9 * ((x // 3 + y // 3) % 2) + 5 * fine
    elif style == "grass":
        base = rng.choice(((96, 116, 66), (122, 128, 78), (84, 104, 70)))
        shade = 13 * fine + 9 * _noise(generator, 12) + 9 * _noise(generator, TEXELS // 4)
    elif style == "marble":
        veins = np.abs(_noise(generator, 5) + 0.5 * _noise(generator, 17))
        shade = 3 * fine - 30 * (1 - (veins * 6).clip(0, 1)) + 4 * _noise(generator, 3)
    elif style == "carpet":
        shade = 9 * fine + 9 * _noise(generator, TEXELS // 4) + 4 * _noise(generator, 8)
    elif style == "speckle":
        spots = _noise(generator, TEXELS // 3)
        shade = 4 * fine + 5 * _noise(generator, 9) - 26 * (spots > 1.9) + 22 * (spots < -2.0)
    elif style == "plain":
        shade = 1.5 * fine + 2 * _noise(generator, 5)
    else:
        raise ValueError(f"There is no texture {style!r}.")
    return base, np.asarray(shade, np.float32)


def _noise(generator: np.random.Generator, rows: int, columns: int = 0) -> Array:
    """[TEXELS, TEXELS] of seamless noise around 0 with so many features a side."""
    small = generator.standard_normal((rows, columns or rows), dtype=np.float32)
    if 2 * rows == TEXELS == 2 * small.shape[1]:
        return np.tile(small, (2, 2))
    pad = 2
    box = (pad, pad, pad + small.shape[1], pad + rows)
    wrapped = Image.fromarray(np.pad(small, pad, mode="wrap"))
    return np.asarray(wrapped.resize((TEXELS, TEXELS), Image.Resampling.BICUBIC, box)) * np.float32(1.4)
