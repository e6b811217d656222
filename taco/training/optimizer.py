"""The optimizer of a run: AdamW, or Muon for the matrices inside the model with AdamW for all else.

>>> optimizer = make_optimizer(model, TrainConfig(optimizer="muon", lr=0.006, steps=100, output_dir="out"))
"""

from collections.abc import Callable
from typing import Any

import torch

from taco.training.config import TrainConfig

BETAS = (0.9, 0.98)
ADAM_PER_MUON = 0.5
"""AdamW's rate beside Muon's, for embeddings, norms and the head."""


class Pair(torch.optim.Optimizer):
    """Two optimizers that step together. The groups are shared, so a schedule moves both."""

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        self.parts = (first, second)
        super().__init__(first.param_groups + second.param_groups, {})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        # Loading makes new group dictionaries; share those again.
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def make_optimizer(model: torch.nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer over all parameters that require gradients. Norms, biases and embeddings are not decayed.

    Muon: https://kellerjordan.github.io/posts/muon/, with updates scaled to AdamW's (arXiv:2502.16982).
    """
    matrices: dict[bool, list[torch.nn.Parameter]] = {}
    others: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        vision = "vision_tower" in name or "resampler" in name
        matrix = parameter.ndim == 2 and "embed" not in name and "latents" not in name
        if config.optimizer == "muon" and matrix and "lm_head" not in name:
            matrices.setdefault(vision, []).append(parameter)
        else:
            others.setdefault((vision, matrix), []).append(parameter)
    rates = {False: config.lr, True: config.vision_lr or config.lr}
    share = ADAM_PER_MUON if config.optimizer == "muon" else 1
    adam = torch.optim.AdamW(
        [
            {"params": parameters, "lr": share * rates[vision], "weight_decay": config.weight_decay if matrix else 0.0}
            for (vision, matrix), parameters in others.items()
        ],
        betas=BETAS,
    )
    if not matrices:
        return adam
    muon = torch.optim.Muon(
        [{"params": parameters, "lr": rates[vision]} for vision, parameters in matrices.items()],
        weight_decay=config.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return Pair(muon, adam)
