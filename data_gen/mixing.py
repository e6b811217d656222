"""Traces of several folders in given shares, split into train and validation by image, free of the evaluation's questions.

    >>> recipe = read_recipe("cota+cot", {"model": ["data/clean"]}, total=1000)
    >>> mix(recipe, Path("data/mix"), against=[Path("data/test")])

Which traces are taken depends on the seed, the names of the sources and the ids of the traces, not on their order on disk: each
gets a rank from them, the lowest ranks are taken, and lines are written in the order of ranks.
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from taco.data_gen.apportioning import apportioned, assign, available, most
from taco.data_gen.contamination import Evaluation, evaluation_file
from taco.data_gen.mix_recipe import MixRecipe, Part
from taco.data_gen.selection import (
    REMOVED_FILE,
    Kind,
    Removed,
    direct,
    earlier,
    file_digest,
    finished,
    inputs,
    kind,
    missing_image,
    numbered,
    place,
    question_key,
    whole_folder,
    without_folder,
)
from taco.trace import TRACES_FILE, Trace, TraceError

RECORD_FILE = "mix.json"
TRAIN, VALIDATION = "train", "validation"


@dataclass(slots=True)
class _Row:
    """What is kept in memory of a trace: where it lies and what decides on it; ``images`` are numbers, the inputs first."""

    rank: int
    label: str
    offset: int
    line: int
    id: str
    source: str
    kind: Kind
    answered: bool
    question: bytes
    images: tuple[int, ...]
    inputs: int


@dataclass(slots=True)
class _Taken:
    """A trace of the mix: the part that it was taken for, whether it becomes a direct one, and the id that it gets."""

    row: _Row
    part: int
    direct: bool
    id: str


def mix(
    recipe: MixRecipe,
    out: Path,
    *,
    against: Iterable[Path] = (),
    on_step: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Write a mix: ``out/train``, ``out/validation`` (traces.jsonl, images/), ``removed.jsonl`` and ``mix.json``.

    Lines that cannot be read, earlier lines of an id that comes again in its folder, questions that come again in the same
    format, traces without their images, and contaminated ones are left out and listed. Ids that two folders share get
    ``@source`` behind them.

    Args:
        recipe: What to take.
        out: A new folder; it appears when it is whole.
        against: Evaluation files, see `Evaluation`.
        on_step: Called after each line that was read and each that was written.

    Returns:
        What ``mix.json`` holds, and ``already``: whether it was there.

    Raises:
        ValueError: If a share cannot be met (says which, and the most that can be made), no validation set can be split off, or
            ``out`` holds something else or another mix.
        OSError: If the disk is full or an image vanished.
    """
    against = list(against)
    step = on_step or (lambda: None)
    settings = _settings(recipe, against)
    record = finished(out, RECORD_FILE, settings)
    if record is not None:
        return {**record, "already": True}
    removed: list[Removed] = []
    rows = _scan(recipe, Evaluation(against) if against else None, removed, step)
    taken = _take(recipe, rows, removed)
    held_out = _held_out(recipe, [item.row for item in taken])
    folders = {label: folder for label, (_, folder) in recipe.folders().items()}
    with whole_folder(out) as draft:
        for side in (TRAIN, VALIDATION) if recipe.validation else (TRAIN,):
            ours = [item for item in taken if (item.row.rank in held_out) == (side == VALIDATION)]
            _write(draft / side, ours, folders, step)
        with (draft / REMOVED_FILE).open("w", encoding="utf-8") as listed:
            listed.writelines(fault.model_dump_json() + "\n" for fault in removed)
        record = {"settings": settings, **_account(recipe, rows, taken, held_out, removed)}
        (draft / RECORD_FILE).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return {**record, "already": False}


def _settings(recipe: MixRecipe, against: Sequence[Path]) -> dict[str, Any]:
    """All that the bytes of a mix depend on."""
    return {
        **recipe.model_dump(mode="json", exclude={"sources"}),
        "sources": {label: file_digest(folder / TRACES_FILE) for label, (_, folder) in recipe.folders().items()},
        "against": [file_digest(evaluation_file(path)) for path in against],
    }


# ---------------------------------------------------------------------- what there is


def _scan(recipe: MixRecipe, evaluation: Evaluation | None, removed: list[Removed], step: Callable[[], None]) -> list[_Row]:
    """The rows that a part wants, by rank; what cannot be taken goes to ``removed``."""
    rows: list[_Row] = []
    numbers: dict[str, int] = {}
    for label, (name, folder) in recipe.folders().items():
        parts = [part for part in recipe.parts if part.source == name]
        here: dict[str, _Row] = {}
        for line, offset, item in numbered(folder):
            step()
            if isinstance(item, TraceError):
                removed.append(Removed(folder=label, line=line, rule="unreadable", reason=without_folder(item, folder)))
                continue
            if item.task.id in here:
                before = here.pop(item.task.id)
                removed.append(_left_out(before, *earlier(line, before.question == question_key(item))))
            if not any(part.fits(item.task.source) for part in parts):
                continue
            row = _row(recipe.seed, label, line, offset, item, numbers)
            fault = _fault(item, folder, evaluation)
            if fault:
                removed.append(_left_out(row, *fault))
            else:
                here[row.id] = row
        rows += here.values()
    rows.sort(key=lambda row: row.rank)
    return list(_distinct(rows, removed))


def _fault(trace: Trace, folder: Path, evaluation: Evaluation | None) -> tuple[str, str] | None:
    """The rule that keeps a trace out, and why."""
    try:
        reason = missing_image(trace, folder)
        if reason:
            return "image", reason
        reason = evaluation.fault(trace, folder) if evaluation else None
        return ("contaminated", reason) if reason else None
    except TraceError as error:
        return "image", without_folder(error, folder)


def _left_out(row: _Row, rule: str, reason: str) -> Removed:
    return Removed(folder=row.label, line=row.line, id=row.id, source=row.source, rule=rule, reason=reason)


def _row(seed: int, label: str, line: int, offset: int, trace: Trace, numbers: dict[str, int]) -> _Row:
    given = inputs(trace)
    shas = dict.fromkeys(image.sha256 for image in (*given, *trace.images.values()))
    return _Row(
        rank=int.from_bytes(hashlib.sha256(json.dumps([seed, label, trace.task.id]).encode()).digest()[:16], "big"),
        label=label,
        offset=offset,
        line=line,
        id=trace.task.id,
        source=sys.intern(trace.task.source),
        kind=kind(trace),
        answered=trace.task.answer is not None,
        question=question_key(trace),
        images=tuple(numbers.setdefault(sha, len(numbers)) for sha in shas),
        inputs=len({image.sha256 for image in given}),
    )


def _distinct(rows: Iterable[_Row], removed: list[Removed]) -> Iterator[_Row]:
    """The rows without those whose question came before in the same format."""
    first: dict[tuple[Kind, bytes], _Row] = {}
    for row in rows:
        same = first.setdefault((row.kind, row.question), row)
        if same is row:
            yield row
        else:
            removed.append(_left_out(row, "exact", f"the same question about the same images as {same.id} of {same.label}"))


# ---------------------------------------------------------------------- what is taken


def _take(recipe: MixRecipe, rows: Sequence[_Row], removed: Sequence[Removed]) -> list[_Taken]:
    """The traces of the mix, by rank, each for one part."""
    names = {label: name for label, (name, _) in recipe.folders().items()}
    fitting: defaultdict[int, list[int]] = defaultdict(list)
    made = [False] * len(recipe.parts)
    for number, part in enumerate(recipe.parts):
        chosen, made[number] = _eligible(part, [row for row in rows if names[row.label] == part.source])
        for row in chosen:
            fitting[row.rank].append(number)
    pools: defaultdict[tuple[int, ...], list[_Row]] = defaultdict(list)
    for row in rows:
        if row.rank in fitting:
            pools[tuple(fitting[row.rank])].append(row)
    taken: list[tuple[_Row, int]] = []
    sizes = {pool: len(members) for pool, members in sorted(pools.items())}
    for pool, counts in _assigned(recipe, sizes, removed).items():
        members = iter(pools[pool])
        taken += [(next(members), part) for part, count in counts.items() for _ in range(count)]
    taken.sort(key=lambda item: item[0].rank)
    ids = Counter(row.id for row, _ in taken)
    named = [_Taken(row, part, made[part], row.id if ids[row.id] == 1 else f"{row.id}@{row.label}") for row, part in taken]
    twice = [name for name, count in Counter(item.id for item in named).items() if count > 1]
    if twice:
        raise ValueError(f"The id {twice[0]!r} would stand for two traces. Rename it in one of the folders.")
    return named


def _eligible(part: Part, rows: Sequence[_Row]) -> tuple[list[_Row], bool]:
    """The rows that a part may take, its caps kept, and whether they are to become direct ones."""
    fitting = [row for row in rows if part.fits(row.source)]
    chosen = [row for row in fitting if part.format in ("any", row.kind)]
    made = part.format == "direct" and not chosen
    if made:
        chosen = [row for row in fitting if row.answered]
    chosen = _capped(chosen, lambda row: row.source, part.cap_per_source)
    return _capped(chosen, lambda row: row.images[: row.inputs], part.cap_per_image), made


def _capped(rows: list[_Row], key: Callable[[_Row], Any], cap: int | None) -> list[_Row]:
    counts: Counter[Any] = Counter()
    kept = []
    for row in rows:
        counts[key(row)] += 1
        if cap is None or counts[key(row)] <= cap:
            kept.append(row)
    return kept


def _assigned(
    recipe: MixRecipe, pools: dict[tuple[int, ...], int], removed: Sequence[Removed]
) -> dict[tuple[int, ...], dict[int, int]]:
    """How many of each pool go to each part."""
    shares = [part.share for part in recipe.parts]
    total = most(pools, shares) if recipe.total is None else recipe.total
    wanted = apportioned(total, shares)
    assigned = assign(pools, wanted)
    if not assigned.short and total:
        return assigned.taken
    short = assigned.short or tuple(n for n in range(len(shares)) if not available(pools, [n])) or tuple(range(len(shares)))
    titles = " and ".join(recipe.parts[number].title for number in short)
    found = f"{sum(wanted[n] for n in short):,} of {total:,} traces are wanted, {available(pools, short):,} can be taken"
    at_most = most(pools, shares)
    remedy = (
        f"With these shares at most {at_most:,} can be made: lower the total"
        if at_most
        else "With these shares nothing can be made: leave out the part"
    )
    raise ValueError(
        f"The share of {titles} cannot be met: {found if total else 'there are none'}{_left_out_count(removed)}. "
        f"{remedy}, change the shares or caps, or add data."
    )


def _left_out_count(removed: Sequence[Removed]) -> str:
    counts = _counts(fault.rule for fault in removed)
    return f" (left out: {', '.join(f'{count:,} {rule}' for rule, count in counts.items())})" if counts else ""


def _held_out(recipe: MixRecipe, rows: Sequence[_Row]) -> set[int]:
    """The ranks of the rows for validation: whole groups of rows that images connect, while they fit."""
    if not recipe.validation:
        return set()
    wanted = max(1, round(recipe.validation * len(rows)))
    room, held = wanted, set[int]()
    groups = _groups(rows)
    for group in groups:
        if len(group) <= room and len(held) + len(group) < len(rows):
            held.update(row.rank for row in group)
            room -= len(group)
    if not held:
        smallest = min(map(len, groups))
        raise ValueError(
            f"{wanted} of {len(rows)} traces are wanted for validation, but the fewest that share no image with the others are "
            f"{smallest} of {len(rows)}. Raise the share of validation, set it to 0, or add traces about other images."
        )
    return held


def _groups(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Rows that share images, directly or through others, together; in the order of their first rows."""
    parent: dict[int, int] = {}

    def root(image: int) -> int:
        while parent.setdefault(image, image) != image:
            parent[image] = image = parent[parent[image]]
        return image

    for row in rows:
        for image in row.images[1:]:
            parent[root(image)] = root(row.images[0])
    groups: dict[int, list[_Row]] = {}
    for number, row in enumerate(rows):
        groups.setdefault(root(row.images[0]) if row.images else -1 - number, []).append(row)
    return list(groups.values())


# ---------------------------------------------------------------------- what is written


def _write(out: Path, taken: Iterable[_Taken], folders: dict[str, Path], step: Callable[[], None]) -> None:
    out.mkdir(parents=True)
    with ExitStack() as stack:
        files = {label: stack.enter_context((folder / TRACES_FILE).open("rb")) for label, folder in folders.items()}
        lines = stack.enter_context((out / TRACES_FILE).open("w", encoding="utf-8"))
        for item in taken:
            trace = _read(files[item.row.label], item.row)
            trace = direct(trace) if item.direct else trace
            trace = trace.model_copy(update={"task": trace.task.model_copy(update={"id": item.id})})
            lines.write(place(trace, folders[item.row.label], out).to_json() + "\n")
            step()


def _read(file: IO[bytes], row: _Row) -> Trace:
    file.seek(row.offset)
    try:
        trace = Trace.model_validate_json(file.readline())
    except ValueError:
        trace = None
    if trace is None or trace.task.id != row.id:
        raise ValueError(f"{file.name} changed while it was mixed. Run the command again.")
    return trace


def _account(
    recipe: MixRecipe, rows: Sequence[_Row], taken: Sequence[_Taken], held_out: set[int], removed: Sequence[Removed]
) -> dict[str, Any]:
    """What was taken from where."""
    parts = []
    for number, part in enumerate(recipe.parts):
        ours = [item for item in taken if item.part == number]
        parts.append(
            {
                "part": part.title,
                "traces": len(ours),
                VALIDATION: sum(item.row.rank in held_out for item in ours),
                "made_direct": sum(item.direct for item in ours),
                "folders": _counts(item.row.label for item in ours),
                "sources": _counts(item.row.source for item in ours),
            }
        )
    return {
        "traces": len(taken),
        TRAIN: len(taken) - len(held_out),
        VALIDATION: len(held_out),
        "formats": _counts("direct" if item.direct else item.row.kind for item in taken),
        "parts": parts,
        "renamed": sum(item.id != item.row.id for item in taken),
        "not_taken": len(rows) - len(taken),
        "removed": _counts(fault.rule for fault in removed),
    }


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
