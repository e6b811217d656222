"""The right answer to a question about one picture of objects, from annotation and question text alone.

>>> right_answer(scene.annotation, "Which object is closer to the camera: the mug or the red box?")
'red box'

Shares no code with the generator: it reads the text, its geometry is its own and knows no margins.
"""

import re
from collections import Counter
from typing import Any

COLOURS = {"red", "orange", "yellow", "green", "blue", "purple", "white", "black", "pink", "brown", "grey", "gray", "teal"}
PLURALS = {"man": "men", "woman": "women", "person": "people", "knife": "knives", "mouse": "mice", "sheep": "sheep"}
NO_ATTRIBUTE = "the|a|an|many|more|fewer|of|and|all|count|is|are|which|what|objects?|things?|find|number|kinds?"
NO_NAME = (
    "image|picture|photo|scene|camera|viewer|photographer|left|right|top|bottom|upper|lower|edge|number|count|same|colou?r|sum|total|"
    "difference|order|depth|box|bounding|most|least|case|only|one|single|objects?|things?|part|area|kinds|numbers|"
    "(?:larg|bigg|small|near|clos|farth|furth|high|low)(?:er|est)"
)
HINT = r" if (?:it|this) cannot be told.*"
LISTED = r": (?P<behind>[^:]*)[.?]$|^(?:of|among) (?P<before>[^,]*(?:, [^,]*)*?), (?=which|what)"


class Reading:
    """A question, its noun phrases taken out: ``is <0> closer than <1>?``."""

    def __init__(self, scene: Any, question: str) -> None:
        self.scene, self.phrases = scene, list[tuple[str, str, list[int]]]()
        names = sorted({item.name for item in scene.objects}, key=len, reverse=True)
        forms = {form: name for name in names for form in _forms(name)}
        noun = "|".join(sorted(map(re.escape, forms), key=len, reverse=True))
        attributes = "|".join(sorted({word for item in scene.objects for word in item.attributes} | COLOURS))
        pattern = rf"\b(?:pairs? of )?((?:(?:{attributes}) )*)({noun})\b" if names else r"(?!)"
        text = re.sub(HINT, "", question.lower())
        text = re.sub(r"\bcan (?=you\b|i\b|one\b|anyone\b)|(?<=you )can(?= see)", "may ", text)  # and no can
        text = re.sub(pattern, lambda match: self._phrase(match[0], match[1].split(), forms[match[2]]), text)
        self.whole = text
        found = re.search(LISTED, text)
        inside = (found["behind"] or found["before"]) if found else ""
        self.listed = [int(number) for number in re.findall(r"<(\d+)>", inside)]
        self.text = text.replace(found[0], "?" if found["behind"] else "", 1) if found and self.listed else text
        self.subjects = [int(number) for number in re.findall(r"<(\d+)>", self.text)]

    def _phrase(self, text: str, attributes: list[str], name: str) -> str:
        items = self.scene.objects
        meant = [i for i, item in enumerate(items) if item.name == name and set(attributes) <= set(item.attributes)]
        self.phrases.append((" ".join([*attributes, name]), text, meant))
        return f"<{len(self.phrases) - 1}>"

    def has(self, pattern: str) -> bool:
        return re.search(pattern, self.text) is not None

    def words(self, phrase: int) -> str:
        return self.phrases[phrase][0]

    def meant(self, phrase: int) -> list[int]:
        return self.phrases[phrase][2]

    def one(self, phrase: int) -> Any:
        [index] = self.meant(phrase)
        return self.scene.objects[index]


def right_answer(scene: Any, question: str) -> str:
    """The answer as text. Raises ValueError for a question that it cannot read."""
    asked = Reading(scene, question)
    for reader in (_presence, _count, _absence, _frequency, _share, _order, _anchor, _colour, _yes_or_no, _superlative, _thing):
        answer = reader(asked)
        if answer is not None:
            return answer
    raise ValueError(f"{question} -> {asked.text}")


def agrees(one: str, other: str) -> bool:
    """Equal as numbers, or as texts."""
    return one == other or (one.lstrip("-").isdigit() and other.lstrip("-").isdigit() and int(one) == int(other))


def _forms(name: str) -> list[str]:
    head, _, tail = name.partition(" of ")
    first, _, last = head.rpartition(" ")
    plurals = [PLURALS.get(last, f"{last}s"), f"{last}es", re.sub("y$", "ies", last), re.sub("man$", "men", last)]
    return [name, *(f"{first} {plural}".strip() + (f" of {tail}" if tail else "") for plural in plurals)]


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


# ---------------------------------------------------------------------- whether, how many


def _presence(asked: Reading) -> str | None:
    asks = r"is there|there is|anyone see|one see|you see|i see|you may +see|you (?:find|notice|spot)|show|contain|have"
    found = re.search(rf"(?:{asks}) (?:a|an|some) (.*)", asked.text)
    if found is None:
        return None
    return _yes(re.match(r"<\d+>", found[1]) is not None and bool(asked.meant(asked.subjects[0])))


def _count(asked: Reading) -> str | None:
    if not asked.has(r"how many|number of|count of|numbers of|count (?:the|all)|outnumber"):
        return None
    numbers = [len(asked.meant(phrase)) for phrase in asked.subjects]
    if asked.has(r"fewer"):
        return str(numbers[1] - numbers[0])
    if asked.has(r"more <|outnumber|difference"):
        return str(numbers[0] - numbers[1])
    if asked.has(r"together|in total|altogether|in all\b|total number|sum of"):
        return str(numbers[0] + numbers[1])
    if asked.has(r"(?:kinds|types|sorts) of"):
        return str(len({item.name for item in asked.scene.objects}))
    generic = re.search(r"(\w+) (?:objects|things)\b", asked.text)
    if generic and not re.fullmatch(NO_ATTRIBUTE, generic[1]):
        return str(sum(generic[1] in item.attributes for item in asked.scene.objects))
    if not numbers:
        return "0"
    items = [asked.scene.objects[index] for index in asked.meant(asked.subjects[0])]
    half = re.search(r"(left|right|upper|lower) half", asked.text)
    if half:
        return str(sum(_centre(item, half[1]) > _centre(None, half[1]) for item in items))
    if len(numbers) == 1:
        return str(len(items))
    limit = asked.one(asked.subjects[1])
    if asked.has(r"closer|nearer"):
        return str(sum(item.depth < limit.depth for item in items))
    [side] = re.findall(r"left|right", asked.text)
    return str(sum(_centre(item, side) > _centre(limit, side) for item in items))


def _centre(item: Any, side: str) -> float:
    """How far to a side; of nothing, of the image's middle."""
    left, top, right, bottom = item.bbox if item else (0, 0, 1, 1)
    across, down = (left + right) / 2, (top + bottom) / 2
    return {"left": -across, "right": across, "upper": -down, "lower": down}[side]


# ---------------------------------------------------------------------- what is not there


def _absence(asked: Reading) -> str | None:
    for _, _, meant in asked.phrases:
        if not meant:
            return "cannot be determined"
    behind = "is|has|have|in|here|or|and|to|the|of|located|situated|left|right|closer|nearer|on"
    found = re.search(rf"\bthe ((?!(?:{NO_NAME})\b)[a-z-]+(?: (?!(?:{behind})\b)[a-z-]+)*)", asked.whole)
    if found is None or re.search(r"\b(?:object|thing|one)\b", found[1]):  # "the red thing" is there
        return None
    return "cannot be determined"


# ---------------------------------------------------------------------- comparisons


def _frequency(asked: Reading) -> str | None:
    if not asked.has(r"kind of (?:object|thing)"):
        return None
    counts = Counter(item.name for item in asked.scene.objects)
    if asked.listed:
        counts = Counter({asked.words(phrase): len(asked.meant(phrase)) for phrase in asked.listed})
    wanted = (min if asked.has(r"\bleast\b") else max)(counts.values())
    [name] = [name for name, count in counts.items() if count == wanted]
    return name


def _share(asked: Reading) -> str | None:
    if not asked.has(r"percentage|per cent"):
        return None
    left, top, right, bottom = asked.one(asked.subjects[0]).bbox
    return str(int(100 * (right - left) * (bottom - top) / 5 + 0.5) * 5)


def _order(asked: Reading) -> str | None:
    if not asked.has(r"\b(?:order|sort|arrange|rank|list)\b"):
        return None
    far_first = asked.has(r"from (?:the )?far|farthest first|distant first")
    phrases = sorted(asked.subjects, key=lambda phrase: asked.one(phrase).depth, reverse=far_first)
    return ", ".join(asked.words(phrase) for phrase in phrases)


def _anchor(asked: Reading) -> str | None:
    if not asked.has(r"in depth|depth that"):
        return None
    anchor = asked.one(asked.subjects[-1]).depth
    pick = min if asked.has(r"closest|closer|nearest|nearer|less|least") else max
    return asked.words(pick(asked.listed, key=lambda phrase: abs(asked.one(phrase).depth - anchor)))


def _colour(asked: Reading) -> str | None:
    if not asked.has(r"\bcolou?r\b"):
        return None
    found = [set(asked.one(phrase).attributes) & COLOURS for phrase in asked.subjects]
    if len(found) == 2:
        return _yes(found[0] == found[1])
    [[colour]] = found
    return colour


def _yes_or_no(asked: Reading) -> str | None:
    found = re.search(
        r"is the <\d+>(.*)[?.]|that the <\d+> is(.*)[?.]|(?:whether|if|say|think) the <\d+>(?:.*?) is(.*)[?.]", asked.text
    )
    words = re.search(r"which (?:word|of these|) ?describes the <\d+>.*: (.*)\?", asked.text)
    if words:
        return _which_of(asked, words[1])
    if (
        found is None
        or asked.listed
        or re.match(r"what|which (?:object|thing)|who", asked.text)
        or asked.has(r"(?<!stand)(?<!ly)(?<!rest)ing\b")
    ):
        return None
    rest = re.sub(
        r"\b(?:in (?:the|this) (?:image|picture|photo|scene)|here)(?! than)", "", next(filter(None, found.groups()), "")
    )
    if len(asked.subjects) == 2:
        return _yes(_holds(asked, rest))
    if " or " in rest:
        return _which_of(asked, rest)
    return _yes(rest.split()[-1] in asked.one(asked.subjects[0]).attributes)


def _which_of(asked: Reading, options: str) -> str:
    [value] = [word for word in re.findall(r"\w+", options) if word in asked.one(asked.subjects[0]).attributes]
    return value


def _holds(asked: Reading, rest: str) -> bool:
    one, other = (asked.one(phrase) for phrase in asked.subjects)
    for side, words in (("left", "left"), ("right", "right"), ("upper", "higher|top of the"), ("lower", "lower|bottom of the")):
        if re.search(words, rest) and not re.search("on top of <|on top of the <", rest):
            return _centre(one, side) > _centre(other, side)
    for predicate in ("in front of", "behind"):
        if predicate in rest:
            return _related(asked, predicate)
    if re.search(r"\bon\b", rest):
        return _related(asked, "on")
    nearer = one.depth < other.depth
    return nearer if re.search("closer|nearer", rest) else not nearer


def _related(asked: Reading, predicate: str) -> bool:
    [one], [other] = (asked.meant(phrase) for phrase in asked.subjects)
    inverse = {"in front of": (other, "behind", one), "behind": (other, "in front of", one)}.get(predicate)
    said = {(r.subject, r.predicate, r.object) for r in asked.scene.relations}
    return (one, predicate, other) in said or inverse in said


# ---------------------------------------------------------------------- which

SUPERLATIVES = {
    "camera|viewer|photographer|from us|to us|distant": lambda item: item.depth,
    "larg|bigg": lambda item: -(item.bbox[2] - item.bbox[0]) * (item.bbox[3] - item.bbox[1]),
    "small": lambda item: (item.bbox[2] - item.bbox[0]) * (item.bbox[3] - item.bbox[1]),
    r"\bleft": lambda item: item.bbox[0] + item.bbox[2],
    r"\bright": lambda item: -item.bbox[0] - item.bbox[2],
    r"\bhigh|\btop\b|upper| up\b": lambda item: item.bbox[1] + item.bbox[3],
    r"\blow|\bbottom\b| down\b": lambda item: -item.bbox[1] - item.bbox[3],
}


def _superlative(asked: Reading) -> str | None:
    if asked.subjects or not asked.has(r"(?:est|er)\b|\bmost\b|\bmore\b"):
        return None
    words = next((words for words in SUPERLATIVES if asked.has(words)), None)
    if words is None:
        return None
    key = SUPERLATIVES[words]
    pick = max if words.startswith("camera") and asked.has(r"far|furth|distant") else min
    if asked.listed:
        return asked.words(pick(asked.listed, key=lambda phrase: key(asked.one(phrase))))
    return str(pick(asked.scene.objects, key=key).name)


def _thing(asked: Reading) -> str | None:
    """An object by what is said of it: its attribute, its place beside or on another, its part in a relation."""
    items = asked.scene.objects
    candidates = [(asked.words(p), index) for p in asked.listed for index in asked.meant(p)] or [
        (item.name, i) for i, item in enumerate(items)
    ]
    if asked.subjects:
        [anchor] = asked.meant(asked.subjects[0])
        verb = re.search(
            r"<\d+> is ((?:\w+ )*?\w+ing(?: \w+)*?)(?: in | here|[?.])|is the <\d+> (\w+ing(?: \w+)*?)(?: in | here|[?.])",
            asked.text,
        )
        by = re.search(r"is (\w+ing(?: \w+)*?) the <", asked.text)
        if verb or by:
            predicate = next(filter(None, (verb or by).groups()))
            ends = [
                (r.object, r.subject) if by else (r.subject, r.object) for r in asked.scene.relations if r.predicate == predicate
            ]
            [index] = [other for own, other in ends if own == anchor]
            return str(items[index].name)
        side = re.search(r"\b(left|right)\b", asked.text)
        if side:
            candidates = [
                c for c in candidates if c[1] != anchor and _centre(items[c[1]], side[1]) > _centre(items[anchor], side[1])
            ]
        elif asked.has(r"\bon\b"):
            candidates = [
                c
                for c in candidates
                if any((r.subject, r.predicate, r.object) == (c[1], "on", anchor) for r in asked.scene.relations)
            ]
    said = [word for word in re.findall(r"\w+", asked.text) if any(word in item.attributes for item in items)]
    found = {name for name, index in candidates if set(said) <= set(items[index].attributes)}
    if len(found) != 1:
        raise ValueError(f"{asked.text}: {sorted(found)}")
    return found.pop()
