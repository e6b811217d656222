"""Somebody else's file of traces as a folder of ours.

    >>> report = import_file(Path("cota_llava.json"), "llava", Path("out"), images=Path("cota/images"))
    >>> report.kept, report.rejected, report.mended
    (291, {'unknown tool': 7, 'image count': 2}, {'calls behind the first one of a reply, which never ran': 12})

Each row that cannot be used stands in ``rejected.jsonl`` with the reason. The file is read row by row.
"""

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from taco.data_gen.exporting import REJECTED_FILE, SCHEMAS_FILE, form_named, new_folder, rejected_file, write_rejected
from taco.data_gen.formats.catalogue import forms
from taco.data_gen.formats.form import Draft, Form, Row, RowError
from taco.data_gen.formats.parquet import read_rows
from taco.errors import RunError
from taco.tools.images import ImageError, ImageSource, ImageStore, open_image
from taco.trace import Trace, inside


@dataclass
class Report:
    """What became of the rows: counts of the rejected by kind of fault, and of what was mended in the kept."""

    rows: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "kept": self.kept, "rejected": dict(self.rejected), "mended": dict(self.mended)}


def import_file(
    source: Path,
    form: str,
    out: Path,
    *,
    images: Path | None = None,
    strip: str = "",
    on_row: Callable[[int], None] | None = None,
) -> Report:
    """Read a file, write a folder of traces.

    Args:
        source: ``.json`` (an array), ``.jsonl``, ``.parquet``, or a folder: the one that `export` writes.
        form: A name of `taco.data_gen.formats.catalogue.forms`.
        out: A new folder; it appears when it is whole.
        images: What the rows' image paths are relative to; the file's folder by default.
        strip: What to take off the front of the rows' image paths first.
        on_row: Called with the number of rows that were looked at.

    Raises:
        ValueError: If the source is missing, empty, damaged or of another form, or ``out`` holds something.
        RunError: If not one row can be used.
    """
    chosen = form_named(form)
    files = _files(source, chosen)
    pixels = _Images(images or (source if source.is_dir() else source.parent), strip)
    report, schemas, ids = Report(), dict[str, Row](), set[str]()
    with new_folder(out) as draft, rejected_file(draft) as rejected:
        for index, row in enumerate((row for file in files for row in _rows(file)), start=1):
            if index == 1:
                _check_columns(row, chosen, source)
            report.rows += 1
            try:
                made = _read(chosen, row)
                trace, renamed = _named(made.trace, ids, f"{source.stem}-{index}")
                _with_pixels(trace, made.images, pixels).save(draft)
            except RowError as error:
                report.rejected[error.kind] += 1
                write_rejected(rejected, index, _id(row), error)
            else:
                report.kept += 1
                report.mended.update((*made.mended, *renamed))
                ids.add(trace.task.id)
                schemas |= made.schemas
            if on_row:
                on_row(report.rows)
        if not report.rows:
            raise ValueError(f"{source} has no rows. A JSON array of objects, JSON lines or Parquet is needed.")
        if schemas:
            (draft / SCHEMAS_FILE).write_text(json.dumps(schemas, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if not report.kept:
        raise RunError(f"Not one of the {report.rows} rows of {source} can be used; {out / REJECTED_FILE} says why.")
    return report


# ---------------------------------------------------------------------- rows


def _files(source: Path, form: Form) -> list[Path]:
    """The files with the rows."""
    if not source.is_dir():
        if not source.is_file():
            raise ValueError(f"There is no file {source}.")
        if source.suffix not in _READERS:
            raise ValueError(f"{source} is none of {', '.join(_READERS)}. Convert it, or rename it to what it is.")
        return [source]
    found = [source / form.file] if (source / form.file).is_file() else sorted((source / form.file).glob("*.parquet"))
    found = found or sorted(source.glob("*.parquet"))
    if not found:
        raise ValueError(f"{source} has neither {form.file} nor Parquet files in it. Give the file itself.")
    return found


def _array(file: Path) -> Iterator[Any]:
    """The items of a JSON array, or JSON lines under the name of one. Where it is damaged, the fault, and no more."""
    import ijson

    with file.open("rb") as data:
        start = data.read(64).lstrip()[:1]
        data.seek(0)
        if start != b"[":
            yield from _lines(file)
            return
        try:
            yield from ijson.items(data, "item", use_float=True)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            yield RowError("damaged JSON", f"the array is damaged here, and nothing behind it was read: {error}")


def _lines(file: Path) -> Iterator[Any]:
    with file.open("rb") as data:
        for line in data:
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    yield RowError("damaged JSON", f"the line is no JSON: {error}")


_READERS: dict[str, Callable[[Path], Iterator[Any]]] = {".json": _array, ".jsonl": _lines, ".parquet": read_rows}


def _rows(file: Path) -> Iterator[Any]:
    return _READERS[file.suffix](file)


def _check_columns(row: Any, form: Form, source: Path) -> None:
    """Raises ValueError if the first row shows that the file is of another form."""
    if isinstance(row, RowError):
        raise ValueError(f"{source} cannot be read: {row}.")
    columns = list(row) if isinstance(row, dict) else []
    missing = [column for column in form.needs if column not in columns]
    if missing:
        others = sorted(other.name for other in forms().values() if set(other.needs) <= set(columns))
        hint = f"It looks like {' or '.join(others)}." if others else "See docs/formats.md for the columns of each form."
        found = ", ".join(map(str, columns)) or f"no columns: it is a {type(row).__name__}"
        raise ValueError(f"{source} is not of the form {form.name}: it lacks {', '.join(missing)}; it has {found}. {hint}")


def _read(form: Form, row: Any) -> Draft:
    if isinstance(row, RowError):
        raise row
    if not isinstance(row, dict):
        raise RowError("columns", f"a row is an object, not a {type(row).__name__}")
    missing = [column for column in form.needs if column not in row]
    if missing:
        raise RowError("columns", f"it lacks {', '.join(missing)}")
    try:
        draft = form.read(row)
        draft.trace.to_json()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RowError("damaged record", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except PydanticSerializationError:
        raise RowError("damaged record", "it has half a character (a lone surrogate) in a text") from None
    return draft


def _id(row: Any) -> Any:
    return (
        next((row[key] for key in ("id", "sample_id", "unique_trajectory_id") if key in row), None)
        if isinstance(row, dict)
        else None
    )


def _named(trace: Trace, taken: set[str], otherwise: str) -> tuple[Trace, tuple[str, ...]]:
    """The trace under an id that no other has, and what had to be mended for it."""
    wanted = trace.task.id or otherwise
    free, count = wanted, 1
    while free in taken:
        count += 1
        free = f"{wanted}-{count}"
    task = trace.task.model_copy(update={"id": free})
    return trace.model_copy(update={"task": task}), () if free == wanted else ("an id that another row has",)


# ---------------------------------------------------------------------- images


class _Images:
    """Opens the images that rows name; no row reaches a file outside of the folder."""

    def __init__(self, folder: Path, strip: str) -> None:
        self._folder, self._strip = folder, strip
        self._open = functools.lru_cache(maxsize=4)(_open_file)  # questions about an image stand together

    def open(self, source: ImageSource) -> Image.Image:
        """Raises RowError for a path that is not in the folder, ImageError for what is no image."""
        if not isinstance(source, str):
            return open_image(source)
        path = source.removeprefix(self._strip).lstrip("/") if self._strip else source
        try:
            file = self._folder / inside(path)
        except ValueError:
            remedy = "give --strip, the part in front of what stands in the folder of --images"
            raise RowError("image path", f"its image {source} is not relative to a folder: {remedy}") from None
        if not file.is_file():
            raise RowError("missing image", f"its image {source} is not in {self._folder}")
        return self._open(file)


def _open_file(path: Path) -> Image.Image:
    return open_image(path)


def _with_pixels(trace: Trace, sources: Sequence[ImageSource], images: _Images) -> Trace:
    """The trace with its images opened. Raises RowError if one is missing, broken, or not the one of the trace."""
    try:
        store = ImageStore(images.open(source) for source in sources)
    except ImageError as error:
        raise RowError("broken image", str(error)) from None
    if trace.images:
        store = _as_recorded(trace, store)
    return trace.with_store(store)


def _as_recorded(trace: Trace, found: ImageStore) -> ImageStore:
    """The images in the trace's own order, found by their hashes."""
    names = {found.sha256(name): name for name in found}
    recorded = [trace.images.get(f"image-{index}") for index in range(len(trace.images))]
    if len(trace.task.images) > len(recorded) or not all(file and file.sha256 in names for file in recorded):
        raise RowError("other pixels", "its images are not those that the trace was made with")
    return ImageStore(found[names[file.sha256]] for file in recorded if file)
