"""Tools that answer from a scene's annotation as the real ones would from its pixels, errors included.

    >>> simulation = Simulation()
    >>> simulation.begin(scene, random.Random(0))
    >>> toolbox = Toolbox(simulation.tools)               # OCR, LocalizeObjects, GetObjects, depths, similarities, Crop, ZoomIn

Labels, order, rounding and images are the real tools' own (their code makes them); what is found is drawn from `OcrErrors`,
`PerceptionErrors` and `SimilarityErrors`. What Crop and ZoomIn cut out is followed: to OCR a part is what lies in it, at the size
that it has there.
"""

import functools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.perception_errors import PerceptionErrors, Sighted
from taco.data_gen.scenes.scene import Box, PriceScene, Scene, SceneObject
from taco.data_gen.similarity_errors import SimilarityErrors
from taco.tools import depth, detection, regions, similarity, tagging
from taco.tools.action import ToolError
from taco.tools.detection import Found, numbered
from taco.tools.ocr import make_ocr, observation
from taco.tools.tool import Tool

SIMULATED = "simulated "
"""What stands before the back end of a tool whose observations were made from an annotation."""
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
INSIDE = 0.6
"""Share of a box that must lie in a part of an image to be seen there."""


@dataclass(frozen=True)
class View:
    """Which part of which of the scene's images an image shows."""

    index: int
    box: Box = WHOLE

    def within(self, box: Box) -> Box | None:
        """A box of the whole image in fractions of this part; None where most of it lies outside."""
        left, top, right, bottom = self.box
        width, height = right - left, bottom - top
        seen = [max(box[0], left), max(box[1], top), min(box[2], right), min(box[3], bottom)]
        area = (box[2] - box[0]) * (box[3] - box[1])
        if seen[0] >= seen[2] or seen[1] >= seen[3] or (seen[2] - seen[0]) * (seen[3] - seen[1]) < INSIDE * area:
            return None
        return (seen[0] - left) / width, (seen[1] - top) / height, (seen[2] - left) / width, (seen[3] - top) / height

    def part(self, box: Sequence[float]) -> "View":
        """What a box, in fractions of this part, shows."""
        left, top, right, bottom = self.box
        width, height = right - left, bottom - top
        return View(self.index, (left + box[0] * width, top + box[1] * height, left + box[2] * width, top + box[3] * height))


class Simulation:
    """The simulated tools, and the scene that they look at.

    Args:
        ocr: Rates of the OCR engine; by default those that the package ships.
        perception: The same of detector and depth estimator.
        likeness: The same of the model that compares images and texts.
    """

    def __init__(
        self,
        ocr: OcrErrors | None = None,
        perception: PerceptionErrors | None = None,
        likeness: SimilarityErrors | None = None,
    ) -> None:
        self._ocr = ocr or OcrErrors.load()
        self._perception = perception or PerceptionErrors.load()
        self._likeness = likeness or SimilarityErrors.load()
        detector, comparer = SIMULATED + self._perception.detector, SIMULATED + self._likeness.model
        self.tools = [
            _like(make_ocr("rapidocr"), self._read, SIMULATED + self._ocr.engine),
            _like(detection.LocalizeObjects, self._localize, detector),
            _like(tagging.GetObjects, self._name, detector),
            _like(depth.EstimateRegionDepth, self._region_depth, detector),
            _like(depth.EstimateObjectDepth, self._object_depth, detector),
            _like(similarity.GetImageToImagesSimilarity, self._compare_images, comparer),
            _like(similarity.GetImageToTextsSimilarity, self._compare_texts, comparer),
            _like(similarity.GetTextToImagesSimilarity, self._compare_text, comparer),
            _like(regions.Crop, self._crop, regions.Crop.backend),
            _like(regions.ZoomIn, self._zoom, regions.ZoomIn.backend),
        ]

    def begin(self, scene: Scene, rng: random.Random, images: Sequence[Image.Image] = ()) -> None:
        """Look at a scene from now on. Equal scenes and states of `rng` give equal answers, whatever is asked, in any order.

        Args:
            scene: Its annotation is what there is to see.
            rng: Where all errors come from.
            images: The scene's, as the tools will be handed them; then they need not be told by their pixels.
        """
        self._scene = scene
        self._annotations = getattr(scene.annotation, "scenes", (scene.annotation,))
        self._text = self._ocr.read(scene.annotation, rng) if isinstance(scene.annotation, PriceScene) else None
        self._seed = rng.getrandbits(64)
        self._views = [(image, View(index)) for index, image in enumerate(images or scene.images)]
        self._sighted = [
            self._seen(getattr(annotation, "objects", ()), index) for index, annotation in enumerate(self._annotations)
        ]

    def _seen(self, objects: Sequence[SceneObject], index: int) -> list[list[Sighted]]:
        found = self._perception.see(objects, self._rng("objects", index))
        return [*found, self._perception.invent(objects, self._rng("invented", index))] if objects else []

    def _rng(self, *purpose: object) -> random.Random:
        return random.Random(f"{self._seed}/{'/'.join(map(str, purpose))}")

    def _view(self, image: Image.Image) -> View:
        for known, view in self._views:
            if known is image:
                return view
        # An image that a tool made was copied into the store.
        pixels = image.tobytes()
        for known, view in reversed(self._views):
            if known.size == image.size and known.tobytes() == pixels:
                return view
        raise ToolError("A simulated tool knows the scene's images, and what Crop, ZoomIn and LocalizeObjects made of them.")

    def _keep(self, view: View, image: Image.Image) -> Image.Image:
        self._views.append((image, view))
        return image

    # ------------------------------------------------------------------ text

    def _read(self, image: Image.Image, boxes: bool = False) -> dict[str, Any]:
        view = self._view(image)
        if self._text is not None and view.box == WHOLE and not boxes:
            return {"text": self._text}
        lines = getattr(self._annotations[view.index], "lines", ())
        seen = [line.model_copy(update={"bbox": box}) for line in lines if (box := view.within(line.bbox))]
        zoom = image.height / ((view.box[3] - view.box[1]) * self._scene.images[view.index].height)
        found = self._ocr.regions(
            seen, image.size, self._rng("text", view), zoom, lambda text: self._rng("legible", view.index, text).random()
        )
        return observation(found, boxes)

    # ------------------------------------------------------------------ objects

    def _found(self, image: Image.Image, objects: Sequence[str]) -> list[Found]:
        view = self._view(image)
        found = []
        for twins in self._sighted[view.index]:
            for sighted in twins:
                box = view.within(sighted.bbox)
                label = next((asked for asked in objects if matches(asked, sighted.object)), None)
                if box and label:
                    found.append(Found(label, [round(side, 2) for side in box], sighted.score))
        whole = [region for region in found if region.bbox[0] < region.bbox[2] and region.bbox[1] < region.bbox[3]]
        return sorted(whole, key=lambda region: -region.score)[: regions.MAX_REGIONS]

    def _localize(self, image: Image.Image, objects: list[str]) -> dict[str, Any]:
        found = numbered(self._found(image, objects))
        drawn = regions.with_boxes(image, [(region.bbox, region.label) for region in found])
        return {
            "image": self._keep(self._view(image), drawn),
            "regions": [vars(region) | {"bbox": list(region.bbox)} for region in found],
        }

    def _name(self, image: Image.Image) -> dict[str, Any]:
        view = self._view(image)
        seen = {one.object.name for twins in self._sighted[view.index] for one in twins if view.within(one.bbox)}
        return {"objects": sorted(seen)}

    # ------------------------------------------------------------------ depth

    def _region_depth(self, image: Image.Image, bbox: list[float]) -> dict[str, Any]:
        regions.whole_pixels_of(image, bbox)
        return {"depth": self._depth(self._view(image), bbox)}

    def _object_depth(self, image: Image.Image, object: str) -> dict[str, Any]:
        found = self._found(image, [object])
        if not found:
            raise ToolError(depth.not_found(object))
        return {"depth": self._depth(self._view(image), found[0].bbox)}

    def _depth(self, view: View, bbox: Sequence[float]) -> float:
        """As `taco.tools.depth.region_depth`: the maximum of the whole map minus the mean over the box."""
        maps = self._scene.disparities
        disparity = maps[view.index] if view.index < len(maps) else None
        if disparity is None:
            raise ToolError("This image has no depth map, so that its depth cannot be simulated.")
        whole = disparity[_pixels(disparity.shape, view.box)]
        part = disparity[_pixels(disparity.shape, view.part(bbox).box)]
        if not part.size:
            raise ToolError(f"The bbox {list(bbox)} is less than one pixel of the depth map. Use a larger bbox.")
        scale = self._rng("depth", view).uniform(*self._perception.depth_range)
        noise = self._rng("depth", view, bbox).gauss(0, self._perception.depth_noise)
        nearness = float(part.mean()) / max(float(whole.max()), 1e-9) * math.exp(noise)
        return round(max(0.0, (1 - nearness) * scale), 2)

    # ------------------------------------------------------------------ similarity

    def _compare_images(self, image: Image.Image, other_images: list[Image.Image]) -> dict[str, Any]:
        return similarity.ranked([self._alike(image, other) for other in other_images], other_images, "image")

    def _compare_texts(self, image: Image.Image, texts: list[str]) -> dict[str, Any]:
        return similarity.ranked([self._fits(image, text) for text in texts], texts, "text")

    def _compare_text(self, text: str, images: list[Image.Image]) -> dict[str, Any]:
        return similarity.ranked([self._fits(image, text) for image in images], images, "image")

    def _alike(self, one: Image.Image, other: Image.Image) -> float:
        first, second = sorted((self._view(one), self._view(other)), key=lambda view: (view.index, view.box))
        if first == second:
            return 1.0
        return self._likeness.of_images(self._shown(first), self._shown(second), self._rng("alike", first, second))

    def _fits(self, image: Image.Image, text: str) -> float:
        view = self._view(image)
        return self._likeness.of_text(self._shown(view), text, matches, self._rng("fits", view, text))

    def _shown(self, view: View) -> list[SceneObject]:
        objects = getattr(self._annotations[view.index], "objects", ())
        return [item.model_copy(update={"bbox": box}) for item in objects if (box := view.within(item.bbox))]

    # ------------------------------------------------------------------ parts of images

    def _crop(self, image: Image.Image, bbox: list[float]) -> dict[str, Any]:
        return self._part(image, bbox, regions.Crop.function(image=image, bbox=bbox)["image"])

    def _zoom(self, image: Image.Image, bbox: list[float], zoom_factor: float) -> dict[str, Any]:
        return self._part(image, bbox, regions.ZoomIn.function(image=image, bbox=bbox, zoom_factor=zoom_factor)["image"])

    def _part(self, image: Image.Image, bbox: list[float], made: Image.Image) -> dict[str, Any]:
        return {"image": self._keep(self._view(image).part(regions.with_margin(bbox)), made)}


def matches(description: str, item: SceneObject) -> bool:
    """Whether an object is what a description says: ``red mug`` or ``red mugs``, its name behind attributes that it has."""
    text = " ".join(description.lower().split())
    for name in (item.name, f"{item.name}s", f"{item.name}es"):
        if text == name or text.endswith(f" {name}"):
            said = text.removesuffix(name).split()
            return set(said) <= {word for attribute in item.attributes for word in attribute.split()}
    return False


def _pixels(shape: tuple[int, ...], box: Box) -> tuple[slice, slice]:
    """A box as rows and columns of a map, truncated as the real tool does."""
    left, top, right, bottom = (int(side * length + 1e-6) for side, length in zip(box, (shape[1], shape[0]) * 2, strict=True))
    return slice(top, bottom), slice(left, right)


def _like(model: Tool, function: Callable[..., dict[str, Any]], backend: str) -> Tool:
    """A tool that looks like another to whoever calls it."""

    @functools.wraps(model.function)
    def stand_in(**arguments: Any) -> dict[str, Any]:
        return function(**arguments)

    return Tool(stand_in, name=model.name, backend=backend, note=lambda: model.note)
