"""The models behind tools: which one, whether its weights are on the disk, loaded once per process and kept within a memory cap.

    >>> DEPTH = Weights("TACO_DEPTH_MODEL", "depth-anything/Depth-Anything-V2-Small-hf", "AutoModelForDepthEstimation")
    >>> DEPTH.unavailable()                        # None where the weights are there; otherwise the command that fetches them
    >>> processor, model = DEPTH.load()

Nothing is downloaded here: a tool whose weights are not on the disk is not offered, and says how to get them. Where the package's
own small network (`taco.tools.perception`) serves as well, that one is used then; the setting ``nano`` chooses it.

Settings: the environment variable of each model (a hub id or a folder), and for all of them ``TACO_DEVICE`` (``auto``, ``cpu``,
``cuda:1`` ...), ``TACO_DTYPE`` (``auto``, ``float32``, ``bfloat16``, ``float16``) and ``TACO_MODEL_MEMORY`` (GB, 8 by default).
"""

import contextlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import taco.tools.perception as perception
from taco.tools.action import ToolError
from taco.tools.devices import device_name, dtype
from taco.tools.memo import Memo

MODEL_MEMORY_GB = 8.0
"""Parameters and buffers that are kept in memory at once, unless TACO_MODEL_MEMORY says otherwise."""
NANO = "nano"
"""Value of a setting that chooses the package's own network."""


@dataclass(frozen=True)
class Weights:
    """A checkpoint in transformers' layout.

    Attributes:
        setting: Environment variable that names another one: a hub id or a folder.
        default: Hub id that is used without it.
        model_class: The Auto class that loads the model.
        processor_class: The Auto class that loads its processor.
        embedded: Whether `taco.tools.perception` serves where nothing is set and the default is not on the disk.
    """

    setting: str
    default: str
    model_class: str
    processor_class: str = "AutoProcessor"
    embedded: bool = False

    @property
    def name(self) -> str:
        """The chosen hub id or folder."""
        return os.environ.get(self.setting) or self.default

    @property
    def is_nano(self) -> bool:
        """Whether the package's own network does the work."""
        return self.embedded and (self.name == NANO or (not os.environ.get(self.setting) and self.folder() is None))

    @property
    def backend(self) -> str:
        """What a trace records: the hub id, or the folder's last part (no machine path)."""
        if self.is_nano:
            return perception.backend()
        return Path(self.name).name if Path(self.name).is_dir() else self.name

    def folder(self) -> Path | None:
        """Where the checkpoint lies; None where it is not (wholly) on the disk."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        folder: Path | None = Path(self.name)
        if not Path(self.name).is_dir():
            with contextlib.suppress(HFValidationError):  # a path that is not there
                found = try_to_load_from_cache(self.name, "config.json")
                folder = Path(found).parent if isinstance(found, str) else None
        return folder if folder and (folder / "config.json").is_file() and any(folder.glob("*.safetensors")) else None

    def unavailable(self) -> str | None:
        """None where the weights are on the disk; otherwise what is missing, and the command that gets it."""
        if self.is_nano or self.folder() is not None:
            return None
        if re.match(r"[./~]|.*/.*/|.*\\", self.name):  # a path, and what a model is told names none
            return (
                f"{self.setting} names no folder with config.json and safetensors. Correct it, or unset it to use {self.default}."
            )
        return f"The weights of {self.name} are not on the disk. Download them: hf download {self.name}"

    def load(self) -> tuple[Any, Any]:
        """(processor, model), the model in evaluation mode on the chosen device. Loaded once per process and setting.

        Raises:
            ToolError: If the weights are not there or do not load.
        """
        folder = self.folder()
        if folder is None:
            raise ToolError(self.unavailable() or "")
        device, kind = device_name(), dtype()
        key = (os.getpid(), self.model_class, str(folder), device, str(kind))  # thread pools do not survive a fork
        with _LOADING:
            return MODELS.get(key, lambda: self._load(folder, device, kind))

    def _load(self, folder: Path, device: str, dtype: Any) -> tuple[Any, Any]:
        import transformers
        from safetensors import SafetensorError

        transformers.utils.logging.disable_progress_bar()
        try:
            processor = getattr(transformers, self.processor_class).from_pretrained(str(folder), local_files_only=True)
            model = getattr(transformers, self.model_class).from_pretrained(
                str(folder), dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
            return processor, model.to(device).eval()
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            line = next(iter(str(error).splitlines()), type(error).__name__)
            raise ToolError(f"The weights of {self.backend} cannot be loaded: {line}") from error


def memory_cap() -> int:
    """Bytes that the models of tools may have together. Raises ToolError where TACO_MODEL_MEMORY is no number."""
    text = os.environ.get("TACO_MODEL_MEMORY") or str(MODEL_MEMORY_GB)
    try:
        cap = float(text) * 1e9
    except ValueError:
        cap = 0.0
    if not 0 < cap < float("inf"):
        raise ToolError(f"TACO_MODEL_MEMORY is {text!r}; a number of gigabytes above 0 is needed, such as 8.")
    return int(cap)


def _size(loaded: tuple[Any, Any]) -> int:
    _, model = loaded
    return sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))


MODELS: Memo[tuple[Any, ...], tuple[Any, Any]] = Memo(memory_cap, _size)
"""(processor, model) of this process. Where they outgrow the cap, the one used longest ago goes."""
_LOADING = threading.RLock()
