"""Runs on a tiny model: the loss falls, an interrupted run ends where a whole one does, a LoRA adapter leaves its base alone."""

import functools
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, TrainerCallback

from taco.errors import RunError
from taco.models.record import AgentRecord
from taco.trace import ToolRecord, Trace
from taco.training import Encoder, TrainConfig, run_config, train
from taco.training import trainer as trainer_module
from taco.training.checkpoints import STATE_FILE
from taco.training.config import ConfigError
from taco.training.data import collate, survey
from taco.training.model import labelled_logits, load
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


def offering(trace: Trace, *tools: ToolRecord) -> Trace:
    changed = trace.model_copy(update={"tools": tools})
    changed._store = trace.store
    return changed


def test_back_ends_of_a_tool_are_merged(traces: list[Trace]) -> None:
    real = [offering(trace, *(ToolRecord(name=tool.name, backend="real") for tool in TOOLS)) for trace in traces[:2]]
    for length in ({"steps": 3}, {"epochs": 1, "steps": None}):
        tools, first, _, _ = survey(config(Path("m"), Path("o"), **length), [*real, *traces])
        assert [(tool.name, tool.backend) for tool in tools] == [(tool.name, "real, test") for tool in TOOLS]
        assert first is real[0]


@pytest.mark.parametrize("kind", [list, iter, lambda traces: lambda number: traces])
def test_traces_that_offer_other_tools_are_refused(traces: list[Trace], kind: Callable[[list[Trace]], Any]) -> None:
    direct = offering(traces[0], TOOLS[-1])
    with pytest.raises(ConfigError, match=r"t-0 offers the tools Terminate; trace t-1 offers OCR, Calculate, Terminate\."):
        survey(config(Path("m"), Path("o")), kind([direct, *traces[1:4]]))


def test_what_was_looked_at_is_trained_on_too(traces: list[Trace]) -> None:
    *_, source = survey(config(Path("m"), Path("o")), iter(traces))
    assert not callable(source)
    assert list(source) == traces


def test_a_run_goes_on_with_its_own_settings_only(model_dir: Path, traces: list[Trace], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train(config(model_dir, out), traces, callbacks=[Interrupted(5)])
    with pytest.raises(ConfigError, match=r"other settings: lr was 0\.003, is 0\.1; seed was 0, is 7\."):
        train(config(model_dir, out, lr=0.1, seed=7), traces, resume=True)
    file = out / "checkpoint-3" / STATE_FILE
    state = json.loads(file.read_text())
    del state["settings"]
    shutil.copytree(out, tmp_path / "old")
    (tmp_path / "old" / "checkpoint-3" / STATE_FILE).write_text(json.dumps(state))
    for folder in (out, tmp_path / "old"):  # fewer steps, and a checkpoint of before the settings were kept
        train(config(model_dir, folder, steps=4, save_every=2, log_every=1, keep=1), traces, resume=True)
        assert json.loads((folder / "training.json").read_text())["steps"] == 4


def settings_file(model_dir: Path, traces: list[Trace], folder: Path, **more: Any) -> Path:
    for trace in traces:
        trace.save(folder / "data")
    values = {"model": model_dir, "data": f"[{folder / 'data'}]", "steps": 6, "save_every": 3, "output_dir": folder / "out"}
    values |= {"batch_size": 4, "bf16": "false"} | more
    file = folder / "train.yaml"
    file.write_text("".join(f"{key}: {value}\n" for key, value in values.items()))
    return file


def test_an_interrupted_run_says_what_is_kept(
    model_dir: Path, traces: list[Trace], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = settings_file(model_dir, traces[:8], tmp_path)
    monkeypatch.setattr(trainer_module, "train", functools.partial(train, callbacks=[Interrupted(1)]))
    with pytest.raises(RunError, match=r"nothing is kept; 'taco train \S+train.yaml' starts"):
        run_config(file)
    monkeypatch.setattr(trainer_module, "train", functools.partial(train, callbacks=[Interrupted(5)]))
    with pytest.raises(RunError, match=r"checkpoint-3 is kept, and 'taco train \S+train.yaml --resume' goes on"):
        run_config(file)
    monkeypatch.undo()
    assert run_config(file, resume=True) == tmp_path / "out"


def test_too_long_folders_are_said_by_workers_too(model_dir: Path, traces: list[Trace], tmp_path: Path) -> None:
    file = settings_file(model_dir, traces[:4], tmp_path, max_length=16, workers=1)
    with pytest.raises(ConfigError, match=r"^No example is left to train on.*max_length = 16 tokens\. [^\n]*$"):
        run_config(file)


@pytest.mark.parametrize(
    ("init", "said"),
    [
        ({"text_config": 5}, "init: 'text_config' is a mapping"),
        ({"text_config": {"num_attention_heads": 7}}, "init: a model of these sizes cannot read a trace"),
        ({"text_config": {"hidden_size": "big"}}, "init: no model can be made with .*hidden_size"),
        ({"vision_config": {"num_attention_heads": 7}}, "init: "),
        ({"resampler_num_latents": 3}, "init: a model of these sizes cannot read a trace"),
    ],
)
def test_impossible_models_are_said_before_training(
    model_dir: Path, traces: list[Trace], tmp_path: Path, init: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        train(config(model_dir, tmp_path / "out", init=init), traces, callbacks=[Interrupted(1)])


def test_cut_weights_are_said(model_dir: Path, traces: list[Trace], tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(model_dir, cut)
    (cut / "model.safetensors").write_bytes((model_dir / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        train(config(cut, tmp_path / "out"), traces)


def test_pickled_weights_are_refused(model_dir: Path, traces: list[Trace], tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(model_dir, pickled)
    torch.save(weights(model_dir), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        train(config(pickled, tmp_path / "out"), traces)


def test_code_of_a_model_is_never_run() -> None:
    class Kind:
        @staticmethod
        def from_pretrained(name: str, **kwargs: Any) -> dict[str, Any]:
            return kwargs

    assert load(Kind, "x") == {"trust_remote_code": False}


@pytest.mark.parametrize("place", ["file", "file/out"])
def test_an_output_that_is_no_folder_is_said_first(traces: list[Trace], tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="output_dir"):
        train(config(tmp_path / "no model", tmp_path / place), traces)
