"""Calculate: exact arithmetic on a text, by the grammar of `expression.py`; nothing outside of it is ever evaluated.

>>> calculate("15% * 200")
30
>>> calculate("(0.1 + 0.2) * sqrt(16)")
1.2

Numbers are fractions as long as they can be; sqrt(2), sin and the like fall to floats. Angles are radians (``sin(30°)`` for
degrees); ``round`` goes half away from zero, as at school. ``//``, ``%``, floor and ceil look at inexact values as they
would be printed, so that binary noise does not shift them by one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from taco.tools.expression import Node, fail, fold, parse_expression
from taco.tools.tool import tool

Value: TypeAlias = Fraction | float

SIGNIFICANT_DIGITS = 12  # of an inexact result
EXACT_DIGITS = 15  # a decimal of up to so many digits survives the way through a float, so it is given in full
MAX_POWER_OF_TEN = 308  # magnitudes beyond 1e308, or other than 0 below 1e-308, are refused: a float ends there
MAX_BITS = 4_096  # of a fraction's numerator or denominator; beyond, it goes on as a float
MAX_CHOICE = 1_000  # comb(n, k) and perm(n, k) up to this n

_LARGEST, _SMALLEST = Fraction(10**MAX_POWER_OF_TEN), Fraction(1, 10**MAX_POWER_OF_TEN)
_NOISE = 2.0**-50  # relative error of a few float operations
_RESULT = Context(prec=SIGNIFICANT_DIGITS, rounding=ROUND_HALF_UP)
_LONG = Context(prec=34)  # for the logarithms and powers of exact numbers near 1, where floats lose digits


class _Undefined(Exception):
    """An operation has no (real, representable) value; `evaluate` adds where."""


def calculate(expression: str) -> int | float:
    """The value of an arithmetic expression; grammar in `taco.tools.expression`.

    Args:
        expression: For example ``1,200 * 3``, ``15% of 80``, ``-2^2``, ``sqrt(16) + max(1, 2)``, ``$3.50 * 4``.

    Returns:
        An int where the value is whole; otherwise a float: an exact decimal of up to 15 digits, else 12 significant digits.

    Raises:
        ToolError: Outside of the grammar, undefined (1/0, sqrt(-1)), or beyond the caps on length, depth and magnitude.

    Replaces Python's eval in the reference (SalesforceAIResearch/TACO, action Calculate; defects R4 to R7).
    """
    return presentable(evaluate(parse_expression(expression)))


@tool(name="Calculate")
def Calculate(expression: str) -> dict[str, Any]:
    """Calculates an arithmetic expression exactly. It knows no variables and no text: numbers only.

    Args:
        expression: Numbers with + - * / // ^ ! ( ), thousands as 1,200, percent as 15% * 200, remainder as 7 % 4, and
            sqrt, cbrt, abs, round(x, digits), floor, ceil, min, max, sum, mean, median, ln, log10, log2, log(x, base),
            exp, sin, cos, tan, asin, acos, atan (radians; sin(30°) for degrees), gcd, lcm, factorial, comb, pi, e.

    Returns:
        result: The number.
    """
    return {"result": calculate(expression)}


def evaluate(tree: Node) -> Value:
    """The unrounded value of a tree: a Fraction where exact, else a finite float.

    Raises:
        ToolError: Where an operation has no value; the sentence names the operation and its character.
    """
    return fold(tree, apply)


def apply(node: Node, operands: list[Value]) -> Value:
    """The value of one operation on the values of its operands (the combining step of `evaluate`)."""
    try:
        if node.symbol == "number":
            return _bounded(node.value)
        if node.symbol == "name":
            return _CONSTANTS[node.name]
        return _bounded(_OPERATIONS[node.symbol](*operands))
    except _Undefined as problem:
        fail(node.position, f"{_label(node)} {problem}")
    except OverflowError:
        fail(node.position, f"{_label(node)} gives a number beyond 1e{MAX_POWER_OF_TEN}; use smaller numbers")
    except ValueError:  # the math module's word for "outside of the domain"
        fail(node.position, f"{_label(node)} has no real value here; check its arguments")


def presentable(value: Value) -> int | float:
    """Round for the eye: whole numbers as int, exact decimals in full up to 15 digits, else 12 significant digits."""
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return value.numerator
        number = float(value)
        return number if Fraction(repr(number)) == value and _digits(number) <= EXACT_DIGITS else float(_rounded(value))
    rounded = float(_RESULT.create_decimal_from_float(value))
    return int(rounded) if rounded.is_integer() and abs(rounded) < 10**SIGNIFICANT_DIGITS else rounded


def _digits(number: float) -> int:
    return len(Decimal(repr(number)).as_tuple().digits)


def _rounded(value: Fraction) -> Decimal:
    return _RESULT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _label(node: Node) -> str:
    return {"negate": "'-'", "mod": "the remainder", "percent": "'%'", "number": "this number"}.get(
        node.symbol, repr(node.symbol)
    )


def _bounded(value: Value) -> Value:
    """Refuse what no float can show; let fractions that grow too long go on as floats."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _Undefined(f"gives a number beyond 1e{MAX_POWER_OF_TEN}; use smaller numbers")
        return value
    if abs(value) > _LARGEST:
        raise _Undefined(f"gives a number beyond 1e{MAX_POWER_OF_TEN}; use smaller numbers")
    if value and abs(value) < _SMALLEST:
        raise _Undefined(f"gives a number below 1e-{MAX_POWER_OF_TEN}; use larger numbers")
    return float(value) if value.denominator.bit_length() > MAX_BITS else value


# ---------------------------------------------------------------------- arithmetic


def _settled(value: Value) -> Fraction:
    """The value as it would be printed, exactly: for operations that jump (floor, round, remainder)."""
    return value if isinstance(value, Fraction) else Fraction(presentable(value))


def _add(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left + right
    total = float(left) + float(right)
    # sqrt(2)^2 - 2 is 0, not 4.4e-16: what is left after a cancellation is noise.
    return Fraction(0) if abs(total) < _NOISE * abs(float(left)) else total


def _multiply(left: Value, right: Value) -> Value:
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left * right
    product = float(left) * float(right)
    if product == 0 and left and right:
        raise _Undefined(f"gives a number below 1e-{MAX_POWER_OF_TEN}; use larger numbers")
    return product


def _divide(left: Value, right: Value) -> Value:
    if not right:
        raise _Undefined("divides by zero, which has no value; check the divisor")
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left / right
    quotient = float(left) / float(right)
    if quotient == 0 and left:
        raise _Undefined(f"gives a number below 1e-{MAX_POWER_OF_TEN}; use larger numbers")
    return quotient


def _floor_divide(left: Value, right: Value) -> Value:
    if not right:
        raise _Undefined("divides by zero, which has no value; check the divisor")
    return Fraction(_settled(left) // _settled(right))


def _remainder(left: Value, right: Value) -> Value:
    """With the sign of the divisor, as in mathematics and in Python: -7 % 3 = 2."""
    if not right:
        raise _Undefined("divides by zero, which has no value; check the divisor")
    return _settled(left) % _settled(right)


def _power(base: Value, exponent: Value) -> Value:
    if not base and exponent < 0:
        raise _Undefined("divides by zero (a negative power of 0), which has no value; check the base")
    if isinstance(base, Fraction) and isinstance(exponent, Fraction):
        return _exact_power(base, exponent)
    if base < 0:
        whole = _settled(exponent)
        if whole.denominator != 1:
            raise _Undefined("raises a negative number to a fraction, which is not real; use cbrt(-8) for odd roots")
        exponent = float(whole)
    return _nonzero(math.pow(base, exponent), base)


def _exact_power(base: Fraction, exponent: Fraction) -> Value:
    if base in (0, 1):
        return Fraction(1) if base == 1 or exponent == 0 else base
    if exponent.denominator != 1:
        if base < 0:
            raise _Undefined("raises a negative number to a fraction, which is not real; use cbrt(-8) for odd roots")
        root = _exact_root(base, exponent.denominator)
        if root is None:
            return _long_power(base, exponent)
        base, exponent = root, Fraction(exponent.numerator)
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent.numerator) <= MAX_BITS:
        return base**exponent.numerator
    # Too long to be kept exactly; perhaps not too large: 1.0001^10000.
    size = _long_power(abs(base), exponent)
    return -size if base < 0 and exponent.numerator % 2 else size


def _long_power(base: Fraction, exponent: Fraction) -> Value:
    if exponent == Fraction(1, 2):  # the commonest, and ten times faster
        return float(_decimal(base).sqrt(_LONG))
    magnitude = exponent * Fraction(_decimal(base).log10(_LONG))
    if abs(magnitude) > MAX_POWER_OF_TEN:
        size = "beyond 1e" if magnitude > 0 else "below 1e-"
        raise _Undefined(f"gives a number {size}{MAX_POWER_OF_TEN}; use a smaller exponent")
    return float(_LONG.power(_decimal(base), _decimal(exponent)))


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    """The rational root of a positive number, if it has one."""
    if degree > 64:  # nobody's exact root; the search below is for small degrees
        return None
    roots = [_whole_root(part, degree) for part in (value.numerator, value.denominator)]
    if roots[0] is None or roots[1] is None:
        return None
    return Fraction(roots[0], roots[1])


def _whole_root(number: int, degree: int) -> int | None:
    if degree == 2:
        root = math.isqrt(number)
    else:
        root = 1 << -(-number.bit_length() // degree)  # Newton's iteration from above
        while (better := ((degree - 1) * root + number // root ** (degree - 1)) // degree) < root:
            root = better
    return root if root**degree == number else None


def _decimal(value: Fraction) -> Decimal:
    return _LONG.divide(Decimal(value.numerator), Decimal(value.denominator))


def _nonzero(result: float, cause: Value) -> float:
    if result == 0 and cause:
        raise _Undefined(f"gives a number below 1e-{MAX_POWER_OF_TEN}; use larger numbers")
    return result


# ---------------------------------------------------------------------- functions


def _square_root(x: Value) -> Value:
    if x < 0:
        raise _Undefined("takes the root of a negative number, which is not real; check its argument")
    return _power(x, Fraction(1, 2))


def _cube_root(x: Value) -> Value:
    return -_power(-x, Fraction(1, 3)) if x < 0 else _power(x, Fraction(1, 3))


def _logarithm(x: Value) -> Value:
    if x <= 0:
        raise _Undefined("takes the logarithm of a number that is not above 0; check its argument")
    return math.log(x) if isinstance(x, float) else float(_decimal(x).ln(_LONG))


def _logarithm_to(x: Value, base: Value) -> Value:
    if base == 1:
        raise _Undefined("has the base 1, for which there is no logarithm; use another base")
    natural, divisor = _logarithm(x), _logarithm(base)
    # log(8, 2) is 3 exactly: try the nearest whole number before falling to floats.
    quotient = float(natural) / float(divisor)
    nearest = Fraction(round(quotient))
    exact = isinstance(x, Fraction) and isinstance(base, Fraction) and abs(nearest) <= MAX_BITS
    return nearest if exact and abs(quotient - nearest) < 1e-9 and _power(base, nearest) == x else quotient


def _exponential(x: Value) -> Value:
    return _nonzero(math.exp(x), 1.0) if x else Fraction(1)


def _circular(function: Callable[[float], float]) -> Callable[[Value], Value]:
    """sin or cos, with the rest that a rounded pi leaves removed: sin(pi) is 0."""

    def value(x: Value) -> Value:
        result = function(float(x))
        return Fraction(0) if abs(result) < _NOISE * max(1.0, abs(float(x))) else result

    return value


def _tangent(x: Value) -> Value:
    if not _circular(math.cos)(x):
        raise _Undefined("has no value at a quarter turn (90°); check its argument")
    return math.tan(x) if _circular(math.sin)(x) else Fraction(0)


def _through_float(function: Callable[..., float]) -> Callable[..., Value]:
    return lambda *arguments: function(*map(float, arguments))


def _round(x: Value, digits: Value = Fraction(0)) -> Value:
    places = _whole(digits)
    if abs(places) > 20:
        raise _Undefined(f"has {places} as its number of digits; use -20 to 20")
    scaled = abs(_settled(x)) * Fraction(10) ** places
    rounded = Fraction(math.floor(scaled + Fraction(1, 2))) / Fraction(10) ** places
    return -rounded if x < 0 else rounded


def _whole(x: Value) -> int:
    settled = _settled(x)
    if settled.denominator != 1:
        raise _Undefined(f"needs whole numbers, but got {presentable(x)}; round it first")
    return settled.numerator


def _factorial(x: Value) -> Value:
    number = _whole(x)
    if not 0 <= number <= 170:
        raise _Undefined(f"takes whole numbers from 0 to 170, but got {presentable(x)}; use a smaller one")
    return Fraction(math.factorial(number))


def _choices(count: Callable[[int, int], int]) -> Callable[[Value, Value], Value]:
    def value(n: Value, k: Value) -> Value:
        if not (0 <= n <= MAX_CHOICE and 0 <= k <= MAX_CHOICE):
            raise _Undefined(f"takes whole numbers from 0 to {MAX_CHOICE}; use smaller ones")
        return Fraction(count(_whole(n), _whole(k)))

    return value


def _sum(*numbers: Value) -> Value:
    total: Value = Fraction(0)
    for number in numbers:
        total = _bounded(_add(total, number))
    return total


def _median(*numbers: Value) -> Value:
    return _divide(_add(statistics.median_low(numbers), statistics.median_high(numbers)), Fraction(2))


def _whole_fold(function: Callable[[int, int], int]) -> Callable[..., Value]:
    def value(*numbers: Value) -> Value:
        result = abs(_whole(numbers[0]))
        for number in numbers[1:]:
            result = function(result, _whole(number))
            _bounded(Fraction(result))  # step by step, so that no product of many runs away
        return Fraction(result)

    return value


def _hypotenuse(*sides: Value) -> Value:
    return _square_root(_sum(*(_multiply(side, side) for side in sides)))


_CONSTANTS: dict[str, Value] = {"pi": math.pi, "e": math.e}
_OPERATIONS: dict[str, Callable[..., Value]] = {
    "+": _add,
    "-": lambda left, right: _add(left, -right),
    "*": _multiply,
    "/": _divide,
    "//": _floor_divide,
    "mod": _remainder,
    "^": _power,
    "pow": _power,
    "negate": lambda x: -x,
    "percent": lambda x: _divide(x, Fraction(100)),
    "sqrt": _square_root,
    "cbrt": _cube_root,
    "abs": abs,
    "sign": lambda x: Fraction((x > 0) - (x < 0)),
    "round": _round,
    "floor": lambda x: Fraction(math.floor(_settled(x))),
    "ceil": lambda x: Fraction(math.ceil(_settled(x))),
    "trunc": lambda x: Fraction(math.trunc(_settled(x))),
    "min": lambda *numbers: min(numbers),
    "max": lambda *numbers: max(numbers),
    "sum": _sum,
    "mean": lambda *numbers: _divide(_sum(*numbers), Fraction(len(numbers))),
    "median": _median,
    "exp": _exponential,
    "ln": _logarithm,
    "log": _logarithm_to,
    "log10": lambda x: _logarithm_to(x, Fraction(10)),
    "log2": lambda x: _logarithm_to(x, Fraction(2)),
    "sin": _circular(math.sin),
    "cos": _circular(math.cos),
    "tan": _tangent,
    "asin": _through_float(math.asin),
    "acos": _through_float(math.acos),
    "atan": _through_float(math.atan),
    "atan2": _through_float(math.atan2),
    "sinh": _through_float(math.sinh),
    "cosh": _through_float(math.cosh),
    "tanh": _through_float(math.tanh),
    "degrees": _through_float(math.degrees),
    "radians": _through_float(math.radians),
    "factorial": _factorial,
    "comb": _choices(math.comb),
    "perm": _choices(math.perm),
    "gcd": _whole_fold(math.gcd),
    "lcm": _whole_fold(math.lcm),
    "hypot": _hypotenuse,
}
