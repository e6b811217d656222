"""The dialect of the released CoTA data: observations as Python's repr, several calls in a reply of which one ran, and faults.

    >>> observation("OBSERVATION:\\n{'image': 'image-1: <image>', 'regions': []}\\nThe OBSERVATION can be ...", 1, (), []).images
    ('image-1',)

Nothing here runs text: a repr is read by `ast.literal_eval`, up to `MAX_LITERAL` characters. What can be put right without a
guess is mended and counted; all else is a RowError.
"""

import ast
import contextlib
import json
import math
import re
from collections.abc import Sequence
from typing import Any

from taco.data_gen.formats.form import PLACEHOLDER, RowError, known_toolbox
from taco.parser import Reply
from taco.prompts import reply_text
from taco.tools.action import Action, Observation
from taco.tools.finding import feedback
from taco.trace import Step

MAX_LITERAL = 20_000
"""Characters of an observation; a longer one is refused."""
MAX_DEPTH = 40
"""Brackets in brackets of an observation."""
_PREFIX = re.compile(r"\s*OBSERVATION:\s*")
_FAILED = "Execution failed"
_NAMED = re.compile(r"(?:(image-\d+):\s*)?" + re.escape(PLACEHOLDER))


def request(text: str, system: str) -> str:
    """The user's first turn without the instruction around it."""
    alone, marker, rest = text.removeprefix(system).partition("# USER REQUEST #:")
    return rest.strip().removesuffix("Now please generate your response:") if marker else alone


def usable(reply: Reply, text: str, *, last: bool, mended: list[str]) -> tuple[str, Reply]:
    """The reply as it would be right, and its text.

    Raises:
        RowError: If it cannot be parsed, calls a tool that is not in our action space, or does not end where it should.
    """
    if any(finding.stops for finding in reply.findings):
        raise RowError("reply", f"a reply cannot be parsed: {feedback(reply.findings)}")
    if reply.findings:
        mended.append("a reply that was no clean JSON")
    names = [action.name for action in reply.actions]
    unknown = [name for name in names if name not in known_toolbox()]
    if unknown:
        raise RowError("unknown tool", f"it calls {', '.join(unknown)}, which is not in the action space")
    if last != ("Terminate" in names):
        what = "its last reply does not call Terminate" if last else "it goes on after Terminate"
        raise RowError("no answer" if last else "goes on after Terminate", what)
    ran = [action for action in reply.actions if action.name == "Terminate"] if last else list(reply.actions[:1])
    if len(ran) < len(names):
        mended.append("calls behind the first one of a reply, which never ran")
    actions = tuple(_box_as_list(action, mended) for action in ran)
    if actions != reply.actions or reply.findings:
        text = reply_text(reply.thought, actions)
    return text, Reply(thought=reply.thought, actions=actions)


def _box_as_list(action: Action, mended: list[str]) -> Action:
    box = action.arguments.get("bbox")
    if not isinstance(box, str):
        return action
    mended.append("a box that was written as text")
    return Action(name=action.name, arguments=action.arguments | {"bbox": _literal(box)})


def observation(text: str, images: int, later: Sequence[str], mended: list[str]) -> Observation:
    """What an observation turn says; ``images`` is how many there are before it, ``later`` are the replies behind it.

    Raises:
        RowError: If it is no dictionary, or its images cannot be told.
    """
    body = _PREFIX.sub("", text, count=1).lstrip()
    if body.startswith(_FAILED):
        return Observation(error=body.split("\n")[0])
    first, _, _ = body.partition("\n")
    try:
        value = _literal(first)
    except RowError:
        end = body.rfind("}")
        if end < len(first):
            raise
        value = _literal(body[: end + 1])  # written over several lines
    if not isinstance(value, dict):
        raise RowError("observation", f"an observation is no dictionary: {body[:80]!r}")
    names: list[str] = []
    content = _renamed(value, images, names, later, mended)
    if len(names) != text.count(PLACEHOLDER):
        raise RowError("placeholder", "an observation has an image placeholder outside of its values")
    return Observation(content=content, images=tuple(names))


def _literal(text: str) -> Any:
    """The JSON value that a Python literal (or JSON text) spells. Raises RowError."""
    depth = deepest = 0
    for char in text[: MAX_LITERAL + 1]:
        depth += (char in "[({") - (char in "])}")
        deepest = max(deepest, depth)
    if len(text) > MAX_LITERAL or deepest > MAX_DEPTH:
        limits = f"{MAX_LITERAL:,} characters and {MAX_DEPTH} nested brackets"
        raise RowError("observation", f"an observation is over the limits of {limits}: it begins with {text[:60]!r}")
    with contextlib.suppress(ValueError):
        return _json_value(json.loads(text))  # what the reference's programs write
    try:
        return _json_value(ast.literal_eval(text))  # what its agent writes
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise RowError("observation", f"an observation is neither JSON nor a Python literal: {text[:80]!r}") from None


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a number")
    if isinstance(value, str):
        value.encode()  # half a character (a lone surrogate) is a ValueError
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise ValueError(f"a {type(value).__name__}")


def _renamed(value: Any, images: int, names: list[str], later: Sequence[str], mended: list[str]) -> Any:
    """The value with its image placeholders replaced by the names that the images have here."""
    if isinstance(value, dict):
        return {key: _renamed(item, images, names, later, mended) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, images, names, later, mended) for item in value]
    match = _NAMED.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    name = f"image-{images + len(names)}"
    names.append(name)
    if match[1] not in (None, name):
        if any(match[1] in reply for reply in later):
            raise RowError(
                "placeholder", f"an observation calls its image {match[1]}, which another one is called, and it is used"
            )
        mended.append("an image under the name of another one")
    return name


def check_calls(actions: Sequence[Action], observations: Sequence[Observation], images: Sequence[str]) -> None:
    """Raises RowError for a call that cannot have worked, by its tool's schema, and yet has a result."""
    for action, observed in zip(actions, observations, strict=False):
        found = known_toolbox().check(action, images)
        if found and observed.error is None:
            raise RowError("call", f"{action.name} has a result, but the call is wrong: {feedback(found)}")


# ---------------------------------------------------------------------- answers that contradict their own observations

_NO_ANCHOR = r"\b(?! (?:to|from) (?!(?:the |our |my )?(?:camera|viewer|observer|lens|us|me)\b))"
_CLOSER = re.compile(r"\b(?:closer|closest|nearer|nearest)" + _NO_ANCHOR, re.IGNORECASE)
_FARTHER = re.compile(r"\b(?:farther|farthest|further|furthest)" + _NO_ANCHOR, re.IGNORECASE)


def check_answer(question: str, steps: Sequence[Step], answer: str | None, choices: Sequence[str] | None) -> None:
    """Hold the answer against what the trace itself says: its choices, and the depths that it observed (smaller is closer).

    Raises:
        RowError: If they contradict each other, or there is no answer.
    """
    if answer is None:
        raise RowError("no answer", "its Terminate has no answer")
    if choices and not any(_same(choice, answer) or _same(choice.split(". ", 1)[-1], answer) for choice in choices):
        raise RowError("contradiction", f"the answer {answer!r} is none of the choices {', '.join(choices)}")
    closer, farther = bool(_CLOSER.search(question)), bool(_FARTHER.search(question))
    depths = _depths(steps)
    named = _named(answer, list(depths))
    if closer == farther or named is None or len(depths) < 2:
        return
    best = min(depths, key=lambda label: depths[label] if closer else -depths[label])
    if depths[best] != depths[named]:
        word = "closer" if closer else "farther"
        raise RowError(
            "contradiction",
            f"the answer is {named} (depth {depths[named]}), but by its own observations {best} (depth {depths[best]}) is {word}",
        )


def _depths(steps: Sequence[Step]) -> dict[str, float]:
    """The depth of each object that was observed; of a region, under the label that a detection gave it."""
    labels: dict[str, str] = {}
    depths: dict[str, float] = {}
    for step in steps:
        for action, observed in zip(step.actions, step.observations, strict=False):
            regions = observed.content.get("regions")
            for region in regions if isinstance(regions, list) else ():
                if isinstance(region, dict) and {"label", "bbox"} <= region.keys():
                    labels[json.dumps(region["bbox"])] = str(region["label"])
            depth = observed.content.get("depth")
            label = action.arguments.get("object") or labels.get(json.dumps(action.arguments.get("bbox")))
            if isinstance(label, str) and isinstance(depth, int | float) and not isinstance(depth, bool):
                depths[label] = depth
    return depths


def _named(answer: str, labels: list[str]) -> str | None:
    """The one label that an answer names; None where that is open."""
    whole = [label for label in labels if _same(label, answer)]
    within = [label for label in labels if re.search(rf"\b{re.escape(label)}\b(?!-\d)", answer, re.IGNORECASE)]
    found = whole or within
    return found[0] if len(found) == 1 else None


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
