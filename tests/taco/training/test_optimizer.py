"""Which parameters each optimizer gets, and at what rate."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForImageTextToText

from taco.training.config import TrainConfig
from taco.training.optimizer import Pair, make_optimizer


def rates(model_dir: Path, **settings: Any) -> tuple[dict[str, float], Any]:
    """The rate of each parameter, and the optimizer."""
    model = AutoModelForImageTextToText.from_pretrained(str(model_dir))
    config = TrainConfig(model=str(model_dir), lr=0.004, vision_lr=0.001, steps=1, output_dir="out", **settings)
    optimizer = make_optimizer(model, config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(parameter)]: group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert set(found) == set(names.values())
    return found, optimizer


def test_vision_has_its_own_rate(model_dir: Path) -> None:
    found, _ = rates(model_dir)
    assert {rate for name, rate in found.items() if "vision_tower" in name or "resampler" in name} == {0.001}
    assert {rate for name, rate in found.items() if "language_model" in name or "lm_head" in name} == {0.004}


def test_muon_gets_the_matrices_inside_the_model_and_adamw_the_rest(model_dir: Path) -> None:
    found, optimizer = rates(model_dir, optimizer="muon")
    assert isinstance(optimizer, Pair)
    muon, adam = ({id(p) for group in part.param_groups for p in group["params"]} for part in optimizer.parts)
    assert not muon & adam
    assert found["model.language_model.layers.0.mlp.down_proj.weight"] == 0.004
    assert found["model.language_model.embed_tokens.weight"] == 0.002
    assert found["model.vision_tower.encoder.layers.0.mlp.fc1.weight"] == 0.001
    assert found["model.resampler.latents"] == 0.0005
    assert all(parameter.ndim == 2 for group in optimizer.parts[0].param_groups for parameter in group["params"])
