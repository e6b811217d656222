"""What a form is: a writer and a reader of rows. A row is one trace in somebody else's columns; its images lie beside it.

>>> form = forms()["llava"]
>>> form.read(form.write(trace, Schemas())).trace.steps == trace.steps
True
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from taco.prompts import neutralized
from taco.tools.action import Action, Observation
from taco.tools.catalogue import all_tools
from taco.tools.finding import Finding, feedback
from taco.tools.images import ImageSource
from taco.tools.toolbox import Toolbox
from taco.trace import SCHEMA, StopReason, Task, ToolRecord, Trace

_R = TypeVar("_R", bound=BaseModel)

Row = dict[str, Any]
PLACEHOLDER = "<image>"
"""What stands for an image in a text; the row lists the images in the same order."""
NEUTRAL = neutralized([{"content": [{"type": "text", "text": PLACEHOLDER}]}], [PLACEHOLDER])[0]["content"][0]["text"]
"""How the same letters are written where they are text and no image."""
IMPORTED = "imported"
"""The back end of a tool whose calls come from somebody else's file."""


class RowError(ValueError):
    """A row (or a trace) that cannot be used in this form: the kind of fault, for counting, and the sentence."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Facts(BaseModel):
    """What a trace says beside its conversation. Rows that we write carry it as ``metadata.trace``; no trainer looks at it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["taco-trace-1"] = Field(default=SCHEMA, alias="schema")
    answer: str | None = None
    choices: tuple[str, ...] | None = None
    tools: tuple[ToolRecord, ...] = ()
    stop_reason: StopReason = "answered"


def metadata(trace: Trace, **more: str) -> Row:
    """The ``metadata`` of a row: where the task comes from, and the `Facts`."""
    facts = Facts(
        answer=trace.task.answer, choices=trace.task.choices, tools=trace.tools, stop_reason=trace.stop_reason
    )  # fmt: skip
    return {"dataset": trace.task.source, **more, "trace": facts.model_dump(mode="json", by_alias=True)}


def facts_of(row: Row) -> Facts | None:
    """The facts that we wrote into a row; None in a row of others.

    Raises:
        RowError: If they are of another version of the schema, or damaged.
    """
    about = about_row(row)
    return parsed(Facts, about["trace"], "metadata.trace") if "trace" in about else None


def about_row(row: Row) -> Row:
    """The row's ``metadata``, empty where there is none."""
    about = row.get("metadata")
    return about if isinstance(about, dict) else {}


def parsed(record: type[_R], value: Any, where: str) -> _R:
    """A record from JSON values or JSON text. Raises RowError."""
    try:
        return record.model_validate_json(value) if isinstance(value, str) else record.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join([where, *map(str, first["loc"])])
        kind = "schema version" if first["loc"] == ("schema",) else "damaged record"
        raise RowError(kind, f"{path}: {first['msg']}; got {str(first['input'])[:80]!r}") from None


def json_object(text: str) -> Row:
    """The object that a JSON text holds. Raises RowError."""
    value = json_value(text, "an observation")
    if not isinstance(value, dict):
        raise RowError("observation", f"an observation is no JSON object: {text[:80]!r}")
    return value


def json_value(text: Any, what: str) -> Any:
    """The value of a JSON text. Raises RowError."""
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise RowError("damaged JSON", f"{what} is no JSON text: {str(text)[:80]!r}") from None


def strings(value: Any) -> list[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in strings(item)]


def observation_of(value: Row, images: Sequence[str]) -> Observation:
    """The observation that was written as this object; of the new ``images`` those are its own that it names."""
    if list(value) == ["error"] and isinstance(value["error"], str):
        return Observation(error=value["error"])
    named = strings(value)
    return Observation(content=value, images=tuple(name for name in images if name in named))


def plain(text: str) -> str:
    """A text with what was neutralized in it written as it was."""
    return text.replace(NEUTRAL, PLACEHOLDER)


@functools.cache
def known_toolbox() -> Toolbox:
    """Every tool of this package; it checks calls, nothing is run."""
    return Toolbox(all_tools())


class Schemas:
    """Tool schemas in OpenAI's function form: those of this package, and ``foreign`` ones that came with imported traces."""

    def __init__(self, foreign: Mapping[str, Row] | None = None) -> None:
        self._by_name = dict(foreign or {}) | {tool.name: tool.schema(note=False) for tool in known_toolbox()}

    def of(self, trace: Trace) -> list[Row]:
        """The schemas of the tools that a trace offers. Raises RowError for one that is not known."""
        missing = [tool.name for tool in trace.tools if tool.name not in self._by_name]
        if missing:
            raise RowError("unknown tool", f"it offers {', '.join(missing)}, whose schema is not known here")
        return [self._by_name[tool.name] for tool in trace.tools]


@dataclass(frozen=True)
class Draft:
    """What a reader makes of a row: the trace without its pixels, and where those are to be had.

    Attributes:
        trace: ``task.images`` has one entry per input image, ``task.id`` may be empty; the importer fills both. Where it has
            ``images`` already, their hashes must be those of the pixels.
        images: In the trace's order: paths as the row has them, or encoded bytes.
        mended: What was wrong and could be put right, one entry per case.
        schemas: Of the tools that this package does not have.
    """

    trace: Trace
    images: tuple[ImageSource, ...] = ()
    mended: tuple[str, ...] = ()
    schemas: dict[str, Row] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """One form: ``write`` makes a row and raises RowError where the form cannot carry the trace; ``read`` is its inverse.

    Attributes:
        name: What the command calls it.
        file: The file of the rows in an exported folder; a JSON array, or lines where it ends in ``.jsonl``.
        needs: Columns without which a row is of another form.
        write: Trace -> row; images of the row are named by the trace's files.
        read: Row -> draft; raises RowError where the row cannot be used.
    """

    name: str
    file: str
    needs: tuple[str, ...]
    write: Callable[[Trace, Schemas], Row]
    read: Callable[[Row], Draft]


def image_files(trace: Trace, names: list[str]) -> list[str]:
    return [trace.images[name].file for name in names]


def input_names(trace: Trace) -> list[str]:
    return [f"image-{index}" for index in range(len(trace.task.images))]


def image_list(value: Any) -> list[ImageSource]:
    """The images of a row: paths, or bytes as `datasets` embeds them; some forms allow none or a single one. Raises RowError."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    found = [item.get("bytes") or item.get("path") if isinstance(item, dict) else item for item in items]
    paths: list[ImageSource] = [item for item in found if isinstance(item, str | bytes)]
    if len(paths) < len(found):
        raise RowError("images", f"its images are no list of paths or embedded images: {str(value)[:80]!r}")
    return paths


def blank_task(row_id: Any, question: str, inputs: int, source: Any, facts: Facts) -> Task:
    """A task whose images are still to be filled in."""
    return Task(
        id="" if row_id is None else str(row_id),
        question=question,
        images=("",) * inputs,
        answer=facts.answer,
        choices=facts.choices,
        source=source if isinstance(source, str) else "",
    )


def call_findings(
    actions: Sequence[Action], observations: Sequence[Observation], images: Sequence[str], history: list[Action], ours: bool
) -> list[Finding]:
    """What was wrong with calls: forms do not carry it, but the check that found it finds it again.

    Args:
        actions: The calls of a step.
        observations: What they gave.
        images: The images that there were before the step.
        history: Calls that ran before; those that ran are added.
        ours: Whether the check was that of this package, which stops a repeat, and whose words are then the observation.
    """
    found: list[Finding] = []
    known = list(images)
    for index, (action, observed) in enumerate(zip(actions, observations, strict=False)):
        faults = known_toolbox().check(action, known, history if ours else ()) if observed.error is not None else []
        known += observed.images
        if not faults or (ours and observed.error != feedback(faults)):
            history.append(action)
            continue
        found += [each.model_copy(update={"where": f"actions[{index}].{each.where}".rstrip(".")}) for each in faults]
    return found
