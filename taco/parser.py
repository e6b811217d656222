"""Reply -> thought and actions, or what is wrong with it.

    >>> parse_reply('{"thought": "Read it.", "actions": [{"name": "OCR", "arguments": {"image": "image-0"}}]}').actions[0].name
    'OCR'

Which object is the reply: the first one at the top level of the text that has ``actions`` or ``thought``. Failing that, the
first action ``{"name", "arguments"}``, or list of actions, that stands alone. Never an object inside another one, and never a
word in prose: a thought that mentions Terminate ends nothing.

What runs: an action counts only if its end is in the text (its bracket, or that of the list around it) and every argument value
in it is complete. The first one that does not count is dropped, and all behind it are (they may need its image), with an IFE.
Values are never guessed: NaN, Infinity, an unquoted word or half a string make their action unusable. Duplicate keys: the last
wins, as in `json`.
"""

import json
import re
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from taco.lenient_json import KEY, MAX_DEPTH, SPACE, SURROGATE, Fault, Stop, end_of, read_json, read_strict, short
from taco.tools.action import Action
from taco.tools.finding import Finding

MAX_MENDED = 50_000
"""Characters of a reply that is searched and mended; a longer one is read only if it is clean JSON."""
MAX_BROKEN = 8
"""Broken objects in the prose before the reply that are passed over."""

# In prose: the start of an object or of a list of objects; any other brace, and whether it looks like a damaged object's.
_LANDMARK = re.compile(rf"(?P<start>(?:\[{SPACE})?\{{{SPACE}{KEY}{SPACE}:)|(?P<damaged>\{{\s*+\w*+\s*+[\"'“”„‘’])|[{{}}]")
_GOES_ON = re.compile(r"\s*+[,\]}][\s,\]}]*+\{")  # behind a reply that a stray bracket closed early: further actions
_KEY_BEFORE = re.compile(r"[\"'“”‘’]\s*:\s*\Z")
_CLOSED_BEHIND = re.compile(r"\s*+[\]}]")
_RESEND = "Send one JSON object with thought and actions, whole and valid, and nothing else."


class Reply(BaseModel):
    """What a reply says: its thought, its actions, and the format faults in it (IFE; IFE.repaired where it was mended).

    Actions beside an IFE are those in front of the fault; they are whole.
    """

    model_config = ConfigDict(frozen=True)

    thought: str = ""
    actions: tuple[Action, ...] = ()
    findings: tuple[Finding, ...] = ()


def parse_reply(text: str) -> Reply:
    """Read a model's reply, mending what can be mended without guessing. Never raises, whatever the text.

    Args:
        text: The model's text, verbatim.

    Returns:
        The thought, the actions that are wholly present, in order, and findings: ``IFE`` for what could not be used,
        ``IFE.repaired`` where the text was no clean JSON object of the demanded form.
    """
    text = SURROGATE.sub("\ufffd", text)
    try:
        value = read_strict(text)
        found = _Found(value, {}) if _is_reply(value) or _is_calls(value) else None
        stop = None
    except ValueError:
        found, stop = _find(text) if len(text) <= MAX_MENDED else (None, None)
    return _interpret(found) if found else Reply(findings=(_no_reply(text, stop),))


def is_complete(text: str) -> bool:
    """Whether a reply that is being written holds its step whole, so that nothing that might follow is needed.

    True only for clean JSON with a thought and at least one action as the first object of the text: a reply that has to be mended
    is left to go on to its end.
    """
    start = text.find("{")
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start) if start >= 0 else (None, 0)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "thought" in value and bool(value.get("actions"))


class _Found(NamedTuple):
    """The value that was taken for the reply, what was mended, where reading stopped early, where unread actions may follow."""

    value: Any
    mends: dict[str, None]
    stop: Stop | None = None
    unread: int | None = None


class _Unusable(Exception):
    """An action that must not run: where the fault is, and what it is."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where, self.message = where, message


# --- Finding the reply in the text ---


def _find(text: str) -> tuple[_Found | None, Stop | None]:
    """The reply in a text that is not JSON as a whole; where there is none, the first place that could not be read."""
    alone: _Found | None = None
    first_stop: Stop | None = None
    prose = _Prose()
    broken = position = 0
    while broken < MAX_BROKEN and (landmark := _LANDMARK.search(text, position)):
        start = landmark.start()
        position = start + 1
        if landmark["start"] is None:
            prose.brace(text[start], damaged=landmark["damaged"] is not None)
            continue
        value, end, mends, stop = read_json(text, start)
        if not prose.damaged and _is_reply(value):
            return _found(text, start, value, end, mends, stop), None
        if alone is None and not prose.suspicious and _is_calls(value) and not _is_fragment(text, start, end):
            alone = _found(text, start, value, end, mends, stop)
        if stop is None:
            position = end
            continue
        first_stop = first_stop or stop
        if stop.cut:
            break
        broken += 1
        prose.brace(text[start], damaged=True)
    return alone, first_stop


class _Prose:
    """Whether what follows may stand inside a damaged object: an inner object must never be taken for the reply."""

    def __init__(self) -> None:
        self.damaged = 0  # objects that look damaged and have not ended
        self.suspicious = False  # there was one, or a bracket without its opening
        self._open: list[bool] = []

    def brace(self, char: str, *, damaged: bool) -> None:
        if char == "}":
            self.suspicious |= not self._open
            self.damaged -= self._open.pop() if self._open else 0
            return
        self.damaged += damaged
        self.suspicious |= damaged
        if char == "{":  # a damaged list is never known to have ended
            self._open.append(damaged)


def _found(text: str, start: int, value: Any, end: int, mends: dict[str, None], stop: Stop | None) -> _Found:
    if text[:start].strip() or (stop is None and text[end:].strip()):
        mends["text around the JSON object"] = None
    unread = end if stop is None and _GOES_ON.match(text, end) else None
    return _Found(value, mends, stop, unread)


def _is_reply(value: Any) -> bool:
    return isinstance(value, dict) and ("actions" in value or "thought" in value)


def _is_calls(value: Any) -> bool:
    """An action that stands alone, or a list of them (its last may be cut off)."""
    if isinstance(value, list):
        whole = value[:-1] if value and end_of(value[-1]) == "cut" else value
        return bool(whole) and all(isinstance(item, dict) and _is_calls(item) for item in whole)
    return isinstance(value, dict) and "name" in value and "arguments" in value and end_of(value) != "cut"


def _is_fragment(text: str, start: int, end: int) -> bool:
    """Whether an action or list of actions is the rest of a reply that lacks its beginning."""
    return _KEY_BEFORE.search(text[max(0, start - 20) : start]) is not None or _CLOSED_BEHIND.match(text, end) is not None


def _no_reply(text: str, stop: Stop | None) -> Finding:
    if not text.strip():
        return Finding(code="IFE", where="", message="The reply is empty.", hint=_RESEND)
    if len(text) > MAX_MENDED:
        message = f"The reply has {len(text):,} characters and is no clean JSON; over {MAX_MENDED:,} nothing is mended."
        return Finding(code="IFE", where="", message=message, hint=_RESEND)
    if stop is None:
        return Finding(code="IFE", where="", message="The reply has no JSON object with thought and actions.", hint=_RESEND)
    message = "The reply ends inside its JSON." if stop.cut else f"The JSON cannot be read from character {stop.position} on."
    return Finding(code="IFE", where=f"character {stop.position}", message=message, hint=_RESEND)


# --- From the value to the reply ---


def _interpret(found: _Found) -> Reply:
    value, mends = found.value, found.mends
    if not _is_reply(value):
        mends["an action without the object around it"] = None
        value = {"actions": value if isinstance(value, list) else [value]}
    thought = value.get("thought", "")
    if not isinstance(thought, str):
        mends["a thought that is no text"] = None
        thought = ""
    items, problem = _items(value, found)
    actions: list[Action] = []
    for index, item in enumerate(items):
        try:
            actions.append(_action(item, f"actions[{index}]", mends))
        except _Unusable as error:
            problem = _dropped(error, len(items) - index - 1)
            break
    findings = [problem] if problem else []
    if mends and (actions or not problem):
        message = f"The reply was read after mending: {', '.join(mends)}."
        findings.append(Finding(code="IFE.repaired", where="", message=message, hint=_RESEND))
    return Reply(thought=SURROGATE.sub("\ufffd", thought), actions=tuple(actions), findings=tuple(findings))


def _items(value: dict[str, Any], found: _Found) -> tuple[list[Any], Finding | None]:
    """The entries of ``actions``, and what is wrong with the list as a whole."""
    items, garbage = value.get("actions"), found.stop is not None and not found.stop.cut
    if garbage and end_of(items) != "cut":
        # The list was closed, yet the object goes on in a way that makes no sense: it may be a quotation in a broken thought.
        return [], _no_reply("...", found.stop)
    if isinstance(items, dict) and "name" in items:
        found.mends["a single action that is not in a list"] = None
        items = [items]
    if not isinstance(items, list):
        return [], _no_list(value, found)
    behind = found.stop.position if found.stop and garbage else found.unread
    if behind is None or (items and end_of(items[-1]) == "cut"):
        return items, None
    message = f"What stands behind character {behind} cannot be read; only the {len(items)} actions before it were run."
    return items, Finding(code="IFE", where=f"actions[{len(items)}]", message=message, hint="Send the rest as valid JSON.")


def _no_list(value: dict[str, Any], found: _Found) -> Finding:
    items = value.get("actions")
    if found.stop is not None and (items is None or isinstance(items, Fault)):
        message = "The reply ends before its actions do."
    elif isinstance(items, Fault):
        message = f"actions: {items.message}."
    else:
        message = "The reply has no actions." if items is None else f"actions must be a list, not {short(items)}."
    hint = 'Add "actions", a list of {"name": ..., "arguments": {...}}; it may be empty.'
    return Finding(code="IFE", where="actions", message=message, hint=hint)


def _action(item: Any, where: str, mends: dict[str, None]) -> Action:
    """One action, if it is whole. Raises _Unusable otherwise."""
    if isinstance(item, Fault):
        raise _Unusable(where, item.message)
    if not isinstance(item, dict):
        raise _Unusable(where, f"an action is an object, not {short(item)}")
    if end_of(item) == "cut":
        raise _Unusable(where, "the reply ends, or becomes unreadable, inside it")
    if "name" not in item:
        raise _Unusable(where, f"it has no name, only {', '.join(map(short, item)) or 'nothing'}")
    name = _plain(item["name"], f"{where}.name")
    if not isinstance(name, str) or not name.strip():
        raise _Unusable(f"{where}.name", f"a name is a text, not {short(name)}")
    others = [short(key) for key in item if key not in ("name", "arguments")]
    if others and "arguments" not in item:
        raise _Unusable(where, f"its arguments belong under 'arguments', not under {', '.join(others)}")
    if others or "arguments" not in item:
        mends["an action with other keys than name and arguments"] = None
    return Action(name=name, arguments=_arguments(item.get("arguments", {}), f"{where}.arguments", mends))


def _arguments(value: Any, where: str, mends: dict[str, None]) -> dict[str, Any]:
    if isinstance(value, str):
        value = _arguments_in_text(value, where)
        mends["arguments that were written as a string"] = None
    if value is None:
        mends["arguments that are null"] = None
        return {}
    if isinstance(value, Fault):
        raise _Unusable(where, value.message)
    if not isinstance(value, dict):
        raise _Unusable(where, f"arguments are an object, not {short(value)}")
    if end_of(value) == "cut":
        raise _Unusable(where, "the reply ends, or becomes unreadable, inside them")
    return {_plain(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}


def _arguments_in_text(text: str, where: str) -> Any:
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] == "{":
        value, end, _, stop = read_json(text, start)
        if stop is None and end_of(value) == "closed" and not text[end:].strip():
            return value
    raise _Unusable(where, f"arguments are an object, not the text {short(text)}")


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """The value as plain dicts and lists. Raises _Unusable where a part of it is missing or no JSON value."""
    if isinstance(value, Fault):
        raise _Unusable(where, value.message)
    if end_of(value) != "closed":
        raise _Unusable(where, "its closing bracket is missing")
    if depth > MAX_DEPTH:
        raise _Unusable(where, f"it is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str) and SURROGATE.search(value):
        raise _Unusable(where, "it has half a character (a lone surrogate)")
    if isinstance(value, dict):
        return {_plain(key, where): _plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(value)]
    return value


def _dropped(error: _Unusable, behind: int) -> Finding:
    also = {0: "", 1: ", nor was the one behind it"}.get(behind, f", nor were the {behind} behind it")
    where = error.where if len(error.where) <= 100 else error.where[:97] + "..."
    message = f"{where}: {error.message}; so this action was not run{also}."
    return Finding(code="IFE", where=where, message=message, hint="Send it again, whole and as valid JSON.")
