"""What adaptive concurrency brings a teacher: rows a second, calls wasted and rows lost, against fixed numbers of threads.

    $ OMP_NUM_THREADS=1 python benchmarks/teacher.py                  # an endpoint that answers 429 above a capacity
    $ OMP_NUM_THREADS=1 python benchmarks/teacher.py --drops 0.02     # and breaks connections off
    $ OMP_NUM_THREADS=1 python benchmarks/teacher.py --retry-after 2  # and says when to come again
    $ OMP_NUM_THREADS=1 python benchmarks/teacher.py --nano --rows 24 # taco serve with taco-nano

Endpoints run in a process of their own. A row is two calls (a tool call, an answer). "Threads" are so many rows at a time, by an
`Agent` whose client asks three times again in OpenAI's own way (--client-retries); a row that fails all the same is lost. Wasted
are calls that were refused, broken off, or made for a row that was lost.
"""

import argparse
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from taco import Agent
from taco.agent import Finished
from taco.data_gen.teacher import Plan, begin
from taco.models import EndpointModel
from taco.tools.images import open_image
from taco.trace import Task, read_tasks

ROOT = Path(__file__).parents[1]
WIDTHS, NANO_WIDTHS = (4, 8, 16, 32, 64), (1, 8, 32)
CALLS = 2
FAKE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from fake_endpoint import FakeEndpoint
capacity, seconds, drops, retry_after = sys.argv[2:]
wait = None if retry_after == "None" else float(retry_after)
with FakeEndpoint(capacity=int(capacity), seconds=float(seconds), drops=float(drops), retry_after=wait) as it:
    it.keep = False
    print(it.url, flush=True)
    time.sleep(3600)
"""
SERVE = "from taco.cli import app; app(['serve', '--model', 'nano', '--port', '0'])"


@dataclass
class Result:
    finished: int
    seconds: float


@contextlib.contextmanager
def serving(options: argparse.Namespace) -> Iterator[str]:
    """The address of a fresh endpoint."""
    command = [sys.executable, "-u", "-c", SERVE]
    if not options.nano:
        settings = (options.capacity, options.seconds, options.drops, options.retry_after)
        command = [sys.executable, "-c", FAKE, str(ROOT / "tests/data_gen"), *map(str, settings)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        assert process.stdout
        address = re.search(r"http://[^\s]+/v1", process.stdout.readline())
        assert address, "the server did not start"
        yield address[0]
    finally:
        process.kill()
        process.wait()


def questions(folder: Path, rows: int, large: bool) -> Path:
    image = open_image(ROOT / "docs/images/board.jpg")
    image.resize(image.size if large else (64, 64)).save(folder / "board.png")
    lines = [{"id": f"{n}", "question": f"How much do {n + 2} Mint tea cost?", "images": ["board.png"]} for n in range(rows)]
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def adaptive(url: str, name: str, source: Path, rows: int) -> Result:
    model = EndpointModel(name, base_url=url, temperature=0.0, max_retries=0)
    with tempfile.TemporaryDirectory() as out:
        lesson = begin(source, model, Path(out), plan=Plan(per_image=rows), workers=64)
        start = time.perf_counter()
        report = lesson.run()
        return Result(report.finished, time.perf_counter() - start)


def threads(url: str, name: str, source: Path, width: int, retries: int) -> Result:
    agent = Agent(EndpointModel(name, base_url=url, temperature=0.0, max_retries=retries))

    def answered(task: Task) -> bool:
        with tempfile.TemporaryDirectory() as out:
            for event in agent.stream_task(task):
                if isinstance(event, Finished) and event.trace.stop_reason != "failed":
                    event.trace.save(out)
                    return True
        return False

    tasks = list(read_tasks(source))
    start = time.perf_counter()
    with ThreadPoolExecutor(width) as pool:
        return Result(sum(pool.map(answered, tasks)), time.perf_counter() - start)


def counts(url: str) -> dict[str, int]:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/counts") as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=120)
    parser.add_argument("--capacity", type=int, default=8, help="calls at a time")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a reply")
    parser.add_argument("--drops", type=float, default=0.0, help="share of connections that break")
    parser.add_argument("--retry-after", type=float, default=None)
    parser.add_argument("--client-retries", type=int, default=3, help="of the fixed threads; 3 is taco's own number")
    parser.add_argument("--nano", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # of each row that fails
    print(f"{'':<14}{'rows/s':>8}{'calls':>8}{'wasted':>8}{'lost rows':>11}")
    with tempfile.TemporaryDirectory() as folder:
        source = questions(Path(folder), options.rows, options.nano)
        for width in (0, *(NANO_WIDTHS if options.nano else WIDTHS)):
            with serving(options) as url:
                name = "nano" if options.nano else "fake"
                if width:
                    result = threads(url, name, source, width, options.client_retries)
                else:
                    result = adaptive(url, name, source, options.rows)
                called = None if options.nano else counts(url)["calls"]
            wasted = "" if called is None else f"{(called - CALLS * result.finished) / called:.1%}"
            pace, lost = result.finished / result.seconds, options.rows - result.finished
            way = f"{width} threads" if width else "adaptive"
            print(f"{way:<14}{pace:8.2f}{called or '':>8}{wasted:>8}{lost:>11}", flush=True)
    if not options.nano:
        ideal = options.capacity / options.seconds / CALLS
        print(f"At most {ideal:.1f} rows/s with {options.capacity} calls of {options.seconds:g} s at a time.")


if __name__ == "__main__":
    main()
