"""A model behind an OpenAI-compatible endpoint.

>>> model = EndpointModel("gpt-4o", base_url="http://localhost:8000/v1")
"""

import base64
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image
from pydantic import ValidationError

from taco.models.chat import Completion, ContextError, ModelError, ModelLoadError, Usage
from taco.models.record import AgentRecord
from taco.prompts import Message

TIMEOUT = 120.0
"""Seconds for one reply."""
TOLD_SECONDS = 10.0
"""Seconds for a server to say what the model was trained with."""
OPENAI = "https://api.openai.com/v1"


class EndpointModel:
    """A chat model served over HTTP: OpenAI's API, vLLM, Ollama, llama.cpp and others.

    Args:
        model: The model's name there.
        base_url: The endpoint, up to ``/v1``. ``OPENAI_BASE_URL`` or OpenAI's own by default.
        api_key: ``OPENAI_API_KEY`` by default. Endpoints on one's own machine mostly need none.
        max_new_tokens: Tokens of a reply.
        concurrency: Requests at the same time.

    Attributes:
        record: As `taco serve` tells it, so that a trained model is used as it was trained; None from other servers.

    Raises:
        ModelLoadError: If OpenAI's own endpoint is meant and there is no key, or the record cannot be read.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        max_new_tokens: int = 1024,
        concurrency: int = 8,
    ) -> None:
        import openai

        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        api_key = api_key or os.environ.get("OPENAI_API_KEY") or None
        if not api_key and not base_url:
            raise ModelLoadError(
                f"The model openai:{model} needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint of your own."
            )
        self.name = f"openai:{model}"
        self._model, self._max_new_tokens, self._concurrency = model, max_new_tokens, concurrency
        self._where = base_url or OPENAI
        self._client = openai.OpenAI(base_url=base_url, api_key=api_key or "none", timeout=TIMEOUT, max_retries=3)
        self.record = None if self._where == OPENAI else self._told()

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        stop: Sequence[str] | None = None,
        *,
        ended: Callable[[str], bool] | None = None,
        schemas: Sequence[dict[str, Any]] | None = None,
    ) -> list[Completion]:
        """See `ChatModel.generate`. Schemas become ``response_format``, which not every server knows; `ended` is not asked."""
        with ThreadPoolExecutor(max_workers=self._concurrency) as pool:
            wanted = list(schemas) if schemas else [None] * len(conversations)
            return list(pool.map(lambda messages, schema: self._complete(messages, stop, schema), conversations, wanted))

    def stream(self, conversation: Sequence[Message]) -> Iterator[str]:
        """See `ChatModel.stream`."""
        import openai

        try:
            for chunk in self._client.chat.completions.create(**self._request(conversation, None), stream=True):
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
        except openai.OpenAIError as error:
            raise self._explained(error) from error

    def _told(self) -> AgentRecord | None:
        """What `taco serve` tells of the model's training. Other servers tell nothing."""
        import openai

        try:
            card = self._client.with_options(max_retries=0, timeout=TOLD_SECONDS).models.retrieve(self._model)
        except openai.OpenAIError:  # where the server is down, the first reply says so
            return None
        told = (card.model_extra or {}).get("taco_agent")
        try:
            return None if told is None else AgentRecord.model_validate(told)
        except ValidationError as error:
            raise ModelLoadError(f"{self._where} tells of {self._model!r} what this version cannot read: {error}") from None

    def _complete(
        self, messages: Sequence[Message], stop: Sequence[str] | None, schema: dict[str, Any] | None = None
    ) -> Completion:
        import openai

        request = self._request(messages, stop)
        if schema is not None:
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "step", "schema": schema}}
        try:
            response = self._client.chat.completions.create(**request)
        except openai.OpenAIError as error:
            raise self._explained(error) from error
        if not response.choices:
            raise ModelError(f"{self._where} answered without a choice for the model {self._model!r}.")
        choice, usage = response.choices[0], response.usage
        return Completion(
            text=choice.message.content or "",
            finish_reason="length" if choice.finish_reason == "length" else "stop",
            usage=Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens) if usage else Usage(),
        )

    def _request(self, messages: Sequence[Message], stop: Sequence[str] | None) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [_to_openai(message) for message in messages],
            "max_completion_tokens": self._max_new_tokens,
            "temperature": 0.0,
        }
        return request | ({"stop": list(stop)} if stop else {})

    def _explained(self, error: Exception) -> ModelError:
        import openai

        if isinstance(error, openai.APIConnectionError):
            return ModelError(f"{self._where} cannot be reached: {error}. Is the server running, and the address right?")
        if isinstance(error, openai.AuthenticationError):
            return ModelError(f"{self._where} refused the key. Check OPENAI_API_KEY.")
        if isinstance(error, openai.NotFoundError):
            return ModelError(f"{self._where} does not know the model {self._model!r}: {error}")
        if isinstance(error, openai.BadRequestError) and "context" in f"{error.code} {error}".lower():
            return ContextError(f"The conversation does not fit the context of {self._model!r}: {error}")
        return ModelError(f"{self._where} failed: {error}")


def _to_openai(message: Message) -> dict[str, Any]:
    parts = [_image_part(part["image"]) if part["type"] == "image" else part for part in message["content"]]
    if all(part["type"] == "text" for part in parts):
        # Many servers take lists of parts in user turns only.
        return {"role": message["role"], "content": "".join(part["text"] for part in parts)}
    return {"role": message["role"], "content": parts}


def _image_part(image: Image.Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)  # a quarter of the time for a sixth more bytes
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
