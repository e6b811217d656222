"""Chat models: local (transformers), behind an endpoint, scripted.

>>> from taco.models import load_model
>>> model = load_model("nano")
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taco.models.chat import ChatModel, Completion, ContextError, ModelError, Usage
    from taco.models.endpoint import EndpointModel
    from taco.models.loading import load_model
    from taco.models.local import LocalModel
    from taco.models.record import AgentRecord
    from taco.models.scripted import ScriptedModel

_HOME = {
    "ChatModel": "chat", "Completion": "chat", "ContextError": "chat", "ModelError": "chat", "Usage": "chat",
    "EndpointModel": "endpoint", "load_model": "loading", "LocalModel": "local", "AgentRecord": "record",
    "ScriptedModel": "scripted",
}  # fmt: skip

__all__ = [
    "AgentRecord", "ChatModel", "Completion", "ContextError", "EndpointModel", "LocalModel", "ModelError", "ScriptedModel",
    "Usage", "load_model",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # Names are loaded on first use, so that `import taco` stays light.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
