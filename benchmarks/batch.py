"""Many trajectories in step against one by one: traces a minute of CPU time, traces compared.

$ OMP_NUM_THREADS=1 python benchmarks/batch.py [--size tiny] [--size 100m] [--runs 32] [--repeats 5] [--reply 64]

A random model's replies cannot be used, so each run is three replies long and ends as `faulty`; no tool takes part of the time.
The batch sizes take turns within one run, the least of all repeats counts.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from random_xgenmm import SIZES, make

from taco import Agent, Task
from taco.models import LocalModel
from taco.tools.calculator import Calculate

REPLY = 64


def tasks(folder: Path, number: int) -> list[Task]:
    """Questions of several lengths, each about an image of its own."""
    made = []
    for index in range(number):
        pixels = np.random.default_rng(index).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        path = folder / f"{index}.png"
        Image.fromarray(pixels).resize((80, 60)).save(path)
        made.append(Task(id=str(index), question="How much is it?" * (1 + index % 5), images=(str(path),)))
    return made


def compare(size: str, runs: int, repeats: int, reply: int) -> None:
    model = LocalModel(*make(size), name=size, max_new_tokens=reply)
    agent = Agent(model, tools=[Calculate], system="short")
    batches = [batch for batch in (1, 4, 8, 32) if batch <= runs]
    best: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        given = tasks(Path(folder), runs)
        for _ in range(repeats):
            traces = {}
            for batch in batches:
                assert model._turns is not None
                model._turns.forget()
                start = time.process_time()
                traces[batch] = [trace.to_json() for trace in agent.run_batch(given, batch)]
                best[batch] = min(time.process_time() - start, best.get(batch, float("inf")))
                assert traces[batch] == traces[1], f"a trace of a batch of {batch} differs"
    parameters = sum(parameter.numel() for parameter in model.model.parameters()) / 1e6
    print(f"{size}: {parameters:.1f} M parameters, {runs} traces of 3 replies of {reply} tokens, equal for every batch size")
    for batch, seconds in best.items():
        print(f"  {batch:3} at a time: {60 * runs / seconds:7.1f} traces a minute, {best[1] / seconds:.2f} times one by one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", action="append", choices=list(SIZES))
    parser.add_argument("--runs", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--reply", type=int, default=REPLY, help="tokens of a reply")
    options = parser.parse_args()
    for size in options.size or SIZES:
        compare(size, options.runs, options.repeats, options.reply)


if __name__ == "__main__":
    main()
