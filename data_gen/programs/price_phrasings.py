"""How questions about prices are worded: small grammars, twelve wordings or more for each type.

    >>> phrase(random.Random(0), PHRASINGS["price_of"], {"item": "Tea"})
    'What does Tea cost?'

``{item}`` of a difference is the dearer one.
"""

PHRASINGS: dict[str, tuple[str, ...]] = {
    "price_of": (
        "How much is {item}?",
        "How much (does|will) {item} cost?",
        "What does {item} cost( here|)?",
        "What is the (price|cost) of {item}?",
        "What (must|do) I pay for {item}?",
        "(Tell me|Give me|Find|Read) the price of {item}.",
    ),
    "price_of_n": (
        "How much (are|is it for) {count} {item}?",
        "How much (do|will) {count} {item} cost( together|)?",
        "What do {count} {item} cost?",
        "What is the (total|total price|cost|price) (of|for) {count} {item}?",
        "I (want|buy|order|take) {count} {item}. (How much is that|What do I pay|What is the total)?",
        "(Tell me|Give me|Find) the (total|cost) (of|for) {count} {item}.",
    ),
    "how_many": (
        "How many {item} can I (buy|get|order|afford) (with|for) {budget}?",
        "I have {budget}. How many {item} can I (buy|get|order|afford)?",
        "With {budget}, how many {item} can I (buy|get|order|afford)?",
        "How many {item} do I get for {budget}?",
        "For how many {item} (are|is) {budget} enough?",
    ),
    "change": (
        "I pay for {item} with {budget}. How much change do I get( back|)?",
        "How much change (do I get|is there) (from|for) {budget} if I (buy|order|take) {item}?",
        "I (buy|order|take) {item} and pay with {budget}. (How much change do I get|What is the change)?",
        "What is the change from {budget} for {item}?",
    ),
    "total_of_two": (
        "How much are {item} and {other} together?",
        "How much (do|will) {item} and {other} cost( together|)?",
        "What do {item} and {other} cost( together| in total)?",
        "What is the (total|sum|total price) (of|for) {item} and {other}?",
        "I (want|buy|order|take) {item} and {other}. (How much is that|What do I pay|What is the total)?",
        "(Tell me|Give me|Find) the total (of|for) {item} and {other}.",
    ),
    "difference": (
        "How much more is {item} than {other}?",
        "How much more (does|will) {item} cost than {other}?",
        "How much (dearer|more expensive) is {item} than {other}?",
        "By how much is {item} (dearer|more expensive) than {other}?",
        "What is the (price difference|difference in price|difference) between {item} and {other}?",
        "How much (less|cheaper) is {other} than {item}?",
        "(Tell me|Give me|Find) the difference between {item} and {other}.",
    ),
    "cheapest": (
        "What (is the cheapest|costs the least|has the lowest price)( here|)?",
        "Which (item|one) (is the cheapest|costs the least|has the lowest price)?",
        "What is the (cheapest|least expensive) (item|thing)( here|)?",
        "(Name|Find|Tell me) the cheapest item.",
    ),
    "dearest": (
        "What (is the most expensive|costs the most|has the highest price)( here|)?",
        "Which (item|one) (is the most expensive|costs the most|has the highest price)?",
        "What is the (dearest|most expensive) (item|thing)( here|)?",
        "(Name|Find|Tell me) the most expensive item.",
    ),
    "total_of_all": (
        "How much is (everything|it all) together?",
        "What (do|will) all items cost( together|)?",
        "What is the (total|sum) of all (items|prices)?",
        "(Add up|Sum) all (items|prices).",
        "I (buy|order|take) one of each. (How much is that|What do I pay|What is the total)?",
        "How much is one of each?",
    ),
    "board_colour": (
        "What (colour|color) is the (board|sign|background)?",
        "What is the (colour|color) of the (board|sign|background)?",
        "Which (colour|color) (does the board have|is the board)?",
        "(Name|Tell me) the (colour|color) of the board.",
    ),
    "number_of_rows": (
        "How many (rows|items|prices|products) (are there|are listed|are shown|do you see)?",
        "Count the (rows|items|prices|products).",
        "What is the number of (rows|items|prices)?",
        "(Tell me|Give me) the number of (rows|items).",
    ),
    "highlighted_row": (
        "Which row is (highlighted|marked)( from the top|)?",
        "Which row from the top is (highlighted|marked)?",
        "Counting from the top, which row is (highlighted|marked)?",
        "What is the number of the (highlighted|marked) row?",
        "(Tell me|Give me) the number of the (highlighted|marked) row.",
    ),
    "any_highlighted": (
        "Is (a|any|one) (row|item) (highlighted|marked)?",
        "Is there a (highlighted|marked) (row|item)?",
        "Are there (highlighted|marked) (rows|items)?",
        "Do you see a (highlighted|marked) row?",
    ),
}
