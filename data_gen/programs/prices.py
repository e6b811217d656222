"""Questions about priced items: how each type is asked, its right answer, and the program that reaches it through tools.

>>> question = ask(random.Random(0), scene, "price_of_n")         # from the annotation: text, parameters, answer
>>> next(question.program(random.Random(0)))
('A red board, 5 rows, no row marked. I need to read the prices.', [Action(name='OCR', arguments={'image': 'image-0'})])
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from taco.data_gen.programs.price_phrasings import PHRASINGS
from taco.data_gen.programs.price_rows import Row, find_row, read_rows
from taco.data_gen.programs.question import (
    Asked,
    GaveUp,
    Parameters,
    Program,
    Question,
    QuestionType,
    call,
    phrase,
    terminate,
)
from taco.data_gen.scenes.colours import COLOURS
from taco.data_gen.scenes.scene import Item, PriceScene
from taco.tools.action import Action, Observation

Choose = Callable[[random.Random, PriceScene], Asked | None]

READ_THOUGHT = "I need to read the prices."
LOWER_CASE = 0.1
"""Share of questions that write the names in lower case: people do."""
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBER_AS_WORD = 0.15
MOST_PIECES = 9


def ask(rng: random.Random, scene: PriceScene, kind: str) -> Question | None:
    """One question of a type about a scene, or None where the scene does not allow it (no marked row, a tie ...)."""
    asked = QUESTION_TYPES[kind].choose(rng, scene)
    if asked is None:
        return None
    shown = {name: _shown(rng, name, value, scene) for name, value in asked.parameters.items()}
    if rng.random() < LOWER_CASE:
        shown |= {name: shown[name].lower() for name in ("item", "other") if name in shown}
    parameters = asked.parameters | {name: shown[name] for name in ("item", "other") if name in shown}
    text, plans = phrase(rng, PHRASINGS[kind], shown), QUESTION_TYPES[kind].plans
    return Question(kind, text, parameters, asked.answer, asked.wrong, plans, sighting_of(scene))


def sighting_of(scene: PriceScene) -> str:
    """What can be seen without reading: ``A red board, 5 rows, row 2 marked.`` Every trace says it, and so teaches to look."""
    marked = "no row" if scene.highlighted is None else f"row {scene.highlighted + 1}"
    return f"A {scene.background} board, {len(scene.items)} row{'s' * (len(scene.items) > 1)}, {marked} marked."


# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def number(value: Decimal) -> str:
    """A number as the calculator prints it: ``14``, ``13.5``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _one_price(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = _pick(rng, scene, 1)
    return Asked({"item": items[0].name}, items[0].price) if items else None


def _several(rng: random.Random, scene: PriceScene) -> Asked | None:
    items, count = _pick(rng, scene, 1), rng.randint(2, MOST_PIECES)
    return Asked({"item": items[0].name, "count": count}, number(count * Decimal(items[0].price))) if items else None


def _affordable(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = _pick(rng, scene, 1)
    if not items:
        return None
    price = Decimal(items[0].price)
    most = int(price * (MOST_PIECES + 1))
    budget = rng.randint(int(price) + 1, max(most, int(price) + 1))
    step = next(step for step in (500, 50, 5, 1) if most >= 10 * step or step == 1)  # people have round sums
    budget = max(budget // step * step, step * (int(price) // step + 1))
    return Asked({"item": items[0].name, "budget": budget}, str(int(budget // price)))


def _change(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = _pick(rng, scene, 1)
    if not items:
        return None
    price = Decimal(items[0].price)
    paid = rng.choice([note for note in (1, 2, 5, 10, 20, 50, 100, 200) if note > price][:3])
    return Asked({"item": items[0].name, "budget": paid}, number(paid - price))


def _sum_of_two(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = _pick(rng, scene, 2)
    return Asked({"item": items[0].name, "other": items[1].name}, number(_total(items))) if items else None


def _how_much_more(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = sorted(_pick(rng, scene, 2), key=lambda item: -Decimal(item.price))
    if not items or Decimal(items[0].price) == Decimal(items[1].price):
        return None
    difference = Decimal(items[0].price) - Decimal(items[1].price)
    return Asked({"item": items[0].name, "other": items[1].name}, number(difference))


def _extreme(rng: random.Random, scene: PriceScene, *, dearest: bool) -> Asked | None:
    ordered = sorted(scene.items, key=lambda item: Decimal(item.price), reverse=dearest)
    if len(ordered) < 2 or Decimal(ordered[0].price) == Decimal(ordered[1].price):
        return None
    return Asked({}, ordered[0].name, tuple(item.name for item in ordered[1:]))


def _sum_of_all(rng: random.Random, scene: PriceScene) -> Asked | None:
    return Asked({}, number(_total(scene.items))) if len(scene.items) > 1 else None


def _colour(rng: random.Random, scene: PriceScene) -> Asked | None:
    return Asked({}, scene.background, tuple(COLOURS))


def _rows(rng: random.Random, scene: PriceScene) -> Asked | None:
    return Asked({}, str(len(scene.items)))


def _highlighted(rng: random.Random, scene: PriceScene) -> Asked | None:
    return None if scene.highlighted is None else Asked({}, str(scene.highlighted + 1))


def _any_highlighted(rng: random.Random, scene: PriceScene) -> Asked | None:
    return Asked({}, "no" if scene.highlighted is None else "yes", ("yes", "no"))


def _pick(rng: random.Random, scene: PriceScene, count: int) -> list[Item]:
    """Items whose names stand for themselves; none where there are too few."""
    names = Counter(item.name.lower() for item in scene.items)
    unique = [item for item in scene.items if names[item.name.lower()] == 1]
    return rng.sample(unique, count) if len(unique) >= count else []


def _total(items: Sequence[Item]) -> Decimal:
    return sum((Decimal(item.price) for item in items), Decimal(0))


def _shown(rng: random.Random, name: str, value: Any, scene: PriceScene) -> str:
    """A parameter as the question writes it."""
    if name == "count" and rng.random() < NUMBER_AS_WORD:
        return NUMBER_WORDS[value]
    if name == "budget" and scene.currency and rng.random() < 0.5:
        return f"{scene.currency}{value}" if scene.items[0].price_text.startswith(scene.currency) else f"{value} {scene.currency}"
    return str(value)


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)


def _price_of(asked: Parameters, rng: random.Random) -> Program:
    rows = yield from _read()
    row = _row(rows, asked["item"])
    yield from terminate(_quote([row]), row.price)


def _work_out(
    asked: Parameters, rng: random.Random, *, expression: str, sentence: str, named: tuple[str, ...] = ("item",)
) -> Program:
    """Look up the named items and calculate; ``expression`` may use the parameters, and prices as ``{price[0]}``."""
    rows = yield from _read()
    found = [_row(rows, asked[name]) for name in named]
    result = yield from _calculate(_quote(found), expression.format(price=[row.price for row in found], **asked))
    yield from terminate(sentence.format(result), result)


def _find_extreme(asked: Parameters, rng: random.Random, *, function: str, word: str) -> Program:
    rows = yield from _read()
    found = yield from _calculate(_quote(rows), f"{function}({', '.join(row.price for row in rows)})")
    row = next(row for row in rows if Decimal(row.price) == Decimal(found))
    yield from terminate(f"The {word} price is {row.price}: {row.name}.", row.name)


def _total_of_all(asked: Parameters, rng: random.Random) -> Program:
    rows = yield from _read()
    total = yield from _calculate(_quote(rows), " + ".join(row.price for row in rows))
    yield from terminate(f"The total is {total}.", total)


def _quote(rows: Sequence[Row]) -> str:
    """A thought that repeats rows as they were read, line by line: grounded, and to a small model plain copying."""
    return "\n".join(["I see:", *(row.text for row in rows)])


def _read() -> Generator[tuple[str, list[Action]], list[Observation], list[Row]]:
    rows = read_rows((yield from call(READ_THOUGHT, "OCR", image="image-0"))["text"])
    if not rows:
        raise GaveUp("no price was read")
    return rows


def _calculate(thought: str, expression: str) -> Generator[tuple[str, list[Action]], list[Observation], str]:
    return json.dumps((yield from call(thought, "Calculate", expression=expression))["result"])


def _row(rows: Sequence[Row], name: str) -> Row:
    row = find_row(rows, name)
    if row is None:
        raise GaveUp("the item was not found")
    return row


QUESTION_TYPES: dict[str, QuestionType] = {
    "price_of": QuestionType(1.5, _one_price, (_price_of,)),
    "price_of_n": QuestionType(
        1.5, _several, (partial(_work_out, expression="{count} * {price[0]}", sentence="The total is {}."),)
    ),
    "how_many": QuestionType(
        1.0, _affordable, (partial(_work_out, expression="floor({budget} / {price[0]})", sentence="It is enough for {}."),)
    ),
    "change": QuestionType(1.0, _change, (partial(_work_out, expression="{budget} - {price[0]}", sentence="The change is {}."),)),
    "total_of_two": QuestionType(
        1.0,
        _sum_of_two,
        (partial(_work_out, expression="{price[0]} + {price[1]}", sentence="The total is {}.", named=("item", "other")),),
    ),
    "difference": QuestionType(
        1.0,
        _how_much_more,
        (partial(_work_out, expression="{price[0]} - {price[1]}", sentence="The difference is {}.", named=("item", "other")),),
    ),
    "cheapest": QuestionType(0.8, partial(_extreme, dearest=False), (partial(_find_extreme, function="min", word="lowest"),)),
    "dearest": QuestionType(0.8, partial(_extreme, dearest=True), (partial(_find_extreme, function="max", word="highest"),)),
    "total_of_all": QuestionType(0.8, _sum_of_all, (_total_of_all,)),
    "board_colour": QuestionType(0.6, _colour),
    "number_of_rows": QuestionType(0.6, _rows),
    "highlighted_row": QuestionType(0.8, _highlighted),
    "any_highlighted": QuestionType(0.3, _any_highlighted),
}
"""Every type, with the one table of weights. Types with plans are answered through tools, the others from the pixels."""
