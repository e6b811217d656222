"""Visual questions that need several steps: a multimodal model thinks, calls tools and answers.

>>> from taco import Agent
>>> trace = Agent().run("How much are 3 teas?", ["board.png"])
>>> trace.answer
'13.5'
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taco.agent import Agent
    from taco.models import load_model
    from taco.parser import Reply, parse_reply
    from taco.trace import Step, Task, Trace
    from taco.xgenmm import (
        XGenMMConfig,
        XGenMMForConditionalGeneration,
        XGenMMImageProcessor,
        XGenMMProcessor,
    )

__version__ = "0.1.0"

_HOME = {
    "Agent": "agent", "load_model": "models", "Reply": "parser", "parse_reply": "parser",
    "Step": "trace", "Task": "trace", "Trace": "trace",
    "XGenMMConfig": "xgenmm", "XGenMMForConditionalGeneration": "xgenmm", "XGenMMImageProcessor": "xgenmm",
    "XGenMMProcessor": "xgenmm",
}  # fmt: skip

__all__ = [
    "Agent", "Reply", "Step", "Task", "Trace", "XGenMMConfig", "XGenMMForConditionalGeneration", "XGenMMImageProcessor",
    "XGenMMProcessor", "load_model", "parse_reply",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Names are loaded on first use, so that `import taco` stays light.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
