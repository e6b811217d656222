"""Questions about exercises: solved by OCR and SolveMathEquation, worked out by OCR and Calculate, or seen without a tool.

>>> question = make_question(random.Random(0), "solve", QUESTION_TYPES["solve"], scene.annotation)
>>> question.text, question.answer
('What is x in exercise b?', '5')
"""

import random
import re
from collections.abc import Callable, Generator
from decimal import Decimal
from functools import partial

from taco.data_gen.programs.equation_phrasings import PHRASINGS
from taco.data_gen.programs.question import (
    CANNOT_TELL,
    Asked,
    GaveUp,
    Parameters,
    Plan,
    Program,
    QuestionType,
    call,
    doubtful,
    near_numbers,
    terminate,
)
from taco.data_gen.scenes.colours import COLOURS
from taco.data_gen.scenes.equations import LABELS, EquationScene, Problem
from taco.tools.action import Action, Observation

Choose = Callable[[random.Random, EquationScene], Asked | None]
Lines = Generator[tuple[str, list[Action]], list[Observation], list[str]]
Result = Generator[tuple[str, list[Action]], list[Observation], str]

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _which(problem: Problem) -> str:
    """What a question calls an exercise."""
    noun = {"system": "the system", "formula": "the formula", "sum": "the sum", "claim": "the sum"}.get(
        problem.kind, "the equation"
    )
    return f"exercise {problem.label.strip('.)')}" if problem.label else noun


def _one(rng: random.Random, scene: EquationScene, *kinds: str) -> Problem | None:
    able = [problem for problem in scene.problems if problem.kind in kinds]
    return rng.choice(able) if able else None


def _asked(problem: Problem, answer: str, wrong: tuple[str, ...] = (), **more: str) -> Asked:
    return Asked({"which": _which(problem), "label": problem.label, **more}, answer, wrong)


def _solution(rng: random.Random, scene: EquationScene) -> Asked | None:
    problem = _one(rng, scene, "linear")
    if problem is None:
        return None
    [(unknown, [value])] = problem.solutions.items()
    return _asked(problem, value, unknown=unknown)


def _root(rng: random.Random, scene: EquationScene, *, index: int) -> Asked | None:
    problem = _one(rng, scene, "quadratic")
    if problem is None:
        return None
    [(unknown, values)] = problem.solutions.items()
    return _asked(problem, values[index], unknown=unknown)


def _roots_together(rng: random.Random, scene: EquationScene) -> Asked | None:
    problem = _one(rng, scene, "quadratic")
    if problem is None:
        return None
    [(unknown, values)] = problem.solutions.items()
    return _asked(problem, str(sum(map(int, values))), unknown=unknown)


def _of_system(rng: random.Random, scene: EquationScene, *, together: bool) -> Asked | None:
    problem = _one(rng, scene, "system")
    if problem is None:
        return None
    one, other = rng.sample(sorted(problem.solutions), 2)
    values = {unknown: int(found) for unknown, [found] in problem.solutions.items()}
    answer = values[one] + values[other] if together else values[one]
    return _asked(problem, str(answer), unknown=one, other=other)


def _value(rng: random.Random, scene: EquationScene, *, kind: str) -> Asked | None:
    problem = _one(rng, scene, kind)
    return _asked(problem, problem.solutions[""][0]) if problem else None


def _claim(rng: random.Random, scene: EquationScene) -> Asked | None:
    problem = _one(rng, scene, "claim")
    if problem is None:
        return None
    right = Decimal(problem.text.rpartition("=")[2].strip()) == Decimal(problem.solutions[""][0])
    return _asked(problem, "yes" if right else "no", ("yes", "no"))


def _formula(rng: random.Random, scene: EquationScene) -> Asked | None:
    problem = _one(rng, scene, "formula")
    if problem is None:
        return None
    parts = re.fullmatch(r"(\w) = (\d*)(\w)(\^2)? ([+-]) (\d+)", problem.text)
    assert parts is not None, problem.text
    value = rng.randint(2, 9)
    product = int(parts[2] or 1) * value ** (2 if parts[4] else 1)
    answer = product + (1 if parts[5] == "+" else -1) * int(parts[6])
    return _asked(problem, str(answer), unknown=parts[1], other=parts[3], value=str(value))


def _difference(rng: random.Random, scene: EquationScene) -> Asked | None:
    sums = [problem for problem in scene.problems if problem.kind == "sum"]
    if len(sums) < 2:
        return None
    less, more = sorted(rng.sample(sums, 2), key=lambda problem: Decimal(problem.solutions[""][0]))
    difference = Decimal(more.solutions[""][0]) - Decimal(less.solutions[""][0])
    return _asked(more, str(difference), than=_which(less), than_label=less.label) if difference else None


def _missing(rng: random.Random, scene: EquationScene) -> Asked | None:
    """An exercise behind the last one."""
    if len(scene.problems) < 2:
        return None
    labels = next(labels for labels in LABELS if scene.problems[0].label in labels)
    absent = rng.choice([*labels, "7)" if labels[0] == "1)" else "g)"][len(scene.problems) :])
    values = [value for problem in scene.problems for found in problem.solutions.values() for value in found] or ["10"]
    value = rng.choice(values)
    return Asked({"which": f"exercise {absent.strip('.)')}", "label": absent}, CANNOT_TELL, (value, *sorted(near_numbers(value))))


def _how_many(rng: random.Random, scene: EquationScene) -> Asked | None:
    return Asked({}, str(len(scene.problems)))


def _colour(rng: random.Random, scene: EquationScene) -> Asked | None:
    return Asked({}, scene.background, tuple(COLOURS))


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)

READ = (
    "I need to read what is written.",
    "First I have to read {which}.",
    "The exercises are text, so I read the image.",
    "To answer I need the exact numbers of {which}. I read them.",
    "Reading the text will show me {which}.",
)
READ_PLACES = (
    "I read the texts with their places, to tell the exercises apart.",
    "I need to see what stands where, so I read the texts and their places.",
    "Reading the texts with their places will show me which lines belong to {which}.",
)
SOLVE = (
    "{which} is: {query}. I let it be solved.",
    "I read {query}. Now it has to be solved.",
    "It says {query}. I solve that.",
    "The text shows {query}, which I pass to the solver.",
)
WORK_OUT = (
    "{which} is: {query}. I work it out.",
    "I read {query}. I calculate {expression}.",
    "It says {query}, so I need {expression}.",
    "The text shows {query}. The calculator does {expression}.",
)
TAKE_AWAY = (
    "{which} is: {query}. I take {claimed} from the left side.",
    "I read {query}. If that holds, {expression} is 0.",
    "It says {query}, so {expression} should come to nothing.",
)


def _say(rng: random.Random, sentences: tuple[str, ...], **values: str) -> str:
    text = rng.choice(sentences).format(**values)
    return text[:1].upper() + text[1:]


def _read(asked: Parameters, rng: random.Random) -> Lines:
    if "places" in asked:
        seen = yield from call(_say(rng, READ_PLACES, **asked), "OCR", image="image-0", boxes=True)
    else:
        seen = yield from call(_say(rng, READ, **asked), "OCR", image="image-0")
    return [line.strip() for line in seen["text"].split("\n") if line.strip()]


def _exercise(lines: list[str], label: str) -> list[str]:
    """The lines of an exercise without its label; more than one of a system. Raises GaveUp where it is not there."""
    if not label:
        found = [line for line in lines if "=" in line]
    else:
        places = [index for index, line in enumerate(lines) if _begins(line, label)]
        if not places:
            raise GaveUp("the exercise was not found")
        follow = lines[places[0] + 1 : places[0] + 2]
        own = lines[places[0]].replace(" ", "")[len(label) :] if " " not in lines[places[0]] else lines[places[0]]
        own = re.sub(rf"^\s*{re.escape(label[0])}\s*[.)]\s*", "", own, flags=re.IGNORECASE)
        found = [own, *(line for line in follow if "=" in line and not re.match(r"\w\s*[.)]", line))]
    if not found:
        raise GaveUp("the exercise was not found")
    return found


def _begins(line: str, label: str) -> bool:
    return line.replace(" ", "").lower().startswith(label.lower())


def _solved(
    asked: Parameters, rng: random.Random
) -> Generator[tuple[str, list[Action]], list[Observation], list[dict[str, str]]]:
    """The solutions, each with the value of every unknown."""
    lines = yield from _read(asked, rng)
    query = ", ".join(_exercise(lines, asked["label"]))
    result = (yield from call(_say(rng, SOLVE, query=query, **asked), "SolveMathEquation", query=query))["result"]
    solutions = [dict(re.findall(r"(\w) = (-?[\d.]+)(?![\d/])", part)) for part in result.split(" or ")]
    if not all(solutions):
        raise GaveUp("there is no plain solution")
    return solutions


def _give_solution(asked: Parameters, rng: random.Random) -> Program:
    [solution, *others] = yield from _solved(asked, rng)
    unknown = asked["unknown"]
    if others or unknown not in solution:
        raise GaveUp("there is no single solution")
    yield from terminate(f"The solver says {unknown} = {solution[unknown]}.", solution[unknown])


def _give_root(asked: Parameters, rng: random.Random, *, larger: bool) -> Program:
    values = _values((yield from _solved(asked, rng)), asked["unknown"])
    best = (max if larger else min)(values, key=Decimal)
    word = "larger" if larger else "smaller"
    yield from terminate(f"The solutions are {' and '.join(values)}; {best} is the {word} one.", best)


def _add_roots(asked: Parameters, rng: random.Random) -> Program:
    values = _values((yield from _solved(asked, rng)), asked["unknown"])
    total = yield from _calculated(f"The solutions are {' and '.join(values)}. I add them.", " + ".join(map(_bracketed, values)))
    yield from terminate(f"Together they are {total}.", total)


def _add_unknowns(asked: Parameters, rng: random.Random) -> Program:
    [solution, *_] = yield from _solved(asked, rng)
    names = asked["unknown"], asked["other"]
    if not set(names) <= set(solution):
        raise GaveUp("there is no single solution")
    quoted = " and ".join(f"{name} = {solution[name]}" for name in names)
    total = yield from _calculated(f"{quoted}. I add them.", " + ".join(_bracketed(solution[name]) for name in names))
    yield from terminate(f"The sum is {total}.", total)


def _values(solutions: list[dict[str, str]], unknown: str) -> list[str]:
    if not all(unknown in solution for solution in solutions):
        raise GaveUp("there is no plain solution")
    return [solution[unknown] for solution in solutions]


def _bracketed(value: str) -> str:
    return f"({value})" if value.startswith("-") else value


def _calculated(thought: str, expression: str) -> Result:
    result = (yield from call(thought, "Calculate", expression=expression))["result"]
    return str(result)


def _left_side(line: str) -> str:
    """A sum as the calculator reads it: ``15% of 420 =`` is ``15% * 420``."""
    return re.sub(r"\s*of\s*", " * ", line.partition("=")[0].strip())


def _work_out(asked: Parameters, rng: random.Random) -> Program:
    lines = yield from _read(asked, rng)
    [line, *_] = _exercise(lines, asked["label"])
    expression = _left_side(line)
    result = yield from _calculated(_say(rng, WORK_OUT, query=line, expression=expression, **asked), expression)
    yield from terminate(f"The result is {result}.", result)


def _check(asked: Parameters, rng: random.Random, *, subtract: bool) -> Program:
    """Works out the left side, or takes away from it at once what is claimed."""
    lines = yield from _read(asked, rng)
    [line, *_] = _exercise(lines, asked["label"])
    expression, claimed = _left_side(line), line.rpartition("=")[2].strip()
    if not re.fullmatch(r"-?\d+(\.\d+)?", claimed):
        raise GaveUp("the claimed result was not read")
    if subtract:
        expression = f"{expression} - {_bracketed(claimed)}"
    words = {"query": line, "expression": expression, "claimed": claimed, **asked}
    result = yield from _calculated(_say(rng, TAKE_AWAY if subtract else WORK_OUT, **words), expression)
    right = Decimal(result) == (0 if subtract else Decimal(claimed))
    told = f"The sides differ by {result}" if subtract else f"It is {result}, and {claimed} is written"
    yield from terminate(f"{told}: {'right' if right else 'wrong'}.", "yes" if right else "no")


def _substitute(asked: Parameters, rng: random.Random) -> Program:
    lines = yield from _read(asked, rng)
    [line, *_] = _exercise(lines, asked["label"])
    right = line.partition("=")[2].strip()
    value = f"({asked['value']})"
    expression = re.sub(rf"(\d)?\s*{asked['other']}", lambda found: f"{found[1]} * {value}" if found[1] else value, right)
    thought = f"It says {line}. With {asked['other']} = {asked['value']} that is {expression}."
    result = yield from _calculated(thought, expression)
    yield from terminate(f"So {asked['unknown']} is {result}.", result)


def _subtract(asked: Parameters, rng: random.Random, *, at_once: bool) -> Program:
    lines = yield from _read(asked, rng)
    [one, *_], [other, *_] = _exercise(lines, asked["label"]), _exercise(lines, asked["than_label"])
    if at_once:
        expression = f"({_left_side(one)}) - ({_left_side(other)})"
        result = yield from _calculated(f"I read {one} and {other}. One calculation gives the difference.", expression)
        yield from terminate(f"The difference is {result}.", result)
        return
    first = yield from _calculated(f"I read {one} and {other}; the first comes first.", _left_side(one))
    second = yield from _calculated(f"The first is {first}. Now the other.", _left_side(other))
    result = yield from _calculated(f"They are {first} and {second}. I take the difference.", f"{first} - {_bracketed(second)}")
    yield from terminate(f"The difference is {result}.", result)


def _look_in_vain(asked: Parameters, rng: random.Random) -> Program:
    lines = yield from _read(asked, rng)
    if any(_begins(line, asked["label"]) for line in lines):
        raise GaveUp("an exercise was read that is not there")
    yield from terminate(f"I read: {'; '.join(lines)}. There is no {asked['which']} among them.", CANNOT_TELL)


def _with_places(asked: Parameters, rng: random.Random, *, plan: Plan) -> Program:
    """The same plan, but the texts are read with their places."""
    return plan({**asked, "places": True}, rng)


def _type(weight: float, name: str, choose: Choose, *plans: Plan) -> tuple[str, QuestionType]:
    return name, QuestionType(weight, choose, (*plans, *(partial(_with_places, plan=plan) for plan in plans)), PHRASINGS[name])


_TYPES: dict[str, QuestionType] = dict(
    [
        _type(1.5, "solve", _solution, _give_solution),
        _type(1.0, "larger_solution", partial(_root, index=1), partial(_give_root, larger=True)),
        _type(1.0, "smaller_solution", partial(_root, index=0), partial(_give_root, larger=False)),
        _type(0.7, "sum_of_solutions", _roots_together, _add_roots),
        _type(1.0, "system_value", partial(_of_system, together=False), _give_solution),
        _type(0.7, "system_sum", partial(_of_system, together=True), _add_unknowns),
        _type(1.2, "sum_value", partial(_value, kind="sum"), _work_out),
        _type(1.0, "claim_right", _claim, *(partial(_check, subtract=subtract) for subtract in (False, True))),
        _type(0.7, "claim_corrected", partial(_value, kind="claim"), _work_out),
        _type(1.0, "formula_value", _formula, _substitute),
        _type(0.7, "difference", _difference, *(partial(_subtract, at_once=at_once) for at_once in (False, True))),
        _type(0.4, "missing", _missing, _look_in_vain),
        _type(0.4, "number_of_exercises", _how_many),
        _type(0.3, "paper_colour", _colour),
    ]
)
QUESTION_TYPES = doubtful(_TYPES, "missing", "solve", "larger_solution", "smaller_solution", "sum_value", "claim_corrected")
"""Every type, with the one table of weights."""
