"""LLaVA, Mantis, ShareGPT and AgentOhana: the turns of a trace in four sets of columns.

>>> LLAVA.write(trace, Schemas())["conversations"][0]
{'from': 'human', 'value': 'Answer the question ... Tools: OCR, Terminate.\\nimage-0: <image>How much are 3 teas?'}

LLaVA and Mantis as in the released CoTA data, ShareGPT as LLaMA-Factory reads it, AgentOhana as in arXiv 2402.15506. The readers
of the first three take each other's keys, since files in the wild mix them.
"""

import json

from taco.data_gen.formats.form import Draft, Form, Row, RowError, Schemas, about_row, facts_of, image_files, image_list, metadata
from taco.data_gen.formats.turns import read_turns, shown_images, to_turns
from taco.trace import Trace

_USER = ("human", "user", "observation", "tool")
_ASSISTANT = ("gpt", "assistant")


def _write_llava(trace: Trace, schemas: Schemas) -> Row:
    system, texts = to_turns(trace)
    return {
        "sample_id": trace.task.id,
        "image": image_files(trace, shown_images(trace)),
        "metadata": metadata(trace, task_instruction=system),
        "conversations": [
            {"from": "gpt" if place % 2 else "human", "value": text} for place, text in enumerate(_with_system(system, texts))
        ],
        "choice_list": list(trace.task.choices) if trace.task.choices else None,
    }


def _write_mantis(trace: Trace, schemas: Schemas) -> Row:
    system, texts = to_turns(trace)
    return {
        "id": trace.task.id,
        "conversations": [
            {"role": "assistant" if place % 2 else "user", "content": text}
            for place, text in enumerate(_with_system(system, texts))
        ],
        "metadata": metadata(trace, task_instruction=system),
        "images": image_files(trace, shown_images(trace)),
    }


def _write_sharegpt(trace: Trace, schemas: Schemas) -> Row:
    system, texts = to_turns(trace)
    roles = ["human", *("observation" if place % 2 else "gpt" for place in range(len(texts) - 1))]
    return {
        "id": trace.task.id,
        "conversations": [{"from": role, "value": text} for role, text in zip(roles, texts, strict=True)],
        "system": system,
        "tools": json.dumps([schema["function"] for schema in schemas.of(trace)], ensure_ascii=False),
        "images": image_files(trace, shown_images(trace)),
        "metadata": metadata(trace),
    }


def _with_system(system: str, texts: list[str]) -> list[str]:
    """For forms without a system turn."""
    return [f"{system}\n{texts[0]}", *texts[1:]]


def _read_conversations(row: Row) -> Draft:
    about = about_row(row)
    choices = row.get("choice_list")
    return read_turns(
        _texts(row),
        image_list(row.get("image", row.get("images"))),
        row_id=row.get("sample_id", row.get("id")),
        source=about.get("dataset", ""),
        system=str(about.get("task_instruction", "")),
        facts=facts_of(row),
        choices=[str(choice) for choice in choices] if isinstance(choices, list) else None,
    )


def _texts(row: Row) -> list[str]:
    """The turns, which must alternate; a system turn in front is left out, since the tools of a row say the same."""
    texts: list[str] = []
    items = row["conversations"]
    for item in items if isinstance(items, list) else ():
        role = item.get("from", item.get("role")) if isinstance(item, dict) else None
        if role == "system" and not texts:
            continue
        text = item.get("value", item.get("content")) if isinstance(item, dict) else None
        if role not in (_ASSISTANT if len(texts) % 2 else _USER) or not isinstance(text, str):
            expected = "assistant" if len(texts) % 2 else "user"
            raise RowError("turns", f"turn {len(texts)} is not the {expected}'s text, but {str(item)[:80]!r}")
        texts.append(text)
    return texts


def _write_agentohana(trace: Trace, schemas: Schemas) -> Row:
    system, texts = to_turns(trace)
    inputs, outputs = _with_system(system, texts)[::2], texts[1::2]
    after = [*texts[2::2], ""]
    gold, answer = trace.task.answer, trace.answer
    return {
        "id": trace.task.id,
        "user_query": trace.task.question,
        "model_name": None,
        "score": None if gold is None else float(answer is not None and answer.strip().casefold() == gold.strip().casefold()),
        "steps": [
            {"input": given, "output": output, "next observation": observed}
            for given, output, observed in zip(inputs, outputs, after, strict=True)
        ],
        "images": image_files(trace, shown_images(trace)),
        "metadata": metadata(trace, task_instruction=system),
    }


def _read_agentohana(row: Row) -> Draft:
    steps = row["steps"]
    keys = {"input", "output", "next observation"}
    if not isinstance(steps, list) or not all(isinstance(step, dict) and keys <= step.keys() for step in steps) or not steps:
        raise RowError("steps", f"its steps are no list of objects with {', '.join(sorted(keys))}")
    texts = [steps[0]["input"]]
    for step in steps:
        texts += [step["output"], step["next observation"]]
    while texts and not texts[-1]:
        texts.pop()
    if not all(isinstance(text, str) for text in texts):
        raise RowError("steps", "an input, output or next observation is no text")
    about = about_row(row)
    return read_turns(
        texts,
        image_list(row.get("images")),
        row_id=row.get("id"),
        source=about.get("dataset", ""),
        system=str(about.get("task_instruction", "")),
        facts=facts_of(row),
    )


LLAVA = Form("llava", "llava.json", ("conversations",), _write_llava, _read_conversations)
MANTIS = Form("mantis", "mantis.json", ("conversations",), _write_mantis, _read_conversations)
SHAREGPT = Form("sharegpt", "sharegpt.json", ("conversations",), _write_sharegpt, _read_conversations)
AGENTOHANA = Form("agentohana", "agentohana.jsonl", ("steps",), _write_agentohana, _read_agentohana)
FORMS = (LLAVA, MANTIS, SHAREGPT, AGENTOHANA)
