"""The embedded network and its large counterparts: one contract; what only the embedded one promises; bad input."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from taco.data_gen.scenes import objects
from taco.data_gen.scenes.scene import overlap
from taco.tools import Action, ImageStore, Observation, Toolbox, ToolError, depth, detection, perception, perception_network
from taco.tools.depth import EstimateObjectDepth, EstimateRegionDepth
from taco.tools.detection import LocalizeObjects
from taco.tools.tagging import GetObjects
from taco.tools.weights import Weights

LARGE = {
    "TACO_DETECTION_MODEL": "grounding_dino",
    "TACO_DEPTH_MODEL": "depth_anything",
    "TACO_TAGGING_MODEL": "florence2",
}
SCENE = objects.render(random.Random("perception/contract"), min_items=4)
EMBEDDED = (LocalizeObjects, GetObjects, EstimateRegionDepth, EstimateObjectDepth)


@pytest.fixture(params=["nano", "large"])
def back_end(request: pytest.FixtureRequest, checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """Either, by their settings alone; thresholds let random large models find something."""
    depth._MAPS.clear()
    detection._FOUND.clear()
    for setting, name in LARGE.items():
        monkeypatch.setenv(setting, "nano" if request.param == "nano" else str(checkpoints(name)))
    for name in ("BOX_THRESHOLD", "TEXT_THRESHOLD"):
        monkeypatch.setattr(detection, name, 0.0)
    return str(request.param)


@pytest.fixture
def nano(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for setting in LARGE:
        monkeypatch.setenv(setting, "nano")
    yield
    perception.config.cache_clear()


def call(name: str, images: ImageStore | None = None, **arguments: Any) -> Observation:
    images = images or ImageStore([SCENE.image])
    return Toolbox(EMBEDDED).execute(Action(name=name, arguments={"image": "image-0", **arguments}), images)


# ---------------------------------------------------------------------- one contract


def test_regions_have_labels_boxes_and_scores_in_the_same_form(back_end: str) -> None:
    asked = sorted({item.name for item in SCENE.annotation.objects})
    images = ImageStore([SCENE.image])
    observation = call("LocalizeObjects", images, objects=asked)
    assert list(observation.content) == ["image", "regions"]
    assert observation.images == ("image-1",)
    assert images["image-1"].size == SCENE.image.size
    regions = observation.content["regions"]
    assert regions
    seen: dict[str, int] = {}
    for region in regions:
        assert list(region) == ["label", "bbox", "score"]
        name = next(name for name in asked if region["label"].split("-")[0] == name)
        seen[name] = seen.get(name, 0) + 1
        assert region["label"] == (name if seen[name] == 1 else f"{name}-{seen[name]}")
        left, top, right, bottom = region["bbox"]
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert all(value == round(value, 2) for value in (*region["bbox"], region["score"]))
    scores = [region["score"] for region in regions]
    assert scores == sorted(scores, reverse=True)


def test_depths_are_of_one_map_that_is_turned_over_as_a_whole(back_end: str) -> None:
    whole = depth.depth_map(SCENE.image)
    assert whole.shape == SCENE.image.size[::-1]
    assert whole.dtype == np.float32
    assert whole.min() == 0
    box = [0.1, 0.2, 0.5, 0.6]
    left, top, right, bottom = (int(side * length + 1e-6) for side, length in zip(box, SCENE.image.size * 2, strict=True))
    expected = round(float(whole[top:bottom, left:right].mean()), 2)
    assert call("EstimateRegionDepth", bbox=box).content == {"depth": expected}


def test_an_object_is_as_deep_as_its_surest_box(back_end: str) -> None:
    name = SCENE.annotation.objects[0].name
    [first, *_] = detection.locate(SCENE.image, [name])
    assert call("EstimateObjectDepth", object=name).content == call("EstimateRegionDepth", bbox=first.bbox).content


def test_what_is_not_there_is_said_in_the_same_words(back_end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "locate", lambda image, objects: [])
    assert "No 'mug' was found in the image." in str(call("EstimateObjectDepth", object="mug").error)


def test_names_come_once_in_alphabetical_order(back_end: str) -> None:
    names = call("GetObjects").content["objects"]
    assert isinstance(names, list)
    assert names == sorted(set(names))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bbox": [0.5, 0.2, 0.4, 0.6]}, "empty or swapped"),
        ({"bbox": [0.5, 0.2, 0.5, 0.6]}, "empty or swapped"),
        ({"bbox": [0.5, 0.2, 1.4, 0.6]}, "less than or equal to 1"),
        ({"bbox": [-0.5, 0.2, 0.4, 0.6]}, "greater than or equal to 0"),
        ({"bbox": [0.5, 0.5, 0.5001, 0.5001]}, "less than one pixel"),
    ],
)
def test_boxes_that_are_none(back_end: str, arguments: dict[str, Any], said: str) -> None:
    assert said in str(call("EstimateRegionDepth", **arguments).error)


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (1, 1), "red"),
        Image.new("RGB", (64, 64), "white"),
        Image.new("RGB", (900, 3), "blue"),
        Image.new("RGB", (2, 700), "blue"),
        Image.new("L", (50, 40), 90),
        Image.new("CMYK", (50, 40), (10, 200, 10, 0)),
        Image.new("RGBA", (50, 40), (10, 200, 10, 0)),
    ],
    ids=["one pixel", "nothing in it", "wide", "tall", "grey", "CMYK", "alpha"],
)
def test_odd_images(image: Image.Image, back_end: str) -> None:
    if back_end == "large" and min(image.size) < 20:
        pytest.skip("the tiny stand-ins of the large models have tiny windows")
    images = ImageStore([image])
    assert call("LocalizeObjects", images, objects=["ball"]).error is None
    assert call("EstimateRegionDepth", images, bbox=[0, 0, 1, 1]).error is None
    assert 0 <= call("EstimateRegionDepth", images, bbox=[0, 0, 1, 1]).content["depth"] < 100


# ---------------------------------------------------------------------- the embedded network


def test_it_serves_where_weights_are_absent_and_not_where_they_are(
    checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Weights.folder
    monkeypatch.setattr(Weights, "folder", lambda self: None if self.name == self.default else real(self))
    for setting in LARGE:
        monkeypatch.delenv(setting, raising=False)
    assert [tool.backend for tool in EMBEDDED] == [perception.backend()] * 4
    assert all(tool.unavailable() is None for tool in EMBEDDED)
    monkeypatch.setenv("TACO_DETECTION_MODEL", str(checkpoints("grounding_dino")))
    assert LocalizeObjects.backend == "grounding_dino"
    assert EstimateObjectDepth.backend == f"{perception.backend()} + grounding_dino"


def test_a_setting_that_names_nothing_is_not_replaced_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_DETECTION_MODEL", "somebody/absent-model")
    assert "hf download somebody/absent-model" in str(LocalizeObjects.unavailable())


@pytest.mark.usefixtures("nano")
def test_a_model_is_told_what_it_knows() -> None:
    for tool in (LocalizeObjects, GetObjects, EstimateObjectDepth):
        assert "is no general detector. It knows: ball, cube" in tool.schema()["function"]["description"]
    assert "trained on rendered scenes" in EstimateRegionDepth.description


@pytest.mark.usefixtures("nano")
def test_it_finds_most_objects_and_their_order_of_depth() -> None:
    found = count = in_order = pairs = 0
    for seed in range(8):
        scene = objects.render(random.Random(f"perception/test/{seed}"))
        sight = perception.see(scene.image)
        depths = []
        for item in scene.annotation.objects:
            count += 1
            found += any(one.kind == item.name and overlap(one.bbox, item.bbox) > 0.5 for one in sight.objects)
            depths.append((item.depth, depth.region_depth(scene.image, list(item.bbox))))
        for index, (true, told) in enumerate(depths):
            for other, other_told in depths[:index]:
                if abs(true - other) > 0.15 * max(true, other):
                    pairs += 1
                    in_order += (true < other) == (told < other_told)
    assert found > 0.8 * count
    assert in_order > 0.9 * pairs


@pytest.mark.usefixtures("nano")
@pytest.mark.parametrize(
    "name", ["unicorn", "red", "shiny mug", "mug holder", "", "!", "cup", "mug of tea", "mug-2", "mug 2", "2 mugs", "mug#"]
)
def test_names_outside_the_vocabulary_are_refused_with_a_list(name: str) -> None:
    with pytest.raises(ToolError, match=r"outside the vocabulary of nano-perception .*: ball, cube, .*: .*red"):
        perception.describe(name)


@pytest.mark.usefixtures("nano")
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mug", ("mug", set(), "")),
        ("The red mugs", ("mug", {"red"}, "")),
        ("a small wooden striped cube", ("cube", {"wooden", "striped"}, "small")),
        ("Boxes", None),
        ("benches", ("bench", set(), "")),
        ("snowmen", ("snowman", set(), "")),
    ],
)
def test_names_are_read_as_people_write_them(name: str, meant: tuple[str, set[str], str] | None) -> None:
    if meant is None:
        with pytest.raises(ToolError):
            perception.describe(name)
        return
    found = perception.describe(name)
    assert (found.kind, set(found.attributes), found.size) == meant


def sighting(kind: str, side: float, *attributes: str) -> perception.Sighting:
    return perception.Sighting(kind, attributes, (0.1, 0.1, 0.1 + side, 0.1 + side), 0.9)


def test_what_fits_a_name() -> None:
    mugs = [sighting("mug", 0.1, "red", "matte", ""), sighting("mug", 0.3, "blue", "metal", "striped")]
    others = [*mugs, sighting("ball", 0.9, "red", "matte", "")]

    def fitting(name: str) -> list[perception.Sighting]:
        return [one for one in others if perception.fits(one, perception.describe(name), others)]

    assert fitting("mug") == mugs
    assert fitting("red mug") == fitting("small mug") == mugs[:1]
    assert fitting("metal striped mug") == fitting("large mug") == mugs[1:]
    assert fitting("green mug") == fitting("large ball") == []


@pytest.mark.usefixtures("nano")
def test_an_object_answers_to_the_first_name_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    mug = sighting("mug", 0.2, "red", "matte", "")
    monkeypatch.setattr(perception, "see", lambda image: perception.Sight((mug,), np.ones((2, 2), np.float32)))
    assert [one.label for one in detection.locate(SCENE.image, ["ball", "red mug", "mug"])] == ["red mug"]


@pytest.mark.usefixtures("nano")
def test_a_long_image_is_seen_as_it_is_not_squeezed() -> None:
    alone = perception.see(SCENE.image)
    wide = Image.new("RGB", (SCENE.image.width * 5, SCENE.image.height), (128, 128, 128))
    wide.paste(SCENE.image)
    assert perception.see(wide).nearness.shape[0] < perception.see(wide).nearness.shape[1]
    square, shares = perception._square(wide, 384)
    assert square.shape == (384, 384, 3)
    assert shares[0] == 1
    assert 0 < shares[1] < 0.7
    assert (square[round(shares[1] * 384) + 1 :] == 128).all()
    assert alone.nearness.shape == (96, 96)


@pytest.mark.usefixtures("nano")
def test_boxes_in_a_padded_image_are_shares_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stub(torch.nn.Module):
        """Sees a mug in the top left quarter of what it is shown."""

        config = perception_network.PerceptionConfig(("mug",), ("red",), ("matte",), ("",), side=64)

        def __init__(self) -> None:
            super().__init__()
            self.any = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixels: torch.Tensor) -> perception_network.Seen:
            kinds = torch.full((1, 1, 8, 8), -20.0)
            kinds[..., 1, 1] = 20.0
            boxes = torch.tensor([0.0, 0.0, 0.5, 0.125])[None, :, None, None].expand(1, 4, 8, 8)
            return perception_network.Seen(kinds, boxes, (torch.zeros(1, 1, 8, 8),) * 3, torch.zeros(1, 16, 16))

    monkeypatch.setattr(perception, "load", Stub)
    [wide] = perception.see(Image.new("RGB", (808, 101))).objects  # an eighth as high: a quarter of the square is filled
    assert wide.bbox == pytest.approx((0, 0, 0.5, 0.5))
    [tall] = perception.see(Image.new("RGB", (101, 808))).objects
    assert tall.bbox == pytest.approx((0, 0, 1, 0.125))
    assert perception.see(Image.new("RGB", (808, 101))).nearness.shape == (4, 16)


@pytest.mark.usefixtures("nano")
def test_damaged_weights_are_named_by_their_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(perception.FOLDER, tmp_path / "nano_perception"))
    file = folder / perception.WEIGHTS_FILE
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    monkeypatch.setattr(perception, "FOLDER", folder)
    perception.config.cache_clear()
    due = json.loads((folder / perception.CONFIG_FILE).read_text())["sha256"]
    observation = call("LocalizeObjects", ImageStore([Image.new("RGB", (31, 17), "red")]), objects=["mug"])
    assert f"{due} was expected" in str(observation.error)
    file.unlink()
    observation = call("LocalizeObjects", ImageStore([Image.new("RGB", (31, 17), "lime")]), objects=["mug"])
    assert "are missing: No such file" in str(observation.error)
    assert str(tmp_path) not in str(observation.error)
