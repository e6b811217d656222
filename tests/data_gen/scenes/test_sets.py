"""The family `sets`: variations whose annotation follows the pixels, sets of photographs."""

import random
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageOps

from taco.data_gen.annotations import ANNOTATIONS_FILE, AnnotatedImages, Scenes, read_scenes
from taco.data_gen.scenes import sets
from taco.data_gen.scenes.object_names import held_out
from taco.data_gen.scenes.scene import ObjectScene, PriceScene, Scene, SceneObject, SceneSet
from taco.tools.images import pixel_hash


@pytest.fixture(scope="module")
def rendered() -> list[Scene]:
    return [sets.render(random.Random(seed), max_items=4) for seed in range(6)]


def test_a_set_has_as_many_pictures_as_asked_for_and_none_twice(rendered: list[Scene]) -> None:
    for scene in rendered:
        assert isinstance(scene.annotation, SceneSet)
        assert 2 <= len(scene.images) == len(scene.annotation.scenes) <= 4
        assert len({pixel_hash(image) for image in scene.images}) == len(scene.images)
        for image, said in zip(scene.images, scene.annotation.scenes, strict=True):
            assert image.size == (said.width, said.height)
            assert 300 <= min(image.size) <= max(image.size) <= sets.LONGEST
            assert said.exhaustive
            assert {item.mask for item in said.objects} == {None}  # they would be those of a larger picture


def test_a_variation_has_the_same_things_and_more() -> None:
    fewer, more = (sets._picture(5, count, False, "train").annotation for count in (2, 4))
    assert len(more.objects) == 4
    assert [(item.name, item.attributes[0]) for item in fewer.objects] == [
        (item.name, item.attributes[0]) for item in more.objects[:2]
    ]


def test_a_mirrored_picture_is_the_mirror_image_and_says_so() -> None:
    plain, mirrored = (sets._picture(8, 4, turned, "train") for turned in (False, True))
    difference = ImageChops.difference(ImageOps.mirror(plain.image), mirrored.image).convert("L")
    assert sum(difference.histogram()[12:]) < 0.01 * plain.image.width * plain.image.height  # the scaling rounds
    for item, other in zip(plain.annotation.objects, mirrored.annotation.objects, strict=True):
        assert (item.name, item.attributes, item.depth) == (other.name, other.attributes, other.depth)
        assert other.bbox == pytest.approx((1 - item.bbox[2], item.bbox[1], 1 - item.bbox[0], item.bbox[3]), abs=1e-4)
    assert plain.annotation.relations
    for relation in mirrored.annotation.relations:
        if relation.predicate in ("left of", "right of"):
            left, right = (mirrored.annotation.objects[index].bbox for index in (relation.subject, relation.object))
            assert (left[0] + left[2] < right[0] + right[2]) == (relation.predicate == "left of")
    assert sets._mirrored(sets._mirrored(plain.annotation)) == plain.annotation


def test_the_splits_share_no_kind_and_colour(rendered: list[Scene]) -> None:
    for scene, test in ((rendered[0], False), (sets.render(random.Random(1), split="test", max_items=2), True)):
        pairs = {(item.name, item.attributes[0]) for own in scene.annotation.scenes for item in own.objects}
        assert {held_out(*pair) for pair in pairs} == {test}


@pytest.mark.parametrize("limits", [(1, 3), (4, 3), (2, 6)])
def test_impossible_numbers_are_refused(limits: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="2 to 5 pictures"):
        sets.render(random.Random(0), min_items=limits[0], max_items=limits[1])


# ---------------------------------------------------------------------- photographs


def folder(path: Path, names: list[str]) -> Scenes:
    """Annotated images, one object each."""
    (path / "images").mkdir()
    lines = []
    for index, name in enumerate(names):
        image = Image.new("RGB", (8, 6), (index, 0, 0))
        file = f"images/{pixel_hash(image)}.png"
        image.save(path / file)
        item = SceneObject(name=name, bbox=(0.1, 0.1, 0.5, 0.5))
        lines.append(
            AnnotatedImages(images=(file,), annotation=ObjectScene(width=8, height=6, objects=(item,))).model_dump_json()
        )
    (path / ANNOTATIONS_FILE).write_text("\n".join(lines) + "\n")
    return read_scenes(path)


def test_photographs_are_set_together_with_others_that_show_the_same(tmp_path: Path) -> None:
    scenes = folder(tmp_path, ["dog", "cat", "car", "dog", "cup", "bus"])
    for seed in range(12):
        scene = sets.pick(random.Random(seed), scenes, 0)
        names = [own.objects[0].name for own in scene.annotation.scenes]
        assert names.count("dog") == 2
        assert 2 <= len(names) == len(set(map(pixel_hash, scene.images))) <= 5
        for image, own in zip(scene.images, scene.annotation.scenes, strict=True):
            [red, *_] = image.getpixel((0, 0))  # type: ignore[misc]
            assert scenes[red].annotation == own


def test_one_photograph_makes_no_set(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two"):
        sets.pick(random.Random(0), folder(tmp_path, ["dog"]), 0)


def test_boards_make_no_set(tmp_path: Path) -> None:
    scenes = folder(tmp_path, ["dog", "cat"])
    board = PriceScene(
        layout="x", font="x", width=8, height=6, currency="", items=(), background="red", highlighted=None, title="", lines=()
    )
    line = AnnotatedImages(images=("images/x.png",), annotation=board).model_dump_json()
    (tmp_path / ANNOTATIONS_FILE).write_text(f"{line}\n{line}\n")
    assert len(scenes) == 2
    with pytest.raises(ValueError, match="family prices"):
        sets.pick(random.Random(0), read_scenes(tmp_path), 1)
