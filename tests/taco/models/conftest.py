"""Tiny random models of several types with their processors, as a local model takes them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

CONTROL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
    "<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<|system|>", "<|user|>", "<|assistant|>",
    "<|end|>", "<pad>",
)  # fmt: skip
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer(end: str = "<|im_end|>") -> Any:
    """Single bytes, and every control token that one of the models needs."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    rows = [f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)]
    core.add_special_tokens([*CONTROL, *rows])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=end, pad_token="<|endoftext|>", additional_special_tokens=[*CONTROL[3:], *rows]
    )


def text_config(tokens: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokens), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 8192, "initializer_range": 0.3, "bos_token_id": None,
        "eos_token_id": tokens.eos_token_id, "pad_token_id": tokens.pad_token_id,
    } | more  # fmt: skip


def xgenmm(**text: Any) -> tuple[Any, Any]:
    from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMImageProcessor, XGenMMProcessor

    processor = XGenMMProcessor(XGenMMImageProcessor(size={"height": 28, "width": 28}), tokenizer("<|end|>"), num_latents=4)
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
              "patch_size": 7}  # fmt: skip
    config = XGenMMConfig(
        text_config=text_config(processor.tokenizer, num_key_value_heads=4, **text), vision_config=vision, resampler_depth=1,
        resampler_num_heads=2, resampler_head_dim=8, resampler_num_latents=4, resampler_ff_mult=2,
        image_token_id=processor.image_token_id,
    )  # fmt: skip
    return XGenMMForConditionalGeneration(config), processor


def qwen2_5_vl() -> tuple[Any, Any]:
    return _qwen2("Qwen2_5_VL", {"intermediate_size": 64, "out_hidden_size": 32, "fullatt_block_indexes": [0], "window_size": 56})


def qwen2_vl() -> tuple[Any, Any]:
    return _qwen2("Qwen2VL", {"embed_dim": 32, "mlp_ratio": 2})


def _qwen2(family: str, vision: dict[str, Any]) -> tuple[Any, Any]:
    import transformers

    tokens = _qwen_tokenizer()
    processor = getattr(transformers, f"{family}Processor")(
        image_processor=transformers.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=6 * 28 * 28), tokenizer=tokens,
        video_processor=transformers.Qwen2VLVideoProcessor(), chat_template=_qwen_template(),
    )  # fmt: skip
    vision |= {"depth": 1, "hidden_size": 32, "num_heads": 2, "initializer_range": 0.3}
    text = text_config(tokens, rope_scaling={"type": "mrope", "mrope_section": [1, 1, 2]})
    config = getattr(transformers, f"{family}Config")(text_config=text, vision_config=vision, **_qwen_ids(tokens))
    return getattr(transformers, f"{family}ForConditionalGeneration")(config), processor


def qwen3_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    tokens = _qwen_tokenizer()
    images = Qwen2VLImageProcessor(patch_size=16, min_pixels=32 * 32, max_pixels=6 * 32 * 32)
    processor = Qwen3VLProcessor(
        image_processor=images, tokenizer=tokens, video_processor=Qwen3VLVideoProcessor(), chat_template=_qwen_template()
    )
    vision = {"depth": 3, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32, "patch_size": 16,
              "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64, "initializer_range": 0.3}  # fmt: skip
    rope = {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}, "head_dim": 8}
    config = Qwen3VLConfig(text_config=text_config(tokens, **rope), vision_config=vision, **_qwen_ids(tokens))
    return Qwen3VLForConditionalGeneration(config), processor


def smolvlm() -> tuple[Any, Any]:
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    tokens = tokenizer()
    tokens.image_token, tokens.fake_image_token = "<image>", "<fake_token_around_image>"
    tokens.global_image_token, tokens.end_of_utterance_token = "<global-img>", "<end_of_utterance>"
    side = {"longest_edge": 28}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(size={"longest_edge": 56}, max_image_size=side), tokens,
        SmolVLMVideoProcessor(size={"longest_edge": 28}, max_image_size=side), image_seq_len=4,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )  # fmt: skip
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
              "patch_size": 7, "initializer_range": 0.3}  # fmt: skip
    text = text_config(tokens, model_type="llama")
    image = tokens.convert_tokens_to_ids("<image>")
    config = SmolVLMConfig(text_config=text, vision_config=vision, image_token_id=image, scale_factor=2,
                           pad_token_id=tokens.pad_token_id)  # fmt: skip
    return SmolVLMForConditionalGeneration(config), processor


def idefics3() -> tuple[Any, Any]:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessor, Idefics3Processor

    tokens = tokenizer()
    images = Idefics3ImageProcessor(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    processor = Idefics3Processor(images, tokens, image_seq_len=4, chat_template=TEMPLATE.replace("IMAGE", "<image>"))
    vision = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
              "patch_size": 7, "initializer_range": 0.3}  # fmt: skip
    image = processor.tokenizer.convert_tokens_to_ids("<image>")
    text = text_config(processor.tokenizer, model_type="llama")
    config = Idefics3Config(text_config=text, vision_config=vision, image_token_id=image, scale_factor=2,
                            pad_token_id=processor.tokenizer.pad_token_id)  # fmt: skip
    return Idefics3ForConditionalGeneration(config), processor


def llava_onevision() -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    tokens = tokenizer()
    grids = [[28, 56], [56, 28]]
    size = {"height": 28, "width": 28}
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grids), tokens, LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16, vision_feature_select_strategy="full", chat_template=TEMPLATE.replace("IMAGE", "<image>"),
        image_token="<image>", video_token="<|video_pad|>", vision_aspect_ratio="anyres_max_9",
    )  # fmt: skip
    vision = {"model_type": "siglip_vision_model", "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 7, "vision_use_head": False}  # fmt: skip
    number = tokens.convert_tokens_to_ids
    config = LlavaOnevisionConfig(
        text_config=text_config(tokens, model_type="qwen2"), vision_config=vision, image_grid_pinpoints=grids,
        image_token_index=number("<image>"), video_token_index=number("<|video_pad|>"), image_token_id=number("<image>"),
        video_token_id=number("<|video_pad|>"),
    )  # fmt: skip
    return LlavaOnevisionForConditionalGeneration(config), processor


def _qwen_tokenizer() -> Any:
    tokens = tokenizer()
    tokens.image_token, tokens.video_token = "<|image_pad|>", "<|video_pad|>"
    tokens.vision_start_token, tokens.vision_end_token = "<|vision_start|>", "<|vision_end|>"
    return tokens


def _qwen_template() -> str:
    return TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")


def _qwen_ids(tokens: Any) -> dict[str, int]:
    places = {"image_token_id": 5, "video_token_id": 6, "vision_start_token_id": 3, "vision_end_token_id": 4}
    return {name: tokens.convert_tokens_to_ids(CONTROL[place]) for name, place in places.items()}


MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "xgenmm": xgenmm,
    "xgenmm, sliding window": lambda: xgenmm(sliding_window=48),
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "smolvlm": smolvlm,
    "idefics3": idefics3,
    "llava_onevision": llava_onevision,
}


@pytest.fixture(scope="session")
def make_tiny() -> Callable[[str], tuple[Any, Any]]:
    """`make_tiny(kind)`: a random model of the kind and its processor, equal each time."""

    def make(kind: str) -> tuple[Any, Any]:
        torch.manual_seed(0)
        return MAKERS[kind]()

    return make
