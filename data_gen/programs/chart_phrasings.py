"""How questions about charts are worded: grammars of a hundred wordings or more for each type.

>>> phrase(random.Random(0), PHRASINGS["number_of_marks"], {"marks": "slices"})
'How many slices are there in the chart?'
"""

from taco.data_gen.programs.figure_phrasings import SIGNED, TO_ONE, asking, asking_which, figure_phrasings

_CHART = "( in the chart| in this chart| according to the chart| in the diagram| here| shown here|)"
_LOOK = "( in the chart| in this chart| in the diagram| here|)"
_TELL = "(Tell me|Say|Name|State|Give me|I want to know|Please tell me|Find)"
_SAY = "(Tell me|Say|Please say|Please tell me|State|Decide|Find out|I want to know)"
_COUNT = (
    "(Count|Please count|Tell me the number of|Give me the number of|Find the number of|State the number of|I need the number of)"
)
_SEE = "(are there|are shown|do you see|can you see|can be seen|are drawn|does the chart have|does it have)"
_TALLEST = "(tallest|highest|longest|largest|biggest)"
_PERCENT = "(percent|per cent)"

_SHARED = figure_phrasings(_CHART)

PHRASINGS: dict[str, tuple[str, ...]] = {
    **{name: grammar for name, grammar in _SHARED.items() if name != "whose"},
    "no_such_name": _SHARED["value"],
    "share": (
        f"(What|How many) {_PERCENT} of the (total|whole) {{meaning}} (belongs to|falls to|comes from) {{item}}{_CHART}{TO_ONE}?",
        *asking(f"the share of {{item}} in the (total|whole|overall) {{meaning}} in {_PERCENT}{_CHART}{TO_ONE}"),
    ),
    "percent_change": (
        f"By (what|how many) {_PERCENT} did the {{meaning}} change from {{first}} to {{second}}{_CHART}{TO_ONE}{SIGNED}?",
        *asking(f"the (percent|percentage) change of the {{meaning}} from {{first}} to {{second}}{_CHART}{TO_ONE}{SIGNED}"),
    ),
    "rises": (
        f"(Is|Was) the {{meaning}} (higher|larger|greater) in {{second}} than in {{first}}{_CHART}?",
        f"(Did|Does) the {{meaning}} (rise|grow|increase|go up) from {{first}} to {{second}}{_CHART}?",
        f"{_SAY} (whether|if) the {{meaning}} (rose|grew|increased|went up) from {{first}} to {{second}}{_CHART}.",
    ),
    "group_value": asking(f"the {{meaning}} (of|for) {{item}} in the group {{category}}{_CHART}"),
    "group_total": asking(f"the (total|combined|overall|summed) {{meaning}} (of|in|over) the group {{category}}{_CHART}"),
    "group_difference": (
        *asking(f"the difference between {{item}} and {{other}} in the group {{category}}{_CHART}"),
        f"(By how much|How much) (higher|larger) is {{item}} than {{other}} in the group {{category}}{_CHART}?",
    ),
    "value_at_tick": asking(f"the {{meaning}} (of|for|given for|shown for) {{item}}{_CHART}"),
    "highest_by_eye": asking_which(f"the (highest|largest|greatest|biggest) {{meaning}}{_CHART}"),
    "lowest_by_eye": asking_which(f"the (lowest|smallest|least) {{meaning}}{_CHART}"),
    "higher_of_two": (
        f"Is the {{meaning}} of {{item}} (higher|larger|greater) than (that|the {{meaning}}) of {{other}}{_LOOK}?",
        f"Does {{item}} have a (higher|larger|greater) (value|{{meaning}}) than {{other}}{_LOOK}?",
        f"{_SAY} (whether|if) the {{meaning}} of {{item}} is (higher|larger|greater) than that of {{other}}{_LOOK}.",
    ),
    "line_trend": (
        f"Does the line (end|finish|stop) (higher|further up) than (it|where it) (starts|begins|sets out){_LOOK}?",
        f"Is the (end|right end|last point) of the line (higher|further up) than its (start|left end|first point){_LOOK}?",
        f"{_SAY} (whether|if) the line (rises|goes up|climbs) (overall|from its first to its last point|on the whole){_LOOK}.",
    ),
    "place_of_highest": (
        f"Counting from the {{side}}, which bar is the {_TALLEST}( one|){_LOOK}?",
        f"(Which|What) bar from the {{side}} is the {_TALLEST}( one|){_LOOK}?",
        f"{_TELL} which bar from the {{side}} is the {_TALLEST}{_LOOK}.",
    ),
    "colour_of_highest": (
        f"(What|Which) (colour|color) is the {_TALLEST} {{mark}}{_LOOK}?",
        f"{_TELL} the (colour|color) of the {_TALLEST} {{mark}}{_LOOK}.",
    ),
    "number_of_marks": (f"How many {{marks}} {_SEE}( in all| altogether|){_LOOK}?", f"{_COUNT} (the |){{marks}}{_LOOK}."),
    "number_of_series": (
        f"How many (different |){{series}} {_SEE}( in all| altogether|){_LOOK}?",
        f"{_COUNT} (the |)(different |){{series}}{_LOOK}.",
    ),
    "kind_of_chart": (
        "(What|Which) (kind|type|sort) of (chart|diagram|graph) (is this|is shown|is it|do you see|can be seen|is drawn here)?",
        "(Is this|Do you see|Is it|Is what is shown) a bar chart, a line chart or a pie chart?",
        "(Tell me|Say|Name|State|Give me) (the|what) (kind|type|sort) of (chart|diagram|graph) (this is|you see)( here|).",
    ),
    "is_kind": (
        "(Is this|Is it|Do you see|Is what you see|Is what is shown|Is the (picture|figure|drawing)) a {kind_asked}( here|)?",
        "(Tell me|Say|State|Decide|I want to know|Please say|Please tell me|I ask) (whether|if) "
        "(this|it|what you see|what is shown|the picture|the figure|the drawing) is a {kind_asked}.",
    ),
}
