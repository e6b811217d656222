"""Does a trace show what a model is to be tested on? Its images, near copies of them, or its question about a similar picture.

>>> evaluation = Evaluation([Path("data/test")])
>>> evaluation.fault(trace, folder)
'image-0 is one of prices-test-5-000003-0'
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from taco.data_gen.duplicates import NEAR_BITS, ImageHashes, alike, digest, near_key, perceptual_hash
from taco.data_gen.selection import inputs
from taco.evaluation.scoring import normalized
from taco.tools.images import open_image, pixel_hash
from taco.trace import TRACES_FILE, Task, Trace, read_tasks, read_traces

TASKS_FILE = "tasks.jsonl"
SAME_QUESTION_BITS = 64
"""Bits of 256 in which two images may differ where the question is the same, too: for example one that was cropped by 2 %."""


def evaluation_file(path: Path) -> Path:
    """The file of tasks or traces that a path means.

    Raises:
        ValueError: If a folder holds neither.
    """
    if not path.is_dir():
        return path
    for name in (TASKS_FILE, TRACES_FILE):
        if (path / name).is_file():
            return path / name
    raise ValueError(f"{path} holds neither {TASKS_FILE} nor {TRACES_FILE}. Give the evaluation's folder or file.")


class Evaluation:
    """The images and questions of evaluation files, as hashes.

    Args:
        paths: ``tasks.jsonl`` files, or folders with one, or folders of traces.
        hashes: Those of the images that are asked about; kept for the next time.

    Raises:
        ValueError: If a file is missing, a line of it cannot be read, or an image cannot be opened.
    """

    def __init__(self, paths: Iterable[Path], hashes: ImageHashes | None = None) -> None:
        self._hashes = hashes or ImageHashes()
        self._images: dict[str, str] = {}
        self._owners: list[str] = []
        self._questions: dict[bytes, list[tuple[str, tuple[int, ...]]]] = {}
        rows: list[np.ndarray] = []
        for task, images in _tasks(paths):
            for sha256, bits in images:
                if sha256 not in self._images:
                    self._images[sha256] = task.id
                    self._owners.append(task.id)
                    rows.append(_words(bits))
            self._questions.setdefault(_key(task), []).append((task.id, tuple(bits for _, bits in images)))
        self._bits = np.array(rows, dtype=np.uint64).reshape(-1, 4)

    def __len__(self) -> int:
        return sum(map(len, self._questions.values()))

    def fault(self, trace: Trace, folder: Path) -> str | None:
        """Why a trace of a folder must not be trained on; None where it may.

        Raises:
            TraceError: If one of its input images cannot be opened.
        """
        for name, image in trace.images.items():
            if image.sha256 in self._images:
                return f"{name} is one of {self._images[image.sha256]}"
        hashes = tuple(self._hashes.of(folder / image.file, image.sha256) for image in inputs(trace))
        for number, bits in enumerate(hashes):
            distances = np.bitwise_count(self._bits ^ _words(bits)).sum(axis=1)
            if len(distances) and distances.min() <= NEAR_BITS:
                owner = self._owners[int(distances.argmin())]
                return f"image-{number} is nearly one of {owner}: {distances.min()} of 256 bits differ"
        for owner, others in self._questions.get(_key(trace.task), ()):
            if alike(hashes, others, SAME_QUESTION_BITS):
                return f"its question is that of {owner}" + (", about similar images" if hashes else "")
        return None


def _tasks(paths: Iterable[Path]) -> Iterator[tuple[Task, list[tuple[str, int]]]]:
    """Each task with the pixel hash and the perceptual hash of its images."""
    hashes = lru_cache(64)(_hashes)  # the questions of an image follow each other
    for path in paths:
        file = evaluation_file(path)
        if file.name == TRACES_FILE:
            for trace in read_traces(file.parent):
                yield trace.task, [hashes(file.parent / image.file) for image in inputs(trace)]
        else:
            for task in read_tasks(file):
                yield task, [hashes(Path(image)) for image in task.images]


def _hashes(file: Path) -> tuple[str, int]:
    image = open_image(file)
    return pixel_hash(image), perceptual_hash(image)


def _key(task: Task) -> bytes:
    return digest(near_key(task.question), sorted(map(normalized, task.choices)) if task.choices else None)


def _words(bits: int) -> "np.ndarray":
    return np.frombuffer(bits.to_bytes(32), dtype=">u8").astype(np.uint64)
