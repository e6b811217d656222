"""The command ``taco-data``, as a user meets it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from taco.data_gen import cli, cli_verify
from taco.data_gen.cli import app
from taco.data_gen.families import FAMILIES
from taco.trace import read_traces


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


SMALL = ("--n", 3, "--seed", 1, "--max-items", 2)


def test_generate_writes_traces_and_says_what_it_did(tmp_path: Path) -> None:
    code, said = call("generate", *SMALL, "--out", tmp_path / "a")
    assert code == 0
    assert said.startswith("3 kept")
    assert len(list(read_traces(tmp_path / "a"))) == 3
    code, said = call("generate", *SMALL, "--out", tmp_path / "a", "--json")
    assert code == 0
    assert json.loads(said)["kept"] == 3


def test_bad_use_has_exit_code_2_and_a_remedy(tmp_path: Path) -> None:
    assert call("generate", *SMALL, "--out", tmp_path / "a")[0] == 0
    code, said = call("generate", *SMALL, "--out", tmp_path / "a", "--direct")
    assert code == 2
    assert "direct is False there and True here" in said
    code, said = call("generate", *SMALL, "--out", tmp_path / "b", "--types", "price_of,nonsense")
    assert code == 2
    assert "no question type nonsense" in said
    assert not (tmp_path / "b").exists()
    for content in ("[]", "{"):
        (tmp_path / "a" / "config.json").write_text(content)
        code, said = call("generate", *SMALL, "--out", tmp_path / "a")
        assert code == 2
        assert f"config.json should hold what this command wrote there, a JSON object; it holds '{content}'" in said
    code, said = call("verify", tmp_path / "nowhere")
    assert code == 2
    assert "There is no file" in said


def test_verify_counts_and_fails_with_exit_code_1(tmp_path: Path) -> None:
    call("generate", *SMALL, "--out", tmp_path / "a")
    code, said = call("verify", tmp_path / "a")
    assert code == 0
    assert "3 skipped execution" in said
    assert "cannot be run again" in said
    file = tmp_path / "a" / "traces.jsonl"
    file.write_text(file.read_text().replace('\\"Terminate\\"', '\\"Terminator\\"', 1))
    code, said = call("verify", tmp_path / "a", "--json")
    assert code == 1
    assert json.loads(said)["counts"]["failed format"] == 1
    file.write_text("[]\n" + file.read_text())
    code, said = call("verify", tmp_path / "a")
    assert code == 1
    assert "line 1: format: " in said
    assert "4 traces: 2 failed format, 2 skipped execution" in said


def test_verify_shows_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("generate", *SMALL, "--out", tmp_path / "a")
    totals: list[int] = []
    moves: list[int] = []

    @contextmanager
    def bar(total: int, unit: str) -> Iterator[Callable[[], None]]:
        totals.append(total)
        yield lambda: moves.append(1)

    monkeypatch.setattr(cli_verify, "progress", bar)
    assert call("verify", tmp_path / "a")[0] == 0
    assert totals == [3]
    assert len(moves) == 3


def test_preview_draws_a_sheet_and_prints_the_questions(tmp_path: Path) -> None:
    code, said = call("preview", "--n", 2, "--out", tmp_path / "new" / "sheet.png")
    assert code == 0
    assert "->" in said
    assert Image.open(tmp_path / "new" / "sheet.png").width >= 800


def test_preview_refuses_a_kind_of_picture_before_it_draws_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taco.data_gen.pipeline.ask_scene", None)
    code, said = call("preview", "--n", 2, "--out", tmp_path / "new" / "sheet.gif")
    assert (code, "use one of .png, .jpg" in said.replace("\n", " ")) == (2, True)
    assert not (tmp_path / "new").exists()


def test_the_help_names_every_family() -> None:
    assert tuple(FAMILIES) == cli.FAMILIES
