"""Are traces with real observations true? They are made, run again from disk in a new process, and checked by a second hand.

$ python benchmarks/truth.py [--n 1000] [--seed 0] [--workers 2] [--out out/truth]

Exit code 1 if a recorded observation or answer does not come back, or the independent checker (tests/data_gen/checker.py, which
sees annotation and question only) has another answer. An interrupted run goes on.
"""

import argparse
import json
import runpy
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from taco.console import progress
from taco.data_gen.generation import generate
from taco.data_gen.pipeline import Recipe, ask_scene
from taco.trace import Trace, read_traces

CHECKER = Path(__file__).parents[1] / "tests" / "data_gen" / "checker.py"


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.2%})" if whole else "none"


def verify(out: Path) -> dict[str, Any]:
    """What ``taco-data verify`` says in a process of its own."""
    command = [str(Path(sysconfig.get_path("scripts")) / "taco-data"), "verify", str(out), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):  # 1: a trace failed
        sys.exit(done.returncode)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def scene_number(trace: Trace) -> int:
    return int(trace.task.id.split("-")[-2])


def disagreements(recipe: Recipe, scenes: int, traces: list[Trace]) -> tuple[int, list[str], list[str]]:
    """How many questions were asked, and to which of them, and to which traces, the checker has another answer."""
    checker = runpy.run_path(str(CHECKER))
    asked = 0
    questions: list[str] = []
    kept: list[str] = []
    for number in range(scenes):
        scene, candidates = ask_scene(recipe, number)
        told = [(question.text, question.answer) for question in candidates]
        found = [(trace.task.question, trace.answer or "") for trace in traces if scene_number(trace) == number]
        for pairs, wrong in ((told, questions), (found, kept)):
            for text, answer in pairs:
                right = checker["right_answer"](scene.annotation, text)
                if not checker["agrees"](right, answer):
                    wrong.append(f"scene {number}: {text} -> {answer}, the checker says {right}")
        asked += len(told)
    return asked, questions, kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000, help="traces")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/truth"))
    options = parser.parse_args()

    recipe = Recipe(seed=options.seed, observations="real")
    with progress(options.n, "traces") as advance:
        made = generate(recipe, options.n, options.out, workers=options.workers, on_kept=advance).to_json()
    tried = made["kept"] + made["rejected"]
    print(f"kept       {share(made['kept'], tried)} candidates, from {made['scenes']} scenes")
    print(f"rejected   {share(made['rejected'], tried)} candidates")
    for reason, count in sorted(made["rejected_by_reason"].items(), key=lambda entry: -entry[1]):
        print(f"           {count:>5}  {reason}")

    verdicts = verify(options.out)
    passed = verdicts["counts"].get("passed", 0)
    print(f"run again  {share(passed, sum(verdicts['counts'].values()))} traces: observations, images and answer equal")
    for verdict in verdicts["failed"]:
        print(f"           {verdict['id']}: {verdict['failed']}: {verdict['reason']}")

    traces = list(read_traces(options.out))
    asked, questions, kept = disagreements(recipe, made["scenes"], traces)
    print(f"checker    {share(len(traces) - len(kept), len(traces))} answers of traces agree")
    print(f"           {share(asked - len(questions), asked)} annotated answers of all questions of these scenes agree")
    for line in [*kept, *questions]:
        print(f"           {line}")
    sys.exit(0 if passed == len(traces) == options.n and not kept and not questions else 1)


if __name__ == "__main__":
    main()
