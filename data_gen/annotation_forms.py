"""Annotation files of others, image by image: COCO, Visual Genome, and the TACO reference's own.

    >>> [entry, *_] = coco(Path("instances_val2017.json"))
    >>> entry.id, entry.objects[0].name, entry.objects[0].box
    ('397133', 'bottle', (217.62, 240.54, 256.61, 298.29))

Here the files are only read; what they say is compared with the images in `taco.data_gen.annotating`. JSON is streamed. In memory
are, of COCO, the boxes of all images (and polygons, where they are wanted), and, of Visual Genome, attributes and relationships.
"""

import contextlib
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, ValidationError

from taco.data_gen.scenes.scene import overlap
from taco.tools.tool import short
from taco.trace import inside

Corners = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels, as the file says; not checked."""
Polygons = tuple["array[float]", ...]
"""Outlines (x1, y1, x2, y2 ...) in pixels."""

SAME_OBJECT = 0.7
"""Two boxes of one name whose intersection over union is at least this are one object that was annotated twice."""
_PARTS = {"attributes": "attributes", "relationships": "relation"}
_PLURALS = frozenset({"people", "men", "women", "children", "feet", "teeth"})


@dataclass(frozen=True)
class Rejected:
    """What could not be used.

    Attributes:
        image: The id of its image.
        part: What of it: ``image``, ``object``, ``duplicate`` (a second box of an object), ``guess`` (a low score),
            ``attributes``, ``relation``, ``depth``, ``mask`` or ``category``.
        reason: Why, in words that are the same for all such.
        found: Which one, and what is wrong with it.
    """

    image: str
    part: str
    reason: str
    found: str = ""


@dataclass
class Boxed:
    """An object as a file describes it; relations name it by `key`."""

    key: str
    name: str
    box: Corners
    attributes: list[str] = field(default_factory=list)
    polygons: Polygons = ()
    score: float = 1.0


@dataclass
class Entry:
    """An image as a file describes it.

    Attributes:
        id: In its file.
        files: Where its image may lie, relative to the folder of images.
        source: Where it comes from, for people.
        size: Width and height that the file says; None where it says none.
        objects: In the file's order.
        relations: (key of the subject, predicate, key of the object).
        exhaustive: Whether every object of its names is annotated, as far as none is rejected.
        partial: Names of which that is not so all the same.
        absent: Names that were looked for and not found, as far as no object is rejected.
        depth: File name of its depth array, where the file names one.
        masks: File name of its masks, one for each object in order, where the file names one.
        rejected: What of it could not be used.
    """

    id: str
    files: tuple[str, ...]
    source: str
    size: tuple[int, int] | None = None
    objects: list[Boxed] = field(default_factory=list)
    relations: list[tuple[str, str, str]] = field(default_factory=list)
    exhaustive: bool = False
    partial: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    depth: str = ""
    masks: str = ""
    rejected: list[Rejected] = field(default_factory=list)

    def reject(self, part: str, reason: str, found: object = "") -> None:
        self.rejected.append(Rejected(self.id, part, reason, str(found)))


Entries = Iterator[Entry | Rejected]
"""Images; and what belongs to no image that could be read."""


# ---------------------------------------------------------------------- COCO


class _Row(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)
    part: ClassVar[str] = "object"


class _Category(_Row):
    part = "category"
    id: str
    name: str


class _CocoImage(_Row):
    part = "image"
    id: str
    file_name: str = Field(validation_alias=AliasChoices("file_name", "coco_url"))  # LVIS 1 has the URL only
    width: int
    height: int
    neg_category_ids: list[str] | None = None  # LVIS: only these are known to be absent
    not_exhaustive_category_ids: list[str] = []


class _CocoObject(_Row):
    id: str = "?"
    image_id: str
    category_id: str
    bbox: Corners  # left, top, width, height
    iscrowd: bool = False
    segmentation: Any = None


def coco(file: Path, *, polygons: bool = False) -> Entries:
    """The images of a COCO file (``images``, ``annotations``, ``categories``).

    Every object of its categories is taken to be annotated, and the categories without an object to be absent, except where an
    image has a crowd region, which is dropped (it is no single object), or an object that cannot be used. LVIS (Gupta et al.,
    2019) did not look for every category in every image: its ``neg_category_ids`` are absent, its ``not_exhaustive_category_ids``
    partial.

    Args:
        file: The JSON.
        polygons: Whether outlines are wanted, for depth.

    Raises:
        ValueError: If it is no such file.
    """
    faults: list[Rejected] = []
    names = {row.id: clean(row.name) for row in _rows(_items(file, "categories.item"), _Category, faults)}
    objects: dict[str, list[tuple[str, str, Corners, bool, Polygons | None]]] = defaultdict(list)
    for row in _rows(_items(file, "annotations.item"), _CocoObject, faults):
        outline = _polygons(row.segmentation) if polygons else ()
        objects[row.image_id].append((row.id, sys.intern(row.category_id), row.bbox, row.iscrowd, outline))
    incomplete = {fault.image for fault in faults}
    for image in _rows(_items(file, "images.item"), _CocoImage, faults):
        entry = Entry(image.id, _places(image.file_name), file.name, (image.width, image.height))
        entry.exhaustive = image.id not in incomplete
        for one in objects.pop(image.id, ()):
            _add_coco(entry, names, *one)
        looked_for = names if image.neg_category_ids is None else image.neg_category_ids
        found = {one.name for one in entry.objects}
        entry.absent = tuple(dict.fromkeys(name for key in looked_for if (name := names.get(key, "")) and name not in found))
        entry.partial = tuple(names[key] for key in image.not_exhaustive_category_ids if key in names)
        yield entry
    yield from faults
    for orphan, rows in objects.items():
        yield Rejected(orphan, "object", "its image is not in the file", f"{len(rows)} objects")


def _add_coco(
    entry: Entry, names: dict[str, str], key: str, category: str, box: Corners, crowd: bool, outline: Polygons | None
) -> None:
    left, top, width, height = box
    if crowd:
        entry.reject("object", "a crowd region, not one object", f"annotation {key}")
    elif category not in names:
        entry.reject("object", "its category is not in the file", f"annotation {key}: category {category}")
    else:
        entry.objects.append(Boxed(key, names[category], (left, top, left + width, top + height), polygons=outline or ()))
    if outline is None and not crowd:
        entry.reject("mask", "only polygons are read; depth is that of the box", f"annotation {key}")


def _polygons(segmentation: Any) -> Polygons | None:
    """The outlines; None where they are none (run lengths)."""
    try:
        outlines = tuple(array("f", one[: len(one) // 2 * 2]) for one in segmentation or ())
    except (TypeError, KeyError):
        return None
    return outlines if all(len(one) >= 6 and max(map(abs, one)) < 1e6 for one in outlines) else None


# ---------------------------------------------------------------------- Visual Genome


class _GenomeObject(_Row):
    object_id: str = Field(validation_alias=AliasChoices("object_id", "id"))
    x: float
    y: float
    w: float
    h: float
    names: list[str]
    synsets: list[str] = []
    attributes: list[str] | None = None
    merged_object_ids: list[str] = []


class _GenomeAttributes(_Row):
    part = "attributes"
    object_id: str
    attributes: list[str] | None = None


class _GenomeRelation(_Row):
    part = "relation"
    predicate: str
    subject: str = Field(validation_alias=AliasChoices("subject_id", AliasPath("subject", "object_id")))
    object: str = Field(validation_alias=AliasChoices("object_id", AliasPath("object", "object_id")))


def visual_genome(objects: Path, attributes: Path | None = None, relationships: Path | None = None) -> Entries:
    """The images of Visual Genome: ``objects.json``, or ``scene_graphs.json``, which holds all three.

    The first name counts. A box whose name is the plural of its synset ("shoes", shoe.n.01) is dropped: it is no single object.
    Boxes of one name that overlap by SAME_OBJECT are merged. Never exhaustive: annotators drew what they spoke of.

    Raises:
        ValueError: If one of them is no such file.
    """
    faults: list[Rejected] = []
    said = _genome_lists(attributes, "attributes", _GenomeAttributes, faults)
    related = _genome_lists(relationships, "relationships", _GenomeRelation, faults)
    for entry, raw in _genome_images(objects, "objects", faults):
        owners = _add_genome_objects(entry, raw["objects"])
        for key, texts in said.pop(entry.id, ()):
            if key in owners:
                owners[key].attributes += texts or ()
            elif texts:
                entry.reject("attributes", "there is no such object", f"object {key}: {', '.join(texts)}")
        inner = raw.get("relationships") or []
        own = _rows(inner if isinstance(inner, list) else [inner], _GenomeRelation, entry.rejected, entry.id)
        for predicate, *ends in (*(dict(row).values() for row in own), *related.pop(entry.id, ())):
            subject, other = (owners[end].key if end in owners else end for end in ends)
            entry.relations.append((subject, predicate, other))
        yield entry
    yield from faults
    for key, images in (("attributes", said), ("relationships", related)):
        for image, rows in images.items():
            yield Rejected(image, _PARTS[key], "its image is not in the file of objects", f"{len(rows)} of them")


def _add_genome_objects(entry: Entry, rows: Sequence[Any]) -> dict[str, Boxed]:
    """Adds the objects; returns them by their ids, those of merged ones included."""
    owners: dict[str, Boxed] = {}
    for row in _rows(rows, _GenomeObject, entry.rejected, entry.id):
        where, name = f"object {row.object_id}", clean(next(iter(row.names), ""))
        if row.object_id in owners:
            entry.reject("object", "its id is that of another object of the image", where)
            continue
        if _is_plural(name, row.synsets):
            entry.reject("object", "it is several: a plural name", f"{where}: {name}")
            continue
        box = (row.x, row.y, row.x + row.w, row.y + row.h)
        twin = next((one for one in entry.objects if one.name == name and overlap(one.box, box) >= SAME_OBJECT), None)
        if twin is not None:
            entry.reject("duplicate", "annotated twice: merged", f"{where} into {twin.key}")
        else:
            twin = Boxed(row.object_id, name, box)
            entry.objects.append(twin)
        twin.attributes += row.attributes or []
        owners.update(dict.fromkeys((row.object_id, *row.merged_object_ids), twin))
    return owners


def _genome_images(file: Path, key: str, faults: list[Rejected]) -> Iterator[tuple[Entry, dict[str, Any]]]:
    """The members of a list by image that have `key`, with an empty entry each."""
    for raw in _items(file, "item"):
        image = raw.get("image_id", raw.get("id")) if isinstance(raw, dict) else None
        if image is None or not isinstance(raw.get(key), list):
            found = f"an object with {', '.join(raw)}" if isinstance(raw, dict) else short(raw)
            faults.append(
                Rejected(str(image or "?"), _PARTS.get(key, "image"), f"it is no object with image_id and {key}", found)
            )
            continue
        places = (place for folder in ("", "VG_100K/", "VG_100K_2/") for place in _places(f"{folder}{image}.jpg")[:1])
        yield Entry(str(image), tuple(places), file.name), raw


def _genome_lists(file: Path | None, key: str, record: type["_R"], faults: list[Rejected]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each image in attributes.json or relationships.json, as tuples: there are millions."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for entry, raw in _genome_images(file, key, faults) if file else ():
        found = [tuple(dict(row).values()) for row in _rows(raw[key], record, faults, entry.id)]
        rows.setdefault(entry.id, []).extend(found)
    return rows


def _is_plural(name: str, synsets: Sequence[str]) -> bool:
    lemma = clean(synsets[0].split(".")[0]) if synsets else ""
    endings = {lemma + "s", lemma + "es", lemma[:-1] + "ies", lemma[:-1] + "ves"} if lemma else set()
    return name in _PLURALS or (name != lemma and name in endings)


# ---------------------------------------------------------------------- the reference's own


class _Reference(_Row):
    width: int
    height: int
    bboxes: list[Corners]
    labels: list[str]
    attributes: list[list[str]] | None = None
    relations: list[tuple[int, str, int]] | None = None
    det_scores: list[float] | None = None
    depth_mask_id: str | None = None
    seg_mask_id: str | None = None


class _ReferenceImage(_Row):
    data_path: str
    annotation: _Reference
    source: str | None = None


def reference(file: Path) -> Entries:
    """The images of the reference's form: ``{image_id: {data_path, annotation, source}}``. Not exhaustive: a detector made it.

    Raises:
        ValueError: If it is no such file.
    """
    for image, raw in _items(file, ""):
        try:
            row = _ReferenceImage.model_validate(raw)
        except ValidationError as error:
            yield Rejected(image, "image", "no entry of this form", _fault(error))
            continue
        said = row.annotation
        lists = {"labels": said.labels, "attributes": said.attributes, "det_scores": said.det_scores}
        lengths = {key: len(items) for key, items in lists.items() if items is not None and len(items) != len(said.bboxes)}
        if lengths:
            yield Rejected(image, "image", "its lists are not of one length", f"{lengths}, and {len(said.bboxes)} bboxes")
            continue
        yield _reference_entry(image, row, file.name)


def _reference_entry(image: str, row: _ReferenceImage, name: str) -> Entry:
    said = row.annotation
    entry = Entry(image, _places(row.data_path), row.source or name, (said.width, said.height))
    entry.depth, entry.masks = said.depth_mask_id or "", said.seg_mask_id or ""
    attributes, scores = said.attributes or [[] for _ in said.labels], said.det_scores or [1.0 for _ in said.labels]
    for index, (label, box) in enumerate(zip(said.labels, said.bboxes, strict=True)):
        entry.objects.append(Boxed(str(index), clean(label), box, attributes[index], score=scores[index]))
    entry.relations = [(str(subject), predicate, str(other)) for subject, predicate, other in said.relations or ()]
    return entry


# ---------------------------------------------------------------------- shared

_R = TypeVar("_R", bound=_Row)


def clean(text: str) -> str:
    """A name or an attribute as annotations have it: lower case, no underscores, single spaces."""
    return sys.intern(" ".join(text.replace("_", " ").lower().split()))


def _places(path: str) -> tuple[str, ...]:
    """Where an image may lie: at its path, or under its last name (the folder that is given may be the inner one)."""
    path = path.replace("\\", "/")
    found = []
    for place in dict.fromkeys((path, path.rsplit("/", 1)[-1])):
        with contextlib.suppress(ValueError):  # a path of another machine, a URL
            found.append(inside(place))
    return tuple(found)


def _items(file: Path, prefix: str) -> Iterator[Any]:
    """The values under a prefix, streamed; those of the top object, with their keys, where it is empty.

    Raises:
        ValueError: If the file is no JSON, or there is nothing.
    """
    import ijson

    nothing = True
    try:
        with file.open("rb") as stream:
            for value in ijson.items(stream, prefix, use_float=True) if prefix else ijson.kvitems(stream, "", use_float=True):
                nothing = False
                yield value
    except ijson.JSONError as error:
        raise ValueError(f"{file} is no whole JSON ({next(iter(str(error).splitlines()), '')}). Get it again.") from None
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror or error}. Check its path.") from None
    if nothing:
        wanted = {"item": "a list", "": "an object"}.get(prefix, f"an object with a list {prefix.removesuffix('.item')}")
        raise ValueError(f"{file} should hold {wanted}, with something in it, and does not. Check the file and its form.")


def _rows(rows: Iterable[Any], record: type[_R], faults: list[Rejected], image: str | None = None) -> Iterator[_R]:
    """The rows that are such records; the others go to `faults`."""
    for raw in rows:
        try:
            yield record.model_validate(raw)
        except ValidationError as error:
            named = raw.get("image_id", "?") if isinstance(raw, dict) else "?"
            faults.append(Rejected(image or str(named), record.part, "it lacks what it needs", _fault(error)))


def _fault(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'the row'}: {first['msg']}"
