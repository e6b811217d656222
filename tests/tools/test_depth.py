from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taco.tools import Action, ImageStore, Observation, Toolbox, depth, detection
from taco.tools.depth import EstimateObjectDepth, EstimateRegionDepth, depth_map
from taco.tools.detection import Found

TOOLBOX = Toolbox([EstimateRegionDepth, EstimateObjectDepth])
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8))


@pytest.fixture(autouse=True)
def _model(checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    depth._MAPS.clear()
    monkeypatch.setenv("TACO_DEPTH_MODEL", str(checkpoints("depth_anything")))
    monkeypatch.setenv("TACO_DETECTION_MODEL", str(checkpoints("grounding_dino")))


def call(name: str, image: Image.Image = PHOTO, **arguments: object) -> Observation:
    return TOOLBOX.execute(Action(name=name, arguments={"image": "image-0", **arguments}), ImageStore([image]))


def test_the_map_is_the_models_turned_over_as_a_whole() -> None:
    import torch

    processor, model = depth.WEIGHTS.load()
    with torch.inference_mode():
        near = model(**processor(images=PHOTO, return_tensors="pt")).predicted_depth
    near = torch.nn.functional.interpolate(near[None], size=(60, 90), mode="bicubic", align_corners=False)[0, 0].numpy()
    found = depth_map(PHOTO)
    assert found.shape == (60, 90)
    assert near.std() > 0
    np.testing.assert_allclose(found, near.max() - near, atol=1e-5)


def test_a_region_is_the_mean_of_its_pixels() -> None:
    expected = round(float(depth_map(PHOTO)[6:30, 9:45].mean()), 2)
    assert call("EstimateRegionDepth", bbox=[0.1, 0.1, 0.5, 0.5]).content == {"depth": expected}


def test_r13_an_object_is_where_it_is_surest(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Found("dog", [0.0, 0.0, 0.2, 0.2], 0.4), Found("dog", [0.5, 0.5, 1.0, 1.0], 0.9)]
    monkeypatch.setattr(depth, "locate", lambda image, objects: found if objects == ["dog"] else [])
    assert call("EstimateObjectDepth", object="dog").content == call("EstimateRegionDepth", bbox=[0.5, 0.5, 1, 1]).content
    assert "No 'cat' was found" in str(call("EstimateObjectDepth", object="cat").error)


def test_r14_the_map_of_an_image_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = depth._depth_map
    monkeypatch.setattr(depth, "_depth_map", lambda image: made.append(image) or real(image))  # type: ignore[func-returns-value]
    for right in (0.2, 0.5, 0.9):
        call("EstimateRegionDepth", bbox=[0, 0, right, 1])
    call("EstimateRegionDepth", PHOTO.rotate(90), bbox=[0, 0, 1, 1])
    assert len(made) == 2


def test_r12_a_box_of_less_than_a_pixel() -> None:
    assert "less than one pixel of the 90x60 image" in str(call("EstimateRegionDepth", bbox=[0.5, 0.5, 0.501, 0.501]).error)


def test_weights_that_are_asked_for_and_absent_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", "/nowhere")
    monkeypatch.setenv("TACO_DEPTH_MODEL", "somebody/depth")
    for tool in TOOLBOX:
        assert "hf download somebody/depth" in str(tool.unavailable())
    monkeypatch.setenv("TACO_DETECTION_MODEL", "somebody/detector")
    assert "hf download somebody/detector" in str(detection.LocalizeObjects.unavailable())
