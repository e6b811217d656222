"""What a client may ask of `taco serve`: the body of a chat request, checked and bounded.

>>> ChatRequest.read(b'{"model": "nano", "messages": [{"role": "user", "content": "Hello"}]}').conversation(allow_urls=False)
[{'role': 'user', 'content': [{'type': 'text', 'text': 'Hello'}]}]
"""

import json
from typing import Annotated, Any, Literal

from PIL import Image
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from taco.prompts import Message
from taco.tools.images import MAX_PIXELS, ImageError, open_foreign, open_image

MAX_IMAGES, MAX_IMAGE_PIXELS = 64, 4 * MAX_PIXELS
"""Of one request."""
MAX_STOPS, MAX_STOP = 4, 200
"""Stop strings of a request, and the characters of one."""
MAX_SCHEMA = 100_000
"""Characters of the JSON schema of a reply. The one for a step with all tools and 60 images has 18,000."""

PLAIN: dict[str, tuple[Any, ...]] = {
    "n": (1,), "temperature": (0,), "presence_penalty": (0,), "frequency_penalty": (0,), "logit_bias": ({},),
    "logprobs": (False,), "top_logprobs": (0,), "tools": ([],), "tool_choice": ("auto", "none"), "functions": ([],),
    "modalities": (["text"],), "audio": (),
}  # fmt: skip
"""Fields that would change the reply, with the values that do not: one greedy reply is what there is."""


class RefusedError(Exception):
    """A request that is answered with an error object in OpenAI's form."""

    def __init__(self, message: str, status: int = 400, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


class TextPart(BaseModel):
    type: Literal["text"]
    text: str


class ImageUrl(BaseModel):
    url: str


class ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageUrl


def _as_parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
Stops = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_STOP)]],
    Field(max_length=MAX_STOPS),
    BeforeValidator(lambda stop: [] if stop is None else [stop] if isinstance(stop, str) else stop),
]


class Turn(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[Part], BeforeValidator(_as_parts)]


class StreamOptions(BaseModel):
    include_usage: bool = False


class PlainText(BaseModel):
    type: Literal["text"]


class NamedSchema(BaseModel):
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class JsonText(BaseModel):
    type: Literal["json_schema"]
    json_schema: NamedSchema


class ChatRequest(BaseModel):
    """The fields of ``POST /v1/chat/completions`` that are read. Of the others, those in `PLAIN` are checked."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: Annotated[list[Turn], Field(min_length=1)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: Stops = []
    response_format: Annotated[PlainText | JsonText, Field(discriminator="type")] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None

    @classmethod
    def read(cls, body: bytes) -> "ChatRequest":
        """The request. Raises RefusedError with the first thing that is wrong with it."""
        try:
            asked = cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise RefusedError(f"{where or 'The body'}: {first['msg']}.", param=where or None) from None
        if asked.schema_of_reply is not None and asked.stream:
            raise RefusedError("A reply to a JSON schema is not streamed. Leave out stream or response_format.", param="stream")
        if (length := len(json.dumps(asked.schema_of_reply))) > MAX_SCHEMA:
            raise RefusedError(f"The schema has {length:,} characters; the limit is {MAX_SCHEMA:,}.", param="response_format")
        for name, plain in PLAIN.items():
            value = (asked.model_extra or {}).get(name)
            if value is not None and value not in plain:
                takes = " or ".join(json.dumps(each) for each in plain)
                way = f"Give {takes}, or leave it out." if plain else "Leave it out."
                raise RefusedError(
                    f"{name} is {_short(value)}. This server gives one greedy reply. {way}",
                    code="unsupported_value",
                    param=name,
                )
        return asked

    @property
    def schema_of_reply(self) -> dict[str, Any] | None:
        return self.response_format.json_schema.schema_ if isinstance(self.response_format, JsonText) else None

    def conversation(self, allow_urls: bool) -> list[Message]:
        """The messages as a `ChatModel` takes them, images decoded. Raises RefusedError."""
        images, pixels, messages = 0, 0, []
        for number, turn in enumerate(self.messages):
            parts: list[dict[str, Any]] = []
            for place, part in enumerate(turn.content):
                if isinstance(part, TextPart):
                    parts.append({"type": "text", "text": part.text})
                    continue
                where = f"messages.{number}.content.{place}"
                images += 1
                if images > MAX_IMAGES:
                    raise RefusedError(f"The request has more than {MAX_IMAGES} images. Send fewer.", param=where)
                image = _image(part.image_url.url, where, allow_urls)
                pixels += image.width * image.height
                if pixels > MAX_IMAGE_PIXELS:
                    raise RefusedError(
                        f"The images have over {MAX_IMAGE_PIXELS:,} pixels together. Scale them down.", param=where
                    )
                parts.append({"type": "image", "image": image})
            messages.append({"role": "system" if turn.role == "developer" else turn.role, "content": parts})
        return messages


def _image(url: str, where: str, allow_urls: bool) -> Image.Image:
    try:
        if url.startswith("data:"):
            head, comma, data = url.partition(",")
            if not comma or not head.endswith(";base64"):
                raise ImageError(f"a data: URL is data:image/png;base64,... and this one begins with {url[:40]!r}.")
            return open_foreign(data)
        if url.lower().startswith(("http://", "https://")):
            return open_image(url, allow_urls=allow_urls)
        raise ImageError(f"an image is a data: URL in base64; this one begins with {url[:40]!r}.")
    except ImageError as error:
        raise RefusedError(f"{where}: {error}", code="invalid_image", param=where) from None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
