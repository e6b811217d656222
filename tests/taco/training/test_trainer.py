"""Runs on a tiny model: the loss falls, an interrupted run ends where a whole one does, a LoRA adapter leaves its base alone."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, TrainerCallback

from taco.models.record import AgentRecord
from taco.trace import Trace
from taco.training import Encoder, TrainConfig, run_config, train
from taco.training.config import ConfigError
from taco.training.data import collate
from taco.training.trainer import labelled_logits
from tests.taco.training.conftest import TOOLS


def config(model_dir: Path, out: Path, **changes: Any) -> TrainConfig:
    values: dict[str, Any] = {"steps": 6, "batch_size": 4, "pool": 8, "lr": 3e-3, "warmup": 1, "bf16": False, "save_every": 3}
    return TrainConfig(model=str(model_dir), output_dir=str(out), **(values | changes))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    [file] = [*folder.glob("model.safetensors"), *folder.glob("adapter_model.safetensors")]
    return load_file(str(file))


def same(left: Path, right: Path) -> bool:
    first, second = weights(left), weights(right)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


class Interrupted(TrainerCallback):  # type: ignore[misc]
    """Breaks a run off after a step, as a kill would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


SHAPES: dict[str, dict[str, Any]] = {
    "whole, muon, wsd": {"optimizer": "muon", "lr": 6e-3, "schedule": "wsd"},
    "lora, dropout, accumulation": {"lora": {"r": 2, "dropout": 0.1}, "accumulation": 2},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_resumed_run_equals_a_whole_one(model_dir: Path, traces: list[Trace], tmp_path: Path, shape: str) -> None:
    whole = train(config(model_dir, tmp_path / "whole", **SHAPES[shape]), traces)
    broken = config(model_dir, tmp_path / "broken", **SHAPES[shape])
    with pytest.raises(KeyboardInterrupt):
        train(broken, traces, callbacks=[Interrupted(5)])
    with pytest.raises(ConfigError, match="--resume"):
        train(broken, traces)
    assert same(whole, train(broken, traces, resume=True))
    counted = [json.loads((folder / "training.json").read_text())["examples"] for folder in (whole, tmp_path / "broken")]
    assert counted[0] == counted[1] == 24 * SHAPES[shape].get("accumulation", 1)


@pytest.fixture(scope="module")
def trained(model_dir: Path, traces: list[Trace], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer that was trained from random weights."""
    out = tmp_path_factory.mktemp("trained")
    one_layer = {"text_config": {"num_hidden_layers": 1}}
    settings = config(model_dir, out, steps=40, save_every=100, batch_size=8, lr=1e-2, init=one_layer)
    return train(settings, traces, traces[:4])


def test_training_from_random_weights_learns_the_format(trained: Path) -> None:
    out = trained
    report = json.loads((out / "training.json").read_text())
    assert report["evaluation"]["eval_token_accuracy"] > 0.6
    assert not any("layers.1.self_attn" in name for name in weights(out) if "language" in name)
    record = AgentRecord.read(out)
    assert record is not None
    assert record.tools == TOOLS


def test_a_lora_adapter_learns_reloads_and_leaves_the_base_alone(
    trained: Path, processor: Any, traces: list[Trace], tmp_path: Path
) -> None:
    from peft import PeftModel

    before = hashlib.sha256((trained / "model.safetensors").read_bytes()).hexdigest()
    losses: list[float] = []

    class Losses(TrainerCallback):  # type: ignore[misc]
        model: Any = None

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            losses.extend([logs["loss"]] if "loss" in logs else [])
            Losses.model = kwargs["model"]

    settings = config(trained, tmp_path / "out", steps=30, lr=3e-2, lora={"r": 4}, log_every=10)
    out = train(settings, traces, callbacks=[Losses()])
    assert losses[-1] < 0.9 * losses[0]
    assert hashlib.sha256((trained / "model.safetensors").read_bytes()).hexdigest() == before
    assert not (out / "model.safetensors").exists()
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == str(trained)
    base = AutoModelForImageTextToText.from_pretrained(str(trained))
    plain = {name: value.clone() for name, value in base.state_dict().items()}
    after = {
        name.replace(".base_layer", "").removeprefix("base_model.model."): value
        for name, value in Losses.model.state_dict().items()
    }
    assert all(torch.equal(value, after[name]) for name, value in plain.items())
    batch = collate([Encoder(processor, max_length=1024)(traces[0])], processor.tokenizer.pad_token_id)
    again = PeftModel.from_pretrained(base, str(out)).eval()
    with torch.no_grad():
        expected, actual = (labelled_logits(model.eval(), dict(batch))[0] for model in (Losses.model, again))
    assert torch.allclose(expected, actual, atol=1e-5)


def test_logits_at_labels_are_those_of_the_full_forward(model_dir: Path, processor: Any, traces: list[Trace]) -> None:
    """Padding, equal images that are encoded once, and the choice of positions change nothing."""
    model = AutoModelForImageTextToText.from_pretrained(str(model_dir)).eval()
    encoder = Encoder(processor, max_length=1024)
    batch = collate([encoder(trace) for trace in (*traces[:3], traces[9])], processor.tokenizer.pad_token_id)
    with torch.no_grad():
        logits, targets, rows = labelled_logits(model, dict(batch))
        full = model(**batch).logits[:, :-1]
    keep = batch["labels"][:, 1:] != -100
    assert torch.allclose(logits, full[keep], atol=1e-5)
    assert torch.equal(targets, batch["labels"][:, 1:][keep])
    assert rows.unique().tolist() == [0, 1, 2, 3]


def test_run_config_reads_folders_and_counts_epochs(model_dir: Path, traces: list[Trace], tmp_path: Path) -> None:
    for trace in traces[:16]:
        trace.save(tmp_path / "data")
    file = tmp_path / "train.yaml"
    out = tmp_path / "out"
    lines = [f"model: {model_dir}", f"data: [{tmp_path / 'data'}]", "eval_fraction: 0.5", "epochs: 2", "batch_size: 2"]
    file.write_text("\n".join([*lines, "bf16: false", f"output_dir: {out}"]))
    assert run_config(file) == out
    report = json.loads((out / "training.json").read_text())
    assert report["examples"] + 2 * report["evaluation"]["eval_traces"] == 32
    assert report["evaluation"]["eval_traces"] > 0


def test_what_cannot_be_trained_is_said(model_dir: Path, traces: list[Trace], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no trace"):
        train(config(model_dir, tmp_path / "a"), [])
    with pytest.raises(ConfigError, match="give steps"):
        train(config(model_dir, tmp_path / "b", steps=None, epochs=1), iter(traces))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        train(config(tmp_path / "nothing", tmp_path / "c"), traces)
    with pytest.raises(ConfigError, match="longer than max_length = 16"):
        train(config(model_dir, tmp_path / "d", max_length=16), iter(traces))
    with pytest.raises(ConfigError, match="init: the model has no 'layers'"):
        train(config(model_dir, tmp_path / "e", init={"layers": 3}), traces)
    file = tmp_path / "train.yaml"
    file.write_text("steps: 3\noutput_dir: out\n")
    with pytest.raises(ConfigError, match="'data' is missing"):
        run_config(file)
