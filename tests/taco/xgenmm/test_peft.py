"""Fine-tuning hooks: LoRA on each part by the documented names, and what is frozen stays frozen."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from taco.xgenmm import XGenMMForConditionalGeneration
from taco.xgenmm.modeling_xgenmm import LORA_TARGETS

NewModel = Callable[..., XGenMMForConditionalGeneration]
PARTS = {"language": "model.language_model.", "resampler": "model.resampler.", "vision": "model.vision_tower."}
CHOICES = [("language",), ("resampler",), ("vision",), ("language", "resampler"), ("language", "resampler", "vision")]


@pytest.fixture
def inputs(processor: Any, chat: Any) -> dict[str, Any]:
    """A row with two images, and its labels."""
    row = [chat.ask("what is", chat.noise(50, 20), chat.noise(30, 90, seed=1)), chat.answer("tea")]
    encoded = processor.apply_chat_template(row, tokenize=True, return_dict=True)
    labels = encoded["input_ids"].masked_fill(encoded["input_ids"] == processor.image_token_id, -100)
    return {**encoded, "labels": labels}


def with_lora(model: Any, parts: tuple[str, ...]) -> Any:
    """The model with an adapter whose two matrices are both random: new ones change nothing."""
    targets = [name for part in parts for name in LORA_TARGETS[part]]
    torch.manual_seed(1)
    return get_peft_model(model, LoraConfig(r=2, lora_alpha=4, target_modules=targets, init_lora_weights=False))


def logits(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**inputs).logits  # type: ignore[no-any-return]


def test_the_documented_names_are_every_linear_layer_of_their_part_and_of_no_other(new_model: NewModel) -> None:
    linear = {name for name, module in new_model().named_modules() if isinstance(module, nn.Linear)}
    for part, prefix in PARTS.items():
        named = {name for name in linear if name.rsplit(".", 1)[-1] in LORA_TARGETS[part]}
        assert named == {name for name in linear if name.startswith(prefix)}
        assert {name.rsplit(".", 1)[-1] for name in named} == set(LORA_TARGETS[part])


def test_the_table_in_the_docs_is_the_one_in_the_code() -> None:
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+)(?: \([^)]*\))? \| ([\w, ]+) \|$", text.split("## Fine-tuning targets")[1], re.MULTILINE)
    assert {part: tuple(names.split(", ")) for part, names in rows if part != "part"} == LORA_TARGETS


@pytest.mark.parametrize("parts", CHOICES, ids="+".join)
def test_an_adapter_trains_saves_loads_and_merges(
    new_model: NewModel, inputs: dict[str, Any], tmp_path: Path, parts: tuple[str, ...]
) -> None:
    plain = logits(new_model(), inputs)
    adapted = with_lora(new_model(), parts)
    adapted(**inputs).loss.backward()
    gradients = {name: weight.grad for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert all("lora_" in name for name in gradients)
    for part, prefix in PARTS.items():
        assert any(prefix in name for name in gradients) == (part in parts)
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.abs().max() > 0] == []
    ours = logits(adapted, inputs)
    assert (ours - plain).abs().max() > 1e-2
    adapted.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("model*")), "an adapter's directory holds the adapter only"
    loaded = PeftModel.from_pretrained(new_model(), tmp_path)
    assert torch.equal(logits(loaded, inputs), ours)
    merged = loaded.merge_and_unload()
    assert isinstance(merged, XGenMMForConditionalGeneration)
    assert not any("lora_" in name for name in merged.state_dict())
    torch.testing.assert_close(logits(merged, inputs), ours, atol=1e-4, rtol=0)
    with adapted.disable_adapter():
        torch.testing.assert_close(logits(adapted, inputs), plain)


def test_a_merged_model_saves_and_loads_as_its_own(new_model: NewModel, inputs: dict[str, Any], tmp_path: Path) -> None:
    merged = with_lora(new_model(), ("language", "resampler")).merge_and_unload()
    merged.save_pretrained(tmp_path)
    loaded = XGenMMForConditionalGeneration.from_pretrained(tmp_path)
    assert torch.equal(logits(loaded, inputs), logits(merged, inputs))


def test_an_adapted_model_generates_from_images(new_model: NewModel, inputs: dict[str, Any]) -> None:
    prompt = {key: value for key, value in inputs.items() if key != "labels"}
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    adapted = with_lora(new_model(), ("language",)).eval()
    ids = adapted.generate(**prompt, **options)
    assert torch.equal(ids, adapted.generate(**prompt, **options, use_cache=False))
    assert not torch.equal(ids, new_model().generate(**prompt, **options))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_gives_the_adapter_the_same_gradients(new_model: NewModel, inputs: dict[str, Any], reentrant: bool) -> None:
    found = []
    for checkpointing in (False, True):
        base = new_model().train()
        if checkpointing:
            base.gradient_checkpointing_enable({"use_reentrant": reentrant})
        adapted = with_lora(base, ("language", "resampler", "vision")).train()
        adapted(**inputs).loss.backward()
        found.append({name: weight.grad for name, weight in adapted.named_parameters() if weight.requires_grad})
    for name, gradient in found[0].items():
        assert found[1][name] is not None, name
        torch.testing.assert_close(found[1][name], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_tower_gets_no_gradient_and_a_free_one_does(new_model: NewModel, inputs: dict[str, Any], frozen: bool) -> None:
    model = new_model().train()
    model.model.vision_tower.requires_grad_(not frozen)
    model(**inputs).loss.backward()
    for name, weight in model.named_parameters():
        in_tower = name.startswith("model.vision_tower.")
        assert (weight.grad is None) == (in_tower and frozen), name
    stem = model.model.vision_tower.embeddings.patch_embedding.weight
    assert frozen or stem.grad.abs().max() > 0
    assert model.model.resampler.latents.grad.abs().max() > 0


def test_transformers_own_adapter_methods_work(new_model: NewModel, inputs: dict[str, Any], tmp_path: Path) -> None:
    model = new_model()
    plain = logits(model, inputs)
    torch.manual_seed(1)
    model.add_adapter(LoraConfig(r=2, target_modules=list(LORA_TARGETS["language"]), init_lora_weights=False))
    ours = logits(model, inputs)
    assert (ours - plain).abs().max() > 1e-2
    model.save_pretrained(tmp_path)
    other = new_model()
    other.load_adapter(tmp_path)
    assert torch.equal(logits(other, inputs), ours)
    other.disable_adapters()
    assert torch.equal(logits(other, inputs), plain)
