"""Many puzzles into a file: killed and taken up again, in parallel, on a full disk."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from commands import refused, run, start

from tclue.errors import UserError
from tclue.puzzle import batch as batches
from tclue.puzzle.batch import Batch
from tclue.puzzle.draw import settings
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.puzzle import Puzzle

# Enough that a signal comes before the end, on a busy machine too.
COUNT, SEED = 200, 5000
ARGUMENTS = ("generate", "-n", str(COUNT), "--seed", str(SEED), "--difficulty", "easy")
BATCH = Batch(COUNT, SEED, "easy", settings("easy"))


@pytest.fixture(scope="module")
def full_output() -> bytes:
    """The file that an uninterrupted run writes."""
    return "".join(batches.lines(BATCH)).encode()


def wait_for(lines: int, path: Path) -> None:
    """Return when a file has so many lines."""
    for _ in range(6000):
        if path.exists() and path.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.01)
    raise AssertionError(f"{path} never had {lines} lines")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    return [int(child) for child in listed.split()]


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_killed_run_is_taken_up(jobs: str, tmp_path: Path, full_output: bytes) -> None:
    partial = tmp_path / "out.jsonl.partial"
    process = start(tmp_path, *ARGUMENTS, "-j", jobs, "-o", "out.jsonl")
    wait_for(3, partial)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = partial.read_bytes()
    assert not (tmp_path / "out.jsonl").exists()
    assert full_output.startswith(written)
    assert len(written) < len(full_output)
    # The kill may tear a line; make sure that one is torn.
    partial.write_bytes(written + full_output[len(written) : len(written) + 100])
    assert run(tmp_path, *ARGUMENTS, "-o", "out.jsonl").returncode == 0
    assert (tmp_path / "out.jsonl").read_bytes() == full_output
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    # No worker outlives the parent that was killed.
    assert len(workers) == (2 if jobs == "2" else 0)
    for _ in range(6000):
        if not any(map(is_running, workers)):
            break
        time.sleep(0.01)
    assert not any(map(is_running, workers))


@pytest.mark.server
def test_two_processes_write_the_same_bytes(tmp_path: Path, full_output: bytes) -> None:
    assert run(tmp_path, *ARGUMENTS, "-j", "2", "-o", "out.jsonl").returncode == 0
    assert (tmp_path / "out.jsonl").read_bytes() == full_output


@pytest.mark.server
def test_ctrl_c_stops_and_says_how_to_go_on(tmp_path: Path, full_output: bytes) -> None:
    process = start(tmp_path, *ARGUMENTS, "-j", "2", "-o", "out.jsonl")
    wait_for(3, tmp_path / "out.jsonl.partial")
    process.send_signal(signal.SIGINT)
    _, message = process.communicate()
    assert process.returncode == 130
    assert "puzzles are in out.jsonl.partial, and the same command resumes there" in message
    assert "Traceback" not in message
    assert full_output.startswith((tmp_path / "out.jsonl.partial").read_bytes())


def write(path: Path, **changes: object) -> list[int]:
    """Write three puzzles; returns what `advance` was told."""
    progress: list[int] = []
    given = {"count": 3, "seed": SEED, "difficulty": "easy", "settings": settings("easy")}
    batches.write(Batch(**{**given, **changes}), path, "house", progress.append)  # type: ignore[arg-type]
    return progress


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"LINE1", id="a torn line of ours"),
        pytest.param(b"LINE1\nLINE2\nLINE3\n", id="all of ours"),
    ],
)
def test_what_is_left_of_the_same_command_is_taken_up(
    foreign: bytes, tmp_path: Path, full_output: bytes
) -> None:
    first = full_output.split(b"\n")[:3]
    torn = foreign.replace(b"LINE1", first[0] if b"\n" in foreign else first[0][:500])
    leftover = torn.replace(b"LINE2", first[1]).replace(b"LINE3", first[2])
    (tmp_path / "out.partial").write_bytes(leftover)
    progress = write(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"".join(line + b"\n" for line in first)
    assert progress == list(range(leftover.count(b"\n"), 4))


@pytest.mark.parametrize(
    "foreign",
    [
        pytest.param(b"LINE2\n", id="a line of another seed"),
        pytest.param(b"LINE1\nLINE1\n", id="a line twice"),
        pytest.param(b"LINE1\nLINE2\nLINE3\nLINE4\n", id="more than is asked for"),
        pytest.param(b"LINE1\nLINE2\nLINE3\n{", id="one more begun"),
        pytest.param(b"a diary\n", id="a text"),
        pytest.param(b"a diary, not ended", id="a text with no line end"),
        pytest.param(b"LINE1\na diary, not ended", id="a text below a line"),
        pytest.param(b"\xff\xfe\x00\n\x80", id="no text"),
        pytest.param(b"\n", id="a blank line"),
    ],
)
def test_what_is_left_of_another_command_is_refused(
    foreign: bytes, tmp_path: Path, full_output: bytes
) -> None:
    for number, line in enumerate(full_output.split(b"\n")[:4], 1):
        foreign = foreign.replace(b"LINE%d" % number, line)
    partial = tmp_path / "out.partial"
    partial.write_bytes(foreign)
    with pytest.raises(UserError, match=r"out\.partial was begun by another command"):
        write(tmp_path / "out")
    assert partial.read_bytes() == foreign, "it is not touched"
    assert not (tmp_path / "out").exists()


def test_another_difficulty_or_setting_is_another_command(
    tmp_path: Path, full_output: bytes
) -> None:
    (tmp_path / "out.partial").write_bytes(full_output.split(b"\n")[0] + b"\n")
    with pytest.raises(UserError, match="begun by another command"):
        write(tmp_path / "out", difficulty="medium", settings=settings("medium"))
    with pytest.raises(UserError, match="begun by another command"):
        write(tmp_path / "out", settings=settings("easy", max_questions=2))


def test_a_finished_file_is_not_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "out")
    before = (tmp_path / "out").read_bytes()
    with pytest.raises(UserError, match="exists: remove it, or name another file"):
        write(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == before


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("shape", ["house", "published"])
def test_a_full_disk_is_one_line_and_nothing_is_lost(
    shape: str, tmp_path: Path, full_output: bytes
) -> None:
    arguments = (*ARGUMENTS, "--format", shape, "-o", "out")
    if shape == "published":
        # The list is written last: all lines are there, and then the disk is full.
        (tmp_path / "out.partial").write_bytes(full_output)
    message = refused(run(tmp_path, *arguments, max_file_bytes=len(full_output) // 2))
    assert "out: cannot be written: File too large" in message
    assert "and the same command resumes there" in message
    assert full_output.startswith((tmp_path / "out.partial").read_bytes())
    assert not (tmp_path / "out").exists()
    assert run(tmp_path, *arguments).returncode == 0
    if shape == "house":
        assert (tmp_path / "out").read_bytes() == full_output
    else:
        assert len(json.loads((tmp_path / "out").read_text(encoding="utf-8"))) == COUNT
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written: No such file or directory"):
        write(tmp_path / "nowhere" / "out")


def test_a_partial_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    with pytest.raises(UserError, match="cannot be written: Is a directory"):
        write(tmp_path / "out")


def test_the_published_format_reads_back(tmp_path: Path, full_output: bytes) -> None:
    made = [Puzzle.from_dict(json.loads(line)) for line in full_output.decode().splitlines()[:5]]
    batch = Batch(5, SEED, "easy", settings("easy"))
    batches.write(batch, tmp_path / "out.json", "published", lambda done: None)
    records = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [set(record) for record in records] == [{"num_clues", "prompt", "solution"}] * 5
    read = read_puzzles(tmp_path / "out.json")
    assert [(p.prompt, dict(p.solution)) for p in read] == [
        (p.prompt, dict(p.solution)) for p in made
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_reproving_changes_no_byte(full_output: bytes) -> None:
    proved = Batch(3, SEED, "easy", settings("easy"), reprove=True)
    assert full_output.startswith("".join(batches.lines(proved)).encode())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "-n is 0: expected 1 or more puzzles"),
        ({"count": -2}, "-n is -2"),
        ({"seed": -1}, "--seed is -1: expected 0 to 92"),
        ({"jobs": 0}, "-j is 0: expected 1 or more processes"),
    ],
)
def test_bad_numbers_are_refused(changes: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        write(tmp_path / "out", **changes)
    assert list(tmp_path.iterdir()) == []
