"""The detector is OpenCV's own, on a network of YuNet's inputs and outputs that takes each white cell of a grid for a face."""

from pathlib import Path

import pytest
from PIL import Image

from taco.tools import Action, ImageStore, Observation, Toolbox
from taco.tools.faces import DetectFaces


def detect(image: Image.Image) -> tuple[Observation, ImageStore]:
    images = ImageStore([image])
    return Toolbox([DetectFaces]).execute(Action(name="DetectFaces", arguments={"image": "image-0"}), images), images


def board(size: tuple[int, int], *cells: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size)
    for column, row in cells:
        image.paste("white", (32 * column, 32 * row, 32 * column + 32, 32 * row + 32))
    return image


def test_faces_from_left_to_right(yunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_FACE_MODEL", str(yunet))
    observation, images = detect(board((320, 160), (8, 1), (2, 3), (5, 0)))
    assert observation.content["regions"] == [
        {"label": "face", "bbox": [0.2, 0.6, 0.3, 0.8]},
        {"label": "face 2", "bbox": [0.5, 0.0, 0.6, 0.2]},
        {"label": "face 3", "bbox": [0.8, 0.2, 0.9, 0.4]},
    ]
    assert observation.content["image"] == "image-1"
    assert images["image-1"].getpixel((66, 100)) == (255, 255, 0)
    assert DetectFaces.backend == "yunet_tiny"


def test_none(yunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_FACE_MODEL", str(yunet))
    observation, images = detect(board((100, 70)))
    assert observation.content == {"image": "image-1", "regions": []}
    assert images["image-1"].tobytes() == board((100, 70)).tobytes()


def test_a_large_image_is_scaled_down_and_its_boxes_are_its_own(yunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_FACE_MODEL", str(yunet))
    large = board((640, 320), (10, 5)).resize((2560, 1280), Image.Resampling.NEAREST)  # four times as large; seen at half
    found = detect(large)[0].content["regions"]
    assert [0.5, 0.5, 0.53, 0.55] in [region["bbox"] for region in found]


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TACO_FACE_MODEL", raising=False)
    assert "TACO_FACE_MODEL is not set. Download face_detection_yunet_2023mar.onnx" in str(DetectFaces.unavailable())
    monkeypatch.setenv("TACO_FACE_MODEL", "/nowhere/a.onnx")
    assert "TACO_FACE_MODEL names no file" in str(DetectFaces.unavailable())
    assert "/nowhere" not in str(detect(board((64, 64)))[0].error)
    (tmp_path / "b.onnx").write_bytes(b"nonsense")
    monkeypatch.setenv("TACO_FACE_MODEL", str(tmp_path / "b.onnx"))
    assert "b.onnx, which OpenCV cannot read" in str(detect(board((64, 64)))[0].error)
