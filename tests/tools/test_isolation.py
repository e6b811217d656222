import importlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from taco.tools import Action, ImageStore, Toolbox, ToolError, isolation, tool
from taco.tools.isolation import IsolatedError, Worker, run_isolated, stop_worker
from taco.tools.tool import Tool

FUNCTIONS = '''
import os, sys, time
from PIL import Image
from taco.tools import ToolError, tool

def where(**given): return {"pid": os.getpid(), "given": given}
def sleep(seconds): time.sleep(seconds); return "woken"
def wrong(): raise ToolError("The kettle is empty.")
def bug(): return {}["missing"]
def prints(): print("noise"); sys.stdout.flush(); os.write(1, b"more"); return 3
def dies(): os._exit(9)
def turned(image): return {"image": image.rotate(90, expand=True), "parts": [image, (1, None)], "size": image.size}
def unsendable(): return {1, 2}
def setting(): return os.environ.get("TACO_TEST")

@tool(isolated=True, deadline=0.5)
def Nap(image: Image.Image, seconds: float) -> dict:
    """Sleeps.

    Args:
        image: Stays as it is.
        seconds: How long.
    """
    time.sleep(seconds)
    return {"pid": os.getpid(), "image": image}
'''


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("functions")
    (folder / "isolated_functions.py").write_text(FUNCTIONS)
    assert run_isolated(os.path.basename, {"p": "a/b"}, 5) == "b"  # a worker that was there before the folder was
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield importlib.import_module("isolated_functions")
    stop_worker()


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.stop()


def test_runs_elsewhere_and_in_the_same_place_again(functions: ModuleType, worker: Worker) -> None:
    given = {"a": [1, 2.5, None, True, "é\n"], "b": {"$image": 0, "": {}}}
    first, second = (worker.run(functions.where, given, 5) for _ in range(2))
    assert first == second
    assert first["given"] == given
    assert first["pid"] != os.getpid()


def test_images_go_both_ways(functions: ModuleType, worker: Worker) -> None:
    image = Image.effect_noise((40, 30), 50).convert("RGB")
    result = worker.run(functions.turned, {"image": image}, 5)
    assert result["image"].tobytes() == image.rotate(90, expand=True).tobytes()
    assert result["parts"][0].tobytes() == image.tobytes()
    assert (result["parts"][1], result["size"]) == ([1, None], [40, 30])


def test_errors_for_the_model_and_bugs_are_told_apart(functions: ModuleType, worker: Worker) -> None:
    with pytest.raises(ToolError, match=r"^The kettle is empty.$"):
        worker.run(functions.wrong, {}, 5)
    with pytest.raises(IsolatedError, match="KeyError: 'missing'"):
        worker.run(functions.bug, {}, 5)
    assert worker.run(functions.prints, {}, 5) == 3


def test_at_the_deadline_it_is_killed_and_the_next_call_runs(functions: ModuleType, worker: Worker) -> None:
    pid = worker.run(functions.where, {}, 5)["pid"]
    with pytest.raises(ToolError, match=r"sleep took longer than 0.2 s and was stopped"):
        worker.run(functions.sleep, {"seconds": 60}, 0.2)
    assert not Path(f"/proc/{pid}").exists()
    assert worker.run(functions.where, {}, 5)["pid"] != pid


def test_a_worker_that_does_not_read_is_no_reason_to_wait(
    functions: ModuleType, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(worker.run(functions.where, {}, 5)["pid"], signal.SIGSTOP)
    monkeypatch.setattr(isolation, "START_SECONDS", 0.2)
    with pytest.raises(ToolError, match="was stopped"):
        worker.run(functions.where, {"data": "x" * 1_000_000}, 5)


def test_settings_are_those_of_now(functions: ModuleType, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_TEST", "old")
    assert worker.run(functions.setting, {}, 5) == "old"
    monkeypatch.setenv("TACO_TEST", "new")
    assert worker.run(functions.setting, {}, 5) == "new"
    monkeypatch.delenv("TACO_TEST")
    assert worker.run(functions.setting, {}, 5) is None


@pytest.mark.parametrize("name", ["dies", "unsendable"])
def test_a_worker_that_dies_is_told_and_replaced(name: str, functions: ModuleType, worker: Worker) -> None:
    with pytest.raises(ToolError, match=f"{name} ended without an answer"):
        worker.run(getattr(functions, name), {}, 5)
    assert worker.run(functions.prints, {}, 5) == 3


def test_many_calls_leave_nothing_behind(functions: ModuleType, worker: Worker) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0

    before = held()
    pids = {worker.run(functions.where, {}, 5)["pid"] for _ in range(200)}
    for _ in range(3):
        with pytest.raises(ToolError):
            worker.run(functions.dies, {}, 5)
    worker.stop()
    assert len(pids) == 1
    assert held() == before


def test_threads_take_turns(functions: ModuleType) -> None:
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(run_isolated(functions.where, {}, 5)["pid"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(results)) == 1


def test_a_tool_runs_isolated_through_the_toolbox(functions: ModuleType) -> None:
    images = ImageStore([Image.new("RGB", (3, 2), "red")])
    toolbox = Toolbox([functions.Nap])
    content = toolbox.execute(Action(name="Nap", arguments={"image": "image-0", "seconds": 0.0}), images).content
    assert content["pid"] != os.getpid()
    assert content["image"] == "image-1"
    assert images["image-1"].tobytes() == images["image-0"].tobytes()
    began = time.monotonic()
    error = toolbox.execute(Action(name="Nap", arguments={"image": "image-0", "seconds": 60.0}), images).error
    assert error == "Nap took longer than 0.5 s and was stopped. Give it something smaller or simpler."
    assert time.monotonic() - began < 30


def test_a_function_that_cannot_be_imported_is_refused() -> None:
    def local(text: str) -> dict[str, Any]:
        """Local."""
        return {}

    with pytest.raises(ValueError, match="must stand on a module's top level"):
        Tool(local, isolated=True)
    with pytest.raises(ValueError, match="top level"):
        tool(isolated=True)(local)


@pytest.mark.parametrize(
    "answer", [b"", b"\0" * 8, b"\xff" * 8, isolation._LENGTH.pack(4) + b"null", isolation._LENGTH.pack(2) + b"{}"]
)
def test_nonsense_from_a_worker_is_no_answer(answer: bytes) -> None:
    import io

    with pytest.raises((EOFError, ValueError, KeyError, TypeError)):
        isolation._receive(io.BytesIO(answer))


def test_a_ctrl_c_in_the_terminal_does_not_end_a_call(worker: Worker, functions: ModuleType) -> None:
    pid = worker.run(functions.where, {}, 10)["pid"]
    timer = threading.Timer(0.2, os.kill, (pid, signal.SIGINT))
    timer.start()
    assert worker.run(functions.sleep, {"seconds": 0.6}, 10) == "woken"
    assert worker.run(functions.where, {}, 10)["pid"] == pid
