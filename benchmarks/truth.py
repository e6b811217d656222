"""Are traces true? Every answer is checked by a second hand; traces with real observations are run again from disk.

$ OMP_NUM_THREADS=1 python benchmarks/truth.py [--n 20000] [--families prices objects ...] [--seed 0] [--workers 2]
$ OMP_NUM_THREADS=1 python benchmarks/truth.py --observations real --families prices equations --n 200 [--out out/truth]

The second hand are the checkers in tests/data_gen: each sees annotation and question only, and shares no code with the programs.
They judge the annotated answer of every question, kept or not, and the answer of every trace. Exit code 1 if one of them has
another answer, or if a recorded observation does not come back. ``--n`` are traces of all families together.
"""

import argparse
import functools
import json
import runpy
import subprocess
import sys
import sysconfig
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taco.console import progress
from taco.data_gen.engines import in_order
from taco.data_gen.families import FAMILIES
from taco.data_gen.generation import generate
from taco.data_gen.pipeline import Recipe, ask_scene, candidates, observer_of

TESTS = Path(__file__).parents[1] / "tests" / "data_gen"
CHECKERS = {
    "prices": "checker",
    "equations": "equation_checker",
    "objects": "object_checker",
    "sets": "set_checker",
    "tables": "table_checker",
    "charts": "chart_checker",
    "signs": "sign_checker",
}


@dataclass
class Judged:
    """What the checker says of a scene: counts by type, and each answer that it has otherwise."""

    asked: int = 0
    kept: int = 0
    kept_by_type: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    wrong_kept: list[str] = field(default_factory=list)


@functools.cache
def checker(family: str) -> dict[str, Any]:
    return runpy.run_path(str(TESTS / f"{CHECKERS[family]}.py"))


def judge(recipe: Recipe, number: int) -> Judged:
    """Ask and answer a scene, and have every answer checked."""
    scene, asked = ask_scene(recipe, number)
    made = candidates(recipe, number, observer_of(recipe.observations))
    found = Judged(asked=len(asked), kept=len(made.traces))
    for question in asked:
        found.wrong += disagreement(recipe, number, scene.annotation, question.text, question.answer)
    for trace in made.traces:
        found.kept_by_type[trace.task.source] += 1
        found.wrong_kept += disagreement(recipe, number, scene.annotation, trace.task.question, trace.answer or "")
    return found


def disagreement(recipe: Recipe, number: int, annotation: Any, question: str, answer: str) -> list[str]:
    said = checker(recipe.family)
    right = said["right_answer"](annotation, question)
    same = said["agrees"](right, answer) if "agrees" in said else right == answer
    return [] if same else [f"{recipe.family}, scene {number}: {question} -> {answer}, the checker says {right}"]


def share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.2%})" if whole else "none"


def check(recipe: Recipe, n: int, workers: int) -> bool:
    """Make traces of a family until there are n; whether every answer is right."""
    total = Judged()
    with progress(n, f"{recipe.family}: traces") as advance:
        scenes = in_order(functools.partial(judge, recipe), iter(range(10**9)), workers=workers)
        for found in scenes:
            total.asked, total.kept = total.asked + found.asked, total.kept + found.kept
            total.kept_by_type += found.kept_by_type
            total.wrong, total.wrong_kept = total.wrong + found.wrong, total.wrong_kept + found.wrong_kept
            advance(min(n, total.kept))
            if total.kept >= n:
                break
        scenes.close()
    types = sum(1 for name in recipe.kind.types if total.kept_by_type[f"{recipe.family}/{name}"])
    print(f"{recipe.family:<10} {types} of {len(recipe.kind.types)} types; kept {share(total.kept, total.asked)} candidates")
    print(f"           the checker agrees with {share(total.asked - len(total.wrong), total.asked)} annotated answers")
    print(f"           and with {share(total.kept - len(total.wrong_kept), total.kept)} answers of traces", flush=True)
    for line in [*total.wrong, *total.wrong_kept][:20]:
        print(f"           {line}")
    return not total.wrong and not total.wrong_kept


def run_again(recipe: Recipe, n: int, out: Path, workers: int) -> bool:
    """Write traces with real observations, and let ``taco-data verify`` run them in a process of its own."""
    with progress(n, f"{recipe.family}: traces") as advance:
        generate(recipe, n, out, workers=workers, on_kept=advance)
    command = [str(Path(sysconfig.get_path("scripts")) / "taco-data"), "verify", str(out), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):  # 1: a trace failed
        sys.exit(done.returncode)
    said = json.loads(done.stdout)
    passed = said["counts"].get("passed", 0)
    print(
        f"{recipe.family:<10} {share(passed, n)} traces passed when run again: observations, images, answer, grounding",
        flush=True,
    )
    for verdict in said["failed"]:
        print(f"           {verdict['id']}: {verdict['failed']}: {verdict['reason']}")
    return bool(passed == n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20_000, help="traces, of all families together")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--observations", choices=["simulated", "real"], default="simulated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/truth"))
    options = parser.parse_args()

    each, good = -(-options.n // len(options.families)), True
    for family in options.families:
        recipe = Recipe(family=family, seed=options.seed, observations=options.observations, multiple_choice=0.3)
        if options.observations == "real":
            good &= run_again(recipe, each, options.out / family, options.workers)
        else:
            good &= check(recipe, each, options.workers)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
