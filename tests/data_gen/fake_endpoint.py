"""An OpenAI-compatible endpoint on this machine that refuses, stalls and breaks off as told. Also for benchmarks/teacher.py.

>>> with FakeEndpoint(capacity=8) as endpoint:
...     model = endpoint.model()
"""

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from taco.models import EndpointModel
from taco.prompts import reply_text
from taco.tools import Action

USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def adds_then_answers(request: dict[str, Any]) -> str:
    """Two calls a row: Calculate, then Terminate with what it gave."""
    if request["messages"][-1]["role"] == "user" and "OBSERVATION" in str(request["messages"][-1]["content"]):
        return reply_text("The sum is 4.", [Action(name="Terminate", arguments={"answer": "4"})])
    return reply_text("I add.", [Action(name="Calculate", arguments={"expression": "2 + 2"})])


def answers(request: dict[str, Any]) -> str:
    """One call a row, no tool."""
    return reply_text("I see it.", [Action(name="Terminate", arguments={"answer": "4"})])


class FakeEndpoint(ThreadingHTTPServer):
    """
    Args:
        capacity: Calls served at a time; what is above gets 429.
        seconds: Of one reply.
        drops: The share of calls whose connection is closed without a reply.
        retry_after: Seconds, sent with each 429.
        reply: What is said to a request.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self,
        *,
        capacity: int = 1_000,
        seconds: float = 0.0,
        drops: float = 0.0,
        retry_after: float | None = None,
        reply: Callable[[dict[str, Any]], str] = adds_then_answers,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.capacity, self.seconds, self.drops, self.retry_after, self.reply = capacity, seconds, drops, retry_after, reply
        self.refusal: tuple[int, dict[str, Any]] | None = None  # to every call
        self.refusals: list[int] = []  # statuses of the next calls; 0 is no refusal
        self.usage: dict[str, int] | None = USAGE
        self.requests: list[dict[str, Any]] = []
        self.keep = True
        self.calls = self.refused = self.dropped = self.served = self.most = self.inside = 0
        self.on_call: Callable[[int], None] = lambda number: None
        self.lock, self.rng = threading.Lock(), random.Random(0)

    def __enter__(self) -> "FakeEndpoint":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def model(self, *, max_retries: int = 0, temperature: float = 1.0) -> EndpointModel:
        return EndpointModel("fake", base_url=self.url, temperature=temperature, max_retries=max_retries)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]] | None:
        """Status, body and headers; None to break off."""
        with self.lock:
            self.calls += 1
            number = self.calls
            if self.keep:
                self.requests.append(request)
            full = self.inside >= self.capacity
            status = self.refusals.pop(0) if self.refusals else 429 if full else 0
            broken = not status and self.rng.random() < self.drops
            self.refused, self.dropped = self.refused + bool(status), self.dropped + broken
            self.inside += not status
            self.most = max(self.most, self.inside)
        self.on_call(number)
        if self.refusal:
            return *self.refusal, {}
        if status:
            headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
            return status, {"error": {"message": "too many"}}, headers
        try:
            time.sleep(self.seconds)
        finally:
            with self.lock:
                self.inside -= 1
        if broken:
            return None
        with self.lock:
            self.served += 1
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": self.reply(request)}}
        return 200, {"choices": [choice]} | ({"usage": self.usage} if self.usage else {}), {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, FakeEndpoint)
        counts = {name: getattr(server, name) for name in ("calls", "refused", "dropped", "served", "most")}
        known = self.path == "/counts"
        self._send(200 if known else 404, counts if known else {"error": {"message": "no such path"}}, {})

    def do_POST(self) -> None:
        assert isinstance(self.server, FakeEndpoint)
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.answer(request)
        if answer is None:
            self.close_connection = True
            return
        self._send(*answer)

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        pass


def texts(requests: Sequence[dict[str, Any]]) -> Iterator[str]:
    """All that was said to the endpoint, images left out."""
    for request in requests:
        for message in request["messages"]:
            parts = message["content"] if isinstance(message["content"], list) else [{"type": "text", "text": message["content"]}]
            yield from (part["text"] for part in parts if part["type"] == "text")
