"""`tclue results`, and runs that are named by a beginning of their names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from board_runs import Answer, write_run
from commands import call, refused

from tclue.bench.records import run_folders
from tclue.bench.results import short_name
from tclue.errors import UserError
from tclue.journal import locked


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """Runs of two models, one of them twice."""
    results = tmp_path / "results"
    return {
        "alpha": write_run(results, "alpha"),
        "beta": write_run(results, "beta", [Answer(0.5), Answer(outcome="failed")], puzzles=4),
        "beta2": write_run(results, "beta", [Answer(cost_usd=None)], seed=7),
    }


def test_the_list(tmp_path: Path, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    listed = {run["run"]: run for run in json.loads(call(tmp_path, "results", "--json").stdout)}
    assert set(listed) == {folder.name for folder in runs.values()}
    beta = listed[runs["beta"].name]
    found = beta["summary"]
    assert (found["variant"], found["puzzle_set"], beta["state"]) == ("beta", "test", "incomplete")
    assert (found["puzzles"], found["puzzles_asked"], found["outcomes"]["failed"]) == (1, 4, 1)
    assert found["total_cost_usd"] == 0.01
    assert listed[runs["beta2"].name]["summary"]["total_cost_usd"] is None
    assert listed[runs["alpha"].name]["summary"]["accuracy"]["value"] == 0.75
    shown = call(tmp_path, "results")
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()[1:]}
    assert set(lines) == {run["name"] for run in listed.values()}
    assert " 1/4 " in lines[beta["name"]]
    assert "$0.01  incomplete" in lines[beta["name"]]
    assert "unknown" in lines[listed[runs["beta2"].name]["name"]]
    assert "next: tclue compare" in shown.stderr


def test_the_day_and_what_cannot_be_read(tmp_path: Path, runs: dict[str, Path]) -> None:
    path = runs["alpha"] / "responses.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    days = ["2026-11-02T01:02:03Z", None, "2026-11-03T00:00:00Z"]
    lines = [line | {"at": day} for line, day in zip(lines, days, strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (runs["beta"] / "run.json").write_text("{")
    listed = {run["run"]: run for run in json.loads(call(tmp_path, "results", "--json").stdout)}
    assert listed[runs["alpha"].name]["day"] == "2026-11-03"
    assert listed[runs["beta2"].name]["day"] is None
    assert listed[runs["beta"].name]["state"].startswith("cannot be read: results/beta--")
    assert call(tmp_path, "results").returncode == 0


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    done = call(tmp_path, "results")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("results: no runs yet\nnext: tclue bench")
    assert call(tmp_path, "results", "--json").stdout == "[]\n"
    (tmp_path / "file").touch()
    assert "cannot be read" in refused(call(tmp_path, "results", "--results", "file"))


def test_short_names_are_unique_beginnings() -> None:
    names = ["a--test--12345678", "a--test--12349999", "a--test--1234", "renamed"]
    shown = [short_name(name, names) for name in names]
    assert shown == ["a--test--12345", "a--test--12349", "a--test--1234", "renam"]


def test_a_beginning_is_enough(tmp_path: Path, runs: dict[str, Path]) -> None:
    done = call(tmp_path, "compare", "alp", runs["beta2"].name[:-1], "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["runs"] == [runs["alpha"].name, runs["beta2"].name]


def test_an_ambiguous_beginning_gets_the_candidates(tmp_path: Path, runs: dict[str, Path]) -> None:
    names = [folder.name for folder in runs.values()]
    shown = ", ".join(sorted(short_name(runs[run].name, names) for run in ("beta", "beta2")))
    line = refused(call(tmp_path, "compare", "alpha", "bet"))
    assert line == f"bet: several runs in results with such a name: expected one of {shown}"
    assert "gamma: no run in results" in refused(call(tmp_path, "compare", "alpha", "gamma"))


def test_many_candidates_are_cut_short(tmp_path: Path) -> None:
    for seed in range(12):
        write_run(tmp_path / "results", seed=seed)
    assert refused(call(tmp_path, "results", "--remove", "model")).endswith(" and 4 more")


def test_a_removed_run_is_kept_and_comes_back(tmp_path: Path, runs: dict[str, Path]) -> None:
    folder = runs["alpha"]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    aside = tmp_path / "results" / ".removed" / folder.name
    done = call(tmp_path, "results", "--remove", "alpha")
    assert done.stdout == f"moved to results/.removed/{folder.name}\n"
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    # No command reads it any more.
    assert folder not in run_folders(folder.parent)
    assert "alpha: no run in results" in refused(call(tmp_path, "compare", "alpha", "beta"))
    assert call(tmp_path, "leaderboard").returncode == 0
    assert "alpha" not in (tmp_path / "leaderboards" / "README.md").read_text()
    # Another one of the name gets a number.
    write_run(tmp_path / "results", "alpha", [Answer(0.25)] * 3)
    call(tmp_path, "results", "--remove", "alpha")
    assert (aside.with_name(f"{folder.name}~2") / "run.json").is_file()
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert call(tmp_path, "results", "--restore", folder.name).returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert "already exists" in refused(call(tmp_path, "results", "--restore", "alpha"))


def test_a_run_that_is_being_written_stays(tmp_path: Path, runs: dict[str, Path]) -> None:
    lock = locked(runs["alpha"], "", "")
    line = refused(call(tmp_path, "results", "--remove", "alpha"))
    assert "another process is writing this run" in line
    assert runs["alpha"].is_dir()
    with pytest.raises(UserError):
        locked(runs["alpha"], "busy", "")
    assert lock >= 0


def test_remove_and_restore_together(tmp_path: Path, runs: dict[str, Path]) -> None:
    arguments = ("--remove", "alpha", "--restore", "alpha")
    assert "expected only one of them" in refused(call(tmp_path, "results", *arguments))


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    write_run(tmp_path / "results", "alpha")
    refusal = refused(call(tmp_path, "compare", "alpha", "alp"))
    assert "alpha and alp are the same run: expected two runs" in refusal


def test_a_results_folder_that_is_not_there_leaves_the_board_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "results", "alpha")
    call(tmp_path, "leaderboard")
    before = (tmp_path / "leaderboards" / "README.md").read_text()
    refusal = refused(call(tmp_path, "leaderboard", "--results", "resluts"))
    assert "resluts: no such folder" in refusal
    assert (tmp_path / "leaderboards" / "README.md").read_text() == before


def test_only_runs_of_the_folder_are_moved(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "other", tmp_path / "results"):
        write_run(folder, "alpha")
    name = next(path.name for path in tmp_path.glob("alpha*"))
    call(tmp_path, "results", "--results", "other", "--remove", name)
    assert (tmp_path / name).exists()
    assert (tmp_path / "other" / ".removed" / name).exists()
    assert "no run in" in refused(call(tmp_path, "results", "--remove", f".removed/{name}"))
    assert "no run" in refused(call(tmp_path, "results", "--results", "other", "--remove", ""))
    assert "(empty): no run in" in refused(call(tmp_path, "results", "--remove", ""))
    (tmp_path / "results" / "link--test--1").symlink_to(tmp_path / name)
    assert "is a link" in refused(call(tmp_path, "results", "--remove", "link"))


def test_a_name_with_a_tilde_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "results", "alpha")
    kept = folder.rename(folder.with_name(f"{folder.name}~old"))
    call(tmp_path, "results", "--remove", kept.name)
    call(tmp_path, "results", "--restore", kept.name)
    assert kept.exists()


def test_the_day_is_a_day_or_nothing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "results", "alpha")
    path = folder / "responses.jsonl"
    path.write_text(path.read_text().replace('"at": null', '"at": "[/b]<b>2026"'))
    assert "[/b]" not in call(tmp_path, "results").stdout
