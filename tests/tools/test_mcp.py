"""The protocol's own client against `taco mcp`, and a server that is not ours behind our toolbox."""

import asyncio
import base64
import io
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mcp
import mcp_types
import pytest
from PIL import Image, ImageDraw

from taco.tools import Action, ImageStore, Toolbox, ToolError
from taco.tools.mcp import RemoteTool, tools_of

SERVER = '''
"""A server as others write them, with the mcp package's decorators."""
import base64, io
from typing import Annotated, Any
from mcp.server import MCPServer
from mcp.server.mcpserver import Image as McpImage
from PIL import Image, ImageOps
from pydantic import Field

server = MCPServer("example")
Encoded = Annotated[str, Field(json_schema_extra={"contentMediaType": "image/png", "contentEncoding": "base64"})]

@server.tool()
def add(a: int, b: int = 2) -> int:
    """Adds two numbers."""
    return a + b

@server.tool()
def invert(data: Encoded) -> McpImage:
    """Inverts an image."""
    buffer = io.BytesIO()
    ImageOps.invert(Image.open(io.BytesIO(base64.b64decode(data)))).save(buffer, "PNG")
    return McpImage(data=buffer.getvalue(), format="png")

@server.tool()
def broken() -> McpImage:
    """Gives an image that is none."""
    return McpImage(data=b"no image", format="png")

@server.tool()
def fail() -> str:
    """Fails."""
    from mcp.server.mcpserver.exceptions import ToolError
    raise ToolError("out of tea")

@server.tool()
def die() -> str:
    """Ends the server."""
    import os
    os._exit(3)

server.run()
'''


ENDLESS = """
import anyio, mcp_types
from mcp.server import Server
from mcp.server.stdio import stdio_server

async def tools(context, parameters):
    return mcp_types.ListToolsResult(tools=[], next_cursor="more")

async def main():
    server = Server("endless", on_list_tools=tools)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())

anyio.run(main)
"""


def board() -> Image.Image:
    image = Image.new("RGB", (240, 80), "white")
    ImageDraw.Draw(image).text((10, 20), "Tea 3.50", fill="black", font_size=36)
    return image


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def with_client(use: Callable[[mcp.Client], Coroutine[Any, Any, None]], *options: str) -> None:
    async def main() -> None:
        command = mcp.StdioServerParameters(
            command=sys.executable, args=["-c", "from taco.cli import app; app()", "mcp", *options]
        )
        async with mcp.Client(command) as client:
            await use(client)

    asyncio.run(main())


def text(result: mcp_types.CallToolResult) -> str:
    [part] = [part for part in result.content if isinstance(part, mcp_types.TextContent)]
    return part.text


def test_a_client_brings_an_image_reads_it_zooms_in_and_calculates() -> None:
    async def use(client: mcp.Client) -> None:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"AddImage", "OCR", "ZoomIn", "Calculate"} <= set(listed)
        assert "Terminate" not in listed
        assert listed["ZoomIn"].input_schema["required"] == ["image", "bbox", "zoom_factor"]
        added = await client.call_tool("AddImage", {"data": encoded(board())})
        assert added.structured_content == {"image": "image-0"}
        assert len(added.content) == 1  # it is not sent back
        read = await client.call_tool("OCR", {"image": "image-0"})
        assert read.structured_content == {"text": "Tea 3.50"}
        zoomed = await client.call_tool("ZoomIn", {"image": "image-0", "bbox": [0, 0, 0.5, 1], "zoom_factor": 2})
        assert zoomed.structured_content == {"image": "image-1"}
        [picture] = [part for part in zoomed.content if isinstance(part, mcp_types.ImageContent)]
        image = Image.open(io.BytesIO(base64.b64decode(picture.data)))
        assert image.height == 160
        assert image.width > 240
        result = await client.call_tool("Calculate", {"expression": "3 * 3.50"})
        assert (text(result), result.structured_content) == ('{"result": 10.5}', {"result": 10.5})

    with_client(use)


def test_faults_are_told_and_the_server_goes_on(tmp_path: Path) -> None:
    board().save(tmp_path / "board.png")

    async def use(client: mcp.Client) -> None:
        assert "image-0 (board.png)" in (client.instructions or "")
        faulty: list[tuple[str, dict[str, Any], str]] = [
            ("Calculator", {}, "no tool named 'Calculator'"),
            ("Calculate", {"expression": 3}, "string"),
            ("OCR", {"image": "/etc/passwd"}, "image-0"),
            ("AddImage", {"data": "%%%"}, "base64"),
            ("AddImage", {"data": base64.b64encode(b"no image").decode()}, "known format"),
            ("AddImage", {"data": "/etc/passwd"}, "base64"),
        ]
        for name, arguments, told in faulty:
            result = await client.call_tool(name, arguments)
            assert result.is_error, name
            assert told in text(result)
            assert "Traceback" not in text(result)
        assert (await client.call_tool("OCR", {"image": "image-0"})).structured_content == {"text": "Tea 3.50"}

    with_client(use, "--images", str(tmp_path))


@pytest.mark.parametrize(("folder", "told"), [("none", "is no folder"), (".", "has no images")])
def test_a_folder_without_images_is_refused(folder: str, told: str, tmp_path: Path) -> None:
    code = ["-c", "from taco.cli import app; app()", "mcp", "--images", str(tmp_path / folder)]
    ended = subprocess.run([sys.executable, *code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert told in ended.stderr


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    file = tmp_path_factory.mktemp("server") / "server.py"
    file.write_text(SERVER)
    return [sys.executable, str(file)]


@pytest.fixture(scope="module")
def theirs(command: list[str]) -> Toolbox:
    return Toolbox.from_mcp(command)


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("add", {"a": "one"}, "IAT"),
        ("add", {"a": 1, "c": 2}, "IAN"),
        ("add", {}, "IAV.missing"),
        ("invert", {"data": "image-7"}, "IAV.dangling_image"),
        ("invert", {"data": "/etc/passwd"}, "IAT.image"),
        ("ad", {"a": 1}, "IFN"),
    ],
)
def test_their_tools_are_checked_as_ours_are(name: str, arguments: dict[str, Any], code: str, theirs: Toolbox) -> None:
    [finding] = theirs.check(Action(name=name, arguments=arguments), ImageStore([board()]))
    assert finding.code == code
    assert len(finding.message) < 300


def test_their_tools_run_through_our_toolbox(theirs: Toolbox) -> None:
    assert theirs.names == ["add", "invert", "broken", "fail", "die"]
    data = theirs.schemas()[1]["function"]["parameters"]["properties"]["data"]
    assert "contentMediaType" not in data, "to the model an image is a name"
    images = ImageStore([Image.new("RGB", (4, 3), (10, 20, 30))])
    assert theirs.execute(Action(name="add", arguments={"a": 1}), images).content == {"result": 3}
    inverted = theirs.execute(Action(name="invert", arguments={"data": "image-0"}), images)
    assert (inverted.content, inverted.images) == ({"image": "image-1"}, ("image-1",))
    assert images["image-1"].getpixel((0, 0)) == (245, 235, 225)


def test_what_goes_wrong_there_is_an_error_here(command: list[str]) -> None:
    theirs = Toolbox.from_mcp(command)
    errors = [theirs.execute(Action(name=name)).error for name in ("broken", "fail", "die", "fail")]
    assert errors[0] is not None
    assert "no image file" in errors[0]
    assert errors[1] == "Error executing tool fail: out of tea"
    assert all(error and error.startswith(name) for name, error in zip(("die", "fail"), errors[2:], strict=True))


@pytest.mark.parametrize("command", ["no-such-program --serve", "true", [sys.executable, "-c", "print('hello')"]])
def test_a_server_that_is_none_is_said_to_be_none(command: str | list[str]) -> None:
    with pytest.raises(ToolError, match="cannot be used"):
        tools_of(command)
    with pytest.raises(ValueError, match="empty"):
        tools_of("")


def remote(schema: dict[str, Any], *content: Any, description: str = "Reads.", **result: Any) -> Toolbox:
    """A toolbox of one tool, whose server answers this."""
    answer = mcp_types.CallToolResult(content=list(content), **result)
    connection: Any = SimpleNamespace(name="example", call=lambda name, arguments: answer)
    return Toolbox([RemoteTool(connection, mcp_types.Tool(name="read", description=description, input_schema=schema))])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "http://localhost:1/schema.json"}}},
        {"type": "object", "allOf": [{"$ref": "#"}]},
        {"type": "object", "properties": [1]},
        {"type": "no such type"},
        {"type": "object", "properties": {"a": {"enum": ["x" * 100_000]}}},
    ],
    ids=["an address", "itself", "properties that are none", "an unknown type", "much too long"],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="describes 'read' wrongly"):
        remote(schema)


def test_a_schema_that_turns_in_circles_is_a_finding_and_patterns_are_the_servers_to_check() -> None:
    circle = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"$ref": "#/$defs/b"}}}
    [finding] = remote(circle).check(Action(name="read", arguments={"a": 1}))
    assert finding.code == "IAV"
    slow = {"type": "object", "properties": {"pattern": {"type": "string", "pattern": "^(a+)+$"}}}
    toolbox = remote(slow, mcp_types.TextContent(text="ok"))
    assert toolbox.execute(Action(name="read", arguments={"pattern": "a" * 40 + "!"})).content == {"text": "ok"}


def test_what_a_server_says_is_cut() -> None:
    text = mcp_types.TextContent(text="x" * 1_000_000)
    error = remote({"type": "object"}, text, is_error=True).execute(Action(name="read")).error
    assert error is not None
    assert len(error) < 3_000
    assert "over the limit" in str(remote({"type": "object"}, text).execute(Action(name="read")).error)
    picture = mcp_types.ImageContent(data=encoded(board()), mime_type="image/png")
    images = ImageStore()
    assert "9 images" in str(remote({"type": "object"}, *[picture] * 9).execute(Action(name="read"), images).error)
    assert len(images) == 0
    assert len(remote({"type": "object"}, description="x" * 100_000)["read"].description) == 2_000
    nan = remote({"type": "object"}, structured_content={"a": float("nan")})
    assert "NaN" in str(nan.execute(Action(name="read")).error)


def test_a_list_of_tools_that_does_not_end_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(ENDLESS)
    with pytest.raises(ToolError, match="does not end"):
        tools_of([sys.executable, str(tmp_path / "server.py")])


def test_the_server_ends_with_its_connection(command: list[str]) -> None:
    code = (
        "import sys; from taco.tools import Toolbox, Action; t = Toolbox.from_mcp(sys.argv[1:]);"
        "print(t.execute(Action(name='add', arguments={'a': 40})).content)"
    )
    ended = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "{'result': 42}"
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert sum(command[1].encode() in line for line in running) <= 1  # the module's own fixture
