"""Crop, ZoomIn and VisualizeRegionsOnImage: the reference's contract, its defects R10, R11, R16, R22, and bad input.

Run: pytest tests/tools/test_regions.py
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from taco.tools.action import Action, Observation
from taco.tools.images import ImageStore
from taco.tools.regions import LINE, MAX_ZOOM, MAX_ZOOM_PIXELS, Crop, VisualizeRegionsOnImage, ZoomIn
from taco.tools.toolbox import Toolbox

TOOLBOX = Toolbox([Crop, ZoomIn, VisualizeRegionsOnImage])
YELLOW = (255, 255, 0)


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 200, (height, width, 3), "uint8"))


def run(images: ImageStore, name: str, image: str = "image-0", **arguments: Any) -> Observation:
    return TOOLBOX.execute(Action(name=name, arguments={"image": image, **arguments}), images)


def made(observation: Observation, images: ImageStore) -> Image.Image:
    assert observation.error is None
    assert observation.content == {"image": observation.images[0]}
    return images[observation.images[0]]


class TestCrop:
    def test_keeps_a_margin_of_half_the_box(self) -> None:
        images = ImageStore([noise(200, 100)])
        assert made(run(images, "Crop", bbox=[0.2, 0.2, 0.6, 0.6]), images).size == (120, 60)

    def test_margin_ends_at_the_image(self) -> None:
        images = ImageStore([noise(200, 100)])
        assert made(run(images, "Crop", bbox=[0.0, 0.5, 1.0, 1.0]), images).size == (200, 63)  # from int(37.5)

    def test_whole_pixels_are_not_lost_to_binary_noise(self) -> None:
        # 0.29 * 100 is 28.999999999999996
        images = ImageStore([Image.new("RGB", (100, 100))])
        assert made(run(images, "Crop", bbox=[0.0, 0.29, 1.0, 1.0]), images).getpixel((50, 29 - 11)) == YELLOW

    def test_draws_a_yellow_box_of_four_pixels(self) -> None:
        images = ImageStore([Image.new("RGB", (200, 100))])
        part = made(run(images, "Crop", bbox=[0.2, 0.2, 0.6, 0.6]), images)
        # The box is at 40..120 x 20..60; the crop begins at 20, 10.
        row = [part.getpixel((x, 30)) for x in range(part.width)]
        assert [x for x, colour in enumerate(row) if colour == YELLOW] == [*range(20, 20 + LINE), *range(100 - LINE, 100)]

    def test_the_image_itself_stays_as_it_was(self) -> None:
        images = ImageStore([noise(50, 50)])
        before = images["image-0"].copy()
        run(images, "Crop", bbox=[0.2, 0.2, 0.6, 0.6])
        assert ImageChops.difference(before, images["image-0"]).getbbox() is None

    @pytest.mark.parametrize(
        ("bbox", "code"),
        [
            ("[0.1, 0.2, 0.3", "IAT"),
            ("", "IAT"),
            ("[0.1, 0.2, 0.3, 0.4]", "IAT"),
            (None, "IAT"),
            (["0.1", 0.2, 0.3, 0.4], "IAT"),
            ([-0.1, 0.2, 0.3, 0.4], "IAV"),
            ([0.1, 0.2, 1.3, 0.4], "IAV"),
            ([0.1, 0.2, 0.3], "IAV"),
            ([], "IAV"),
            ([float("nan"), 0, 1, 1], "IAV"),
            ([0.5, 0.2, 0.1, 0.4], "IAV.bbox"),
            ([0.1, 0.5, 0.3, 0.4], "IAV.bbox"),
            ([0.1, 0.2, 0.1, 0.4], "IAV.bbox"),
        ],
    )
    def test_r10_bad_boxes_are_findings(self, bbox: Any, code: str) -> None:
        images = ImageStore([noise(20, 20)])
        findings = TOOLBOX.check(Action(name="Crop", arguments={"image": "image-0", "bbox": bbox}), images)
        assert [finding.code for finding in findings] == [code]
        assert findings[0].where.startswith("arguments.bbox")

    def test_box_under_one_pixel_is_an_error(self) -> None:
        error = run(ImageStore([noise(20, 20)]), "Crop", bbox=[0.5, 0.5, 0.51, 0.9]).error
        assert error is not None
        assert "less than one pixel of the 20x20 image" in error

    def test_r22_a_crop_of_a_crop_keeps_exact_pixels(self) -> None:
        source = noise(400, 400)
        images = ImageStore([source])
        run(images, "Crop", bbox=[0.1, 0.1, 0.9, 0.9])  # margin: the whole image
        inner = made(run(images, "Crop", image="image-1", bbox=[0.4, 0.4, 0.6, 0.6]), images)
        left, top = 140, 140  # 0.4 - 0.05 of 400
        inside = (25, 25, 95, 95)  # within the drawn box
        part = source.crop((left, top, left + inner.width, top + inner.height))
        assert inner.size == (120, 120)
        assert ImageChops.difference(inner.crop(inside), part.crop(inside)).getbbox() is None

    @settings(max_examples=100, deadline=None)
    @given(sides=st.lists(st.floats(0, 1), min_size=4, max_size=4), size=st.tuples(st.integers(1, 60), st.integers(1, 60)))
    def test_any_box_gives_an_image_or_an_error(self, sides: list[float], size: tuple[int, int]) -> None:
        images = ImageStore([Image.new("RGB", size)])
        observation = run(images, "Crop", bbox=sides)
        assert (observation.error is None) == (len(images) == 2)


class TestZoomIn:
    def test_enlarges_the_crop(self) -> None:
        images = ImageStore([noise(200, 100)])
        assert made(run(images, "ZoomIn", bbox=[0.2, 0.2, 0.6, 0.6], zoom_factor=2.5), images).size == (300, 150)

    def test_resamples_with_lanczos(self) -> None:
        images = ImageStore([noise(40, 40)])
        part = made(run(images, "Crop", bbox=[0.2, 0.2, 0.6, 0.6]), images)
        zoomed = made(run(images, "ZoomIn", bbox=[0.2, 0.2, 0.6, 0.6], zoom_factor=3), images)
        expected = part.resize((part.width * 3, part.height * 3), Image.Resampling.LANCZOS)
        assert ImageChops.difference(zoomed, expected).getbbox() is None

    @pytest.mark.parametrize(
        ("factor", "code"),
        [
            ("2", "IAT"),
            (True, "IAT"),
            (None, "IAT"),
            (1, "IAV"),
            (0.5, "IAV"),
            (-2, "IAV"),
            (MAX_ZOOM + 1, "IAV"),
            (1e308, "IAV"),
            (float("inf"), "IAV"),
        ],
    )
    def test_r11_bad_factors_are_findings(self, factor: Any, code: str) -> None:
        arguments = {"image": "image-0", "bbox": [0, 0, 1, 1], "zoom_factor": factor}
        findings = TOOLBOX.check(Action(name="ZoomIn", arguments=arguments), ImageStore([noise(20, 20)]))
        assert [(finding.code, finding.where) for finding in findings] == [(code, "arguments.zoom_factor")]

    def test_r11_too_many_pixels_is_an_error_with_a_factor_that_works(self) -> None:
        images = ImageStore([Image.new("RGB", (1000, 1000))])
        error = run(images, "ZoomIn", bbox=[0, 0, 1, 1], zoom_factor=10).error
        assert error is not None
        assert f"{MAX_ZOOM_PIXELS:,}" in error
        assert "zoom_factor of at most 4.0" in error
        assert made(run(images, "ZoomIn", bbox=[0, 0, 1, 1], zoom_factor=4.0), images).size == (4000, 4000)


class TestVisualize:
    def test_is_not_offered_by_default(self) -> None:
        from taco.tools.catalogue import all_tools

        assert {"Crop", "ZoomIn"} < {item.name for item in all_tools()}
        assert "VisualizeRegionsOnImage" not in {item.name for item in all_tools()}

    def test_takes_what_ocr_returns(self) -> None:
        images = ImageStore([Image.new("RGB", (300, 200))])
        regions = [{"label": "Tea", "bbox": [0.1, 0.3, 0.5, 0.5], "score": 0.98}, {"bbox": [0.6, 0.6, 0.9, 0.9]}]
        drawn = made(run(images, "VisualizeRegionsOnImage", regions=regions), images)
        assert drawn.getpixel((30, 60)) == YELLOW
        assert drawn.getpixel((180, 120)) not in ((0, 0, 0), YELLOW)  # the next box has another colour

    def test_r16_labels_need_no_system_font(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("PIL.ImageFont.truetype", _no_system_font())
        images = ImageStore([Image.new("RGB", (300, 200))])
        plain = made(run(images, "VisualizeRegionsOnImage", regions=[{"bbox": [0.1, 0.4, 0.5, 0.6]}]), images)
        labelled = made(run(images, "VisualizeRegionsOnImage", regions=[{"bbox": [0.1, 0.4, 0.5, 0.6], "label": "Tea"}]), images)
        changed = ImageChops.difference(plain, labelled).getbbox()
        assert changed is not None
        assert changed[3] <= 0.4 * 200  # above the box

    @pytest.mark.parametrize("size", [(1, 1), (3, 3), (20, 20), (2000, 10), (10, 2000), (4000, 3000)])
    @pytest.mark.parametrize("bbox", [[0, 0, 1, 1], [0.9, 0.9, 1, 1], [0, 0, 0.001, 0.001]])
    def test_r16_draws_at_any_size(self, size: tuple[int, int], bbox: list[float]) -> None:
        images = ImageStore([Image.new("RGB", size)])
        label = "a long label, ünïcödé 茶\nand a second line " * 3
        assert made(run(images, "VisualizeRegionsOnImage", regions=[{"bbox": bbox, "label": label}]), images).size == size

    @pytest.mark.parametrize(
        ("regions", "where"),
        [
            ([], "arguments.regions"),
            ([{"label": "x"}], "arguments.regions[0].bbox"),
            ([{"bbox": [0, 0, 2, 1]}], "arguments.regions[0].bbox[2]"),
            ([{"bbox": [0, 0, 1, 1], "box": 1}], "arguments.regions[0].box"),
            ("all", "arguments.regions"),
        ],
    )
    def test_bad_regions_are_findings(self, regions: Any, where: str) -> None:
        arguments = {"image": "image-0", "regions": regions}
        findings = TOOLBOX.check(Action(name="VisualizeRegionsOnImage", arguments=arguments), ImageStore([noise(9, 9)]))
        assert [finding.where for finding in findings] == [where]


def _no_system_font() -> Any:
    from PIL import ImageFont

    original = ImageFont.truetype

    def truetype(font: Any = None, *arguments: Any, **options: Any) -> Any:
        assert not isinstance(font, str), f"the system font {font} was asked for"
        return original(font, *arguments, **options)

    return truetype
