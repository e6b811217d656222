"""A folder of traces in somebody else's form.

    >>> report = export(Path("data/prices"), "llava", Path("out"))      # out/llava.json and out/images/
    >>> report.rows, report.left_out
    (60, {})

What a form cannot carry is listed in ``rejected.jsonl``; docs/formats.md says what each one carries.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from taco.data_gen.formats.catalogue import forms
from taco.data_gen.formats.form import Form, Row, RowError, Schemas, json_value
from taco.data_gen.formats.hub import Figures, write_card
from taco.data_gen.formats.parquet import PARQUET, Shards
from taco.data_gen.selection import last_lines, numbered, outdated
from taco.errors import RunError
from taco.trace import Trace, TraceError

REJECTED_FILE, SCHEMAS_FILE = "rejected.jsonl", "tools.json"
"""Rows that could not be used, with reasons; schemas of tools that this package does not have, by name."""


def export(folder: Path, form: str, out: Path, *, on_row: Callable[[int], None] | None = None) -> Figures:
    """Write the traces of a folder in another form.

    Args:
        folder: Has ``traces.jsonl``, ``images/`` and maybe ``tools.json``. Of several traces of one id the last counts.
        form: A name of `taco.data_gen.formats.catalogue.forms`.
        out: A new folder; it appears when it is whole.
        on_row: Called with the number of traces that were looked at.

    Raises:
        ValueError: If there are no traces, there is no such form, or ``out`` holds something.
        RunError: If no trace can be carried.
    """
    chosen, figures = form_named(form), Figures()
    lasts = last_lines(folder)
    schemas = Schemas(_foreign_schemas(folder))
    with new_folder(out) as draft, _writer(chosen, folder, draft) as write, rejected_file(draft) as rejected:
        before: Trace | None = None
        for number, _, item in numbered(folder):
            try:
                if isinstance(item, TraceError):
                    raise RowError("unreadable", str(item))
                old = outdated(item, number, lasts)
                if old:
                    raise RowError(*old)
                trace = _with_pixels(item, before)
                write(trace, _carried(chosen, trace, schemas))
                before = trace
                figures.add(trace)
            except RowError as error:
                figures.left_out[error.kind] += 1
                trace_id = None if isinstance(item, TraceError) else item.task.id
                write_rejected(rejected, number, trace_id, error)
            if on_row:
                on_row(number)
        if chosen is PARQUET:
            write_card(draft, figures, folder)
    if not figures.rows:
        raise RunError(f"Not one trace of {folder} can be written as {form}; {out / REJECTED_FILE} says why.")
    return figures


def form_named(name: str) -> Form:
    """The form of this name. Raises ValueError."""
    known = forms()
    if name not in known:
        raise ValueError(f"There is no form {name!r}; there are: {', '.join(sorted(known))}.")
    return known[name]


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``out`` when all went well, and is gone otherwise.

    Raises:
        ValueError: If ``out`` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is there and holds something. Choose a new folder.")
    draft = out.absolute().parent / f".{out.absolute().name}.{os.getpid()}.part"
    draft.mkdir(parents=True)
    try:
        yield draft
        if not (draft / REJECTED_FILE).read_bytes():
            (draft / REJECTED_FILE).unlink()
        os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def rejected_file(folder: Path) -> IO[str]:
    """The file of rejected rows, to write to."""
    return (folder / REJECTED_FILE).open("w", encoding="utf-8", errors="backslashreplace")


def write_rejected(file: IO[str], row: int, row_id: Any, error: RowError) -> None:
    """One line: which row, and why it could not be used."""
    line = {"row": row, "id": row_id, "kind": error.kind, "reason": str(error)}
    file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")


def _foreign_schemas(folder: Path) -> dict[str, Row]:
    file = folder / SCHEMAS_FILE
    return json_value(file.read_text(encoding="utf-8"), str(file)) if file.exists() else {}


def _with_pixels(trace: Trace, before: Trace | None) -> Trace:
    """The trace with the pixels of the one before, where they are the same: questions about an image stand together."""
    if before is None or trace.images != before.images:
        return trace
    shared = trace.with_store(before.store)
    return shared if shared == trace else trace


def _carried(form: Form, trace: Trace, schemas: Schemas) -> Row:
    try:
        trace.store.names()  # every image is there, with the pixels of the trace
        return form.write(trace, schemas)
    except TraceError as error:
        raise RowError("image", str(error)) from None


@contextlib.contextmanager
def _writer(form: Form, folder: Path, out: Path) -> Iterator[Callable[[Trace, Row], None]]:
    if form is PARQUET:
        with Shards(folder, out) as shards:
            yield lambda trace, row: shards.add(row)
        return
    with (out / form.file).open("w", encoding="utf-8") as file:
        rows = _Rows(file, array=form.file.endswith(".json"))

        def write(trace: Trace, row: Row) -> None:
            rows.add(row)
            for image in row["images"] if "images" in row else row["image"]:
                _copy(folder / image, out / image)

        yield write
        rows.end()


class _Rows:
    """Rows as JSON lines, or as an array with a row a line; one row in memory."""

    def __init__(self, file: IO[str], array: bool) -> None:
        self._file, self._array, self._first = file, array, True

    def add(self, row: Row) -> None:
        between = ("[\n" if self._first else ",\n") if self._array else "" if self._first else "\n"
        self._file.write(between + json.dumps(row, ensure_ascii=False))
        self._first = False

    def end(self) -> None:
        self._file.write("\n]\n" if self._array else "\n")


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
