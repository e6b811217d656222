"""What an agent does and what comes back: a call of a tool and its observation.

>>> Action(name="Calculate", arguments={"expression": "3 * 4.50"})
"""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ToolError(Exception):
    """A failure that the model can act on: it is told the text and goes on. Any other exception is a bug and surfaces."""


class Action(BaseModel):
    """One call of a tool, as the model wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    def __str__(self) -> str:
        """As a person writes it: ``OCR(image="image-0")``."""
        arguments = (f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in self.arguments.items())
        return f"{self.name}({', '.join(arguments)})"


class Observation(BaseModel):
    """What a call gave: ``content`` (JSON values; images are names), the names of new ``images``, or an ``error``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: dict[str, Any] = Field(default_factory=dict)
    images: tuple[str, ...] = ()
    error: str | None = None

    def to_json(self) -> str:
        """The text that the model sees, always JSON: the content, or ``{"error": ...}``."""
        return json.dumps(self.content if self.error is None else {"error": self.error}, ensure_ascii=False)
