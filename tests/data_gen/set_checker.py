"""The right answer to a question about several pictures, from annotation and question alone. Shares no code with the programs.

>>> right_answer(annotation, "Which of image-0 and image-1 has the most mugs?")
'image-1'
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from taco.data_gen.scenes.object_names import KINDS, MATERIALS, OBJECT_COLOURS, PATTERNS

FIRST = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4}
LOOKS = (*OBJECT_COLOURS, *MATERIALS, *PATTERNS)
_FORMS = {form: name for name in KINDS for form in (name, f"{name}s", f"{name}es", re.sub("man$", "men", name))}
_NOUN = "|".join(sorted(_FORMS, key=len, reverse=True))
_THING = re.compile(rf"(?:\b({'|'.join(LOOKS)}) )?\b({_NOUN})\b")
_PICTURE = re.compile(rf"\bimage-(\d)\b|\bthe ({'|'.join(FIRST)}) (?:image|picture|photo)\b")
_HINT = re.compile(
    r" (answer with [^.?]*|reply with [^.?]*|give just the number|give the (image's name|name of the image)|just name [^.?]*|"
    r"answer yes or no|yes or no)[.?]$"
)


def right_answer(annotation: Any, question: str) -> str:
    """The answer as text. Raises ValueError for a question that it cannot read, or that has no single answer."""
    scenes = annotation.scenes
    text = re.sub(r" if (it|this) cannot be told.*", "", question.lower().replace("color", "colour"))
    text = _HINT.sub("", text)
    text = re.sub(r"\bcan (?=(?:you|i|one|be|see)\b)", "", text)  # a can is a thing, too
    quoted = re.findall(r'"([^"]*)"', text)
    text = re.sub(r'"[^"]*"', "", text)
    pictures = [int(match[1]) if match[1] else FIRST[match[2]] for match in _PICTURE.finditer(text)]
    if max(pictures, default=0) >= len(scenes):
        return "cannot be determined"
    things = _things(text)
    if quoted:
        return _about_texts(scenes, quoted, pictures)
    if not things:
        return _about_no_thing(scenes, text, pictures)
    nowhere = not any(_count(scene, ("", things[0][1])) for scene in scenes)
    if nowhere and re.search(r"colour|largest|smallest|nearest|farthest|next to|behind|in front|(left|right) of", text):
        return "cannot be determined"
    if re.search(r"colour", text):
        return _about_colours(scenes, text, things, pictures)
    if len(things) == 2:
        return _about_sides(scenes, text, things, pictures)
    [thing] = things
    return _about_numbers(scenes, text, thing, pictures)


def _things(text: str) -> list[tuple[str, str]]:
    """(attribute or "", name) of each, in order."""
    return [(match[1] or "", _FORMS[match[2]]) for match in _THING.finditer(text)]


def _count(scene: Any, thing: tuple[str, str]) -> int:
    look, name = thing
    return sum(item.name == name and (not look or look in item.attributes) for item in scene.objects)


def _one(indices: Iterable[int]) -> str:
    found = list(indices)
    if len(found) != 1:
        raise ValueError(f"{len(found)} pictures answer that")
    return f"image-{found[0]}"


def _about_texts(scenes: Any, texts: list[str], pictures: list[int]) -> str:
    """Which picture shows all of a text, or all of which text a picture shows."""

    def shows(scene: Any, text: str) -> bool:
        return all(_count(scene, thing) for thing in _things(text))

    if len(texts) == 1:
        return _one(index for index, scene in enumerate(scenes) if shows(scene, texts[0]))
    [text] = [text for text in texts if shows(scenes[pictures[0]], text)]
    return text


def _about_no_thing(scenes: Any, text: str, pictures: list[int]) -> str:
    if re.search(r"taller|portrait", text):
        return _one(index for index, scene in enumerate(scenes) if scene.height > scene.width)
    if re.search(r"wider|landscape", text):
        return _one(index for index, scene in enumerate(scenes) if scene.height < scene.width)
    if re.search(r"most (like|similar|alike|in common)|closest in content|resembles|looks most", text):
        return _most_alike(scenes, text, pictures)
    names = [{item.name for item in scene.objects} for scene in scenes]
    if re.search(r"how many|number of|count", text):
        return str(len(scenes))
    if re.search(r"\bonly\b|\bjust\b|none of the others|no other|not in any other", text):
        own = pictures[-1] if re.search(r"^of ", text) else pictures[0]
        [name] = names[own] - set().union(*(other for index, other in enumerate(names) if index != own))
        return str(name)
    [name] = set.intersection(*names)
    return str(name)


def _most_alike(scenes: Any, text: str, pictures: list[int]) -> str:
    """By names and by names with colours, each as the share of what two pictures have in common."""
    named = bool(re.search(r"^compare", text))
    one = pictures[0] if named or len(pictures) == 1 else pictures[-1]

    def share(first: Any, second: Any) -> float:
        a, b = Counter(first), Counter(second)
        return (a & b).total() / (a | b).total()

    def alike(other: Any) -> float:
        kinds = share({item.name for item in scenes[one].objects}, {item.name for item in other.objects})
        looks = share(*([(i.name, *sorted(i.attributes)) for i in scene.objects] for scene in (scenes[one], other)))
        return kinds + looks

    likeness = {index: alike(scene) for index, scene in enumerate(scenes) if index != one}
    return _one(index for index, value in likeness.items() if value == max(likeness.values()))


def _single(scene: Any, name: str) -> Any:
    [item] = [item for item in scene.objects if item.name == name]
    return item


def _colour(item: Any) -> str:
    [colour] = [attribute for attribute in item.attributes if attribute in OBJECT_COLOURS]
    return str(colour)


def _about_colours(scenes: Any, text: str, things: list[tuple[str, str]], pictures: list[int]) -> str:
    names = [name for _, name in things]
    if len(names) == 2:
        first, second = (_colour(_single(scenes[index], name)) for index, name in zip(pictures, names, strict=True))
        return "yes" if first == second else "no"
    everywhere = re.search(r"share|in common|\b(each|all|every one|both) of", text)
    colours = {_colour(_single(scenes[index], names[0])) for index in (range(len(scenes)) if everywhere else pictures)}
    [colour] = colours
    return colour


def _about_sides(scenes: Any, text: str, things: list[tuple[str, str]], pictures: list[int]) -> str:
    """Seen "from the other" names the other first."""
    names = [name for _, name in things]
    if "seen from" in text:
        names.reverse()

    def side(index: int) -> str:
        if not all(_count(scenes[index], ("", name)) for name in names):
            return ""
        left, right = ((box[0] + box[2]) / 2 for box in (_single(scenes[index], name).bbox for name in names))
        return "left" if left < right else "right"

    if "same side" in text:
        return "yes" if side(pictures[0]) == side(pictures[1]) else "no"
    wanted = "left" if re.search(r"\bleft\b", text) else "right"
    without = bool(re.search(r"\bnot\b", text))
    return _one(index for index in pictures or range(len(scenes)) if (side(index) == wanted) != without)


def _about_numbers(scenes: Any, text: str, thing: tuple[str, str], pictures: list[int]) -> str:
    counts = [_count(scene, thing) for scene in scenes]
    if re.search(r"\b(more|fewer|difference)\b", text):
        first, second = (counts[index] for index in pictures)
        return str(second - first if re.search(r"fewer|compared", text) else first - second)
    if re.search(r"together|in total|altogether|in all\b(?! of)|combined", text):
        return str(sum(counts))
    if re.search(r"how many of|(number|count) of (images|pictures|photos)", text):
        return str(sum(map(bool, counts)))
    if re.search(r"\bthe most\b|largest number|greatest number", text):
        return _one(index for index, count in enumerate(counts) if count == max(counts))
    if re.search(r"fewest|smallest number|lowest number", text):
        return _one(index for index, count in enumerate(counts) if count == min(counts))
    if re.search(r"how many|\bcount the\b|count all|(number|count) of", text):
        return str(counts[pictures[0]])
    if re.search(r"\bany\b|at least one|anywhere|somewhere", text):
        return "yes" if any(counts) else "no"
    without = bool(re.search(r"\b(no|not|lacks|without|missing)\b", text))
    return _one(index for index, count in enumerate(counts) if (count == 0) == without)
