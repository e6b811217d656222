"""What a folder of traces holds: types, formats, tools, steps, lengths, images, rejections, how varied the questions are.

>>> stats = survey(Path("data/prices"))
>>> stats.formats, stats.type_token_ratio
({'cota': 300}, 0.12)
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from taco.data_gen.duplicates import digest, question_words
from taco.data_gen.filtering import trace_text
from taco.data_gen.selection import REMOVED_FILE, kind, numbered
from taco.errors import RunError
from taco.trace import Trace

if TYPE_CHECKING:
    from rich.table import Table

REJECTED_FILE = "rejected.jsonl"
_MASKED = re.compile(r"\d+(?:[.,]\d+)*|(?<!^)\b[A-Z][\w'’-]*(?: [A-Z][\w'’-]*)*")


class Spread(BaseModel):
    """How a number is spread over traces."""

    least: int
    median: int
    p95: int
    most: int
    mean: float


class SourceStats(BaseModel):
    """One ``task.source``: its traces, distinct questions, and phrasings: questions with numbers and names masked."""

    traces: int
    questions: int
    phrasings: int


class Stats(BaseModel):
    """What a folder holds.

    Attributes:
        traces: Readable lines. ``unreadable``: the others.
        sources: By ``task.source``.
        formats: cota, cot, direct: see `taco.data_gen.selection.kind`.
        stop_reasons: How the runs ended.
        calls: Of each tool. ``traces_with``: the traces that call it.
        backends: Of each tool that was offered, in how many traces.
        steps, images: How many traces have so many.
        chars: Of what the model reads and writes, see `trace_text`.
        distinct_images: By their pixels, those that tools made included.
        questions: Distinct texts. ``phrasings``: with numbers and names (capitalised words behind the first) masked.
        words, distinct_words: Of all questions. Their ratio falls as a set grows, so compare sets of one size.
        rejected: By reason (numbers masked), from ``rejected.jsonl``. ``removed``: by rule, from ``removed.jsonl``.
    """

    traces: int
    unreadable: int
    sources: dict[str, SourceStats]
    formats: dict[str, int]
    stop_reasons: dict[str, int]
    calls: dict[str, int]
    traces_with: dict[str, int]
    backends: dict[str, int]
    steps: dict[int, int]
    images: dict[int, int]
    chars: Spread | None
    distinct_images: int
    questions: int
    phrasings: int
    words: int
    distinct_words: int
    rejected: dict[str, int]
    removed: dict[str, int]

    @property
    def type_token_ratio(self) -> float:
        """Distinct words of the questions by all their words."""
        return self.distinct_words / self.words if self.words else 0.0

    def to_json(self) -> dict[str, Any]:
        return {**self.model_dump(mode="json"), "type_token_ratio": round(self.type_token_ratio, 4)}


class _Tally:
    """The counters that a folder is gone through with."""

    def __init__(self) -> None:
        self.sources: dict[str, tuple[list[int], set[bytes], set[bytes]]] = {}
        self.counts: dict[str, Counter[Any]] = {
            name: Counter() for name in ("formats", "stop_reasons", "calls", "traces_with", "backends", "steps", "images")
        }
        self.chars: Counter[int] = Counter()
        self.pixels: set[bytes] = set()
        self.words: Counter[str] = Counter()

    def add(self, trace: Trace) -> None:
        counts, question = self.counts, trace.task.question
        called = [action.name for step in trace.steps for action in step.actions]
        counts["formats"][kind(trace)] += 1
        counts["stop_reasons"][trace.stop_reason] += 1
        counts["calls"].update(called)
        counts["traces_with"].update(set(called))
        counts["backends"].update(f"{tool.name} ({tool.backend})" for tool in trace.tools)
        counts["steps"][len(trace.steps)] += 1
        counts["images"][len(trace.images)] += 1
        self.chars[len(trace_text(trace))] += 1
        self.pixels.update(bytes.fromhex(image.sha256) for image in trace.images.values())
        self.words.update(question_words(question))
        traces, texts, phrasings = self.sources.setdefault(trace.task.source, ([0], set(), set()))
        traces[0] += 1
        texts.add(digest(question))
        phrasings.add(digest(_MASKED.sub("_", question)))


def survey(folder: Path, on_read: Callable[[], None] | None = None) -> Stats:
    """Go through a folder once; of each distinct question and image a hash is kept in memory.

    Raises:
        TraceError: If there is no ``traces.jsonl``, or nothing in it.
        ValueError: If ``rejected.jsonl`` or ``removed.jsonl`` holds something else.
    """
    tally, unreadable = _Tally(), 0
    for _, _, item in numbered(folder):
        if isinstance(item, Trace):
            tally.add(item)
        else:
            unreadable += 1
        if on_read:
            on_read()
    sources = sorted(tally.sources.items())
    return Stats(
        traces=sum(tally.chars.values()),
        unreadable=unreadable,
        sources={
            name: SourceStats(traces=count[0], questions=len(texts), phrasings=len(phrasings))
            for name, (count, texts, phrasings) in sources
        },
        **{name: dict(sorted(counter.items())) for name, counter in tally.counts.items()},
        chars=_spread(tally.chars),
        distinct_images=len(tally.pixels),
        questions=len(set[bytes]().union(*(texts for _, (_, texts, _) in sources))),
        phrasings=len(set[bytes]().union(*(phrasings for _, (_, _, phrasings) in sources))),
        words=tally.words.total(),
        distinct_words=len(tally.words),
        rejected=_reasons(folder / REJECTED_FILE, ("stage", "reason")),
        removed=_reasons(folder / REMOVED_FILE, ("rule",)),
    )


def _spread(counts: Counter[int]) -> Spread | None:
    if not counts:
        return None
    values, total = sorted(counts.elements()), counts.total()
    return Spread(
        least=values[0],
        median=values[(total - 1) // 2],
        p95=values[(19 * total - 1) // 20],
        most=values[-1],
        mean=round(sum(values) / total, 1),
    )


def _reasons(file: Path, keys: Sequence[str]) -> dict[str, int]:
    """How often each reason stands in a file of rejections, the most frequent first; numbers in a reason become ``#``."""
    counts: Counter[str] = Counter()
    if file.is_file():
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    record = json.loads(line)
                    said = ": ".join(str(record[key]) for key in keys if record.get(key))
                except (ValueError, AttributeError):
                    raise ValueError(f"{file}, line {number} is no rejected row as JSON. Mend or delete the line.") from None
                counts[re.sub(r"\d+(?:\.\d+)?", "#", said) or "no reason given"] += 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


# ---------------------------------------------------------------------- for people


def tables(stats: Stats) -> list["Table"]:
    """The tables that the command prints."""
    overview: list[tuple[object, ...]] = [
        ("traces", stats.traces),
        ("unreadable lines", stats.unreadable),
        ("distinct images", stats.distinct_images),
        ("distinct questions", stats.questions),
        ("phrasings (numbers and names masked)", stats.phrasings),
        ("type-token ratio", f"{stats.type_token_ratio:.4f} ({stats.distinct_words:,} of {stats.words:,} words)"),
    ]
    if stats.chars:
        spread = stats.chars
        overview.append(("characters a trace", f"{spread.least:,} / {spread.median:,} / {spread.p95:,} / {spread.most:,}"))
        overview.append(("", "least / median / 95th percentile / most"))
    sources = [(name, row.traces, row.questions, row.phrasings) for name, row in stats.sources.items()]
    tools = [(name, count, stats.traces_with[name]) for name, count in stats.calls.items()]
    drawn = [
        _table("Overview", ("", ""), overview),
        _table("Types", ("source", "traces", "questions", "phrasings"), sources),
        _table("Calls", ("tool", "calls", "traces"), tools),
    ]
    for title, counts in (
        ("Format", stats.formats),
        ("Ended", stats.stop_reasons),
        ("Offered", stats.backends),
        ("Steps", stats.steps),
        ("Images a trace", stats.images),
        ("Rejected", stats.rejected),
        ("Removed", stats.removed),
    ):
        if counts:
            drawn.append(_table(title, ("", "count"), counts.items()))
    return drawn


def _table(title: str, heads: Sequence[str], rows: Iterable[tuple[object, ...]]) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else escape(str(cell)) for cell in row))
    return table


def plot(stats: Stats, file: Path) -> None:
    """Bars of sources, calls, steps and images, as a picture of the kind that the file's ending names.

    Raises:
        RunError: If matplotlib is missing.
        ValueError: If the file's ending names no kind of picture.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise RunError("Plots need matplotlib, which is not installed. Run `pip install matplotlib`.") from None
    figure = Figure(figsize=(12, max(6, 3 + 0.2 * len(stats.sources))), layout="constrained")
    axes = figure.subplots(2, 2)
    sources = {name: row.traces for name, row in stats.sources.items()}
    for axis, title, counts in (
        (axes[0, 0], "traces by source", sources),
        (axes[0, 1], "calls by tool", stats.calls),
        (axes[1, 0], "steps of a trace", stats.steps),
        (axes[1, 1], "images of a trace", stats.images),
    ):
        axis.barh([str(name) for name in counts], list(counts.values()))
        axis.invert_yaxis()
        axis.set_title(title)
    figure.savefig(file, metadata={"Software": None} if file.suffix == ".png" else None)
