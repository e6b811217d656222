"""SolveMathEquation: one or several equations in text, solved exactly over the real numbers.

>>> solve("x^2 - 5x + 6 = 0")
'x = 2 or x = 3'
>>> solve("x + y = 10, x - y = 2")
'x = 6, y = 4'

The text is read by our own grammar (`expression.py`, with ``2x`` allowed), and SymPy only ever sees trees that we built: never a
string. General solvers can run for ever, so only classes that end are accepted:

- one unknown: polynomial or rational, also with roots and absolute values (made polynomial by elimination), or in one
  exponential or in logarithms; up to degree 10 (`equation_solver.MAX_DEGREE`);
- several unknowns: linear systems, and polynomial ones that come down to two unknowns by substitution.

The methods are in `equation_solver.py`, the trees in `equation_trees.py`; here are the reading and the words.

Whatever an elimination brings is put back into the given equations with 50 digits before it is reported.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from taco.tools.action import ToolError
from taco.tools.calculator import evaluate, presentable
from taco.tools.equation_solver import NotUnique, Roots, roots, system
from taco.tools.equation_trees import Builder, Conditions
from taco.tools.expression import Node, Parser, fail, fold
from taco.tools.tool import tool

MAX_EQUATIONS = 6  # and as many unknowns

_LEAD = re.compile(
    r"\s*(?:please\s+)?(?:solve|find|simplify|evaluate|calculate|compute)\b"
    r"(?:\s+(?:the|this|following|equations?|system|expression|of)\b)*\s*:?",
    re.IGNORECASE,
)
_NAMES = r"(?P<names>[A-Za-z]\w*(?:\s*(?:,|\band\b)\s*[A-Za-z]\w*)*)"
_LEADING_FOR = re.compile(rf"\s*(?:for\s+)?{_NAMES}\s*(?::|\b(?:if|in|where|when|given(?:\s+that)?|from)\b)\s*", re.IGNORECASE)
_TRAILING_FOR = re.compile(rf"[\s,;]*\bfor\s+{_NAMES}\s*$", re.IGNORECASE)


@tool(name="SolveMathEquation", backend=lambda: _backend(), isolated=True)
def SolveMathEquation(query: str) -> dict[str, Any]:
    """Solves one or several equations over the real numbers, or simplifies an expression with unknowns.

    Args:
        query: Equations separated by commas, semicolons or 'and', for example "x^2 - 5x + 6 = 0" or
            "x + y = 10, x - y = 2"; "P = 2l + 2w for l" names the unknown. Multiplication of names is written: x*y.

    Returns:
        result: The solutions, such as "x = 2 or x = 3", or a sentence that there is none, or not only one.
    """
    return {"result": solve(query)}


def solve(query: str) -> str:
    """Solve the equations of `query`.

    Args:
        query: One or several equations, or one expression without ``=``, which is simplified.

    Returns:
        Solutions joined by " or " (the unknowns of one solution by ", "), irrational ones exactly and with a decimal after "≈";
        or "no real solution ...", "no unique solution: ...", "true for every x".

    Raises:
        ToolError: The text cannot be read, or is outside of the classes named in the module's docstring.

    Stands where the reference asks WolframAlpha (SalesforceAIResearch/TACO, SolveMathEquation; defect R8).
    """
    problem = _read(query)
    if not problem.unknowns:
        return _without_unknowns(problem)
    if len(problem.sides) == 1 and problem.sides[0][1] is None:
        return _simplified(problem.sides[0][0])
    return _solved(problem)


def _backend() -> str:
    from importlib.metadata import version

    return f"sympy {version('sympy')}"


# ---------------------------------------------------------------------- reading


@dataclass
class _Problem:
    sides: list[tuple[Node, Node | None]]
    unknowns: list[str]  # in order of appearance
    wanted: list[str]  # those named by "for ..."


def _read(query: str) -> _Problem:
    text, wanted = _strip_words(query)
    # A newline separates; ';' in its place keeps the positions.
    parser = Parser(re.sub(r"[\r\n]", ";", text), algebra=True)
    sides: list[tuple[Node, Node | None]] = []
    while True:
        while parser.at(",", ";", "and"):
            parser.take()
        if parser.ended():
            break
        left = parser.expression()
        right = None
        if parser.at("="):
            parser.take()
            right = parser.expression()
        sides.append((left, right))
        if not (parser.ended() or parser.at(",", ";", "and")):
            if parser.at("="):
                fail(parser.current.start, "this equation has a second '='; write two equations: a = b, b = c")
            parser.finish()
    return _checked(_Problem(sides, [], wanted))


def _strip_words(query: str) -> tuple[str, list[str]]:
    """Blank out 'solve ... for x', keeping every position, and return the names that are asked for."""
    text = re.sub(r"[?.\s]+$", lambda match: " " * len(match.group()), query)
    lead = _LEAD.match(text)
    start = lead.end() if lead else 0
    names = ""
    if match := _LEADING_FOR.match(text, start):
        names, start = match["names"], match.end()
    text = " " * start + text[start:]
    if match := _TRAILING_FOR.search(text):
        names, text = match["names"], text[: match.start()].ljust(len(text))
    return text, re.findall(r"\b(?!and\b)[A-Za-z]\w*", names)


def _checked(problem: _Problem) -> _Problem:
    sides = problem.sides
    if not sides:
        fail(0, "there is no equation; write something like 2x + 3 = 7")
    if len(sides) > MAX_EQUATIONS:
        raise ToolError(f"There are {len(sides)} equations, and at most {MAX_EQUATIONS} are solved; give fewer.")
    if len(sides) > 1 and any(right is None for _, right in sides):
        position = next(left for left, right in sides if right is None).position
        fail(position, "this part has no '='; write each equation as left = right, separated by commas")
    trees = [tree for pair in sides for tree in pair if tree is not None]
    names = [name for tree in trees for name in fold(tree, _names)]
    problem.unknowns = list(dict.fromkeys(names))
    if len(problem.unknowns) > MAX_EQUATIONS:
        raise ToolError(f"There are {len(problem.unknowns)} unknowns, and at most {MAX_EQUATIONS} are solved; give fewer.")
    for name in problem.unknowns:
        if len(name) > 1 and set(name) <= set(problem.unknowns):
            raise ToolError(f"{name!r} may be one unknown or a product of several; write {'*'.join(name)} for the product.")
    for name in problem.wanted:
        if name not in problem.unknowns:
            raise ToolError(f"The unknown {name!r} is asked for, but it is in no equation; ask for one that is.")
    return problem


def _names(node: Node, operands: list[list[str]]) -> list[str]:
    own = [node.name] if node.symbol == "name" and node.name not in ("pi", "e") else []
    return list(dict.fromkeys(itertools.chain(own, *operands)))


# ---------------------------------------------------------------------- writing


def _text(expression: Any) -> str:
    """An expression in our own grammar: 2*x^2, ln(5), sqrt(2), e."""
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):  # type: ignore[misc]
        def _print_log(self, expr: Any) -> str:
            return f"ln({self._print(expr.args[0])})"

        def _print_Abs(self, expr: Any) -> str:
            return f"abs({self._print(expr.args[0])})"

        def _print_Exp1(self, expr: Any) -> str:
            return "e"

        def _print_exp(self, expr: Any) -> str:
            return f"exp({self._print(expr.args[0])})"

        def _print_ImaginaryUnit(self, expr: Any) -> str:
            return "i"

    return str(Printer().doprint(expression)).replace("**", "^")


def _number_text(value: Any) -> str:
    """A value as ' = 3', ' = 1/3 ≈ 0.333333333333', ' = sqrt(2) ≈ 1.41421356237' or ' ≈ 1.3247...' (no closed form)."""
    import sympy

    if value.is_Rational:
        exact = Fraction(int(value.p), int(value.q))
        shown = presentable(exact)
        if isinstance(shown, int) or Fraction(repr(shown)) == exact:
            return f" = {shown}"
        return f" = {_text(value)} ≈ {shown}"
    if value.free_symbols:
        return f" = {_text(value)}"
    decimal = f"≈ {presentable(float(value.evalf(20)))}"
    if value.has(sympy.CRootOf) or value.has(sympy.Float) or len(_text(value)) > 60:
        return f" {decimal}"
    return f" = {_text(value)} {decimal}"


def _without_unknowns(problem: _Problem) -> str:
    left, right = problem.sides[0]
    if len(problem.sides) > 1:
        raise ToolError("There is no unknown in these equations; write one as a letter, such as x.")
    if right is None:
        return str(presentable(evaluate(left)))
    values = [presentable(evaluate(side)) for side in (left, right)]
    if values[0] == values[1]:
        return f"true: both sides are {values[0]}"
    return f"false: the left side is {values[0]}, the right side {values[1]}"


def _simplified(tree: Node) -> str:
    import sympy

    builder = Builder()
    expression = builder.build(tree)
    if expression.is_rational_function():
        return _text(sympy.expand(sympy.cancel(expression)) if expression.is_polynomial() else sympy.cancel(expression))
    return _text(sympy.expand(expression))


# ---------------------------------------------------------------------- solving


def _solved(problem: _Problem) -> str:
    import sympy

    builder = Builder()
    pairs = [(builder.build(left), builder.build(right)) for left, right in problem.sides if right is not None]
    unknowns = [sympy.Symbol(name, real=True) for name in problem.unknowns]
    wanted = [sympy.Symbol(name, real=True) for name in problem.wanted] or unknowns
    if len(pairs) < len(unknowns):
        return _formula(pairs, unknowns, wanted)
    if len(unknowns) == 1 and len(pairs) == 1:
        return _one_unknown(pairs[0], unknowns[0], builder.conditions)
    try:
        candidates = system([left - right for left, right in pairs], unknowns)
    except NotUnique:
        return _formula(pairs, unknowns, wanted)
    found = [solution for solution in candidates if _holds(pairs, builder.conditions, solution)]
    if not found:
        return "no real solution: the equations contradict each other"
    found.sort(key=lambda solution: [solution[unknown].evalf(30) for unknown in unknowns])
    return " or ".join(dict.fromkeys(_assignment(solution, wanted) for solution in found))


def _assignment(solution: dict[Any, Any], wanted: list[Any]) -> str:
    return ", ".join(f"{unknown}{_number_text(solution[unknown])}" for unknown in wanted)


def _holds(pairs: list[tuple[Any, Any]], conditions: Conditions, solution: dict[Any, Any]) -> bool:
    """Whether both sides of every equation agree to 25 digits, and are defined."""
    import sympy

    values = {unknown: value.evalf(60) for unknown, value in solution.items()}
    if not all(value.is_real for value in values.values()) or not conditions.hold(values):
        return False
    for left, right in pairs:
        sides = [sympy.sympify(side).subs(values).evalf(50) for side in (left, right)]
        if not all(side.is_number and side.is_finite for side in sides):
            return False
        if abs(sides[0] - sides[1]) > sympy.Float("1e-25") * (1 + abs(sides[0]) + abs(sides[1])):
            return False
    return True


def _one_unknown(pair: tuple[Any, Any], unknown: Any, conditions: Conditions) -> str:
    try:
        candidates = roots(pair[0] - pair[1], unknown)
    except NotUnique:
        if not pair[0].is_rational_function(unknown) or not pair[1].is_rational_function(unknown):
            raise ToolError(
                "The equation may hold on a whole range of numbers, which is not solved; split it into cases."
            ) from None
        limited = conditions.not_zero or conditions.not_negative or conditions.positive
        where = " for which both sides are defined" if limited else ""
        return f"true for every {unknown}{where}: no unique solution"
    found = [root for root in candidates.real if _holds([pair], conditions, {unknown: root})]
    found.sort(key=lambda root: root.evalf(30))
    if not found:
        return "no real solution" + _complex_text(candidates, unknown)
    more = f" ({candidates.unlisted} complex solutions are not listed)" if candidates.unlisted else ""
    return " or ".join(dict.fromkeys(f"{unknown}{_number_text(root)}" for root in found)) + more


def _complex_text(candidates: Roots, unknown: Any) -> str:
    if candidates.complex:
        return " (complex: " + " or ".join(f"{unknown} = {_text(root)}" for root in candidates.complex) + ")"
    return ""


def _formula(pairs: list[tuple[Any, Any]], unknowns: list[Any], wanted: list[Any]) -> str:
    """The general form where the unknowns are not determined: some of them in terms of the others."""
    import sympy

    expressions = [sympy.expand(left - right) for left, right in pairs]
    asked = wanted if len(wanted) < len(unknowns) else []
    if all(e.is_polynomial(*unknowns) and sympy.Poly(e, *unknowns).total_degree() <= 1 for e in expressions):
        order = asked + [unknown for unknown in unknowns if unknown not in asked]
        solutions = list(sympy.linsolve(expressions, *order))
        if not solutions:
            return "no real solution: the equations contradict each other"
        bound = {unknown: value for unknown, value in zip(order, solutions[0], strict=True) if value != unknown}
    elif len(expressions) == 1:
        return _one_formula(expressions[0], unknowns, asked)
    else:
        raise _undetermined(len(pairs), len(unknowns))
    free = ", ".join(str(unknown) for unknown in unknowns if unknown not in bound)
    form = ", ".join(f"{unknown}{_number_text(value)}" for unknown, value in bound.items())
    if asked and set(bound) == set(asked):
        return form
    return (
        f"no unique solution: {form}, where {free} can be any number" if bound else f"true for every {free}: no unique solution"
    )


def _one_formula(expression: Any, unknowns: list[Any], asked: list[Any]) -> str:
    """One nonlinear equation with several unknowns: solved for one that has degree 1 or 2 in it."""
    import sympy

    equation = sympy.expand(sympy.fraction(sympy.together(expression))[0])
    for unknown in asked or unknowns:
        if not equation.is_polynomial(unknown) or unknown not in equation.free_symbols:
            continue
        coefficients = sympy.Poly(equation, unknown).all_coeffs()
        if len(coefficients) == 2:
            form = f"{unknown} = {_text(sympy.cancel(-coefficients[1] / coefficients[0]))}"
        elif len(coefficients) == 3:
            a, b, c = coefficients
            surd = sympy.sqrt(sympy.expand(b**2 - 4 * a * c))
            form = " or ".join(f"{unknown} = {_text((-b + sign * surd) / (2 * a))}" for sign in (-1, 1))
        else:
            continue
        return form if asked else f"no unique solution: {form}, for any value of the others that keeps this defined"
    raise _undetermined(1, len(unknowns))


def _undetermined(equations: int, unknowns: int) -> ToolError:
    return ToolError(
        f"{equations} equation(s) do not determine {unknowns} unknowns and give no simple general form; "
        "add equations or put numbers in for some unknowns."
    )
