"""The steps to an answer about signs: they are read in the whole picture, cut out, or enlarged, until what they say is legible.

>>> rows = yield from read_signs({"signs": seen, "item": "Oslo"}, rng, look="whole")      # in a program: OCR, ZoomIn, OCR ...
>>> rows[seen[0]]
[Row(name='Oslo', price='14:30', text='14:30 Oslo')]

Whoever looks knows where a sign is, of what kind, and how many rows it has, and nothing of what they say.
"""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from taco.data_gen.programs.figure_steps import TOTAL, Reading, Steps, calculated, digits, found, quoted
from taco.data_gen.programs.figures import answer_of
from taco.data_gen.programs.object_nouns import a, joined
from taco.data_gen.programs.price_rows import Row, find_row
from taco.data_gen.programs.question import CANNOT_TELL, GaveUp, Parameters, Program, call, phrase, terminate
from taco.data_gen.scenes.scene import Box
from taco.data_gen.scenes.sign_contents import DAYS, SignKind

IMAGE = "image-0"
FAR = 4
"""Times that a sign is enlarged at last."""
LOOKS = ("whole", "zoom", "crop")
"""What is done first: read the whole picture, enlarge a sign with small letters, or cut it out."""
AT_ONCE = 2
"""Signs that are looked at closely without having read the picture, at most."""
WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Seen(NamedTuple):
    """A sign as one sees it without reading.

    Attributes:
        name: What to call it, with its article.
        kind: What it is for.
        colour: Of its board.
        form: What is to be read on it: a key of `PATTERNS`.
        rows: How many rows of that form it has.
        small: Whether its letters are small.
        box: The round box in which one looks at it.
    """

    name: str
    kind: SignKind
    colour: str
    form: str
    rows: int
    small: bool
    box: Box


_CLOCK = r"\b\d{1,2}[:.]\d\d\b"
_DAY = rf"\b(?:{'|'.join(DAYS)})\b"
_NAME = r"(?P<name>\b[A-Z]\D*?)"
PATTERNS = {
    "words": re.compile(r"^(?P<value>\D+)$"),
    "limit": re.compile(r"^(?P<value>\d{2,3})$"),
    "plate": re.compile(r"(?P<value>\b[A-Z]{1,3} \d{2,4}\b)"),
    "heading": re.compile(rf"^(?P<value>\D+?) (?=\d|{_DAY})"),
    "line": re.compile(rf"\b(?P<value>\d+) {_NAME}(?= \d|$)"),
    "departure": re.compile(rf"(?P<value>\b\d{{1,2}}:\d\d\b) {_NAME}(?= \d|$)"),
    "distance": re.compile(rf"{_NAME} (?P<value>\d+) ?k?m\b"),
    "room": re.compile(rf"\bRoom (?P<value>\d+) {_NAME}$"),
    "person": re.compile(r"\bRoom (?P<name>\d+) (?P<value>[^\W\d]\D*)$"),
    "date": re.compile(rf"{_NAME} (?P<value>\d{{1,2}} [A-Z][a-z]+)"),
    "price": re.compile(rf"{_NAME} \d.*Tickets ?[$€£SECL]?(?P<value>\d+(?:[.,]\d\d)?)$"),
    "hours": re.compile(rf"(?P<name>{_DAY}(?: ?- ?{_DAY})?) (?P<value>{_CLOCK} ?- ?{_CLOCK})"),
}
"""Rows of each form in what was read on a sign, on one line."""

WHOLE = (
    "(First I|I|To begin with I) read the (whole |)picture with the places of its texts, to see what (is legible|I can read).",
    "I (need to|have to|must) read {signs}, so I (ask for|get|read) all texts and their places.",
    "(Perhaps {signs} can be read from here|I try to read {signs} from here): I (ask for|get|read) all texts and their places.",
)
SMALL_LETTERS = ("{letters} are (small|tiny|small in the picture), so I (zoom in|enlarge {sign}|zoom in on {sign}).",)
ENLARGE = ("(To read {sign} well|To make {sign} legible|To read {sign}), I (zoom in|come closer).",)
CUT_OUT = ("(To have nothing else in view, I|To look at it alone, I|I) (crop|cut out) {sign}.",)
FURTHER = ("(I have to come closer and|That is not enough, so I|That does not do, so I) enlarge {sign} (more|further).",)
THEN_READ = ("Now I read (it|what it says|what stands there|this part).", "(Next I|Now I can) read {sign}.")
SO = ("(So the answer is|The answer is|So it is) {value}.",)


def read_signs(asked: Parameters, rng: random.Random, *, look: str) -> Steps[dict[Seen, list[Row]]]:
    """The rows of each sign, until what is asked for is among them or all are read.

    Args:
        asked: Has the ``signs``, and what to find on them as ``item`` and ``other``.
        rng: For the wording.
        look: See `LOOKS`. More than AT_ONCE signs are looked for in the whole picture first, and so are such with large letters.

    Raises:
        GaveUp: If a sign stays unreadable.
    """
    signs: Sequence[Seen] = asked["signs"]
    texts: dict[Seen, str] = {}
    if look == "whole" or len(signs) > AT_ONCE or (look == "zoom" and not all(sign.small for sign in signs)):
        look = "whole"
        thought = phrase(rng, WHOLE, {"signs": joined([sign.name for sign in signs]) if len(signs) <= 3 else "the signs"})
        regions = (yield from call(thought, "OCR", image=IMAGE, boxes=True))["regions"]
        texts = {sign: _inside(regions, sign.box) for sign in signs}
    rows = {sign: _rows(sign, texts.get(sign, "")) for sign in signs}
    last: Seen | None = None
    for factor in (1 if look == "crop" else rng.choice((2, 3)), FAR):
        for sign in signs:
            if _enough(asked, rows):
                return rows
            if len(rows[sign]) < sign.rows:
                before = last or sign
                told = _told(asked, before, texts[before], rows[before]) if texts else ""
                name = "it" if told and before is sign else sign.name
                texts[sign] = yield from _look_closer(rng, sign, factor, told, name)
                rows[sign], last = _rows(sign, texts[sign]), sign
    if not _enough(asked, rows):
        raise GaveUp("a sign could not be read")
    return rows


def _look_closer(rng: random.Random, sign: Seen, factor: int, told: str, name: str) -> Steps[str]:
    """Cut a sign out, enlarged where the factor is more than 1, and read it."""
    why = FURTHER if factor == FAR else CUT_OUT if factor == 1 else SMALL_LETTERS if sign.small else ENLARGE
    letters = "its letters" if name == "it" else f"the letters on {name}"
    reason = phrase(rng, why, {"sign": name, "letters": letters})
    thought = " ".join(sentence[:1].upper() + sentence[1:] for sentence in (told, reason) if sentence)
    zoom = {} if factor == 1 else {"zoom_factor": factor}
    part = yield from call(thought, "ZoomIn" if zoom else "Crop", image=IMAGE, bbox=list(sign.box), **zoom)
    text = (yield from call(phrase(rng, THEN_READ, {"sign": sign.name}), "OCR", image=part["image"]))["text"]
    return _spaced(text)


def _inside(regions: Sequence[Mapping[str, Any]], box: Box) -> str:
    """The texts whose middle is in a box."""
    return _spaced(
        " ".join(
            region["label"]
            for region in regions
            if all(box[side] <= (region["bbox"][side] + region["bbox"][side + 2]) / 2 <= box[side + 2] for side in (0, 1))
        )
    )


def _spaced(text: str) -> str:
    """On one line, with the spaces that a reader would put back: ``RoseAvenue``, ``Room255``, ``14:30Oslo``, ``AB1234``."""
    lost = r"(?<=[a-z])(?=[A-Z$€£])|(?<=[a-z]{2})(?=\d)|(?<=\d)(?=[A-Z][a-z])|(?<=\b[A-Z]{2})(?=\d{4}\b)"
    return " ".join(re.sub(lost, " ", text).split())


def _rows(sign: Seen, text: str) -> list[Row]:
    """What was read on a sign, by names; a row without one has the sign's."""
    found = PATTERNS[sign.form].finditer(text)
    return [
        Row((match.groupdict().get("name") or sign.name).strip(), match["value"].strip(), match[0].strip()) for match in found
    ]


def _names(asked: Parameters) -> list[str]:
    """What a question names."""
    return [asked[name] for name in ("item", "other") if name in asked]


def _enough(asked: Parameters, rows: Mapping[Seen, Sequence[Row]]) -> bool:
    """Whether all that the question names was read, or all that there is."""
    names, every = _names(asked), [row for read in rows.values() for row in read]
    return (bool(names) and all(holding(every, name) for name in names)) or all(len(rows[sign]) >= sign.rows for sign in rows)


def holding(rows: Iterable[Row], text: str) -> bool:
    """Whether a text is a row's name or value."""
    return find_row([Row(part, "", "") for row in rows for part in (row.name, row.price)], text) is not None


def _told(asked: Parameters, sign: Seen, text: str, rows: Sequence[Row]) -> str:
    """What came of a look."""
    if len(rows) >= sign.rows:
        part = any(holding(rows, name) for name in _names(asked))
        return f"{sign.name} says: {text}.{'' if part else ' That is not what I look for.'}"
    return f"On {sign.name} I could read only: {text}." if text else f"On {sign.name} nothing was read."


# ---------------------------------------------------------------------- how it is answered


def read_rows(asked: Parameters, rng: random.Random, *, look: str) -> Steps[Reading]:
    rows = yield from read_signs(asked, rng, look=look)
    return Reading([row for read in rows.values() for row in read])


def give(asked: Parameters, rng: random.Random, *, look: str) -> Program:
    """The value beside a name; where all was read and no such name, it cannot be determined."""
    reading = yield from read_rows(asked, rng, look=look)
    row = find_row(reading.rows, asked["item"])
    if row is None:
        said = f"There is no {asked['item']} among them, so this cannot be told."
        yield from terminate(f"{quoted(rng, reading, reading.rows)}\n{said}", CANNOT_TELL)
    else:
        said = phrase(rng, SO, {"value": row.price})
        yield from terminate(f"{quoted(rng, reading, [row])}\n{said}", answer_of(row.price))


def give_hours(asked: Parameters, rng: random.Random, *, look: str) -> Program:
    """When a shop opens or closes on a day that one of its rows covers."""
    reading = yield from read_rows(asked, rng, look=look)
    rows = [row for row in reading.rows if WEEK.index(asked["day"]) in week(row.name)]
    if len(rows) != 1:
        raise GaveUp("the day was not read once")
    time = re.split(r"\s*-\s*", rows[0].price)[asked["closes"]]
    yield from terminate(f"{quoted(rng, reading, rows)}\nThat holds for {asked['day']}: it {asked['verb']}s at {time}.", time)


def subtract_times(asked: Parameters, rng: random.Random, *, look: str) -> Program:
    reading = yield from read_rows(asked, rng, look=look)
    rows = [found(reading, asked[name]) for name in ("item", "other")]
    (hours, minutes), (later_hours, later_minutes) = (map(int, row.price.split(":")) for row in rows)
    expression = f"({later_hours} - {hours}) * 60 + {later_minutes} - {minutes}"
    yield from calculated(rng, reading, rows, expression, "(There are|I get) {result} minutes between them.")


def multiply(asked: Parameters, rng: random.Random, *, look: str) -> Program:
    reading = yield from read_rows(asked, rng, look=look)
    row = found(reading, asked["item"])
    yield from calculated(rng, reading, [row], f"{asked['number']} * {digits(row)}", TOTAL)


def compare_rooms(asked: Parameters, rng: random.Random, *, look: str) -> Program:
    reading = yield from read_rows(asked, rng, look=look)
    rows = [found(reading, asked[name]) for name in ("item", "other")]
    numbers = [int(row.price) for row in rows]
    if len(set(numbers)) == 1:
        raise GaveUp("two rooms were read with one number")
    row = rows[numbers.index((max if asked["higher"] else min)(numbers))]
    yield from terminate(f"{quoted(rng, reading, rows)}\n{row.price} is the {asked['side']} number: {row.name}.", row.name)


def give_aspect(asked: Parameters, rng: random.Random, *, look: str) -> Program:
    """Colour or kind of the sign on which a text was read."""
    rows = yield from read_signs(asked, rng, look=look)
    signs = [sign for sign in rows if holding(rows[sign], asked["item"])]
    if len(signs) != 1:
        raise GaveUp("the text was not read once")
    reading, answer = Reading(rows[signs[0]]), getattr(signs[0], asked["aspect"])
    where = f"That stands on {signs[0].name}" if asked["aspect"] == "colour" else f"That stands on the {signs[0].colour} sign"
    said = f"{where}. It is {answer if asked['aspect'] == 'colour' else a(answer)}."
    yield from terminate(f"{quoted(rng, reading, reading.rows)}\n{said}", answer)


def give_presence(asked: Parameters, rng: random.Random, *, look: str) -> Program:
    reading = yield from read_rows(asked, rng, look=look)
    there = [row for row in reading.rows if holding([row], asked["item"])]
    said = f"So there is {asked['a_kind'] if there else 'no ' + asked['kind']} that says {asked['item']}."
    yield from terminate(f"{quoted(rng, reading, there or reading.rows)}\n{said}", "yes" if there else "no")


def tell(asked: Parameters, rng: random.Random) -> Program:
    """What is plain to see."""
    yield from terminate(asked["seen"], asked["answer"])


def week(days: str) -> range:
    """Numbers of the days: ``Mon - Wed`` is 0 to 2."""
    first, *last = (DAYS.index(day) for day in re.split(r"\s*-\s*", days))
    return range(first, (last or [first])[0] + 1)
