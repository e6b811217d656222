"""How questions about tables, forms and bills are worded: grammars of a hundred wordings or more for each type.

>>> phrase(random.Random(0), PHRASINGS["field"], {"item": "arrival"})
'What is the arrival on the form?'
"""

from taco.data_gen.programs.figure_phrasings import SIGNED, TO_ONE, asking, figure_phrasings

_TABLE = "( in the table| in this table| according to the table| here| shown here|)"
_FORM = "( on the form| on this form| given on the form| written on the form| in the form| shown here| given here)"
_BILL = "(on|of) (the|this) (bill|slip|receipt|invoice|account)"
_SEE = "(are there|does it have|does the table have|do you see|can you see|are shown|can be seen)"
_COUNT = (
    "(Count|Please count|Tell me the number of|Give me the number of|Find the number of|State the number of|I need the number of)"
)
_BELOW = (
    "( below the header| below its header| under the header| not counting the header| without the header| apart from the header)"
)
_GROUND = "(header|header row|top row|heading row|row with the headings)"

_SHARED = figure_phrasings(_TABLE)

PHRASINGS: dict[str, tuple[str, ...]] = {
    **{name: grammar for name, grammar in _SHARED.items() if name != "value"},
    "cell": _SHARED["value"],
    "no_such_row": _SHARED["value"],
    "sum_across": asking(
        f"the (total|sum|overall total|combined total) of the figures (of|for) {{item}} from {{first}} to {{second}}{_TABLE}"
    ),
    "percent_change": (
        f"By (what|how many) (percent|per cent) did {{item}} change from {{first}} to {{second}}{_TABLE}{TO_ONE}{SIGNED}?",
        *asking(f"the (percent|percentage) change of {{item}} from {{first}} to {{second}}{_TABLE}{TO_ONE}{SIGNED}"),
    ),
    "minutes": (
        f"How many minutes (are there|pass|lie|go by) between the {{first}} and the {{second}} (of|for) {{item}}{_TABLE}?",
        *asking(f"the number of minutes from the {{first}} to the {{second}} (of|for) {{item}}{_TABLE}"),
    ),
    "field": (
        *asking(f"the {{item}}{_FORM}"),
        "What (is (written|filled in|entered|given)|stands|does the form say) (under|for|beside|next to) {item}( here|)?",
    ),
    "no_such_field": asking(f"the {{item}}{_FORM}"),
    "bill_total": (
        *asking(f"the (total|sum|full amount|total amount|amount to pay|grand total) {_BILL}"),
        "How much is (everything|it all) (together|in total|altogether) (on|according to) (the|this) (bill|receipt|invoice)?",
    ),
    "number_of_rows": (f"How many rows {_SEE}{_BELOW}?", f"{_COUNT} (the |)rows{_BELOW}( in the table|)."),
    "number_of_columns": (
        f"How many columns {_SEE}( in all| altogether| in total| from left to right|)?",
        f"{_COUNT} (the |)columns( of the table| of this table| in the table| from left to right| shown here|).",
        "(How many columns wide is|In how many columns stands|Over how many columns goes) (the|this) table?",
    ),
    "number_of_fields": (
        "How many (fields|entries|labels) (are there|are shown|do you see|can you see|can be seen) (on|in) (the|this) form?",
        f"{_COUNT} (the |)(fields|entries|labels) (on|in|of) (the|this) form.",
    ),
    "header_colour": (
        f"(What|Which) (colour|color) is the {_GROUND}?",
        f"(Tell me|Name|Find|Give me|State|I want to know) the (background |)(colour|color) of the {_GROUND}( of the table|).",
        f"(In|On) (what|which) (colour|color) (stands|is) the {_GROUND}( of the table| in the table|)?",
    ),
    "kind_of_page": (
        "Is this a table( with columns|), a form( with fields|) or a bill( with amounts|)( to pay|)?",
        "(What|Which) (is shown|do you see|can be seen|is this|is it|do we have)( here|)(:|,) a table, a form or a bill?",
        "(Tell me|Say|State|Decide|Please say) (whether|if) (this|it|what you see|what is shown) is a table, a form or a bill.",
    ),
}
