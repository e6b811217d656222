"""A question type that taco-nano was not trained on, learned by a LoRA adapter from 300 generated traces.

$ python benchmarks/nano_lora.py --out out/lora

Prints accuracy on held-out tasks of that type before and after, real OCR in the loop, and the minutes of training.
"""

import argparse
import time
from pathlib import Path

import torch
import yaml

from taco.agent import Agent
from taco.data_gen.generation import TASKS_FILE, generate
from taco.data_gen.nano_curriculum import HELD_OUT_TYPES
from taco.data_gen.pipeline import Recipe
from taco.evaluation import evaluate
from taco.evaluation.running import run_tasks, unfinished
from taco.models import load_model
from taco.trace import read_tasks, read_traces
from taco.training import run_config
from taco.training.config import PRESETS

SEED = 51


def accuracy(model: str, tasks: Path, out: Path) -> str:
    agent = Agent(load_model(model))
    for _ in run_tasks(agent, unfinished(read_tasks(tasks), out, agent.model.name), out):
        pass
    return evaluate(read_traces(out)).to_text()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("out/lora"))
    parser.add_argument("--tasks", type=int, default=100)
    out: Path = parser.parse_args().out
    count = parser.parse_args().tasks
    generate(Recipe(seed=SEED, types=HELD_OUT_TYPES, plain=True), 300, out / "traces")
    generate(Recipe(seed=SEED, split="test", types=HELD_OUT_TYPES, tasks_only=True), count, out / "tasks")
    settings = yaml.safe_load((PRESETS / "lora_nano.yaml").read_text())
    settings |= {"data": [str(out / "traces")], "output_dir": str(out / "adapter")}
    (out / "lora.yaml").write_text(yaml.safe_dump(settings))
    print(f"== before\n{accuracy('nano', out / 'tasks' / TASKS_FILE, out / 'before')}", flush=True)
    began = time.perf_counter()
    run_config(out / "lora.yaml", resume=(out / "adapter").exists())
    minutes = (time.perf_counter() - began) / 60
    print(f"== after {minutes:.1f} minutes on {torch.get_num_threads()} threads")
    print(accuracy(str(out / "adapter"), out / "tasks" / TASKS_FILE, out / "after"))


if __name__ == "__main__":
    main()
