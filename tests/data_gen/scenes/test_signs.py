"""The `signs` family: splits that share no word, signs that stand apart, true heights of letters."""

import itertools
import random
import re
from collections.abc import Iterator
from statistics import median

import numpy as np
import pytest
from PIL import Image

from taco.data_gen.scenes import fonts, signs
from taco.data_gen.scenes.names import Split, split_of
from taco.data_gen.scenes.scene import Box, TextLine
from taco.data_gen.scenes.sign_contents import KINDS, Content
from taco.data_gen.scenes.sign_places import PLACES, TEST_PLACES
from taco.data_gen.scenes.signs import MOST_SIGNS, Sign, SignScene, look_box, render
from taco.tools.regions import with_margin


@pytest.fixture(scope="module")
def annotations() -> dict[Split, list[SignScene]]:
    """Annotations of 100 scenes a split, of signs before nothing: walls and wear are what takes time."""
    splits: tuple[Split, Split] = ("train", "test")
    with pytest.MonkeyPatch.context() as patch:
        _bare(patch)
        return {split: [render(random.Random(f"{split}-{i}"), split=split).annotation for i in range(100)] for split in splits}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    _bare(monkeypatch)


def _bare(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(signs, "paint", lambda _, size, __: Image.new("RGB", size))
    patch.setattr(signs, "degrade", lambda image, _: image)


def _written(scene: SignScene) -> Iterator[tuple[Sign, list[TextLine]]]:
    """Each sign, and where its texts stand."""
    lines = iter(scene.lines)
    for sign in scene.signs:
        yield sign, list(itertools.islice(lines, len(sign.texts)))
    assert not list(lines)


def _holds(outer: Box, inner: Box) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def _meet(one: Box, other: Box) -> bool:
    return max(one[0], other[0]) < min(one[2], other[2]) and max(one[1], other[1]) < min(one[3], other[3])


def test_training_never_has_what_is_held_out(annotations: dict[Split, list[SignScene]]) -> None:
    train, test = annotations["train"], annotations["test"]
    assert {scene.place for scene in train} == set(PLACES) - set(TEST_PLACES)
    assert {scene.place for scene in test} == set(PLACES)
    assert {sign.font for scene in train for sign in scene.signs} == set(fonts.FONTS) - set(fonts.TEST_FONTS)
    assert {sign.font for scene in test for sign in scene.signs} == set(fonts.FONTS)


def test_splits_share_no_name(annotations: dict[Split, list[SignScene]]) -> None:
    for split, scenes in annotations.items():
        written = [sign for scene in scenes for sign in scene.signs]
        names = {sign.title.split()[0] for sign in written if sign.kind in ("street sign", "poster", "warning sign")}
        names |= {sign.title.split()[1] for sign in written if sign.kind == "shop sign"}
        names |= {name for sign in written if sign.kind == "direction sign" for name, _ in sign.rows}
        names |= {name for sign in written if sign.kind in ("bus stop sign", "timetable") for _, name in sign.rows}
        names |= {name for sign in written if sign.kind == "door plate" for name in sign.rows[1][1].split()}
        assert len(names) > 60
        assert {split_of(name) for name in names} == {split}


def test_texts_lie_on_their_signs_and_signs_in_the_image(annotations: dict[Split, list[SignScene]]) -> None:
    for scene in itertools.chain(*annotations.values()):
        for sign, lines in _written(scene):
            assert tuple(line.text for line in lines) == sign.texts
            assert sign.texts == tuple(text for row in (("", sign.title), *sign.rows) for text in row if text)
            assert _holds((0, 0, 1, 1), sign.bbox)
            assert all(_holds(sign.bbox, line.bbox) for line in lines), sign
            for one, other in itertools.combinations((line.bbox for line in lines), 2):
                beside = min(one[2], other[2]) <= max(one[0], other[0])
                # Hulls of rows that run slightly down reach into the next.
                assert beside or min(one[3], other[3]) - max(one[1], other[1]) < 0.6 * (one[3] - one[1]), sign


def test_no_sign_says_what_another_says(annotations: dict[Split, list[SignScene]]) -> None:
    for scene in itertools.chain(*annotations.values()):
        for one, other in itertools.permutations(scene.signs, 2):
            said = [text.casefold() for text in other.texts]
            assert not any(mine.casefold() in text for mine in one.texts for text in said), (one.texts, other.texts)


def test_a_look_at_a_sign_holds_it_and_no_other(annotations: dict[Split, list[SignScene]]) -> None:
    for scene in itertools.chain(*annotations.values()):
        for sign in scene.signs:
            box = look_box(sign.bbox)
            assert _holds(box, sign.bbox)
            assert all(abs(side * 20 - round(side * 20)) < 1e-9 for side in box)
            left, top, right, bottom = with_margin(list(box))
            assert not any(_meet((left, top, right, bottom), other.bbox) for other in scene.signs if other is not sign)


def test_capitals_are_as_high_as_it_says(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "_turned", lambda w, h, _: [(-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2)])
    measured = 0
    for seed in range(20):
        scene: SignScene = render(random.Random(seed)).annotation
        for sign, lines in _written(scene):
            small = lines[1:] if sign.title and sign.rows else lines
            # Neither digits, which hang below the line in some fonts, nor letters that do.
            for line in (line for line in small if re.fullmatch(r"[A-IK-PR-Z][acemnorsuvwxzA-IK-PR-Z ]*", line.text)):
                measured += 1
                height = (line.bbox[3] - line.bbox[1]) * scene.height
                assert abs(height - sign.capitals) < 1.1 + 0.06 * sign.capitals, sign
    assert measured > 20


def test_variety(annotations: dict[Split, list[SignScene]]) -> None:
    scenes = [*itertools.chain(*annotations.values())]
    written = [sign for scene in scenes for sign in scene.signs]
    assert {len(scene.signs) for scene in scenes} == set(range(2, MOST_SIGNS + 1))
    assert {sign.kind for sign in written} == set(KINDS)
    assert all(sign.colour in KINDS[sign.kind][0] and sign.shape in KINDS[sign.kind][1] for sign in written)
    assert median(scene.width for scene in scenes) >= 600
    assert median(scene.height for scene in scenes) >= 600
    assert len({sign.texts for sign in written}) > 700


def test_limits_on_signs(bare: None) -> None:
    for split in ("train", "test"):
        assert {len(render(random.Random(i), split=split, min_items=7, max_items=7).annotation.signs) for i in range(4)} == {7}
    assert len(render(random.Random(0), min_items=1, max_items=1).annotation.signs) == 1
    for fewest, most in ((0, 3), (4, 3), (2, 8)):
        with pytest.raises(ValueError, match="1 to 7 signs"):
            render(random.Random(0), min_items=fewest, max_items=most)


def test_it_ends_where_there_is_nothing_more_to_say_or_no_room(bare: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(signs, "make", lambda *_: Content("SLOW"))
        assert len(render(random.Random(0)).annotation.signs) == 1
    monkeypatch.setattr(signs, "_apart", lambda *_: False)
    assert len(render(random.Random(0)).annotation.signs) == 1


def test_there_is_ink_in_every_text_box() -> None:
    for seed in range(4):
        scene = render(random.Random(seed))
        grey = np.asarray(scene.image.convert("L"), float)
        for line in scene.annotation.lines:
            left, top, right, bottom = (
                round(side * length) for side, length in zip(line.bbox, scene.image.size * 2, strict=True)
            )
            assert np.ptp(grey[top:bottom, left:right]) > 40, (seed, line)
        assert scene.image.size == (scene.annotation.width, scene.annotation.height)
