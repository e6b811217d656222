"""`taco serve`: our client and OpenAI's against the real server on this machine."""

import base64
import contextlib
import io
import json
import logging
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image
from typer.testing import CliRunner

import taco.chat_request
import taco.serving
from taco import cli
from taco.agent import Agent
from taco.models import Completion, ContextError, EndpointModel, ModelError, ScriptedModel, load_model
from taco.models.batching import BatchingLoop
from taco.models.chat import Usage
from taco.serving import LOCAL_NAMES, Server, make_app


@dataclass
class Served:
    url: str
    loop: BatchingLoop
    server: Server


@contextlib.contextmanager
def serving(model: Any, **options: Any) -> Iterator[Served]:
    """A server on a free port; at the end it is stopped as by Ctrl-C."""
    ready, app = threading.Event(), make_app(model, **options)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(app, ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert ready.wait(30)
            yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", app.state.loop, server)
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def post(served: Served, body: Any, *, path: str = "/chat/completions", **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return fetch(urllib.request.Request(served.url + path, data, {"Content-Type": "application/json"} | named))


def fetch(request: Any) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def connected(served: Served) -> socket.socket:
    host, port = served.url.removeprefix("http://").removesuffix("/v1").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def asking(content: Any = "Hello", **more: Any) -> dict[str, Any]:
    return {"model": "scripted", "messages": [{"role": "user", "content": content}]} | more


def hello(text: str = "Hello") -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


def said(messages: Sequence[dict[str, Any]]) -> str:
    return str(messages[-1]["content"][0]["text"])


class Gate(ScriptedModel):
    """Says what it heard in capitals, once the gate is open; notes the batches."""

    def __init__(self) -> None:
        super().__init__(lambda messages: said(messages).upper())
        self.batches: list[int] = []
        self.begun, self.open = threading.Event(), threading.Event()

    def generate(self, conversations: Any, stop: Any = None, **more: Any) -> list[Completion]:
        self.batches.append(len(conversations))
        self.begun.set()
        assert self.open.wait(30)
        return super().generate(conversations, stop, **more)


class Pieces(ScriptedModel):
    """Streams letter by letter; its stream returns its Completion."""

    def __init__(self, text: str) -> None:
        super().__init__(lambda messages: text)
        self.stops: list[Any] = []

    def generate(self, conversations: Any, stop: Any = None, **more: Any) -> list[Completion]:
        self.stops.append(stop)
        return super().generate(conversations, stop, **more)

    def stream(self, conversation: Any) -> Iterator[str]:
        text = self._next(conversation)
        yield from text
        return Completion(text=text, finish_reason="length", usage=Usage(prompt_tokens=7, completion_tokens=len(text)))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def nano() -> Any:
    return load_model("nano")


# ---------------------------------------------------------------------- our client


def test_texts_and_images_arrive_as_they_were_sent() -> None:
    model = ScriptedModel(lambda messages: "seen")
    picture = Image.linear_gradient("L").convert("RGB")
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "image-0: "},
        {"type": "image", "image": picture},
        {"type": "text", "text": 'Ünï "quoted" <|end|>\n'},
    ]
    sent = [
        {"role": "system", "content": [{"type": "text", "text": "Look."}]},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes?"}]},
        *hello("What?"),
    ]
    with serving(model) as served:
        [completion] = EndpointModel("scripted", base_url=served.url).generate([sent])
    assert completion.text == "seen"
    [received] = model.conversations
    image = received[1]["content"].pop(1)["image"]
    assert (image.mode, image.size, image.tobytes()) == ("RGB", picture.size, picture.tobytes())
    parts.pop(1)
    assert received == sent


def test_eight_requests_at_a_time_are_one_batch_and_answer_as_one_by_one() -> None:
    model = Gate()
    conversations = [hello(f"number {n}") for n in range(9)]
    with serving(model) as served, ThreadPoolExecutor(2) as pool:
        client = EndpointModel("scripted", base_url=served.url)
        first = pool.submit(client.generate, conversations[:1])
        assert model.begun.wait(30)
        others = pool.submit(client.generate, conversations[1:])
        until(lambda: served.loop.waiting == 8)
        model.open.set()
        replies = first.result(30) + others.result(30)
        assert model.batches == [1, 8]
        alone = [client.generate([conversation])[0] for conversation in conversations]
    assert [reply.text for reply in replies] == [f"NUMBER {n}" for n in range(9)] == [reply.text for reply in alone]


def test_requests_with_other_settings_and_streams_are_no_batch() -> None:
    model = Gate()
    with serving(model, max_batch=2) as served, ThreadPoolExecutor(8) as pool:
        first = pool.submit(post, served, asking("first"))
        assert model.begun.wait(30)
        rest = []
        for number, more in enumerate([{}, {"stop": "R"}, {"stream": True}, {"max_tokens": 9}, {}]):
            rest.append(pool.submit(post_text, served, asking(f"n{number}", **more)))
            until(lambda: served.loop.waiting == len(rest))
        model.open.set()
        assert first.result(30)[1]["choices"][0]["message"]["content"] == "FIRST"
        assert ["N" in each.result(30) for each in rest] == [True] * 5
    # The cap is above what this model could say, so it separates nothing; two are a batch.
    assert model.batches == [1, 2, 1, 1]


def post_text(served: Served, body: Any) -> str:
    request = urllib.request.Request(
        served.url + "/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def test_schemas_reach_the_model_each_with_its_conversation() -> None:
    asked: list[Any] = []

    class Model(Gate):
        def generate(self, conversations: Any, stop: Any = None, **more: Any) -> list[Completion]:
            asked.append(more)
            return super().generate(conversations, stop, **more)

    model = Model()
    wanted: list[dict[str, Any]] = [{"type": "object"}, {"type": "array", "maxItems": 2}]
    with serving(model) as served, ThreadPoolExecutor(2) as pool:
        client = EndpointModel("scripted", base_url=served.url)
        first = pool.submit(client.generate, [hello("first")])
        assert model.begun.wait(30)
        rest = pool.submit(client.generate, [hello("one"), hello("two")], schemas=wanted)
        until(lambda: served.loop.waiting == 2)
        model.open.set()
        assert [reply.text for reply in first.result(30) + rest.result(30)] == ["FIRST", "ONE", "TWO"]
    order = [said(messages) for messages in model.conversations[1:]]
    assert asked == [{}, {"schemas": [wanted[["one", "two"].index(text)] for text in order]}]


def test_a_schema_that_cannot_be_followed_is_the_requests_fault(nano: Any) -> None:
    unknown = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"enum": []}}}
    with serving(nano) as served:
        status, body = post(served, asking(model="nano", response_format=unknown))
        assert (status, body["error"]["param"]) == (400, "response_format")
        assert "empty enumeration" in body["error"]["message"]
        schema = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False}
        [reply] = EndpointModel("nano", base_url=served.url).generate([hello()], schemas=[schema])
    assert json.loads(reply.text) == {"a": 1}


def test_an_error_in_one_request_of_a_batch_touches_no_other() -> None:
    def reply(messages: Any) -> str:
        if said(messages) == "long":
            raise ContextError("The conversation has 9,000 tokens; scripted takes 10.")
        return said(messages)

    class Together(Gate):
        def __init__(self) -> None:
            super().__init__()
            self._replies = reply

    model = Together()
    with serving(model) as served, ThreadPoolExecutor(4) as pool:
        client = EndpointModel("scripted", base_url=served.url)
        asked = [pool.submit(client.generate, [hello("first")])]
        assert model.begun.wait(30)
        asked += [pool.submit(client.generate, [hello(text)]) for text in ("one", "long", "two")]
        until(lambda: served.loop.waiting == 3)
        model.open.set()
        assert [asked[number].result(30)[0].text for number in (0, 1, 3)] == ["first", "one", "two"]
        with pytest.raises(ContextError, match="9,000 tokens"):
            asked[2].result(30)
    assert model.batches == [1, 3, 1, 1, 1]


def test_errors_of_the_model_are_the_clients_errors(caplog: pytest.LogCaptureFixture) -> None:
    errors = iter([ContextError("It has 9,000 tokens."), ModelError("Out of memory."), ZeroDivisionError("secret")] * 2)

    def reply(messages: Any) -> str:
        raise next(errors)

    with serving(ScriptedModel(reply)) as served:
        client = EndpointModel("scripted", base_url=served.url)
        with pytest.raises(ContextError, match="9,000 tokens"):
            client.generate([hello()])
        with pytest.raises(ModelError, match="Out of memory"):
            client.generate([hello()])
        status, body = post(served, asking())
        assert (status, body["error"]["type"]) == (500, "server_error")
        assert "secret" not in str(body)
        assert "Traceback" not in str(body)
        assert "ZeroDivisionError: secret" in caplog.text
        with pytest.raises(ContextError):
            list(client.stream(hello()))
        with pytest.raises(ModelError, match="Out of memory"):
            list(client.stream(hello()))
        with pytest.raises(ModelError, match="does not know the model 'other'"):
            EndpointModel("other", base_url=served.url).generate([hello()])


def test_a_client_that_hangs_up_while_it_waits_is_dropped() -> None:
    model = Gate()
    with serving(model) as served, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post, served, asking("first"))
        assert model.begun.wait(30)
        data = json.dumps(asking("impatient")).encode()
        with connected(served) as link:
            link.sendall(HEAD + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
            until(lambda: served.loop.waiting == 1)
        until(lambda: served.loop._waiting[0].gone)
        last = pool.submit(post, served, asking("last"))
        until(lambda: served.loop.waiting == 2)
        model.open.set()
        assert first.result(30)[0] == last.result(30)[0] == 200
    assert [said(messages) for messages in model.conversations] == ["first", "last"]


class Long(ScriptedModel):
    """Streams 3,000 pieces, slowly; notes how many it came to."""

    def __init__(self) -> None:
        super().__init__(["next"])
        self.passes = 0

    def stream(self, conversation: Any) -> Iterator[str]:
        for self.passes in range(1, 3001):
            yield f"{self.passes} "
            time.sleep(0.001)


@pytest.mark.parametrize("ours", [True, False])
def test_a_stream_that_nobody_reads_is_stopped_and_the_next_request_is_served(ours: bool) -> None:
    model = Long()
    with serving(model) as served:
        if ours:
            pieces = EndpointModel("scripted", base_url=served.url).stream(hello())
            assert next(pieces) == "1 "
            pieces.close()  # type: ignore[attr-defined]
        else:
            stream = openai.OpenAI(base_url=served.url, api_key="none").chat.completions.create(**asking(), stream=True)
            next(iter(stream))
            stream.close()
        assert post(served, asking())[1]["choices"][0]["message"]["content"] == "next"
    assert model.passes < 3000


def test_a_stop_string_stops_the_model_of_a_stream() -> None:
    model = Long()
    with serving(model) as served:
        lines = post_text(served, asking(stream=True, stop=["4"], stream_options={"include_usage": True})).split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "1 2 3 "
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert model.passes == 4


def test_a_client_that_hangs_up_while_it_sends_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("uvicorn.error")
    with serving(ScriptedModel(["yes"])) as served:
        logger.addHandler(caplog.handler)  # uvicorn's own go straight to stderr
        with connected(served) as link:
            link.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
            time.sleep(0.1)  # the request has begun
        assert post(served, asking())[0] == 200
    logger.removeHandler(caplog.handler)
    assert caplog.text == ""


def test_more_requests_than_are_taken_in_are_refused() -> None:
    model = Gate()
    with serving(model, max_requests=1) as served, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, served, asking("first"))
        assert model.begun.wait(30)
        status, body = post(served, asking("second"))
        assert (status, body["error"]["code"]) == (503, "overloaded")
        assert fetch(served.url.removesuffix("/v1") + "/health") == (200, {"status": "ok", "waiting": 0})
        model.open.set()
        assert first.result(30)[0] == 200
        assert post(served, asking("third"))[0] == 200, "its place is free again"


def test_ctrl_c_finishes_what_runs_and_refuses_what_waits() -> None:
    model = Gate()
    with serving(model) as served, ThreadPoolExecutor(2) as pool:
        running = pool.submit(post, served, asking("running"))
        assert model.begun.wait(30)
        waiting = pool.submit(post, served, asking("waiting"))
        until(lambda: served.loop.waiting == 1)
        served.server.should_exit = True
        status, body = waiting.result(30)
        assert (status, body["error"]["message"]) == (503, "The server is shutting down.")
        assert not running.done()
        model.open.set()
        status, body = running.result(30)
        assert (status, body["choices"][0]["message"]["content"]) == (200, "RUNNING")


# ---------------------------------------------------------------------- OpenAI's client


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (None, "One, two, three."),
        (["two"], "One, "),
        (["thrush", "three"], "One, two, "),
        (["One"], ""),
        (["four"], "One, two, three."),
    ],
)
def test_openais_client_with_and_without_streaming(stop: Any, told: str) -> None:
    model = Pieces("One, two, three.")
    with serving(model) as served:
        client = openai.OpenAI(base_url=served.url, api_key="none")
        plain = {"stop": stop} if stop else {}
        whole = client.chat.completions.create(**asking(**plain))
        chunks = list(client.chat.completions.create(**asking(**plain), stream=True, stream_options={"include_usage": True}))
        assert [entry.id for entry in client.models.list()] == ["scripted"]
    assert whole.choices[0].message.content == told
    assert (whole.choices[0].finish_reason, whole.object, whole.model) == ("stop", "chat.completion", "scripted")
    assert model.stops == [stop]
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == told
    assert len(texts) >= len(told), "letter by letter"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    if told == "One, two, three.":  # to its end, of which the model tells
        assert reasons == ["length"]
        assert chunks[-1].usage
        assert chunks[-1].usage.prompt_tokens == 7
    else:
        assert reasons == ["stop"]
        assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_is_server_sent_events() -> None:
    with serving(ScriptedModel(["Two\nlines"])) as served:
        lines = post_text(served, asking(stream=True)).split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Two\nlines"},
        {},
    ]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_an_error_in_the_middle_of_a_stream_is_told() -> None:
    class Failing(ScriptedModel):
        def stream(self, conversation: Any) -> Iterator[str]:
            yield "Well, "
            raise ModelError("Out of memory.")

    with serving(Failing([])) as served:
        pieces = EndpointModel("scripted", base_url=served.url).stream(hello())
        assert next(pieces) == "Well, "
        with pytest.raises(ModelError, match="Out of memory"):
            next(pieces)


@pytest.mark.parametrize("begun", [True, False])
def test_a_bug_in_a_stream_is_told_to_the_log_only(begun: bool, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ScriptedModel):
        def stream(self, conversation: Any) -> Iterator[str]:
            if begun:
                yield "Well, "
            raise OSError("/secret/model.safetensors")

    with serving(Broken([])) as served:
        if begun:
            body = post_text(served, asking(stream=True))
        else:
            status, answer = post(served, asking(stream=True))
            body = str(answer)
            assert status == 500
    assert "The server failed; its log says why." in body
    assert "secret" not in body
    assert "Traceback" in caplog.text
    assert "/secret/model.safetensors" in caplog.text


# ---------------------------------------------------------------------- what is refused


def data_url(image: Image.Image, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def picture(url: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url, "detail": "high"}}]


SCHEMA = {"type": "json_schema", "json_schema": {"name": "step", "schema": {"type": "object"}}}
LONG_SCHEMA = {"type": "json_schema", "json_schema": {"name": "step", "schema": {"title": "x" * 120_000}}}
SMALL = data_url(Image.new("RGB", (4, 4)))


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        (b"{", 400, None, "Invalid JSON"),
        (b"[" * 100_000, 400, None, "Invalid JSON"),
        (b'{"model": "scripted", "messages": [{"role": "user", "content": "\\ud800"}]}', 400, None, "Invalid JSON"),
        ({"model": "scripted"}, 400, None, "messages: Field required"),
        ({"model": "scripted", "messages": []}, 400, None, "messages: List should have at least 1 item"),
        (asking(None), 400, None, "messages.0.content"),
        (asking([{"type": "input_audio"}]), 400, None, "messages.0.content.0: Input tag 'input_audio'"),
        ({"model": "scripted", "messages": [{"role": "tool", "content": "x"}]}, 400, None, "messages.0.role"),
        (asking(model="gpt-4o"), 404, "model_not_found", "There is no model 'gpt-4o' here; there is 'scripted'."),
        (asking(n=2), 400, "unsupported_value", "n is 2. This server gives one greedy reply. Give 1, or leave it out."),
        (asking(temperature=0.7), 400, "unsupported_value", "temperature is 0.7"),
        (asking(tools=[{"type": "function"}]), 400, "unsupported_value", "tools is"),
        (asking(response_format={"type": "json_object"}), 400, None, "response_format: Input tag 'json_object'"),
        (asking(response_format=LONG_SCHEMA), 400, None, "The schema has 120,0"),
        (asking(response_format=SCHEMA, stream=True), 400, None, "A reply to a JSON schema is not streamed"),
        (asking(max_tokens=0), 400, None, "max_tokens"),
        (asking(stop=["a"] * 5), 400, None, "stop"),
        (asking(stop=""), 400, None, "stop.0"),
        (asking(picture("data:image/png;base64,AAAA")), 400, "invalid_image", "messages.0.content.0: the given data is not"),
        (asking(picture(SMALL[:60] + "!")), 400, "invalid_image", "messages.0.content.0"),
        (asking(picture("data:image/png,abc")), 400, "invalid_image", "begins with 'data:image/png,abc'"),
        (asking(picture("file:///etc/passwd")), 400, "invalid_image", "an image is a data: URL in base64"),
        (asking(picture("/etc/passwd")), 400, "invalid_image", "an image is a data: URL in base64"),
        (asking(picture("http://127.0.0.1:1/a.png")), 400, "invalid_image", "--allow-urls"),
        (asking(picture(data_url(Image.new("1", (9000, 9000))))), 400, "invalid_image", "the limit is 50,000,000"),
        (asking(picture(SMALL) * 3), 400, None, "more than 2 images"),
        (asking(picture(data_url(Image.new("L", (100, 101))))), 400, None, "over 10,000 pixels together"),
        (asking("x" * 1_000_000), 413, None, "larger than 300,000 bytes"),
    ],
)  # fmt: skip
def test_bad_requests_get_a_sentence(
    refusing: Served, monkeypatch: pytest.MonkeyPatch, body: Any, status: int, code: str | None, message: str
) -> None:
    monkeypatch.setattr(taco.chat_request, "MAX_IMAGES", 2)
    monkeypatch.setattr(taco.chat_request, "MAX_IMAGE_PIXELS", 10_000)
    found, answer = post(refusing, body)
    assert (found, answer["error"]["code"]) == (status, code), answer
    assert message in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


@pytest.fixture(scope="module")
def refusing() -> Iterator[Served]:
    """A server whose model is never reached."""
    model = ScriptedModel([])
    with serving(model, max_body=300_000) as served:
        yield served
    assert model.conversations == []


def test_a_body_in_chunks_is_bounded_and_a_slow_one_not_waited_for(refusing: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    with connected(refusing) as link:
        link.sendall(head + b"61a80\r\n" + b" " * 400_000)
        assert link.recv(100).startswith(b"HTTP/1.1 413")
    monkeypatch.setattr(taco.serving, "BODY_SECONDS", 0.05)
    with connected(refusing) as link:
        link.sendall(head)
        assert link.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(("kind", "status"), [("application/json", 413), ("text/plain", 415)])
def test_who_is_refused_while_sending_can_send_all_and_read_why(refusing: Served, kind: str, status: int) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: %s\r\n"
    with connected(refusing) as link:
        link.sendall(head % kind.encode() + b"Content-Length: 9000000\r\n\r\n")
        for _ in range(9):
            link.sendall(b" " * 1_000_000)
            time.sleep(0.01)
        assert link.recv(100).startswith(b"HTTP/1.1 %d" % status)


def test_what_changes_nothing_is_taken() -> None:
    plain = {"n": 1, "temperature": 0.0, "tools": [], "response_format": {"type": "text"}, "user": "me", "seed": 7, "top_p": 1}
    with serving(ScriptedModel(["yes"])) as served:
        assert post(served, asking(**plain, max_tokens=None, stop=None, stream=None))[0] == 200


def test_a_page_of_another_site_cannot_post_here(refusing: Served) -> None:
    assert post(refusing, asking(), Content_Type="text/plain")[0] == 415
    assert post(refusing, asking(), path="/nothing")[0] == 404
    status, body = fetch(refusing.url + "/chat/completions")
    assert status == 405
    assert "POST /v1/chat/completions" in body["error"]["message"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8000", 200), ("127.0.0.1", 200), ("LOCALHOST", 200), ("evil.example", 400), ("evil.example:8000", 400)],
)
def test_a_name_that_is_made_to_point_here_is_refused(host: str, status: int) -> None:
    """DNS rebinding: to the browser, the page and this server are one site."""
    with serving(ScriptedModel(["yes"]), hosts=LOCAL_NAMES) as served, connected(served) as link:
        link.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert link.recv(100).startswith(f"HTTP/1.1 {status}".encode())


@pytest.mark.parametrize(
    ("host", "key", "hosts"),
    [
        ("127.0.0.1", None, {"localhost", "127.0.0.1", "[::1]"}),
        ("::1", None, {"localhost", "127.0.0.1", "[::1]"}),
        ("127.0.0.2", None, {"localhost", "127.0.0.1", "[::1]", "127.0.0.2"}),
        ("127.0.0.1", "k1", {"*"}),
        ("0.0.0.0", None, {"*"}),
    ],
)
def test_whose_names_are_checked(monkeypatch: pytest.MonkeyPatch, host: str, key: str | None, hosts: set[str]) -> None:
    made: list[Any] = []

    def noted(model: Any, **options: Any) -> Any:
        made.append(options.get("hosts", ("*",)))
        return make_app(model, **options)

    monkeypatch.setattr(taco.serving, "make_app", noted)
    monkeypatch.setattr(taco.serving.Server, "run", lambda self, sockets: None)
    monkeypatch.setattr(socket, "create_server", lambda *_, **__: socket.socket())
    taco.serving.serve(ScriptedModel([]), host=host, api_key=key)
    assert set(made[0]) == hosts


def test_the_key() -> None:
    with serving(ScriptedModel(["yes"]), api_key="k1") as served:
        status, body = post(served, asking())
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert post(served, asking(), Authorization="Bearer k2")[0] == 401
        assert fetch(served.url + "/models")[0] == 401
        assert fetch(served.url.removesuffix("/v1") + "/health")[0] == 200
        with pytest.raises(ModelError, match="refused the key"):
            EndpointModel("scripted", base_url=served.url, api_key="k2").generate([hello()])
        assert EndpointModel("scripted", base_url=served.url, api_key="k1").generate([hello()])[0].text == "yes"


# ---------------------------------------------------------------------- a real model


def test_a_trained_model_is_used_through_the_endpoint_as_it_was_trained(nano: Any) -> None:
    image = Path(cli.__file__).parents[1] / "docs" / "images" / "board.jpg"
    question = "How much do 3 Mint tea cost?"
    direct = Agent(nano).run(question, [image])
    with serving(nano) as served:
        model = load_model("openai:nano", base_url=served.url)
        assert model.record == nano.record
        through = Agent(model).run(question, [image])
    assert through.answer == direct.answer == "8.4"
    assert through.to_json() == direct.to_json()


def test_a_record_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScriptedModel([])
    model.record = type("Newer", (), {"model_dump": lambda self, mode: {"tools": [], "renderer": "other"}})()  # type: ignore[assignment]
    with serving(model) as served, pytest.raises(ModelError, match="this version cannot read"):
        EndpointModel("scripted", base_url=served.url)


def test_a_cap_below_the_models_own_cuts_the_reply(nano: Any) -> None:
    own = nano.max_new_tokens
    with serving(nano) as served:
        body = asking(model="nano")
        whole = post(served, body)[1]
        capped = post(served, body | {"max_tokens": 5})[1]
        streamed = post_text(served, body | {"max_completion_tokens": 5, "stream": True})
        pieces = list(EndpointModel("nano", base_url=served.url).stream(hello()))
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert capped["choices"][0]["finish_reason"] == "length"
    assert capped["usage"]["completion_tokens"] == 5
    text, start = whole["choices"][0]["message"]["content"], capped["choices"][0]["message"]["content"]
    assert text.startswith(start)
    assert start != text
    chunks = [json.loads(line[6:]) for line in streamed.split("\n\n")[:-2]]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks).strip() == start
    assert "".join(pieces).strip() == text
    assert nano.max_new_tokens == own


def test_the_models_folder_is_not_told(nano: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "name", "/home/somebody/models/m1")
    with serving(nano, name="m1") as served:
        for stream in (False, True):
            status, body = post(served, asking("long " * 9000, model="m1", stream=stream))
            assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
            assert "m1 takes" in body["error"]["message"]
            assert "somebody" not in str(body)


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_chat_template_refuses_is_the_requests_fault(nano: Any, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    monkeypatch.setattr(nano.processor, "chat_template", "{{ raise_exception('no such talk') }}")
    with serving(nano) as served:
        status, body = post(served, asking(model="nano", stream=stream))
    assert (status, body["error"]["param"]) == (400, "messages")
    assert "no such talk" in body["error"]["message"]


def test_a_batch_of_a_real_model_answers_as_one_by_one(nano: Any) -> None:
    conversations = [hello(f"How much are {n} teas at {n}.50?" + " Please." * n) for n in range(1, 5)]
    with serving(nano) as served:
        together = EndpointModel("nano", base_url=served.url).generate(conversations)
        alone = [nano.generate([conversation])[0] for conversation in conversations]
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert [reply.usage for reply in together] == [reply.usage for reply in alone]


# ---------------------------------------------------------------------- the command


WITHOUT_WEIGHTS = """
import taco.models
from taco.models.scripted import ScriptedModel
taco.models.load_model = lambda name, **options: ScriptedModel(["Hi."])
from taco.cli import app
app()
"""


def test_the_command_says_where_it_is_and_ends_well() -> None:
    command = [sys.executable, "-c", WITHOUT_WEIGHTS, "serve", "--port", "0", "--name", "tiny"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            line = process.stdout.readline()
            assert line.startswith("tiny at http://127.0.0.1:"), process.stderr.read()
            example = shlex.split(line)
            url, body = example[example.index("curl") + 1], json.loads(example[-1])
            request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
            status, answer = fetch(request)
            assert (status, answer["model"], answer["choices"][0]["message"]["content"]) == (200, "tiny", "Hi.")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_the_command_refuses_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taco.models.load_model", lambda name, **options: ScriptedModel([]))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(cli.app, ["serve", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert "cannot be used: Address already in use" in result.output
    assert "Choose another --port" in result.output
    monkeypatch.setitem(sys.modules, "taco.serving", None)
    result = CliRunner().invoke(cli.app, ["serve"])
    assert result.exit_code == 1
