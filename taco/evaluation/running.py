"""Tasks -> a folder of traces; what varies between equal runs goes beside them.

>>> list(run_tasks(Agent(), read_tasks("tasks.jsonl"), "out"))
"""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from taco.agent import Agent, Finished
from taco.trace import TRACES_FILE, Task, Trace, append_line, scan_traces

RUNS_FILE = "runs.jsonl"


def unfinished(tasks: Iterable[Task], folder: str | os.PathLike[str], model: str) -> list[Task]:
    """The tasks that have no trace in the folder yet, or whose last one failed.

    Raises:
        ValueError: If the folder holds answers of another model, or to another question of the same id.
    """
    path = Path(folder)
    models = {json.loads(line)["model"] for line in _complete_lines(path / RUNS_FILE)}
    if models - {model}:
        raise ValueError(f"{folder} holds answers of {', '.join(sorted(models))}. Choose another folder for {model}.")
    found = scan_traces(path) if (path / TRACES_FILE).exists() else ()
    last = {trace.task.id: trace for trace in found if isinstance(trace, Trace)}
    left = []
    for task in tasks:
        trace = last.get(task.id)
        if trace is not None and (trace.task.question, trace.task.answer) != (task.question, task.answer):
            raise ValueError(f"{folder} holds a trace of another task with the id {task.id!r}. Choose another folder.")
        if trace is None or trace.stop_reason == "failed":
            left.append(task)
    return left


def _complete_lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def run_tasks(
    agent: Agent, tasks: Sequence[Task], folder: str | os.PathLike[str], batch_size: int = 1
) -> Iterator[dict[str, Any]]:
    """Run the tasks and save their traces in the order of the tasks; ``runs.jsonl`` gets seconds, tokens and the error.

    Yields those records as runs end. What waits for a slower run is saved, too, when the whole is interrupted.
    """
    due, waiting = deque(task.id for task in tasks), dict[str, Finished]()
    try:
        for finished in agent.stream_batch(tasks, batch_size):
            waiting[finished.trace.task.id] = finished
            while due and due[0] in waiting:
                _save(waiting.pop(due.popleft()), agent.model.name, folder)
            yield run_record(finished, agent.model.name)
    finally:
        for finished in waiting.values():
            _save(finished, agent.model.name, folder)


def _save(finished: Finished, model: str, folder: str | os.PathLike[str]) -> None:
    finished.trace.save(folder)
    save_record(run_record(finished, model), folder)


def save_record(record: dict[str, Any], folder: str | os.PathLike[str]) -> None:
    """Append a run's record to ``runs.jsonl``."""
    append_line(Path(folder) / RUNS_FILE, json.dumps(record, ensure_ascii=False))


def run_record(finished: Finished, model: str) -> dict[str, Any]:
    """What of a run is not in its trace."""
    return {
        "id": finished.trace.task.id,
        "model": model,
        "seconds": round(finished.seconds, 3),
        "prompt_tokens": finished.usage.prompt_tokens,
        "completion_tokens": finished.usage.completion_tokens,
        "stop_reason": finished.trace.stop_reason,
        "error": finished.error,
    }
