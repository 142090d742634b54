"""The commands in the README and in docs/ are run, and their output is compared.

In a ```console block, a line that begins with `$ ` is a command for bash (a backslash at its end
continues it on the next line). The lines up to the next command are its expected output: standard
output, or standard error if standard output is empty. `...` stands for anything; alone on a line it
stands for any number of lines. If no output is shown, any output is accepted. Every command must
end with exit code 0. The blocks of one page run in order, in a scratch folder of their own. A block
below `<!-- not run: REASON -->` is not run.
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

from tclue.cli.asking import bench

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


PAGES = {
    str(path.relative_to(ROOT)): blocks(path.read_text(encoding="utf-8"))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder to run in, and next to it the command `tclue` of this checkout."""
    command = tmp_path / "bin" / "tclue"
    command.parent.mkdir()
    # As the installed script starts; under `-m` click would not complete for the name `tclue`.
    start = f"#!{sys.executable} -P\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
    command.write_text(f"{start}from tclue.cli import main\n\nmain()\n")
    command.chmod(0o755)
    (tmp_path / "work").mkdir()
    return tmp_path


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
    "page", [page for page, found in PAGES.items() if not all(block.skipped for block in found)]
)
def test_commands(page: str, scratch: Path) -> None:
    for block in PAGES[page]:
        if block.skipped:
            continue
        assert block.commands, f"{page}:{block.line}: no line begins with '$ '"
        for command, shown in block.commands:
            done = execute(command, scratch)
            printed = done.stdout or done.stderr
            where = f"{page}:{block.line}: $ {command}\n"
            assert done.returncode == 0, f"{where}{done.stdout}{done.stderr}"
            assert matches(shown, printed), f"{where}{printed}\nbut shown is\n{shown}"


def test_every_option_of_bench_is_listed() -> None:
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.M))))
    flags = {option.opts[-1] for option in bench.params} - {"--json", "--config"}
    assert {flag.removeprefix("--").replace("-", "_") for flag in flags} <= listed


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
