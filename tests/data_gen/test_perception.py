"""The recipe of nano-perception: it is shown what the annotation says, the loss asks for that, and the recipe runs whole."""

import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from taco.data_gen import perception, perception_calibration, perception_views
from taco.data_gen.perception_calibration import _best_threshold, _platt, matched
from taco.data_gen.perception_loss import assigned, depth_loss, perception_loss
from taco.data_gen.perception_views import VOCABULARY, Views, augmented, draw, labels_of, sample
from taco.data_gen.scenes import objects
from taco.tools import perception as tool
from taco.tools.perception_network import PerceptionConfig, PerceptionNetwork, Seen, centres

SCENE = objects.render(random.Random("views"), min_items=3)


def test_a_view_is_what_the_tool_sees_and_the_annotation_says() -> None:
    view = sample(SCENE)
    squared, shares = tool._square(SCENE.image, 384)
    assert (view["pixels"] == squared).all()
    assert shares == (1, 1)
    count = len(SCENE.annotation.objects)
    for number, item in enumerate(SCENE.annotation.objects):
        assert view["boxes"][number].tolist() == pytest.approx(item.bbox, abs=1e-6)
        words = [values[index] for values, index in zip(VOCABULARY.values(), view["labels"][number], strict=True)]
        assert words[0] == item.name
        assert {word for word in words[1:] if word} == set(item.attributes) - {"small", "large"}
        left, top, right, bottom = (int(side * 96) for side in item.bbox)
        near = 1 / view["nearness"][top : bottom + 1, left : right + 1].max()
        assert near < item.depth * 1.05
    assert (view["labels"][count:] == -1).all()


def test_a_mirrored_view_has_mirrored_boxes_and_depths() -> None:
    view = sample(SCENE)
    torch.manual_seed(0)
    turned = next(found for found in (augmented(view) for _ in range(20)) if not (found["boxes"] == view["boxes"]).all())
    assert (turned["nearness"][:, ::-1] == view["nearness"]).all()
    count = len(SCENE.annotation.objects)
    assert turned["boxes"][:count, 0] == pytest.approx(1 - view["boxes"][:count, 2])
    assert (turned["boxes"][:count, 1] == view["boxes"][:count, 1]).all()
    assert (turned["boxes"][count:] == 0).all()


def test_other_hues_hide_colours_and_nothing_else() -> None:
    view = sample(SCENE)
    torch.manual_seed(0)
    seen = [augmented(view) for _ in range(30)]
    tinted = [found for found in seen if (found["labels"][:, 1] == -1).all()]
    assert 10 < len(tinted) < 30
    for found in seen:
        assert (found["labels"][:, [0, 2, 3]] == view["labels"][:, [0, 2, 3]]).all()
        assert found["pixels"].dtype == np.uint8
        assert found["pixels"].shape == view["pixels"].shape
    hue = [cv2.cvtColor(found["pixels"], cv2.COLOR_RGB2HSV)[..., 0].mean() for found in tinted]
    assert np.std(hue) > 10
    assert (view["labels"][: len(SCENE.annotation.objects)] >= 0).all()  # the view itself is as it was


def test_cells_answer_for_the_object_about_whose_middle_they_lie_the_smaller_one_first() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.4, 0.4, 0.6, 0.6], [0.101, 0.101, 0.102, 0.102], [0.7, 0.7, 0.9, 0.9]]])
    owner = assigned(boxes, torch.tensor([[True, True, True, False]]), 48)[0]
    assert owner[24, 24] == 1
    assert owner[4, 4] == 2  # too small to hold a cell's middle
    assert owner[38, 38] == -1  # not there
    assert set(owner.unique().tolist()) == {-1, 1, 2}  # the large one's middle is the small one's


def seen_rightly(boxes: torch.Tensor, labels: torch.Tensor, nearness: torch.Tensor) -> Seen:
    """What a network would say that makes no mistake."""
    owner = assigned(boxes, labels[..., 0] >= 0, 48)
    kinds = torch.full((1, len(VOCABULARY["kinds"]), 48, 48), -20.0)
    sides = torch.zeros(1, 4, 48, 48)
    parts = [torch.zeros(1, len(values), 48, 48) for values in list(VOCABULARY.values())[1:]]
    for number in range(int((labels[0, :, 0] >= 0).sum())):
        y, x = (owner[0] == number).nonzero(as_tuple=True)
        kinds[0, labels[0, number, 0].long(), y, x] = 20.0
        sides[0, :, y, x] = boxes[0, number][:, None]
        for index, part in enumerate(parts):
            part[0, labels[0, number, 1 + index].long(), y, x] = 20.0
    return Seen(kinds, sides, tuple(parts), -nearness.log())


def test_no_mistake_costs_nothing_and_each_mistake_costs() -> None:
    view = sample(SCENE)
    boxes, labels, nearness = (torch.from_numpy(view[name])[None] for name in ("boxes", "labels", "nearness"))
    right = seen_rightly(boxes, labels, nearness.float())
    losses = perception_loss(right, nearness, boxes, labels)
    assert all(float(part) < 1e-2 for part in losses.values())
    for wrong, part in (
        (right._replace(kinds=right.kinds.roll(1, dims=1)), "kinds"),
        (right._replace(boxes=right.boxes + torch.tensor([0.0, 0.0, 0.1, 0.1])[None, :, None, None]), "boxes"),
        (right._replace(attributes=tuple(part.roll(1, dims=1) for part in right.attributes)), "attributes"),
        (right._replace(log_depth=right.log_depth * 1.5), "depth"),
        (right._replace(log_depth=right.log_depth * 1.5), "edges"),
    ):
        assert perception_loss(wrong, nearness, boxes, labels)[part] > 0.01


def test_depths_count_up_to_a_factor_of_the_image() -> None:
    nearness = torch.rand(2, 16, 16) + 0.1
    exact, scaled = (depth_loss(-(factor * nearness).log(), nearness) for factor in (1.0, 3.0))
    assert exact["depth"] == pytest.approx(0, abs=1e-6)
    assert scaled["edges"] == pytest.approx(0, abs=1e-5)
    assert float(scaled["depth"]) < 0.06
    assert depth_loss(-(nearness**2).log(), nearness)["depth"] > 0.1


def test_an_image_without_objects_trains_too() -> None:
    network = PerceptionNetwork(PerceptionConfig(**VOCABULARY, width=16))
    seen = network(torch.zeros(1, 3, 64, 64))
    loss = perception_loss(seen, torch.full((1, 16, 16), 0.5), torch.zeros(1, 3, 4), torch.full((1, 3, 4), -1))["loss"]
    loss.backward()
    assert torch.isfinite(loss)


def test_the_network_tells_boxes_about_its_cells() -> None:
    network = PerceptionNetwork(PerceptionConfig(**VOCABULARY, width=16)).eval()
    with torch.inference_mode():
        seen = network(torch.rand(2, 3, 128, 128))
    assert seen.kinds.shape == (2, 35, 16, 16)
    assert seen.log_depth.shape == (2, 32, 32)
    x, y = centres(16, seen.boxes)
    assert (seen.boxes[:, 0] < x).all()
    assert (seen.boxes[:, 3] > y).all()


def test_a_box_is_right_for_one_object_of_its_kind() -> None:
    true = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    found = torch.tensor([[0.0, 0.0, 0.5, 0.48], [0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 1.0, 0.98]])
    assert matched(found, torch.tensor([3, 3, 3, 4]), true, torch.tensor([3, 4])) == [0, -1, -1, 1]
    assert matched(found[:0], torch.tensor([]), true, torch.tensor([3, 4])) == []
    assert matched(found[:1], torch.tensor([3]), true[:0], torch.tensor([])) == [-1]


def test_scores_become_frequencies_and_the_threshold_is_the_best_one() -> None:
    rng = random.Random(0)
    scores = [rng.uniform(0.05, 0.6) for _ in range(4000)]
    right = [rng.random() < min(1.0, 1.6 * score) for score in scores]  # all scores are too low
    factor, summand = _platt(scores, right)
    told = [1 / (1 + torch.exp(-(factor * torch.logit(torch.tensor(score)) + summand))) for score in scores]
    for low, high in ((0.1, 0.4), (0.4, 0.7), (0.7, 1.0)):
        part = [(float(score), hit) for score, hit in zip(told, right, strict=True) if low <= score < high]
        assert sum(score for score, _ in part) / len(part) == pytest.approx(sum(hit for _, hit in part) / len(part), abs=0.06)
    threshold, precision, recall = _best_threshold([0.9, 0.8, 0.3, 0.2], [True, True, False, False], 2)
    assert (threshold, precision, recall) == (0.8, 1.0, 1.0)


def test_the_recipe_draws_trains_resumes_and_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (perception, perception_views):
        monkeypatch.setattr(module, "SHARD", 4)
    monkeypatch.setattr(perception, "BATCH", 2)
    monkeypatch.setattr(perception_views, "get_context", lambda name: InProcess())
    out = tmp_path / "run"
    draw(out / "scenes", "train", range(1))
    before = [file.stat().st_mtime_ns for file in sorted((out / "scenes").iterdir())]
    draw(out / "scenes", "train", range(2))
    assert [file.stat().st_mtime_ns for file in sorted((out / "scenes").glob("*-0000.*"))] == before
    assert len(Views(out / "scenes", "train")) == 8
    draw(out / "validation", "train", range(1), seed="other")
    monkeypatch.setattr(perception.torch.cuda, "is_available", lambda: False)
    perception.train(out, 1, workers=0)
    perception.train(out, 2, resume=True, workers=0)
    perception.train(out, 2, resume=True, workers=0)  # nothing is left to do
    steps = [json.loads(line)["step"] for line in (out / "journal.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(steps)) == [1, 2]
    monkeypatch.setattr(perception_calibration, "LEAST", 0.0)
    folder = tmp_path / "package"
    config = perception.export(out, folder, "figures")
    assert config["training"] == {"scenes": 8, "steps": 2, "batch": 2}
    assert "figures" in (folder / "README.md").read_text()
    monkeypatch.setattr(tool, "FOLDER", folder)
    tool.config.cache_clear()
    try:
        assert tool.depth_map(SCENE.image).shape == SCENE.image.size[::-1]
    finally:
        tool.config.cache_clear()


class InProcess:
    """A pool that works where it is, since what a test has changed does not reach other processes."""

    def Pool(self, workers: int) -> "InProcess":
        return self

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *error: object) -> None: ...

    imap_unordered = staticmethod(map)


def test_no_shards_are_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no shards of the split train; draw\(\) makes them"):
        Views(tmp_path, "train")


def test_every_object_of_the_factory_is_in_the_vocabulary() -> None:
    for seed in range(5):
        for item in objects.render(random.Random(seed)).annotation.objects:
            assert len(labels_of(item)) == 4


def test_the_package_knows_the_factorys_words() -> None:
    known = json.loads((tool.FOLDER / tool.CONFIG_FILE).read_text())["network"]
    assert {name: tuple(known[name]) for name in VOCABULARY} == VOCABULARY
    size = (tool.FOLDER / tool.WEIGHTS_FILE).stat().st_size
    assert size <= 6_000_000
