"""Questions about priced items: how each type is asked, its right answer, and the program that reaches it through tools.

    >>> question = ask(random.Random(0), scene, "price_of_n")         # from the annotation: text, parameters, answer
    >>> steps = question.program()                                    # sees the parameters and what the tools say, nothing else
    >>> next(steps)
    ('A red board, 5 rows, no row marked. I need to read the prices.', [Action(name='OCR', arguments={'image': 'image-0'})])

A program is a generator: it yields a thought with actions and is sent their observations. Its thoughts are therefore true to
what was observed, and where a tool erred the chain ends elsewhere than at the annotated answer (or gives up): such a trace can be
told and dropped.
"""

import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from taco.data_gen.programs.price_phrasings import PHRASINGS, phrase
from taco.data_gen.programs.price_rows import Row, find_row, read_rows
from taco.data_gen.scenes.scene import Item, PriceScene
from taco.tools.action import Action, Observation

Program = Generator[tuple[str, list[Action]], list[Observation], None]
"""Yields (thought, actions), is sent their observations, ends with Terminate."""
Parameters = Mapping[str, Any]
"""What a question says, by the names in its phrasings: item names, ``count``, ``budget``."""
Asked = tuple[dict[str, Any], str]
"""Parameters and the annotated answer."""
Choose = Callable[[random.Random, PriceScene], Asked | None]
"""What to ask of a scene; None where it does not allow the question."""

READ_THOUGHT = "I need to read the prices."
DIRECT_THOUGHT = "I can see the answer."
LOWER_CASE = 0.1
"""Share of questions that write the names in lower case: people do."""
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBER_AS_WORD = 0.15
MOST_PIECES = 9


class GaveUp(Exception):
    """The observations do not hold what the program needs; the text says what was missing."""


@dataclass(frozen=True)
class Question:
    """One question about one scene.

    Attributes:
        type: Key of `QUESTION_TYPES`.
        text: The question.
        parameters: All that its program may see.
        answer: The annotated answer: a plain number, a name as printed, a colour, ``yes`` or ``no``.
        sighting: What the pixels show (`sighting_of`): every trace begins with it.
    """

    type: str
    text: str
    parameters: Parameters
    answer: str
    sighting: str

    def program(self) -> Program:
        """The steps with tools; for a type that only the pixels answer, one step without."""
        program = QUESTION_TYPES[self.type].program
        return _terminate(self.sighting, self.answer) if program is None else self._after_a_look(program(self.parameters))

    def _after_a_look(self, program: Program) -> Program:
        """The same program, its first thought behind the sighting."""
        thought, actions = next(program)
        observations = yield f"{self.sighting} {thought}", actions
        with contextlib.suppress(StopIteration):
            while True:
                thought, actions = program.send(observations)
                observations = yield thought, actions

    def direct(self) -> Program:
        """One step that gives the annotated answer without a tool."""
        return self.program() if QUESTION_TYPES[self.type].program is None else _terminate(DIRECT_THOUGHT, self.answer)

    def accepts(self, answer: str) -> bool:
        """Whether an answer is the annotated one: by value where that is a number, else by text."""
        try:
            return Decimal(answer) == Decimal(self.answer)
        except InvalidOperation:
            return answer == self.answer


@dataclass(frozen=True)
class QuestionType:
    """How a type is answered; `PHRASINGS` says how it is asked.

    Attributes:
        weight: Its share among the questions that a scene allows.
        choose: Parameters and answer from the annotation.
        program: Parameters -> steps; None where only the pixels answer.
    """

    weight: float
    choose: Choose
    program: Callable[[Parameters], Program] | None = None


def ask(rng: random.Random, scene: PriceScene, kind: str) -> Question | None:
    """One question of a type about a scene, or None where the scene does not allow it (no marked row, a tie ...)."""
    asked = QUESTION_TYPES[kind].choose(rng, scene)
    if asked is None:
        return None
    parameters, answer = asked
    shown = {name: _shown(rng, name, value, scene) for name, value in parameters.items()}
    if rng.random() < LOWER_CASE:
        shown |= {name: shown[name].lower() for name in ("item", "other") if name in shown}
    parameters |= {name: shown[name] for name in ("item", "other") if name in shown}
    return Question(kind, phrase(rng, PHRASINGS[kind], shown), parameters, answer, sighting_of(scene))


def sighting_of(scene: PriceScene) -> str:
    """What can be seen without reading: ``A red board, 5 rows, row 2 marked.`` Every trace says it, and so teaches to look."""
    marked = "no row" if scene.highlighted is None else f"row {scene.highlighted + 1}"
    return f"A {scene.background} board, {len(scene.items)} row{'s' * (len(scene.items) > 1)}, {marked} marked."


def questions(rng: random.Random, scene: PriceScene, count: int, kinds: list[str]) -> list[Question]:
    """Up to ``count`` questions of different types, the types drawn by their weights."""
    # Keys u ** (1 / weight), largest first, are a weighted order without replacement (Efraimidis and Spirakis, 2006).
    order = sorted(kinds, key=lambda kind: -(rng.random() ** (1 / QUESTION_TYPES[kind].weight)))
    asked: list[Question] = []
    for kind in order:
        question = ask(rng, scene, kind) if len(asked) < count else None
        if question is not None:
            asked.append(question)
    return asked


# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def number(value: Decimal) -> str:
    """A number as the calculator prints it: ``14``, ``13.5``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _one_price(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = _pick(rng, scene, 1)
    return ({"item": items[0].name}, items[0].price) if items else None


def _several(rng: random.Random, scene: PriceScene) -> Asked | None:
    items, count = _pick(rng, scene, 1), rng.randint(2, MOST_PIECES)
    return ({"item": items[0].name, "count": count}, number(count * Decimal(items[0].price))) if items else None


def _affordable(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = _pick(rng, scene, 1)
    if not items:
        return None
    price = Decimal(items[0].price)
    most = int(price * (MOST_PIECES + 1))
    budget = rng.randint(int(price) + 1, max(most, int(price) + 1))
    step = next(step for step in (500, 50, 5, 1) if most >= 10 * step or step == 1)  # people have round sums
    budget = max(budget // step * step, step * (int(price) // step + 1))
    return {"item": items[0].name, "budget": budget}, str(int(budget // price))


def _change(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = _pick(rng, scene, 1)
    if not items:
        return None
    price = Decimal(items[0].price)
    paid = rng.choice([note for note in (1, 2, 5, 10, 20, 50, 100, 200) if note > price][:3])
    return {"item": items[0].name, "budget": paid}, number(paid - price)


def _sum_of_two(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = _pick(rng, scene, 2)
    return ({"item": items[0].name, "other": items[1].name}, number(_total(items))) if items else None


def _how_much_more(rng: random.Random, scene: PriceScene) -> Asked | None:
    items = sorted(_pick(rng, scene, 2), key=lambda item: -Decimal(item.price))
    if not items or Decimal(items[0].price) == Decimal(items[1].price):
        return None
    return {"item": items[0].name, "other": items[1].name}, number(Decimal(items[0].price) - Decimal(items[1].price))


def _extreme(rng: random.Random, scene: PriceScene, *, dearest: bool) -> Asked | None:
    ordered = sorted(scene.items, key=lambda item: Decimal(item.price), reverse=dearest)
    if len(ordered) < 2 or Decimal(ordered[0].price) == Decimal(ordered[1].price):
        return None
    return {}, ordered[0].name


def _sum_of_all(rng: random.Random, scene: PriceScene) -> Asked | None:
    return ({}, number(_total(scene.items))) if len(scene.items) > 1 else None


def _colour(rng: random.Random, scene: PriceScene) -> Asked | None:
    return {}, scene.background


def _rows(rng: random.Random, scene: PriceScene) -> Asked | None:
    return {}, str(len(scene.items))


def _highlighted(rng: random.Random, scene: PriceScene) -> Asked | None:
    return None if scene.highlighted is None else ({}, str(scene.highlighted + 1))


def _any_highlighted(rng: random.Random, scene: PriceScene) -> Asked | None:
    return {}, "no" if scene.highlighted is None else "yes"


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


def _price_of(asked: Parameters) -> Program:
    rows = yield from _read()
    row = _row(rows, asked["item"])
    yield from _terminate(_quote([row]), row.price)


def _work_out(asked: Parameters, *, expression: str, sentence: str, named: tuple[str, ...] = ("item",)) -> Program:
    """Look up the named items and calculate; ``expression`` may use the parameters, and prices as ``{price[0]}``."""
    rows = yield from _read()
    found = [_row(rows, asked[name]) for name in named]
    result = yield from _calculate(_quote(found), expression.format(price=[row.price for row in found], **asked))
    yield from _terminate(sentence.format(result), result)


def _find_extreme(asked: Parameters, *, function: str, word: str) -> Program:
    rows = yield from _read()
    found = yield from _calculate(_quote(rows), f"{function}({', '.join(row.price for row in rows)})")
    row = next(row for row in rows if Decimal(row.price) == Decimal(found))
    yield from _terminate(f"The {word} price is {row.price}: {row.name}.", row.name)


def _total_of_all(asked: Parameters) -> Program:
    rows = yield from _read()
    total = yield from _calculate(_quote(rows), " + ".join(row.price for row in rows))
    yield from _terminate(f"The total is {total}.", total)


def _quote(rows: Sequence[Row]) -> str:
    """A thought that repeats rows as they were read, line by line: grounded, and to a small model plain copying."""
    return "\n".join(["I see:", *(row.text for row in rows)])


def _read() -> Generator[tuple[str, list[Action]], list[Observation], list[Row]]:
    [observation] = yield READ_THOUGHT, [Action(name="OCR", arguments={"image": "image-0"})]
    rows = read_rows(_content(observation, "text"))
    if not rows:
        raise GaveUp("no price was read")
    return rows


def _calculate(thought: str, expression: str) -> Generator[tuple[str, list[Action]], list[Observation], str]:
    [observation] = yield thought, [Action(name="Calculate", arguments={"expression": expression})]
    return json.dumps(_content(observation, "result"))


def _terminate(thought: str, answer: str) -> Program:
    yield thought, [Action(name="Terminate", arguments={"answer": answer})]


def _content(observation: Observation, key: str) -> Any:
    if observation.error is not None:
        raise GaveUp("a tool failed")
    return observation.content[key]


def _row(rows: Sequence[Row], name: str) -> Row:
    row = find_row(rows, name)
    if row is None:
        raise GaveUp("the item was not found")
    return row


QUESTION_TYPES: dict[str, QuestionType] = {
    "price_of": QuestionType(1.5, _one_price, _price_of),
    "price_of_n": QuestionType(1.5, _several, partial(_work_out, expression="{count} * {price[0]}", sentence="The total is {}.")),
    "how_many": QuestionType(
        1.0, _affordable, partial(_work_out, expression="floor({budget} / {price[0]})", sentence="It is enough for {}.")
    ),
    "change": QuestionType(1.0, _change, partial(_work_out, expression="{budget} - {price[0]}", sentence="The change is {}.")),
    "total_of_two": QuestionType(
        1.0,
        _sum_of_two,
        partial(_work_out, expression="{price[0]} + {price[1]}", sentence="The total is {}.", named=("item", "other")),
    ),
    "difference": QuestionType(
        1.0,
        _how_much_more,
        partial(_work_out, expression="{price[0]} - {price[1]}", sentence="The difference is {}.", named=("item", "other")),
    ),
    "cheapest": QuestionType(0.8, partial(_extreme, dearest=False), partial(_find_extreme, function="min", word="lowest")),
    "dearest": QuestionType(0.8, partial(_extreme, dearest=True), partial(_find_extreme, function="max", word="highest")),
    "total_of_all": QuestionType(0.8, _sum_of_all, _total_of_all),
    "board_colour": QuestionType(0.6, _colour),
    "number_of_rows": QuestionType(0.6, _rows),
    "highlighted_row": QuestionType(0.8, _highlighted),
    "any_highlighted": QuestionType(0.3, _any_highlighted),
}
"""Every type, with the one table of weights. Types with a program are answered through tools, the others from the pixels."""
