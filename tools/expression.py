"""The grammar of arithmetic: text -> a tree of numbers, names and operations, shared by Calculate and SolveMathEquation.

>>> parse_expression("2 + 3 * 4").symbol
'+'

Nothing here computes: a tree is data. What the operations mean is in `calculator.py` and `equations.py`.

Strongest first:

=====================  ====================================================================================
``( )``  ``f(a, b)``   a parenthesis; a call of one of FUNCTIONS (upper or lower case; a list ``sum([1, 2])`` too)
``√``                  the root of the next number, name or parenthesis
``!``  ``%``  ``°``    after an operand: factorial, hundredths, degrees in radians
``^``  ``**``  ``²``   power, from the right: 2^3^2 = 2^9
``-``  ``+``           a sign: -2^2 = -4, 2^-1 = 0.5
``* / // %``           from the left; also × · ÷; ``%`` is the remainder where an operand follows it
``+ -``                from the left; also − (the minus sign) and dashes
=====================  ====================================================================================

Where two readings are common and give different numbers, the text is refused with both ways to write it:

- **comma**: between a digit and exactly three digits, without spaces, it groups thousands (``1,200*3``, ``sqrt(1,600)``).
  In the arguments of a function that takes several, every comma separates (``max(1,200)`` is 200); refused there if
  commas with and without a space are mixed around such groups (``sum(1,200, 350)``), or a group starts with 0.
- **percent**: ``x%`` is x/100 (``15% * 200``, ``15% of 200``); before an operand it is the remainder (``7 % 4``, ``7%4``).
  Refused: ``15% 200`` and ``7 % -4``, where the spaces say the other; and ``200 + 10%`` (200.1 or 220?), unless the left
  side is 1 or itself a percentage (``1 - 20%``, ``5% + 10%``), where there is no doubt; ``200 + (10%)`` is 200.1.
- **multiplication is written**: ``2(3+4)`` is refused, for ``6/2(1+2)`` has two readings. In equations (``algebra=True``) a
  number or ``)`` may stand before a name, function, root or ``(``: ``2x``, ``(x+1)(x-2)``, but not behind ``/``: ``1/2x``.
- **currency** (``$ € £ ¥ ₹``) before or behind a number is dropped; two different ones are refused, since nothing is converted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NoReturn, TypeVar

from taco.tools.action import ToolError

MAX_LENGTH = 1_000  # characters
MAX_DEPTH = 60  # levels; a level costs about 5 Python frames of 1,000
MAX_LITERAL_EXPONENT = 400  # decimal; what is larger is refused later, but 1e999999999 must not be built

CONSTANTS = ("pi", "e")
# name -> fewest and most arguments
FUNCTIONS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("sqrt", "cbrt", "abs", "sign", "floor", "ceil", "trunc", "exp", "ln", "log10", "log2"), (1, 1)),
    **dict.fromkeys(("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"), (1, 1)),
    **dict.fromkeys(("degrees", "radians", "factorial"), (1, 1)),
    **dict.fromkeys(("log", "pow", "mod", "atan2", "comb", "perm"), (2, 2)),
    "round": (1, 2),
    **dict.fromkeys(("min", "max", "sum", "mean", "median", "gcd", "lcm", "hypot"), (1, MAX_LENGTH)),
}
_ALIASES = {"average": "mean", "avg": "mean", "ceiling": "ceil", "arcsin": "asin", "arccos": "acos", "arctan": "atan"}

_CURRENCIES = "$€£¥₹"
# One character for one character, so that the positions in the errors stay those of the caller's text.
_LOOKALIKES = str.maketrans("×·⋅∙✕÷∕−–—‐‑", "*****//-----")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*|π)"
    r"|(?P<power>[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)"
    rf"|(?P<sign>\*\*|//|[-+*/%^!°√()\[\],;=]|[{_CURRENCIES}])"
    r"|(?P<space>\s+)"
)
_BINARY = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "mod": 2, "^": 4}
_SIGN_STRENGTH = 3  # between * and ^: -2^2 = -(2^2)
_POSTFIX = {"!": "factorial", "%": "percent", "°": "radians"}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the text: `start` and `end` are character offsets from 0."""

    kind: Literal["number", "name", "sign", "end"]
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of the tree.

    Attributes:
        symbol: "number", "name", one of + - * / // ^ mod negate percent, or a function.
        position: Offset of its first character (of the operator itself for operators), from 0.
        operands: The nodes it is applied to.
        value: The exact value of a number.
        name: The name, where symbol is "name".
    """

    symbol: str
    position: int
    operands: tuple[Node, ...] = ()
    value: Fraction = Fraction(0)
    name: str = ""


T = TypeVar("T")


def fold(root: Node, combine: Callable[[Node, list[T]], T]) -> T:
    """Compute a value bottom-up: `combine(node, values of its operands)`; no recursion, so depth is no limit."""
    pending, order = [root], []
    while pending:
        node = pending.pop()
        order.append(node)
        pending.extend(node.operands)
    values: list[T] = []
    for node in reversed(order):
        first = len(values) - len(node.operands)
        values[first:] = [combine(node, values[first:])]
    return values.pop()


def parse_expression(text: str) -> Node:
    """Parse one arithmetic expression; names are CONSTANTS and FUNCTIONS only.

    Raises:
        ToolError: The text is outside of the grammar; the sentence names the character (from 1) and the remedy.
    """
    parser = Parser(text)
    tree = parser.expression()
    parser.finish()
    return tree


def fail(position: int, problem: str) -> NoReturn:
    """Raise the one kind of error that the calculator tools have: where (from 1), what, and what to do."""
    raise ToolError(f"At character {position + 1}: {problem}.")


def tokenize(text: str) -> list[Token]:
    """Cut the text into tokens; the last one is always of the kind "end"."""
    if len(text) > MAX_LENGTH:
        fail(MAX_LENGTH, f"the text is {len(text)} characters long and may have {MAX_LENGTH}; split it into steps")
    plain = text.translate(_LOOKALIKES)
    tokens: list[Token] = []
    start = 0
    while start < len(plain):
        match = _TOKEN.match(plain, start)
        if match is None:
            fail(start, f"{text[start]!r} is no part of arithmetic; {_advice(plain, start)}")
        start = match.end()
        tokens.extend(_tokens_of(match))
    return [*tokens, Token("end", "", len(text), len(text))]


def _advice(text: str, start: int) -> str:
    if text[start] in "<>&|":
        return "comparisons and logic are not supported, so calculate both sides and compare the results"
    if text[start] == "." and start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        return "write a function alone, such as sqrt(16) for math.sqrt(16)"
    if text[start] in "{}":
        return "use round parentheses"
    return "write numbers, + - * / ^ %, parentheses and functions such as sqrt(16)"


def _tokens_of(match: re.Match[str]) -> list[Token]:
    start, end, text = match.start(), match.end(), match.group()
    if match.lastgroup == "space":
        return []
    if match.lastgroup == "power":  # x² is x^2, x⁻¹ is x^-1
        digits = text.translate(_SUPERSCRIPTS)
        signs = [Token("sign", digits[0], start, start + 1)] if digits[0] in "+-" else []
        return [Token("sign", "^", start, start), *signs, Token("number", digits.lstrip("+-"), start, end)]
    if match.lastgroup == "number":
        return [Token("number", text, start, end)]
    if match.lastgroup == "name":
        return [Token("name", "pi" if text == "π" else text, start, end)]
    return [Token("sign", "^" if text == "**" else text, start, end)]


class Parser:
    """Precedence climbing over the tokens of `text`.

    Args:
        text: What to parse.
        algebra: Accept unknown names, and a number directly before a name or a parenthesis as a product.
    """

    def __init__(self, text: str, *, algebra: bool = False) -> None:
        self.tokens = tokenize(text)
        self.index = 0
        self.algebra = algebra
        self._depth = 0
        self._commas_separate = False
        self._currency = ""
        if self.current.kind == "end":
            fail(0, "the expression is empty; write something like 3 * (2 + 4)")

    @property
    def current(self) -> Token:
        """The token that is read next."""
        return self.tokens[self.index]

    def ended(self) -> bool:
        """Whether all was read."""
        return self.current.kind == "end"

    def take(self) -> Token:
        """Step over the current token (never over the end) and return it."""
        token = self.current
        if token.kind != "end":
            self.index += 1
        return token

    def at(self, *texts: str) -> bool:
        """Whether the current token is one of these signs or names."""
        return self.current.kind in ("sign", "name") and self.current.text in texts

    def finish(self) -> None:
        """Fail unless everything was read."""
        token = self.current
        if token.kind == "end":
            return
        if token.text == ",":
            advice = "write thousands as 1,200 with three digits behind each comma, and a decimal comma as a point"
            fail(token.start, f"this comma neither groups thousands nor separates arguments; {advice}")
        if token.text == "=":
            fail(token.start, "'=' is not arithmetic; leave it out, or use SolveMathEquation for an equation")
        if token.text in ")]":
            fail(token.start, f"{token.text!r} closes nothing; remove it or open it before")
        self._fail_missing_operator(token)

    def _fail_missing_operator(self, token: Token) -> NoReturn:
        what = _shown(token)
        advice = "to multiply write *, as in 2 * (3 + 4)"
        if token.kind == "name" and token.text.lower() == "mod":
            advice = "for the remainder write 7 % 4 or mod(7, 4)"
        fail(token.start, f"an operator is missing before {what}; {advice}")

    # ------------------------------------------------------------------ operators

    def expression(self, weakest: int = 0) -> Node:
        """Read as long as the operators bind at least as strongly as `weakest`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            fail(self.current.start, f"more than {MAX_DEPTH} levels are nested; split the calculation into steps")
        left = self._operand()
        while (operator := self._operator(left)) is not None:
            symbol, implicit = operator
            strength = _BINARY[symbol]
            if strength < weakest:
                break
            left = self._binary(symbol, left, implicit)
        self._depth -= 1
        return left

    def _operator(self, left: Node) -> tuple[str, bool] | None:
        """The binary operator at the current token, and whether it is an unwritten multiplication."""
        token = self.current
        if token.kind == "sign" and token.text in _BINARY:
            return token.text, False
        if token.kind == "sign" and token.text == "%":  # a percentage was already read by _postfix
            return "mod", False
        if token.kind == "name" and token.text == "of" and left.symbol == "percent":
            return "*", False
        if self.algebra and self._product_without_sign():
            return "*", True
        return None

    def _product_without_sign(self) -> bool:
        before, token = self.tokens[self.index - 1], self.current
        factor = (token.kind == "name" and token.text not in ("and", "of", "for")) or token.text in ("(", "√")
        return factor and (before.kind == "number" or before.text == ")")

    def _binary(self, symbol: str, left: Node, implicit: bool) -> Node:
        token = self.current
        if implicit:
            if left.symbol in ("/", "//", "mod"):
                fail(token.start, f"it is unclear what {_shown(token)} is a factor of; write 1/(2*x) or (1/2)*x")
        else:
            self.take()
        strength = _BINARY[symbol]
        right = self.expression(_SIGN_STRENGTH if symbol == "^" else strength + 1)
        bare = right.symbol == "percent" and self.tokens[self.index - 1].text == "%"  # 200 + (10%) is plain
        if strength == 1 and bare and not _is_share(left):
            meant = "+" if symbol == "+" else "-"
            fail(
                token.start,
                f"'a {meant} b%' has two readings; write a * (1 {meant} b%) to change a by b percent of it, or a {meant} b/100",
            )
        return Node(symbol, token.start, (left, right))

    def _operand(self) -> Node:
        token = self.current
        if self.at("-", "+"):
            self.take()
            operand = self.expression(_SIGN_STRENGTH)
            return operand if token.text == "+" else Node("negate", token.start, (operand,))
        roots = []
        while self.at("√"):
            roots.append(self.take())
        node = self._atom()
        for root in reversed(roots):
            node = Node("sqrt", root.start, (node,))
        return self._postfix(node)

    def _postfix(self, node: Node) -> Node:
        while self.at(*_POSTFIX):
            if self.at("%") and self._is_remainder():
                break
            token = self.take()
            if token.text == "!" and self.at("!"):
                fail(token.start, "'!!' has two readings; write factorial(factorial(n)) or the product itself")
            node = Node(_POSTFIX[token.text], token.start, (node,))
        return node

    def _is_remainder(self) -> bool:
        """Whether the % at the current token is an operator (an operand follows) and not a percent sign."""
        before, percent, after = self.tokens[self.index - 1 : self.index + 2]
        apart_before, apart_after = before.end < percent.start, percent.end < after.start
        advice = "write mod(7, 4) for the remainder, or 7% * 4 or 7% - 4 for a percentage"
        if after.kind == "sign" and after.text in "+-":
            following = self.tokens[self.index + 2]
            if apart_before and apart_after and after.end == following.start:
                fail(percent.start, f"this % has two readings; {advice}")
            return False
        operand = after.kind == "number" or after.text in ("(", "√") or after.text in tuple(_CURRENCIES)
        if not operand and not (after.kind == "name" and after.text not in ("of", "and", "for")):
            return False
        if apart_after and not apart_before:
            fail(percent.start, f"this % has two readings; {advice}")
        return True

    # ------------------------------------------------------------------ operands

    def _atom(self) -> Node:
        token = self.current
        if token.kind == "sign" and token.text in _CURRENCIES:
            self._take_currency()
            if self.current.kind != "number":
                fail(self.current.start, f"a number must follow {token.text!r}; write -{token.text}5 or 5")
        token = self.take()
        if token.kind == "number":
            return self._number(token)
        if token.kind == "name":
            return self._name(token)
        if token.text == "(":
            return self._parenthesis(token)
        if token.kind == "end":
            fail(token.start, "the expression ends where a number is due; complete it")
        fail(token.start, f"a number is due, but {_shown(token)} was found; write a number, a function or '('")

    def _take_currency(self) -> None:
        token = self.take()
        if self._currency not in ("", token.text):
            fail(token.start, f"{token.text!r} is mixed with {self._currency!r}; convert to one currency first")
        self._currency = token.text

    def _number(self, token: Token) -> Node:
        text = token.text
        groups = 0
        while not self._commas_separate and self._is_thousands(self.index - 1, later=groups > 0):
            self.take()
            text += self.take().text
            groups += 1
        if self.current.kind == "sign" and self.current.text in _CURRENCIES:
            self._take_currency()
        return Node("number", token.start, value=_number_value(text, token.start))

    def _is_thousands(self, index: int, *, later: bool = False) -> bool:
        """Whether the tokens from `index` read digits, comma, three digits, without a space: 1,200 or 1,200.50."""
        first, comma, group = (*self.tokens[index : index + 3], self.tokens[-1], self.tokens[-1])[:3]
        touching = first.end == comma.start and comma.end == group.start
        if not (touching and comma.text == "," and first.kind == group.kind == "number"):
            return False
        leads = re.fullmatch(r"[0-9]{3}" if later else r"[1-9][0-9]{0,2}", first.text)
        return bool(leads and re.match(r"[0-9]{3}(?![0-9])", group.text))

    def _parenthesis(self, opening: Token) -> Node:
        outer, self._commas_separate = self._commas_separate, False
        node = self.expression()
        self._close(opening, ")")
        self._commas_separate = outer
        return node

    def _close(self, opening: Token, closing: str) -> None:
        if self.current.text == closing:
            self.take()
        elif self.current.kind == "end":
            fail(opening.start, f"{opening.text!r} is never closed; add {closing!r}")
        elif self.current.text in (",", "=", "]", ")", ";"):
            advice = f"close {opening.text!r} of character {opening.start + 1} first, or write thousands as 1,200"
            fail(self.current.start, f"{self.current.text!r} cannot stand here; {advice}")
        else:
            self._fail_missing_operator(self.current)

    def _name(self, token: Token) -> Node:
        name = token.text.lower()
        name = _ALIASES.get(name, name)
        if name in FUNCTIONS:
            if not self.at("("):
                fail(token.start, f"the function {name} needs its arguments in parentheses; write {name}(...)")
            return self._call(token, name)
        if token.text in CONSTANTS or (len(token.text) > 1 and name in CONSTANTS):
            return Node("name", token.start, name=name)
        if self.algebra and not self.at("("):
            return Node("name", token.start, name=token.text)
        if self.algebra:
            fail(token.start, f"{_shown(token)} is no function; to multiply write {token.text[:20]}*(...)")
        advice = f"names are {', '.join(CONSTANTS)} and the functions {', '.join(sorted(FUNCTIONS))}"
        fail(token.start, f"{_shown(token)} is unknown (a multiplication is written *); {advice}")

    def _call(self, token: Token, name: str) -> Node:
        fewest, most = FUNCTIONS[name]
        opening = self.take()
        outer, self._commas_separate = self._commas_separate, most > 1
        if most > 2 and self.at("["):  # sum([1, 2, 3]), as programs write it
            bracket = self.take()
            arguments = self._arguments(bracket, "]")
        else:
            arguments = self._arguments(opening, ")")
            bracket = None
        if bracket is not None:
            self._close(opening, ")")
        self._commas_separate = outer
        if name == "log" and len(arguments) == 1:
            fail(token.start, "log needs its base, for it may mean 10 or e; write log10(x), ln(x) or log(x, base)")
        if not fewest <= len(arguments) <= most:
            count = f"{fewest}" if fewest == most else f"{fewest} to {most}" if most < MAX_LENGTH else "at least 1"
            fail(token.start, f"{name} takes {count} argument(s), but {len(arguments)} were found; correct the call")
        return Node(name, token.start, tuple(arguments))

    def _arguments(self, opening: Token, closing: str) -> list[Node]:
        if self.current.text == closing:
            self.take()
            return []
        arguments = [self.expression()]
        commas: list[int] = []
        while self.at(","):
            commas.append(self.index)
            self.take()
            arguments.append(self.expression())
        self._check_commas(commas)
        self._close(opening, closing)
        return arguments

    def _check_commas(self, commas: list[int]) -> None:
        spaced = any(self.tokens[i].end < self.tokens[i + 1].start for i in commas)
        for index in commas:
            comma, group = self.tokens[index], self.tokens[index + 1]
            if self._is_thousands(index - 1) and (spaced or group.text.startswith("0")):
                advice = "write thousands without a comma (1200), and a space behind every comma that separates"
                fail(comma.start, f"this comma may group thousands or separate arguments; {advice}")


def _number_value(text: str, position: int) -> Fraction:
    mantissa, _, exponent = text.lower().partition("e")
    digits, _, decimals = mantissa.partition(".")
    if len(exponent.lstrip("+-0")) > 3 or abs(int(exponent or 0)) > MAX_LITERAL_EXPONENT:
        fail(position, f"the exponent of this number is beyond {MAX_LITERAL_EXPONENT}; use a smaller one")
    shift = int(exponent or 0) - len(decimals)
    whole = int(digits + decimals)
    return Fraction(whole * 10**shift) if shift >= 0 else Fraction(whole, 10**-shift)


def _is_share(node: Node) -> bool:
    """Whether `node` is 1 or a sum of percentages, to which a percentage is added without a second reading."""
    if node.symbol == "number":
        return node.value == 1
    while node.symbol in ("+", "-") and node.operands[1].symbol == "percent":
        node = node.operands[0]
    return node.symbol == "percent"


def _shown(token: Token) -> str:
    """The token for an error: short, and with everything unprintable escaped."""
    return "the end" if token.kind == "end" else repr(token.text if len(token.text) <= 20 else token.text[:20] + "...")
