"""Annotated images: three forms, their defects, depth, the folder."""

import hashlib
import json
import os
import pickle
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from taco.data_gen import annotating, annotations, disparities
from taco.data_gen.annotating import Source, annotate
from taco.data_gen.annotations import Report, read_scenes
from taco.data_gen.cli_annotate import annotate as command
from taco.data_gen.families import FAMILIES
from taco.data_gen.generation import generate
from taco.data_gen.masks import decode
from taco.data_gen.pipeline import Recipe, ask_scene
from taco.data_gen.scenes.scene import ObjectScene, overlap
from taco.tools import depth as depth_tool
from taco.tools.images import ImageStore, pixel_hash

WIDE, HIGH = 80, 60


def photo(file: Path, number: int = 0, **options: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (WIDE, HIGH), (number * 40 % 256, 90, 30))
    ImageDraw.Draw(image).rectangle((10, 10, 30, 40), fill="white")
    image.save(file, **options)
    return file


def rejected(out: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    return [(line["image"], line["part"], line["reason"]) for line in lines]


def tree(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def names(annotation: ObjectScene) -> list[str]:
    return [one.name for one in annotation.objects]


class Set:
    """A folder of photographs, and a COCO file of them to be changed."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self.folder, self.out = folder, folder / "out"
        self.data: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
        for number, name in enumerate(("cat", "Traffic_Light ")):
            self.data["categories"].append({"id": number + 1, "name": name})
        for number in range(count):
            photo(folder / "images" / f"{number}.jpg", number)
            self.data["images"].append({"id": number, "file_name": f"{number}.jpg", "width": WIDE, "height": HIGH})
            self.add(number, 1, [10, 10, 20, 30])
            self.add(number, 2, [40, 0, 40, 60])

    def add(self, image: int, category: int, bbox: list[float], **more: Any) -> None:
        key = len(self.data["annotations"])
        self.data["annotations"].append({"id": key, "image_id": image, "category_id": category, "bbox": bbox, **more})

    def annotate(self, **options: Any) -> Report:
        file = self.folder / "instances.json"
        file.write_text(json.dumps(self.data))
        return annotate(Source("coco", file, self.folder / "images", **options), self.out)


@pytest.fixture
def photos(tmp_path: Path) -> Set:
    return Set(tmp_path)


# ---------------------------------------------------------------------- COCO


def test_a_coco_file_becomes_scenes(photos: Set) -> None:
    photos.add(1, 1, [0, 0, 8, 6])
    report = photos.annotate()
    assert (report.images, report.objects, report.exhaustive, report.with_depth, report.rejected) == (3, 7, 3, 0, {})
    scenes = read_scenes(photos.out)
    assert len(scenes) == 3
    scene = scenes[1]
    assert scene.image.size == (WIDE, HIGH)
    assert pixel_hash(scene.image) == pixel_hash(ImageStore([photos.folder / "images" / "1.jpg"])["image-0"])
    assert scene.disparities == ()
    assert names(scene.annotation) == ["cat", "traffic light", "cat"]
    assert scene.annotation.objects[0].bbox == (0.125, 1 / 6, 0.375, 40 / 60)
    assert scene.annotation.exhaustive
    assert scenes[-1].annotation == scenes[2].annotation
    with pytest.raises(IndexError):
        scenes[3]
    assert [one.annotation for one in pickle.loads(pickle.dumps(scenes))] == [one.annotation for one in scenes]


def test_lines_name_no_path_and_the_folder_needs_no_other(photos: Set, tmp_path_factory: pytest.TempPathFactory) -> None:
    photos.annotate()
    for name in ("annotations.jsonl", "rejected.jsonl", "config.json"):
        assert str(photos.folder) not in (photos.out / name).read_text()
    elsewhere = tmp_path_factory.mktemp("moved") / "photos"
    photos.out.rename(elsewhere)
    for file in (photos.folder / "images").iterdir():
        file.unlink()
    assert read_scenes(elsewhere)[2].image.size == (WIDE, HIGH)


def test_images_are_copied_where_they_cannot_be_linked(photos: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    photos.annotate()
    linked = tree(photos.out)

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    photos.out = photos.folder / "copied"
    photos.annotate()
    assert tree(photos.out) == linked
    assert all(file.stat().st_nlink == 1 for file in (photos.out / "images").iterdir())


def test_a_crowd_is_no_object_and_its_image_not_exhaustive(photos: Set) -> None:
    photos.add(1, 1, [0, 0, 80, 60], iscrowd=1, segmentation={"counts": [0, 4800], "size": [60, 80]})
    photos.data["categories"] += [{"id": 3, "name": "Kite"}]
    photos.annotate()
    scenes = read_scenes(photos.out)
    assert [scene.annotation.exhaustive for scene in scenes] == [True, False, True]
    assert [scene.annotation.absent for scene in scenes] == [("kite",), (), ("kite",)]
    assert names(scenes[1].annotation) == ["cat", "traffic light"]
    assert rejected(photos.out) == [("1", "object", "a crowd region, not one object")]


def test_names_that_were_looked_for_and_not_found(photos: Set) -> None:
    photos.data["categories"] += [{"id": number, "name": name} for number, name in ((3, "kite"), (4, "Cup_Cake"), (5, "kite"))]
    photos.data["images"][1] |= {"neg_category_ids": [4, 99], "not_exhaustive_category_ids": [2]}
    lvis = photos.data["images"][2]
    lvis |= {"neg_category_ids": [1, 3], "coco_url": f"http://example.org/val/{lvis.pop('file_name')}"}  # as LVIS 1 names it
    photos.annotate()
    said = [scene.annotation for scene in read_scenes(photos.out)]
    assert [one.absent for one in said] == [("kite", "cup cake"), ("cup cake",), ("kite",)]
    assert [one.partial for one in said] == [(), ("traffic light",), ()]
    assert all(one.exhaustive for one in said)
    photos.out = photos.folder / "other"
    photos.annotate(exhaustive=False)
    assert {one.annotation.absent for one in read_scenes(photos.out)} == {()}


BAD_OBJECTS = [
    (1, [100, 100, 20, 20], "most of its box is outside of the image"),
    (1, [70, 10, 40, 20], "most of its box is outside of the image"),
    (1, [10, 10, 0, 20], "its box is empty"),
    (1, [30, 10, -20, 20], "its box has sides that are swapped, or a size below 0"),
    (1, [10.2, 10.2, 0.5, 20], "its box is less than a pixel"),
    (7, [10, 10, 20, 20], "its category is not in the file"),
    (1, [10, 10, 20], "it lacks what it needs"),
    (1, [10, 10, 20, "wide"], "it lacks what it needs"),
]


@pytest.mark.parametrize(("category", "bbox", "reason"), BAD_OBJECTS)
def test_an_object_that_cannot_be_used_is_listed_with_its_reason(
    photos: Set, category: int, bbox: list[Any], reason: str
) -> None:
    photos.add(1, category, bbox)
    photos.annotate()
    assert rejected(photos.out) == [("1", "object", reason)]
    assert [scene.annotation.exhaustive for scene in read_scenes(photos.out)] == [True, False, True]


def _missing(photos: Set) -> None:
    (photos.folder / "images" / "1.jpg").unlink()


def _broken(photos: Set) -> None:
    file = photos.folder / "images" / "1.jpg"
    file.write_bytes(file.read_bytes()[:200])


def _other_size(photos: Set) -> None:
    photos.data["images"][1]["width"] = 81


def _twice(photos: Set) -> None:
    photos.data["images"][1]["id"] = 0


def _one_file(photos: Set) -> None:
    photos.data["images"][1]["file_name"] = "0.jpg"


def _no_file_name(photos: Set) -> None:
    del photos.data["images"][1]["file_name"]


def _outside(photos: Set) -> None:
    photos.data["images"][1]["file_name"] = "../images/.."


def _turned(photos: Set) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    photo(photos.folder / "images" / "1.jpg", 1, exif=exif)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_missing, "there is no such file"),
        (_broken, "it cannot be opened"),
        (_other_size, "its size is another than its file says"),
        (_twice, "its id is that of an image before it"),
        (_one_file, "its file is that of an image before it"),
        (_no_file_name, "it lacks what it needs"),
        (_outside, "there is no such file"),
        (_turned, "its EXIF data turn it, and its boxes may be from before; save it upright, with boxes to match"),
    ],
)
def test_an_image_that_cannot_be_used_is_listed_with_its_reason(photos: Set, spoil: Callable[[Set], None], reason: str) -> None:
    spoil(photos)
    report = photos.annotate()
    assert report.images == 2
    assert report.rejected["image"] == {reason: 1}
    assert str(photos.folder) not in (photos.out / "rejected.jsonl").read_text()


def test_boxes_of_an_image_that_exif_turns_are_used_where_they_are_surely_upright(photos: Set) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored 80 x 60, seen 60 x 80
    photo(photos.folder / "images" / "1.jpg", 1, exif=exif)
    photos.data["annotations"] = [row for row in photos.data["annotations"] if row["image_id"] != 1]
    photos.add(1, 1, [0, 40, 30, 40])
    assert photos.annotate().rejected["image"] == {
        "its EXIF data turn it, and its boxes may be from before; save it upright, with boxes to match": 1
    }
    photos.data["images"][1].update(width=HIGH, height=WIDE)
    photos.out = photos.folder / "upright"
    assert photos.annotate().images == 3
    scene = read_scenes(photos.out)[1]
    assert scene.image.size == (HIGH, WIDE)
    assert scene.annotation.objects[0].bbox == (0, 0.5, 0.5, 1)


def test_annotations_of_no_image_are_listed(photos: Set) -> None:
    photos.add(99, 1, [0, 0, 10, 10])
    photos.annotate()
    assert rejected(photos.out) == [("99", "object", "its image is not in the file")]


def test_an_image_without_objects_is_kept_where_that_says_something(photos: Set) -> None:
    photos.data["annotations"] = [row for row in photos.data["annotations"] if row["image_id"] != 1]
    assert photos.annotate().images == 3
    photos.out = photos.folder / "other"
    assert photos.annotate(exhaustive=False).images == 2
    assert rejected(photos.out) == [("1", "image", "no object of it can be used")]
    assert not read_scenes(photos.out)[0].annotation.exhaustive


side = st.floats(-50, 150)


@settings(max_examples=300, deadline=None)
@given(st.tuples(side, side, side, side))
def test_boxes_are_inside_and_hold_a_pixel_or_are_refused(box: tuple[float, float, float, float]) -> None:
    image = Image.new("RGB", (WIDE, HIGH))
    left, top, right, bottom = box
    try:
        bbox = annotating._fractions(box, image)
    except annotating._Unusable as error:
        inner = max(0, min(right, WIDE) - max(left, 0)) * max(0, min(bottom, HIGH) - max(top, 0))
        good = right - left >= 2 and bottom - top >= 2 and inner > 0.6 * (right - left) * (bottom - top)
        good = good and min(right, WIDE) - max(left, 0) >= 2 and min(bottom, HIGH) - max(top, 0) >= 2
        if good:
            raise AssertionError(error.reason) from error
    else:
        assert left < right
        assert top < bottom
        assert 0 <= bbox[0] < bbox[2] <= 1
        assert 0 <= bbox[1] < bbox[3] <= 1
        for found, said, length in zip(bbox, box, (WIDE, HIGH, WIDE, HIGH), strict=True):
            assert found * length == pytest.approx(min(max(said, 0), length), abs=1e-9)


@given(st.tuples(side, side, side, side), st.tuples(side, side, side, side))
@example((0.0, 0.0, 1e-46, 1e-300), (0.0, 0.0, 1e-46, 1e-300))
def test_overlap_is_symmetric_and_a_share(one: Any, other: Any) -> None:
    assert overlap(one, other) == overlap(other, one)
    boxes = [(min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])) for b in (one, other)]
    assert 0 <= overlap(*boxes) <= 1 + 1e-9
    if boxes[0][0] + 1e-3 < boxes[0][2] and boxes[0][1] + 1e-3 < boxes[0][3]:
        assert overlap(boxes[0], boxes[0]) == pytest.approx(1)


# ---------------------------------------------------------------------- Visual Genome


def genome(folder: Path, *, graphs: bool = False, spoil: Callable[[dict[str, Any]], None] | None = None) -> Source:
    for number in (1, 2):
        photo(folder / "images" / "VG_100K" / f"{number}.jpg", number)
    box = {"x": 10, "y": 10, "w": 20, "h": 30}
    objects: list[dict[str, Any]] = [
        {"object_id": 11, "names": ["Man "], "synsets": ["man.n.01"], **box},
        {"object_id": 12, "names": ["man"], "synsets": ["man.n.01"], **box, "x": 11},
        {"object_id": 13, "names": ["shoes"], "synsets": ["shoe.n.01"], "x": 10, "y": 35, "w": 20, "h": 5},
        {
            "object_id": 14,
            "names": ["bus"],
            "synsets": ["bus.n.01"],
            "x": 40,
            "y": 0,
            "w": 40,
            "h": 60,
            "merged_object_ids": [15],
        },
        {"object_id": 16, "names": ["man"], "synsets": [], "x": 50, "y": 5, "w": 10, "h": 20},
    ]
    attributes = [{"object_id": 11, "attributes": ["Tall", "standing"]}, {"object_id": 12, "attributes": ["tall", "old "]}]
    pairs = [(11, "NEXT to", 15), (12, "next to", 14), (11, "wears", 13), (11, "is", 12), (16, "in", 14)]
    data = {"objects": objects, "attributes": attributes, "pairs": pairs}
    if spoil:
        spoil(data)
    names_of = {"objects": "scene_graphs.json" if graphs else "objects.json"}
    if graphs:
        rows = [{"predicate": said, "subject_id": one, "object_id": two, "synsets": []} for one, said, two in pairs]
        for row in attributes:
            next(one for one in objects if one["object_id"] == row["object_id"])["attributes"] = row["attributes"]
        first = {"image_id": 1, "objects": objects, "relationships": rows}
    else:
        first = {"image_id": 1, "objects": objects, "image_url": "https://nowhere"}
        rows = [{"predicate": said, "subject": {"object_id": one}, "object": {"object_id": two}} for one, said, two in pairs]
        related = [{"image_id": 2, "relationships": []}, {"image_id": 1, "relationships": rows}]  # in another order
        (folder / "relationships.json").write_text(json.dumps(related))
        (folder / "attributes.json").write_text(json.dumps([{"image_id": 1, "attributes": data["attributes"]}]))
    second = {"image_id": 2, "objects": [{"object_id": 21, "names": ["dog"], "x": -3, "y": 0, "w": 43, "h": 60}]}
    (folder / names_of["objects"]).write_text(json.dumps([first, second]))
    attributes_file, relationships_file = (
        None if graphs else folder / name for name in ("attributes.json", "relationships.json")
    )
    return Source("visual-genome", folder / names_of["objects"], folder / "images", attributes_file, relationships_file)


@pytest.mark.parametrize("graphs", [False, True])
def test_scene_graphs_of_visual_genome(tmp_path: Path, graphs: bool) -> None:
    report = annotate(genome(tmp_path, graphs=graphs), tmp_path / "out")
    first, second = (scene.annotation for scene in read_scenes(tmp_path / "out"))
    assert names(first) == ["man", "bus", "man"]
    assert first.objects[0].attributes == ("tall", "standing", "old")
    assert [(one.subject, one.predicate, one.object) for one in first.relations] == [(0, "next to", 1), (2, "in", 1)]
    assert second.objects[0].bbox == (0, 0, 0.5, 1)  # what sticks out is cut off
    assert not first.exhaustive
    assert report.rejected == {
        "duplicate": {"annotated twice: merged": 1},
        "object": {"it is several: a plural name": 1},
        "relation": {"an end of it is no object that can be used": 1, "it relates an object to itself, or has no predicate": 1},
    }


def test_rows_of_visual_genome_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    def spoil(data: dict[str, Any]) -> None:
        data["objects"] += [
            {"object_id": 17, "names": [], "x": 0, "y": 0, "w": 9, "h": 9},
            {"object_id": 14, "names": ["cat"], "x": 0, "y": 0, "w": 9, "h": 9},
            {"names": ["cat"]},
            "cat",
        ]
        data["attributes"] += [{"object_id": 99, "attributes": ["red"]}, {"object_id": 11, "attributes": "red"}]

    source = genome(tmp_path, spoil=spoil)
    graph = json.loads(source.file.read_text())
    source.file.write_text(
        json.dumps([graph[0], graph[1] | {"relationships": 5}, {"image_id": 3}, 7, {"image_id": 2, "objects": []}])
    )
    related = json.loads((tmp_path / "relationships.json").read_text())
    (tmp_path / "relationships.json").write_text(
        json.dumps([*related, {"image_id": 5, "relationships": [{"predicate": "on", "subject": {}, "object": {}}]}])
    )
    annotate(source, tmp_path / "out")
    found = rejected(tmp_path / "out")
    for expected in [
        ("1", "object", "it has no name"),
        ("1", "object", "its id is that of another object of the image"),
        ("1", "attributes", "there is no such object"),
        ("1", "attributes", "it lacks what it needs"),
        ("2", "relation", "it lacks what it needs"),
        ("3", "image", "it is no object with image_id and objects"),
        ("?", "image", "it is no object with image_id and objects"),
        ("2", "image", "its id is that of an image before it"),
        ("5", "relation", "it lacks what it needs"),
        ("5", "relation", "its image is not in the file of objects"),
    ]:
        assert expected in found
    assert found.count(("1", "object", "it lacks what it needs")) == 2
    assert len(read_scenes(tmp_path / "out")) == 2


# ---------------------------------------------------------------------- the reference's form, and depth


class Planted:
    """One image in the reference's form, whose objects' own maxima lie otherwise than their depths.

    Of ``spread`` a corner is near and the rest far, ``even`` is all at a middle distance, ``low`` is farther than that. Turned
    over by their own maxima the order would be low and even (both 0), spread; by the map's it is even, spread, low.
    """

    order = ("even", "spread", "low")

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.map = np.zeros((HIGH, WIDE), np.uint8)
        self.map[0:10, 0:20] = 60
        self.map[0:5, 0:10] = 250  # spread: mean 107.5
        self.map[0:10, 30:50] = 120  # even
        self.map[20:30, 0:20] = 40  # low
        self.map[50:, 70:] = 255  # the nearest of all, no object
        boxes = {"spread": [0, 0, 20, 10], "even": [30, 0, 50, 10], "low": [0, 20, 20, 30]}
        self.annotation: dict[str, Any] = {
            "width": WIDE,
            "height": HIGH,
            "bboxes": list(boxes.values()),
            "labels": list(boxes),
            "attributes": [["Red"], [], ["small", "small"]],
            "relations": [[0, "left of", 1], [2, "under", 0], [0, "on", 9]],
            "det_scores": [0.9, 0.8, 0.7],
            "depth_mask_id": "somewhere/one_depth.npy",
            "seg_mask_id": "one_mask.npy",
        }
        photo(folder / "images" / "one.jpg")
        for name in ("depth", "masks"):
            (folder / name).mkdir()
        self.save(self.map)

    def save(self, values: Any, name: str = "one_depth.npy") -> None:
        for file in (self.folder / "depth").iterdir():
            file.unlink()
        file = self.folder / "depth" / name
        if name.endswith(".png"):
            values.save(file)
        elif name.endswith(".npz"):
            np.savez(file, depth=values)
        else:
            np.save(file, values)

    def annotate(self, **options: Any) -> Report:
        entry = {"data_path": "/home/someone/one.jpg", "annotation": self.annotation, "source": "photos of ours"}
        (self.folder / "ann.json").write_text(json.dumps({"one": entry}))
        given = {"depth": self.folder / "depth", **options}
        return annotate(Source("reference", self.folder / "ann.json", self.folder / "images", **given), self.out)

    def depths(self) -> dict[str, float]:
        [scene] = read_scenes(self.out)
        assert all(one.depth is not None for one in scene.annotation.objects)
        return {one.name: one.depth for one in scene.annotation.objects}


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def test_the_reference_form_becomes_scenes(planted: Planted) -> None:
    report = planted.annotate()
    assert (report.images, report.objects, report.relations, report.with_depth, report.exhaustive) == (1, 3, 2, 1, 0)
    [scene] = read_scenes(planted.out)
    assert [one.attributes for one in scene.annotation.objects] == [("red",), (), ("small",)]
    assert [(one.subject, one.predicate, one.object) for one in scene.annotation.relations] == [
        (0, "left of", 1),
        (2, "under", 0),
    ]
    assert read_scenes(planted.out).record(0).source == "photos of ours"
    assert rejected(planted.out) == [("one", "relation", "an end of it is no object that can be used")]


def test_depth_is_turned_over_by_the_whole_map(planted: Planted) -> None:
    own = {  # the fault of the reference: each by its own maximum
        name: planted.map[top:bottom, left:right].max() - planted.map[top:bottom, left:right].mean()
        for name, (left, top, right, bottom) in zip(planted.annotation["labels"], planted.annotation["bboxes"], strict=True)
    }
    assert tuple(sorted(own, key=lambda name: own[name])) != planted.order
    planted.annotate()
    assert planted.depths() == {"spread": 147.5, "even": 135.0, "low": 215.0}
    [scene] = read_scenes(planted.out)
    assert scene.disparities[0] is not None
    assert scene.disparities[0].dtype == np.float32
    assert (scene.disparities[0] == planted.map).all()


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_depth_orders_any_two_objects_as_the_map_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (HIGH, WIDE), np.uint8)
    disparity = disparities.to_disparity(values, (WIDE, HIGH))
    boxes = [np.s_[top : top + 8, left : left + 8] for top, left in rng.integers(0, 50, (6, 2))]
    means = [values[box].mean() for box in boxes]
    depths = [disparities.mean_depth(disparity, box) for box in boxes]
    assert np.argsort(means)[::-1].tolist() == np.argsort(depths, kind="stable").tolist() or len(set(means)) < len(means)


def test_depth_is_that_of_the_mask_where_there_is_one(planted: Planted) -> None:
    masks = np.zeros((3, HIGH, WIDE), bool)
    masks[0, 0:5, 0:10] = True  # the near corner of spread
    masks[1, 0:10, 30:50] = True
    np.save(planted.folder / "masks" / "one_mask.npy", masks)
    planted.annotate(masks=planted.folder / "masks")
    assert planted.depths() == {"spread": 5.0, "even": 135.0, "low": 215.0}  # the mask of low is empty: its box


@pytest.mark.parametrize("shape", [(2, HIGH, WIDE), (3, WIDE, HIGH), (HIGH, WIDE)])
def test_masks_that_do_not_fit_are_listed(planted: Planted, shape: tuple[int, ...]) -> None:
    np.save(planted.folder / "masks" / "one_mask.npy", np.ones(shape, bool))
    planted.annotate(masks=planted.folder / "masks")
    assert ("one", "mask", "they cannot be used; depth is that of boxes") in rejected(planted.out)
    assert planted.depths()["spread"] == 147.5


def test_masks_in_a_pickle_are_not_opened(planted: Planted) -> None:
    planted.annotation["seg_mask_id"] = "one_mask.pkl"
    (planted.folder / "masks" / "one_mask.pkl").write_bytes(pickle.dumps([1]))
    planted.annotate(masks=planted.folder / "masks")
    assert ("one", "mask", "there are none but a pickle, which is not opened; depth is that of boxes") in rejected(planted.out)


def test_polygons_of_coco_are_masks(photos: Set) -> None:
    (photos.folder / "depth").mkdir()
    values = np.zeros((HIGH, WIDE), np.float32)
    values[10:20, 10:30], values[20:40, 10:30], values[0, 0] = 5.0, 1.0, 9.0
    for number in range(3):
        np.save(photos.folder / "depth" / f"{number}.npy", values)
    photos.data["annotations"][0]["segmentation"] = [[10, 10, 29, 10, 29, 19, 10, 19]]
    photos.data["annotations"][2]["segmentation"] = {"counts": "abc", "size": [HIGH, WIDE]}
    photos.data["annotations"][3]["segmentation"] = [[0, 0, 1e30, 0, 5, 5]]
    photos.annotate(depth=photos.folder / "depth")
    depths = [scene.annotation.objects[0].depth for scene in read_scenes(photos.out)]
    assert depths == [4.0, pytest.approx(9 - 7 / 3, abs=1e-4), pytest.approx(9 - 7 / 3, abs=1e-4)]
    masks = [[one.mask for one in scene.annotation.objects] for scene in read_scenes(photos.out)]
    drawn = np.zeros((HIGH, WIDE), np.bool_)
    drawn[10:20, 10:30] = True
    assert (decode(masks[0][0], (WIDE, HIGH)) == drawn).all()
    assert masks[0][1:] + masks[1] + masks[2] == [None] * 5
    assert rejected(photos.out) == [("1", "mask", "only polygons are read; depth is that of the box")] * 2
    assert read_scenes(photos.out)[1].annotation.exhaustive


def test_arrays_in_every_kind_of_file(planted: Planted) -> None:
    grey = Image.fromarray(planted.map)
    kinds = {
        "one_depth.npy": planted.map[None],
        "one.npy": planted.map.astype(np.float64),
        "one.npz": planted.map,
        "one.png": grey,
        "one_depth.png": grey.convert("RGB"),
        "one_depth.npz": planted.map.astype(np.uint16),
    }
    for number, (name, values) in enumerate(kinds.items()):
        planted.save(values, name)
        planted.out = planted.folder / f"out{number}"
        planted.annotate()
        assert planted.depths() == {"spread": 147.5, "even": 135.0, "low": 215.0}, name
    planted.save(Image.fromarray(planted.map.astype(np.uint16) * 256), "one.png")
    planted.out = planted.folder / "deep"
    planted.annotate()
    assert planted.depths()["spread"] == 147.5 * 256


def test_an_array_of_another_size_is_resized(planted: Planted) -> None:
    planted.save(np.repeat(np.repeat(planted.map, 2, axis=0), 2, axis=1))
    planted.annotate()
    depths = planted.depths()
    assert tuple(sorted(depths, key=lambda name: depths[name])) == planted.order
    [scene] = read_scenes(planted.out)
    assert scene.disparities[0] is not None
    assert scene.disparities[0].shape == (HIGH, WIDE)
    left, top, right, bottom = 30, 0, 50, 10
    assert depths["even"] == pytest.approx(
        scene.disparities[0].max() - scene.disparities[0][top:bottom, left:right].mean(), abs=1e-3
    )


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((HIGH, WIDE)),
        np.full((HIGH, WIDE), np.nan),
        np.arange(WIDE * HIGH).reshape(WIDE, HIGH),
        np.arange(5.0),
        np.array([[None] * WIDE] * HIGH),
        np.array([["a"] * WIDE] * HIGH),
    ],
)
def test_an_array_that_cannot_be_used_is_listed_and_the_image_kept(planted: Planted, values: Any) -> None:
    planted.save(values)
    report = planted.annotate()
    assert (report.images, report.with_depth) == (1, 0)
    assert report.rejected["depth"] == {"its array cannot be used": 1}
    assert read_scenes(planted.out)[0].annotation.objects[0].depth is None


def test_broken_and_missing_arrays_are_listed(planted: Planted) -> None:
    for number, name in enumerate(("one.npz", "one.npy", "one.png")):
        planted.save(Image.fromarray(planted.map) if name.endswith("png") else planted.map, name)
        file = planted.folder / "depth" / name
        file.write_bytes(file.read_bytes()[:60])
        planted.out = planted.folder / f"out{number}"
        assert planted.annotate().rejected["depth"] == {"its array cannot be used": 1}
        assert str(planted.folder) not in (planted.out / "rejected.jsonl").read_text()
    file.unlink()
    planted.out = planted.folder / "none"
    assert planted.annotate().rejected["depth"] == {"there is no array for it": 1}


@pytest.mark.parametrize("key", ["labels", "attributes", "det_scores"])
def test_lists_of_unequal_length_are_refused(planted: Planted, key: str) -> None:
    planted.annotation[key] = planted.annotation[key][:2]
    with pytest.raises(ValueError, match="its lists are not of one length"):
        planted.annotate()
    assert not list(planted.out.iterdir())


def test_low_scores_are_left_out_on_request_and_listed(planted: Planted) -> None:
    np.save(planted.folder / "masks" / "one_mask.npy", np.ones((3, HIGH, WIDE), bool))
    planted.annotate(min_score=0.75, exhaustive=True, masks=planted.folder / "masks")
    [scene] = read_scenes(planted.out)
    assert names(scene.annotation) == ["spread", "even"]
    assert scene.annotation.exhaustive
    assert ("one", "guess", "its score is below --min-score") in rejected(planted.out)
    assert not any(part == "mask" for _, part, _ in rejected(planted.out))


def test_depth_is_estimated_where_there_is_no_array(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_DEPTH_MODEL", str(planted.folder))
    with pytest.raises(ValueError, match="Depth cannot be estimated here"):
        planted.annotate(depth=None, estimate_depth=True)
    monkeypatch.setenv("TACO_DEPTH_MODEL", "nano")
    with pytest.raises(ValueError, match=r"knows rendered scenes only\..* hf download depth-anything"):
        planted.annotate(depth=None, estimate_depth=True)
    monkeypatch.setenv("TACO_DEPTH_MODEL", str(planted.folder))
    near = planted.map.astype(np.float32) / 10
    monkeypatch.setattr(type(depth_tool.WEIGHTS), "unavailable", lambda self: None)
    monkeypatch.setattr(depth_tool, "depth_map", lambda image: near.max() - near)
    planted.annotate(depth=None, estimate_depth=True)
    assert planted.depths()["spread"] == pytest.approx(14.75, abs=0.02)
    assert json.loads((planted.out / "config.json").read_text())["estimated_by"] == planted.folder.name


# ---------------------------------------------------------------------- the folder


def test_an_interrupted_run_ends_as_an_uninterrupted_one(photos: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    photos.add(1, 1, [100, 100, 5, 5])
    photos.add(99, 1, [0, 0, 10, 10])
    photos.annotate()
    whole = tree(photos.out)
    rng = random.Random(0)
    steps = [
        (annotating, "log"),
        (annotating, "pixel_hash"),
        (os, "replace"),
        (annotations, "append_line"),
        (annotations, "_json_line"),
    ]
    for attempt in range(40):
        photos.out = photos.folder / f"again{attempt}"
        while True:
            owner, name = rng.choice(steps)
            left = rng.randrange(6)

            real = getattr(owner, name)

            def dies(*arguments: Any, real: Any = real) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
                return real(*arguments)

            with monkeypatch.context() as patch:
                patch.setattr(owner, name, dies)
                try:
                    photos.annotate()
                    break
                except KeyboardInterrupt:
                    if (photos.out / "annotate.log").exists() and rng.random() < 0.5:
                        with (photos.out / "annotate.log").open("a") as log:
                            log.write('{"record": {"half a li')
                    continue
        assert tree(photos.out) == whole


def test_an_unfinished_folder_is_not_read(photos: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(annotating, "finish", dies)
        with pytest.raises(KeyboardInterrupt):
            photos.annotate()
    with pytest.raises(ValueError, match="It was interrupted: run the same command again"):
        read_scenes(photos.out)
    with pytest.raises(ValueError, match="exhaustive is None there and False here"):
        photos.annotate(exhaustive=False)
    photos.annotate()
    assert len(read_scenes(photos.out)) == 3


def test_a_finished_folder_is_left_as_it_is(photos: Set) -> None:
    first = photos.annotate()
    before = {file: file.stat().st_mtime_ns for file in photos.out.rglob("*")}
    assert photos.annotate() == first
    assert {file: file.stat().st_mtime_ns for file in photos.out.rglob("*")} == before
    (photos.folder / "else").mkdir()
    (photos.folder / "else" / "mine.txt").touch()
    photos.out = photos.folder / "else"
    with pytest.raises(ValueError, match="holds something else"):
        photos.annotate()


def test_after_a_run_that_found_nothing_the_same_command_begins_anew(photos: Set) -> None:
    images = photos.folder / "images"
    images.rename(photos.folder / "elsewhere")
    images.mkdir()
    with pytest.raises(ValueError, match=r"No image can be used \(3 x image: there is no such file\)"):
        photos.annotate()
    images.rmdir()
    (photos.folder / "elsewhere").rename(images)
    assert photos.annotate().images == 3


def test_after_a_file_that_could_not_be_read_the_same_command_begins_anew(photos: Set) -> None:
    file = photos.folder / "instances.json"
    file.write_text('{"images": [')
    with pytest.raises(ValueError, match="no whole JSON"):
        annotate(Source("coco", file, photos.folder / "images"), photos.out)
    assert photos.annotate().images == 3


def test_what_changed_in_the_folder_is_found(planted: Planted) -> None:
    planted.annotate()
    [image] = (planted.out / "images").iterdir()
    image.unlink()
    photo(image, 5)
    with pytest.raises(ValueError, match="its pixels changed"):
        _ = read_scenes(planted.out)[0].images
    image.unlink()
    with pytest.raises(ValueError, match="There is no file"):
        _ = read_scenes(planted.out)[0].images
    [values] = (planted.out / "disparity").iterdir()
    values.write_bytes(b"no array")
    with pytest.raises(ValueError, match="it is no array of plain numbers"):
        _ = read_scenes(planted.out)[0].disparities
    assert read_scenes(planted.out)[0].annotation.objects  # without opening either


def test_the_digest_is_that_of_the_scenes(photos: Set) -> None:
    photos.annotate()
    first = read_scenes(photos.out).digest
    photos.out = photos.folder / "same"
    photos.annotate()
    assert read_scenes(photos.out).digest == first
    photo(photos.folder / "images" / "2.jpg", 77)
    photos.out = photos.folder / "other"
    photos.annotate()
    assert read_scenes(photos.out).digest != first


@pytest.mark.parametrize("family", FAMILIES)
def test_lines_of_rendered_scenes_are_read_too(family: str, tmp_path: Path) -> None:
    recipe = Recipe(family=family, tasks_only=True)
    generate(recipe, 2, tmp_path / "tasks")
    scenes = read_scenes(tmp_path / "tasks")
    drawn = ask_scene(recipe, 0)[0]
    assert scenes[0].annotation == drawn.annotation
    assert [image.size for image in scenes[0].images] == [image.size for image in drawn.images]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"images": ["/etc/passwd"], "annotation": {"family": "objects", "width": 1, "height": 1, "objects": []}}',
            "not a path",
        ),
        ('{"images": ["images/a.png"]}', "annotation: Field required"),
        ("{", "the line: Invalid JSON"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "annotations.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(ValueError, match=f"scene 0.*{said}"):
        read_scenes(tmp_path)[0]


# ---------------------------------------------------------------------- the command


def call(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command("annotate")(command)
    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["annotate", *(str(argument) for argument in arguments)])
    return result.exit_code, " ".join(result.output.split())


def test_the_command_says_what_it_did(photos: Set) -> None:
    photos.add(1, 1, [100, 100, 5, 5])
    photos.annotate()
    arguments = ("coco", photos.folder / "instances.json", "--images", photos.folder / "images", "--out", photos.folder / "b")
    code, said = call(*arguments)
    assert code == 0
    assert said.startswith("3 images with 6 objects and 0 relations")
    assert "rejected object 1 most of its box is outside of the image" in said
    code, said = call(*arguments, "--json")
    assert code == 0
    assert json.loads(said)["images"] == 3


def test_a_file_of_another_form_is_refused_with_a_remedy(photos: Set, tmp_path: Path) -> None:
    photos.annotate()
    instances, images = photos.folder / "instances.json", photos.folder / "images"
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "half.json").write_text('{"images": [{"id": 1')
    (tmp_path / "detections.json").write_text('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "category_id": 1}]')
    for number, (form, file, found) in enumerate(
        [
            ("coco", tmp_path / "empty.json", "is no whole JSON"),
            ("coco", tmp_path / "half.json", "is no whole JSON"),
            ("coco", tmp_path / "nowhere.json", "cannot be read: No such file"),
            ("coco", tmp_path / "detections.json", "should hold an object with a list categories"),
            ("visual-genome", instances, "should hold a list, with something in it, and does not. Check the file and its form."),
            ("visual-genome", tmp_path / "detections.json", "it is no object with image_id and objects"),
            ("reference", instances, "no entry of this form"),
            ("reference", tmp_path / "detections.json", "should hold an object"),
        ]
    ):
        code, said = call(form, file, "--images", images, "--out", tmp_path / f"out{number}")
        assert (code, found in said) == (2, True), (form, file, said)
        assert not (tmp_path / f"out{number}" / "annotations.jsonl").exists()


def test_options_of_another_form_are_refused(photos: Set) -> None:
    photos.annotate()
    common = ("--images", photos.folder / "images", "--out", photos.folder / "b")
    for form, more, found in [
        ("coco", ("--attributes", "a.json"), "--attributes does not belong to the form coco"),
        ("visual-genome", ("--min-score", 0.5), "--min-score does not belong"),
        ("reference", ("--masks", photos.folder), "Masks serve to average depth"),
        ("coco", ("--depth", photos.folder / "nowhere"), "There is no folder"),
    ]:
        code, said = call(form, photos.folder / "instances.json", *common, *more)
        assert (code, found in said) == (2, True), said
    assert not (photos.folder / "b").exists()


def test_scenes_are_independent_of_where_tests_run() -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        sets = [Set(Path(folder)) for folder in (one, other)]
        for photos in sets:
            photos.annotate()
        assert tree(sets[0].out) == tree(sets[1].out)
