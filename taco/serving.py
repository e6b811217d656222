"""An OpenAI-compatible chat endpoint over any chat model. Needs ``pip install 'taco-lmm[serve]'``; see docs/serving.md.

    $ taco serve --model nano --port 8000
    >>> serve(load_model("nano"), port=8000)                          # the same from Python, until Ctrl-C

One thread owns the model, and what waits for it is generated together (`taco.models.batching`). Replies are greedy. What a client
sends is data: its size is bounded, and images are decoded in the worker process (`taco.tools.images.open_foreign`).
"""

import asyncio
import contextlib
import hmac
import ipaddress
import json
import logging
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from jinja2 import TemplateError

from taco.chat_request import ChatRequest, RefusedError
from taco.models.batching import BatchingLoop, ClosedError, Event, Job
from taco.models.chat import ChatModel, Completion, ContextError, ModelError, Usage

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed. Run: pip install 'taco-lmm[serve]'", name=missing.name
    ) from missing

log = logging.getLogger(__name__)

MAX_BODY = 100_000_000
"""Bytes of a request."""
BODY_SECONDS = 60.0
"""Seconds in which a request must have arrived."""
LINGER_SECONDS = 5.0
"""Seconds for which what a refused client still sends is read and thrown away."""
MAX_REQUESTS = 64
"""Requests that are taken in at a time, running ones included. Others are told to come again."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
"""By which this machine calls itself."""


def _refusal(error: Exception) -> RefusedError:
    if isinstance(error, ContextError):
        return RefusedError(str(error), code="context_length_exceeded", param="messages")
    if isinstance(error, TemplateError):  # the model's chat template does not take such a conversation
        return RefusedError(f"The model's chat template refuses the messages: {error}", param="messages")
    if isinstance(error, ClosedError):
        return RefusedError(str(error), 503)
    if isinstance(error, ModelError):
        return RefusedError(str(error), 500)
    log.error("a request failed", exc_info=error)
    return RefusedError("The server failed; its log says why.", 500)


def _schema_refusal(error: Exception) -> RefusedError:
    """Of a request with a schema, which may be at fault."""
    cause = error.__cause__ or error
    if isinstance(cause, (ValueError, RecursionError, ModuleNotFoundError)) and not isinstance(error, ContextError):
        return RefusedError(f"The schema cannot be followed here: {error}", param="response_format")
    return _refusal(error)


class ChatEndpoint:
    """``POST /v1/chat/completions``, an ASGI application."""

    def __init__(self, name: str, loop: BatchingLoop, *, allow_urls: bool, max_requests: int, max_body: int) -> None:
        self.name, self.loop = name, loop
        self.allow_urls, self.max_requests, self.max_body = allow_urls, max_requests, max_body
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._inside >= self.max_requests:
            raise RefusedError(f"{self._inside} requests are being served or wait; come again later.", 503, code="overloaded")
        self._inside += 1
        try:
            await self._serve(Request(scope, receive), send)
        finally:
            self._inside -= 1

    async def _serve(self, request: Request, send: Send) -> None:
        try:
            body = await self._body(request)
        except ClientDisconnect:
            return
        # In a thread, since both can take a while.
        asked = await asyncio.to_thread(ChatRequest.read, body)
        if asked.model != self.name:
            raise RefusedError(
                f"There is no model {asked.model!r} here; there is {self.name!r}.", 404, code="model_not_found", param="model"
            )
        messages = await asyncio.to_thread(asked.conversation, self.allow_urls)
        events: asyncio.Queue[Event] = asyncio.Queue()
        own = asyncio.get_running_loop()

        def emit(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: a second Ctrl-C
                own.call_soon_threadsafe(events.put_nowait, event)

        job = Job(messages, emit, tuple(asked.stop), self._limit(asked), asked.schema_of_reply, bool(asked.stream))
        try:
            self.loop.put(job)
        except ClosedError as error:
            raise _refusal(error) from None
        answering = asyncio.ensure_future(self._answer(asked, events, request, send))
        leaving = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                answering.result()
        finally:
            job.gone = True
            answering.cancel()
            leaving.cancel()

    async def _body(self, request: Request) -> bytes:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # Another site's page can make a browser post plain text here without asking, but not JSON.
            raise RefusedError("The body is JSON: say so with the header Content-Type: application/json.", 415)
        length = request.headers.get("content-length", "")
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                if not (length.isdecimal() and int(length) > self.max_body):
                    async for part in request.stream():
                        body += part
                        if len(body) > self.max_body:
                            break
                    else:
                        return bytes(body)
        except TimeoutError:
            raise RefusedError(f"The request did not arrive within {BODY_SECONDS:g} s.", 408) from None
        raise RefusedError(f"The request is larger than {self.max_body:,} bytes. Send fewer or smaller images.", 413)

    def _limit(self, asked: ChatRequest) -> int | None:
        """Where it is below the model's own, so that others do not keep requests from being generated together."""
        own = self.loop.max_new_tokens
        wanted = asked.max_completion_tokens or asked.max_tokens
        return wanted if own is not None and wanted is not None and wanted < own else None

    async def _answer(self, asked: ChatRequest, events: asyncio.Queue[Event], request: Request, send: Send) -> None:
        event = await events.get()
        if isinstance(event, Exception):
            raise _schema_refusal(event) if asked.schema_of_reply is not None else _refusal(event)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.name}
        if not asked.stream:
            assert isinstance(event, Completion)
            message = {"role": "assistant", "content": event.text}
            choice = {"index": 0, "message": message, "finish_reason": event.finish_reason, "logprobs": None}
            answer = head | {"object": "chat.completion", "choices": [choice], "usage": _usage(event.usage)}
            await JSONResponse(answer)(request.scope, request.receive, send)
            return
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for chunk in _chunks(asked, event, events):
            data = chunk if isinstance(chunk, str) else json.dumps(chunk if "error" in chunk else head | chunk)
            await send({"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _chunks(asked: ChatRequest, event: Event, events: asyncio.Queue[Event]) -> AsyncIterator[Any]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return {"object": "chat.completion.chunk", "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    while isinstance(event, str):
        yield chunk({"content": event})
        event = await events.get()
    if isinstance(event, Exception):
        yield _refusal(event).body
        return
    yield chunk({}, event.finish_reason)
    if asked.stream_options and asked.stream_options.include_usage and event.usage != Usage():
        yield {"object": "chat.completion.chunk", "choices": [], "usage": _usage(event.usage)}
    yield "[DONE]"


def _usage(usage: Usage) -> dict[str, int]:
    return usage.model_dump() | {"total_tokens": usage.prompt_tokens + usage.completion_tokens}


async def _left(request: Request) -> None:
    """Until the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class KeyCheck:
    """Lets nobody in without the key, except to ask after the server's health."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app, self.wanted = app, f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        if scope["type"] == "http" and scope["path"] != "/health" and not hmac.compare_digest(given, self.wanted):
            refused = RefusedError("The key is missing or wrong: Authorization: Bearer KEY.", 401, code="invalid_api_key")
            await _error(None, refused)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class Linger:
    """Ends an answer only when its request has arrived.

    To close before (a client that said ``Connection: close``) is to reset the connection: what is still being sent fails, and the
    answer that says why is lost.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = False

        async def receive_and_note() -> Message:
            nonlocal arrived
            message = await receive()
            arrived = not message.get("more_body", False)
            return message

        async def send_and_wait(message: Message) -> None:
            if message["type"] != "http.response.body" or message.get("more_body", False):
                await send(message)
                return
            await send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while not arrived:
                        await receive_and_note()
            await send({"type": "http.response.body", "body": b""})

        await self.app(scope, *((receive_and_note, send_and_wait) if scope["type"] == "http" else (receive, send)))


def _error(_: Request | None, error: Exception) -> JSONResponse:
    if isinstance(error, HTTPException):
        error = RefusedError(
            f"{error.detail}. There are POST /v1/chat/completions, GET /v1/models and /health.", error.status_code
        )
    if not isinstance(error, RefusedError):  # the server writes its traceback to the log
        error = RefusedError("The server failed; its log says why.", 500)
    # OpenAI's client tries again after a 500; what is greedy fails again.
    headers = {500: {"x-should-retry": "false"}, 503: {"retry-after": "1"}}.get(error.status)
    return JSONResponse(error.body, error.status, headers)


def make_app(
    model: ChatModel,
    *,
    name: str | None = None,
    max_batch: int = 8,
    api_key: str | None = None,
    allow_urls: bool = False,
    hosts: Sequence[str] = ("*",),
    max_requests: int = MAX_REQUESTS,
    max_body: int = MAX_BODY,
) -> Starlette:
    """The endpoint as an ASGI application. Its model runs while the application's lifespan does.

    Args:
        model: Belongs to the application from now on: to its thread, and under its name.
        name: What clients call it; the model's own name by default.
        max_batch: Conversations generated together.
        api_key: Clients must send it as ``Authorization: Bearer KEY``. None lets everyone in.
        allow_urls: Whether images may be given by http(s) URL. This machine then fetches them; see `taco.tools.network`.
        hosts: Names by which clients may call this server (the header ``Host``); by default any. Give them where there is no key:
            a page of another site whose name is made to point here (DNS rebinding) calls the server by that name.
        max_requests: See MAX_REQUESTS.
        max_body: See MAX_BODY.
    """
    model.name = name = name or model.name  # errors tell clients the model's name, which may be a folder of this machine
    loop = BatchingLoop(model, max_batch)
    card: dict[str, Any] = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "taco"}
    if model.record is not None:  # so that a client can use the model as it was trained
        card["taco_agent"] = model.record.model_dump(mode="json")

    async def models(request: Request) -> JSONResponse:
        wanted = request.path_params.get("name")
        if wanted not in (None, name):
            raise RefusedError(f"There is no model {wanted!r} here; there is {name!r}.", 404, code="model_not_found")
        return JSONResponse(card if wanted else {"object": "list", "data": [card]})

    async def health(request: Request) -> JSONResponse:
        status = {"status": "ok" if loop.running else "closing", "waiting": loop.waiting}
        return JSONResponse(status, 200 if loop.running else 503)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loop.start()
        yield
        loop.close()

    chat = ChatEndpoint(name, loop, allow_urls=allow_urls, max_requests=max_requests, max_body=max_body)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", models),
            Route("/health", health),
        ],
        middleware=[
            Middleware(Linger),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            *([Middleware(KeyCheck, key=api_key)] if api_key else []),
        ],
        exception_handlers={RefusedError: _error, HTTPException: _error, Exception: _error},
        lifespan=lifespan,
    )
    app.state.loop = loop
    return app


class Server(uvicorn.Server):
    """Says when it is ready; on Ctrl-C refuses what waits and finishes what runs; a second one breaks off."""

    def __init__(self, app: Starlette, ready: Callable[[], None]) -> None:
        super().__init__(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on"))
        self._loop: BatchingLoop = app.state.loop
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        if self.force_exit:  # requests are broken off; that each of them fails is no news
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop.close()
        await super().shutdown(sockets)


def serve(
    model: ChatModel,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    say: Callable[[str], None] = print,
    **options: Any,
) -> None:
    """Serve a model until Ctrl-C, which lets running requests finish.

    Args:
        model: The model.
        host: The address to listen on. Other machines can reach it only if this is one of this machine's own, or 0.0.0.0.
        port: 0 takes any free one.
        say: Is told the address when the server is ready.
        options: As in `make_app`. Without a key, on an address that only this machine reaches, ``hosts`` are its own names.

    Raises:
        OSError: If the port is taken, or the address is not this machine's.
    """
    open_here = _is_local(host) and not options.get("api_key")
    app = make_app(model, **({"hosts": (*LOCAL_NAMES, _in_url(host))} if open_here else {}) | options)
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise OSError(f"{host}:{port} cannot be used: {error.strerror or error}. Choose another --port or --host.") from None
    address = f"http://{_in_url(host)}:{listening.getsockname()[1]}/v1"

    def ready() -> None:
        key = "-H 'Authorization: Bearer KEY' " if options.get("api_key") else ""
        example = json.dumps({"model": model.name, "messages": [{"role": "user", "content": "Hello"}]})
        curl = f"curl {address}/chat/completions {key}-H 'Content-Type: application/json' -d '{example}'"
        say(f"{model.name} at {address}  Try: {curl}")
        if not options.get("api_key") and not _is_local(host):
            say("Everyone who reaches this address can use the model: there is no --api-key.")

    with listening, contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again once all is done
        Server(app, ready).run(sockets=[listening])


def _is_local(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
