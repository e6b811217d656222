"""Tasks -> a folder of traces, one by one; what varies between equal runs goes beside them.

>>> list(run_tasks(Agent(), read_tasks("tasks.jsonl"), "out"))
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from taco.agent import Agent, Finished, Replied
from taco.trace import TRACES_FILE, Task, append_line, read_traces

RUNS_FILE = "runs.jsonl"


def finished_ids(folder: str | os.PathLike[str]) -> set[str]:
    """Ids of the tasks whose last trace in the folder did not fail. A line that an interruption cut short does not count."""
    if not (Path(folder) / TRACES_FILE).exists():
        return set()
    last = {trace.task.id: trace.stop_reason for trace in read_traces(folder, skip_broken=True)}
    return {task_id for task_id, reason in last.items() if reason != "failed"}


def run_tasks(agent: Agent, tasks: Iterable[Task], folder: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Run each task and save its trace at once; ``runs.jsonl`` gets seconds, tokens and the error. Yields those records."""
    for task in tasks:
        start, prompt_tokens, completion_tokens = time.perf_counter(), 0, 0
        for event in agent.stream_task(task):
            if isinstance(event, Replied):
                prompt_tokens += event.usage.prompt_tokens
                completion_tokens += event.usage.completion_tokens
            elif isinstance(event, Finished):
                event.trace.save(folder)
                record = {
                    "id": task.id,
                    "model": agent.model.name,
                    "seconds": round(time.perf_counter() - start, 3),
                    "prompt_tokens": prompt_tokens,
                    "completion_tokens": completion_tokens,
                    "error": event.error,
                }
                append_line(Path(folder) / RUNS_FILE, json.dumps(record, ensure_ascii=False))
                yield record
