"""The tower's own training: what it is taught is what the annotation says, and only tower and resampler change."""

import functools
import itertools
import random

import torch

from taco.data_gen import nano
from taco.data_gen.nano_tower import ROWS, Views, facts_of, map_of, teach_to_see
from taco.data_gen.pipeline import Recipe, stream_traces
from taco.data_gen.scenes import prices
from taco.data_gen.scenes.colours import COLOURS
from taco.xgenmm import XGenMMProcessor


@functools.cache
def made_processor() -> XGenMMProcessor:
    return nano.build_processor(nano.build_tokenizer(list(itertools.islice(stream_traces(Recipe(seed=5)), 12))))


def test_facts_and_map_say_what_the_annotation_says() -> None:
    marks = set()
    for seed in range(12):
        scene = prices.render(random.Random(seed)).annotation
        colour, rows, marked = facts_of(scene).tolist()
        assert list(COLOURS)[colour] == scene.background
        assert rows + 1 == len(scene.items)
        assert marked == (0 if scene.highlighted is None else scene.highlighted + 1)
        touched = map_of(scene, 32).view(32, 32, ROWS + 1)
        heights = [touched[..., row].any(dim=1).nonzero().float().mean().item() for row in range(len(scene.items))]
        assert heights == sorted(heights)
        assert not touched[..., len(scene.items) : ROWS].any()
        assert torch.equal(touched[..., ROWS], touched[..., marked - 1] if marked else torch.zeros(32, 32))
        marks.add(bool(marked))
    assert marks == {True, False}


def test_the_tower_is_shown_what_the_processor_gives_later() -> None:
    pixels, facts, _ = Views(made_processor(), 4, patch=16)[3]
    scene = prices.render(random.Random("tower/train/3"))
    assert torch.equal(facts, facts_of(scene.annotation))
    values = made_processor().image_processor(scene.image, return_tensors="pt")["pixel_values"][0]
    assert (pixels / 127.5 - 1 - values).abs().max() < 0.005


def test_only_tower_and_resampler_change(tmp_path: object) -> None:
    processor = made_processor()
    model = nano.build_model(processor)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = teach_to_see(model, processor, steps=3, scenes=30, workers=0, out=str(tmp_path))
    assert set(seen) == {"colour", "rows", "marked"}
    assert all(0 <= share <= 1 for share in seen.values())
    changed = {name.split(".")[1] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"vision_tower", "resampler"}
