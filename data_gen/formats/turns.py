"""A trace as turns of text, user's and assistant's in alternation, and back: what LLaVA, Mantis, ShareGPT and AgentOhana share.

    >>> system, texts = to_turns(trace)
    >>> texts[0], texts[2]
    ('image-0: <image>How much are 3 teas?', 'OBSERVATION: {"text": "Tea 3.50"}')
    >>> read_turns(texts, files, facts=facts_of(row)).trace.steps == trace.steps
    True

The texts are those of `taco.prompts`, so that a model trained on them elsewhere can be served here. Reading knows two dialects:
ours, which gives the trace again, and that of the released CoTA data (`taco.data_gen.formats.released`).
"""

import re
from collections.abc import Sequence
from typing import Any

from taco.data_gen.formats import released
from taco.data_gen.formats.form import (
    IMPORTED,
    PLACEHOLDER,
    Draft,
    Facts,
    RowError,
    blank_task,
    call_findings,
    input_names,
    json_object,
    known_toolbox,
    observation_of,
    plain,
)
from taco.parser import Reply, parse_reply
from taco.prompts import Message, conversation, neutralized, terminated
from taco.tools.action import Action, Observation
from taco.tools.images import ImageSource
from taco.trace import Step, ToolRecord, Trace

_OURS = "OBSERVATION: "
_IMAGE = re.compile(r"(?:image-(\d+):\s*)?" + re.escape(PLACEHOLDER))
_SHOWN = re.compile(r"\nimage-(\d+): " + re.escape(PLACEHOLDER))


# ---------------------------------------------------------------------- trace -> turns


def to_messages(trace: Trace) -> list[Message]:
    """The messages of a trace up to the last reply, as a model is trained on them; images are placeholders without pixels.

    Raises:
        RowError: If the trace has no step, offers a tool that is unknown here, or goes on after Terminate.
        TraceError: If an image is gone or was changed.
    """
    if not trace.steps:
        raise RowError("no steps", "it has no step")
    if any(terminated(step) is not None for step in trace.steps[:-1]):
        raise RowError("goes on after Terminate", "it goes on after Terminate")
    try:
        toolbox = known_toolbox().select([tool.name for tool in trace.tools])
    except ValueError as error:
        raise RowError("unknown tool", f"it offers a tool that is not known here: {error}") from None
    messages = neutralized(conversation(trace.task, trace.store, trace.steps, toolbox), [PLACEHOLDER])
    if messages[-1]["role"] != "assistant":  # what the environment said after the last reply
        messages.pop()
    names = shown_images(trace)
    if names != list(trace.images)[: len(names)] or names != [f"image-{index}" for index in range(len(names))]:
        raise RowError("images out of order", f"its images are shown in the order {', '.join(names)}, not as they are numbered")
    return [message | {"content": [_without_pixels(part) for part in message["content"]]} for message in messages]


def to_turns(trace: Trace) -> tuple[str, list[str]]:
    """The system prompt and the texts of the turns, the user's first, the assistant's last. Raises as `to_messages` does."""
    system, *texts = [text_of(message["content"]) for message in to_messages(trace)]
    return system, texts


def text_of(content: Any) -> str:
    """The text of a message, or of its content parts, with placeholders for images."""
    if isinstance(content, str):
        return content
    return "".join(PLACEHOLDER if part["type"] == "image" else part.get("text") or "" for part in content or ())


def shown_images(trace: Trace) -> list[str]:
    """The images in `to_messages`: inputs, and what tools made; nothing is shown after the last reply."""
    made = [name for step in trace.steps[:-1] for observation in step.observations for name in observation.images]
    return [*input_names(trace), *made]


def _without_pixels(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": part["type"], "text": part.get("text")}


# ---------------------------------------------------------------------- turns -> trace


def read_turns(
    texts: Sequence[str],
    images: Sequence[ImageSource],
    *,
    row_id: Any = None,
    source: Any = "",
    system: str = "",
    facts: Facts | None = None,
    choices: Sequence[str] | None = None,
) -> Draft:
    """The trace that turns spell.

    Args:
        texts: User's and assistant's in alternation, the user's first.
        images: One per placeholder, in their order.
        row_id: The row's id.
        source: Where the task comes from.
        system: What may stand in front of the question: the instruction that the row repeats elsewhere.
        facts: What we wrote beside the conversation; None reads a stranger's row, and mends it where that needs no guess.
        choices: Options of a stranger's row.

    Raises:
        RowError: If the row cannot be used; says why.
    """
    if len(texts) < 2:
        raise RowError("no reply", f"it has {len(texts)} turns; a question and a reply are needed")
    ours = facts is not None
    mended: list[str] = []
    facts = facts or Facts(choices=tuple(choices) if choices else None, tools=_all_tools())
    kept = list(images)[: _image_count(texts, len(images), mended)]
    first = texts[0].removeprefix(system) if ours else released.request(texts[0], system)
    question, inputs = read_question(first, facts.choices)
    reader = _Reader(inputs, ours, mended)
    replies, told = texts[1::2], [*texts[2::2], None]
    steps = tuple(
        reader.step(reply, said, replies[place + 1 :]) for place, (reply, said) in enumerate(zip(replies, told, strict=False))
    )
    answer = terminated(steps[-1])
    if not ours:
        released.check_answer(question, steps, answer, facts.choices)
    tools = facts.tools
    # Of one that answers at once it is not known what else was offered.
    if not ours and all(action.name == "Terminate" for step in steps for action in step.actions):
        tools = tuple(tool for tool in tools if tool.name == "Terminate")
    trace = Trace(
        task=blank_task(row_id, question, inputs, source, facts),
        tools=tools,
        steps=steps,
        answer=answer,
        stop_reason=facts.stop_reason,
    )
    return Draft(trace, tuple(kept), tuple(mended))


def _all_tools() -> tuple[ToolRecord, ...]:
    return tuple(ToolRecord(name=name, backend=IMPORTED) for name in known_toolbox().names)


def _image_count(texts: Sequence[str], files: int, mended: list[str]) -> int:
    """How many of the row's images its turns show."""
    if any(PLACEHOLDER in reply for reply in texts[1::2]):
        raise RowError("placeholder", f"a reply has an {PLACEHOLDER} placeholder in it")
    shown = sum(text.count(PLACEHOLDER) for text in texts[::2])
    if 0 < shown < files and len(texts) == 2:  # answered at once: what tools had made was left in the list
        mended.append("images that no turn of a direct answer shows")
    elif shown != files:
        raise RowError("image count", f"it has {shown} image placeholders and {files} images")
    return shown


def read_question(text: str, choices: Sequence[str] | None) -> tuple[str, int]:
    """The question in a user's turn, without images and choices, and the number of input images. Raises RowError."""
    names = [match[1] for match in _IMAGE.finditer(text)]
    for index, name in enumerate(names):
        if name is not None and int(name) != index:
            raise RowError("placeholder", f"its input image number {index} is called image-{name}")
    question = plain(_IMAGE.sub("", text))
    if choices:
        question = question.removesuffix("\nChoices: " + " | ".join(choices))
    question = question.strip()
    if not question:
        raise RowError("no question", "it has no question")
    return question, len(names)


def spelled_images(text: str) -> tuple[list[str], str]:
    """The images behind an observation, and the text without them."""
    return [f"image-{number}" for number in _SHOWN.findall(text)], _SHOWN.sub("", text)


class _Reader:
    """Reads step after step; knows the images so far and the calls that ran."""

    def __init__(self, inputs: int, ours: bool, mended: list[str]) -> None:
        self.images = [f"image-{index}" for index in range(inputs)]
        self.ours, self.mended = ours, mended
        self.history: list[Action] = []

    def step(self, text: str, told: str | None, later: Sequence[str]) -> Step:
        """The step of one reply, what the user said next (None at the end) and the replies behind it."""
        text, before = plain(text), list(self.images)
        reply = parse_reply(text)
        if self.ours:
            observations = self._observed(reply, told)
        else:
            text, reply = released.usable(reply, text, last=told is None, mended=self.mended)
            observations = self._foreign(reply, told, later)
            released.check_calls(reply.actions, observations, before)
        findings = (*reply.findings, *call_findings(reply.actions, observations, before, self.history, self.ours))
        return Step(reply=text, thought=reply.thought, actions=reply.actions, observations=observations, findings=findings)

    def _observed(self, reply: Reply, told: str | None) -> tuple[Observation, ...]:
        if told is None:
            return _unseen(reply.actions)
        if not told.startswith(_OURS):
            raise RowError("observation", f"an observation begins with {told[:40]!r}, not with {_OURS!r}")
        names, told = spelled_images(told)
        lines = plain(told).removeprefix(_OURS).split("\n")
        if any(finding.code == "IFE" for finding in reply.findings):
            lines.pop()  # what was wrong with the reply; the parser says it again
        values = [json_object(line) for line in lines] if reply.actions else []
        self._expect(names)
        return tuple(observation_of(value, names) for value in values)

    def _foreign(self, reply: Reply, told: str | None, later: Sequence[str]) -> tuple[Observation, ...]:
        if told is None:
            return _unseen(reply.actions)
        observation = released.observation(told, len(self.images), later, self.mended)
        self._expect(list(observation.images))
        return (observation,) if reply.actions else ()

    def _expect(self, names: list[str]) -> None:
        """Take in new images, whose numbers must go on."""
        for name in names:
            if name != f"image-{len(self.images)}":
                raise RowError("placeholder", f"an observation shows {name} where image-{len(self.images)} is due")
            self.images.append(name)


def _unseen(actions: Sequence[Action]) -> tuple[Observation, ...]:
    """The observations of the last step, which no turn shows: Terminate's follows from its call, of others nothing is known."""
    if all(action.name != "Terminate" for action in actions):
        return ()
    return tuple(known_toolbox().execute(action) if action.name == "Terminate" else Observation() for action in actions)
