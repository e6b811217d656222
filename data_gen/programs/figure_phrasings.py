"""How questions about figures beside names are worded, where tables and charts are asked alike.

>>> phrase(random.Random(0), figure_phrasings("( in the table|)")["total"], {"meaning": "rainfall", "nouns": "cities"})
'What is the total rainfall of all cities in the table?'
"""

_ASK = "(What is|What's|Can you tell me|Could you tell me|Do you know|Can you find|Could you find)"
_TELL = "(Tell me|Please tell me|Give me|Please give me|Find|Determine|State|I need|I want to know|I would like to know)"
_HIGH, _LOW = "(highest|largest|greatest|biggest)", "(lowest|smallest|least)"
_THAT = "(that of {other}|the {meaning} of {other})"
TO_TWO = "(, rounded to two decimals| to two decimals|, to two decimal places| with two decimals)"
SIGNED = "(, a fall as a negative number|, with a minus for a fall|, a fall with a minus sign|, falls as negative numbers)"
TO_ONE = "(, rounded to one decimal| to one decimal|, to one decimal place| with one decimal)"


def asking(*things: str) -> tuple[str, ...]:
    """Questions and requests for something: ``the fee of Oslo``."""
    return tuple(sentence for thing in things for sentence in (f"{_ASK} {thing}?", f"{_TELL} {thing}."))


def asking_which(whose: str) -> tuple[str, ...]:
    """Questions whose answer is a name: ``the highest fee``."""
    return (
        f"(Which|What) {{noun}} (has|shows|is listed with|comes with|is given) {whose}?",
        f"(Tell me|Name|Find|Give me|Say|State|I want to know) (the {{noun}} (with|that has)|which {{noun}} has) {whose}.",
    )


def figure_phrasings(place: str) -> dict[str, tuple[str, ...]]:
    """Grammars by type.

    Args:
        place: Where the figures stand: a choice that may be empty, ``( in the table|)``.
    """
    over = "(of|over|across|for) all {nouns}" + place
    beyond = f"whose {{meaning}} is {{side}} {{threshold}}{place}"
    return {
        "value": asking(f"the {{meaning}} (of|for|given for|shown for) {{item}}{place}"),
        "total_of_two": (
            *asking(f"the (total|sum of the|combined|joint) {{meaning}} of {{item}} and {{other}}{place}"),
            f"What do the {{meaning}} of {{item}} and {_THAT} (add up to|make together|come to){place}?",
        ),
        "difference": (
            *asking(f"the difference between the {{meaning}} of {{item}} and {_THAT}{place}"),
            f"(By how much|How much) (higher|larger|greater) is the {{meaning}} of {{item}} than {_THAT}{place}?",
            f"By how much does the {{meaning}} of {{item}} exceed {_THAT}{place}?",
        ),
        "ratio": (
            f"How many times (as large as|as high as|as great as) {_THAT} is the {{meaning}} of {{item}}{place}{TO_TWO}?",
            *asking(f"the ratio of the {{meaning}} of {{item}} to {_THAT}{place}{TO_TWO}"),
        ),
        "total": asking(f"the (total|sum of the|overall|combined) {{meaning}} {over}"),
        "mean": asking(f"the (mean|average|arithmetic mean of the) {{meaning}} {over}{TO_TWO}"),
        "spread": asking(
            f"the (range|spread) of the {{meaning}} {over}",
            f"the difference between the {_HIGH} and the {_LOW} {{meaning}}{place}",
        ),
        "highest": asking_which(f"the {_HIGH} {{meaning}}{place}"),
        "lowest": asking_which(f"the {_LOW} {{meaning}}{place}"),
        "count_beyond": (
            f"How many {{nouns}} (are there|are listed|are shown|do you find|can you find|do you see|can you see) {beyond}?",
            f"(For|With|Of) how many {{nouns}} is the {{meaning}} {{side}} {{threshold}}{place}?",
            f"(Count the|Count all|(Tell me|Give me|Find|State|I need) the number of) {{nouns}} {beyond}.",
        ),
        "whose": (
            f"(Which|What) {{noun}} (has|shows|is listed with|comes with|is given) {{value}} as (its|the) {{meaning}}{place}?",
            f"(Tell me|Name|Find|Give me|Say|State) the {{noun}} whose {{meaning}} is {{value}}{place}.",
            f"(Whose|Which {{noun}}'s) {{meaning}} is {{value}}{place}?",
        ),
    }
