"""What objects look like: the colour of one, which one is red, the same colour; and what is plain to see without a tool.

Run: `make_question(rng, "colour_of_object", TYPES["colour_of_object"], scene)`.

No tool gives attributes. A detector that is asked for a "red mug" finds one or does not; or the object is cut out, and the model
looks for itself (`object_steps.Eyes`: it sees what lies in the box that it looks at, be it the right one or not).
"""

import random
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations

from taco.data_gen.programs.object_facts import (
    Mention,
    absent_names,
    by_name,
    countable,
    mentions,
    names_of,
    plain,
    sample,
    trait,
    traits_of,
    whole,
)
from taco.data_gen.programs.object_nouns import a, counted, is_mass, joined, listed, plural, singular
from taco.data_gen.programs.object_phrasings import PHRASINGS
from taco.data_gen.programs.object_steps import Eyes, Found, Region, locate, look_at, look_for, say, with_a_list
from taco.data_gen.programs.question import Asked, GaveUp, Parameters, Program, QuestionType, evenly, terminate
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS, OBJECT_COLOURS
from taco.data_gen.scenes.scene import ObjectScene, area

KINDS = ("colour", "colour", "pattern", "material")
PLAIN_AREA = 0.02
"""Share of the image of a box that is plain to see, where there are at most `PLAIN_OBJECTS`; its sides have `PLAIN_SIDE`."""
PLAIN_SIDE = 0.1
PLAIN_OBJECTS = 4
PLAIN_COUNT = 3

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _values(kind: str) -> list[str]:
    return [value for value, its_kind in ATTRIBUTE_KINDS.items() if its_kind == kind]


def _plain_to_see(scene: ObjectScene) -> bool:
    large = all(area(item.bbox) >= PLAIN_AREA and plain(item, PLAIN_SIDE) for item in scene.objects)
    return large and len(scene.objects) <= PLAIN_OBJECTS


def _with_trait(rng: random.Random, scene: ObjectScene, kind: str) -> tuple[Mention, str] | None:
    """An object that can be named without its attribute of a kind, and that attribute."""
    found = [
        (mention, value)
        for mention in mentions(scene)
        if (value := trait(mention.item, kind)) and value not in mention.words.split()
    ]
    return rng.choice(found) if found else None


def _colour(rng: random.Random, scene: ObjectScene, *, at_sight: bool) -> Asked | None:
    chosen = _with_trait(rng, scene, "colour") if _plain_to_see(scene) == at_sight else None
    if chosen is None:
        return None
    mention, value = chosen
    parameters = {"name": mention.words, "item": singular(mention.words), "eyes": Eyes(scene), "kind": "colour"}
    if at_sight:
        parameters |= {"seen": value}
    return Asked(parameters, value, tuple(other for other in _values("colour") if other != value))


def _object_with(rng: random.Random, scene: ObjectScene) -> Asked | None:
    """One of all objects, or of a few, has an attribute that the others have not."""
    kind = rng.choice(KINDS)
    everything = whole(scene) and rng.random() < 0.5
    mentioned = [mention for mention in mentions(scene) if trait(mention.item, kind) and mention.words == mention.item.name]
    chosen = mentioned if everything else sample(rng, mentioned)
    values = traits_of(scene.objects if everything else [mention.item for mention in chosen], kind)
    single = [mention for mention in chosen if values.count(trait(mention.item, kind) or "") == 1]
    if len(values) < 2 or not single:
        return None
    first = rng.choice(single)
    names = names_of(chosen)
    lists = {"choice": f": {listed(names, 'or')}", "among": f"{rng.choice(('of', 'among'))} {listed(names)}, "}
    parameters = {"names": None, "choice": "", "among": ""} if everything else {"names": names, **lists}
    wrong = tuple(
        sorted({item.name for item in scene.objects} - {first.words}) if everything else (n for n in names if n != first.words)
    )
    return Asked({"attribute": trait(first.item, kind), **parameters}, first.words, wrong)


def _which_attribute(rng: random.Random, scene: ObjectScene) -> Asked | None:
    kind = rng.choice(KINDS)
    chosen = _with_trait(rng, scene, kind)
    if chosen is None:
        return None
    mention, value = chosen
    others = [other for other in _values(kind) if other != value]
    options = [value, *rng.sample(others, min(2, len(others)))]
    rng.shuffle(options)
    parameters = {
        "name": mention.words,
        "item": singular(mention.words),
        "attributes": tuple(options),
        "options": joined(options, "or"),
    }
    return Asked(parameters | {"eyes": Eyes(scene), "kind": kind}, value, tuple(option for option in options if option != value))


def _is_attribute(rng: random.Random, scene: ObjectScene) -> Asked | None:
    kind = rng.choice(KINDS)
    chosen = _with_trait(rng, scene, kind)
    if chosen is None:
        return None
    mention, value = chosen
    yes = rng.random() < 0.5
    said = value if yes else rng.choice([other for other in _values(kind) if other != value])
    parameters = {"name": mention.words, "item": singular(mention.words), "attribute": said, "eyes": Eyes(scene), "kind": kind}
    return Asked(parameters, "yes" if yes else "no", ("yes", "no"))


def _same_colour(rng: random.Random, scene: ObjectScene) -> Asked | None:
    pairs: dict[bool, list[tuple[Mention, Mention]]] = {True: [], False: []}
    for one, other in combinations(mentions(scene), 2):
        colours = trait(one.item, "colour"), trait(other.item, "colour")
        if all(colours) and one.words == one.item.name and other.words == other.item.name:
            pairs[colours[0] == colours[1]].append((one, other))
    same = rng.random() < 0.5
    if not all(pairs.values()):  # with pairs of both kinds, "no" is not the likelier answer
        return None
    one, other = rng.sample(rng.choice(pairs[same]), 2)
    words = {"item": singular(one.words), "other": singular(other.words)}
    return Asked({"names": (one.words, other.words), "eyes": Eyes(scene), **words}, "yes" if same else "no", ("yes", "no"))


def _count_at_sight(rng: random.Random, scene: ObjectScene) -> Asked | None:
    groups = {name: items for name, items in countable(scene).items() if len(items) <= PLAIN_COUNT}
    if not groups or not _plain_to_see(scene):
        return None
    counts = {name: len(items) for name, items in groups.items()} | dict.fromkeys(absent_names(scene), 0)
    name = evenly(rng, sorted(counts), counts.__getitem__)
    number = str(counts[name])
    what = counted(counts[name], name) if counts[name] else f"no {plural(name)}"
    return Asked({"items": plural(name), "seen": number, "what": what}, number)


def _only_object(rng: random.Random, scene: ObjectScene) -> Asked | None:
    if not whole(scene) or len(scene.objects) != 1 or not _plain_to_see(scene) or not by_name(scene):
        return None
    name = scene.objects[0].name
    if is_mass(name):
        return None
    return Asked({"seen": name, "what": a(name)}, name, tuple(absent_names(scene)))


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)

_LOOKED = ("It is {value}.", "I see that it is {value}.", "Here it can be seen: {value}.", "The {item} is {value}.")


def _look(asked: Parameters, rng: random.Random) -> Program:
    """Find it, cut it out, look."""
    found = yield from locate(rng, [asked["name"]])
    region = found.one(asked["name"])
    yield from look_at(rng, region, f"{found.note}The {region.label} is at {list(region.box)}.")
    value = asked["eyes"].trait(region, asked["kind"])
    thought = say(rng, _LOOKED, value=value, item=asked["item"])
    yield from terminate(thought, _yes(value == asked["attribute"]) if "attribute" in asked else value)


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _look_at_both(asked: Parameters, rng: random.Random) -> Program:
    found = yield from locate(rng, asked["names"])
    one, other = (found.one(name) for name in asked["names"])
    yield from look_at(rng, one, f"{found.note}The {one.label} is at {list(one.box)}.")
    first = asked["eyes"].trait(one, "colour")
    yield from look_at(rng, other, f"The {one.label} is {first}. The {other.label} is at {list(other.box)}.")
    second = asked["eyes"].trait(other, "colour")
    told = f"The {one.label} is {first} and the {other.label} is {second}"
    yield from terminate(f"{told}: {'the same' if first == second else 'two colours'}.", _yes(first == second))


_DETECT = (
    "If it is {attribute}, the detector finds {described}.",
    "I look for {described}.",
    "Whether it is {attribute} shows if {described} is found.",
)


def _detect(asked: Parameters, rng: random.Random) -> Program:
    described = f"{asked['attribute']} {asked['name']}"
    found = yield from locate(rng, [described], say(rng, _DETECT, attribute=asked["attribute"], described=f"the {described}"))
    if found.regions:
        yield from terminate(f"There is a box for the {described}, so it is.", "yes")
    else:
        yield from terminate(f"No {described} was found.", "no")


def _find_only(rng: random.Random, described: Mapping[str, str], thought: str, ends: Sequence[str]) -> Program:
    """Looks for each description; the answer stands behind the one that is found."""
    found = yield from locate(rng, list(described), thought)
    region = _only(found)
    yield from terminate(found.note + say(rng, ends, region.label), described[region.name])


def _only(found: Found) -> Region:
    if len(found.regions) != 1:
        raise GaveUp("not just one was found")
    return found.regions[0]


def _detect_which(asked: Parameters, rng: random.Random) -> Program:
    described = {f"{value} {asked['name']}": value for value in asked["attributes"]}
    thought = say(
        rng,
        ("I look for each of them: {what}.", "One of {what} should be found.", "I ask the detector for {what}."),
        what=joined(list(described)),
    )
    yield from _find_only(rng, described, thought, ("Only the {} was found.", "The box is of the {}.", "It is {}."))


def _detect_colour(asked: Parameters, rng: random.Random) -> Program:
    described = {f"{colour} {asked['name']}": colour for colour in OBJECT_COLOURS}
    ways = ("I look for the {item} in each colour.", "In which colour does the detector find the {item}?")
    yield from _find_only(rng, described, say(rng, ways, item=asked["item"]), ("Only the {} was found.", "It is the {}."))


def _detect_object(asked: Parameters, rng: random.Random) -> Program:
    attribute, names = asked["attribute"], asked["names"]
    if names is not None:
        thought = say(rng, ("I look for each of them in {a}.", "Which of them is {a}? I ask the detector."), a=attribute)
        found = yield from locate(rng, [f"{attribute} {name}" for name in names], thought)
    else:
        found = yield from look_for(rng, None, attribute)
    region = _only(found)
    yield from terminate(
        f"{found.note}Only the {region.label} was found, at {list(region.box)}.", region.name.removeprefix(f"{attribute} ")
    )


_AT_SIGHT = ("no tool is needed", "I need no tool for that", "it is large enough to see", "that is plain to see")


def _see(asked: Parameters, rng: random.Random, *, template: str) -> Program:
    thought = template.format(**asked) + say(rng, ("; {why}.", ": {why}.", ", and {why}."), why=rng.choice(_AT_SIGHT))
    yield from terminate(thought, asked["seen"])


TYPES: dict[str, QuestionType] = {
    "colour_of_object": QuestionType(
        1.2, partial(_colour, at_sight=False), (_detect_colour, *with_a_list(_look)), PHRASINGS["colour_of_object"]
    ),
    "object_with_attribute": QuestionType(1.0, _object_with, (_detect_object,), PHRASINGS["object_with_attribute"]),
    "which_attribute": QuestionType(1.0, _which_attribute, (_detect_which, _look), PHRASINGS["which_attribute"]),
    "is_attribute": QuestionType(1.0, _is_attribute, (_detect, _look), PHRASINGS["is_attribute"]),
    "same_colour": QuestionType(0.7, _same_colour, with_a_list(_look_at_both), PHRASINGS["same_colour"]),
    "colour_at_sight": QuestionType(
        1.0, partial(_colour, at_sight=True), (partial(_see, template="The {item} is {seen}"),), PHRASINGS["colour_at_sight"]
    ),
    "count_at_sight": QuestionType(
        1.0, _count_at_sight, (partial(_see, template="I see {what} in the image"),), PHRASINGS["count_at_sight"]
    ),
    "only_object": QuestionType(
        1.0, _only_object, (partial(_see, template="I see nothing but {what}"),), PHRASINGS["only_object"]
    ),
}
"""Every type; with `object_phrasings` and `objects` all there is to one."""
