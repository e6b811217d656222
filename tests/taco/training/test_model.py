"""Models made ready for training: compiled where asked, and their logits at the labelled positions."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText

from taco.trace import Trace
from taco.training.config import TrainConfig
from taco.training.data import Encoder, collate
from taco.training.model import labelled_logits, make_model


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


@pytest.mark.parametrize("wanted", [True, False])
def test_the_language_model_is_compiled_where_asked(model_dir: Path, tmp_path: Path, wanted: bool) -> None:
    config = TrainConfig(model=str(model_dir), steps=1, torch_compile=wanted, output_dir=str(tmp_path))
    model = make_model(config)
    compiled = [name for name, module in model.named_modules() if module._compiled_call_impl is not None]
    assert compiled == ["model.language_model"] * wanted
