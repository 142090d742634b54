"""Grading again: `tclue regrade`, versions of a grader, and `tclue leaderboard --check`."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import bench
from board_runs import ranked_sets

from tclue.bench.records import read_run, run_folders
from tclue.bench.runs.regrade import check_grades, regrade_run
from tclue.bench.stats.compare import compare
from tclue.bench.stats.run_numbers import read_numbers
from tclue.board.rows import read_sets
from tclue.errors import UserError
from tclue.puzzle.grading.grade import GRADERS
from tclue.puzzle.puzzle import Puzzle, answer_lines

OPTIONS: dict[str, Any] = {"limit": 3, "samples": 2}
EASY = Path("easy-val")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for model in ("random", "solver"):
        bench(model, EASY, tmp_path / "results", **OPTIONS)
    return tmp_path / "results"


@pytest.fixture
def folder(results: Path) -> Path:
    """The run of `random`."""
    return run_folders(results)[0]


@pytest.fixture
def newer(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the runs, the next version of the grader: every other text gives the first options.

    The stated answers are right in every version, or no puzzle file could be read.
    """

    def first(puzzle: Puzzle, text: str) -> dict[str, str | None]:
        if text == answer_lines(puzzle.solution):
            return {**puzzle.solution}
        return {letter: options[0] for letter, options in puzzle.options.items()}

    monkeypatch.setitem(GRADERS, "sound", replace(GRADERS["sound"], version=3, read=first))


def edit(folder: Path, change: Callable[[dict[str, Any]], None], line: int = 2) -> None:
    path = folder / "responses.jsonl"
    lines = path.read_text().splitlines()
    record = json.loads(lines[line - 1])
    change(record)
    lines[line - 1] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n")


def test_a_run_by_the_same_grader_does_not_change(folder: Path) -> None:
    before = (folder / "responses.jsonl").read_bytes()
    done = regrade_run(folder)
    assert (done.changed, done.responses, done.before) == (0, 6, done.after)
    assert (folder / "responses.jsonl").read_bytes() == before


@pytest.mark.usefixtures("newer")
def test_versions_of_a_grader_do_not_share_a_table(results: Path, folder: Path) -> None:
    assert {table.grader_version for table in ranked_sets(results)} == {2}
    done = regrade_run(folder)
    assert (done.grader_version, done.changed) == (3, 6)
    assert {r.grader_version for r in read_run(folder).responses} == {3}
    tables = ranked_sets(results)
    # the newest first, and under another title and picture
    assert [table.grader_version for table in tables] == [3, 2]
    assert len({table.stem for table in tables}) == len({table.title for table in tables}) == 2
    numbers = [read_numbers(each) for each in run_folders(results)]
    with pytest.raises(
        UserError, match=r"graded by sound \(version 3\) and by sound \(version 2\)"
    ):
        compare(*numbers)


@pytest.mark.usefixtures("newer")
def test_a_resumed_run_is_graded_by_one_version(results: Path, folder: Path) -> None:
    lines = (folder / "responses.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "responses.jsonl").write_bytes(b"".join(lines[:4]))
    bench("random", EASY, results, **OPTIONS)
    run = read_run(folder)
    assert (run.config.grader_version, len(run.responses)) == (3, 6)
    assert {response.grader_version for response in run.responses} == {3}
    assert read_numbers(folder).summary.complete


def test_another_grader(folder: Path) -> None:
    before = read_numbers(folder).summary.accuracy
    done = regrade_run(folder, name="published")
    assert done.before == before
    assert {response.grader for response in read_run(folder).responses} == {"published"}
    assert regrade_run(folder, name="sound").after == before


def raise_accuracy(record: dict[str, Any]) -> None:
    record["grade"]["accuracy"] = 1.0


def claim_all(record: dict[str, Any]) -> None:
    grade = record["grade"]
    grade.update(accuracy=1.0, solved=True, right=list(grade["answers"]), main_accuracy=1.0)


EDITS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "all right": (claim_all, "accuracy is 1.0: the text gives "),
    "text": (lambda record: record.update(text="A. Miss Scarlet"), "outcome|accuracy|answers"),
    "cost": (lambda record: record.update(cost_usd=0.5), "cost_usd is 0.5: usage and prices give"),
    "key": (
        lambda record: record.update(key="0" * 16),
        "the key is 0000000000000000: its settings",
    ),
    "sample": (lambda record: record.update(sample=1 - record["sample"]), "the key is "),
    "size": (lambda record: record.update(num_clues=77), "num_clues is 77: expected "),
    "outcome": (
        lambda record: record.update(outcome="truncated"),
        "outcome is truncated: expected",
    ),
    "puzzle": (lambda record: record.update(puzzle="x-1"), "x-1 is not a puzzle of easy-val"),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_is_named(results: Path, folder: Path, name: str) -> None:
    change, message = EDITS[name]
    assert check_grades(run_folders(results)).differences == ()
    edit(folder, change)
    found = check_grades(run_folders(results))
    assert found.texts == 12
    (difference,) = found.differences
    assert difference.startswith(f"{folder.name}, line 2 of responses.jsonl: ")
    assert any(part in difference for part in message.split("|"))


def test_an_accuracy_that_contradicts_the_letters_is_never_believed(
    results: Path, folder: Path
) -> None:
    before = read_numbers(folder).summary
    edit(folder, raise_accuracy)
    with pytest.raises(
        UserError, match=r"line 2: accuracy is 1\.0: expected 0\.\d+, \d of \d letters"
    ):
        read_numbers(folder)
    # The text decides, and no model is asked.
    assert bench("random", EASY, results, **OPTIONS) == before
    edit(folder, raise_accuracy)
    assert regrade_run(folder).after == before.accuracy


def test_a_part_of_a_set_is_not_taken_for_the_whole(folder: Path) -> None:
    path = folder / "run.json"
    path.write_text(path.read_text().replace('"puzzles": 3', '"puzzles": 256'))
    with pytest.raises(UserError, match=r"run\.json: puzzles is 256: expected 3"):
        read_numbers(folder)


def test_a_copy_that_claims_an_older_format_is_left_out(results: Path, folder: Path) -> None:
    copy = Path(shutil.copytree(folder, results / f"{folder.name[:-8]}01234567"))
    path = copy / "run.json"
    path.write_text(path.read_text().replace('"format": 3', '"format": 1'))
    sets, left_out = read_sets(results)
    assert [run.run for run in left_out] == [copy.name]
    assert "a second copy of random--easy-val--" in left_out[0].reason
    assert len(sets[0].partial) == 2


def test_a_run_with_another_name_is_refused(results: Path, folder: Path) -> None:
    renamed = folder.rename(results / "gpt-9--easy-val--0123abcd")
    with pytest.raises(
        UserError, match=f"describes the run {folder.name}: expected a folder of tha"
    ):
        read_numbers(renamed)


@pytest.mark.usefixtures("newer")
def test_a_run_by_another_version_is_not_taken_for_checked(results: Path) -> None:
    found = check_grades(run_folders(results))
    assert (found.texts, len(found.differences)) == (0, 2)
    assert "graded by version 2 of the grader sound, and this is version 3" in found.differences[0]


@pytest.mark.server
def test_the_commands(results: Path, folder: Path, tmp_path: Path) -> None:
    def tclue(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "tclue", *arguments, "--results", str(results)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    code, out, err = tclue("regrade", folder.name[:-3], "--grader", "published")
    assert (code, "grader published (version 1) changed " in out) == (0, True)
    assert err == f"next: tclue leaderboard --results {results}\n"
    assert tclue("regrade", folder.name, "--grader", "sound")[0] == 0
    assert tclue("leaderboard")[0] == 0
    code, _, err = tclue("leaderboard", "--check")
    assert (code, err) == (0, "12 texts graded again; differences: 0\n")
    edit(folder, claim_all)
    code, _, err = tclue("leaderboard", "--check")
    assert code == 1
    assert f"{folder.name}, line 2 of responses.jsonl: accuracy is 1.0: the text gives" in err
    # A run that cannot be read stops no other one, and is not passed over in silence.
    edit(folder, raise_accuracy, line=1)
    for check in ((), ("--check",), ("--json",)):
        code, _, err = tclue("leaderboard", *check)
        assert code == 2
        assert (
            f"left out of the board: {folder / 'responses.jsonl'}, line 1: accuracy is 1.0" in err
        )
        assert f"; `tclue regrade {folder}` grades the run's texts again" in err
        assert "Traceback" not in err
    assert "solver" in (tmp_path / "leaderboards/README.md").read_text()
