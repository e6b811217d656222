"""How good taco-nano is on held-out tasks: with the real tools, with an oracle in their place, direct, by pixels, shuffled.

$ python benchmarks/nano_accuracy.py --out out/nano --family prices --part tools     # then oracle; --part direct --model DIR
$ python benchmarks/nano_accuracy.py --out out/nano                                  # all that need no other model, and the table
$ python benchmarks/nano_accuracy.py --out out/nano --part tools --sheets 6    # its first six faults as pictures

Tasks come from annotations of new seeds, words, layouts and surroundings; none is left out. An interrupted part goes on.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from PIL import Image, ImageOps
from rich.progress import track

from taco.agent import Agent
from taco.data_gen.generation import TASKS_FILE, generate
from taco.data_gen.nano_curriculum import PIXEL_TYPES, TYPES
from taco.data_gen.observations import Simulated
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.perception_errors import PerceptionErrors
from taco.data_gen.pipeline import Recipe, ask_scene, rng_for
from taco.evaluation import evaluate, is_correct
from taco.evaluation.running import run_tasks, unfinished
from taco.models import load_model
from taco.sheet import draw_sheet
from taco.trace import Task, Trace, read_tasks, read_traces

SEED = 20_261_122
"""Of the held-out tasks; training and its evaluation use others."""
PARTS = {"tools": "tasks", "oracle": "tasks", "direct": "tasks", "pixels": "pixel_tasks", "shuffled": "pixel_tasks"}
BATCH = 8


def recipe_of(family: str) -> Recipe:
    """What the tasks of a family are made by."""
    return Recipe(family=family, split="test", seed=SEED, tasks_only=True, types=TYPES[family])


def make_tasks(family: str, out: Path, count: int, pixel_count: int) -> None:
    """The tasks, of prices also those that the pixels answer; nothing happens where they are complete."""
    generate(recipe_of(family), count, out / "tasks")
    if family == "prices":
        generate(Recipe(split="test", seed=SEED + 1, tasks_only=True, types=PIXEL_TYPES), pixel_count, out / "pixel_tasks")


def oracle() -> Simulated:
    """Tools that know the annotation and make no mistake."""
    reading = dict.fromkeys(("missed_price", "missed_text", "broken_row", "merged_rows", "glued"), 0.0)
    seeing = dict.fromkeys(("doubled", "invented", "shift", "depth_noise"), 0.0)
    return Simulated(
        OcrErrors.load().model_copy(update={**reading, "dropped_space": {}, "characters": {}, "small": ((1.0, 0.0),)}),
        PerceptionErrors.load().model_copy(update={**seeing, "missed": ((1.0, 0.0),), "confused": {}, "mistaken": {}}),
    )


def run_with_oracle(family: str, tasks: list[Task], agent: Agent, out: Path) -> None:
    """Each task with an oracle that looks at its scene."""
    recipe, tools, names = recipe_of(family), oracle(), agent.toolbox.names
    for task in track(tasks, "oracle"):
        number = int(task.id.split("-")[3])
        scene, _ = ask_scene(recipe, number)
        agent.toolbox = tools.look(scene, names, rng_for(recipe, number, "observations"))
        list(run_tasks(agent, [task], out))


def shuffled(tasks: list[Task]) -> list[Task]:
    """Each question with the image of another scene: that of the task half the list away."""
    half = len(tasks) // 2
    return [
        task.model_copy(update={"images": other.images}) for task, other in zip(tasks, tasks[half:] + tasks[:half], strict=True)
    ]


def run_part(part: str, family: str, out: Path, model: str) -> None:
    """Run a part's tasks; their traces go to a folder of its name."""
    tasks = list(read_tasks(out / PARTS[part] / TASKS_FILE))
    if part == "shuffled":
        tasks = shuffled(tasks)
    agent = Agent(load_model(model))
    left = unfinished(tasks, out / part, agent.model.name)
    if part == "oracle":
        run_with_oracle(family, left, agent, out / part)
        return
    for _ in track(run_tasks(agent, left, out / part, BATCH), total=len(left), description=part):
        pass


def majority(tasks: Path) -> float:
    """Accuracy of the most frequent answer of each type of question: what can be had without looking."""
    answers: dict[str, Counter[str]] = {}
    for task in read_tasks(tasks / TASKS_FILE):
        answers.setdefault(task.source, Counter())[task.answer or ""] += 1
    return sum(counts.most_common(1)[0][1] for counts in answers.values()) / sum(c.total() for c in answers.values())


def wrong(traces: Path) -> Iterator[Trace]:
    """Traces whose answer is not right, in the order of the tasks."""
    for trace in read_traces(traces):
        if not is_correct(trace.answer, trace.task):
            yield trace


def whose_fault(out: Path) -> str:
    """Of the tasks of both parts: what the tools get wrong, and what the model does whatever they say."""
    answered = [{trace.task.id for trace in read_traces(out / part)} for part in ("tools", "oracle")]
    tools, oracle = ({trace.task.id for trace in wrong(out / part)} for part in ("tools", "oracle"))
    both = answered[0] & answered[1]
    return (
        f"{len(both)} tasks: {len(both - tools - oracle)} right with both, {len(both & tools - oracle)} with the oracle only, "
        f"{len(both & oracle - tools)} with the tools only, {len(both & oracle & tools)} with neither"
    )


def draw_faults(traces: Path, count: int, file: Path, columns: int = 3, width: int = 640) -> None:
    """The first faults, none chosen, as sheets side by side."""
    sheets = [draw_sheet(trace) for trace in islice(wrong(traces), count)]
    if not sheets:
        return
    small = [ImageOps.contain(sheet, (width, width * 4)) for sheet in sheets]
    rows = [small[start : start + columns] for start in range(0, len(small), columns)]
    heights = [max(sheet.height for sheet in row) for row in rows]
    whole = Image.new("RGB", (columns * width, sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, sheet in enumerate(row):
            whole.paste(sheet, (column * width, sum(heights[:number])))
    whole.save(file)


def main() -> None:
    parser = argparse.ArgumentParser(description="Accuracy of taco-nano on held-out tasks.")
    parser.add_argument("--out", type=Path, default=Path("out/nano-accuracy"))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--family", choices=TYPES, action="append", help="all by default")
    parser.add_argument("--part", choices=PARTS, action="append", help="all but direct, which needs --model, by default")
    parser.add_argument("--tasks", type=int, default=500, help="of each family")
    parser.add_argument("--pixel-tasks", type=int, default=300)
    parser.add_argument("--sheets", type=int, default=0, help="draw so many faults of each part, with their pictures")
    chosen = parser.parse_args()
    for family in chosen.family or TYPES:
        out = chosen.out / family
        make_tasks(family, out, chosen.tasks, chosen.pixel_tasks)
        for part in chosen.part or [name for name in PARTS if name != "direct"]:
            if (out / PARTS[part]).exists():
                run_part(part, family, out, chosen.model)
        for part in PARTS:
            if (out / part).exists():
                print(f"== {family}, {part}\n{evaluate(read_traces(out / part)).to_text()}")
                draw_faults(out / part, chosen.sheets, out / f"{part}.png")
        if (out / "tools").exists() and (out / "oracle").exists():
            print(f"== {family}, {whose_fault(out)}")
        for name in dict.fromkeys(PARTS.values()):
            if (out / name).exists():
                print(f"== {family}, majority answer of each type of {name}: {majority(out / name):.1%}")


if __name__ == "__main__":
    main()
