"""The frame for a notebook: one row a response, tidy, and the same numbers as the summaries."""

import json
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from bench_support import bench, write_puzzles
from board_runs import Answer, write_run

import tclue.bench
from tclue.errors import UserError


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of real runs of two models."""
    folder = tmp_path_factory.mktemp("frame")
    puzzles, _ = write_puzzles(folder, 5)
    for model in ("random", "solver"):
        bench(model, puzzles, folder / "results", samples=2)
    return folder / "results"


def test_a_row_a_response(results: Path) -> None:
    frame = tclue.bench.frame(results)
    assert len(frame) == 20
    assert not frame.duplicated(["run", "puzzle", "sample"]).any()
    assert set(frame.outcome) == {"answered"}
    assert set(frame.difficulty) == {"easy"}
    assert frame.num_clues.between(1, 9).all()
    means = frame.groupby("run").accuracy.mean()
    for folder in results.iterdir():
        summary = json.loads((folder / "summary.json").read_text())
        assert means[folder.name] == pytest.approx(summary["accuracy"]["value"])
    assert (frame[frame.variant == "solver"].main_accuracy == 1).all()


def test_unknown_is_missing_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path,
        "m@16k",
        [Answer(1.0), Answer(0.5, None), Answer(outcome="failed")],
        reasoning="16k",
    )
    frame = tclue.bench.frame(tmp_path)
    assert frame.equals(tclue.bench.frame(str(folder)))
    assert frame.outcome.tolist() == ["answered", "answered", "failed"]
    assert frame.cost_usd.isna().tolist() == [False, True, True]
    assert frame.accuracy.isna().tolist() == [False, False, True]
    assert frame.solved.tolist() == [True, False, pandas.NA]
    assert frame.completion_tokens.tolist()[:2] == [50, 50]
    assert frame.completion_tokens.dtype == "Int64"
    assert set(frame.reasoning) == {"16k"}
    assert frame.error.tolist()[2] == "no reply"
    assert "text" not in frame
    assert tclue.bench.frame(folder, texts=True).text.tolist()[0] == "A. Library"


def test_what_failed_and_then_came_is_one_row(tmp_path: Path) -> None:
    folder = write_run(tmp_path, answers=[Answer(outcome="failed")])
    lines = (folder / "responses.jsonl").read_text()
    other = write_run(tmp_path / "other", answers=[Answer(0.5)])
    (folder / "responses.jsonl").write_text(lines + (other / "responses.jsonl").read_text())
    assert tclue.bench.frame(folder).accuracy.tolist() == [0.5]


def test_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it has no runs: expected a folder of run folders"):
        tclue.bench.frame(tmp_path)


@pytest.mark.server
def test_pandas_is_imported_by_the_call_alone() -> None:
    code = "import sys, tclue.bench, tclue.cli; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
