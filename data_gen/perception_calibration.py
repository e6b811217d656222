"""What the scores of nano-perception mean: how often what is found with a score is right, and from which score on to believe it.

>>> calibrate(network, Views(Path("out/perception/validation"), "train"))
Calibration(scale=(1.3, 0.4), threshold=0.42, precision=0.95, recall=0.93)
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.ops import box_iou

from taco.data_gen.perception_views import Views
from taco.tools.perception import candidates
from taco.tools.perception_network import PerceptionNetwork, Seen

RIGHT = 0.5
"""Intersection over union from which a box is that of an object."""
LEAST = 0.02
"""Score below which nothing is looked at."""


@dataclass(frozen=True)
class Calibration:
    """Factor and summand of the scores' logits, the threshold of the best F1, and precision and recall there."""

    scale: tuple[float, float]
    threshold: float
    precision: float
    recall: float


def seen_in(network: PerceptionNetwork, views: Views) -> Iterator[tuple[Seen, dict[str, Tensor]]]:
    """What a network sees in each view, and the view; batches of one, each tensor with a first axis of 1."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        for batch in track(DataLoader(views, batch_size=8), "looking"):
            seen = network(batch["pixels"].to(device).float() / 255)
            for index in range(len(batch["pixels"])):
                one = slice(index, index + 1)
                attributes = tuple(part[one].cpu() for part in seen.attributes)
                yield (
                    Seen(seen.kinds[one].cpu(), seen.boxes[one].cpu(), attributes, seen.log_depth[one].cpu()),
                    {name: part[one] for name, part in batch.items()},
                )


def matched(boxes: Tensor, kinds: Tensor, true_boxes: Tensor, true_kinds: Tensor) -> list[int]:
    """Of each found box, the surest first, the object of its kind that it is of, and no surer one was; -1: of none."""
    overlap = box_iou(boxes, true_boxes) * (kinds[:, None] == true_kinds)
    taken: set[int] = set()
    found = []
    for row in overlap:
        value, best = max(((float(value), index) for index, value in enumerate(row) if index not in taken), default=(0.0, -1))
        found.append(best if value >= RIGHT else -1)
        taken.add(found[-1])
    return found


def calibrate(network: PerceptionNetwork, views: Views) -> Calibration:
    """Fit the scores to the frequency of being right (Platt, 1999), and choose the threshold of the best F1."""
    scores: list[float] = []
    right: list[bool] = []
    count = 0
    for seen, view in seen_in(network, views):
        boxes, found, words = candidates(seen, LEAST)
        there = view["labels"][0, :, 0] >= 0
        matches = matched(boxes, words[:, 0], view["boxes"][0, there], view["labels"][0, there, 0])
        scores += found.tolist()
        right += [match >= 0 for match in matches]
        count += int(there.sum())
    scale = _platt(scores, right)
    calibrated = (scale[0] * _logits(scores) + scale[1]).sigmoid().tolist()
    return Calibration(scale, *_best_threshold(calibrated, right, count))


def _logits(scores: Sequence[float]) -> Tensor:
    return torch.logit(torch.tensor(scores, dtype=torch.float64), eps=1e-6)


def _platt(scores: Sequence[float], right: Sequence[bool]) -> tuple[float, float]:
    """The line over the scores' logits that makes them the likeliest probabilities."""
    logits = _logits(scores)
    targets = torch.tensor(right, dtype=torch.float64)
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([line], max_iter=100)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(line[0] * logits + line[1], targets)
        value.backward()
        return value

    optimizer.step(loss)
    factor, summand = line.detach().tolist()
    return round(factor, 4), round(summand, 4)


def _best_threshold(scores: Sequence[float], right: Sequence[bool], count: int) -> tuple[float, float, float]:
    """Threshold, precision and recall where F1 is best; `count` objects are there."""
    best = (0.0, 0.5, 0.0, 0.0)
    hits = 0
    for number, (score, is_right) in enumerate(sorted(zip(scores, right, strict=True), reverse=True), 1):
        hits += is_right
        precision, recall = hits / number, hits / max(1, count)
        best = max(best, (2 * hits / (number + count), math.floor(1000 * score) / 1000, precision, recall))
    return best[1:]
