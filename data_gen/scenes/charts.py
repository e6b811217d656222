"""Scenes of the family `charts`: bar, line and pie charts, each with its exact annotation.

Run: `render(random.Random(7)).image.show()`; the same seed gives the same pixels on any number of workers.
"""

import itertools
import random
from dataclasses import dataclass
from typing import Literal

from taco.data_gen.scenes import fonts, proper_names
from taco.data_gen.scenes.chart_layouts import CHART_COLOURS, LAYOUTS, TEST_LAYOUTS, Drawing, Plan
from taco.data_gen.scenes.colours import contrast, palette
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.photo import photograph
from taco.data_gen.scenes.scene import Annotation, Box, Scene, TextLine
from taco.data_gen.scenes.table_topics import MONTHS
from taco.data_gen.scenes.tables import choose, choose_title

MIN_BARS, MAX_BARS = 2, 8
WIDTHS, HEIGHTS = (600, 940), (560, 780)
"""Of images, pixels."""
SIZES = (18, 26)
"""Font sizes, pixels; capitals are 0.7 of them. Names and values shrink to their places, down to `chart_layouts.LEAST_SIZE`."""
STEPS = (10, 20, 25, 50, 100, 200, 500, 1000)
"""From one tick to the next: two digits or more, since engines overlook lone ones."""
TICKS = (4, 6)
"""How many ticks there are above 0."""
LABELLED = 0.6
"""Share of charts whose values are written beside the marks."""
FLAT = 0.75
"""Share of charts that fill the image; the others are sheets before a backdrop."""

FONTS = tuple(name for name in fonts.FONTS if name != "Intuitive")
"""A hand's letters are too fine for the sizes of a chart."""

ChartKind = Literal["bar", "horizontal bar", "grouped bar", "line", "pie"]
KINDS: dict[ChartKind, float] = {"bar": 3, "horizontal bar": 2, "grouped bar": 2, "line": 3, "pie": 2}


@dataclass(frozen=True)
class Topic:
    """What a chart shows: titles (the last is kept for the split "test"), what the values are, and what the names are."""

    titles: tuple[str, ...]
    meaning: str
    nouns: tuple[str, ...]


TOPICS: tuple[Topic, ...] = (
    Topic(
        ("Visitors", "Number of Visitors", "Museum Visitors", "Visitor Count"), "number of visitors", ("city", "month", "year")
    ),
    Topic(
        ("Sales", "Units Sold", "Sales Report", "Total Sales"), "number of sales", ("item", "month", "year", "quarter", "person")
    ),
    Topic(("Rainfall", "Rain in mm", "Measured Rain", "Amount of Rain"), "rainfall", ("city", "month", "year")),
    Topic(("Revenue", "Income", "Revenue in Euros", "Turnover"), "revenue", ("city", "quarter", "year", "subject")),
    Topic(("Points", "Points Scored", "Score Board", "Final Score"), "score", ("team", "person")),
    Topic(("Votes", "Survey Results", "Favourites", "Poll of Members"), "number of votes", ("subject", "item", "city", "person")),
    Topic(("Output", "Production", "Units Produced", "Factory Output"), "output", ("year", "quarter", "month", "city")),
    Topic(("Members", "Club Members", "Membership", "Registered Members"), "number of members", ("team", "year", "subject")),
)
ORDERED: dict[str, tuple[str, ...]] = {
    "month": MONTHS,
    "quarter": ("Q1", "Q2", "Q3", "Q4"),
    "year": tuple(map(str, range(2008, 2027))),
}
"""Names that follow upon each other."""
MAX_SERIES, MAX_LABELLED_GROUPS = 3, 4
LEAST_CONTRAST = 1.9
"""Of a mark with the paper."""


class Mark(Annotation):
    """A bar, point or slice: `value` is a plain decimal, `label` that value as drawn beside it, "" where it is not."""

    category: str
    series: str
    value: str
    label: str
    colour: str
    bbox: Box


class ChartScene(Annotation):
    """A chart.

    `marks` run series by series, each in the order of `categories`. `series` is empty where there is one. `noun` says what a
    category is, `meaning` what its value is; `ordered` whether the categories follow upon each other in time. `labelled`: every
    value is written beside its mark. `ticks` are the values at the axis, which ends at `top`; none for a pie.
    """

    family: Literal["charts"] = "charts"
    kind: ChartKind
    layout: str
    font: str
    width: int
    height: int
    title: str
    noun: str
    meaning: str
    categories: tuple[str, ...]
    series: tuple[str, ...]
    marks: tuple[Mark, ...]
    labelled: bool
    ordered: bool
    ticks: tuple[str, ...]
    top: str
    lines: tuple[TextLine, ...]


def render(rng: random.Random, *, split: Split = "train", min_items: int = MIN_BARS, max_items: int = MAX_BARS) -> Scene:
    """Draw one scene.

    Args:
        rng: Where all chance comes from: equal states give equal scenes.
        split: "train" never uses the titles, names, layouts and fonts that are held out. "test" has only held-out titles and
            names, and held-out layouts and fonts in half of its scenes each.
        min_items: Fewest bars, points or slices (of one series), at least 2.
        max_items: Most of them, at most 8.

    Raises:
        ValueError: If not 2 <= min_items <= max_items <= 8.
    """
    if not MIN_BARS <= min_items <= max_items <= MAX_BARS:
        raise ValueError(f"A chart has 2 to 8 bars, min_items <= max_items; got min_items={min_items}, max_items={max_items}.")
    content = _content(rng, split, rng.randint(min_items, max_items))
    layout, font = choose(rng, tuple(LAYOUTS), TEST_LAYOUTS, split), choose(rng, FONTS, fonts.TEST_FONTS, split)
    background = "white" if rng.random() < 0.8 else "black"
    colours = _colours(rng, content, background)
    size = rng.randint(*WIDTHS), rng.randint(*HEIGHTS)
    flat = rng.random() < FLAT
    board = size if flat else (round(0.92 * size[0]), round(0.9 * size[1]))
    drawing = Drawing(board, _plan(rng, content, layout, font, background, colours))
    boxes = drawing.draw()
    image, where = photograph(drawing.canvas.image, size, rng, fills_image=flat)
    marks = [
        Mark(category=category, series=series, value=value, label=label, colour=colour, bbox=where(box))
        for series, values, labels, names, row in zip(
            content.series or ("",),
            content.values,
            content.labels or [[""] * MAX_BARS] * MAX_SERIES,
            colours,
            boxes,
            strict=False,
        )
        for category, value, label, colour, box in zip(content.categories, values, labels, names, row, strict=False)
    ]
    annotation = ChartScene(
        kind=content.kind,
        layout=layout,
        font=font,
        width=image.width,
        height=image.height,
        title=content.title,
        noun=content.noun,
        meaning=content.meaning,
        categories=content.categories,
        series=content.series,
        marks=tuple(marks),
        labelled=bool(content.labels),
        ordered=content.noun in ORDERED,
        ticks=content.ticks,
        top=str(content.top),
        lines=tuple(TextLine(text=text, bbox=where(box)) for text, box in drawing.canvas.written),
    )
    return Scene((image,), annotation)


# ---------------------------------------------------------------------- what it says


@dataclass(frozen=True)
class _Content:
    """Names, values and texts; `values` and `labels` by series, `labels` empty where the values are not written."""

    kind: ChartKind
    title: str
    meaning: str
    noun: str
    categories: tuple[str, ...]
    series: tuple[str, ...]
    values: list[list[str]]
    labels: list[list[str]]
    ticks: tuple[str, ...]
    top: float


def _content(rng: random.Random, split: Split, count: int) -> _Content:
    kind = rng.choices(tuple(KINDS), tuple(KINDS.values()))[0]
    topic = rng.choice([topic for topic in TOPICS if kind != "line" or set(topic.nouns) & set(ORDERED)])
    noun, categories = _categories(rng, kind, topic, count, split)
    several = kind == "grouped bar" or (kind == "line" and rng.random() < 0.35)
    series = (
        tuple(proper_names.draw(rng, "team" if noun != "team" else "city", rng.randint(2, MAX_SERIES), split)) if several else ()
    )
    labelled = rng.random() < LABELLED and (not several or (kind == "grouped bar" and count <= MAX_LABELLED_GROUPS))
    step, steps = rng.choice(STEPS), rng.randint(*TICKS)
    percent = kind == "pie" and rng.random() < 0.5
    if percent:
        values = [_parts_of_hundred(rng, count)]
    else:
        values = [_values(rng, count, step, steps, kind, labelled) for _ in series or ("",)]
    has_ticks = kind != "pie" and not (labelled and rng.random() < 0.4)
    form = rng.choice(("{:,}", "{}"))
    return _Content(
        kind=kind,
        title=choose_title(rng, topic.titles, split),
        meaning=topic.meaning,
        noun=noun,
        categories=categories,
        series=series,
        values=[list(map(str, row)) for row in values],
        labels=[[f"{value}%" if percent else form.format(value) for value in row] for row in values] if labelled else [],
        ticks=tuple(form.format(step * place) for place in range(rng.randint(0, 1), steps + 1)) if has_ticks else (),
        top=step * (steps + 0.3),
    )


def _categories(rng: random.Random, kind: ChartKind, topic: Topic, count: int, split: Split) -> tuple[str, tuple[str, ...]]:
    """What the names are, and the names."""
    nouns = [noun for noun in topic.nouns if noun not in ORDERED or (kind != "pie" and count <= len(ORDERED[noun]))]
    ordered = [noun for noun in nouns if noun in ORDERED]
    # Below upright bars there is no room for long names.
    fitting = ordered if kind == "line" else [noun for noun in nouns if kind in ("pie", "horizontal bar") or noun != "item"]
    noun = rng.choice(fitting or ordered or ["year"])
    if noun not in ORDERED:
        return noun, tuple(proper_names.draw(rng, noun, count, split))
    first = rng.randint(0, len(ORDERED[noun]) - count)
    return noun, ORDERED[noun][first : first + count]


def _values(rng: random.Random, count: int, step: int, steps: int, kind: ChartKind, labelled: bool) -> list[int]:
    """Any where they are written; else each on a tick, or well between two."""
    if labelled or kind == "pie":
        least = max(10, round((0.25 if kind == "pie" else 0.12) * step * steps))
        return [rng.randint(least, step * steps) for _ in range(count)]
    return [
        step * rng.randint(1, steps) if rng.random() < 0.5 else round(step * (rng.randint(1, steps - 1) + rng.uniform(0.3, 0.7)))
        for _ in range(count)
    ]


def _parts_of_hundred(rng: random.Random, count: int) -> list[int]:
    """Whole per cents of 6 or more."""
    rest = 100 - 6 * count
    cuts = [0, *sorted(rng.randint(0, rest) for _ in range(count - 1)), rest]
    return [6 + after - before for before, after in itertools.pairwise(cuts)]


def _colours(rng: random.Random, content: _Content, background: str) -> list[list[str]]:
    """The names of the marks' colours by series: of one series one colour, or one for each mark; of slices always that."""
    usable = [name for name, colour in CHART_COLOURS.items() if contrast(colour, CHART_COLOURS[background]) >= LEAST_CONTRAST]
    count = len(content.categories)
    if content.kind == "pie" or (content.kind in ("bar", "horizontal bar") and rng.random() < 0.5):
        return [rng.sample(usable, count)]
    return [[colour] * count for colour in rng.sample(usable, len(content.values))]


def _plan(rng: random.Random, content: _Content, layout: str, font: str, background: str, colours: list[list[str]]) -> Plan:
    pie = content.kind == "pie"
    return Plan(
        kind=content.kind,
        title=content.title,
        measure="" if pie or rng.random() < 0.5 else content.meaning.capitalize(),
        legend=pie and rng.random() < 0.5,
        categories=content.categories,
        series=content.series,
        values=tuple(tuple(map(float, row)) for row in content.values),
        labels=tuple(map(tuple, content.labels)),
        ticks=tuple((float(text.replace(",", "")), text) for text in content.ticks),
        top=content.top,
        colours=tuple(tuple(CHART_COLOURS[name] for name in row) for row in colours),
        filled=rng.uniform(0.5, 0.8),
        style=LAYOUTS[layout],
        font=font,
        palette=palette(background, rng),
        size=rng.randint(*SIZES),
    )
