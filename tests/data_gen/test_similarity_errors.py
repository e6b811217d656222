"""Simulated similarity looks like the real tools, and follows what annotations share."""

import random
from typing import Any

import pytest
from PIL import Image

from taco.data_gen.observations import Real, Simulated
from taco.data_gen.scenes.scene import ObjectScene, Scene, SceneObject, SceneSet
from taco.data_gen.similarity_errors import SimilarityErrors, likeness, text_likeness, things_in
from taco.data_gen.simulation import matches
from taco.tools.action import Action
from taco.tools.images import ImageStore
from taco.tools.toolbox import Toolbox

NAMES = ("GetImageToImagesSimilarity", "GetImageToTextsSimilarity", "GetTextToImagesSimilarity")
QUIET = SimilarityErrors.load().model_copy(update={"image_noise": 0.0, "text_noise": 0.0})


def thing(name: str, colour: str, left: float = 0.1) -> SceneObject:
    return SceneObject(name=name, attributes=(colour, "matte"), bbox=(left, 0.4, left + 0.2, 0.6))


MUG, BLUE_MUG, BOOK, BALL = thing("mug", "red"), thing("mug", "blue"), thing("book", "green", 0.5), thing("ball", "white", 0.7)
PICTURES = ((MUG, BOOK), (MUG, BOOK, BALL), (BLUE_MUG,), (BALL,))
SET = SceneSet(scenes=tuple(ObjectScene(width=40, height=30, objects=objects) for objects in PICTURES))
IMAGES = tuple(Image.new("RGB", (40, 30), (60 * index, 0, 0)) for index in range(len(PICTURES)))
STORE = ImageStore(IMAGES)


def look(seed: int = 0) -> Toolbox:
    names = [*NAMES, "LocalizeObjects"]
    return Simulated().look(Scene(IMAGES, SET), names, random.Random(seed), [STORE[name] for name in STORE])


def call(toolbox: Toolbox, name: str, store: ImageStore = STORE, **arguments: object) -> dict[str, Any]:
    observation = toolbox.execute(Action(name=name, arguments=arguments), store)
    assert observation.error is None
    return observation.content


def test_they_look_like_the_real_tools_but_for_their_back_end() -> None:
    real, simulated = Toolbox(Real().tools), Toolbox(Simulated().tools)
    for name in NAMES:
        assert real[name].schema() == simulated[name].schema()
        assert simulated[name].backend == "simulated by hand"


def test_other_errors_can_be_handed_in() -> None:
    sure = QUIET.model_copy(update={"model": "sure", "texts": (0.25, 0.75)})
    toolbox = Simulated(likeness=sure).look(Scene(IMAGES, SET), NAMES, random.Random(0), [STORE[name] for name in STORE])
    assert call(toolbox, NAMES[1], image="image-2", texts=["a blue mug", "a boat"])["similarity"] == [0.75, 0.25]
    assert toolbox[NAMES[1]].backend == "simulated sure"


def test_results_have_the_real_keys_and_name_the_best_image_without_making_one() -> None:
    toolbox = look()
    images = call(toolbox, NAMES[0], image="image-0", other_images=["image-3", "image-1"])
    assert (images["best_image_index"], images["best_image"]) == (1, "image-1")
    texts = call(toolbox, NAMES[1], image="image-2", texts=["a ball", "a blue mug"])
    assert (texts["best_text_index"], texts["best_text"]) == (1, "a blue mug")
    assert set(texts) == {"similarity", "best_text_index", "best_text"}
    best = call(toolbox, NAMES[2], text="a blue mug", images=["image-0", "image-2"])
    assert (best["best_image_index"], best["best_image"]) == (1, "image-2")
    assert len(STORE) == len(IMAGES)
    for result in (images, texts, best):
        assert all(value == round(value, 2) for value in result["similarity"])


def test_cosines_depend_on_the_scene_alone_not_on_order_or_company() -> None:
    one, again, other = look(1), look(1), look(2)
    [back] = call(again, NAMES[0], image="image-1", other_images=["image-0"])["similarity"]
    [first, *_] = call(one, NAMES[0], image="image-0", other_images=["image-1", "image-2"])["similarity"]
    assert back == first
    everything = [call(box, NAMES[1], image=name, texts=["a red mug", "a book"]) for box in (one, other) for name in STORE]
    assert everything[:4] != everything[4:]
    [fit] = call(again, NAMES[2], text="a book", images=["image-0"])["similarity"]
    assert fit == everything[0]["similarity"][1]


def test_an_image_is_like_itself_also_with_boxes_drawn_on_it() -> None:
    toolbox, store = look(), STORE.copy()
    drawn = call(toolbox, "LocalizeObjects", store, image="image-1", objects=["mug"])["image"]
    assert call(toolbox, NAMES[0], store, image="image-1", other_images=["image-1", drawn])["similarity"] == [1.0, 1.0]


def test_likeness_falls_with_what_is_not_shared() -> None:
    values = [likeness(PICTURES[0], other) for other in (PICTURES[0], PICTURES[1], (MUG,), PICTURES[2], PICTURES[3])]
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)
    assert values[-1] == 0.0
    assert all(likeness(a, b) == likeness(b, a) for a in PICTURES for b in PICTURES)


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("a photo of a red mug, a book and an orange ball", ["red mug", "book", "orange ball"]),
        ("A red mug next to a wine glass", ["red mug", "wine glass"]),
        ("the", []),
    ],
)
def test_texts_are_read_as_things(text: str, things: list[str]) -> None:
    assert things_in(text) == things


def test_a_text_fits_better_the_more_of_it_is_borne_out() -> None:
    texts = ["a red mug and a book", "a red mug", "a blue mug", "a ball", "!"]
    values = [text_likeness(PICTURES[0], text, matches) for text in texts]
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert values[2] < values[1]
    assert values[3] == values[4] == 0.0
    assert text_likeness((), "a mug", matches) == 0.0


def test_ends_and_noise_are_those_of_the_table() -> None:
    rng = random.Random(0)
    assert QUIET.of_images(PICTURES[0], PICTURES[0], rng) == QUIET.images[1]
    assert QUIET.of_images(PICTURES[0], PICTURES[3], rng) == QUIET.images[0]
    assert QUIET.of_text(PICTURES[0], "a red mug and a book", matches, rng) == QUIET.texts[1]
    noisy = QUIET.model_copy(update={"image_noise": 0.1})
    values = [noisy.of_images(PICTURES[0], PICTURES[3], rng) for _ in range(2000)]
    assert sum(values) / len(values) == pytest.approx(QUIET.images[0], abs=0.01)
    assert 0.08 < (sum((value - QUIET.images[0]) ** 2 for value in values) / len(values)) ** 0.5 < 0.12
