"""GetObjects: what is in an image, by Florence-2 or the package's own small network.

    >>> GetObjects.call({"image": "image-0"}, ImageStore(["photo.jpg"]))
    {'objects': ['ball', 'dog', 'person']}

The TACO reference has RAM++, which transformers lacks. Florence-2 is native there, small (0.23 B), under MIT, open in its words
and names objects only, where RAM++ lists verbs and adjectives, too. Without weights, or with ``TACO_TAGGING_MODEL=nano``,
`taco.tools.perception` looks, which knows a few names.
"""

from typing import Any

from PIL import Image

import taco.tools.perception as perception
from taco.tools.tool import tool
from taco.tools.weights import Weights

WEIGHTS = Weights("TACO_TAGGING_MODEL", "florence-community/Florence-2-base-ft", "AutoModelForImageTextToText", embedded=True)
TASK = "<OD>"
MAX_NEW_TOKENS = 512
"""A label with its box takes about 6."""


@tool(
    backend=lambda: WEIGHTS.backend,
    unavailable=WEIGHTS.unavailable,
    note=lambda: perception.note() if WEIGHTS.is_nano else "",
)
def GetObjects(image: Image.Image) -> dict[str, Any]:
    """Names the objects in an image.

    Args:
        image: The image to look at.

    Returns:
        objects: Each object's name once, in alphabetical order.
    """
    if WEIGHTS.is_nano:
        return {"objects": perception.names(image)}
    import torch

    processor, model = WEIGHTS.load()
    inputs = processor(images=image, text=TASK, return_tensors="pt").to(model.device, model.dtype)
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
    [text] = processor.batch_decode(ids, skip_special_tokens=False)
    found = processor.post_process_generation(text, task=TASK, image_size=image.size)[TASK]
    return {"objects": sorted({name for label in found["labels"] if (name := " ".join(label.split()))})}
