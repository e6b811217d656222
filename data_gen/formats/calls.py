"""xLAM and ActionStudio: the calls of a trace, without (xLAM) or with (ActionStudio) what came of them.

>>> XLAM.write(trace, Schemas())["answers"]
'[{"name": "OCR", "arguments": {"image": "image-0"}}, {"name": "Terminate", "arguments": {"answer": "10.50"}}]'

xLAM is the form of xlam-function-calling-60k (arXiv 2406.18518), ActionStudio the unified form 2.0 of arXiv 2503.22673.
"""

import json
from typing import Any

from taco.data_gen.formats.form import (
    IMPORTED,
    NEUTRAL,
    PLACEHOLDER,
    Draft,
    Facts,
    Form,
    Row,
    RowError,
    Schemas,
    about_row,
    blank_task,
    call_findings,
    facts_of,
    image_files,
    image_list,
    input_names,
    json_object,
    json_value,
    known_toolbox,
    metadata,
    observation_of,
    parsed,
    plain,
)
from taco.data_gen.formats.turns import read_question, spelled_images, text_of
from taco.prompts import GOAL, neutralized, question_turn, reply_text, terminated
from taco.tools.action import Action, Observation
from taco.trace import Step, ToolRecord, Trace

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}
"""xLAM's names of types, which are Python's, and those of JSON Schema."""


def _query(trace: Trace) -> str:
    """The user's turn: every input image as a placeholder behind its name, then the question and its choices."""
    return text_of(neutralized([question_turn(trace.task, trace.store)], [PLACEHOLDER])[0]["content"])


def _neutral(text: str) -> str:
    return text.replace(PLACEHOLDER, NEUTRAL)


# ---------------------------------------------------------------------- xLAM


def _write_xlam(trace: Trace, schemas: Schemas) -> Row:
    calls = [{"name": action.name, "arguments": action.arguments} for step in trace.steps for action in step.actions]
    return {
        "id": trace.task.id,
        "query": _query(trace),
        "tools": json.dumps([_flat(schema["function"]) for schema in schemas.of(trace)], ensure_ascii=False),
        "answers": json.dumps(calls, ensure_ascii=False),
        "images": image_files(trace, input_names(trace)),
        "metadata": metadata(trace),
    }


def _flat(function: Row) -> Row:
    """A tool as xLAM has it: parameters by name, each saying whether it is required."""
    parameters, required = function["parameters"]["properties"], function["parameters"].get("required", ())
    flat = {name: {**about, "required": name in required} for name, about in parameters.items()}
    return {"name": function["name"], "description": function["description"], "parameters": flat}


def _schema(tool: Row) -> Row:
    """The same as an OpenAI function. A parameter is required unless it has a default or its type says optional."""
    properties, required = {}, []
    for name, about in tool.get("parameters", {}).items():
        kind, _, optional = str(about.get("type", "")).partition(",")
        needed = about.get("required", "default" not in about and "optional" not in optional)
        required += [name] if needed else []
        properties[name] = {key: value for key, value in about.items() if key != "required"}
        if "type" in about:
            properties[name]["type"] = _TYPES.get(kind.split("[")[0].strip().lower(), kind)
    parameters = {"type": "object", "properties": properties, "required": required}
    function = {"name": tool["name"], "description": str(tool.get("description", "")), "parameters": parameters}
    return {"type": "function", "function": function}


def _read_xlam(row: Row) -> Draft:
    facts = facts_of(row)
    tools, calls = json_value(row["tools"], "tools"), json_value(row["answers"], "answers")
    try:
        schemas = {tool["name"]: _schema(tool) for tool in tools}
    except (TypeError, KeyError, AttributeError):
        raise RowError("tools", f"its tools are no list of name, description and parameters: {str(tools)[:80]!r}") from None
    if not isinstance(calls, list):
        raise RowError("answers", f"its answers are no list of calls: {str(calls)[:80]!r}")
    actions = tuple(parsed(Action, call, "answers") for call in calls)
    images = image_list(row.get("images"))
    question, inputs = read_question(str(row["query"]), facts.choices if facts else None)
    if inputs != len(images):
        raise RowError("image count", f"it has {inputs} image placeholders and {len(images)} images")
    answer = _answer(actions)
    facts = facts or Facts(tools=_records(list(schemas)), stop_reason="max_steps" if answer is None else "answered")
    step = Step(reply=reply_text("", actions), actions=actions)
    task = blank_task(row.get("id"), question, inputs, about_row(row).get("dataset"), facts)
    trace = Trace(task=task, tools=facts.tools, steps=(step,), answer=answer, stop_reason=facts.stop_reason)
    return Draft(trace, tuple(images), schemas=_foreign(schemas))


def _answer(actions: tuple[Action, ...]) -> str | None:
    last = actions[-1] if actions else None
    if last is None or last.name != "Terminate":
        return None
    return terminated(Step(reply="", actions=(last,), observations=(known_toolbox().execute(last),)))


def _records(names: list[str]) -> tuple[ToolRecord, ...]:
    return tuple(ToolRecord(name=name, backend=IMPORTED) for name in names)


def _foreign(schemas: dict[str, Row]) -> dict[str, Row]:
    return {name: schema for name, schema in schemas.items() if name not in known_toolbox()}


# ---------------------------------------------------------------------- ActionStudio


def _write_actionstudio(trace: Trace, schemas: Schemas) -> Row:
    if any(finding.code == "IFE" for step in trace.steps for finding in step.findings):
        raise RowError("reply", "one of its replies is no valid JSON, which this form cannot carry")
    conversation: list[Row] = [{"role": "user", "content": _query(trace)}]
    for number, step in enumerate(trace.steps):
        calls = [_call(action, f"call_{number}_{index}") for index, action in enumerate(step.actions)]
        turn: Row = {"role": "assistant", "content": _neutral(step.thought)}
        conversation.append(turn | {"tool_calls": calls} if calls else turn)
        for call, observed in zip(calls, step.observations, strict=False):
            shown = "".join(f"\n{name}: {PLACEHOLDER}" for name in observed.images)
            content = _neutral(observed.to_json()) + shown
            conversation.append({"role": "tool", "tool_call_id": call["id"], "content": content})
    return {
        "unique_trajectory_id": trace.task.id,
        "task_instruction": GOAL,
        "tools": schemas.of(trace),
        "conversation": conversation,
        "images": image_files(trace, list(trace.images)),
        "metadata": metadata(trace),
    }


def _call(action: Action, name: str) -> Row:
    return {"type": "function", "function": {"name": action.name, "arguments": action.arguments}, "id": name}


def _read_actionstudio(row: Row) -> Draft:
    facts, turns = facts_of(row), row["conversation"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) and "role" in turn for turn in turns) or len(turns) < 2:
        raise RowError("turns", f"its conversation is no list of a question and replies: {str(turns)[:80]!r}")
    if [turn["role"] for turn in turns].count("user") != 1 or turns[0]["role"] != "user":
        raise RowError("turns", "its conversation is not one question and what follows from it")
    images = image_list(row.get("images"))
    texts = [str(turn.get("content") or "") for turn in turns if turn["role"] in ("user", "tool")]
    if sum(text.count(PLACEHOLDER) for text in texts) != len(images):
        raise RowError("image count", f"it has {len(images)} images and another number of placeholders")
    question, inputs = read_question(texts[0], facts.choices if facts else None)
    names = [f"image-{index}" for index in range(inputs)]
    steps = _steps(turns[1:], names, ours=facts is not None)
    schemas = _named(row.get("tools"))
    answer = _given(steps, ours=facts is not None)
    facts = facts or Facts(tools=_records(list(schemas)), stop_reason="max_steps" if answer is None else "answered")
    task = blank_task(row.get("unique_trajectory_id"), question, inputs, about_row(row).get("dataset"), facts)
    trace = Trace(task=task, tools=facts.tools, steps=steps, answer=answer, stop_reason=facts.stop_reason)
    return Draft(trace, tuple(images), schemas=_foreign(schemas))


def _steps(turns: list[Row], names: list[str], ours: bool) -> tuple[Step, ...]:
    steps: list[Step] = []
    history: list[Action] = []
    for place, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        calls = turn.get("tool_calls") or []
        thought = plain(str(turn.get("content") or ""))
        actions, before = tuple(_action(call) for call in calls), list(names)
        observations = _observations(turns[place + 1 :], calls, names)
        findings = tuple(call_findings(actions, observations, before, history, ours)) if ours else ()
        reply = reply_text(thought, actions) if calls or ours else thought
        steps.append(Step(reply=reply, thought=thought, actions=actions, observations=observations, findings=findings))
    return tuple(steps)


def _action(call: Any) -> Action:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise RowError("call", f"a tool call has no function: {str(call)[:80]!r}")
    arguments = function.get("arguments", {})
    arguments = json_value(arguments, "arguments") if isinstance(arguments, str) else arguments
    return parsed(Action, {"name": function.get("name"), "arguments": arguments}, "tool_calls")


def _observations(behind: list[Row], calls: list[Row], names: list[str]) -> tuple[Observation, ...]:
    """The answers of the tools to the calls of one turn, up to the next one of the assistant's."""
    told: dict[Any, str] = {}
    for place, turn in enumerate(behind):
        if turn["role"] != "tool":
            break
        told[turn.get("tool_call_id", calls[place].get("id") if place < len(calls) else None)] = str(turn.get("content") or "")
    observations = []
    for call in calls:
        if call.get("id") not in told:
            break
        shown, text = spelled_images(told[call.get("id")])
        value = json_object(plain(text)) if text.lstrip().startswith("{") else {"result": plain(text)}
        names += shown
        observations.append(observation_of(value, shown))
    return tuple(observations)


def _given(steps: tuple[Step, ...], ours: bool) -> str | None:
    """The answer: Terminate's; a stranger's last turn that calls nothing is one, too."""
    if not steps:
        return None
    last = steps[-1]
    return terminated(last) if last.actions or ours else last.thought or None


def _named(tools: Any) -> dict[str, Row]:
    try:
        return {tool["function"]["name"]: tool for tool in tools}
    except (TypeError, KeyError):
        raise RowError("tools", f"its tools are not in OpenAI's function form: {str(tools)[:80]!r}") from None


XLAM = Form("xlam", "xlam.jsonl", ("query", "tools", "answers"), _write_xlam, _read_xlam)
ACTIONSTUDIO = Form("actionstudio", "actionstudio.json", ("conversation",), _write_actionstudio, _read_actionstudio)
FORMS = (XLAM, ACTIONSTUDIO)
