"""What the annotations of a set say for certain, picture by picture; and how a question names the pictures.

    >>> tallies(scenes)["mug"]                          # how many in image-0, image-1 and image-2; None: that cannot be told
    [2, 0, None]

The first picture is image-0; a question may also call it the first image. An answer that is a picture is always ``image-1``.
"""

import random
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from taco.data_gen.programs.object_facts import countable, is_beside, lacks, mentions, traits_of
from taco.data_gen.programs.object_nouns import joined
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS
from taco.data_gen.scenes.scene import ObjectScene, SceneObject, SceneSet

_T = TypeVar("_T", bound=tuple[Any, ...])
Side = Literal["left", "right"]
LOOKS = {"colour": 5, "pattern": 3, "material": 1}
"""Kinds of attributes that are asked about, and how often: most things are matte."""
ORDINALS = ("first", "second", "third", "fourth", "fifth")
NUMBERS = ("zero", "one", "two", "three", "four", "five")


def tallies(scenes: Sequence[ObjectScene]) -> dict[str, list[int | None]]:
    """Of every name how many each picture shows; None where that cannot be told."""
    groups = [countable(scene) for scene in scenes]
    return {
        name: [_number(group.get(name), scene, name) for group, scene in zip(groups, scenes, strict=True)]
        for name in sorted({name for group in groups for name in group})
    }


def _number(items: Sequence[SceneObject] | None, scene: ObjectScene, name: str) -> int | None:
    return len(items) if items else 0 if lacks(scene, name) else None


def described_tallies(scenes: Sequence[ObjectScene]) -> dict[tuple[str, str], list[int | None]]:
    """The same of attributes and names: ``("red", "mug")``."""
    groups = [countable(scene) for scene in scenes]
    found: dict[tuple[str, str], list[int | None]] = {}
    for name in sorted({name for group in groups for name in group}):
        for kind in LOOKS:
            values = [traits_of(group.get(name, ()), kind) for group in groups]
            for value in sorted({value for own in values for value in own}):
                found[value, name] = [
                    own.count(value) if own else 0 if lacks(scene, name) else None
                    for own, scene in zip(values, scenes, strict=True)
                ]
    return found


def by_look(rng: random.Random, found: Sequence[_T]) -> _T:
    """One of several tuples that begin with an attribute (or ""), the kinds as often as `LOOKS` says."""
    return rng.choices(found, [LOOKS[ATTRIBUTE_KINDS[one[0]]] if one[0] else 1 for one in found])[0]


def only(counts: Sequence[int | None], *, without: bool = False) -> int | None:
    """The index of the one picture that shows something (or that lacks it), if it is one and all are known."""
    if None in counts:
        return None
    odd = [index for index, count in enumerate(counts) if (count == 0) == without]
    return odd[0] if len(odd) == 1 else None


def singles(scene: ObjectScene) -> dict[str, SceneObject]:
    """The objects whose name alone singles them out."""
    found = {mention.words: mention.item for mention in mentions(scene) if mention.words == mention.item.name}
    return {name: item for name, item in found.items() if scene.exhaustive and name not in scene.partial}


def side_of(scene: ObjectScene, name: str, other: str) -> Side | Literal["absent"] | None:
    """On which side of another an object is, each the only one of its name; ``absent`` where one of them is not there."""
    if lacks(scene, name) or lacks(scene, other):
        return "absent"
    single = singles(scene)
    if name in single and other in single:
        if is_beside(single[name].bbox, single[other].bbox, "left"):
            return "left"
        if is_beside(single[name].bbox, single[other].bbox, "right"):
            return "right"
    return None


# ---------------------------------------------------------------------- naming pictures


def image(index: int) -> str:
    """``image-1``."""
    return f"image-{index}"


def images_of(asked: SceneSet) -> tuple[str, ...]:
    """``("image-0", "image-1")``."""
    return tuple(map(image, range(len(asked.scenes))))


def said(rng: random.Random, *indices: int) -> list[str]:
    """Words for some pictures, all in one manner: ``image-1`` or ``the second image``."""
    noun = rng.choice(("", "", "image", "picture", "photo"))
    return [f"the {ORDINALS[index]} {noun}" if noun else image(index) for index in indices]


def naming(rng: random.Random, images: Sequence[str], *, whole: bool = True) -> dict[str, object]:
    """Parameters of a question about pictures: `images`, and in its wording ``{these}``, ``{every}`` and ``{which}``.

    Args:
        rng: The chance for the words.
        images: The pictures.
        whole: Whether they are all of the set; some of a set are called by their names.
    """
    noun, named, count = rng.choice(("images", "images", "pictures", "photos")), joined(list(images)), NUMBERS[len(images)]
    ways = [named, f"the {noun} {named}"]
    if whole:
        ways += [f"these {noun}", f"the {count} {noun}", f"these {count} {noun}"]
    these = rng.choice(ways)
    which = [f"which of {these}", f"which of {these}", f"which one of {these}"]
    if whole:
        which += ["which image", "which picture"]
    every = rng.choice(("each of", "both of") if len(images) == 2 else ("each of", "all of", "every one of"))
    return {"images": tuple(images), "these": these, "every": every, "which": rng.choice(which)}


def others(images: Sequence[str], answer: str) -> tuple[str, ...]:
    """The wrong answers where a picture is the right one."""
    return tuple(name for name in images if name != answer)
