"""Traces on disk: round trip, equal bytes, nothing outside the folder, broken lines."""

import json
from pathlib import Path

import pytest
from PIL import Image

from taco.agent import Agent
from taco.models.scripted import ScriptedModel
from taco.prompts import reply_text
from taco.tools import Action
from taco.tools.regions import Crop
from taco.trace import Task, Trace, TraceError, append_line, read_tasks, read_traces, scan_traces, write_new

IMAGE = Image.linear_gradient("L").convert("RGB")


def run_once() -> Trace:
    crop = Action(name="Crop", arguments={"image": "image-0", "bbox": [0.2, 0.2, 0.6, 0.6]})
    end = Action(name="Terminate", arguments={"answer": "grey"})
    model = ScriptedModel([reply_text("Look closer.", [crop]), reply_text("It is grey.", [end])])
    return Agent(model, tools=[Crop]).run("Which colour?", [IMAGE])


def test_a_saved_trace_reads_back_equal_with_its_pixels(tmp_path: Path) -> None:
    trace = run_once()
    trace.save(tmp_path)
    [again] = read_traces(tmp_path)
    assert again == trace
    assert again.store.names() == ["image-0", "image-1"]
    assert again.store["image-1"].tobytes() == trace.store["image-1"].tobytes()
    assert again.task.images == (trace.images["image-0"].file,)


def test_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    run_once().save(tmp_path / "a")
    run_once().save(tmp_path / "b")
    for name in ("traces.jsonl", *(f"images/{path.name}" for path in (tmp_path / "a/images").iterdir())):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert str(tmp_path) not in (tmp_path / "a/traces.jsonl").read_text()


def test_a_changed_image_is_noticed(tmp_path: Path) -> None:
    trace = run_once()
    trace.save(tmp_path)
    IMAGE.rotate(90).save(tmp_path / trace.images["image-0"].file)
    [again] = read_traces(tmp_path)
    for _ in range(2):  # the second look is as good as the first
        with pytest.raises(TraceError, match="pixels changed"):
            again.store["image-0"]


@pytest.mark.parametrize("file", ["/etc/passwd", "../secret.png", "a/../../b.png", "C:\\x.png"])
def test_a_line_reaches_no_file_outside_its_folder(tmp_path: Path, file: str) -> None:
    record = json.loads(run_once().to_json())
    record["images"]["image-0"]["file"] = file
    append_line(tmp_path / "traces.jsonl", json.dumps(record))
    with pytest.raises(TraceError, match="line 1"):
        list(read_traces(tmp_path))
    append_line(tmp_path / "tasks.jsonl", json.dumps({"id": "1", "question": "?", "images": [file]}))
    with pytest.raises(TraceError, match="line 1"):
        list(read_tasks(tmp_path / "tasks.jsonl"))


@pytest.mark.parametrize("length", [1, 100, 200_000])
def test_what_an_interrupted_writer_left_is_cut_off(tmp_path: Path, length: int) -> None:
    trace = run_once()
    trace.save(tmp_path)
    with (tmp_path / "traces.jsonl").open("a") as file:
        file.write((trace.to_json() * 1000)[:length])
    with pytest.raises(TraceError, match="line 2"):
        list(read_traces(tmp_path))
    assert [type(item) for item in scan_traces(tmp_path)] == [Trace, TraceError]
    trace.save(tmp_path)
    assert list(read_traces(tmp_path)) == [trace, trace]


def test_a_line_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    record = json.loads(run_once().to_json())
    for name, change in [("tools", {"tools": record["tools"] * 2}), ("images", {"images": {}})]:
        (tmp_path / name).mkdir()
        append_line(tmp_path / name / "traces.jsonl", json.dumps(record | change))
        with pytest.raises(TraceError, match=name[:4]):
            list(read_traces(tmp_path / name))


def test_missing_files_and_unknown_fields_are_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no file"):
        list(read_traces(tmp_path))
    append_line(tmp_path / "tasks.jsonl", '{"id": "1", "question": "?", "image": "a.png"}')
    with pytest.raises(TraceError, match=r"line 1: image: Extra inputs"):
        list(read_tasks(tmp_path / "tasks.jsonl"))
    with pytest.raises(TraceError, match=r"Mend or delete the line \(1 fault in it\)\."):
        list(read_tasks(tmp_path / "tasks.jsonl"))


def test_another_version_of_the_schema_is_named_with_a_remedy(tmp_path: Path) -> None:
    record = json.loads(run_once().to_json()) | {"schema": "taco-trace-2", "new": 1}
    append_line(tmp_path / "traces.jsonl", json.dumps(record))
    said = r"line 1: its schema is 'taco-trace-2', another version than 'taco-trace-1', which is read here\. Read it with"
    with pytest.raises(TraceError, match=said):
        list(read_traces(tmp_path))


def test_task_images_are_found_from_the_file(tmp_path: Path) -> None:
    append_line(tmp_path / "tasks.jsonl", '{"id": "1", "question": "?", "images": ["a.png"]}')
    assert list(read_tasks(tmp_path / "tasks.jsonl")) == [Task(id="1", question="?", images=(str(tmp_path / "a.png"),))]


def test_files_are_written_whole_with_the_rights_of_new_files(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_new(tmp_path / "new" / "file", b"all")
    assert (tmp_path / "new" / "file").read_bytes() == b"all"
    assert (tmp_path / "new" / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
