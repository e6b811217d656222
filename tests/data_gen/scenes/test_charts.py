"""The `charts` family: splits that share nothing, texts that stand apart, marks as long as their values."""

import itertools
import random
from statistics import median

import numpy as np
import pytest

from taco.data_gen.scenes import charts, fonts
from taco.data_gen.scenes.chart_layouts import CHART_COLOURS, LAYOUTS, TEST_LAYOUTS
from taco.data_gen.scenes.charts import KINDS, ORDERED, ChartScene
from taco.data_gen.scenes.names import Split, split_of


@pytest.fixture(scope="module")
def annotations() -> dict[Split, list[ChartScene]]:
    """Annotations of 150 scenes a split, seen from straight ahead; the photograph is not taken, which is what takes time."""
    splits: tuple[Split, Split] = ("train", "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taco.data_gen.scenes.photo._place", lambda board, backdrop, *_, **__: backdrop)
        patch.setattr("taco.data_gen.scenes.photo._degrade", lambda image, *_: image)
        patch.setattr("taco.data_gen.scenes.photo._quad", lambda _, size, *__: [(0, 0), (size[0], 0), size, (0, size[1])])
        return {
            split: [charts.render(random.Random(f"{split}-{i}"), split=split).annotation for i in range(150)] for split in splits
        }


def test_training_never_has_what_is_held_out(annotations: dict[Split, list[ChartScene]]) -> None:
    train, test = annotations["train"], annotations["test"]
    assert {scene.layout for scene in train} == set(LAYOUTS) - set(TEST_LAYOUTS)
    assert {scene.layout for scene in test} == set(LAYOUTS)
    assert {scene.font for scene in train} == set(charts.FONTS) - set(fonts.TEST_FONTS)
    assert {scene.title for scene in train}.isdisjoint({scene.title for scene in test})
    for split, scenes in annotations.items():
        names = {name for scene in scenes if scene.noun not in ORDERED for name in scene.categories}
        names |= {name for scene in scenes for name in scene.series}
        assert len(names) > 60
        assert {split_of(name) for name in names} == {split}


def test_texts_lie_inside_and_stand_apart(annotations: dict[Split, list[ChartScene]]) -> None:
    for scene in annotations["train"] + annotations["test"]:
        for left, top, right, bottom in [line.bbox for line in scene.lines]:
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
        for one, other in itertools.combinations((line.bbox for line in scene.lines), 2):
            beside = min(one[2], other[2]) <= max(one[0], other[0])
            assert beside or min(one[3], other[3]) <= max(one[1], other[1]), scene


def test_marks_are_as_long_as_their_values(annotations: dict[Split, list[ChartScene]]) -> None:
    for scene in annotations["train"]:
        assert len(scene.marks) == len(scene.categories) * max(1, len(scene.series))
        if "bar" in scene.kind:
            low, high = (0, 2) if scene.kind == "horizontal bar" else (1, 3)
            lengths = [mark.bbox[high] - mark.bbox[low] for mark in scene.marks]
            values = [float(mark.value) for mark in scene.marks]
            assert np.allclose(np.array(lengths) / max(lengths), np.array(values) / max(values), atol=0.003)
        elif scene.kind == "line":
            heights = [(mark.bbox[1] + mark.bbox[3]) / 2 for mark in scene.marks]
            by_height = sorted(range(len(heights)), key=lambda place: -heights[place])
            values = [float(scene.marks[place].value) for place in by_height]
            assert all(after - before > -0.01 * float(scene.top) for before, after in itertools.pairwise(values))


def test_labels_are_written_where_the_annotation_says_so(annotations: dict[Split, list[ChartScene]]) -> None:
    for scene in annotations["train"] + annotations["test"]:
        assert {bool(mark.label) for mark in scene.marks} == {scene.labelled}
        texts = {line.text for line in scene.lines}
        assert {scene.title, *scene.series, *scene.ticks} <= texts
        for mark in scene.marks:
            assert (f"{mark.category} {mark.label}".strip() if scene.kind == "pie" else mark.category) in texts
            assert not mark.label or mark.label.rstrip("%").replace(",", "") == mark.value
        if scene.kind == "pie" and any("%" in mark.label for mark in scene.marks):
            assert sum(int(mark.value) for mark in scene.marks) == 100


def test_variety(annotations: dict[Split, list[ChartScene]]) -> None:
    scenes = annotations["train"] + annotations["test"]
    assert {scene.kind for scene in scenes} == set(KINDS)
    assert {len(scene.categories) for scene in scenes} == set(range(2, 9))
    assert {(scene.kind, scene.labelled) for scene in scenes} == set(itertools.product(KINDS, (True, False)))
    assert {mark.colour for scene in scenes for mark in scene.marks} >= set(CHART_COLOURS) - {"yellow", "white"}
    assert median(scene.width for scene in scenes) >= 600
    assert median(scene.height for scene in scenes) >= 600


def test_limits_on_bars() -> None:
    assert {len(charts.render(random.Random(seed), min_items=5, max_items=5).annotation.categories) for seed in range(4)} == {5}
    with pytest.raises(ValueError, match="2 to 8 bars"):
        charts.render(random.Random(0), max_items=9)


def test_a_bar_has_its_colour_in_the_picture() -> None:
    checked = 0
    for seed in range(30):
        scene = charts.render(random.Random(seed))
        if scene.annotation.kind not in ("bar", "horizontal bar"):
            continue
        for mark in scene.annotation.marks:
            x, y = (round(sum(mark.bbox[axis::2]) / 2 * scene.image.size[axis]) for axis in (0, 1))
            pixel = np.array(scene.image.crop((x - 2, y - 2, x + 3, y + 3)).resize((1, 1)).getpixel((0, 0)), float)
            apart = {name: float(np.linalg.norm(pixel - np.array(colour))) for name, colour in CHART_COLOURS.items()}
            assert apart[mark.colour] < 110, (seed, mark, pixel)
            checked += 1
    assert checked > 20
