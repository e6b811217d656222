"""Folders that a long run fills: whose they are, and their lines.

>>> claim(Path("out"), {"seed": 1, "n": 1000})        # the next run with other settings is refused, with the difference
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from taco.tools.tool import short
from taco.trace import write_new

CONFIG_FILE = "config.json"


def claim(out: Path, settings: dict[str, Any]) -> None:
    """Make a folder this run's own, or find that it is.

    Args:
        out: The folder; it is made.
        settings: All that its bytes depend on, JSON values.

    Raises:
        ValueError: If it was begun with other settings (the difference is named) and something was done, or holds something else.
    """
    file, content = out / CONFIG_FILE, json.dumps(settings, indent=1).encode() + b"\n"
    if not file.exists():
        if out.exists() and (not out.is_dir() or any(item.suffix != ".part" for item in out.iterdir())):
            raise ValueError(f"{out} holds something else (it has no {CONFIG_FILE}). Choose a new folder.")
        write_new(file, content)
        return
    there = _object(file.read_bytes(), file)
    changed = [key for key in {**there, **settings} if there.get(key) != settings.get(key)]
    idle = there.keys() & settings.keys() and [item.name for item in out.iterdir()] == [CONFIG_FILE]  # ours, and nothing was done
    if changed and idle:
        write_new(file, content)
    elif changed:
        differences = "; ".join(f"{key} is {there.get(key)!r} there and {settings.get(key)!r} here" for key in changed)
        raise ValueError(f"{out} was begun with other settings: {differences}. Use the same ones to go on, or a new folder.")


def whole_lines(file: Path) -> Iterator[bytes]:
    """The lines of a file that were written to their end; none where there is no file."""
    if file.exists():
        with file.open("rb") as lines:
            yield from (line for line in lines if line.endswith(b"\n"))


def records(file: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file's whole lines. Raises ValueError where a line is none."""
    return (_object(line, file) for line in whole_lines(file))


def _object(text: bytes, file: Path) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    found = short(text.decode(errors="replace").strip())
    raise ValueError(f"{file} should hold what this command wrote there, a JSON object; it holds {found}. Choose a new folder.")
