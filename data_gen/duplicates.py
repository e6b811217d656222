"""When two questions about images are the same, or nearly: exact keys, MinHash of the words, perceptual hashes of the images.

>>> near_key("Please tell me the price of the tea!") == near_key("Tell me the price of tea")
True
>>> near_key("How much are 3 Tea?") == near_key("How much are 4 Tea?")
False

MinHash: Broder 1997, of datasketch. Perceptual hash: the signs of an image's 16x16 lowest frequencies (DCT), of imagehash.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from taco.evaluation.scoring import normalized
from taco.tools.images import open_image, pixel_hash
from taco.trace import Task, TraceError

if TYPE_CHECKING:
    from datasketch import MinHash

HASH_SIDE = 16
"""Frequencies a side: a hash has 256 bits."""
NEAR_BITS = 24
"""Bits of 256 in which an image and its copy may differ: price boards that were saved as JPEG, halved or brightened differed in
at most 18, two boards in at least 80 (docs/mixing.md)."""
NEAR_QUESTION = 0.3
"""Share of word pairs (Jaccard) that near questions have in common, at least. It matters where little but `FILLERS` is asked:
``What is it?`` and ``What can you do?``."""
PERMUTATIONS = 64

_TOKEN = re.compile(r"[^\W_]+(?:[.,'’][^\W_]+)*|[^\w\s.,;:!?\"'‘’“”…]")
FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a an the this that these those there it its i me us we you "
        "tell say please kindly can could would is are be do does of so now then",
    )
)
"""Words without which a question asks the same. Questions that differ in any other word are never near: one number, name, colour
or preposition makes another question."""


def question_words(text: str) -> list[str]:
    """The words, numbers and signs (``+``, ``-``, ``%`` ...) of a text in order, case folded; sentence marks are left out."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def near_key(text: str) -> str:
    """The words that tell: all but `FILLERS`, in order. Near questions have the same."""
    words = question_words(text)
    return " ".join([word for word in words if word not in FILLERS] or words)


def digest(*parts: object) -> bytes:
    """16 bytes that stand for the parts."""
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


def exact_key(kind: str, task: Task, images: Sequence[str]) -> bytes:
    """Of a question with its choices about images (their hashes), in one format: equal for duplicates.

    Formats are told apart, since a mix may want a question with tools and without; answers are not: two answers to one question
    about one image are no two questions.
    """
    return digest(kind, task.question, task.choices, tuple(images))


def bucket(kind: str, task: Task) -> bytes:
    """Equal for all that can be near duplicates but for their images: format, telling words, choices, right answer.

    The answer is part of it, since two pictures may look alike to a perceptual hash and still show other numbers.
    """
    choices = sorted(map(normalized, task.choices)) if task.choices else None
    return digest(kind, near_key(task.question), choices, normalized(task.answer or ""))


@cache
def _empty() -> "MinHash":
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS, seed=1, scheme="affine32")


def minhash(text: str) -> "np.ndarray":
    """The signature of a question's word pairs, uint32 [PERMUTATIONS]. Two signatures agree in about as large a share of their
    places as the pairs that the questions have in common are of all their pairs."""
    words = ["", *question_words(text), ""]
    signature = _empty().copy()
    signature.update_batch([" ".join(pair).encode() for pair in pairwise(words)])
    values: np.ndarray = signature.hashvalues
    return values


def agreement(one: "np.ndarray", other: "np.ndarray") -> float:
    """The estimated Jaccard similarity of two signatures."""
    return float(np.mean(one == other))


def perceptual_hash(image: Image.Image) -> int:
    """256 bits that change little where the picture does."""
    import imagehash

    bits = imagehash.phash(image, hash_size=HASH_SIDE).hash
    return int.from_bytes(np.packbits(bits.ravel()).tobytes())


class ImageHashes:
    """Perceptual hashes by pixel hash; each image is decoded once, and its pixels are not kept."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}

    def of(self, file: Path, sha256: str) -> int:
        """The hash of an image.

        Raises:
            TraceError: If the file is gone, broken, or holds other pixels.
        """
        key = bytes.fromhex(sha256)
        if key not in self._known:
            try:
                image = open_image(file)
            except ValueError as error:
                raise TraceError(str(error)) from None
            if pixel_hash(image) != sha256:
                raise TraceError(f"{file.name} is not the image of the trace: its pixels changed")
            self._known[key] = perceptual_hash(image)
        return self._known[key]


def alike(one: Sequence[int], other: Sequence[int], bits: int) -> bool:
    """Whether two rows of image hashes are as long and differ in at most ``bits`` bits image by image."""
    return len(one) == len(other) and all((a ^ b).bit_count() <= bits for a, b in zip(one, other, strict=True))
