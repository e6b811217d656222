"""nano-perception: objects and depth on a machine without large weights, by the small network that the package ships.

>>> sight = see(Image.open("scene.jpg").convert("RGB"))
>>> sight.objects[0]
Sighting(kind='mug', attributes=('red', 'matte', ''), bbox=(0.41, 0.52, 0.48, 0.63), score=0.93)
>>> locate(image, ["red mug"])                       # as `taco.tools.detection.locate`; `depth_map`, `names` likewise

It was trained on rendered scenes of 35 kinds of things and is no general detector: other names are refused with a list of those
it knows. `tools/nano_perception/README.md` says what it was measured to do.
"""

import functools
import hashlib
import itertools
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from taco.tools.action import ToolError
from taco.tools.devices import device_name
from taco.tools.images import pixel_hash
from taco.tools.memo import Memo

if TYPE_CHECKING:
    import numpy as np

    from taco.tools.perception_network import PerceptionNetwork

FOLDER = Path(__file__).with_name("nano_perception")
WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
DEPTH_RANGE = 10.0
"""The nearest point's nearness; about that of Depth Anything, so that two decimals say as much."""
WIDEST = 2.0
"""Ratio of an image's sides up to which it is squeezed to a square; a longer one gets a grey margin first."""
SAME = 0.6
"""Intersection over union from which two boxes are of one object."""
SIZE_RATIO = 1.5
"""Boxes of a kind fall into small and large ones where the largest step between their areas is at least so much."""
SIZES = ("small", "large")
_ARTICLES = ("the", "a", "an")

Sides = tuple[float, float, float, float]


@dataclass(frozen=True)
class Sighting:
    """One object: kind, its colour, material and pattern (or ""), box in 0..1, and how likely all of that is an object there."""

    kind: str
    attributes: tuple[str, ...]
    bbox: Sides
    score: float


@dataclass(frozen=True)
class Sight:
    """What is seen in an image.

    Attributes:
        objects: Those above the threshold, the surest first.
        nearness: 1 / depth up to a factor, largest at `DEPTH_RANGE`; float32 [height, width] of the network's map.
    """

    objects: tuple[Sighting, ...]
    nearness: "np.ndarray"


@dataclass(frozen=True)
class Description:
    """What an object's name asks for: ``small red mug`` is a mug, red, and a small one."""

    kind: str
    attributes: frozenset[str]
    size: str = ""


_SIGHTS: Memo[tuple[Any, ...], Sight] = Memo(16)
_NETWORKS: Memo[tuple[Any, ...], "PerceptionNetwork"] = Memo(1)
_LOADING = threading.Lock()


@functools.cache
def config() -> dict[str, Any]:
    """Version, vocabulary, threshold and hash of the weights, from ``config.json``."""
    found: dict[str, Any] = json.loads((FOLDER / CONFIG_FILE).read_text(encoding="utf-8"))
    return found


def backend() -> str:
    """What a trace records."""
    return f"nano-perception {config()['version']}"


def note() -> str:
    """What a person or a model is to know of it."""
    return (
        f"It was trained on rendered scenes and is no general detector. It knows: {', '.join(config()['network']['kinds'])}; "
        "a colour, material or pattern may stand before the name."
    )


def depth_note() -> str:
    """The same of its depths."""
    return "It was trained on rendered scenes of things on tables, in rooms and in yards; depths elsewhere are guesses."


def locate(image: Image.Image, names: Sequence[str]) -> list[Sighting]:
    """The objects that fit a name, the surest first; the name that each fits first is its kind.

    Raises:
        ToolError: If a name is not in the vocabulary, or the weights do not load.
    """
    asked = [(name, describe(name)) for name in names]
    sight = see(image)
    found = []
    for item in sight.objects:
        name = next((name for name, description in asked if fits(item, description, sight.objects)), None)
        if name is not None:
            found.append(Sighting(name, item.attributes, item.bbox, item.score))
    return found


def names(image: Image.Image) -> list[str]:
    """Kinds of objects that are seen, each once, in alphabetical order."""
    return sorted({item.kind for item in see(image).objects})


def depth_map(image: Image.Image) -> "np.ndarray":
    """Relative depth of every pixel, float32 [height, width], 0 at the closest; smaller is closer."""
    import numpy as np

    nearness = np.asarray(Image.fromarray(see(image).nearness).resize(image.size, Image.Resampling.BILINEAR))
    turned: np.ndarray = nearness.max() - nearness
    return turned


# ---------------------------------------------------------------------- names


def describe(name: str) -> Description:
    """What a name asks for. Articles, case and plurals do not matter.

    Raises:
        ToolError: If it is not in the vocabulary.
    """
    words = [word for part in name.lower().split() if (word := part.strip(".,!?'\"")) not in _ARTICLES]
    vocabulary = config()["network"]
    known = {word for part in ("colours", "materials", "patterns") for word in vocabulary[part] if word} | set(SIZES)
    kind = next((kind for kind in vocabulary["kinds"] if words and words[-1] in (kind, *_plurals(kind))), None)
    if kind is None or not known.issuperset(words[:-1]):
        attributes = ", ".join(sorted(known))
        raise ToolError(
            f"{name!r} is outside the vocabulary of {backend()}. It knows: {', '.join(vocabulary['kinds'])}; "
            f"before a name it knows: {attributes}."
        )
    sizes = [word for word in words[:-1] if word in SIZES]
    return Description(kind, frozenset(words[:-1]) - set(SIZES), sizes[-1] if sizes else "")


def _plurals(word: str) -> tuple[str, ...]:
    return (f"{word}s", f"{word}es", f"{word[:-3]}men" if word.endswith("man") else f"{word}s")


def fits(item: Sighting, asked: Description, others: Sequence[Sighting]) -> bool:
    """Whether an object is what is asked for; small and large are so among `others` of its kind."""
    if item.kind != asked.kind or not asked.attributes <= set(item.attributes):
        return False
    return not asked.size or _size(item, [other for other in others if other.kind == item.kind]) == asked.size


def _size(item: Sighting, alike: Sequence[Sighting]) -> str:
    """``small`` or ``large`` among objects of a kind, or "" where they do not fall into two classes."""
    areas = sorted(_area(one.bbox) for one in alike)
    steps = [(large / small, large) for small, large in itertools.pairwise(areas)]
    ratio, first_large = max(steps, default=(1.0, 0.0))
    if ratio < SIZE_RATIO:
        return ""
    return SIZES[_area(item.bbox) >= first_large]


def _area(box: Sides) -> float:
    return max(1e-9, (box[2] - box[0]) * (box[3] - box[1]))


# ---------------------------------------------------------------------- seeing


def see(image: Image.Image, threshold: float | None = None) -> Sight:
    """Objects and depths of an image of any mode and size. The last ones are remembered by their pixels.

    Args:
        image: The image to look at.
        threshold: Least score of an object; by default the one that was chosen with the weights.

    Raises:
        ToolError: If the weights are damaged.
    """
    image, least = image.convert("RGB"), config()["threshold"] if threshold is None else threshold
    return _SIGHTS.get((str(FOLDER), least, pixel_hash(image)), lambda: _see(image, least))


def _see(image: Image.Image, threshold: float) -> Sight:
    import torch

    network = load()
    device = next(network.parameters()).device
    squared, shares = _square(image, network.config.side)
    with torch.inference_mode():
        seen = network(torch.from_numpy(squared).to(device).permute(2, 0, 1)[None].float() / 255)
        boxes, scores, words = candidates(seen, threshold, config()["calibration"])
    nearness = (-seen.log_depth[0]).exp().cpu().numpy()
    rows, columns = (max(1, round(share * side)) for share, side in zip(shares[::-1], nearness.shape, strict=True))
    nearness = nearness[:rows, :columns]
    vocabulary = (network.config.kinds, *network.config.attributes)
    objects = []
    for box, score, numbers in zip(boxes.tolist(), scores.tolist(), words.tolist(), strict=True):
        kind, *attributes = (values[number] for values, number in zip(vocabulary, numbers, strict=True))
        left, top, right, bottom = (min(1.0, max(0.0, side / share)) for side, share in zip(box, shares * 2, strict=True))
        if left < right and top < bottom:
            objects.append(Sighting(kind, tuple(attributes), (left, top, right, bottom), score))
    return Sight(tuple(objects), nearness * (DEPTH_RANGE / nearness.max()))


def _square(image: Image.Image, side: int) -> tuple["np.ndarray", tuple[float, float]]:
    """The image squeezed to uint8 [side, side, 3], and the shares of its width and height that it fills."""
    import numpy as np

    width, height = image.size
    whole = max(width, round(height / WIDEST)), max(height, round(width / WIDEST))
    shares = width / whole[0], height / whole[1]
    square = Image.new("RGB", (side, side), (128, 128, 128))
    square.paste(image.resize((max(1, round(shares[0] * side)), max(1, round(shares[1] * side)))))
    return np.array(square), shares


def candidates(seen: Any, threshold: float, calibration: Sequence[float] = (1.0, 0.0)) -> tuple[Any, Any, Any]:
    """Objects of the first image of a `Seen`, one of several boxes of one object, the surest first.

    Args:
        seen: What the network gives.
        threshold: Least score.
        calibration: Factor and summand of the scores' logits that make them frequencies.

    Returns:
        Boxes in 0..1 [k, 4], scores [k], and numbers of kind and attributes [k, 1 + attributes]; at most 100.
    """
    import torch
    from torchvision.ops import nms

    logits, kinds = seen.kinds[0].flatten(1).max(dim=0)
    scores = (logits * calibration[0] + calibration[1]).sigmoid()
    cells = (scores >= threshold).nonzero()[:, 0]
    boxes = seen.boxes[0].flatten(1).T[cells]
    kept = nms(boxes, scores[cells], SAME)[:100]
    cells = cells[kept]
    words = [kinds[cells], *(part[0].flatten(1)[:, cells].argmax(dim=0) for part in seen.attributes)]
    return boxes[kept], scores[cells], torch.stack(words, dim=1)


# ---------------------------------------------------------------------- weights


def load() -> "PerceptionNetwork":
    """The network in evaluation mode, on the device that ``TACO_DEVICE`` names; once per process.

    Raises:
        ToolError: If the weights are missing or not those that the package was made with.
    """
    device = device_name()
    with _LOADING:
        return _NETWORKS.get((os.getpid(), str(FOLDER), device), lambda: _load(device))


def _load(device: str) -> "PerceptionNetwork":
    from safetensors.torch import load as tensors_of

    from taco.tools.perception_network import PerceptionConfig, PerceptionNetwork

    file = FOLDER / WEIGHTS_FILE
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ToolError(f"The weights of {backend()} are missing: {error.strerror}. Install the package again.") from error
    found, due = hashlib.sha256(data).hexdigest(), config()["sha256"]
    if found != due:
        raise ToolError(
            f"The weights of {backend()} are damaged: {WEIGHTS_FILE} has the SHA-256 {found}, {due} was expected. "
            "Install the package again."
        )
    network = PerceptionNetwork(PerceptionConfig.from_dict(config()["network"]))
    network.load_state_dict(tensors_of(data))  # stored in float16, used in float32
    return network.to(device).eval()
