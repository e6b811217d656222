"""A model by its name: ``nano``, a directory, a hub id, ``openai:NAME``.

>>> load_model("nano").name
'nano'
"""

import os
from pathlib import Path
from typing import Any

from taco.models.chat import ChatModel, ModelLoadError
from taco.models.record import AgentRecord

NANO = Path(__file__).parents[1] / "nano"
ADAPTER_FILE = "adapter_config.json"
DTYPES = ("auto", "float32", "bfloat16", "float16")


def load_model(
    name: str | os.PathLike[str] = "nano",
    *,
    device: str = "auto",
    dtype: str = "auto",
    adapter: str | os.PathLike[str] | None = None,
    base_url: str | None = None,
    max_new_tokens: int | None = None,
    temperature: float | None = None,
    max_retries: int | None = None,
) -> ChatModel:
    """Load a chat model.

    Args:
        name: ``nano`` (embedded), a directory (a model, or a LoRA adapter, whose base is loaded too), a hub id, or
            ``openai:NAME`` for an OpenAI-compatible endpoint.
        device: ``auto`` (CUDA, then MPS, then CPU), or one of torch's, such as ``cuda:1``.
        dtype: ``auto`` (bfloat16 on CUDA, else float32), ``float32``, ``bfloat16`` or ``float16``.
        adapter: A LoRA adapter's directory to put on the model.
        base_url: The endpoint's address, for ``openai:NAME``.
        max_new_tokens: Tokens of a reply.
        temperature: Of an endpoint's replies: 0 for the likeliest, as by default. Models that run here know no other.
        max_retries: How often an endpoint's client asks again by itself.

    Raises:
        ModelLoadError: If there is no such model, it cannot be reached, or an argument is unknown; says what to do.
    """
    text = os.fspath(name)
    if base_url is not None and not text.startswith("openai:"):
        raise ModelLoadError(f"A base URL is for models named openai:NAME; got the model {text!r}.")
    limit: dict[str, Any] = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
    if text.startswith("openai:"):
        from taco.models.endpoint import EndpointModel

        if adapter is not None or (device, dtype) != ("auto", "auto"):
            raise ModelLoadError(f"{text} runs behind an endpoint: adapter, device and dtype cannot be chosen from here.")
        asking = {"temperature": temperature, "max_retries": max_retries}
        given: dict[str, Any] = {key: value for key, value in asking.items() if value is not None}
        return EndpointModel(text.removeprefix("openai:"), base_url=base_url, **limit, **given)
    if temperature:
        raise ModelLoadError(f"{text} always says what is likeliest; a temperature is for endpoints (openai:NAME).")
    folder = NANO if text == "nano" else Path(text)
    if adapter is not None and not (Path(adapter) / ADAPTER_FILE).is_file():
        raise ModelLoadError(f"{adapter} holds no LoRA adapter: {ADAPTER_FILE} is not there.")
    if adapter is None and (folder / ADAPTER_FILE).is_file():
        adapter, text = folder, _base_of(folder)
        folder = NANO if text == "nano" else Path(text)
    return _local(text, folder, _device(device), dtype, adapter, limit)


def _local(
    name: str, folder: Path, device: str, dtype: str, adapter: str | os.PathLike[str] | None, limit: dict[str, int]
) -> ChatModel:
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    import taco.xgenmm  # noqa: F401 - registers the Auto classes
    from taco.models.local import LocalModel

    source = str(folder) if folder.is_dir() else name
    logging.disable_progress_bar()  # of reading weights from the disk; downloads keep theirs
    if not folder.is_dir() and (name == "nano" or name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ModelLoadError(f"There is no directory {folder}. A model is 'nano', a directory, a hub id or openai:NAME.")
    try:
        # Said outright, since transformers would ask on standard input and run the directory's code on a "y".
        cached = {} if folder.is_dir() or _hub_has(name) else {"local_files_only": True}
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=False, **cached)
        model: Any = AutoModelForImageTextToText.from_pretrained(
            source, dtype=_dtype(dtype, device), trust_remote_code=False, use_safetensors=True, **cached
        )
        record_dir = folder
        if adapter is not None:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, os.fspath(adapter), use_safetensors=True).merge_and_unload()
            record_dir, name = Path(adapter), f"{name}+{Path(adapter).name}"
        model = model.to(device)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, StrictDataclassError) as error:
        raise ModelLoadError(_explained(name, source, folder, error)) from error
    return LocalModel(model, processor, name=name, record=AgentRecord.read(record_dir), **limit)


def _hub_has(name: str) -> bool:
    """Whether the hub can be asked for the model. Asked once: without a network, loading would try again for minutes."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, timeout=10)
    except Exception:  # noqa: BLE001 - whatever keeps us from asking; the copy on the disk is the next thing to try
        return False
    return True


def _base_of(folder: Path) -> str:
    from peft import PeftConfig

    base = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    if not base:
        raise ModelLoadError(
            f"{folder}/adapter_config.json names no base model. Give it with --model and the adapter with --adapter."
        )
    return str(base)


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelLoadError(f"The device {device!r} cannot be used here: {str(error).splitlines()[0]}. Try cpu.") from None
    return device


def _dtype(dtype: str, device: str) -> Any:
    import torch

    if dtype not in DTYPES:
        raise ModelLoadError(f"The dtype {dtype!r} is unknown. There are: {', '.join(DTYPES)}.")
    if dtype == "auto":
        return torch.bfloat16 if device.startswith("cuda") else torch.float32
    return getattr(torch, dtype)


def _explained(name: str, source: str, folder: Path, error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]  # "Validation error for field 'x':", then why
    if type(error).__name__ == "OutOfMemoryError" or "allocate memory" in first:
        return f"{name} does not fit into the memory: {first} Take bfloat16 (dtype), the CPU (device) or a smaller model."
    if folder.is_dir():
        return f"The directory {source} holds no model that can be loaded: {first}"
    return (
        f"The model {name!r} is no directory here and could not be fetched from the hub: {first} "
        "Check the name and the network, or give a directory."
    )
