"""Older formats of run folders: readable, on the board, and never asked for again.

tests/data/run_formats holds a small run of each, as the program of its day wrote it: `random`, and
gpt-4.1-mini, answered by the tests' server.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bench_support import bench
from board_runs import ranked_sets
from places import ROOT

from tclue.bench.records import FORMAT, read_config, read_run, run_folders
from tclue.bench.runs.regrade import regrade_run
from tclue.errors import UserError
from tclue.puzzle.splits import DATA, load_set

RUNS = ROOT / "tests/data/run_formats"
FORMATS = {"format-1-first": 1, "format-1": 1, "format-2": 2, "format-3": 3}
PUZZLES = load_set("easy-val").puzzles[:3]
OPTIONS: dict[str, Any] = {"limit": 3, "samples": 2}


def copied(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUNS / name, tmp_path / "results"))


def test_there_is_a_run_of_every_format() -> None:
    found = {read_config(folder).format for name in FORMATS for folder in run_folders(RUNS / name)}
    assert found == set(range(1, FORMAT + 1))


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_of_any_format_is_read_whole(name: str) -> None:
    for folder in run_folders(RUNS / name):
        run = read_run(folder)
        assert run.config.format == FORMATS[name]
        assert len(run.responses) == 6
        key = run.config.response_key()
        prompts = {puzzle.id: puzzle.prompt for puzzle in PUZZLES}
        for response in run.responses:
            assert response.key == key(prompts[response.puzzle], response.sample)
            assert response.grade
            assert response.grade.main_accuracy is not None
            assert response.grader_version == 1


def test_all_formats_have_the_same_accuracy_on_the_board() -> None:
    accuracies = set()
    for name in FORMATS:
        (table,) = ranked_sets(RUNS / name)
        # `limit` makes them partial runs
        accuracies.add(next(r.accuracy for r in table.partial if r.config.model == "random"))
    assert len(accuracies) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_that_an_older_version_asked_for_is_asked_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request would fail here, and be recorded: nothing answers at this address."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none-0123456789")
    monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:9")
    results = copied(name, tmp_path)
    before = {
        json.loads(line)["text"]
        for folder in run_folders(results)
        for line in (folder / "responses.jsonl").read_text().splitlines()
    }
    models = sorted({read_config(folder).model for folder in run_folders(results)})
    for model in models:
        summary = bench(model, Path("easy-val"), results, **OPTIONS)
        assert (summary.responses, summary.outcomes["failed"]) == (6, 0)
        assert summary.unpriced == 0
    folders = run_folders(results)
    assert len(folders) == len(models)
    after = [read_run(folder) for folder in folders]
    assert {response.text for run in after for response in run.responses} == before
    assert [run.config.format for run in after] == [FORMAT] * len(after)
    assert [len(run.responses) for run in after] == [6] * len(after)


def test_an_early_run_of_a_file_that_is_not_at_hand(tmp_path: Path) -> None:
    """The right letters of an early record follow from its puzzle, so that is needed once."""
    results = copied("format-1-first", tmp_path)
    (folder,) = run_folders(results)
    folder = folder.rename(results / folder.name.replace("easy-val", "mine"))
    config = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(config | {"puzzle_set": "mine"}))
    with pytest.raises(UserError, match=r"`tclue regrade RUN --puzzles FILE`"):
        read_run(folder)
    with pytest.raises(UserError, match="not the puzzles of"):
        regrade_run(folder, str(DATA / "easy-test.jsonl"))
    done = regrade_run(folder, str(DATA / "easy-val.jsonl"))
    assert (done.responses, done.before) == (6, None)
    (renamed,) = run_folders(results)
    assert renamed.name == done.run
    assert read_run(renamed).config.format == FORMAT
