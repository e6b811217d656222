"""How questions about signs are worded: grammars of a hundred wordings or more for each type.

>>> phrase(random.Random(0), PHRASINGS["departure"], {"item": "Oslo"})
'I need the time of the departure to Oslo as listed.'

``{sign}`` and ``{shop}`` come with their article: "the blue street sign", "the shop with the red sign".
"""

_ASK = "(What is|What's|Can you tell me|Could you tell me|Do you know|Can you read|Can you find)"
_TELL = "(Tell me|Please tell me|Give me|Find|Read|State|I need|I want to know|I would like to know)"
_SEEN = "( in the picture| in this picture| in the photo| in the image| here|)"
_READ = "( as given on the sign| according to the sign| as the sign says| by the sign| here|)"
_LISTED = "( according to the timetable| on the timetable| as listed| by the timetable| here|)"
_PLEASE = "(, please|)"
_SAYS = "(says|reads|bears the words|has the words|shows the words|has the text)"
_COLOUR = "(colour|color)"


def _asking(*things: str) -> tuple[str, ...]:
    """Questions and requests for something: ``the text on the blue sign``."""
    return tuple(sentence for thing in things for sentence in (f"{_ASK} {thing}?", f"{_TELL} {thing}{_PLEASE}."))


_TEXT = (
    f"What (does {{sign}} say|does {{sign}} read|is written on {{sign}}|stands on {{sign}}|can be read on {{sign}}){_SEEN}?",
    f"(Read|Please read|Read out|Please read out|Tell me|Please tell me|Give me) what {{sign}} says{_SEEN}.",
    *_asking(f"the (text|wording|writing|inscription) (on|of) {{sign}}{_SEEN}"),
)

PHRASINGS: dict[str, tuple[str, ...]] = {
    "text": _TEXT,
    "no_such_sign": _TEXT,
    "heading": (
        *_asking(f"the (heading|title|headline|first line|top line) (on|of) {{sign}}{_SEEN}"),
        f"What (stands|is written|does it say) (at the top of|in the first line of|as the heading of) {{sign}}{_SEEN}?",
    ),
    "departure": (
        f"(When|At what time|At which time) (is the departure|does one depart|do you depart|do we depart) to {{item}}{_LISTED}?",
        *_asking(f"the (time of the departure|departure time|time of departure) to {{item}}{_LISTED}"),
    ),
    "bus_line": (
        f"(Which|What) bus( line| number|) (goes|runs|drives|travels|gets me|takes me) to {{item}}{_READ}?",
        *_asking(f"the (number|line) of the bus (that goes |)to {{item}}{_READ}"),
    ),
    "distance": (
        f"How many {{unit}} (is it|are there|do I have to go|do we have to go|is it still|are left) to {{item}}{_READ}?",
        *_asking(f"the (distance|way) to {{item}} in {{unit}}{_READ}"),
    ),
    "room": (
        f"(Which|What) room( number|) (has|is that of|belongs to) {{item}}{_SEEN}?",
        *_asking(f"the (room number|number of the room|number on the door) of {{item}}{_SEEN}"),
    ),
    "person": (
        f"(Who has|Who is in|Who sits in|Who works in|Whose is|Whose room is) (room|the room with the number) {{item}}{_SEEN}?",
        *_asking(f"the name on the (door|door plate|plate) of room {{item}}{_SEEN}"),
    ),
    "event_date": (
        f"(When|On which date|On what date|On which day) (is|can one go to|can I go to|can one visit) the {{item}}{_SEEN}?",
        *_asking(f"the (date|day) of the {{item}}{_SEEN}", f"the (date|day) on the poster for the {{item}}{_SEEN}"),
    ),
    "ticket_price": (
        f"How much (is|does one pay for|do I pay for|must I pay for) (a|one) ticket (for|to) the {{item}}{_SEEN}?",
        *_asking(f"the price of (a|one) ticket (for|to) the {{item}}{_SEEN}"),
    ),
    "opening_hours": (
        f"(When|At what time|At which time|What time) does {{shop}} {{verb}} on {{day}}{_SEEN}{_PLEASE}?",
        f"On {{day}}, (when|at what time|at which time|what time) does {{shop}} {{verb}}{_SEEN}?",
        f"{_TELL} the time at which {{shop}} {{verb}}s on {{day}}{_PLEASE}.",
        f"{_TELL} when {{shop}} {{verb}}s on {{day}}{_SEEN}{_PLEASE}.",
    ),
    "minutes_between": (
        f"How many minutes (are there|lie|pass|go by) between the departures to {{item}} and (to |){{other}}{_LISTED}?",
        f"How many minutes (after|later than) the departure to {{item}} is (the one|that) to {{other}}{_LISTED}?",
        *_asking(f"the number of minutes between the departures to {{item}} and (to |){{other}}{_LISTED}"),
    ),
    "farther": (
        f"How many {{unit}} farther (is it|does one have to go|is the way) to {{item}} than to {{other}}{_READ}?",
        f"By how many {{unit}} is {{item}} farther away than {{other}}{_READ}?",
        f"How many {{unit}} (lie|are there) between {{other}} and {{item}}, which (is|lies) behind it on this road{_READ}?",
        *_asking(f"the number of {{unit}} by which {{item}} is farther away than {{other}}{_READ}"),
    ),
    "tickets_total": (
        f"How much (do|would) {{number}} tickets (for|to) the {{item}} cost( together| in total| in all|){_SEEN}?",
        f"What (do|would) {{number}} tickets (for|to) the {{item}} (cost|come to|add up to){_SEEN}?",
        *_asking(f"the (total |full |)price of {{number}} tickets (for|to) the {{item}}{_SEEN}"),
    ),
    "travel_time": (
        "How many minutes (is it|does it take|is the drive) to {item} at the (speed limit|speed that the sign allows)"
        "(, rounded to whole minutes| to the nearest minute|, in whole minutes| in whole minutes)?",
        "How many whole minutes (is it|does it take|is the drive) to {item} (if one drives|for one who drives|driving|"
        "if you drive|if I drive|when driving) (exactly |just |)at the speed limit( in km/h|), rounded?",
        f"{_TELL} the (travel|driving) time to {{item}} at the speed limit in (whole|full) minutes, rounded.",
    ),
    "room_order": (
        f"(Who|Which of the two) has the {{side}} room number(, |: ){{item}} or {{other}}{_SEEN}?",
        f"Whose room (number is {{side}}|has the {{side}} number)(, that of |: ){{item}} or (that of |){{other}}{_SEEN}?",
        f"(Say|Tell me|Find out|Please find out|Please say) who has the {{side}} room number(, |: ){{item}} or {{other}}{_SEEN}.",
    ),
    "colour_of_saying": (
        f'(What|Which) {_COLOUR} (is|has|does one see on) the sign that {_SAYS} "{{item}}"{_SEEN}?',
        f'{_TELL} the {_COLOUR} of the sign that {_SAYS} "{{item}}"{_PLEASE}.',
    ),
    "kind_of_saying": (
        f'(What|Which) kind of sign {_SAYS} "{{item}}"{_SEEN}(:|,) {{options}}?',
        f'On (what|which) kind of sign (stands|does it say|is written|can one read) "{{item}}"{_SEEN}(:|,) {{options}}?',
    ),
    "is_there": (
        f'(Is there|Do you see|Can you see|Can you find|Do you find) {{a_kind}} that {_SAYS} "{{item}}"{_SEEN}?',
        f'Does (a|any|one) {{kind}}{_SEEN} (say|read|show|bear|have on it) "{{item}}"?',
    ),
    "no_such_row": (
        f"What (stands|is written|is given|is shown) (beside|next to|for) {{item}} on {{sign}}{_SEEN}?",
        f"What does {{sign}} (say|show|give|state) (for|beside|about) {{item}}{_SEEN}?",
        *_asking(f"the (entry|number) (for|beside|next to) {{item}} on {{sign}}{_SEEN}"),
    ),
    "count_signs": (
        f"How many {{kinds}} (are there|do you see|can you see|are shown|can be seen|do you find){_SEEN}{_PLEASE}?",
        f"(Count|Please count|Tell me the number of|Give me the number of|Find the number of) the {{kinds}}{_SEEN}.",
        f"What is the number of {{kinds}}( that you see| that can be seen| shown|){_SEEN}?",
    ),
    "colour_of_sign": (
        f"(What|Which) {_COLOUR} (is|has|does one see on) {{sign}}{_SEEN}?",
        f"(Tell me|Please tell me|Name|Please name|Give me|State) the {_COLOUR} of {{sign}}{_SEEN}.",
        f"(In|Of) (what|which) {_COLOUR} is {{sign}}( painted| kept|){_SEEN}?",
    ),
    "kind_of_sign": (
        f"(What|Which) kind of sign is the {{colour}} one{_SEEN}(:|,) {{options}}?",
        f"(What|Which of these) is the {{colour}} (sign|board|one){_SEEN}(:|,) {{options}}?",
        "(Say|Tell me|Please say|Please tell me|Decide) what the {colour} (sign|board|one of the signs) is(:|,) {options}.",
    ),
}
