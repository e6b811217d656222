"""Our tools in a smolagents agent: images are handed over as PIL images, as smolagents does it.

    >>> agent = smolagents.CodeAgent(tools=[Calculate.to_smolagents(), Crop.to_smolagents()], model=...)

Needs ``pip install smolagents``. A call goes through a `Toolbox`, and so through the same checks; what a `ToolError` or a
`Finding` says becomes the error that the agent is told.
"""

from typing import Any

from PIL import Image

try:
    from smolagents import Tool as SmolagentsTool
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("smolagents is not installed. Run: pip install smolagents", name=error.name) from error

from taco.tools.action import Action, ToolError
from taco.tools.images import ImageStore
from taco.tools.tool import Tool
from taco.tools.toolbox import Toolbox

_TYPES = {"string", "integer", "number", "boolean", "array", "object"}


class AdaptedTool(SmolagentsTool):  # type: ignore[misc]
    """One of our tools in smolagents' form; made by `Tool.to_smolagents`.

    A tool that gives one image and nothing else gives it bare, since an agent can name that and hand it on; others give a dict.
    """

    skip_forward_signature_validation = True

    def __init__(self, tool: Tool) -> None:
        parameters = tool.schema()["function"]["parameters"]
        required = parameters.get("required", [])
        self.name = tool.name
        keys = "".join(f"\n- {key}: {meaning}" for key, meaning in tool.returns.items())
        bare = list(tool.returns) == ["image"]
        self.description = tool.description + (f"\nReturns a dict:{keys}" if keys and not bare else "")
        self.inputs = {
            name: _input(node, is_image=name in tool.image_arguments, optional=name not in required)
            for name, node in parameters["properties"].items()
        }
        self.output_type = "image" if bare else "object"
        self._toolbox = Toolbox([tool])
        super().__init__()

    def forward(self, **values: Any) -> Any:
        """Run it: PIL images and plain values in, JSON values and PIL images out. Raises ToolError with what is wrong."""
        [tool] = self._toolbox
        images, arguments = ImageStore(), {name: value for name, value in values.items() if value is not None}
        for name in tool.image_arguments:
            if name in arguments:
                arguments[name] = _named(arguments[name], images)
        observation = self._toolbox.execute(Action(name=tool.name, arguments=arguments), images)
        if observation.error is not None:
            raise ToolError(observation.error)
        found = {
            key: images[value] if key.endswith("image") and value in images else _unnamed(value, images, observation.images)
            for key, value in observation.content.items()
        }
        return found["image"] if self.output_type == "image" else found


def _input(node: dict[str, Any], *, is_image: bool, optional: bool) -> dict[str, Any]:
    description, kind = node.get("description", ""), node.get("type")
    if is_image:
        kind = "array" if kind == "array" else ["image", "object"]  # smolagents 1.26 takes a PIL image for an object
        description = description.replace("An image's name, such as image-0.", "").strip() or "The image."
    else:
        kind = kind if kind in _TYPES else "any"
    return {"type": kind, "description": description} | ({"nullable": True} if optional else {})


def _named(value: Any, images: ImageStore) -> Any:
    """Images added to the store and replaced by their names. Strings are refused: a model's string opens no file."""
    if isinstance(value, list):
        return [_named(item, images) for item in value]
    if not isinstance(value, Image.Image):
        raise ToolError(f"An image is needed here; got {type(value).__name__}. Hand over the image itself, not its name or path.")
    return images.add(value)


def _unnamed(value: Any, images: ImageStore, new: tuple[str, ...]) -> Any:
    """Names of new images replaced by them, wherever they stand."""
    if isinstance(value, dict):
        return {key: _unnamed(item, images, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_unnamed(item, images, new) for item in value]
    return images[value] if isinstance(value, str) and value in new else value
