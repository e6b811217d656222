"""Is each planned fault rejected at its stage, and nothing else? 600 candidates with 240 faults, 2,000 clean ones.

$ python benchmarks/verification.py [--clean 2000] [--seed 0]

The faults are put into good traces without the verifier's help: 80 of format, 60 of execution (two of them tools that loop for
ever), 60 of semantics (wrong answers, and right ones that nothing supports), 40 exact doubles; near doubles are for the filter.
Exit code 1 if a candidate ends in another place than planned, or a clean trace is rejected.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from taco.console import progress
from taco.data_gen.families import FAMILIES
from taco.data_gen.pipeline import Recipe, stream_traces
from taco.data_gen.sorting import sort_folder
from taco.data_gen.verification import Verifier
from taco.prompts import reply_text
from taco.tools.action import Action, Observation
from taco.tools.catalogue import load_tools
from taco.trace import TRACES_FILE, Step, ToolRecord, Trace, append_line

LOOP = '''from typing import Any
from taco.tools import tool

@tool(isolated=True, deadline=2.0)
def Spin(number: int) -> dict[str, Any]:
    """Spins for ever."""
    while True:
        pass
'''
TYPES = ("price_of_n", "change", "total_of_two", "difference")
"""Of the candidates that get a fault: they read, calculate and answer."""

Fault = Callable[[Trace, random.Random], Trace]


def step(thought: str, action: Action, content: dict[str, Any]) -> Step:
    """A step with one call."""
    reply = reply_text(thought, [action])
    return Step(reply=reply, thought=thought, actions=(action,), observations=(Observation(content=content),))


def end(answer: str) -> Step:
    return step("That is it.", Action(name="Terminate", arguments={"answer": answer}), {"answer": answer})


def with_steps(trace: Trace, *steps: Step, **update: Any) -> Trace:
    return trace.model_copy(update={"steps": steps, **update})


def changed(trace: Trace, number: int, **update: Any) -> Trace:
    """The trace with a changed step."""
    steps = list(trace.steps)
    steps[number] = steps[number].model_copy(update=update)
    return with_steps(trace, *steps)


def calling(trace: Trace, number: int, name: str, **arguments: Any) -> Trace:
    """The trace with another call in a step, its reply fitting."""
    thought, actions = trace.steps[number].thought, (Action(name=name, arguments=arguments),)
    return changed(trace, number, actions=actions, reply=reply_text(thought, actions))


def answered(trace: Trace, answer: str) -> Trace:
    return with_steps(trace, *trace.steps[:-1], end(answer), answer=answer)


def another_number(trace: Trace, rng: random.Random) -> str:
    return str(round(float(trace.answer or 0) + rng.choice([0.25, 1.75, 10.5]), 2))


def loops(trace: Trace, rng: random.Random) -> Trace:
    spin = step("Wait.", Action(name="Spin", arguments={"number": rng.randint(2, 9)}), {"number": 3})
    tools = (*trace.tools, ToolRecord(name="Spin", backend="taco"))
    return with_steps(trace, *trace.steps[:-1], spin, trace.steps[-1], tools=tools)


def another_backend(trace: Trace, rng: random.Random) -> Trace:
    tools = tuple(tool.model_copy(update={"backend": "taco 0.0"}) if tool.name == "Calculate" else tool for tool in trace.tools)
    return trace.model_copy(update={"tools": tools})


def unseen(trace: Trace, rng: random.Random) -> Trace:
    """The right answer, though nothing that was read supports it."""
    read = trace.steps[0].model_copy(update={"observations": (Observation(content={"text": "OPEN\nEVERY DAY"}),)})
    return with_steps(trace, read, end(trace.answer or ""))


def invented(trace: Trace, rng: random.Random) -> Trace:
    """The right answer, worked out from numbers that are nowhere."""
    part = rng.randint(1001, 4999) / 10_000
    rest = round(float(trace.answer or 0) - part, 4)
    made_up = Action(name="Calculate", arguments={"expression": f"{rest} + {part}"})
    return with_steps(
        trace, trace.steps[0], step("I add them.", made_up, trace.steps[1].observations[0].content), end(trace.answer or "")
    )


FORMAT: tuple[Fault, ...] = (
    lambda trace, rng: changed(trace, 1, reply=trace.steps[1].reply[: rng.randint(5, 40)]),
    lambda trace, rng: changed(trace, 0, reply="I would read the board first."),
    lambda trace, rng: changed(trace, 1, thought="Something else."),
    lambda trace, rng: calling(trace, 1, "Compute", expression="1 + 1"),
    lambda trace, rng: calling(trace, 1, "Calculate", formula="1 + 1"),
    lambda trace, rng: calling(trace, 1, "Calculate", expression=rng.randint(1, 9)),
    lambda trace, rng: calling(trace, 0, "OCR", image=f"image-{rng.randint(1, 9)}"),
    lambda trace, rng: with_steps(trace, trace.steps[0], *trace.steps),
    lambda trace, rng: with_steps(trace, *trace.steps[:-1]),
    lambda trace, rng: trace.model_copy(update={"answer": another_number(trace, rng)}),
    lambda trace, rng: changed(trace, 1, observations=()),
)
EXECUTION: tuple[Fault, ...] = (
    lambda trace, rng: changed(trace, 1, observations=(Observation(content={"result": float(another_number(trace, rng))}),)),
    lambda trace, rng: changed(trace, 1, observations=(Observation(error="It failed."),)),
    another_backend,
    lambda trace, rng: trace.model_copy(update={"images": {**trace.images, "image-1": trace.images["image-0"]}}),
)
SEMANTICS: tuple[Fault, ...] = (lambda trace, rng: answered(trace, another_number(trace, rng)), unseen, invented)


def faulty(counts: dict[str, int], traces: Iterator[Trace], rng: random.Random) -> Iterator[tuple[str, Trace]]:
    """The planned stage and the trace with the fault."""
    for stage, kinds in (("format", FORMAT), ("execution", EXECUTION), ("semantics", SEMANTICS)):
        for kind in itertools.islice(itertools.cycle(kinds), counts[stage]):
            yield stage, kind(next(traces), rng)
    for _ in range(counts["loops"]):
        yield "execution", loops(next(traces), rng)


def write_candidates(folder: Path, counts: dict[str, int], seed: int) -> list[str]:
    """Write good and faulty candidates, mixed, into a folder; returns the planned stage of each, ``kept`` for the good ones."""
    rng, traces = random.Random(seed), stream_traces(Recipe(seed=seed, types=TYPES, questions_per_scene=1))
    plan = [*faulty(counts, traces, rng), *(("kept", next(traces)) for _ in range(counts["good"]))]
    rng.shuffle(plan)
    damage = [trace for stage, trace in plan if stage == "kept"][: counts["pixels"]]
    stages = ["execution" if any(trace is other for other in damage) else stage for stage, trace in plan]
    for _, trace in plan:
        trace.save(folder) if len(trace.images) == 1 else append_line(folder / TRACES_FILE, trace.to_json())
    for number, trace in enumerate(damage):  # every scene has one question: no other trace has this image
        image = folder / trace.images["image-0"].file
        image.unlink() if number % 2 else trace.store["image-0"].rotate(180).save(image)
    good = [number for number, stage in enumerate(stages) if stage == "kept"]
    for number in good[: counts["doubles"]]:  # the last of two lines counts
        append_line(folder / TRACES_FILE, plan[number][1].to_json())
        stages[number] = "format"
        stages.append("kept")
    return stages


def sorted_stages(folder: Path, out: Path) -> list[str]:
    """What the verifier says of each candidate: the stage that failed, or ``kept``."""
    (folder / "tool_that_loops.py").write_text(LOOP)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    verifier = Verifier(tools=load_tools("tool_that_loops:Spin"))
    return [verdict.failed or "kept" for verdict in sort_folder(folder, out, verifier)]


def clean_traces(count: int, seed: int) -> Iterator[Trace]:
    """As many of each family, a third with options."""
    streams = [stream_traces(Recipe(family=name, seed=seed + 1, multiple_choice=0.33)) for name in FAMILIES]
    return itertools.islice(itertools.chain.from_iterable(zip(*streams, strict=True)), count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=int, default=2000, help="clean traces")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    counts = {"format": 80, "execution": 46, "loops": 2, "pixels": 12, "semantics": 60, "doubles": 40, "good": 372}
    with tempfile.TemporaryDirectory() as folder:
        planned = write_candidates(Path(folder) / "in", counts, options.seed)
        began = time.perf_counter()
        found = sorted_stages(Path(folder) / "in", Path(folder) / "out")
        seconds = time.perf_counter() - began
    table = Counter(zip(planned, found, strict=True))
    stages = ("kept", "format", "execution", "semantics")
    print(f"{'planned':<12}" + "".join(f"{stage:>12}" for stage in stages) + "   (found)")
    for row in stages:
        print(f"{row:<12}" + "".join(f"{table[row, column]:>12}" for column in stages))
    print(f"{len(planned)} candidates in {seconds:.1f} s: {len(planned) / seconds:.0f} a second, from disk to sorted folders")

    verifier, outcomes, busy = Verifier(), Counter[str](), 0.0
    with progress(options.clean, "clean traces") as advance:
        for trace in clean_traces(options.clean, options.seed):
            began = time.perf_counter()
            verdict = verifier.verify(trace)
            busy += time.perf_counter() - began
            outcomes[verdict.outcome] += 1
            if verdict.failed:
                print(f"rejected: {trace.task.question} -> {trace.answer}: {verdict.failed}: {verdict.reason}")
            advance()
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{options.clean} clean traces of {', '.join(FAMILIES)}: {said}; {options.clean / busy:.0f} a second, in memory")
    sys.exit(0 if planned == found and not any("failed" in outcome for outcome in outcomes) else 1)


if __name__ == "__main__":
    main()
