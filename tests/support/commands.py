"""The command `tclue`: as a real process, or called here where only what it says matters."""

from __future__ import annotations

import io
import os
import re
import resource
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from places import ROOT


def environment() -> dict[str, str]:
    """This process's environment, in which the package is found from any folder."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """`tclue` with these arguments, running in a folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "tclue", *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has them ignore Ctrl-C, which is handed on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(
    folder: Path, *arguments: str, stdin: str = "", max_file_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """`tclue` with these arguments, run in a folder to its end.

    With `max_file_bytes`, no file can grow past that size, as on a disk that is full.
    """

    def limit() -> None:
        if max_file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))

    return subprocess.run(
        [sys.executable, "-m", "tclue", *arguments],
        cwd=folder,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )


def call(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """`run` within this process: ten times as fast, and the same but for start-up and limits."""
    from tclue.cli import main

    out, err = io.StringIO(), io.StringIO()
    working_folder = Path.cwd()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["tclue", *arguments])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        os.chdir(folder)
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            os.chdir(working_folder)
    assert isinstance(code, int)
    return subprocess.CompletedProcess(sys.argv, code, out.getvalue(), err.getvalue())


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command printed: exit code 2, no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    # Work that was begun may have told of its progress.
    progress = re.compile(r"\d+ of \d+ puzzles(, \d+ s left)?")
    lines = [line for line in done.stderr.splitlines() if not progress.fullmatch(line)]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("tclue: ")
