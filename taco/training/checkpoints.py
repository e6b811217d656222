"""Where a run stands: its folder, its checkpoints, and whether one is of a run with these settings."""

import json
from pathlib import Path
from typing import Any

from transformers.trainer_utils import get_last_checkpoint

from taco.training.config import ConfigError, TrainConfig

STATE_FILE = "data_state.json"
MAY_CHANGE = {"steps", "epochs", "log_every", "eval_every", "save_every", "keep", "prefetch", "report_to", "output_dir"}
"""Settings that a resumed run may have otherwise: how long it is, what it tells, where it lies."""


def run_folder(name: str) -> Path:
    out = Path(name)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output_dir: {out} cannot be made a folder: {error.strerror}. Give another.") from None
    return out


def checkpoint_of(out: Path, resume: bool) -> Path | None:
    if not resume and get_last_checkpoint(str(out)) is not None:
        raise ConfigError(f"{out} holds checkpoints of a run. Go on with it (--resume), or give another output_dir.")
    return last_whole(out)


def last_whole(out: Path) -> Path | None:
    """The last checkpoint whose writing was not interrupted: the state is written last."""
    whole = [file.parent for file in out.glob(f"checkpoint-*/{STATE_FILE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def determining(config: TrainConfig) -> dict[str, Any]:
    """The settings that a run's weights depend on, apart from its length; JSON."""
    return config.model_dump(mode="json", exclude=MAY_CHANGE)


def state_of(checkpoint: Path, config: TrainConfig) -> dict[str, Any]:
    """What `TraceTrainer` wrote beside a checkpoint, if it is of a run with these settings."""
    state: dict[str, Any] = json.loads((checkpoint / STATE_FILE).read_text())
    saved = state.get("settings", {})  # checkpoints of earlier versions have none
    now = determining(config)
    changed = [f"{key} was {saved[key]!r}, is {value!r}" for key, value in now.items() if key in saved and saved[key] != value]
    if changed:
        raise ConfigError(
            f"{checkpoint} is of a run with other settings: {'; '.join(changed)}. "
            "Go on with the settings as they were, or give another output_dir."
        )
    return state
