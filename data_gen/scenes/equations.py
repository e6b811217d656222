"""Scenes of the family `equations`: exercise sheets, blackboards and cards with sums and equations, each with its solutions.

Run: `render(random.Random(7)).image.show()`; the same seed gives the same pixels on any number of workers.
"""

import random
from fractions import Fraction
from typing import Literal

from taco.data_gen.scenes import fonts
from taco.data_gen.scenes.canvas import Canvas
from taco.data_gen.scenes.colours import palette
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.photo import photograph
from taco.data_gen.scenes.scene import Annotation, Scene, TextLine

ProblemKind = Literal["linear", "quadratic", "system", "sum", "claim", "formula"]

TITLES = ("Exercises", "Homework", "Warm up", "Algebra", "Practice", "Quiz", "Maths club", "Unit test", "", "", "")
TEST_TITLES = ("Revision", "Worksheet", "Morning task")
PAPERS = ("white", "white", "white", "yellow", "black", "green", "blue")
"""Sheets and boards; what is written has enough contrast on each."""
UNKNOWNS = ("x", "y", "n", "a", "t", "k")
TEST_UNKNOWNS = ("m", "z", "w")
LABELS = (("1)", "2)", "3)", "4)", "5)", "6)"), ("a)", "b)", "c)", "d)", "e)", "f)"), ("A.", "B.", "C.", "D.", "E.", "F."))
MOST_PROBLEMS = 6
_SIDES = (500, 820)


class Problem(Annotation):
    """One exercise.

    Attributes:
        kind: What it is: equations to solve, a sum to work out, a claim "12 + 7 = 20" to check, or a formula "y = 2x + 1".
        label: What stands before it: ``a)``.
        text: As it is written, without the label: ``3x + 5 = 20``; the two equations of a system are separated by a comma.
        solutions: Values of each unknown, ascending, as plain decimals; of a sum, its value under ``""``; of a claim, that of
            its left side; none of a formula.
    """

    kind: ProblemKind
    label: str
    text: str
    solutions: dict[str, tuple[str, ...]]


class EquationScene(Annotation):
    """A sheet of exercises, from top to bottom."""

    family: Literal["equations"] = "equations"
    font: str
    width: int
    height: int
    title: str
    background: str
    problems: tuple[Problem, ...]
    lines: tuple[TextLine, ...]


def render(rng: random.Random, *, split: Split = "train", max_items: int = MOST_PROBLEMS, min_items: int = 1) -> Scene:
    """Draw one sheet.

    Args:
        rng: Where all chance comes from: equal states give equal scenes.
        split: "test" has the titles and names of unknowns that are held out of "train", and held-out fonts in half of its scenes.
        max_items: Most exercises, at most MOST_PROBLEMS.
        min_items: Fewest exercises, at least 1.

    Raises:
        ValueError: If not 1 <= min_items <= max_items <= MOST_PROBLEMS.
    """
    if not 1 <= min_items <= max_items <= MOST_PROBLEMS:
        raise ValueError(f"A sheet has 1 to {MOST_PROBLEMS} exercises; got min_items={min_items}, max_items={max_items}.")
    held_out = split == "test"
    font = rng.choice(fonts.TEST_FONTS if held_out and rng.random() < 0.5 else _train(fonts.FONTS, fonts.TEST_FONTS))
    count, background, labels = rng.randint(min_items, max_items), rng.choice(PAPERS), rng.choice(LABELS)
    names = TEST_UNKNOWNS if held_out else UNKNOWNS
    problems = [_problem(rng, labels[index] if count > 1 else "", names) for index in range(count)]
    title = rng.choice(TEST_TITLES if held_out else TITLES)
    width, height = rng.randint(*_SIDES), rng.randint(*_SIDES)
    fills = rng.random() < 0.4
    board = (width, height) if fills else (round(width * rng.uniform(0.84, 0.97)), round(height * rng.uniform(0.84, 0.97)))
    paints = palette(background, rng)
    canvas = Canvas(board, paints.paper)
    _write(canvas, rng, title, problems, font, paints.ink, paints.accent)
    image, where = photograph(canvas.image, (width, height), rng, fills_image=fills)
    lines = tuple(TextLine(text=text, bbox=where(box)) for text, box in canvas.written)
    annotation = EquationScene(
        font=font,
        width=image.width,
        height=image.height,
        title=title,
        background=background,
        problems=tuple(problems),
        lines=lines,
    )
    return Scene((image,), annotation)


def _train(every: tuple[str, ...], held_out: tuple[str, ...]) -> list[str]:
    return [name for name in every if name not in held_out]


def _write(
    canvas: Canvas,
    rng: random.Random,
    title: str,
    problems: list[Problem],
    font: str,
    ink: tuple[int, int, int],
    accent: tuple[int, int, int],
) -> None:
    """Title, then one exercise below the other; a system takes two lines. As large as there is room for."""
    width, height = canvas.image.size
    rows = [line for problem in problems for line in _rows(problem)]
    slots = len(rows) + (1.2 if title else 0) + 0.6
    size = min(height / slots * 0.55, 60.0)
    longest = max((fonts.load(font, 100).getlength(row) for row in rows), default=1.0)
    size = int(max(14.0, min(size, 100 * width * 0.86 / longest)))
    left, pitch = width * rng.uniform(0.05, 0.09), height / slots
    if len(rows) == 1:  # alone, and so in the middle
        left = (width - longest * size / 100) / 2
    baseline = pitch
    if title:
        canvas.write(title, (width / 2, baseline), font, int(size * 1.1), accent, "ms")
        baseline += 1.2 * pitch
    for row in rows:
        indent = fonts.load(font, size).getlength(row[: len(row) - len(row.lstrip())])
        canvas.write(row.lstrip(), (left + indent, baseline), font, size, ink)
        baseline += pitch


def _rows(problem: Problem) -> list[str]:
    first, *others = problem.text.split(", ")
    indent = " " * len(problem.label)
    return [f"{problem.label} {first}".strip(), *(f"{indent} {other}" for other in others)]


# ---------------------------------------------------------------------- exercises


def _problem(rng: random.Random, label: str, names: tuple[str, ...]) -> Problem:
    kind: ProblemKind = rng.choice(("linear", "linear", "quadratic", "system", "sum", "sum", "claim", "formula"))
    text, solutions = _MAKERS[kind](rng, names)
    return Problem(kind=kind, label=label, text=text, solutions=solutions)


Made = tuple[str, dict[str, tuple[str, ...]]]


def _linear(rng: random.Random, names: tuple[str, ...]) -> Made:
    name, value, factor, added = rng.choice(names), rng.randint(-9, 15), rng.randint(2, 9), rng.randint(1, 20)
    sign = rng.choice((1, -1))
    left = rng.choice(("plain", "bracket", "both"))
    if left == "bracket":
        text = f"{factor}({name} {_signed(sign * added)}) = {factor * (value + sign * added)}"
    elif left == "both":
        other = rng.randint(1, factor - 1)
        text = f"{factor}{name} {_signed(sign * added)} = {_term(other, name)} {_signed((factor - other) * value + sign * added)}"
    else:
        text = f"{factor}{name} {_signed(sign * added)} = {factor * value + sign * added}"
    return text, {name: (str(value),)}


def _quadratic(rng: random.Random, names: tuple[str, ...]) -> Made:
    name = rng.choice(names)
    low, high = sorted(rng.sample([root for root in range(-7, 10) if root], 2))
    linear, constant = -(low + high), low * high
    middle = f"{_signed(linear, name)} " if linear else ""
    return f"{name}^2 {middle}{_signed(constant)} = 0", {name: (str(low), str(high))}


def _system(rng: random.Random, names: tuple[str, ...]) -> Made:
    one, other = rng.sample(names, 2)
    x, y = rng.randint(-6, 12), rng.randint(-6, 12)
    a, b, c, d = rng.choice(((1, 1, 1, -1), (2, 1, 1, -1), (1, 2, 1, 1), (3, 1, 1, -2), (2, 3, 1, -1), (1, 1, 2, -1)))
    first = f"{_term(a, one)} {_signed(b, other)} = {a * x + b * y}"
    second = f"{_term(c, one)} {_signed(d, other)} = {c * x + d * y}"
    return f"{first}, {second}", {one: (str(x),), other: (str(y),)}


def _sum(rng: random.Random, names: tuple[str, ...]) -> Made:
    text, value = _arithmetic(rng)
    return f"{text} =", {"": (_plain(value),)}


def _claim(rng: random.Random, names: tuple[str, ...]) -> Made:
    text, value = _arithmetic(rng)
    claimed = value + (rng.choice((-10, -2, -1, 1, 2, 10)) if rng.random() < 0.5 else 0)
    return f"{text} = {_plain(claimed)}", {"": (_plain(value),)}


def _formula(rng: random.Random, names: tuple[str, ...]) -> Made:
    one, other = rng.sample(names, 2)
    square = "^2" if rng.random() < 0.3 else ""
    return f"{one} = {_term(rng.randint(1, 9), other)}{square} {_signed(rng.choice((1, -1)) * rng.randint(1, 20))}", {}


_MAKERS = {
    "linear": _linear,
    "quadratic": _quadratic,
    "system": _system,
    "sum": _sum,
    "claim": _claim,
    "formula": _formula,
}


def _arithmetic(rng: random.Random) -> tuple[str, Fraction]:
    a, b, c = rng.randint(2, 99), rng.randint(2, 99), rng.randint(2, 12)
    form = rng.choice(("add", "subtract", "times", "mixed", "bracket", "percent", "divide"))
    if form == "add":
        return f"{a * c} + {b}", Fraction(a * c + b)
    if form == "subtract":
        return f"{a * c} - {b}", Fraction(a * c - b)
    if form == "times":
        return f"{a} * {c}", Fraction(a * c)
    if form == "mixed":
        return f"{a} + {b} * {c}", Fraction(a + b * c)
    if form == "bracket":
        return f"({a} + {b}) * {c}", Fraction((a + b) * c)
    if form == "percent":
        share, whole = rng.choice((5, 10, 15, 20, 25, 30, 40, 60, 75)), rng.randint(2, 30) * 20
        return f"{share}% of {whole}", Fraction(share * whole, 100)
    return f"{a * c} / {c} + {b}", Fraction(a + b)


def _signed(value: int, name: str = "") -> str:
    """``+ 5``, ``- 3x``: with its sign before it."""
    return f"{'-' if value < 0 else '+'} {_term(abs(value), name)}"


def _term(value: int, name: str) -> str:
    return f"{'' if value == 1 and name else value}{name}"


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else format(float(value), "g")
