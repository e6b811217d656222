"""EstimateRegionDepth and EstimateObjectDepth: how near a part of an image is, by Depth Anything V2 or the package's own network.

    >>> EstimateRegionDepth.call({"image": "image-0", "bbox": [0.1, 0.2, 0.4, 0.6]}, ImageStore(["photo.jpg"]))
    {'depth': 2.31}

Depth is relative, without a unit, and **smaller is closer**: the model's map (larger is nearer) is turned over as a whole, its
maximum minus each value, as in the TACO reference, so that regions and objects of one image can be compared. The map of an
image is made once, however many regions are asked for. Without weights, or with ``TACO_DEPTH_MODEL=nano``, the map is that of
`taco.tools.perception`.
"""

from typing import TYPE_CHECKING, Any

from PIL import Image

import taco.tools.perception as perception
from taco.tools.action import ToolError
from taco.tools.detection import WEIGHTS as DETECTOR
from taco.tools.detection import Found, ObjectName, locate
from taco.tools.detection import note as detection_note
from taco.tools.images import pixel_hash
from taco.tools.memo import Memo
from taco.tools.regions import whole_pixels_of
from taco.tools.tool import Box, tool
from taco.tools.weights import Weights

if TYPE_CHECKING:
    import numpy as np

WEIGHTS = Weights(
    "TACO_DEPTH_MODEL",
    "depth-anything/Depth-Anything-V2-Small-hf",
    "AutoModelForDepthEstimation",
    "AutoImageProcessor",
    embedded=True,
)
_MAPS: Memo[tuple[str, str], "np.ndarray"] = Memo(8)


def note() -> str:
    """What to know of the back end that is used."""
    return perception.depth_note() if WEIGHTS.is_nano else ""


@tool(backend=lambda: WEIGHTS.backend, unavailable=WEIGHTS.unavailable, note=note)
def EstimateRegionDepth(image: Image.Image, bbox: Box) -> dict[str, Any]:
    """Estimates the mean depth of a part of an image. Depths of one image can be compared; a smaller one is closer.

    Args:
        image: The image to look at.
        bbox: The part [left, top, right, bottom], each in 0 to 1 of the image's width or height.

    Returns:
        depth: The relative depth, without a unit; smaller is closer.
    """
    return {"depth": region_depth(image, bbox)}


@tool(
    backend=lambda: " + ".join(dict.fromkeys((WEIGHTS.backend, DETECTOR.backend))),
    unavailable=lambda: WEIGHTS.unavailable() or DETECTOR.unavailable(),
    note=lambda: detection_note() or note(),
)
def EstimateObjectDepth(
    image: Image.Image,
    object: ObjectName,
) -> dict[str, Any]:
    """Estimates the mean depth of an object in an image. Depths of one image can be compared; a smaller one is closer.

    Args:
        image: The image to look at.
        object: A short description of the object, such as "red car".

    Returns:
        depth: The relative depth, without a unit; smaller is closer.
    """
    return {"depth": region_depth(image, object_region(image, object).bbox)}


def object_region(image: Image.Image, name: str) -> Found:
    """Where an object is surest to be found. Raises ToolError where it is not found."""
    found = locate(image, [name])
    if not found:
        raise ToolError(not_found(name))
    return max(found, key=lambda region: region.score)


def not_found(name: str) -> str:
    return f"No {name!r} was found in the image. Describe it otherwise, or give its box to EstimateRegionDepth."


def region_depth(image: Image.Image, bbox: list[float]) -> float:
    """Mean of `depth_map` over a box, to 2 decimals.

    Raises:
        ToolError: If the box is less than a pixel, or the model gives no number.
    """
    import numpy as np

    left, top, right, bottom = whole_pixels_of(image, bbox)
    depth = float(depth_map(image)[top:bottom, left:right].mean())
    if not np.isfinite(depth):
        raise ToolError(f"{WEIGHTS.backend} gave no depth for this image.")
    return round(depth, 2)


def depth_map(image: Image.Image) -> "np.ndarray":
    """Relative depth of every pixel, float32 [height, width], 0 at the closest; smaller is closer."""
    make = perception.depth_map if WEIGHTS.is_nano else _depth_map
    return _MAPS.get((WEIGHTS.backend if WEIGHTS.is_nano else WEIGHTS.name, pixel_hash(image)), lambda: make(image))


def _depth_map(image: Image.Image) -> "np.ndarray":
    import torch

    processor, model = WEIGHTS.load()
    inputs = processor(images=image, return_tensors="pt").to(model.device, model.dtype)
    with torch.inference_mode():
        outputs = model(**inputs)
    [found] = processor.post_process_depth_estimation(outputs, target_sizes=[(image.height, image.width)])
    nearness = found["predicted_depth"].float().cpu().numpy()
    turned: np.ndarray = nearness.max() - nearness
    return turned
