"""nano-perception: the recipe of the embedded network for objects and depth, from nothing to the package data.

    $ make perception                                                  # the next line, and the export to tools/nano_perception
    $ python -m taco.data_gen.perception --out out/perception          # interrupted? the same with --resume
    $ python -m taco.data_gen.perception --out out/perception --export tools/nano_perception

Nothing comes from outside: object scenes are drawn, the network is trained on them, its scores are calibrated and its threshold
is chosen on others of the same split. What it is measured by (`benchmarks/perception.py`) has backgrounds, camera heights and
pairs of kind and colour of its own.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch.nn import functional
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from taco.data_gen.perception_calibration import calibrate
from taco.data_gen.perception_loss import perception_loss
from taco.data_gen.perception_views import SHARD, VOCABULARY, Views, draw
from taco.tools.perception import CONFIG_FILE, WEIGHTS_FILE
from taco.tools.perception_network import SIDE, STRIDE_DEPTH, PerceptionConfig, PerceptionNetwork
from taco.training.trainer import use_bf16

VERSION = "1"
SHARDS, VALIDATION_SHARDS = 30, 2
STEPS = 5200
BATCH = 24
RATE = 0.003
SMALL_SIDE, SMALL_SHARE = 256, 0.8
"""Pixels of the images in the first part of the training, and how large that part is: there a step costs less than half."""


class Taught(torch.nn.Module):
    """The network with its loss, as the Trainer calls it. `side` is that of the images; `parts` are the last losses."""

    def __init__(self, network: PerceptionNetwork) -> None:
        super().__init__()
        self.network, self.side = network, SIDE
        self.parts: dict[str, float] = {}

    def forward(
        self, pixels: torch.Tensor, nearness: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        images = functional.interpolate(pixels.float() / 255, size=(self.side, self.side), mode="area")
        nearness = functional.interpolate(nearness[:, None].float(), size=(self.side // STRIDE_DEPTH,) * 2, mode="area")[:, 0]
        seen = self.network(images.to(memory_format=torch.channels_last))
        parts = perception_loss(seen, nearness, boxes, labels)
        self.parts = {name: round(part.item(), 4) for name, part in parts.items()}
        return {"loss": parts["loss"]}


class Growing(TrainerCallback):
    """Trains on smaller images first: `SMALL_SIDE` until `SMALL_SHARE` of the steps are made."""

    def __init__(self, taught: Taught) -> None:
        self.taught = taught

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.taught.side = SMALL_SIDE if state.global_step < SMALL_SHARE * state.max_steps else SIDE


class Journal(TrainerCallback):
    """Appends what the Trainer logs, and the parts of the loss, to a JSONL file."""

    def __init__(self, path: Path, taught: Taught) -> None:
        self.path, self.taught = path, taught

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        line = json.dumps({"step": state.global_step, "side": self.taught.side, **(logs or {}), **self.taught.parts})
        with self.path.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def draw_scenes(out: Path, shards: int, workers: int) -> None:
    """All scenes of training and validation; those that are there are kept."""
    draw(out / "scenes", "train", range(shards), workers=workers)
    draw(out / "validation", "train", range(VALIDATION_SHARDS), seed="perception-validation", workers=workers)


def train(out: Path, steps: int, *, resume: bool = False, base: Path | None = None, workers: int = 1) -> None:
    """Train on the shards of ``out/scenes``; checkpoints in ``out/checkpoints``, weights in ``out/network.safetensors``.

    With ``resume`` an interrupted run goes on and a finished one is left alone; ``base`` are weights to start from.
    """
    checkpoints, weights = out / "checkpoints", out / "network.safetensors"
    last = get_last_checkpoint(str(checkpoints)) if resume and checkpoints.is_dir() else None
    if last and weights.exists() and int(last.rsplit("-", 1)[1]) >= steps:
        return  # else the Trainer would make one step more
    set_seed(0)
    network = PerceptionNetwork(PerceptionConfig.from_dict(VOCABULARY))
    if base is not None:
        network.load_state_dict(load_file(base))
    taught = Taught(network)
    trainer = Trainer(
        model=taught,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            learning_rate=RATE,
            weight_decay=0.02,
            lr_scheduler_type="cosine",
            warmup_steps=min(200, steps // 10),
            max_grad_norm=5.0,
            logging_steps=50,
            save_steps=250,
            save_total_limit=2,
            report_to="none",
            bf16=use_bf16("auto"),
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
            disable_tqdm=True,
            dataloader_num_workers=workers,
            dataloader_prefetch_factor=4 if workers else None,
        ),
        train_dataset=Views(out / "scenes", "train", augment=True),
        callbacks=[Growing(taught), Journal(out / "journal.jsonl", taught)],
    )
    trainer.train(resume_from_checkpoint=last)
    weights.write_bytes(save({key: value.contiguous() for key, value in network.state_dict().items()}))


def export(out: Path, folder: Path, figures: str = "") -> dict[str, Any]:
    """Write the trained network as package data: float16 weights, vocabulary, threshold and card. Returns the configuration.

    Args:
        out: Of the training.
        folder: Where to.
        figures: Markdown for the card: what was measured, and by which command.
    """
    network = PerceptionNetwork(PerceptionConfig.from_dict(VOCABULARY))
    halved = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in load_file(out / "network.safetensors").items()
    }
    network.load_state_dict(halved)
    fitted = calibrate(network.eval(), Views(out / "validation", "train"))
    data = save(halved)
    steps = json.loads((out / "journal.jsonl").read_text().splitlines()[-1])["step"]
    config = {
        "version": VERSION,
        "network": network.config.to_dict(),
        "threshold": fitted.threshold,
        "calibration": list(fitted.scale),
        "sha256": hashlib.sha256(data).hexdigest(),
        "training": {"scenes": len(Views(out / "scenes", "train")), "steps": steps, "batch": BATCH},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS_FILE).write_bytes(data)
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n")
    count = sum(parameter.numel() for parameter in network.parameters())
    (folder / "README.md").write_text(_card(config, count, fitted.precision, fitted.recall, figures))
    return config


def _card(config: dict[str, Any], count: int, precision: float, recall: float, figures: str) -> str:
    network, training = config["network"], config["training"]
    return f"""# nano-perception {config["version"]}

Objects and depth on a machine without large weights: a {network["backbone"]} of timm (random at the start), a feature pyramid, a
head for objects (kind, colour, material, pattern, box, score) and one for relative depth. {count:,} parameters, float16; images
are squeezed to {network["side"]} x {network["side"]} pixels.

- Trained on {training["scenes"]:,} rendered scenes of this package's own family `objects` (training split):
  {training["steps"]:,} steps of {training["batch"]}. `make perception` makes it again.
- **It is no general detector.** It knows {len(network["kinds"])} kinds of things, as those renderings show them:
  {", ".join(network["kinds"])}. Other names are refused.
- Threshold {config["threshold"]}, chosen with the scores' calibration on {VALIDATION_SHARDS * SHARD:,} other scenes of that
  split: there {precision:.1%} of what is found is right and {recall:.1%} of what is there is found.
- Depths are relative to the image's nearest point, as those of the large models.

{figures}"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m taco.data_gen.perception", description="Train nano-perception from nothing.")
    parser.add_argument("--out", type=Path, default=Path("out/perception"), help="folder of the run")
    parser.add_argument("--shards", type=int, default=SHARDS, help=f"of {SHARD} training scenes")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--base", type=Path, metavar="FILE", help="go on from these weights; by default from random ones")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the trained network of --out there, and stop")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="Markdown that ends the card: what was measured")
    chosen = parser.parse_args(arguments)
    if chosen.export:
        figures = chosen.figures.read_text(encoding="utf-8") if chosen.figures else ""
        print(json.dumps(export(chosen.out, chosen.export, figures), indent=1))
        return
    torch.set_num_threads(os.cpu_count() or 1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    draw_scenes(chosen.out, chosen.shards, chosen.workers)
    train(chosen.out, chosen.steps, resume=chosen.resume, base=chosen.base)


if __name__ == "__main__":
    main()
