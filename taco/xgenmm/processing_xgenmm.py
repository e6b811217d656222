"""Conversations with images -> what the model reads: ids with one placeholder per visual token, tiles, sizes.

Call: ``processor.apply_chat_template(messages, tokenize=True, return_dict=True, add_generation_prompt=True)``
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.
# ruff: noqa: RUF012
# transformers reads settings from plain class attributes.

from typing import Any

from transformers import PreTrainedTokenizerBase, ProcessorMixin
from transformers.processing_utils import MultiModalData

from taco.xgenmm.image_processing_xgenmm import XGenMMImageProcessor

IMAGE_TOKEN = "<image>"
# In the order of the released embedding rows, which follow those of the tokenizer and its pad token.
ADDED_TOKENS = (IMAGE_TOKEN, "<image placeholder>", "<|endofchunk|>")
PAD_TOKEN = "<pad>"

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


class XGenMMProcessor(ProcessorMixin):
    """A tokenizer and an `XGenMMImageProcessor` behind one call.

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


__all__ = ["XGenMMProcessor"]
