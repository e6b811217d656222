"""A tool: a typed function with a Google docstring, turned into something that a model can call.

    >>> @tool
    ... def Brightness(image: Image.Image) -> dict[str, Any]:
    ...     '''Mean brightness of an image.
    ...
    ...     Args:
    ...         image: The image to look at.
    ...     '''
    ...     return {"brightness": ImageStat.Stat(image.convert("L")).mean[0]}
    >>> Brightness.schema()["function"]["parameters"]["required"]
    ['image']

The function takes PIL images and plain values and returns a dict of JSON values and PIL images. Its JSON Schema is
derived; in it an image is a *name* such as ``image-0``. A string that names an image is never a permission to open a file.
"""

import difflib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, overload

import docstring_parser
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails, PydanticCustomError

from taco.tools.action import Action
from taco.tools.finding import Finding
from taco.tools.isolation import run_isolated

ToolFunction = Callable[..., Mapping[str, Any]]
MAX_NAME = 100
"""Characters of a name that are compared with those that there are."""
DEADLINE = 20.0
"""Seconds that a call of an isolated tool may take, unless the tool says otherwise."""


def _ordered(box: list[float]) -> list[float]:
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        raise PydanticCustomError("bbox", "the box is empty or swapped; left < right and top < bottom are needed")
    return box


Fraction01 = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Box = Annotated[list[Fraction01], Field(min_length=4, max_length=4), AfterValidator(_ordered)]
"""``[left, top, right, bottom]``, each in 0..1 of the image's width or height."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Tool:
    """One tool. Made by the decorator `tool`; called through a `Toolbox`, which checks the call first.

    Attributes:
        name: What the model calls it.
        description: First part of the function's docstring, and what there is to know of the back end.
        returns: Keys of the result and what they hold, from its ``Returns:``.
        backend: What does the work, for example ``rapidocr 3.10``: recorded in every trace.
        image_arguments: Names of the arguments that are images (or lists of images).
        memoized: Whether a toolbox may give the result of an equal call on equal pixels again.
        isolated: Whether it runs in a worker process (`taco.tools.isolation`) that is killed after `deadline` seconds.
    """

    def __init__(
        self,
        function: ToolFunction,
        *,
        name: str | None = None,
        backend: str | Callable[[], str] = "taco",
        unavailable: Callable[[], str | None] | None = None,
        memoized: bool = True,
        isolated: bool = False,
        deadline: float = DEADLINE,
        note: Callable[[], str] | None = None,
    ) -> None:
        self.function = function
        self.name = name or function.__name__
        doc = docstring_parser.parse(inspect.getdoc(function) or "", style=docstring_parser.DocstringStyle.GOOGLE)
        self._documented = (doc.description or "").strip()
        if not self._documented:
            raise ValueError(f"Tool {self.name} has no docstring. Its first lines tell the model what it does.")
        self.returns = _documented_keys(doc.returns)
        if isolated and ("<locals>" in function.__qualname__ or function.__module__ == "__main__"):
            raise ValueError(
                f"Tool {self.name} is isolated, so its function must stand on a module's top level, in a file to import."
            )
        self.memoized, self.isolated, self.deadline = memoized, isolated, deadline
        self._backend = backend
        self._unavailable = unavailable
        self._note = note
        self.image_arguments: list[str] = []
        self._model = self._arguments_model({p.arg_name: p.description or "" for p in doc.params})

    @property
    def backend(self) -> str:
        return self._backend if isinstance(self._backend, str) else self._backend()

    @property
    def note(self) -> str:
        """Limits of the back end that is used now; "" where there are none to speak of."""
        return self._note() if self._note else ""

    @property
    def description(self) -> str:
        return f"{self._documented} {self.note}".strip()

    def unavailable(self) -> str | None:
        """None where the tool can run; otherwise a sentence that says what is missing and how to get it."""
        return self._unavailable() if self._unavailable else None

    def schema(self, *, note: bool = True) -> dict[str, Any]:
        """The tool in OpenAI's function form; without the note it is the same on every machine."""
        parameters = without_titles(self._model.model_json_schema())
        parameters.setdefault("properties", {})
        parameters.pop("description", None)
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description if note else self._documented,
                "parameters": parameters,
            },
        }

    def check_arguments(self, action: Action) -> list[Finding]:
        """What is wrong with the arguments, by the schema alone (codes IAN, IAT, IAV)."""
        try:
            self._model.model_validate(action.arguments)
        except ValidationError as error:
            places: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
            for detail in error.errors(include_url=False):
                places.setdefault(_place(detail, action.arguments), []).append(detail)
            return [self._finding(place, details) for place, details in places.items()]
        return []

    def image_names(self, action: Action) -> list[tuple[str, str]]:
        """(where, name) of every image that the call refers to; the arguments must have passed `check_arguments`."""
        found: list[tuple[str, str]] = []
        for argument in self.image_arguments:
            value = action.arguments.get(argument)
            if isinstance(value, str):
                found.append((f"arguments.{argument}", value))
            elif isinstance(value, list):
                found += [(f"arguments.{argument}[{index}]", name) for index, name in enumerate(value)]
        return found

    def call(self, arguments: Mapping[str, Any], images: Mapping[str, Image.Image] | Any) -> Mapping[str, Any]:
        """Run the function on checked arguments, with image names replaced by the images of ``images``."""
        values = dict(arguments)
        for argument in self.image_arguments:
            value = values.get(argument)
            if isinstance(value, str):
                values[argument] = images[value]
            elif isinstance(value, list):
                values[argument] = [images[name] for name in value]
        result = run_isolated(self.function, values, self.deadline) if self.isolated else self.function(**values)
        # An image that is handed back as it came keeps its name; any other becomes a new one.
        given = [(name, images[name]) for _, name in self.image_names(Action(name=self.name, arguments=dict(arguments)))]
        if isinstance(result, dict):
            result = {key: next((name for name, image in given if image is value), value) for key, value in result.items()}
        return result

    def to_smolagents(self) -> Any:
        """The tool for a smolagents agent, where images are PIL images. Needs the package ``smolagents``."""
        from taco.tools.smolagents import AdaptedTool

        return AdaptedTool(self)

    def _arguments_model(self, descriptions: Mapping[str, str]) -> type[BaseModel]:
        hints = typing.get_type_hints(self.function, include_extras=True)
        fields: dict[str, Any] = {}
        for parameter in inspect.signature(self.function).parameters.values():
            if parameter.name not in hints:
                raise TypeError(f"Tool {self.name}: argument {parameter.name!r} has no type annotation.")
            hint, is_image = _images_to_names(hints[parameter.name])
            if is_image:
                self.image_arguments.append(parameter.name)
            description = descriptions.get(parameter.name, "")
            if is_image:
                description = f"{description} An image's name, such as image-0.".strip()
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (hint, Field(default, description=description))
        return create_model(f"{self.name}Arguments", __base__=_Arguments, **fields)

    def _finding(self, place: tuple[int | str, ...], details: list[ErrorDetails]) -> Finding:
        kind, value = details[0]["type"], details[0]["input"]
        where, owner = _path(place), self.name if len(place) == 1 else f"{self.name}: {_path(place[:-1])}"
        valid = list(self._model.model_fields) if len(place) == 1 else []
        hint = f"Its arguments are: {', '.join(valid)}." if valid else ""
        if kind == "extra_forbidden":
            near = nearest(str(place[-1]), valid)
            hint = f"Did you mean {near!r}?" if near else hint
            return Finding(code="IAN", where=where, message=f"{owner} has no argument {short(place[-1])}.", hint=hint)
        if kind == "missing":
            return Finding(code="IAV.missing", where=where, message=f"{owner} needs the argument {place[-1]!r}.", hint=hint)
        code = "IAT" if kind.endswith(("_type", "_parsing", "_from_float")) else "IAV.bbox" if kind == "bbox" else "IAV"
        first, *others = (detail["msg"] for detail in details)
        fault = " or ".join([first[0].lower() + first[1:], *(other.removeprefix("Input should be ") for other in others)])
        return Finding(code=code, where=where, message=f"{self.name}: {where} is {short(value)}: {fault}.")


def _documented_keys(returns: docstring_parser.DocstringReturns | None) -> dict[str, str]:
    """``key: what it holds`` of each line; the parser takes the first key for a type."""
    if returns is None:
        return {}
    text = f"{returns.type_name}: {returns.description}" if returns.type_name else returns.description or ""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {key: meaning for key, colon, meaning in pairs if colon and key.isidentifier()}


def _place(detail: ErrorDetails, arguments: Mapping[str, Any]) -> tuple[int | str, ...]:
    """Where in the arguments a fault is. pydantic's location also names validators and the members of a union."""
    place: list[int | str] = []
    value: Any = arguments
    for part in detail["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return (*place, part) if detail["type"] == "missing" else tuple(place)
        place.append(part)
    return tuple(place)


def _path(place: tuple[int | str, ...]) -> str:
    return "arguments" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)


@overload
def tool(function: ToolFunction) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    backend: str | Callable[[], str] = "taco",
    unavailable: Callable[[], str | None] | None = None,
    memoized: bool = True,
    isolated: bool = False,
    deadline: float = DEADLINE,
    note: Callable[[], str] | None = None,
) -> Callable[[ToolFunction], Tool]: ...
def tool(
    function: ToolFunction | None = None,
    *,
    name: str | None = None,
    backend: str | Callable[[], str] = "taco",
    unavailable: Callable[[], str | None] | None = None,
    memoized: bool = True,
    isolated: bool = False,
    deadline: float = DEADLINE,
    note: Callable[[], str] | None = None,
) -> Tool | Callable[[ToolFunction], Tool]:
    """Decorator: a typed function with a Google docstring becomes a `Tool`.

    Args:
        function: Takes ``PIL.Image.Image`` and plain values, returns a dict of JSON values and PIL images.
            It raises `ToolError` for what the model should be told.
        name: What the model calls it; the function's name by default.
        backend: What does the work, or a function that says so.
        unavailable: Returns None where the tool can run, otherwise a sentence with the remedy.
        memoized: False for a tool whose result depends on more than its arguments, such as the time.
        isolated: Run it in a process of its own, which is killed at the deadline. The function must be importable.
        deadline: Seconds that an isolated call may take.
        note: Says what a model has to know of the back end, such as that it knows few names; it ends the description.

    Raises:
        TypeError: If an argument has no annotation.
        ValueError: If there is no docstring, or an isolated function cannot be imported.
    """
    if function is not None:
        return Tool(function)
    return lambda inner: Tool(
        inner,
        name=name,
        backend=backend,
        unavailable=unavailable,
        memoized=memoized,
        isolated=isolated,
        deadline=deadline,
        note=note,
    )


def _images_to_names(hint: Any) -> tuple[Any, bool]:
    """The annotation with images replaced by their names, and whether there was one."""
    if hint is Image.Image:
        return str, True
    if typing.get_origin(hint) is Annotated:
        inner, *limits = typing.get_args(hint)
        names, is_image = _images_to_names(inner)
        return (functools.reduce(lambda kind, limit: Annotated[kind, limit], limits, names), True) if is_image else (hint, False)
    if typing.get_origin(hint) is list and typing.get_args(hint)[:1] == (Image.Image,):
        return Annotated[list[str], Field(min_length=1)], True
    return hint, False


def without_titles(schema: Any) -> Any:
    """pydantic writes a title into every node; they cost the model tokens and say nothing."""
    if isinstance(schema, dict):
        return {
            key: {name: without_titles(node) for name, node in value.items()} if key == "properties" else without_titles(value)
            for key, value in schema.items()
            if key != "title"
        }
    if isinstance(schema, list):
        return [without_titles(item) for item in schema]
    return schema


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant; None where none is near. Of a long one the beginning counts."""
    return next(iter(difflib.get_close_matches(name[:MAX_NAME], names, n=1)), None)


def short(value: Any, limit: int = 80) -> str:
    """A value as a sentence shows it."""
    text = repr(value[:limit] if isinstance(value, str | list) else value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
