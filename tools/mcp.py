"""The Model Context Protocol, both ways: our tools for others, and others' tools for us. Needs ``pip install 'taco-lmm[mcp]'``.

    $ taco mcp --images photos                                        # serves the toolbox over standard input and output
    >>> toolbox = Toolbox.from_mcp(["npx", "some-server"])            # another server's tools under our checks

Images have names here as everywhere: a client brings one with ``AddImage``, calls tools by its name, and gets new images back by
name and as image content. What comes from the other side is data: sizes are limited, images are decoded in the worker process.
"""

import base64
import contextlib
import io
import itertools
import json
import shlex
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from PIL import Image
from pydantic import Field

try:
    import anyio
    import anyio.to_thread
    import mcp
    import mcp_types
    from anyio.from_thread import BlockingPortal, start_blocking_portal
    from jsonschema import Draft202012Validator, SchemaError, ValidationError
    from mcp.server import Server, ServerRequestContext
    from mcp.server.stdio import stdio_server
    from referencing import Registry
    from referencing.exceptions import Unresolvable
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed. Run: pip install 'taco-lmm[mcp]'", name=missing.name
    ) from missing

from taco.tools.action import Action, Observation, ToolError
from taco.tools.finding import Finding
from taco.tools.images import MAX_BYTES, ImageError, ImageStore, open_foreign
from taco.tools.tool import Tool, short, tool, without_titles
from taco.tools.toolbox import Toolbox

CALL_SECONDS = 120.0
"""Seconds that another server may take for a call."""
START_SECONDS = 10.0
"""Seconds that another server may take for each answer while it starts and lists its tools."""
MAX_TOOLS, MAX_PAGES = 128, 20
MAX_DESCRIPTION, MAX_SCHEMA = 2_000, 20_000
"""Characters of a tool's description, which is cut, and of its schema, which is refused."""
MAX_ANSWER_IMAGES, MAX_SERVED_IMAGES = 8, 200
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")

# ---------------------------------------------------------------------- our tools for others

Encoded = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_BYTES * 4 // 3 + 4,
        json_schema_extra={"contentEncoding": "base64", "contentMediaType": "image/png"},
    ),
]


@tool(memoized=False)
def AddImage(data: Encoded) -> dict[str, Any]:
    """Adds an image, so that other tools can be called with its name.

    Args:
        data: The image file (PNG, JPEG, WEBP ...), base64.

    Returns:
        image: The name that it was given, such as image-0.
    """
    return {"image": _decoded(data)}


def make_server(toolbox: Toolbox, images: ImageStore, titles: Sequence[str] = ()) -> "Server[Any]":
    """A server of a toolbox's tools and AddImage. Terminate stays out: an MCP client ends its task itself.

    Args:
        toolbox: The tools.
        images: What is there from the start; calls add to it.
        titles: What the client is told of those images, in their order, such as file names.
    """
    served = Toolbox([AddImage, *(item for item in toolbox if item.name != "Terminate")])
    one_at_a_time = anyio.Lock()

    async def list_tools(context: Any, params: Any) -> mcp_types.ListToolsResult:
        functions = [schema["function"] for schema in served.schemas()]
        return mcp_types.ListToolsResult(
            tools=[
                mcp_types.Tool(name=each["name"], description=each["description"], input_schema=each["parameters"])
                for each in functions
            ]
        )

    async def call_tool(
        context: "ServerRequestContext[Any]", params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult:
        action = Action(name=params.name, arguments=params.arguments or {})
        async with one_at_a_time:  # names are given in the order of the calls
            if params.name == AddImage.name and len(images) >= MAX_SERVED_IMAGES:
                full = f"The server holds {len(images)} images, which is the most. Start it anew."
                return _result(Observation(error=full), images, shown=False)
            observation = await anyio.to_thread.run_sync(served.execute, action, images)
        return _result(observation, images, shown=params.name != AddImage.name)

    named = [f"{name} ({title})" if title else name for name, title in itertools.zip_longest(images, titles, fillvalue="")]
    there = ", ".join(named) or "none yet"
    return Server(
        "taco",
        instructions=f"Tools that look at images. An image is given by its name. Images: {there}; AddImage adds one.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def serve(toolbox: Toolbox, images: ImageStore, titles: Sequence[str] = ()) -> None:
    """Serve over standard input and output until the client leaves."""

    async def run() -> None:
        server = make_server(toolbox, images, titles)
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(run)


def images_in(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by name.

    Raises:
        ValueError: If it is no folder, or has none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder. Give a folder with images.")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_FILES and path.is_file())
    if not files:
        raise ValueError(f"{folder} has no images ({', '.join(IMAGE_FILES)}).")
    return files


def _result(observation: Observation, images: ImageStore, *, shown: bool) -> mcp_types.CallToolResult:
    if observation.error is not None:
        return mcp_types.CallToolResult(content=[mcp_types.TextContent(text=observation.error)], is_error=True)
    content: list[Any] = [mcp_types.TextContent(text=observation.to_json())]
    if shown:
        content += [mcp_types.ImageContent(data=_png(images[name]), mime_type="image/png") for name in observation.images]
    return mcp_types.CallToolResult(content=content, structured_content=observation.content)


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


# ---------------------------------------------------------------------- others' tools for us


class Connection:
    """A running server of somebody else's; it is started here and ends when no tool of it is left, or with this process.

    Args:
        command: The program and its arguments. It gets no environment but PATH, HOME and the like.

    Raises:
        ToolError: If it cannot be started or does not answer.
    """

    def __init__(self, command: Sequence[str]) -> None:
        program, *arguments = command
        self.name = Path(program).name
        stack = contextlib.ExitStack()
        self.close = weakref.finalize(self, stack.close)
        try:
            self._portal: BlockingPortal = stack.enter_context(start_blocking_portal())
            client = mcp.Client(
                mcp.StdioServerParameters(command=program, args=arguments), read_timeout_seconds=START_SECONDS, cache=None
            )
            self._client = stack.enter_context(self._portal.wrap_async_context_manager(client))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's server does
            self.close()
            raise ToolError(f"The MCP server {shlex.join(command)} cannot be used: {_reason(error)}.") from None

    def tools(self) -> list[mcp_types.Tool]:
        found: list[mcp_types.Tool] = []
        cursor = None
        for _ in range(MAX_PAGES):
            page = self._portal.call(self._page, cursor)
            found, cursor = found + page.tools, page.next_cursor
            if len(found) > MAX_TOOLS:
                break
            if cursor is None:
                return found
        raise ToolError(f"The MCP server {self.name} lists over {MAX_TOOLS} tools, or its list does not end.")

    async def _page(self, cursor: str | None) -> mcp_types.ListToolsResult:
        return await self._client.list_tools(cursor=cursor)

    def call(self, name: str, arguments: Mapping[str, Any]) -> mcp_types.CallToolResult:
        """Run one of its tools. Raises ToolError if the server fails or does not answer in time."""
        try:
            return self._portal.call(lambda: self._client.call_tool(name, dict(arguments), CALL_SECONDS))
        except Exception as error:  # noqa: BLE001 - whatever a stranger's server does
            raise ToolError(f"{name} failed on its server: {_reason(error)}.") from None


class RemoteTool(Tool):
    """A tool of another server. Arguments are held against its JSON Schema; one whose schema says that it is an encoded image
    (``contentMediaType: image/...``) takes an image's name, like ours."""

    def __init__(self, connection: Connection, described: mcp_types.Tool) -> None:
        self._connection = connection
        self.name, self.returns = described.name, {}
        self._documented, self._note = (described.description or "").strip()[:MAX_DESCRIPTION], None
        self.memoized, self.isolated, self.deadline = False, False, CALL_SECONDS
        self._backend, self._unavailable = f"mcp: {connection.name}", None
        try:
            self._schema = _checked(described.input_schema)
        except (ValueError, RecursionError) as error:
            raise ToolError(f"The MCP server {connection.name} describes {short(self.name)} wrongly: {error}.") from None
        properties = self._schema.setdefault("properties", {})
        self.image_arguments = [name for name, node in properties.items() if _is_image(node)]
        kept = ("type", "description", "default")
        self._schema["properties"] = {
            name: {key: node[key] for key in kept if key in node} if name in self.image_arguments else node
            for name, node in properties.items()
        }
        self._schema.setdefault("additionalProperties", False)
        # A registry of its own, so that a schema that refers to an address is not fetched.
        self._validator = Draft202012Validator(self._schema, registry=Registry())

    def schema(self, *, note: bool = True) -> dict[str, Any]:
        return {
            "type": "function",
            "function": {"name": self.name, "description": self._documented, "parameters": self._schema},
        }

    def check_arguments(self, action: Action) -> list[Finding]:
        try:
            return [self._remote_finding(error) for error in self._validator.iter_errors(action.arguments)]
        except (Unresolvable, RecursionError) as error:
            message = f"{self.name}: its server's schema cannot be used: {type(error).__name__}."
            return [Finding(code="IAV", where="arguments", message=message, hint="Use another tool.")]

    def call(self, arguments: Mapping[str, Any], images: Any) -> dict[str, Any]:
        values = dict(arguments)
        for name in self.image_arguments:
            if name in values:
                values[name] = _png(images[values[name]])
        result = self._connection.call(self.name, values)
        texts = [part.text for part in result.content if isinstance(part, mcp_types.TextContent)]
        if result.is_error:
            raise ToolError("\n".join(texts) or f"{self.name} failed.")
        return _content(result, texts)

    def _remote_finding(self, error: ValidationError) -> Finding:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        message = f"{self.name}: arguments{place}: {short(error.message, 300)[1:-1]}."
        hint = f"Its arguments are: {', '.join(self._schema['properties']) or 'none'}." if not place else ""
        codes = {"additionalProperties": "IAN", "required": "IAV.missing", "type": "IAT"}
        return Finding(code=codes.get(str(error.validator), "IAV"), where=f"arguments{place}", message=message, hint=hint)


def tools_of(command: Sequence[str] | str) -> list[Tool]:
    """Start another server and take over its tools.

    Args:
        command: The program and its arguments; one string is split as a shell would, and no shell is used.

    Raises:
        ToolError: If the server cannot be started, does not answer, or describes a tool wrongly.
    """
    words = shlex.split(command) if isinstance(command, str) else list(command)
    if not words:
        raise ValueError("The command of an MCP server is empty.")
    connection = Connection(words)
    try:
        return [RemoteTool(connection, described) for described in connection.tools()]
    except BaseException:
        connection.close()
        raise


def _checked(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that can be held against arguments here. Raises ValueError with what is wrong."""
    if len(json.dumps(schema)) > MAX_SCHEMA:
        raise ValueError(f"its schema has over {MAX_SCHEMA:,} characters")
    kept = _without_patterns(schema)
    try:
        Draft202012Validator.check_schema(kept)
    except SchemaError as error:
        raise ValueError(error.message[:200]) from None
    return without_titles(kept)  # type: ignore[no-any-return]


def _without_patterns(node: Any) -> Any:
    """Without regular expressions, which may run for ever, and are the server's to check; refs stay within the schema."""
    if isinstance(node, list):
        return [_without_patterns(item) for item in node]
    if not isinstance(node, dict):
        return node
    if not str(node.get("$ref", "#/$defs/")).startswith(("#/$defs/", "#/definitions/")) or "$dynamicRef" in node:
        raise ValueError(f"it refers to {short(node.get('$ref'))}, outside itself")
    named = ("properties", "$defs", "definitions")  # keys in these are names and no keywords
    return {
        key: {name: _without_patterns(part) for name, part in value.items()}
        if key in named and isinstance(value, dict)
        else _without_patterns(value)
        for key, value in node.items()
        if key not in ("pattern", "patternProperties")
    }


def _is_image(node: Any) -> bool:
    return isinstance(node, dict) and node.get("type") == "string" and str(node.get("contentMediaType", "")).startswith("image/")


def _content(result: mcp_types.CallToolResult, texts: list[str]) -> dict[str, Any]:
    """Structured content where there is some, else the text; images under ``image``, ``image_2`` ..."""
    structured = result.structured_content
    if structured is not None and not _is_finite(structured):
        raise ToolError("The server answered with a number that is none (NaN or infinite).")
    content = dict(structured) if isinstance(structured, dict) else {"result": structured} if structured is not None else {}
    if not content and texts:
        content = {"text": "\n".join(texts)}
    pictures = [part for part in result.content if isinstance(part, mcp_types.ImageContent)]
    if len(pictures) > MAX_ANSWER_IMAGES:
        raise ToolError(f"The server sent {len(pictures)} images; {MAX_ANSWER_IMAGES} are the most.")
    for number, part in enumerate(pictures, start=1):
        content["image" if number == 1 else f"image_{number}"] = _decoded(part.data)
    return content


def _decoded(data: str) -> Image.Image:
    try:
        return open_foreign(data)
    except ImageError as error:
        raise ToolError(f"There is no image file in base64: {error}") from None


def _is_finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _reason(error: BaseException) -> str:
    """The innermost cause in one line: task groups wrap what happened."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
