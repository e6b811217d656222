"""LocalizeObjects: where named objects are in an image, by Grounding DINO or OWLv2, or the package's own small network.

    >>> LocalizeObjects.call({"image": "image-0", "objects": ["dog", "ball"]}, ImageStore(["photo.jpg"]))["regions"]
    [{'label': 'dog', 'bbox': [0.12, 0.3, 0.55, 0.91], 'score': 0.87}]

Any zero-shot detector of transformers serves; ``TACO_DETECTION_MODEL`` names another, such as google/owlv2-base-patch16-ensemble.
Without weights, or with the setting ``nano``, `taco.tools.perception` looks: it knows a few names and refuses others.
Thresholds, rounding and the labels of repeats are those of the TACO reference.
"""

import inspect
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from PIL import Image
from pydantic import Field, StringConstraints

import taco.tools.perception as perception
from taco.tools.action import ToolError
from taco.tools.images import pixel_hash
from taco.tools.memo import Memo
from taco.tools.regions import MAX_REGIONS, with_boxes
from taco.tools.tool import short, tool
from taco.tools.weights import Weights

WEIGHTS = Weights(
    "TACO_DETECTION_MODEL", "IDEA-Research/grounding-dino-tiny", "AutoModelForZeroShotObjectDetection", embedded=True
)
BOX_THRESHOLD = 0.35
"""Of Grounding DINO; `TEXT_THRESHOLD` is that of a word of its phrases."""
TEXT_THRESHOLD = 0.25
OWL_THRESHOLD = 0.3
"""OWLv2's scores are lower; the TACO reference annotates with this one."""
MAX_OBJECTS = 20
"""Objects of one call: Grounding DINO reads 256 tokens of text."""
MAX_NAME = 60
"""Characters of one object's description."""

ObjectName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME)]


@dataclass(frozen=True)
class Found:
    """One object: ``[left, top, right, bottom]`` in 0..1 and score in 0..1, both to 2 decimals."""

    label: str
    bbox: list[float]
    score: float


_FOUND: Memo[tuple[str, str, tuple[str, ...]], list[Found]] = Memo(64)


def note() -> str:
    """What to know of the back end that is used."""
    return perception.note() if WEIGHTS.is_nano else ""


@tool(backend=lambda: WEIGHTS.backend, unavailable=WEIGHTS.unavailable, note=note)
def LocalizeObjects(
    image: Image.Image, objects: Annotated[list[ObjectName], Field(min_length=1, max_length=MAX_OBJECTS)]
) -> dict[str, Any]:
    """Finds objects in an image and draws a labelled box around each.

    Args:
        image: The image to search.
        objects: Short descriptions of the objects, such as ["dog", "red ball"].

    Returns:
        image: The image with the boxes.
        regions: label, bbox [left, top, right, bottom] in 0 to 1 and score of each object found; empty if there is none.
    """
    regions = numbered(locate(image, objects))
    drawn = with_boxes(image, [(region.bbox, region.label) for region in regions])
    return {"image": drawn, "regions": [vars(region) | {"bbox": list(region.bbox)} for region in regions]}


def locate(image: Image.Image, objects: list[str]) -> list[Found]:
    """What is found of some objects, the surest first, at most `MAX_REGIONS`. Labels are the asked-for descriptions.

    Raises:
        ToolError: If the weights are not there or do not load, or the package's own network does not know a name.
    """
    if WEIGHTS.is_nano:
        found = [Found(item.kind, _rounded(item.bbox), round(item.score, 2)) for item in perception.locate(image, objects)]
        return _whole(found)
    key = (WEIGHTS.name, pixel_hash(image), tuple(objects))
    return list(_FOUND.get(key, lambda: _locate(image, objects)))


def numbered(regions: list[Found]) -> list[Found]:
    """The second and later regions of a label are called ``label-2``, ``label-3`` ..."""
    seen: Counter[str] = Counter()
    named = []
    for region in regions:
        seen[region.label] += 1
        label = region.label if seen[region.label] == 1 else f"{region.label}-{seen[region.label]}"
        named.append(Found(label, region.bbox, region.score))
    return named


def _locate(image: Image.Image, objects: list[str]) -> list[Found]:
    import torch

    processor, model = WEIGHTS.load()
    # A full stop would end one of Grounding DINO's phrases.
    asked = [" ".join(name.replace(".", " ").split()) or name for name in objects]
    decode = processor.post_process_grounded_object_detection
    grounded = "text_threshold" in inspect.signature(decode).parameters  # reads all descriptions as one text
    _check_length([". ".join(asked) + "."] if grounded else asked, processor, model.config)
    inputs = processor(images=image, text=[asked], return_tensors="pt").to(model.device, model.dtype)
    with torch.inference_mode():
        outputs = model(**inputs)
    settings: dict[str, Any] = {"threshold": OWL_THRESHOLD}
    if grounded:
        settings = {"threshold": BOX_THRESHOLD, "text_threshold": TEXT_THRESHOLD, "input_ids": inputs["input_ids"]}
    # In pixels: OWLv2 pads its image to a square, so that fractions of its output are none of the image's.
    [result] = decode(outputs, target_sizes=[(image.height, image.width)], text_labels=[asked], **settings)
    scores, boxes = result["scores"].float().tolist(), result["boxes"].float().tolist()
    labels = result["text_labels"][: len(boxes)]  # where nothing was found, Grounding DINO gives one label all the same
    found = [
        Found(_asked_for(label, objects), _bbox(box, image.size), round(score, 2))
        for label, box, score in zip(labels, boxes, scores, strict=True)
    ]
    return _whole(found)


def _whole(found: list[Found]) -> list[Found]:
    """Those that rounding has left a box, the surest first."""
    whole = [region for region in found if region.bbox[0] < region.bbox[2] and region.bbox[1] < region.bbox[3]]
    return sorted(whole, key=lambda region: -region.score)[:MAX_REGIONS]


def _check_length(texts: list[str], processor: Any, config: Any) -> None:
    most = getattr(config, "max_text_len", None) or config.text_config.max_position_embeddings
    for text in texts:
        count = len(processor.tokenizer(text)["input_ids"])
        if count > most:
            raise ToolError(
                f"{short(text)} has {count} tokens; {WEIGHTS.backend} reads {most}. "
                "Ask for fewer objects, or describe them shorter."
            )


def _bbox(box: list[float], size: tuple[int, int]) -> list[float]:
    return _rounded([side / length for side, length in zip(box, size * 2, strict=True)])


def _rounded(box: Sequence[float]) -> list[float]:
    return [round(min(1.0, max(0.0, side)), 2) for side in box]


def _asked_for(phrase: str, objects: list[str]) -> str:
    """The description that shares most words with a phrase: Grounding DINO answers with the words that it matched."""
    words = _words(phrase)
    return max(objects, key=lambda name: len(words & _words(name)) / len(words | _words(name) | {""}))


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
