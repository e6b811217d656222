"""Seconds of one processor to draw a scene, and the memory that it takes.

$ OMP_NUM_THREADS=1 python benchmarks/render.py [--family objects] [--scenes 100] [--repeats 3]

The least of all repeats counts. The memory is the process's peak over what it has after one scene's imports.
"""

import argparse
import importlib
import random
import resource
import statistics
import time

from PIL import Image

from taco.data_gen.scenes.scene import Scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="objects", help="a module of taco.data_gen.scenes with a function render")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    Image.init()
    module = importlib.import_module(f"taco.data_gen.scenes.{given.family}")
    before = _peak()
    best = [float("inf")] * given.scenes
    sides: list[int] = []
    parts: list[int] = []
    for repeat in range(given.repeats):
        for number in range(given.scenes):
            start = time.process_time()
            scene: Scene = module.render(random.Random(number))
            best[number] = min(best[number], time.process_time() - start)
            if repeat == 0:
                sides += scene.image.size
                parts.append(len(getattr(scene.annotation, "objects", getattr(scene.annotation, "items", ()))))
    print(
        f"{given.family}: {statistics.mean(best):.3f} s a scene (median {statistics.median(best):.3f}, most {max(best):.3f}), "
        f"{statistics.median(sides):.0f} pixels a side, {statistics.mean(parts):.1f} objects or rows; "
        f"peak {(_peak() - before) / 1024:.0f} MB over {before / 1024:.0f} MB after imports"
    )


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
