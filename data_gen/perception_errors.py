"""How detectors and depth estimators err, as a table of rates: what simulated observations of objects are made with.

    >>> errors = PerceptionErrors.load()                 # data_gen/perception_errors.json
    >>> errors.see(objects, random.Random(0))[0]         # the first object as a detector would find it, or nothing
    [Sighted(object=SceneObject(name='mug', ...), bbox=[0.12, 0.3, 0.31, 0.52], score=0.71)]

Per scene, each object is found or not (small ones less often), sometimes twice; its box is a little off and has a score. All
that is asked of one image is answered from one such draw, as a real detector would. Asked for "red mug", it takes a blue mug for
one at a rate, too.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from taco.data_gen.scenes.scene import Box, SceneObject

FILE = Path(__file__).with_name("perception_errors.json")

Rate = float


@dataclass(frozen=True)
class Sighted:
    """One object as it is found: its box in 0..1, its score in 0..1, and whether it is also taken for what it is not."""

    object: SceneObject
    bbox: Box
    score: float
    mistaken: bool = False


class PerceptionErrors(BaseModel):
    """Rates of one detector and one depth estimator.

    Attributes:
        detector: What they imitate; ``by hand`` where they are no one's measured rates.
        missed: An object is not found.
        missed_small: The same, where its box's area is below `small_area`.
        small_area: Share of the image.
        doubled: An object is found twice.
        mistaken: An object is taken for one of other attributes.
        shift: Standard deviation of each side of a box, in shares of the box's width or height.
        score: Lowest and highest score.
        depth_noise: Standard deviation of a depth, in shares of the map's range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str
    missed: Rate
    missed_small: Rate
    small_area: float
    doubled: Rate
    mistaken: Rate
    shift: float
    score: tuple[float, float] = Field(description="lowest and highest")
    depth_noise: float

    @classmethod
    def load(cls, path: Path = FILE) -> "PerceptionErrors":
        """The rates in a file; by default those that the package ships."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def see(self, objects: Sequence[SceneObject], rng: random.Random) -> list[list[Sighted]]:
        """Of each object, how it is found: not at all, once, or twice."""
        return [self._see(item, rng) for item in objects]

    def _see(self, item: SceneObject, rng: random.Random) -> list[Sighted]:
        left, top, right, bottom = item.bbox
        small = (right - left) * (bottom - top) < self.small_area
        # The draws are the same in number whatever comes of them, so that one rate's change leaves the other draws alone.
        found = rng.random() >= (self.missed_small if small else self.missed)
        twice, mistaken = rng.random() < self.doubled, rng.random() < self.mistaken
        boxes = [self._shifted(item.bbox, rng), self._shifted(item.bbox, rng)]
        scores = sorted((round(rng.uniform(*self.score), 2) for _ in boxes), reverse=True)
        sighted = [Sighted(item, box, score, mistaken) for box, score in zip(boxes, scores, strict=True)]
        return sighted[: 1 + twice] if found else []

    def _shifted(self, box: Box, rng: random.Random) -> Box:
        left, top, right, bottom = box
        x, y = self.shift * (right - left), self.shift * (bottom - top)
        moved = (left + rng.gauss(0, x), top + rng.gauss(0, y), right + rng.gauss(0, x), bottom + rng.gauss(0, y))
        sides = [min(1.0, max(0.0, side)) for side in moved]
        if sides[0] >= sides[2] or sides[1] >= sides[3]:
            return box
        return sides[0], sides[1], sides[2], sides[3]
