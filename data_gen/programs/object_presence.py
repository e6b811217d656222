"""Whether something is there, how many kinds there are, and questions that have no answer since what they ask about is not there.

Run: `make_question(rng, "unanswerable", TYPES["unanswerable"], scene)`.
"""

import random

from taco.data_gen.programs.object_facts import absent_names, countable, mentions, names_of, trait, traits_of, whole
from taco.data_gen.programs.object_nouns import a, joined, singular
from taco.data_gen.programs.object_phrasings import PHRASINGS, UNANSWERABLE
from taco.data_gen.programs.object_steps import locate, name_objects, say, with_a_list
from taco.data_gen.programs.question import CANNOT_TELL, Asked, GaveUp, Parameters, Program, QuestionType, terminate
from taco.data_gen.scenes.object_names import OBJECT_COLOURS
from taco.data_gen.scenes.scene import ObjectScene

KINDS = ("colour", "pattern", "material")

# ---------------------------------------------------------------------- what is asked, and the right answer (annotation only)


def _count_kinds(rng: random.Random, scene: ObjectScene) -> Asked | None:
    names = {item.name for item in scene.objects}
    return Asked({}, str(len(names))) if whole(scene) and len(countable(scene)) == len(names) else None


def _is_there(rng: random.Random, scene: ObjectScene) -> Asked | None:
    absent, groups = absent_names(scene), countable(scene)
    if not absent or not groups:  # else it would always be yes
        return None
    yes = rng.random() < 0.5
    name = rng.choice(sorted(groups) if yes else absent)
    return Asked({"name": name, "an_item": a(name)}, "yes" if yes else "no", ("yes", "no"))


def _is_there_with_attribute(rng: random.Random, scene: ObjectScene) -> Asked | None:
    name, there, elsewhere = _described(rng, scene)
    if not there or not elsewhere:  # else it would mostly be yes
        return None
    yes = rng.random() < 0.5
    described = f"{rng.choice(there if yes else elsewhere)} {name}"
    return Asked({"name": described, "an_item": a(described)}, "yes" if yes else "no", ("yes", "no"))


def _described(rng: random.Random, scene: ObjectScene) -> tuple[str, list[str], list[str]]:
    """A name, its attributes of a kind, and those that only other objects have: with them a detector can be tempted."""
    kind = rng.choice(KINDS)
    known = {name: found for name, items in countable(scene).items() if (found := set(traits_of(items, kind)))}
    if not known:
        return "", [], []
    name = rng.choice(sorted(known))
    elsewhere = {value for item in scene.objects if (value := trait(item, kind))}
    return name, sorted(known[name]), sorted(elsewhere - known[name])


def _unanswerable(rng: random.Random, scene: ObjectScene) -> Asked | None:
    absent, mentioned = absent_names(scene), mentions(scene)
    if rng.random() < 0.3:
        name, _, elsewhere = _described(rng, scene)
        absent = [f"{value} {name}" for value in elsewhere]
    others = [mention for mention in mentioned if not any(name.endswith(f" {mention.words}") for name in absent)]
    if not absent or not others:
        return None
    name, other, wanted = rng.choice(absent), rng.choice(others).words, rng.choice(list(UNANSWERABLE))
    wrong = {
        "colour": tuple(OBJECT_COLOURS), "whether": ("yes", "no"), "closer": (name, other), "thing": names_of(mentioned),
    }  # fmt: skip
    parameters = {"name": name, "item": singular(name), "other": singular(other)}
    return Asked(parameters, CANNOT_TELL, wrong[wanted], UNANSWERABLE[wanted])


# ---------------------------------------------------------------------- how it is answered (parameters and observations only)


def _names(asked: Parameters, rng: random.Random) -> Program:
    named = yield from name_objects(rng)
    templates = ("The kinds are {names}: {n}.", "I count the names {names}. That is {n}.", "{names}: that makes {n}.")
    yield from terminate(say(rng, templates, names=joined(named), n=len(named)), str(len(named)))


_TO_CHECK = (
    "I check whether there is {an_item}.",
    "I look for {an_item}.",
    "If there is {an_item}, the detector should find it.",
)
_NOTHING = ("Nothing was found.", "The detector found none.", "There are no regions.", "No box came back.")


def _check_boxes(asked: Parameters, rng: random.Random) -> Program:
    found = yield from locate(rng, [asked["name"]], say(rng, _TO_CHECK, an_item=asked["an_item"]))
    if found.regions:
        yield from terminate(say(rng, ("There is one at {}.", "Found at {}."), list(found.regions[0].box)), "yes")
    else:
        yield from terminate(say(rng, _NOTHING), "no")


def _check_names(asked: Parameters, rng: random.Random) -> Program:
    named = yield from name_objects(rng, say(rng, ("I ask for the names of all objects.", "The list of objects will tell.")))
    has = asked["name"] in named
    told = f"The objects are {joined(named)}: {asked['name']} is {'' if has else 'not '}among them."
    yield from terminate(told, "yes" if has else "no")


_BEFORE = (
    "I look for the {item} first.",
    "First I have to find the {item}.",
    "Where is the {item}? I let the detector look.",
    "Before anything else I locate the {item}.",
)
_NO_ANSWER = (
    " There is no {item}, so this has no answer.",
    " Without the {item} this cannot be told.",
    " The question supposes a {item} that is not there.",
)


def _miss(asked: Parameters, rng: random.Random) -> Program:
    found = yield from locate(rng, [asked["name"]], say(rng, _BEFORE, item=asked["item"]))
    if found.regions:
        raise GaveUp("it was found")
    yield from terminate(say(rng, _NOTHING) + say(rng, _NO_ANSWER[:2], item=asked["item"]), CANNOT_TELL)


def _miss_by_name(asked: Parameters, rng: random.Random) -> Program:
    """By the names of what is there, and then to be sure by looking for it."""
    named = yield from name_objects(rng, say(rng, ("First I find out what is there at all.", "Which objects are there?")))
    thought = f"The objects are {joined(named)}. I look for the {asked['item']} all the same."
    found = yield from locate(rng, [asked["name"]], thought)
    if found.regions:
        raise GaveUp("it was found")
    yield from terminate(say(rng, _NOTHING) + say(rng, _NO_ANSWER[:2], item=asked["item"]), CANNOT_TELL)


TYPES: dict[str, QuestionType] = {
    "count_kinds": QuestionType(0.5, _count_kinds, (_names,), PHRASINGS["count_kinds"]),
    "is_there": QuestionType(1.0, _is_there, (_check_boxes, _check_names), PHRASINGS["is_there"]),
    "is_there_with_attribute": QuestionType(
        0.8, _is_there_with_attribute, with_a_list(_check_boxes), PHRASINGS["is_there_with_attribute"]
    ),
    "unanswerable": QuestionType(0.8, _unanswerable, (_miss, _miss_by_name), PHRASINGS["unanswerable"]),
}
"""Every type; with `object_phrasings` and `objects` all there is to one."""
