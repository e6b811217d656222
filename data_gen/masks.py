"""Masks of objects as text: COCO's compressed run lengths, the ``counts`` of an RLE segmentation, columns first.

>>> decode(encode(mask), (640, 480))                # bool [480, 640], as `mask` was
>>> {"size": [480, 640], "counts": encode(mask)}    # what pycocotools takes

Own code, since pycocotools overwrites memory when it decodes counts that are damaged.
"""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
"""[height, width], true where an object is seen."""


def encode(mask: Mask) -> str:
    """A mask's counts: lengths of runs in turn outside and inside, from the third on less those two before (COCO's maskApi)."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [not mask[-1, -1]]])
    runs = np.diff(np.flatnonzero(flat[1:] != flat[:-1]), prepend=0).tolist()
    return "".join(_text(run - runs[index - 2] if index > 2 else run) for index, run in enumerate(runs))


def decode(counts: str, size: tuple[int, int]) -> Mask:
    """The mask, bool [height, width], of an image's counts and its size (width, height).

    Raises:
        ValueError: If they are not the counts of an image of this size.
    """
    width, height = size
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - ord("0")
        value += (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << shift - 4  # negative
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if min(runs, default=-1) < 0 or sum(runs) != width * height:
        raise ValueError(f"The mask {counts[:20]!r} is not one of {width}x{height} pixels. Take the image's own size.")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _text(value: int) -> str:
    """Five bits a character, the lowest first; the sixth says that more follow."""
    text = ""
    while not -16 <= value < 16:
        text += chr((value & 31 | 32) + ord("0"))
        value >>= 5
    return text + chr((value & 31) + ord("0"))
