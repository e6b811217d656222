"""The kinds of scenes, what is asked about each, and with which tools it is answered.

>>> scene = FAMILIES["prices"].render(random.Random(0), "train", (2, 8))
>>> FAMILIES["prices"].ask(random.Random(0), scene.annotation, "price_of").text
'How much is the green tea?'
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from taco.data_gen.programs import prices as price_programs
from taco.data_gen.programs.question import Question, QuestionType, make_question
from taco.data_gen.scenes import prices as price_scenes
from taco.data_gen.scenes.scene import Scene

Split = Literal["train", "test"]
Render = Callable[[random.Random, Split, tuple[int, int]], Scene]
Ask = Callable[[random.Random, Any, str], Question | None]


@dataclass(frozen=True)
class Family:
    """One kind of scenes.

    Attributes:
        render: Draws a scene from chance, split, and the fewest and most items that it may have.
        types: Its question types by name.
        ask: Makes a question of a type about an annotation; None where the scene does not allow it.
        tools: Names of the tools that are offered, in order.
        items: Fewest and most items that a scene can have.
        item: What its items are.
    """

    render: Render
    types: Mapping[str, QuestionType]
    ask: Ask
    tools: tuple[str, ...]
    items: tuple[int, int]
    item: str


def _render(draw: Callable[..., Scene]) -> Render:
    return lambda rng, split, items: draw(rng, split=split, min_items=items[0], max_items=items[1])


def _asker(types: Mapping[str, QuestionType]) -> Ask:
    return lambda rng, annotation, kind: make_question(rng, kind, types[kind], annotation)


FAMILIES: dict[str, Family] = {
    "prices": Family(
        render=_render(price_scenes.render),
        types=price_programs.QUESTION_TYPES,
        ask=price_programs.ask,
        tools=("OCR", "Calculate", "Terminate"),
        items=(1, 8),
        item="rows",
    ),
}
