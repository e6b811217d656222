"""Crop, ZoomIn and VisualizeRegionsOnImage: parts of an image, and boxes drawn on it.

    >>> images = ImageStore(["photo.jpg"])
    >>> Crop.call({"image": "image-0", "bbox": [0.1, 0.2, 0.4, 0.6]}, images)["image"].size
    (288, 288)

Crop and ZoomIn keep the contract of the TACO reference: a yellow box of 4 px is drawn first, and the part that is cut out has a
margin, the box x 1.5 about its centre, so that the model sees where it looked.
"""

import functools
import itertools
from collections.abc import Iterable
from typing import Annotated, Any, NotRequired

from PIL import Image, ImageDraw, ImageFont
from pydantic import Field, with_config
from typing_extensions import TypedDict

from taco.tools.action import ToolError
from taco.tools.tool import Box, tool

LINE = 4
"""Width of a drawn box, in pixels."""
MARGIN = 0.5
"""How much larger than the box a crop is."""
MAX_ZOOM = 16.0
MAX_ZOOM_PIXELS = 16_000_000
"""Pixels of the largest image that ZoomIn makes."""
COLOURS = ("yellow", "red", "lime", "cyan", "magenta", "orange", "deepskyblue", "white")

ZoomFactor = Annotated[float, Field(gt=1, le=MAX_ZOOM, allow_inf_nan=False)]


MAX_REGIONS = 100
"""Boxes that are drawn on one image."""


@with_config({"extra": "forbid"})
class LabelledBox(TypedDict):
    """A region as OCR and the locating tools return it."""

    bbox: Box
    label: NotRequired[Annotated[str, Field(max_length=200)]]
    score: NotRequired[float]


@tool
def Crop(image: Image.Image, bbox: Box) -> dict[str, Any]:
    """Cuts out a part of an image, with a margin around it; a yellow box marks the part.

    Args:
        image: The image to cut from.
        bbox: The part [left, top, right, bottom], each in 0 to 1 of the image's width or height.

    Returns:
        image: The cut-out image.
    """
    return {"image": _crop(image, bbox)}


@tool
def ZoomIn(image: Image.Image, bbox: Box, zoom_factor: ZoomFactor) -> dict[str, Any]:
    """Cuts out a part of an image, as Crop does, and enlarges it.

    Args:
        image: The image to look into.
        bbox: The part [left, top, right, bottom], each in 0 to 1 of the image's width or height.
        zoom_factor: How many times larger the part becomes; more than 1.

    Returns:
        image: The enlarged part.
    """
    part = _crop(image, bbox)
    width, height = round(part.width * zoom_factor), round(part.height * zoom_factor)
    if width * height > MAX_ZOOM_PIXELS:
        most = int((MAX_ZOOM_PIXELS / (part.width * part.height)) ** 0.5 * 10) / 10
        remedy = f"Use a zoom_factor of at most {most}, or a smaller bbox." if most > 1 else "Use a smaller bbox."
        raise ToolError(f"The result would have {width}x{height} pixels; the limit is {MAX_ZOOM_PIXELS:,}. {remedy}")
    return {"image": part.resize((width, height), Image.Resampling.LANCZOS)}


@tool
def VisualizeRegionsOnImage(
    image: Image.Image, regions: Annotated[list[LabelledBox], Field(min_length=1, max_length=MAX_REGIONS)]
) -> dict[str, Any]:
    """Draws labelled boxes on an image.

    Args:
        image: The image to draw on.
        regions: The boxes: bbox [left, top, right, bottom] in 0 to 1 and, where there is one, label.

    Returns:
        image: The image with the boxes.
    """
    return {"image": with_boxes(image, [(region["bbox"], region.get("label", "")) for region in regions])}


def with_boxes(image: Image.Image, boxes: Iterable[tuple[list[float], str]]) -> Image.Image:
    """A copy of the image with labelled boxes, each in the next colour."""
    drawn = image.copy()
    for (bbox, label), colour in zip(boxes, itertools.cycle(COLOURS), strict=False):
        draw_box(drawn, bbox, label, colour)
    return drawn


def draw_box(image: Image.Image, bbox: list[float], label: str = "", colour: str = COLOURS[0]) -> None:
    """Draw one box (LINE px, inside the image) and its label into ``image``, in Pillow's own font."""
    left, top, right, bottom = pixels_of(image, bbox)
    draw = ImageDraw.Draw(image)
    draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=LINE)
    if label:
        _draw_label(image, (left, top), label, colour)


@functools.lru_cache(64)
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _draw_label(image: Image.Image, corner: tuple[int, int], label: str, colour: str) -> None:
    """Dark text on the box's colour, above the box where there is room, else in it; smaller where it would not fit the width."""
    (left, top), draw = corner, ImageDraw.Draw(image)
    label = " ".join(label.split())[:60]
    size = max(10.0, min(image.size) / 30)
    size = max(8.0, min(size, size * (image.width - 6) / max(1.0, draw.textlength(label, _font(size)))))
    font = _font(size)
    x0, y0, x1, y1 = draw.textbbox((0, 0), label, font)
    width, height = int(x1 - x0) + 6, int(y1 - y0) + 6
    x = max(0, min(left, image.width - width))
    y = top - height if top >= height else min(top, max(0, image.height - height))
    draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    draw.text((x + 3 - x0, y + 3 - y0), label, "black", font)


def _crop(image: Image.Image, bbox: list[float]) -> Image.Image:
    whole_pixels_of(image, bbox)
    marked = image.copy()
    draw_box(marked, bbox)
    return marked.crop(pixels_of(image, with_margin(bbox)))


def with_margin(bbox: list[float]) -> list[float]:
    """The box that Crop and ZoomIn cut out: MARGIN larger about its centre, inside the image."""
    left, top, right, bottom = bbox
    x, y = (right - left) * MARGIN / 2, (bottom - top) * MARGIN / 2
    return [max(0.0, left - x), max(0.0, top - y), min(1.0, right + x), min(1.0, bottom + y)]


def pixels_of(image: Image.Image, bbox: list[float]) -> tuple[int, int, int, int]:
    """A box in pixels, truncated as in the reference; 0.29 * 100 is 29 here, not 28."""
    left, top, right, bottom = (int(side * length + 1e-6) for side, length in zip(bbox, image.size * 2, strict=True))
    return left, top, right, bottom


def whole_pixels_of(image: Image.Image, bbox: list[float]) -> tuple[int, int, int, int]:
    """The same of a box that holds a pixel at least; ToolError of any other."""
    left, top, right, bottom = pixels_of(image, bbox)
    if right - left < 1 or bottom - top < 1:
        raise ToolError(f"The bbox {bbox} is less than one pixel of the {image.width}x{image.height} image. Use a larger bbox.")
    return left, top, right, bottom
