"""What the README shows is run, and what it prints is compared.

In a ```console block, a line that begins with `$ ` is a command for bash (one that ends with a
backslash goes on below), and the lines up to the next one are what it prints: on standard output,
or on standard error where that is all there is. `...` stands for anything, alone on a line for any
lines; where nothing is shown, anything may be printed. Every command has to end with exit code 0.
All blocks run in one scratch folder, in order. A block below `<!-- not run: REASON -->` is skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import ROOT

BLOCK = re.compile(r"(?:<!-- not run: (.+?) -->\n+)?```console\n(.*?)^```$", re.S | re.M)
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.M)


@dataclass(frozen=True)
class Block:
    line: int
    # why it is not run; None where it is
    skipped: str | None
    # each command with the output that is shown
    commands: tuple[tuple[str, str], ...]


def blocks(markdown: str) -> list[Block]:
    return [
        Block(
            markdown.count("\n", 0, found.start(2)),
            found[1],
            tuple((command[1], command[2]) for command in COMMAND.finditer(found[2])),
        )
        for found in BLOCK.finditer(markdown)
    ]


def matches(shown: str, printed: str) -> bool:
    """Whether what is shown, with its gaps, is what was printed, but for blanks at line ends."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in map(str.rstrip, shown.splitlines())
    )
    lines = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    return not shown.strip() or re.fullmatch(pattern, lines) is not None


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to run in, with the command `tclue` of this checkout beside it."""
    folder = tmp_path_factory.mktemp("readme")
    command = folder / "bin" / "tclue"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -P -m tclue "$@"\n')
    command.chmod(0o755)
    (folder / "work").mkdir()
    return folder


def execute(command: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=scratch / "work",
        env={
            **os.environ,
            "PATH": f"{scratch / 'bin'}:{os.environ['PATH']}",
            "COLUMNS": "100",
            "TERM": "dumb",
            "XDG_CACHE_HOME": str(scratch / "cache"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(
    "block",
    blocks((ROOT / "README.md").read_text(encoding="utf-8")),
    ids=lambda block: f"line{block.line}",
)
def test_readme(block: Block, scratch: Path) -> None:
    if block.skipped:
        pytest.skip(f"README.md:{block.line}: {block.skipped}")
    assert block.commands, f"README.md:{block.line}: no line begins with '$ '"
    for command, shown in block.commands:
        done = execute(command, scratch)
        printed = done.stdout or done.stderr
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        assert matches(shown, printed), f"$ {command}\n{printed}\nbut shown is\n{shown}"


SAMPLE = """\
<!-- not run: needs a key -->
```console
$ tclue bench
```

```console
$ echo one \\
    two
one two
$ ls
```
"""


def test_blocks_are_read() -> None:
    skipped, run = blocks(SAMPLE)
    assert (skipped.line, skipped.skipped) == (2, "needs a key")
    assert run.skipped is None
    assert run.commands == (("echo one \\\n    two", "one two\n"), ("ls", ""))


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("a\nb\n", "a  \nb\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("a\n...\nd\n", "a\nb\n", False),
        ("took ... s\n", "took 1.5 s\n", True),
        ("took ... s\n", "took 1.5 s\nmore\n", False),
        ("1.5\n", "1x5\n", False),
        ("", "anything\n", True),
    ],
)
def test_gaps_and_nothing_else_may_differ(shown: str, printed: str, expected: bool) -> None:
    assert matches(shown, printed) == expected


@pytest.mark.server
def test_a_command_that_fails_is_seen(scratch: Path) -> None:
    assert execute("tclue check nowhere", scratch).returncode == 2
