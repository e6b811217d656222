"""What transformers' own tests of a vision-language model cover (their classes are not in its wheel), on tiny random models."""

import copy
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import infer_auto_device_map
from torch import nn
from transformers import DynamicCache, StaticCache
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import should_convert_module

from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMModel

NewModel = Callable[..., XGenMMForConditionalGeneration]
GREEDY = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
IMAGE_INPUTS = ("pixel_values", "image_sizes", "num_tiles")


def conversations(chat: Any) -> list[Any]:
    """Three rows: two images, text only, one image."""
    return [
        [chat.ask("what is", chat.noise(50, 20), chat.noise(30, 90, seed=1))],
        [chat.ask("hello, what is the price of tea?")],
        [chat.ask("and?", chat.noise(10, 10, seed=2))],
    ]


def encode(processor: Any, conversation: Any) -> Any:
    """What the model reads, with the header of the answer."""
    return processor.apply_chat_template(conversation, tokenize=True, return_dict=True, add_generation_prompt=True)


@pytest.fixture
def batch(processor: Any, chat: Any) -> dict[str, Any]:
    """Ragged rows, padded on the left."""
    processor.tokenizer.padding_side = "left"
    return dict(encode(processor, conversations(chat)))


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """Logits where the mask is 1 [k, vocabulary], in float32."""
    with torch.no_grad():
        return model(**inputs).logits[inputs["attention_mask"].bool()].float()


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


# --- Generation ---


@pytest.mark.parametrize(
    "options",
    [
        {"cache_implementation": "static"},
        {"use_cache": False},
        {"prefill_chunk_size": 7},
        {"do_sample": True, "top_k": 1},
        {"output_hidden_states": True, "output_logits": True},
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize("window", [None, 6])
def test_ways_to_generate_agree(new_model: NewModel, batch: dict[str, Any], options: dict[str, Any], window: int | None) -> None:
    model = new_model()
    model.config.text_config.sliding_window = window
    expected = model.generate(**batch, **GREEDY)
    assert len(set(expected[:, -6:].flatten().tolist())) > 3, "a constant output would prove nothing"
    assert torch.equal(model.generate(**batch, **GREEDY | options), expected)


@pytest.mark.parametrize("beams", [1, 3])
def test_embeddings_generate_what_their_ids_do(model: Any, batch: dict[str, Any], beams: int) -> None:
    ids = batch["input_ids"]
    expected = model.generate(**batch, **GREEDY, num_beams=beams)[:, ids.shape[1] :]
    embedded = {**batch, "inputs_embeds": model.get_input_embeddings()(ids)}
    del embedded["input_ids"]
    assert torch.equal(model.generate(**embedded, **GREEDY, num_beams=beams), expected)


def test_beams_see_the_images_of_their_row(processor: Any, model: Any, chat: Any, batch: dict[str, Any]) -> None:
    options = {**GREEDY, "num_beams": 3, "num_return_sequences": 2}
    together = model.generate(**batch, **options)[:, -6:]
    alone = torch.cat([model.generate(**encode(processor, row), **options)[:, -6:] for row in conversations(chat)])
    assert torch.equal(together, alone)
    swapped = {**batch, "pixel_values": batch["pixel_values"].flip(0)}
    assert not torch.equal(model.generate(**swapped, **options)[:, -6:], alone), "the images make no difference"


def test_samples_follow_the_seed_and_the_images_of_their_row(model: Any, batch: dict[str, Any]) -> None:
    def sample(seed: int, **inputs: Any) -> Any:
        torch.manual_seed(seed)
        return model.generate(**inputs, max_new_tokens=6, do_sample=True, num_return_sequences=2)

    first = sample(1, **batch)
    assert first.shape[0] == 6
    assert torch.equal(first, sample(1, **batch))
    assert not torch.equal(first, sample(2, **batch))
    # Row by row by hand: what num_return_sequences must mean.
    doubled = {key: batch[key].repeat_interleave(2, dim=0) for key in ("input_ids", "attention_mask")}
    encoded = model.get_image_features(**{key: batch[key] for key in IMAGE_INPUTS})
    two, one = encoded.pooler_output[:2], encoded.pooler_output[2:]
    encoded.pooler_output = [*two, *two, *one, *one]
    torch.manual_seed(1)
    by_hand = model.generate(**doubled, mm_encoder_outputs={"image": encoded}, max_new_tokens=6, do_sample=True)
    assert torch.equal(first, by_hand)


# --- Forward ---


def test_two_passes_with_a_cache_are_one_pass(processor: Any, model: Any, chat: Any) -> None:
    inputs = encode(processor, conversations(chat)[0])
    expected = logits(model, inputs)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    for cache in (DynamicCache(config=model.config), StaticCache(config=model.config, max_cache_len=ids.shape[1])):
        images = {key: inputs[key] for key in IMAGE_INPUTS}
        with torch.no_grad():
            head = model(input_ids=ids[:, :-5], attention_mask=mask[:, :-5], past_key_values=cache, use_cache=True, **images)
            tail = model(input_ids=ids[:, -5:], attention_mask=mask, past_key_values=cache, use_cache=True)
        assert_close(torch.cat([head.logits, tail.logits], dim=1)[0], expected)


def test_text_alone_is_the_language_models(processor: Any, model: Any, chat: Any) -> None:
    inputs = encode(processor, conversations(chat)[1])
    with torch.no_grad():
        hidden = model.model.language_model(**inputs).last_hidden_state
        assert_close(model(**inputs).logits, model.lm_head(hidden))
    assert model(**inputs).image_hidden_states is None


def test_logits_to_keep_takes_a_number_or_positions(model: Any, batch: dict[str, Any]) -> None:
    with torch.no_grad():
        full = model(**batch).logits
        for keep, kept in ((1, full[:, -1:]), (4, full[:, -4:]), (0, full)):
            assert_close(model(**batch, logits_to_keep=keep).logits, kept)
        places = torch.tensor([3, 0, full.shape[1] - 1])
        assert_close(model(**batch, logits_to_keep=places).logits, full[:, places])


def test_hidden_states_attentions_and_tuples(new_model: NewModel, batch: dict[str, Any]) -> None:
    model = new_model()
    model.set_attn_implementation("eager")
    rows, length = batch["input_ids"].shape
    with torch.no_grad():
        output = model(**batch, output_hidden_states=True, output_attentions=True)
        assert [tuple(state.shape) for state in output.hidden_states] == [(rows, length, 32)] * 3
        assert [tuple(weights.shape) for weights in output.attentions] == [(rows, 4, length, length)] * 2
        assert_close(model.lm_head(output.hidden_states[-1]), output.logits)
        as_tuple = model(**batch, return_dict=False, use_cache=False)
        assert len(as_tuple) == 2
        assert_close(as_tuple[0], output.logits)
        assert_close(as_tuple[1], output.image_hidden_states)
        images = {key: batch[key] for key in IMAGE_INPUTS}
        vision = model.get_image_features(**images, output_hidden_states=True, output_attentions=True)
        tiles, patches = len(batch["pixel_values"]), (28 // 7) ** 2
        assert [tuple(state.shape) for state in vision.hidden_states] == [(tiles, patches, 24)] * 3
        assert [tuple(weights.shape) for weights in vision.attentions] == [(tiles, 2, patches, patches)] * 2
        assert torch.equal(model.get_image_features(**images, return_dict=False)[1][0], vision.pooler_output[0])
        model.config.return_dict = False
        assert isinstance(model(**batch), tuple)


def test_the_same_inputs_give_the_same_bytes_and_keep_the_inputs(new_model: NewModel, batch: dict[str, Any]) -> None:
    model, before = new_model(), copy.deepcopy(batch)
    assert torch.equal(logits(model, batch), logits(model, batch))
    assert all(torch.equal(batch[key], before[key]) for key in before)


def test_conflicting_inputs_are_refused(model: Any, batch: dict[str, Any]) -> None:
    embeds = model.get_input_embeddings()(batch["input_ids"])
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(**batch, inputs_embeds=embeds)
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(pixel_values=batch["pixel_values"])
    with pytest.raises(ValueError, match="not both"):
        model(**batch, mm_encoder_outputs={"image": model.get_image_features(**{key: batch[key] for key in IMAGE_INPUTS})})
    fewer = {key: batch[key][:n] for key, n in zip(IMAGE_INPUTS, (7, 2, 2), strict=True)}
    with pytest.raises(ValueError, match=r"40 placeholder tokens.*28 visual tokens"):
        model(inputs_embeds=embeds, **fewer)


def test_the_trainers_token_count_divides_the_loss(model: Any, batch: dict[str, Any]) -> None:
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    with torch.no_grad():
        mean = model(**batch, labels=labels).loss
        divided = model(**batch, labels=labels, num_items_in_batch=torch.tensor(7)).loss
    assert divided.item() == pytest.approx(mean.item() * int((labels[:, 1:] != -100).sum()) / 7, rel=1e-5)


# --- Numbers ---


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("attention", "towers"),
    [
        ("eager", ("eager", "eager")),
        ({"text_config": "eager", "vision_config": "sdpa"}, ("eager", "sdpa")),
        ({"text_config": "sdpa", "vision_config": "eager"}, ("sdpa", "eager")),
    ],
    ids=str,
)
def test_attention_back_ends_agree(
    processor: Any, new_model: NewModel, chat: Any, tmp_path: Path, attention: Any, towers: tuple[str, str], side: str
) -> None:
    processor.tokenizer.padding_side = side
    inputs, model = encode(processor, conversations(chat)), new_model()
    expected = logits(model, inputs)
    model.save_pretrained(tmp_path)
    loaded = XGenMMForConditionalGeneration.from_pretrained(tmp_path, attn_implementation=attention)
    parts = (loaded.model.language_model, loaded.model.vision_tower)
    assert tuple(part.config._attn_implementation for part in parts) == towers
    assert model.model.language_model.config._attn_implementation == "sdpa"
    assert_close(logits(loaded, inputs), expected)


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.bfloat16, 0.08), (torch.float16, 0.02)], ids=str)
def test_half_precision_is_close(
    new_model: NewModel, batch: dict[str, Any], tmp_path: Path, dtype: torch.dtype, allowed: float
) -> None:
    """Largest error over the largest logit (8 and 11 bits of mantissa; the tiny model's weights are large)."""
    model = new_model()
    model.save_pretrained(tmp_path)
    half = XGenMMForConditionalGeneration.from_pretrained(tmp_path, dtype=dtype)
    assert half.model.language_model.dtype == half.lm_head.weight.dtype == dtype
    vision = dtype if dtype is torch.bfloat16 else torch.float32  # too narrow a range
    assert half.model.vision_tower.dtype == half.model.resampler.latents.dtype == vision
    expected, ours = logits(model, batch), logits(half, batch)
    assert torch.isfinite(ours).all()
    assert 0 < (ours - expected).abs().max() / expected.abs().max() < allowed
    assert half.generate(**batch, max_new_tokens=2).shape[0] == 3


# --- Weights ---


@pytest.mark.parametrize("change", [5, -3])
def test_resized_embeddings_keep_the_old_rows(new_model: NewModel, batch: dict[str, Any], tmp_path: Path, change: int) -> None:
    model = new_model()
    nn.init.normal_(model.lm_head.bias)
    before, old = logits(model, batch), model.config.text_config.vocab_size
    if change < 0:  # the added tokens stand last and would be the ones to go
        batch = {key: batch[key] for key in ("input_ids", "attention_mask")}
        batch["input_ids"] = batch["input_ids"].clamp(max=old + change - 1)
        before = logits(model, batch)
    new, kept = old + change, min(old, old + change)
    model.resize_token_embeddings(new)
    assert model.get_input_embeddings().weight.shape[0] == model.lm_head.weight.shape[0] == new
    assert model.lm_head.bias.shape == (new,)
    assert model.lm_head.out_features == model.config.text_config.vocab_size == model.vocab_size == new
    assert_close(logits(model, batch)[:, :kept], before[:, :kept], atol=1e-6)
    ids = batch["input_ids"].clone()
    ids[:, -1] = new - 1
    loss = model(**{**batch, "input_ids": ids}, labels=ids).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert model.lm_head.bias.grad.shape == (new,)
    model.save_pretrained(tmp_path)
    assert_close(logits(XGenMMForConditionalGeneration.from_pretrained(tmp_path), batch), logits(model, batch), atol=0)


def test_tied_embeddings_share_their_weight(new_model: NewModel, batch: dict[str, Any], tmp_path: Path) -> None:
    model = new_model(tie_word_embeddings=True)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    model.save_pretrained(tmp_path)
    loaded = XGenMMForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight
    assert_close(logits(loaded, batch), logits(model, batch), atol=0)


def test_initialisation_reaches_every_weight_and_buffer(new_model: NewModel) -> None:
    config = new_model().config
    with torch.device("meta"):
        model = XGenMMForConditionalGeneration(config)
    assert all(weight.is_meta for weight in model.parameters())
    model.to_empty(device="cpu")
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, tensor in tensors.items():
        tensor.data.fill_(math.nan if tensor.is_floating_point() else -(10**6))
        tensor._is_hf_initialized = False
        assert not torch.isfinite(tensor).all() or not tensor.is_floating_point(), name
    for module in model.modules():
        module._is_hf_initialized = False
    model.init_weights()
    left = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all() or (tensor == -(10**6)).any()]
    assert left == []


def test_loading_builds_the_model_without_memory_of_its_own(new_model: NewModel, tmp_path: Path, monkeypatch: Any) -> None:
    new_model().save_pretrained(tmp_path)
    devices: list[str] = []
    build = XGenMMModel.__init__

    def watched(self: Any, config: Any) -> None:
        build(self, config)
        devices.extend({weight.device.type for weight in self.parameters()})

    monkeypatch.setattr(XGenMMModel, "__init__", watched)
    loaded = XGenMMForConditionalGeneration.from_pretrained(tmp_path)
    assert devices == ["meta"]
    assert not any(weight.is_meta for weight in loaded.parameters())


def test_the_configuration_is_copied_pickled_and_written_whole(tmp_path: Path) -> None:
    config = XGenMMConfig(text_config={"hidden_size": 64, "num_attention_heads": 4}, resampler_depth=3)
    config.save_pretrained(tmp_path)
    for other in (copy.deepcopy(config), pickle.loads(pickle.dumps(config)), XGenMMConfig.from_pretrained(tmp_path)):
        assert other.to_dict() == config.to_dict()
        assert type(other.text_config) is type(config.text_config)
    assert XGenMMConfig(**config.to_dict()).to_dict() == config.to_dict()
    assert config.get_text_config() is config.text_config


# --- Compilation ---


def test_the_decoder_compiles_to_one_graph(new_model: NewModel, batch: dict[str, Any]) -> None:
    torch._dynamo.reset()
    model = new_model()
    embeds = model.get_input_embeddings()(batch["input_ids"])
    decoder = torch.compile(model.get_decoder(), fullgraph=True, backend="eager")
    outputs = []
    with torch.no_grad():
        for call in (model.get_decoder(), decoder):
            past = DynamicCache(config=model.config)
            for part, mask in ((embeds[:, :-1], batch["attention_mask"][:, :-1]), (embeds[:, -1:], batch["attention_mask"])):
                step = call(inputs_embeds=part, attention_mask=mask, past_key_values=past, use_cache=True)
            outputs.append(step.last_hidden_state)
    assert_close(*outputs)


def test_a_decoding_step_of_the_whole_model_compiles_to_one_graph(new_model: NewModel, batch: dict[str, Any]) -> None:
    torch._dynamo.reset()
    model = new_model()
    ids, mask = batch["input_ids"], batch["attention_mask"]
    assert model._can_compile_fullgraph
    outputs = []
    with torch.no_grad():
        for step in (model, torch.compile(model, fullgraph=True, backend="eager")):
            cache = StaticCache(config=model.config, max_cache_len=ids.shape[1] + 2)
            model(**batch, past_key_values=cache, use_cache=True)
            longer = torch.cat([mask, mask[:, -1:]], dim=1)
            outputs.append(step(input_ids=ids[:, :1], attention_mask=longer, past_key_values=cache, use_cache=True).logits)
    assert_close(*outputs)


# --- Many devices, few bits ---


def test_a_device_map_never_cuts_through_a_layer(new_model: NewModel) -> None:
    model = new_model()
    layers = {"XGenMMResamplerLayer", "SiglipEncoderLayer", "Phi3DecoderLayer"}
    assert layers <= model._no_split_modules
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    places = {name for name, module in model.named_modules() if type(module).__name__ in layers}
    assert len(places) == 6
    used = set()
    for share in (3, 4, 5, 6, 8, 12):
        memory = {0: size // share, 1: size // share, "cpu": 2 * size}
        devices = infer_auto_device_map(model, memory, no_split_module_classes=model._no_split_modules)
        used |= set(devices.values())
        assert [entry for entry in devices if any(entry.startswith(place + ".") for place in places)] == []
    assert used >= {1, "cpu"}


def test_weights_left_on_the_disk_give_the_same_logits(new_model: NewModel, batch: dict[str, Any], tmp_path: Path) -> None:
    model = new_model()
    model.save_pretrained(tmp_path)
    places = {"model.vision_tower": "disk", "model.resampler": "cpu", "lm_head": "disk"}
    text = {"embed_tokens": "cpu", "layers.0": "disk", "layers.1": "cpu", "norm": "cpu", "rotary_emb": "cpu"}
    places |= {f"model.language_model.{name}": device for name, device in text.items()}
    loaded = XGenMMForConditionalGeneration.from_pretrained(tmp_path, device_map=places, offload_folder=tmp_path / "offload")
    assert loaded.lm_head.weight.is_meta
    assert_close(logits(loaded, batch), logits(model, batch))
    assert torch.equal(loaded.generate(**batch, **GREEDY), model.generate(**batch, **GREEDY))


def test_the_tensor_parallel_plan_covers_the_decoder_and_names_what_exists(new_model: NewModel) -> None:
    model = new_model()
    weights = {name.rsplit(".", 1)[0] for name, _ in model.named_parameters()}
    generic = {".".join("*" if part.isdigit() else part for part in name.split(".")) for name in weights}
    assert set(model.tp_plan) <= generic
    language = {name for name in generic if name.startswith(("model.language_model", "lm_head")) and "norm" not in name}
    assert set(model.tp_plan) == language
    assert model.supports_tp_plan


@pytest.mark.parametrize("released_size", [False, True])
def test_quantizers_convert_the_decoder_only(new_model: NewModel, released_size: bool) -> None:
    config = XGenMMConfig() if released_size else new_model().config
    kinds = {XGenMMForConditionalGeneration: "model.language_model.layers.", XGenMMModel: "language_model.layers."}
    with torch.device("meta"):
        for kind, prefix in kinds.items():
            model = kind(config)
            # As the quantizers of bitsandbytes, torchao and the others do it, when their configuration names no modules.
            kept = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
            linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
            converted = {name for name in linear if should_convert_module(name, kept)}
            expected = {name for name in linear if name.startswith(prefix)}
            assert len(expected) == 4 * config.text_config.num_hidden_layers
            assert converted == expected


def test_torchao_makes_the_decoder_int8(new_model: NewModel, batch: dict[str, Any], tmp_path: Path) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    from transformers import TorchAoConfig

    model = new_model()
    model.save_pretrained(tmp_path)
    settings = TorchAoConfig(quantization.Int8WeightOnlyConfig())
    loaded = XGenMMForConditionalGeneration.from_pretrained(tmp_path, quantization_config=settings)
    changed = {name for name, weight in loaded.named_parameters() if type(weight.data) is not torch.Tensor}
    assert len(changed) == 8
    assert all(name.startswith("model.language_model.layers.") for name in changed)
    expected = logits(model, batch)
    assert 0 < (logits(loaded, batch) - expected).abs().max() / expected.abs().max() < 0.1


@pytest.mark.parametrize("bits", [8, 4])
def test_bitsandbytes_makes_the_decoder_8_or_4_bit(new_model: NewModel, batch: dict[str, Any], tmp_path: Path, bits: int) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    model = new_model()
    model.save_pretrained(tmp_path)
    settings = BitsAndBytesConfig(**{f"load_in_{bits}bit": True})
    loaded = XGenMMForConditionalGeneration.from_pretrained(tmp_path, quantization_config=settings)
    kind = bitsandbytes.nn.Linear8bitLt if bits == 8 else bitsandbytes.nn.Linear4bit
    changed = {name for name, module in loaded.named_modules() if isinstance(module, kind)}
    assert len(changed) == 8
    assert all(name.startswith("model.language_model.layers.") for name in changed)
    if bits == 8:  # four bits want rows of at least 64
        expected = logits(model, batch)
        assert 0 < (logits(loaded, batch) - expected).abs().max() / expected.abs().max() < 0.2
