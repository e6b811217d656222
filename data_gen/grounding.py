"""Does a trace's answer come from what was observed?

>>> ungrounded(trace)                       # '' where all has a source
"step 2: Calculate is given 7.25, which stands neither in the question nor in an earlier observation"

Every number, name and box in the answer and in the arguments of calls has to trace back to the question, its choices, an
*earlier* observation, or a stated computation; a right answer that does not was a guess. The rules, which read English:

- A number may be as it is printed in a text (``3,20`` and ``3.20`` alike), in words, rounded, or a per cent; a side, centre or
  area of an observed box; worked out rightly in a thought (``0.5 - 0.2 = 0.3``). In arguments it may also be an everyday constant
  (`CONSTANTS`) or the number of operands; in the answer to a question that counts or ranks, up to the number of things listed.
- A box is one of an observation or of the question, or goes around observed boxes, or is round: chosen by eye.
- An object to look for has a word that is known, or the tool found it. Texts to compare images with are the tool's to judge.
- Yes, no, none, comparisons (left, closer ...) and names of images quote nothing: some observation is enough.
- A name that only the question has can be the answer where there was something to compare: depths, boxes, scores, results.
- From an image that a call made, the model can read a name, and also a number where the call gave nothing else (Crop, ZoomIn).
  Colour and shape it sees in any image.

A trace that called no tool has its answer from the pixels; that is not judged.
"""

import contextlib
import difflib
import itertools
import json
import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from taco.evaluation.scoring import is_correct, parse_number
from taco.tools.action import Action, Observation, ToolError
from taco.tools.calculator import calculate
from taco.trace import Trace

CONSTANTS = frozenset({*range(11), 12, 24, 30, 52, 60, 90, 100, 180, 360, 365, 1000, 3600, 0.5, 0.25, 3.14, 3.1416, 3.14159})
"""Numbers that a calculation may use without a source: halves, degrees, minutes, days."""
EYE = 0.1
"""How much wider than the observed boxes in it a box may be, on each side."""
SIMILAR = 0.75
"""difflib ratio from which a word is taken for one that was read: OCR errs."""


def ungrounded(trace: Trace) -> str:
    """The first argument or answer that has no source, in a sentence; empty where all have one, and where no tool was called."""
    said, seen = _Source(), _Source()
    for text in (trace.task.question, *(trace.task.choices or ())):
        said.read(text)
    calls = 0
    for number, step in enumerate(trace.steps, start=1):
        _read_sums(step.thought, said, seen)
        made = [pair for pair in zip(step.actions, step.observations, strict=False) if pair[0].name != "Terminate"]
        calls += len(made)
        for action, observation in made:
            fault = _unknown_argument(action, observation, said, seen) if observation.error is None else ""
            if fault:
                where = f"step {number}: {action.name} is given {fault}"
                return f"{where}, which stands neither in the question nor in an earlier observation"
        if number < len(trace.steps):  # the answer was written before what came back beside it
            for _, observation in made:
                seen.observe(observation)
    fault = _unknown_in_answer(trace, said, seen) if calls and trace.answer is not None else ""
    return f"the answer {trace.answer!r} does not come from what was observed: {fault}" if fault else ""


@dataclass
class _Source:
    """What can be quoted.

    Attributes:
        numbers: In texts.
        values: Numbers of JSON, and what follows from boxes.
        words: Stems.
        texts: Folded.
        boxes: Observed ones.
        listed: How many things or words were listed.
        observations: How many calls gave something.
        images: How many of them gave an image.
        looks: How many of them gave nothing else.
    """

    numbers: set[float] = field(default_factory=set)
    values: set[float] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    listed: int = 0
    observations: int = 0
    images: int = 0
    looks: int = 0

    def observe(self, observation: Observation) -> None:
        """Take in what a call gave, unless it failed."""
        if observation.error is not None:
            return
        content = {key: value for key, value in observation.content.items() if value not in observation.images}
        self.observations += 1
        self.images += bool(observation.images)
        self.looks += bool(observation.images) and not content
        self.listed += sum(len(value) for value in content.values() if isinstance(value, list))
        self.listed += sum(len(value.split()) for value in content.values() if isinstance(value, str))
        self.read(content)

    def read(self, value: Any, key: str = "") -> None:
        """Take in a JSON value that stands below a key."""
        if isinstance(value, str):
            self.numbers |= numbers_in(value)
            self.words |= words_in(value)
            self.texts.append(_folded(value))
        elif isinstance(value, dict):
            for name, item in value.items():
                self.read(item, name)
        elif isinstance(value, list):
            if key == "bbox" and _is_box(value):
                left, top, right, bottom = value
                width, height = right - left, bottom - top
                self.boxes.append(value)
                self.values |= {width, height, width * height, (left + right) / 2, (top + bottom) / 2}
            for item in value:
                self.read(item, key)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self.values.add(abs(float(value)))

    def has(self, number: float, decimals: int) -> bool:
        """Whether a number without sign, written with so many decimals, is among these, perhaps rounded."""
        half = 0.5 * 10.0**-decimals * (1 + 1e-9)
        near = half if decimals else 1e-9
        return any(math.isclose(number, known, rel_tol=1e-6, abs_tol=half) for known in self.values) or any(
            math.isclose(number, known, rel_tol=1e-6, abs_tol=near) for known in self.numbers
        )


# ---------------------------------------------------------------------- arguments


def _unknown_argument(action: Action, observation: Observation, said: _Source, seen: _Source) -> str:
    """What in the arguments of a call has no source."""
    for key, value in _leaves(action.arguments):
        if isinstance(value, bool) or value is None or key == "zoom_factor":
            continue
        if key == "bbox":
            if not _is_known_box(value, said, seen):
                return f"the box {json.dumps(value)}"
        elif key in ("object", "objects"):
            if not _is_known_object(str(value), observation, said, seen):
                return repr(value)
        elif not _IMAGE.fullmatch(str(value)):
            literals = _LITERAL.findall(str(value))
            for text in literals:
                if not _is_known_number(text, len(literals), said, seen):
                    return text  # type: ignore[no-any-return]
    return ""


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and plain values; a box is one."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, name)
    elif isinstance(value, list) and key != "bbox":
        for item in value:
            yield from _leaves(item, key)
    else:
        yield key, value


def _is_known_number(text: str, operands: int, said: _Source, seen: _Source) -> bool:
    value, decimals = _value(text)
    if value in CONSTANTS or (value.is_integer() and value <= operands) or said.has(value, decimals) or seen.has(value, decimals):
        return True
    parts = text.split(",")  # max(3,450)
    return len(parts) > 1 and all(_is_known_number(part, operands, said, seen) for part in parts)


def _is_known_object(text: str, observation: Observation, said: _Source, seen: _Source) -> bool:
    words, found = words_in(text), _Source()
    found.observe(observation)
    return not words or bool(words & (said.words | seen.words | found.words)) or "depth" in observation.content


def _is_known_box(box: Any, said: _Source, seen: _Source) -> bool:
    if not _is_box(box):
        return True  # no box of an image; its schema says what it is
    sides = [{known[index] for known in seen.boxes} | {known[(index + 2) % 4] for known in seen.boxes} for index in range(4)]
    if all(_is_round(side) or side in known or said.has(side, 4) for side, known in zip(box, sides, strict=True)):
        return True
    inside = [known for known in seen.boxes if all(known[i] >= box[i] and known[i + 2] <= box[i + 2] for i in (0, 1))]
    if not inside:
        return False
    hull = [min(known[i] for known in inside) for i in (0, 1)] + [max(known[i] for known in inside) for i in (2, 3)]
    return all(abs(side - edge) <= EYE + 1e-9 for side, edge in zip(box, hull, strict=True))


def _is_box(value: Any) -> bool:
    numbers = isinstance(value, list) and all(isinstance(side, int | float) and 0 <= side <= 1 for side in value)
    return numbers and len(value) == 4


def _is_round(side: float) -> bool:
    """Nobody measured it: a multiple of 1/20 or 1/8, or a third to two decimals."""
    return any(abs(side * parts - round(side * parts)) < 1e-6 for parts in (20, 8)) or round(side, 2) in (0.33, 0.34, 0.66, 0.67)


# ---------------------------------------------------------------------- the answer


def _unknown_in_answer(trace: Trace, said: _Source, seen: _Source) -> str:
    """What in the answer has no source."""
    answer, question = _answer_text(trace), trace.task.question
    if seen.looks or (_ABSENT.search(answer) and not any(map(str.isdigit, answer))):
        return ""
    if not seen.observations:
        return "no call before it gave anything"
    if _YES_NO.fullmatch(answer.strip()) or _is_quoted(answer, seen):
        return ""
    images = [int(number) for number in _IMAGE.findall(answer)]
    beyond = [number for number in images if number >= len(trace.images)]
    if beyond:
        return f"there is no image-{beyond[0]}"
    rest = _IMAGE.sub(" ", answer)
    numbers = _LITERAL.findall(rest) or [str(number) for number in _spelt(rest)]
    for text in numbers:
        value, decimals = _value(text)
        counted = value.is_integer() and value <= seen.listed and _COUNTS.search(question)
        share = "%" in answer and seen.has(value / 100, decimals + 2)
        if not (counted or share or seen.has(value, decimals)):
            return f"{text} was not observed"
    names = words_in(rest) - _NO_NAMES
    if numbers or images or not names or seen.images or _APPEARANCE.search(question):
        return ""
    known = seen.words | (said.words if seen.values else set())
    missing = sorted(name for name in names if name not in known and not difflib.get_close_matches(name, seen.words, 1, SIMILAR))
    return f"{', '.join(missing)} was not observed" if len(missing) * 2 >= len(names) else ""


def _answer_text(trace: Trace) -> str:
    """The answer; of a multiple-choice question the option that is meant."""
    task, answer = trace.task, trace.answer or ""
    meant = (choice for choice in task.choices or () if is_correct(answer, task.model_copy(update={"answer": choice})))
    return next(meant, answer)


def _is_quoted(answer: str, seen: _Source) -> bool:
    """Whether a text, other than a number, was observed as a whole; spaces may be missing in a long one."""
    if parse_number(answer) is not None:
        return False
    wanted = _folded(answer).strip(" .,;:!?\"'`")
    if not wanted:
        return False
    whole = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
    close = wanted.replace(" ", "")
    return any(whole.search(text) or (len(close) > 5 and close in text.replace(" ", "")) for text in seen.texts)


# ---------------------------------------------------------------------- words and numbers

_IMAGE = re.compile(r"\bimage[- ]?(\d+)\b", re.IGNORECASE)
_LITERAL = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e[-+]?\d+)?|\.\d+", re.IGNORECASE)
_PRINTED = re.compile(r"\d+(?:[.,'’]\d+)*(?P<percent>\s?%)?")
_SUM = re.compile(r"[\d.,\s+*/x×÷·()^%$€£-]+\Z")
_COUNTS = re.compile(r"\bhow (?:many|often)\b|\bnumber of\b|\bcount\b|\bwhich\b|\bposition\b|\brank", re.IGNORECASE)
_APPEARANCE = re.compile(r"\b(?:colou?r|shape|material|pattern|texture|made of)", re.IGNORECASE)
_YES_NO = re.compile(r"(?:yes|no|true|false)\b.{0,1}", re.IGNORECASE)
_ABSENT = re.compile(
    r"\b(?:none|nothing|nobody|nowhere|neither|cannot|can['’]t|not|unknown|unanswerable|unclear|impossible)\b|^no\s+[a-z]",
    re.IGNORECASE,
)
_SMALL = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
]  # fmt: skip
_SPELT = {word: float(value) for value, word in enumerate(_SMALL)} | {
    "thirty": 30.0, "forty": 40.0, "fifty": 50.0, "sixty": 60.0, "seventy": 70.0, "eighty": 80.0, "ninety": 90.0,
    "hundred": 100.0, "thousand": 1000.0, "dozen": 12.0, "half": 0.5, "double": 2.0, "twice": 2.0, "pair": 2.0, "triple": 3.0,
}  # fmt: skip
_IRREGULAR = {
    "people": "person", "men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose", "feet": "foot",
    "teeth": "tooth", "knives": "knife", "shelves": "shelf", "leaves": "leaf", "wolves": "wolf",
}  # fmt: skip


def words_in(text: str) -> set[str]:
    """The stems of its words: case and plural folded."""
    return {_stem(word) for word in re.findall(r"[^\W\d_]+", _folded(text))}


def numbers_in(text: str) -> set[float]:
    """The numbers of a text, without sign: in digits, by either use of comma and point, or in words. A per cent is a share."""
    found = {_SPELT[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _SPELT}
    for match in _PRINTED.finditer(unicodedata.normalize("NFKC", text)):
        *whole, last = re.findall(r"\d+", match[0])
        readings = {float("".join([*whole, last])), float(f"{''.join(whole) or last}.{last if whole else 0}")}
        found |= readings | ({reading / 100 for reading in readings} if match["percent"] else set())
    return found


def _spelt(text: str) -> list[float]:
    """Numbers in words; "one" only where it is all: "the red one"."""
    words = re.findall(r"[a-z]+", text.lower())
    return [_SPELT[word] for word in words if word in _SPELT and (word != "one" or len(words) == 1)]


def _value(literal: str) -> tuple[float, int]:
    """A number as it is written, and its decimals."""
    plain = literal.lower().replace(",", "")
    return float(plain), len(plain.partition("e")[0].partition(".")[2]) if "e-" not in plain else 12


def _read_sums(thought: str, said: _Source, seen: _Source) -> None:
    """Take in what a thought works out, as in ``0.5 - 0.2 = 0.3``, where that is right and its numbers are known."""
    for before, behind in itertools.pairwise(thought.split("=")):
        left, right = _SUM.search(before[-200:]), _LITERAL.match(behind.lstrip(" $€£"))
        literals = _LITERAL.findall(left[0]) if left else []
        if right is None or left is None or len(literals) < 2:
            continue
        if not all(_is_known_number(text, len(literals), said, seen) for text in literals):
            continue
        with contextlib.suppress(ToolError):
            result = calculate(re.sub(r"[x×·]", "*", left[0]).replace("÷", "/"))
            value, decimals = _value(right[0])
            if abs(abs(result) - value) <= 0.5 * 10**-decimals + 1e-9:
                seen.values.add(value)


_ES = re.compile(r"(?:ss|x|zz|ch|sh|[^ao]us)es$")
"""Plurals of which "es" is the ending; of others, houses and vases, the "s" is."""


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _stem(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 4 and word.endswith("men"):  # snowmen; of "specimen" both forms go the same way
        return word[:-3] + "man"
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and _ES.search(word):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


_NO_NAMES = words_in(
    "a an the of in on at to and or with for by from that this these those there is are was be it its than as has have one ones "
    "both yes no left right top bottom up down above below over under upper lower inside outside behind front between middle "
    "centre center before after first second third fourth fifth last next close closer closest near nearer nearest far farther "
    "farthest further large larger largest big bigger biggest small smaller smallest tall taller tallest short shorter shortest "
    "wide wider widest narrow high higher highest low lowest long longer longest more most less least fewer fewest same equal "
    "equally different increase increases decrease decreases rises falls image images picture photo object item"
)
"""Words that name nothing which an observation could have said: a comparison's result, and what holds a sentence together."""
