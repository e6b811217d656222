"""Fits `PerceptionErrors` to what a real detector and depth estimator say of rendered scenes, and compares the two.

$ taco-data fit-perception --n 500 --seed 1000             # writes data_gen/perception_errors.json
$ taco-data fit-perception --n 200 --seed 2000 --compare   # real against simulated on other scenes; writes nothing
"""

import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from taco.data_gen.perception_errors import MISTAKABLE, PerceptionErrors, Sample, Sighted
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS
from taco.data_gen.scenes.scene import Box, Disparity, ObjectScene, Scene, SceneObject, area, overlap
from taco.tools import perception

RIGHT = 0.5
"""Intersection over union from which a box is that of an object, of whatever kind it is said to be."""
AREA_BINS = 8
SCORE_QUANTILES = 21
LEAST_CONFUSED = 2
"""Times that a kind must be taken for another to be in the table."""
APART = 0.05
"""Pairs of objects whose depths differ by so much of the larger one are compared."""


class Reading(NamedTuple):
    """An object, what it is taken for (None: nothing is found there), and how often else it is found.

    Attributes:
        item: As annotated.
        name: What it is said to be.
        bbox: Where it is said to be.
        score: Of that.
        wrong: Which of its colour, material and pattern are said wrongly.
        others: Further boxes of it.
        nearness: In its annotated box, annotated and told, each as a share of the image's largest.
    """

    item: SceneObject
    name: str | None
    bbox: Box
    score: float
    wrong: frozenset[str]
    others: int
    nearness: tuple[float, float]


@dataclass
class Readings:
    """Objects of scenes as they were read, scene by scene, and how many boxes there were where nothing is."""

    scenes: list[list[Reading]] = field(default_factory=list)
    invented: int = 0

    def add(self, scene: Scene) -> None:
        """Look at a rendered scene of objects with nano-perception.

        Raises:
            ValueError: If it has no depth map.
        """
        disparity = scene.disparities[0] if scene.disparities else None
        if disparity is None:
            raise ValueError("Depths are fitted to scenes with a depth map; this one has none. Use the family objects.")
        nearness = perception.DEPTH_RANGE - perception.depth_map(scene.image)
        found, invented = _assign(scene.annotation, perception.see(scene.image).objects)
        self.invented += invented
        objects = zip(scene.annotation.objects, found, strict=True)
        self.scenes.append([_reading(item, own, disparity, nearness) for item, own in objects])

    @property
    def all(self) -> list[Reading]:
        return list(itertools.chain.from_iterable(self.scenes))

    @property
    def found(self) -> list[Reading]:
        return [one for one in self.all if one.name is not None]


def _assign(scene: ObjectScene, found: Sequence[perception.Sighting]) -> tuple[list[list[perception.Sighting]], int]:
    """Of each object, the boxes that are its; and how many are no object's."""
    own: list[list[perception.Sighting]] = [[] for _ in scene.objects]
    invented = 0
    for sighting in found:
        overlaps = [overlap(item.bbox, sighting.bbox) for item in scene.objects]
        best = max(range(len(overlaps)), key=lambda index: overlaps[index], default=-1)
        if best >= 0 and overlaps[best] >= RIGHT:
            own[best].append(sighting)
        else:
            invented += 1
    return own, invented


def _reading(
    item: SceneObject, own: Sequence[perception.Sighting], disparity: Disparity, nearness: npt.NDArray[np.floating]
) -> Reading:
    near = (box_mean(disparity, item.bbox) / float(disparity.max()), box_mean(nearness, item.bbox) / perception.DEPTH_RANGE)
    if not own:
        return Reading(item, None, item.bbox, 0.0, frozenset(), 0, near)
    first = own[0]
    wrong = _differing(item.attributes, first.attributes)
    return Reading(item, first.kind, first.bbox, first.score, wrong, len(own) - 1, near)


def _differing(one: Sequence[str], other: Sequence[str]) -> frozenset[str]:
    """Kinds of attributes that two have not alike."""
    different = {word for word in (*one, *other) if word and (word not in one or word not in other)}
    return frozenset(ATTRIBUTE_KINDS[word] for word in different) & set(MISTAKABLE)


def box_mean(values: npt.NDArray[np.floating], box: Sequence[float]) -> float:
    """Mean over the pixels of a box, as the depth tools take it."""
    height, width = values.shape
    left, top, right, bottom = (int(side * length + 1e-6) for side, length in zip(box, (width, height) * 2, strict=True))
    return float(values[top : max(bottom, top + 1), left : max(right, left + 1)].mean())


def fit(readings: Readings, detector: str, split: str, seed: int) -> PerceptionErrors:
    """The rates that these readings show. Raises ValueError where nothing was found in them."""
    everything, found = readings.all, readings.found
    if not found:
        raise ValueError("Nothing was found in these scenes, so that no rates can be fitted. Look at more scenes.")
    named = [one for one in found if one.name == one.item.name]
    return PerceptionErrors(
        detector=detector,
        sample=Sample(split=split, seed=seed, scenes=len(readings.scenes), objects=len(everything)),
        missed=_missed(everything),
        doubled=_rate(one.others > 0 for one in found),
        confused=_confused(found),
        mistaken={kind: _rate(kind in one.wrong for one in named) for kind in MISTAKABLE},
        invented=round(readings.invented / len(readings.scenes), 4),
        shift=round(_shift(found), 4),
        scores=_quantiles([one.score for one in found]),
        depth_noise=round(_depth_noise(readings.scenes), 4),
        depth_range=(perception.DEPTH_RANGE, perception.DEPTH_RANGE),
    )


def _missed(everything: Sequence[Reading]) -> tuple[tuple[float, float], ...]:
    """Median area and rate of equally many objects each, ascending by area."""
    ordered = sorted(everything, key=lambda one: area(one.item.bbox))
    parts = [ordered[index * len(ordered) // AREA_BINS : (index + 1) * len(ordered) // AREA_BINS] for index in range(AREA_BINS)]
    return tuple(
        (round(area(part[len(part) // 2].item.bbox), 5), _rate(one.name is None for one in part)) for part in parts if part
    )


def _quantiles(scores: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in np.quantile(scores, np.linspace(0, 1, SCORE_QUANTILES)))


def _confused(found: Sequence[Reading]) -> dict[str, dict[str, float]]:
    seen = Counter(one.item.name for one in found)
    taken: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        taken[one.item.name][str(one.name)] += one.name != one.item.name
    return {
        name: rates
        for name, others in sorted(taken.items())
        if (rates := {other: round(count / seen[name], 4) for other, count in sorted(others.items()) if count >= LEAST_CONFUSED})
    }


def _shift(found: Sequence[Reading]) -> float:
    """From the quartiles: a few boxes are wrong altogether."""
    shares = []
    for one in found:
        left, top, right, bottom = one.item.bbox
        sizes = (right - left, bottom - top) * 2
        shares += [(said - true) / size for said, true, size in zip(one.bbox, one.item.bbox, sizes, strict=True)]
    low, high = np.quantile(shares, (0.25, 0.75))
    return float(high - low) / 1.349


def _depth_noise(scenes: Sequence[Sequence[Reading]]) -> float:
    squares, freedom = 0.0, 0
    for scene in scenes:
        errors = [math.log(max(1e-6, told) / max(1e-6, true)) for true, told in (one.nearness for one in scene)]
        if len(errors) > 1:
            squares += float(np.var(errors)) * len(errors)
            freedom += len(errors) - 1
    return math.sqrt(squares / max(1, freedom))


def _rate(events: Iterable[bool]) -> float:
    listed = list(events)
    return round(sum(listed) / max(1, len(listed)), 4)


# ---------------------------------------------------------------------- how close


def simulate(readings: Readings, errors: PerceptionErrors, rng: random.Random) -> Readings:
    """The same objects as the rates would have them read."""
    simulated = Readings()
    for scene in readings.scenes:
        seen = errors.see([one.item for one in scene], rng)
        simulated.scenes.append([_simulated(one, sighted, errors, rng) for one, sighted in zip(scene, seen, strict=True)])
        simulated.invented += len(errors.invent([one.item for one in scene], rng))
    return simulated


def _simulated(one: Reading, sighted: Sequence[Sighted], errors: PerceptionErrors, rng: random.Random) -> Reading:
    near = (one.nearness[0], one.nearness[0] * math.exp(rng.gauss(0, errors.depth_noise)))
    if not sighted:
        return Reading(one.item, None, one.item.bbox, 0.0, frozenset(), 0, near)
    first = sighted[0]
    wrong = _differing(one.item.attributes, first.object.attributes)
    return Reading(one.item, first.object.name, first.bbox, first.score, wrong, len(sighted) - 1, near)


def measures(readings: Readings) -> dict[str, float]:
    """What is found, how well, and whether depths are in order: shares of the objects, of those found, and of pairs."""
    everything, found = readings.all, readings.found
    named = [one for one in found if one.name == one.item.name]
    return {
        "found": _rate(one.name is not None for one in everything),
        "right_name": _rate(one.name == one.item.name for one in found),
        "right_attributes": _rate(not one.wrong for one in named),
        "found_twice": _rate(one.others > 0 for one in found),
        "box_overlap": round(float(np.mean([overlap(one.bbox, one.item.bbox) for one in found])), 4),
        "score": round(float(np.mean([one.score for one in found])), 4),
        "depth_order": _rate(right for scene in readings.scenes for right in _order(scene)),
        "invented_a_scene": round(readings.invented / max(1, len(readings.scenes)), 4),
    }


def _order(scene: Sequence[Reading]) -> Iterable[bool]:
    for one, other in itertools.combinations(scene, 2):
        if one.item.depth is None or other.item.depth is None:
            continue
        near, far = (one, other) if one.item.depth < other.item.depth else (other, one)
        if (far.item.depth or 0) - (near.item.depth or 0) > APART * (far.item.depth or 0):
            yield near.nearness[1] > far.nearness[1]


def compare(readings: Readings, errors: PerceptionErrors, rng: random.Random) -> dict[str, dict[str, float]]:
    """`measures` of real readings and of simulated ones of the same objects."""
    return {"real": measures(readings), "simulated": measures(simulate(readings, errors, rng))}
