"""Hostile input to every way in, with an eye on what it does: files opened or changed, connections, processes, memory, time.

$ python benchmarks/red_team.py

Audit hooks (`sys.addaudithook`) watch this process and the worker. What they caught, the largest memory over the baseline and the
slowest refusals are printed; exit code 1 if a case was not refused, or had a side effect, or a planted one was not seen.
"""

import base64
import contextlib
import http.server
import io
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WATCHER = '''
"""Imported by Python as it starts: writes every event of interest to a file of this process."""
import os, sys

_PURE = [sys.prefix, sys.base_prefix, "/usr/lib", "/usr/share", "/lib", "/proc", "/sys"]
_PURE = tuple(os.path.realpath(path) + os.sep for path in _PURE)
_EVENTS = {
    "socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty",
    "os.posix_spawn", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.truncate",
    "os.kill", "shutil.rmtree", "ctypes.dlopen", "pickle.find_class",
}
log = os.open(os.path.join(os.environ["RED_TEAM_LOG"], f"{os.getpid()}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
busy = False

def _own(path):
    return os.path.realpath(path).startswith((*_PURE, os.environ["RED_TEAM_CODE"] + os.sep))

def hook(event, arguments):
    global busy
    if busy:
        return
    busy = True
    try:
        told = None
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path, mode, flags = os.fsdecode(arguments[0]), arguments[1], arguments[2]
            writes = (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            if path != "/dev/null" and (writes or not _own(path)):
                told = f"open {path} {mode}"
        elif event in _EVENTS:
            told = f"{event} {arguments!r}"[:300]
        if told:
            os.write(log, (told.replace("\\n", " ") + "\\n").encode(errors="replace"))
    finally:
        busy = False

sys.addaudithook(hook)
'''
PLANTED = """
import socket

def opens(): open("/etc/hostname").close(); return 1

def connects():
    with socket.socket() as one:
        one.settimeout(0.2)
        try: one.connect(("127.0.0.1", 9))
        except OSError: pass
    return 1
"""
MEMORY_MIB, REFUSAL_MS = 64, 50


@dataclass(frozen=True)
class Case:
    """Something hostile, and what it does; ``run`` gives what was answered, an error where it was refused."""

    group: str
    name: str
    run: Callable[[], Any]
    harmless: bool = False
    """It may be answered: nothing but the answer must come of it."""


def calls(folder: Path) -> Iterator[Case]:
    """Hostile arguments, as a model would write them."""
    from PIL import Image

    from taco.tools import Action, ImageStore, Toolbox, default_toolbox
    from taco.tools.regions import VisualizeRegionsOnImage

    box = Toolbox([*default_toolbox(), VisualizeRegionsOnImage])

    def case(group: str, tool: str, harmless: bool = False, **arguments: Any) -> Case:
        def run() -> Any:
            observation = box.execute(Action(name=tool, arguments=arguments), ImageStore([Image.new("RGB", (32, 24))]))
            return ValueError(observation.error) if observation.error else observation.content

        return Case(group, f"{tool} {json.dumps(arguments)[:60]}", run, harmless)

    secret = folder / "link.png"
    secret.symlink_to("/etc/passwd")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    for text in EXPRESSIONS:
        yield case("expression", "Calculate", expression=text)
    for text in EQUATIONS:
        yield case("equation", "SolveMathEquation", query=text)
    for name in [*NAMES, str(secret), str(folder / "loop.png"), os.path.relpath(secret)]:
        yield case("image name", "Crop", image=name, bbox=[0, 0, 1, 1])
    for bbox in BOXES:
        yield case("box", "ZoomIn", image="image-0", bbox=bbox, zoom_factor=2)
    for factor in FACTORS:
        yield case("zoom factor", "ZoomIn", image="image-0", bbox=[0, 0, 1, 1], zoom_factor=factor)
    for name in TOOL_NAMES:
        yield case("tool name", name, image="image-0")
    for label in ("\0" * 10, "x" * 200, "{0.__class__}", "%s%s%n"):
        regions = [{"bbox": [0, 0, 1, 1], "label": label}]
        yield case("label", "VisualizeRegionsOnImage", harmless=True, image="image-0", regions=regions)
    yield case("label", "VisualizeRegionsOnImage", image="image-0", regions=[{"bbox": [0, 0, 1, 1], "label": "x" * 100_000}])
    yield case("label", "VisualizeRegionsOnImage", image="image-0", regions=[{"bbox": [0, 0, 1, 1]}] * 100_000)


EXPRESSIONS = [
    "__import__('os').system('touch /tmp/taco-red-team')", "open('/etc/passwd').read()",
    "().__class__.__bases__[0].__subclasses__()", "eval('1')", "exec('import os')", "lambda: 0", "[x for x in range(10**9)]",
    "1 if 1 else 2", "x := 3", "f'{1}'", "getattr(1, 'real')", "9**9**9**9", "9^9^9^9", "10^10^10", "2^(2^(2^(2^(2^2))))",
    "(10^300)^(10^300)", "99999!", "(((9!)!)!)", "5!!!!!", "comb(10^9, 5*10^8)", "perm(10^8, 10^7)", "gcd(10^400, 10^399)",
    "1e999999999", "1e-999999999", "9" * 100_000, "0." + "0" * 100_000 + "1", "(" * 10_000 + ")" * 10_000, "-" * 100_000 + "1",
    "1+" * 100_000 + "1", "2^" * 400 + "2", "sqrt(" * 400 + "2" + ")" * 400, "round(1.5, 10^9)", "round(1, -10^9)", "1/0",
    "0^-1", "log(0)", "nan", "inf", "1e308 * 10", "sum(" + "1," * 100_000 + "1)", "1;import os", "1\nimport os", "1 # comment",
    "$(id)", "`id`", "%x", "\0", "\u202e3+4", "print(1)", "globals()", "__builtins__", "a.b.c", "1 .real", "0x" + "f" * 2_000,
    "1_000_000__0", "'a' * 10**9", "[1] * 10**9",
]  # fmt: skip
EQUATIONS = [
    "__import__('os').system('id') = x", "x.__class__ = 1", "Symbol('x') = 1", "eval('1') = x", "lambdify(x) = 1",
    "open('/etc/passwd') = x", "x = exec('1')", "x^100000 = 1", "x^(10^9) = 2", "(x+1)^5000 = 0", "x^x^x^x = 2",
    "2^(2^(2^x)) = 10^100000", "sin(cos(tan(sin(cos(tan(x)))))) = x/3", "(" * 5_000 + "x" + ")" * 5_000 + " = 1",
    " and ".join(f"x{n} = {n}" for n in range(500)), "x" * 100_000, "x = " + "9" * 100_000, "x! = 10^10^10",
    "f(x) = __builtins__", "x = 1; import os", "S('os.system') = 1", "x=" * 1_000, "\0 = x", "{x} = 1", "x[0] = 1", "x.y = 1",
    "'a' = x", "\"a\" = x", "x := 1", "lambda x: x = 1",
]  # fmt: skip
NAMES = [
    "/etc/passwd", "../../../../etc/passwd", "~/.ssh/id_rsa", "file:///etc/passwd", "http://169.254.169.254/latest/meta-data/",
    "https://example.org/a.png", "image-0/../../etc/passwd", "image-0\0.png", "image-00", "image--1", "image-1e9", "image-0x0",
    "IMAGE-0", "ｉｍａｇｅ-0", "image-0\n", " image-0", "\\\\host\\share\\a.png", "data:image/png;base64,AAAA", "ftp://a/b.png",
    "/dev/zero", "/dev/stdin", "/proc/self/environ", "x" * 1_000_000, "", "image-99999999999999999999",
]  # fmt: skip
BOXES: list[Any] = [
    [float("nan")] * 4, [0, 0, float("inf"), 1], [1, 1, 0, 0], [0.5, 0, 0.5, 1], [-1, 0, 1, 1], [0, 0, 1e308, 1], [0] * 100_000,
    "0,0,1,1", [[0, 0], [1, 1]], [True, False, True, True], ["0", "0", "1", "1"], None, {}, [0, 0, 1], [10**400, 0, 1, 1],
]  # fmt: skip
FACTORS: list[Any] = [
    10**9,
    1e300,
    float("inf"),
    float("nan"),
    -1,
    0,
    "16",
    10**400,
    True,
    None,
]
TOOL_NAMES = [
    "eval",
    "os.system",
    "__class__",
    "execute",
    "_tools",
    "Toolbox",
    "globals",
    "import os",
    "",
    "x" * 1_000_000,
    "OCR\0",
    "Calculate()",
]


def png(width: int, height: int, body: bytes, *, extra: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    header = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def files() -> Iterator[Case]:
    """Hostile image files, as a caller or a stranger hands them in; strangers' are decoded in the worker."""
    from PIL import Image

    from taco.tools.images import open_foreign, open_image

    zeros = zlib.compress(bytes(100_000_000), 9)
    text = b"bomb\0\0" + zeros
    chunk = struct.pack("!I", len(text)) + b"zTXt" + text + struct.pack("!I", zlib.crc32(b"zTXt" + text))
    gif = io.BytesIO()
    frames = [Image.new("L", (8, 8), shade) for shade in range(200)]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(whole, "JPEG")
    jpeg = whole.getvalue()
    data = {
        "50,000 x 50,000 in the header": png(50_000, 50_000, zeros),
        "2^31 x 2^31 in the header": png(2**31 - 1, 2**31 - 1, zeros),
        "0 x 0": png(0, 0, b""),
        "compressed text of 100 MB": png(8, 8, zlib.compress(b"x"), extra=chunk),
        "200 frames": gif.getvalue(),
        "half a JPEG": jpeg[: len(jpeg) // 2],
        "no JPEG behind its mark": jpeg[:4] + os.urandom(2_000),
        "an SVG with an entity": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "PDF": b"%PDF-1.4\n1 0 obj << >> endobj",
        "a pickle": b"\x80\x04\x95cposix\nsystem\n(S'id'\ntR.",
        "HTML": b"<html><script>alert(1)</script></html>",
        "nothing": b"",
        "zeros": bytes(1_000_000),
        "TIFF that points to itself": b"II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\xff\xff\xff\xff\x08\0\0\0\x08\0\0\0",
        "BMP of 2^31 rows": b"BM" + struct.pack("<IHHIIiiHH", 100, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24) + bytes(60),
        "PPM of a billion pixels": b"P6\n40000 40000\n255\n" + bytes(100),
        "WEBP without a frame": b"RIFF\x24\0\0\0WEBPVP8 \x18\0\0\0" + bytes(24),
        "ICO": b"\0\0\x01\0\x01\0" + bytes(40),
    }
    for name, content in data.items():
        yield Case("image file", name, lambda content=content: refused(open_image, content))
        yield Case(
            "image file, in the worker", name, lambda content=content: refused(open_foreign, base64.b64encode(content).decode())
        )
    for path in (
        "/dev/zero",
        "/dev/stdin",
        "/etc",
        "/etc/passwd\0.png",
        "http://localhost/a.png",
        "x" * 10_000,
        "data:image/png;base64,AAAA",
    ):
        yield Case("path", path[:40], lambda path=path: refused(open_image, path))


def refused(open_it: Callable[[Any], Any], source: Any) -> Any:
    try:
        return open_it(source)
    except ValueError as error:  # an ImageError
        return error


def addresses(server: int) -> Iterator[Case]:
    """URLs that a person allowed, and that lead elsewhere. One local port stands for the internet."""
    from taco.tools import network
    from taco.tools.images import open_image

    for url in URLS:
        yield Case("address", url[:60], lambda url=url: refused(lambda text: open_image(text, allow_urls=True), url))

    def as_if_public(url: str, answers: list[str] | None = None) -> Any:
        """With the server's address taken for public; `answers` are what the name server says, one after the other."""
        is_public, look_up = network.is_public, socket.getaddrinfo
        try:
            network.is_public = lambda address: address == "127.0.0.1"
            if answers:
                queue = iter(answers)
                network.socket.getaddrinfo = lambda host, *a, **k: (
                    [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(queue), server))]
                    if host == "rebinding.example"
                    else look_up(host, *a, **k)
                )
            return network.fetch(url, max_bytes=1_000, timeout=3)
        except network.NetworkError as error:
            return error
        finally:
            network.is_public, network.socket.getaddrinfo = is_public, look_up

    for target in REDIRECTS:
        url = f"http://127.0.0.1:{server}/?{target}"
        yield Case("redirect", target[:60], lambda url=url: as_if_public(url))
    for second in ("10.0.0.1", "169.254.169.254", "127.0.0.2"):
        url = f"http://rebinding.example:{server}/?http://rebinding.example:{server}/secret"
        yield Case("rebinding", f"then {second}", lambda url=url, second=second: as_if_public(url, ["127.0.0.1", second]))


URLS = [
    "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://0.0.0.0/", "http://0/", "http://2130706433/",
    "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::7f00:1]/", "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.0.1/",
    "http://169.254.169.254/latest/", "http://[fe80::1]/", "http://[fc00::1]/", "http://224.0.0.1/", "http://255.255.255.255/",
    "http://user:word@127.0.0.1/", "http://127.0.0.1:22/", "http://127.0.0.1#@example.org/", "http://a b/", "http://[::1",
    "http:///x", "http://" + "a" * 3_000,
]  # fmt: skip
REDIRECTS = [
    "http://10.0.0.1/", "http://[::1]/", "http://[::ffff:10.0.0.1]/", "file:///etc/passwd", "ftp://10.0.0.1/", "//10.0.0.1/x",
    "http://2130706434/", "gopher://10.0.0.1/",
]  # fmt: skip


def replies() -> Iterator[Case]:
    """What a model may say; parsing it gives findings or actions, and nothing else."""
    from taco.parser import parse_reply

    said = {
        "deep lists": '{"thought": "", "actions": ' + "[" * 100_000,
        "deep objects": '{"a":' * 100_000,
        "a number of a million digits": '{"thought": "", "actions": [{"name": "A", "arguments": {"n": '
        + "9" * 1_000_000
        + "}}]}",
        "a million quotes": "'" * 1_000_000,
        "a million backslashes": '{"thought": "' + "\\" * 1_000_000,
        "braces": "{" * 25_000 + "}" * 25_000,
        "a million braces": "{" * 500_000 + "}" * 500_000,
        "many fences": "```json\n" * 50_000,
        "NaN": '{"thought": "", "actions": [{"name": "Terminate", "arguments": {"answer": NaN}}]}',
        "no UTF-16": '{"thought": "\\ud800", "actions": []}',
        "code": "__import__('os').system('id')",
        "a class": '{"__class__": {"__init__": {}}}',
        "actions as text": '{"thought": "x", "actions": "import os"}',
    }
    for name, text in said.items():
        yield Case("reply", name, lambda text=text: parse_reply(text), harmless=True)


def folders(folder: Path) -> Iterator[Case]:
    """Lines of a data set whose strings reach for other files."""
    from taco.trace import TraceError, read_tasks, read_traces

    def made(name: str, line: dict[str, Any]) -> Path:
        place = Path(tempfile.mkdtemp(dir=folder))
        (place / name).write_text(json.dumps(line) + "\n")
        return place / name

    def read(reader: Callable[[Path], Any], file: Path) -> Any:
        try:
            return list(reader(file))
        except (TraceError, ValueError) as error:
            return error

    for path in (
        "/etc/passwd",
        "../secret.png",
        "a/../../b.png",
        "C:\\a.png",
        "http://10.0.0.1/a.png",
        "file:///etc/passwd",
        "~/a.png/../../x",
        "\0",
        "",
    ):
        task = {"id": "1", "question": "?", "images": [path]}
        tasks = made("tasks.jsonl", task)
        yield Case("task's image", path, lambda tasks=tasks: read(read_tasks, tasks))
        trace = {
            "schema": "taco-trace-1", "task": {"id": "1", "question": "?"}, "tools": [], "steps": [], "answer": None,
            "stop_reason": "failed", "images": {"image-0": {"file": path, "sha256": "0" * 64}},
        }  # fmt: skip
        traces = made("traces.jsonl", trace).parent
        yield Case("trace's image", path, lambda traces=traces: read(read_traces, traces))


class Redirects(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.path.partition("?")[2])
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


def servers() -> Iterator[Case]:
    """What somebody else's MCP server describes and answers, and what a client of ours brings."""
    from types import SimpleNamespace

    import mcp_types

    from taco.tools import Action, ImageStore, Toolbox, ToolError
    from taco.tools.mcp import AddImage, RemoteTool

    def case(name: str, schema: dict[str, Any], *content: Any, harmless: bool = False, **result: Any) -> Case:
        def run() -> Any:
            answer = mcp_types.CallToolResult(content=list(content), **result)
            connection: Any = SimpleNamespace(name="hostile", call=lambda name, arguments: answer)
            try:
                box = Toolbox([RemoteTool(connection, mcp_types.Tool(name="read", input_schema=schema))])
            except ToolError as error:
                return error
            observation = box.execute(Action(name="read", arguments={"a": "a" * 40 + "!"}), ImageStore())
            return ValueError(observation.error) if observation.error else observation.content

        return Case("MCP server", name, run, harmless)

    def schema(node: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {"a": node}, **more}

    plain, text = schema({"type": "string"}), mcp_types.TextContent
    yield case("a schema at an address", schema({"$ref": "http://10.0.0.1/schema.json"}))
    yield case("a schema in a file", schema({"$ref": "file:///etc/passwd"}))
    yield case("a schema in circles", schema({"$ref": "#/$defs/b"}, **{"$defs": {"b": {"$ref": "#/$defs/b"}}}))
    yield case("a schema of a megabyte", schema({"enum": ["x" * 1_000_000]}))
    yield case("no schema", {"type": 3})
    yield case("an endless pattern", schema({"type": "string", "pattern": "^(a+)+$"}), text(text="ok"), harmless=True)
    yield case("a text of 10 MB", plain, text(text="x" * 10_000_000))
    yield case("an error of 10 MB", plain, text(text="x" * 10_000_000), is_error=True)
    yield case("a picture that is none", plain, mcp_types.ImageContent(data="AAAA", mime_type="image/png"))
    bomb = base64.b64encode(png(50_000, 50_000, b"")).decode()
    yield case("a bomb", plain, mcp_types.ImageContent(data=bomb, mime_type="image/png"))
    yield case("a hundred pictures", plain, *[mcp_types.ImageContent(data=bomb, mime_type="image/png")] * 100)
    yield case("NaN", plain, structured_content={"a": float("nan")})
    for data in ("/etc/passwd", "%%%", "", bomb, "http://10.0.0.1/a.png"):
        action = Action(name="AddImage", arguments={"data": data})

        def run(action: Action = action) -> Any:
            observation = Toolbox([AddImage]).execute(action, ImageStore())
            return ValueError(observation.error) if observation.error else observation.content

        yield Case("MCP client", data[:40], run)


def watch(on: bool) -> None:
    """Let the hook of this process look, or look away."""
    sys.modules["sitecustomize"].busy = not on  # type: ignore[attr-defined]


def caught(folder: Path, server: int = 0) -> list[str]:
    """What the hooks saw since last time, but for connections to the local server that stands for the internet."""
    lines: list[str] = []
    for path in sorted(folder.glob("*.log")):
        lines += [f"{path.stem}: {line}" for line in path.read_text().splitlines()]
        os.truncate(path, 0)
    allowed = (f"('127.0.0.1', {server})", "socket.getaddrinfo", ".jsonl r") if server else ()
    return [line for line in lines if not any(part in line for part in allowed)]


def memory(pid: int) -> int:
    """The largest resident memory that a process ever had, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def planted(logs: Path) -> list[str]:
    """Side effects on purpose, in both processes; gives those that were not seen."""
    import planted_here  # type: ignore[import-not-found]

    from taco.tools.isolation import run_isolated

    missed = []
    for name, mark in (("opens", "open /etc/hostname"), ("connects", "socket.connect")):
        function = getattr(planted_here, name)
        for where, run in (("this process", function), ("the worker", lambda function=function: run_isolated(function, {}, 5.0))):
            caught(logs)
            watch(True)
            run()
            watch(False)
            if not any(mark in line for line in caught(logs)):
                missed.append(f"{name} in {where}")
    return missed


class Bug(Exception):
    """Anything that a case raises: it should give a refusal."""


def timed(case: Case) -> tuple[Any, float]:
    """What a case gives, and in how many milliseconds."""
    watch(True)
    began = time.perf_counter()
    try:
        answer = case.run()
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        answer = Bug(f"{type(error).__name__}: {str(error)[:100]}")
    taken = 1000 * (time.perf_counter() - began)
    watch(False)
    return answer, taken


def attack(cases: list[Case], logs: Path, server: int) -> tuple[list[str], dict[str, list[tuple[float, str]]]]:
    """Run all; gives what went wrong, and the milliseconds of each case by group."""
    wrong: list[str] = []
    times: dict[str, list[tuple[float, str]]] = {}
    for case in cases:
        caught(logs)
        answer, taken = timed(case)
        for _ in range(2):  # a machine that is busy with something else is no fault
            taken = taken if taken <= REFUSAL_MS else min(taken, timed(case)[1])
        if isinstance(answer, Bug):
            wrong.append(f"{case.group}: {case.name}: raised {answer}")
        times.setdefault(case.group, []).append((taken, case.name))
        wrong += [f"{case.group}: {case.name}: {line}" for line in caught(logs, server)]
        if taken > REFUSAL_MS:
            wrong.append(f"{case.group}: {case.name}: took {taken:.0f} ms")
        if not (case.harmless or isinstance(answer, Exception)):
            wrong.append(f"{case.group}: {case.name}: not refused: {str(answer)[:100]}")
    return wrong, times


def main() -> None:
    folder = Path(os.environ["RED_TEAM_LOG"]).parent
    logs = Path(os.environ["RED_TEAM_LOG"])
    watch(False)
    from taco.tools.images import open_foreign
    from taco.tools.isolation import _workers

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Redirects)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    server = running.server_port
    cases = [*calls(folder), *files(), *addresses(server), *replies(), *folders(folder), *servers()]
    with contextlib.suppress(ValueError):
        open_foreign("AAAA")  # the worker is there, and has Pillow
    from taco.tools import Action, default_toolbox

    box = default_toolbox()
    for name, arguments in (("SolveMathEquation", {"query": "x^2 = 4"}), ("Calculate", {"expression": "1+1"})):
        assert box.execute(Action(name=name, arguments=arguments)).error is None
    missed = planted(logs)
    [worker] = _workers.values()
    pids = {"this process": os.getpid(), "the worker": worker._process.pid if worker._process else 0}
    before = {name: memory(pid) for name, pid in pids.items()}
    wrong, times = attack(cases, logs, server)
    grown = {name: memory(pid) - before[name] for name, pid in pids.items() if Path(f"/proc/{pid}").exists()}
    print(f"{'way in':<28}cases  slowest ms")
    for group, taken in times.items():
        slowest, name = max(taken)
        print(f"{group:<28}{len(taken):5} {slowest:9.1f}{'  OVER: ' + name if slowest > REFUSAL_MS else ''}")
    print(f"\n{len(cases)} cases, {len(wrong)} faults; planted and not seen: {', '.join(missed) or 'none'} (of 4)")
    print("memory over baseline, MiB: " + ", ".join(f"{name} {size}" for name, size in grown.items()) + f" (limit {MEMORY_MIB})")
    print(f"peak of all worker processes: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB")
    print("\n".join(wrong), end="\n" * bool(wrong))
    running.shutdown()
    raise SystemExit(bool(wrong or missed or any(size > MEMORY_MIB for size in grown.values())))


def start() -> None:
    """Run `main` in a fresh interpreter that the watcher sits in from its first line."""
    with tempfile.TemporaryDirectory() as folder:
        code, logs = Path(folder) / "code", Path(folder) / "logs"
        code.mkdir()
        logs.mkdir()
        (code / "sitecustomize.py").write_text(WATCHER)
        (code / "planted_here.py").write_text(PLANTED)
        root = str(Path(__file__).resolve().parents[1])
        environment = os.environ | {
            "PYTHONPATH": str(code),
            "RED_TEAM_LOG": str(logs),
            "RED_TEAM_CODE": root,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        raise SystemExit(subprocess.run([sys.executable, __file__, "--here"], env=environment, check=False).returncode)


if __name__ == "__main__":
    main() if "--here" in sys.argv else start()
