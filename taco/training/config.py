"""The settings of a training run, from YAML.

>>> read_config("lora.yaml").lora.r
16
"""

import os
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from taco.prompts import SystemStyle

PRESETS = Path(__file__).parent / "presets"


class ConfigError(ValueError):
    """Settings that cannot be used: which, why, and what is possible."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LoraSettings(_Settings):
    """A LoRA adapter (https://arxiv.org/abs/2106.09685).

    Attributes:
        r: Rank.
        alpha: The update is scaled by alpha / r.
        dropout: On the adapter's input, 0..1.
        target_modules: Names of the linear layers, or ``all-linear``. None: those of the language model where it is ours, else
            all linear layers.
    """

    r: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | Literal["all-linear"] | None = None


class TrainConfig(_Settings):
    """How to train.

    Attributes:
        model: ``nano``, a directory or a hub id: the weights to start from, the tokenizer and the processor.
        init: None to start from the model's weights. A mapping to start from random weights of its architecture; it may override
            values of the configuration, for example ``{text_config: {num_hidden_layers: 2}}``.
        data: Folders of traces, read one after the other. Unused where `train` is handed traces.
        eval_fraction: Share of the images whose traces are kept out for evaluation; questions of one image stay together.
        system: Style of the system prompt; the model is to be served with the same.
        lora: None trains all weights.
        freeze_vision: Leave the vision tower as it is. By default so, unless `init` makes it random or `vision_lr` is set.
        attention: Kernel; ``eager`` is faster for small heads on a CPU.
        torch_compile: Compile the language model: minutes at first, about a quarter faster then. Needs a C++ compiler on a CPU.
        optimizer: ``adamw``, or ``muon`` for the matrices inside the model and AdamW (half the rate) for the rest.
        lr: Peak learning rate.
        vision_lr: That of the vision tower and the resampler; None for `lr`.
        schedule: ``cosine``, ``linear``, ``constant``, or ``wsd``: constant, then falling to 0 over the last fifth.
        warmup: Steps over which the rate rises; in a short run at most a fifth of its steps.
        steps: Optimizer steps. Or `epochs`: passes over the traces.
        batch_size: Examples of a forward pass; `accumulation` passes make a step.
        max_length: Tokens, visual ones included. A longer example is left out and counted.
        pool: Traces that are shuffled and grouped by length at a time.
        workers: Processes that prepare examples; 0 prepares them in the training process.
        prefetch: Batches that each worker prepares ahead. With a source that makes its traces, a pool's worth of batches.
        bf16: ``auto`` where the device computes in it.
        log_every, eval_every, save_every: In steps; `eval_every` 0 evaluates at the end only.
        keep: Checkpoints that are kept.
        report_to: ``none``, ``tensorboard``, ``wandb`` ...
        trained_on: The data in words, for the record in the model's directory.
        output_dir: Where the model or adapter goes, and checkpoints on the way.
    """

    model: str = "nano"
    init: dict[str, Any] | None = None
    data: tuple[str, ...] = ()
    eval_fraction: float = Field(default=0.0, ge=0, lt=1)
    system: SystemStyle = "short"
    lora: LoraSettings | None = None
    freeze_vision: bool | None = None
    gradient_checkpointing: bool = False
    attention: Literal["sdpa", "eager"] = "sdpa"
    torch_compile: bool = False
    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(default=1e-4, gt=0)
    vision_lr: float | None = Field(default=None, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    warmup: int = Field(default=10, ge=0)
    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=8, ge=1)
    accumulation: int = Field(default=1, ge=1)
    max_length: int = Field(default=2048, ge=16)
    pool: int = Field(default=512, ge=1)
    workers: int = Field(default=0, ge=0)
    prefetch: int = Field(default=4, ge=1)
    seed: int = 0
    bf16: bool | Literal["auto"] = "auto"
    log_every: int = Field(default=10, ge=1)
    eval_every: int = Field(default=0, ge=0)
    save_every: int = Field(default=100, ge=1)
    keep: int = Field(default=2, ge=1)
    report_to: str = "none"
    trained_on: str = ""
    output_dir: str

    @model_validator(mode="after")
    def _one_length(self) -> "TrainConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give exactly one of steps and epochs")
        return self


def read_config(path: str | os.PathLike[str]) -> TrainConfig:
    """Read settings from YAML. Folders in them are relative to the current directory, as on a command line.

    Raises:
        ConfigError: If the file is missing or no YAML mapping, a key is unknown, or a value is out of range.
    """
    file = Path(path)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        presets = ", ".join(str(preset) for preset in sorted(PRESETS.glob("*.yaml")))
        raise ConfigError(f"There is no file {file}. Ready-made settings to copy from: {presets}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read as YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{file} holds {type(values).__name__}; settings are a mapping, such as 'model: nano'.")
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{file}: " + " ".join(_sentence(dict(fault)) for fault in error.errors(include_url=False))) from None


def _sentence(fault: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        fields = LoraSettings.model_fields if where.startswith("lora.") else TrainConfig.model_fields
        return f"{where!r} is no setting; the settings are: {', '.join(fields)}."
    if fault["type"] == "missing":
        return f"{where!r} is missing; add it."
    found = f", got {fault['input']!r}" if where else ""
    return f"{where or 'settings'}: {fault['msg'].removeprefix('Value error, ')}{found}."
