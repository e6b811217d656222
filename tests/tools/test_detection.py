from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from taco.tools import Action, ImageStore, Observation, Toolbox, detection
from taco.tools.detection import Found, LocalizeObjects, locate, numbered

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8))


@pytest.fixture(params=["grounding_dino", "owlv2"])
def model(request: pytest.FixtureRequest, checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """Each detector, with thresholds that let a random model find something."""
    detection._FOUND.clear()
    monkeypatch.setenv("TACO_DETECTION_MODEL", str(checkpoints(request.param)))
    for name in ("BOX_THRESHOLD", "TEXT_THRESHOLD", "OWL_THRESHOLD"):
        monkeypatch.setattr(detection, name, 0.0)
    return str(request.param)


def call(objects: Any) -> tuple[Observation, ImageStore]:
    images = ImageStore([PHOTO])
    return Toolbox([LocalizeObjects]).execute(
        Action(name="LocalizeObjects", arguments={"image": "image-0", "objects": objects}), images
    ), images


def test_returns_an_image_and_regions_by_score(model: str) -> None:
    observation, images = call(["dog", "red ball"])
    assert list(observation.content) == ["image", "regions"]
    assert observation.images == ("image-1",)
    regions = observation.content["regions"]
    assert regions
    assert {region["label"].partition("-")[0] for region in regions} <= {"dog", "red ball"}
    for region in regions:
        left, top, right, bottom = region["bbox"]
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        assert 0 <= region["score"] <= 1
    assert [region["score"] for region in regions] == sorted((region["score"] for region in regions), reverse=True)
    assert images["image-1"].size == PHOTO.size


def test_nothing_found_gives_the_image_and_no_regions(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BOX_THRESHOLD", "OWL_THRESHOLD"):
        monkeypatch.setattr(detection, name, 1.0)
    observation, images = call(["dog"])
    assert observation.content == {"image": "image-1", "regions": []}
    assert images["image-1"].tobytes() == PHOTO.tobytes()


def test_too_many_words_are_refused_and_none_is_left_out(model: str) -> None:
    observation, _ = call(["the very long description of one single object indeed"] * 12)
    assert "Ask for fewer objects, or describe them shorter" in str(observation.error)


@pytest.mark.parametrize(
    ("objects", "problem"),
    [
        ([], "at least 1"),
        ([""], "at least 1 character"),
        (["  "], "at least 1 character"),
        ("dog", "list"),
        (["x" * 61], "at most 60"),
    ],
)
def test_bad_objects(objects: Any, problem: str) -> None:
    assert problem in str(call(objects)[0].error)


def test_repeats_are_numbered() -> None:
    box = [0.0, 0.0, 1.0, 1.0]
    labels = [region.label for region in numbered([Found(label, box, 0.5) for label in ("cup", "dog", "cup", "cup")])]
    assert labels == ["cup", "dog", "cup-2", "cup-3"]


@pytest.mark.parametrize(("phrase", "label"), [("ball", "red ball"), ("red car", "car"), ("dog", "dog"), ("", "dog")])
def test_a_phrase_stands_for_the_description_that_shares_its_words(phrase: str, label: str) -> None:
    assert detection._asked_for(phrase, ["dog", "red ball", "car"]) == label


def test_boxes_of_a_padded_image_are_fractions_of_the_image(
    checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OWLv2 pads 90 x 60 below to 90 x 90: what ends at two thirds of the square ends at the image's edge."""
    import torch

    detection._FOUND.clear()
    monkeypatch.setenv("TACO_DETECTION_MODEL", str(checkpoints("owlv2")))
    _, network = detection.WEIGHTS.load()
    answer = type("Answer", (), {})()
    answer.logits, answer.pred_boxes = torch.tensor([[[9.0]]]), torch.tensor([[[0.25, 1 / 3, 0.5, 2 / 3]]])
    answer.objectness_logits = None
    monkeypatch.setattr(network, "forward", lambda **inputs: answer)
    assert locate(PHOTO, ["dog"]) == [Found("dog", [0.0, 0.0, 0.5, 1.0], 1.0)]
