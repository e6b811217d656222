"""Scenes of the family `sets`: two to five pictures of objects that are asked about together, some of them variations of others.

Run: `contact_sheet([render(random.Random(7))]).show()`; the same seed gives the same pixels on any number of workers.

A composition (place, camera, things in the order in which they are put there) is a seed of `objects.render`. A variation is the
same seed with more or fewer things, mirrored or not: pictures that differ by a mug, as well as pictures that share nothing.
"""

import random

from PIL import Image, ImageOps

from taco.data_gen.annotations import Scenes
from taco.data_gen.scenes import objects
from taco.data_gen.scenes.names import Split
from taco.data_gen.scenes.object_relations import OPPOSITES
from taco.data_gen.scenes.scene import Box, ObjectScene, Relation, Scene, SceneSet

MOST_PICTURES = 5
LONGEST = 640
"""Pixels of a picture's longer side, at most: a set costs as much room as all its pictures."""
OBJECTS = (1, 6)
"""Of one picture."""
VARIED = (0.0, 0.5, 0.9)
"""How likely a picture is a variation of an earlier one; drawn once for a set."""
MIRRORED = 0.4
"""Share of the variations."""
LOOKED_AT = 12
"""Photographs that are looked through for one that shares an object's name with those that are there."""


def render(rng: random.Random, *, split: Split = "train", min_items: int = 2, max_items: int = MOST_PICTURES) -> Scene:
    """Draw one set.

    Args:
        rng: Where all chance comes from: equal states give equal sets.
        split: See `objects.render`.
        min_items: Fewest pictures, at least 2.
        max_items: Most pictures, at most 5.

    Returns:
        The pictures, no two alike in all, and a `SceneSet`; there are no disparities, since no tool of the family needs them.

    Raises:
        ValueError: If not 2 <= min_items <= max_items <= 5.
    """
    if not 2 <= min_items <= max_items <= MOST_PICTURES:
        wanted = f"A set has 2 to {MOST_PICTURES} pictures, min_items <= max_items"
        raise ValueError(f"{wanted}; got min_items={min_items}, max_items={max_items}.")
    count, varied = rng.randint(min_items, max_items), rng.choice(VARIED)
    drawn: list[tuple[int, int, bool]] = []
    while len(drawn) < count:
        old = bool(drawn) and rng.random() < varied
        seed = rng.choice(drawn)[0] if old else rng.getrandbits(64)
        picture = seed, rng.randint(*OBJECTS), old and rng.random() < MIRRORED
        if picture not in drawn:
            drawn.append(picture)
    rng.shuffle(drawn)
    return _together([_picture(*picture, split) for picture in drawn])


def pick(rng: random.Random, scenes: Scenes, number: int) -> Scene:
    """A set of annotated images: number i of a folder and 1 to 4 others, rather ones that show an object of a name that it shows.

    Raises:
        ValueError: If there are fewer than two images, or one is not annotated with objects.
    """
    if len(scenes) < 2:
        raise ValueError("A set is made of at least two annotated images, and there is one. Annotate more.")
    looked_at = rng.sample(range(len(scenes)), min(LOOKED_AT, len(scenes)))
    names = _names(scenes, number)
    others = [other for other in looked_at if other != number]
    others.sort(key=lambda other: not names & _names(scenes, other))  # stable: chance decides among equals
    chosen = [number, *others[: rng.randint(1, MOST_PICTURES - 1)]]
    rng.shuffle(chosen)
    return _together([scenes[index] for index in chosen])


def _names(scenes: Scenes, number: int) -> set[str]:
    annotation = scenes.record(number).annotation
    if not isinstance(annotation, ObjectScene):
        raise ValueError(f"Scene {number} is of the family {annotation.family}; a set is made of images with annotated objects.")
    return {item.name for item in annotation.objects}


def _together(scenes: list[Scene]) -> Scene:
    annotation = SceneSet(scenes=tuple(scene.annotation for scene in scenes))
    return Scene(tuple(scene.image for scene in scenes), annotation)


def _picture(seed: int, count: int, mirrored: bool, split: Split) -> Scene:
    """`count` things of a composition."""
    scene = objects.render(random.Random(seed), split=split, min_items=count, max_items=count)
    image, annotation = scene.image, _unmasked(scene.annotation)
    if mirrored:
        image, annotation = ImageOps.mirror(image), _mirrored(annotation)
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return Scene((image,), annotation.model_copy(update={"width": image.width, "height": image.height}))


def _unmasked(scene: ObjectScene) -> ObjectScene:
    """Pictures of a set have another size, and no question of theirs needs masks."""
    things = tuple(item.model_copy(update={"mask": None}) for item in scene.objects)
    return scene.model_copy(update={"objects": things})


def _mirrored(scene: ObjectScene) -> ObjectScene:
    things = tuple(item.model_copy(update={"bbox": _mirrored_box(item.bbox)}) for item in scene.objects)
    return scene.model_copy(update={"objects": things, "relations": tuple(map(_mirrored_relation, scene.relations))})


def _mirrored_box(box: Box) -> Box:
    left, top, right, bottom = box
    return round(1 - right, 4), top, round(1 - left, 4), bottom


def _mirrored_relation(relation: Relation) -> Relation:
    if relation.predicate not in ("left of", "right of"):
        return relation
    return relation.model_copy(update={"predicate": OPPOSITES[relation.predicate]})
