"""Tools in a process of their own: one that hangs, crashes or is taken over by what it reads ends without harm to the caller.

    >>> @tool(isolated=True, deadline=5.0)                         # on a module-level function
    ... def Simplify(expression: str) -> dict[str, Any]: ...

One worker is kept per process and used again; at a call's deadline it is killed, and the next call starts another. What goes to
and fro is JSON and raw pixels, never a pickle, so that a worker gone wrong can answer nonsense at most. It ends with its parent.
"""

import atexit
import contextlib
import importlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from PIL import Image

from taco.tools.action import ToolError

START_SECONDS = 60.0
"""How long a worker may take to import what it needs; that is not counted against a call's deadline."""
MAX_FRAME_BYTES = 1_000_000_000
_LENGTH = struct.Struct("!Q")


class IsolatedError(RuntimeError):
    """A bug in an isolated function; the text is the worker's traceback."""


class Worker:
    """One process that runs module-level functions, one at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self, function: Callable[..., Any], arguments: Mapping[str, Any], deadline: float) -> Any:
        """The function's result.

        Args:
            function: One that can be imported by its module and name; a `Tool` stands for its function.
            arguments: JSON values and PIL images.
            deadline: Seconds until the worker is killed.

        Raises:
            ToolError: As the function raised it, or if the deadline passed or the worker died.
            IsolatedError: If the function raised anything else.
        """
        name = function.__qualname__
        with self._lock:
            wanted = {"function": [function.__module__, name], "path": sys.path}
            answer = self._exchange(wanted, START_SECONDS, name, start=True)
            if "error" not in answer:
                answer = self._exchange({"arguments": dict(arguments), "settings": _settings()}, deadline, name)
        if "error" in answer:
            raise ToolError(answer["text"]) if answer["error"] == "ToolError" else IsolatedError(answer["text"])
        return answer["result"]

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def _exchange(self, message: dict[str, Any], seconds: float, name: str, *, start: bool = False) -> dict[str, Any]:
        """Send a message and wait for its answer. Both in a thread, since either can block for as long as the worker likes."""
        if start and (self._process is None or self._process.poll() is not None):
            self.stop()
            self._process = _spawn()
        process, received = self._process, []
        assert process is not None

        def exchange() -> None:
            with contextlib.suppress(OSError, ValueError, EOFError, KeyError, TypeError, IndexError, struct.error):
                _send(process.stdin, message)  # type: ignore[arg-type]
                received.append(_receive(process.stdout))  # type: ignore[arg-type]

        thread = threading.Thread(target=exchange, daemon=True)
        thread.start()
        thread.join(seconds)
        late = thread.is_alive()
        if late or not received:
            self.stop()
            thread.join()
            reason = f"took longer than {seconds:g} s and was stopped" if late else "ended without an answer"
            raise ToolError(f"{name} {reason}. Give it something smaller or simpler.")
        answer: dict[str, Any] = received[0]
        return answer


_workers: dict[int, Worker] = {}


def run_isolated(function: Callable[..., Any], arguments: Mapping[str, Any], deadline: float) -> Any:
    """`Worker.run` in this process's worker. A forked process has its own."""
    return _workers.setdefault(os.getpid(), Worker()).run(function, arguments, deadline)


@atexit.register
def stop_worker() -> None:
    """End this process's worker."""
    worker = _workers.pop(os.getpid(), None)
    if worker is not None:
        worker.stop()


def _spawn() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", "from taco.tools.isolation import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def serve() -> None:
    """The worker: answers until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches it too, and what it means is for the caller to say
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a function prints is no answer
    function: Callable[..., Any] | None = None
    while True:
        try:
            message = _receive(sys.stdin.buffer)
        except EOFError:
            return
        try:
            if "function" in message:
                sys.path[:] = message["path"]  # as it is now: it may have grown since the worker was started
                function, result = _imported(*message["function"]), None
            else:
                assert function is not None
                for setting in _settings().keys() - message["settings"]:
                    del os.environ[setting]
                os.environ.update(message["settings"])
                result = function(**message["arguments"])
            answer = {"result": result}
        except ToolError as error:
            answer = {"error": "ToolError", "text": str(error)}
        except Exception:  # noqa: BLE001 - the parent raises it
            answer = {"error": "bug", "text": traceback.format_exc()}
        _send(answers, answer)


def _settings() -> dict[str, str]:
    """Ours in the environment: they may have changed since the worker was started."""
    return {name: value for name, value in os.environ.items() if name.startswith("TACO_")}


def _imported(module: str, name: str) -> Callable[..., Any]:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return getattr(found, "function", found)  # type: ignore[no-any-return]


def _send(pipe: BinaryIO, value: dict[str, Any]) -> None:
    """JSON with its images behind it; where they belong is told by their paths in the value."""
    images: list[tuple[list[Any], Image.Image]] = []
    head = json.dumps({"value": _without_images(value, [], images), "images": [[p, i.mode, i.size] for p, i in images]}).encode()
    pipe.write(_LENGTH.pack(len(head)))
    pipe.write(head)
    for _, image in images:
        pipe.write(image.tobytes())
    pipe.flush()


def _receive(pipe: BinaryIO) -> dict[str, Any]:
    """What `_send` sent. Raises EOFError at the end, ValueError on nonsense."""
    head = json.loads(_read(pipe, _LENGTH.unpack(_read(pipe, _LENGTH.size))[0]))
    box = {"value": head["value"]}
    for path, mode, (width, height) in head["images"]:
        bytes_each = {"RGB": 3, "L": 1, "RGBA": 4}[mode]
        place: Any = box
        for key in ["value", *path][:-1]:
            place = place[key]
        place[path[-1]] = Image.frombytes(mode, (width, height), _read(pipe, bytes_each * width * height))
    return box["value"]  # type: ignore[no-any-return]


def _read(pipe: BinaryIO, count: int) -> bytes:
    if count > MAX_FRAME_BYTES:
        raise ValueError(f"{count:,} bytes are over the limit of {MAX_FRAME_BYTES:,}")
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _without_images(value: Any, path: list[Any], images: list[tuple[list[Any], Image.Image]]) -> Any:
    if isinstance(value, Image.Image):
        images.append((path, value if value.mode in ("RGB", "L", "RGBA") else value.convert("RGB")))
        return None
    if isinstance(value, Mapping):
        return {str(key): _without_images(item, [*path, str(key)], images) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_images(item, [*path, index], images) for index, item in enumerate(value)]
    return value
