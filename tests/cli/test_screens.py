"""What a person sees of the commands: a first screen, hints, narrow and poor terminals, pipes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from board_runs import Answer, write_run
from commands import call, environment, run

from tclue.puzzle.generate import generate
from tclue.puzzle.puzzle import Puzzle, house_line

# Most of them start processes.
pytestmark = pytest.mark.server

RECORDS = r"records: results/random--easy-val--\w{8}, results/solver--easy-val--\w{8}$"


def on_terminal(folder: Path, columns: int, *arguments: str, **variables: str) -> list[str]:
    """The lines that a terminal of that width gets, without colours; blanks at their ends cut."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    own = {k: v for k, v in environment().items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tclue", *arguments],
        cwd=folder,
        env={**own, "TERM": "xterm", **variables},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert process.wait() == 0, shown
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    return [line.rpartition("\r")[2].rstrip() for line in text.replace("\r\n", "\n").split("\n")]


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Puzzle]:
    """A folder with a file of one puzzle of eight times."""
    puzzle = generate(3, times=8, suspects=6, rooms=6, weapons=6)
    folder = tmp_path_factory.mktemp("late")
    (folder / "late.jsonl").write_text(house_line(puzzle), encoding="utf-8")
    return folder, puzzle


def test_the_first_screen_names_three_commands_that_work(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    commands = [line.split() for line in done.stdout.splitlines() if line.startswith("  tclue ")]
    assert len(commands) == 3
    assert max(map(len, done.stdout.splitlines())) <= 64
    for _, *arguments in commands:
        assert call(tmp_path, *arguments).returncode == 0
    assert call(tmp_path, "--help").stdout.startswith("Usage: tclue")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_history_keeps_its_names_in_a_terminal(late: tuple[Path, Puzzle], columns: int) -> None:
    folder, puzzle = late
    shown = on_terminal(folder, columns, "solve", "late.jsonl", "--history")
    assert max(map(len, shown)) <= columns
    for name in (*puzzle.world.suspects, *puzzle.world.weapons, "Mr. Boddy"):
        assert sum(line.startswith(name) for line in shown) == 1
    if columns == 200:
        assert all(time in "\n".join(shown) for time in puzzle.world.times)


@pytest.mark.parametrize("columns", [None, "60", "1"])
def test_a_history_keeps_its_names_in_a_pipe(
    late: tuple[Path, Puzzle], monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    folder, puzzle = late
    shown = call(folder, "solve", "late.jsonl", "--history").stdout
    names = (*puzzle.world.suspects, *puzzle.world.weapons, "Mr. Boddy")
    if columns == "1":  # one letter a line, and all of them
        shown = "".join(shown.split())
        names = tuple(name.replace(" ", "") for name in names)
    assert all(name in shown for name in names)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_benchmark_on_a_narrow_terminal(tmp_path: Path, term: str) -> None:
    arguments = ("bench", "--models", "random,solver", "--puzzles", "easy-val", "--limit", "3")
    shown = on_terminal(tmp_path, 60, *arguments, TERM=term)
    assert {"random", "solver"} <= {line.split(" ")[0] for line in shown}
    last = [line for line in shown if line][-4:]
    assert any(re.match(RECORDS, line) for line in last)
    assert any(line.startswith("next: tclue compare random--") for line in last)
    assert "$0.0000" not in "".join(shown)


@pytest.mark.slow
def test_results_stay_whole_on_a_narrow_terminal(tmp_path: Path) -> None:
    name = "a rather long name (effort xhigh, 4 samples)"
    write_run(tmp_path / "results", name, [Answer(0.5, 1e-9)] * 3)
    for command in (("results",), ("leaderboard",)):
        shown = on_terminal(tmp_path, 60, *command)
        assert max(len(line) for line in shown if not line.startswith("next: ")) <= 60
        assert name in "\n".join(shown)
        assert "0.500 [0.036, 0.964]" in "\n".join(shown)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding_gets_plain_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    write_run(tmp_path / "results", "mod─le – 名", [Answer(0.5)] * 3)
    write_run(tmp_path / "results", "other", [Answer(0.5)] * 3)
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    monkeypatch.setenv("PYTHONUTF8", "0")
    for arguments in (
        ("show", "easy-val"),
        ("results",),
        ("leaderboard",),
        ("compare", "mod", "other"),
        ("solve", "easy-val", "--history"),
        ("bench", "--help"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "tclue", *arguments],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode(encoding)
        if arguments[0] == "show":
            assert "\n----------" in text
        if arguments[0] in ("results", "leaderboard", "compare"):
            assert "mod-le - ?" in text
    listed = subprocess.run(
        [sys.executable, "-m", "tclue", "results", "--json"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert json.loads(listed.stdout.decode(encoding))[0]["summary"]["variant"] == "mod─le – 名"


def test_hints_stay_out_of_standard_output_and_of_json(tmp_path: Path) -> None:
    arguments = ("bench", "--models", "random", "--puzzles", "easy-val", "--limit", "1")
    for command in (
        (*arguments, "--results", "a b"),
        ("generate", "-n", "1", "--difficulty", "easy", "-o", "a b.jsonl"),
        ("show", "a b.jsonl"),
        ("solve", "a b.jsonl"),
        ("check", "a b.jsonl"),
        ("puzzles", "list"),
        ("models",),
        ("results", "--results", "a b"),
        ("leaderboard", "--results", "a b"),
        ("train", "--presets"),
        ("train", "--preset", "tiny", "--dry-run"),
    ):
        done = call(tmp_path, *command)
        assert "next: " not in done.stdout
        (hint,) = [line for line in done.stderr.splitlines() if line.startswith("next: ")]
        if command[0] in ("bench", "show"):
            assert "'a b" in hint
        if command[0] != "generate":
            assert "next: " not in call(tmp_path, *command, "--json").stderr


def test_one_puzzle_is_no_plural(tmp_path: Path) -> None:
    write_run(tmp_path / "results", "one", [Answer(0.5)])
    write_run(tmp_path / "results", "two", [Answer(0.5)])
    shown = call(tmp_path, "leaderboard").stdout + call(tmp_path, "compare", "one", "two").stdout
    assert "test: 1 puzzle, grader sound" in shown
    assert "1 puzzle of test" in shown
    assert not re.search(r"\b1 \w+s\b", shown)


def completions(folder: Path, words: str) -> set[str]:
    """What bash is offered for the last of these words."""
    count = len(words.split(" ")) - 1
    asked = {"_TCLUE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    done = subprocess.run(
        [sys.executable, "-m", "tclue"],
        cwd=folder,
        env={**environment(), **asked},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.partition(",")[2] for line in done.stdout.splitlines() if line[:5] == "plain"}


def test_completion(tmp_path: Path) -> None:
    names = {write_run(tmp_path / place, "model").name for place in ("results", "elsewhere")}
    other = write_run(tmp_path / "elsewhere", "other").name
    assert completions(tmp_path, "tclue resu") == {"results"}
    assert completions(tmp_path, "tclue bench --puzzles eas") == {
        "easy-val", "easy-test", "easy-train",
    }  # fmt: skip
    assert completions(tmp_path, "tclue show publ") == {"published-val", "published-test"}
    assert completions(tmp_path, "tclue bench --models so") == {"solver"}
    assert "random,claude-3.7" in completions(tmp_path, "tclue bench --models random,claude")
    assert completions(tmp_path, "tclue compare mod") == names
    assert completions(tmp_path, "tclue compare --results elsewhere o") == {other}
    assert completions(tmp_path, "tclue results --remove m") == names


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("command", ["", "results", "show easy-val", "puzzles list"])
def test_a_closed_stream_is_no_fault(tmp_path: Path, command: str, closed: str) -> None:
    write_run(tmp_path / "results", "mod")
    line = f"{shlex.quote(sys.executable)} -m tclue {command} {closed}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


def test_a_pipe_that_is_closed_early_is_no_fault(tmp_path: Path) -> None:
    line = f"{shlex.quote(sys.executable)} -m tclue show test | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.count(b"Traceback")) == (0, 0)


def test_no_name_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    write_run(tmp_path / "results", "mo\x1b[31md [/b]")
    for command in (("results",), ("leaderboard",), ("compare", "\x1b]0;x\x07", "no\nne")):
        done = call(tmp_path, *command)
        assert "\x1b" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
