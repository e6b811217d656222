"""Which picture a text describes, which text a picture, and which picture is most like another.

Run: `make_question(rng, "image_of_text", TYPES["image_of_text"], annotation)`. Asked only where one picture bears out all
of a text and the others at most half; or shares clearly more with a picture than the others (`similarity_errors.likeness`).
"""

import random
from collections.abc import Callable, Sequence

from taco.data_gen.programs.object_facts import countable, lacks, trait, whole
from taco.data_gen.programs.object_nouns import a, joined
from taco.data_gen.programs.object_steps import say
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Plan, Program, QuestionType, call, terminate
from taco.data_gen.programs.set_facts import image, images_of, naming, others, said
from taco.data_gen.programs.set_phrasings import PHRASINGS
from taco.data_gen.programs.set_steps import by_image, extreme, locate_in, names_in, pointed, survey, survey_names
from taco.data_gen.scenes.scene import ObjectScene, SceneSet
from taco.data_gen.similarity_errors import common, likeness

MOST_THINGS = 3
"""Of a caption."""
LEAST_FALSE = 0.5
"""Share of a caption's things that are certainly not in a picture which it does not describe."""
CLEARLY = 0.2
"""How much more like a picture one is than the others."""
MOST_CAPTIONS = 4
OTHER = 0.4
"""Share of "which image is most like image-1" that say "which other image" and do not name the others."""
TRIES = 8

Things = tuple[tuple[str, str], ...]
"""What a caption names: attribute (or "") and name of each."""

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _things(rng: random.Random, scene: ObjectScene) -> Things:
    """Some of what a picture shows, each of another name."""
    groups = countable(scene)
    names = rng.sample(sorted(groups), rng.randint(1, min(MOST_THINGS, len(groups)))) if groups else []
    things = []
    for name in names:
        colours = sorted({colour for item in groups[name] if (colour := trait(item, "colour"))})
        things.append((rng.choice(colours) if colours and rng.random() < 0.8 else "", name))
    return tuple(things)


def _caption(things: Things) -> str:
    """``a red mug and a book``"""
    return joined([a(f"{colour} {name}".strip()) for colour, name in things])


def _is_false_of(things: Things, scene: ObjectScene) -> bool:
    """Whether a picture certainly lacks half of the things or more: a red mug is not there if there is none, or none is red."""
    false = sum(lacks(scene, name) or (bool(colour) and _none_is(scene, colour, name)) for colour, name in things)
    return false >= LEAST_FALSE * len(things) > 0


def _none_is(scene: ObjectScene, colour: str, name: str) -> bool:
    colours = [trait(item, "colour") for item in countable(scene).get(name, ())]
    return bool(colours) and None not in colours and colour not in colours


def _image_of_text(rng: random.Random, asked: SceneSet) -> Asked | None:
    for _ in range(TRIES):
        index = rng.randrange(len(asked.scenes))
        things = _things(rng, asked.scenes[index])
        if things and all(_is_false_of(things, scene) for other, scene in enumerate(asked.scenes) if other != index):
            images = images_of(asked)
            parameters = naming(rng, images) | {"text": _caption(things), "names": _descriptions(things)}
            return Asked(parameters, image(index), others(images, image(index)))
    return None


def _descriptions(things: Things) -> tuple[str, ...]:
    return tuple(f"{colour} {name}".strip() for colour, name in things)


def _text_of_image(rng: random.Random, asked: SceneSet) -> Asked | None:
    index = rng.randrange(len(asked.scenes))
    scene = asked.scenes[index]
    right = _things(rng, scene)
    captions = {_caption(right): right}
    for _ in range(TRIES):
        other = _things(rng, rng.choice(asked.scenes))
        if _is_false_of(other, scene) and len(captions) < MOST_CAPTIONS:
            captions.setdefault(_caption(other), other)
    if not right or len(captions) < 2:
        return None
    texts = list(captions)
    rng.shuffle(texts)
    [words] = said(rng, index)
    parameters = {
        "picture": image(index),
        "image": words,
        "texts": tuple(texts),
        "names": tuple(_descriptions(captions[text]) for text in texts),
        "options": joined([f'"{text}"' for text in texts], "or"),
    }
    return Asked(parameters, _caption(right), tuple(text for text in texts if text != _caption(right)))


def _is_more_alike(scene: ObjectScene, one: ObjectScene, other: ObjectScene) -> bool:
    """Whether one picture is clearly more like a third than another is, by all in all, and neither by names nor by looks less."""
    names = [common({i.name for i in scene.objects}, {i.name for i in own.objects}) for own in (one, other)]
    looks = [common(_looks(scene), _looks(own)) for own in (one, other)]
    all_in_all = [likeness(scene.objects, own.objects) for own in (one, other)]
    return all_in_all[0] - all_in_all[1] >= CLEARLY and names[0] >= names[1] and looks[0] >= looks[1]


def _looks(scene: ObjectScene) -> list[tuple[str, ...]]:
    return [(item.name, *item.attributes) for item in scene.objects]


def _most_alike(rng: random.Random, asked: SceneSet) -> Asked | None:
    if len(asked.scenes) < 3 or not all(map(whole, asked.scenes)):
        return None
    found = []
    for index, scene in enumerate(asked.scenes):
        rest = [i for i in range(len(asked.scenes)) if i != index]
        best = max(rest, key=lambda i: likeness(scene.objects, asked.scenes[i].objects))
        if all(_is_more_alike(scene, asked.scenes[best], asked.scenes[i]) for i in rest if i != best):
            found.append((index, image(best)))
    if not found:
        return None
    index, answer = rng.choice(found)
    other_images = others(images_of(asked), image(index))
    [words] = said(rng, index)
    parameters = naming(rng, other_images, whole=False) | {"picture": image(index), "image": words}
    if rng.random() < OTHER:
        parameters["which"] = "which other image"
    return Asked(parameters, answer, others(other_images, answer))


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)

_SCORES = ("The similarities are {all}. ", "{all}. ", "Similarity with {all}. ")
_BEST = ("The highest is that of {best}.", "So {best} fits best.", "{value} is the highest, so it is {best}.")


def _most_similar(rng: random.Random, candidates: Sequence[str], similarity: Sequence[float]) -> tuple[str, str]:
    """The best candidate, and a sentence that says so. Raises GaveUp where two are equal."""
    scores = dict(zip(candidates, similarity, strict=True))
    best = extreme(scores, 1)
    told = ", ".join(f"{candidate} {score}" for candidate, score in scores.items())
    return best, say(rng, _SCORES, all=told) + say(rng, _BEST, best=best, value=scores[best])


def _compare_text(asked: Parameters, rng: random.Random) -> Program:
    ways = (
        "I compare the text with all images at once.",
        "How well does the text fit each image? One call compares it with all.",
        "The similarity of the text to each image will tell.",
        "I let the text be compared with every image.",
    )
    images = list(asked["images"])
    result = yield from call(say(rng, ways), "GetTextToImagesSimilarity", text=asked["text"], images=images)
    answer, told = _most_similar(rng, images, result["similarity"])
    yield from terminate(told, answer)


def _find_all(asked: Parameters, rng: random.Random) -> Program:
    """Looks for each thing of the text in one picture after the other, until one has all."""
    names, images = asked["names"], asked["images"]
    ways = (
        "The text names {things}. I look for all of it, first in {image}.",
        "Which image has {things}? I begin with {image}.",
        "I search the images for {things}, {image} first.",
    )
    first = say(rng, ways, things=asked["text"], image=images[0])
    found, told = yield from survey(rng, images, names, first, until=lambda own: all(map(own.count, names)))
    answer = next((one for one, own in found.items() if all(map(own.count, names))), "")
    if not answer:
        raise GaveUp("no image has all of it")
    yield from terminate(
        told + say(rng, ("That is all of it.", "So the text is about {image}.", "It fits {image}."), image=answer), answer
    )


def _compare_texts(asked: Parameters, rng: random.Random) -> Program:
    ways = (
        "I compare {image} with all the texts.",
        "How well does each text fit {image}? One call tells.",
        "The similarity of {image} to each text will show which one fits.",
        "I let the texts be compared with {image}.",
    )
    texts, picture = list(asked["texts"]), asked["picture"]
    thought = pointed((asked["image"], picture)) + say(rng, ways, image=picture)
    result = yield from call(thought, "GetImageToTextsSimilarity", image=picture, texts=texts)
    answer, told = _most_similar(rng, texts, result["similarity"])
    yield from terminate(told, answer)


def _find_things(asked: Parameters, rng: random.Random) -> Program:
    """Looks for the things of all the texts in the picture."""
    picture, texts = asked["picture"], asked["texts"]
    # "red mug" before "mug": a detector gives a thing one label.
    things = sorted(dict.fromkeys(name for names in asked["names"] for name in names), key=lambda name: -name.count(" "))
    ways = (
        "I look for everything that the texts name in {image}.",
        "The detector can tell which of the things in the texts {image} has.",
        "What of all this is in {image}? I let the detector look.",
    )
    found = yield from locate_in(picture, things, pointed((asked["image"], picture)) + say(rng, ways, image=picture))
    there = [name for name in things if any(f" {region.name}".endswith(f" {name}") for region in found.regions)]
    fitting = [text for text, names in zip(texts, asked["names"], strict=True) if set(names) <= set(there)]
    if len(fitting) != 1:
        raise GaveUp("not just one text fits")
    ways = ("Found in {image}: {there}. ", "Of these {image} has {there}. ", "What {image} has of it is {there}. ")
    told = found.note + say(rng, ways, image=picture, there=joined([a(name) for name in there]))
    end = say(rng, ("Only {text!r} is borne out in full.", "So it is {text!r}.", "That fits {text!r}."), text=fitting[0])
    yield from terminate(told + end, fitting[0])


def _compare_images(asked: Parameters, rng: random.Random) -> Program:
    ways = (
        "I compare {image} with all the others.",
        "How alike are the others to {image}? One call tells.",
        "The similarity of {image} to each of the others will tell.",
        "I let {image} be compared with the other images.",
    )
    picture, rest = asked["picture"], list(asked["images"])
    thought = pointed((asked["image"], picture)) + say(rng, ways, image=picture)
    result = yield from call(thought, "GetImageToImagesSimilarity", image=picture, other_images=rest)
    answer, told = _most_similar(rng, rest, result["similarity"])
    yield from terminate(told, answer)


def _share_most(asked: Parameters, rng: random.Random) -> Program:
    """By how many names of objects each picture has in common with the one."""
    picture, rest = asked["picture"], asked["images"]
    ways = (
        "What is in {image}? I compare that with the others then.",
        "I list the objects of {image} first, then those of the others.",
    )
    names = yield from names_in(picture, pointed((asked["image"], picture)) + say(rng, ways, image=picture))
    ways = ("{image} has {names}. How much of it is in {first}?", "Objects of {image}: {names}. Next those of {first}.")
    thought = say(rng, ways[bool(names) - 1 :], image=picture, names=", ".join(names), first=rest[0])
    named, told = yield from survey_names(rng, rest, thought)
    # Names in common, of all that either has.
    common = {one: len(set(own) & set(names)) / max(1, len(set(own) | set(names))) for one, own in named.items()}
    answer = extreme(common, 1)
    shared = {one: len(set(own) & set(names)) for one, own in named.items()}
    ways = ("Shared with {image}: {all}. So it is {best}.", "Names in common with {image}: {all}; {best} is most like it.")
    yield from terminate(told + say(rng, ways, image=picture, all=by_image(shared), best=answer), answer)


def _type(weight: float, name: str, choose: Callable[..., Asked | None], *plans: Plan) -> dict[str, QuestionType]:
    return {name: QuestionType(weight, choose, plans, PHRASINGS[name])}


TYPES: dict[str, QuestionType] = {
    **_type(1.0, "image_of_text", _image_of_text, _compare_text, _find_all),
    **_type(1.0, "text_of_image", _text_of_image, _compare_texts, _find_things),
    **_type(1.0, "most_similar_image", _most_alike, _compare_images, _share_most),
}
"""Every type; with `set_phrasings` and `sets` all there is to one."""
