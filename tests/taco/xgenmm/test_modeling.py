"""The model's behaviour: batches, caches, attention, gradients, errors, saving."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor
from transformers.modeling_layers import GradientCheckpointingLayer

from taco.xgenmm import XGenMMConfig, XGenMMForConditionalGeneration, XGenMMModel, XGenMMProcessor
from taco.xgenmm.resampler_xgenmm import patch_mask, regroup_tiles

NewModel = Callable[..., XGenMMForConditionalGeneration]


def encode(processor: XGenMMProcessor, conversation: Any, **options: Any) -> Any:
    """What the model reads."""
    return processor.apply_chat_template(conversation, tokenize=True, return_dict=True, **options)


def conversations(chat: Any) -> list[Any]:
    """Three rows: two images, text only, one image."""
    return [
        [chat.ask("what is", chat.noise(50, 20), chat.noise(30, 90, seed=1))],
        [chat.ask("hello, what is the price of tea?")],
        [chat.ask("and?", chat.noise(10, 10, seed=2))],
    ]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_batch_gives_the_logits_of_each_row_alone(processor: Any, model: Any, chat: Any, side: str) -> None:
    processor.tokenizer.padding_side = side
    batch = encode(processor, conversations(chat))
    with torch.no_grad():
        together = model(**batch).logits
        for row, conversation in enumerate(conversations(chat)):
            alone = model(**encode(processor, conversation)).logits[0]
            torch.testing.assert_close(together[row][batch["attention_mask"][row].bool()], alone, atol=1e-4, rtol=0)


def test_generation_in_a_left_padded_batch_equals_generation_of_each_row(processor: Any, model: Any, chat: Any) -> None:
    processor.tokenizer.padding_side = "left"
    batch = encode(processor, conversations(chat), add_generation_prompt=True)
    together = model.generate(**batch, max_new_tokens=6, min_new_tokens=6, do_sample=False)
    for row, conversation in enumerate(conversations(chat)):
        single = encode(processor, conversation, add_generation_prompt=True)
        alone = model.generate(**single, max_new_tokens=6, min_new_tokens=6, do_sample=False)
        assert together[row, -6:].tolist() == alone[0, -6:].tolist()


def test_generation_with_and_without_cache_is_equal_and_images_are_encoded_once(processor: Any, model: Any, chat: Any) -> None:
    inputs = encode(processor, conversations(chat)[0], add_generation_prompt=True)
    calls: list[int] = []
    hook = model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False}
    with_cache = model.generate(**inputs, **options)
    assert calls == [1]
    without = model.generate(**inputs, **options, use_cache=False)
    beams = model.generate(**inputs, **options, num_beams=2)
    hook.remove()
    assert with_cache.tolist() == without.tolist()
    assert beams.shape == with_cache.shape
    assert len(set(with_cache[0, -8:].tolist())) > 1, "a constant output would prove nothing"


def test_images_encoded_before_give_the_same_logits(processor: Any, model: Any, chat: Any) -> None:
    inputs = encode(processor, conversations(chat)[0])
    with torch.no_grad():
        expected = model(**inputs).logits
        images = {key: inputs.pop(key) for key in ("pixel_values", "image_sizes", "num_tiles")}
        encoded = model.get_image_features(**images)
        assert [len(tokens) for tokens in encoded.pooler_output] == (images["num_tiles"] * chat.latents).tolist()
        torch.testing.assert_close(model(**inputs, mm_encoder_outputs={"image": encoded}).logits, expected)
        embeds = model.get_input_embeddings()(inputs.pop("input_ids"))
        embedded = model(inputs_embeds=embeds, **inputs, mm_encoder_outputs={"image": encoded}).logits
    torch.testing.assert_close(embedded, expected)


def test_the_image_changes_the_logits(processor: Any, model: Any, chat: Any) -> None:
    with torch.no_grad():
        one, other = (model(**encode(processor, [chat.ask("a", chat.noise(30, 30, seed=s))])).logits for s in (1, 2))
    assert (one - other)[:, -1].abs().max() > 1e-2


def test_eager_equals_sdpa(processor: Any, new_model: NewModel, chat: Any) -> None:
    processor.tokenizer.padding_side = "right"
    model, inputs = new_model(), encode(processor, conversations(chat))
    seen = inputs["attention_mask"].bool()
    logits = {}
    for attention in ("eager", "sdpa"):
        model.set_attn_implementation(attention)
        assert model.model.vision_tower.config._attn_implementation == attention
        assert model.model.language_model.config._attn_implementation == attention
        with torch.no_grad():
            logits[attention] = model(**inputs).logits[seen]
    torch.testing.assert_close(logits["eager"], logits["sdpa"], atol=1e-4, rtol=0)


def test_the_loss_is_the_mean_over_the_labels(processor: Any, model: Any, chat: Any) -> None:
    inputs = encode(processor, conversations(chat)[0])
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == processor.image_token_id, -100)
    with torch.no_grad():
        full = model(**inputs, labels=labels)
        expected = torch.nn.functional.cross_entropy(full.logits[0, :-1], labels[0, 1:])
    torch.testing.assert_close(full.loss, expected)


def test_every_weight_gets_a_gradient_and_checkpointing_gives_the_same(processor: Any, new_model: NewModel, chat: Any) -> None:
    inputs = encode(processor, conversations(chat)[0])
    gradients = []
    for checkpointing in (False, True):
        model = new_model().train()
        if checkpointing:
            model.gradient_checkpointing_enable()
            layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
            assert len(layers) == 6
            assert all(layer.gradient_checkpointing for layer in layers)
        model(**inputs, labels=inputs["input_ids"]).loss.backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        # Softmax ignores a constant added to all scores, so this bias has a gradient of rounding noise only.
        assert gradient.abs().max() > 0 or name.endswith("k_proj.bias"), name
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-5, rtol=1e-4)


def test_initialisation_leaves_nothing_undefined_and_scales_by_width(new_model: NewModel) -> None:
    model = new_model()
    assert all(torch.isfinite(weight).all() for weight in model.parameters())
    resampler, width = model.model.resampler, model.config.vision_config.hidden_size
    assert resampler.latents.std().item() == pytest.approx(width**-0.5, rel=0.3)
    assert resampler.layers[0].up.weight.std().item() == pytest.approx(width**-0.5, rel=0.3)
    assert model.lm_head.bias.abs().max() == 0


def test_wrong_numbers_of_placeholders_and_tiles_are_named(processor: Any, model: Any, chat: Any) -> None:
    inputs = encode(processor, conversations(chat)[0])
    short = {**inputs, "input_ids": inputs["input_ids"].clone()}
    place = (short["input_ids"][0] == processor.image_token_id).nonzero()[0]
    short["input_ids"][0, place] = 7
    with pytest.raises(ValueError, match=r"27 placeholder tokens.*28 visual tokens"):
        model(**short)
    text = {key: inputs[key] for key in ("input_ids", "attention_mask")}
    with pytest.raises(ValueError, match=r"28 placeholder tokens.*0 visual tokens"):
        model(**text)
    with pytest.raises(ValueError, match=r"holds 6 tiles.*need 7"):
        model(**{**inputs, "pixel_values": inputs["pixel_values"][1:]})
    with pytest.raises(ValueError, match="same grids"):
        model(**{**inputs, "num_tiles": torch.tensor([4, 3])})
    with pytest.raises(ValueError, match="image_sizes"):
        model(**text, pixel_values=inputs["pixel_values"])


def test_a_model_without_grids_reads_base_tiles(chat: Any, new_model: NewModel) -> None:
    processor = chat.make_processor(image_grid_pinpoints=[])
    model = new_model(image_grid_pinpoints=[])
    inputs = encode(processor, [chat.ask("a", chat.noise(90, 20), chat.noise(5, 5))])
    assert inputs["num_tiles"].tolist() == [1, 1]
    with torch.no_grad():
        expected = model(**inputs).logits
        del inputs["image_sizes"], inputs["num_tiles"]
        with pytest.raises(ValueError, match="image_sizes"):
            model(**inputs)
        torch.testing.assert_close(model(**inputs, num_tiles=torch.tensor([1, 1])).logits, expected)


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)])
def test_regrouping_cuts_the_merged_map_into_runs(rows: int, columns: int) -> None:
    side = 3
    merged = torch.arange(rows * side * columns * side).view(rows * side, columns * side)
    tiles = [t for band in merged.split(side) for t in band.split(side, dim=1)]
    features = torch.stack([torch.full((side, side), -1), *tiles]).flatten(1)[..., None]
    regrouped = regroup_tiles(features, rows, columns)[1:, :, 0]
    assert regrouped.flatten().tolist() == merged.flatten().tolist()


def test_patch_mask_hides_the_canvas_only() -> None:
    assert patch_mask(10, 10, 0, 0, 3).all()
    mask = patch_mask(height=10, width=60, rows=2, columns=1, side=4)  # a thin strip in the middle of 8 x 4 patches
    assert mask[0].all()
    assert mask[1:].view(8, 4).any(1).tolist() == [False] * 4 + [False] * 4
    assert patch_mask(100, 100, 2, 1, 4)[1:].view(8, 4).any(1).tolist() == [False] * 2 + [True] * 4 + [False] * 2
    assert patch_mask(100, 100, 1, 2, 4)[1:].view(4, 8).any(0).tolist() == [False] * 2 + [True] * 4 + [False] * 2


@pytest.mark.parametrize(
    ("width", "height", "rows", "columns"), [(98, 98, 2, 1), (98, 98, 1, 2), (1, 2000, 3, 1), (2000, 1, 1, 3)]
)
def test_patch_mask_at_ties_and_extreme_ratios(width: int, height: int, rows: int, columns: int) -> None:
    """27 patches a side, as released. At 98 x 98 the scale 27 / 98 is rounded before the product: 26.99..., so 26 rows."""
    mask = patch_mask(height, width, rows, columns, 27)[1:].view(rows * 27, columns * 27)
    shown = {(98, 98): 26, (1, 2000): 81, (2000, 1): 81}[(width, height)]
    long, short = (mask.any(1), mask.any(0)) if rows > columns else (mask.any(0), mask.any(1))
    if width == height:
        assert (int(long.sum()), int(short.sum())) == (shown, 27)
        assert long.nonzero()[:, 0].tolist() == list(range(14, 40))
    else:  # thinner than a patch: nothing of it is seen but the base tile
        assert mask.sum() == long.sum() == 81
        assert short.nonzero()[:, 0].tolist() == [13]


def test_a_tile_without_any_picture_gives_finite_tokens(processor: Any, model: Any, chat: Any) -> None:
    inputs = encode(processor, [chat.ask("a", chat.noise(900, 3))])
    assert torch.isfinite(model(**inputs).logits).all()


def test_save_and_load_through_the_auto_classes(processor: Any, new_model: NewModel, chat: Any, tmp_path: Path) -> None:
    model = new_model()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = AutoModelForImageTextToText.from_pretrained(tmp_path)
    reloaded_processor = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded, XGenMMForConditionalGeneration)
    assert isinstance(AutoModel.from_pretrained(tmp_path), XGenMMModel)
    assert isinstance(reloaded_processor, XGenMMProcessor)
    for name in ("image_grid_pinpoints", "image_token_id", "resampler_num_latents", "resampler_head_dim"):
        assert getattr(loaded.config, name) == getattr(model.config, name)
    inputs, again = (encode(p, conversations(chat)) for p in (processor, reloaded_processor))
    assert inputs.keys() == again.keys()
    assert all(torch.equal(inputs[key], again[key]) for key in inputs)
    with torch.no_grad():
        assert torch.equal(model(**inputs).logits, loaded(**inputs).logits)


def test_the_default_configuration_is_the_released_size() -> None:
    config = XGenMMConfig()
    with torch.device("meta"):
        model = XGenMMForConditionalGeneration(config)
    # Facts of the reference: the tower without its unused head, the resampler, and Phi-3 with the three added tokens
    # (rows 32012..32063 of its padded matrices are dead and not kept) and the bias of the head.
    tower, resampler = 428_225_600 - 15_238_352, 109_901_568
    language = 3_821_079_552 - 2 * 3072 * (32064 - 32015) + 32015
    assert sum(weight.numel() for weight in model.parameters()) == tower + resampler + language
    assert config.text_config.sliding_window == 2048
    with pytest.raises(ValueError, match="multiples of the tile"):
        XGenMMConfig(image_grid_pinpoints=[[384, 500]])
