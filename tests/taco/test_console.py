"""Errors of the commands: one sentence, and the exit code that says whose fault it is."""

import errno
import os

import pytest
import typer

from taco.console import BAD_USE, FAILED, plain_errors
from taco.errors import RunError

AGAIN = "what stands in the output folder is kept; the same command goes on from there, or begins anew where there is no folder."


def said(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(typer.Exit) as ended, plain_errors():
        raise error
    return ended.value.exit_code, capsys.readouterr().err.strip()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("file", [None, "out/traces.jsonl"])
def test_a_full_disk_is_said_to_be_full(code: int, file: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code, text = said(OSError(code, os.strerror(code), *([file] if file else [])), capsys)
    assert exit_code == FAILED
    where = " at out/traces.jsonl" if file else ""
    assert (
        f"The disk is full, or a limit on files was reached{where}. Free space: what stands in the output folder is kept" in text
    )
    assert "Errno" not in text


def test_a_file_that_the_system_refuses_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    reason = os.strerror(errno.EACCES)
    expected = f"error: out/config.json cannot be read or written: {reason}. Check the path and its rights."
    assert said(PermissionError(errno.EACCES, reason, "out/config.json"), capsys) == (FAILED, expected)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            KeyboardInterrupt(),
            FAILED,
            f"interrupted; {AGAIN}",
        ),
        (ValueError("n is at least 1."), BAD_USE, "n is at least 1."),
        (RunError("Ray failed."), FAILED, "Ray failed."),
        (FileNotFoundError("The font Intuitive is not installed."), FAILED, "The font Intuitive is not installed."),
    ],
)
def test_what_went_wrong_is_one_sentence(error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(error, capsys) == (code, f"error: {text}")


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), plain_errors():
        raise KeyError("bug")
