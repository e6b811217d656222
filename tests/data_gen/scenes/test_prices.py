"""The `prices` family: splits that share nothing, boxes that hold ink, words that match the drawing."""

import random
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageChops

from taco.data_gen.scenes import fonts, prices
from taco.data_gen.scenes.canvas import Canvas
from taco.data_gen.scenes.colours import COLOURS, MIN_CONTRAST, contrast, palette
from taco.data_gen.scenes.names import Split, split_of
from taco.data_gen.scenes.photo import photograph
from taco.data_gen.scenes.price_layouts import LAYOUTS, TEST_LAYOUTS
from taco.data_gen.scenes.scene import PriceScene, Scene, contact_sheet
from taco.tools.images import pixel_hash

SCENES = 300


@pytest.fixture(scope="module")
def annotations() -> dict[Split, list[PriceScene]]:
    """Annotations of 300 scenes, half a split. The photograph is not taken, only its geometry worked out: that is cheap."""
    splits: tuple[Split, ...] = ("train", "test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taco.data_gen.scenes.photo._place", lambda board, backdrop, *_, **__: backdrop)
        patch.setattr("taco.data_gen.scenes.photo._degrade", lambda image, *_: image)
        return {
            split: [prices.render(random.Random(f"{split}-{i}"), split=split).annotation for i in range(SCENES // 2)]
            for split in splits
        }


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [prices.render(random.Random(seed), split="test" if seed % 2 else "train") for seed in range(16)]


def test_render_neither_uses_nor_changes_global_random_state() -> None:
    before = random.getstate(), str(np.random.get_state())
    first = pixel_hash(prices.render(random.Random(1)).image)
    assert (random.getstate(), str(np.random.get_state())) == before
    random.random()
    np.random.random()
    assert pixel_hash(prices.render(random.Random(1)).image) == first


def test_splits_share_no_name_and_no_word(annotations: dict[Split, list[PriceScene]]) -> None:
    words = {
        split: {word for scene in found for item in scene.items for word in item.name.lower().split()}
        for split, found in annotations.items()
    }
    assert len(words["train"]) > 300
    assert len(words["test"]) > 150
    assert not words["train"] & words["test"]


def test_training_never_uses_what_is_held_out(annotations: dict[Split, list[PriceScene]]) -> None:
    train, test = annotations["train"], annotations["test"]
    assert {scene.layout for scene in train} == set(LAYOUTS) - set(TEST_LAYOUTS)
    assert {scene.font for scene in train} == set(fonts.FONTS) - set(fonts.TEST_FONTS)
    assert {scene.layout for scene in test} == set(LAYOUTS)
    assert {scene.font for scene in test} == set(fonts.FONTS)
    held_out = [scene for scene in test if scene.layout in TEST_LAYOUTS or scene.font in fonts.TEST_FONTS]
    assert len(held_out) >= len(test) / 2


def test_frame_of_the_family() -> None:
    assert len(LAYOUTS) >= 8
    assert len(TEST_LAYOUTS) == 2
    assert set(TEST_LAYOUTS) < set(LAYOUTS)
    assert len(fonts.FONTS) >= 10
    assert len(fonts.TEST_FONTS) == 2
    assert set(fonts.TEST_FONTS) < set(fonts.FONTS)
    assert len(COLOURS) == 8


def test_variety(annotations: dict[Split, list[PriceScene]]) -> None:
    found = annotations["train"] + annotations["test"]
    assert {scene.background for scene in found} == set(COLOURS)
    assert {len(scene.items) for scene in found} == set(range(2, 9))
    assert {scene.currency for scene in found} == {"", "$", "€", "£", "kr"}
    assert 0.4 < sum(scene.highlighted is None for scene in found) / len(found) < 0.6
    assert np.median([scene.width for scene in found]) >= 560
    assert np.median([scene.height for scene in found]) >= 560


def test_boxes_lie_inside_and_rows_run_downwards(annotations: dict[Split, list[PriceScene]]) -> None:
    for scene in annotations["train"] + annotations["test"]:
        for left, top, right, bottom in [item.bbox for item in scene.items] + [line.bbox for line in scene.lines]:
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
        tops = [item.bbox[1] for item in scene.items]
        assert tops == sorted(tops)


def test_lines_are_what_the_items_say(annotations: dict[Split, list[PriceScene]]) -> None:
    for scene in annotations["train"] + annotations["test"]:
        texts = [line.text for line in scene.lines]
        assert texts[0] == scene.title
        pairs = [
            (item.price_text, item.name) if scene.layout == "price_first" else (item.name, item.price_text)
            for item in scene.items
        ]
        drawn = [pair for pair in pairwise(texts) if pair in pairs]
        assert drawn == pairs
        for item in scene.items:
            inside = [line for line in scene.lines if line.text in (item.name, item.price_text) and _within(line.bbox, item.bbox)]
            assert {line.text for line in inside} == {item.name, item.price_text}


def _within(inner: tuple[float, ...], outer: tuple[float, ...], slack: float = 0.001) -> bool:
    return (
        inner[0] >= outer[0] - slack
        and inner[1] >= outer[1] - slack
        and inner[2] <= outer[2] + slack
        and inner[3] <= outer[3] + slack
    )


def test_prices_are_plain_decimals_of_what_is_drawn(annotations: dict[Split, list[PriceScene]]) -> None:
    for scene in annotations["train"] + annotations["test"]:
        for item in scene.items:
            assert Decimal("0.20") <= Decimal(item.price) <= Decimal("99.99")
            digits = item.price_text.replace(scene.currency, "") if scene.currency else item.price_text
            assert digits.strip().replace(",", ".") == item.price
            assert scene.currency in item.price_text


def test_names_can_be_told_apart(annotations: dict[Split, list[PriceScene]]) -> None:
    for split, found in annotations.items():
        for scene in found:
            names = [item.name.lower() for item in scene.items]
            assert not any(one in other for one in names for other in names if one is not other)
            assert all(split_of(name) == split for name in names)
            assert all(name.replace(" ", "").isalpha() and name.isascii() for name in names)


def test_boxes_contain_ink(scenes: list[Scene]) -> None:
    for scene in scenes:
        for line in scene.annotation.lines:
            left, top, right, bottom = line.bbox
            width, height = scene.image.size
            crop = scene.image.crop((int(left * width), int(top * height), round(right * width) + 1, round(bottom * height) + 1))
            assert np.asarray(crop.convert("L"), dtype=float).std() > 6, (line.text, scene.annotation.layout)


def test_boxes_follow_the_perspective() -> None:
    """A lone black bar is found where its box says, to within two pixels."""
    for seed in range(8):
        canvas = Canvas((500, 400), (255, 255, 255))
        canvas.draw.rectangle((120, 90, 300, 130), fill=(0, 0, 0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("taco.data_gen.scenes.photo._degrade", lambda image, *_: image)
            image, where = photograph(canvas.image, (640, 600), random.Random(seed), fills_image=True)
        dark = ImageChops.invert(image.convert("L")).point(lambda value: 255 * (value > 127))
        expected = np.array(where((120, 90, 301, 131))) * np.array([640, 600, 640, 600])
        assert np.abs(np.array(dark.getbbox()) - expected).max() <= 2


@pytest.mark.parametrize("background", COLOURS)
def test_text_stands_out_from_its_paper(background: str) -> None:
    for seed in range(40):
        paints = palette(background, random.Random(seed))
        assert contrast(paints.ink, paints.paper) >= MIN_CONTRAST
        assert contrast(paints.accent, paints.paper) >= MIN_CONTRAST
        assert contrast(paints.mark_ink, paints.mark) >= MIN_CONTRAST
        assert contrast(paints.mark, paints.paper) >= 1.5


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


def test_board_is_nearest_to_its_own_colour(scenes: list[Scene]) -> None:
    """After the photograph most of the board is still nearer (in hue and lightness) to its named colour than to another."""
    right = 0
    for scene in scenes:
        boxes = [line.bbox for line in scene.annotation.lines]
        area = scene.image.crop(
            (
                int(min(box[0] for box in boxes) * scene.image.width),
                int(boxes[0][1] * scene.image.height),
                int(max(box[2] for box in boxes) * scene.image.width),
                int(boxes[0][3] * scene.image.height),
            )
        )
        middle = np.median(np.asarray(area).reshape(-1, 3), axis=0)
        nearest = min(COLOURS, key=lambda name: float(np.abs(middle - np.array(COLOURS[name])).sum()))
        right += nearest == scene.annotation.background or scene.annotation.layout == "kiosk"
    assert right >= len(scenes) - 1


@pytest.mark.parametrize(("least", "most"), [(1, 1), (2, 3), (8, 8)])
def test_number_of_items(least: int, most: int) -> None:
    counts = {len(prices.render(random.Random(seed), min_items=least, max_items=most).annotation.items) for seed in range(8)}
    assert counts <= set(range(least, most + 1))


@pytest.mark.parametrize(("least", "most"), [(0, 4), (5, 4), (2, 9)])
def test_impossible_number_of_items(least: int, most: int) -> None:
    with pytest.raises(ValueError, match=f"min_items={least}, max_items={most}"):
        prices.render(random.Random(0), min_items=least, max_items=most)


@pytest.mark.parametrize("font", fonts.FONTS)
def test_fonts_have_what_prices_need(font: str) -> None:
    assert fonts.has_glyphs(font, "AZaz09.,-$€£ kr")
    assert not fonts.has_glyphs(font, "中")


def test_missing_font_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install font-caladea"):
        fonts._path("Caladea")


def test_annotation_round_trip(scenes: list[Scene]) -> None:
    annotation = scenes[0].annotation
    assert PriceScene.model_validate_json(annotation.model_dump_json()) == annotation
    assert scenes[0].image.size == (annotation.width, annotation.height)
    assert scenes[0].image.mode == "RGB"


def test_contact_sheet(scenes: list[Scene]) -> None:
    plain, outlined = contact_sheet(scenes[:5], columns=3, cell=120), contact_sheet(scenes[:5], columns=3, cell=120, boxes=True)
    assert plain.size == (360, 240)
    assert ImageChops.difference(plain, outlined).getbbox()
    assert isinstance(plain, Image.Image)
    with pytest.raises(ValueError, match="at least one scene"):
        contact_sheet([])
