"""What signs say: names, opening hours, timetables, distances, prices, each in the half of words of its split.

>>> make(random.Random(0), "direction sign", "train").rows
(('Warsaw', '7 km'), ('Verona', '35 km'))
"""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from taco.data_gen.scenes import fonts, proper_names
from taco.data_gen.scenes.names import Split, split_of

SignKind = Literal[
    "street sign", "shop sign", "bus stop sign", "timetable", "direction sign", "door plate", "speed limit sign",
    "number plate", "poster", "warning sign",
]  # fmt: skip
Shape = Literal["rectangular", "round", "arrow-shaped", "diamond-shaped"]

KINDS: dict[SignKind, tuple[tuple[str, ...], tuple[Shape, ...]]] = {
    "street sign": (("blue", "green", "white", "red"), ("rectangular",)),
    "shop sign": (("white", "black", "red", "orange", "yellow", "green", "blue", "purple"), ("rectangular",)),
    "bus stop sign": (("yellow", "green", "blue", "red", "orange"), ("rectangular",)),
    "timetable": (("black", "blue", "white"), ("rectangular",)),
    "direction sign": (("yellow", "white", "blue", "green"), ("arrow-shaped", "arrow-shaped", "rectangular")),
    "door plate": (("white", "black", "yellow", "blue", "green"), ("rectangular",)),
    "speed limit sign": (("white", "yellow"), ("round",)),
    "number plate": (("white", "yellow"), ("rectangular",)),
    "poster": (("orange", "purple", "red", "green", "yellow", "black", "blue"), ("rectangular",)),
    "warning sign": (("yellow", "orange"), ("diamond-shaped",)),
}
"""Colours and shapes that signs of a kind have."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_STREETS = (
    "Harbour|Mill|Station|Church|Castle|Garden|Market|Bridge|River|Park|Temple|Forest|Orchard|Meadow|Abbey|Tower|Museum|Lake|Hill"
    "|School|Canal|Chapel|Linden|Poplar|Willow|Rose|Queen|King|Bishop|Victoria|Copper|Silver|Baker|Cooper|Weaver|Potter|Fisher"
)
_WAYS = ("Street", "Road", "Lane", "Avenue", "Square", "Way")
_TRADES = ("Bakery", "Pharmacy", "Books", "Florist", "Cafe", "Barber", "Optician", "Toys", "Shoes", "Cycles", "Tailor", "Hotel")
_SURNAMES = (
    "Abel|Bauer|Berg|Brandt|Carter|Conrad|Dale|Egan|Falk|Farmer|Fischer|Grant|Haas|Hansen|Harper|Hoffman|Hunt|Jensen|Keller|Kemp"
    "|Lang|Larsen|Lindt|Marsh|Mason|Meyer|Moss|Nielsen|Novak|Olsen|Page|Palmer|Pohl|Reed|Roth|Sander|Shaw|Stone|Turner|Vogel"
    "|Wagner|Walsh|Weber|Winter|Wood|Young"
)
_EVENTS = ("Night", "Fair", "Festival", "Evening", "Workshop", "Show")
_MONTHS = ("January", "March", "April", "May", "June", "July", "August", "October", "November")
_WARNINGS = "SLOW|ICE|BUMP|SCHOOL|DEER|BEND|ROAD WORKS|TRAM|FROGS|FLOOD|GRAVEL|HORSES|BRIDGE|CHILDREN|QUEUE|TRUCKS"
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


@dataclass(frozen=True)
class Content:
    """What is on a sign: a title or nothing, and rows of a label and a value, each or both of which are drawn.

    Of a shop sign: days and hours; of a bus stop: line and where it goes; of a timetable: time and where to; of a direction sign:
    place and distance; of a door plate: room and person; of a poster: its date and its price.
    """

    title: str
    rows: tuple[tuple[str, str], ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All pieces from top to bottom, as they are drawn."""
        return tuple(text for row in (("", self.title), *self.rows) for text in row if text)


def make(rng: random.Random, kind: SignKind, split: Split, font: str = fonts.FONTS[0]) -> Content:
    """A sign's content with words of the split; of what the font can draw."""
    if kind == "poster":
        return _poster(rng, split, font)
    return _MAKERS[kind](rng, split)


def clash(one: Content, other: Content) -> bool:
    """Whether a text of one is or stands in a text of the other, whatever its case: then it does not tell which sign is meant."""
    pairs = [(a.casefold(), b.casefold()) for a in one.texts for b in other.texts]
    return any(a in b or b in a for a, b in pairs)


@functools.cache
def _half(words: str, split: Split) -> list[str]:
    """The words of a split's half."""
    return [word for word in words.split("|") if split_of(word) == split]


def _street(rng: random.Random, split: Split) -> Content:
    return Content(f"{rng.choice(_half(_STREETS, split))} {rng.choice(_WAYS)}")


def _shop(rng: random.Random, split: Split) -> Content:
    weeks = (("Mon - Fri", "Sat"), ("Mon - Sat", "Sun"), ("Mon - Thu", "Fri", "Sat"), ("Tue - Sun",), ("Mon - Sat",))
    point, dash = rng.choice((":", ":", ".")), rng.choice((" - ", " - ", "-"))

    def clock(hour: int) -> str:
        return f"{hour}{point}{rng.choice(('00', '00', '30', '30', '15', '45'))}"

    rows = tuple((days, f"{clock(rng.randint(6, 11))}{dash}{clock(rng.randint(13, 22))}") for days in rng.choice(weeks))
    return Content(f"{rng.choice(_TRADES)} {rng.choice(_half(_SURNAMES, split))}", rows)


def _bus_stop(rng: random.Random, split: Split) -> Content:
    numbers = sorted(rng.sample(range(11, 400), rng.randint(2, 4)))
    rows = zip(map(str, numbers), proper_names.draw(rng, "city", len(numbers), split), strict=True)
    return Content("Bus", tuple(rows))


def _timetable(rng: random.Random, split: Split) -> Content:
    start, count = rng.randint(5 * 60, 20 * 60), rng.randint(2, 4)
    times = sorted(rng.sample(range(start, start + 180), count))
    cities = proper_names.draw(rng, "city", count, split)
    rows = ((f"{time // 60:02}:{time % 60:02}", city) for time, city in zip(times, cities, strict=True))
    return Content("Departures", tuple(rows))


def _direction(rng: random.Random, split: Split) -> Content:
    metres, count = rng.random() < 0.3, rng.randint(1, 3)
    numbers = rng.sample(range(50, 950, 50) if metres else range(2, 90), count)
    places = proper_names.draw(rng, "city", count, split)
    return Content(
        "", tuple((place, f"{number} {'m' if metres else 'km'}") for place, number in zip(places, numbers, strict=True))
    )


def _door(rng: random.Random, split: Split) -> Content:
    first = proper_names.draw(rng, "person", 1, split)[0]
    return Content("", ((f"Room {rng.randint(101, 499)}", ""), ("", f"{first} {rng.choice(_half(_SURNAMES, split))}")))


def _speed_limit(rng: random.Random, split: Split) -> Content:
    return Content(str(rng.randrange(20, 130, 10)))


def _number_plate(rng: random.Random, split: Split) -> Content:
    return Content(f"{rng.choice(_LETTERS)}{rng.choice(_LETTERS)} {rng.randint(1000, 9999)}")


def _poster(rng: random.Random, split: Split, font: str) -> Content:
    subject = proper_names.draw(rng, "subject", 1, split)[0]
    sign = rng.choice([sign for sign in "$$£€" if fonts.has_glyphs(font, sign)])
    price = f"{sign}{rng.randint(4, 40)}{rng.choice(('', '', '.50'))}"
    return Content(f"{subject} {rng.choice(_EVENTS)}", (("", f"{rng.randint(1, 30)} {rng.choice(_MONTHS)}"), ("Tickets", price)))


def _warning(rng: random.Random, split: Split) -> Content:
    return Content(rng.choice(_half(_WARNINGS, split)))


_MAKERS: dict[SignKind, Callable[[random.Random, Split], Content]] = {
    "street sign": _street,
    "shop sign": _shop,
    "bus stop sign": _bus_stop,
    "timetable": _timetable,
    "direction sign": _direction,
    "door plate": _door,
    "speed limit sign": _speed_limit,
    "number plate": _number_plate,
    "warning sign": _warning,
}
