"""Simulated OCR of small texts: what is too small is lost, what is near is read better, and no look undoes an earlier one."""

import random

import pytest
from PIL import Image

from taco.data_gen import ocr_errors
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.scenes import signs
from taco.data_gen.scenes.scene import Scene, TextLine
from taco.data_gen.scenes.signs import look_box
from taco.data_gen.simulation import Simulation

ERRORS = OcrErrors.load().model_copy(update={"severity": (0.0,)})
"""With no fault but those of size."""
TEXT = "Harbour Street"


def share_read(height: float, size: tuple[int, int] = (1000, 1000), zoom: float = 1.0) -> tuple[float, float]:
    """Shares of texts of a height in pixels that are found, and that are read rightly."""
    line = TextLine(text=TEXT, bbox=(0.1, 0.1, 0.5, 0.1 + height / size[1]))
    found = [[region.label for region in ERRORS.regions([line], size, random.Random(seed), zoom)] for seed in range(300)]
    return sum(map(bool, found)) / len(found), found.count([TEXT]) / len(found)


def test_the_smaller_a_text_the_less_is_read() -> None:
    shares = [share_read(height)[1] for height in (2.0, 5.0, 6.0, 7.0, 9.0, 12.0)]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.1 < shares[2] < 0.7
    assert shares[-1] == 1


def test_some_small_texts_are_missed_and_some_misread() -> None:
    found, right = share_read(6.0)
    assert right < found < 1
    line = TextLine(text=TEXT, bbox=(0.1, 0.1, 0.5, 0.106))
    read = {region.label for seed in range(300) for region in ERRORS.regions([line], (1000, 1000), random.Random(seed))}
    assert len(read) > 5
    assert all(len(TEXT) - len(label) in (0, 1) for label in read)


def test_a_near_look_helps_but_not_beyond_what_the_picture_holds() -> None:
    whole = share_read(6.0)[1]
    cropped = share_read(6.0, (200, 200))[1]
    zoomed = share_read(18.0, (600, 600), zoom=3)[1]
    assert whole + 0.2 < cropped < 1
    assert zoomed == cropped
    assert share_read(100.0, (2000, 2000), zoom=40)[1] == 0


def test_what_was_read_in_the_whole_image_is_read_from_near_and_a_second_look_brings_nothing_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ocr_errors, "_ALIKE", {})  # a misread 56 is not the 58 of the row below
    monkeypatch.setattr(signs, "paint", lambda _, size, __: Image.new("RGB", size))
    monkeypatch.setattr(signs, "degrade", lambda image, _: image)
    simulation = Simulation(ERRORS)
    tools = {tool.name: tool.function for tool in simulation.tools}

    def labels(image: Image.Image) -> set[str]:
        return {region["label"] for region in tools["OCR"](image=image, boxes=True)["regions"]}

    more = 0
    for seed in range(16):
        scene: Scene = signs.render(random.Random(seed))
        simulation.begin(scene, random.Random(seed))
        whole = labels(scene.image)
        for sign in scene.annotation.signs:
            box = list(look_box(sign.bbox))
            cropped = tools["Crop"](image=scene.image, bbox=box)["image"]
            zoomed = tools["ZoomIn"](image=scene.image, bbox=box, zoom_factor=2)["image"]
            near, nearer = labels(cropped), labels(zoomed)
            assert whole & {*sign.texts} <= near & {*sign.texts} == nearer & {*sign.texts}
            more += len(near & {*sign.texts}) - len(whole & {*sign.texts})
    assert more > 20
