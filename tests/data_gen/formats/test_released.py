"""The released CoTA data: read as documented, each defect named or mended and counted, nothing run."""

import json
from typing import Any

import pytest

from taco.data_gen.formats.catalogue import forms
from taco.data_gen.formats.form import RowError
from taco.data_gen.formats.released import observation
from taco.tools.action import Observation

from .cota import depth_row, end, llava, localize, made, mantis, observed, reply, request

ASK = localize()[0]
READ = reply("", ("OCR", {"image": "image-0"}))
GOOD = llava([*localize(), end("2")], ["a.jpg", "b.jpg"])


def rejected(row: dict[str, Any]) -> RowError:
    with pytest.raises(RowError) as caught:
        forms()["llava"].read(row)
    return caught.value


@pytest.mark.parametrize("form", ["llava", "mantis"])
def test_a_row_becomes_a_trace(form: str) -> None:
    draft = forms()[form].read(GOOD if form == "llava" else mantis(GOOD))
    trace = draft.trace
    assert (trace.task.question, len(trace.task.images), trace.task.source) == ("How many mugs?", 1, "aokvqa")
    assert (trace.answer, trace.stop_reason, draft.mended) == ("2", "answered", ())
    assert trace.steps[0].actions[0].arguments == {"image": "image-0", "objects": ["mug"]}
    seen = trace.steps[0].observations[0]
    assert (seen.content["image"], seen.images) == ("image-1", ("image-1",))
    assert seen.content["regions"][1] == {"label": "mug-2", "bbox": [0.5, 0.2, 0.8, 0.4], "score": 0.5}
    assert {tool.backend for tool in trace.tools} == {"imported"}
    assert draft.images == ("a.jpg", "b.jpg")


def test_the_instruction_is_found_where_the_row_does_not_repeat_it() -> None:
    assert forms()["llava"].read(GOOD | {"metadata": {}}).trace.task.question == "How many mugs?"


def test_programmatic_rows_have_json_and_images_without_names() -> None:
    texts = [
        "How many more mugs are in the first?\n<image> <image>",
        reply("I look.", ("LocalizeObjects", {"image": "image-0", "objects": ["mug"]})),
        '{"image": "image-2: <image>", "regions": [], "full": true}',
        end(0),
    ]
    trace = forms()["llava"].read(llava(texts, ["a.jpg", "b.jpg", "c.jpg"], row_id=12, metadata=None)).trace
    assert (trace.task.id, trace.task.question, len(trace.task.images)) == ("12", "How many more mugs are in the first?", 2)
    assert trace.steps[0].observations[0] == Observation(
        content={"image": "image-2", "regions": [], "full": True}, images=("image-2",)
    )
    assert trace.answer == "0"


def test_a_step_without_action_and_a_failed_call_are_kept() -> None:
    texts = [
        request("What is it?"),
        reply("Let me think."),
        observed({"message": "No action has been provided. Proceed to the next step."}),
        reply("Sum.", ("Calculate", {"expression": "1/0"})),
        observed("Execution failed with <class 'ZeroDivisionError'>"),
        end("a mug"),
    ]
    steps = forms()["llava"].read(llava(texts, ["a.jpg"])).trace.steps
    assert (steps[0].actions, steps[0].observations) == ((), ())
    assert steps[1].observations == (Observation(error="Execution failed with <class 'ZeroDivisionError'>"),)


MENDED = {
    "calls behind the first one of a reply, which never ran": llava(
        [
            ASK,
            reply("Both.", ("OCR", {"image": "image-0"}), ("GetObjects", {"image": "image-0"})),
            observed({"text": "a"}),
            end("a"),
        ],
        ["a.jpg"],
    ),
    "a box that was written as text": llava(
        [ASK, reply("", ("Crop", {"image": "image-0", "bbox": "[0.1, 0.2, 0.5, 0.6]"})), observed({"image": made(1)}), end("a")],
        ["a.jpg", "b.jpg"],
    ),
    "a reply that was no clean JSON": llava([ASK, "Well: " + end("a")], ["a.jpg"]),
    "images that no turn of a direct answer shows": llava([ASK, end("2")], ["a.jpg", "made.jpg"]),
    "an image under the name of another one": llava(
        [*localize(2)[:2], observed({"image": made(0), "regions": []}), end("2")], ["a.jpg", "b.jpg", "c.jpg"]
    ),
}


@pytest.mark.parametrize("kind", MENDED)
def test_what_can_be_mended_is_mended_and_counted(kind: str) -> None:
    draft = forms()["llava"].read(MENDED[kind])
    assert draft.mended == (kind,)
    for step in draft.trace.steps:
        assert len(step.actions) <= 1
        assert not step.findings
        for action in step.actions:
            assert action.arguments.get("bbox", [0.1, 0.2, 0.5, 0.6]) == [0.1, 0.2, 0.5, 0.6]
            assert json.dumps(list(action.arguments.values())[-1]) in step.reply
    if kind.startswith("an image"):
        assert draft.trace.steps[0].observations[0].images == ("image-2",)
    assert len(draft.images) == sum(text["value"].count("<image>") for text in MENDED[kind]["conversations"])


def relation(name: str, arguments: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    return llava([request("How?"), reply("", (name, arguments)), observed(value), end("on")], ["a.jpg"])


REJECTED = {
    "attributes": (
        "unknown tool",
        "GetAttributesOfObject",
        relation("GetAttributesOfObject", {"image": "image-0", "object": "mug"}, {"attributes": []}),
    ),
    "relations": (
        "unknown tool",
        "GetRelationshipsBetweenObjects",
        relation("GetRelationshipsBetweenObjects", {"image": "image-0", "object1": 2, "object2": 13}, {"relations": []}),
    ),
    "integer objects": ("call", "IAT", relation("LocalizeObjects", {"image": "image-0", "objects": [2, 13]}, {"regions": []})),
    "too few placeholders": (
        "image count",
        "1 image placeholders and 2 images",
        llava([ASK, READ, observed({"text": ""}), end("a")], ["a.jpg", "b.jpg"]),
    ),
    "no placeholder": (
        "image count",
        "0 image placeholders and 2 images",
        llava(["How many mugs?", end("2")], ["a.jpg", "b.jpg"]),
    ),
    "too many placeholders": ("image count", "2 image placeholders and 1 images", llava([*localize(), end("2")], ["a.jpg"])),
    "input misnamed": ("placeholder", "called image-3", llava(["image-3: <image>\nWhat?", end("a")], ["a.jpg"])),
    "image reused and used": (
        "placeholder",
        "image-0",
        llava(
            [*localize(2)[:2], observed({"image": made(0)}), READ, observed({"text": "a"}), end("a")], ["a.jpg", "b.jpg", "c.jpg"]
        ),
    ),
    "placeholder beside": (
        "placeholder",
        "outside",
        llava([*localize()[:2], observed({"regions": []}) + made(1), end("2")], ["a.jpg", "b.jpg"]),
    ),
    "placeholder in a reply": ("placeholder", "a reply", llava([ASK, end("<image>")], ["a.jpg"])),
    "broken reply": (
        "reply",
        "cannot be parsed",
        llava([ASK, '{"thought": "I count", "actions": [{"name": "OCR", "argum', observed({"text": ""}), end("2")], ["a.jpg"]),
    ),
    "no number": ("observation", "nan", relation("Calculate", {"expression": "1"}, {"depth": float("nan")})),
    "no answer": ("no answer", "does not call Terminate", llava(localize()[:2], ["a.jpg"])),
    "empty answer": ("no answer", "no answer", llava([ASK, end(["a"])], ["a.jpg"])),
    "goes on": ("goes on after Terminate", "goes on", llava([ASK, end("a"), observed({"text": ""}), end("b")], ["a.jpg"])),
    "not among the choices": ("contradiction", "none of the choices", llava([ASK, end("5")], ["a.jpg"], choice_list=["2", "3"])),
    "no question": ("no question", "no question", llava(["<image>", end("a")], ["a.jpg"])),
    "two questions": (
        "turns",
        "assistant",
        llava([ASK], ["a.jpg"]) | {"conversations": [{"from": "human", "value": "a"}, {"from": "human", "value": "b"}]},
    ),
    "images that are no paths": ("images", "no list of paths", GOOD | {"image": [1, 2]}),
}


@pytest.mark.parametrize("case", REJECTED)
def test_a_defect_is_named(case: str) -> None:
    kind, said, row = REJECTED[case]
    error = rejected(row)
    assert error.kind == kind
    assert said in str(error)


@pytest.mark.parametrize(
    ("question", "answer", "right"),
    [
        ("Which is closer to the camera, the mug or the mug-2?", "mug-2", True),
        ("Which is closer to the camera, the mug or the mug-2?", "mug", False),
        ("Which object is closest?", "A. mug", False),
        ("Which is farther away, the mug or the mug-2?", "mug", True),
        ("Which is farther away, the mug or the mug-2?", "The mug-2", False),
        ("Which is closer to the lamp, the mug or the mug-2?", "mug", True),  # to an anchor: depths alone do not decide
        ("Which mug do you see first?", "mug", True),
        ("Which is closer?", "neither", True),
    ],
)
def test_an_answer_that_contradicts_the_depths_is_found(question: str, answer: str, right: bool) -> None:
    row = depth_row(answer, question)
    if right:
        assert forms()["llava"].read(row).trace.answer == answer
        return
    error = rejected(row)
    assert error.kind == "contradiction"
    assert "3.2" in str(error)
    assert "1.4" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "{'a': __import__('os')}",
        "{'a': open('x')}",
        "{1, 2}",
        "{'a': b'1'}",
        "{'a': 1j}",
        "{'a': 1e999}",
        "{'a': '\\ud800'}",
        "['a']",
        "{" * 41 + "}" * 41,
        "{'a': " + "-" * 15_000 + "1}",
        "{'a': '" + "x" * 20_000 + "'}",
        "",
    ],
)
def test_what_is_no_plain_dictionary_is_refused(text: str) -> None:
    with pytest.raises(RowError) as caught:
        observation(f"OBSERVATION:\n{text}", 1, (), [])
    assert caught.value.kind == "observation"
    assert len(str(caught.value)) < 300


def test_an_observation_over_several_lines_is_read() -> None:
    text = 'OBSERVATION:\n{\n "text": "it\'s",\n "image": "<image>"\n}\nNow generate.'
    assert observation(text, 3, (), []) == Observation(content={"text": "it's", "image": "image-3"}, images=("image-3",))
