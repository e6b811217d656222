"""Filtering: each rule removes what it is meant for and nothing else, and says so."""

import io
import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from taco.data_gen.cli_select import filter_traces
from taco.data_gen.filtering import Outcomes, Settings, filter_folder, useless_call
from taco.tools.action import Action, Observation
from taco.trace import read_traces

make = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "making_traces.py")))


def removed(out: Path) -> dict[str, str]:
    """The rule by id."""
    lines = (out / "removed.jsonl").read_text().splitlines()
    return {record["id"] or f"line {record['line']}": record["rule"] for record in map(json.loads, lines)}


def filtered(tmp_path: Path, *traces: Any, **settings: Any) -> dict[str, str]:
    folder = make.save(tmp_path / "in", *traces)
    report = filter_folder(folder, tmp_path / "out", Settings(**settings))
    kept = [trace.task.id for trace in read_traces(tmp_path / "out")]
    rules = removed(tmp_path / "out")
    assert report.read == len(kept) + sum(report.removed.values())
    assert sorted([*kept, *rules]) == sorted({trace.task.id for trace in traces})
    return rules


def copy_of(seed: int) -> Image.Image:
    """The picture smaller and as a JPEG."""
    file = io.BytesIO()
    make.picture(seed).resize((80, 80)).save(file, "JPEG", quality=60)
    return Image.open(file).convert("RGB")


def test_the_same_question_about_the_same_image_is_kept_once_in_each_format(tmp_path: Path) -> None:
    question = "How much is the tea?"
    assert filtered(
        tmp_path,
        make.trace("a", question),
        make.trace("b", question, calls=[]),
        make.trace("c", question, calls=[], tools="Terminate"),
        make.trace("again", question, thought="So 3.50 it is."),
        make.trace("other image", question, [1]),
        make.trace("choices", question, choices=("3.50", "4")),
    ) == {"again": "exact"}


def test_a_near_question_about_a_near_image_is_a_duplicate(tmp_path: Path) -> None:
    assert filtered(
        tmp_path,
        make.trace("a", "How much is the tea?", [0]),
        make.trace("copied image", "How much is the tea?", [copy_of(0)]),
        make.trace("words", "Please, how much is the Tea", [0]),
        make.trace("both", "how much is tea?", [copy_of(0)]),
    ) == {"copied image": "near", "words": "near", "both": "near"}


def test_what_only_looks_like_a_duplicate_is_kept(tmp_path: Path) -> None:
    long = "In the picture of the board with the prices that hangs on the wall, how much are {} pieces of {} in all, please?"
    assert not filtered(
        tmp_path,
        make.trace("a", "How much are 3 Tea?"),
        make.trace("number", "How much are 4 Tea?"),
        make.trace("name", "How much are 3 Cake?"),
        make.trace("image", "How much are 3 Tea?", [1]),
        make.trace("more images", "How much are 3 Tea?", [0, 1]),
        make.trace("answer", "How much is 3 Tea?", [copy_of(0)], gold="4.00"),
        make.trace("long 1", long.format(3, "tea")),
        make.trace("long 2", long.format(5, "tea")),
        make.trace("long 3", long.format(3, "cake")),
        make.trace("plus", "What is 3 + 4?"),
        make.trace("minus", "What is 3 - 4?"),
        make.trace("order 1", "Is the cup left of the plate?"),
        make.trace("order 2", "Is the plate left of the cup?"),
        make.trace("small words 1", "What is it?"),
        make.trace("small words 2", "What can you do of this?"),
    )


def test_loops_failed_calls_and_useless_calls(tmp_path: Path) -> None:
    look = make.ocr()
    failed = (Action(name="OCR", arguments={"image": "image-7"}), Observation(error="There is no image named 'image-7'."))
    useless = (Action(name="Calculate", arguments={"expression": "6 * 7"}), Observation(content={"result": 42}))
    assert filtered(
        tmp_path,
        make.trace("fine", "How much is tea?"),
        make.trace("loop", "How much is coffee?", calls=[look, look]),
        make.trace("no loop", "How much is cake?", calls=[look, make.ocr(boxes=True)]),
        make.trace("failed", "How much is water?", calls=[failed, look]),
        make.trace("useless", "How much is milk?", calls=[look, useless]),
    ) == {"loop": "loop", "failed": "error", "useless": "useless"}


@pytest.mark.parametrize(
    ("content", "thought", "used"),
    [
        ({"text": "Tea 3.50"}, "It is cheap: 3.5.", True),
        ({"text": "Green tea"}, "The teapot is green.", True),
        ({"text": "Green tea"}, "The cup is of some other kind.", False),
        ({"result": 14}, "There are 114 of 140.", False),
        ({"depth": 0.3512}, "It is at 0.35.", True),
        ({"depth": 2.31}, "The second one is closer.", True),
        ({"depth": 2.31}, "The closet is near the door.", False),
        ({"similarity": [0.21, 0.14], "best_image_index": 0, "best_image": "image-1"}, "It is most like the second one.", True),
        ({"similarity": [0.21, 0.14], "best_image_index": 0, "best_image": "image-1"}, "The sky is blue.", False),
        ({"text": "Tea 3.50"}, "This is larger than that.", False),
        ({"regions": [{"label": "dog", "score": 0.71}] * 3}, "There are three.", True),
        ({"regions": [{"label": "dog", "score": 0.71}] * 3}, "There are four.", False),
        ({"objects": ["boat", "lake"]}, "I see 2 kinds.", True),
        ({"regions": []}, "There is nothing.", True),
        ({"same": True}, "They are the same.", True),
    ],
)
def test_a_result_is_used_where_its_words_or_numbers_come_again(content: dict[str, Any], thought: str, used: bool) -> None:
    call = (Action(name="OCR", arguments={"image": "image-0"}), Observation(content=content))
    assert (useless_call(make.trace("a", "?", calls=[call], thought=thought, answer="yes")) is None) is used


def test_a_call_beside_terminate_is_useless() -> None:
    trace = make.trace("a", "?")
    first, last = trace.steps
    step = last.model_copy(
        update={"actions": first.actions + last.actions, "observations": first.observations + last.observations}
    )
    assert useless_call(trace.model_copy(update={"steps": (step,)})) == "step 1: nothing uses what OCR gave"


def test_length(tmp_path: Path) -> None:
    calls = [make.ocr(), make.ocr(boxes=True)]
    rules = filtered(
        tmp_path,
        make.trace("fine", "How much is tea?"),
        make.trace("steps", "How much is coffee?", calls=calls),
        make.trace("images", "How much is cake?", [0, 1, 2]),
        make.trace("chars", "How much is milk? " * 40),
        max_steps=2,
        max_images=2,
        max_chars=600,
    )
    assert rules == {"steps": "length", "images": "length", "chars": "length"}
    tokenizer = Path(__file__).parents[2] / "taco" / "nano" / "tokenizer.json"
    settings = Settings(max_tokens=100, tokenizer=tokenizer, skip=("loop", "useless"))
    report = filter_folder(tmp_path / "in", tmp_path / "tokens", settings)
    assert removed(tmp_path / "tokens")["chars"] == "length"
    assert report.kept


@pytest.mark.parametrize(
    ("outcomes", "useless"),
    [
        (Outcomes(cota_right=45, cot_right=55), False),  # 10 points more, not over 10
        (Outcomes(cota_right=44, cot_right=56), True),
        (Outcomes(cota_right=45, cota_wrong=55), False),
        (Outcomes(cota_right=44, cota_wrong=56), True),
        (Outcomes(cota_right=30, cota_wrong=35, cot_right=35), False),
        (Outcomes(cota_right=12, cota_wrong=20, cot_right=30, cot_wrong=38), True),
        (Outcomes(), False),
    ],
)
def test_the_papers_rule_for_action_useless_sources(outcomes: Outcomes, useless: bool) -> None:
    assert outcomes.action_useless is useless


def test_sources_are_judged_by_the_kept_and_the_rejected(tmp_path: Path) -> None:
    kept = [
        make.trace(f"{source} {n}", f"How much is {source} {n}?", source=source) for source in ("good", "bad") for n in range(2)
    ]
    kept.append(make.trace("direct", "How much is 9?", source="bad", calls=[], tools="Terminate"))
    wrong = [make.trace(f"wrong {n}", "How much?", source="bad", answer="1") for n in range(3)]
    folder, rejected = make.save(tmp_path / "in", *kept), make.save(tmp_path / "rejected", *wrong)
    report = filter_folder(folder, tmp_path / "out", Settings(action_useful=True), rejected=[rejected])
    assert report.sources == {"good": Outcomes(cota_right=2), "bad": Outcomes(cota_right=2, cota_wrong=3)}
    assert removed(tmp_path / "out") == {"bad 0": "source", "bad 1": "source", "direct": "source"}
    alone = filter_folder(folder, tmp_path / "alone", Settings(action_useful=True))
    assert alone.kept == 5


def test_lines_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    folder = make.save(tmp_path / "in", *(make.trace(name, f"How much is {name}?", [n]) for n, name in enumerate("abcd")))
    make.save(folder, make.trace("a", "How much is the last a?"), make.trace("d", "How much is d?", [3], thought="So 3.50."))
    b, c = (trace.images["image-0"].file for trace in list(read_traces(folder))[1:3])
    (folder / b).unlink()
    make.picture(9).save(folder / c)
    text = (folder / "traces.jsonl").read_text()
    old = text.splitlines()[3].replace("taco-trace-1", "taco-trace-0").replace('"d"', '"e"')
    (folder / "traces.jsonl").write_text(text + "\n{\n" + old + "\n")
    filter_folder(folder, tmp_path / "out")
    listed = [json.loads(line) for line in (tmp_path / "out" / "removed.jsonl").read_text().splitlines()]
    rules = [(record["line"], record["id"], record["rule"]) for record in listed]
    assert rules == [
        (1, "a", "duplicate id"), (2, "b", "image"), (3, "c", "image"), (4, "d", "superseded"), (7, "", "unreadable"),
        (8, "", "unreadable"),
    ]  # fmt: skip
    assert "line 5 has the same id, and another question" in listed[0]["reason"]
    assert "its pixels changed" in listed[2]["reason"]
    assert "schema" in listed[5]["reason"]
    assert not any(str(tmp_path) in record["reason"] for record in listed)
    assert [trace.task.question for trace in read_traces(tmp_path / "out")] == ["How much is the last a?", "How much is d?"]


def test_images_come_along_under_their_hash(tmp_path: Path) -> None:
    folder = make.save(tmp_path / "in", make.trace("a", "How much is tea?"))
    trace = next(read_traces(folder))
    file = trace.images["image-0"]
    make.picture(0).save(folder / "board.bmp")
    (folder / file.file).unlink()
    (folder / "traces.jsonl").write_text(trace.to_json().replace(file.file, "board.bmp") + "\n")
    filter_folder(folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == [f"{file.sha256}.png"]
    assert next(read_traces(tmp_path / "out")).store["image-0"].tobytes() == make.picture(0).tobytes()


def test_a_disk_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*paths: Path) -> None:
        raise OSError("Invalid cross-device link")

    folder = make.save(tmp_path / "in", make.trace("a", "How much is tea?"))
    filter_folder(folder, tmp_path / "linked")
    monkeypatch.setattr("os.link", no_link)
    filter_folder(folder, tmp_path / "copied")
    assert make.contents(tmp_path / "copied") == make.contents(tmp_path / "linked")


def test_a_killed_run_leaves_nothing_that_counts(tmp_path: Path) -> None:
    folder = make.save(tmp_path / "in", *(make.trace(f"{n}", f"How much is {n}?", [n]) for n in range(6)))
    filter_folder(folder, tmp_path / "whole")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filter_folder(folder, tmp_path / "out", on_read=interrupt)
    (tmp_path / ".out.part" / "images").mkdir(parents=True)
    (tmp_path / ".out.part" / "traces.jsonl").write_text("{")
    assert not filter_folder(folder, tmp_path / "out").already
    assert make.contents(tmp_path / "out") == make.contents(tmp_path / "whole")
    assert filter_folder(folder, tmp_path / "out").already
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "whole"]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(filter_traces)
    return app


def test_the_command(app: typer.Typer, tmp_path: Path) -> None:
    def call(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        return result.exit_code, result.output

    folder = make.save(tmp_path / "in", make.trace("a", "How much is tea?"), make.trace("b", "How much is tea?"))
    code, said = call(folder, "--out", tmp_path / "out")
    assert code == 0
    assert "1 of 2 traces kept" in said
    assert "exact" in said
    code, said = call(folder, "--out", tmp_path / "out", "--json")
    assert json.loads(said)["already"] is True
    for arguments, sentence in (
        (("--out", tmp_path / "out", "--max-steps", 3), "max_steps was None, now 3"),
        (("--out", folder), "holds something else"),
        (("--out", tmp_path / "new", "--skip", "nonsense"), "skip.0: "),
        (("--out", tmp_path / "new", "--max-tokens", 3), "needs both"),
        (("--out", tmp_path / "new", "--rejected", folder), "action-useful rule only"),
    ):
        code, said = call(folder, *arguments)
        assert code == 2
        assert sentence in said
        assert not (tmp_path / "new").exists()
    code, said = call(tmp_path / "nowhere", "--out", tmp_path / "new")
    assert code == 2
    assert "There is no file" in said
    (tmp_path / "in" / "traces.jsonl").write_text("")
    code, said = call(folder, "--out", tmp_path / "new")
    assert code == 2
    assert "is empty" in said
