"""A released xGen-MM v1.5 checkpoint -> a native model directory.

Call: ``convert_checkpoint("Salesforce/xgen-mm-phi3-mini-instruct-interleave-r-v1.5", "xgenmm")``, or ``taco convert-checkpoint``
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.

import os
import tempfile
from pathlib import Path
from typing import Any

from taco.xgenmm.conversion import is_released, weight_files
from taco.xgenmm.modeling_xgenmm import XGenMMForConditionalGeneration
from taco.xgenmm.processing_xgenmm import XGenMMProcessor


def convert_checkpoint(
    source: str | os.PathLike[str], target: str | os.PathLike[str], max_shard_size: str = "2GB"
) -> dict[str, Any]:
    """Write a native model directory (weights, configuration, processor, generation settings) from a released one.

    The weights keep their dtype. All is written beside `target` and put in place at the end, so a failure leaves
    nothing. The files are mapped, so only the folded embeddings and head are held in memory.

    Args:
        source: A directory or a hub id in the released layout.
        target: A directory that does not exist or is empty.
        max_shard_size: Of an output file.

    Returns:
        `source`, `target`, `parameters`, `dtype`, `tokens` (of the folded vocabulary), `files` (names written).

    Raises:
        ValueError: `target` is not empty, `source` is no checkpoint in the released layout, or does not fit together.
        NotImplementedError: It is instruct-r-v1.
        OSError: A file is missing or damaged, or the disk is full.
    """
    target = Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is there already and not an empty directory; nothing is overwritten. Name another.")
    if not os.path.isdir(source) and (str(source).startswith((".", "/", "~")) or str(source).count("/") != 1):
        raise ValueError(f"There is no directory {source}. Give a directory or a hub id (OWNER/NAME).")
    if not is_released(weight_files(source)):
        raise ValueError(f"{source} is not in the released layout (no weights vlm.*); a native directory is used as it is.")
    model = XGenMMForConditionalGeneration.from_pretrained(source)
    processor = XGenMMProcessor.from_pretrained(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        made = Path(beside) / "native"
        model.save_pretrained(made, max_shard_size=max_shard_size)
        processor.save_pretrained(made)
        files = sorted(path.name for path in made.iterdir())
        if target.exists():
            target.rmdir()
        made.rename(target)
    return {
        "source": str(source),
        "target": str(target),
        "parameters": model.num_parameters(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "tokens": model.config.text_config.vocab_size,
        "files": files,
    }


__all__ = ["convert_checkpoint"]
