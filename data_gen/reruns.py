"""Does a call give again what is recorded of it? For `taco.data_gen.verification`.

>>> compare(Observation(content={"depth": 2.31}), Observation(content={"depth": 2.34}), there, here)
'equal'
"""

import json
import math
import re
from typing import Any, Literal

from PIL import Image, ImageChops, ImageStat

from taco.tools.action import Observation
from taco.tools.images import ImageStore

Outcome = Literal["equal", "other observation", "other image", "unclear"]

TOLERANCES = {"depth": 0.02, "similarity": 0.02, "bbox": 0.02, "score": 0.05}
"""How far a number below a key of an observation may be from the recorded one: neural tools differ between machines in their last
digits. Depth is relative, by its size where that is over 1. All else must be equal."""
IMPORTED_DIGITS = 1e-4
"""How far, relatively, a number of an imported call may be from ours: others round their results."""
IMPORTED_PIXELS = 16.0
"""How far, of 255, a colour may be on average from ours: others save their images as JPEG."""
_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?", re.IGNORECASE)
_FRACTION = re.compile(r"(-?\d+)/(\d*[1-9]\d*)")


def compare(recorded: Observation, observed: Observation, there: ImageStore, here: ImageStore) -> Outcome:
    """Hold the record of a call against what it gave again.

    Args:
        recorded: What the trace says, its images in ``there``.
        observed: What the call gave, its images in ``here``.
        there: The trace's images.
        here: Those before the call and those that it made.
    """
    one, other = (seen.content if seen.error is None else seen.error for seen in (observed, recorded))
    if observed.images != recorded.images or not _agree(one, other):
        return "other observation"
    same = all(here.sha256(image) == there.sha256(image) for image in recorded.images)
    return "equal" if same or observed != recorded else "other image"  # a box that is a little different is drawn so, too


def compare_imported(recorded: Observation, observed: Observation, there: ImageStore, here: ImageStore) -> Outcome:
    """As `compare`, of a call that somebody else's tool of the same name answered: in other words, less digits, JPEG pixels.

    An image must look like ours. Of results the numbers are compared: equal if one side has all of the other's, another
    observation if none is on both sides. ``unclear`` if neither, if a side failed, or if the record lacks the number or image.
    """
    if observed.error is not None or recorded.error is not None:
        return "unclear"
    if observed.images:
        if not recorded.images:
            return "unclear"
        return "equal" if _look_alike(here[observed.images[0]], there[recorded.images[0]]) else "other image"
    if observed == recorded:
        return "equal"
    ours, theirs = _numbers(observed), _numbers(recorded)
    if not ours or not theirs:
        return "unclear"
    known, found = [_is_among(number, ours) for number in theirs], [_is_among(number, theirs) for number in ours]
    return "equal" if all(known) or all(found) else "unclear" if any(known) else "other observation"


def _agree(one: Any, other: Any, key: str = "") -> bool:
    """Whether two JSON values are equal, numbers below a key of `TOLERANCES` nearly so."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_agree(one[name], other[name], name) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_agree(*pair, key) for pair in zip(one, other, strict=True))
    if key in TOLERANCES and {type(one), type(other)} <= {int, float}:
        scale = max(1.0, abs(other)) if key == "depth" else 1.0
        return bool(abs(one - other) <= TOLERANCES[key] * scale + 1e-9)
    return type(one) is type(other) and bool(one == other)


def _numbers(observation: Observation) -> list[float]:
    """The numbers of a result, those of fractions worked out, too."""
    text = re.sub(r"\s*×\s*10\^", "e", json.dumps(observation.content, ensure_ascii=False)).replace("−", "-")
    found = [float(match[0].replace(",", "")) for match in _NUMBER.finditer(text)]
    return found + [int(match[1]) / int(match[2]) for match in _FRACTION.finditer(text)]


def _is_among(number: float, numbers: list[float]) -> bool:
    return any(math.isclose(number, other, rel_tol=IMPORTED_DIGITS, abs_tol=1e-9) for other in numbers)


def _look_alike(one: Image.Image, other: Image.Image) -> bool:
    small = [image.convert("RGB").resize((16, 16), Image.Resampling.BOX) for image in (one, other)]
    return max(ImageStat.Stat(ImageChops.difference(*small)).mean) <= IMPORTED_PIXELS
