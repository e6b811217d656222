"""A question about a scene: its wording, its right answer, and the programs that reach it through tools.

    >>> question = make_question(random.Random(0), "farther", FARTHER, annotation)       # from the annotation
    >>> steps = question.program(random.Random(0))          # sees the parameters and what the tools say, nothing else
    >>> next(steps)
    ('I need to know where the mug and the box are.', [Action(name='LocalizeObjects', arguments={...})])

A program is a generator: it yields a thought with actions and is sent their observations. Its thoughts are therefore true to
what was observed, and where a tool erred the chain ends elsewhere than at the annotated answer (or gives up): such a trace can be
told and dropped.
"""

import contextlib
import functools
import math
import random
import re
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from taco.tools.action import Action, Observation

Program = Generator[tuple[str, list[Action]], list[Observation], None]
"""Yields (thought, actions), is sent their observations, ends with Terminate."""
Parameters = Mapping[str, Any]
"""What a question says, by the names in its phrasings, and which images it is about; all that a program may know beforehand."""
Plan = Callable[[Parameters, random.Random], Program]
"""One way to the answer. The chance is for its wording; what it does follows from parameters and observations."""

DIRECT_THOUGHT = "I can see the answer."
CANNOT_TELL = "cannot be determined"
"""The answer to a question about what is not in the picture."""
HINT = f"(| If (it|this) cannot be told, (say|answer) '{CANNOT_TELL}'.)"
"""Behind half of the questions of `QuestionType.doubtful` types; a grammar, see `phrase`."""
CHOICES = 4
"""Options of a multiple-choice question, at most."""

_T = TypeVar("_T")


class GaveUp(Exception):
    """The observations do not hold what the program needs; the text says what was missing."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a scene.

    Attributes:
        parameters: See `Parameters`.
        answer: The annotated answer.
        wrong: Answers that are certainly wrong and look possible: the other options of a multiple-choice question. Where there
            are none and the answer is a number, numbers near it serve.
        phrasings: A grammar in place of the type's, where what is asked for differs within a type.
    """

    parameters: dict[str, Any]
    answer: str
    wrong: tuple[str, ...] = ()
    phrasings: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuestionType:
    """How a type is asked and answered.

    Attributes:
        weight: Its share among the questions that a scene allows.
        choose: Parameters and answer from the annotation; None where a scene does not allow the question (a tie ...).
        plans: The ways to the answer through tools, the first that of plain traces; none where only the pixels answer.
        phrasings: A grammar, see `phrase`.
        doubtful: Whether it has no answer, or is worded like one that has none. So that nothing tells them apart, `HINT` stands
            behind half of the questions of both, and `CANNOT_TELL` is an option of both.
    """

    weight: float
    choose: Callable[[random.Random, Any], Asked | None]
    plans: tuple[Plan, ...] = ()
    phrasings: tuple[str, ...] = ()
    doubtful: bool = False


@dataclass(frozen=True)
class Question:
    """One question about one scene.

    Attributes:
        type: The name of its type.
        text: The question.
        parameters: All that its programs may see.
        answer: The annotated answer.
        wrong: See `Asked`.
        plans: See `QuestionType`.
        sighting: What the pixels show without a tool; where there is one, every trace begins with it.
        doubtful: See `QuestionType`.
        choices: The options, where it is a multiple-choice question.
    """

    type: str
    text: str
    parameters: Parameters
    answer: str
    wrong: tuple[str, ...] = ()
    plans: tuple[Plan, ...] = field(default=(), compare=False)
    sighting: str = ""
    doubtful: bool = False
    choices: tuple[str, ...] | None = None

    def program(self, rng: random.Random) -> Program:
        """The steps of one of its plans; for a type that only the pixels answer, one step without a tool."""
        if not self.plans:
            return terminate(self.sighting or DIRECT_THOUGHT, self.answer)
        plan = self.plans[0] if len(self.plans) == 1 else rng.choice(self.plans)
        return behind(self.sighting, plan(self.parameters, rng))

    def plainly(self) -> Program:
        """The steps of its first plan in the first wordings, behind the name of its type: later steps need not tell it anew.

        Where types are worded alike (`doubtful` ones), the name tells what the question does not.
        """
        return behind(f"Asked: {self.type.replace('_', ' ')}.", self.program(First()))

    def direct(self) -> Program:
        """One step that gives the annotated answer without a tool."""
        return terminate((self.sighting if not self.plans else "") or DIRECT_THOUGHT, self.answer)

    def accepts(self, answer: str) -> bool:
        """Whether an answer is the annotated one: by value where that is a number, else by text."""
        try:
            return Decimal(answer) == Decimal(self.answer)
        except InvalidOperation:
            return answer == self.answer

    def with_choices(self, rng: random.Random) -> "Question":
        """The same question with options, one of them right; itself where no wrong ones are to be had.

        The options say whether it may have no answer, so that the question no longer does.
        """
        found = {wrong for wrong in self.wrong if not self.accepts(wrong)} or near_numbers(self.answer)
        if len(found) == 1:  # two options would say too much
            found |= {near for near in near_numbers(*found) if not self.accepts(near)}
        others = sorted(found)
        if not others:
            return self
        options = list(dict.fromkeys([self.answer, CANNOT_TELL] if self.doubtful else [self.answer]))
        others = [other for other in others if other not in options]
        options += rng.sample(others, min(CHOICES - len(options), len(others)))
        rng.shuffle(options)
        return replace(self, text=_HINTED.sub("", self.text), choices=tuple(options))


def make_question(rng: random.Random, name: str, kind: QuestionType, annotation: Any) -> Question | None:
    """One question of a type about a scene, or None where the scene does not allow it."""
    asked = kind.choose(rng, annotation)
    if asked is None:
        return None
    grammar = asked.phrasings or kind.phrasings
    if kind.doubtful:
        grammar = tuple(template + HINT for template in grammar)
    text = phrase(rng, grammar, {key: str(value) for key, value in asked.parameters.items()})
    text = text[:1].upper() + text[1:]
    return Question(name, text, asked.parameters, asked.answer, asked.wrong, kind.plans, doubtful=kind.doubtful)


def doubtful(types: Mapping[str, QuestionType], *alike: str) -> dict[str, QuestionType]:
    """The same types; those named, without an answer or worded like one without, are `QuestionType.doubtful`."""
    return {**types, **{name: replace(types[name], doubtful=True) for name in alike}}


def weighted_order(rng: random.Random, weights: Mapping[_T, float]) -> list[_T]:
    """All keys in random order, heavier ones sooner on average."""
    # Keys u ** (1 / weight), largest first: a weighted order without replacement (Efraimidis and Spirakis, 2006).
    return sorted(weights, key=lambda key: -(rng.random() ** (1 / weights[key])))


class First(random.Random):
    """Takes the first of all there is to choose: of plans, and of sentences."""

    def random(self) -> float:
        return 0.0  # what choice, choices and randint are made of


def evenly(rng: random.Random, found: Iterable[_T], answer: Callable[[_T], int]) -> _T:
    """One of what could be asked about, drawn so that each answer that is to be had is as likely as another."""
    by_answer: dict[int, list[_T]] = {}
    for one in found:
        by_answer.setdefault(answer(one), []).append(one)
    return rng.choice(by_answer[rng.choice(sorted(by_answer))])


def near_numbers(answer: str) -> set[str]:
    """Numbers near a number, written like it; none for a text."""
    try:
        value = Decimal(answer)
    except InvalidOperation:
        return set()
    unit = Decimal(1).scaleb(int(value.as_tuple().exponent))
    steps = (1, 2, 3, 10) if abs(value) >= 12 * unit else (1, 2, 3)
    near = [value + sign * step * unit for step in steps for sign in (1, -1)]
    return {format(other, "f") for other in near if other >= 0 or value < 0}


# ---------------------------------------------------------------------- the steps that programs share


def call(thought: str, name: str, **arguments: Any) -> Generator[tuple[str, list[Action]], list[Observation], dict[str, Any]]:
    """One step with one call: what the tool gave. Raises GaveUp where it failed."""
    [observation] = yield thought, [Action(name=name, arguments=arguments)]
    return content(observation)


def behind(seen: str, program: Program) -> Program:
    """The same program, its first thought behind what was seen before."""
    thought, actions = next(program)
    observations = yield f"{seen} {thought}".strip(), actions
    with contextlib.suppress(StopIteration):
        while True:
            thought, actions = program.send(observations)
            observations = yield thought, actions


def terminate(thought: str, answer: str) -> Program:
    """The last step."""
    yield thought, [Action(name="Terminate", arguments={"answer": answer})]


def content(observation: Observation) -> dict[str, Any]:
    """What a tool gave. Raises GaveUp where it failed."""
    if observation.error is not None:
        raise GaveUp("a tool failed")
    return dict(observation.content or {})


# ---------------------------------------------------------------------- wordings

_CHOICE = re.compile(r"\(([^()]*)\)")
_HINTED = re.compile(rf" If [^.?!]*'{CANNOT_TELL}'\.$")


def phrase(rng: random.Random, grammar: Sequence[str], parameters: Mapping[str, str]) -> str:
    """One wording, with the parameters put in.

    ``(a|b|)`` is a choice, which may hold others, ``{item}`` a parameter. A template is as likely as it has wordings.
    """
    template = rng.choices(grammar, [wordings(template) for template in grammar])[0]
    while _CHOICE.search(template):
        template = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)
    return re.sub(r"\{(\w+)\}", lambda match: parameters[match[1]], " ".join(template.split()))


@functools.cache
def wordings(template: str) -> int:
    """How many wordings a template has."""
    counts: list[int] = []

    def product(text: str) -> int:
        return math.prod(counts[int(index)] for index in re.findall("\0(\\d+)\0", text))

    def counted(match: re.Match[str]) -> str:
        counts.append(sum(map(product, match[1].split("|"))))
        return f"\0{len(counts) - 1}\0"

    while _CHOICE.search(template):
        template = _CHOICE.sub(counted, template)
    return product(template)
