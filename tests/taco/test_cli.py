"""The command as a person types it: what it prints, its exit codes, nothing lost."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import taco.models
from taco import cli
from taco.cli import app
from taco.models.chat import ModelError
from taco.models.scripted import ScriptedModel
from taco.prompts import reply_text
from taco.tools import Action
from taco.trace import Task, append_line, read_traces

END = reply_text("Sum.", [Action(name="Terminate", arguments={"answer": "7"})])
SUM = reply_text("Add\nboth.", [Action(name="Calculate", arguments={"expression": "3 + 4"})])
runner = CliRunner()


@pytest.fixture
def board(tmp_path: Path) -> Path:
    Image.new("RGB", (60, 40), "green").save(tmp_path / "board.png")
    return tmp_path / "board.png"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The replies of the model that every command gets."""
    replies: list[str] = []

    def reply(messages: Any) -> str:
        if not replies:
            raise ModelError("The script has no reply left.")
        return replies.pop(0)

    monkeypatch.setattr(taco.models, "load_model", lambda name, **_: ScriptedModel(reply))
    return replies


def taco_(*arguments: object) -> Any:
    return runner.invoke(app, [str(argument) for argument in arguments])


def test_ask_shows_the_steps_and_saves_the_trace(board: Path, script: list[str], tmp_path: Path) -> None:
    script += [SUM, END]
    result = taco_("ask", board, "3 + 4?", "--save", tmp_path / "out")
    assert result.exit_code == 0, result.output
    for text in ("Step 1  Add\n        both.\n", 'Calculate(expression="3 + 4")', '-> {"result": 7}', "Answer: 7"):
        assert text in result.stdout
    [trace] = read_traces(tmp_path / "out")
    assert trace.answer == "7"


def test_ask_json_is_one_object(board: Path, script: list[str]) -> None:
    script += [END]
    result = taco_("ask", board, "3 + 4?", "--json")
    assert json.loads(result.stdout)["answer"] == "7"
    assert result.stdout.count("\n") == 1


def test_no_answer_is_a_failed_run_and_bad_use_is_another(board: Path, script: list[str], tmp_path: Path) -> None:
    script += [SUM]
    assert taco_("ask", board, "?", "--max-steps", 1).exit_code == 1
    (tmp_path / "broken.png").write_bytes(b"no image")
    for arguments, sentence in [
        (("ask", tmp_path / "none.png", "?"), "There is no file"),
        (("ask", tmp_path / "broken.png", "?"), "not an image"),
        (("ask", "http://localhost/a.png", "?"), "allow"),
        (("ask", "question?", board), "Put the question last"),
        (("run", tmp_path / "none.jsonl", "--out", tmp_path), "There is no file"),
        (("eval", tmp_path), "There is no file"),
        (("tools", "run", "Levitate"), "No such tool"),
        (("tools", "run", "Calculate", "3+4"), "KEY=VALUE"),
    ]:
        result = taco_(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert sentence in result.output, (arguments, result.output)
        assert "Traceback" not in result.output


def test_an_unknown_model_is_bad_use(board: Path) -> None:
    result = taco_("ask", board, "?", "--model", "./nowhere")
    assert result.exit_code == 2
    assert "There is no directory" in result.output


def tasks_file(folder: Path, count: int) -> Path:
    for index in range(count):
        task = Task(id=f"t{index}", question="?", images=("board.png",), answer="7", source="sum")
        append_line(folder / "tasks.jsonl", task.model_dump_json())
    return folder / "tasks.jsonl"


def counted(printed: str) -> dict[str, int]:
    """What `taco run --json` says, without times."""
    return {key: value for key, value in json.loads(printed).items() if key in ("tasks", "done_before", "run", "failed")}


def test_run_resumes_retries_what_failed_and_eval_counts_it(board: Path, script: list[str], tmp_path: Path) -> None:
    tasks, out = tasks_file(tmp_path, 3), tmp_path / "out"
    result = taco_("run", tasks, "--out", out, "--limit", 1, "--json")  # no reply is left: the model fails
    assert result.exit_code == 1
    assert counted(result.stdout) == {"tasks": 1, "done_before": 0, "run": 1, "failed": 1}
    assert [trace.stop_reason for trace in read_traces(out)] == ["failed"]
    script += [END, END, END.replace("7", "8")]
    result = taco_("run", tasks, "--out", out, "--json")
    assert counted(result.stdout) == {"tasks": 3, "done_before": 0, "run": 3, "failed": 0}
    assert json.loads(result.stdout)["tasks_per_minute"] > 0
    result = taco_("run", tasks, "--out", out, "--json")
    assert json.loads(result.stdout)["done_before"] == 3
    report = json.loads(taco_("eval", out, "--json").stdout)
    assert (report["traces"], report["correct"]) == (3, 2)
    assert "66.7%" in taco_("eval", out).stdout


def test_answers_of_another_model_or_question_are_not_taken_for_these(
    board: Path, script: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, out = tasks_file(tmp_path, 1), tmp_path / "out"
    script += [END]
    assert taco_("run", tasks, "--out", out).exit_code == 0
    tasks.write_text(tasks.read_text().replace('"?"', '"Another?"'))
    result = taco_("run", tasks, "--out", out)
    assert result.exit_code == 2
    assert "another task with the id 't0'" in result.output
    monkeypatch.setattr(
        ScriptedModel, "__init__", lambda self, *_: setattr(self, "name", "other") or setattr(self, "record", None)
    )
    result = taco_("run", tasks, "--out", out)
    assert result.exit_code == 2
    assert "holds answers of scripted" in result.output


def test_an_answer_is_printed_even_if_it_cannot_be_saved(board: Path, script: list[str], tmp_path: Path) -> None:
    script += [END]
    result = taco_("ask", board, "?", "--save", board)  # a file, not a folder
    assert result.exit_code == 1
    assert "Answer: 7" in result.stdout


def test_a_long_question_is_a_question(board: Path, script: list[str]) -> None:
    script += [END]
    assert taco_("ask", board, "How many words? " * 100).exit_code == 0


def test_an_interrupted_run_keeps_what_was_finished(board: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    replies = iter([END])

    def reply(messages: Any) -> str:
        try:
            return next(replies)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(taco.models, "load_model", lambda name, **_: ScriptedModel(reply))
    result = taco_("run", tasks_file(tmp_path, 3), "--out", tmp_path / "out", "--batch-size", 1)
    assert result.exit_code == 1
    assert "goes on from there" in result.output
    assert len(list(read_traces(tmp_path / "out"))) == 1


def test_traces_stand_in_the_order_of_the_tasks_whatever_the_batch(
    board: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    step = END.replace("Terminate", "Calculate").replace('{"answer": "7"}', '{"expression": "NUMBER"}')

    def reply(messages: Any) -> str:  # the first task is the slowest
        done = (len(messages) - 2) // 2
        return END if done >= 4 - len(messages[1]["content"][-1]["text"]) else step.replace("NUMBER", str(done))

    monkeypatch.setattr(taco.models, "load_model", lambda name, **_: ScriptedModel(reply))
    tasks = tasks_file(tmp_path, 4)
    lines = [json.loads(line) for line in tasks.read_text().splitlines()]
    tasks.write_text("".join(json.dumps(line | {"question": "?" * (1 + n)}) + "\n" for n, line in enumerate(lines)))
    written = []
    for size in (1, 3, 8):
        assert taco_("run", tasks, "--out", tmp_path / str(size), "--batch-size", size).exit_code == 0
        written.append((tmp_path / str(size) / "traces.jsonl").read_bytes())
    assert written == written[:1] * 3


def test_two_tasks_of_one_id_are_refused(board: Path, tmp_path: Path) -> None:
    tasks = tasks_file(tmp_path, 1)
    tasks_file(tmp_path, 1)
    result = taco_("run", tasks, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "t0" in result.output


def test_tools_are_listed_and_run_alone(board: Path, tmp_path: Path) -> None:
    listed = json.loads(taco_("tools", "--json").stdout)
    ready = [item["name"] for item in listed if item["unavailable"] is None]
    assert {"OCR", "LocalizeObjects", "EstimateObjectDepth", "Crop", "ZoomIn", "Calculate", "Terminate"} <= set(ready)
    assert len(listed) == 16
    table = taco_("tools").stdout
    assert "Calculate                   ready   taco\n" in table
    if "LocalizeObjects             ready   nano-perception" in table:  # no large weights are here
        assert "It was trained on rendered scenes and is no general detector." in table
    assert all(item["unavailable"] in table for item in listed if item["unavailable"])
    assert json.loads(taco_("tools", "run", "Calculate", "expression=15% * 200").stdout) == {"result": 30}
    result = taco_("tools", "run", "Crop", f"image={board}", "bbox=[0,0,0.5,0.5]", "--save", tmp_path / "made")
    assert json.loads(result.stdout.splitlines()[0]) == {"image": "image-1"}
    assert len(list((tmp_path / "made").iterdir())) == 1
    assert taco_("tools", "run", "Calculate", "expression=3 +").exit_code == 1


def test_help_and_version_of_every_command() -> None:
    for command in ([], ["ask"], ["run"], ["eval"], ["train"], ["diagnose"], ["tools"], ["tools", "run"]):
        result = taco_(*command, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.stdout
    assert taco_("--version").stdout.startswith("taco ")
    assert taco_().exit_code == 2


def test_a_tool_that_is_not_offered_to_models_runs_alone_too(board: Path) -> None:
    result = taco_("tools", "run", "VisualizeRegionsOnImage", f"image={board}", 'regions=[{"bbox": [0, 0, 0.5, 0.5]}]')
    assert result.exit_code == 0, result.output
    assert taco_("tools", "run", "Crop", f"image={board}", "bbox=" + "[" * 60_000).exit_code == 1


def test_own_tools_that_cannot_run_are_not_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_tools_of_the_cli.py").write_text(
        "from taco.tools import tool\n"
        "@tool(unavailable=lambda: 'Set MY_KEY.')\n"
        'def Weather() -> dict:\n    """Says the weather."""\n    return {\'weather\': \'fair\'}\n'
        "@tool\n"
        'def Moon() -> dict:\n    """Says the moon."""\n    return {\'moon\': \'full\'}\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    options = ["--tools", "own_tools_of_the_cli:Weather", "--tools", "own_tools_of_the_cli:Moon"]
    assert [tool.name for tool in cli._own(options[1::2])] == ["Moon"]
    listed = runner.invoke(app, ["tools", *options]).stdout
    assert "Weather" in listed
    assert "Set MY_KEY." in listed
    ran = runner.invoke(app, ["tools", "run", "Moon", *options])
    assert '{"moon": "full"}' in ran.stdout
    absent = runner.invoke(app, ["tools", "run", "Weather", *options])
    assert absent.exit_code == 1
    assert "Set MY_KEY." in absent.output
