"""What a rendered scene says about itself: the annotation that programs and observations are built on.

Run: `PriceScene.model_validate_json(text)` reads one back; a renderer such as `prices.render` makes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageDraw, ImageOps
from pydantic import BaseModel, ConfigDict

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) as fractions 0..1 of the image; the axis-aligned hull after any perspective."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextLine(_Frozen):
    """One piece of text as it stands in the image; a row "Tea ... 3.50" is two lines, name and price."""

    text: str
    bbox: Box


class Item(_Frozen):
    """One priced row: `price` is a plain decimal ("4.50", "12"), `price_text` what is drawn ("$4.50", "4,50 €")."""

    name: str
    price: str
    price_text: str
    bbox: Box


class PriceScene(_Frozen):
    """A board, menu, receipt or shelf with prices.

    `items` run top to bottom, `lines` hold every text drawn in reading order. `background` is the colour name of the
    board itself, `currency` its symbol or "", `highlighted` the index of the item drawn on a marked background.
    """

    family: Literal["prices"] = "prices"
    layout: str
    font: str
    width: int
    height: int
    currency: str
    items: tuple[Item, ...]
    background: str
    highlighted: int | None
    title: str
    lines: tuple[TextLine, ...]


@dataclass(frozen=True)
class Scene:
    """A rendered image (RGB) and what it shows."""

    image: Image.Image
    annotation: PriceScene


def contact_sheet(scenes: Sequence[Scene], *, boxes: bool = False, columns: int = 4, cell: int = 400) -> Image.Image:
    """All scenes on one RGB image, `columns` a row, each fitted into a square of `cell` pixels.

    Args:
        scenes: What to show; at least one.
        boxes: Whether to outline every text (red) and every item (green).
        columns: Scenes a row.
        cell: Side of a scene's square, pixels.

    Raises:
        ValueError: If there is no scene.
    """
    if not scenes:
        raise ValueError("A contact sheet needs at least one scene.")
    columns = min(columns, len(scenes))
    sheet = Image.new("RGB", (columns * cell, -(-len(scenes) // columns) * cell), (64, 64, 64))
    for index, scene in enumerate(scenes):
        picture = outlined(scene) if boxes else scene.image
        picture = ImageOps.contain(picture, (cell - 8, cell - 8))
        sheet.paste(picture, (index % columns * cell + 4, index // columns * cell + 4))
    return sheet


def outlined(scene: Scene) -> Image.Image:
    """A copy of the scene's image with the box of every text (red) and of every item (green)."""
    image = scene.image.copy()
    draw = ImageDraw.Draw(image)
    marks = [(item.bbox, "lime") for item in scene.annotation.items] + [(line.bbox, "red") for line in scene.annotation.lines]
    for (left, top, right, bottom), colour in marks:
        pixels = (left * image.width, top * image.height, right * image.width, bottom * image.height)
        draw.rectangle(pixels, outline=colour, width=2)
    return image
