"""GetImageToImagesSimilarity, GetImageToTextsSimilarity and GetTextToImagesSimilarity: cosines of SigLIP 2 or CLIP embeddings.

    >>> GetImageToTextsSimilarity.call({"image": "image-0", "texts": ["a dog", "a cat"]}, ImageStore(["dog.jpg"]))
    {'similarity': [0.21, 0.03], 'best_text_index': 0, 'best_text': 'a dog'}

Any model with ``get_image_features`` and ``get_text_features`` serves; ``TACO_SIMILARITY_MODEL`` names another.
"""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from PIL import Image
from pydantic import Field, StringConstraints

from taco.tools.images import pixel_hash
from taco.tools.memo import Memo
from taco.tools.tool import tool
from taco.tools.weights import Weights

if TYPE_CHECKING:
    import torch

WEIGHTS = Weights("TACO_SIMILARITY_MODEL", "google/siglip2-base-patch16-384", "AutoModel")
MAX_CANDIDATES = 50
BATCH = 16
_EMBEDDINGS: Memo[tuple[str, str], "torch.Tensor"] = Memo(512)
"""Of images and texts, by the model and the image's hash or the text."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_000)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_CANDIDATES)]
_similarity_tool = tool(backend=lambda: WEIGHTS.backend, unavailable=WEIGHTS.unavailable)


@_similarity_tool
def GetImageToImagesSimilarity(
    image: Image.Image, other_images: Annotated[list[Image.Image], Field(max_length=MAX_CANDIDATES)]
) -> dict[str, Any]:
    """Compares an image with other images.

    Args:
        image: The image to compare.
        other_images: The images to compare it with.

    Returns:
        similarity: The cosine similarity with each, -1 to 1; larger is more alike.
        best_image_index: The index of the most similar one in other_images, from 0.
        best_image: Its name.
    """
    scores = _cosines(_embed_images([image]), _embed_images(other_images))
    return ranked(scores, other_images, "image")


@_similarity_tool
def GetImageToTextsSimilarity(image: Image.Image, texts: Texts) -> dict[str, Any]:
    """Compares an image with texts.

    Args:
        image: The image to compare.
        texts: The texts, such as ["a red car", "a blue car"].

    Returns:
        similarity: The cosine similarity with each, -1 to 1; larger fits better.
        best_text_index: The index of the text that fits best, from 0.
        best_text: That text.
    """
    scores = _cosines(_embed_images([image]), _embed_texts(texts))
    return ranked(scores, texts, "text")


@_similarity_tool
def GetTextToImagesSimilarity(
    text: Text, images: Annotated[list[Image.Image], Field(max_length=MAX_CANDIDATES)]
) -> dict[str, Any]:
    """Compares a text with images.

    Args:
        text: The text, such as "a red car".
        images: The images to compare it with.

    Returns:
        similarity: The cosine similarity with each, -1 to 1; larger fits better.
        best_image_index: The index of the image that fits best, from 0.
        best_image: Its name.
    """
    scores = _cosines(_embed_texts([text]), _embed_images(images))
    return ranked(scores, images, "image")


def _cosines(one: "torch.Tensor", others: "torch.Tensor") -> list[float]:
    """[1, width] and [n, width], each of length 1 -> n cosines to 2 decimals."""
    return [round(float(value), 2) for value in (others @ one[0]).tolist()]


def ranked(scores: list[float], candidates: Sequence[Any], kind: str) -> dict[str, Any]:
    """What the tools return of cosines with candidates of a kind: ``image`` or ``text``. Of equal ones the first is the best."""
    best = max(range(len(scores)), key=scores.__getitem__)
    return {"similarity": scores, f"best_{kind}_index": best, f"best_{kind}": candidates[best]}


def _embed_images(images: list[Image.Image]) -> "torch.Tensor":
    return _embedded([pixel_hash(image) for image in images], images, "images")


def _embed_texts(texts: list[str]) -> "torch.Tensor":
    return _embedded([f"text:{text}" for text in texts], texts, "text")


def _embedded(keys: list[str], items: list[Any], kind: str) -> "torch.Tensor":
    """Embeddings of length 1, float32 [n, width]; those not known yet are made in batches."""
    import torch

    name = WEIGHTS.name
    known: dict[str, torch.Tensor] = {}
    for key in keys:
        with contextlib.suppress(KeyError):
            known[key] = _EMBEDDINGS[name, key]
    new = {key: item for key, item in zip(keys, items, strict=True) if key not in known}
    for start in range(0, len(new), BATCH):
        part = list(new)[start : start + BATCH]
        for key, features in zip(part, _features([new[key] for key in part], kind), strict=True):
            known[key] = _EMBEDDINGS[name, key] = features
    return torch.stack([known[key] for key in keys])


def _features(items: list[Any], kind: str) -> "torch.Tensor":
    import torch

    processor, model = WEIGHTS.load()
    options = {}
    if kind == "text":  # SigLIP was trained on texts of this one length; CLIP looks at the end of the text wherever it is
        options = {"padding": "max_length", "truncation": True, "max_length": model.config.text_config.max_position_embeddings}
    inputs = processor(**{kind: items}, return_tensors="pt", **options).to(model.device)
    if kind == "images":
        inputs = inputs.to(model.dtype)
    with torch.inference_mode():
        features = (model.get_image_features if kind == "images" else model.get_text_features)(**inputs)
    return torch.nn.functional.normalize(features.pooler_output.float(), dim=-1).cpu()
