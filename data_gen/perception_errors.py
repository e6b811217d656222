"""How detectors and depth estimators err, as a table of rates: what simulated observations of objects are made with.

    >>> errors = PerceptionErrors.load()                 # data_gen/perception_errors.json, written by `taco-data fit-perception`
    >>> errors.see(objects, random.Random(0))[0]         # the first object as a detector would find it, or nothing
    [Sighted(object=SceneObject(name='mug', ...), bbox=[0.12, 0.3, 0.31, 0.52], score=0.71)]

Per scene, each object is found or not (small ones less often), sometimes twice; its box is a little off and has a score; it may
be taken for something else, or for one of another colour; now and then there is one where nothing is. All that is asked of one
image is answered from one such draw, as a real detector would.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS, KINDS
from taco.data_gen.scenes.scene import Box, SceneObject, area

MISTAKABLE = ("colour", "material", "pattern")
"""Kinds of attributes that a detector can take for others."""
INVENTED_SIDES = (0.04, 0.15)
"""Of boxes where nothing is, shares of the image."""
FILE = Path(__file__).with_name("perception_errors.json")

Rate = float


@dataclass(frozen=True)
class Sighted:
    """One object as it is found: with the name and attributes that it is taken to have, its box and its score, all in 0..1."""

    object: SceneObject
    bbox: Box
    score: float


class Sample(BaseModel):
    """What the rates were fitted on: `objects` in `scenes` of a split, from a seed on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    seed: int
    scenes: int
    objects: int


class PerceptionErrors(BaseModel):
    """Rates of one detector and one depth estimator.

    Attributes:
        detector: What they imitate; ``by hand`` where they are no one's measured rates.
        sample: What they were fitted on; None for rates set by hand.
        missed: Areas of a box as shares of the image, ascending, and at each the share of objects that are not found; between
            areas they are interpolated by the logarithm, beyond them the last ones hold.
        doubled: An object is found twice.
        confused: Of a name, what it is taken for, each with its rate.
        mistaken: An object is taken for one of another colour, material, pattern: a rate each. Patterns that are not there are
            not seen into it.
        invented: Boxes a scene where nothing is. They are small, anywhere, and of any kind that is not there.
        shift: Standard deviation of each side of a box, in shares of the box's width or height.
        scores: Quantiles of the scores, ascending.
        depth_noise: Standard deviation of the logarithm of the nearness (1 / depth) of a box among those of an image.
        depth_range: Between which the largest value of a depth map lies: its unit may differ from image to image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    sample: Sample | None = None
    missed: tuple[tuple[float, Rate], ...] = Field(min_length=1)
    doubled: Rate
    confused: dict[str, dict[str, Rate]] = {}
    mistaken: dict[str, Rate] = {}
    invented: Rate = 0.0
    shift: float
    scores: tuple[float, ...] = Field(min_length=1)
    depth_noise: float
    depth_range: tuple[float, float]

    @classmethod
    def load(cls, path: Path = FILE) -> "PerceptionErrors":
        """The rates in a file; by default those that the package ships."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def see(self, objects: Sequence[SceneObject], rng: random.Random) -> list[list[Sighted]]:
        """Of each object, how it is found: not at all, once, or twice."""
        return [self._see(item, rng) for item in objects]

    def invent(self, objects: Sequence[SceneObject], rng: random.Random) -> list[Sighted]:
        """What is found where nothing is; only in renderings, whose things are known by name."""
        absent = [name for name in KINDS if all(item.name != name for item in objects)]
        count = int(self.invented) + (rng.random() < self.invented % 1)
        if not absent or any(item.name not in KINDS for item in objects):
            return []
        found = []
        for _ in range(count):
            name, side = rng.choice(absent), rng.uniform(*INVENTED_SIDES)
            left, top = rng.uniform(0, 1 - side), rng.uniform(0, 1 - side)
            box = (left, top, left + side, top + side)
            attributes = (rng.choice(KINDS[name].colours), "matte")
            # What is not there is rarely seen with a high score.
            found.append(Sighted(SceneObject(name=name, attributes=attributes, bbox=box), box, self._score(rng.random() / 4)))
        return found

    def missed_rate(self, bbox: Box) -> float:
        """How often an object of this box is not found."""
        areas, rates = zip(*self.missed, strict=True)
        return float(np.interp(np.log(max(1e-9, area(bbox))), np.log(areas), rates))

    def _see(self, item: SceneObject, rng: random.Random) -> list[Sighted]:
        # The draws are the same in number whatever comes of them, so that one rate's change leaves the other draws alone.
        found = rng.random() >= self.missed_rate(item.bbox)
        twice = rng.random() < self.doubled
        name, attributes = self._name(item.name, rng.random()), self._attributes(item.attributes, rng)
        taken_for = item.model_copy(update={"name": name, "attributes": attributes})
        boxes = [self._shifted(item.bbox, rng), self._shifted(item.bbox, rng)]
        first, second = self._score(rng.random()), self._score(rng.random())
        scores = (first, min(first, second))
        sighted = [Sighted(taken_for, box, score) for box, score in zip(boxes, scores, strict=True)]
        return sighted[: 1 + twice] if found else []

    def _name(self, name: str, draw: float) -> str:
        for other, rate in self.confused.get(name, {}).items():
            draw -= rate
            if draw < 0:
                return other
        return name

    def _attributes(self, attributes: Sequence[str], rng: random.Random) -> tuple[str, ...]:
        """Each as it is or, at the rate of its kind, another of that kind."""
        draws = {kind: (rng.random(), rng.random()) for kind in MISTAKABLE}
        taken = []
        for attribute in attributes:
            kind = ATTRIBUTE_KINDS.get(attribute, "")
            draw, which = draws.get(kind, (1.0, 0.0))
            others = [word for word in ATTRIBUTE_KINDS if ATTRIBUTE_KINDS[word] == kind and word != attribute]
            taken.append(others[int(which * len(others))] if draw < self.mistaken.get(kind, 0.0) else attribute)
        return tuple(taken)

    def _score(self, draw: float) -> float:
        return round(float(np.interp(draw, np.linspace(0, 1, len(self.scores)), self.scores)), 2)

    def _shifted(self, box: Box, rng: random.Random) -> Box:
        left, top, right, bottom = box
        x, y = self.shift * (right - left), self.shift * (bottom - top)
        moved = (left + rng.gauss(0, x), top + rng.gauss(0, y), right + rng.gauss(0, x), bottom + rng.gauss(0, y))
        sides = [min(1.0, max(0.0, side)) for side in moved]
        if sides[0] >= sides[2] or sides[1] >= sides[3]:
            return box
        return sides[0], sides[1], sides[2], sides[3]
