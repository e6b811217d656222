"""Traces for the tests of forms: made as the agent makes them, with any text in them."""

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from taco.data_gen.formats.form import known_toolbox
from taco.parser import parse_reply
from taco.prompts import reply_text, terminated
from taco.tools.action import Action, Observation
from taco.tools.finding import feedback
from taco.tools.images import ImageStore
from taco.trace import Step, Task, ToolRecord, Trace

TOOLS = ("OCR", "LocalizeObjects", "Crop", "EstimateRegionDepth", "Calculate", "Terminate")


FAULTY = (
    "I think so.",
    "",
    '{"thought": "a", "actions": [{"name": "OCR"',
    "{'actions': []}",
    '{"thought": "", "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}, {"name": "OCR"',  # its first call runs
)


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (8 + number, 8), (number * 37 % 256, number * 11 % 256, 90))


class Maker:
    """Takes replies and what tools give for them, and keeps the books as the agent does."""

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self.store = ImageStore(picture(number) for number in range(inputs))
        self.steps: list[Step] = []
        self.history: list[Action] = []

    def reply(self, text: str, *given: dict[str, Any] | str) -> "Maker":
        """A reply; ``given`` has the content (``"<new>"`` for an image that the tool makes) or the error of each call."""
        reply = parse_reply(text)
        findings, observations = list(reply.findings), []
        for index, action in enumerate(reply.actions):
            found = known_toolbox().check(action, self.store, self.history)
            findings += [each.model_copy(update={"where": f"actions[{index}].{each.where}".rstrip(".")}) for each in found]
            if found:
                observations.append(Observation(error=feedback(found)))
                continue
            self.history.append(action)
            observations.append(self._given(action, given[index] if index < len(given) else {}))
        self.steps.append(
            Step(
                reply=text,
                thought=reply.thought,
                actions=reply.actions,
                observations=tuple(observations),
                findings=tuple(findings),
            )
        )
        return self

    def say(self, thought: str, *calls: tuple[str, dict[str, Any], dict[str, Any] | str]) -> "Maker":
        actions = [Action(name=name, arguments=arguments) for name, arguments, _ in calls]
        return self.reply(reply_text(thought, actions), *(given for _, _, given in calls))

    def _given(self, action: Action, given: dict[str, Any] | str) -> Observation:
        if action.name == "Terminate":
            return known_toolbox().execute(action)
        if isinstance(given, str):
            return Observation(error=given)
        new: list[str] = []
        content = {key: self._stored(value, new) for key, value in given.items()}
        return Observation(content=content, images=tuple(new))

    def _stored(self, value: Any, new: list[str]) -> Any:
        if value != "<new>":
            return value
        new.append(self.store.add(picture(len(self.store))))
        return new[-1]

    def trace(self, **task: Any) -> Trace:
        about = {"id": "t-1", "question": "What is it?", "source": "hand/made", **task}
        answer = terminated(self.steps[-1]) if self.steps else None
        made = Trace(
            task=Task(images=("",) * self.inputs, **about),
            tools=tuple(ToolRecord(name=name, backend="simulated x" if name == "OCR" else "taco") for name in TOOLS),
            steps=tuple(self.steps),
            answer=answer,
            stop_reason="max_steps" if answer is None else "answered",
        )
        return made.with_store(self.store)


def rich_trace(**task: Any) -> Trace:
    """Two inputs, a detection that draws, a crop of what it drew, a failed call, several calls in a reply, choices."""
    maker = Maker(2)
    maker.say(
        "Find the <image> of the chair, then 'read'\nit.",
        ("LocalizeObjects", {"image": "image-1", "objects": ["chair"]},
         {"image": "<new>", "regions": [{"label": "chair", "bbox": [0.1, 0.2, 0.6, 0.9], "score": 0.87}]}),
        ("OCR", {"image": "image-0"}, {"text": 'It says "5 €"\n<image>'}),
    )  # fmt: skip
    maker.say("Crop.", ("Crop", {"image": "image-2", "bbox": [0.1, 0.2, 0.6, 0.9]}, {"image": "<new>"}))
    maker.say("Wrong.", ("Crop", {"image": "image-9", "bbox": [0.1, 0.2, 0.6, 0.9]}, {}))
    maker.say("Too hard.", ("Calculate", {"expression": "1/0"}, "1/0 cannot be worked out: it divides by zero."))
    maker.say("Nothing yet.")
    maker.say("A chair.", ("Terminate", {"answer": "chair"}, {}))
    return maker.trace(**{"question": "Which one?", "choices": ("chair", "table"), "answer": "chair", **task})


def save(folder: Path, *traces: Trace) -> Path:
    for trace in traces:
        trace.save(folder)
    return folder


# ---------------------------------------------------------------------- any trace that ends with an answer

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["<image>", "image-1: <image>", "OBSERVATION: {}", "\nimage-1: <image>", "a\u2028b\n\nc", "'\"\\", "image-1", "{}"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
contents = st.dictionaries(texts, values, max_size=3).filter(lambda content: set(content) != {"error"})
boxes = st.sampled_from([[0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1], [0.9, 0, 0.1, 1], "all"])
names = st.integers(0, 4).map("image-{}".format)
calls = st.one_of(
    st.tuples(st.just("OCR"), st.fixed_dictionaries({"image": names}), contents | texts),
    st.tuples(
        st.just("Crop"),
        st.fixed_dictionaries({"image": names, "bbox": boxes}),
        contents.map(lambda content: {**content, "image": "<new>"}) | texts,
    ),
    st.tuples(st.just("Calculate"), st.dictionaries(st.sampled_from(["expression", "sum"]), texts, max_size=1), contents),
    st.tuples(st.just("Nonsense"), contents, contents),
)


@st.composite
def traces(draw: st.DrawFn, clean: bool = False) -> Trace:
    """Any trace as the agent could make it that ends with Terminate alone; ``clean``: every reply in the canonical spelling."""
    maker = Maker(draw(st.integers(0, 2)))
    for _ in range(draw(st.integers(0, 3))):
        if not clean and draw(st.integers(0, 3)) == 0:
            maker.reply(
                draw(st.sampled_from(["I think so.", "", '{"thought": "a", "actions": [{"name": "OCR"', "{'actions': []}"]))
            )
        elif not clean and draw(st.booleans()):
            spaced = {"thought": draw(texts), "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]}
            maker.reply(json.dumps(spaced, indent=1), {"text": draw(texts)})
        else:
            maker.say(draw(texts), *draw(st.lists(calls, max_size=3)))
    maker.say(draw(texts), ("Terminate", {"answer": draw(texts | st.integers(0, 9))}, {}))
    choices = draw(st.none() | st.lists(texts, min_size=1, max_size=3).map(tuple))
    question = draw(texts.map(str.strip).filter(bool))
    return maker.trace(id=draw(st.uuids().map(str)), question=question, choices=choices, answer=draw(st.none() | texts))
