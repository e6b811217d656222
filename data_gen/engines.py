"""Work on numbers 0, 1, 2 ..., results in order: in this process, in several, or on a Ray cluster.

>>> list(in_order(str, range(3), workers=2))
['0', '1', '2']

Both parallel engines are one sliding window of tasks. It is ordered, endless and bounded, which Ray Data, made for finite
datasets that end in files of its own, is not.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait
from typing import Any, Literal, TypeVar

from taco.errors import RunError

Engine = Literal["local", "ray"]
AHEAD = 4
"""Tasks that are under way for each worker: enough that none waits for a slow one before it."""

_T = TypeVar("_T")


def in_order(
    work: Callable[[int], _T], numbers: Iterable[int], *, workers: int = 1, engine: Engine = "local"
) -> Generator[_T, None, None]:
    """What ``work`` gives for each number, in order; at most AHEAD times ``workers`` are worked on ahead of what is taken.

    Args:
        work: A picklable function.
        numbers: May be endless.
        workers: Processes. Of a Ray cluster 1 means all its cores.
        engine: ``ray`` needs ``pip install 'taco-lmm[ray]'``; it joins the cluster that RAY_ADDRESS names, else starts one here.

    Raises:
        RunError: If a worker was killed, or Ray cannot be used.
    """
    if engine == "ray":
        yield from _on_ray(work, numbers, workers)
    elif workers == 1:
        yield from map(work, numbers)
    else:
        yield from _in_processes(work, numbers, workers)


def _in_processes(work: Callable[[int], _T], numbers: Iterable[int], workers: int) -> Generator[_T, None, None]:
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        yield from _window(lambda number: pool.submit(work, number), lambda task: task.result(), numbers, AHEAD * workers)
    except BrokenProcessPool:
        raise RunError(
            "A worker process ended (out of memory, or killed). What was written is kept; the same command goes on."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """End this worker when its parent ends, also by SIGKILL: nothing else would wake it from the pool's queue."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(work: Callable[[int], _T], numbers: Iterable[int], workers: int) -> Generator[_T, None, None]:
    try:
        import ray
    except ModuleNotFoundError:
        raise RunError("Ray is not installed. Run: pip install 'taco-lmm[ray]'") from None
    own = not ray.is_initialized()
    try:
        if own:
            _start(ray, workers)
        cores = ray.cluster_resources().get("CPU", 1)  # type: ignore[no-untyped-call]
        wide = AHEAD * (workers if workers > 1 else int(cores))
        task = ray.remote(work if hasattr(work, "__name__") else lambda number: work(number))
        result: Callable[[Any], _T] = ray.get
        yield from _window(task.remote, result, numbers, wide)
    except ray.exceptions.RayError as error:
        raise RunError(f"Ray failed: {error}. What was written is kept; the same command goes on.") from None
    finally:
        if own:
            ray.shutdown()


def _start(ray: Any, workers: int) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "configure_logging": True, "logging_level": "error"}
    try:
        ray.init(address="auto", **options)
    except ConnectionError:  # there is no cluster: one of our own
        ray.init(num_cpus=workers if workers > 1 else None, include_dashboard=False, **options)


def _window(submit: Callable[[int], Any], result: Callable[[Any], _T], numbers: Iterable[int], wide: int) -> Generator[_T]:
    left = iter(numbers)
    under_way = deque(map(submit, islice(left, wide)))
    while under_way:
        done = result(under_way.popleft())
        under_way.extend(map(submit, islice(left, 1)))
        yield done
