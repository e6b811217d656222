"""Export: folders appear whole or not at all, what cannot be carried is listed, the hub's card says what was counted."""

import json
from pathlib import Path
from typing import Any, ClassVar

import datasets
import huggingface_hub
import pytest
from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]

from taco.data_gen import exporting
from taco.data_gen.exporting import export
from taco.data_gen.formats import hub, parquet
from taco.data_gen.formats.catalogue import forms
from taco.data_gen.importing import import_file
from taco.errors import RunError
from taco.trace import ToolRecord, read_traces

from .formats.traces import rich_trace, save


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    traces = [rich_trace(id=f"t-{number}", answer=None if number == 1 else "chair") for number in range(3)]
    return save(tmp_path / "in", *traces)


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("name", sorted(forms()))
def test_the_importer_gives_the_folder_again(name: str, folder: Path, tmp_path: Path) -> None:
    assert export(folder, name, tmp_path / "out").rows == 3
    report = import_file(tmp_path / "out", name, tmp_path / "again")
    assert report.to_json() == {"rows": 3, "kept": 3, "rejected": {}, "mended": {}}
    if name == "xlam":
        assert len(next(read_traces(tmp_path / "again")).steps) == 1
    else:
        assert snapshot(tmp_path / "again") == snapshot(folder)


@pytest.mark.parametrize("name", sorted(forms()))
def test_equal_runs_give_equal_bytes(name: str, folder: Path, tmp_path: Path) -> None:
    export(folder, name, tmp_path / "a")
    export(folder, name, tmp_path / "b")
    assert snapshot(tmp_path / "a") == snapshot(tmp_path / "b")


def test_datasets_reads_the_parquet(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 1)
    monkeypatch.setattr(parquet, "SHARD_BYTES", 1)
    export(folder, "parquet", tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out" / "data").iterdir()) == [
        f"train-0000{n}-of-00003.parquet" for n in range(3)
    ]
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["id"][:] == ["t-0", "t-1", "t-2"]
    assert rows["answer"][:] == ["chair", None, "chair"]
    trace = rich_trace()
    assert [image.tobytes() for image in rows[0]["images"]] == [trace.store[name].tobytes() for name in trace.store]
    parts = [part for message in rows[0]["messages"] for part in message["content"]]
    assert sum(part["type"] == "image" for part in parts) == len(rows[0]["images"])
    assert [tool["function"]["name"] for tool in json.loads(rows[0]["tools"])] == [tool.name for tool in trace.tools]


def test_the_card_has_the_figures_and_leaves_the_licence(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text('{"seed": 5, "family": "prices"}')
    figures = export(folder, "parquet", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    data = huggingface_hub.DatasetCard(card).data
    assert data.license is None
    assert data.configs[0]["data_files"] == [{"split": "train", "path": "data/train-*"}]
    for said in (
        "3 chains",
        "| hand/made | 3 |",
        "| Crop | 6 | taco |",
        "| 6 | 3 |",
        '"seed": 5',
        "Observations of OCR are simulated",
        "To be filled in",
    ):
        assert said in card
    assert (figures.images, figures.made_images, figures.calls["Crop"]) == (12, 6, 6)


def test_what_cannot_be_carried_is_listed(folder: Path, tmp_path: Path) -> None:
    foreign = rich_trace(id="foreign").model_copy(update={"tools": (ToolRecord(name="Brightness", backend="mine"),)})
    foreign.with_store(rich_trace().store).save(folder)
    save(
        folder,
        rich_trace(id="t-0", question="Asked again?"),
        rich_trace(id="bare").model_copy(update={"steps": ()}).with_store(rich_trace().store),
        list(read_traces(folder))[1],
    )
    other = json.loads(rich_trace().to_json()) | {"schema": "taco-trace-0"}
    with (folder / "traces.jsonl").open("a") as file:
        file.write(json.dumps(other) + "\n")
    figures = export(folder, "llava", tmp_path / "out")
    rejected = lines(tmp_path / "out" / "rejected.jsonl")
    assert [(line["row"], line["id"], line["kind"]) for line in rejected] == [
        (1, "t-0", "duplicate id"), (2, "t-1", "superseded"), (4, "foreign", "unknown tool"), (6, "bare", "no steps"),
        (8, None, "unreadable"),
    ]  # fmt: skip
    assert "taco-trace-1" in rejected[4]["reason"]
    assert (figures.rows, figures.left_out.total()) == (3, 5)
    rows = json.loads((tmp_path / "out" / "llava.json").read_text())
    assert [row["sample_id"] for row in rows] == ["t-2", "t-0", "t-1"]
    assert "Asked again?" in rows[1]["conversations"][0]["value"]


def test_an_image_that_is_gone_or_changed_is_named(folder: Path, tmp_path: Path) -> None:
    save(folder, rich_trace(id="t-3").with_store(rich_trace().store))
    first = next(read_traces(folder)).images["image-0"].file
    (folder / first).unlink()
    with pytest.raises(RunError, match=r"Not one trace .*rejected\.jsonl says why"):
        export(folder, "mantis", tmp_path / "out")
    rejected = lines(tmp_path / "out" / "rejected.jsonl")
    assert {line["kind"] for line in rejected} == {"image"}
    assert Path(first).name in rejected[0]["reason"]


def test_schemas_of_foreign_tools_come_from_beside_the_traces(tmp_path: Path) -> None:
    schema = {
        "type": "function",
        "function": {"name": "Brightness", "description": "b", "parameters": {"type": "object", "properties": {}}},
    }
    trace = rich_trace().model_copy(update={"tools": (ToolRecord(name="Brightness", backend="imported"),)})
    save(tmp_path / "in", trace.with_store(rich_trace().store))
    (tmp_path / "in" / "tools.json").write_text(json.dumps({"Brightness": schema}))
    export(tmp_path / "in", "actionstudio", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "actionstudio.json").read_text())[0]["tools"] == [schema]
    import_file(tmp_path / "out", "actionstudio", tmp_path / "again")
    assert snapshot(tmp_path / "again")["traces.jsonl"] == snapshot(tmp_path / "in")["traces.jsonl"]
    assert json.loads((tmp_path / "again" / "tools.json").read_text()) == {"Brightness": schema}


def test_bad_use_leaves_everything_as_it_was(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes").write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(ValueError, match="holds something"):
        export(folder, "llava", tmp_path / "full")
    with pytest.raises(ValueError, match="There is no form 'lava'; there are: actionstudio"):
        export(folder, "lava", tmp_path / "out")
    with pytest.raises(ValueError, match="There is no file"):
        export(tmp_path / "full", "llava", tmp_path / "out")
    (tmp_path / "full" / "traces.jsonl").write_text("")
    before["full/traces.jsonl"] = b""
    with pytest.raises(ValueError, match=r"traces\.jsonl is empty\. Give a folder with traces"):
        export(tmp_path / "full", "llava", tmp_path / "out")

    def full_disk(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_copy", full_disk)
    with pytest.raises(OSError, match="No space"):
        export(folder, "llava", tmp_path / "out")
    assert snapshot(tmp_path) == before
    assert not (tmp_path / "out").exists()


class Hub:
    """Stands for the hub."""

    calls: ClassVar[list[tuple[Any, ...]]] = []
    error: ClassVar[Exception | None] = None

    def create_repo(self, repo: str, **options: Any) -> str:
        if self.error:
            raise self.error
        self.calls.append((repo, options))
        return f"https://hub/{repo}"

    def upload_folder(self, **options: Any) -> None:
        self.calls.append((sorted(file.name for file in options["folder_path"].rglob("*") if file.is_file()), options))


def test_push_makes_a_private_dataset_and_names_the_remedy(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    export(folder, "parquet", tmp_path / "out")
    assert hub.push(tmp_path / "out", "me/cota") == "https://hub/me/cota"
    (created, uploaded) = Hub.calls
    assert created == ("me/cota", {"repo_type": "dataset", "private": True, "exist_ok": True})
    assert uploaded[0] == ["README.md", "train-00000-of-00001.parquet"]
    assert uploaded[1]["ignore_patterns"] == ["rejected.jsonl"]
    monkeypatch.setattr(Hub, "error", HTTPError("no route"))
    with pytest.raises(RunError, match=r"could not be pushed: no route.*hf auth login.*hf upload me/cota"):
        hub.push(tmp_path / "out", "me/cota")
    monkeypatch.setattr(Hub, "error", HFValidationError("Repo id must be a name."))
    with pytest.raises(ValueError, match="is no name of a repository"):
        hub.push(tmp_path / "out", "me//cota")
