"""Our trees as SymPy's, for SolveMathEquation: nothing is parsed by SymPy, and nothing too large is handed to it.

>>> from taco.tools.expression import Parser
>>> Builder().build(Parser("2x + 1", algebra=True).expression())
2*x + 1

While building, what must hold for the text to have a real value (divisors not zero, roots of numbers from 0) is collected as
`Conditions`, which every solution has to meet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from taco.tools.calculator import Value, apply
from taco.tools.equation_solver import MAX_DEGREE
from taco.tools.expression import Node, fail, fold

MAX_TERMS = 400  # of an equation multiplied out, estimated beforehand
MAX_EXPONENT = 1_000  # numbers in an exponent with an unknown
MAX_NUMBER_BITS = 160  # of an exact number; longer ones make the factorisation slow


@dataclass
class _Built:
    """Part of a tree as SymPy sees it; `value` where no unknown is in it; bounds on the size when multiplied out."""

    expression: Any
    value: Value | None
    degree: int = 0
    terms: int = 1


@dataclass
class Conditions:
    """What must hold for the text to have a real value: collected while building."""

    not_zero: list[Any] = field(default_factory=list)
    not_negative: list[Any] = field(default_factory=list)
    positive: list[Any] = field(default_factory=list)

    def hold(self, values: dict[Any, Any]) -> bool:
        """Whether all hold, to 25 digits, where the unknowns have these values."""
        import sympy

        def at(expression: Any) -> Any:
            number = expression.subs(values).evalf(50)
            return number if number.is_real else sympy.nan

        tiny = sympy.Float("1e-25")
        return (
            all(abs(number) > tiny for number in map(at, self.not_zero) if number is not sympy.nan)
            and all(number is not sympy.nan and number > -tiny for number in map(at, self.not_negative))
            and all(number is not sympy.nan and number > tiny for number in map(at, self.positive))
        )


class Builder:
    """Turns our trees into SymPy's, refusing on the way what would grow beyond the caps."""

    def __init__(self) -> None:
        self.conditions = Conditions()

    def build(self, tree: Node) -> Any:
        """The SymPy expression of a tree; ToolError where it is outside of what is solved."""
        return fold(tree, self._combine).expression

    def _combine(self, node: Node, parts: list[_Built]) -> _Built:
        import sympy

        if node.symbol == "name" and node.name not in ("pi", "e"):
            return _Built(sympy.Symbol(node.name, real=True), None, degree=1)
        value = None
        if all(part.value is not None for part in parts):
            value = apply(node, [part.value for part in parts if part.value is not None])
        if isinstance(value, Fraction):
            return _Built(_rational(value, node), value)
        built = self._operation(node, parts)
        built.value = value
        if built.degree > 2 * MAX_DEGREE or built.terms > MAX_TERMS:
            fail(node.position, "the equation grows too large here; simplify it, or solve a smaller part first")
        return built

    def _operation(self, node: Node, parts: list[_Built]) -> _Built:
        import sympy

        arguments = [part.expression for part in parts]
        degree, terms = sum(part.degree for part in parts), sum(part.terms for part in parts)
        highest = max((part.degree for part in parts), default=0)
        match node.symbol, arguments:
            case "name", _:
                return _Built(sympy.pi if node.name == "pi" else sympy.E, None)
            case "+" | "-", [a, b]:
                return _Built(a + b if node.symbol == "+" else a - b, None, highest, terms)
            case "negate", [a]:
                return _Built(-a, None, degree, terms)
            case "percent", [a]:
                return _Built(a / 100, None, degree, terms)
            case "radians", [a]:
                return _Built(a * sympy.pi / 180, None, degree, terms)
            case "*", [a, b]:
                return _Built(a * b, None, degree, parts[0].terms * parts[1].terms)
            case "/", [a, b]:
                self.conditions.not_zero.append(b)
                if b == 0:
                    fail(node.position, "this divides by an expression that is always zero; correct the divisor")
                return _Built(a / b, None, degree, parts[0].terms * parts[1].terms)
            case (("^" | "pow"), [_, _]):
                return self._power(node, *parts)
        return _Built(self._function(node, arguments), None, highest, terms)

    def _power(self, node: Node, base: _Built, exponent: _Built) -> _Built:
        import sympy

        a, b = base.expression, exponent.expression
        if not b.is_Rational:
            # a^x = e^(x ln a): the base must be a positive number.
            if base.value is None or not base.value > 0:
                fail(node.position, "a power with the unknown in its exponent needs a positive number as its base")
            return _Built(a ** _exponent(b, node), None, max(1, exponent.degree), exponent.terms)
        if abs(b.p) > MAX_DEGREE or b.q > MAX_DEGREE:
            fail(node.position, f"the exponent of an unknown or a root is beyond {MAX_DEGREE}; use a smaller one")
        if b < 0:
            self.conditions.not_zero.append(a)
        if not b.is_Integer:
            self.conditions.not_negative.append(a)
        power: Any = sympy.Pow(a, b)
        return _Built(power, None, base.degree * abs(b.p), base.terms ** abs(b.p))

    def _function(self, node: Node, arguments: list[Any]) -> Any:
        import sympy

        first = arguments[0]
        match node.symbol:
            case "sqrt":
                self.conditions.not_negative.append(first)
                return sympy.sqrt(first)
            case "cbrt" if first.is_positive:
                return sympy.cbrt(first)
            case "abs":
                return sympy.Abs(first)
            case "exp":
                return sympy.exp(_exponent(first, node))
            case "ln" | "log10" | "log2" | "log":
                self.conditions.positive.append(first)
                base = {"log10": 10, "log2": 2}.get(node.symbol, arguments[-1])
                return sympy.log(first) if node.symbol == "ln" else sympy.log(first) / sympy.log(base)
            case "sin" | "cos" | "tan" | "asin" | "acos" | "atan" if not first.free_symbols:
                return getattr(sympy, node.symbol)(first)
        if node.symbol == "mod":
            fail(node.position, "the remainder cannot be used in an equation; for a percentage write 20% * x")
        remedy = "use Calculate" if not first.free_symbols else "isolate the unknown first"
        fail(node.position, f"{node.symbol!r} cannot be used here in an equation; {remedy}")


def _exponent(expression: Any, node: Node) -> Any:
    """Multiply an exponent out, and refuse what SymPy would write as an endless number: 2^(x + 1e20)."""
    import sympy

    if not expression.free_symbols:
        return expression
    expanded = sympy.expand(expression)
    unknowns = sorted(expanded.free_symbols, key=str)
    if not expanded.is_polynomial(*unknowns) or (unknowns and sympy.Poly(expanded, *unknowns).total_degree() > 2):
        fail(node.position, "an exponent with an unknown may only be a polynomial of degree 1 or 2; simplify it")
    if any(abs(number) > MAX_EXPONENT for number in expanded.atoms(sympy.Rational)):
        fail(node.position, f"an exponent with an unknown has a number beyond {MAX_EXPONENT}; use smaller ones")
    return expanded


def _rational(value: Fraction, node: Node) -> Any:
    import sympy

    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_NUMBER_BITS:
        fail(node.position, "this number has too many digits for an equation; use fewer digits, or Calculate")
    return sympy.Rational(value.numerator, value.denominator)
