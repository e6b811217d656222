"""The command ``taco-data teach``.

$ taco-data teach ai2d.tsv --model openai:gpt-4o --samples 4 --max-cost 20 --price-in 2.5 --price-out 10 --out data/ai2d
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from taco.cli import Adapter, AsJson, BaseUrl, Constrained, Device, Dtype, MaxSteps, Model
from taco.console import FAILED, fail, plain_errors, progress

if TYPE_CHECKING:
    from taco.data_gen.teacher import Lesson, Report

STATUS_SECONDS = 20.0
"""Between two lines that say what was spent and what is to be expected."""


def teach(
    questions: Annotated[
        Path,
        typer.Argument(help="Images, questions and answers: .jsonl, .tsv, .parquet or a dataset's folder; see docs/teaching.md."),
    ],
    out: Annotated[Path, typer.Option(help="The folder. The same command goes on where it was stopped.")],
    model: Model = "nano",
    base_url: BaseUrl = None,
    samples: Annotated[int, typer.Option(min=1, help="Traces of each question, from an endpoint.")] = 1,
    temperature: Annotated[Optional[float], typer.Option(min=0, help="Of an endpoint; 1 by default.")] = None,
    per_image: Annotated[int, typer.Option(min=1, help="At most so many questions about the same images, drawn at random.")] = 3,
    seed: Annotated[int, typer.Option(help="Of that draw.")] = 0,
    limit: Annotated[Optional[int], typer.Option(min=1, help="Only the first so many questions.")] = None,
    max_tokens: Annotated[
        Optional[int], typer.Option(min=1, help="Tokens, read and written, that the folder may take in all.")
    ] = None,
    max_cost: Annotated[Optional[float], typer.Option(help="Money that the folder may take in all; needs the prices.")] = None,
    price_in: Annotated[Optional[float], typer.Option(min=0, help="Price of a million tokens that the model reads.")] = None,
    price_out: Annotated[Optional[float], typer.Option(min=0, help="Price of a million tokens that it writes.")] = None,
    workers: Annotated[
        Optional[int], typer.Option(min=1, help="Questions under way at a time: 32 for an endpoint, 8 for a model here.")
    ] = None,
    max_steps: MaxSteps = 10,
    max_new_tokens: Annotated[Optional[int], typer.Option(min=1, help="Tokens of a reply.")] = None,
    constrained: Constrained = False,
    adapter: Adapter = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: AsJson = False,
) -> None:
    """Lets a model answer a set's questions with tools, for traces that taco-data verify checks. It never sees the answers."""
    with plain_errors():
        from taco.data_gen.calls import Budget
        from taco.data_gen.teacher import Plan, begin
        from taco.models import load_model

        budget = Budget(max_tokens, max_cost, price_in, price_out)
        plan = Plan(samples, per_image, seed, limit, max_steps, constrained)
        loaded = load_model(
            model,
            adapter=adapter,
            device=device,
            dtype=dtype,
            base_url=base_url,
            max_new_tokens=max_new_tokens,
            temperature=1.0 if temperature is None and model.startswith("openai:") else temperature,
            max_retries=0,  # `Calls` asks again
        )
        with progress(None, "rows read") as on_read:
            lesson = begin(questions, loaded, out, plan=plan, budget=budget, workers=workers, on_read=on_read)
        with progress(lesson.report.left, "traces") as moved:
            report = lesson.run(_status(moved), _say_stopping)
    typer.echo(json.dumps({"out": str(out), **asdict(report), "left": report.left}) if as_json else _summary(report, out))
    if report.stopped == "interrupted":
        fail("interrupted; what was finished is kept, and the same command goes on from there.", FAILED)
    if report.failed:
        fail(f"{report.failed} rows failed; {out}/runs.jsonl says why. The same command tries them again.", FAILED)
    if report.unanswered and not report.cota + report.cot:
        fail("not one run ended with an answer. Take another model, or a new folder and more --max-steps.", FAILED)


def _say_stopping() -> None:
    with contextlib.suppress(RuntimeError):  # said by a signal handler, perhaps in the middle of another line
        typer.echo("Stopping: what is under way is finished. Ctrl-C again breaks it off.", err=True)


def _status(moved: Callable[[], None]) -> "Callable[[Lesson], None]":
    """Moves the bar, and says from time to time what was spent and what is to be expected."""
    due = time.monotonic() + STATUS_SECONDS

    def on_row(lesson: "Lesson") -> None:
        nonlocal due
        moved()
        if time.monotonic() >= due:
            due = time.monotonic() + STATUS_SECONDS
            typer.echo(status(lesson), err=True)

    return on_row


def status(lesson: "Lesson") -> str:
    """One line: how far, how fast, what was spent, and what the whole will come to."""
    report, whole = lesson.counted(), lesson.projected()
    ended = report.finished + report.failed
    pace = f"{ended / report.seconds:.2f} rows/s, up to {lesson.calls.limit.calls_at_a_time:.0f} calls at a time"
    if not lesson.calls.paced:
        pace = f"{ended / report.seconds:.2f} rows/s"
    in_all = _spent(whole.prompt_tokens + whole.completion_tokens, lesson.budget.cost(whole))
    over = "; that is more than the budget, which ends the run before" if lesson.budget.share(whole) > 1 else ""
    done = f"{report.done_before + report.finished} of {report.rows} rows"
    return f"{done}, {pace}; {_spent(report.tokens, report.cost)} so far, {in_all} to be expected in all{over}"


def _spent(tokens: int, cost: float | None) -> str:
    return f"{tokens:,} tokens" + ("" if cost is None else f" ({cost:,.2f})" if cost >= 1 else f" ({cost:.4f})")


def _summary(report: "Report", out: Path) -> str:
    answered = f"{report.cota} with tool calls, {report.cot} without"
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(report.unanswered.items()))
    unanswered = f"; {sum(report.unanswered.values())} unanswered: {reasons}" if reasons else ""
    done = f"{report.finished} traces ({answered}{unanswered}) in {report.seconds:.0f} s"
    calls = f"{report.asked} calls, {report.refused} of them refused, {report.known} replies taken from the disk"
    lines = [
        f"{done}, {report.done_before} done before, {report.left} left: {out}",
        f"{calls}; {_spent(report.tokens, report.cost)}",
    ]
    if report.skipped:
        lines.append(f"{report.skipped} rows of the set cannot be used; {out}/skipped.jsonl says why.")
    if report.not_chosen:
        lines.append(f"{report.not_chosen} questions were not drawn: there are more than --per-image about their images.")
    if report.stopped == "budget":
        lines.append("The budget is used up as far as whole rows fit. Give a larger one to go on.")
    if report.finished:
        lines.append(f"Next: taco-data verify {out}")
    return "\n".join(lines)
