"""Statistics of a folder: counts that were worked out by hand."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from taco.data_gen.cli_select import stats as stats_command
from taco.data_gen.stats import survey

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "making_traces.py")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder: Path = make.save(
        tmp_path / "in",
        make.trace("a", "How much are 3 Green Tea?", source="menus/n"),
        make.trace("b", "How much are 12 Cake?", source="menus/n"),
        make.trace("c", "How much are 12 Cake?", [1], source="menus/n"),
        make.trace("d", "What colour is it?", [0, 1], calls=[], source="menus/colour"),
    )
    with (folder / "traces.jsonl").open("a") as file:
        file.write("{\n")
    reasons = ["item 3 was not found", "item 12 was not found", "too long"]
    lines = [json.dumps({"id": str(n), "source": "menus/n", "reason": reason}) for n, reason in enumerate(reasons)]
    (folder / "rejected.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def call(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(stats_command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_counts(folder: Path) -> None:
    stats = survey(folder)
    assert (stats.traces, stats.unreadable, stats.distinct_images) == (4, 1, 2)
    assert stats.formats == {"cot": 1, "cota": 3}
    assert stats.calls == {"OCR": 3, "Terminate": 4}
    assert stats.steps == {1: 1, 2: 3}
    assert stats.images == {1: 3, 2: 1}
    assert (stats.questions, stats.phrasings) == (3, 2)
    assert stats.sources["menus/n"].model_dump() == {"traces": 3, "questions": 2, "phrasings": 1}
    # how much are 3 green tea | how much are 12 cake | how much are 12 cake | what colour is it
    assert (stats.words, stats.distinct_words) == (6 + 5 + 5 + 4, 8 + 4)
    assert stats.rejected == {"item # was not found": 2, "too long": 1}


def test_the_command(folder: Path, tmp_path: Path) -> None:
    code, said = call(folder)
    assert code == 0
    for part in ("menus/colour", "OCR", "item # was not found", "0.6000 (12 of 20 words)"):
        assert part in said
    code, said = call(folder, "--json", "--plot", tmp_path / "stats.png")
    assert code == 0
    assert json.loads(said)["type_token_ratio"] == 0.6
    assert Image.open(tmp_path / "stats.png").width == 1200
    code, said = call(tmp_path)
    assert code == 2
    assert "There is no file" in said
    (folder / "rejected.jsonl").write_text("nonsense\n")
    code, said = call(folder)
    assert code == 2
    assert "rejected.jsonl, line 1 is no rejected row" in said.replace("\n", " ")


def test_without_matplotlib_a_sentence_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, said = call(folder, "--plot", folder / "stats.png")
    assert code == 1
    assert "pip install matplotlib" in said.replace("\n", " ")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "traces.jsonl").write_text("\n")
    code, said = call(tmp_path)
    assert (code, "traces.jsonl is empty. Give a folder with traces." in said.replace("\n", " ")) == (2, True)
