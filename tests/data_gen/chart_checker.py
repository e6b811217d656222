"""The right answer to a question about a chart, from annotation and question text alone. Shares no code with the generator.

>>> right_answer(scene.annotation, "Which city has the highest rainfall?")
'Oslo'
"""

import re
from fractions import Fraction
from typing import Any

CANNOT_TELL = "cannot be determined"


def right_answer(scene: Any, question: str) -> str:
    """The answer as text. Raises ValueError for a question that it cannot read."""
    text = " ".join(question.lower().split()).rstrip("?.")
    looks = _of_the_look(scene, text)
    answer = looks or (_of_group(scene, text) if re.search("(in|of|over) the group", text) else _of_values(scene, text))
    return str(_to_decimals(answer, text)) if isinstance(answer, Fraction) else answer


def agrees(one: str, other: str) -> bool:
    """Equal as numbers (one may be a fraction, "7/3"), or as texts."""
    if re.fullmatch(r"-?\d+(/\d+)?(\.\d+)?", one) and re.fullmatch(r"-?\d+(\.\d+)?", other):
        return Fraction(one) == Fraction(other)
    return one == other


def _of_the_look(scene: Any, text: str) -> str:
    """Questions that need no value: kinds, counts, colours, places, the way a line goes."""
    kind = "bar chart" if "bar" in scene.kind else f"{scene.kind} chart"
    named = re.findall(r"(bar|line|pie) chart", text)
    if re.search(r"(kind|type|sort) of (chart|diagram|graph)", text) or len(named) == 3:
        return kind
    if len(named) == 1:
        return "yes" if f"{named[0]} chart" == kind else "no"
    if "colours of bars" in text or re.search(r"\blines\b", text):
        return str(len(scene.series))
    if re.search(r"\b(bars|points|slices)\b", text):
        return str(len(scene.marks))
    values = [Fraction(mark.value) for mark in scene.marks]
    tallest = values.index(max(values))
    if re.search(r"from the (left|top)", text):
        return str(tallest + 1)
    if re.search(r"colou?r", text):
        return str(scene.marks[tallest].colour)
    if re.search(r"\bline\b", text):
        return "yes" if values[-1] > values[0] else "no"
    return ""


def _of_group(scene: Any, text: str) -> str | Fraction:
    category = max((name for name in scene.categories if f"group {name.lower()}" in text), key=len)
    text = text.replace(category.lower(), "*")
    shown = {mark.series: Fraction(mark.value) for mark in scene.marks if mark.category == category}
    places = sorted((text.find(name.lower()), name) for name in shown if name.lower() in text)
    named = [shown[name] for _, name in places]
    if len(named) == 2:
        return named[0] - named[1]
    return named[0] if named else sum(shown.values(), Fraction(0))


def _of_values(scene: Any, text: str) -> str | Fraction:
    shown = {mark.category: Fraction(mark.value) for mark in scene.marks}
    text = text.replace(scene.meaning, "#").replace(" share shown", " # shown")
    places = [(match.start(), name) for name in shown if (match := re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", text))]
    named = [shown[name] for _, name in sorted(places)]
    threshold = re.search(r"(more than|above|over|higher than|less than|below|under|lower than) ([\d.]+)%?( |$)", text)
    if threshold and ("whose" in text or "how many" in text) and not named:
        more = threshold[1] in ("more than", "above", "over", "higher than")
        limit = Fraction(threshold[2])
        return str(sum((value > limit) if more else (value < limit) for value in shown.values()))
    if len(named) == 2:
        return _of_two(text, *named)
    if len(named) == 1:
        share = re.search(r"per ?cent", text)
        return named[0] / sum(shown.values()) * 100 if share else _printed(scene, named[0])
    return _of_all(text, shown)


def _of_two(text: str, first: Fraction, second: Fraction) -> str | Fraction:
    if "change" in text:
        return (second - first) / first * 100
    if re.search(r"\b(rise|grow|increase|go up|rose|grew|increased|went up)\b", text):
        return "yes" if second > first else "no"
    if re.search(r"(higher|larger|greater) in .* than in ", text):  # the later one is named first
        return "yes" if first > second else "no"
    if "how many times" in text:
        return second / first
    if "ratio" in text:
        return first / second
    if re.search(r"how much|difference|exceed", text):
        return first - second
    if re.search(r"\bthan\b", text):
        return "yes" if first > second else "no"
    return first + second


def _of_all(text: str, shown: dict[str, Fraction]) -> str | Fraction:
    high, low = r"highest|largest|greatest|biggest", r"lowest|smallest|least"
    if re.search("range|spread", text) or (re.search(high, text) and re.search(low, text)):
        return max(shown.values()) - min(shown.values())
    if re.search(f"{high}|{low}", text):
        wanted = max(shown.values()) if re.search(high, text) else min(shown.values())
        [name] = [name for name, value in shown.items() if value == wanted]
        return name
    if re.search(r"\b(mean|average)\b", text):
        return sum(shown.values(), Fraction(0)) / len(shown)
    if re.search(r"\ball\b", text):
        return sum(shown.values(), Fraction(0))
    if re.search(r"(of|for|given for|shown for) ", text):
        return CANNOT_TELL
    raise ValueError(text)


def _printed(scene: Any, value: Fraction) -> str:
    """A per cent as it is written, anything else plain."""
    labels = [mark.label for mark in scene.marks if Fraction(mark.value) == value and "%" in mark.label]
    return labels[0] if labels else str(value)


def _to_decimals(value: Fraction, text: str) -> Fraction:
    """As many decimals as the question wants; half away from zero."""
    wanted = re.search(r"(two|one) decimal", text)
    if not wanted:
        return value
    unit = 100 if wanted[1] == "two" else 10
    whole = int(abs(value) * unit + Fraction(1, 2))
    return Fraction(whole if value >= 0 else -whole, unit)
