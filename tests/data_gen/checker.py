"""The right answer to a question about prices, from annotation and question text alone. Shares no code with the generator.

>>> right_answer(scene.annotation, "How much are 3 Tea?")
'10.5'
"""

import re
from decimal import Decimal
from typing import Any

WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9}


def right_answer(scene: Any, question: str) -> str:
    """The answer as text. Raises ValueError for a question that it cannot read."""
    text, named = _without_names(scene, question)
    if len(named) == 2:
        return _of_two(text, *named)
    if len(named) == 1:
        return _of_one(text, named[0])
    return _of_none(scene, text.strip(" .?"))


def agrees(one: str, other: str) -> bool:
    """Equal as numbers, or as texts."""
    numeric = r"-?\d+(\.\d+)?"
    if re.fullmatch(numeric, one) and re.fullmatch(numeric, other):
        return Decimal(one) == Decimal(other)
    return one == other


def _without_names(scene: Any, question: str) -> tuple[str, list[Decimal]]:
    """The question in lower case with the items' names blotted out, and their prices in the order in which they were named."""
    text = question.lower()
    places = []
    for item in scene.items:
        match = re.search(rf"(?<!\w){re.escape(item.name.lower())}(?!\w)", text)
        if match:
            places.append((match.start(), item))
    places.sort(key=lambda place: place[0])
    for _, item in places:
        text = re.sub(rf"(?<!\w){re.escape(item.name.lower())}(?!\w)", "@", text)
    return text, [Decimal(item.price) for _, item in places]


def _of_two(text: str, first: Decimal, second: Decimal) -> str:
    if re.search(r"less|cheaper", text):
        return str(second - first)
    if re.search(r"more|dearer|difference", text):
        return str(first - second)
    if re.search(r"together|total|sum|cost|how much is that|what do i pay", text):
        return str(first + second)
    raise ValueError(text)


def _of_one(text: str, price: Decimal) -> str:
    if re.search(r"change", text):
        [paid] = re.findall(r"\d+", text)
        return str(int(paid) - price)
    if re.search(r"how many", text):
        [budget] = re.findall(r"\d+", text)
        count = 0
        while (count + 1) * price <= int(budget):
            count += 1
        return str(count)
    times = re.search(r"(\w+) @", text)
    if times and (times[1].isdigit() or times[1] in WORDS):
        return str(price * (WORDS.get(times[1]) or int(times[1])))
    if re.search(r"how much|cost|price|pay", text):
        return str(price)
    raise ValueError(text)


def _of_none(scene: Any, text: str) -> str:
    prices = [Decimal(item.price) for item in scene.items]
    if re.search(r"colou?r", text):
        return str(scene.background)
    if re.search(r"highlighted|marked", text):
        if re.match(r"(is|are|do you see)\b", text):
            return "no" if scene.highlighted is None else "yes"
        return str(scene.highlighted + 1)
    if re.search(r"how many|count|number of", text):
        return str(len(scene.items))
    if re.search(r"cheapest|least|lowest", text):
        [cheapest] = [item.name for item in scene.items if Decimal(item.price) == min(prices)]
        return str(cheapest)
    if re.search(r"dearest|most|highest", text):
        [dearest] = [item.name for item in scene.items if Decimal(item.price) == max(prices)]
        return str(dearest)
    if re.search(r"everything|all|each", text):
        return str(sum(prices))
    raise ValueError(text)
