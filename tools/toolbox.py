"""The only way to a tool: an ordered set of tools that checks a call before it runs.

>>> toolbox = default_toolbox()
>>> toolbox.execute(Action(name="Calculate", arguments={"expression": "15% * 200"})).content
{'result': 30}
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import Any

from PIL import Image

from taco.tools.action import Action, Observation, ToolError
from taco.tools.finding import Finding, feedback
from taco.tools.images import ImageStore
from taco.tools.memo import Memo
from taco.tools.tool import Tool, nearest, short

MAX_OBSERVATION_CHARS = 20_000
"""Characters of JSON that an observation may have; a longer one becomes an error that says so."""

MAX_ERROR_CHARS = 2_000
"""Characters of an error that a model is told; what a stranger's server says may be of any length."""

MAX_RESULT_BYTES = 256_000_000
"""Of results that a toolbox remembers, so that the same call on the same pixels is not worked out again."""


class Toolbox:
    """Ordered tools with distinct names.

    Args:
        tools: The tools that are offered, in the order in which the model is told of them.

    Raises:
        ValueError: If two tools have the same name.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self._tools: dict[str, Tool] = {}
        for item in tools:
            if item.name in self._tools:
                raise ValueError(f"Two tools are named {item.name!r}; a toolbox needs distinct names.")
            self._tools[item.name] = item
        self._results: Memo[tuple[Any, ...], Any] = Memo(MAX_RESULT_BYTES, _bytes)

    @classmethod
    def from_mcp(cls, command: Sequence[str] | str) -> "Toolbox":
        """The tools of another MCP server, started by its command. Needs ``taco-lmm[mcp]``; see `taco.tools.mcp`.

        Raises:
            ToolError: If the server cannot be started or used.
        """
        from taco.tools.mcp import tools_of

        return cls(tools_of(command))

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    @property
    def names(self) -> list[str]:
        return list(self._tools)

    def schemas(self) -> list[dict[str, Any]]:
        """Every tool in OpenAI's function form."""
        return [item.schema() for item in self]

    def select(self, names: Sequence[str]) -> "Toolbox":
        """The tools of these names, in this order.

        Raises:
            ValueError: If one of them is not here.
        """
        missing = [name for name in names if name not in self]
        if missing:
            raise ValueError(f"No such tool: {', '.join(missing)}. There are: {', '.join(self.names)}.")
        return Toolbox(self[name] for name in names)

    def check(self, action: Action, images: Collection[str] | None = None, history: Sequence[Action] = ()) -> list[Finding]:
        """What is wrong with a call, without running it (SpecTool's IFN, IAN, IAT, IAV as far as the schema decides it, RAC).

        Args:
            action: The call.
            images: The images that exist just before the call: a store, or their names.
            history: Calls that ran before it; an identical one is a repeat. Names of images never change their meaning,
                so the same box on a new image is no repeat.
        """
        if action.name not in self:
            near = nearest(action.name, self.names)
            hint = f"Did you mean {near}?" if near else f"The tools are: {', '.join(self.names)}."
            return [Finding(code="IFN", where="name", message=f"There is no tool named {short(action.name)}.", hint=hint)]
        item = self[action.name]
        found = item.check_arguments(action) or _unknown_images(item.image_names(action), () if images is None else images)
        if not found and any(_same(action, earlier) for earlier in history):
            hint = "Use the observation that it gave, or call Terminate."
            found = [Finding(code="RAC", where="", message=f"This call of {action.name} was already made.", hint=hint)]
        return found

    def execute(self, action: Action, images: ImageStore | None = None) -> Observation:
        """Check a call and run it. Images that it makes are added to ``images`` and named in the observation.

        A `Finding` or a `ToolError` becomes the observation's error; any other exception is a bug and surfaces.
        """
        images = images if images is not None else ImageStore()
        findings = self.check(action, images)
        if findings:
            return Observation(error=feedback(findings))
        try:
            return _observation(action.name, self._result(action, images), images)
        except ToolError as error:
            return Observation(error=_cut(str(error)))

    def _result(self, action: Action, images: ImageStore) -> Any:
        """What the tool gives, or gave for the same arguments and pixels."""
        item = self[action.name]
        if not item.memoized:
            return item.call(action.arguments, images)
        pixels = tuple(images.sha256(name) for _, name in item.image_names(action))
        key = (item.name, item.backend, _canonical(action.arguments), pixels)
        return self._results.get(key, lambda: item.call(action.arguments, images))


def _unknown_images(names: list[tuple[str, str]], images: Collection[str]) -> list[Finding]:
    found = []
    for where, name in names:
        if name in images:
            continue
        hint = f"The images are: {', '.join(images) or 'none'}."
        if PurePath(name).suffix or "/" in name:
            message = f"{short(name)} looks like a path or URL; an image is given by its name."
            found.append(Finding(code="IAT.image", where=where, message=message, hint=hint))
        else:
            message = f"There is no image named {short(name)}."
            found.append(Finding(code="IAV.dangling_image", where=where, message=message, hint=hint))
    return found


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[:MAX_ERROR_CHARS]}... ({len(text):,} characters)"


def _bytes(result: Any) -> int:
    """Roughly: a result's weight is in its images."""
    images = [value for value in result.values() if isinstance(value, Image.Image)] if isinstance(result, dict) else []
    return MAX_OBSERVATION_CHARS + sum(3 * image.width * image.height for image in images)


def _same(action: Action, earlier: Action) -> bool:
    # Compared as JSON, since in Python True == 1 == 1.0 and a repeat is one of the text.
    return action.name == earlier.name and _canonical(action.arguments) == _canonical(earlier.arguments)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _observation(tool_name: str, result: Any, images: ImageStore) -> Observation:
    if not isinstance(result, dict):
        raise TypeError(f"Tool {tool_name} returned {type(result).__name__}; a tool returns a dict.")
    size = len(json.dumps(result, default=lambda image: "", ensure_ascii=False))
    if size > MAX_OBSERVATION_CHARS:
        return Observation(
            error=f"{tool_name} gave {size:,} characters, over the limit of {MAX_OBSERVATION_CHARS:,}. Ask for less, "
            "for example a part of the image."
        )
    names: list[str] = []
    content = {str(key): _to_json(value, f"{tool_name}.{key}", images, names) for key, value in result.items()}
    return Observation(content=content, images=tuple(names))


def _to_json(value: Any, where: str, images: ImageStore, names: list[str]) -> Any:
    """JSON values as they are, images stored and replaced by their names."""
    if isinstance(value, Image.Image):
        names.append(images.add(value))
        return names[-1]
    if isinstance(value, dict):
        return {str(key): _to_json(item, f"{where}.{key}", images, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item, f"{where}[{index}]", images, names) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} is {value}; a tool raises ToolError where it has no number.")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{where} is a {type(value).__name__}; a tool returns JSON values and PIL images.")
