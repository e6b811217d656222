"""Questions about signs: each type's right answer, and the programs that look at them closely enough to read them.

>>> question = make_question(random.Random(0), "departure", QUESTION_TYPES["departure"], scene.annotation)
>>> next(question.program(random.Random(0)))
('The letters on the timetable are small, so I zoom in.', [Action(name='ZoomIn', arguments={...})])

Where a sign stands, its kind and its colour are plain to see; what it says is not. It is read in the whole picture, and where
that does not show it, in an enlarged part; one that stays unreadable gives no trace. Of several that may say what is asked for,
one after the other is looked at; that none does is said only when all of them were read.
"""

import random
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from taco.data_gen.programs import figures
from taco.data_gen.programs.figure_steps import DIFFERENCE, RESULT, work_out
from taco.data_gen.programs.figures import answer_of, number, rounded
from taco.data_gen.programs.object_nouns import a, counted, joined, plural
from taco.data_gen.programs.price_rows import Row, find_row
from taco.data_gen.programs.question import CANNOT_TELL, Asked, Plan, Program, QuestionType, doubtful
from taco.data_gen.programs.sign_phrasings import PHRASINGS
from taco.data_gen.programs.sign_steps import (
    LOOKS,
    WEEK,
    Seen,
    compare_rooms,
    give,
    give_aspect,
    give_hours,
    give_presence,
    multiply,
    read_rows,
    subtract_times,
    tell,
    week,
)
from taco.data_gen.scenes.colours import COLOURS
from taco.data_gen.scenes.names import split_of
from taco.data_gen.scenes.sign_contents import DAYS, KINDS, Content, SignKind, make
from taco.data_gen.scenes.signs import Sign, SignScene, look_box

SMALL = 10.0
"""Height of capitals in pixels below which letters are small: they are enlarged before they are read."""
FORM: dict[SignKind, str] = {
    "street sign": "words", "warning sign": "words", "speed limit sign": "limit", "number plate": "plate", "shop sign": "heading",
    "poster": "heading", "bus stop sign": "line", "timetable": "departure", "direction sign": "distance", "door plate": "room",
}  # fmt: skip
"""What is first read on a sign of a kind, see `sign_steps.PATTERNS`."""
ONE_TEXT: tuple[SignKind, ...] = ("street sign", "warning sign", "speed limit sign", "number plate")
COMMON = ("Bus", "Departures", "Tickets", *DAYS)
"""What every sign of a kind says."""

_Choose = Callable[[random.Random, SignScene], Asked | None]


# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _of(scene: SignScene, *kinds: str) -> list[Sign]:
    return [sign for sign in scene.signs if sign.kind in kinds]


def _seen(scene: SignScene, *kinds: str, form: str = "") -> tuple[Seen, ...]:
    """The signs of some kinds, or all, as one sees them, from left to right."""
    signs = sorted(_of(scene, *(kinds or FORM)), key=lambda sign: sign.bbox[0])
    return tuple(_as_seen(scene, sign, form or FORM[sign.kind]) for sign in signs)


def _as_seen(scene: SignScene, sign: Sign, form: str, name: str = "") -> Seen:
    box = look_box(sign.bbox)
    name = name or next(iter(_names(scene, sign)), f"the {sign.colour} {sign.kind} at {list(box)}")
    return Seen(name, sign.kind, sign.colour, form, len(_entries(sign, form)), sign.capitals < SMALL, box)


def _names(scene: SignScene, sign: Sign) -> list[str]:
    """What no other sign can be called: by its kind, by colour and kind."""
    colours = [other.colour for other in _of(scene, sign.kind)]
    names = {f"the {sign.kind}": len(colours), f"the {sign.colour} {sign.kind}": colours.count(sign.colour)}
    return [name for name, signs in names.items() if signs == 1]


def _one(rng: random.Random, scene: SignScene, *kinds: str) -> tuple[Sign, str] | None:
    """One of the signs of some kinds that can be told from all others, and its name."""
    named = [(sign, rng.choice(names)) for sign in _of(scene, *kinds) if (names := _names(scene, sign))]
    return rng.choice(named) if named else None


def _entries(sign: Sign | Content, form: str) -> dict[str, str]:
    """What a sign says of a form: values by name. The name is empty where there is only one thing to read."""
    rows = sign.rows
    if form in ("departure", "line"):
        return {name: value for value, name in rows}
    if form == "distance":
        return {name: value.split()[0] for name, value in rows}
    if form == "hours":
        return dict(rows)
    if form in ("room", "person"):
        room, person = rows[0][0].split()[1], rows[1][1]
        return {person: room} if form == "room" else {room: person}
    if form in ("date", "price"):
        return {sign.title: rows[form == "price"][1]}
    return {"": sign.title}


def _others(rng: random.Random, sign: Sign) -> list[Content]:
    """What other signs of its kind could say, in words of its split."""
    name, value = next(iter(_entries(sign, FORM[sign.kind]).items()))
    split = split_of((name or value).split()[-1 if sign.kind == "shop sign" else 0]) or "train"
    return [make(rng, sign.kind, split) for _ in range(3)]


def _other_entries(rng: random.Random, sign: Sign, form: str) -> list[tuple[str, str]]:
    return [entry for content in _others(rng, sign) for entry in _entries(content, form).items()]


def _asked(signs: Sequence[Seen], answer: str, wrong: Sequence[str] = (), **words: Any) -> Asked:
    return Asked({"signs": tuple(signs), **words}, answer, tuple(wrong))


def _text(rng: random.Random, scene: SignScene, *, kinds: tuple[str, ...]) -> Asked | None:
    """What stands on a sign with one text, or above all on one with more."""
    one = _one(rng, scene, *kinds)
    if one is None:
        return None
    sign, name = one
    form = FORM[sign.kind]
    wrong = [value for _, value in _other_entries(rng, sign, form)]
    return _asked([_as_seen(scene, sign, form, name)], sign.title, wrong, sign=name, item=name)


def _value(rng: random.Random, scene: SignScene, *, kind: str, form: str) -> Asked | None:
    """What stands beside a name on one of the signs of a kind."""
    signs = _of(scene, kind)
    if not signs:
        return None
    sign = rng.choice(signs)
    asked = figures.one(rng, _entries(sign, form))
    assert asked is not None
    wrong = [answer_of(value) for one in signs for value in _entries(one, form).values()]
    wrong += [answer_of(value) for _, value in _other_entries(rng, sign, form)]
    return _asked(_seen(scene, kind, form=form), asked.answer, wrong, unit=_unit(sign), **asked.parameters)


def _unit(sign: Sign) -> str:
    """Of the distances on a sign; empty on any other."""
    unit = sign.rows[0][1].rpartition(" ")[2] if sign.kind == "direction sign" else ""
    return {"km": "kilometres", "m": "metres"}.get(unit, "")


def _hours(rng: random.Random, scene: SignScene) -> Asked | None:
    one = _one(rng, scene, "shop sign")
    if one is None:
        return None
    sign, name = one
    days, hours = rng.choice(sign.rows)
    shop = "the shop" if name == "the shop sign" else f"the shop with the {sign.colour} sign"
    times = [
        re.split(r"\s*-\s*", row)
        for row in (hours, *(value for _, value in sign.rows), *dict(_other_entries(rng, sign, "hours")).values())
    ]
    closes = rng.random() < 0.5
    day = rng.choice([WEEK[index] for index in week(days)])
    words = {"shop": shop, "day": day, "verb": "close" if closes else "open", "closes": closes}
    wrong = [time for pair in times for time in pair]
    return _asked([_as_seen(scene, sign, "hours", name)], times[0][closes], wrong, **words)


def _minutes_between(rng: random.Random, scene: SignScene) -> Asked | None:
    signs = _of(scene, "timetable")
    if not signs:
        return None
    times = _entries(rng.choice(signs), "departure")
    first, last = sorted(rng.sample(sorted(times), 2), key=lambda name: times[name])
    minutes = [60 * int(times[name][:2]) + int(times[name][3:]) for name in (first, last)]
    return _asked(_seen(scene, "timetable"), str(minutes[1] - minutes[0]), item=first, other=last)


def _farther(rng: random.Random, scene: SignScene) -> Asked | None:
    signs = [sign for sign in _of(scene, "direction sign") if len(sign.rows) > 1]
    if not signs:
        return None
    sign = rng.choice(signs)
    asked = figures.difference(rng, _entries(sign, "distance"))
    return asked and _asked(_seen(scene, "direction sign"), asked.answer, unit=_unit(sign), **asked.parameters)


def _tickets(rng: random.Random, scene: SignScene) -> Asked | None:
    asked, count = _value(rng, scene, kind="poster", form="price"), rng.randint(2, 6)
    return asked and _asked(
        asked.parameters["signs"], number(count * Decimal(asked.answer)), item=asked.parameters["item"], number=count
    )


def _travel_time(rng: random.Random, scene: SignScene) -> Asked | None:
    limits, signs = _of(scene, "speed limit sign"), [sign for sign in _of(scene, "direction sign") if _unit(sign) == "kilometres"]
    if len(limits) != 1 or not signs:
        return None
    asked = figures.one(rng, _entries(rng.choice(signs), "distance"))
    assert asked is not None
    answer = rounded(Fraction(60 * int(asked.answer), int(limits[0].title)), 0)
    seen = (*_seen(scene, "speed limit sign"), *_seen(scene, "direction sign"))
    return _asked(seen, answer, other=seen[0].name, **asked.parameters)


def _room_order(rng: random.Random, scene: SignScene) -> Asked | None:
    rooms = {name: int(value) for sign in _of(scene, "door plate") for name, value in _entries(sign, "room").items()}
    if len(rooms) < 2:
        return None
    pair, higher = rng.sample(sorted(rooms), 2), rng.random() < 0.5
    answer = (max if higher else min)(pair, key=lambda name: rooms[name])
    words = {
        "item": pair[0],
        "other": pair[1],
        "higher": higher,
        "side": rng.choice(("higher", "larger") if higher else ("lower", "smaller")),
    }
    return _asked(_seen(scene, "door plate"), answer, pair, **words)


def _saying(rng: random.Random, scene: SignScene, *, aspect: str) -> Asked | None:
    """Colour or kind of the sign with a text, which is unlike all others."""
    kinds = [kind for kind in FORM if kind not in ("number plate", "speed limit sign")]
    able = [sign for sign in _of(scene, *kinds) if _said(sign)]
    if not able:
        return None
    sign = rng.choice(able)
    text = rng.choice(_said(sign))
    if any(_like(text, other) for one in able if one is not sign for other in _said(one)):
        return None
    answer = getattr(sign, aspect)
    wrong = COLOURS if aspect == "colour" else _some_kinds(rng, sign.kind)
    return _asked(_seen(scene, *kinds), answer, tuple(wrong), item=text, aspect=aspect, options=joined(tuple(wrong), "or"))


def _said(sign: Sign | Content) -> list[str]:
    """Its texts that are names or words of its own."""
    return [text for text in sign.texts if re.fullmatch("[A-Za-z ]+", text) and text not in COMMON]


def _like(text: str, other: str) -> bool:
    return find_row([Row(other, "", "")], text) is not None


def _some_kinds(rng: random.Random, kind: str) -> list[str]:
    """A kind among two others, for a question that gives a choice."""
    kinds = [kind, *rng.sample([other for other in KINDS if other != kind], 2)]
    rng.shuffle(kinds)
    return kinds


def _is_there(rng: random.Random, scene: SignScene) -> Asked | None:
    """Whether a sign of a kind has a text: one of its own, or one that another such sign could have."""
    able = [sign for sign in scene.signs if _said(sign)]
    if not able:
        return None
    sign, there = rng.choice(able), rng.random() < 0.5
    text = rng.choice(_said(sign if there else _others(rng, sign)[0]))
    if not there and any(_like(text, other) for other in _all(scene)):
        return None
    words = {"item": text, "kind": sign.kind, "a_kind": a(sign.kind)}
    return _asked(_seen(scene, sign.kind), "yes" if there else "no", ("yes", "no"), **words)


def _all(scene: SignScene) -> list[str]:
    return [text for sign in scene.signs for text in sign.texts]


def _no_such_row(rng: random.Random, scene: SignScene) -> Asked | None:
    one = _one(rng, scene, "timetable", "bus stop sign", "direction sign")
    if one is None:
        return None
    sign, name = one
    entries, strange = _entries(sign, FORM[sign.kind]), dict(_other_entries(rng, sign, FORM[sign.kind]))
    asked = figures.stranger(rng, entries, [name for name in strange if name not in _all(scene)])
    return asked and _asked(
        [_as_seen(scene, sign, FORM[sign.kind], name)], asked.answer, asked.wrong, sign=name, **asked.parameters
    )


def _no_such_sign(rng: random.Random, scene: SignScene) -> Asked | None:
    """A sign with one text in a colour that no sign of its kind has here."""
    there = {(sign.colour, sign.kind) for sign in scene.signs}
    able = [(colour, kind) for kind in ONE_TEXT for colour in KINDS[kind][0] if (colour, kind) not in there]
    colour, kind = rng.choice(able)
    names = joined([f"{a(sign.colour)} {sign.kind}" for sign in _seen(scene)])
    wrong = [value for sign in scene.signs for value in _said(sign)]
    name = f"{colour} {kind}"
    return Asked(
        {"sign": f"the {name}", "seen": f"I see {names}. There is no {name}.", "answer": CANNOT_TELL}, CANNOT_TELL, tuple(wrong)
    )


def _count(rng: random.Random, scene: SignScene) -> Asked | None:
    kind = rng.choice(sorted({sign.kind for sign in scene.signs}))
    count = len(_of(scene, kind))
    seen = (
        f"I see {joined([f'{a(sign.colour)} one at {list(sign.box)}' for sign in _seen(scene, kind)])}: {counted(count, kind)}."
    )
    return Asked({"kinds": plural(kind), "seen": seen, "answer": str(count)}, str(count))


def _colour(rng: random.Random, scene: SignScene) -> Asked | None:
    alone = [sign for sign in scene.signs if len(_of(scene, sign.kind)) == 1]
    if not alone:
        return None
    sign = rng.choice(alone)
    seen = f"The {sign.kind} is at {list(look_box(sign.bbox))}; it is {sign.colour}."
    return Asked({"sign": f"the {sign.kind}", "seen": seen, "answer": sign.colour}, sign.colour, tuple(COLOURS))


def _kind(rng: random.Random, scene: SignScene) -> Asked | None:
    """The kind of the only sign of a colour, where its letters are not small."""
    colours = [sign.colour for sign in scene.signs]
    alone = [sign for sign in scene.signs if colours.count(sign.colour) == 1 and sign.capitals >= SMALL]
    if not alone:
        return None
    sign = rng.choice(alone)
    kinds = _some_kinds(rng, sign.kind)
    seen = f"The {sign.colour} one is at {list(look_box(sign.bbox))}; it is {a(sign.kind)}."
    words = {"colour": sign.colour, "options": joined(kinds, "or"), "seen": seen, "answer": sign.kind}
    return Asked(words, sign.kind, tuple(kinds))


# ---------------------------------------------------------------------- the types


def _looks(way: Callable[..., Program]) -> tuple[Plan, ...]:
    return tuple(partial(way, look=look) for look in LOOKS)


def _work_out(expression: str, said: str) -> tuple[Plan, ...]:
    return tuple(partial(work_out, read=partial(read_rows, look=look), expression=expression, said=said) for look in LOOKS)


_TYPES: dict[str, tuple[float, _Choose, tuple[Plan, ...]]] = {
    "text": (2.0, partial(_text, kinds=ONE_TEXT), _looks(give)),
    "heading": (1.0, partial(_text, kinds=("shop sign", "poster")), _looks(give)),
    "departure": (1.0, partial(_value, kind="timetable", form="departure"), _looks(give)),
    "bus_line": (1.0, partial(_value, kind="bus stop sign", form="line"), _looks(give)),
    "distance": (1.0, partial(_value, kind="direction sign", form="distance"), _looks(give)),
    "room": (1.0, partial(_value, kind="door plate", form="room"), _looks(give)),
    "person": (1.0, partial(_value, kind="door plate", form="person"), _looks(give)),
    "event_date": (0.8, partial(_value, kind="poster", form="date"), _looks(give)),
    "ticket_price": (0.8, partial(_value, kind="poster", form="price"), _looks(give)),
    "opening_hours": (1.2, _hours, _looks(give_hours)),
    "minutes_between": (1.2, _minutes_between, _looks(subtract_times)),
    "farther": (1.0, _farther, _work_out("{0} - {1}", DIFFERENCE)),
    "tickets_total": (0.8, _tickets, _looks(multiply)),
    "travel_time": (1.2, _travel_time, _work_out("round(60 * {0} / {1})", RESULT)),
    "room_order": (1.0, _room_order, _looks(compare_rooms)),
    "colour_of_saying": (1.0, partial(_saying, aspect="colour"), _looks(give_aspect)),
    "kind_of_saying": (0.7, partial(_saying, aspect="kind"), _looks(give_aspect)),
    "is_there": (1.2, _is_there, _looks(give_presence)),
    "no_such_row": (0.7, _no_such_row, _looks(give)),
    "no_such_sign": (0.4, _no_such_sign, (tell,)),
    "count_signs": (0.4, _count, (tell,)),
    "colour_of_sign": (0.4, _colour, (tell,)),
    "kind_of_sign": (0.4, _kind, (tell,)),
}
QUESTION_TYPES = doubtful(
    {name: QuestionType(*kind, PHRASINGS[name]) for name, kind in _TYPES.items()},
    *("no_such_row", "no_such_sign", "text", "departure", "bus_line", "distance"),
)
"""Every type, with the one table of weights."""
