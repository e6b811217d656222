"""The commands ``export`` and ``import``, as a user meets them."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from taco.data_gen.cli_exchange import FormName, export, import_traces
from taco.data_gen.formats import hub
from taco.data_gen.formats.catalogue import forms

from .formats.traces import rich_trace, save

app = typer.Typer()
app.command("export")(export)
app.command("import")(import_traces)


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_there_and_back(tmp_path: Path) -> None:
    assert {form.value for form in FormName} == set(forms())
    save(tmp_path / "in", rich_trace(), rich_trace())
    code, said = call("export", tmp_path / "in", "--format", "llava", "--out", tmp_path / "out")
    assert (code, said.splitlines()) == (0, [f"1 traces with 4 images: {tmp_path / 'out'}", "        1 left out: superseded"])
    code, said = call("import", tmp_path / "out", "--format", "llava", "--out", tmp_path / "again")
    assert (code, said) == (0, f"1 of 1 rows kept: {tmp_path / 'again'}\nNothing was amiss.\n")
    code, said = call("import", tmp_path / "out", "--format", "llava", "--out", tmp_path / "third", "--json")
    assert json.loads(said) == {"out": str(tmp_path / "third"), "rows": 1, "kept": 1, "rejected": {}, "mended": {}}


def test_bad_use_and_failed_runs_have_their_exit_codes(tmp_path: Path) -> None:
    save(tmp_path / "in", rich_trace().model_copy(update={"steps": ()}).with_store(rich_trace().store))
    code, said = call("export", tmp_path / "in", "--format", "llava", "--out", tmp_path / "in")
    assert (code, "holds something" in said) == (2, True)
    code, said = call("export", tmp_path / "in", "--format", "llava", "--out", tmp_path / "out")
    assert (code, "Not one trace" in said) == (1, True)
    code, said = call("export", tmp_path / "in", "--format", "llava", "--out", tmp_path / "b", "--push", "me/x")
    assert (code, "--push uploads Parquet" in said) == (2, True)
    assert not (tmp_path / "b").exists()
    code, said = call("import", tmp_path / "gone.json", "--format", "llava", "--out", tmp_path / "c")
    assert (code, "There is no file" in said) == (2, True)


def test_push_says_where_it_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "push", lambda out, repo: f"https://hub/{repo}")
    save(tmp_path / "in", rich_trace())
    code, said = call("export", tmp_path / "in", "--format", "parquet", "--out", tmp_path / "out", "--push", "me/x")
    assert (code, said.splitlines()[-1]) == (0, "Pushed to https://hub/me/x; fill in the licence in its card.")
