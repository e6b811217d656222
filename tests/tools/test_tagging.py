from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from taco.tools import Action, ImageStore, Observation, Toolbox, tagging
from taco.tools.tagging import GetObjects


@pytest.fixture(autouse=True)
def _model(checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_TAGGING_MODEL", str(checkpoints("florence2")))


def look() -> Observation:
    images = ImageStore([Image.new("RGB", (50, 40), "red")])
    return Toolbox([GetObjects]).execute(Action(name="GetObjects", arguments={"image": "image-0"}), images)


def test_a_random_model_gives_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagging, "MAX_NEW_TOKENS", 8)
    assert isinstance(look().content["objects"], list)


def test_each_name_once_in_alphabetical_order(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    processor, model = tagging.WEIGHTS.load()
    box = "<loc_1><loc_2><loc_30><loc_40>"
    ids = processor.tokenizer(f"</s><s>dog{box}potted plant{box}{box}cat{box}dog{box}</s>", add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(model, "generate", lambda **inputs: torch.tensor([ids]))
    assert look().content == {"objects": ["cat", "dog", "potted plant"]}


def test_nothing_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    _, model = tagging.WEIGHTS.load()
    monkeypatch.setattr(model, "generate", lambda **inputs: torch.tensor([[2, 0, 2]]))
    assert look().content == {"objects": []}
