"""What taco-nano is trained on, and in which order: pools of traces of its families, easy ones first.

>>> Curriculum(("objects",)).pool(0, pools=100)[0].task.source
'objects/leftmost_object'
"""

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from taco.data_gen.families import Split
from taco.data_gen.pipeline import Recipe, stream_traces
from taco.data_gen.programs.prices import QUESTION_TYPES
from taco.trace import ToolRecord, Trace

POOL = 768
"""Traces of a pool: 32 batches, so that the questions about one image hardly meet in one. Copying needs many names a batch."""
SEED, EVAL_SEED = 1, 900_001
EVAL_TRACES = 96

HELD_OUT_TYPES = ("change",)
"""Never in the training, so that a LoRA adapter can be shown to learn them."""
PRICE_TYPES = tuple(name for name in QUESTION_TYPES if name not in HELD_OUT_TYPES)
PIXEL_TYPES = tuple(name for name in PRICE_TYPES if not QUESTION_TYPES[name].plans)
TYPES: dict[str, tuple[str, ...]] = {
    "prices": PRICE_TYPES,
    "objects": (
        "count_objects", "count_with_attribute", "how_many_together", "is_there", "leftmost_object", "rightmost_object",
        "topmost_object", "bottommost_object", "largest_object", "smallest_object", "closer_object", "farther_object",
        "is_closer", "order_by_depth", "which_attribute", "object_with_attribute", "colour_of_object",
    ),
    "sets": (
        "image_with_object", "any_image_with_object", "number_of_images_with_object", "count_in_image", "total_over_images",
        "image_with_most",
    ),
}  # fmt: skip
"""Of each family, what nano is asked."""
SHARES = {"prices": 0.55, "objects": 0.3, "sets": 0.15}
"""Of a pool."""
STAGES = ((0.2, 4, 3), (0.5, 6, 4), (1.0, 8, 5))
"""Until which share of the training: most items of a scene, most pictures of a set. Copying is learned on few items first."""
PIXEL_SHARE = 0.1
"""Of the traces about prices; seeing is in all of them, since each begins with what the pixels show."""
QUESTIONS = {"prices": 4, "objects": 6, "sets": 6}
"""About a scene; drawing it is what costs."""
DIRECT_QUESTIONS = 9
"""The same without tools: traces are short, and a step has more of them."""
TOOLS = ("OCR", "LocalizeObjects", "GetObjects", "EstimateObjectDepth", "Crop", "ZoomIn", "Calculate", "Terminate")
"""That nano is offered."""
LONGEST = 8
"""Steps of a trace that is trained on."""


def suits(trace: Trace) -> bool:
    """Whether a trace is short and calls nano's tools only."""
    called = {action.name for step in trace.steps for action in step.actions}
    return len(trace.steps) <= LONGEST and called <= set(TOOLS)


@functools.cache
def offered_for(families: tuple[str, ...]) -> tuple[ToolRecord, ...]:
    """`TOOLS` that the families use, with the back ends of their traces."""
    backends: dict[str, str] = {}
    for family in families:
        trace = next(stream_traces(Recipe(family=family, seed=SEED, types=TYPES[family])))
        backends |= {record.name: record.backend for record in trace.tools}
    return tuple(ToolRecord(name=name, backend=backends[name]) for name in TOOLS if name in backends)


@dataclass(frozen=True)
class Curriculum:
    """Traces of some families in the order of their difficulty.

    Attributes:
        families: Of `TYPES`.
        direct: Whether traces are one Terminate step each.
        cool: Whether it follows a training that has ended: other scenes, and the hardest from the first pool on.
    """

    families: tuple[str, ...] = tuple(TYPES)
    direct: bool = False
    cool: bool = False

    def pool(self, number: int, *, pools: int) -> list[Trace]:
        """Pool number n of `pools` in all: `SHARES` of the families, harder with time."""
        share, seed = (1.0, SEED + 1) if self.cool else (number / max(1, pools), SEED)
        items, pictures = next((stage[1:] for stage in STAGES if share < stage[0]), STAGES[-1][1:])
        traces: list[Trace] = []
        for which, (count, family, types) in enumerate(self._parts()):
            questions = DIRECT_QUESTIONS if self.direct else QUESTIONS[family]
            recipe = Recipe(
                family=family,
                seed=2 * len(SHARES) * seed + which,
                types=types,
                min_items=2,
                max_items=pictures if family == "sets" else items,
                plain=not self.direct,
                direct=self.direct,
                questions_per_scene=1 if types == PIXEL_TYPES else questions,  # pixels alone need many pictures
            )
            # Every scene gives a trace or more, or nearly, so that pools never share one.
            traces += itertools.islice(self._suiting(recipe, start=number * POOL), count)
        return traces

    def held_out(self, count: int = EVAL_TRACES) -> list[Trace]:
        """Traces of words, layouts, fonts and surroundings that are not in the training; equally many of each family."""
        return self._of_each(count // len(self.families), "test", EVAL_SEED)

    def sample(self, count: int) -> list[Trace]:
        """Traces of each family whose words a tokenizer can be made for."""
        return self._of_each(count, "train", SEED + 77 + self.direct)

    def _of_each(self, count: int, split: Split, seed: int) -> list[Trace]:
        found: list[Trace] = []
        for family in self.families:
            plain = not self.direct
            recipe = Recipe(family=family, split=split, seed=seed, types=TYPES[family], direct=self.direct, plain=plain)
            found += itertools.islice(self._suiting(recipe), count)
        return found

    def _parts(self) -> Iterator[tuple[int, str, tuple[str, ...]]]:
        """How many traces of a pool are of which family and types."""
        whole = sum(SHARES[family] for family in self.families)
        for family in self.families:
            count = round(POOL * SHARES[family] / whole)
            pixels = round(count * PIXEL_SHARE) if family == "prices" else 0
            if pixels:
                yield pixels, family, PIXEL_TYPES
            yield count - pixels, family, tuple(name for name in TYPES[family] if name not in PIXEL_TYPES)

    def _suiting(self, recipe: Recipe, start: int = 0) -> Iterator[Trace]:
        """Traces of a recipe that suit a small model, each with all tools on offer: a model is served with one list."""
        for trace in stream_traces(recipe, start=start):
            if suits(trace):
                tools = trace.tools if self.direct else offered_for(self.families)
                yield trace.model_copy(update={"tools": tools}).with_store(trace.store)
