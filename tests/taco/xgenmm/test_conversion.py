"""The table of names and the released configuration, without any weights."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig

from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration
from taco.xgenmm.conversion import RENAMES, check_weights, is_released, native_name, to_native, weight_files

NORM, LINEAR = ("weight", "bias"), ("weight", "bias")


def released_keys() -> list[str]:
    """The keys of a released v1.5 checkpoint, as the reference implementation makes them (27, 6 and 32 layers)."""
    keys = [f"embeddings.{name}" for name in ("patch_embedding.weight", "patch_embedding.bias", "position_embedding.weight")]
    for layer in range(27):
        parts = [
            "layer_norm1",
            "layer_norm2",
            "mlp.fc1",
            "mlp.fc2",
            *(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")),
        ]
        keys += [f"encoder.layers.{layer}.{part}.{kind}" for part in parts for kind in LINEAR]
    keys += [f"post_layernorm.{kind}" for kind in NORM]
    keys += ["head.probe", "head.attention.in_proj_weight", "head.attention.in_proj_bias"]
    keys += [f"head.{part}.{kind}" for part in ("attention.out_proj", "layernorm", "mlp.fc1", "mlp.fc2") for kind in LINEAR]
    keys = [f"vision_encoder.{key}" for key in keys]
    sampler = ["latents", *(f"{part}.{kind}" for part in ("projection", "norm") for kind in LINEAR)]
    for layer in range(6):
        sampler += [f"layers.{layer}.0.{norm}.{kind}" for norm in ("norm_media", "norm_latents") for kind in NORM]
        sampler += [f"layers.{layer}.0.{part}.weight" for part in ("to_q", "to_kv", "to_out")]
        sampler += [f"layers.{layer}.1.0.{kind}" for kind in NORM]
        sampler += [f"layers.{layer}.1.{place}.weight" for place in (1, 3)]
    keys += [f"vision_tokenizer.{key}" for key in sampler]
    language = ["embed_tokens.weight", "embed_tokens.additional_embedding.weight", "norm.weight"]
    for layer in range(32):
        parts = ["self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"]
        parts += ["input_layernorm", "post_attention_layernorm"]
        language += [f"layers.{layer}.{part}.weight" for part in parts]
    keys += [f"lang_model.model.{key}" for key in language]
    keys += [f"lang_model.lm_head.{part}{kind}" for part in ("", "additional_fc.") for kind in LINEAR]
    return [f"vlm.{key}" for key in keys]


def test_the_released_keys_are_the_full_size_model_and_each_matches_one_line() -> None:
    keys = released_keys()
    for key in keys:
        matches = [pattern for pattern, _ in RENAMES if re.fullmatch(pattern, key.removeprefix("vlm."))]
        assert len(matches) == 1, key
    names = [name for key in keys if (name := native_name(key)) is not None]
    assert len(names) == len(set(names)) == len(keys) - 11  # the pooling head
    with torch.device("meta"):
        expected = set(XGenMMForConditionalGeneration(XGenMMConfig()).state_dict())
    added = {name for name in names if "additional" in name}
    assert len(added) == 3
    assert set(names) - added == expected


@pytest.mark.parametrize(
    "key", ["vlm.vision_tokenizer.latents.more", "vlm.audio.weight", "model.resampler.latents", "lm_head.bias"]
)
def test_a_key_of_another_model_is_named(key: str) -> None:
    with pytest.raises(KeyError, match=re.escape(key.removeprefix("vlm."))):
        native_name(key)


def test_the_vocabulary_is_folded_without_its_dead_rows() -> None:
    rows = torch.arange(7.0)
    state = {
        "vlm.lang_model.model.embed_tokens.weight": rows[:, None],
        "vlm.lang_model.model.embed_tokens.additional_embedding.weight": rows[:3, None] + 100,
        "vlm.lang_model.lm_head.weight": rows[:, None] + 10,
        "vlm.lang_model.lm_head.additional_fc.weight": rows[:3, None] + 200,
        "vlm.lang_model.lm_head.bias": rows + 20,
        "vlm.lang_model.lm_head.additional_fc.bias": rows[:3] + 300,
    }
    native = to_native(state, num_original_tokens=5)
    assert native["model.language_model.embed_tokens.weight"][:, 0].tolist() == [0, 1, 2, 3, 4, 100, 101, 102]
    assert native["lm_head.weight"][:, 0].tolist() == [10, 11, 12, 13, 14, 200, 201, 202]
    assert native["lm_head.bias"].tolist() == [20, 21, 22, 23, 24, 300, 301, 302]
    assert len(native) == 3


def plain(config: XGenMMConfig) -> dict[str, Any]:
    """A configuration as a dict, without what says nothing about the model."""
    return {
        key: value for key, value in config.to_dict().items() if key not in ("dtype", "transformers_version", "_name_or_path")
    }


@pytest.mark.parametrize(
    "released",
    [
        {"text_config": {"initial_tokenizer_len": 32012}},
        {"vision_encoder_config": None, "vision_tokenizer_config": None, "text_config": None},
        {"vision_encoder_config": {"model_name": "google/siglip-so400m-patch14-384", "model_type": "xgenmm_vision_encoder"}},
        {
            "auto_map": {"AutoConfig": "modeling_xgenmm.XGenMMConfig"},
            "torch_dtype": "float32",
            "vision_encoder_config": {
                "anyres_grids": [[384, 768], [768, 384], [768, 768], [1152, 384], [384, 1152]],
                "anyres_patch_sampling": True,
                "image_aspect_ratio": "anyres",
            },
            "vision_tokenizer_config": {
                "image_aspect_ratio": "anyres",
                "lang_embedding_dim": 3072,
                "num_vis_tokens": 128,
                "vis_feature_dim": 1152,
            },
            "text_config": {
                "_attn_implementation": "flash_attention_2",
                "bos_token_id": 1,
                "eos_token_id": 32000,
                "initial_tokenizer_len": 32012,
                "model_type": "phi3",
                "pad_token_id": 32000,
                "rope_scaling": None,
                "rope_theta": 10000.0,
                "sliding_window": 2047,
                "temperature": 1.0,
                "torch_dtype": "bfloat16",
                "vocab_size": 32064,
            },
        },
    ],
)
def test_what_a_released_configuration_leaves_out_is_v1_5(released: dict[str, Any]) -> None:
    config = XGenMMConfig(**released)
    assert plain(config) == plain(XGenMMConfig())
    again = XGenMMConfig.from_dict(config.to_dict())
    assert plain(again) == plain(config)
    assert again.text_config.sliding_window == 2048


def test_what_a_released_configuration_says_is_taken_over() -> None:
    config = XGenMMConfig(
        vision_encoder_config={"anyres_grids": [[768, 384], [384, 1152]], "image_size": 384},
        vision_tokenizer_config={"num_vis_tokens": 64, "vis_feature_dim": 1152, "depth": 2},
        text_config={"initial_tokenizer_len": 50, "sliding_window": None, "eos_token_id": 7, "num_hidden_layers": 3},
    )
    assert config.image_grid_pinpoints == [[384, 768], [1152, 384]]  # [height, width], in their order
    assert (config.resampler_num_latents, config.resampler_depth, config.resampler_num_heads) == (64, 2, 16)
    text = config.text_config
    assert (text.vocab_size, config.image_token_id, text.pad_token_id, text.eos_token_id) == (53, 50, 49, 7)
    assert (text.sliding_window, text.num_hidden_layers, text.hidden_size) == (None, 3, 3072)
    assert XGenMMConfig(vision_encoder_config={"image_aspect_ratio": "pad"}).image_grid_pinpoints == []
    assert XGenMMConfig(vision_tokenizer_config={"image_aspect_ratio": "pad"}).image_grid_pinpoints == []
    with pytest.raises(ValueError, match="anyres_patch_sampling is false"):
        XGenMMConfig(vision_encoder_config={"anyres_patch_sampling": False})


def test_unknown_keys_are_named_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    XGenMMConfig(
        vision_encoder_config={"tower_temperature": 3, "model_type": "xgenmm_vision_encoder"},
        vision_tokenizer_config={"repeat_latents": False},
        something_new=1,
    )
    [message] = caplog.messages
    assert message.endswith("something_new, vision_encoder_config.tower_temperature, vision_tokenizer_config.repeat_latents.")


def test_a_native_configuration_is_left_alone(tmp_path: Path) -> None:
    config = XGenMMConfig(text_config={"vocab_size": 10, "sliding_window": 7}, image_token_id=8)
    for _ in range(3):
        config.save_pretrained(tmp_path)
        config = AutoConfig.from_pretrained(tmp_path)
        assert (config.text_config.sliding_window, config.text_config.vocab_size, config.image_token_id) == (7, 10, 8)


def test_the_first_release_is_refused_by_its_model_type(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "blip_3", "vision_encoder_config": {}}')
    with pytest.raises(NotImplementedError, match=r"Supported are the xGen-MM v1\.5 checkpoints.*instruct-r-v1"):
        AutoConfig.from_pretrained(tmp_path)


def test_the_layout_is_told_by_the_keys(tmp_path: Path) -> None:
    for number, (key, released) in enumerate(
        {"vlm.vision_tokenizer.latents": True, "lang_model.lm_head.bias": True, "model.resampler.latents": False}.items()
    ):
        file = str(tmp_path / f"{number}.safetensors")
        save_file({key: torch.zeros(1)}, file)
        assert is_released([file]) is released
    assert weight_files(tmp_path) == []


def test_weights_that_fit_pass_and_the_others_are_counted_and_named() -> None:
    info: dict[str, Any] = {"missing_keys": set(), "unexpected_keys": set(), "mismatched_keys": set()}
    check_weights("here", info)
    info["mismatched_keys"] = {("a", torch.Size([1, 2]), torch.Size([3]))}
    check_weights("here", info, ignore_shapes=True)
    info["missing_keys"] = {f"w{number}" for number in range(5)}
    info["unexpected_keys"] = {"x"}
    expected = r"in here do not fit .*: 5 are missing \(w0, w1, w2 and 2 more\); 1 belong to no part of the model \(x\); 1 have "
    with pytest.raises(ValueError, match=expected + r"another shape \(a is \[1, 2\] instead of \[3\]\)"):
        check_weights("here", info)
    check_weights("here", info, quantized=True)
