"""Sheets of exercises: reproducible, exact in what they say, with words that are held out."""

import random
import re

import pytest

from taco.data_gen.scenes.equations import TEST_TITLES, TEST_UNKNOWNS, render
from taco.tools.images import pixel_hash


def test_equal_chance_draws_equal_pixels() -> None:
    one, two, other = (render(random.Random(seed)) for seed in (3, 3, 4))
    assert one.annotation == two.annotation
    assert pixel_hash(one.image) == pixel_hash(two.image) != pixel_hash(other.image)


def test_everything_lies_inside_and_says_what_the_exercises_say() -> None:
    for seed in range(25):
        scene = render(random.Random(seed)).annotation
        for line in scene.lines:
            left, top, right, bottom = line.bbox
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
        written = [line.text for line in scene.lines if line.text != scene.title]
        told = [
            part if index else f"{problem.label} {part}".strip()
            for problem in scene.problems
            for index, part in enumerate(problem.text.split(", "))
        ]
        assert written == told


def test_the_test_split_has_titles_and_letters_of_its_own() -> None:
    for split, held_out in (("train", False), ("test", True)):
        for seed in range(20):
            scene = render(random.Random(seed), split=split).annotation  # type: ignore[arg-type]
            letters = {letter for problem in scene.problems for letter in re.findall(r"[a-z]", problem.text.replace("of", ""))}
            assert (letters <= set(TEST_UNKNOWNS)) if held_out else letters.isdisjoint(TEST_UNKNOWNS)
            assert (scene.title in TEST_TITLES) == held_out


def test_as_many_exercises_as_wanted_or_a_sentence() -> None:
    assert {len(render(random.Random(seed), min_items=2, max_items=3).annotation.problems) for seed in range(12)} == {2, 3}
    with pytest.raises(ValueError, match="1 to 6 exercises; got min_items=3, max_items=9"):
        render(random.Random(0), min_items=3, max_items=9)
