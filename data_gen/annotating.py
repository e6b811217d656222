"""Annotations of others, COCO, Visual Genome or the TACO reference's form, and their photographs become a folder of scenes.

    >>> annotate(Source("coco", Path("instances_val2017.json"), Path("val2017")), Path("photos"))
    Report(images=..., objects=..., ...)

On disk: ``annotations.jsonl``, ``images/`` and ``disparity/`` (see `taco.data_gen.annotations`, which reads them);
``rejected.jsonl``, what could not be used and why; ``config.json``, what the folder was made from, without a path.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image

from taco.data_gen import disparities as depth_arrays
from taco.data_gen.annotation_forms import Boxed, Corners, Entries, Entry, Rejected, clean, coco, reference, visual_genome
from taco.data_gen.annotations import AnnotatedImages, Report, begin, finish, log, report
from taco.data_gen.masks import Mask, encode
from taco.data_gen.scenes.scene import Box, Disparity, ObjectScene, Relation, SceneObject
from taco.errors import RunError
from taco.tools import depth as depth_tool
from taco.tools.action import ToolError
from taco.tools.images import FORMATS, ImageError, open_image, pixel_hash
from taco.tools.regions import whole_pixels_of
from taco.trace import IMAGES_DIR, write_new

Form = Literal["coco", "visual-genome", "reference"]


@dataclass(frozen=True)
class Source:
    """Annotations of others, and their images.

    Attributes:
        form: Of the file.
        file: The JSON; of Visual Genome objects.json or scene_graphs.json.
        images: The folder of images.
        attributes: Visual Genome's attributes.json.
        relationships: Visual Genome's relationships.json.
        depth: Folder of depth arrays, larger is nearer.
        masks: Folder of the reference's masks, bool [objects, height, width].
        estimate_depth: Whether `taco.tools.depth` makes the arrays that are not there.
        exhaustive: Whether all objects of the names that occur are annotated; None: of COCO yes, of others no. If not, nothing
            is said to be absent.
        min_score: Objects of the reference's form below this score are dropped.

    Raises:
        ValueError: If an option does not belong to the form, or depth cannot be estimated here.
    """

    form: Form
    file: Path
    images: Path
    attributes: Path | None = None
    relationships: Path | None = None
    depth: Path | None = None
    masks: Path | None = None
    estimate_depth: bool = False
    exhaustive: bool | None = None
    min_score: float = 0.0

    def __post_init__(self) -> None:
        own = {"visual-genome": ("attributes", "relationships"), "reference": ("masks", "min_score")}
        strange = [
            name for form, names in own.items() for name in names if form != self.form and getattr(self, name) not in (None, 0.0)
        ]
        if strange:
            raise ValueError(f"--{strange[0].replace('_', '-')} does not belong to the form {self.form}. Leave it out.")
        if self.masks and not self.with_depth:
            raise ValueError("Masks serve to average depth. Give --depth or --estimate-depth too, or leave --masks out.")
        for folder in (self.images, self.depth, self.masks):
            if folder is not None and not folder.is_dir():
                raise ValueError(f"There is no folder {folder}. Check its path.")
        if self.estimate_depth and (problem := _no_depth_of_photographs()):
            raise ValueError(f"Depth cannot be estimated here. {problem}")

    @property
    def with_depth(self) -> bool:
        return self.depth is not None or self.estimate_depth

    def entries(self) -> Entries:
        if self.form == "coco":
            return coco(self.file, polygons=self.with_depth)
        if self.form == "visual-genome":
            return visual_genome(self.file, self.attributes, self.relationships)
        return reference(self.file)

    def settings(self) -> dict[str, Any]:
        """What the folder depends on, without a path."""
        files = {"file": self.file, "attributes": self.attributes, "relationships": self.relationships}
        return {
            "form": self.form,
            **{name: _sha256(file) for name, file in files.items() if file},
            "depth": self.depth is not None,
            "masks": self.masks is not None,
            "estimated_by": depth_tool.WEIGHTS.backend if self.estimate_depth else None,
            "exhaustive": self.exhaustive,
            "min_score": self.min_score,
        }


def _no_depth_of_photographs() -> str | None:
    """Why depths of photographs cannot be estimated; None where they can."""
    weights = depth_tool.WEIGHTS
    if weights.is_nano:
        return f"{weights.backend} knows rendered scenes only. Download a larger model: hf download {weights.default}"
    return weights.unavailable()


def annotate(source: Source, out: Path, *, on_done: Callable[[int], None] | None = None) -> Report:
    """Bring annotations of others into a folder; go on where an interrupted run stopped.

    Image files are hard-linked, or copied where that cannot be: the folder needs no other one, and on one disk costs no space.

    Args:
        source: The annotations.
        out: The folder. Ends with the same bytes however often the run was interrupted; a finished one is left as it is.
        on_done: Called with the number of images that are done.

    Raises:
        ValueError: If a file is not of its form, no image can be used, or the folder was begun with other settings or holds other
            things.
        RunError: If the depth model fails.
    """
    done = begin(out, source.settings())
    if done is not None:
        for number, (record, rejected) in enumerate(_looked_at(source, out, done), start=done + 1):
            log(out, record, [asdict(one) for one in rejected])
            if on_done:
                on_done(number)
        finish(out)
    return report(out)


def _looked_at(source: Source, out: Path, done: int) -> Iterator[tuple[AnnotatedImages | None, list[Rejected]]]:
    """What becomes of each image from number `done` on."""
    ids, files = set[str](), set[Path]()
    for number, entry in enumerate(source.entries()):
        if isinstance(entry, Rejected):
            if number >= done:
                yield None, [entry]
            continue
        file = next((source.images / name for name in entry.files if (source.images / name).is_file()), None)
        twice = "its id" if entry.id in ids else "its file" if file in files else ""
        ids.add(entry.id)
        if file is not None:
            files.add(file)
        if number < done:
            continue
        try:
            if twice:
                raise _Unusable(f"{twice} is that of an image before it")
            if file is None:
                raise _Unusable("there is no such file", entry.files[0] if entry.files else "")
            record = _Look(source, entry, file).record(out)
        except _Unusable as error:
            entry.reject("image", error.reason, error.found)
            record = None
        yield record, entry.rejected


class _Unusable(Exception):
    """Why an image, or a part of it, cannot be used."""

    def __init__(self, reason: str, found: object = "") -> None:
        super().__init__(reason)
        self.reason, self.found = reason, str(found)


class _Look:
    """One image, beside what its file says of it. Raises _Unusable."""

    def __init__(self, source: Source, entry: Entry, file: Path) -> None:
        self._source, self._entry, self._file = source, entry, file
        try:
            self._image = open_image(file)
        except ImageError as error:
            raise _Unusable("it cannot be opened", str(error).replace(str(file), entry.files[0])) from None
        with Image.open(file, formats=FORMATS) as stored:
            turned = stored.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
            self._suffix, size = f".{stored.format}".lower(), stored.size
        if turned and (entry.size != self._image.size or size == self._image.size):
            raise _Unusable("its EXIF data turn it, and its boxes may be from before; save it upright, with boxes to match")
        if entry.size not in (None, self._image.size):
            raise _Unusable("its size is another than its file says", f"{self._image.size} and {entry.size}")

    def record(self, out: Path) -> AnnotatedImages:
        """What is to be known of the image. Its pixels and its depth array are put into the folder."""
        values = self._array() if self._source.with_depth else None
        annotation = self._annotation(values)
        name = f"{IMAGES_DIR}/{pixel_hash(self._image)}{self._suffix}"
        _place(self._file, out / name)
        arrays = () if values is None else (depth_arrays.save_disparity(values, out),)
        return AnnotatedImages(
            id=self._entry.id, images=(name,), annotation=annotation, disparities=arrays, source=self._entry.source
        )

    def _annotation(self, values: depth_arrays.Array | None) -> ObjectScene:
        entry = self._entry
        boxes = {one.key: box for one in entry.objects if (box := self._box(one)) is not None}
        masks = dict(self._masks(boxes))
        depths = {} if values is None else self._depths(depth_arrays.to_disparity(values, self._image.size), boxes, masks)
        objects = tuple(
            SceneObject(
                name=one.name,
                attributes=_attributes(one),
                bbox=boxes[one.key],
                depth=depths.get(one.key),
                mask=encode(masks[one.key]) if one.key in masks else None,
            )
            for one in entry.objects
            if one.key in boxes
        )
        claimed = entry.exhaustive if self._source.exhaustive is None else self._source.exhaustive
        exhaustive = claimed and not any(fault.part == "object" for fault in entry.rejected)
        if not objects and not exhaustive:
            raise _Unusable("no object of it can be used")
        width, height = self._image.size
        relations = self._relations({key: number for number, key in enumerate(boxes)})
        return ObjectScene(
            width=width,
            height=height,
            objects=objects,
            relations=relations,
            exhaustive=exhaustive,
            partial=entry.partial if exhaustive else (),
            absent=entry.absent if exhaustive else (),
        )

    def _box(self, one: Boxed) -> Box | None:
        if one.score < self._source.min_score:
            self._entry.reject("guess", "its score is below --min-score", f"object {one.key}: {one.score}")
            return None
        try:
            if not one.name:
                raise _Unusable("it has no name")
            return _fractions(one.box, self._image)
        except _Unusable as error:
            self._entry.reject("object", error.reason, f"object {one.key}: {list(one.box)} {error.found}".strip())
            return None

    def _relations(self, numbers: dict[str, int]) -> tuple[Relation, ...]:
        found: dict[Relation, None] = {}  # in order, each once
        for subject, predicate, other in self._entry.relations:
            said = f"{subject} {predicate} {other}"
            if subject not in numbers or other not in numbers:
                self._entry.reject("relation", "an end of it is no object that can be used", said)
            elif subject == other or not clean(predicate):
                self._entry.reject("relation", "it relates an object to itself, or has no predicate", said)
            else:
                found[Relation(subject=numbers[subject], predicate=clean(predicate), object=numbers[other])] = None
        return tuple(found)

    def _array(self) -> depth_arrays.Array | None:
        """The depth array, one that can be brought to the image's size; None where there is none."""
        folder = self._source.depth
        found = depth_arrays.find_array(folder, _names(self._entry.depth, self._file)) if folder else None
        if found is None and not self._source.estimate_depth:
            self._entry.reject("depth", "there is no array for it", self._entry.depth)
            return None
        try:
            values = depth_arrays.read_array(found) if found else _estimate(self._image)
            depth_arrays.to_disparity(values, self._image.size)
        except ValueError as error:
            self._entry.reject("depth", "its array cannot be used", f"{found.name if found else 'estimated'}: {error}")
            return None
        return values

    def _depths(self, disparity: Disparity, boxes: dict[str, Box], masks: dict[str, Mask]) -> dict[str, float]:
        """Over the mask, where there is one, else over the box."""
        depths = {}
        for key, box in boxes.items():
            left, top, right, bottom = whole_pixels_of(self._image, list(box))
            depths[key] = depth_arrays.mean_depth(disparity, masks.get(key, np.s_[top:bottom, left:right]))
        return depths

    def _masks(self, boxes: dict[str, Box]) -> Iterator[tuple[str, Mask]]:
        """By the objects' keys, of those that have one."""
        stored = self._stored_masks() if self._source.masks else None
        for number, one in enumerate(self._entry.objects):
            if one.key in boxes and (one.polygons or stored is not None):
                mask = stored[number] if stored is not None else depth_arrays.outline_mask(one.polygons, self._image.size)
                if mask.any():
                    yield one.key, mask

    def _stored_masks(self) -> depth_arrays.Array | None:
        """bool [objects, height, width] of the reference's form."""
        said, folder = self._entry.masks, self._source.masks
        found = depth_arrays.find_array(folder, _names(said, self._file)) if folder else None
        if found is None:
            pickled = " but a pickle, which is not opened" if said.endswith(".pkl") else ""
            self._entry.reject("mask", f"there are none{pickled}; depth is that of boxes", said)
            return None
        try:
            masks = depth_arrays.read_array(found)
            expected = (len(self._entry.objects), self._image.height, self._image.width)
            if masks.shape != expected or masks.dtype.kind not in "bui":
                raise ValueError(f"{masks.dtype} {list(masks.shape)}; bool {list(expected)} is expected")
        except ValueError as error:
            self._entry.reject("mask", "they cannot be used; depth is that of boxes", f"{found.name}: {error}")
            return None
        return masks > 0


def _fractions(box: Corners, image: Image.Image) -> Box:
    """A box as fractions of the image, what sticks out cut off."""
    left, top, right, bottom = box
    if right < left or bottom < top:
        raise _Unusable("its box has sides that are swapped, or a size below 0")
    if right == left or bottom == top:
        raise _Unusable("its box is empty")
    width, height = image.size
    inner = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    seen = max(0.0, inner[2] - inner[0]) * max(0.0, inner[3] - inner[1])
    if seen < 0.5 * (right - left) * (bottom - top):
        raise _Unusable("most of its box is outside of the image", f"of {width}x{height}")
    bbox = (inner[0] / width, inner[1] / height, inner[2] / width, inner[3] / height)
    try:
        whole_pixels_of(image, list(bbox))
    except ToolError:
        raise _Unusable("its box is less than a pixel") from None
    return bbox


def _attributes(one: Boxed) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(map(clean, one.attributes)) if name)


def _names(said: str, file: Path) -> tuple[str, ...]:
    """Under which names an array may lie: the one that is said, and the image's."""
    return tuple(name for name in (said.replace("\\", "/").rsplit("/", 1)[-1], file.name) if name)


def _estimate(image: Image.Image) -> depth_arrays.Array:
    """float16 is precise enough (11 bits) and half as large."""
    try:
        depth = depth_tool.depth_map(image)
    except ToolError as error:
        raise RunError(str(error)) from None
    return np.asarray(depth.max() - depth, np.float16)


def _place(file: Path, target: Path) -> None:
    """A hard link to the file, or a copy; what is there is left alone, it is named by its content."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file.resolve(), target)
    except OSError:  # another disk, or one without links
        write_new(target, file.read_bytes())


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}. Check its path.") from None
