"""What a chat model is, for the agent: messages in, text out.

>>> model.generate([[{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]])[0].text
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

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

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )


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

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        stop: Sequence[str] | None = None,
        *,
        ended: Callable[[str], bool] | None = None,
        schemas: Sequence[dict[str, Any]] | None = None,
    ) -> list[Completion]:
        """One completion per conversation, greedy.

        Args:
            conversations: Messages each.
            stop: A reply ends where one of these texts is in it.
            ended: Whether a reply is complete. A saving only: a model may go on to its end token all the same.
            schemas: A JSON schema per conversation, which its reply must satisfy.

        Raises:
            ContextError: If a conversation does not fit.
            ModelError: If the model cannot answer.
        """
        ...

    def stream(self, conversation: Sequence[Message]) -> Iterator[str]:
        """The pieces of one reply, as they come. A generator may return the `Completion` at its end."""
        ...
