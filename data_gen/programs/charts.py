"""Questions about charts: each type's right answer, and the programs that reach it through tools.

>>> question = ask(random.Random(0), scene, "difference")            # from the annotation: text, parameters, answer
>>> next(question.program(random.Random(0)))
('A bar chart with 5 upright bars. I need the values.', [Action(name='OCR', arguments={'image': 'image-0', 'boxes': True})])

Values are asked for where they are written beside the marks, or where a mark ends at a tick; else only what the eye can compare.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

from taco.data_gen.programs import chart_reading, figures
from taco.data_gen.programs.chart_phrasings import PHRASINGS
from taco.data_gen.programs.figure_steps import (
    DIFFERENCE,
    HIGHEST,
    LOWEST,
    MEANS,
    RESULT,
    SPREAD,
    TOTAL,
    Reading,
    Steps,
    compare,
    count_beyond,
    look_up,
    work_out,
    work_out_all,
)
from taco.data_gen.programs.figures import Chooser, Figures
from taco.data_gen.programs.question import (
    Asked,
    Parameters,
    Plan,
    Program,
    Question,
    QuestionType,
    call,
    doubtful,
    make_question,
    phrase,
    terminate,
)
from taco.data_gen.scenes import proper_names
from taco.data_gen.scenes.chart_layouts import CHART_COLOURS
from taco.data_gen.scenes.charts import ORDERED, ChartScene, Mark
from taco.data_gen.scenes.names import split_of

CLEAR = 0.08
"""By what share of the axis (of the whole, for slices) two marks differ at least where the eye has to tell them apart."""
CLEAR_SLICE = 0.04
PLURALS = {"city": "cities", "person": "people"}
MARKS = {"bar": "bar", "horizontal bar": "bar", "grouped bar": "bar", "line": "point", "pie": "slice"}
BESIDE = ("horizontal bar", "pie")
"""Kinds whose values stand on the line of their names, so that the text alone tells whose they are."""

_Choose = Callable[[random.Random, ChartScene], Asked | None]
_Look = Callable[[Parameters, random.Random], Steps[dict[str, Any]]]


def ask(rng: random.Random, scene: ChartScene, kind: str) -> Question | None:
    """One question of a type about a scene, or None where the scene does not allow it."""
    question = make_question(rng, kind, QUESTION_TYPES[kind], scene)
    if question is None:
        return None
    seen = SEEN.get(kind, SEEN.get(f"{kind}: {question.answer}", "")).format(answer=question.answer, **question.parameters)
    parameters = {**question.parameters, "kind": scene.kind, "count": len(scene.series or scene.categories)}
    return replace(question, parameters=parameters, sighting=f"{sighting_of(scene)} {seen}".strip())


def sighting_of(scene: ChartScene) -> str:
    """What can be seen without reading. Every trace says it, and so teaches to look."""
    count = len(scene.categories)
    return {
        "bar": f"A bar chart with {count} vertical bars.",
        "horizontal bar": f"A bar chart with {count} horizontal bars.",
        "grouped bar": f"A bar chart with {count} groups of {len(scene.series)} bars.",
        "line": f"A line chart with {len(scene.series)} lines." if scene.series else f"A line chart with {count} points.",
        "pie": f"A pie chart with {count} slices.",
    }[scene.kind]


SEEN = {
    "highest_by_eye": "The {mark} of {answer} has the highest value.",
    "lowest_by_eye": "The {mark} of {answer} has the lowest value.",
    "higher_of_two: yes": "The {mark} of {item} shows more than that of {other}.",
    "higher_of_two: no": "The {mark} of {item} shows less than that of {other}.",
    "line_trend: yes": "Its last point is higher than its first.",
    "line_trend: no": "Its last point is lower than its first.",
    "place_of_highest": "The longest bar is number {answer} from the {side}.",
    "colour_of_highest": "The largest {mark} is {answer}.",
    "value_at_tick": "The {mark} of {item} ends at {level} of the height, from the top.",
}
"""What else is seen for a question, by its type (and answer)."""

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _written(
    rng: random.Random, scene: ChartScene, *, choose: Chooser, ordered: bool = False, whole: bool = False
) -> Asked | None:
    """A question about written values; of `ordered` names, or of a pie or chart whose values are no per cents yet (`whole`)."""
    shown = {mark.category: mark.label for mark in scene.marks}
    if scene.series or not scene.labelled or (ordered and not scene.ordered):
        return None
    percents = all("%" in label for label in shown.values())
    return None if whole and percents else _with(choose(rng, shown), scene, percents=percents)


def _with(asked: Asked | None, scene: ChartScene, *, percents: bool = False, **more: Any) -> Asked | None:
    """With the words for what the chart shows."""
    nouns = PLURALS.get(scene.noun, f"{scene.noun}s")
    words = {"meaning": "share" if percents else scene.meaning, "noun": scene.noun, "nouns": nouns, "mark": MARKS[scene.kind]}
    return asked and replace(asked, parameters={**asked.parameters, **words, **more})


def _no_such_name(rng: random.Random, scene: ChartScene) -> Asked | None:
    if scene.noun in ORDERED:
        return None
    names = proper_names.draw(rng, scene.noun, 8, split_of(scene.categories[0]) or "train")
    return _written(rng, scene, choose=partial(figures.stranger, names=names))


def _of_group(rng: random.Random, scene: ChartScene, *, choose: Chooser) -> Asked | None:
    if scene.kind != "grouped bar" or not scene.labelled:
        return None
    category = rng.choice(scene.categories)
    shown: Figures = {mark.series: mark.label for mark in scene.marks if mark.category == category}
    return _with(choose(rng, shown), scene, category=category)


def _at_tick(rng: random.Random, scene: ChartScene) -> Asked | None:
    """The value of a mark that ends at a tick; how high it ends is seen."""
    ticks = {figures.figure(tick): tick for tick in scene.ticks}
    ending = [mark for mark in scene.marks if Decimal(mark.value) in ticks]
    if scene.labelled or scene.series or scene.kind not in ("bar", "line") or len(ticks) < 3 or not ending:
        return None
    mark = rng.choice(ending)
    top, bottom = mark.bbox[1], mark.bbox[3]
    level = round(top if scene.kind == "bar" else (top + bottom) / 2, 2)
    wrong = tuple(figures.answer_of(tick) for tick in scene.ticks)
    return _with(Asked({"item": mark.category, "level": level}, mark.value, wrong), scene)


def _extreme(rng: random.Random, scene: ChartScene, *, highest: bool) -> Asked | None:
    mark = _clear(scene, highest)
    if mark is None or scene.labelled or scene.series:
        return None
    return _with(Asked({}, mark.category, tuple(name for name in scene.categories if name != mark.category)), scene)


def _clear(scene: ChartScene, highest: bool = True) -> Mark | None:
    """The highest or lowest mark, where it is plain to see."""
    ordered = sorted(scene.marks, key=lambda mark: Decimal(mark.value), reverse=highest)
    return ordered[0] if _is_clear(scene, ordered[0], ordered[1]) else None


def _is_clear(scene: ChartScene, one: Mark, other: Mark) -> bool:
    apart = abs(float(one.value) - float(other.value))
    if scene.kind == "pie":
        return apart >= CLEAR_SLICE * sum(float(mark.value) for mark in scene.marks)
    return apart >= CLEAR * float(scene.top)


def _higher_of_two(rng: random.Random, scene: ChartScene) -> Asked | None:
    one, other = rng.sample(scene.marks, 2)
    if scene.labelled or scene.series or not _is_clear(scene, one, other):
        return None
    answer = "yes" if Decimal(one.value) > Decimal(other.value) else "no"
    return _with(Asked({"item": one.category, "other": other.category}, answer, ("yes", "no")), scene)


def _line_trend(rng: random.Random, scene: ChartScene) -> Asked | None:
    first, last = scene.marks[0], scene.marks[-1]
    if scene.kind != "line" or scene.series or not _is_clear(scene, first, last):
        return None
    return Asked({}, "yes" if Decimal(last.value) > Decimal(first.value) else "no", ("yes", "no"))


def _place_of_highest(rng: random.Random, scene: ChartScene) -> Asked | None:
    mark = _clear(scene)
    if mark is None or scene.kind not in ("bar", "horizontal bar"):
        return None
    return Asked({"side": "left" if scene.kind == "bar" else "top"}, str(scene.marks.index(mark) + 1))


def _colour_of_highest(rng: random.Random, scene: ChartScene) -> Asked | None:
    mark = _clear(scene)
    if mark is None or scene.kind == "line":
        return None
    return _with(Asked({}, mark.colour, tuple(CHART_COLOURS)), scene)


def _number_of_marks(rng: random.Random, scene: ChartScene) -> Asked | None:
    if scene.kind == "line" and scene.series:
        return None
    return Asked({"marks": f"{MARKS[scene.kind]}s"}, str(len(scene.marks)))


def _number_of_series(rng: random.Random, scene: ChartScene) -> Asked | None:
    if not scene.series:
        return None
    return Asked({"series": "lines" if scene.kind == "line" else "colours of bars"}, str(len(scene.series)))


def _kind(rng: random.Random, scene: ChartScene) -> Asked | None:
    return Asked({}, _name_of(scene), KINDS)


def _is_kind(rng: random.Random, scene: ChartScene) -> Asked | None:
    asked = rng.choice([_name_of(scene), *KINDS])
    return Asked({"kind_asked": asked}, "yes" if asked == _name_of(scene) else "no", ("yes", "no"))


KINDS = ("bar chart", "line chart", "pie chart")


def _name_of(scene: ChartScene) -> str:
    return f"{scene.kind.split()[-1]} chart"


# ---------------------------------------------------------------------- how it is read (parameters and observations only)

READ = (
    "(I need to|I have to|I must|First I|Now I|So I) read the (values|numbers) (beside|next to) (the names|its names).",
    "The (values|numbers) are written (there|in it), so I read them.",
)
READ_PLACES = (
    "I (need|want|read) the (texts|words) (and|with) their places, to (tell|see) which value belongs to which name.",
    "I (need|want|read) the (texts|words) (and|with) their places, to (tell|see) what stands where.",
)


def _read(asked: Parameters, rng: random.Random, *, places: bool) -> Steps[Reading]:
    """Names and values; with places, or where these are not needed without."""
    if places or asked["kind"] not in BESIDE:
        content = yield from call(phrase(rng, READ_PLACES, {}), "OCR", image="image-0", boxes=True)
    else:
        content = yield from call(phrase(rng, READ, {}), "OCR", image="image-0")
    if "category" in asked:
        return chart_reading.grouped(content, asked["category"])
    if asked["kind"] == "pie":
        return chart_reading.around(content["text"])
    return chart_reading.beside(content["text"]) if asked["kind"] == "horizontal bar" else chart_reading.upright(content)


def _read_tick(asked: Parameters, rng: random.Random) -> Program:
    """The label of the axis at the height at which the mark was seen to end."""
    content = yield from call(phrase(rng, READ_PLACES, {}), "OCR", image="image-0", boxes=True)
    label, ticks = chart_reading.tick_at(content, asked["level"])
    said = f"The axis has {', '.join(ticks)}. Nearest to {asked['level']} is {label}."
    yield from terminate(said, figures.answer_of(label))


# ---------------------------------------------------------------------- the types


def _type(weight: float, name: str, choose: _Choose, plans: tuple[Plan, ...] = ()) -> QuestionType:
    return QuestionType(weight, choose, plans, PHRASINGS[name])


def _plans(*ways: Callable[..., Program]) -> tuple[Plan, ...]:
    """Each way after either reading."""
    return tuple(partial(way, read=partial(_read, places=places)) for way in ways for places in (False, True))


def _values(
    weight: float, name: str, choose: Chooser, *ways: Callable[..., Program], ordered: bool = False, whole: bool = False
) -> QuestionType:
    return _type(weight, name, partial(_written, choose=choose, ordered=ordered, whole=whole), _plans(*ways))


def _group(weight: float, name: str, choose: Chooser, way: Callable[..., Program]) -> QuestionType:
    return _type(weight, name, partial(_of_group, choose=choose), _plans(way)[:1])


_TOTAL = partial(work_out_all, expression="{plus}", said=TOTAL)
_MINUS = partial(work_out, expression="{0} - {1}", said=DIFFERENCE)
_PERIODS = ("first", "second")
_SHARES = (
    partial(work_out_all, expression="round(100 * {0} / ({plus}), 1)", said="(Its share is|That is) {result} percent."),
    partial(work_out_all, expression="round({0} / sum({list}) * 100, 1)", said="(Its share is|That is) {result} percent."),
)
_CHANGES = tuple(
    partial(work_out, expression=expression, named=_PERIODS, said="(It changed by|That is a change of) {result} percent.")
    for expression in ("round(100 * ({1} - {0}) / {0}, 1)", "round(({1} / {0} - 1) * 100, 1)")
)

_TYPES: dict[str, QuestionType] = {
    "value": _values(2.0, "value", figures.one, look_up),
    "no_such_name": _type(0.7, "no_such_name", _no_such_name, _plans(look_up)),
    "total_of_two": _values(1.0, "total_of_two", figures.total_of_two, partial(work_out, expression="{0} + {1}", said=TOTAL)),
    "difference": _values(1.0, "difference", figures.difference, _MINUS),
    "ratio": _values(0.8, "ratio", figures.ratio, partial(work_out, expression="round({0} / {1}, 2)", said=RESULT)),
    "total": _values(1.0, "total", figures.total, _TOTAL, whole=True),
    "mean": _values(1.0, "mean", figures.mean, *MEANS),
    "spread": _values(0.8, "spread", figures.spread, SPREAD),
    "highest": _values(1.0, "highest", partial(figures.extreme, highest=True), *HIGHEST),
    "lowest": _values(1.0, "lowest", partial(figures.extreme, highest=False), *LOWEST),
    "count_beyond": _values(1.0, "count_beyond", figures.beyond, count_beyond),
    "share": _values(1.2, "share", figures.share, *_SHARES, whole=True),
    "percent_change": _values(1.2, "percent_change", figures.change, *_CHANGES, ordered=True),
    "rises": _values(1.0, "rises", figures.rises, compare, ordered=True),
    "group_value": _group(1.5, "group_value", figures.one, look_up),
    "group_total": _group(1.5, "group_total", figures.total, _TOTAL),
    "group_difference": _group(1.5, "group_difference", figures.difference, _MINUS),
    "value_at_tick": _type(1.5, "value_at_tick", _at_tick, (_read_tick,)),
    "highest_by_eye": _type(0.6, "highest_by_eye", partial(_extreme, highest=True)),
    "lowest_by_eye": _type(0.6, "lowest_by_eye", partial(_extreme, highest=False)),
    "higher_of_two": _type(0.6, "higher_of_two", _higher_of_two),
    "line_trend": _type(0.6, "line_trend", _line_trend),
    "place_of_highest": _type(0.5, "place_of_highest", _place_of_highest),
    "colour_of_highest": _type(0.5, "colour_of_highest", _colour_of_highest),
    "number_of_marks": _type(0.4, "number_of_marks", _number_of_marks),
    "number_of_series": _type(0.5, "number_of_series", _number_of_series),
    "kind_of_chart": _type(0.3, "kind_of_chart", _kind),
    "is_kind": _type(0.3, "is_kind", _is_kind),
}
QUESTION_TYPES = doubtful(_TYPES, "no_such_name", "value")
"""Every type, with the one table of weights. Types with plans are answered through tools, the others from the pixels."""
