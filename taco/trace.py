"""The trace: a task, the steps that were taken, the answer. One JSON line, images beside it.

>>> trace = Agent().run("How much are 3 teas?", ["board.png"])
>>> trace.save("out")                       # out/traces.jsonl and out/images/<sha>.png
>>> [again] = read_traces("out")
"""

import contextlib
import io
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Literal, TypeVar

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from taco.tools.action import Action, Observation
from taco.tools.finding import Finding
from taco.tools.images import ImageError, ImageStore

SCHEMA: Literal["taco-trace-1"] = "taco-trace-1"
TRACES_FILE = "traces.jsonl"
IMAGES_DIR = "images"

StopReason = Literal["answered", "max_steps", "faulty", "context", "failed"]
"""How a run ended: with an answer; out of steps; with too many faulty replies in a row; out of context; on an error."""


_R = TypeVar("_R", bound=BaseModel)


class TraceError(ValueError):
    """A file of tasks or traces that cannot be used, and why; ``line`` is its number where one line is at fault."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(_Record):
    """A question about images.

    Attributes:
        id: Names the task in its file.
        question: The question.
        images: The files of image-0, image-1 ..., relative to the folder of the line. `read_tasks` makes them absolute.
        answer: The right answer, where it is known. The agent never sees it.
        choices: The options of a multiple-choice question.
        source: Where the task comes from, for example ``prices/total_of_two``: reports group by it.
    """

    id: str
    question: str
    images: tuple[str, ...] = ()
    answer: str | None = None
    choices: tuple[str, ...] | None = None
    source: str = ""


class Step(_Record):
    """One reply of the model and what came of it.

    Attributes:
        reply: The model's text, verbatim.
        thought: The thought in it.
        actions: The calls in it, in order.
        observations: What each call gave; one per action that was reached.
        findings: What was wrong with the reply or its calls.
    """

    reply: str
    thought: str = ""
    actions: tuple[Action, ...] = ()
    observations: tuple[Observation, ...] = ()
    findings: tuple[Finding, ...] = ()


class ToolRecord(_Record):
    """A tool that was offered, and what did its work. ``simulated`` in front of the back end: made from an annotation."""

    name: str
    backend: str


class ImageFile(_Record):
    """An image of a trace: its file, relative to the folder of the line, and `pixel_hash` of its RGB pixels."""

    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        return inside(file)


class Trace(_Record):
    """Everything that was asked, done and answered. Immutable; equal runs give equal bytes: times and costs are not in it."""

    schema_: Literal["taco-trace-1"] = Field(default=SCHEMA, alias="schema")
    task: Task
    tools: tuple[ToolRecord, ...] = ()
    steps: tuple[Step, ...] = ()
    answer: str | None = None
    stop_reason: StopReason
    images: dict[str, ImageFile] = Field(default_factory=dict)
    _store: ImageStore | None = PrivateAttr(default=None)

    @field_validator("tools")
    @classmethod
    def _distinct(cls, tools: tuple[ToolRecord, ...]) -> tuple[ToolRecord, ...]:
        if len({tool.name for tool in tools}) < len(tools):
            raise ValueError("a tool is listed twice")
        return tools

    @property
    def store(self) -> ImageStore:
        """The pixels. Where the trace was read from a folder, its files are read when an image is first used; that raises
        TraceError if one is gone or its pixels are not those of the trace.

        Raises:
            TraceError: If the trace has no pixels.
        """
        if self._store is None:
            raise TraceError(f"Trace {self.task.id} was read without its folder, so it has no pixels. Use read_traces.")
        return self._store

    def with_store(self, store: ImageStore) -> "Trace":
        """This trace with ``store`` as its pixels; ``images`` and ``task.images`` are filled from it."""
        files = {name: _image_file(store.sha256(name)) for name in store}
        inputs = tuple(files[f"image-{index}"].file for index in range(len(self.task.images)))
        trace = self.model_copy(update={"images": files, "task": self.task.model_copy(update={"images": inputs})})
        trace._store = store
        return trace

    def __eq__(self, other: object) -> bool:
        # pydantic would compare the stores too, and so a trace with the same trace read back.
        return isinstance(other, Trace) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def to_json(self) -> str:
        """The JSON line, without a line end."""
        return self.model_dump_json(by_alias=True, exclude_none=False)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Append the trace to ``folder/traces.jsonl``, its pixels to ``folder/images/``. Images go first: a line is complete.

        Saved twice, it stands there twice; readers that want one take the last of an id.
        """
        path = Path(folder)
        for name, file in self.images.items():
            save_image(self.store[name], path / file.file)
        append_line(path / TRACES_FILE, self.to_json())


def _image_file(sha256: str) -> ImageFile:
    return ImageFile(file=f"{IMAGES_DIR}/{sha256}.png", sha256=sha256)


def inside(file: str) -> str:
    """The path, if it is relative and stays within its folder; a line of a file must not reach other files."""
    path = PurePosixPath(file)
    if not path.parts or path.is_absolute() or ".." in path.parts or any(sign in file for sign in "\\:\0"):
        raise ValueError(f"{file!r} is not a path relative to the folder of the line")
    return file


def save_image(image: Image.Image, path: Path) -> None:
    """Write a PNG at once or not at all; a file that is there (named by its content) is left alone."""
    if not path.exists():
        write_new(path, png(image))


def png(image: Image.Image) -> bytes:
    """An image as a PNG file, packed lightly: what more takes ten times as long and saves a tenth."""
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


def write_new(path: Path, content: bytes) -> None:
    """Write a file at once or not at all, with the rights that new files have here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with _named(path), temporary.open("xb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Append one line. What an interruption left of a line before it is cut off first: it was never a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _named(path), path.open("ab+") as file:
        _cut_unfinished_line(file)
        file.write(line.encode() + b"\n")


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of the system that comes while a file is written names it: of itself it does so only where opening failed."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _cut_unfinished_line(file: IO[bytes]) -> None:
    end = position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - 65_536)
        file.seek(start)
        newline = file.read(position - start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position < end:
        file.truncate(position)


def read_tasks(path: str | os.PathLike[str]) -> Iterator[Task]:
    """The tasks of a JSONL file. Their image paths are made absolute, relative to the file's folder.

    Raises:
        TraceError: If the file is missing or a line cannot be read; says which.
    """
    file = Path(path)
    for number, line in _lines(file):
        task = _parse(Task, line, file, number)
        images = []
        for image in task.images:
            try:
                images.append(str((file.parent / inside(image)).absolute()))
            except ValueError as error:
                raise TraceError(f"{file}, line {number}: {error}. Put the images into the file's folder.") from None
        yield task.model_copy(update={"images": tuple(images)})


def read_traces(folder: str | os.PathLike[str]) -> Iterator[Trace]:
    """The traces of a folder, with their pixels loaded on demand.

    Raises:
        TraceError: If there is no ``traces.jsonl`` or a line of it cannot be read; says which.
    """
    for item in scan_traces(folder):
        if isinstance(item, TraceError):
            raise item
        yield item


def scan_traces(folder: str | os.PathLike[str]) -> Iterator[Trace | TraceError]:
    """As `read_traces`, but a line that cannot be read gives its error, and the lines behind it are read too.

    Raises:
        TraceError: If there is no ``traces.jsonl``.
    """
    file = Path(folder) / TRACES_FILE
    for number, line in _lines(file):
        try:
            trace = _parse(Trace, line, file, number)
        except TraceError as error:
            yield error
            continue
        if len(trace.task.images) > len(trace.images):
            counts = f"its task has {len(trace.task.images)} images, the trace {len(trace.images)}"
            yield TraceError(f"{file}, line {number}: {counts}. Mend or delete the line.", number)
            continue
        trace._store = _FolderStore(file.parent, trace.images)
        yield trace


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        raise TraceError(f"There is no file {file}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{file} cannot be read: {error}.") from None


def _parse(record: type[_R], line: str, file: Path, number: int) -> _R:
    try:
        return record.model_validate_json(line)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        other = next((str(fault["input"])[:80] for fault in faults if fault["loc"] == ("schema",)), None)
        where = ".".join(str(part) for part in faults[0]["loc"]) or "the line"
        count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        said = f"{where}: {faults[0]['msg']}. Mend or delete the line ({count} in it)."
        if other is not None:
            remedy = "Read it with the version of taco that wrote it, or make the trace again"
            said = f"its schema is {other!r}, another version than {SCHEMA!r}, which is read here. {remedy}."
        raise TraceError(f"{file}, line {number}: {said}", number) from None


class _FolderStore(ImageStore):
    """The images of a trace on disk, opened at first use and compared with their hashes."""

    def __init__(self, folder: Path, files: Mapping[str, ImageFile]) -> None:
        super().__init__()
        self._folder, self._files, self._loaded = folder, files, False

    def _index(self, name: str) -> int:
        self._load()
        return super()._index(name)

    def names(self) -> list[str]:
        self._load()
        return super().names()

    def copy(self) -> ImageStore:
        self._load()
        return super().copy()

    def __len__(self) -> int:
        self._load()
        return super().__len__()

    def _load(self) -> None:
        if self._loaded:
            return
        loaded = ImageStore()
        for index in range(len(self._files)):
            file = self._files.get(f"image-{index}")
            if file is None:
                raise TraceError(f"The images of a trace are named image-0, image-1 ...; got {', '.join(self._files)}.")
            try:
                name = loaded.add(self._folder / file.file)
            except ImageError as error:
                raise TraceError(f"An image of the trace is gone: {error}") from None
            if loaded.sha256(name) != file.sha256:
                raise TraceError(f"{self._folder / file.file} is not the image of the trace: its pixels changed.")
        self._images[:], self._loaded = loaded._images, True
