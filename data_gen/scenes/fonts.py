"""Fonts that scenes are written in; all come from packages on PyPI, so every machine draws the same glyphs.

Run: `load("Caladea", 32)` gives a Pillow font; `FONTS` are the names, `TEST_FONTS` those kept out of training.
"""

import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageFont


@dataclass(frozen=True)
class _Source:
    package: str  # as imported
    distribution: str  # as installed
    file: str


_SOURCES = {
    "Caladea": _Source("font_caladea", "font-caladea", "files/Caladea-Bold.ttf"),
    "DejaVu Sans Mono": _Source("barcode", "python-barcode", "fonts/DejaVuSansMono.ttf"),
    "Fredoka One": _Source("font_fredoka_one", "font-fredoka-one", "files/FredokaOne-Regular.ttf"),
    "Hanken Grotesk": _Source("font_hanken_grotesk", "font-hanken-grotesk", "files/HankenGrotesk-Medium.otf"),
    "Intuitive": _Source("font_intuitive", "font-intuitive", "files/Intuitive.ttf"),
    "Manrope": _Source("font_manrope", "font-manrope", "files/Manrope-Medium.ttf"),
    "Manrope ExtraBold": _Source("font_manrope", "font-manrope", "files/Manrope-ExtraBold.ttf"),
    "Source Sans Pro": _Source("font_source_sans_pro", "font-source-sans-pro", "files/SourceSansPro-Semibold.ttf"),
    "Source Sans Pro Black": _Source("font_source_sans_pro", "font-source-sans-pro", "files/SourceSansPro-Black.ttf"),
    "Source Serif Pro": _Source("font_source_serif_pro", "font-source-serif-pro", "files/SourceSerifPro-Regular.ttf"),
    "Source Serif Pro Italic": _Source("font_source_serif_pro", "font-source-serif-pro", "files/SourceSerifPro-It.ttf"),
    "Source Serif Pro Bold": _Source("font_source_serif_pro", "font-source-serif-pro", "files/SourceSerifPro-Bold.ttf"),
}
FONTS = tuple(_SOURCES)
TEST_FONTS = ("Caladea", "Hanken Grotesk")
"""Whole families that no training scene uses."""
OPEN = 64
"""Fonts of one size that are held: each maps its file anew, so that all sizes of all fonts would take a hundred megabytes."""


@functools.lru_cache(OPEN)
def load(name: str, size: int) -> ImageFont.FreeTypeFont:
    """The font `name`, such that its capitals are 0.7 x `size` pixels high: one size looks equally large in all fonts.

    Raises:
        FileNotFoundError: If the package that ships it is not installed.
    """
    return _open(name, max(1, round(70 * size / _cap_height(name))))


@functools.cache
def has_glyphs(name: str, text: str) -> bool:
    """Whether the font draws every character of `text` itself, rather than the box that stands for a missing one."""
    font = load(name, 32)
    missing = bytes(font.getmask("\uffff"))
    return all(character == " " or bytes(font.getmask(character)) not in (missing, b"") for character in text)


@functools.cache
def _cap_height(name: str) -> float:
    """Height of a capital in percent of the font's own size."""
    _, top, _, bottom = _open(name, 1000).getbbox("H")
    return (bottom - top) / 10


def _open(name: str, size: int) -> ImageFont.FreeTypeFont:
    # Basic layout: the same on wheels with and without libraqm, and no ligatures.
    return ImageFont.truetype(str(_path(name)), size, layout_engine=ImageFont.Layout.BASIC)


def _path(name: str) -> Path:
    source = _SOURCES[name]
    spec = importlib.util.find_spec(source.package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder, source.file)).is_file():
            return path
    raise FileNotFoundError(f"The font {name} is not installed. Get it with: pip install {source.distribution}")
