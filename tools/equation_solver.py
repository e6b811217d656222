"""The real solutions of equations given as SymPy expressions, by methods that always end; used by `equations.py`.

>>> import sympy
>>> x = sympy.Symbol("x", real=True)
>>> roots(x**2 - 5*x + 6, x).real
[2, 3]

No general solver is called. A polynomial is factored over the rationals; factors of degree 1 and 2 and those like x^3 - 2 are
solved in closed form, the others by isolating intervals (SymPy's CRootOf, exact to any number of digits). Roots and absolute
values are eliminated by resultants, which may add candidates but loses none: the caller puts every one back.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from taco.tools.action import ToolError

MAX_DEGREE = 10  # of a polynomial in one unknown
MAX_ELIMINATED_DEGREE = 24  # of what an elimination makes
MAX_SYSTEM_DEGREE = 4  # of one equation of a polynomial system
MAX_SYSTEM_SOLUTIONS = 12  # product of the degrees of its last two equations
MAX_LOGARITHM = 690  # natural logarithm of the largest solution, about 1e300
MAX_SURDS = 3  # roots and absolute values of the unknown


class NotUnique(Exception):
    """Infinitely many solutions: the unknowns are not determined."""


@dataclass
class Roots:
    """Candidates for the solutions in one unknown: `real` ones ascending, `complex` ones where a pair is all there is."""

    real: list[Any] = field(default_factory=list)
    complex: list[Any] = field(default_factory=list)
    unlisted: int = 0  # how many more are complex


def roots(expression: Any, x: Any) -> Roots:
    """Candidates for the real zeros of `expression` in `x`.

    Raises:
        NotUnique: The expression is zero for every x.
        ToolError: It is outside of the classes that are solved.
    """
    equation = numerator(expression)
    if equation == 0:
        raise NotUnique
    if x not in equation.free_symbols:
        return Roots()
    if equation.is_polynomial(x):
        return _polynomial_roots(equation, x, MAX_DEGREE)
    if _transcendental(equation, x):
        return _transcendental_roots(equation, x)
    return Roots(real=_polynomial_roots(_without_surds(equation, x), x, MAX_ELIMINATED_DEGREE).real)


def numerator(expression: Any) -> Any:
    """The expression multiplied out, without its denominator."""
    import sympy

    return sympy.expand(sympy.fraction(sympy.together(expression))[0])


def _polynomial_roots(equation: Any, x: Any, cap: int) -> Roots:
    import sympy

    polynomial = sympy.Poly(equation, x)
    if polynomial.is_zero:
        raise NotUnique
    if polynomial.degree() > cap:
        raise ToolError(f"The equation has degree {polynomial.degree()} in {x}, and at most {cap} is solved; simplify it.")
    rational = polynomial.domain.is_QQ or polynomial.domain.is_ZZ
    factors = [factor for factor, _ in polynomial.factor_list()[1]] if rational else [polynomial]
    found = Roots()
    for factor in factors:
        part = _factor_roots(factor, rational)
        found.real += part.real
        found.complex += part.complex
        found.unlisted += part.unlisted
    if len(factors) > 1:  # a pair of complex solutions among others is only counted
        found.unlisted += len(found.complex)
        found.complex = []
    found.real = sorted(dict.fromkeys(found.real), key=lambda root: root.evalf(30))
    return found


def _factor_roots(factor: Any, rational: bool) -> Roots:
    """The roots of one irreducible factor (or of a polynomial with irrational coefficients, up to degree 2)."""
    degree, coefficients = factor.degree(), factor.all_coeffs()
    if degree == 0:
        return Roots()
    if degree == 1:
        return Roots(real=[-coefficients[1] / coefficients[0]])
    if not any(coefficients[1:-1]):
        return _binomial_roots(degree, -coefficients[-1] / coefficients[0])
    if degree == 2:
        return _quadratic_roots(*coefficients)
    if not rational:
        raise ToolError(
            f"The equation has degree {degree} with irrational numbers in it, which is not solved; "
            "write the numbers as decimals, such as 3.1416 for pi."
        )
    real = factor.real_roots()
    return Roots(real=real, unlisted=degree - len(real))


def _quadratic_roots(a: Any, b: Any, c: Any) -> Roots:
    import sympy

    discriminant = sympy.expand(b**2 - 4 * a * c)
    pair = [sympy.expand((-b + sign * sympy.sqrt(discriminant)) / (2 * a)) for sign in (-1, 1)]
    return Roots(complex=pair) if _negative(discriminant) else Roots(real=pair)


def _binomial_roots(degree: int, power: Any) -> Roots:
    """Real solutions of x^degree = power."""
    import sympy

    if _negative(power):
        if degree == 2:
            root = sympy.sqrt(-power) * sympy.I
            return Roots(complex=[-root, root])
        if degree % 2 == 0:
            return Roots(unlisted=degree)
        return Roots(real=[-sympy.root(-power, degree)], unlisted=degree - 1)
    root = sympy.root(power, degree)
    if degree % 2 == 0:
        return Roots(real=[-root, root], unlisted=degree - 2)
    return Roots(real=[root], unlisted=degree - 1)


def _negative(number: Any) -> bool:
    """The sign of a constant by 50 digits: SymPy's own sign may try to prove it for long."""
    return not number.free_symbols and bool(number.evalf(50) < 0)


# ---------------------------------------------------------------------- roots, absolute values


def _without_surds(equation: Any, x: Any) -> Any:
    """Replace each root or absolute value by a letter t with t^n = its inside, then eliminate the letters."""
    import sympy

    relations: list[tuple[Any, Any]] = []
    while surd := _innermost_surd(equation, x):
        if len(relations) == MAX_SURDS:
            raise ToolError(f"There are more than {MAX_SURDS} roots or absolute values of {x}; square some away first.")
        letter = sympy.Dummy("t")
        if isinstance(surd, sympy.Abs):
            relations.append((letter, letter**2 - surd.args[0] ** 2))
            equation = equation.xreplace({surd: letter})
        else:
            base, degree = surd.base, surd.exp.q
            relations.append((letter, letter**degree - base))
            powers = [power for power in equation.atoms(sympy.Pow) if power.base == base and power.exp.is_Rational]
            equation = equation.xreplace({power: letter ** (power.exp * degree) for power in powers})
    for letter, relation in reversed(relations):
        equation = _eliminated(numerator(equation), numerator(relation), letter)
    if not equation.is_polynomial(x):
        raise ToolError(f"The equation mixes {x} with functions of {x} that cannot be removed; isolate one of them first.")
    return equation


def _innermost_surd(equation: Any, x: Any) -> Any:
    import sympy

    surds = [
        atom
        for atom in equation.atoms(sympy.Abs, sympy.Pow)
        if atom.has(x, sympy.Dummy) and (isinstance(atom, sympy.Abs) or (atom.exp.is_Rational and not atom.exp.is_Integer))
    ]
    # Shorter ones cannot contain longer ones; the text breaks ties, so that equal input gives equal output.
    # Of several powers of one base, that with the largest root makes all of them whole powers of the letter.
    return min(surds, key=lambda atom: (atom.args[0].count_ops(), str(atom.args[0]), -_degree(atom)), default=None)


def _degree(surd: Any) -> int:
    import sympy

    return 2 if isinstance(surd, sympy.Abs) else int(surd.exp.q)


def _eliminated(left: Any, right: Any, letter: Any) -> Any:
    """The resultant: zero wherever both are zero for some value of `letter`."""
    import sympy

    polynomials = [sympy.Poly(side, *sorted(side.free_symbols, key=str)) for side in (left, right)]
    if polynomials[0].total_degree() * polynomials[1].total_degree() > MAX_ELIMINATED_DEGREE:
        raise ToolError("The equations become too large when a root or an unknown is eliminated; simplify them first.")
    result = sympy.expand(sympy.resultant(left, right, letter))
    if result == 0:
        raise NotUnique
    return result


# ---------------------------------------------------------------------- exponentials, logarithms


def _transcendental(equation: Any, x: Any) -> list[Any]:
    import sympy

    functions = equation.atoms(sympy.exp, sympy.log, sympy.Pow)
    found = [
        atom
        for atom in functions
        if atom.has(x) and (not isinstance(atom, sympy.Pow) or atom.exp.has(x) or isinstance(atom, sympy.exp))
    ]
    return sorted(found, key=lambda atom: (atom.count_ops(), str(atom)))


def _transcendental_roots(equation: Any, x: Any) -> Roots:
    """One exponential a^u, or logarithms, with polynomial insides and no other x in the equation."""
    import sympy

    functions = _transcendental(equation, x)
    logarithms = [function for function in functions if isinstance(function, sympy.log)]
    if not logarithms:
        return _exponential_roots(equation, functions, x)
    if len(logarithms) == len(functions) == 1:
        letter = sympy.Dummy("t")
        values = _free_of(x, roots_of=equation.xreplace({logarithms[0]: letter}), letter=letter)
        pairs = [logarithms[0].args[0] - _exp(value) for value in values]
    elif len(logarithms) == len(functions):
        pairs = [_joined_logarithms(equation, logarithms, x)]
    else:
        raise _mixed(x)
    return Roots(real=[root for pair in pairs for root in roots(pair, x).real])


def _exponential_roots(equation: Any, functions: list[Any], x: Any) -> Roots:
    """All exponents are multiples of one (plus constants), all bases powers of one: a polynomial in a^v."""
    import sympy

    parts = [_base_and_exponent(function) for function in functions]
    base, first = parts[0][0], parts[0][1].as_independent(x, as_Add=True)[1]
    shares, factors = [], []
    for other, exponent in parts:
        constant, varying = exponent.as_independent(x, as_Add=True)
        shares.append(sympy.cancel(varying / first))
        factors.append(base**constant)
        if other != base or not shares[-1].is_Rational:
            raise _mixed(x)
    unit = sympy.gcd(shares)
    letter = sympy.Dummy("t")
    terms = {f: c * letter ** (share / unit) for f, c, share in zip(functions, factors, shares, strict=True)}
    values = _free_of(x, roots_of=equation.xreplace(terms), letter=letter)
    pairs = [first * unit - sympy.log(value) / sympy.log(base) for value in values if value.evalf(50) > 0]
    return Roots(real=[root for pair in pairs for root in roots(pair, x).real])


def _base_and_exponent(function: Any) -> tuple[Any, Any]:
    """4^u as (2, 2u), so that 4^x and 2^x have one base."""
    import sympy

    if isinstance(function, sympy.exp):
        return sympy.E, function.args[0]
    base, exponent = function.args
    if base.is_Integer and (power := sympy.perfect_power(base)):
        return sympy.Integer(power[0]), sympy.expand(power[1] * exponent)
    return base, exponent


def _free_of(x: Any, *, roots_of: Any, letter: Any) -> list[Any]:
    """The values of the letter that stands for the function of x, if nothing else of x is left."""
    if x in roots_of.free_symbols:
        raise _mixed(x)
    return roots(roots_of, letter).real


def _mixed(x: Any) -> ToolError:
    return ToolError(
        f"The equation mixes {x} with exponentials or logarithms of {x} so that it has no closed solution; simplify it."
    )


def _exp(exponent: Any) -> Any:
    """e^exponent, if it is a number that can be shown (SymPy would write 10^(10^9) out)."""
    import sympy

    if abs(exponent.evalf(50)) > MAX_LOGARITHM:
        raise ToolError("The solution is beyond 1e300 or closer to 0 than 1e-300; check the numbers of the equation.")
    return sympy.exp(exponent)


def _joined_logarithms(equation: Any, logarithms: list[Any], x: Any) -> Any:
    """k ln u + n k ln v = c -> u v^n - e^(c/k)."""
    import sympy

    if not equation.is_polynomial(*logarithms):  # a root of a logarithm
        raise _mixed(x)
    polynomial = sympy.Poly(equation, *logarithms)
    coefficients = [polynomial.coeff_monomial(logarithm) for logarithm in logarithms]
    rest = polynomial.coeff_monomial(1)
    if not all(coefficients) or any(x in part.free_symbols for part in (*coefficients, rest)):
        raise _mixed(x)
    ratios = [sympy.cancel(coefficient / coefficients[0]) for coefficient in coefficients]
    if polynomial.total_degree() > 1 or not all(ratio.is_Integer and abs(ratio) <= 4 for ratio in ratios):
        raise ToolError("The logarithms cannot be joined into one; bring the equation to the form ln(...) = number first.")
    product = sympy.prod([logarithm.args[0] ** ratio for logarithm, ratio in zip(logarithms, ratios, strict=True)])
    return product - _exp(sympy.expand(-rest / coefficients[0]))


# ---------------------------------------------------------------------- systems


def system(expressions: list[Any], unknowns: list[Any]) -> list[dict[Any, Any]]:
    """Candidates for the real solutions of a system: each gives a value to every unknown.

    Raises:
        NotUnique: Some unknown is not determined.
        ToolError: It is outside of the classes that are solved.
    """
    equations = list(dict.fromkeys(equation for equation in map(numerator, expressions) if equation != 0))
    if any(not equation.free_symbols for equation in equations):
        return []
    if not unknowns:
        return [{}]
    if len(unknowns) == 1:
        if not equations:
            raise NotUnique
        return [{unknowns[0]: root} for root in roots(equations[0], unknowns[0]).real]
    for equation in equations:
        if not equation.is_polynomial(*unknowns):
            raise ToolError("A system is only solved where its equations are polynomials; remove roots and logarithms first.")
    for equation, unknown in itertools.product(equations, unknowns):
        coefficient = equation.coeff(unknown, 1)
        if coefficient != 0 and not coefficient.free_symbols and equation.coeff(unknown, 2) == 0:
            rest = equation - coefficient * unknown
            if unknown not in rest.free_symbols:
                return _substituted(equations, unknowns, unknown, -rest / coefficient)
    return _last_two(equations, unknowns)


def _substituted(equations: list[Any], unknowns: list[Any], unknown: Any, value: Any) -> list[dict[Any, Any]]:
    import sympy

    for equation in equations:
        if sympy.Poly(equation, *unknowns).total_degree() > MAX_SYSTEM_DEGREE:
            raise ToolError(f"An equation of the system has a degree above {MAX_SYSTEM_DEGREE}; simplify it first.")
    others = [other for other in unknowns if other != unknown]
    solutions = system([equation.subs(unknown, value) for equation in equations], others)
    return [{**solution, unknown: sympy.expand(value.subs(solution))} for solution in solutions]


def _last_two(equations: list[Any], unknowns: list[Any]) -> list[dict[Any, Any]]:
    """Two unknowns, no linear equation: each is found alone by a resultant, and all pairs are candidates."""
    import sympy

    if len(equations) < len(unknowns):
        raise NotUnique
    if len(unknowns) > 2:
        raise ToolError("The system keeps more than two unknowns when its linear equations are used; give a simpler one.")
    first, second = equations[:2]
    degrees = [sympy.Poly(equation, *unknowns).total_degree() for equation in (first, second)]
    if degrees[0] * degrees[1] > MAX_SYSTEM_SOLUTIONS:
        raise ToolError(f"The system may have {degrees[0] * degrees[1]} solutions, more than {MAX_SYSTEM_SOLUTIONS}.")
    values = []
    for unknown, other in (unknowns, unknowns[::-1]):
        alone = first if other not in first.free_symbols else second if other not in second.free_symbols else None
        equation = alone if alone is not None else _eliminated(first, second, other)
        values.append(_polynomial_roots(equation, unknown, MAX_ELIMINATED_DEGREE).real)
    return [dict(zip(unknowns, pair, strict=True)) for pair in itertools.product(*values)]
