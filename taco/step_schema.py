"""The JSON Schema of one step: which replies a toolbox and its images allow.

>>> schema = step_schema(toolbox, ["image-0"])
>>> sorted(schema["properties"])
['actions', 'thought']

For constrained decoding (`taco.models.constraint`) and for endpoints that take a schema. It says what `Toolbox.check` can say
of a call before anything has run; that a box's left is left of its right, or that a call was made before, no schema can say.
"""

import itertools
from collections.abc import Collection, Iterable
from typing import Any

from taco.tools.tool import Tool
from taco.tools.toolbox import Toolbox

Schema = dict[str, Any]

MAX_TEXT = 4_000
"""Characters of a thought, and of a text argument that has no limit of its own."""
MAX_ITEMS = 50
"""Entries of a list argument that has no limit of its own."""
MAX_ACTIONS = 8
"""Actions of one step."""
LOOK_BACK = 3
"""The first actions of a step; an image that one of them makes can be named by the later ones."""
_NOTES = ("description", "default", "title", "examples")


def step_schema(toolbox: Toolbox, images: Collection[str], *, min_actions: int = 1) -> Schema:
    """The schema of ``{"thought": ..., "actions": [...]}``.

    Args:
        toolbox: The tools on offer. Those that need an image are left out where there is none.
        images: Names of the images that exist when the step begins.
        min_actions: 0 allows a step without an action.

    Returns:
        JSON Schema 2020-12, without keywords that only describe. Every text and every list is bounded. An action may name the
        images that exist, and those that the first actions of the same step make (of tools whose result has an ``image``).

    Raises:
        ValueError: If no tool can be called.
    """
    parameters = {item.name: _bounded(item.schema()["function"]["parameters"], item.name) for item in toolbox}
    usable = [
        item for item in toolbox if images or not set(item.image_arguments) & set(parameters[item.name].get("required", ()))
    ]
    makers = [item for item in usable if "image" in item.returns and images]
    others = [item for item in usable if item not in makers]
    if not usable:
        raise ValueError(f"None of the tools can be called without an image: {', '.join(toolbox.names) or 'there are none'}.")
    defs: Schema = {}
    for made in range(LOOK_BACK + 1 if makers else 1):
        known = [*images, *(f"image-{len(images) + index}" for index in range(made))]
        # Schemas are shared by reference: those of tools without images are the same whatever was made.
        for kind, tools in (("makes", makers), ("other", others), ("any", [*makers, *others])):
            names = [_define(defs, item, parameters[item.name], known) for item in tools]
            defs[f"{kind}-{made}"] = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
    actions = [_actions(pattern, min_actions) for pattern in _patterns(bool(makers), bool(others))]
    return {
        "type": "object",
        "properties": {
            "thought": {"type": "string", "maxLength": MAX_TEXT},
            "actions": actions[0] if len(actions) == 1 else {"anyOf": actions},
        },
        "required": ["thought", "actions"],
        "additionalProperties": False,
        "$defs": {name: node for name, node in defs.items() if node.get("anyOf", True)},
    }


def _patterns(makers: bool, others: bool) -> Iterable[tuple[str, ...]]:
    """Which of the first actions make an image: from this follows which names the next one knows."""
    kinds = ["makes"] * makers + ["other"] * others
    return itertools.product(kinds, repeat=LOOK_BACK) if makers else [()]


def _actions(pattern: tuple[str, ...], min_actions: int) -> Schema:
    made, first = 0, []
    for kind in pattern:
        first.append({"$ref": f"#/$defs/{kind}-{made}"})
        made += kind == "makes"
    prefix = {"prefixItems": first} if first else {}
    rest = {"items": {"$ref": f"#/$defs/any-{made}"}, "minItems": min_actions, "maxItems": MAX_ACTIONS}
    return {"type": "array"} | prefix | rest


def _define(defs: Schema, item: Tool, parameters: Schema, images: list[str]) -> str:
    """The name, in ``defs``, of the schema of a call."""
    name = f"{item.name}.call-{len(images)}" if item.image_arguments else f"{item.name}.call"
    if name not in defs:
        properties, named = dict(parameters.get("properties", {})), {"type": "string", "enum": images}
        for argument in item.image_arguments:
            node = properties[argument]
            properties[argument] = node | {"items": named} if node.get("type") == "array" else named
            if not images:
                del properties[argument]
        arguments = {key: node for key, node in parameters.items() if key != "$defs"} | {"properties": properties}
        call = {"name": {"const": item.name}, "arguments": arguments}
        defs |= {f"{item.name}.{key}": node for key, node in parameters.get("$defs", {}).items()}
        defs[name] = {"type": "object", "properties": call, "required": list(call), "additionalProperties": False}
    return name


def _bounded(node: Any, owner: str) -> Any:
    """A tool's schema without notes, its texts and lists bounded, its definitions under its own name."""
    if isinstance(node, list):
        return [_bounded(item, owner) for item in node]
    if not isinstance(node, dict):
        return node
    found: Schema = {}
    for key, value in node.items():
        if key in ("properties", "$defs"):  # what stands in them are names, not keywords
            found[key] = {name: _bounded(inner, owner) for name, inner in value.items()}
        elif key == "$ref":
            found[key] = str(value).replace("#/$defs/", f"#/$defs/{owner}.")
        elif key not in _NOTES:
            found[key] = _bounded(value, owner)
    if found.get("type") == "string" and not {"enum", "const", "maxLength"} & set(found):
        found["maxLength"] = MAX_TEXT
    if found.get("type") == "array" and "maxItems" not in found:
        found["maxItems"] = max(MAX_ITEMS, found.get("minItems", 0))
    return found
