"""Random xGen-MM models for the benchmarks: `tiny`, and `100m` with the released geometry (384-pixel tiles, 128 tokens a tile).

>>> model, processor = make("tiny")
"""

from typing import Any

import torch

from taco.models.loading import NANO
from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMImageProcessor, XGenMMProcessor

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "vocabulary": 1024, "latents": 8, "depth": 2, "heads": 2,
        "text": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
        "vision": {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
                   "image_size": 56, "patch_size": 7},
    },
    "100m": {
        "vocabulary": 32015, "latents": 128, "depth": 3, "heads": 4,
        "text": {"hidden_size": 640, "intermediate_size": 1728, "num_hidden_layers": 10, "num_attention_heads": 10},
        "vision": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6, "num_attention_heads": 4,
                   "image_size": 384, "patch_size": 14},
    },
}  # fmt: skip


def make(size: str) -> tuple[XGenMMForConditionalGeneration, XGenMMProcessor]:
    """A model with equal random weights each time, and its processor. It says known tokens only, and never its end token."""
    from transformers import AutoTokenizer

    sizes = SIZES[size]
    side = sizes["vision"]["image_size"]
    images = XGenMMImageProcessor(size={"height": side, "width": side})
    processor = XGenMMProcessor(images, AutoTokenizer.from_pretrained(str(NANO)), num_latents=sizes["latents"])
    tokens = processor.tokenizer
    text = sizes["text"] | {
        "vocab_size": sizes["vocabulary"], "max_position_embeddings": 16384, "sliding_window": None, "initializer_range": 0.2,
        "bos_token_id": None, "eos_token_id": tokens.eos_token_id, "pad_token_id": tokens.pad_token_id,
    }  # fmt: skip
    torch.manual_seed(0)
    model = XGenMMForConditionalGeneration(
        XGenMMConfig(
            text_config=text, vision_config=sizes["vision"], resampler_depth=sizes["depth"], resampler_num_heads=sizes["heads"],
            resampler_num_latents=sizes["latents"], image_token_id=processor.image_token_id,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        special = torch.tensor([*tokens.all_special_ids, processor.image_token_id])
        model.lm_head.bias[special] = -1e4
        model.lm_head.bias[len(tokens) :] = -1e4
    return model, processor


__all__ = ["SIZES", "make"]
