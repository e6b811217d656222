"""xGen-MM v1.5: a SigLIP tower, a Perceiver resampler and a Phi-3 language model.

Call: ``XGenMMForConditionalGeneration(config)(**processor(images=image, text="<image>\\nWhat is this?"))``
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.
# ruff: noqa: RUF012
# transformers reads settings from plain class attributes.

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.utils.generic import can_return_tuple

from taco.xgenmm.configuration_xgenmm import XGenMMConfig
from taco.xgenmm.image_processing_xgenmm import grid_of


@dataclass
class XGenMMModelOutputWithPast(BaseModelOutputWithPast):
    """`last_hidden_state` [B, L, hidden], the cache, and `image_hidden_states` [image tokens, hidden] when encoded."""

    image_hidden_states: torch.Tensor | None = None


@dataclass
class XGenMMCausalLMOutputWithPast(CausalLMOutputWithPast):
    """`loss` (mean over labels other than -100), `logits` [B, kept, vocabulary], the cache, `image_hidden_states`."""

    image_hidden_states: torch.Tensor | None = None


class XGenMMResamplerLinear(nn.Linear):
    """A linear map without bias. A class of its own so that `_init_weights` knows it."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)


class XGenMMResamplerAttention(nn.Module):
    """Latents attend to the patches of their tile and to one another."""

    def __init__(self, config: XGenMMConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.head_dim = config.resampler_head_dim
        inner = config.resampler_num_heads * self.head_dim
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = XGenMMResamplerLinear(width, inner)
        self.to_kv = XGenMMResamplerLinear(width, 2 * inner)
        self.to_out = XGenMMResamplerLinear(inner, width)

    def forward(self, latents: torch.Tensor, patches: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """Latents [n, l, d], patches [n, p, d], visible [n, 1, 1, p + l] bool -> [n, l, d]."""
        latents = self.norm_latents(latents)
        keys, values = self.to_kv(torch.cat([self.norm_media(patches), latents], dim=1)).chunk(2, dim=-1)
        query, keys, values = (x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for x in (self.to_q(latents), keys, values))
        # Always SDPA, whatever attn_implementation says: the short padded key set has no use for the other kernels.
        attended = nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=visible)
        return self.to_out(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class XGenMMResamplerLayer(GradientCheckpointingLayer):
    """Attention, then a feed-forward block, both with a residual path."""

    def __init__(self, config: XGenMMConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.attention = XGenMMResamplerAttention(config)
        self.norm = nn.LayerNorm(width)
        self.up = XGenMMResamplerLinear(width, width * config.resampler_ff_mult)
        self.down = XGenMMResamplerLinear(width * config.resampler_ff_mult, width)

    def forward(self, latents: torch.Tensor, patches: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """As the attention: [n, l, d] -> [n, l, d]."""
        latents = latents + self.attention(latents, patches, visible)
        return latents + self.down(nn.functional.gelu(self.up(self.norm(latents))))  # type: ignore[no-any-return]


class XGenMMResampler(nn.Module):
    """The patches of a tile -> a fixed number of visual tokens (Perceiver resampler of Flamingo, arXiv:2204.14198)."""

    def __init__(self, config: XGenMMConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.latents = nn.Parameter(torch.empty(config.resampler_num_latents, width))
        self.layers = nn.ModuleList(XGenMMResamplerLayer(config) for _ in range(config.resampler_depth))
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, config.text_config.hidden_size)

    def forward(self, patches: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Patches [n, p, d] and mask [n, p] bool (False = padding of the canvas) -> [n, latents, text hidden].

        The latents always see one another, so a tile that is wholly padding still gives finite tokens.
        """
        latents = self.latents.expand(len(patches), -1, -1)
        visible = nn.functional.pad(mask, (0, self.latents.shape[0]), value=True)[:, None, None]
        for layer in self.layers:
            latents = layer(latents, patches, visible)
        return self.projection(self.norm(latents))  # type: ignore[no-any-return]


def regroup_tiles(features: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Features of an image [1 + rows * columns, s * s, d] with the grid's tiles recut as runs of its merged patch map.

    The released models do not resample the tiles themselves: they merge the features of a grid to one map of
    `rows * s` x `columns * s` patches and cut that, in reading order, into runs of `s * s`. Kept for parity.
    """
    count, patches, width = features.shape
    side = int(patches**0.5)
    grid = features[1:].view(rows, columns, side, side, width).permute(0, 2, 1, 3, 4)
    return torch.cat([features[:1], grid.reshape(count - 1, patches, width)])


def patch_mask(height: int, width: int, rows: int, columns: int, side: int) -> torch.Tensor:
    """Which patches show the image (`height` x `width` pixels) and not the canvas: bool [1 + rows * columns, s * s].

    Grouped as `regroup_tiles` does. The base tile is all image.
    """
    map_height, map_width = rows * side, columns * side
    mask = torch.ones(1 + rows * columns, side * side, dtype=torch.bool)
    if mask.shape[0] == 1:
        return mask
    picture = mask[1:].view(map_height, map_width)
    # The scale is rounded before the product, as in LLaVA: for a few sizes (98 x 98) the order decides about a row.
    if width / height > map_width / map_height:
        border = (map_height - int(height * (map_width / width))) // 2
        picture[:border] = picture[map_height - border :] = False
    else:
        border = (map_width - int(width * (map_height / height))) // 2
        picture[:, :border] = picture[:, map_width - border :] = False
    return mask


class XGenMMPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by the xGen-MM models."""

    config: XGenMMConfig
    config_class = XGenMMConfig
    base_model_prefix = "model"
    input_modalities = ["image", "text"]
    supports_gradient_checkpointing = True
    _no_split_modules = ["XGenMMResamplerLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        # The library looks for attention classes in this file and finds the resampler's; the two towers do obey.
        return True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, XGenMMResamplerLinear):
            # By fan-in, as in the vision tower: a fixed 0.02 would starve narrow models of visual signal.
            init.normal_(module.weight, std=module.in_features**-0.5)
            return
        super()._init_weights(module)
        if isinstance(module, XGenMMResampler):
            init.normal_(module.latents, std=module.latents.shape[-1] ** -0.5)


class XGenMMModel(XGenMMPreTrainedModel):
    """xGen-MM without the language-model head: images and text -> hidden states."""

    def __init__(self, config: XGenMMConfig) -> None:
        super().__init__(config)
        self.vision_tower = AutoModel.from_config(config.vision_config)
        self.resampler = XGenMMResampler(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        image_sizes: torch.Tensor | None = None,
        num_tiles: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """Visual tokens of each image.

        Args:
            pixel_values: Tiles of all images [tiles, 3, b, b], per image the base tile first.
            image_sizes: Original height and width in pixels [n, 2]; not needed when every image is its base tile only.
            num_tiles: Tiles per image [n]. An image with one tile is the base-resolution path. Left out, it follows
                from `image_sizes` and the configured grids.

        Returns:
            `last_hidden_state` [tiles, patches, d]: what the resampler reads; `pooler_output`: a list of
            [tiles_i * latents, hidden], one per image.

        Raises:
            ValueError: The tiles, the sizes and the configured grids do not fit together.
        """
        layouts = self._layouts(image_sizes, num_tiles, len(pixel_values))
        side = self.config.vision_config.image_size // self.config.vision_config.patch_size
        pixel_values = pixel_values.to(self.vision_tower.dtype)
        features = self.vision_tower(pixel_values, **kwargs).last_hidden_state
        counts = [1 + rows * columns for _, _, rows, columns in layouts]
        features = torch.cat(
            [
                regroup_tiles(part, rows, columns) if len(part) > 1 else part
                for part, (_, _, rows, columns) in zip(features.split(counts), layouts, strict=True)
            ]
        )
        mask = torch.cat([patch_mask(*layout, side) for layout in layouts]).to(features.device)
        tokens: Any = [part.flatten(0, 1) for part in self.resampler(features, mask).split(counts)]
        return BaseModelOutputWithPooling(last_hidden_state=features, pooler_output=tokens)

    def _layouts(
        self, image_sizes: torch.Tensor | None, num_tiles: torch.Tensor | None, tiles: int
    ) -> list[tuple[int, int, int, int]]:
        """Height, width, rows and columns of each image, checked against the number of tiles that came."""
        if image_sizes is None and (num_tiles is None or (num_tiles > 1).any()):
            raise ValueError("pixel_values came without image_sizes [n, 2] (height, width); the processor gives both.")
        counts = [None] * len(image_sizes) if num_tiles is None else num_tiles.tolist()  # type: ignore[arg-type]
        sizes = [(1, 1)] * len(counts) if image_sizes is None else image_sizes.tolist()
        layouts = []
        for (height, width), count in zip(sizes, counts, strict=True):
            rows, columns = 0, 0
            if count != 1:
                pinpoints, base = self.config.image_grid_pinpoints or [], self.config.vision_config.image_size
                rows, columns = grid_of(height, width, pinpoints, base)
            if count not in (None, 1 + rows * columns):
                raise ValueError(
                    f"An image of {width} x {height} pixels came as {count} tiles, but config.image_grid_pinpoints "
                    f"makes {1 + rows * columns} of it: give the processor and the model the same grids."
                )
            layouts.append((height, width, rows, columns))
        expected = sum(1 + rows * columns for _, _, rows, columns in layouts)
        if expected != tiles:
            raise ValueError(f"pixel_values holds {tiles} tiles, but the {len(layouts)} images given need {expected}.")
        return layouts

    def get_placeholder_mask(
        self, input_ids: torch.Tensor | None, inputs_embeds: torch.Tensor, num_features: int
    ) -> torch.Tensor:
        """Where the `<image>` placeholders stand: bool [B, L, 1].

        Raises:
            ValueError: There are not exactly `num_features` of them.
        """
        if input_ids is None:
            token = torch.tensor(self.config.image_token_id, device=inputs_embeds.device)
            mask = torch.all(inputs_embeds == self.get_input_embeddings()(token), dim=-1)
        else:
            mask = input_ids == self.config.image_token_id
        found = int(mask.sum())
        if found != num_features:
            raise ValueError(
                f"The text holds {found} placeholder tokens <image>, but the images give {num_features} visual tokens. "
                "Pass the text and its images through XGenMMProcessor together, and do not truncate the result."
            )
        return mask.unsqueeze(-1)

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        image_sizes: torch.Tensor | None = None,
        num_tiles: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        mm_encoder_outputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> XGenMMModelOutputWithPast:
        """Ids [B, L] with one placeholder per visual token, and the tiles as in `get_image_features` -> hidden states.

        `mm_encoder_outputs={"image": get_image_features(...)}` takes the place of `pixel_values` for images that were
        encoded before.

        Raises:
            ValueError: Not exactly one of ids and embeddings; pixels and encoded images at once; or placeholders and
                visual tokens differ in number.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Pass exactly one of input_ids and inputs_embeds.")
        encoded = (mm_encoder_outputs or {}).get("image")
        if encoded is not None and pixel_values is not None:
            raise ValueError("Pass pixel_values or mm_encoder_outputs['image'], not both.")
        if pixel_values is not None and len(pixel_values) > 0:
            encoded = self.get_image_features(pixel_values, image_sizes, num_tiles, return_dict=True)
        if inputs_embeds is None:
            inputs_embeds = self.get_input_embeddings()(input_ids)
        image_hidden_states = None
        if encoded is not None:
            image_hidden_states = torch.cat(list(encoded.pooler_output)).to(inputs_embeds.device, inputs_embeds.dtype)
            mask = self.get_placeholder_mask(input_ids, inputs_embeds, len(image_hidden_states))
            inputs_embeds = inputs_embeds.masked_scatter(mask, image_hidden_states)
        elif input_ids is not None and (past_key_values is None or past_key_values.get_seq_length() == 0):
            # Only the first pass is checked: a weak model may well generate an <image> of its own later.
            self.get_placeholder_mask(input_ids, inputs_embeds, 0)
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            **kwargs,
        )
        return XGenMMModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=image_hidden_states,
        )


class XGenMMForConditionalGeneration(XGenMMPreTrainedModel, GenerationMixin):
    """xGen-MM with its head (which, unlike Phi-3's own, has a bias): forward with a loss, and `generate`."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}

    def __init__(self, config: XGenMMConfig) -> None:
        super().__init__(config)
        self.model = XGenMMModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size)
        self.post_init()

    def get_image_features(self, *args: Any, **kwargs: Any) -> BaseModelOutputWithPooling:
        """See `XGenMMModel.get_image_features`."""
        return self.model.get_image_features(*args, **kwargs)  # type: ignore[no-any-return]

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        image_sizes: torch.Tensor | None = None,
        num_tiles: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        mm_encoder_outputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> XGenMMCausalLMOutputWithPast:
        """As `XGenMMModel.forward`, plus logits, and a next-token loss when `labels` [B, L] (-100 = not scored) come.

        Args:
            logits_to_keep: The last so many positions (0 = all), or their indexes; the others get no logits.
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            image_sizes=image_sizes,
            num_tiles=num_tiles,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            mm_encoder_outputs=mm_encoder_outputs,
            return_dict=True,
            **kwargs,
        )
        logits = self.lm_head(slice_logits_to_keep(outputs.last_hidden_state, logits_to_keep))
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs)
        return XGenMMCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
        )


__all__ = ["XGenMMForConditionalGeneration", "XGenMMModel", "XGenMMPreTrainedModel"]
