"""A Parquet export as a dataset of the Hugging Face hub: its card, and how it gets there.

>>> push(Path("out"), "someone/prices-cota")            # out is what `export` wrote; the new repository is private
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taco.errors import RunError
from taco.trace import Trace

TEMPLATE = Path(__file__).parent.parent / "dataset_card.md.jinja"
CARD_FILE, CONFIG_FILE = "README.md", "config.json"
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))


@dataclass
class Figures:
    """What was exported, counted; a dataset card is written from it."""

    rows: int = 0
    images: int = 0
    made_images: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)
    stop_reasons: Counter[str] = field(default_factory=Counter)
    backends: dict[str, list[str]] = field(default_factory=dict)

    def add(self, trace: Trace) -> None:
        self.rows += 1
        self.images += len(trace.images)
        self.made_images += len(trace.images) - len(trace.task.images)
        self.sources[trace.task.source or "(none)"] += 1
        self.calls.update(action.name for step in trace.steps for action in step.actions)
        self.steps[len(trace.steps)] += 1
        self.stop_reasons[trace.stop_reason] += 1
        for tool in trace.tools:
            if tool.backend not in (known := self.backends.setdefault(tool.name, [])):
                known.append(tool.backend)

    def to_json(self) -> dict[str, Any]:
        return {key: dict(sorted(value.items())) if isinstance(value, Counter) else value for key, value in vars(self).items()}


def write_card(out: Path, figures: Figures, source: Path) -> None:
    """Write the dataset card from what was counted, and from the settings of the run where its folder has them."""
    from huggingface_hub import DatasetCard, DatasetCardData

    config = source / CONFIG_FILE
    made = json.loads(config.read_text(encoding="utf-8")) if config.exists() else None
    data = DatasetCardData(
        task_categories=["visual-question-answering", "image-text-to-text"],
        tags=["tool-use", "agents", "chain-of-thought-and-action"],
        size_categories=[next((name for limit, name in _SIZES if figures.rows < limit), "n>10M")],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
    )
    simulated = {tool: names for tool, names in figures.backends.items() if any(name.startswith("simulated") for name in names)}
    card = DatasetCard.from_template(
        data, template_path=str(TEMPLATE), figures=figures, config=made, simulated=simulated, name=source.resolve().name
    )
    (out / CARD_FILE).write_text(str(card), encoding="utf-8")


def push(out: Path, repo: str) -> str:
    """Upload an exported folder as a dataset repository, made private if it is new; returns its address.

    Raises:
        RunError: If the hub refuses or cannot be reached; the folder stays.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]  # of its HTTP library

    api = HfApi()
    try:
        url = api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(folder_path=out, repo_id=repo, repo_type="dataset", ignore_patterns=["rejected.jsonl"])
    except HFValidationError as error:
        raise ValueError(f"{repo} is no name of a repository: {error} {out} is written; push it by hand.") from None
    except (HTTPError, OSError, ValueError) as error:
        again = f"hf upload {repo} {out} --repo-type dataset"
        raise RunError(f"{out} is written, but could not be pushed: {error} Log in with `hf auth login`, then: {again}") from None
    return str(url)
