"""Every form gives back what docs/formats.md says that it carries."""

import json

import pytest
from hypothesis import given, settings

from taco.data_gen.formats.catalogue import forms
from taco.data_gen.formats.form import Form, RowError, Schemas
from taco.data_gen.formats.turns import shown_images
from taco.prompts import reply_text
from taco.tools.images import ImageStore
from taco.trace import Step, ToolRecord, Trace

from .traces import FAULTY, Maker, rich_trace, traces

TURNS = ("llava", "mantis", "sharegpt", "agentohana")


def again(form: Form, trace: Trace, without: str = "") -> Trace:
    """Written, through JSON, read, and the pixels put back in the order that the row has them."""
    row = json.loads(json.dumps(form.write(trace, Schemas())))
    row.pop(without, None)
    if form.name == "parquet":  # the file holds bytes where the row has names
        row["images"] = [{"bytes": b"1"}] * len(row["images"])
    draft = form.read(row)
    files = {file.file: name for name, file in trace.images.items()}
    if form.name == "parquet":
        pixels = [trace.store[name] for name in shown_images(trace)]
    else:
        pixels = [trace.store[files[str(path)]] for path in draft.images]
    return draft.trace.with_store(ImageStore(pixels))


@pytest.mark.parametrize("name", TURNS)
@settings(max_examples=30, deadline=None)
@given(trace=traces())
def test_turns_give_the_whole_trace_again(name: str, trace: Trace) -> None:
    assert again(forms()[name], trace).to_json() == trace.to_json()


@settings(max_examples=30, deadline=None)
@given(trace=traces(clean=True))
def test_actionstudio_gives_a_trace_with_clean_replies_again(trace: Trace) -> None:
    assert again(forms()["actionstudio"], trace).to_json() == trace.to_json()


@settings(max_examples=30, deadline=None)
@given(trace=traces())
def test_xlam_gives_question_calls_and_answer(trace: Trace) -> None:
    inputs = [trace.store[f"image-{index}"] for index in range(len(trace.task.images))]
    actions = tuple(action for step in trace.steps for action in step.actions)
    step = Step(reply=reply_text("", actions), actions=actions)
    expected = trace.model_copy(update={"steps": (step,)}).with_store(ImageStore(inputs))
    assert again(forms()["xlam"], trace).to_json() == expected.to_json()


@settings(max_examples=15, deadline=None)
@given(trace=traces())
def test_the_messages_of_parquet_alone_give_the_steps_again(trace: Trace) -> None:
    read = again(forms()["parquet"], trace, without="trace")
    assert read.steps == trace.steps
    assert read.images == trace.images
    assert [tool.name for tool in read.tools] == [tool.name for tool in trace.tools]


@pytest.mark.parametrize("name", [*TURNS, "actionstudio", "parquet"])
def test_images_that_tools_made_keep_their_places(name: str) -> None:
    trace = rich_trace()
    assert len(trace.images) == 4
    read = again(forms()[name], trace)
    assert read.to_json() == trace.to_json()
    assert read.store["image-3"].size == trace.store["image-3"].size != trace.store["image-2"].size


@pytest.mark.parametrize("reply", FAULTY)
def test_what_was_wrong_with_a_reply_is_found_again(reply: str) -> None:
    trace = Maker(1).reply(reply, {"text": "a"}).say("", ("Terminate", {"answer": "a"}, {})).trace()
    assert trace.steps[0].findings
    assert again(forms()["llava"], trace).to_json() == trace.to_json()


@pytest.mark.parametrize("name", TURNS)
def test_what_no_turn_shows_is_not_carried(name: str) -> None:
    """The observations of the last step, beside Terminate's: docs/formats.md says so."""
    maker = Maker(1).say("Cut.", ("Crop", {"image": "image-0", "bbox": [0, 0, 1, 1]}, {"image": "<new>"}))
    trace = maker.trace()
    read = again(forms()[name], trace)
    assert (read.steps[0].observations, len(read.images), read.stop_reason) == ((), 1, "max_steps")
    assert again(forms()["actionstudio"], trace) == trace


def test_a_form_refuses_what_it_would_falsify() -> None:
    faulty = Maker(1).reply("I think so.").say("", ("Terminate", {"answer": "a"}, {})).trace()
    with pytest.raises(RowError, match="no valid JSON"):
        forms()["actionstudio"].write(faulty, Schemas())
    foreign = rich_trace().model_copy(update={"tools": (ToolRecord(name="Brightness", backend="mine"),)})
    for form in forms().values():
        with pytest.raises(RowError, match="Brightness"):
            form.write(foreign.with_store(rich_trace().store), Schemas())
    for form in (forms()[name] for name in (*TURNS, "parquet")):
        with pytest.raises(RowError, match="no step"):
            form.write(Maker(1).trace(), Schemas())


def test_rows_look_as_their_readers_expect() -> None:
    rows = {name: form.write(rich_trace(), Schemas()) for name, form in forms().items()}
    llava = rows["llava"]
    assert [turn["from"] for turn in llava["conversations"]] == ["human", "gpt"] * 6
    shown = sum(turn["value"].count("<image>") for turn in llava["conversations"])
    assert shown == len(llava["image"]) == 4
    assert rows["mantis"]["conversations"][0]["content"].startswith(
        rows["mantis"]["metadata"]["task_instruction"] + "\nimage-0: <image>"
    )
    assert [turn["from"] for turn in rows["sharegpt"]["conversations"]] == ["human", "gpt", *["observation", "gpt"] * 5]
    assert {tool["name"] for tool in json.loads(rows["sharegpt"]["tools"])} == {tool.name for tool in rich_trace().tools}
    xlam = rows["xlam"]
    assert json.loads(xlam["answers"])[-1] == {"name": "Terminate", "arguments": {"answer": "chair"}}
    assert json.loads(xlam["tools"])[0]["parameters"]["image"]["required"] is True
    assert set(rows["agentohana"]["steps"][0]) == {"input", "output", "next observation"}
    assert rows["agentohana"]["score"] == 1.0
    turns = rows["actionstudio"]["conversation"]
    asked = [call["id"] for turn in turns for call in turn.get("tool_calls", ())]
    assert asked == [turn["tool_call_id"] for turn in turns if turn["role"] == "tool"]
    assert rows["parquet"]["messages"][1]["content"][1] == {"type": "image", "text": None}


def test_foreign_function_calls_become_traces_with_their_schemas() -> None:
    row = {
        "id": 7,
        "query": "Weather in Oslo for two days?",
        "tools": json.dumps([{"name": "weather", "description": "d", "parameters": {
            "city": {"type": "str", "description": "c"}, "days": {"type": "int, optional", "description": "n"},
            "unit": {"type": "str", "description": "u", "default": "C"}, "at": {"type": "List[float]", "description": "x"}}}]),
        "answers": json.dumps([{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}]),
    }  # fmt: skip
    draft = forms()["xlam"].read(row)
    assert (draft.trace.task.id, draft.trace.answer, draft.trace.stop_reason) == ("7", None, "max_steps")
    assert draft.trace.steps[0].actions[0].arguments == {"city": "Oslo", "days": 2}
    parameters = draft.schemas["weather"]["function"]["parameters"]
    assert parameters["required"] == ["city", "at"]
    assert [about["type"] for about in parameters["properties"].values()] == ["string", "integer", "string", "array"]
    assert forms()["xlam"].write(draft.trace.with_store(ImageStore()), Schemas(draft.schemas))["query"] == row["query"]


def test_a_foreign_actionstudio_conversation_ends_with_its_last_text() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}, "id": "x"}
    row = {
        "unique_trajectory_id": "u1",
        "task_instruction": "Help.",
        "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}],
        "conversation": [
            {"role": "user", "content": "1 + 2?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "3", "tool_call_id": "x"},
            {"role": "assistant", "content": "It is 3."},
        ],
    }
    trace = forms()["actionstudio"].read(row).trace
    assert trace.answer == "It is 3."
    assert trace.steps[0].observations[0].content == {"result": "3"}
    with pytest.raises(RowError, match="not one question"):
        forms()["actionstudio"].read(row | {"conversation": [*row["conversation"], {"role": "user", "content": "More"}]})  # type: ignore[misc]


def test_another_version_of_the_schema_is_named() -> None:
    row = forms()["llava"].write(rich_trace(), Schemas())
    row["metadata"]["trace"]["schema"] = "taco-trace-9"
    with pytest.raises(RowError, match=r"metadata\.trace\.schema.*taco-trace-9") as caught:
        forms()["llava"].read(row)
    assert caught.value.kind == "schema version"
