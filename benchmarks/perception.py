"""How well nano-perception sees on held-out scenes: boxes by kind and size, depths, what its scores mean, time and memory.

$ OMP_NUM_THREADS=1 python benchmarks/perception.py --n 1000                   # three minutes on one core
$ python benchmarks/perception.py --n 1000 --plot docs/images/calibration.png  # also draws scores against precision

The scenes have seeds, camera heights, grounds and walls, and pairs of kind and colour that its training never had.
"""

import argparse
import contextlib
import io
import itertools
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.progress import track

from taco.data_gen.perception_fitting import box_mean
from taco.data_gen.scenes import objects
from taco.data_gen.scenes.object_names import KINDS
from taco.data_gen.scenes.scene import Scene, overlap
from taco.tools import perception

LEAST = 0.01
"""Score from which boxes count for AP, which weighs all of them."""
UNIT = 1000
"""Boxes are scored as if images were so many units wide and high."""
SIZES = {"small": (0, 0.005), "medium": (0.005, 0.02), "large": (0.02, 1.0)}
"""Areas of a box as shares of the image."""
APART = (0.05, 0.12)
"""Pairs of objects whose depths differ by so much of the larger one."""
BINS = 10

MEMORY = """
import resource
from PIL import Image
from taco.tools import perception
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
import torch, timm, torchvision
bare = peak()
for number in range(8): perception.see(Image.new("RGB", (640, 480), (number, 0, 0)))
print(f"{peak() - bare:.0f} {peak():.0f}")
"""


class Depths:
    """Pairs in order and rank correlations, scene by scene."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, float], list[bool]] = {(how, gap): [] for how in ("box", "name", "ideal") for gap in APART}
        self.pixels: list[float] = []
        self.objects: list[float] = []

    def add(self, scene: Scene) -> None:
        disparity, told = scene.disparities[0], perception.depth_map(scene.image)
        assert disparity is not None
        solid = disparity > 0
        self.pixels.append(_ranks_agree(-disparity[solid][::97], told[solid][::97]))
        measured = [
            (
                item.depth,
                {"box": box_mean(told, item.bbox), "ideal": -box_mean(disparity, item.bbox), "name": _by_name(item, scene, told)},
            )
            for item in scene.annotation.objects
        ]
        if len(measured) > 2:
            self.objects.append(_ranks_agree([depth for depth, _ in measured], [values["box"] for _, values in measured]))
        for (depth, near), (other, far) in itertools.combinations(sorted(measured, key=lambda pair: pair[0]), 2):
            for how, gap in self.pairs:
                if other - depth > gap * other and near[how] is not None and far[how] is not None:
                    self.pairs[how, gap].append(near[how] < far[how])


def _by_name(item: Any, scene: Scene, told: Any) -> float | None:
    """What EstimateObjectDepth says of an object that is the only one of its name; NaN where it is not found."""
    if sum(other.name == item.name for other in scene.annotation.objects) > 1:
        return None
    own = perception.locate(scene.image, [item.name])
    return box_mean(told, own[0].bbox) if own else float("nan")


def _ranks_agree(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's coefficient."""
    ranks = [np.argsort(np.argsort(np.asarray(values))) for values in (one, other)]
    return float(np.corrcoef(ranks)[0, 1])


class Boxes:
    """Annotated and found boxes in COCO's form."""

    def __init__(self) -> None:
        self.images: list[dict[str, Any]] = []
        self.true: list[dict[str, Any]] = []
        self.found: list[dict[str, Any]] = []

    def add(self, scene: Scene, sight: perception.Sight) -> None:
        image = len(self.images) + 1
        self.images.append({"id": image, "width": UNIT, "height": UNIT})
        for item in scene.annotation.objects:
            box = _coco(item.bbox)
            record = {"id": len(self.true) + 1, "image_id": image, "category_id": list(KINDS).index(item.name)}
            self.true.append({**record, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
        for one in sight.objects:
            record = {"image_id": image, "category_id": list(KINDS).index(one.kind), "bbox": _coco(one.bbox)}
            self.found.append({**record, "score": one.score})

    def scores(self) -> tuple[dict[str, float], dict[str, float]]:
        """AP50 by size, and by kind."""
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO()
            truth.dataset = {
                "images": self.images,
                "annotations": self.true,
                "categories": [{"id": number, "name": name} for number, name in enumerate(KINDS)],
            }
            truth.createIndex()
            evaluation = COCOeval(truth, truth.loadRes(self.found), "bbox")
            evaluation.params.iouThrs = np.array([0.5])
            evaluation.params.areaRngLbl = ["all", *SIZES]
            evaluation.params.areaRng = [[0, 1e9], *([low * UNIT**2, high * UNIT**2] for low, high in SIZES.values())]
            evaluation.evaluate()
            evaluation.accumulate()
        precision = evaluation.eval["precision"][0, :, :, :, -1]  # [recall, kind, size]

        def mean(values: Any) -> float:
            return float(values[values > -1].mean()) if (values > -1).any() else float("nan")

        by_size = {name: mean(precision[:, :, index]) for index, name in enumerate(evaluation.params.areaRngLbl)}
        return by_size, {name: mean(precision[:, number, 0]) for number, name in enumerate(KINDS)}


def _coco(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = (side * UNIT for side in box)
    return [left, top, right - left, bottom - top]


class Scores:
    """Scores of what is found, and whether it is right."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.right: list[bool] = []
        self.count = 0

    def add(self, scene: Scene, sight: perception.Sight) -> None:
        self.count += len(scene.annotation.objects)
        free = list(scene.annotation.objects)
        for one in sight.objects:
            fitting = [item for item in free if item.name == one.kind and overlap(item.bbox, one.bbox) >= 0.5]
            fit = max(fitting, key=lambda item, box=one.bbox: overlap(item.bbox, box), default=None)
            if fit is not None:
                free.remove(fit)
            self.scores.append(one.score)
            self.right.append(fit is not None)

    def bins(self) -> list[tuple[float, float, int]]:
        """Mean score, share that is right, and count of each tenth of the scores."""
        scores, right = np.array(self.scores), np.array(self.right)
        where = (scores * BINS).astype(int).clip(0, BINS - 1)
        return [
            (float(scores[where == b].mean()), float(right[where == b].mean()), int((where == b).sum()))
            for b in range(BINS)
            if (where == b).any()
        ]

    def at(self, threshold: float) -> tuple[float, float]:
        """Precision and recall."""
        kept = [right for score, right in zip(self.scores, self.right, strict=True) if score >= threshold]
        return sum(kept) / max(1, len(kept)), sum(kept) / max(1, self.count)


def plot(scores: Scores, file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    said, true, counts = zip(*scores.bins(), strict=True)
    figure, (upper, lower) = pyplot.subplots(2, 1, figsize=(5, 6), height_ratios=(3, 1), sharex=True)
    upper.plot((0, 1), (0, 1), color="grey", linestyle="--", label="as it should be")
    upper.plot(said, true, marker="o", label="nano-perception")
    upper.axvline(
        perception.config()["threshold"], color="red", linewidth=1, label=f"threshold {perception.config()['threshold']}"
    )
    upper.set(ylabel="share that is right (IoU 0.5)", title=f"Scores of {len(scores.scores):,} boxes in held-out scenes")
    upper.legend()
    lower.bar(said, counts, width=0.07)
    lower.set(xlabel="score", ylabel="boxes", yscale="log")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description="nano-perception on held-out scenes.")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--split", default="test", choices=("test", "train"))
    parser.add_argument("--plot", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    depths, boxes, scores, seconds = Depths(), Boxes(), Scores(), []
    threshold = perception.config()["threshold"]
    for number in track(range(chosen.n), "scenes"):
        scene = objects.render(random.Random(f"perception-benchmark/{number}"), split=chosen.split)
        began = time.process_time()
        perception.see(scene.image)
        seconds.append(time.process_time() - began)
        everything = perception.see(scene.image, LEAST)
        depths.add(scene)
        boxes.add(scene, everything)
        scores.add(scene, everything)
    print(f"{perception.backend()}, {chosen.n} scenes of the split {chosen.split}, {scores.count} objects")
    by_size, by_kind = boxes.scores()
    print("AP50 by size  " + "  ".join(f"{name} {value:.3f}" for name, value in by_size.items()))
    print(
        "AP50 by kind  " + "  ".join(f"{name} {value:.2f}" for name, value in sorted(by_kind.items(), key=lambda pair: pair[1]))
    )
    precision, recall = scores.at(threshold)
    print(f"at threshold {threshold}: precision {precision:.3f}, recall {recall:.3f}")
    print("score: share right (count)  " + "  ".join(f"{said:.2f}: {true:.2f} ({count})" for said, true, count in scores.bins()))
    for (how, gap), right in depths.pairs.items():
        print(f"depth order, {how:5} depths {gap:.0%} apart: {np.mean(right):.2%} of {len(right)} pairs")
    print(f"rank correlation of depths: pixels {np.mean(depths.pixels):.3f}, objects {np.mean(depths.objects):.3f}")
    print(f"CPU seconds an image: median {np.median(seconds[1:]):.3f}, most {max(seconds[1:]):.3f}")
    grown, whole = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True).stdout.split()
    print(f"memory: {grown} MB over torch and its libraries, {whole} MB in all")
    if chosen.plot:
        plot(scores, chosen.plot)


if __name__ == "__main__":
    main()
