"""What `verify`, `filter`, `mix`, `export` and `stats` share: a trace's format, line, id and images, folders that appear whole.

>>> kind(trace)
'cota'
>>> with whole_folder(out) as draft:         # ``out`` is there once all of it is
...     line = place(trace, folder, draft).to_json()
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from taco.data_gen.duplicates import exact_key
from taco.data_gen.observations import direct_toolbox
from taco.data_gen.programs.question import DIRECT_THOUGHT
from taco.prompts import reply_text
from taco.tools.action import Action
from taco.tools.images import open_image
from taco.tools.tool import short
from taco.trace import (
    IMAGES_DIR,
    TRACES_FILE,
    ImageFile,
    Step,
    ToolRecord,
    Trace,
    TraceError,
    save_image,
    scan_traces,
    write_new,
)

REMOVED_FILE = "removed.jsonl"
Kind = Literal["cota", "cot", "direct"]
Earlier = Literal["superseded", "duplicate id"]
"""Why a line whose id comes again later does not count: there it asks the same, or something else."""


class Removed(BaseModel):
    """A line that was left out: where it stands, by which rule, and why. ``line`` counts from 1, blank lines not counted."""

    folder: str = ""
    line: int
    id: str = ""
    source: str = ""
    rule: str
    reason: str


def kind(trace: Trace) -> Kind:
    """The format of a trace, as the paper tells them apart (TACO, section 3).

    ``cota``: at least one call of a tool other than Terminate. ``direct``: none, and no other tool was offered.
    ``cot``: none, though tools were offered.
    """
    if any(action.name != "Terminate" for step in trace.steps for action in step.actions):
        return "cota"
    return "direct" if {tool.name for tool in trace.tools} <= {"Terminate"} else "cot"


def inputs(trace: Trace) -> list[ImageFile]:
    """The files of the images that were given, in order; those that tools made are not among them."""
    return [trace.images[f"image-{index}"] for index in range(len(trace.task.images)) if f"image-{index}" in trace.images]


def direct(trace: Trace) -> Trace:
    """The trace as one that answers at once with the right answer: one Terminate step, no other tool, the input images only.

    Raises:
        ValueError: If its task has no answer.
    """
    if trace.task.answer is None:
        raise ValueError(f"Trace {trace.task.id} has no right answer to end with.")
    action = Action(name="Terminate", arguments={"answer": trace.task.answer})
    observation = direct_toolbox().execute(action)
    step = Step(
        reply=reply_text(DIRECT_THOUGHT, [action]), thought=DIRECT_THOUGHT, actions=(action,), observations=(observation,)
    )
    return trace.model_copy(
        update={
            "tools": tuple(ToolRecord(name=tool.name, backend=tool.backend) for tool in direct_toolbox()),
            "steps": (step,),
            "answer": trace.task.answer,
            "stop_reason": "answered",
            "images": {f"image-{index}": image for index, image in enumerate(inputs(trace))},
        }
    )


def numbered(folder: Path) -> Iterator[tuple[int, int, Trace | TraceError]]:
    """Each trace or unreadable line of a folder, with the number and the byte offset of its line.

    Raises:
        TraceError: If there is no ``traces.jsonl``, or nothing in it.
    """
    items, number = scan_traces(folder), 0
    for number, (item, offset) in enumerate(zip(items, _offsets(folder / TRACES_FILE), strict=True), start=1):
        yield number, offset, item
    if not number:
        raise TraceError(f"{folder / TRACES_FILE} is empty. Give a folder with traces.")


def _offsets(file: Path) -> Iterator[int]:
    offset = 0
    with contextlib.suppress(FileNotFoundError), file.open("rb") as lines:  # scan_traces has the sentence
        for line in lines:
            if line.strip():
                yield offset
            offset += len(line)


def question_key(trace: Trace) -> bytes:
    """The same for traces of one question about the same images."""
    return exact_key("", trace.task, [image.sha256 for image in inputs(trace)])


Lasts = dict[str, tuple[int, bytes]]
"""By id, the number of its last line, and the `question_key` there."""


def last_lines(folder: Path) -> Lasts:
    """Which line of each id counts: the last one (`Trace.save`). Raises as `numbered` does."""
    return {item.task.id: (line, question_key(item)) for line, _, item in numbered(folder) if isinstance(item, Trace)}


def outdated(trace: Trace, line: int, lasts: Lasts) -> tuple[Earlier, str] | None:
    """Why a line does not count, since its id comes again: the rule, and a sentence."""
    last, question = lasts.get(trace.task.id, (line, b""))  # none yet: it was written after they were read
    return earlier(last, question == question_key(trace)) if last != line else None


def earlier(last: int, same_question: bool) -> tuple[Earlier, str]:
    """The rule and the sentence for a line whose id comes again in line ``last``."""
    if same_question:
        return "superseded", f"line {last} has the same id; the last one counts"
    remedy = "The last one counts; give each question an id of its own"
    return "duplicate id", f"line {last} has the same id, and another question or other images. {remedy}"


def without_folder(error: TraceError, folder: Path) -> str:
    """What an error says, in the same words wherever the folder lies."""
    return str(error).replace(f"{folder}{os.sep}", "")


def place(trace: Trace, folder: Path, out: Path) -> Trace:
    """Bring the images of a trace of ``folder`` to ``out/images/<sha>.png``; the trace with these files.

    A PNG becomes a hard link, or a copy where the disk has none; other formats are saved as PNG.

    Raises:
        OSError: If a file is gone or the disk is full.
    """
    for image in trace.images.values():
        _place_image(folder / image.file, out / _png(image))
    files = {name: ImageFile(file=_png(image), sha256=image.sha256) for name, image in trace.images.items()}
    task = trace.task.model_copy(update={"images": tuple(_png(image) for image in inputs(trace))})
    return trace.model_copy(update={"images": files, "task": task})


def _png(image: ImageFile) -> str:
    return f"{IMAGES_DIR}/{image.sha256}.png"


def _place_image(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix.lower() != ".png":
        save_image(open_image(source), target)
        return
    try:
        os.link(source.resolve(strict=True), target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without links
        write_new(target, source.read_bytes())


def missing_image(trace: Trace, folder: Path) -> str | None:
    """Why the images of a trace cannot be brought along, as far as the names on disk tell."""
    gone = [image.file for image in trace.images.values() if not (folder / image.file).is_file()]
    return f"{gone[0]} is gone" if gone else None


def file_digest(file: Path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        TraceError: If there is none.
    """
    try:
        with file.open("rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest()
    except FileNotFoundError:
        raise TraceError(f"There is no file {file}.") from None


def finished(out: Path, record_file: str, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The record of a folder that an equal command finished; None if ``out`` is still to be made.

    Raises:
        ValueError: If ``out`` was made with other settings, or holds something else.
    """
    file = out / record_file
    if not file.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"{out} holds something else (it has no {record_file}). Choose a new folder.")
        return None
    try:
        record = json.loads(file.read_bytes())
        there = record["settings"]
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{file} is not what this command wrote there. Choose a new folder.") from None
    settings = json.loads(json.dumps(settings))
    changed = [key for key in {**there, **settings} if there.get(key) != settings.get(key)]
    if changed:
        differences = "; ".join(f"{key} was {short(there.get(key))}, now {short(settings.get(key))}" for key in changed)
        raise ValueError(f"{out} was made with other settings or data: {differences}. Choose a new folder.")
    assert isinstance(record, dict)
    return record


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``out`` at once when the block ends, and vanishes where it fails.

    What a killed run left of it is thrown away: the same command makes the same bytes again.
    """
    draft = out.parent / f".{out.name}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
