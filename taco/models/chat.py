"""What a chat model is, for the agent: messages in, text out.

>>> model.generate([[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]])[0].text
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from taco.errors import RunError
from taco.models.record import AgentRecord
from taco.prompts import Message


class ModelError(RunError):
    """The model could not answer, and why: an endpoint that refuses, memory that is full."""


class ModelLoadError(ModelError, ValueError):
    """There is no such model, or it cannot be loaded in this way."""


class ContextError(ModelError):
    """The conversation does not fit the model's context."""


class Usage(BaseModel):
    model_config = ConfigDict(frozen=True)

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(BaseModel):
    """One reply: its text without end tokens, the ids where they are known, and why it ended."""

    model_config = ConfigDict(frozen=True)

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: Literal["stop", "length"] = "stop"
    usage: Usage = Usage()


class ChatModel(Protocol):
    """A model that continues conversations (Hugging Face content parts with PIL images).

    Attributes:
        name: What reports call it.
        record: The tools and prompt that it was trained with; None for a general model.
    """

    name: str
    record: AgentRecord | None

    def generate(self, conversations: Sequence[Sequence[Message]], stop: Sequence[str] | None = None) -> list[Completion]:
        """One completion per conversation, greedy.

        Raises:
            ContextError: If a conversation does not fit.
            ModelError: If the model cannot answer.
        """
        ...

    def stream(self, conversation: Sequence[Message]) -> Iterator[str]:
        """The pieces of one reply, as they come."""
        ...
