"""Scenes -> questions -> traces, in memory, as an endless stream. On disk: `taco.data_gen.generation`.

    >>> traces = stream_traces(Recipe(family="prices", seed=0))              # endless; simulated observations

What scene number i of a seed gives depends on (family, split, seed, i) and the recipe alone (with real observations on the tools,
too), never on what ran before it, on the number of workers or on the environment.
"""

import functools
import hashlib
import itertools
import random
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from taco.data_gen.annotations import Scenes, read_scenes
from taco.data_gen.families import FAMILIES, Family, Split
from taco.data_gen.observations import Observations, Observer, direct_toolbox, make_observer
from taco.data_gen.programs.question import GaveUp, Program, Question, weighted_order
from taco.data_gen.scenes.scene import Annotation, Scene
from taco.errors import RunError
from taco.prompts import reply_text, terminated
from taco.tools.images import ImageStore
from taco.tools.toolbox import Toolbox
from taco.trace import IMAGES_DIR, Step, Task, ToolRecord, Trace

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
        min_items: Fewest items of a scene. 0: the family's own.
        max_items: Most items of a scene; few make easy scenes. 0: as many as the family can have.
        types: Question types; None for all of the family.
        direct: One Terminate step with the annotated answer instead of the steps with tools.
        questions_per_scene: At most so many, of different types.
        plain: Answer each type in one way and one wording, behind its name; a small model learns that sooner. Questions vary. Of
            types that are worded alike choose one by `types`: the name tells an unanswerable question from one that is not.
        multiple_choice: Share of questions that come with options.
        tasks_only: Tasks for evaluation in place of traces, never filtered.
        scenes: A folder of annotated images (`taco-data annotate`) in place of drawn scenes.

    Raises:
        ValueError: If a number is out of range, a family or type is unknown, or both `plain` and `direct` are asked for.
    """

    family: str = "prices"
    split: Split = "train"
    seed: int = 0
    observations: Observations = "simulated"
    min_items: int = 0
    max_items: int = 0
    types: tuple[str, ...] | None = None
    direct: bool = False
    questions_per_scene: int = 4
    plain: bool = False
    multiple_choice: float = 0.0
    tasks_only: bool = False
    scenes: str = ""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"There is no family {self.family!r}; there are: {', '.join(FAMILIES)}.")
        least, most = self.kind.items
        if not least <= self.items[0] <= self.items[1] <= most:
            wanted = f"{least} <= min_items <= max_items <= {most} is needed for {self.family}"
            raise ValueError(f"{wanted}; got {self.items[0]} and {self.items[1]}.")
        if self.questions_per_scene < 1:
            raise ValueError(f"questions_per_scene is at least 1; got {self.questions_per_scene}.")
        if self.plain and self.direct:
            raise ValueError("plain is about steps with tools, and direct traces have none; choose one of them.")
        if not 0 <= self.multiple_choice <= 1:
            raise ValueError(f"multiple_choice is a share between 0 and 1; got {self.multiple_choice}.")
        if self.scenes and self.kind.pick is None:
            able = ", ".join(name for name, family in FAMILIES.items() if family.pick)
            raise ValueError(f"{self.family} has scenes of its own; annotated images serve {able or 'no family'}.")
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
        most = self.max_items or self.kind.items[1]
        return self.min_items or min(self.kind.fewest, most), most


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

    @property
    def fruit(self) -> int:
        return len(self.traces)

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(outcome.reason for outcome in self.outcomes if isinstance(outcome, Rejected))


def stream_traces(recipe: Recipe, *, start: int = 0, step: int = 1) -> Iterator[Trace]:
    """Endless traces, made on the fly, pixels in ``trace.store``: scenes start, start + step, start + 2 step ...

    Args:
        recipe: What to make. Workers share one with ``start=worker, step=workers``.
        start: First scene number.
        step: From one scene number to the next.
    """
    observer = observer_of(recipe.observations)
    for scene in fruitful(candidates(recipe, number, observer) for number in itertools.count(start, step)):
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
        images = [store[name] for name in store]
        toolbox = observer.look(scene, recipe.kind.tools, rng_for(recipe, number, "observations"), images)
    records = tuple(ToolRecord(name=tool.name, backend=tool.backend) for tool in toolbox)
    outcomes = []
    for index, (question, task) in enumerate(zip(asked, tasks, strict=True)):
        program = _program(recipe, question, rng_for(recipe, number, f"program {index}"))
        outcomes.append(_outcome(question, program, task, store, toolbox, records))
    return Candidates(scene.annotation, store, tasks, tuple(outcomes))


def _program(recipe: Recipe, question: Question, rng: random.Random) -> Program:
    if recipe.direct:
        return question.direct()
    return question.plainly() if recipe.plain else question.program(rng)


def ask_scene(recipe: Recipe, number: int) -> tuple[Scene, list[Question]]:
    """The scene of a number and its questions."""
    rng = rng_for(recipe, number, "scene")
    if recipe.scenes:
        assert recipe.kind.pick is not None
        scene = recipe.kind.pick(rng, annotated(recipe.scenes), number)
    else:
        scene = recipe.kind.render(rng, recipe.split, recipe.items)
    return scene, _questions(recipe, number, scene.annotation)


@functools.cache
def annotated(folder: str) -> Scenes:
    """The annotated images of a folder, its index read once a process."""
    return read_scenes(folder)


def numbers(recipe: Recipe, start: int = 0) -> Iterable[int]:
    """The scene numbers from ``start`` on: endless but where there are so many annotated images."""
    return range(start, len(annotated(recipe.scenes))) if recipe.scenes else itertools.count(start)


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


def scene_id(recipe: Recipe, number: int) -> str:
    """What the ids of a scene's tasks begin with."""
    return f"{recipe.family}-{recipe.split}-{recipe.seed}-{number:06d}"


def _tasks(recipe: Recipe, number: int, asked: Sequence[Question], images: tuple[str, ...]) -> tuple[Task, ...]:
    return tuple(
        Task(
            id=f"{scene_id(recipe, number)}-{index}",
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


class Harvest(Protocol):
    """What a scene gave: how many traces or tasks, and why others are none."""

    @property
    def fruit(self) -> int: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...


_H = TypeVar("_H", bound=Harvest)


def fruitful(scenes: Iterable[_H]) -> Generator[_H, None, None]:
    """The same, but an error where scene after scene gives nothing. Raises RunError."""
    barren = 0
    for scene in scenes:
        barren = 0 if scene.fruit else barren + 1
        if barren >= BARREN:
            why = ", ".join(sorted(set(scene.reasons))) or "no question of the wanted types fits them"
            raise RunError(
                f"{BARREN} scenes in a row gave no trace ({why}). "
                "Allow other types or more items, or see `taco tools` for what cannot run."
            )
        yield scene


@functools.cache
def observer_of(observations: Observations) -> Observer:
    """The observer of this name, made once a process."""
    return make_observer(observations)
