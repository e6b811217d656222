"""10,000 hostile expressions for Calculate: how many were evaluated outside of the grammar, the slowest, the memory.

Run: python benchmarks/calculator.py [--count 10000] [--seed 0]

Whether a text may be evaluated is decided here without the parser: only the characters of arithmetic and the names of its
functions and constants. Exit status 1 if one was evaluated that may not, if anything but ToolError was raised, or if one
took 50 ms of processor time (the least of three runs, for the slowest).
"""

from __future__ import annotations

import argparse
import contextlib
import math
import random
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from taco.tools.action import ToolError
from taco.tools.calculator import calculate

LIMIT_MS = 50.0

# Written out, not imported: a name that slips into the package's tables must show here.
NAMES = {
    "abs", "acos", "arccos", "arcsin", "arctan", "asin", "atan", "atan2", "average", "avg", "cbrt", "ceil",
    "ceiling", "comb", "cos", "cosh", "degrees", "e", "exp", "factorial", "floor", "gcd", "hypot", "lcm", "ln",
    "log", "log10", "log2", "max", "mean", "median", "min", "mod", "of", "perm", "pi", "pow", "radians", "round",
    "sign", "sin", "sinh", "sqrt", "sum", "tan", "tanh", "trunc",
}  # fmt: skip
ARITHMETIC = re.compile(r"[0-9.,+\-*/%^!()\[\]\s$€£¥₹×·⋅∙✕÷∕−–—‐‑√°π⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]*")
NUMBER_OR_NAME = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|([A-Za-z_][A-Za-z0-9_]*)")

CODE = [
    "__import__('os').system('id')", "__import__('os').environ['HOME']", "open('/etc/passwd').read()",
    "().__class__.__mro__",
    "(lambda: 1)()", "exec('x=1')", "eval('1+1')", "[i for i in range(9)]", "{1: 2}[1]", "f'{1+1}'", "'%s' % 1",
    "'{0.__class__}'.format(1)",
    "1 if True else 2", "True + 1", "None", "not 1", "1 and 2", "1 or 2", "1 in [1]", "x := 5", "print(1)", "globals()",
    "abs.__self__",
    "sqrt.__globals__", "pi.real", "(1).real", "1 .bit_length()", "max(1, key=abs)", "sum(x for x in [1])", "*[1, 2]",
    "0x1F", "0b11",
    "0o7", "1_000", "1j", "3 + 2j", "1 << 99999999", "1 | 2", "~1", "1 @ 2", "1; 2", "1 == 1", "1 != 2", "1 < 2 < 3",
    "import os",
    "Symbol('x')", "N(pi, 100000)", "S('x')", "integrate(x)", "\\x31", "${HOME}", "$(id)", "`id`", "=1+1", "1,2", "nan",
    "inf", "-inf",
    "1e", "infinity", "tau", "i", "E", "PI.__doc__", "b'1'", "r'1'", "...", "Ellipsis", "range(10**9)", "chr(65)",
    "ord('a')", "2and 3",
]  # fmt: skip
GLUE = ["+", "-", "*", "/", "%", "^", "**", "//", " ", ",", "(", ")", "!", ".", "of", "=", "\n"]
STRANGE = "٣१𝟚Ⅷ½²³√π∞∑‰％＋－＊（）１２３ａｂ\u200b\u202e\u00a0\ud800\x00éßxX中🙂"


def towers(rng: random.Random) -> str:
    link = rng.choice(["^", "**", "!^", ")^("])
    text = link.join(str(rng.choice([2, 9, 10, 99, 170, 0.5, 1.0000001, "1e308", "9" * 50])) for _ in range(rng.randint(2, 40)))
    return "(" + text + ")" if link == ")^(" else text


def nested(rng: random.Random) -> str:
    depth = rng.choice([10, 50, 100, 400])
    opening, closing = rng.choice(
        [("(", ")"), ("-", ""), ("sqrt(", ")"), ("√", ""), ("[", "]"), ("max(1,", ")"), ("2^(", ")"), ("exp(", ")")]
    )
    return opening * depth + "9" + closing * (depth - rng.choice([0, 0, 1]))


def factorials(rng: random.Random) -> str:
    n = rng.choice([3, 20, 170, 171, 10**6, 10**12])
    return rng.choice(
        [f"{n}!", f"({n}!)!", f"{n}!^{n}!", f"factorial(factorial({n}))", f"comb({n}, {n}/2)", f"perm({n}, {n})", f"{n}!!!"]
    )


def digits(rng: random.Random) -> str:
    block = "".join(rng.choices("0123456789", k=rng.choice([20, 200, 308, 900, 5000])))
    return rng.choice(
        [block, f"0.{block}", f"1e{block}", f"1/{block}", f"{block}%7", f"({block[:200]})^{block[:3]}", f"sqrt({block})"]
    )


def many(rng: random.Random) -> str:
    name = rng.choice(["lcm", "gcd", "sum", "max", "median", "hypot", "mean"])
    arguments = [str(rng.randint(1, 10 ** rng.randint(1, 9))) for _ in range(rng.randint(50, 200))]
    chain = rng.choice(["+1/", "*1.0000001^", "-0.1*", "^0.5+", "/3+1/", ","]).join(arguments)
    return rng.choice([f"{name}({', '.join(arguments)})", chain])[: rng.choice([990, 990, 3000])]


def names(rng: random.Random) -> str:
    word = "".join(rng.choices("abcdefgimnopqrstuvwxyz_0123456789.", k=rng.randint(1, 30)))
    return rng.choice([word, f"{word}(1)", f"2*{word}", f"pi.{word}", f"sqrt.{word}(4)", f"sqrt({word})", f"{word}%d" * 3])


def mixed(rng: random.Random) -> str:
    pieces = [
        rng.choice([*GLUE, *GLUE, rng.choice(CODE), rng.choice(sorted(NAMES)), str(rng.randint(0, 99))])
        for _ in range(rng.randint(2, 30))
    ]
    return "".join(pieces)


def unicode(rng: random.Random) -> str:
    return "".join(
        rng.choice([rng.choice(STRANGE), chr(rng.randint(1, 0x10FFFF)), rng.choice("0123456789+*()")])
        for _ in range(rng.randint(1, 40))
    )


KINDS: list[Callable[[random.Random], str]] = [
    lambda rng: rng.choice(CODE), lambda rng: f"{rng.randint(0, 9)}{rng.choice(GLUE)}{rng.choice(CODE)}", towers,
    nested, factorials, digits,
    many, names, mixed, unicode,
]  # fmt: skip


def is_arithmetic(text: str) -> bool:
    """Whether the text has nothing but numbers, known names and the signs of arithmetic."""
    words = [match[1] for match in NUMBER_OR_NAME.finditer(text) if match[1]]
    rest = NUMBER_OR_NAME.sub("", text)
    return all(word.lower() in NAMES for word in words) and ARITHMETIC.fullmatch(rest) is not None


@dataclass
class Report:
    """What came of the expressions."""

    refused: int = 0
    evaluated: int = 0
    outside: list[str] = field(default_factory=list)  # evaluated though not arithmetic
    faults: list[str] = field(default_factory=list)  # anything but ToolError
    slowest: tuple[float, str] = (0.0, "")  # ms of processor time

    def add(self, text: str) -> None:
        """Evaluate one expression."""
        start = time.process_time()
        value: float | None = None
        try:
            value = calculate(text)
        except ToolError:
            self.refused += 1
        except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
            self.faults.append(f"{error!r} for {text[:80]!r}")
        milliseconds = (time.process_time() - start) * 1000
        if milliseconds > self.slowest[0]:
            # A busy machine adds to one run by chance; what the expression itself costs, it costs again.
            self.slowest = max(self.slowest, (min(milliseconds, _milliseconds(text), _milliseconds(text)), text))
        if value is not None:
            self.evaluated += 1
            if not is_arithmetic(text) or not math.isfinite(value):
                self.outside.append(text)


def _milliseconds(text: str) -> float:
    start = time.process_time()
    with contextlib.suppress(Exception):
        calculate(text)
    return (time.process_time() - start) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="number of expressions")
    parser.add_argument("--seed", type=int, default=0, help="seed of the generator")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    texts = [KINDS[index % len(KINDS)](rng) for index in range(options.count)]
    calculate("1 + 1")  # imports are not what is measured
    report = Report()
    for text in texts:
        report.add(text)
    foreign = sum(not is_arithmetic(text) for text in texts)
    milliseconds, slowest = report.slowest
    print(f"expressions                       {len(texts)} (seed {options.seed}), of which not arithmetic {foreign}")
    print(f"refused / evaluated / faults      {report.refused} / {report.evaluated} / {len(report.faults)}")
    print(f"evaluated outside of the grammar  {len(report.outside)} (target 0) {[t[:60] for t in report.outside[:5]]}")
    print(f"slowest                           {milliseconds:.2f} ms (target < {LIMIT_MS:.0f}) {slowest[:60]!r}")
    print(f"max memory of the process         {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    for fault in report.faults[:5]:
        print(f"fault                             {fault}")
    return int(bool(report.outside or report.faults or milliseconds >= LIMIT_MS))


if __name__ == "__main__":
    sys.exit(main())
