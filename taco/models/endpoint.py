"""A model behind an OpenAI-compatible endpoint.

>>> model = EndpointModel("gpt-4o", base_url="http://localhost:8000/v1")
"""

import base64
import email.utils
import hashlib
import io
import json
import os
import re
import socket
import time
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
OVERFLOW = "context_length_exceeded"
"""The code of a refusal, since the conversation is too long; not every server gives it."""
_MEASURE = r"(?:length|size|window|maximum|tokens?)"
_TOO_LONG = re.compile(rf"\bcontext\b[^.]{{0,40}}\b{_MEASURE}\b|\b{_MEASURE}\b[^.]{{0,40}}\bcontext\b", re.IGNORECASE)
"""How the others say it: ``maximum context length is 4096 tokens``, ``exceeds the available context size``."""


class BusyError(ModelError):
    """No reply this time: too many requests, a timeout, a broken connection, a failing server. Asked again, it may come.

    Attributes:
        retry_after: Seconds for which the endpoint asks to be left alone, where it says so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnusableError(ModelError):
    """No request at all is answered: the address, the model's name, the key or the account is at fault."""


class EndpointModel:
    """A chat model served over HTTP: OpenAI's API, vLLM, Ollama, llama.cpp and others.

    Args:
        model: The model's name there.
        base_url: The endpoint, up to ``/v1``. ``OPENAI_BASE_URL`` or OpenAI's own by default.
        api_key: ``OPENAI_API_KEY`` by default. Endpoints on one's own machine mostly need none.
        max_new_tokens: Tokens of a reply.
        concurrency: Requests at the same time.
        temperature: 0 for the likeliest reply, 1 for samples of what the model would say.
        max_retries: How often the client asks again by itself. 0 where the caller paces its requests: it must see each refusal.

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
        temperature: float = 0.0,
        max_retries: int = 3,
    ) -> None:
        import openai

        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        api_key = api_key or os.environ.get("OPENAI_API_KEY") or None
        if not api_key and not base_url:
            raise ModelLoadError(
                f"The model openai:{model} needs a key: set OPENAI_API_KEY, or OPENAI_BASE_URL for an endpoint of your own."
            )
        self.name = f"openai:{model}"
        self.max_new_tokens, self.temperature = max_new_tokens, temperature
        self._model, self._concurrency = model, concurrency
        self._where = base_url or OPENAI
        self._answered: dict[str, Completion] = {}
        self._client = openai.OpenAI(base_url=base_url, api_key=api_key or "none", timeout=TIMEOUT, max_retries=max_retries)
        self.record = None if self._where == OPENAI else self._told()

    def generate(
        self,
        conversations: Sequence[Sequence[Message]],
        stop: Sequence[str] | None = None,
        *,
        ended: Callable[[str], bool] | None = None,
        schemas: Sequence[dict[str, Any]] | None = None,
    ) -> list[Completion]:
        """See `ChatModel.generate`. Schemas become ``response_format``, which not every server knows; `ended` is not asked.

        Where one of several requests fails, the others' replies are kept for a caller who asks again one by one.
        """
        wanted = list(schemas) if schemas else [None] * len(conversations)
        if len(conversations) == 1:
            return [self._complete(conversations[0], stop, wanted[0])]
        self._answered.clear()
        with ThreadPoolExecutor(max_workers=self._concurrency) as pool:
            keep = [True] * len(conversations)
            replies = list(pool.map(lambda *row: self._complete(row[0], stop, *row[1:]), conversations, wanted, keep))
        self._answered.clear()
        return replies

    def stream(self, conversation: Sequence[Message]) -> Iterator[str]:
        """See `ChatModel.stream`."""
        import openai
        from openai.types.chat.chat_completion_chunk import ChoiceDelta

        request, answered = self._request(conversation, None), False
        try:
            with self._client.chat.completions.create(**request, stream=True) as chunks:  # left early, the server is told
                for chunk in chunks:
                    delta = getattr(_first_choice(chunk), "delta", None)
                    if isinstance(delta, ChoiceDelta):
                        answered = True
                        if delta.content:
                            yield delta.content
        except openai.OpenAIError as error:
            raise self._explained(error) from error
        except ValueError as error:  # no JSON
            raise self._no_endpoint() from error
        if not answered:
            raise self._no_endpoint()

    def _told(self) -> AgentRecord | None:
        """What `taco serve` tells of the model's training. Other servers tell nothing."""
        import openai
        from openai.types import Model

        try:
            card = self._client.with_options(max_retries=0, timeout=TOLD_SECONDS).models.retrieve(self._model)
        except (openai.OpenAIError, ValueError):  # where the server is down or is none, the first reply says so
            return None
        told = (card.model_extra or {}).get("taco_agent") if isinstance(card, Model) else None
        try:
            return None if told is None else AgentRecord.model_validate(told)
        except ValidationError as error:
            raise ModelLoadError(f"{self._where} tells of {self._model!r} what this version cannot read: {error}") from None

    def _complete(
        self, messages: Sequence[Message], stop: Sequence[str] | None, schema: dict[str, Any] | None, keep: bool = False
    ) -> Completion:
        """One reply. With `keep` it is kept; without, one that was kept is taken instead of asking again."""
        import openai

        request = self._request(messages, stop)
        if schema is not None:
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "step", "schema": schema}}
        key = _digest(request) if keep or self._answered else ""
        if not keep and (known := self._answered.pop(key, None)):
            return known
        try:
            completion = _completion(self._client.chat.completions.create(**request))
        except openai.OpenAIError as error:
            raise self._explained(error) from error
        except ValueError as error:
            raise self._no_endpoint() from error
        if keep:
            self._answered[key] = completion
        return completion

    def _request(self, messages: Sequence[Message], stop: Sequence[str] | None) -> dict[str, Any]:
        request: dict[str, Any] = {
            "model": self._model,
            "messages": [_to_openai(message) for message in messages],
            "max_completion_tokens": self.max_new_tokens,
            "temperature": self.temperature,
        }
        return request | ({"stop": list(stop)} if stop else {})

    def _no_endpoint(self) -> ModelError:
        return UnusableError(
            f"{self._where} did not answer as an OpenAI-compatible endpoint: no reply came for the model {self._model!r}. "
            "Is the address right? Most end in /v1."
        )

    def _explained(self, error: Exception) -> ModelError:
        import openai

        if isinstance(error, openai.APITimeoutError):
            return BusyError(f"{self._where} did not answer within {TIMEOUT:g} s.")
        if isinstance(error, openai.APIConnectionError):
            kind = UnusableError if _nobody_there(error) else BusyError
            return kind(
                f"{self._where} cannot be reached: {str(error).rstrip('.')}. Is the server running, and the address right?"
            )
        if isinstance(error, openai.AuthenticationError):
            return UnusableError(f"{self._where} refused the key. Check OPENAI_API_KEY.")
        if isinstance(error, openai.NotFoundError):
            return UnusableError(f"{self._where} does not know the model {self._model!r}: {error}")
        if isinstance(error, openai.RateLimitError) and error.code == "insufficient_quota":
            return UnusableError(f"{self._where} says that the account is used up: {error}")
        if isinstance(error, openai.BadRequestError) and (error.code == OVERFLOW or _TOO_LONG.search(str(error))):
            return ContextError(f"The conversation does not fit the context of {self._model!r}: {error}")
        if isinstance(error, openai.APIStatusError) and _passing(error):
            return BusyError(f"{self._where} failed: {error}", _retry_after(error.response.headers))
        return ModelError(f"{self._where} failed: {error}")


def _nobody_there(error: BaseException | None) -> bool:
    """Whether no connection came about because nothing listens there, or the name is unknown."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError | socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def _passing(error: Any) -> bool:
    """Whether the failure is one that passes. A server's own word on it counts, as for OpenAI's client."""
    told = error.response.headers.get("x-should-retry")
    return told == "true" or (told != "false" and (error.status_code in (408, 409, 429) or error.status_code >= 500))


def _retry_after(headers: Any) -> float | None:
    """Seconds, from ``Retry-After``: a number or a date."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        date = email.utils.parsedate_tz(value)
        seconds = email.utils.mktime_tz(date) - time.time() if date else -1.0
    return seconds if 0 <= seconds < float("inf") else None


def _completion(response: Any) -> Completion:
    """What the server answered. Raises ValueError (pydantic's too) where that is no chat completion."""
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionMessage

    choice = _first_choice(response)
    message = getattr(choice, "message", None)
    if not isinstance(message, ChatCompletionMessage):
        raise ValueError("There is no message.")
    usage = response.usage if isinstance(response.usage, CompletionUsage) else None
    return Completion(
        text=message.content or "",
        finish_reason="length" if choice.finish_reason == "length" else "stop",
        usage=Usage(prompt_tokens=usage.prompt_tokens or 0, completion_tokens=usage.completion_tokens or 0) if usage else Usage(),
    )


def _first_choice(response: Any) -> Any:
    """OpenAI's client checks no answer: a web page is a string, a field that is missing None."""
    choices = getattr(response, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None


def _digest(request: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


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
