"""Run folders that no run leaves behind: what they hold is refused, and nothing is changed."""

import os
from pathlib import Path

import pytest
from bench_support import bench, write_puzzles

from tclue.bench.records import LONGEST_LINE, run_folders
from tclue.bench.results import list_runs
from tclue.bench.runs.regrade import regrade_run
from tclue.bench.stats.run_numbers import read_numbers
from tclue.board.rows import read_sets
from tclue.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    puzzles, _ = write_puzzles(tmp_path, 3)
    bench("random", puzzles, tmp_path / "r")
    return run_folders(tmp_path / "r")[0]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_responses_that_are_no_file(folder: Path, kind: str) -> None:
    """A pipe or a device would never end."""
    file = folder / "responses.jsonl"
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    with pytest.raises(UserError, match=r"responses\.jsonl: expected a file$"):
        read_numbers(folder)


def test_a_line_without_an_end(folder: Path) -> None:
    with (folder / "responses.jsonl").open("ab") as file:
        file.truncate(file.tell() + LONGEST_LINE + 1)
    with pytest.raises(UserError, match="line 4: longer than 128 MiB; correct the line"):
        read_numbers(folder)


def test_the_working_directory_is_regraded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert regrade_run(Path(), str(folder.parents[1] / "easy3.jsonl")).responses == 3
    assert not (folder / folder.name).exists()


@pytest.mark.parametrize("what", ["another run", "a device"])
def test_a_rescued_file_of_another_run_is_refused(folder: Path, what: str) -> None:
    puzzles = folder.parents[1] / "easy3.jsonl"
    before = (folder / "responses.jsonl").read_bytes()
    rescued = folder / f"rescued-{folder.name[-8:]}-x.jsonl"
    if what == "a device":
        rescued.symlink_to("/dev/zero")
    else:
        bench("solver", puzzles, folder.parent)
        solver = next(each for each in run_folders(folder.parent) if each != folder)
        rescued.write_bytes((solver / "responses.jsonl").read_bytes())
    with pytest.raises(UserError, match=r"(is of|belongs to) another run"):
        bench("random", puzzles, folder.parent)
    assert (folder / "responses.jsonl").read_bytes() == before


def test_a_run_that_is_left_out_has_a_short_reason(folder: Path) -> None:
    file = folder / "responses.jsonl"
    file.write_text(file.read_text().replace('"sound"', f'"{"x" * 9999}"'))
    _, (left_out,) = read_sets(folder.parent)
    (listed,) = list_runs(folder.parent)
    assert max(len(left_out.reason), len(listed.state)) < 1000
