"""The sizes of an xGen-MM model: vision tower, resampler, language model, and the image grids.

Call: ``XGenMMConfig()`` is the released v1.5 size; pass ``text_config``, ``vision_config``, ``resampler_*`` for others.
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.
# ruff: noqa: RUF012
# transformers reads settings from plain class attributes.

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec
from transformers.utils import logging

logger = logging.get_logger(__name__)

ONLY_V1_5 = (
    "Supported are the xGen-MM v1.5 checkpoints (*-r-v1.5: SigLIP tower, model_type xgenmm), in the released and in the "
    "native layout; xgen-mm-phi3-mini-instruct-r-v1 (model_type blip_3) has another vision tower and another resampler."
)
NUM_ADDED_TOKENS = 3  # <image>, <image placeholder>, <|endofchunk|>

# Grids of tiles (rows, columns) of v1.5. The order decides ties: an image smaller than a tile takes the first one.
DEFAULT_GRIDS = ((2, 1), (1, 2), (2, 2), (1, 3), (3, 1))


def default_pinpoints(base_size: int) -> list[list[int]]:
    """Canvas sizes ``[height, width]`` in pixels of the v1.5 grids for square tiles of `base_size` pixels."""
    return [[rows * base_size, columns * base_size] for rows, columns in DEFAULT_GRIDS]


# Keys of a released configuration. The sizes of the tower follow from its name there; other towers may state them.
VISION_KEYS = (
    "attention_dropout",
    "hidden_act",
    "hidden_size",
    "image_size",
    "intermediate_size",
    "layer_norm_eps",
    "num_attention_heads",
    "num_channels",
    "num_hidden_layers",
    "patch_size",
)
RESAMPLER_NAMES = {
    "num_vis_tokens": "resampler_num_latents",
    "depth": "resampler_depth",
    "heads": "resampler_num_heads",
    "dim_head": "resampler_head_dim",
    "ff_mult": "resampler_ff_mult",
}
PASSED_ON = {"attn_implementation", "name_or_path", "output_attentions", "torch_dtype"}
NOT_OURS = PASSED_ON | {"_commit_hash", "_name_or_path", "auto_map", "dtype", "model_name", "model_type", "transformers_version"}


@strict
class XGenMMConfig(PreTrainedConfig):
    """Configuration of xGen-MM v1.5 (https://arxiv.org/abs/2408.08872).

    Also takes the configuration of the released checkpoints (`vision_encoder_config`, `vision_tokenizer_config`,
    `text_config` with `initial_tokenizer_len`) and is native afterwards, in `config.json` too.

    Args:
        vision_config: The vision tower, `siglip_vision_model` unless it says otherwise. `image_size` is the side of a
            tile in pixels. Its pooling head is switched off: the model reads patch features only.
        text_config: The language model, `phi3` unless it says otherwise. `vocab_size` counts the added tokens too.
        resampler_depth, resampler_num_heads, resampler_head_dim, resampler_ff_mult: Shape of the Perceiver resampler;
            its width is the vision tower's.
        resampler_num_latents: Visual tokens per tile.
        image_grid_pinpoints: Canvas sizes `[height, width]` in pixels that an image may be cut into tiles on, in order
            of preference. `None` gives the five grids of v1.5; an empty list gives the squashed base tile only.
        image_token_id: Id of the placeholder token `<image>`.

    Raises:
        ValueError: A pinpoint is not a multiple of the tile, the tile is not square, or a released configuration asks
            for what its model cannot do here.
    """

    model_type = "xgenmm"
    sub_configs_defaults = {
        "text_config": SubConfigSpec(
            config_class=AutoConfig,
            model_type="phi3",
            # 32012 ids of Phi-3 with its pad token, then the three added ones. Instruct models stop at <|end|>.
            # transformers 5 counts the token itself into the window: 2048 here are the released 2047.
            init_kwargs={"vocab_size": 32015, "sliding_window": 2048, "pad_token_id": 32011, "eos_token_id": 32007},
        ),
        "vision_config": SubConfigSpec(
            config_class=AutoConfig,
            model_type="siglip_vision_model",
            init_kwargs={
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_hidden_layers": 27,
                "num_attention_heads": 16,
                "image_size": 384,
                "patch_size": 14,
            },
        ),
    }

    vision_config: Any = None  # a dict or a config on the way in, always a config afterwards
    text_config: Any = None
    resampler_depth: int = 6
    resampler_num_heads: int = 16
    resampler_head_dim: int = 96
    resampler_num_latents: int = 128
    resampler_ff_mult: int = 4
    image_grid_pinpoints: list[Any] | None = None
    image_token_id: int = 32012
    tie_word_embeddings: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        released = isinstance(self.text_config, dict) and "initial_tokenizer_len" in self.text_config
        if released or "vision_encoder_config" in kwargs or "vision_tokenizer_config" in kwargs:
            try:
                kwargs = self._translate_released(**kwargs)
            except TypeError as error:
                raise ValueError(f"The released configuration holds a value of the wrong type: {error}.") from error
        super().__post_init__(**kwargs)
        # An unused head would be dead weight, and parameters without gradients stop distributed training.
        self.vision_config.vision_use_head = False
        if self.image_grid_pinpoints is None:
            self.image_grid_pinpoints = default_pinpoints(self.vision_config.image_size)
        self._check_grids()

    def _translate_released(
        self,
        vision_encoder_config: dict[str, Any] | None = None,
        vision_tokenizer_config: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Take over a released configuration; what it does not say is as in v1.5. Returns the arguments still to be read.

        The released files were never seen: these are the names in the reference's code and in copies of the remote code.
        """
        encoder, resampler = dict(vision_encoder_config or {}), dict(vision_tokenizer_config or {})
        text = dict(self.text_config or {})
        self._translate_text(text, resampler.pop("lang_embedding_dim", None))
        vision = dict(self.sub_configs_defaults["vision_config"].init_kwargs)
        vision["hidden_size"] = resampler.pop("vis_feature_dim", vision["hidden_size"])
        vision |= {name: encoder.pop(name) for name in VISION_KEYS if name in encoder}
        self.vision_config = vision
        for name, ours in RESAMPLER_NAMES.items():
            setattr(self, ours, resampler.pop(name, getattr(self, ours)))
        self._translate_grids(encoder, resampler.pop("image_aspect_ratio", "anyres"))
        parts = {"vision_encoder_config": encoder, "vision_tokenizer_config": resampler, "": kwargs}
        unknown = [f"{part}.{key}".lstrip(".") for part, values in parts.items() for key in values.keys() - NOT_OURS]
        if unknown:
            logger.warning_once(f"Unknown keys of the released configuration are ignored: {', '.join(sorted(unknown))}.")
        return {key: value for key, value in kwargs.items() if key in PASSED_ON}

    def _translate_text(self, text: dict[str, Any], width: int | None) -> None:
        original = text.pop("initial_tokenizer_len", 32012)
        # transformers counts the token itself into the window since version 5: 2047 there is 2048 here.
        window = text.pop("sliding_window", 2047)
        for name in ("_attn_implementation", "_name_or_path", "auto_map", "dtype", "torch_dtype"):
            text.pop(name, None)
        if width is not None:
            text.setdefault("hidden_size", width)
        if original == 32012 and text.get("eos_token_id") in (None, 32000):
            text["eos_token_id"] = 32007  # <|end|>, which every user of the reference sets by hand
        text["vocab_size"] = original + NUM_ADDED_TOKENS
        text["sliding_window"] = None if window is None else window + 1
        # The pad token is the last that the tokenizer got before the three; the released key names <|endoftext|>.
        text["pad_token_id"] = original - 1
        self.text_config, self.image_token_id = text, original

    def _translate_grids(self, encoder: dict[str, Any], aspect_ratio: str) -> None:
        aspect_ratio = encoder.pop("image_aspect_ratio", aspect_ratio)
        sampled_by_tile, grids = encoder.pop("anyres_patch_sampling", True), encoder.pop("anyres_grids", None)
        if aspect_ratio != "anyres":
            self.image_grid_pinpoints = []
        elif not sampled_by_tile:
            raise ValueError("anyres_patch_sampling is false; the released v1.5 models, which are supported, have it true.")
        elif grids is not None:
            self.image_grid_pinpoints = [[height, width] for width, height in grids]

    def _check_grids(self) -> None:
        base = self.vision_config.image_size
        if not isinstance(base, int):
            raise ValueError(f"vision_config.image_size must be one number (square tiles), got {base!r}.")
        for pinpoint in self.image_grid_pinpoints or []:
            if len(pinpoint) != 2 or any(side < base or side % base for side in pinpoint):
                raise ValueError(
                    f"image_grid_pinpoints holds {pinpoint}, which is not [height, width] in multiples of the tile "
                    f"({base} pixels = vision_config.image_size). default_pinpoints({base}) gives the usual grids."
                )


class Blip3Config(PreTrainedConfig):
    """The first release, xgen-mm-phi3-mini-instruct-r-v1: known in order to be refused with a reason.

    Raises:
        NotImplementedError: Always. Not a ValueError, which AutoProcessor would swallow.
    """

    model_type = "blip_3"

    def __post_init__(self, **kwargs: Any) -> None:
        raise NotImplementedError(ONLY_V1_5)


__all__ = ["XGenMMConfig", "Blip3Config", "default_pinpoints"]
