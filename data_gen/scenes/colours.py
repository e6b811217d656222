"""Colours with names: boards are painted in one of `COLOURS`, and what is written on them can be read.

Run: `palette("red", random.Random(0))` gives the paints of one board.
"""

import random
from dataclasses import dataclass

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "white": (246, 245, 241),
    "black": (28, 28, 30),
    "red": (184, 24, 34),
    "orange": (243, 137, 32),
    "yellow": (250, 217, 52),
    "green": (22, 112, 58),
    "blue": (26, 72, 168),
    "purple": (104, 38, 142),
}
"""Board colours by name, far enough apart that light, noise and JPEG leave the name clear."""
MIN_CONTRAST = 4.5
"""Least contrast ratio between text and what it stands on (WCAG 2 level AA for normal text)."""
_MARK_CONTRAST = 2.0  # of a marked row's background with the board

_DARK_INKS: tuple[RGB, ...] = ((16, 16, 18), (22, 30, 66), (54, 20, 12), (10, 52, 30), (72, 10, 40), (120, 10, 16))
_LIGHT_INKS: tuple[RGB, ...] = ((255, 255, 255), (252, 246, 222), (255, 238, 140), (214, 240, 255), (255, 222, 200))


@dataclass(frozen=True)
class Palette:
    """Paints of one board: its paper, ink of the names, accent of prices and title, and the marked row's two."""

    paper: RGB
    ink: RGB
    accent: RGB
    mark: RGB
    mark_ink: RGB


def contrast(one: RGB, other: RGB) -> float:
    """Contrast ratio of two colours, 1..21 (WCAG 2)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palette(background: str, rng: random.Random) -> Palette:
    """Paints for a board of the colour named `background`."""
    paper = _jitter(COLOURS[background], 7, rng)
    inks = readable_on(paper)
    mark = COLOURS[rng.choice([name for name in COLOURS if contrast(COLOURS[name], COLOURS[background]) >= _MARK_CONTRAST])]
    return Palette(paper, rng.choice(inks), rng.choice(inks), mark, rng.choice(readable_on(mark)))


def readable_on(paper: RGB) -> list[RGB]:
    """Inks with enough contrast on `paper`, at least one for every colour of `COLOURS`."""
    return [ink for ink in _DARK_INKS + _LIGHT_INKS if contrast(ink, paper) >= MIN_CONTRAST]


def muted(rng: random.Random) -> RGB:
    """A greyish colour for walls and tables: no rival to a board's colour."""
    level = rng.randint(70, 205)
    return _jitter((level, level, level), 22, rng)


def _jitter(colour: RGB, spread: int, rng: random.Random) -> RGB:
    red, green, blue = (min(255, max(0, value + rng.randint(-spread, spread))) for value in colour)
    return red, green, blue


def _luminance(colour: RGB) -> float:
    shares = (value / 255 for value in colour)
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
