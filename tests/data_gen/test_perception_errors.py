"""Simulated perception: the rates do what they say, and fitting finds the rates that made a reading."""

import random
from dataclasses import replace

import numpy as np
import pytest

from taco.data_gen.perception_errors import PerceptionErrors
from taco.data_gen.perception_fitting import Reading, Readings, compare, fit, measures, simulate
from taco.data_gen.scenes import objects
from taco.data_gen.scenes.object_names import ATTRIBUTE_KINDS, KINDS
from taco.data_gen.scenes.scene import SceneObject, overlap
from taco.tools import perception

RATES = PerceptionErrors(
    detector="a test",
    missed=((0.002, 0.3), (0.05, 0.1)),
    doubled=0.05,
    confused={"mug": {"bowl": 0.2}},
    mistaken={"colour": 0.1, "material": 0.04},
    invented=0.3,
    shift=0.03,
    scores=(0.4, 0.8, 1.0),
    depth_noise=0.05,
    depth_range=(10.0, 10.0),
)


def readings(count: int = 600) -> Readings:
    """Scenes of six things each that were read without a fault."""
    rng, made = random.Random(0), Readings()
    for _ in range(count):
        scene = []
        for number in range(6):
            side = rng.uniform(0.04, 0.25)
            left, top = rng.uniform(0, 0.7), rng.uniform(0, 0.7)
            near = rng.uniform(0.1, 1)
            name = ("mug", "bowl")[number % 2]
            item = SceneObject(name=name, attributes=("red", "matte"), bbox=(left, top, left + side, top + side), depth=1 / near)
            scene.append(Reading(item, item.name, item.bbox, 0.9, frozenset(), 0, (near, near)))
        made.scenes.append(scene)
    return made


def test_fitting_finds_the_rates_that_made_the_readings() -> None:
    fitted = fit(simulate(readings(), RATES, random.Random(1)), "a test", "train", 7)
    assert fitted.sample is not None
    assert (fitted.sample.scenes, fitted.sample.objects) == (600, 3600)
    small, large = (0.1, 0.1, 0.16, 0.16), (0.1, 0.1, 0.33, 0.33)
    assert fitted.missed_rate(small) == pytest.approx(RATES.missed_rate(small), abs=0.04)
    assert fitted.missed_rate(large) == pytest.approx(RATES.missed_rate(large), abs=0.04)
    assert fitted.doubled == pytest.approx(0.05, abs=0.015)
    assert list(fitted.confused) == ["mug"]
    assert fitted.confused["mug"]["bowl"] == pytest.approx(0.2, abs=0.03)
    assert fitted.mistaken["colour"] == pytest.approx(0.1, abs=0.02)
    assert fitted.mistaken["material"] == pytest.approx(0.04, abs=0.02)
    assert fitted.mistaken["pattern"] == 0
    assert fitted.invented == pytest.approx(0.3, abs=0.06)
    assert fitted.shift == pytest.approx(0.03, abs=0.003)
    assert fitted.depth_noise == pytest.approx(0.05, abs=0.005)
    assert np.interp(0.5, np.linspace(0, 1, len(fitted.scores)), fitted.scores) == pytest.approx(0.8, abs=0.03)


def test_the_same_rates_give_the_same_measures() -> None:
    made = simulate(readings(), RATES, random.Random(1))
    told = compare(made, fit(made, "a test", "train", 7), random.Random(2))
    for name, value in told["real"].items():
        assert told["simulated"][name] == pytest.approx(value, abs=0.06 if name == "invented_a_scene" else 0.03), name


def test_faultless_readings_are_measured_so() -> None:
    found = measures(readings(20))
    assert all(found[name] == 1 for name in ("found", "right_name", "right_attributes", "box_overlap", "depth_order"))
    assert found["found_twice"] == found["invented_a_scene"] == 0


def test_small_things_are_missed_more_often_and_bounds_hold() -> None:
    assert RATES.missed_rate((0, 0, 0.001, 0.001)) == pytest.approx(0.3)
    assert RATES.missed_rate((0, 0, 1, 1)) == pytest.approx(0.1)
    assert 0.1 < RATES.missed_rate((0, 0, 0.1, 0.1)) < 0.3


def test_one_rate_leaves_the_other_draws_alone() -> None:
    items = [one.item for scene in readings(30).scenes for one in scene]
    before = RATES.see(items, random.Random(3))
    after = RATES.model_copy(update={"confused": {}, "mistaken": {}}).see(items, random.Random(3))
    assert [[(one.bbox, one.score) for one in twins] for twins in before] == [
        [(one.bbox, one.score) for one in twins] for twins in after
    ]


def test_the_embedded_network_is_read_object_by_object(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = objects.render(random.Random("fit"), min_items=3)
    disparity = scene.disparities[0]
    assert disparity is not None
    first, second, *others = scene.annotation.objects
    sightings = [
        perception.Sighting(first.name, (*first.attributes[:2], ""), first.bbox, 0.9),
        perception.Sighting(first.name, (*first.attributes[:2], ""), first.bbox, 0.6),
        perception.Sighting("unheard of", (*second.attributes[:2], ""), second.bbox, 0.8),
        perception.Sighting("mug", ("red", "matte", ""), (0.0, 0.0, 0.01, 0.01), 0.5),
    ]
    top = perception.DEPTH_RANGE
    monkeypatch.setattr(perception, "see", lambda image: perception.Sight(tuple(sightings), disparity))
    monkeypatch.setattr(perception, "depth_map", lambda image: top - disparity * (top / disparity.max()))
    made = Readings()
    made.add(scene)
    [read] = made.scenes
    assert [one.name for one in read] == [first.name, "unheard of", *[None] * len(others)]
    assert [one.others for one in read[:2]] == [1, 0]
    assert [one.wrong for one in read[:2]] == [patterned(first), patterned(second)]
    assert made.invented == 1
    assert all(one.nearness[0] == pytest.approx(one.nearness[1], rel=1e-4) for one in read)
    with pytest.raises(ValueError, match="this one has none"):
        made.add(replace(scene, disparities=(None,)))


def patterned(item: SceneObject) -> set[str]:
    """The pattern was said to be none."""
    return {"pattern"} if {"striped", "dotted", "checkered"} & set(item.attributes) else set()


def test_a_mistaken_object_has_one_other_attribute_in_place_of_its_own() -> None:
    item = SceneObject(name="mug", attributes=("red", "matte", "small"), bbox=(0.1, 0.1, 0.4, 0.4))
    rates = RATES.model_copy(update={"mistaken": {"colour": 1.0}, "missed": ((1.0, 0.0),)})
    for seed in range(20):
        colour, *others = rates.see([item], random.Random(seed))[0][0].object.attributes
        assert ATTRIBUTE_KINDS[colour] == "colour"
        assert colour != "red"
        assert others == ["matte", "small"]


def test_only_what_is_not_there_is_invented_and_only_in_renderings() -> None:
    rates = RATES.model_copy(update={"invented": 2.0})
    items = [SceneObject(name="mug", attributes=("red", "matte"), bbox=(0.1, 0.1, 0.4, 0.4))]
    found = rates.invent(items, random.Random(0))
    assert len(found) == 2
    assert all(one.object.name in KINDS and one.object.name != "mug" for one in found)
    assert all(0 <= side <= 1 for one in found for side in one.bbox)
    photographed = items[0].model_copy(update={"name": "traffic light"})
    assert rates.invent([photographed], random.Random(0)) == []


def test_nothing_found_cannot_be_fitted() -> None:
    blind = simulate(readings(3), RATES.model_copy(update={"missed": ((1.0, 1.0),)}), random.Random(0))
    with pytest.raises(ValueError, match="Look at more scenes"):
        fit(blind, "a test", "train", 7)


def test_boxes_of_nothing_have_no_overlap() -> None:
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert overlap((0, 0, 1, 1), (0, 0, 1, 1)) == 1


def test_the_packages_rates_were_measured() -> None:
    rates = PerceptionErrors.load()
    assert rates.detector == perception.backend()
    assert rates.sample is not None
    assert rates.sample.objects > 1000
