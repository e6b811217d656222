"""A model that says what it was told to, for tests and demonstrations of the agent.

>>> model = ScriptedModel(['{"thought": "Easy.", "actions": [{"name": "Terminate", "arguments": {"answer": "4"}}]}'])
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from taco.models.chat import Completion, ModelError
from taco.models.record import AgentRecord
from taco.prompts import Message


class ScriptedModel:
    """Replies in order, or by a function of the conversation.

    Args:
        replies: The texts, one per call; or a function ``messages -> text``.
        record: As a trained model has it.
    """

    def __init__(self, replies: Sequence[str] | Callable[[Sequence[Message]], str], *, record: AgentRecord | None = None) -> None:
        self.name = "scripted"
        self.record = record
        self.conversations: list[list[Message]] = []
        self._replies = replies if callable(replies) else list(replies)

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        stop: Sequence[str] | None = None,
        *,
        ended: Callable[[str], bool] | None = None,
        schemas: Sequence[dict[str, Any]] | None = None,
    ) -> list[Completion]:
        """See `ChatModel.generate`. Raises ModelError when no reply is left."""
        return [Completion(text=self._next(messages)) for messages in conversations]

    def stream(self, conversation: Sequence[Message]) -> Iterator[str]:
        yield self._next(conversation)

    def _next(self, messages: Sequence[Message]) -> str:
        self.conversations.append(list(messages))
        if callable(self._replies):
            return self._replies(messages)
        if not self._replies:
            raise ModelError("The script has no reply left.")
        return self._replies.pop(0)
