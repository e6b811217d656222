"""What tables, forms and bills are about: titles, columns, fields, and how their cells are written.

Run: `TOPICS["weather"].columns[0].write(random.Random(0), 4)` gives four cells of one column, in one format.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from taco.data_gen.scenes import proper_names
from taco.data_gen.scenes.names import Split

Kind = Literal["number", "money", "percent", "time", "date", "text"]
Write = Callable[[random.Random, int], list[str]]
"""Cells of one column. Each is one word of two characters or more: engines overlook lone digits."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class ColumnTopic:
    """A column that a table of a topic may have: its header (one word), what it says of a row, and its cells."""

    name: str
    meaning: str
    kind: Kind
    write: Write


@dataclass(frozen=True)
class Topic:
    """What a table is about.

    Attributes:
        titles: The last is kept for the split "test".
        noun: What a row is; the header of the first column, and a kind of `proper_names` unless `names` says another.
        columns: Those that may follow.
        periods: Whether they are the same figure at different times, so that they may be added up and compared.
        names: Kind of the rows' names.
    """

    titles: tuple[str, ...]
    noun: str
    columns: tuple[ColumnTopic, ...]
    periods: bool = False
    names: str = ""


# ---------------------------------------------------------------------- cells


def whole(least: int, most: int) -> Write:
    """Integers; thousands with a comma or without, one way a column."""

    def write(rng: random.Random, count: int) -> list[str]:
        comma = "," if rng.random() < 0.6 else ""
        return [format(rng.randint(least, most), comma) for _ in range(count)]

    return write


def decimals(least: float, most: float, digits: int, pattern: str = "{}") -> Write:
    """Numbers with decimals; `pattern` says what stands around them."""
    return lambda rng, count: [pattern.format(f"{rng.uniform(least, most):.{digits}f}") for _ in range(count)]


def percents(least: int, most: int) -> Write:
    """Per cents, whole or with one decimal."""

    def write(rng: random.Random, count: int) -> list[str]:
        digits = rng.choice((0, 1))
        return [f"{rng.uniform(least, most):.{digits}f}%" for _ in range(count)]

    return write


def money(least: int, most: int) -> Write:
    """Amounts with two decimals, with a currency's sign or without, one way a column."""
    return lambda rng, count: decimals(least, most, 2, rng.choice(("{}", "{}", "${}", "€{}", "£{}")))(rng, count)


def times(first: int, last: int) -> Write:
    """Times of the day between two hours, to 5 minutes."""
    return lambda rng, count: [f"{rng.randint(first, last):02}:{5 * rng.randint(0, 11):02}" for _ in range(count)]


def dates(rng: random.Random, count: int) -> list[str]:
    """Dates, one way a column."""
    pattern = rng.choice(("{y}-{m:02}-{d:02}", "{d:02}/{m:02}/{y}", "{d:02}.{m:02}.{y}", "{d:02}-{name}-{y}"))
    drawn = [(rng.randint(2015, 2026), rng.randint(1, 12), rng.randint(1, 28)) for _ in range(count)]
    return [pattern.format(y=year, m=month, d=day, name=MONTHS[month - 1]) for year, month, day in drawn]


def codes(rng: random.Random, count: int) -> list[str]:
    """Shelves and rooms: a letter and two digits, none of which looks like another."""
    return [f"{rng.choice('ABCDEFHK')}{rng.randint(11, 99)}" for _ in range(count)]


def years(rng: random.Random, count: int) -> list[str]:
    return [str(rng.randint(1951, 2019)) for _ in range(count)]


def words(*options: str) -> Write:
    return lambda rng, count: [rng.choice(options) for _ in range(count)]


def _series(names: tuple[str, ...], write: Write) -> tuple[ColumnTopic, ...]:
    return tuple(ColumnTopic(name, f"figure for {name}", "number", write) for name in names)


# ---------------------------------------------------------------------- tables

TOPICS: dict[str, Topic] = {
    "standings": Topic(
        ("League Table", "Standings", "Season Results", "Regional League", "Final Standings"),
        "team",
        (
            ColumnTopic("Wins", "number of wins", "number", whole(10, 38)),
            ColumnTopic("Draws", "number of draws", "number", whole(10, 22)),
            ColumnTopic("Losses", "number of losses", "number", whole(10, 33)),
            ColumnTopic("Goals", "number of goals", "number", whole(21, 99)),
            ColumnTopic("Points", "number of points", "number", whole(24, 99)),
            ColumnTopic("Crowd", "crowd", "number", whole(2_400, 61_000)),
        ),
    ),
    "stock": Topic(
        ("Inventory", "Stock List", "Warehouse Report", "Store Room", "Stock Count"),
        "item",
        (
            ColumnTopic("Stock", "stock", "number", whole(12, 480)),
            ColumnTopic("Sold", "number sold", "number", whole(11, 320)),
            ColumnTopic("Ordered", "number ordered", "number", whole(10, 250)),
            ColumnTopic("Price", "price", "money", money(1, 90)),
            ColumnTopic("Shelf", "shelf", "text", codes),
            ColumnTopic("Checked", "date of the last check", "date", dates),
        ),
    ),
    "weather": Topic(
        ("Weather Report", "Weather Today", "City Weather", "Forecast", "Weather Station Data"),
        "city",
        (
            ColumnTopic("High", "high temperature", "number", whole(19, 41)),
            ColumnTopic("Low", "low temperature", "number", whole(10, 18)),
            ColumnTopic("Humidity", "humidity", "percent", percents(20, 95)),
            ColumnTopic("Rain", "rainfall", "number", decimals(0.5, 90, 1)),
            ColumnTopic("Wind", "wind speed", "number", whole(10, 70)),
            ColumnTopic("Sky", "sky", "text", words("Sunny", "Cloudy", "Rainy", "Foggy", "Windy", "Snowy", "Clear")),
        ),
    ),
    "cities": Topic(
        ("City Facts", "Population Table", "Our Cities", "Town Statistics", "Census Summary"),
        "city",
        (
            ColumnTopic("Population", "population", "number", whole(11_000, 980_000)),
            ColumnTopic("Area", "area", "number", decimals(20, 900, 1)),
            ColumnTopic("Growth", "growth", "percent", decimals(0.1, 9.9, 1, "{}%")),
            ColumnTopic("Schools", "number of schools", "number", whole(12, 340)),
            ColumnTopic("Parks", "number of parks", "number", whole(10, 95)),
            ColumnTopic("Twinned", "year of twinning", "text", years),
        ),
    ),
    "timetable": Topic(
        ("Departures", "Timetable", "Train Times", "Coach Services", "Bus Station"),
        "city",
        (
            ColumnTopic("Departs", "departure time", "time", times(5, 12)),
            ColumnTopic("Arrives", "arrival time", "time", times(13, 22)),
            ColumnTopic("Track", "track", "text", codes),
            ColumnTopic("Fare", "fare", "money", money(4, 120)),
            ColumnTopic("Seats", "number of seats", "number", whole(20, 240)),
            ColumnTopic("Status", "status", "text", words("Delayed", "Boarding", "Cancelled", "Scheduled")),
        ),
    ),
    "staff": Topic(
        ("Staff List", "Team Overview", "Payroll", "Personnel", "Employee Records"),
        "person",
        (
            ColumnTopic("Hours", "number of hours", "number", whole(10, 48)),
            ColumnTopic("Salary", "salary", "number", whole(1_800, 7_400)),
            ColumnTopic("Leave", "leave left", "number", whole(10, 35)),
            ColumnTopic("Office", "office", "text", codes),
            ColumnTopic("Role", "role", "text", words("Manager", "Clerk", "Driver", "Analyst", "Designer", "Cashier")),
            ColumnTopic("Joined", "joining date", "date", dates),
        ),
    ),
    "courses": Topic(
        ("Course List", "Evening Classes", "Autumn Courses", "Workshops", "Term Programme"),
        "subject",
        (
            ColumnTopic("Students", "number of students", "number", whole(10, 95)),
            ColumnTopic("Fee", "fee", "money", money(15, 400)),
            ColumnTopic("Room", "room", "text", codes),
            ColumnTopic("Starts", "starting time", "time", times(8, 20)),
            ColumnTopic("Passed", "pass rate", "percent", percents(41, 99)),
            ColumnTopic("Begins", "first day", "date", dates),
        ),
    ),
    "quarters": Topic(
        ("Quarterly Sales", "Sales by Quarter", "Quarterly Report", "Orders by Quarter", "Quarterly Overview"),
        "city",
        _series(("Q1", "Q2", "Q3", "Q4"), whole(110, 960)),
        periods=True,
    ),
    "months": Topic(
        ("Monthly Sales", "Sales Figures", "Visitors by Month", "Units Sold", "Monthly Overview"),
        "item",
        _series(MONTHS, whole(20, 480)),
        periods=True,
    ),
    "years": Topic(
        ("Annual Output", "Yearly Figures", "Visitors by Year", "Five Year Review", "Annual Summary"),
        "team",
        _series(tuple(map(str, range(2015, 2026))), whole(200, 9_800)),
        periods=True,
    ),
    "election": Topic(
        ("Election Results",),
        "candidate",
        (
            ColumnTopic("Votes", "number of votes", "number", whole(1_200, 88_000)),
            ColumnTopic("Share", "share of the vote", "percent", percents(11, 49)),
            ColumnTopic("Donors", "number of donors", "number", whole(30, 900)),
            ColumnTopic("District", "district", "text", words("North", "South", "East", "West", "Centre")),
        ),
        names="person",
    ),
    "race": Topic(
        ("Marathon Results",),
        "runner",
        (
            ColumnTopic("Bib", "bib number", "text", whole(101, 998)),
            ColumnTopic("Start", "starting time", "time", times(7, 9)),
            ColumnTopic("Finish", "finishing time", "time", times(11, 14)),
            ColumnTopic("Pace", "pace", "number", decimals(3.5, 8.5, 2)),
            ColumnTopic("Pulse", "pulse", "number", whole(98, 182)),
        ),
        names="person",
    ),
}
TEST_TOPICS = ("election", "race")
"""Topics that no training scene has."""
SPANS = (("Departs", "Arrives"), ("Start", "Finish"))
"""Columns between whose times a time passes, the earlier first."""

# ---------------------------------------------------------------------- forms and bills


def _names(kind: str) -> Callable[[random.Random, Split], str]:
    return lambda rng, split: proper_names.draw(rng, kind, 1, split)[0]


def _cell(write: Write) -> Callable[[random.Random, Split], str]:
    return lambda rng, split: write(rng, 1)[0]


FORMS: dict[str, tuple[tuple[str, ...], dict[str, Callable[[random.Random, Split], str]]]] = {
    "booking": (
        ("Booking Form", "Reservation", "Hotel Booking", "Booking Confirmation"),
        {
            "Guest": _names("person"), "City": _names("city"), "Arrival": _cell(dates), "Number of nights": _cell(whole(10, 28)),
            "Room": _cell(codes), "Check-in time": _cell(times(12, 20)), "Price": _cell(money(60, 900)),
            "Board": _cell(words("Breakfast only", "Half board", "Full board")),
        },
    ),
    "membership": (
        ("Membership Form", "Registration", "Club Membership", "Member Record"),
        {
            "First name": _names("person"), "Town": _names("city"), "Member number": _cell(whole(10_100, 98_900)),
            "Joining date": _cell(dates), "Team": _names("team"), "Yearly fee": _cell(money(20, 300)), "Locker": _cell(codes),
            "Plan": _cell(words("Silver", "Gold", "Basic plan", "Family plan")),
        },
    ),
    "delivery": (
        ("Delivery Note", "Shipping Form", "Parcel Record", "Consignment Note"),
        {
            "Sender": _names("person"), "Origin": _names("city"), "Weight": _cell(decimals(1, 60, 1, "{} kg")),
            "Shipping date": _cell(dates), "Number of parcels": _cell(whole(10, 60)),
            "Tracking number": _cell(whole(100_000, 990_000)),
            "Insurance": _cell(money(100, 900)), "Gate": _cell(codes),
        },
    ),
    "lesson": (
        ("Course Registration", "Enrolment Form", "School Record", "Exam Entry Form"),
        {
            "Student": _names("person"), "Subject": _names("subject"), "Birthplace": _names("city"), "Exam date": _cell(dates),
            "Starting time": _cell(times(8, 17)), "Hall": _cell(codes), "Candidate number": _cell(whole(1_000, 9_900)),
            "Exam fee": _cell(money(20, 200)),
        },
    ),
}  # fmt: skip
"""Titles, the last of which is kept for the split "test", and fields with what is filled in."""
BILLS = ("Invoice", "Receipt", "Bill", "Your Order", "Cash Sale", "Statement")
"""Titles of bills, the last of which is kept for the split "test"."""
