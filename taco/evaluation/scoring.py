"""Whether an answer is right: exact, by choice, or as a number.

>>> is_correct("$14.00", Task(id="1", question="...", answer="14"))
True
"""

import math
import re
import unicodedata

from taco.trace import Task

TOLERANCE = 1e-6
"""Relative tolerance between numbers: 14.0 is 14, and 14.01 is not."""

_NUMBER = re.compile(r"[-+−]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?", re.IGNORECASE)
_LETTER = re.compile(r"\(?([a-z])(?:[.:)].*)?", re.IGNORECASE | re.DOTALL)


def is_correct(answer: str | None, task: Task, *, tolerance: float = TOLERANCE) -> bool:
    """Score an answer against ``task.answer``.

    Multiple choice: the option's text, or its letter. Numbers: equal within the relative ``tolerance``; the answer may carry
    a currency, a unit or words, but only one number. Anything else: equal after case, spaces and outer punctuation are folded.

    Raises:
        ValueError: If the task has no answer.
    """
    if task.answer is None:
        raise ValueError(f"Task {task.id} has no answer to score against.")
    if answer is None:
        return False
    if task.choices:
        return _choice(answer, task.choices) == _choice(task.answer, task.choices) is not None
    gold = parse_number(task.answer)
    if gold is not None:
        found = parse_number(answer) if parse_number(answer) is not None else _only_number(answer)
        return found is not None and math.isclose(found, gold, rel_tol=tolerance, abs_tol=1e-9)
    return normalized(answer) == normalized(task.answer)


def normalized(text: str) -> str:
    """Case, width, spaces and outer punctuation folded."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return text.strip(" .,;:!?\"'`")


def parse_number(text: str) -> float | None:
    """The number that the whole text is, a currency or percent sign allowed; None if it is none."""
    bare = re.sub(r"^([-+−]?)[^\w.+−-]+|[^\w.]+$", r"\1", unicodedata.normalize("NFKC", text).strip()).rstrip(".")
    if not _NUMBER.fullmatch(bare):
        return None
    return float(bare.replace(",", "").replace("−", "-"))


def _only_number(text: str) -> float | None:
    words = [word.strip("()[]\"'!?;:,.") for word in text.split()]  # whole words: there is no 4 in "Room B4"
    found = [number for number in map(parse_number, words) if number is not None]
    return found[0] if len(found) == 1 else None


def _choice(answer: str, choices: tuple[str, ...]) -> int | None:
    """The index of the option that is meant, by its text, else by its letter."""
    texts = [normalized(choice) for choice in choices]
    if normalized(answer) in texts:
        return texts.index(normalized(answer))
    letter = _LETTER.fullmatch(answer.strip())  # alone, or marked as one: "A dog" is no option A
    index = ord(letter[1].lower()) - ord("a") if letter else -1
    return index if 0 <= index < len(choices) else None
