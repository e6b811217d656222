"""What the commands share: errors as one sentence with an exit code, progress bars.

>>> with plain_errors(), progress(len(tasks), "tasks") as advance:
...     advance()
"""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from taco.errors import RunError

BAD_USE, FAILED = 2, 1
"""Exit codes: what was asked cannot be done; it was tried and did not work."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""Endings of files that a sheet can be drawn to."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AGAIN = "what stands in the output folder is kept; the same command goes on from there, or begins anew where there is no folder."


def fail(message: object, code: int = BAD_USE) -> NoReturn:
    """Say what is wrong on standard error and exit."""
    typer.secho(f"error: {message}", fg="red", err=True)
    raise typer.Exit(code)


def check_picture(path: Path) -> None:
    """Refuse a file whose ending does not say how a picture is written, before there is a picture.

    Raises:
        ValueError: It is none of `PICTURES`.
    """
    if path.suffix.lower() not in PICTURES:
        raise ValueError(f"{path}: the ending says how a picture is written; use one of {', '.join(PICTURES)}.")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Errors of ours become one sentence and an exit code; bugs keep their traceback.

    ValueError is bad use. OSError and RunError are failed runs: a full disk, an endpoint that is down.
    """
    try:
        yield
    except typer.Exit:  # a RuntimeError too
        raise
    except KeyboardInterrupt:
        fail(f"interrupted; {_AGAIN}", FAILED)
    except ValueError as error:
        fail(error, BAD_USE)
    except RunError as error:
        fail(error, FAILED)
    except OSError as error:
        fail(_of_system(error), FAILED)


def _of_system(error: OSError) -> str:
    if error.errno in _FULL:
        where = f" at {error.filename}" if error.filename else ""
        return f"The disk is full, or a limit on files was reached{where}. Free space: {_AGAIN}"
    if error.filename and error.strerror:
        return f"{error.filename} cannot be read or written: {error.strerror}. Check the path and its rights."
    return str(error)


@contextmanager
def progress(total: int | None, unit: str) -> Iterator[Callable[..., None]]:
    """A bar on standard error where that is a terminal.

    Yields a function that moves it on by one, or to ``done``.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        item = bar.add_task(unit, total=total)

        def advance(done: int | None = None) -> None:
            if done is None:
                bar.advance(item)
            else:
                bar.update(item, completed=done)

        yield advance
