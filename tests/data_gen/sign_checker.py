"""The right answer to a question about signs, from annotation and question text alone. Shares no code with the generator.

>>> right_answer(scene.annotation, "When is the departure to Oslo?")
'14:30'
"""

import re
from fractions import Fraction
from typing import Any

CANNOT_TELL = "cannot be determined"
KINDS = (
    "street sign", "shop sign", "bus stop sign", "timetable", "direction sign", "door plate", "speed limit sign", "number plate",
    "poster", "warning sign",
)  # fmt: skip
COLOURS = "white|black|red|orange|yellow|green|blue|purple"
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def right_answer(scene: Any, question: str) -> str:
    """The answer as text. Raises ValueError for a question that it cannot read."""
    text = " ".join(question.lower().split()).rstrip("?.")
    quote = re.search(r'"([^"]+)"', text)
    if quote:
        return _of_quote(scene, text.replace(quote[0], ""), quote[1])
    for answer in (_at_sight, _on_the_road, _of_poster, _of_shop, _of_doors, _of_departures, _of_buses):
        found = answer(scene, text)
        if found:
            return found
    return _of_named_sign(scene, text)


def agrees(one: str, other: str) -> bool:
    """Equal as numbers, or as texts."""
    if re.fullmatch(r"\d+(\.\d+)?", one) and re.fullmatch(r"\d+(\.\d+)?", other):
        return Fraction(one) == Fraction(other)
    return one == other


def _kind(scene: Any, kind: str) -> list[Any]:
    return [sign for sign in scene.signs if sign.kind == kind]


def _within(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name.lower())}(?!\w)", text) is not None


def _in_order(text: str, names: dict[str, Any]) -> list[Any]:
    """What is known of those names that the text has, in the order in which it has them."""
    return [names[name] for name in sorted(names, key=lambda name: text.find(name.lower())) if _within(text, name)]


def _of_quote(scene: Any, text: str, quote: str) -> str:
    saying = [sign for sign in scene.signs if quote in [said.lower() for said in sign.texts]]
    if "colour" in text or "color" in text:
        [sign] = saying
        return str(sign.colour)
    if "kind of sign" in text:
        [sign] = saying
        return str(sign.kind)
    [kind] = [kind for kind in KINDS if _within(text, kind)]
    return "yes" if any(sign.kind == kind for sign in saying) else "no"


def _at_sight(scene: Any, text: str) -> str:
    counted = [kind for kind in KINDS if _within(text, kind + "s")]
    if counted:
        return str(len(_kind(scene, counted[0])))
    if len([kind for kind in KINDS if _within(text, kind)]) == 3:
        [kind] = [sign.kind for sign in scene.signs if _within(text, sign.colour)]
        return str(kind)
    if re.search(r"\bcolou?r\b", text):
        [colour] = [sign.colour for sign in scene.signs if _within(text, sign.kind)]
        return str(colour)
    return ""


def _on_the_road(scene: Any, text: str) -> str:
    places = {place: int(re.sub(r"\D", "", far)) for sign in _kind(scene, "direction sign") for place, far in sign.rows}
    far = _in_order(text, places)
    if ("speed" in text and "minute" in text) or "travel time" in text or "driving time" in text:
        [limit] = [int(sign.title) for sign in _kind(scene, "speed limit sign")]
        return str(int(Fraction(60 * far[0], limit) + Fraction(1, 2)))
    if "metres" in text:
        return str(abs(far[0] - far[1]) if len(far) == 2 else far[0])
    return ""


def _of_poster(scene: Any, text: str) -> str:
    for sign in _kind(scene, "poster"):
        if _within(text, sign.title):
            price = Fraction(sign.rows[1][1][1:])
            count = re.search(r"(\d+) tickets", text)
            if count:
                return _decimal(int(count[1]) * price)
            return _decimal(price) if "ticket" in text else str(sign.rows[0][1])
    return ""


def _decimal(value: Fraction) -> str:
    return f"{float(value):.2f}"


def _of_shop(scene: Any, text: str) -> str:
    days = [index for index, day in enumerate(DAYS) if _within(text, day)]
    if not days:
        return ""
    colour = re.search(rf"with the ({COLOURS}) sign", text)
    [sign] = [sign for sign in _kind(scene, "shop sign") if colour is None or sign.colour == colour[1]]
    for label, hours in sign.rows:
        ends = [[day[:3] for day in DAYS].index(part.strip().lower()) for part in label.split("-")]
        if ends[0] <= days[0] <= ends[-1]:
            return str(hours.split("-")[-1 if re.search(r"\bcloses?\b", text) else 0].strip())
    raise ValueError(text)


def _of_doors(scene: Any, text: str) -> str:
    plates = {sign.texts[1]: sign.texts for sign in _kind(scene, "door plate")}
    named = _in_order(text, plates)
    if len(named) == 2:
        low, high = sorted(named, key=lambda texts: int(texts[0].split()[1]))
        return str((high if re.search("higher|larger", text) else low)[1])
    if named:
        return str(named[0][0].split()[1])
    number = re.search(r"\b\d{3}\b", text)
    if number:
        [person] = [person for person, texts in plates.items() if texts[0] == f"Room {number[0]}"]
        return str(person)
    return ""


def _of_departures(scene: Any, text: str) -> str:
    if "depart" not in text:
        return ""
    times = _in_order(text, {city: time for sign in _kind(scene, "timetable") for time, city in sign.rows})
    if len(times) == 1:
        return str(times[0])
    first, last = sorted(60 * int(time.split(":")[0]) + int(time.split(":")[1]) for time in times)
    return str(last - first)


def _of_buses(scene: Any, text: str) -> str:
    if not re.search(r"\bbus\b(?! stop)", text):
        return ""
    [line] = _in_order(text, {city: line for sign in _kind(scene, "bus stop sign") for line, city in sign.rows})
    return str(line)


def _of_named_sign(scene: Any, text: str) -> str:
    """What one sign says, by its kind, perhaps with its colour; or a row on it, which is asked for only where it is not there."""
    match = re.search(rf"\bthe (?:({COLOURS}) )?({'|'.join(KINDS)})\b", text)
    if match is None:
        raise ValueError(text)
    signs = [sign for sign in _kind(scene, match[2]) if match[1] in (None, sign.colour)]
    if not signs:
        return CANNOT_TELL
    [sign] = signs
    if sign.kind in ("timetable", "bus stop sign", "direction sign"):
        if any(_within(text, part) for row in sign.rows for part in row):
            raise ValueError(text)
        return CANNOT_TELL
    return str(sign.title)
