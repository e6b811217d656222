"""Traces on disk: resumable, with any number of workers, on one machine or a Ray cluster; always the same bytes.

>>> report = generate(Recipe(seed=0), 1000, Path("out"), workers=2)      # out/traces.jsonl, out/images/, out/rejected.jsonl

Workers draw, ask, play and pack; this process appends what they give, in the order of the scene numbers. ``progress.jsonl`` says
after each scene how long every file is: what a killed run wrote behind that is cut off, and the run goes on from there.
"""

import contextlib
import functools
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from taco.data_gen.annotations import SceneError
from taco.data_gen.engines import Engine, in_order
from taco.data_gen.folders import claim, records, whole_lines
from taco.data_gen.observations import ENGINE, Real
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.perception_errors import PerceptionErrors
from taco.data_gen.pipeline import Candidates, Recipe, annotated, candidates, fruitful, numbers, observer_of, scene_id
from taco.data_gen.similarity_errors import SimilarityErrors
from taco.errors import RunError
from taco.tools.images import ImageStore
from taco.tools.ocr import make_ocr
from taco.trace import IMAGES_DIR, TRACES_FILE, Trace, append_line, png, write_new

PROGRESS_FILE = "progress.jsonl"
REJECTED_FILE, TASKS_FILE, ANNOTATIONS_FILE = "rejected.jsonl", "tasks.jsonl", "annotations.jsonl"
FILES = (TRACES_FILE, REJECTED_FILE, TASKS_FILE, ANNOTATIONS_FILE)
_IMAGE = re.compile(rb'"(images/[0-9a-f]{64}\.png)"')


@dataclass(frozen=True)
class Report:
    """What lies in a folder: counts by type, and of the rejected by type and reason."""

    kept: dict[str, int]
    rejected: dict[str, dict[str, int]]
    scenes: int

    def to_json(self) -> dict[str, Any]:
        reasons: Counter[str] = Counter()
        for counts in self.rejected.values():
            reasons.update(counts)
        return {
            "kept": sum(self.kept.values()),
            "rejected": reasons.total(),
            "scenes": self.scenes,
            "kept_by_type": self.kept,
            "rejected_by_reason": dict(reasons),
            "rejected_by_type": self.rejected,
        }


@dataclass(frozen=True)
class Line:
    """One line of one of the folder's files, and the images that it names."""

    file: str
    text: str
    images: tuple[str, ...] = ()
    counts: bool = False


@dataclass(frozen=True)
class Packed:
    """What a scene gives, ready to be written.

    Attributes:
        lines: In the order in which they are written.
        images: PNG files by their names in the folder.
        reasons: Why candidates were rejected.
    """

    lines: tuple[Line, ...]
    images: dict[str, bytes] = field(repr=False)
    reasons: tuple[str, ...] = ()

    @property
    def fruit(self) -> int:
        return sum(line.counts for line in self.lines)


def generate(
    recipe: Recipe,
    n: int,
    out: Path,
    *,
    workers: int = 1,
    engine: Engine = "local",
    on_kept: Callable[[int], None] | None = None,
) -> Report:
    """Write ``n`` traces (or tasks, where the recipe wants only them) into a folder; go on where an interrupted run stopped.

    Args:
        recipe: What to make.
        n: Traces, or tasks, that the folder shall hold.
        out: The folder. Ends with the same bytes whatever the engine, the number of workers and the number of interruptions.
        workers: Processes. They are spawned: a script that calls this with more than one needs ``if __name__ == "__main__"``.
        engine: See `taco.data_gen.engines`.
        on_kept: Called with the number of those that the folder holds, whenever it grew.

    Raises:
        ValueError: If ``n`` or ``workers`` is below 1; if the folder was begun with other settings or tools (the difference is
            named), holds other files, or files of its own that cannot be read; if a tool cannot run here.
        RunError: If scene after scene came to nothing, or all annotated images were used up.
        OSError: If the disk is full; what was finished is kept.
    """
    if n < 1 or workers < 1:
        raise ValueError(f"At least one trace and one worker are needed; got n={n}, workers={workers}.")
    if recipe.observations == "real" and not (recipe.direct or recipe.tasks_only):
        Real().require(recipe.kind.tools, photographs=bool(recipe.scenes))
    claim(out, _settings(recipe, n))
    number, kept = _resume(out)
    if on_kept:
        on_kept(kept)
    if kept < n:
        made = in_order(functools.partial(pack, recipe), numbers(recipe, number), workers=workers, engine=engine)
        with contextlib.closing(made), contextlib.closing(fruitful(made)) as scenes:
            for done, scene in enumerate(scenes, start=number):
                kept += _write(out, scene, n - kept)
                sizes = {name: (out / name).stat().st_size for name in FILES if (out / name).exists()}
                append_line(out / PROGRESS_FILE, json.dumps({"scene": done, "kept": kept, "bytes": sizes}))
                if on_kept:
                    on_kept(kept)
                if kept == n:
                    break
    if kept < n:
        raise RunError(_too_few(report(out), n, out))
    return report(out)


def _too_few(found: Report, n: int, out: Path) -> str:
    counts = found.to_json()
    reasons = ", ".join(f"{count} x {reason}" for reason, count in counts["rejected_by_reason"].items()) or "none"
    return (
        f"All annotated images were asked about, and they gave {counts['kept']} of {n}, kept in {out}; rejected: {reasons}. "
        "For more, take a new folder, and ask more questions per scene or annotate more images."
    )


def report(out: Path) -> Report:
    """Count what `generate` wrote into a folder."""
    kept: Counter[str] = Counter()
    for name in (TRACES_FILE, TASKS_FILE):
        kept.update(record.get("task", record)["source"] for record in records(out / name))
    rejected: dict[str, Counter[str]] = {}
    for record in records(out / REJECTED_FILE):
        rejected.setdefault(record["source"], Counter())[record["reason"]] += 1
    counts = {source: dict(sorted(reasons.items())) for source, reasons in sorted(rejected.items())}
    return Report(dict(sorted(kept.items())), counts, sum(1 for _ in whole_lines(out / PROGRESS_FILE)))


# ---------------------------------------------------------------------- in a worker


def pack(recipe: Recipe, number: int) -> Packed:
    """What a scene number gives: where a file of an annotated image cannot be used, a line that says so."""
    try:
        made = candidates(recipe, number, observer_of(recipe.observations))
    except SceneError as error:
        why = {"id": scene_id(recipe, number), "source": recipe.family, "reason": error.reason, "file": error.file}
        return Packed((Line(REJECTED_FILE, json.dumps(why)),), {}, (error.reason,))
    return _packed_tasks(made) if recipe.tasks_only else _packed_traces(made)


def _packed_tasks(made: Candidates) -> Packed:
    if not made.tasks:
        return Packed((), {})
    images = made.tasks[0].images
    annotation = {"images": images, "annotation": made.annotation.model_dump(mode="json")}
    lines = [Line(ANNOTATIONS_FILE, json.dumps(annotation), images)]
    lines += [Line(TASKS_FILE, task.model_dump_json(), counts=True) for task in made.tasks]
    return Packed(tuple(lines), _pngs(made.store))


def _packed_traces(made: Candidates) -> Packed:
    lines, images = [], dict[str, bytes]()
    for outcome in made.outcomes:
        if isinstance(outcome, Trace):
            lines.append(
                Line(TRACES_FILE, outcome.to_json(), tuple(image.file for image in outcome.images.values()), counts=True)
            )
            images |= _pngs(outcome.store, images)
        else:
            lines.append(Line(REJECTED_FILE, json.dumps(asdict(outcome))))
    return Packed(tuple(lines), images, made.reasons)


def _pngs(store: ImageStore, known: dict[str, bytes] | None = None) -> dict[str, bytes]:
    names = {f"{IMAGES_DIR}/{store.sha256(name)}.png": name for name in store}
    return {file: png(store[name]) for file, name in names.items() if file not in (known or {})}


# ---------------------------------------------------------------------- in the folder


def _write(out: Path, scene: Packed, wanted: int) -> int:
    """Append what a scene gave, up to the last one that is wanted; returns how many were kept."""
    kept = 0
    for line in scene.lines:
        if kept == wanted:
            break
        for image in line.images:
            if not (out / image).exists():
                write_new(out / image, scene.images[image])
        append_line(out / line.file, line.text)
        kept += line.counts
    return kept


def _settings(recipe: Recipe, n: int) -> dict[str, Any]:
    """All that the bytes of a folder depend on."""
    settings = {"n": n, **asdict(recipe)}
    if recipe.scenes:  # by what is in it: a folder may be moved
        settings["scenes"] = annotated(recipe.scenes).digest[:16]
    if recipe.observations == "simulated":
        errors = [kind.load().model_dump_json() for kind in (OcrErrors, PerceptionErrors, SimilarityErrors)]
        settings["error_models"] = hashlib.sha256("".join(errors).encode()).hexdigest()[:16]
    else:
        settings["ocr"] = make_ocr(ENGINE).backend
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _resume(out: Path) -> tuple[int, int]:
    """Cut the files back to the last scene that is wholly in all of them; returns the next scene's number and the kept."""
    images = {f"{IMAGES_DIR}/{file.name}".encode() for file in (out / IMAGES_DIR).glob("*.png")}
    whole = {name: _whole(out / name, images) for name in FILES}
    next_scene, kept, sizes, good = 0, 0, dict[str, int](), 0
    for line, entry in zip(whole_lines(out / PROGRESS_FILE), records(out / PROGRESS_FILE), strict=True):
        if any(whole[name] < size for name, size in entry["bytes"].items()):
            break
        next_scene, kept, sizes, good = entry["scene"] + 1, entry["kept"], entry["bytes"], good + len(line)
    for name in (*FILES, PROGRESS_FILE):
        if (out / name).exists():
            os.truncate(out / name, good if name == PROGRESS_FILE else sizes.get(name, 0))
    for leftover in (out / IMAGES_DIR).glob("*.part"):
        leftover.unlink()
    return next_scene, kept


def _whole(file: Path, images: set[bytes]) -> int:
    """Bytes of a file's lines up to the first one that was not written to its end, or names an image that is not there."""
    good = 0
    for line in whole_lines(file):
        if file.name != REJECTED_FILE and not images.issuperset(_IMAGE.findall(line)):
            break
        good += len(line)
    return good
