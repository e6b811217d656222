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

# Grids of tiles (rows, columns) of v1.5. The order decides ties: an image smaller than a tile takes the first one.
DEFAULT_GRIDS = ((2, 1), (1, 2), (2, 2), (1, 3), (3, 1))


def default_pinpoints(base_size: int) -> list[list[int]]:
    """Canvas sizes ``[height, width]`` in pixels of the v1.5 grids for square tiles of `base_size` pixels."""
    return [[rows * base_size, columns * base_size] for rows, columns in DEFAULT_GRIDS]


@strict
class XGenMMConfig(PreTrainedConfig):
    """Configuration of xGen-MM v1.5 (https://arxiv.org/abs/2408.08872).

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
        ValueError: A pinpoint is not a multiple of the tile, or the tile is not square.
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
        super().__post_init__(**kwargs)
        # An unused head would be dead weight, and parameters without gradients stop distributed training.
        self.vision_config.vision_use_head = False
        if self.image_grid_pinpoints is None:
            self.image_grid_pinpoints = default_pinpoints(self.vision_config.image_size)
        self._check_grids()

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


__all__ = ["XGenMMConfig", "default_pinpoints"]
