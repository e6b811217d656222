"""Our tools as an environment for TRL's GRPO, where a model is rewarded for answers that it reached by calling them.

    >>> trainer = trl.GRPOTrainer(model, train_dataset=rows, environment_factory=make_environment(default_toolbox()), ...)

A row has ``prompt``, ``images`` (PIL images or bytes; TRL shows them to the model too) and ``answer``. The model calls the
tools in its chat template's own form, images by the names that `reset` tells it; new ones come back as image content. Needs
``pip install trl``.
"""

import functools
import inspect
import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from taco.evaluation.scoring import is_correct
from taco.tools import Action, ImageStore, Tool, Toolbox, ToolError, default_toolbox
from taco.tools.finding import feedback
from taco.tools.images import ImageError, ImageSource
from taco.trace import Task, inside

_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "object": dict, "null": type(None)}


class Environment:
    """One rollout: its images, the calls made so far, and the answer. `make_environment` adds a method for each tool.

    Attributes:
        images: The images, by name.
        history: The calls that ran.
        answer: What Terminate was called with, or None.
    """

    _toolbox: Toolbox
    _folder: Path | None = None

    def reset(
        self,
        images: Iterable[ImageSource] | None = None,
        answer: str | None = None,
        choices: Sequence[str] | None = None,
        **row: Any,
    ) -> str | None:
        """Begin anew; gives a sentence that names the images, which TRL puts behind the prompt.

        Raises:
            ImageError: If an image cannot be used.
        """
        self.images = ImageStore(self._opened(image) for image in images or ())
        self.history: list[Action] = []
        self.answer: str | None = None
        self._task = Task(id="row", question="as in the prompt", answer=answer, choices=tuple(choices) if choices else None)
        return f"\n\nImages: {', '.join(self.images)}." if len(self.images) else None

    def get_reward(self) -> float:
        """1 if the answer is the row's, as `taco eval` compares them, else 0. Raises ValueError if the row has none."""
        return float(is_correct(self.answer, self._task))

    def _opened(self, image: ImageSource) -> ImageSource:
        """What is no path as it is; a path only below the folder, since rows are data."""
        if not isinstance(image, str | os.PathLike):
            return image
        if self._folder is None:
            raise ImageError(
                f"A row names the file {os.fspath(image)}; make_environment(..., folder=DIR) says where such files are."
            )
        try:
            return self._folder / inside(os.fspath(image))
        except ValueError as error:
            raise ImageError(str(error)) from None

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        """JSON text, or content parts where the tool made images. Raises ToolError; TRL tells its text to the model."""
        if self.answer is not None:
            raise ToolError("The task has ended: Terminate was called.")
        action = Action(name=name, arguments=arguments)
        findings = self._toolbox.check(action, self.images, self.history)
        if findings:
            raise ToolError(feedback(findings))
        observation = self._toolbox.execute(action, self.images)
        self.history.append(action)
        if observation.error is not None:
            raise ToolError(observation.error)
        if name == "Terminate":
            self.answer = observation.content["answer"]
        pictures = [{"type": "image", "image": self.images[made]} for made in observation.images]
        text = observation.to_json()
        return [*pictures, {"type": "text", "text": text}] if pictures else text


def make_environment(toolbox: Toolbox | None = None, *, folder: str | os.PathLike[str] | None = None) -> type[Environment]:
    """A class for TRL's ``environment_factory``, with a method for each tool.

    Args:
        toolbox: The tools; by default all that can run here.
        folder: Where the image files are that rows name; without it rows hold images themselves.

    Raises:
        ValueError: If a tool's name cannot be that of a method.
    """
    toolbox = toolbox if toolbox is not None else default_toolbox()
    for name in toolbox.names:
        if not name.isidentifier() or name.startswith("_") or name in {*dir(Environment), "images", "history", "answer"}:
            raise ValueError(f"The tool {name!r} cannot be a method of the environment; give it another name.")
    methods: dict[str, Any] = {tool.name: _method(tool) for tool in toolbox}
    place = None if folder is None else Path(folder)
    return type("TacoEnvironment", (Environment,), {**methods, "_toolbox": toolbox, "_folder": place})


def _method(tool: Tool) -> Any:
    """A function with the signature and docstring from which transformers derives a schema."""
    parameters = tool.schema()["function"]["parameters"]
    properties, required = parameters["properties"], parameters.get("required", [])

    def method(self: Environment, **arguments: Any) -> Any:
        return self._call(tool.name, arguments)

    described = "\n".join(f"    {name}: {_line(node.get('description') or name)}" for name, node in properties.items())
    hints = {name: _hint(node) for name, node in properties.items()}
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    ordered = sorted(properties, key=lambda name: name not in required)
    own = [
        inspect.Parameter(
            name,
            kind,
            annotation=hints[name],
            default=inspect.Parameter.empty if name in required else properties[name].get("default"),
        )
        for name in ordered
    ]
    method.__name__ = method.__qualname__ = tool.name
    method.__doc__ = f"{_line(tool.description)}\n\nArgs:\n{described}\n"
    method.__annotations__ = hints
    method.__signature__ = inspect.Signature([inspect.Parameter("self", kind), *own])  # type: ignore[attr-defined]
    return method


def _hint(node: dict[str, Any]) -> Any:
    if "anyOf" in node:
        return functools.reduce(operator.or_, map(_hint, node["anyOf"]))
    if "enum" in node:
        return Literal[tuple(node["enum"])]
    if node.get("type") == "array":
        return list[_hint(node.get("items", {}))]  # type: ignore[misc]
    return dict if "$ref" in node else _TYPES.get(node.get("type", ""), str)


def _line(text: str) -> str:
    return " ".join(text.split())
