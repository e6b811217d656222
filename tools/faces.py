"""DetectFaces: faces in an image, by OpenCV's YuNet.

    $ export TACO_FACE_MODEL=face_detection_yunet_2023mar.onnx       # from the OpenCV Zoo, 230 kB
    >>> DetectFaces.call({"image": "image-0"}, ImageStore(["people.jpg"]))["regions"]
    [{'label': 'face', 'bbox': [0.31, 0.12, 0.44, 0.3]}, {'label': 'face 2', 'bbox': [0.6, 0.15, 0.71, 0.33]}]

Thresholds and labels are those of the TACO reference, whose detector (DSFD) is no package.
"""

import importlib.metadata
import importlib.util
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from taco.tools.action import ToolError
from taco.tools.memo import Memo
from taco.tools.regions import draw_box
from taco.tools.tool import tool

if TYPE_CHECKING:
    import numpy as np

SETTING = "TACO_FACE_MODEL"
SCORE_THRESHOLD = 0.5
NMS_THRESHOLD = 0.3
_DETECTORS: Memo[tuple[int, str], Any] = Memo(1)
_detecting = threading.Lock()  # a detector keeps the size of the image at hand
MAX_SIDE = 1_280
"""Pixels of the longer side of what the detector sees; a larger image is scaled down. Its smallest face has about 10."""


def unavailable() -> str | None:
    """None where a model file is named and there; otherwise what to do."""
    if importlib.util.find_spec("cv2") is None:
        return "OpenCV is not installed. Install it: pip install opencv-python-headless"
    path = os.environ.get(SETTING)
    remedy = f"Download face_detection_yunet_2023mar.onnx from the OpenCV Zoo and set {SETTING} to its path."
    if not path:
        return f"{SETTING} is not set. {remedy}"
    return None if Path(path).is_file() else f"{SETTING} names no file. {remedy}"


@tool(backend=lambda: Path(os.environ.get(SETTING) or "yunet").stem, unavailable=unavailable)
def DetectFaces(image: Image.Image) -> dict[str, Any]:
    """Finds faces in an image and draws a labelled box around each.

    Args:
        image: The image to search.

    Returns:
        image: The image with the boxes.
        regions: label and bbox [left, top, right, bottom] in 0 to 1 of each face, from left to right; empty if there is none.
    """
    boxes = sorted(_faces(image))
    regions = [{"label": "face" if index == 0 else f"face {index + 1}", "bbox": box} for index, box in enumerate(boxes)]
    drawn = image.copy()
    for box, region in zip(boxes, regions, strict=True):
        draw_box(drawn, box, str(region["label"]))
    return {"image": drawn, "regions": regions}


def _faces(image: Image.Image) -> list[list[float]]:
    import numpy as np

    scale = min(1.0, MAX_SIDE / max(image.size))
    small = image if scale == 1 else image.resize([max(1, round(side * scale)) for side in image.size])
    detector = _detector()
    with _detecting:
        detector.setInputSize(small.size)
        _, found = detector.detect(np.ascontiguousarray(np.asarray(small)[:, :, ::-1]))  # BGR
    return [] if found is None else [box for face in found if (box := _bbox(face, small.size))]


def _bbox(face: "np.ndarray", size: tuple[int, int]) -> list[float] | None:
    """A row of YuNet (left, top, width, height, landmarks, score) -> the box in 0..1; None where nothing is left in the image."""
    left, top, width, height = (float(value) for value in face[:4])
    sides = (left / size[0], top / size[1], (left + width) / size[0], (top + height) / size[1])
    box = [round(min(1.0, max(0.0, side)), 2) for side in sides]
    return box if box[0] < box[2] and box[1] < box[3] else None


def _detector() -> Any:
    problem = unavailable()
    if problem:
        raise ToolError(problem)
    path = Path(os.environ[SETTING])
    return _DETECTORS.get((os.getpid(), str(path)), lambda: _load(path))


def _load(path: Path) -> Any:
    import cv2

    try:
        return cv2.FaceDetectorYN.create(str(path), "", (320, 320), SCORE_THRESHOLD, NMS_THRESHOLD)
    except cv2.error as error:
        raise ToolError(f"{SETTING} is {path.name}, which OpenCV cannot read: {str(error).strip().splitlines()[-1]}") from error
