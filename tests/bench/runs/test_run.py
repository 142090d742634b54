"""`run_models`: options, names, the built-in models, and what is asked again."""

import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import Silent, bench, the_run, write_puzzles
from places import ROOT

from tclue.bench.models.model import Request, random_answers
from tclue.bench.records import read_run
from tclue.bench.runs.executor import missing
from tclue.bench.runs.run import BenchOptions, run_models
from tclue.bench.runs.run_progress import RunProgress
from tclue.errors import UserError
from tclue.puzzle.prompt import write
from tclue.puzzle.puzzle import Puzzle, house_line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "--limit is 0: expected 1 or more"),
        ({"samples": -1}, "--samples is -1"),
        ({"max_tokens": 0}, "--max-tokens is 0"),
        ({"concurrency": 0}, "--concurrency is 0"),
        ({"temperature": -0.1}, "--temperature is -0.1: expected 0 or more"),
        ({"temperature": float("nan")}, "--temperature is NaN"),
        ({"seed": -1}, "--seed is -1"),
        ({"price_in": -1.0, "price_out": 1.0}, "--price-in is -1.0"),
        ({"price_in": 1.0}, "--price-in and --price-out: expected both"),
        ({"hour_usd": -1.0}, "--hour-usd is -1.0"),
        ({"timeout_s": 0.0}, "--request-timeout is 0.0"),
        ({"dtype": "int4"}, '--dtype is "int4"'),
        ({"api_base": "localhost:8000"}, "--api-base: expected a URL"),
        ({"api_base": "http://[::1"}, "--api-base: expected a URL"),
        ({"api_base": "http://host:port/v1"}, "--api-base: expected a URL"),
        ({"api_base": "http://me:secret@host/v1"}, "without a password"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        BenchOptions(**options)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "--models: expected one or more names"),
        ([" "], {}, "--models: expected one or more names"),
        (["random"], {"puzzles": "no-such-set"}, "no such puzzle file"),
        (
            ["random"],
            {"grader": "strict"},
            '--grader is "strict": expected one of sound, published',
        ),
    ],
)
def test_bad_input_is_told_before_anything_is_made(
    tmp_path: Path, models: list[str], options: dict[str, Any], message: str
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    chosen = {"puzzles": str(puzzles), "results": tmp_path / "r", **options}
    with pytest.raises(UserError, match=message):
        run_models(models, BenchOptions(**chosen), Silent())
    assert not (tmp_path / "r").exists()


def test_the_ceiling_solves_all_and_is_free(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 8)
    summary = bench("solver", puzzles, tmp_path / "r")
    assert summary.accuracy is not None
    assert summary.solved is not None
    assert (summary.accuracy.value, summary.solved.value, summary.cost_usd) == (1.0, 1.0, 0.0)


def test_the_solver_does_not_guess(tmp_path: Path) -> None:
    _, (puzzle,) = write_puzzles(tmp_path, 1)
    vague = Puzzle(
        write(puzzle.world, puzzle.clues[:1], puzzle.questions), puzzle.solution, "vague"
    )
    (tmp_path / "vague.jsonl").write_text(house_line(vague))
    summary = bench("solver", tmp_path / "vague.jsonl", tmp_path / "r")
    assert summary.outcomes["failed"] == 1


def test_chance_is_legal_and_hangs_on_nothing_but_seed_puzzle_and_sample(tmp_path: Path) -> None:
    path, puzzles = write_puzzles(tmp_path, 6)
    bench("random", path, tmp_path / "r", samples=3)
    by_pair = {response.pair: response.text for response in the_run(tmp_path / "r").responses}
    for puzzle in reversed(puzzles):
        for sample in (2, 0, 1):
            answers = random_answers(Request(puzzle, sample), 0)
            assert all(answers[k] in options for k, options in puzzle.options.items())
            written = "\n".join(f"{k}. {v}" for k, v in answers.items())
            assert by_pair[puzzle.id, sample] == written
    assert len(set(by_pair.values())) == 18
    assert random_answers(Request(puzzles[0], 0), 1) != random_answers(Request(puzzles[0], 0), 0)


def test_chance_is_even(tmp_path: Path) -> None:
    _, (puzzle,) = write_puzzles(tmp_path, 1)
    drawn = [random_answers(Request(puzzle, sample), 0)["A"] for sample in range(3000)]
    for option in puzzle.options["A"]:
        expected = 3000 / len(puzzle.options["A"])
        assert abs(drawn.count(option) - expected) < 5 * expected**0.5


def test_a_name_that_stands_twice_is_asked_once(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 3)
    options = BenchOptions(puzzles=str(puzzles), results=tmp_path / "r")
    names = [s.variant for s in run_models(["random", "solver", "random "], options, Silent())]
    assert names == ["random", "solver"]
    assert len(list((tmp_path / "r").iterdir())) == 2


def test_limits_and_samples_are_runs_of_their_own(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 4)
    assert bench("random", puzzles, tmp_path / "r", limit=2).responses == 2
    assert bench("random", puzzles, tmp_path / "r", samples=2).responses == 8
    assert bench("random", puzzles, tmp_path / "r").responses == 4
    assert bench("random", puzzles, tmp_path / "r", limit=9).responses == 4  # the same as all
    assert len(list((tmp_path / "r").iterdir())) == 3


def test_what_failed_is_missing(tmp_path: Path) -> None:
    path, puzzles = write_puzzles(tmp_path, 2)
    bench("random", path, tmp_path / "r", samples=2)
    run = the_run(tmp_path / "r")
    done = {r.key for r in run.responses}
    assert len(done) == 4
    assert missing(puzzles, run.config, done) == []
    all_but_one = {r.key for r in run.responses if r.pair != (puzzles[1].id, 0)}
    assert missing(puzzles, run.config, all_but_one) == [Request(puzzles[1], 0)]
    more = replace(run.config, samples=3)
    assert missing(puzzles, more, done) == [Request(puzzles[0], 2), Request(puzzles[1], 2)]
    # Other settings are other responses, and so is another prompt.
    assert len(missing(puzzles, replace(run.config, seed=5), done)) == 4
    reworded = [replace(puzzle, prompt=f"{puzzle.prompt} ") for puzzle in puzzles]
    assert len(missing(reworded, run.config, done)) == 4


def test_progress_in_a_log(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 3)
    out = io.StringIO()
    options = BenchOptions(puzzles=str(puzzles), results=tmp_path / "r")
    run_models(["random"], options, RunProgress(out))
    assert out.getvalue() == "random: 3/3, $0\n"
    run_models(["random"], options, RunProgress(out))
    assert out.getvalue() == "random: 3/3, $0\n"  # nothing was asked


@pytest.mark.parametrize(
    ("cost_usd", "line"),
    [
        (0.5, "$1.50 of about $4.00"),
        (0.001, "$0.003 of about $0.008"),
        (None, "cost unknown"),
    ],
)
def test_progress_tells_the_dollars_spent_and_projected(
    tmp_path: Path, cost_usd: float | None, line: str
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    bench("random", puzzles, tmp_path / "r")
    (free,) = the_run(tmp_path / "r").responses
    out = io.StringIO()
    follower = RunProgress(out)
    # One of eight was paid for before; two more come, and one that failed.
    follower.start("model", 1, 8, cost_usd or 0.0)
    for outcome in ("answered", "failed", "answered"):
        cost = 0.0 if outcome == "failed" else cost_usd
        follower.advance(replace(free, outcome=outcome, cost_usd=cost))
    follower.stop()
    assert out.getvalue() == f"model: 3/8, {line}, 1 failed\n"


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    puzzles, _ = write_puzzles(tmp_path, 3)
    out = Terminal()
    options = BenchOptions(puzzles=str(puzzles), results=tmp_path / "r")
    run_models(["random"], options, RunProgress(out))
    assert "3/3, $0" in out.getvalue()


@pytest.mark.server
def test_where_it_ran_is_recorded(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 1)
    bench("random", puzzles, tmp_path / "r", seed=3)
    (folder,) = (tmp_path / "r").iterdir()
    config = read_run(folder).config
    assert config.given == ("seed",)
    assert config.versions["python"] == sys.version.split()[0]
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert config.commit in (commit, f"{commit}-dirty")


@pytest.mark.server
def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    heavy = {"torch", "transformers", "litellm", "pandas", "ortools", "rich", "openai"}
    code = f"import sys, tclue.bench.runs.run; print({heavy!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
