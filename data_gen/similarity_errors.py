"""How alike a model of images and texts finds two pictures, or a picture and a text, by what annotations say: simulated cosines.

    >>> errors = SimilarityErrors.load()                 # data_gen/similarity_errors.json
    >>> errors.of_text(objects, "a red mug and a book", matches, random.Random(0))
    0.14

A cosine is ``low + (high - low) * share + noise``, where `likeness` of two pictures and `text_likeness` give the share, 0 to 1,
that they have in common; `low` and `high` are what the two ends look like to SigLIP 2, whose cosines with texts are small. Such
models hardly count; so numbers weigh little here, and questions that are asked of these tools do not depend on them.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from taco.data_gen.scenes.scene import SceneObject

FILE = Path(__file__).with_name("similarity_errors.json")
KIND_WEIGHT, LOOK_WEIGHT, NUMBER_WEIGHT, PLACE_WEIGHT = 0.5, 0.25, 0.15, 0.1
"""What makes two pictures alike: names, names with attributes, how many there are of each, and names in the same part."""
PARTS = 3
"""A picture is looked at in so many columns and rows."""
NAME_ALONE = 0.5
"""What a thing of the text counts if the picture has one of its name with other attributes."""
COVERED_WEIGHT = 0.15
"""How much it matters that a text names all that there is, and not only what there is."""
NOT_THINGS = frozenset(
    ["a", "an", "the", "photo", "picture", "image", "scene", "of", "some", "one", "there", "is", "are", "shows"]
)

Cosine = float
Matches = Callable[[str, SceneObject], bool]
"""Whether an object is what a description says."""


class SimilarityErrors(BaseModel):
    """Range and noise of one model's cosines.

    Attributes:
        model: What they imitate; ``by hand`` where they are no one's measured values.
        images: Cosines of two pictures that share nothing, and all.
        image_noise: Standard deviation.
        texts: Cosines of a picture and a text none of which, and all of which, it bears out.
        text_noise: Standard deviation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    images: tuple[Cosine, Cosine] = Field(description="low and high")
    image_noise: float
    texts: tuple[Cosine, Cosine] = Field(description="low and high")
    text_noise: float

    @classmethod
    def load(cls, path: Path = FILE) -> "SimilarityErrors":
        """The values in a file; by default those that the package ships."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def of_images(self, one: Sequence[SceneObject], other: Sequence[SceneObject], rng: random.Random) -> Cosine:
        """Cosine of two pictures by their objects, to 2 decimals."""
        return _cosine(self.images, likeness(one, other), self.image_noise, rng)

    def of_text(self, objects: Sequence[SceneObject], text: str, matches: Matches, rng: random.Random) -> Cosine:
        """Cosine of a picture, by its objects, and a text, to 2 decimals."""
        return _cosine(self.texts, text_likeness(objects, text, matches), self.text_noise, rng)


def _cosine(ends: tuple[Cosine, Cosine], share: float, noise: float, rng: random.Random) -> Cosine:
    return round(min(1.0, max(-1.0, ends[0] + (ends[1] - ends[0]) * share + rng.gauss(0, noise))), 2)


def likeness(one: Sequence[SceneObject], other: Sequence[SceneObject]) -> float:
    """What two pictures have in common, 0 to 1: names, attributes, numbers and places, weighted by `KIND_WEIGHT` and so on."""
    return (
        KIND_WEIGHT * common({item.name for item in one}, {item.name for item in other})
        + LOOK_WEIGHT * common({(i.name, i.attributes) for i in one}, {(i.name, i.attributes) for i in other})
        + NUMBER_WEIGHT * common([item.name for item in one], [item.name for item in other])
        + PLACE_WEIGHT * common([(i.name, _part(i)) for i in one], [(i.name, _part(i)) for i in other])
    )


def common(one: Iterable[Hashable], other: Iterable[Hashable]) -> float:
    """Jaccard index of two multisets; 1 of two empty ones."""
    first, second = Counter(one), Counter(other)
    either = (first | second).total()
    return (first & second).total() / either if either else 1.0


def _part(item: SceneObject) -> tuple[int, int]:
    left, top, right, bottom = item.bbox
    return int((left + right) / 2 * PARTS), int((top + bottom) / 2 * PARTS)


def text_likeness(objects: Sequence[SceneObject], text: str, matches: Matches) -> float:
    """Share of the things in a text that a picture bears out, and a little of how much of the picture the text covers."""
    things = things_in(text)
    if not things or not objects:
        return 0.0
    borne_out = sum(_borne_out(objects, thing, matches) for thing in things) / len(things)
    covered = sum(any(matches(thing, item) for thing in things) for item in objects) / len(objects)
    return (1 - COVERED_WEIGHT) * borne_out + COVERED_WEIGHT * covered


def things_in(text: str) -> list[str]:
    """``a photo of a red mug, and two books`` -> ``["red mug", "two books"]``."""
    pieces = re.split(r"[^\w\s-]+|\b(?:and|with|or|on|in|next to|beside)\b", text.lower())
    things = [" ".join(word for word in piece.split() if word not in NOT_THINGS) for piece in pieces]
    return [thing for thing in things if thing]


def _borne_out(objects: Sequence[SceneObject], thing: str, matches: Matches) -> float:
    if any(matches(thing, item) for item in objects):
        return 1.0
    words = thing.split()
    names = [" ".join(words[start:]) for start in range(1, len(words))]
    return NAME_ALONE if any(matches(name, item) for name in names for item in objects) else 0.0
