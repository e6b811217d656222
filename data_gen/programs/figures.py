"""What is asked of figures that stand beside names, as in a table's column or at the bars of a chart, and the right answers.

    >>> asked = difference(random.Random(0), {"Oslo": "1,200", "Riga": "900"})       # from what is annotated
    >>> asked.parameters, asked.answer
    ({'item': 'Oslo', 'other': 'Riga'}, '300')

The families `tables` and `charts` say what the figures are; the programs are in `figure_steps`.
"""

import difflib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from taco.data_gen.programs.price_rows import plain
from taco.data_gen.programs.question import CANNOT_TELL, Asked

Figures = Mapping[str, str]
"""Name -> figure, as printed. Names are distinct."""
Chooser = Callable[[random.Random, Figures], Asked | None]
"""None where the figures do not allow the question: a tie, too few of them."""

LOWER_CASE = 0.1
"""Share of questions that write names in lower case: people do."""
STRANGE = 0.55
"""A name that is not there is less like any that is than this (difflib ratio; `price_rows.find_row` finds it from 0.75 on)."""

_FIGURE = re.compile(r"[^\w\s]{0,2}(\d{1,3}(?:[.,]\d{3})+(?:\.\d{1,2})?|\d+(?:[.,]\d{1,2})?)(%?)")
"""One number, with a currency's sign before it or a per cent's behind; no date and no time."""


def figure(text: str) -> Decimal | None:
    """The value of one printed figure; None for anything else.

    >>> figure("$1,200"), figure("12.5%"), figure("12.05.2024")
    (Decimal('1200'), Decimal('12.5'), None)
    """
    match = _FIGURE.fullmatch(text.strip())
    return Decimal(plain(match[1])) if match else None


def answer_of(text: str) -> str:
    """A cell as an answer: a number plain, anything else (a per cent, too) as printed."""
    value = figure(text)
    return text if value is None or "%" in text else number(value)


def number(value: Decimal) -> str:
    """A number as the calculator prints it: ``14``, ``13.5``."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def rounded(value: Fraction, digits: int) -> str:
    """Rounded half away from zero, as the calculator does."""
    unit = Decimal(1).scaleb(-digits)
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return number(exact.quantize(unit, ROUND_HALF_UP))


# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def one(rng: random.Random, figures: Figures) -> Asked | None:
    """Any one; its kind need not be a number."""
    [name] = rng.sample(list(figures), 1)
    wrong = (*(answer_of(text) for text in figures.values()), CANNOT_TELL)
    return Asked(_written(rng, name), answer_of(figures[name]), wrong)


def stranger(rng: random.Random, figures: Figures, names: Sequence[str]) -> Asked | None:
    """One of `names` that is unlike all that are there: cannot be determined."""
    unlike = [name for name in names if not any(_alike(name, other) for other in figures)]
    if not unlike:
        return None
    return Asked(_written(rng, rng.choice(unlike)), CANNOT_TELL, tuple(map(answer_of, figures.values())))


def total_of_two(rng: random.Random, figures: Figures) -> Asked | None:
    names = _some(rng, figures, 2)
    return Asked(_written(rng, *names), number(sum((_value(figures[name]) for name in names), Decimal(0)))) if names else None


def difference(rng: random.Random, figures: Figures) -> Asked | None:
    names = sorted(_some(rng, figures, 2), key=lambda name: -_value(figures[name]))
    values = [_value(figures[name]) for name in names]
    return Asked(_written(rng, *names), number(values[0] - values[1])) if names and values[0] != values[1] else None


def ratio(rng: random.Random, figures: Figures) -> Asked | None:
    names = sorted(_some(rng, figures, 2), key=lambda name: -_value(figures[name]))
    values = [Fraction(_value(figures[name])) for name in names]
    return Asked(_written(rng, *names), rounded(values[0] / values[1], 2)) if names and values[0] != values[1] else None


def total(rng: random.Random, figures: Figures) -> Asked | None:
    return Asked({}, number(sum(map(_value, figures.values()), Decimal(0))))


def mean(rng: random.Random, figures: Figures) -> Asked | None:
    return Asked({}, rounded(Fraction(sum(map(_value, figures.values()), Decimal(0))) / len(figures), 2))


def spread(rng: random.Random, figures: Figures) -> Asked | None:
    values = list(map(_value, figures.values()))
    return Asked({}, number(max(values) - min(values))) if max(values) != min(values) else None


def extreme(rng: random.Random, figures: Figures, *, highest: bool) -> Asked | None:
    ordered = sorted(figures, key=lambda name: _value(figures[name]), reverse=highest)
    if _value(figures[ordered[0]]) == _value(figures[ordered[1]]):
        return None
    return Asked({}, ordered[0], tuple(ordered[1:]))


def beyond(rng: random.Random, figures: Figures) -> Asked | None:
    """How many are more, or less, than a round number that none is."""
    values = sorted(map(_value, figures.values()))
    threshold = _round_between(values[0], values[-1], rng)
    if threshold in values or not values[0] < threshold < values[-1]:
        return None
    above = rng.random() < 0.6
    count = sum((value > threshold) == above for value in values)
    side = rng.choice(("more than", "above", "over", "higher than") if above else ("less than", "below", "under", "lower than"))
    unit = "%" if all("%" in text for text in figures.values()) else ""
    return Asked({"above": above, "side": side, "threshold": f"{number(threshold)}{unit}"}, str(count))


def owner(rng: random.Random, figures: Figures) -> Asked | None:
    """Whose a figure is; one that occurs once."""
    printed = list(figures.values())
    single = [name for name in figures if printed.count(figures[name]) == 1]
    if not single or len(figures) < 2:
        return None
    name = rng.choice(single)
    return Asked({"value": figures[name]}, name, tuple(other for other in figures if other != name))


def share(rng: random.Random, figures: Figures) -> Asked | None:
    """Per cent of the whole, to one decimal."""
    [name] = rng.sample(list(figures), 1)
    values = {other: Fraction(_value(text)) for other, text in figures.items()}
    return Asked(_written(rng, name), rounded(100 * values[name] / sum(values.values()), 1))


def change(rng: random.Random, figures: Figures) -> Asked | None:
    """Per cent by which the later of two differs from the earlier, to one decimal; the sign says whether it rose."""
    first, second = _in_order(rng, figures)
    before, after = (Fraction(_value(figures[name])) for name in (first, second))
    return None if before == after else Asked({"first": first, "second": second}, rounded(100 * (after - before) / before, 1))


def rises(rng: random.Random, figures: Figures) -> Asked | None:
    """Whether the later of two is higher."""
    first, second = _in_order(rng, figures)
    before, after = (_value(figures[name]) for name in (first, second))
    return (
        None if before == after else Asked({"first": first, "second": second}, "yes" if after > before else "no", ("yes", "no"))
    )


def _in_order(rng: random.Random, figures: Figures) -> tuple[str, str]:
    names = list(figures)
    first, second = sorted(rng.sample(range(len(names)), 2))
    return names[first], names[second]


def _some(rng: random.Random, figures: Figures, count: int) -> list[str]:
    return rng.sample(list(figures), count) if len(figures) >= count else []


def _written(rng: random.Random, *names: str) -> dict[str, str]:
    """Names as a question writes them: ``item`` and ``other``."""
    lower = rng.random() < LOWER_CASE
    return dict(zip(("item", "other"), (name.lower() if lower else name for name in names), strict=False))


def _value(text: str) -> Decimal:
    value = figure(text)
    if value is None:
        raise ValueError(f"{text!r} is no figure; ask for sums of columns that are.")
    return value


def _alike(one: str, other: str) -> bool:
    return difflib.SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio() >= STRANGE


def _round_between(least: Decimal, most: Decimal, rng: random.Random) -> Decimal:
    """A number with few digits well between two."""
    middle = least + (most - least) * Decimal(rng.randint(20, 80)) / 100
    unit = Decimal(1).scaleb((most - least).adjusted() - 1) if most > least else Decimal(1)
    return (middle / unit / 5).quantize(Decimal(1)) * unit * 5
