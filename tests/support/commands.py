"""The command `tclue`, as a real process, or in this process if only its output matters."""

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
    """The environment of this process, with the package importable from any folder."""
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
        # If the tests run in the background, they ignore Ctrl-C, and child processes inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(
    folder: Path, *arguments: str, stdin: str = "", max_file_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """`tclue` with these arguments, run in a folder to its end.

    With `max_file_bytes`, no file can become larger, as on a full disk.
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
    """`run` in this process: ten times as fast, and the same except for start-up and limits."""
    from tclue.cli import main

    out, err = io.StringIO(), io.StringIO()
    working_folder = Path.cwd()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["tclue", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
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
    """The single line that a refused command printed; its exit code is 2."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    # Progress lines may precede it.
    progress = re.compile(r"\d+ of \d+ puzzles(, \d+ s left)?")
    lines = [line for line in done.stderr.splitlines() if not progress.fullmatch(line)]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("tclue: ")
