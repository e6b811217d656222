from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from taco.tools import Action, ImageStore, Observation, Toolbox, similarity
from taco.tools.similarity import GetImageToImagesSimilarity, GetImageToTextsSimilarity, GetTextToImagesSimilarity

TOOLBOX = Toolbox([GetImageToImagesSimilarity, GetImageToTextsSimilarity, GetTextToImagesSimilarity])
RNG = np.random.default_rng(0)
PHOTOS = [Image.fromarray(RNG.integers(0, 255, (40, 50, 3), dtype=np.uint8)) for _ in range(3)]


@pytest.fixture(params=["siglip", "clip"])
def _model(request: pytest.FixtureRequest, checkpoints: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    similarity._EMBEDDINGS.clear()
    monkeypatch.setenv("TACO_SIMILARITY_MODEL", str(checkpoints(request.param)))


def call(name: str, **arguments: Any) -> Observation:
    return TOOLBOX.execute(Action(name=name, arguments=arguments), ImageStore([*PHOTOS, PHOTOS[0]]))


@pytest.mark.usefixtures("_model")
def test_an_image_is_most_like_itself_and_is_named() -> None:
    observation = call("GetImageToImagesSimilarity", image="image-0", other_images=["image-2", "image-3", "image-1"])
    assert observation.content["similarity"][1] == 1.0
    assert observation.content["best_image_index"] == 1
    assert observation.content["best_image"] == "image-3"
    assert observation.images == ()


@pytest.mark.usefixtures("_model")
def test_r3_texts_and_images_agree_both_ways() -> None:
    texts = ["a dog", "a red car", "ein Auto mit sehr vielen Wörtern, mehr als das Modell liest, " * 3]
    by_image = [call("GetImageToTextsSimilarity", image=f"image-{number}", texts=texts).content for number in range(3)]
    by_text = [call("GetTextToImagesSimilarity", text=text, images=[f"image-{n}" for n in range(3)]).content for text in texts]
    assert [found["similarity"] for found in by_image] == [
        list(row) for row in zip(*(f["similarity"] for f in by_text), strict=True)
    ]
    for found in by_image:
        best = max(range(3), key=found["similarity"].__getitem__)
        assert (found["best_text_index"], found["best_text"]) == (best, texts[best])
    assert by_text[0]["best_image"] == f"image-{by_text[0]['best_image_index']}"


@pytest.mark.usefixtures("_model")
def test_what_was_embedded_is_embedded_once_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    real = similarity._features
    monkeypatch.setattr(similarity, "_features", lambda items, kind: batches.append(len(items)) or real(items, kind))  # type: ignore[func-returns-value]
    texts = [f"text {number}" for number in range(20)]
    call("GetImageToTextsSimilarity", image="image-0", texts=texts)
    assert batches == [1, 16, 4]
    call("GetImageToTextsSimilarity", image="image-3", texts=texts[::-1])
    assert batches == [1, 16, 4]


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("GetImageToTextsSimilarity", {"image": "image-0", "texts": []}, "at least 1"),
        ("GetImageToTextsSimilarity", {"image": "image-0", "texts": ["a"] * 51}, "at most 50"),
        ("GetImageToTextsSimilarity", {"image": "image-0", "texts": [" "]}, "at least 1 character"),
        ("GetImageToImagesSimilarity", {"image": "image-0", "other_images": []}, "at least 1"),
        ("GetImageToImagesSimilarity", {"image": "image-0", "other_images": ["image-9"]}, "no image named 'image-9'"),
        ("GetTextToImagesSimilarity", {"text": "a", "images": "image-0"}, "list"),
    ],
)
def test_bad_arguments(name: str, arguments: dict[str, Any], problem: str) -> None:
    assert problem in str(call(name, **arguments).error)
