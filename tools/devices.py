"""Where the models of tools run, and in which numbers: ``TACO_DEVICE`` and ``TACO_DTYPE``.

>>> device_name(), dtype()
('cpu', torch.float32)
"""

import os
from typing import TYPE_CHECKING

from taco.tools.action import ToolError

if TYPE_CHECKING:
    import torch

DTYPES = ("auto", "float32", "bfloat16", "float16")


def device_name() -> str:
    """The device of the models of tools, by TACO_DEVICE. Raises ToolError where it cannot be used."""
    import torch

    device = os.environ.get("TACO_DEVICE") or "auto"
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return str(torch.empty(0, device=device).device)
    except (RuntimeError, AssertionError) as error:
        line = next(iter(str(error).splitlines()), "")
        raise ToolError(f"TACO_DEVICE is {device!r}, which cannot be used: {line} Use cpu, cuda, mps or auto.") from error


def dtype() -> "torch.dtype":
    """The torch type of the parameters of the models of tools, by TACO_DTYPE. Raises ToolError where it is none of `DTYPES`."""
    import torch

    name = os.environ.get("TACO_DTYPE") or "auto"
    if name not in DTYPES:
        raise ToolError(f"TACO_DTYPE is {name!r}; one of {', '.join(DTYPES)} is needed.")
    if name == "auto":
        return torch.bfloat16 if torch.cuda.is_available() else torch.float32
    found: torch.dtype = getattr(torch, name)
    return found
