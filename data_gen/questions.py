"""Sets of images, questions and answers -> tasks: JSONL, TSV (VLMEvalKit), datasets on disk (the_cauldron, Mantis-Instruct).

    >>> prepare("ai2d.tsv", Path("out"), per_image=3, seed=0)          # out/tasks.jsonl, out/images/, out/skipped.jsonl
    Prepared(tasks=3088, images=1529, skipped=0, not_chosen=0)

Images are decoded once, here: what cannot be used is known before anything is paid, and the folder needs nothing else.
"""

import base64
import csv
import hashlib
import itertools
import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from taco.tools.images import MAX_BYTES, ImageSource, open_image, pixel_hash
from taco.trace import IMAGES_DIR, Task, append_line, inside, save_image

TASKS_FILE, SKIPPED_FILE = "tasks.jsonl", "skipped.jsonl"
LAYOUTS = """What can be read:
  a .jsonl file of tasks: id, question, images (files beside it), and answer, choices, source where there are any
  a .tsv file: index, question, image (base64) or image_path, and answer, A, B, C ... where there are any
  a .parquet file or a folder of them, or a folder that datasets' save_to_disk wrote, with the columns
    images and texts (a list of {user, assistant}), as the_cauldron, or
    images and conversation (a list of {role, content}), as Mantis-Instruct"""
"""The formats, for people."""


Save = Callable[[ImageSource], str]


@dataclass(frozen=True)
class Turn:
    """One question about the images of a row. `where` names it to people, `id` in the traces."""

    where: str
    id: str
    question: str
    answer: str | None = None
    choices: tuple[str, ...] | None = None
    source: str = ""


@dataclass(frozen=True)
class Row:
    """Images, by the files that they were saved as, and all that is asked about them."""

    images: tuple[str, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Unusable:
    """A row or turn that cannot be used, and why."""

    where: str
    reason: str


@dataclass
class Prepared:
    """What was made of a set. `not_chosen`: questions left out because their images have more than were wanted."""

    tasks: int = 0
    images: int = 0
    skipped: int = 0
    not_chosen: int = 0
    first_reason: str = field(default="", repr=False)


def prepare(
    source: str | os.PathLike[str],
    out: Path,
    *,
    per_image: int = 3,
    seed: int = 0,
    limit: int | None = None,
    on_row: Callable[[], None] = lambda: None,
) -> Prepared:
    """Write a set's tasks and images into a folder; ``tasks.jsonl`` appears when all are there.

    Args:
        source: See `LAYOUTS`.
        out: The folder.
        per_image: At most so many questions about the same images, drawn at random.
        seed: Of the draw.
        limit: Only the first so many tasks.
        on_row: Called after each row of the set.

    Raises:
        ValueError: If the set is missing, empty, of an unknown layout, has two equal ids, or no row that can be used.
        OSError: If the disk is full.
    """
    made, ids = Prepared(), dict[str, str]()
    draft = out / f"{TASKS_FILE}.part"
    (out / SKIPPED_FILE).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)

    def skip(unusable: Unusable) -> None:
        made.skipped += 1
        made.first_reason = made.first_reason or f"{unusable.where}: {unusable.reason}"
        append_line(out / SKIPPED_FILE, json.dumps({"where": unusable.where, "reason": unusable.reason}, ensure_ascii=False))

    with draft.open("w", encoding="utf-8") as lines:
        for row in read_rows(source, _saver(out), skip, on_row):
            _distinct(row, ids)
            for turn in _chosen(row, per_image, seed)[: None if limit is None else limit - made.tasks]:
                lines.write(_task(turn, row.images).model_dump_json() + "\n")
                made.tasks += 1
            made.images += len(row.images)
            made.not_chosen += max(0, len(row.turns) - per_image)
            if made.tasks == limit:
                break
    if not made.tasks:
        why = f"none of its {made.skipped} rows can be used; {made.first_reason}" if made.skipped else "it is empty"
        raise ValueError(f"{source} gives no question: {why}.\n{LAYOUTS}")
    os.replace(draft, out / TASKS_FILE)
    return made


def _saver(out: Path) -> Callable[[ImageSource], str]:
    known: dict[str, str] = {}  # many lines name the same file

    def save(source: ImageSource) -> str:
        if isinstance(source, str) and source in known:
            return known[source]
        image = open_image(source)
        file = f"{IMAGES_DIR}/{pixel_hash(image)}.png"
        save_image(image, out / file)
        if isinstance(source, str):
            known[source] = file
        return file

    return save


def _distinct(row: Row, ids: dict[str, str]) -> None:
    for turn in row.turns:
        if turn.id in ids:
            both = f"{ids[turn.id]} and {turn.where}"
            raise ValueError(f"{both} have the same id, {turn.id!r}. Ids name the traces: make them distinct.")
        ids[turn.id] = turn.where


def _chosen(row: Row, per_image: int, seed: int) -> list[Turn]:
    rng = random.Random(f"{seed}:{row.turns[0].id}")  # a row's own, so that a limit changes no draw
    return [row.turns[index] for index in sorted(rng.sample(range(len(row.turns)), min(per_image, len(row.turns))))]


def _task(turn: Turn, images: tuple[str, ...]) -> Task:
    return Task(id=turn.id, question=turn.question, images=images, answer=turn.answer, choices=turn.choices, source=turn.source)


def digest(source: str | os.PathLike[str]) -> str:
    """A hash by which a set is known again: of a file's bytes; of a folder's file names and sizes."""
    path, made = Path(source), hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                made.update(block)
    else:
        for file_path in sorted(each for each in path.rglob("*") if each.is_file()):
            made.update(f"{file_path.relative_to(path).as_posix()}:{file_path.stat().st_size}\n".encode())
    return made.hexdigest()[:16]


# ---------------------------------------------------------------------- the layouts


def read_rows(
    source: str | os.PathLike[str],
    save: Save,
    skip: Callable[[Unusable], None],
    on_row: Callable[[], None] = lambda: None,
) -> Iterator[Row]:
    """The rows of a set; those of the same images together where a layout has a line for each question.

    Args:
        source: See `LAYOUTS`.
        save: Takes an image, gives the name of its file. Raises ImageError where it cannot be used.
        skip: Is told of what cannot be used.
        on_row: Called after each row or line.

    Raises:
        ValueError: If the set is missing or its layout unknown.
    """
    path = Path(source)
    if not path.exists():
        raise ValueError(f"There is no {path}.\n{LAYOUTS}")
    readers = {".jsonl": _read_jsonl, ".tsv": _read_tsv, ".parquet": _read_dataset}
    read = _read_dataset if path.is_dir() else readers.get(path.suffix)
    if read is None:
        raise ValueError(f"{path} is of no known format.\n{LAYOUTS}")

    def usable() -> Iterator[Row]:
        for item in read(path, save):
            on_row()
            if isinstance(item, Unusable):
                skip(item)
            elif not all(turn.question for turn in item.turns):
                skip(Unusable(item.turns[0].where, "its question is empty"))
            else:
                yield item

    yield from usable() if read is _read_dataset else _together(usable())


def _together(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows without images, then the others, those with the same images as one."""
    groups: dict[tuple[str, ...], list[Turn]] = {}
    for row in rows:
        if row.images:
            groups.setdefault(row.images, []).extend(row.turns)
        else:
            yield row
    for images, turns in groups.items():
        yield Row(images, tuple(turns))


def _read_jsonl(path: Path, save: Save) -> Iterator[Row | Unusable]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"line {number}"
            if not line.strip():
                continue
            try:
                task = Task.model_validate_json(line)
                images = tuple(save(str(path.parent / inside(image))) for image in task.images)
            except ValidationError as error:
                fault = error.errors(include_url=False)[0]
                yield Unusable(where, f"{'.'.join(map(str, fault['loc'])) or 'the line'}: {fault['msg']}")
            except ValueError as error:
                yield Unusable(where, str(error))
            else:
                source = task.source or path.stem
                yield Row(images, (Turn(where, task.id, task.question.strip(), task.answer, task.choices, source),))


def _read_tsv(path: Path, save: Save) -> Iterator[Row | Unusable]:
    csv.field_size_limit(2 * MAX_BYTES)  # images in base64
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file, delimiter="\t")
        columns = table.fieldnames or []
        if not {"index", "question"} <= {*columns} or not {"image", "image_path"} & {*columns}:
            raise ValueError(f"{path} has the columns {', '.join(columns) or '(none)'}.\n{LAYOUTS}")
        saved: dict[str, tuple[str, ...]] = {}
        for number, cells in enumerate(table, start=2):
            where = f"line {number}"
            try:
                yield _tsv_row(cells, where, path, save, saved)
            except ValueError as error:
                yield Unusable(where, str(error))


def _tsv_row(cells: Mapping[str, str | None], where: str, path: Path, save: Save, saved: dict[str, tuple[str, ...]]) -> Row:
    def cell(name: str) -> str:
        return (cells.get(name) or "").strip()

    index, letters = cell("index"), [letter for letter in "ABCDEFGHIJ" if cell(letter)]
    if not index:
        raise ValueError("its index is empty")
    if len(cell("image")) in range(1, 65):  # the index of a row that has the image
        if cell("image") not in saved:
            raise ValueError(f"its image is {cell('image')!r}, and no row above has that index and an image")
        images = saved[cell("image")]
    else:
        texts = [text.strip().strip("'\"") for text in (cell("image") or cell("image_path")).strip("[]").split(",")]
        if not all(texts):
            raise ValueError("it has no image")
        images = tuple(save(_decoded(text) if cell("image") else str(path.parent / inside(text))) for text in texts)
        saved[index] = images
    question = "\n".join(text for text in (cell("hint"), cell("question")) if text)
    choices = tuple(cell(letter) for letter in letters) if len(letters) > 1 else None
    return Row(images, (Turn(where, index, question, cell("answer") or None, choices, cell("category") or path.stem),))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(f"its image is no base64: {text[:20]!r} ...") from None


def _read_dataset(path: Path, save: Save) -> Iterator[Row | Unusable]:
    folder, name = (path if path.is_dir() else path.parent), path.stem
    read: Callable[..., Iterator[Row | Unusable]] | None = None
    for number, record in enumerate(_records(path)):
        if read is None:
            columns = {*record}
            read = _cauldron if {"images", "texts"} <= columns else _mantis if {"images", "conversation"} <= columns else None
            if read is None:
                raise ValueError(f"{path} has the columns {', '.join(record)}.\n{LAYOUTS}")
        try:
            images = tuple(save(_image_of(image, folder)) for image in record["images"] or ())
            yield from read(record, images, f"{name}-{number}", f"row {number}", name)
        except ValueError as error:
            yield Unusable(f"row {number}", str(error))
        except (TypeError, KeyError, AttributeError) as error:  # lists and records that are built otherwise
            yield Unusable(f"row {number}", f"it is not built as this layout is: {type(error).__name__}: {error}")


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Rows with their images undecoded."""
    import datasets

    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        found = datasets.load_from_disk(str(path))
        if isinstance(found, datasets.DatasetDict):
            splits = ", ".join(str(path / name) for name in found)
            raise ValueError(f"{path} holds several splits. Give the folder of one: {splits}.")
        yield from found.to_iterable_dataset().decode(False)
        return
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path} holds no dataset and no .parquet file.\n{LAYOUTS}")
    yield from datasets.load_dataset("parquet", data_files=[str(file) for file in files], split="train", streaming=True).decode(
        False
    )


def _image_of(value: Any, folder: Path) -> ImageSource:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return str(folder / inside(value))
    raise ValueError(f"an image is a {type(value).__name__}; bytes or a path within the set's folder are needed")


def _cauldron(record: Mapping[str, Any], images: tuple[str, ...], id: str, where: str, name: str) -> Iterator[Row | Unusable]:
    turns = [(turn["user"], turn["assistant"], turn.get("source") or name) for turn in record["texts"]]
    yield from _row(images, turns, id, where)


def _mantis(record: Mapping[str, Any], images: tuple[str, ...], id: str, where: str, name: str) -> Iterator[Row | Unusable]:
    said = [(turn["role"], turn["content"]) for turn in record["conversation"]]
    pairs = list(zip(said[::2], said[1::2], strict=False))
    if len(said) % 2 or any((first[0], second[0]) != ("user", "assistant") for first, second in pairs):
        raise ValueError(f"its turns are by {', '.join(role for role, _ in said)}; user and assistant in turn are needed")
    yield from _row(images, [(question[1], answer[1], name) for question, answer in pairs], id, where)


def _row(images: tuple[str, ...], turns: Iterable[tuple[str, str, str]], id: str, where: str) -> Iterator[Row | Unusable]:
    """A row of (question, answer, source). Placeholders become the images' names, numbered through all turns."""
    usable, shown = [], 0
    for number, (question, answer, source) in enumerate(turns):
        place = f"{where}, turn {number}"
        question, shown = _named(question, shown, len(images))
        if shown > len(images):
            yield Unusable(place, f"its text has more <image> placeholders than the row's {len(images)} images")
        elif not question:
            yield Unusable(place, "its question is empty")
        elif not answer.strip():
            yield Unusable(place, "its answer is empty, so nothing could be checked")
        else:
            usable.append(Turn(place, f"{id}-{number}", question, _bare(answer), source=source))
    if usable:
        yield Row(images, tuple(usable))


def _named(question: str, shown: int, count: int) -> tuple[str, int]:
    """The question with the images' names for placeholders; without them where all stand in front, as the images do anyway."""
    parts = question.split("<image>")
    if shown == 0 and len(parts) == count + 1 and not "".join(parts[:-1]).strip():
        return parts[-1].strip(), count
    names = itertools.count(shown)
    text = re.sub(r"(?<=\w)(?=<image>)|(?<=<image>)(?=\w)", " ", question)
    return re.sub("<image>", lambda _: f"image-{next(names)}", text).strip(), shown + len(parts) - 1


def _bare(answer: str) -> str:
    """The answer without the label that the_cauldron's multiple-choice sets put in front of the letter."""
    return re.sub(r"^answer:\s*", "", answer.strip(), flags=re.IGNORECASE)
