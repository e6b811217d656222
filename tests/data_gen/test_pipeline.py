"""The pipeline: what is made depends on seed and recipe alone; folders survive interruptions."""

import dataclasses
import filecmp
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from taco.data_gen import pipeline
from taco.data_gen.observations import ENGINE, Simulated
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.pipeline import Recipe, Rejected, candidates, generate, report, stream_traces
from taco.tools.ocr import make_ocr
from taco.trace import Trace, read_tasks, read_traces

N = 10
RECIPE = Recipe(seed=8, max_items=3)
UNREADABLE = OcrErrors.load().model_copy(update={"missed_price": 0.5, "severity": (1.0,)})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(autouse=True)
def many_rejections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the prices are not read, so that both files of outcomes fill (in this process)."""
    monkeypatch.setattr(pipeline, "_observer", lambda observations: Simulated(UNREADABLE))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    generate(RECIPE, N, tmp_path / "whole")
    return tmp_path / "whole"


def test_the_stream_is_the_same_each_time_and_its_parts_make_up_the_whole() -> None:
    def lines(start: int, step: int, count: int) -> list[str]:
        stream = stream_traces(Recipe(seed=4, max_items=3), start=start, step=step)
        return [trace.to_json() for trace in itertools.islice(stream, count)]

    whole = lines(0, 1, 12)
    assert whole == lines(0, 1, 12)
    assert set(whole[:6]) <= {*lines(0, 2, 8), *lines(1, 2, 8)}


def test_other_seeds_and_splits_give_other_traces() -> None:
    def first(seed: int, split: pipeline.Split) -> str:
        return next(stream_traces(Recipe(seed=seed, split=split, max_items=2))).model_dump_json(exclude={"task": {"id"}})

    assert len({first(1, "train"), first(2, "train"), first(1, "test")}) == 3


def test_chance_is_the_same_on_every_machine_and_differs_by_purpose() -> None:
    draws = {purpose: pipeline.rng_for(RECIPE, 3, purpose).getrandbits(32) for purpose in ("scene", "questions", "observations")}
    assert draws["scene"] == 2785812836  # a changed derivation would change every folder that was begun
    assert len(set(draws.values())) == 3


def test_a_folder_holds_what_was_asked_for_and_counts_what_was_rejected(whole: Path) -> None:
    traces = list(read_traces(whole))
    rejected = [json.loads(line) for line in (whole / "rejected.jsonl").read_text().splitlines()]
    assert len(traces) == N
    assert rejected
    for trace in traces:
        assert trace.store["image-0"].size > (0, 0)  # the pixels are those of the hash, or this raises
    found = report(whole)
    assert sum(found.kept.values()) == N
    assert found.to_json()["rejected"] == len(rejected)
    assert {record["reason"] for record in rejected} == set(found.to_json()["rejected_by_reason"])
    ids = sorted([trace.task.id for trace in traces] + [record["id"] for record in rejected])
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("torn", ["traces.jsonl", "rejected.jsonl", "progress.jsonl"])
@pytest.mark.parametrize("share", [0.0, 0.55, 0.99])
def test_an_interrupted_run_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path, torn: str, share: float) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    file = cut / torn
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    next((cut / "images").iterdir()).unlink()  # the youngest image of a killed run can be missing only with its line
    for image in (whole / "images").iterdir():
        shutil.copy(image, cut / "images")
    (cut / "images" / "half.part").write_bytes(b"PNG")
    generate(RECIPE, N, cut)
    assert contents(cut) == contents(whole)


def test_a_run_that_is_killed_between_scenes_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(kept: int) -> None:
        if kept >= 4:
            raise Killed

    with pytest.raises(Killed):
        generate(RECIPE, N, tmp_path / "killed", on_kept=kill)
    assert 0 < len(list(read_traces(tmp_path / "killed"))) < N
    generate(RECIPE, N, tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(whole)


def test_a_finished_folder_is_left_alone(whole: Path) -> None:
    before = contents(whole)
    assert generate(RECIPE, N, whole) == report(whole)
    assert contents(whole) == before


def test_two_workers_give_the_same_bytes_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # spawned workers have the real module
    generate(RECIPE, N, tmp_path / "one", workers=1)
    generate(RECIPE, N, tmp_path / "two", workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert filecmp.cmp(tmp_path / "one" / "traces.jsonl", tmp_path / "two" / "traces.jsonl", shallow=False)


def test_another_recipe_or_a_foreign_folder_is_refused(whole: Path, tmp_path: Path) -> None:
    before = contents(whole)
    with pytest.raises(ValueError, match=r"max_items is 3 there and 4 here"):
        generate(dataclasses.replace(RECIPE, max_items=4), N, whole)
    with pytest.raises(ValueError, match=r"n is 10 there and 11 here"):
        generate(RECIPE, N + 1, whole)
    assert contents(whole) == before
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        generate(RECIPE, N, tmp_path / "foreign")


@pytest.mark.parametrize("name", ["config.json", "progress.jsonl"])
@pytest.mark.parametrize("content", ["[]\n", "{\n", "\xff\n"])
def test_a_file_of_the_folder_that_cannot_be_read_is_named(whole: Path, name: str, content: str) -> None:
    (whole / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"{name} should hold .* Choose a new folder\."):
        generate(RECIPE, N, whole)


def test_a_folder_with_real_observations_goes_on_with_the_same_engine_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(RECIPE, observations="real")
    generate(recipe, 1, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["ocr"] == make_ocr(ENGINE).backend
    generate(recipe, 1, tmp_path)
    monkeypatch.setattr("taco.tools.ocr._backend", lambda engine: "rapidocr 99.0")
    with pytest.raises(ValueError, match=r"ocr is 'rapidocr \d+\.\d+' there and 'rapidocr 99.0' here"):
        generate(recipe, 1, tmp_path)


def test_the_callers_environment_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    generate(RECIPE, 1, tmp_path)
    assert "OMP_NUM_THREADS" not in os.environ


def test_direct_traces_have_one_step_with_the_annotated_answer() -> None:
    made = candidates(dataclasses.replace(RECIPE, direct=True, questions_per_scene=12), 0, Simulated(UNREADABLE))
    assert len(made.traces) == len(made.tasks) > 6
    for trace in made.traces:
        assert [action.name for step in trace.steps for action in step.actions] == ["Terminate"]
        assert trace.answer == trace.task.answer
        assert [tool.name for tool in trace.tools] == ["Terminate"]


def test_simulated_observations_are_marked() -> None:
    [trace] = itertools.islice(stream_traces(Recipe(types=("price_of",), max_items=2)), 1)
    assert {tool.name: tool.backend for tool in trace.tools}["OCR"].startswith("simulated rapidocr")


def test_tasks_are_never_filtered_and_come_with_annotations(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, tasks_only=True, split="test")
    found = generate(recipe, N, tmp_path)
    tasks = list(read_tasks(tmp_path / "tasks.jsonl"))
    assert len(tasks) == N == sum(found.kept.values())
    assert all(task.answer and Path(task.images[0]).is_file() for task in tasks)
    asked = [task for number in range(4) for task in candidates(recipe, number, Simulated(UNREADABLE)).tasks]
    assert [task.id for task in tasks] == [task.id for task in asked][:N]
    annotations = [json.loads(line) for line in (tmp_path / "annotations.jsonl").read_text().splitlines()]
    assert {image for line in annotations for image in line["images"]} == {f"images/{Path(task.images[0]).name}" for task in tasks}
    assert all(line["annotation"]["items"] for line in annotations)


def test_a_run_that_comes_to_nothing_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pipeline, "BARREN", 3)
    with pytest.raises(RuntimeError, match="3 scenes in a row gave no trace"):
        next(stream_traces(Recipe(types=("difference",), min_items=1, max_items=1)))
    silent = UNREADABLE.model_copy(update={"missed_price": 1.0})
    monkeypatch.setattr(pipeline, "_observer", lambda observations: Simulated(silent))
    with pytest.raises(RuntimeError, match="no price was read"):
        generate(dataclasses.replace(RECIPE, types=("price_of",)), 5, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"types": ("price_off",)}, "no question type price_off; there are: price_of"),
        ({"types": ()}, "none given"),
        ({"min_items": 5}, "min_items <= max_items"),
        ({"questions_per_scene": 0}, "at least 1"),
    ],
)
def test_a_senseless_recipe_is_refused_at_once(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(RECIPE, **changes)  # type: ignore[arg-type]


def test_questions_of_a_scene_are_of_different_types() -> None:
    made = candidates(dataclasses.replace(RECIPE, max_items=8), 1, Simulated(UNREADABLE))
    assert len(made.tasks) == 4 == len({task.source for task in made.tasks})
    assert all(isinstance(outcome, Trace | Rejected) for outcome in made.outcomes)
