"""The worker process: a hung tool ends at its deadline (+ 200 ms at most), a thousand calls leave nothing behind, a call's cost.

$ python benchmarks/isolation.py
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

from taco.tools import ToolError
from taco.tools.equations import SolveMathEquation
from taco.tools.isolation import run_isolated, stop_worker

HANGS = "import time\ndef hangs(): time.sleep(60)\ndef spins():\n    while True: pass\ndef answers(): return 1\n"
DEADLINE, LATE = 0.3, 0.2
CALLS = 1_000


def left() -> tuple[int, int, int]:
    """Threads, open files and child processes of this process."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return threading.active_count(), len(os.listdir("/proc/self/fd")), len(children)


def main() -> None:
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "of_a_benchmark.py").write_text(HANGS)
        sys.path.insert(0, folder)
        import of_a_benchmark as own  # type: ignore[import-not-found]

        for function in (own.hangs, own.spins):
            over = []
            for _ in range(5):
                run_isolated(own.answers, {}, 5.0)  # the worker is there
                began = time.perf_counter()
                try:
                    run_isolated(function, {}, DEADLINE)
                except ToolError:
                    over.append(time.perf_counter() - began - DEADLINE)
            faults += len(over) < 5 or max(over) > LATE
            print(f"{function.__name__}: ended {1000 * max(over):.0f} ms late (most of 5), {left()[2]} processes left")
        stop_worker()
        before = left()
        began = time.perf_counter()
        for number in range(CALLS):
            if number % 100 == 99:  # now and then one that has to be killed
                try:
                    run_isolated(own.hangs, {}, 0.05)
                except ToolError:
                    continue
            assert run_isolated(own.answers, {}, 5.0) == 1
        seconds = time.perf_counter() - began
        stop_worker()
        faults += left() != before
        print(f"{CALLS} calls, 10 of them killed: {1000 * seconds / CALLS:.1f} ms a call")
        print(f"threads, files, processes before {before}, after {left()}")
    query = {"query": "x^2 - 5x + 6 = 0"}
    here, there = (least(lambda run=run: run(query)) for run in (direct, isolated))
    print(f"an equation in this process {1000 * here:.2f} ms, in the worker {1000 * there:.2f} ms (wall, least of 20)")
    raise SystemExit(faults > 0)


def direct(arguments: dict[str, str]) -> object:
    return SolveMathEquation.function(**arguments)


def isolated(arguments: dict[str, str]) -> object:
    return SolveMathEquation.call(arguments, {})


def least(run) -> float:  # type: ignore[no-untyped-def]
    times = []
    for _ in range(20):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
