"""Every case of the reference fixture, within the tolerances of its README, under each attention that runs on a CPU."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "xgenmm_parity.py"
VISION = {"tile_features", "tile_masks", "vision_tokens"}
COMPARED = {
    "A_tall_wide": {*VISION, "merged mask", "inputs_embeds", "merged labels", "logits", "loss", "gradients"},
    "B_batch_ragged": {*VISION, "merged mask", "inputs_embeds", "merged labels", "logits", "loss"},
    "C_adjacent": {*VISION, "merged mask", "inputs_embeds", "logits"},
    "D_text_only": {"merged mask", "merged labels", "logits", "loss"},
    "E_generate": {*VISION, "merged mask", "inputs_embeds", "generated"},
    "F_generate_left": {*VISION, "merged mask", "inputs_embeds", "generated"},
    "G_base_res": {"vision_tokens", "merged mask", "inputs_embeds", "merged labels", "logits", "loss"},
    "H_sliding_window_24": {*VISION, "merged mask", "inputs_embeds", "logits"},
    **{f"image {name}": {"tiles", "base_only"} for name in ("tall", "wide", "square", "small", "widish", "strip")},
}


@pytest.fixture(scope="module")
def parity() -> SimpleNamespace:
    """The benchmark script, which does the comparing."""
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


@pytest.mark.parametrize("attention", ["eager", "sdpa", "flex_attention"])
def test_every_case_is_within_its_tolerance(parity: SimpleNamespace, attention: str) -> None:
    rows = parity.measure(attention)
    compared: dict[str, set[str]] = {}
    for row in rows:
        compared.setdefault(row.case, set()).add(row.quantity)
    untested = {"gradients"} if attention == "flex_attention" else set()  # it has none on a CPU
    assert compared == {case: quantities - untested for case, quantities in COMPARED.items()}
    assert [row for row in rows if not row.error <= row.allowed] == []


def test_the_comparison_sees_a_wrong_window_and_a_wrong_weight(parity: SimpleNamespace) -> None:
    tensors = parity.load_tensors()
    case = parity.FIXTURE["cases"]["H_sliding_window_24"]
    images = parity.image_inputs(tensors, case)
    inputs = {**parity.text_inputs(case, images["num_tiles"].tolist()), **images}

    def logits_error(model: torch.nn.Module) -> float:
        rows = parity.compare_language(model, tensors, "H_sliding_window_24", inputs)
        return next(row.error for row in rows if row.quantity == "logits")

    assert logits_error(parity.build_model(tensors, 25, "sdpa")) < 1e-4
    assert logits_error(parity.build_model(tensors, 24, "sdpa")) > 0.1
    model = parity.build_model(tensors, 25, "sdpa")
    with torch.no_grad():
        model.model.resampler.layers[1].norm.bias[3] += 0.1
    assert logits_error(model) > 1e-4


def test_the_mapping_takes_released_names_and_names_what_it_does_not_know(parity: SimpleNamespace) -> None:
    from taco.xgenmm.conversion import native_name

    assert native_name("vlm.vision_tokenizer.layers.3.1.3.weight") == "model.resampler.layers.3.down.weight"
    assert native_name("vlm.vision_encoder.head.probe") is None
    assert native_name("vlm.lang_model.lm_head.bias") == "lm_head.bias"
    with pytest.raises(KeyError, match=r"text_projection\.0"):
        native_name("vlm.vision_tokenizer.text_projection.0.weight")
