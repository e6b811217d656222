"""Scenes of a folder: annotated images, photographs mostly, with their depth arrays.

    >>> scenes = read_scenes("photos")                  # see `taco.data_gen.annotating` for how they get there
    >>> len(scenes), scenes[17].annotation.objects[0].name           # pixels are opened when they are first looked at
    (5000, 'potted plant')

On disk: ``annotations.jsonl``, one `AnnotatedImages` a line, and the files that it names, which are named by their content.
`taco-data generate --tasks-only` writes lines of this form too.
"""

import array
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from taco.data_gen.disparities import DISPARITY_DIR, read_array, to_disparity
from taco.data_gen.folders import CONFIG_FILE, claim, records, whole_lines
from taco.data_gen.scenes.charts import ChartScene
from taco.data_gen.scenes.equations import EquationScene
from taco.data_gen.scenes.scene import Disparity, ObjectScene, PriceScene, Scene, SceneSet
from taco.data_gen.scenes.signs import SignScene
from taco.data_gen.scenes.tables import TableScene
from taco.tools.images import ImageError, open_image, pixel_hash
from taco.trace import IMAGES_DIR, append_line, inside

ANNOTATIONS_FILE, REJECTED_FILE = "annotations.jsonl", "rejected.jsonl"
LOG_FILE = "annotate.log"
"""What an unfinished run has done: a line for each image. The other files are made from it at the end."""


OfAnyFamily = ChartScene | EquationScene | ObjectScene | PriceScene | SceneSet | SignScene | TableScene


class AnnotatedImages(BaseModel):
    """One line: image files and disparity arrays (relative to the folder) with what they show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = ""
    images: tuple[str, ...]
    annotation: Annotated[OfAnyFamily, Field(discriminator="family")]
    disparities: tuple[str | None, ...] = ()
    source: str = ""

    @field_validator("images", "disparities")
    @classmethod
    def _inside(cls, files: tuple[str | None, ...]) -> tuple[str | None, ...]:
        return tuple(None if file is None else inside(file) for file in files)


class SceneError(ValueError):
    """A scene whose ``file`` (its name in the folder) is gone or no longer what it was; ``reason`` says so without a path."""

    def __init__(self, message: str, reason: str = "", file: str = "") -> None:
        super().__init__(message)
        self.reason, self.file = reason, file


class StoredScene(Scene):
    """A scene of a folder. Its pixels are opened at first use.

    Raises:
        SceneError: At first use, if a file is gone or no longer what it was.
    """

    def __init__(self, folder: Path, record: AnnotatedImages) -> None:
        object.__setattr__(self, "annotation", record.annotation)
        object.__setattr__(self, "_record", record)
        object.__setattr__(self, "_folder", folder)

    _record: AnnotatedImages
    _folder: Path

    @cached_property
    def images(self) -> tuple[Image.Image, ...]:
        return tuple(_open_stored(self._folder, file) for file in self._record.images)

    @cached_property
    def disparities(self) -> tuple[Disparity | None, ...]:
        annotations = getattr(self.annotation, "scenes", (self.annotation,))
        return tuple(
            None if file is None else _read_stored(self._folder, file, (said.width, said.height))
            for file, said in zip(self._record.disparities, annotations, strict=False)
        )


class Scenes:
    """The scenes of a folder, by number; in memory are only their places in the file.

    Attributes:
        digest: SHA-256 of annotations.jsonl, which names images and arrays by their content: equal digests, equal scenes.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / ANNOTATIONS_FILE
        self._offsets = array.array("Q")
        digest, offset = hashlib.sha256(), 0
        try:
            with self._file.open("rb") as lines:
                for line in lines:
                    if line.strip():
                        self._offsets.append(offset)
                    digest.update(line)
                    offset += len(line)
        except FileNotFoundError:
            unfinished = (folder / LOG_FILE).exists()
            remedy = "It was interrupted: run the same command again" if unfinished else "See `taco-data annotate --help`"
            raise ValueError(f"{folder} has no {ANNOTATIONS_FILE}. {remedy}.") from None
        if not self._offsets:
            raise ValueError(f"{self._file} is empty. Annotate images into a new folder.")
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, number: int) -> Scene:
        return StoredScene(self._file.parent, self.record(number))

    def __iter__(self) -> Iterator[Scene]:
        return (self[number] for number in range(len(self)))

    def record(self, number: int) -> AnnotatedImages:
        """The line of scene `number`, 0 for the first.

        Raises:
            IndexError: If there is no such number.
            ValueError: If the line is no record.
        """
        offset = self._offsets[number]
        with self._file.open("rb") as lines:
            lines.seek(offset)
            line = lines.readline()
        try:
            return AnnotatedImages.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise ValueError(f"{self._file}, scene {number}: {where}: {first['msg']}. Annotate into a new folder.") from None


def read_scenes(folder: str | os.PathLike[str]) -> Scenes:
    """The scenes of a folder that `annotate` (or ``generate --tasks-only``) wrote: ``len(scenes)``, ``scenes[i]``.

    Raises:
        ValueError: If there is no finished ``annotations.jsonl``.
    """
    return Scenes(Path(folder))


def _open_stored(folder: Path, file: str) -> Image.Image:
    try:
        image = open_image(folder / file)
    except ImageError as error:
        raise SceneError(str(error), "its image is gone or broken", file) from None
    if pixel_hash(image) != Path(file).stem:
        message = f"{folder / file} is not the image that was annotated: its pixels changed. Annotate into a new folder."
        raise SceneError(message, "its image is not the one that was annotated", file)
    return image


def _read_stored(folder: Path, file: str, size: tuple[int, int]) -> Disparity:
    try:
        return to_disparity(read_array(folder / file), size)
    except ValueError as error:
        message = f"{folder / file}: {error}. Annotate into a new folder."
        raise SceneError(message, "its disparity array is gone or broken", file) from None


# ---------------------------------------------------------------------- writing


@dataclass
class Report:
    """What a folder holds: counts, and of what was rejected the reasons by part."""

    images: int = 0
    objects: int = 0
    relations: int = 0
    with_depth: int = 0
    exhaustive: int = 0
    rejected: dict[str, dict[str, int]] = field(default_factory=dict)


def report(folder: Path) -> Report:
    """Count what `annotate` wrote into a folder."""
    counts, rejected = Report(), dict[str, Counter[str]]()
    for record in records(folder / ANNOTATIONS_FILE):
        counts.images += 1
        counts.objects += len(record["annotation"]["objects"])
        counts.relations += len(record["annotation"]["relations"])
        counts.with_depth += any(record["disparities"])
        counts.exhaustive += record["annotation"]["exhaustive"]
    for fault in records(folder / REJECTED_FILE):
        rejected.setdefault(fault["part"], Counter())[fault["reason"]] += 1
    counts.rejected = {part: dict(reasons.most_common()) for part, reasons in sorted(rejected.items())}
    return counts


def begin(out: Path, settings: dict[str, Any]) -> int | None:
    """Make the folder this run's own, or find that it is; returns how many images are done, None if all are.

    Raises:
        ValueError: If it was begun with other settings, or holds other things.
    """
    claim(out, settings)
    if (out / ANNOTATIONS_FILE).exists():
        (out / LOG_FILE).unlink(missing_ok=True)
        return None
    for folder in (out, out / IMAGES_DIR, out / DISPARITY_DIR):
        for leftover in folder.glob("*.part"):
            leftover.unlink()
    return sum(1 for _ in whole_lines(out / LOG_FILE))


def log(out: Path, record: AnnotatedImages | None, rejected: list[dict[str, str]]) -> None:
    """One image is done."""
    line = {"record": record and record.model_dump(mode="json"), "rejected": rejected}
    append_line(out / LOG_FILE, json.dumps(line, ensure_ascii=False))


def finish(out: Path) -> None:
    """Make annotations.jsonl and rejected.jsonl from the log.

    Raises:
        ValueError: If no image was kept; the folder is then as before.
    """
    drafts = {name: out / f"{name}.part" for name in (REJECTED_FILE, ANNOTATIONS_FILE)}
    reasons, kept = Counter[str](), 0
    with drafts[ANNOTATIONS_FILE].open("wb") as lines, drafts[REJECTED_FILE].open("wb") as faults:
        for done in records(out / LOG_FILE):
            if done["record"]:
                kept += 1
                lines.write(_json_line(done["record"]))
            for fault in done["rejected"]:
                reasons[f"{fault['part']}: {fault['reason']}"] += 1
                faults.write(_json_line(fault))
    if not kept:
        for file in (*drafts.values(), out / LOG_FILE, out / CONFIG_FILE):
            file.unlink(missing_ok=True)
        why = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
        raise ValueError(f"No image can be used ({why or 'there is none'}). Check the file, its form and --images.")
    for name, draft in drafts.items():
        os.replace(draft, out / name)
    (out / LOG_FILE).unlink()


def _json_line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
