"""Names of objects in a sentence: a or an, plurals, pairs, lists.

>>> a("orange mug"), plural("wine glass"), singular("scissors"), listed(["mug", "box", "ball"])
('an orange mug', 'wine glasses', 'pair of scissors', 'the mug, the box and the ball')

Own rules and a table: inflect makes "skiss" of skis and "bu" of bus, and takes 0.4 s to import.
"""

import re
from collections.abc import Sequence

IRREGULAR = {
    "man": "men", "woman": "women", "child": "children", "person": "people", "mouse": "mice", "goose": "geese", "foot": "feet",
    "tooth": "teeth", "knife": "knives", "leaf": "leaves", "shelf": "shelves", "loaf": "loaves", "wolf": "wolves",
    "calf": "calves", "half": "halves", "scarf": "scarves", "die": "dice", "ox": "oxen", "tomato": "tomatoes",
    "potato": "potatoes", "sheep": "sheep", "fish": "fish", "deer": "deer", "aircraft": "aircraft", "police": "police",
}  # fmt: skip
PAIRS = frozenset({
    "scissors", "glasses", "eyeglasses", "sunglasses", "goggles", "binoculars", "headphones", "earphones", "pants", "trousers",
    "jeans", "shorts", "tights", "leggings", "skis", "pliers", "tongs", "tweezers", "pajamas", "pyjamas", "shears", "overalls",
})  # fmt: skip
"""One of them is "a pair of ..."."""
MASS = frozenset({
    "grass", "water", "sand", "snow", "ice", "food", "rice", "hair", "bread", "luggage", "furniture", "fabric", "paper", "wood",
    "dirt", "mud", "smoke",
})  # fmt: skip
"""They are not counted."""
_SOUNDS_LIKE_A_CONSONANT = re.compile(r"uni|use|usa|usu|euro|eu|one\b|once|ute|uk")
_SILENT_H = re.compile(r"hour|honest|heir|honou?r")


def is_mass(name: str) -> bool:
    """Whether a name is of what is not counted: ``green grass``."""
    return _last(name) in MASS


def singular(name: str) -> str:
    """One of them, without an article: ``mug``, ``pair of red scissors``."""
    return f"pair of {name}" if _last(name) in PAIRS else name


def plural(name: str) -> str:
    """Several: ``red mugs``, ``cups of coffee``, ``pairs of scissors``."""
    if _last(name) in PAIRS:
        return f"pairs of {name}"
    before, _, behind = name.partition(" of ")
    rest, last = before[: -len(_last(before))], _last(before)
    return f"{rest}{_plural(last)}{' of ' + behind if behind else ''}"


def a(name: str) -> str:
    """One of them with its article: ``an orange mug``, ``some grass``."""
    if is_mass(name):
        return f"some {name}"
    one = singular(name)
    return f"{'an' if _begins_with_vowel(one) else 'a'} {one}"


def listed(names: Sequence[str], last: str = "and", article: str = "the ") -> str:
    """``the mug, the box and the ball``."""
    return joined([f"{article}{singular(name)}" for name in names], last)


def joined(texts: Sequence[str], last: str = "and") -> str:
    """``2.31, 4.02 and 5``."""
    return f" {last} ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def counted(number: int, name: str) -> str:
    """``1 mug``, ``3 mugs``."""
    return f"{number} {singular(name) if number == 1 else plural(name)}"


def _plural(word: str) -> str:
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("man") and word not in ("human", "german"):
        return f"{word[:-2]}en"
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if re.search(r"(s|x|z|ch|sh)$", word) else f"{word}s"


def _last(name: str) -> str:
    return name.rsplit(" ", 1)[-1]


def _begins_with_vowel(text: str) -> bool:
    if _SILENT_H.match(text) or re.match(r"[aefhilmnorsx]-", text):
        return True
    return text[:1] in "aeiou" and not _SOUNDS_LIKE_A_CONSONANT.match(text)
