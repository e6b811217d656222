"""The `tables` family: splits that share nothing, texts that stand apart, annotations that add up."""

import itertools
import random
from decimal import Decimal
from statistics import median

import numpy as np
import pytest
from PIL import Image

from taco.data_gen.scenes import fonts, proper_names, tables
from taco.data_gen.scenes.names import Split, split_of
from taco.data_gen.scenes.scene import Scene
from taco.data_gen.scenes.table_layouts import LAYOUTS, TEST_LAYOUTS
from taco.data_gen.scenes.table_topics import BILLS, FORMS, TEST_TOPICS, TOPICS
from taco.data_gen.scenes.tables import TableScene


@pytest.fixture(scope="module")
def annotations() -> dict[Split, list[TableScene]]:
    """Annotations of 200 scenes a split, seen from straight ahead; the photograph is not taken, which is what takes time."""
    splits: tuple[Split, Split] = ("train", "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taco.data_gen.scenes.photo._place", lambda board, backdrop, *_, **__: backdrop)
        patch.setattr("taco.data_gen.scenes.photo._degrade", lambda image, *_: image)
        patch.setattr("taco.data_gen.scenes.photo._quad", lambda _, size, *__: [(0, 0), (size[0], 0), size, (0, size[1])])
        return {
            split: [tables.render(random.Random(f"{split}-{i}"), split=split).annotation for i in range(200)] for split in splits
        }


def test_training_never_has_what_is_held_out(annotations: dict[Split, list[TableScene]]) -> None:
    train, test = annotations["train"], annotations["test"]
    assert {scene.layout for scene in train} == set(LAYOUTS) - set(TEST_LAYOUTS)
    assert {scene.font for scene in train} == set(fonts.FONTS) - set(fonts.TEST_FONTS)
    assert {scene.layout for scene in test} == set(LAYOUTS)
    assert {scene.title for scene in train}.isdisjoint({scene.title for scene in test})
    assert {scene.topic for scene in train}.isdisjoint(TEST_TOPICS)
    assert {scene.topic for scene in test} >= set(TEST_TOPICS)
    assert {scene.topic for scene in train + test} == {*TOPICS, *FORMS, "bill"}


def test_splits_share_no_name(annotations: dict[Split, list[TableScene]]) -> None:
    for split, scenes in annotations.items():
        names = {row.cells[0] for scene in scenes if scene.kind != "form" for row in scene.rows}
        assert len(names) > 80
        assert {split_of(name) for name in names} == {split}
    for kind in ("city", "person", "team", "subject"):
        assert len(proper_names.pool(kind, "test")) >= tables.MAX_ROWS
        assert len(proper_names.pool(kind, "train")) >= 2 * tables.MAX_ROWS


def test_texts_lie_inside_and_stand_apart(annotations: dict[Split, list[TableScene]]) -> None:
    for scene in annotations["train"] + annotations["test"]:
        for left, top, right, bottom in [line.bbox for line in scene.lines]:
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
        for one, other in itertools.combinations((line.bbox for line in scene.lines), 2):
            beside = min(one[2], other[2]) <= max(one[0], other[0])
            assert beside or min(one[3], other[3]) <= max(one[1], other[1]), scene


def test_every_text_of_the_annotation_is_drawn(annotations: dict[Split, list[TableScene]]) -> None:
    for scene in annotations["train"] + annotations["test"]:
        drawn = [line.text for line in scene.lines]
        rows = [*scene.rows, *([scene.total] if scene.total else [])]
        said = [scene.title, *(column.name for column in scene.columns), *(cell for row in rows for cell in row.cells)]
        assert drawn[: len(said)] == said
        assert len(drawn) - len(said) in (0, 1)  # a note
        for row in rows:
            assert scene.area[1] - 1e-3 <= row.bbox[1] < row.bbox[3] <= scene.area[3] + 1e-3
            assert len(row.cells) == (len(scene.columns) or 2)
        assert len({row.cells[0] for row in scene.rows}) == len(scene.rows)
        assert all(len(cell) > 1 for row in rows for cell in row.cells)
        if scene.kind == "table":  # read as words, columns can be told apart only then
            assert all(" " not in cell for row in rows for cell in row.cells[1:])


def test_totals_of_bills_add_up(annotations: dict[Split, list[TableScene]]) -> None:
    bills = [(scene, scene.total) for scenes in annotations.values() for scene in scenes if scene.total]
    assert len(bills) > 10
    for scene, last in bills:
        assert scene.kind == "bill"
        *amounts, total = (Decimal(row.cells[1].lstrip("$€£")) for row in [*scene.rows, last])
        assert sum(amounts) == total


def test_variety(annotations: dict[Split, list[TableScene]]) -> None:
    scenes = annotations["train"] + annotations["test"]
    assert {scene.kind for scene in scenes} == {"table", "form", "bill"}
    assert {len(scene.rows) for scene in scenes} == set(range(2, 9))
    assert {len(scene.columns) for scene in scenes if scene.columns} == set(range(2, 7))
    assert {column.kind for scene in scenes for column in scene.columns} == {
        "name", "number", "money", "percent", "time", "date", "text",
    }  # fmt: skip
    assert median(scene.width for scene in scenes) >= 600
    assert median(scene.height for scene in scenes) >= 600
    assert len({scene.title for scene in scenes}) > 60
    assert {scene.title for scene in scenes if scene.kind == "bill"} == set(BILLS)


def test_limits_on_rows() -> None:
    assert {len(tables.render(random.Random(seed), min_items=3, max_items=3).annotation.rows) for seed in range(4)} == {3}
    with pytest.raises(ValueError, match="2 to 8 rows"):
        tables.render(random.Random(0), min_items=1)


def test_there_is_ink_in_every_text_box() -> None:
    for seed in range(6):
        scene: Scene = tables.render(random.Random(seed))
        grey = np.asarray(scene.image.convert("L"), float)
        for line in scene.annotation.lines:
            left, top, right, bottom = (
                round(side * length) for side, length in zip(line.bbox, scene.image.size * 2, strict=True)
            )
            assert np.ptp(grey[top:bottom, left:right]) > 40, (seed, line)
        assert isinstance(scene.image, Image.Image)
        assert scene.image.size == (scene.annotation.width, scene.annotation.height)
