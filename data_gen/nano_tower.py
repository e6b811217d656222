"""taco-nano's vision tower learns to see before the model learns to answer: the colour, the rows and the marked row of scenes.

Where xGen-MM takes a SigLIP tower that was trained on pictures and their captions, nano has scenes and their annotation.

>>> teach_to_see(model, processor, steps=2000)          # tower and resampler change, the language model stays
"""

import random
from collections.abc import Sequence
from typing import Any, Literal

import torch
from rich.progress import track
from torch.utils.data import DataLoader, Dataset, TensorDataset
from transformers import Trainer, TrainingArguments, get_wsd_schedule, set_seed

from taco.data_gen.scenes import prices
from taco.data_gen.scenes.colours import COLOURS
from taco.data_gen.scenes.scene import PriceScene
from taco.training.config import TrainConfig
from taco.training.optimizer import make_optimizer
from taco.training.trainer import use_bf16

ROWS = 8
FACTS = (len(COLOURS), ROWS, ROWS + 1)
"""How many values colour, number of rows and marked row (0: none) have."""
MAP_WEIGHT = 20.0
"""Of the loss of the map; without it the number of rows is learned half as fast."""
RATE = 0.002
BATCH = 24
SCENES, STEPS = 20_000, 3000


class Views(Dataset[tuple[torch.Tensor, ...]]):
    """Scenes as the tower sees them: pixels [3, side, side] as bytes, facts [3] and map [patches, ROWS + 1]."""

    def __init__(self, processor: Any, count: int, *, patch: int, split: Literal["train", "test"] = "train") -> None:
        self.images, self.count, self.patch, self.split = processor.image_processor, count, patch, split

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[torch.Tensor, ...]:
        scene = prices.render(random.Random(f"tower/{self.split}/{number}"), split=self.split)
        pixels = self.images(scene.image, return_tensors="pt")["pixel_values"][0]
        side = pixels.shape[-1] // self.patch
        return ((pixels + 1) * 127.5).round().byte(), facts_of(scene.annotation), map_of(scene.annotation, side)


def facts_of(scene: PriceScene) -> torch.Tensor:
    """Index of the colour, rows - 1, marked row from 1 or 0 for none: [3]."""
    marked = 0 if scene.highlighted is None else scene.highlighted + 1
    return torch.tensor([list(COLOURS).index(scene.background), len(scene.items) - 1, marked])


def map_of(scene: PriceScene, side: int) -> torch.Tensor:
    """Which rows each patch touches, and whether it touches the marked one: 0 or 1, [side * side, ROWS + 1]."""
    found = torch.zeros(side, side, ROWS + 1)
    for number, item in enumerate(scene.items):
        left, top, right, bottom = (min(int(edge * side), side - 1) for edge in item.bbox)
        found[top : bottom + 1, left : right + 1, number] = 1
        if number == scene.highlighted:
            found[top : bottom + 1, left : right + 1, ROWS] = 1
    return found.flatten(0, 1)


class Seeing(torch.nn.Module):
    """Tower and resampler of a model, with linear heads: of all visual tokens for the facts, of each patch for the map."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_tower, self.resampler = model.model.vision_tower, model.model.resampler
        config = model.config
        self.facts = torch.nn.Linear(config.resampler_num_latents * config.text_config.hidden_size, sum(FACTS))
        self.map = torch.nn.Linear(config.vision_config.hidden_size, ROWS + 1)

    def forward(self, pixels: torch.Tensor, facts: torch.Tensor, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """Bytes [n, 3, side, side], facts [n, 3], map [n, patches, ROWS + 1] -> ``loss``, and ``right`` [n, 3]."""
        patches = self.vision_tower(pixels.float() / 127.5 - 1).last_hidden_state
        tokens = self.resampler(patches, torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device))
        guesses = self.facts(tokens.flatten(1)).float().split(FACTS, dim=1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(self.map(patches).float(), rows) * MAP_WEIGHT
        loss = loss + sum(torch.nn.functional.cross_entropy(guess, facts[:, i]) for i, guess in enumerate(guesses))
        return {"loss": loss, "right": torch.stack([guess.argmax(-1) for guess in guesses], dim=1) == facts}


def teach_to_see(
    model: Any, processor: Any, *, steps: int = STEPS, scenes: int = SCENES, workers: int = 2, out: str = "tower"
) -> dict[str, float]:
    """Train tower and resampler of an xGen-MM on scenes, in place.

    Args:
        model: An `XGenMMForConditionalGeneration`.
        processor: Its processor, which must make one tile of an image.
        steps: Of `BATCH` images each.
        scenes: Images of the training, drawn first and kept in memory (49 kB each at 128 pixels).
        workers: Processes that draw.
        out: Folder for the Trainer, which writes nothing there.

    Returns:
        On scenes of held-out layouts, fonts and names: the share of which ``colour``, ``rows`` and ``marked`` are right.
    """
    set_seed(0)
    seeing = Seeing(model)
    patch = model.config.vision_config.patch_size
    train = _drawn(Views(processor, scenes, patch=patch), workers)
    test = _drawn(Views(processor, max(1, scenes // 25), patch=patch, split="test"), workers)
    config = TrainConfig(optimizer="muon", lr=RATE, weight_decay=0.01, steps=steps, output_dir=out)
    optimizer = make_optimizer(seeing, config)
    schedule = get_wsd_schedule(optimizer, steps // 40, steps // 3, num_training_steps=steps, decay_type="linear")
    trainer = Trainer(
        model=seeing,
        args=TrainingArguments(
            output_dir=out,
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            logging_steps=100,
            save_strategy="no",
            report_to="none",
            bf16=use_bf16("auto"),
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
            disable_tqdm=True,
        ),
        train_dataset=train,
        data_collator=_collated,
        optimizers=(optimizer, schedule),
    )
    trainer.train()
    seeing.eval()
    with torch.no_grad():
        right = torch.cat([seeing(**batch)["right"] for batch in trainer.get_eval_dataloader(test)])
    model.to("cpu")
    return dict(zip(("colour", "rows", "marked"), right.float().mean(dim=0).tolist(), strict=True))


def _drawn(views: Views, workers: int) -> TensorDataset:
    """All views, drawn once."""
    loader = DataLoader(views, batch_size=BATCH, num_workers=workers, generator=torch.Generator())
    parts = list(track(loader, description=f"{views.split} scenes"))
    return TensorDataset(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _collated(views: Sequence[tuple[torch.Tensor, ...]]) -> dict[str, torch.Tensor]:
    pixels, facts, rows = (torch.stack(column) for column in zip(*views, strict=True))
    return {"pixels": pixels, "facts": facts, "rows": rows}
