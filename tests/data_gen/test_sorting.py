"""Traces are sorted into kept, rejected and repaired, every line with a verdict; and paired for preference training."""

import itertools
import json
import runpy
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from taco.data_gen import cli_verify, sorting
from taco.data_gen.pipeline import Recipe, stream_traces
from taco.data_gen.sorting import preference_pairs, sort_folder
from taco.data_gen.verification import Verdict, Verifier, verify_folder
from taco.models.scripted import ScriptedModel
from taco.prompts import reply_text, terminated
from taco.tools.action import Action, Observation
from taco.tools.images import ImageStore
from taco.trace import Trace, append_line, read_traces, write_new

TYPES = ("price_of_n", "total_of_two")


def wrong(trace: Trace, number: int = -1, **update: Any) -> Trace:
    """The trace with a changed step."""
    steps = list(trace.steps)
    steps[number] = steps[number].model_copy(update=update)
    return trace.model_copy(update={"steps": tuple(steps)}).with_store(trace.store)


def answering(trace: Trace, answer: str) -> Trace:
    """The trace with another answer."""
    action = Action(name="Terminate", arguments={"answer": answer})
    observed, reply = (Observation(content={"answer": answer}),), reply_text("So it is.", [action])
    other = wrong(trace, reply=reply, thought="So it is.", actions=(action,), observations=observed)
    return other.model_copy(update={"answer": answer}).with_store(trace.store)


def named(trace: Trace, name: str) -> Trace:
    return trace.model_copy(update={"task": trace.task.model_copy(update={"id": name})}).with_store(trace.store)


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    made = itertools.islice(stream_traces(Recipe(types=TYPES, max_items=2)), 4)
    return [trace.with_store(ImageStore([trace.store["image-0"].resize((32, 24))])) for trace in made]


@pytest.fixture
def folder(traces: list[Trace], tmp_path: Path) -> Path:
    """Four good traces, wrong answers, a broken reply, one twice, one with another's id, one without its image, no trace."""
    source = tmp_path / "in"
    one, two, three, four = traces
    lost = named(three, "lost").with_store(ImageStore([three.store["image-0"].rotate(180)]))
    for trace in (
        named(two, one.task.id),
        one,
        named(answering(one, "0.01"), "one#2"),
        answering(two, "0.03"),
        named(wrong(two, 0, reply="Read"), "two#2"),
        two,
        three,
        named(answering(one, "0.02"), "one#3"),
        lost,
    ):
        trace.save(source)
    (source / lost.images["image-0"].file).unlink()
    with (source / "traces.jsonl").open("a") as file:
        file.write("[]\n")
    four.save(source)
    return source


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_line_has_a_verdict_and_a_place(folder: Path, traces: list[Trace], tmp_path: Path) -> None:
    out = tmp_path / "out"
    verdicts = list(sort_folder(folder, out, Verifier()))
    assert [f"{verdict.failed} {verdict.fault}" if verdict.failed else "kept" for verdict in verdicts] == [
        "format duplicate id", "kept", "semantics wrong answer", "format superseded", "format faulty reply", "kept", "kept",
        "semantics wrong answer", "execution image", "format unreadable", "kept",
    ]  # fmt: skip
    assert [verdict.model_copy(update={"repaired": False}) for verdict in verdicts] == list(verify_folder(folder))
    assert "line 2 has the same id, and another question" in verdicts[0].reason
    assert "line 6 has the same id; the last one counts" in verdicts[3].reason
    assert "is gone" in verdicts[8].reason
    assert [Verdict.model_validate_json(line) for line in (out / "verdicts.jsonl").open()] == verdicts
    assert list(read_traces(out / "kept")) == traces
    rejected = list(read_traces(out / "rejected"))
    lines = (folder / "traces.jsonl").read_text().splitlines()
    assert [trace.to_json() for trace in rejected] == [lines[number] for number in (0, 2, 3, 4, 7, 8)]
    assert rejected[0].store["image-0"].size == traces[0].store["image-0"].size


def test_a_rejected_trace_becomes_a_direct_answer_once_a_question(folder: Path, traces: list[Trace], tmp_path: Path) -> None:
    verdicts = list(sort_folder(folder, tmp_path / "out", Verifier()))
    assert [index for index, verdict in enumerate(verdicts) if verdict.repaired] == [2, 4]
    for trace, whole in zip(read_traces(tmp_path / "out" / "repaired"), traces, strict=False):
        assert trace.task.model_copy(update={"id": whole.task.id}) == whole.task
        assert [terminated(step) for step in trace.steps] == [whole.task.answer]
        assert Verifier().verify(trace).outcome == "passed"


def test_a_task_that_cannot_be_answered_is_not_repaired(traces: list[Trace], tmp_path: Path) -> None:
    task = traces[0].task.model_copy(update={"choices": ("1", "2"), "answer": "3"})
    traces[0].model_copy(update={"task": task}).with_store(traces[0].store).save(tmp_path / "in")
    [verdict] = sort_folder(tmp_path / "in", tmp_path / "out", Verifier())
    assert (verdict.failed, verdict.fault, verdict.repaired) == ("semantics", "faulty task", False)
    assert "the task is at fault: its right answer '3' is none of its choices, '1', '2'" in verdict.reason
    assert not (tmp_path / "out" / "repaired").exists()


class Killed(Exception):
    pass


@pytest.mark.parametrize("place", range(1, 24))
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    place: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(sort_folder(folder, tmp_path / "whole", Verifier()))
    writes = itertools.count(1)

    def killed(function: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            if next(writes) == place:
                raise Killed
            function(*arguments)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(sorting, "append_line", killed(append_line))
        patch.setattr(sorting, "write_new", killed(write_new))
        try:
            list(sort_folder(folder, tmp_path / "out", Verifier()))
            assert place > 22
        except Killed:
            (tmp_path / "out" / "kept" / "images").mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / "kept" / "images" / "half.part").touch()
    again = list(sort_folder(folder, tmp_path / "out", Verifier()))
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    assert len(again) == 11


def test_a_folder_of_something_else_is_refused(folder: Path, tmp_path: Path, traces: list[Trace]) -> None:
    with pytest.raises(ValueError, match="holds something else"):
        list(sort_folder(folder, folder, Verifier()))
    out = tmp_path / "out"
    list(sort_folder(folder, out, Verifier(), {"answers": "exact"}))
    with pytest.raises(ValueError, match="answers is 'exact' there and 'anls' here"):
        list(sort_folder(folder, out, Verifier(), {"answers": "anls"}))
    traces[3].save(tmp_path / "other")
    with pytest.raises(ValueError, match=f"its verdict 1 is on {traces[0].task.id}, the trace is {traces[3].task.id}"):
        list(sort_folder(tmp_path / "other", out, Verifier(), {"answers": "exact"}))
    with pytest.raises(ValueError, match="There is no file"):
        list(sort_folder(tmp_path / "nowhere", tmp_path / "new", Verifier()))
    assert not (tmp_path / "new").exists()
    lines = (folder / "traces.jsonl").read_text().splitlines(keepends=True)
    (folder / "traces.jsonl").write_text("".join(lines[:5]))
    with pytest.raises(ValueError, match="verdicts on more than"):
        list(sort_folder(folder, out, Verifier(), {"answers": "exact"}))
    (folder / "traces.jsonl").write_text("".join(lines))
    (out / "kept" / "traces.jsonl").write_text("")
    with pytest.raises(ValueError, match="has 0 traces; verdicts"):
        list(sort_folder(folder, out, Verifier(), {"answers": "exact"}))


def test_planned_faults_are_rejected_at_their_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "verification.py"))
    counts = {"format": 11, "execution": 4, "loops": 0, "pixels": 2, "semantics": 3, "doubles": 2, "good": 6}
    planned = benchmark["write_candidates"](tmp_path / "in", counts, 1)
    monkeypatch.syspath_prepend(str(tmp_path / "in"))
    assert benchmark["sorted_stages"](tmp_path / "in", tmp_path / "out") == planned
    assert Counter(planned) == {"kept": 4, "format": 13, "execution": 6, "semantics": 3}
    del sys.modules["tool_that_loops"]


# ---------------------------------------------------------------------- pairs


def test_a_pair_is_cut_where_the_two_part(folder: Path, traces: list[Trace], tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(sort_folder(folder, out, Verifier()))
    pairs = [json.loads(line) for line in (out / "pairs.jsonl").open()]
    assert [pair["id"] for pair in pairs] == [traces[0].task.id, traces[1].task.id, traces[0].task.id]
    late, early, _ = pairs
    assert [message["role"] for message in late["prompt"]] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert [message["role"] for message in early["prompt"]] == ["system", "user"]
    assert late["chosen"][0]["content"][0]["text"] == traces[0].steps[-1].reply
    assert '"answer": "0.01"' in late["rejected"][0]["content"][0]["text"]
    assert early["rejected"] == [{"role": "assistant", "content": [{"type": "text", "text": "Read"}]}]
    assert {"type": "image"} in early["prompt"][1]["content"]
    assert early["images"] == [f"kept/{traces[1].images['image-0'].file}"]
    assert (out / early["images"][0]).is_file()


def test_the_rival_that_goes_along_longest_is_taken(traces: list[Trace]) -> None:
    trace, verifier = traces[0], Verifier()
    other_start = wrong(trace, 0, reply=trace.steps[0].reply.replace("I need", "I want"))
    failed = answering(trace, "0.01")
    [pair] = preference_pairs([other_start, trace], [failed], verifier)
    assert len(pair["prompt"]) == 6
    assert list(preference_pairs([trace], [trace], verifier)) == [], "they do not part"
    assert list(preference_pairs([trace], [wrong(trace, 1, observations=(Observation(content={"result": 1}),))], verifier)) == []
    other = wrong(failed, 1, observations=(Observation(content={"result": 1}),))
    assert list(preference_pairs([trace], [other], verifier)) == [], "they part in an observation"
    assert list(preference_pairs([trace], [traces[1]], verifier)) == [], "another question"


def test_trl_reads_the_pairs(folder: Path, tmp_path: Path) -> None:
    from datasets import Image, List, load_dataset
    from transformers import AutoProcessor
    from trl.trainer.dpo_trainer import DataCollatorForVisionPreference

    import taco.xgenmm  # noqa: F401 - registers the Auto classes
    from taco.models.loading import NANO

    out = tmp_path / "out"
    list(sort_folder(folder, out, Verifier()))
    rows = load_dataset("json", data_files=str(out / "pairs.jsonl"), split="train", cache_dir=str(tmp_path / "cache"))
    rows = rows.map(lambda row: {"images": [str(out / name) for name in row["images"]]}).cast_column("images", List(Image()))
    processor = AutoProcessor.from_pretrained(NANO)
    batch = DataCollatorForVisionPreference(processor)([rows[0], rows[1]])
    said = [
        processor.tokenizer.decode(ids[mask.bool()])
        for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)
    ]
    assert [text.partition("<|end|>")[0] for text in said] == [
        rows[number][side][0]["content"][0]["text"] for side in ("chosen", "rejected") for number in (0, 1)
    ]


# ---------------------------------------------------------------------- the command

app = Typer()
app.command()(cli_verify.verify)


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_the_command_reports_and_sorts(folder: Path, tmp_path: Path) -> None:
    code, said = call(folder)
    assert code == 1
    assert "line 10: format: " in said
    assert "11 traces: 1 failed execution, 4 failed format, 2 failed semantics, 4 skipped execution" in said
    assert "2  semantics: wrong answer" in said
    assert "cannot be run again" in said
    code, said = call(folder, "--out", tmp_path / "out", "--json")
    assert code == 1
    report = json.loads(said)
    sizes = {"kept": 4, "rejected": 6, "unreadable": 1, "repaired": 2, "pairs": 3}
    assert {name: report[name] for name in sizes} == sizes
    said = call(folder, "--out", tmp_path / "out")[1]
    assert "4 kept, 6 rejected, 1 unreadable, 2 repaired, 3 pairs: " in said, "the first three are the 11 lines"
    assert call(tmp_path / "out" / "kept")[0] == 0
    assert call(tmp_path / "out" / "repaired") == (0, "2 traces: 2 passed\n")


def test_the_command_takes_rules_models_and_tools(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def load(name: str) -> ScriptedModel:
        names.append(name)
        return ScriptedModel(lambda messages: "3" if "Rate" in messages[0]["content"][0]["text"] else "1.0")

    monkeypatch.setattr("taco.models.load_model", load)
    code, said = call(folder, "--judge", "openai:a", "--rater", "nano", "--json")
    assert names == ["openai:a", "nano"]
    assert json.loads(said)["faults"].keys() == {
        *(f"format: {fault}" for fault in ("faulty reply", "unreadable", "superseded", "duplicate id")),
        "execution: image",
        "semantics: ungrounded",
    }
    code, said = call(folder, "--rater", "nano", "--min-rating", 4, "--json")
    assert json.loads(said)["faults"]["rating: low rating"] == 4
    code, said = call(folder, "--tools", "nonsense")
    assert (code, "'nonsense' is not MODULE:ATTRIBUTE" in said) == (2, True)
    code, said = call(tmp_path / "nowhere")
    assert (code, "There is no file" in said) == (2, True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "traces.jsonl").touch()
    for arguments in ((), ("--out", tmp_path / "new")):
        code, said = call(tmp_path / "empty", *arguments)
        assert (code, "traces.jsonl is empty. Give a folder with traces." in said.replace("\n", " ")) == (2, True)
    assert not (tmp_path / "new").exists()
