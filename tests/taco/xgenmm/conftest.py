"""A tiny xGen-MM, random and offline: tokenizer, processor and model for the tests of this folder."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMImageProcessor, XGenMMProcessor

BASE = 28
LATENTS = 4
CONTROL = ["<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of about 300 tokens, without xGen-MM's own three."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=CONTROL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(["what is the price of a tea and of the coffee"], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|endoftext|>")


def make_processor(**image_options: Any) -> XGenMMProcessor:
    """A processor with tiles of 28 pixels and 4 tokens a tile."""
    images = XGenMMImageProcessor(size={"height": BASE, "width": BASE}, **image_options)
    return XGenMMProcessor(images, make_tokenizer(), num_latents=LATENTS)


def make_model(processor: XGenMMProcessor, **options: Any) -> XGenMMForConditionalGeneration:
    """A random model that fits the processor."""
    torch.manual_seed(0)
    config = XGenMMConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            # Larger than usual, or random logits would all be nearly equal and tests could not tell them apart.
            "initializer_range": 0.3,
            "bos_token_id": None,
            "eos_token_id": processor.tokenizer.eos_token_id,
            "pad_token_id": processor.tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": BASE,
            "patch_size": 7,
        },
        resampler_depth=2,
        resampler_num_heads=2,
        resampler_head_dim=8,
        resampler_num_latents=LATENTS,
        resampler_ff_mult=2,
        image_token_id=processor.image_token_id,
        **options,
    )
    return XGenMMForConditionalGeneration(config).eval()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB image of random pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def ask(text: str, *images: Image.Image) -> dict[str, Any]:
    """A user turn: images, then text."""
    parts: list[dict[str, Any]] = [{"type": "image", "image": image} for image in images]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}]}


def answer(text: str) -> dict[str, Any]:
    """An assistant turn."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


@pytest.fixture
def processor() -> XGenMMProcessor:
    """A fresh processor: tests change its padding side."""
    return make_processor()


@pytest.fixture(scope="module")
def model() -> XGenMMForConditionalGeneration:
    """One model per test module; nobody may change it."""
    return make_model(make_processor())


@pytest.fixture
def new_model() -> Callable[..., XGenMMForConditionalGeneration]:
    """`new_model(**config)`: the same weights in a model that a test may change."""
    return lambda **options: make_model(make_processor(), **options)


@pytest.fixture
def chat() -> Any:
    """The helpers `noise`, `ask` and `answer` under one name (test folders are not importable)."""

    class Chat:
        noise = staticmethod(noise)
        ask = staticmethod(ask)
        answer = staticmethod(answer)
        make_processor = staticmethod(make_processor)
        make_tokenizer = staticmethod(make_tokenizer)
        base, latents = BASE, LATENTS

    return Chat
