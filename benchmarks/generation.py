"""How fast are traces made, how large are they, how much memory does it take, and what does a second worker bring?

$ OMP_NUM_THREADS=1 python benchmarks/generation.py [--families prices ...] [--n 200 1000] [--workers 1 2] [--engine local ray]

Each line is the whole command `taco-data generate` in processes of their own, the interpreter's start included; seconds are the
least of the rounds, memory is the most that one process held. Ready annotations: what programs take, nothing drawn or written.
"""

import argparse
import contextlib
import itertools
import os
import random
import shutil
import statistics
import subprocess
import sysconfig
import time
from pathlib import Path

from PIL import Image

from taco.data_gen.families import FAMILIES
from taco.data_gen.observations import Simulated
from taco.data_gen.pipeline import Recipe, ask_scene, play, rng_for
from taco.data_gen.programs.question import GaveUp
from taco.tools.images import ImageStore


def run(family: str, n: int, workers: int, engine: str, out: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds of all processes, and the most megabytes that one of them held."""
    shutil.rmtree(out, ignore_errors=True)
    command = [str(Path(sysconfig.get_path("scripts")) / "taco-data"), "generate", "--family", family, "--n", str(n)]
    command += ["--workers", str(workers), "--engine", engine, "--out", str(out)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed: {status}")
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def sizes(out: Path) -> tuple[int, float, float]:
    """Images, their median pixels' square root, and bytes of the whole folder."""
    images = list((out / "images").glob("*.png"))
    pixels = [width * height for width, height in (Image.open(path).size for path in images)]
    return len(images), statistics.median(pixels) ** 0.5, sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


def programs_alone(family: str, scenes: int) -> float:
    """Traces a CPU second from annotations that are there: asking, playing, simulated observations; no drawing, no writing."""
    recipe = Recipe(family=family, questions_per_scene=4)
    made = [(ImageStore(scene.images), scene, asked) for scene, asked in (ask_scene(recipe, i) for i in range(scenes))]
    observer = Simulated()
    for _ in range(2):  # the first time grammars are counted and libraries loaded
        count, begun = 0, time.process_time()
        for number, (store, scene, asked) in enumerate(made):
            rng = rng_for(recipe, number, "observations")
            toolbox = observer.look(scene, recipe.kind.tools, rng, [store[name] for name in store])
            for question in asked:
                with contextlib.suppress(GaveUp):  # takes as long
                    play(question.program(random.Random(0)), store.copy(), toolbox)
                count += 1
    return count / (time.process_time() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--n", type=int, nargs="+", default=[200])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engine", nargs="+", choices=["local", "ray"], default=["local"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/generation"))
    chosen = parser.parse_args()
    heads = (
        ("engine", 8),
        ("n", 7),
        ("workers", 8),
        ("s", 8),
        ("CPU s", 8),
        ("traces/s", 10),
        ("images", 8),
        ("side", 6),
        ("kB/trace", 10),
    )
    print(f"{'family':<12}" + "".join(f"{head:>{width}}" for head, width in (*heads, ("MB", 6))))
    for family, n, workers, engine in itertools.product(chosen.families, chosen.n, chosen.workers, chosen.engine):
        seconds, cpu, memory = min(run(family, n, workers, engine, chosen.out) for _ in range(chosen.rounds))
        images, side, size = sizes(chosen.out)
        print(
            f"{family:<12}{engine:>8}{n:>7}{workers:>8}{seconds:>8.1f}{cpu:>8.1f}{n / seconds:>10.1f}{images:>8}{side:>6.0f}"
            f"{size / n / 1000:>10.0f}{memory:>6.0f}",
            flush=True,
        )
    for family in chosen.families:
        print(f"{family:<12}programs on ready annotations: {programs_alone(family, 12):,.0f} traces a CPU second")
    shutil.rmtree(chosen.out, ignore_errors=True)


if __name__ == "__main__":
    main()
