"""Import: files of the documented forms, defects and all, become folders of traces; nothing is dropped in silence."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from taco.data_gen.exporting import export
from taco.data_gen.formats.catalogue import forms
from taco.data_gen.importing import import_file
from taco.errors import RunError
from taco.trace import read_traces

from .formats.cota import depth_row, end, llava, localize, mantis, observed, reply, request
from .formats.traces import rich_trace, save
from .test_exporting import lines, snapshot

GOOD = llava([*localize(), end("2")], ["a.jpg", "sub/b.jpg"])
CALL = reply("", ("GetAttributesOfObject", {"image": "image-0", "object": "mug"}))
UNKNOWN = llava([request("How?"), CALL, observed({"attributes": ["red"]}), end("red")], ["a.jpg"], "x-1")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name, colour in (("a.jpg", "red"), ("b.jpg", "blue"), ("sub/b.jpg", "green")):
        Image.new("RGB", (20, 10), colour).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xffno image")
    return folder


def written(path: Path, rows: Any) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) if path.suffix == ".jsonl" else json.dumps(rows))
    return path


def test_a_file_of_the_released_data_is_sorted_into_kept_mended_and_rejected(images: Path, tmp_path: Path) -> None:
    rows = [
        GOOD,
        UNKNOWN,
        GOOD | {"sample_id": "gone", "image": ["a.jpg", "gone.jpg"]},
        GOOD | {"sample_id": "broken", "image": ["broken.jpg", "a.jpg"]},
        GOOD | {"sample_id": "outside", "image": ["../images/a.jpg", "a.jpg"]},
        depth_row("mug") | {"sample_id": "wrong"},
        GOOD,  # the same id
        {"sample_id": "other", "columns": 1},
        ["no row"],
        llava([request("Direct?"), end("yes")], ["a.jpg", "b.jpg"], None),
    ]
    report = import_file(written(tmp_path / "mma.json", rows), "llava", tmp_path / "out", images=images)
    assert (report.rows, report.kept) == (10, 3)
    rejected = lines(tmp_path / "out" / "rejected.jsonl")
    assert [(line["row"], line["id"], line["kind"]) for line in rejected] == [
        (2, "x-1", "unknown tool"), (3, "gone", "missing image"), (4, "broken", "broken image"), (5, "outside", "image path"),
        (6, "wrong", "contradiction"), (8, "other", "columns"), (9, None, "columns"),
    ]  # fmt: skip
    assert "gone.jpg" in rejected[1]["reason"]
    assert dict(report.mended) == {"an id that another row has": 1, "images that no turn of a direct answer shows": 1}
    traces = list(read_traces(tmp_path / "out"))
    assert [trace.task.id for trace in traces] == ["aokvqa-1", "aokvqa-1-2", "mma-10"]
    assert traces[0].store["image-1"].getpixel((0, 0))[1] > 100  # type: ignore[index]
    assert len(traces[2].images) == 1
    assert report.rejected["unknown tool"] == 1


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "lines.json", "rows.parquet"])
def test_arrays_lines_and_parquet_are_read(name: str, images: Path, tmp_path: Path) -> None:
    path, rows = tmp_path / name, [mantis(GOOD), mantis(GOOD) | {"id": "second"}]
    if name == "lines.json":
        written(tmp_path / "x.jsonl", rows).rename(path)
    elif name == "rows.parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        written(path, rows)
    assert import_file(path, "mantis", tmp_path / "out", images=images).kept == 2


def test_damage_in_the_middle_is_listed(images: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(GOOD) + "\n{broken\n" + json.dumps(GOOD | {"sample_id": "z"}) + "\n")
    report = import_file(tmp_path / "a.jsonl", "llava", tmp_path / "a", images=images)
    assert (report.kept, dict(report.rejected)) == (2, {"damaged JSON": 1})
    (tmp_path / "b.json").write_text(json.dumps([GOOD, GOOD])[:-20])
    report = import_file(tmp_path / "b.json", "llava", tmp_path / "b", images=images)
    assert (report.kept, dict(report.rejected)) == (1, {"damaged JSON": 1})
    assert "nothing behind it was read" in lines(tmp_path / "b" / "rejected.jsonl")[0]["reason"]


def test_absolute_paths_need_the_part_to_strip(images: Path, tmp_path: Path) -> None:
    row = GOOD | {"image": [f"/export/data/{path}" for path in GOOD["image"]]}
    source = written(tmp_path / "a.json", [row])
    with pytest.raises(RunError, match="Not one of the 1 rows"):
        import_file(source, "llava", tmp_path / "out", images=images)
    assert "give --strip" in lines(tmp_path / "out" / "rejected.jsonl")[0]["reason"]
    assert import_file(source, "llava", tmp_path / "again", images=images, strip="/export/data").kept == 1
    (tmp_path / "secret.png").write_bytes((images / "a.jpg").read_bytes())
    outside = written(tmp_path / "b.json", [GOOD | {"image": ["/x/../secret.png", "a.jpg"]}])
    with pytest.raises(RunError):
        import_file(outside, "llava", tmp_path / "third", images=images, strip="/x")


def test_a_wrong_file_is_refused_with_a_remedy(images: Path, tmp_path: Path) -> None:
    def refused(path: Path, form: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            import_file(path, form, tmp_path / "out", images=images)
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".*"))

    refused(tmp_path / "gone.json", "llava", "There is no file")
    refused(written(tmp_path / "empty.json", []), "llava", "has no rows")
    refused(written(tmp_path / "empty.jsonl", []), "llava", "has no rows")
    refused(
        written(tmp_path / "a.json", [GOOD]), "xlam", r"lacks query, tools, answers; .*It looks like llava or mantis or sharegpt"
    )
    refused(written(tmp_path / "b.json", [{"text": 1}]), "llava", "it has text. See docs/formats.md")
    refused(written(tmp_path / "c.json", [[1]]), "llava", "no columns: it is a list")
    (tmp_path / "d.json").write_text("[{]")
    refused(tmp_path / "d.json", "llava", "cannot be read")
    (tmp_path / "e.parquet").write_text("no parquet")
    refused(tmp_path / "e.parquet", "parquet", "cannot be read as Parquet")
    (tmp_path / "f.csv").write_text("a,b")
    refused(tmp_path / "f.csv", "llava", r"is none of \.json, \.jsonl, \.parquet")
    refused(images, "llava", "neither llava.json nor Parquet")


def test_parquet_with_other_pixels_or_an_older_schema_is_rejected(tmp_path: Path) -> None:
    export(save(tmp_path / "in", rich_trace(), rich_trace(id="t-2"), rich_trace(id="t-3")), "parquet", tmp_path / "out")
    file = next((tmp_path / "out" / "data").iterdir())
    rows = pyarrow.parquet.read_table(file).to_pylist()
    rows[0]["images"][0] = rows[0]["images"][1]
    rows[1]["trace"] = rows[1]["trace"].replace("taco-trace-1", "taco-trace-0")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    report = import_file(tmp_path / "out", "parquet", tmp_path / "again")
    assert (report.kept, dict(report.rejected)) == (1, {"other pixels": 1, "schema version": 1})


def test_images_that_no_message_shows_survive_parquet(tmp_path: Path) -> None:
    trace = rich_trace()
    cut = trace.model_copy(update={"steps": trace.steps[:2], "stop_reason": "max_steps", "answer": None}).with_store(trace.store)
    export(save(tmp_path / "in", cut), "parquet", tmp_path / "out")
    assert import_file(tmp_path / "out", "parquet", tmp_path / "again").kept == 1
    assert snapshot(tmp_path / "again") == snapshot(tmp_path / "in")


def test_rows_that_break_the_rules_of_text_are_rejected(images: Path, tmp_path: Path) -> None:
    surrogate = json.loads(json.dumps(GOOD).replace("How many mugs", "\\ud800"))
    surrogate["sample_id"] = "s"
    report = import_file(written(tmp_path / "a.jsonl", [GOOD, surrogate]), "llava", tmp_path / "out", images=images)
    assert (report.kept, dict(report.rejected)) == (1, {"damaged record": 1})


@pytest.mark.parametrize("name", sorted(forms()))
@pytest.mark.parametrize(
    "value", [None, 1, "text", [1], [None], {"a": 1}, [{"role": "user"}], [{"from": "human", "value": 1}], "[1]", '[{"name": 1}]']
)
def test_no_value_of_a_column_is_a_crash(name: str, value: Any, images: Path, tmp_path: Path) -> None:
    if name == "parquet":
        pytest.skip("its columns have the types of the file")
    row = dict.fromkeys(forms()[name].needs, value)
    with pytest.raises(RunError):
        import_file(written(tmp_path / "a.jsonl", [row]), name, tmp_path / "out", images=images)
    assert len(lines(tmp_path / "out" / "rejected.jsonl")) == 1
