"""The endpoint model against a real HTTP server on this machine that speaks OpenAI's protocol."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from taco.agent import Agent
from taco.models import EndpointModel, load_model
from taco.models.chat import ContextError, ModelError
from taco.models.endpoint import BusyError, UnusableError
from taco.prompts import reply_text
from taco.tools import Action
from taco.tools.calculator import Calculate
from taco.trace import Task

END = reply_text("Done.", [Action(name="Terminate", arguments={"answer": "7"})])


class Server(ThreadingHTTPServer):
    status = 200
    error = ""
    body: dict[str, Any] | None = None  # of a refusal, in place of the error's
    odd: tuple[str, bytes] | None = None  # a content type and a body, for every request
    headers: dict[str, str] = {}  # noqa: RUF012
    stall: float | None = None  # seconds, after which the connection is closed
    requests: list[dict[str, Any]]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        if server.odd:
            self._send_bytes(200, *server.odd)
        else:
            self._send(404, {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if server.stall is not None:
            time.sleep(server.stall)
        elif server.odd:
            self._send_bytes(200, *server.odd)
        elif server.error in str(server.requests[-1]["messages"]) and server.status == 422:
            self._send(422, {"error": {"message": "not this one"}})
        elif server.status not in (200, 422):
            self._send(server.status, server.body or {"error": {"message": server.error}})
        elif server.requests[-1].get("stream"):
            chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("Hel", "lo")]
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self._send(200, body)
        else:
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": END}}
            self._send(200, {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}})

    def _send(self, status: int, body: Any) -> None:
        kind = "text/event-stream" if isinstance(body, str) else "application/json"
        self._send_bytes(status, kind, (body if isinstance(body, str) else json.dumps(body)).encode())

    def _send_bytes(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in self.server.headers.items():  # type: ignore[attr-defined]
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server(("127.0.0.1", 0), Handler)
    one.requests = []
    thread = threading.Thread(target=one.serve_forever, daemon=True)
    thread.start()
    yield one
    one.shutdown()
    one.server_close()


def model_of(server: Server, **options: Any) -> EndpointModel:
    return EndpointModel("small", base_url=f"http://127.0.0.1:{server.server_port}/v1", **options)


def test_the_agent_runs_through_an_endpoint_and_images_arrive_unchanged(server: Server) -> None:
    image = Image.linear_gradient("L").convert("RGB")
    trace = Agent(model_of(server), tools=[Calculate]).run("?", [image])
    assert trace.answer == "7"
    [request] = server.requests
    assert [message["role"] for message in request["messages"]] == ["system", "user"]
    assert isinstance(request["messages"][0]["content"], str)
    url = next(part for part in request["messages"][1]["content"] if part["type"] == "image_url")["image_url"]["url"]
    sent = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert sent.tobytes() == image.tobytes()


def test_usage_stop_and_stream(server: Server) -> None:
    message = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    [completion] = model_of(server).generate([message], stop=["\n"])
    assert completion.usage.prompt_tokens == 5
    assert server.requests[0]["stop"] == ["\n"]
    assert list(model_of(server).stream(message)) == ["Hel", "lo"]


@pytest.mark.parametrize(
    ("status", "error", "kind", "sentence"),
    [
        (401, "no", ModelError, "OPENAI_API_KEY"),
        (404, "no model", ModelError, "does not know the model 'small'"),
        (400, "maximum context length is 10 tokens", ContextError, "does not fit"),
        (400, "the request exceeds the available context size", ContextError, "does not fit"),
        (400, "input exceeds the context window of this model", ContextError, "does not fit"),
        (400, "too many tokens for the context", ContextError, "does not fit"),
        (400, "unknown field: context", ModelError, "unknown field"),
        (400, "max_tokens is too large. In this context it is unsupported", ModelError, "unsupported"),
        (400, "bad image", ModelError, "bad image"),
    ],
)
def test_refusals_are_explained(server: Server, status: int, error: str, kind: type[ModelError], sentence: str) -> None:
    server.status, server.error = status, error
    with pytest.raises(kind, match=sentence):
        model_of(server).generate([[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]])
    trace = Agent(model_of(server), tools=[Calculate]).run("?")
    assert trace.stop_reason == ("context" if kind is ContextError else "failed")


def test_a_code_for_too_long_a_conversation_is_enough(server: Server) -> None:
    body = {"error": {"message": "Shorten it.", "code": "context_length_exceeded"}}
    server.status, server.body = 400, body
    with pytest.raises(ContextError, match="does not fit"):
        model_of(server).generate([[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]])


@pytest.mark.parametrize(
    ("status", "headers", "kind", "seconds"),
    [
        (429, {}, BusyError, None),
        (429, {"Retry-After": "7"}, BusyError, 7.0),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, BusyError, None),
        (500, {"Retry-After": "soon"}, BusyError, None),
        (500, {"x-should-retry": "false"}, ModelError, None),
        (409, {}, BusyError, None),
        (401, {}, UnusableError, None),
        (404, {}, UnusableError, None),
        (400, {}, ModelError, None),
    ],
)
def test_what_passes_is_told_from_what_does_not(
    server: Server, status: int, headers: dict[str, str], kind: type[ModelError], seconds: float | None
) -> None:
    server.status, server.error, server.headers = status, "no", headers
    with pytest.raises(ModelError) as caught:
        model_of(server, max_retries=0).generate([[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]])
    assert type(caught.value) is kind
    assert getattr(caught.value, "retry_after", None) == seconds
    assert len(server.requests) == 1, "the client does not retry by itself"


def test_a_broken_connection_and_a_timeout_pass_and_an_empty_port_does_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taco.models.endpoint.TIMEOUT", 0.2)
    hello = [[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]]
    model = model_of(server, max_retries=0, temperature=0.5)
    model.generate(hello)
    assert server.requests[0]["temperature"] == 0.5
    server.stall = 0.0
    with pytest.raises(BusyError, match="cannot be reached"):
        model.generate(hello)
    server.stall = 0.5
    with pytest.raises(BusyError, match="did not answer within"):
        model.generate(hello)
    with pytest.raises(UnusableError, match="cannot be reached"):
        EndpointModel("small", base_url="http://127.0.0.1:9/v1", max_retries=0).generate(hello)


JSON, EVENTS = "application/json", "text/event-stream"


@pytest.mark.parametrize(
    "odd",
    [
        ("text/html", b"<html>Welcome</html>"),
        (JSON, b"{broken"),
        (JSON, b"[]"),
        (JSON, b"null"),
        (JSON, b"{}"),
        (JSON, b'{"choices": 5}'),
        (JSON, b'{"choices": [5]}'),
        (JSON, b'{"choices": [{}]}'),
        (JSON, b'{"choices": [{"message": "Hi"}]}'),
        (JSON, b'{"choices": [{"message": {"content": [1]}}]}'),
        (EVENTS, b"data: {broken\n\n"),
        (EVENTS, b"data: 5\n\n"),
        (EVENTS, b'data: {"choices": [{}]}\n\n'),
    ],
)
def test_an_address_that_is_no_endpoint_is_said(server: Server, odd: tuple[str, bytes]) -> None:
    server.odd = odd
    model = model_of(server)
    assert model.record is None
    message = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    with pytest.raises(ModelError, match=r"did not answer as an OpenAI-compatible endpoint.* end in /v1"):
        model.generate([message])
    with pytest.raises(ModelError, match=r"did not answer as an OpenAI-compatible endpoint.* end in /v1"):
        list(model.stream(message))


def test_an_incomplete_usage_costs_no_reply(server: Server) -> None:
    server.odd = (JSON, b'{"choices": [{"message": {"content": "Hi"}}], "usage": {"prompt_tokens": null}}')
    [completion] = model_of(server).generate([[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]])
    assert (completion.text, completion.usage.prompt_tokens) == ("Hi", 0)


def test_one_failure_in_a_batch_does_not_make_the_others_be_asked_again(server: Server, tmp_path: Path) -> None:
    server.status, server.error = 422, "number 3"
    image = tmp_path / "image.png"
    Image.linear_gradient("L").save(image)
    tasks = [Task(id=str(n), question=f"number {n}", images=(str(image),)) for n in range(8)]
    model = model_of(server)
    agent = Agent(model, tools=[Calculate])
    assert [trace.stop_reason for trace in agent.run_batch(tasks)] == ["answered"] * 3 + ["failed"] + ["answered"] * 4
    assert len(server.requests) == 9, "only the one that failed is asked again"
    list(agent.run_batch(tasks[4:5]))
    assert len(server.requests) == 10, "a kept reply serves one retry"


def test_temperature_and_retries_are_those_that_are_asked_for(server: Server) -> None:
    hello: Any = [[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]]
    url = f"http://127.0.0.1:{server.server_port}/v1"
    load_model("openai:small", base_url=url).generate(hello)
    model = load_model("openai:small", base_url=url, temperature=0.7, max_retries=0)
    model.generate(hello)
    assert [request["temperature"] for request in server.requests] == [0.0, 0.7]
    server.status = 500
    with pytest.raises(ModelError):
        model.generate(hello)
    assert len(server.requests) == 3, "asked once"


def test_no_server_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ModelError, match="set OPENAI_API_KEY"):
        load_model("openai:gpt-4o")
    model = load_model("openai:gpt-4o", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="cannot be reached"):
        model.generate([[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]])
