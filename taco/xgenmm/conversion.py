"""Checkpoints in the layout that xGen-MM v1.5 was released in, under the names of our classes.

Call: ``convert_checkpoint("released/", "native/")``; `from_pretrained` of the models does the same on the fly.

One table serves every loader. The released files themselves were never at hand when this was written: their keys come
from the reference implementation that made them (salesforce/LAVIS, branch xgen-mm).
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from logging import Filter, LogRecord
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, WEIGHTS_INDEX_NAME, WEIGHTS_NAME, logging
from transformers.utils.hub import cached_file, get_checkpoint_shard_files

from taco.xgenmm.configuration_xgenmm import ONLY_V1_5

logger = logging.get_logger(__name__)

# Each reference key must match exactly one line. The order does not matter.
RENAMES: tuple[tuple[str, str], ...] = (
    (r"vision_encoder\.(.+)", r"model.vision_tower.\1"),
    (r"vision_tokenizer\.(latents|norm\..+|projection\..+)", r"model.resampler.\1"),
    (r"vision_tokenizer\.layers\.(\d+)\.0\.(.+)", r"model.resampler.layers.\1.attention.\2"),
    (r"vision_tokenizer\.layers\.(\d+)\.1\.0\.(.+)", r"model.resampler.layers.\1.norm.\2"),
    (r"vision_tokenizer\.layers\.(\d+)\.1\.1\.(.+)", r"model.resampler.layers.\1.up.\2"),
    (r"vision_tokenizer\.layers\.(\d+)\.1\.3\.(.+)", r"model.resampler.layers.\1.down.\2"),
    (r"lang_model\.model\.(.+)", r"model.language_model.\1"),
    (r"lang_model\.lm_head\.(.+)", r"lm_head.\1"),
)
RELEASED = re.compile(r"(vlm\.)?(vision_encoder|vision_tokenizer|lang_model)\.")
# The pooling head of SigLIP is never used; the buffers are recomputed, and only old remote code saved them.
DROPPED = re.compile(r"vision_encoder\.head\.|.*\.(position_ids|rotary_emb\.inv_freq)$")
# instruct-r-v1: an open_clip tower, and a resampler that reads the prompt too.
R_V1 = re.compile(r"(vlm\.)?(vision_tokenizer\.text_projection|vision_encoder\.conv1)\.")
# Native name -> where the reference keeps the rows of the tokens that were added to Phi-3's.
ADDED_ROWS = {
    "model.language_model.embed_tokens.weight": "model.language_model.embed_tokens.additional_embedding.weight",
    "lm_head.weight": "lm_head.additional_fc.weight",
    "lm_head.bias": "lm_head.additional_fc.bias",
}
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
"""The arguments of `from_pretrained` that say how the hub is asked."""


def native_name(key: str) -> str | None:
    """Our name of a reference key (with or without its leading ``vlm.``), or None where the weight is not used.

    Raises:
        KeyError: The key belongs to no xGen-MM v1.5 model.
    """
    key = key.removeprefix("vlm.")
    if DROPPED.match(key):
        return None
    for pattern, replacement in RENAMES:
        if match := re.fullmatch(pattern, key):
            return match.expand(replacement)
    raise KeyError(f"{key!r} is no weight of xGen-MM v1.5 (vision_encoder.*, vision_tokenizer.*, lang_model.*).")


def to_native(state_dict: Mapping[str, torch.Tensor], num_original_tokens: int) -> dict[str, torch.Tensor]:
    """A reference state dict under our names, its split vocabulary folded into one.

    The resampler's `to_kv` stays one matrix: ours has the same. Only the three folded tensors are copies.

    Args:
        state_dict: Weights by reference key.
        num_original_tokens: Rows in use of the big matrices (32012 in the released models); the rest is dead padding.

    Raises:
        KeyError: An unknown key, or a part of the vocabulary is missing.
    """
    native = {name: tensor for key, tensor in state_dict.items() if (name := native_name(key)) is not None}
    for name, added in ADDED_ROWS.items():
        native[name] = torch.cat([native[name][:num_original_tokens], native.pop(added)])
    return native


def weight_files(source: str | os.PathLike[str], **hub: Any) -> list[str]:
    """The safetensors files of a directory or hub id (fetched, if need be); none where transformers may still find some.

    Args:
        source: A directory or a hub id.
        hub: Some of `HUB_OPTIONS`.

    Raises:
        OSError: There are only pickled weights, the index names files that are not there, or the hub failed.
    """
    there = {**hub, "_raise_exceptions_for_missing_entries": False}
    if single := cached_file(source, SAFE_WEIGHTS_NAME, **there):
        return [single]
    if index := cached_file(source, SAFE_WEIGHTS_INDEX_NAME, **there):
        try:
            files: list[str] = get_checkpoint_shard_files(str(source), index, **hub)[0]
        except (ValueError, KeyError, TypeError) as error:
            raise OSError(f"{index} is no index of safetensors files ({error!r}). Fetch it again.") from None
        if absent := [Path(file).name for file in files if not os.path.isfile(file)]:
            raise OSError(f"{source} lacks {_few(absent)}, which {SAFE_WEIGHTS_INDEX_NAME} names. Fetch the directory again.")
        return files
    for name in (WEIGHTS_NAME, WEIGHTS_INDEX_NAME):
        if os.path.isfile(os.path.join(source, hub.get("subfolder", ""), name)):
            raise OSError(
                f"{source} holds pickled weights only ({name}); pickles can run code and are not read. Make model.safetensors "
                "of them: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')."
            )
    return []


def is_released(files: Iterable[str]) -> bool:
    """Whether safetensors files are in the released layout, told by their keys.

    Raises:
        NotImplementedError: They are those of instruct-r-v1.
        OSError: A file is damaged.
    """
    keys = [key for file in files for key in _keys(file)]
    if any(R_V1.match(key) for key in keys):
        raise NotImplementedError(ONLY_V1_5)
    return any(RELEASED.match(key) for key in keys)


def read_released(files: Iterable[str], num_original_tokens: int) -> dict[str, torch.Tensor]:
    """Native state dict of files in the released layout.

    The tensors are views of the mapped files, so reading takes no memory until they are used, and their pages can be
    dropped again; only the embeddings and the head, which are folded, are copies.

    Raises:
        ValueError: A key is unknown or missing, named with the others.
        OSError: A file is damaged.
    """
    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        with _opened(file) as opened:
            used = [key for key in opened.keys() if not DROPPED.match(key.removeprefix("vlm."))]  # noqa: SIM118
            tensors |= {key: opened.get_tensor(key) for key in used}
    unknown = [key for key in tensors if not _is_known(key)]
    if unknown:
        raise ValueError(f"{len(unknown)} weights are not those of xGen-MM v1.5: {_few(unknown)}. {ONLY_V1_5}")
    names = {native_name(key) for key in tensors}
    if absent := [name for pair in ADDED_ROWS.items() for name in pair if name not in names]:
        raise ValueError(f"Parts of the vocabulary are missing: {_few(absent)} (in our names). Fetch the checkpoint again.")
    return to_native(tensors, num_original_tokens)


def check_weights(source: object, info: Mapping[str, Any], ignore_shapes: bool = False, quantized: bool = False) -> None:
    """Refuse a model whose weights do not fit, by transformers' loading info; it would start the missing ones at random.

    Args:
        source: Where the weights came from, for the message.
        info: `missing_keys`, `unexpected_keys` and `mismatched_keys`.
        ignore_shapes: The caller asked for weights of another shape to be left out.
        quantized: Only warn: quantizers keep keys of their own in a checkpoint.

    Raises:
        ValueError: Weights are missing, unexpected or of another shape; the first few are named.
    """
    parts = []
    if missing := sorted(info["missing_keys"]):
        parts.append(f"{len(missing)} are missing ({_few(missing)})")
    if unexpected := sorted(info["unexpected_keys"]):
        parts.append(f"{len(unexpected)} belong to no part of the model ({_few(unexpected)})")
    if (shapes := sorted(info["mismatched_keys"])) and not ignore_shapes:
        texts = [f"{name} is {list(found)} instead of {list(wanted)}" for name, found, wanted in shapes]
        parts.append(f"{len(shapes)} have another shape ({_few(texts)})")
    if not parts:
        return
    text = f"The weights in {source} do not fit its config.json: {'; '.join(parts)}. Fetch or save both anew, together."
    if not quantized:
        raise ValueError(text)
    logger.warning(text)


class _NoReport(Filter):
    def filter(self, record: LogRecord) -> bool:
        return "LOAD REPORT" not in str(record.msg)


@contextmanager
def without_report() -> Iterator[None]:
    """Keep transformers' table of weights that do not fit off the screen; `check_weights` says it in a sentence."""

    log, no_report = logging.get_logger("transformers.modeling_utils"), _NoReport()
    log.addFilter(no_report)
    try:
        yield
    finally:
        log.removeFilter(no_report)


def _opened(file: str) -> Any:
    try:
        return safe_open(file, framework="pt")
    except SafetensorError as error:
        raise OSError(f"{file} is damaged or was not fetched to its end ({error}). Fetch it again.") from error


def _keys(file: str) -> list[str]:
    with _opened(file) as opened:
        return list(opened.keys())


def _is_known(key: str) -> bool:
    try:
        native_name(key)
    except KeyError:
        return False
    return True


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


__all__ = ["check_weights", "is_released", "native_name", "read_released", "to_native", "weight_files"]
