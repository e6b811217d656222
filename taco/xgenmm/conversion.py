"""The released xGen-MM v1.5 weights under the names of our classes: the one table that every loader uses.

Call: ``model.load_state_dict(to_native(reference_state_dict, num_original_tokens=32012))``
"""

import re
from collections.abc import Mapping

import torch

# Each reference key must match exactly one line. The order does not matter.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"vision_encoder\.(.+)", r"model.vision_tower.\1"),
    (r"vision_tokenizer\.(latents|norm\..+|projection\..+)", r"model.resampler.\1"),
    (r"vision_tokenizer\.layers\.(\d+)\.0\.(.+)", r"model.resampler.layers.\1.attention.\2"),
    (r"vision_tokenizer\.layers\.(\d+)\.1\.0\.(.+)", r"model.resampler.layers.\1.norm.\2"),
    (r"vision_tokenizer\.layers\.(\d+)\.1\.1\.(.+)", r"model.resampler.layers.\1.up.\2"),
    (r"vision_tokenizer\.layers\.(\d+)\.1\.3\.(.+)", r"model.resampler.layers.\1.down.\2"),
    (r"lang_model\.model\.(.+)", r"model.language_model.\1"),
    (r"lang_model\.lm_head\.(.+)", r"lm_head.\1"),
)
# The pooling head of SigLIP is never used; the buffers are recomputed, and only old remote code saved them.
DROPPED = re.compile(r"vision_encoder\.head\.|.*\.(position_ids|rotary_emb\.inv_freq)$")
# Native name -> where the reference keeps the rows of the tokens that were added to Phi-3's.
ADDED_ROWS = {
    "model.language_model.embed_tokens.weight": "model.language_model.embed_tokens.additional_embedding.weight",
    "lm_head.weight": "lm_head.additional_fc.weight",
    "lm_head.bias": "lm_head.additional_fc.bias",
}


def native_name(key: str) -> str | None:
    """Our name of a reference key (with or without its leading ``vlm.``), or None where the weight is not used.

    Raises:
        KeyError: The key belongs to no xGen-MM v1.5 model.
    """
    key = key.removeprefix("vlm.")
    if DROPPED.match(key):
        return None
    for pattern, replacement in RENAMES:
        if match := re.fullmatch(pattern, key):
            return match.expand(replacement)
    raise KeyError(f"{key!r} is no weight of xGen-MM v1.5 (vision_encoder.*, vision_tokenizer.*, lang_model.*).")


def to_native(state_dict: Mapping[str, torch.Tensor], num_original_tokens: int) -> dict[str, torch.Tensor]:
    """A reference state dict under our names, its split vocabulary folded into one.

    Args:
        state_dict: Weights by reference key.
        num_original_tokens: Rows in use of the big matrices (32012 in the released models); the rest is dead padding.

    Raises:
        KeyError: An unknown key, or a part of the vocabulary is missing.
    """
    native = {name: tensor for key, tensor in state_dict.items() if (name := native_name(key)) is not None}
    for name, added in ADDED_ROWS.items():
        native[name] = torch.cat([native[name][:num_original_tokens], native.pop(added)])
    return native


__all__ = ["native_name", "to_native"]
