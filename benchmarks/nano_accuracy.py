"""How good taco-nano is on held-out tasks: with real OCR, with annotated text in its place, direct, by pixels, shuffled.

$ python benchmarks/nano_accuracy.py --out out/nano --part ocr      # then oracle, pixels, shuffled; --part direct --model DIR
$ python benchmarks/nano_accuracy.py --out out/nano                 # every part that needs no other model, and the table

Tasks come from annotations of new seeds, names, layouts and fonts; none is left out. An interrupted part goes on.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from PIL import Image
from rich.progress import track

from taco.agent import Agent
from taco.data_gen.generation import ANNOTATIONS_FILE, TASKS_FILE, generate
from taco.data_gen.nano import PIXEL_TYPES, TYPES
from taco.data_gen.ocr_errors import rows_of
from taco.data_gen.pipeline import Recipe
from taco.data_gen.scenes.scene import PriceScene
from taco.evaluation import evaluate
from taco.evaluation.running import run_tasks, unfinished
from taco.models import load_model
from taco.tools import Tool, Toolbox
from taco.tools.images import pixel_hash
from taco.tools.ocr import make_ocr
from taco.trace import Task, read_tasks, read_traces

SEED = 20_261_122
"""Of the held-out tasks; training and its evaluation use others."""
PARTS = {"ocr": "tasks", "oracle": "tasks", "direct": "tasks", "pixels": "pixel_tasks", "shuffled": "pixel_tasks"}


def make_tasks(out: Path, count: int, pixel_count: int) -> None:
    """Both sets of tasks; nothing happens where they are complete."""
    generate(Recipe(split="test", seed=SEED, tasks_only=True, types=TYPES), count, out / "tasks")
    generate(Recipe(split="test", seed=SEED + 1, tasks_only=True, types=PIXEL_TYPES), pixel_count, out / "pixel_tasks")


def oracle_ocr(folder: Path) -> Tool:
    """An OCR that reads the annotation without a fault, in the reading order of the real one."""
    texts = {}
    for line in (folder / ANNOTATIONS_FILE).read_text().splitlines():
        record = json.loads(line)
        rows = rows_of(PriceScene.model_validate(record["annotation"]))
        texts[Path(record["images"][0]).stem] = "\n".join(" ".join(part.text for part in row) for row in rows)

    def read(image: Image.Image, boxes: bool = False) -> dict[str, Any]:
        return {"text": texts[pixel_hash(image)]}

    read.__doc__ = make_ocr().function.__doc__
    return Tool(read, name="OCR", backend="annotation")


def shuffled(tasks: list[Task]) -> list[Task]:
    """Each question with the image of another scene: that of the task half the list away."""
    half = len(tasks) // 2
    return [
        task.model_copy(update={"images": other.images}) for task, other in zip(tasks, tasks[half:] + tasks[:half], strict=True)
    ]


def run_part(part: str, out: Path, model: str) -> Path:
    """Run a part's tasks; returns the folder of its traces."""
    folder = out / PARTS[part]
    tasks = list(read_tasks(folder / TASKS_FILE))
    if part == "shuffled":
        tasks = shuffled(tasks)
    agent = Agent(load_model(model))
    if part == "oracle":
        agent.toolbox = Toolbox(oracle_ocr(folder) if tool.name == "OCR" else tool for tool in agent.toolbox)
    left = unfinished(tasks, out / part, agent.model.name)
    for _ in track(run_tasks(agent, left, out / part, 8), total=len(left), description=part):
        pass
    return out / part


def majority(out: Path) -> float:
    """Accuracy of the most frequent answer of each type of pixel question: what can be had without looking."""
    answers: dict[str, Counter[str]] = {}
    for task in read_tasks(out / "pixel_tasks" / TASKS_FILE):
        answers.setdefault(task.source, Counter())[task.answer or ""] += 1
    return sum(counts.most_common(1)[0][1] for counts in answers.values()) / sum(c.total() for c in answers.values())


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of taco-nano on held-out tasks.")
    parser.add_argument("--out", type=Path, default=Path("out/nano-accuracy"))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--part", choices=PARTS, action="append", help="all but direct, which needs --model, by default")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--pixel-tasks", type=int, default=300)
    chosen = parser.parse_args()
    make_tasks(chosen.out, chosen.tasks, chosen.pixel_tasks)
    for part in chosen.part or [name for name in PARTS if name != "direct"]:
        run_part(part, chosen.out, chosen.model)
    for part in PARTS:
        if (chosen.out / part).exists():
            print(f"== {part}\n{evaluate(read_traces(chosen.out / part)).to_text()}")
    print(f"== majority answer by type, pixel tasks\naccuracy       {majority(chosen.out):.1%}")


if __name__ == "__main__":
    main()
