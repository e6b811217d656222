"""What a scene says about itself: the annotation that programs and observations are built on.

Run: `ObjectScene.model_validate_json(text)` reads one back; renderers such as `prices.render` make them, and so does
`taco.data_gen.annotations` of annotated photographs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps
from pydantic import BaseModel, ConfigDict, model_validator

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) as fractions 0..1 of the image; the axis-aligned hull after any perspective."""


Disparity = npt.NDArray[np.float32]
"""[height, width], larger is nearer, in any unit: what Depth Anything gives, and 1 / distance of a rendering."""


class Annotation(BaseModel):
    """Every annotation has its family's name, and no field that its class does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TextLine(Annotation):
    """One piece of text as it stands in the image; a row "Tea ... 3.50" is two lines, name and price."""

    text: str
    bbox: Box


class Item(Annotation):
    """One priced row: `price` is a plain decimal ("4.50", "12"), `price_text` what is drawn ("$4.50", "4,50 €")."""

    name: str
    price: str
    price_text: str
    bbox: Box


class PriceScene(Annotation):
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


class SceneObject(Annotation):
    """One object.

    Attributes:
        name: A singular noun, lower case: ``mug``, ``traffic light``.
        attributes: What is said of it, lower case: ``red``, ``metal``.
        bbox: Of its visible part.
        depth: Its distance, smaller is closer, in a unit that the image's objects share: metres of a rendering, else relative.
            None where it is not known.
        mask: The pixels of its visible part as COCO's run lengths (`taco.data_gen.masks`); None where they are not known.
    """

    name: str
    attributes: tuple[str, ...] = ()
    bbox: Box
    depth: float | None = None
    mask: str | None = None


class Relation(Annotation):
    """``objects[subject] predicate objects[object]``: mug - on - table."""

    subject: int
    predicate: str
    object: int


class ObjectScene(Annotation):
    """Objects in a picture, rendered or photographed.

    Attributes:
        width: Of the image, pixels.
        height: Of the image, pixels.
        objects: In no particular order.
        relations: What is known of how they stand to each other.
        exhaustive: Whether every object of a name that occurs is there, so that they may be counted.
        partial: Names of which that is not so all the same.
        absent: Names that were looked for and not found. A rendering needs none: it shows nothing that is not annotated.
    """

    family: Literal["objects"] = "objects"
    width: int
    height: int
    objects: tuple[SceneObject, ...]
    relations: tuple[Relation, ...] = ()
    exhaustive: bool = True
    partial: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _relations_have_ends(self) -> "ObjectScene":
        ends = {end for relation in self.relations for end in (relation.subject, relation.object)}
        if ends and not 0 <= min(ends) <= max(ends) < len(self.objects):
            raise ValueError(f"a relation names object {max(ends)}, and there are {len(self.objects)}")
        return self


class SceneSet(Annotation):
    """Several pictures that are asked about together: image-0 is the first."""

    family: Literal["sets"] = "sets"
    scenes: tuple[ObjectScene, ...]


@dataclass(frozen=True)
class Scene:
    """Images (RGB) and what they show.

    Attributes:
        images: One, or those of a set.
        annotation: Of the scene's family, for example PriceScene.
        disparities: Of each image, where there are any; as large as the image.
    """

    images: tuple[Image.Image, ...]
    annotation: Any
    disparities: tuple[Disparity | None, ...] = ()

    @property
    def image(self) -> Image.Image:
        """The first image."""
        return self.images[0]


def area(box: Box) -> float:
    """Of a box, share of the image."""
    return (box[2] - box[0]) * (box[3] - box[1])


def shared(one: Box, other: Box) -> float:
    """Area that two boxes have in common."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    both = shared(one, other)
    return both / (area(one) + area(other) - both) if both else 0.0


def contact_sheet(scenes: Sequence[Scene], *, boxes: bool = False, columns: int = 4, cell: int = 400) -> Image.Image:
    """All images of all scenes on one RGB image, `columns` a row, each fitted into a square of `cell` pixels.

    Args:
        scenes: What to show; at least one.
        boxes: Whether to outline every text (red) and every item or object (green).
        columns: Images a row.
        cell: Side of an image's square, pixels.

    Raises:
        ValueError: If there is no scene.
    """
    if not scenes:
        raise ValueError("A contact sheet needs at least one scene.")
    pictures = [picture for scene in scenes for picture in (outlined(scene) if boxes else scene.images)]
    columns = min(columns, len(pictures))
    sheet = Image.new("RGB", (columns * cell, -(-len(pictures) // columns) * cell), (64, 64, 64))
    for index, picture in enumerate(pictures):
        fitted = ImageOps.contain(picture, (cell - 8, cell - 8))
        sheet.paste(fitted, (index % columns * cell + 4, index // columns * cell + 4))
    return sheet


def outlined(scene: Scene) -> tuple[Image.Image, ...]:
    """Copies of the scene's images with the box of every text (red) and of every item or object (green)."""
    annotations = getattr(scene.annotation, "scenes", (scene.annotation,))
    return tuple(_outlined(image, annotation) for image, annotation in zip(scene.images, annotations, strict=True))


def _outlined(image: Image.Image, annotation: Any) -> Image.Image:
    image = image.copy()
    draw = ImageDraw.Draw(image)
    for field, colour in (("items", "lime"), ("objects", "lime"), ("signs", "lime"), ("lines", "red")):
        for left, top, right, bottom in (part.bbox for part in getattr(annotation, field, ())):
            pixels = (left * image.width, top * image.height, right * image.width, bottom * image.height)
            draw.rectangle(pixels, outline=colour, width=2)
    return image
