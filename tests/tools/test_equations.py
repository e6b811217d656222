"""SolveMathEquation: golden answers, what is refused, and solutions put back by exact arithmetic of our own.

Run: pytest tests/tools/test_equations.py
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taco.tools.action import ToolError
from taco.tools.equations import SolveMathEquation, solve

SOLVED = [
    # one unknown: polynomials
    ("x^2 - 5x + 6 = 0", "x = 2 or x = 3"),
    ("2x + 3 = 7", "x = 2"),
    ("3x = 1", "x = 1/3 ≈ 0.333333333333"),
    ("0.1x + 0.2 = 0.5", "x = 3"),
    ("x² = 9", "x = -3 or x = 3"),
    ("x^2 = 2", "x = -sqrt(2) ≈ -1.41421356237 or x = sqrt(2) ≈ 1.41421356237"),
    ("(x + 1)(x - 2) = 0", "x = -1 or x = 2"),
    ("2(x + 1) = 6", "x = 2"),
    ("x^2 - 2x + 1 = 0", "x = 1"),
    ("x^3 = 8", "x = 2 (2 complex solutions are not listed)"),
    ("x^3 - x - 1 = 0", "x ≈ 1.32471795724 (2 complex solutions are not listed)"),
    ("x^4 - 5x^2 + 4 = 0", "x = -2 or x = -1 or x = 1 or x = 2"),
    ("2 * pi * r = 10", "r = 5/pi ≈ 1.59154943092"),
    ("x + 20% * x = 120", "x = 100"),
    ("price * 3 = 27", "price = 9"),
    # thousands and separators
    ("1,200x = 2400", "x = 2"),
    ("x = 1,200", "x = 1200"),
    ("x=1,y=2", "x = 1, y = 2"),
    ("x + y = 1,200, x - y = 300", "x = 750, y = 450"),
    # rational, roots, absolute values, exponentials, logarithms
    ("1/x + 1/(2*x) = 3", "x = 0.5"),
    ("(x^2 - 1)/(x - 1) = 0", "x = -1"),
    ("sqrt(x + 2) = x", "x = 2"),
    ("sqrt(x) + sqrt(x + 5) = 5", "x = 4"),
    ("sqrt(sqrt(x)) = 2", "x = 16"),
    ("abs(2x - 3) = x + 1", "x = 2/3 ≈ 0.666666666667 or x = 4"),
    ("2^x = 8", "x = 3"),
    ("4^x - 2^x - 2 = 0", "x = 1"),
    ("e^x = 5", "x = ln(5) ≈ 1.60943791243"),
    ("exp(-0.0123t) = 0.5", "t = 10000*ln(2)/123 ≈ 56.3534293138"),
    ("log10(x) + log10(x - 3) = 1", "x = 5"),
    ("log(x, 2) = 5", "x = 32"),
    # systems
    ("x + y = 10, x - y = 2", "x = 6, y = 4"),
    ("x + y = 10; x - y = 2", "x = 6, y = 4"),
    ("x + y = 10\nx - y = 2", "x = 6, y = 4"),
    ("x + y = 10 and x - y = 2", "x = 6, y = 4"),
    ("x + y + z = 6, x - y = 0, 2z = 6", "x = 1.5, y = 1.5, z = 3"),
    ("x*y = 21, x + y = 10", "x = 3, y = 7 or x = 7, y = 3"),
    ("x^2 + y^2 = 25, x*y = 12", "x = -4, y = -3 or x = -3, y = -4 or x = 3, y = 4 or x = 4, y = 3"),
    ("x^2 = 4, x = 2", "x = 2"),
    # words
    ("solve 2x + 3 = 7 for x", "x = 2"),
    ("Solve for x: 2x + 1 = 5.", "x = 2"),
    ("solve for x and y: x + y = 3 and x - y = 1", "x = 2, y = 1"),
    ("solve the system x + y = 3, x - y = 1 for y", "y = 1"),
    ("find x if 3x = 12?", "x = 4"),
    ("P = 2l + 2w for l", "l = P/2 - w"),
    ("a*x^2 = b for x", "x = -sqrt(a*b)/a or x = sqrt(a*b)/a"),
    # no solution, no unique solution
    ("x = x + 1", "no real solution"),
    ("x^2 + 1 = 0", "no real solution (complex: x = -i or x = i)"),
    ("sqrt(x) = -1", "no real solution"),
    ("sqrt(x) = sqrt(2x + 1)", "no real solution"),
    ("1/x = 0", "no real solution"),
    ("x + y = 1, x + y = 2", "no real solution: the equations contradict each other"),
    ("x^2 = 4, x = 3", "no real solution: the equations contradict each other"),
    ("x = x", "true for every x: no unique solution"),
    ("x/x = 1", "true for every x for which both sides are defined: no unique solution"),
    ("x + y = 10", "no unique solution: x = 10 - y, where y can be any number"),
    ("x + y = 10, 2x + 2y = 20", "no unique solution: x = 10 - y, where y can be any number"),
    # no unknown, no equation
    ("2 + 3 * 4", "14"),
    ("2 + 2 = 4", "true: both sides are 4"),
    ("2 + 2 = 5", "false: the left side is 4, the right side 5"),
    ("(x + 1)^2", "x^2 + 2*x + 1"),
    ("simplify (x^2 - 1)/(x - 1)", "x + 1"),
]

REFUSED = [
    ("", "empty"),
    (" , ;", "no equation"),
    ("x =", "ends"),
    ("1/2x = 3", "write 1/"),
    ("x(x - 3) = 0", "to multiply"),
    ("xy = 6, x + y = 5", "x\\*y"),
    ("x + 20% = 120", "two readings"),
    ("20%x = 5", "20% \\* x"),
    ("2x = 4x = 8", "second '='"),
    ("x = 2, 5", "no '='"),
    ("x > 3", "comparisons"),
    ("y = 3 for x", "in no equation"),
    ("sin(x) = 0", "cannot be used"),
    ("x * e^x = 1", "no closed solution"),
    ("ln(x) + ln(7 - x) + x = 1", "no closed solution"),
    ("x^x = 4", "positive number as its base"),
    ("abs(x) = x", "whole range"),
    ("1/(x - x) = 1", "always zero"),
    ("a + b + c + d + f + g + h = 1", "unknowns"),
    (", ".join(f"x = {n}" for n in range(7)), "equations"),
    # what would never end
    ("x^11 = 1", "beyond 10"),
    ("((x + 1)^10)^10 = 0", "too large"),
    ("(x + y + z + a + b + c)^10", "too large"),
    ("2^(x + 1e20) = 3", "beyond 1000"),
    ("e^((x + 1000)^3) = 3", "polynomial of degree 1 or 2"),
    ("log10(x) = 123456789^2", "1e300"),
    ("2^(2^100) * x = 1", "1e308"),
    ("9" * 60 + "x = 1", "too many digits"),
    ("x^5 - x - 1 = 0 and y = 2x", "degree above 4"),
]


@pytest.mark.parametrize(("query", "result"), SOLVED)
def test_solved(query: str, result: str) -> None:
    assert solve(query) == result


@pytest.mark.parametrize(("query", "problem"), REFUSED)
def test_refused_in_one_sentence(query: str, problem: str) -> None:
    with pytest.raises(ToolError, match=problem) as error:
        solve(query)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("query", ["what is love", "x^2 +", "sin(x) = x", "\x00", "x" * 2_000])
def test_r8_a_failure_is_a_tool_error(query: str) -> None:
    with pytest.raises(ToolError):
        SolveMathEquation.call({"query": query}, {})


def test_r8_a_success_is_a_json_object() -> None:
    observation = SolveMathEquation.call({"query": "x^2 - 5x + 6 = 0"}, {})
    assert json.loads(json.dumps(observation)) == {"result": "x = 2 or x = 3"}


def test_r6_text_never_reaches_sympys_own_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    import sympy.core.sympify
    import sympy.parsing.sympy_parser

    def parsed(*_: object, **__: object) -> None:
        pytest.fail("a string was given to SymPy's parser, which runs eval")

    monkeypatch.setattr(sympy.parsing.sympy_parser, "parse_expr", parsed)
    monkeypatch.setattr(sympy.parsing.sympy_parser, "eval_expr", parsed)
    for query, result in SOLVED:
        assert solve(query) == result
    with pytest.raises(ToolError):
        solve("__import__('os').getpid() = x")


def test_sympy_is_loaded_on_first_use_only() -> None:
    code = "import sys, taco.tools.equations; sys.exit('sympy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------------- properties

whole = st.integers(-20, 20)


@settings(max_examples=100, deadline=None)
@given(st.lists(whole, min_size=1, max_size=4, unique=True), st.integers(1, 9))
def test_polynomial_with_chosen_roots(chosen: list[int], factor: int) -> None:
    """Multiplied out here, by our own convolution, so that the solver sees no factors."""
    coefficients = [factor]
    for root in chosen:
        shifted = [*coefficients, 0]
        coefficients = [a - root * b for a, b in zip(shifted, [0, *coefficients], strict=True)]
    degree = len(chosen)
    text = " + ".join(f"({c})*x^{degree - k}" for k, c in enumerate(coefficients))
    assert solve(f"{text} = 0") == " or ".join(f"x = {root}" for root in sorted(chosen))


@settings(max_examples=100, deadline=None)
@given(whole, whole, whole, whole, whole, whole)
def test_linear_system_by_cramers_rule(a: int, b: int, c: int, d: int, x: int, y: int) -> None:
    result = solve(f"({a})*x + ({b})*y = {a * x + b * y}, ({c})*x + ({d})*y = {c * x + d * y}")
    if a * d == b * c:
        assert "no unique solution" in result
    else:
        assert result == f"x = {x}, y = {y}"


@settings(max_examples=100, deadline=None)
@given(whole.filter(bool), whole, whole)
def test_quadratic_says_how_many_real_solutions(a: int, b: int, c: int) -> None:
    result = solve(f"({a})*x^2 + ({b})*x + ({c}) = 0")
    discriminant = b * b - 4 * a * c
    assert result.startswith("no real solution") == (discriminant < 0)
    if discriminant >= 0:
        decimals = [float(Fraction(text)) for text in re.findall(r"(-?[0-9.]+(?:e-?[0-9]+)?)(?: or |$)", result)]
        assert len(decimals) == (2 if discriminant else 1)
        for x in decimals:
            assert abs(a * x * x + b * x + c) < 1e-7


PIECES = [
    *"0123456789.,+-*/%^()=;xyzeft \n²√", "x^2", "2x", " and ", "for x", "solve ", "sqrt(", "abs(", "ln(", "exp(",
    "sin(", "1/x", "= 0", "x + y",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=14).map("".join)))
def test_any_text_is_an_answer_or_a_tool_error(text: str) -> None:
    try:
        assert solve(text)
    except ToolError as error:
        str(error).encode()


def equation_texts() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(["x", "x", "y", "2", "0.5", "3", "pi", "1e20", "sqrt(2)"])

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        binary = st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]}){t[1]}({t[2]})")
        power = st.tuples(inner, st.sampled_from(["2", "3", "-1", "(1/2)", "x"])).map(lambda t: f"({t[0]})^{t[1]}")
        call = st.tuples(st.sampled_from(["sqrt", "abs", "ln", "exp", "log10"]), inner).map(lambda t: f"{t[0]}({t[1]})")
        return st.one_of(binary, power, call)

    side = st.recursive(leaves, larger, max_leaves=5)
    equation = st.tuples(side, side).map(" = ".join)
    return st.lists(equation, min_size=1, max_size=2).map(", ".join)


@settings(max_examples=150, deadline=None)
@given(equation_texts())
@example("sqrt(ln(x)) = ln((x)^2)")  # no polynomial in the logarithms
def test_any_equation_is_an_answer_or_a_tool_error(text: str) -> None:
    try:
        answer = solve(text)
    except ToolError as error:
        answer = str(error)
    assert answer
