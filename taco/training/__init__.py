"""Training on traces: fine-tuning (whole or LoRA) and training from scratch.

>>> from taco.training import TrainConfig, train
>>> train(TrainConfig(model="nano", lora={"r": 16}, steps=300, output_dir="out"), traces)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taco.training.config import LoraSettings, TrainConfig, read_config
    from taco.training.data import Encoder, TooLong
    from taco.training.environment import Environment, make_environment
    from taco.training.trainer import run_config, train

_HOME = {
    "LoraSettings": "config", "TrainConfig": "config", "read_config": "config", "Encoder": "data", "TooLong": "data",
    "Environment": "environment", "make_environment": "environment", "run_config": "trainer", "train": "trainer",
}  # fmt: skip

__all__ = [
    "Encoder",
    "Environment",
    "LoraSettings",
    "TooLong",
    "TrainConfig",
    "make_environment",
    "read_config",
    "run_config",
    "train",
]


def __getattr__(name: str) -> Any:
    # Names are loaded on first use, so that the settings can be read without torch.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
