"""Conversations with images -> what the model reads: ids with one placeholder per visual token, tiles, sizes.

Call: ``processor.apply_chat_template(messages, tokenize=True, return_dict=True, add_generation_prompt=True)``
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.
# ruff: noqa: RUF012
# transformers reads settings from plain class attributes.

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase, ProcessorMixin
from transformers.processing_utils import MultiModalData
from transformers.utils import IMAGE_PROCESSOR_NAME, PROCESSOR_NAME
from transformers.utils.hub import cached_file

from taco.xgenmm.configuration_xgenmm import XGenMMConfig
from taco.xgenmm.conversion import HUB_OPTIONS
from taco.xgenmm.image_processing_xgenmm import XGenMMImageProcessor

IMAGE_TOKEN = "<image>"
# In the order of the released embedding rows, which follow those of the tokenizer and its pad token.
ADDED_TOKENS = (IMAGE_TOKEN, "<image placeholder>", "<|endofchunk|>")
PAD_TOKEN = "<pad>"
END_TOKEN = "<|end|>"

DEFAULT_SYSTEM_TEXT = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

# Phi-3's format. No text is trimmed and every turn renders by itself, so that a prompt followed by the text that the
# model generated is a prefix of the next prompt. No <s>: whether there is one is the tokenizer's business.
CHAT_TEMPLATE = (
    """\
{%- macro parts(content) -%}
    {%- if content is string -%}
        {{- content -}}
    {%- else -%}
        {%- for part in content -%}
            {%- if part.type == 'image' -%}
                {{- '<image>\\n' -}}
            {%- elif part.type == 'text' -%}
                {{- part.text -}}
            {%- else -%}
                {{- raise_exception('xGen-MM reads content parts of type text and image, not ' ~ part.type) -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- if messages[0].role != 'system' -%}
    {{- '<|system|>\\n"""
    + DEFAULT_SYSTEM_TEXT.replace("'", "\\'")
    + """<|end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if message.role == 'system' -%}
        {{- '<|system|>\\n' ~ parts(message.content) ~ '<|end|>\\n' -}}
    {%- elif message.role == 'user' -%}
        {{- '<|user|>\\n' ~ parts(message.content) ~ '<|end|>\\n' -}}
    {%- elif message.role == 'assistant' -%}
        {{- '<|assistant|>\\n' -}}
        {%- generation -%}
            {{- parts(message.content) ~ '<|end|>' -}}
        {%- endgeneration -%}
        {{- '\\n' -}}
    {%- else -%}
        {{- raise_exception('xGen-MM knows the roles system, user and assistant, not ' ~ message.role) -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|assistant|>\\n' -}}
{%- endif -%}
"""
)


def add_missing_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    """Append xGen-MM's three tokens to a tokenizer that lacks them, after a pad token of its own, as at training.

    Phi-3 pads with its end-of-text token, so the released models have `<pad>` at 32011 and `<image>` at 32012.
    """
    known = tokenizer.get_vocab()
    missing = [token for token in ADDED_TOKENS if token not in known]
    if not missing:
        return
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        tokenizer.add_special_tokens({"pad_token": PAD_TOKEN})
    tokenizer.add_tokens(missing, special_tokens=True)


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, config: XGenMMConfig, source: object) -> None:
    """Refuse a tokenizer whose ids are not those of the model's embedding rows.

    Raises:
        ValueError: Its length, or the ids of xGen-MM's three tokens, are not the model's; names both.
    """
    tokens, rows, first = len(tokenizer), config.text_config.vocab_size, config.image_token_id
    wrong = "it is the wrong tokenizer for this model. Take the tokenizer files that were released with the model."
    if tokens != rows:
        raise ValueError(
            f"The tokenizer in {source} has {tokens:,} tokens with xGen-MM's own ones, but the model has {rows:,} embedding "
            f"rows: {wrong}"
        )
    ids = tokenizer.convert_tokens_to_ids(list(ADDED_TOKENS))
    wanted = list(range(first, first + len(ADDED_TOKENS)))
    if ids != wanted:
        raise ValueError(f"The tokenizer in {source} has {', '.join(ADDED_TOKENS)} at {ids}, but the model at {wanted}: {wrong}")


class XGenMMProcessor(ProcessorMixin):
    """A tokenizer and an `XGenMMImageProcessor` behind one call.

    `from_pretrained` also reads the directory of a released checkpoint, which has no `processor_config.json`.

    Args:
        image_processor: Cuts images into tiles.
        tokenizer: Any fast tokenizer. xGen-MM's special tokens are appended where it lacks them (then resize the
            model's embeddings, or build the model with `vocab_size=len(tokenizer)`). Its `padding_side` holds: set
            "left" to generate for a batch, "right" to train.
        chat_template: A Jinja template; the Phi-3 format with xGen-MM's default system text when left out.
        num_latents: Visual tokens per tile; `config.resampler_num_latents` of the model.

    A call gives tensors (`return_tensors=None` gives lists) and pads a batch to its longest row: `input_ids`,
    `attention_mask` [B, L], and the image processor's `pixel_values`, `image_sizes`, `num_tiles`, without the row
    structure: images count in the order in which their placeholders stand.
    """

    text_kwargs = {"padding": True, "return_tensors": "pt"}
    images_kwargs = {"return_tensors": "pt"}

    def __init__(
        self,
        image_processor: XGenMMImageProcessor,
        tokenizer: PreTrainedTokenizerBase,
        chat_template: str | None = None,
        num_latents: int = 128,
    ) -> None:
        add_missing_tokens(tokenizer)
        self.num_latents = num_latents
        self.image_token = IMAGE_TOKEN
        self.image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
        super().__init__(image_processor, tokenizer, chat_template=chat_template or CHAT_TEMPLATE)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> "XGenMMProcessor":
        """As transformers' own; where there is no `processor_config.json`, the processor of a released checkpoint.

        That one is made of the tokenizer's files (xGen-MM's tokens appended, `<|end|>` ending a reply, padding on the
        left), of `config.json` (tile, grids, visual tokens a tile) and, if it is there, of the mean and deviation in
        `preprocessor_config.json`.

        Raises:
            ValueError: The tokenizer does not fit the model's embedding rows.
            OSError: A file is missing.
        """
        source, hub = pretrained_model_name_or_path, {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
        optional = {**hub, "_raise_exceptions_for_missing_entries": False}
        if cached_file(source, PROCESSOR_NAME, **optional) is not None:
            return super().from_pretrained(source, **kwargs)
        config = XGenMMConfig.from_pretrained(source, **hub)
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", **hub)
        add_missing_tokens(tokenizer)
        check_tokenizer(tokenizer, config, source)
        # After the tokens were added: a pad token that is the end of text counts as none only while it ends replies.
        if END_TOKEN in tokenizer.get_vocab():
            tokenizer.eos_token = END_TOKEN
        base = config.vision_config.image_size
        images = XGenMMImageProcessor(
            size={"height": base, "width": base},
            image_grid_pinpoints=config.image_grid_pinpoints,
            **_normalisation(cached_file(source, IMAGE_PROCESSOR_NAME, **optional)),
        )
        return cls(images, tokenizer, kwargs.get("chat_template"), kwargs.get("num_latents", config.resampler_num_latents))

    def prepare_inputs_layout(self, images: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """As transformers' own; empty lists of images are no images."""
        if isinstance(images, list | tuple) and all(isinstance(row, list | tuple) and not row for row in images):
            images = None
        return super().prepare_inputs_layout(images=images, **kwargs)

    def validate_inputs(self, images: Any = None, text: Any = None, **kwargs: Any) -> None:  # type: ignore[override]
        """As transformers' own, which counts over the batch; images in one list per text are counted row by row.

        Raises:
            ValueError: Placeholders and images differ in number; names the row, where rows are told apart.
        """
        if isinstance(images, list | tuple) and isinstance(text, list) and all(isinstance(row, list | tuple) for row in images):
            if len(images) != len(text):
                raise ValueError(f"images holds {len(images)} lists for {len(text)} texts: give one list of images for each.")
            for row, (sample, given) in enumerate(zip(text, images, strict=True)):
                if isinstance(sample, str) and (found := sample.count(IMAGE_TOKEN)) != len(given):
                    raise ValueError(
                        f"Row {row} of the batch holds {found} {IMAGE_TOKEN} tokens, but {len(given)} images came with it. "
                        f"Give one image for each {IMAGE_TOKEN}, in their order."
                    )
        super().validate_inputs(images=images, text=text, **kwargs)

    @property
    def unused_input_names(self) -> list[str]:
        """What generic tokenizers give and the model does not take."""
        return ["token_type_ids"]

    def replace_image_token(self, image_inputs: Any, image_idx: int, **kwargs: Any) -> str:
        """The placeholders of one image: `num_latents` for each of its tiles."""
        return IMAGE_TOKEN * (self.num_latents * int(image_inputs["num_tiles"][image_idx]))

    def _get_num_multimodal_tokens(self, image_sizes: list[tuple[int, int]] | None = None, **kwargs: Any) -> MultiModalData:
        """Tiles and placeholder tokens of images of these (height, width); serving engines plan with it."""
        tiles = [self.image_processor.num_tiles(height, width) for height, width in image_sizes or []]
        return MultiModalData(num_image_tokens=[self.num_latents * n for n in tiles], num_image_patches=tiles)

    def _adjust_assistant_masks_indices(
        self, processed_dict: dict[str, Any], generation_indices: list[list[int]]
    ) -> dict[str, Any]:
        # The library compares token by token, which on tensors is slow, and leaves a list beside tensors.
        ids = processed_dict["input_ids"]
        offsets = processed_dict["offset_mapping"]
        processed_dict["offset_mapping"] = offsets.tolist() if hasattr(offsets, "tolist") else offsets
        processed_dict = super()._adjust_assistant_masks_indices(processed_dict, generation_indices)
        if hasattr(ids, "new_tensor"):
            processed_dict["assistant_masks"] = ids.new_tensor(processed_dict["assistant_masks"])
        return processed_dict


def _normalisation(preprocessor_config: str | None) -> dict[str, Any]:
    """`image_mean` and `image_std` of a released `preprocessor_config.json`; its other keys say nothing that varies."""
    if preprocessor_config is None:
        return {}
    try:
        settings = json.loads(Path(preprocessor_config).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{preprocessor_config} is no JSON ({error}). Fetch it again.") from None
    return {name: settings[name] for name in ("image_mean", "image_std") if name in settings}


__all__ = ["XGenMMProcessor"]
