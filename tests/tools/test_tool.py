"""A typed function becomes a tool: its schema, and each finding about a call's arguments.

Run: pytest tests/tools/test_tool.py
"""

from typing import Annotated, Any, Literal

import pytest
from PIL import Image
from pydantic import Field

from taco.tools.action import Action
from taco.tools.images import ImageStore
from taco.tools.tool import Box, Tool, tool


@tool(name="Compare", backend="pixels 1.0")
def compare(
    image: Image.Image,
    other_images: list[Image.Image],
    region: Box,
    how: Literal["mean", "max"] = "mean",
    limit: Annotated[int, Field(ge=1, le=9)] = 3,
    label: str | int = "",
) -> dict[str, Any]:
    """Compares an image with others.

    It looks at one region only.

    Args:
        image: The image.
        other_images: What it is compared with.
        region: Where to look.
        how: Which measure.
        limit: How many are returned.

    Returns:
        sizes: The sizes of all images.
    """
    return {"sizes": [list(item.size) for item in (image, *other_images)]}


GOOD: dict[str, Any] = {"image": "image-0", "other_images": ["image-1"], "region": [0, 0, 0.5, 1]}


def codes(**changes: Any) -> list[tuple[str, str]]:
    arguments = {key: value for key, value in {**GOOD, **changes}.items() if value is not ...}
    return [(finding.code, finding.where) for finding in compare.check_arguments(Action(name="Compare", arguments=arguments))]


def test_schema() -> None:
    assert compare.schema() == {
        "type": "function",
        "function": {
            "name": "Compare",
            "description": "Compares an image with others.\n\nIt looks at one region only.",
            "parameters": {
                "type": "object",
                "additionalProperties": False,
                "required": ["image", "other_images", "region"],
                "properties": {
                    "image": {"type": "string", "description": "The image. An image's name, such as image-0."},
                    "other_images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string"},
                        "description": "What it is compared with. An image's name, such as image-0.",
                    },
                    "region": {
                        "type": "array",
                        "minItems": 4,
                        "maxItems": 4,
                        "items": {"type": "number", "minimum": 0, "maximum": 1},
                        "description": "Where to look.",
                    },
                    "how": {"type": "string", "enum": ["mean", "max"], "default": "mean", "description": "Which measure."},
                    "limit": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 9,
                        "default": 3,
                        "description": "How many are returned.",
                    },
                    "label": {"anyOf": [{"type": "string"}, {"type": "integer"}], "default": "", "description": ""},
                },
            },
        },
    }


def test_describes_itself() -> None:
    assert (compare.name, compare.backend, compare.returns) == ("Compare", "pixels 1.0", {"sizes": "The sizes of all images."})
    assert compare.image_arguments == ["image", "other_images"]
    assert compare.unavailable() is None


def test_good_arguments_have_no_findings() -> None:
    assert codes() == []
    assert codes(how="max", limit=9, label=7) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"image": ...}, [("IAV.missing", "arguments.image")]),
        ({"image": 3}, [("IAT", "arguments.image")]),
        ({"other_images": "image-1"}, [("IAT", "arguments.other_images")]),
        ({"other_images": []}, [("IAV", "arguments.other_images")]),
        ({"other_images": ["image-1", 2]}, [("IAT", "arguments.other_images[1]")]),
        ({"region": [0, 0, 0.5, "1"]}, [("IAT", "arguments.region[3]")]),
        ({"region": [0, 0, 0.5, True]}, [("IAT", "arguments.region[3]")]),
        ({"region": [0, 0, 10**400, 1]}, [("IAT", "arguments.region[2]")]),
        ({"region": [0, 0, 2, 1]}, [("IAV", "arguments.region[2]")]),
        ({"region": [0.5, 0, 0.5, 1]}, [("IAV.bbox", "arguments.region")]),
        ({"how": "median"}, [("IAV", "arguments.how")]),
        ({"limit": 2.5}, [("IAT", "arguments.limit")]),
        ({"limit": "3"}, [("IAT", "arguments.limit")]),
        ({"limit": 10}, [("IAV", "arguments.limit")]),
        ({"label": []}, [("IAT", "arguments.label")]),
        ({"img": "image-0", "how": 1}, [("IAV", "arguments.how"), ("IAN", "arguments.img")]),
    ],
)
def test_findings(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert codes(**changes) == expected


def test_a_misspelt_argument_is_named_with_the_nearest() -> None:
    [finding] = compare.check_arguments(Action(name="Compare", arguments={**GOOD, "limits": 2}))
    assert (finding.message, finding.hint) == ("Compare has no argument 'limits'.", "Did you mean 'limit'?")


def test_a_value_of_no_member_of_a_union_is_one_finding() -> None:
    [finding] = compare.check_arguments(Action(name="Compare", arguments={**GOOD, "label": [1]}))
    assert finding.message == "Compare: arguments.label is [1]: input should be a valid string or a valid integer."


def test_a_long_value_is_shortened() -> None:
    [finding] = compare.check_arguments(Action(name="Compare", arguments={**GOOD, "how": "x" * 10_000}))
    assert len(finding.message) < 300


def test_call_replaces_names_by_images() -> None:
    images = ImageStore([Image.new("RGB", (4, 5)), Image.new("RGB", (6, 7))])
    assert compare.call(GOOD, images) == {"sizes": [[4, 5], [6, 7]]}


def test_image_names_say_where_they_stand() -> None:
    found = compare.image_names(Action(name="Compare", arguments={**GOOD, "other_images": ["image-1", "image-2"]}))
    assert found == [
        ("arguments.image", "image-0"),
        ("arguments.other_images[0]", "image-1"),
        ("arguments.other_images[1]", "image-2"),
    ]


def test_annotation_and_docstring_are_demanded() -> None:
    def untyped(x) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Has no type."""
        return {}

    def undocumented(x: int) -> dict[str, Any]:
        return {}

    with pytest.raises(TypeError, match="'x' has no type annotation"):
        Tool(untyped)
    with pytest.raises(ValueError, match="undocumented has no docstring"):
        Tool(undocumented)


def test_backend_and_availability_are_asked_when_needed() -> None:
    asked: list[str] = []
    lazy = Tool(compare.function, backend=lambda: asked.append("backend") or "b 1", unavailable=lambda: "Install b.")  # type: ignore[func-returns-value]
    assert asked == []
    assert (lazy.backend, lazy.unavailable(), asked) == ("b 1", "Install b.", ["backend"])
