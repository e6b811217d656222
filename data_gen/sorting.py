"""Sorts the traces of a folder by their verdicts: kept, rejected, repaired, and pairs to learn preferences from.

>>> verdicts = list(sort_folder("in", "out", Verifier()))

- ``out/kept/`` and ``out/rejected/``: traces.jsonl and images, every line of the input in one of them;
- ``out/verdicts.jsonl``: the `Verdict` on every line, in order; a line that is no trace has only that;
- ``out/repaired/``: each question of a rejected trace, answered at once with the right answer (the TACO reference's rule);
- ``out/pairs.jsonl``: see `preference_pairs`.

An interrupted run goes on, and ends with the same bytes: a line counts once its verdict stands in verdicts.jsonl.
"""

import contextlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from taco.data_gen.folders import claim, whole_lines
from taco.data_gen.selection import Earlier, direct, last_lines, numbered, question_key
from taco.data_gen.verification import FAULTY_TASK, Verdict, Verifier
from taco.prompts import conversation
from taco.tools.images import ImageStore
from taco.tools.toolbox import Toolbox
from taco.trace import (
    IMAGES_DIR,
    TRACES_FILE,
    Step,
    Trace,
    TraceError,
    append_line,
    read_traces,
    save_image,
    write_new,
)

KEPT, REJECTED, REPAIRED = "kept", "rejected", "repaired"
VERDICTS_FILE, PAIRS_FILE = "verdicts.jsonl", "pairs.jsonl"
_NOT_THE_MODELS = (*get_args(Earlier), FAULTY_TASK)
"""Faults of a file or task: there is nothing to repair, and nothing that a model should not have said."""


def sort_folder(
    folder: str | os.PathLike[str], out: str | os.PathLike[str], verifier: Verifier, settings: Mapping[str, Any] | None = None
) -> Iterator[Verdict]:
    """Verify the traces of a folder and write them into another; yields the verdicts, also those of an interrupted run.

    The verdicts are those of `verify_folder`.

    Args:
        folder: Has traces.jsonl.
        out: A new folder, or that of an interrupted run.
        verifier: Gives the verdicts.
        settings: What the verdicts depend on, as JSON: a run goes on with the same ones only.

    Raises:
        TraceError: If ``folder`` has no traces.jsonl, or nothing in it.
        ValueError: If ``out`` holds something else, or was begun with other settings or traces.
    """
    source, target = Path(folder), Path(out)
    lasts, mended = last_lines(source), set[bytes]()
    claim(target, dict(settings or {}))
    before = itertools.islice(_verdicts(target), _resume(target))
    for line, _, item in numbered(source):
        verdict = next(before, None)
        if verdict is None:
            verdict = verifier.judge_line(item, line, lasts)
            if isinstance(item, Trace):
                verdict = _write(item, verdict, mended, source, target)
            append_line(target / VERDICTS_FILE, verdict.model_dump_json())
        elif isinstance(item, Trace) and verdict.id != item.task.id:
            begun = f"{target} was begun with other traces: its verdict {line} is on {verdict.id}"
            raise ValueError(f"{begun}, the trace is {item.task.id}. Take a new folder.")
        if isinstance(item, Trace) and verdict.repaired:
            mended.add(question_key(item))
        yield verdict
    if next(before, None):
        more = f"it has verdicts on more than {source / TRACES_FILE} holds"
        raise ValueError(f"{target} was begun with other traces: {more}. Take a new folder.")
    _write_pairs(target, verifier)


def repaired(trace: Trace) -> Trace | None:
    """The same task answered at once with the right answer; None where that is not known or an input image is gone."""
    task = trace.task
    if task.answer is None:
        return None
    try:
        store = ImageStore(trace.store[f"image-{index}"] for index in range(len(task.images)))
    except (TraceError, ValueError):
        return None
    return direct(trace).with_store(store)


def preference_pairs(kept: Iterable[Trace], rejected: Iterable[Trace], verifier: Verifier) -> Iterator[dict[str, Any]]:
    """Pairs of a passing and a failing trace of one question, cut to where they part: at the first reply that differs.

    Each failing trace is paired with the passing one that it follows longest. Up to there the two have the same replies and
    observations, which are the prompt; the next reply of each is what is preferred and what is not, as in Step-DPO (arXiv
    2406.18629). So no observation gets a loss, and no image stands in a completion, where TRL allows none. Traces that part in
    an observation or not at all, or that offered other tools, give no pair.

    Args:
        kept: Passing traces; they are held in memory.
        rejected: Failing ones.
        verifier: Knows the tools that they offer.

    Yields:
        ``prompt`` (messages, their content in parts of text and of image), ``chosen`` and ``rejected`` (a message each) and
        ``images`` (names of files), as TRL's DPOTrainer reads them; and ``id``, the task's.
    """
    passing: dict[bytes, list[Trace]] = {}
    for trace in kept:
        passing.setdefault(question_key(trace), []).append(trace)
    for trace in rejected:
        rivals = [rival for rival in passing.get(question_key(trace), []) if _part(rival, trace) is not None]
        if rivals:
            yield _pair(max(rivals, key=lambda rival: _part(rival, trace) or 0), trace, verifier.toolbox(trace))


def _part(one: Trace, other: Trace) -> int | None:
    """The number of the first step whose reply differs, all before being equal; None where there is none."""
    if [tool.name for tool in one.tools] != [tool.name for tool in other.tools]:
        return None
    for number, (step, rival) in enumerate(zip(one.steps, other.steps, strict=False)):
        if step.reply != rival.reply:
            return number
        if step.observations != rival.observations:
            return None
    return None


def _pair(chosen: Trace, rejected: Trace, toolbox: Toolbox) -> dict[str, Any]:
    number = _part(chosen, rejected) or 0
    messages = conversation(chosen.task, _Files(chosen), chosen.steps[:number], toolbox)
    parts = [part for message in messages for part in message["content"] if part["type"] == "image"]
    return {
        "id": chosen.task.id,
        "images": [part.pop("image") for part in parts],
        "prompt": messages,
        "chosen": [_said(chosen.steps[number])],
        "rejected": [_said(rejected.steps[number])],
    }


class _Files(ImageStore):
    """The images of a kept trace; in place of pixels the names of their files."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._files = {name: f"{KEPT}/{file.file}" for name, file in trace.images.items()}

    def names(self) -> list[str]:
        return list(self._files)

    def __getitem__(self, name: str) -> Any:
        return self._files[name]


def _said(step: Step) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": step.reply}]}


# ---------------------------------------------------------------------- on disk


def _write(trace: Trace, verdict: Verdict, mended: set[bytes], folder: Path, out: Path) -> Verdict:
    """Write a trace where it belongs; returns the verdict, which says whether its question, not yet ``mended``, was repaired."""
    _save(trace, folder, out / (REJECTED if verdict.failed else KEPT))
    if not verdict.failed or verdict.fault in _NOT_THE_MODELS or question_key(trace) in mended:
        return verdict
    direct_trace = repaired(trace)
    if direct_trace is None:
        return verdict
    _save(direct_trace, folder, out / REPAIRED)
    return verdict.model_copy(update={"repaired": True})


def _save(trace: Trace, folder: Path, out: Path) -> None:
    """As `Trace.save`, but files are copied, not made again; one that is gone or damaged is so here, too."""
    for name, file in trace.images.items():
        if (out / file.file).exists():
            continue
        if (folder / file.file).is_file():
            write_new(out / file.file, (folder / file.file).read_bytes())
        else:
            with contextlib.suppress(TraceError):
                save_image(trace.store[name], out / file.file)
    append_line(out / TRACES_FILE, trace.to_json())


def _write_pairs(out: Path, verifier: Verifier) -> None:
    wanted = {question_key(trace) for trace in _refused(out)}
    kept = (trace for trace in _traces(out / KEPT) if question_key(trace) in wanted)
    draft = out / f"{PAIRS_FILE}.part"
    with draft.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in preference_pairs(kept, _refused(out), verifier))
    os.replace(draft, out / PAIRS_FILE)


def _refused(out: Path) -> Iterator[Trace]:
    """Traces rejected for faults of the model. What failed in execution has a false record, which says nothing of the model."""
    verdicts = (verdict for verdict in _verdicts(out) if verdict.failed and verdict.fault != "unreadable")
    for trace, verdict in zip(_traces(out / REJECTED), verdicts, strict=True):
        if verdict.failed != "execution" and verdict.fault not in (*_NOT_THE_MODELS, "image"):
            yield trace


def _traces(folder: Path) -> Iterator[Trace]:
    return read_traces(folder) if (folder / TRACES_FILE).exists() else iter(())


def _verdicts(out: Path) -> Iterator[Verdict]:
    """The verdicts whose lines are whole."""
    file = out / VERDICTS_FILE
    for line in whole_lines(file):
        try:
            yield Verdict.model_validate_json(line)
        except ValidationError:
            raise ValueError(f"{file} holds something else than verdicts. Take a new folder.") from None


def _resume(out: Path) -> int:
    """The number of verdicts of an interrupted run; the traces behind the last of them are cut off."""
    counts = Counter({KEPT: 0, REJECTED: 0, REPAIRED: 0})
    done = 0
    for verdict in _verdicts(out):
        done += 1
        if verdict.fault != "unreadable":
            counts[REJECTED if verdict.failed else KEPT] += 1
            counts[REPAIRED] += verdict.repaired
    for name, count in counts.items():
        _cut(out / name / TRACES_FILE, count)
        for leftover in (out / name / IMAGES_DIR).glob("*.part"):
            leftover.unlink()
    return done


def _cut(path: Path, count: int) -> None:
    """Shorten a file to so many lines."""
    if not path.exists() and not count:
        return
    with path.open("rb+") as file:
        lines = sum(file.readline().endswith(b"\n") for _ in range(count))
        if lines < count:
            raise ValueError(f"{path} has {lines} traces; {VERDICTS_FILE} has verdicts on {count}. Take a new folder.")
        file.truncate(file.tell())
