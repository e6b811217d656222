"""The command ``taco-data verify``.

$ taco-data verify data/prices --out data/verified
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from taco.console import FAILED, plain_errors, progress

if TYPE_CHECKING:
    from taco.data_gen.verification import Verdict, Verifier


class AnswersName(StrEnum):
    exact = "exact"
    anls = "anls"


def verify(
    folder: Annotated[Path, typer.Argument(help="A folder with traces.jsonl.")],
    out: Annotated[
        Optional[Path], typer.Option(help="Sort the traces into this folder: kept, rejected, repaired, pairs.")
    ] = None,
    allow_errors: Annotated[
        bool, typer.Option("--allow-errors", help="Faulty replies and failed calls that the model was told of are no fault.")
    ] = False,
    answers: Annotated[
        AnswersName, typer.Option(help="exact: text, number or choice. anls: a text may be nearly right, as OCR reads it.")
    ] = AnswersName.exact,
    judge: Annotated[
        Optional[str], typer.Option(help="A model that is asked where an answer is not the right one's text.")
    ] = None,
    rater: Annotated[
        Optional[str], typer.Option(help="A model that rates traces, too: it can lower what the rules give.")
    ] = None,
    min_rating: Annotated[int, typer.Option(min=0, max=5, help="Reject what is rated lower.")] = 0,
    tools: Annotated[Optional[str], typer.Option(help="Tools of your own that traces call: MODULE:ATTRIBUTE.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Verifies traces: format, execution (every call is run again), semantics (right and grounded), rating.

    Exit code 1 if a trace fails or a line is none. Models are named as for taco ask: nano, a directory, a hub id, openai:NAME.
    """
    from taco.data_gen.verification import Rules, Verifier, verify_folder
    from taco.tools.catalogue import load_tools
    from taco.trace import TRACES_FILE

    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    failed: list[Verdict] = []
    file = folder / TRACES_FILE
    total = _lines(file) if file.is_file() else None
    with plain_errors():
        rules = Rules(allow_errors, answers.value, min_rating)
        verifier = Verifier(rules, tools=load_tools(tools) if tools else (), judge=_asked(judge), rater=_asked(rater))
        verdicts = verify_folder(folder, verifier) if out is None else _sorted(folder, out, verifier, judge, rater, tools)
        with progress(total, "traces") as advance:
            for verdict in verdicts:
                counts[verdict.outcome] += 1
                if verdict.failed:
                    faults[f"{verdict.failed}: {verdict.fault}"] += 1
                    failed += [verdict] if out is None else []
                advance()
    if as_json:
        written = {"out": str(out), **_sizes(out, faults)} if out else {"failed": [verdict.model_dump() for verdict in failed]}
        typer.echo(json.dumps({"counts": counts, "faults": faults, **written}))
    else:
        typer.echo(_summary(counts, faults, failed, out))
    if faults:
        raise typer.Exit(FAILED)


def _sorted(
    folder: Path, out: Path, verifier: "Verifier", judge: str | None, rater: str | None, tools: str | None
) -> "Iterator[Verdict]":
    from taco.data_gen.sorting import sort_folder

    settings = {**asdict(verifier.rules), "judge": judge, "rater": rater, "tools": tools}
    return sort_folder(folder, out, verifier, settings)


def _asked(model: str | None) -> Callable[[str], str] | None:
    """A model as a function from prompt to text."""
    if model is None:
        return None
    from taco.models import load_model

    loaded = load_model(model)
    return lambda prompt: loaded.generate([[{"role": "user", "content": [{"type": "text", "text": prompt}]}]])[0].text


def _sizes(out: Path, faults: Counter[str]) -> dict[str, int]:
    """How many lines went where: kept, rejected and unreadable add up to those of the folder."""
    from taco.data_gen.sorting import KEPT, PAIRS_FILE, REJECTED, REPAIRED
    from taco.trace import TRACES_FILE

    files = {name: out / name / TRACES_FILE for name in (KEPT, REJECTED, REPAIRED)} | {"pairs": out / PAIRS_FILE}
    sizes = {name: _lines(file) if file.is_file() else 0 for name, file in files.items()}
    return {KEPT: sizes[KEPT], REJECTED: sizes[REJECTED], "unreadable": faults["format: unreadable"], **sizes}


def _lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _summary(counts: Counter[str], faults: Counter[str], failed: "list[Verdict]", out: Path | None) -> str:
    lines = [f"{verdict.id}: {verdict.failed}: {verdict.reason}" for verdict in failed]
    said = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    lines.append(f"{counts.total()} traces: {said}")
    lines += [f"  {count:>6}  {fault}" for fault, count in faults.most_common()]
    if any("skipped" in outcome for outcome in counts):
        lines.append(
            "Skipped: simulated or imported calls, and those of tools without weights, cannot be run again; the rest was."
        )
    if out is not None:
        sizes = ", ".join(f"{count} {name}" for name, count in _sizes(out, faults).items())
        lines.append(f"{sizes}: {out}; reasons are in verdicts.jsonl")
    return "\n".join(lines)
