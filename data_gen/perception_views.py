"""Object scenes as nano-perception sees them: pixels, depths and boxes of one size, drawn once and kept in shards on the disk.

>>> draw(Path("out/perception/scenes"), "train", range(16))      # 16 shards of `SHARD` scenes; those that are there are kept
>>> Views(Path("out/perception/scenes"), "train")[0]["pixels"].shape
torch.Size([3, 384, 384])
"""

import os
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.progress import track
from torch.utils.data import Dataset

from taco.data_gen.scenes import objects
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS, KINDS, MATERIALS, OBJECT_COLOURS, PATTERNS
from taco.data_gen.scenes.scene import Scene, SceneObject
from taco.tools.perception_network import SIDE, STRIDE_DEPTH

SHARD = 500
"""Scenes of a shard: 220 MB of pixels."""
MOST = objects.MOST_ITEMS
FARTHEST = 60.0
"""Metres; what is farther counts as so far, the sky, too."""
TINTED, NEGATIVE = 0.7, 0.15
"""Share of the views in other hues, and of these those whose light and dark change places: white and black have no hue."""
VOCABULARY: dict[str, tuple[str, ...]] = {
    "kinds": tuple(KINDS),
    "colours": tuple(OBJECT_COLOURS),
    "materials": MATERIALS,
    "patterns": ("", *PATTERNS),
}
"""What the network tells of an object, and the values that it may have."""
_KIND_OF = {"colours": "colour", "materials": "material", "patterns": "pattern"}

Arrays = dict[str, npt.NDArray[Any]]


def sample(scene: Scene) -> Arrays:
    """A scene as arrays.

    Returns:
        pixels: uint8 [SIDE, SIDE, 3], the image squeezed to a square.
        nearness: float16 [SIDE / 4, SIDE / 4], 1 / metres, not below 1 / `FARTHEST`.
        boxes: float32 [MOST, 4], left, top, right, bottom in 0..1; zeros after the last object.
        labels: int8 [MOST, 4], numbers in `VOCABULARY`; -1 after the last object.
    """
    boxes, labels = np.zeros((MOST, 4), np.float32), np.full((MOST, len(VOCABULARY)), -1, np.int8)
    for number, item in enumerate(scene.annotation.objects):
        boxes[number], labels[number] = item.bbox, labels_of(item)
    depth_side = SIDE // STRIDE_DEPTH
    disparity = scene.disparities[0]
    assert disparity is not None  # every rendered scene has one
    nearness = cv2.resize(np.asarray(disparity, np.float32), (depth_side, depth_side), interpolation=cv2.INTER_AREA)
    return {
        "pixels": np.array(scene.image.resize((SIDE, SIDE))),
        "nearness": nearness.clip(1 / FARTHEST).astype(np.float16),
        "boxes": boxes,
        "labels": labels,
    }


def labels_of(item: SceneObject) -> list[int]:
    """An object's kind, colour, material and pattern as numbers in `VOCABULARY`."""
    has = {ATTRIBUTE_KINDS[word]: word for word in item.attributes}
    words = [item.name, *(has.get(_KIND_OF[part], "") for part in list(VOCABULARY)[1:])]
    return [values.index(word) for values, word in zip(VOCABULARY.values(), words, strict=True)]


def draw(folder: Path, split: Split, numbers: Iterable[int], seed: str = "perception", workers: int = 2) -> None:
    """Draw shards of scenes, `SHARD` each. Scene i has the seed ``{seed}/{split}/{i}``; complete shards are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [(folder, split, number, seed) for number in numbers if not _files(folder, split, number)[-1].exists()]
    if not todo:
        return
    with get_context("spawn").Pool(workers) as pool:
        list(track(pool.imap_unordered(_draw, todo), f"{split} scenes", total=len(todo)))


def _draw(job: tuple[Path, Split, int, str]) -> None:
    folder, split, number, seed = job
    scenes = range(number * SHARD, (number + 1) * SHARD)
    drawn = [sample(objects.render(random.Random(f"{seed}/{split}/{index}"), split=split)) for index in scenes]
    stacked = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
    pixels, rest = _files(folder, split, number)
    with _whole(pixels) as stream:
        np.save(stream, stacked.pop("pixels"))
    with _whole(rest) as stream:
        np.savez(stream, allow_pickle=False, **stacked)


@contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """A file to write that has its name once it is complete."""
    part = file.with_name(f".{file.name}")
    with part.open("wb") as stream:
        yield stream
    os.replace(part, file)


def _files(folder: Path, split: Split, number: int) -> tuple[Path, Path]:
    """Of a shard: pixels, and, written last, all else."""
    return folder / f"{split}-{number:04}.npy", folder / f"{split}-{number:04}.npz"


class Views(Dataset[dict[str, torch.Tensor]]):
    """Shards of a folder as tensors: those of `sample`, pixels as [3, SIDE, SIDE].

    Args:
        folder: Where `draw` put them.
        split: Which of them.
        numbers: Of the shards; by default all.
        augment: Whether to change them at random (`augmented`), from torch's generator.
    """

    def __init__(self, folder: Path, split: Split, numbers: Iterable[int] | None = None, *, augment: bool = False) -> None:
        found = sorted(int(file.stem.rsplit("-", 1)[1]) for file in folder.glob(f"{split}-*.npz"))
        files = [_files(folder, split, number) for number in (found if numbers is None else numbers)]
        if not files:
            raise ValueError(f"{folder} has no shards of the split {split}; draw() makes them.")
        self.pixels = [np.load(pixels, mmap_mode="r") for pixels, _ in files]
        rest = [dict(np.load(other)) for _, other in files]
        self.rest = {name: np.concatenate([part[name] for part in rest]) for name in rest[0]}
        self.augment = augment

    def __len__(self) -> int:
        return len(self.pixels) * SHARD

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        view = {"pixels": self.pixels[index // SHARD][index % SHARD], **{name: part[index] for name, part in self.rest.items()}}
        view = augmented(view) if self.augment else view
        tensors = {name: torch.from_numpy(np.array(part)) for name, part in view.items()}
        return {**tensors, "pixels": tensors["pixels"].permute(2, 0, 1).contiguous()}


def augmented(view: Arrays) -> Arrays:
    """Mirrored or not; in other hues and of unknown colours, or in its own; brighter or darker, of more or less contrast.

    A kind that never comes in some colour in the training must be known in it all the same: without other hues the network tells
    kinds by their colours.
    """
    view = dict(view)
    if _between(0, 1) < 0.5:
        view["pixels"], view["nearness"] = view["pixels"][:, ::-1], view["nearness"][:, ::-1]
        left, top, right, bottom = view["boxes"].T
        view["boxes"] = np.stack([1 - right, top, 1 - left, bottom], -1) * (view["labels"][:, :1] >= 0)
    if _between(0, 1) < TINTED:
        view["pixels"] = tinted(view["pixels"])
        view["labels"] = view["labels"].copy()
        view["labels"][:, list(VOCABULARY).index("colours")] = -1
    levels = np.linspace(0, 1, 256) ** (2 ** _between(-0.5, 0.5))
    levels = (levels - 0.5) * _between(0.8, 1.2) + 0.5 + _between(-0.08, 0.08)
    view["pixels"] = cv2.LUT(np.ascontiguousarray(view["pixels"]), _bytes(levels * 255))
    return view


def tinted(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """All hues turned by one angle, more or less saturated, sometimes as a negative in lightness; [side, side, 3]."""
    hls = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2HLS)
    every = np.arange(256)
    hues = (every + int(_between(0, 180))) % 180  # OpenCV counts so many
    lights = 255 - every if _between(0, 1) < NEGATIVE else every
    tables = np.stack([hues, lights, every * _between(0, 1.6)], axis=-1)
    return np.asarray(cv2.cvtColor(cv2.LUT(hls, _bytes(tables)[None]), cv2.COLOR_HLS2RGB), np.uint8)


def _bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return values.round().clip(0, 255).astype(np.uint8)


def _between(low: float, high: float) -> float:
    """From torch's generator, which the loader seeds for each worker."""
    return float(torch.empty(()).uniform_(low, high))
