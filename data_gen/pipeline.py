"""Scenes -> questions -> traces: in memory as an endless stream, or on disk, resumable, with any number of workers.

    >>> traces = stream_traces(seed=0)                                       # endless; simulated observations
    >>> report = generate(Recipe(seed=0), 1000, Path("out"), workers=2)      # out/traces.jsonl, out/images/, out/rejected.jsonl

What scene number i of a seed gives depends on (family, split, seed, i) and the recipe alone (with real observations on the OCR
engine, too), never on what ran before it, on the number of workers or on the environment.
"""

import contextlib
import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from taco.data_gen.families import FAMILIES, Family, Split
from taco.data_gen.observations import ENGINE, Observations, Observer, direct_toolbox, make_observer
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.perception_errors import PerceptionErrors
from taco.data_gen.programs.question import GaveUp, Program, Question, weighted_order
from taco.data_gen.scenes.scene import Annotation, Scene
from taco.errors import RunError
from taco.prompts import reply_text, terminated
from taco.tools.images import ImageStore
from taco.tools.ocr import make_ocr
from taco.tools.tool import short
from taco.tools.toolbox import Toolbox
from taco.trace import IMAGES_DIR, TRACES_FILE, Step, Task, ToolRecord, Trace, append_line, save_image

CONFIG_FILE, PROGRESS_FILE = "config.json", "progress.jsonl"
REJECTED_FILE, TASKS_FILE, ANNOTATIONS_FILE = "rejected.jsonl", "tasks.jsonl", "annotations.jsonl"
BARREN = 200
"""Scenes in a row that may come to nothing before a run is given up."""


@dataclass(frozen=True)
class Recipe:
    """What is made of each scene number.

    Attributes:
        family: The kind of scenes, see `taco.data_gen.families`.
        split: ``train`` never has what is held out for ``test`` (names, layouts, fonts ...).
        seed: Equal seeds and settings give equal traces.
        observations: ``simulated`` (fast) or ``real``.
        min_items: Fewest items of a scene.
        max_items: Most items of a scene; few make easy scenes. 0: as many as the family can have.
        types: Question types; None for all of the family.
        direct: One Terminate step with the annotated answer instead of the steps with tools.
        questions_per_scene: At most so many, of different types.
        multiple_choice: Share of questions that come with options.
        tasks_only: Tasks for evaluation in place of traces, never filtered.

    Raises:
        ValueError: If a number is out of range, or a family or type is unknown.
    """

    family: str = "prices"
    split: Split = "train"
    seed: int = 0
    observations: Observations = "simulated"
    min_items: int = 2
    max_items: int = 0
    types: tuple[str, ...] | None = None
    direct: bool = False
    questions_per_scene: int = 4
    multiple_choice: float = 0.0
    tasks_only: bool = False

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"There is no family {self.family!r}; there are: {', '.join(FAMILIES)}.")
        least, most = self.kind.items
        if not least <= self.min_items <= self.items[1] <= most:
            wanted = f"{least} <= min_items <= max_items <= {most} is needed for {self.family}"
            raise ValueError(f"{wanted}; got {self.min_items} and {self.max_items}.")
        if self.questions_per_scene < 1:
            raise ValueError(f"questions_per_scene is at least 1; got {self.questions_per_scene}.")
        if not 0 <= self.multiple_choice <= 1:
            raise ValueError(f"multiple_choice is a share between 0 and 1; got {self.multiple_choice}.")
        unknown = sorted(set(self.types or ()) - set(self.kind.types))
        if unknown or self.types == ():
            known = ", ".join(self.kind.types)
            raise ValueError(f"There is no question type {', '.join(unknown) or '(none given)'}; there are: {known}.")

    @property
    def kind(self) -> Family:
        return FAMILIES[self.family]

    @property
    def items(self) -> tuple[int, int]:
        """Fewest and most items of a scene."""
        return self.min_items, self.max_items or self.kind.items[1]


@dataclass(frozen=True)
class Rejected:
    """A candidate that is no trace: its task's id and type, and why."""

    id: str
    source: str
    reason: str


@dataclass(frozen=True)
class Candidates:
    """All that one scene number gives: its tasks, never filtered; and, unless only they are wanted, what became of each."""

    annotation: Annotation
    store: ImageStore
    tasks: tuple[Task, ...]
    outcomes: tuple[Trace | Rejected, ...]

    @property
    def traces(self) -> list[Trace]:
        return [outcome for outcome in self.outcomes if isinstance(outcome, Trace)]


def stream_traces(recipe: Recipe, *, start: int = 0, step: int = 1) -> Iterator[Trace]:
    """Endless traces, made on the fly, pixels in ``trace.store``: scenes start, start + step, start + 2 step ...

    Args:
        recipe: What to make. Workers share one with ``start=worker, step=workers``.
        start: First scene number.
        step: From one scene number to the next.
    """
    made = (candidates(recipe, number, _observer(recipe.observations)) for number in itertools.count(start, step))
    for scene in _fruitful(made):
        yield from scene.traces


def candidates(recipe: Recipe, number: int, observer: Observer) -> Candidates:
    """Everything that one scene number gives: the tasks, and what became of each."""
    scene, asked = ask_scene(recipe, number)
    store = ImageStore(scene.images)
    tasks = _tasks(recipe, number, asked, tuple(f"{IMAGES_DIR}/{store.sha256(name)}.png" for name in store))
    if recipe.tasks_only:
        return Candidates(scene.annotation, store, tasks, ())
    toolbox = direct_toolbox()
    if not recipe.direct:
        toolbox = observer.look(scene, recipe.kind.tools, rng_for(recipe, number, "observations"))
    records = tuple(ToolRecord(name=tool.name, backend=tool.backend) for tool in toolbox)
    outcomes = []
    for index, (question, task) in enumerate(zip(asked, tasks, strict=True)):
        program = question.direct() if recipe.direct else question.program(rng_for(recipe, number, f"program {index}"))
        outcomes.append(_outcome(question, program, task, store, toolbox, records))
    return Candidates(scene.annotation, store, tasks, tuple(outcomes))


def ask_scene(recipe: Recipe, number: int) -> tuple[Scene, list[Question]]:
    """The scene of a number and its questions."""
    scene = recipe.kind.render(rng_for(recipe, number, "scene"), recipe.split, recipe.items)
    return scene, _questions(recipe, number, scene.annotation)


def _questions(recipe: Recipe, number: int, annotation: Annotation) -> list[Question]:
    """Questions of different types, the types drawn by their weights."""
    rng, choosing = rng_for(recipe, number, "questions"), rng_for(recipe, number, "choices")
    weights = {name: kind.weight for name, kind in recipe.kind.types.items() if recipe.types is None or name in recipe.types}
    asked: list[Question] = []
    for name in weighted_order(rng, weights):
        question = recipe.kind.ask(rng, annotation, name) if len(asked) < recipe.questions_per_scene else None
        if question is not None:
            asked.append(question.with_choices(choosing) if choosing.random() < recipe.multiple_choice else question)
    return asked


def rng_for(recipe: Recipe, number: int, purpose: str) -> random.Random:
    """The chance of one scene number for one purpose: the same on every machine and worker, independent of other purposes."""
    text = f"{recipe.family}/{recipe.split}/{recipe.seed}/{number}/{purpose}"
    return random.Random(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))


def _tasks(recipe: Recipe, number: int, asked: Sequence[Question], images: tuple[str, ...]) -> tuple[Task, ...]:
    return tuple(
        Task(
            id=f"{recipe.family}-{recipe.split}-{recipe.seed}-{number:06d}-{index}",
            question=question.text,
            images=images,
            answer=question.answer,
            choices=question.choices,
            source=f"{recipe.family}/{question.type}",
        )
        for index, question in enumerate(asked)
    )


def _outcome(
    question: Question, program: Program, task: Task, store: ImageStore, toolbox: Toolbox, records: tuple[ToolRecord, ...]
) -> Trace | Rejected:
    images = store.copy()
    try:
        steps = play(program, images, toolbox)
    except GaveUp as problem:
        return Rejected(task.id, task.source, str(problem))
    answer = terminated(steps[-1])
    if answer is None or not question.accepts(answer):
        return Rejected(task.id, task.source, "another answer than the annotated one")
    return Trace(task=task, tools=records, steps=steps, answer=answer, stop_reason="answered").with_store(images)


def play(program: Program, store: ImageStore, toolbox: Toolbox) -> tuple[Step, ...]:
    """Run a program against tools; images that they make are added to the store. Raises GaveUp."""
    steps: list[Step] = []
    try:
        thought, actions = next(program)
        while True:
            observations = [toolbox.execute(action, store) for action in actions]
            reply = reply_text(thought, actions)
            steps.append(Step(reply=reply, thought=thought, actions=tuple(actions), observations=tuple(observations)))
            thought, actions = program.send(observations)
    except StopIteration:
        return tuple(steps)


# ---------------------------------------------------------------------- on disk


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


def generate(recipe: Recipe, n: int, out: Path, *, workers: int = 1, on_kept: Callable[[int], None] | None = None) -> Report:
    """Write ``n`` traces (or tasks, where the recipe wants only them) into a folder; go on where an interrupted run stopped.

    Args:
        recipe: What to make.
        n: Traces, or tasks, that the folder shall hold.
        out: The folder. Ends with the same bytes whatever the number of workers and however often the run was interrupted.
        workers: Processes. They are spawned: a script that calls this with more than one needs ``if __name__ == "__main__"``.
        on_kept: Called with the number of those that the folder holds, whenever it grew.

    Raises:
        ValueError: If ``n`` or ``workers`` is below 1; if the folder was begun with another recipe, number, OCR engine or error
            model (the difference is named), holds other files, or files of its own that cannot be read.
        RunError: If `BARREN` scenes in a row came to nothing.
    """
    if n < 1 or workers < 1:
        raise ValueError(f"At least one trace and one worker are needed; got n={n}, workers={workers}.")
    _claim(out, _settings(recipe, n))
    number, kept = _resume(out)
    main = TASKS_FILE if recipe.tasks_only else TRACES_FILE
    if on_kept:
        on_kept(kept)
    with contextlib.closing(_fruitful(_made(recipe, number, workers))) as scenes:
        while kept < n:
            kept += _write(out, next(scenes), n - kept)
            sizes = {name: _size(out / name) for name in (main, REJECTED_FILE, ANNOTATIONS_FILE) if (out / name).exists()}
            append_line(out / PROGRESS_FILE, json.dumps({"scene": number, "kept": kept, "bytes": sizes}))
            number += 1
            if on_kept:
                on_kept(kept)
    return report(out)


def report(out: Path) -> Report:
    """Count what `generate` wrote into a folder."""
    kept: Counter[str] = Counter()
    for name in (TRACES_FILE, TASKS_FILE):
        kept.update(record.get("task", record)["source"] for record in _records(out / name))
    rejected: dict[str, Counter[str]] = {}
    for record in _records(out / REJECTED_FILE):
        rejected.setdefault(record["source"], Counter())[record["reason"]] += 1
    counts = {source: dict(sorted(reasons.items())) for source, reasons in sorted(rejected.items())}
    return Report(dict(sorted(kept.items())), counts, sum(1 for _ in _records(out / PROGRESS_FILE)))


def _write(out: Path, made: Candidates, wanted: int) -> int:
    """Append what a scene gave, up to the last one that is wanted; returns how many were kept."""
    if made.outcomes:
        return _write_outcomes(out, made.outcomes, wanted)
    tasks = made.tasks[:wanted]
    if tasks:
        for name, image in zip(made.store, tasks[0].images, strict=True):
            save_image(made.store[name], out / image)
        line = {"images": tasks[0].images, "annotation": made.annotation.model_dump(mode="json")}
        append_line(out / ANNOTATIONS_FILE, json.dumps(line))
    for task in tasks:
        append_line(out / TASKS_FILE, task.model_dump_json())
    return len(tasks)


def _write_outcomes(out: Path, outcomes: Sequence[Trace | Rejected], wanted: int) -> int:
    kept = 0
    for outcome in outcomes:
        if kept == wanted:
            break
        if isinstance(outcome, Trace):
            outcome.save(out)
            kept += 1
        else:
            append_line(out / REJECTED_FILE, json.dumps(asdict(outcome)))
    return kept


def _settings(recipe: Recipe, n: int) -> dict[str, Any]:
    """All that the bytes of a folder depend on."""
    settings = {"n": n, **asdict(recipe)}
    if recipe.observations == "simulated":
        errors = OcrErrors.load().model_dump_json() + PerceptionErrors.load().model_dump_json()
        settings["error_models"] = hashlib.sha256(errors.encode()).hexdigest()[:16]
    else:
        settings["ocr"] = make_ocr(ENGINE).backend
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Make the folder this run's own, or find that it is."""
    file = out / CONFIG_FILE
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ValueError(f"{out} holds something else (it has no {CONFIG_FILE}). Choose a new folder.")
        out.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".part")
        draft.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, file)
        return
    there = _object(file.read_bytes(), file)
    changed = [key for key in {**there, **settings} if there.get(key) != settings.get(key)]
    if changed:
        differences = "; ".join(f"{key} is {there.get(key)!r} there and {settings.get(key)!r} here" for key in changed)
        raise ValueError(f"{out} was begun with other settings: {differences}. Use the same ones to go on, or a new folder.")


def _resume(out: Path) -> tuple[int, int]:
    """Cut the files back to the last scene that is wholly in all of them; returns the next scene's number and the kept."""
    next_scene, kept, sizes, good = 0, 0, dict[str, int](), 0
    for line in _whole_lines(out / PROGRESS_FILE):
        entry = _object(line, out / PROGRESS_FILE)
        if any(_size(out / name) < size for name, size in entry["bytes"].items()):
            break
        next_scene, kept, sizes, good = entry["scene"] + 1, entry["kept"], entry["bytes"], good + len(line)
    for name in (TRACES_FILE, REJECTED_FILE, TASKS_FILE, ANNOTATIONS_FILE, PROGRESS_FILE):
        if (out / name).exists():
            os.truncate(out / name, good if name == PROGRESS_FILE else sizes.get(name, 0))
    for leftover in (out / IMAGES_DIR).glob("*.part"):
        leftover.unlink()
    return next_scene, kept


def _whole_lines(file: Path) -> Iterator[bytes]:
    if file.exists():
        yield from (line for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))


def _records(file: Path) -> Iterator[dict[str, Any]]:
    yield from (_object(line, file) for line in _whole_lines(file))


def _object(text: bytes, file: Path) -> dict[str, Any]:
    """A JSON object in a file of the folder."""
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    found = short(text.decode(errors="replace").strip())
    raise ValueError(f"{file} should hold what this command wrote there, a JSON object; it holds {found}. Choose a new folder.")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


# ---------------------------------------------------------------------- one process or several


def _made(recipe: Recipe, start: int, workers: int) -> Generator[Candidates, None, None]:
    """What the scenes from ``start`` on give, in order."""
    work = functools.partial(_work, recipe)
    if workers == 1:
        yield from map(work, itertools.count(start))
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for first in itertools.count(start, 8 * workers):  # in blocks, since imap would take in all numbers at once
            yield from pool.imap(work, range(first, first + 8 * workers))


def _work(recipe: Recipe, number: int) -> Candidates:
    return candidates(recipe, number, _observer(recipe.observations))


@functools.cache
def _observer(observations: Observations) -> Observer:
    return make_observer(observations)


def _fruitful(made: Iterator[Candidates]) -> Generator[Candidates, None, None]:
    """The same, but an error where scene after scene gives nothing."""
    barren = 0
    for scene in made:
        fruit = scene.traces if scene.outcomes else scene.tasks
        barren = 0 if fruit else barren + 1
        if barren >= BARREN:
            reasons = ", ".join(sorted({outcome.reason for outcome in scene.outcomes if isinstance(outcome, Rejected)}))
            raise RunError(
                f"{BARREN} scenes in a row gave no trace ({reasons or 'no question of the wanted types fits them'}). "
                "Allow other types or more items, or see `taco tools` for what cannot run."
            )
        yield scene
