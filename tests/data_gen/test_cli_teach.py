"""The command ``taco-data teach``, as a user meets it."""

import json
import re
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from fake_endpoint import FakeEndpoint

from taco.data_gen import cli_teach, concurrency
from taco.data_gen.cli_teach import teach
from taco.data_gen.teacher import Plan, begin

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(teach)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "FIRST_WAIT", 0.002)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    Image.linear_gradient("L").save(tmp_path / "a.png")
    lines = [{"id": f"q{n}", "question": f"Number {n}: 2 + 2?", "images": ["a.png"], "answer": "4"} for n in range(5)]
    lines.append({"id": "none", "question": "Where?", "images": ["gone.png"]})
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def call(questions: Path, endpoint: FakeEndpoint | None, *arguments: object) -> tuple[int, str]:
    where = ("--model", "openai:fake", "--base-url", endpoint.url) if endpoint else ()
    line = [questions, "--out", questions.parent / "out", *where, *arguments]
    result = CliRunner().invoke(app, [str(argument) for argument in line])
    return result.exit_code, result.output


def test_it_says_what_was_done_spent_and_left_out(questions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_teach, "STATUS_SECONDS", 0.0)
    with FakeEndpoint() as endpoint:
        code, said = call(questions, endpoint, "--samples", 2, "--price-in", 2, "--price-out", 30)
        assert code == 0, said
        assert "6 traces (6 with tool calls, 0 without)" in said
        assert "12 calls, 0 of them refused, 0 replies taken from the disk; 1,320 tokens (0.0060)" in said
        assert "1 rows of the set cannot be used" in said
        assert "2 questions were not drawn" in said
        assert re.search(r"[1-6] of 6 rows, .*1,320 tokens \(0\.0060\) to be expected in all", said)
        code, said = call(questions, endpoint, "--samples", 2, "--json")
        assert code == 0
        report = json.loads(said)
        assert (report["rows"], report["done_before"], report["left"], report["asked"]) == (6, 6, 0, 0)


def test_bad_use_and_failed_runs_have_their_exit_codes(questions: Path) -> None:
    with FakeEndpoint() as endpoint:
        for arguments, sentence in (
            (("--max-cost", 1), "needs both prices"),
            (("--model", "nano", "--temperature", 1), "always says what is likeliest"),
            (("--device", "cpu"), "adapter, device and dtype cannot be chosen"),
        ):
            code, said = call(questions, endpoint if arguments[0] != "--model" else None, *arguments)
            assert (code, sentence in " ".join(said.split())) == (2, True), said
        endpoint.refusal = (401, {})
        code, said = call(questions, endpoint)
        assert (code, "refused the key" in said) == (1, True)
        endpoint.refusal = None
        code, said = call(questions, endpoint, "--temperature", 0)
        assert (code, "temperature is 1.0 there and 0.0 here" in said) == (2, True)
        endpoint.refusals = [400]
        code, said = call(questions, endpoint)
        assert code == 1
        assert "1 rows failed" in said
        assert "runs.jsonl says why. The same command tries them again." in said
        code, said = call(questions, endpoint, "--max-tokens", 500)
        assert (code, "The budget is used up" in said) == (0, True), said


def test_runs_without_an_answer_are_counted_apart(questions: Path) -> None:
    with FakeEndpoint() as endpoint:
        code, said = call(questions, endpoint, "--max-steps", 1)
        assert code == 1
        assert "3 traces (0 with tool calls, 0 without; 3 unanswered: 3 max_steps)" in said
        assert "not one run ended with an answer" in said
        code, said = call(questions, endpoint, "--max-steps", 1, "--json")
        assert (code, json.loads(said)["unanswered"]) == (0, {})


def test_the_projection_names_a_budget_that_is_too_small(questions: Path) -> None:
    with FakeEndpoint() as endpoint:
        lesson = begin(questions, endpoint.model(), questions.parent / "out", plan=Plan(per_image=9), workers=1)
        said: list[str] = []
        lesson.run(lambda now: said.append(cli_teach.status(now)))
    assert said[0].startswith("1 of 5 rows, ")
    assert "220 tokens so far, 1,100 tokens to be expected in all" in said[0]
    assert "calls at a time" in said[0]
