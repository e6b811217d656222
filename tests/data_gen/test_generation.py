"""Folders of traces: the same bytes whatever the workers, the engine and the interruptions."""

import contextlib
import dataclasses
import errno
import filecmp
import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from taco.data_gen import generation, pipeline
from taco.data_gen.annotations import AnnotatedImages
from taco.data_gen.engines import in_order
from taco.data_gen.generation import generate, report
from taco.data_gen.observations import ENGINE, Simulated
from taco.data_gen.ocr_errors import OcrErrors
from taco.data_gen.pipeline import Recipe, candidates, stream_traces
from taco.data_gen.scenes.scene import ObjectScene, SceneObject
from taco.errors import RunError
from taco.tools.images import pixel_hash
from taco.tools.ocr import make_ocr
from taco.trace import append_line, read_tasks, read_traces, save_image

N = 10
RECIPE = Recipe(seed=8, max_items=3)
UNREADABLE = OcrErrors.load().model_copy(update={"missed_price": 0.5, "severity": (1.0,)})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(autouse=True)
def many_rejections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the prices are not read, so that both files of outcomes fill (in this process)."""
    monkeypatch.setattr(generation, "observer_of", lambda observations: Simulated(UNREADABLE))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    generate(RECIPE, N, tmp_path / "whole")
    return tmp_path / "whole"


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


@pytest.mark.parametrize("tasks_only", [False, True])
@pytest.mark.parametrize("line", [0, 5, -1])
def test_an_image_that_is_gone_is_made_again(tmp_path: Path, tasks_only: bool, line: int) -> None:
    recipe = dataclasses.replace(RECIPE, tasks_only=tasks_only)
    generate(recipe, N, tmp_path)
    before = contents(tmp_path)
    made = json.loads(before["tasks.jsonl" if tasks_only else "traces.jsonl"].splitlines()[line])
    (tmp_path / made.get("task", made)["images"][0]).unlink()
    generate(recipe, N, tmp_path)
    assert contents(tmp_path) == before


def test_a_run_goes_on_when_a_full_disk_has_room_again(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = itertools.count()

    def append(path: Path, line: str) -> None:
        append_line(path, line)
        if next(lines) == 7:
            with path.open("a") as file:
                file.write('{"half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(generation, "append_line", append)
        with pytest.raises(OSError, match="No space left"):
            generate(RECIPE, N, tmp_path / "full")
    assert contents(tmp_path / "full") != contents(whole)
    generate(RECIPE, N, tmp_path / "full")
    assert contents(tmp_path / "full") == contents(whole)


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


def test_a_run_whose_tools_cannot_run_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TACO_DETECTION_MODEL", str(tmp_path))
    recipe = Recipe(family="objects", observations="real")
    with pytest.raises(ValueError, match=r"cannot run here\. LocalizeObjects: .* Or simulate observations\."):
        generate(recipe, 1, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    generate(dataclasses.replace(recipe, tasks_only=True), 1, tmp_path / "out")  # they need no tools


def test_a_folder_in_which_nothing_was_done_takes_other_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(recipe: Recipe, number: int) -> None:
        raise ValueError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(generation, "pack", refuse)
        with pytest.raises(ValueError, match="refused"):
            generate(RECIPE, N, tmp_path)
    assert generate(RECIPE, 1, tmp_path).kept.keys()


def test_a_config_of_another_program_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "xgenmm"}')
    with pytest.raises(ValueError, match="begun with other settings: model_type is 'xgenmm' there and None here"):
        generate(RECIPE, 1, tmp_path)
    assert contents(tmp_path) == {"config.json": b'{"model_type": "xgenmm"}'}


# ---------------------------------------------------------------------- annotated images


def photographs(folder: Path, count: int) -> list[Path]:
    """A folder of annotated images, each with a cat left of a dog; returns their files."""
    files = []
    for number in range(count):
        image = Image.new("RGB", (80, 60), (number * 40, 90, 30))
        name = f"images/{pixel_hash(image)}.png"
        save_image(image, folder / name)
        things = (SceneObject(name="cat", bbox=(0.1, 0.2, 0.3, 0.7)), SceneObject(name="dog", bbox=(0.6, 0.3, 0.9, 0.8)))
        annotation = ObjectScene(width=80, height=60, objects=things)
        append_line(folder / "annotations.jsonl", AnnotatedImages(images=(name,), annotation=annotation).model_dump_json())
        files.append(folder / name)
    return files


@pytest.mark.parametrize("options", [{}, {"tasks_only": True}, {"family": "sets"}])
def test_a_scene_whose_image_is_gone_is_listed_and_the_others_are_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.undo()
    files = photographs(tmp_path / "photos", 5)
    files[0].unlink()
    files[2].write_bytes(b"no image")
    Image.new("RGB", (80, 60)).save(files[3])
    recipe = Recipe(**{"family": "objects", "scenes": str(tmp_path / "photos"), "questions_per_scene": 2, **options})
    kept: list[int] = []
    for _ in range(2):
        with pytest.raises(RunError, match=r"gave \d+ of 90, .*rejected: .* x its image is gone or broken"):
            generate(recipe, 90, tmp_path / "out", on_kept=kept.append)
    assert kept[-1] == kept[-2]  # the second time nothing was left to do
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()]
    gone = {line["id"]: (line["source"], line["reason"], line["file"]) for line in lines if "file" in line}
    family = recipe.family
    said = {number: gone.get(f"{family}-train-0-{number:06d}") for number in range(5)}
    if family == "objects":
        broken = [(family, "its image is gone or broken", f"images/{files[number].name}") for number in (0, 2)]
        changed = (family, "its image is not the one that was annotated", f"images/{files[3].name}")
        assert said == {0: broken[0], 1: None, 2: broken[1], 3: changed, 4: None}
        found = report(tmp_path / "out")
        refused = sum(sum(reasons.values()) for source, reasons in found.rejected.items() if source != family)
        assert sum(found.kept.values()) + refused == 4
    else:
        assert all(said[number] for number in (0, 2, 3))


def test_where_all_images_are_gone_the_run_ends_with_a_sentence(tmp_path: Path) -> None:
    for file in photographs(tmp_path / "photos", 3):
        file.unlink()
    with pytest.raises(RunError, match=r"gave 0 of 9, .*rejected: 3 x its image is gone or broken\."):
        generate(Recipe(family="objects", scenes=str(tmp_path / "photos")), 9, tmp_path / "out")


# ---------------------------------------------------------------------- the environment and the workers


def test_the_callers_environment_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    generate(RECIPE, 1, tmp_path)
    assert "OMP_NUM_THREADS" not in os.environ


def test_tasks_are_never_filtered_and_come_with_annotations(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, tasks_only=True, split="test")
    found = generate(recipe, N, tmp_path)
    tasks = list(read_tasks(tmp_path / "tasks.jsonl"))
    assert len(tasks) == N == sum(found.kept.values())
    assert all(task.answer and Path(task.images[0]).is_file() for task in tasks)
    asked = [task for number in range(4) for task in candidates(recipe, number, Simulated(UNREADABLE)).tasks]
    assert [task.id for task in tasks] == [task.id for task in asked][:N]
    annotations = [json.loads(line) for line in (tmp_path / "annotations.jsonl").read_text().splitlines()]
    images = {image for line in annotations for image in line["images"]}
    assert images == {f"images/{Path(task.images[0]).name}" for task in tasks}
    assert all(line["annotation"]["items"] for line in annotations)


def test_a_run_that_comes_to_nothing_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pipeline, "BARREN", 3)
    with pytest.raises(RuntimeError, match="3 scenes in a row gave no trace"):
        next(stream_traces(Recipe(types=("difference",), min_items=1, max_items=1)))
    silent = UNREADABLE.model_copy(update={"missed_price": 1.0})
    monkeypatch.setattr(generation, "observer_of", lambda observations: Simulated(silent))
    with pytest.raises(RuntimeError, match="no price was read"):
        generate(dataclasses.replace(RECIPE, types=("price_of",)), 5, tmp_path / "out")


def test_ray_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.undo()
    generate(RECIPE, N, tmp_path / "local")
    generate(RECIPE, N, tmp_path / "ray", engine="ray", workers=2)
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")


def end_at_three(number: int) -> int:
    if number == 3:
        os._exit(9)
    return number


def test_a_killed_worker_ends_the_run_with_a_sentence() -> None:
    with pytest.raises(RunError, match="A worker process ended"):
        list(in_order(end_at_three, range(9), workers=2))


def test_workers_end_with_a_parent_that_was_killed() -> None:
    # One works, the other waits for work. Both have the pipe, as has multiprocessing's own process: it ends when all ended.
    code = (
        "import time; from taco.data_gen.engines import in_order\n"
        "for done in in_order(time.sleep, [0, 600], workers=2): print('working', flush=True)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == "working\n"
        run.kill()
        run.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)


def test_results_come_in_order_and_no_more_is_begun_than_is_needed() -> None:
    begun: list[int] = []
    results = in_order(begun.append, itertools.count())
    next(results), next(results)
    assert begun == [0, 1]
    assert list(in_order(functools.partial(pow, 2), range(20), workers=2)) == [2**number for number in range(20)]


def test_without_ray_the_engine_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RunError, match=r"pip install 'taco-lmm\[ray\]'"):
        next(in_order(str, range(1), engine="ray"))
