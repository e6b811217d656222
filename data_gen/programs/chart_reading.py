"""Names and values of a chart as OCR gave them: beside each other, above each other, or in groups.

>>> [(row.name, row.price) for row in beside("Income\\nPottery 5,040\\nDance 2,700\\n0 2,000 4,000").rows]
[('Pottery', '5,040'), ('Dance', '2,700')]
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from taco.data_gen.programs.figure_steps import Reading
from taco.data_gen.programs.figures import figure
from taco.data_gen.programs.price_rows import Row
from taco.data_gen.programs.question import GaveUp
from taco.data_gen.programs.table_sheets import lines_of

Region = Mapping[str, Any]
"""As OCR gives it: ``label``, ``bbox``, ``score``."""


def beside(text: str) -> Reading:
    """Lines that end with a value: the bars of a horizontal bar chart. A line of nothing but values is its axis."""
    rows = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) > 1 and figure(words[-1]) is not None and (len(words) == 2 or figure(words[0]) is None):
            rows.append(Row(" ".join(words[:-1]), words[-1], line))
    return _reading(rows)


def around(text: str) -> Reading:
    """A value behind each name, several on a line: the slices of a pie."""
    rows: list[Row] = []
    for line in text.split("\n"):
        words: list[str] = []
        for word in line.split():
            words.append(word)
            if figure(word) is not None:
                rows += [Row(" ".join(words[:-1]), word, " ".join(words))] if len(words) > 1 else []
                words = []
    return _reading(rows)


def upright(content: Mapping[str, Any]) -> Reading:
    """The one value above each name of the lowest line."""
    rows = []
    for name, above in _columns(content):
        if len(above) != 1:
            raise GaveUp("not every name has one value")
        rows.append(Row(name, above[0], f"{name} {above[0]}"))
    return _reading(rows)


def grouped(content: Mapping[str, Any], category: str) -> Reading:
    """The values above one name, from left to right those of the legend's names."""
    legend = next((line for line in lines_of(content) if len(line) > 1 and not any(map(_is_figure, line))), [])
    for name, above in _columns(content):
        if name.lower() == category.lower() and len(above) == len(legend):
            series = [region["label"] for region in legend]
            return Reading([Row(one, value, f"{one} {value}") for one, value in zip(series, above, strict=True)], name)
    raise GaveUp("the group was not read whole")


def tick_at(content: Mapping[str, Any], level: float) -> tuple[str, list[str]]:
    """The label of the value axis that is nearest to a height, and all labels from the top down."""
    _, left = _names(content)
    ticks = [region for line in lines_of(content)[:-1] for region in line if _is_figure(region) and _middle(region) < left]
    if len(ticks) < 2:
        raise GaveUp("the axis was not read")
    nearest = min(ticks, key=lambda region: abs(_height(region) - level))
    apart = min(abs(_height(one) - _height(other)) for one, other in itertools.combinations(ticks, 2))
    if abs(_height(nearest) - level) > apart / 3:
        raise GaveUp("no label of the axis is at this height")
    return nearest["label"], [f"{region['label']} at {_height(region):.2f}" for region in ticks]


def _columns(content: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Each name of the lowest line with the values above it, from left to right."""
    names, left = _names(content)
    above: list[list[Region]] = [[] for _ in names]
    for region in itertools.chain.from_iterable(lines_of(content)[:-1]):
        if _is_figure(region) and _middle(region) > left:
            nearest = min(range(len(names)), key=lambda place: abs(_middle(names[place]) - _middle(region)))
            above[nearest].append(region)
    columns = [sorted(regions, key=_middle) for regions in above]
    return [(name["label"], [region["label"] for region in column]) for name, column in zip(names, columns, strict=True)]


def _names(content: Mapping[str, Any]) -> tuple[Sequence[Region], float]:
    """The regions of the lowest line, and where the first one's place begins: further left stands the axis."""
    lines = lines_of(content)
    if not lines or len(lines[-1]) < 2:
        raise GaveUp("no names were read below the chart")
    centres = [_middle(region) for region in lines[-1]]
    return lines[-1], centres[0] - min(after - before for before, after in itertools.pairwise(centres)) / 2


def _reading(rows: list[Row]) -> Reading:
    if not rows:
        raise GaveUp("no value was read")
    return Reading(rows)


def _is_figure(region: Region) -> bool:
    return figure(region["label"]) is not None


def _middle(region: Region) -> float:
    return float(region["bbox"][0] + region["bbox"][2]) / 2


def _height(region: Region) -> float:
    return float(region["bbox"][1] + region["bbox"][3]) / 2
