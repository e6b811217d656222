"""The kinds of scenes, what is asked about each, and with which tools it is answered.

>>> scene = FAMILIES["prices"].render(random.Random(0), "train", (2, 8))
>>> FAMILIES["prices"].ask(random.Random(0), scene.annotation, "price_of").text
'How much is the green tea?'
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from taco.data_gen.annotations import Scenes
from taco.data_gen.programs import charts as chart_programs
from taco.data_gen.programs import equations as equation_programs
from taco.data_gen.programs import objects as object_programs
from taco.data_gen.programs import prices as price_programs
from taco.data_gen.programs import sets as set_programs
from taco.data_gen.programs import signs as sign_programs
from taco.data_gen.programs import tables as table_programs
from taco.data_gen.programs.question import Question, QuestionType, make_question
from taco.data_gen.scenes import charts as chart_scenes
from taco.data_gen.scenes import equations as equation_scenes
from taco.data_gen.scenes import objects as object_scenes
from taco.data_gen.scenes import prices as price_scenes
from taco.data_gen.scenes import sets as set_scenes
from taco.data_gen.scenes import signs as sign_scenes
from taco.data_gen.scenes import tables as table_scenes
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
        fewest: Fewest items, unless a recipe says otherwise.
        pick: Makes scene number i of annotated images; None where the family has only scenes of its own.
    """

    render: Render
    types: Mapping[str, QuestionType]
    ask: Ask
    tools: tuple[str, ...]
    items: tuple[int, int]
    fewest: int = 1
    pick: Callable[[random.Random, Scenes, int], Scene] | None = None


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
        fewest=2,
    ),
    "tables": Family(
        render=_render(table_scenes.render),
        types=table_programs.QUESTION_TYPES,
        ask=table_programs.ask,
        tools=("OCR", "Crop", "ZoomIn", "Calculate", "Terminate"),
        items=(table_scenes.MIN_ROWS, table_scenes.MAX_ROWS),
        fewest=3,
    ),
    "charts": Family(
        render=_render(chart_scenes.render),
        types=chart_programs.QUESTION_TYPES,
        ask=chart_programs.ask,
        tools=("OCR", "Calculate", "Terminate"),
        items=(chart_scenes.MIN_BARS, chart_scenes.MAX_BARS),
        fewest=3,
    ),
    "equations": Family(
        render=_render(equation_scenes.render),
        types=equation_programs.QUESTION_TYPES,
        ask=_asker(equation_programs.QUESTION_TYPES),
        tools=("OCR", "Calculate", "SolveMathEquation", "Terminate"),
        items=(1, equation_scenes.MOST_PROBLEMS),
    ),
    "signs": Family(
        render=_render(sign_scenes.render),
        types=sign_programs.QUESTION_TYPES,
        ask=_asker(sign_programs.QUESTION_TYPES),
        tools=("OCR", "Crop", "ZoomIn", "Calculate", "Terminate"),
        items=(1, sign_scenes.MOST_SIGNS),
        fewest=2,
    ),
    "objects": Family(
        render=_render(object_scenes.render),
        types=object_programs.QUESTION_TYPES,
        ask=_asker(object_programs.QUESTION_TYPES),
        tools=(
            "LocalizeObjects",
            "GetObjects",
            "EstimateRegionDepth",
            "EstimateObjectDepth",
            "Crop",
            "ZoomIn",
            "Calculate",
            "Terminate",
        ),
        items=(1, object_scenes.MOST_ITEMS),
        pick=lambda _, scenes, number: scenes[number],
    ),
    "sets": Family(
        render=_render(set_scenes.render),
        types=set_programs.QUESTION_TYPES,
        ask=_asker(set_programs.QUESTION_TYPES),
        tools=(
            "LocalizeObjects",
            "GetObjects",
            "GetImageToImagesSimilarity",
            "GetImageToTextsSimilarity",
            "GetTextToImagesSimilarity",
            "Calculate",
            "Terminate",
        ),
        items=(2, set_scenes.MOST_PICTURES),
        fewest=2,
        pick=set_scenes.pick,
    ),
}
