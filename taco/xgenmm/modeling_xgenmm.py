"""xGen-MM v1.5: a SigLIP tower, a Perceiver resampler and a Phi-3 language model.

Call: ``XGenMMForConditionalGeneration(config)(**processor(images=image, text="<image>\\nWhat is this?"))``
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.
# ruff: noqa: RUF012
# transformers reads settings from plain class attributes.

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.integrations.peft import maybe_load_adapters
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling, CausalLMOutputWithPast
from transformers.modeling_utils import slice_logits_to_keep
from transformers.utils.generic import can_return_tuple

from taco.xgenmm.configuration_xgenmm import XGenMMConfig
from taco.xgenmm.conversion import HUB_OPTIONS, check_weights, is_released, read_released, weight_files, without_report
from taco.xgenmm.image_processing_xgenmm import grid_of
from taco.xgenmm.resampler_xgenmm import XGenMMResampler, XGenMMResamplerLinear, patch_mask, regroup_tiles

LORA_TARGETS = {
    "language": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
    "resampler": ("to_q", "to_kv", "to_out", "up", "down", "projection"),
    "vision": ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
}
"""Every linear layer of each part, by the end of its name, for PEFT's `target_modules`. No name is in two parts (of a SigLIP
tower and a Phi-3), so parts are combined by adding them: ``LORA_TARGETS["language"] + LORA_TARGETS["resampler"]``."""


@dataclass
class XGenMMModelOutputWithPast(BaseModelOutputWithPast):
    """`last_hidden_state` [B, L, hidden], the cache, and `image_hidden_states` [image tokens, hidden] when encoded."""

    image_hidden_states: torch.Tensor | None = None


@dataclass
class XGenMMCausalLMOutputWithPast(CausalLMOutputWithPast):
    """`loss` (mean over labels other than -100), `logits` [B, kept, vocabulary], the cache, `image_hidden_states`."""

    image_hidden_states: torch.Tensor | None = None


class XGenMMPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by the xGen-MM models."""

    config: XGenMMConfig
    config_class = XGenMMConfig
    base_model_prefix = "model"
    input_modalities = ["image", "text"]
    supports_gradient_checkpointing = True
    # Those of the two towers join these when the model is made; so do their tensor-parallel plans.
    _no_split_modules = ["XGenMMResamplerLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    # Quantizers leave these modules alone (names with and without the head's `model.`), and float16 is too narrow a
    # range for weights that were trained in bfloat16: loaded as float16, only the language model is.
    _keep_in_fp32_modules = ["model.vision_tower", "model.resampler", "vision_tower", "resampler"]
    _can_compile_fullgraph = True
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    # A full checkpoint may be read into the model without a head.
    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any,
        *model_args: Any,
        config: Any = None,
        ignore_mismatched_sizes: bool = False,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """As transformers' own, for the native and for the released layout, which is told by its keys (`vlm.*`).

        Weights that do not fit the model are an error here, not a warning. The released layout is read through mapped
        files: in the file's `dtype` the model is these pages, in another it is the one copy; beside it, only the folded
        embeddings and head are held twice while loading.

        Raises:
            ValueError: Weights are missing, unknown or of another shape; they are named.
            NotImplementedError: The checkpoint is that of instruct-r-v1.
            OSError: There is no such model, only pickled weights, or a damaged file.
        """
        parent: Any = super().from_pretrained
        source: Any = pretrained_model_name_or_path
        wanted = {"ignore_mismatched_sizes": ignore_mismatched_sizes, "output_loading_info": output_loading_info}
        if source is None or any(kwargs.get(name) is not None for name in ("gguf_file", "state_dict", "variant")):
            return parent(source, *model_args, config=config, **wanted, **kwargs)
        kwargs["use_safetensors"] = True
        hub: Any = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
        adapter, base, adapter_kwargs = maybe_load_adapters(source, hub, **(kwargs.get("adapter_kwargs") or {}))
        files = weight_files(base, **hub)
        released = is_released(files)
        if adapter is not None and not released:
            return parent(source, *model_args, config=config, **wanted, **kwargs)
        if released:
            if not isinstance(config, XGenMMConfig):
                named = {field.name for field in fields(XGenMMConfig)} - {"dtype"}
                changes = {name: kwargs.pop(name) for name in named & kwargs.keys()}
                config = cls.config_class.from_pretrained(config or base, **hub, **changes)
            # Not transformers' key mapping: on saving that one is reversed, and it would see native checkpoints too.
            kwargs["state_dict"], source = read_released(files, config.image_token_id), None
        with without_report():
            model, info = parent(
                source, *model_args, config=config, ignore_mismatched_sizes=True, output_loading_info=True, **kwargs
            )
        if released:
            model.config.name_or_path = model.name_or_path = str(base)
        check_weights(base, info, ignore_mismatched_sizes, quantized=getattr(model, "hf_quantizer", None) is not None)
        if adapter is not None:
            model.load_adapter(adapter, kwargs.get("adapter_name", "default"), adapter_kwargs=adapter_kwargs)
        return (model, info) if output_loading_info else model

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
            [tiles_i * latents, hidden], one per image; the tower's `hidden_states` and `attentions` when asked for.

        Raises:
            ValueError: The tiles, the sizes and the configured grids do not fit together.
        """
        layouts = self._layouts(image_sizes, num_tiles, len(pixel_values))
        side = self.config.vision_config.image_size // self.config.vision_config.patch_size
        outputs: BaseModelOutputWithPooling = self.vision_tower(pixel_values, return_dict=True, **kwargs)
        grids = [(rows, columns) for _, _, rows, columns in layouts]
        counts = [1 + rows * columns for rows, columns in grids]
        parts = outputs.last_hidden_state.split(counts)  # type: ignore[union-attr]
        features = torch.cat([regroup_tiles(part, *grid) for part, grid in zip(parts, grids, strict=True)])
        mask = torch.cat([patch_mask(*layout, side) for layout in layouts]).to(features.device)
        outputs.last_hidden_state = features
        tokens: Any = [part.flatten(0, 1) for part in self.resampler(features, mask).split(counts)]
        outputs.pooler_output = tokens
        return outputs

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
        elif (
            input_ids is not None
            and not torch.compiler.is_compiling()  # a branch on the data of a static cache would break the graph
            and (past_key_values is None or past_key_values.get_seq_length() == 0)
        ):
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
    _tp_plan = {"lm_head": "colwise_gather_output"}

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


__all__ = ["LORA_TARGETS", "XGenMMForConditionalGeneration", "XGenMMModel", "XGenMMPreTrainedModel"]
