"""The bill before anything is sent: what it rests on, how wide it is, and the yes that it wants."""

import json
import math
import os
import random
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_support import (
    DRIVER,
    Answer,
    Server,
    Silent,
    bench,
    completion,
    serving,
    spawn,
    write_puzzles,
)
from commands import call

from tclue.bench.costs.cost import Prices
from tclue.bench.models.model import Model, ResolvedModel
from tclue.bench.records import RunConfig
from tclue.bench.runs.estimate import Bill, estimate, likely_tokens, projected, total
from tclue.bench.runs.run import BenchOptions, StopError, configuration, dry_run, run_models
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set

PRICED: dict[str, Any] = {"price_in": 1000.0, "price_out": 10_000.0}


@contextmanager
def server() -> Iterator[Server]:
    """Whatever is asked takes 1000 tokens in and 200 out: at the prices above, 3 dollars."""
    with serving(lambda _: Answer(completion("A. x"))) as running:
        yield running


@contextmanager
def terminal(typed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real terminal on standard input, at which this was typed."""
    controller, device = os.openpty()
    os.write(controller, typed.encode())
    with os.fdopen(device) as screen:
        monkeypatch.setattr(sys, "stdin", screen)
        yield
    os.close(controller)


@pytest.mark.server
def test_nothing_is_sent_where_nobody_can_say_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 3)
    with server() as endpoint:
        options = {"api_base": endpoint.url, "estimate": True, "max_tokens": 100, **PRICED}
        with pytest.raises(UserError, match="is above --ask-above 5: expected --yes"):
            bench("m", puzzles, tmp_path / "r", **options)
        assert not endpoint.bodies
        assert not list(tmp_path.glob("r/*/responses.jsonl"))
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("estimate: m: 3 requests, at most $")
        assert lines[0].endswith("(the length of its answers is unknown: at most 100 tokens)")
        assert lines[1].startswith("estimate: in all: at most $")
        bench("m", puzzles, tmp_path / "r", yes=True, **options)
    assert len(endpoint.bodies) == 3


@pytest.mark.server
@pytest.mark.parametrize(("typed", "sent"), [("y\n", 2), ("yes\n", 2), ("n\n", 0), ("\n", 0)])
def test_a_person_is_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    sent: int,
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 2)
    with server() as endpoint, terminal(typed, monkeypatch):
        options = {"api_base": endpoint.url, "estimate": True, **PRICED}
        if sent:
            bench("m", puzzles, tmp_path / "r", **options)
        else:
            with pytest.raises(UserError, match="nothing was sent"):
                bench("m", puzzles, tmp_path / "r", **options)
    assert len(endpoint.bodies) == sent
    # Without an output limit there is no bound.
    assert "a bill of unknown size: continue? [y/N] " in capsys.readouterr().err


@pytest.mark.server
def test_a_small_bill_is_told_and_not_asked_about(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 2)
    with server() as endpoint:
        options = {"api_base": endpoint.url, "estimate": True, "max_tokens": 100}
        bench("m", puzzles, tmp_path / "r", price_in=1.0, price_out=2.0, **options)
        # A price that nobody knows is no small one, but for a limit on what is spent.
        with pytest.raises(UserError, match="a bill of unknown size: expected --yes"):
            bench("other", puzzles, tmp_path / "r", **options)
    assert len(endpoint.bodies) == 2


@pytest.mark.server
def test_a_run_that_is_taken_up_is_billed_for_its_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 4)
    with server() as endpoint:
        options = {"api_base": endpoint.url, **PRICED}
        bench("m", puzzles, tmp_path / "r", limit=2, **options)
        # Another run of the same variant: its responses are what there is to go by.
        with pytest.raises(UserError, match=r"\$24\.00 is above --ask-above 5"):
            bench("m", puzzles, tmp_path / "r", samples=2, estimate=True, **options)
        line = "estimate: m: 8 requests, $24.00 (from 2 responses to 2 puzzles)"
        assert line in capsys.readouterr().err
        (run,) = (tmp_path / "r").glob("*/responses.jsonl")
        lines = run.read_bytes().splitlines(keepends=True)
        run.write_bytes(lines[0])
        bench("m", puzzles, tmp_path / "r", limit=2, estimate=True, yes=True, **options)
        assert "m: 1 request, " in capsys.readouterr().err
        bench("m", puzzles, tmp_path / "r", limit=2, estimate=True, **options)
        assert "m: 0 requests, $0 (nothing is missing)" in capsys.readouterr().err
    assert len(endpoint.bodies) == 3


def hosted(name: str, prices: Prices, **resolved: Any) -> tuple[Model, RunConfig, Sequence[Puzzle]]:
    """A model that is asked 64 puzzles, without asking it."""
    puzzle_set = load_set("easy-test")
    named = Model()
    named.resolved = ResolvedModel(variant=name, prices=prices, **resolved)
    config = configuration(name, named, BenchOptions(limit=64), puzzle_set)
    return named, config, puzzle_set.puzzles[:64]


@pytest.mark.slow
def test_a_published_mean_is_the_expectation_where_there_is_no_run(tmp_path: Path) -> None:
    prices = Prices("book", "", prompt_usd_per_million=3.0, completion_usd_per_million=15.0)
    model, config, puzzles = hosted("claude-3.7@16k", prices, max_output_tokens=20_000)
    bill = estimate(model, config, puzzles, tmp_path)
    prompt_usd = sum(likely_tokens(puzzle.prompt) for puzzle in puzzles) * 3 / 1e6
    assert bill.usd == pytest.approx(prompt_usd + 64 * 14516 * 15 / 1e6)
    assert bill.low_usd == pytest.approx(prompt_usd)
    assert bill.high_usd == pytest.approx(prompt_usd + 64 * 20_000 * 15 / 1e6)
    assert bill.basis == "14516 output tokens each, the published mean"
    assert str(bill).startswith("claude-3.7@16k: 64 requests, $14.0")
    # Not above the limit; and without a limit, without a bound.
    model.resolved = replace(model.resolved, max_output_tokens=1000)
    short = estimate(model, config, puzzles, tmp_path)
    assert short.usd == short.high_usd
    model.resolved = replace(model.resolved, max_output_tokens=None)
    assert estimate(model, config, puzzles, tmp_path).amount.endswith(", without a bound")


def test_time_and_nothing_known_are_not_guessed(tmp_path: Path) -> None:
    model, config, puzzles = hosted("m", Prices("gpu-hour", "", hour_usd=2.5, gpus=1))
    assert estimate(model, config, puzzles, tmp_path).amount == "unknown"
    model, config, puzzles = hosted("m", Prices("unknown", ""))
    unknown = estimate(model, config, puzzles, tmp_path)
    assert (unknown.amount, unknown.basis) == ("unknown", "its price is unknown")
    model, config, puzzles = hosted("m", Prices("free", ""))
    free = estimate(model, config, puzzles, tmp_path)
    assert free.amount == "$0"
    assert total([free, unknown]).amount == "unknown"
    bill = Bill("a", 1, 2.0, 1.0, 4.0, "")
    assert total([bill, bill, free]).amount == "$4.00, between $2.00 and $8.00"
    assert total([bill, replace(bill, usd=None)]).amount == "at most $8.00"


def test_the_interval_holds_the_rests_bill() -> None:
    rng = random.Random(5)

    def draw(puzzles: int, samples: int) -> list[list[float]]:
        """Responses that differ by puzzle, as real ones do, and less from sample to sample."""
        means = [rng.lognormvariate(0, 0.5) for _ in range(puzzles)]
        return [[mean * rng.lognormvariate(0, 0.3) for _ in range(samples)] for mean in means]

    covered = 0
    for _ in range(300):
        expected, low, high = projected(draw(48, 1), 256, 4)
        assert low < expected < high
        covered += low <= sum(map(sum, draw(64, 4))) <= high
    assert 0.91 <= covered / 300 <= 0.99


def test_the_spread_narrows_with_what_is_known() -> None:
    few, many = [[1.0], [3.0], [2.0]], [[1.0], [3.0], [2.0]] * 20
    expected, low, high = projected(few, 1000, 1)
    assert expected == 2000
    assert projected(many, 1000, 1)[2] < high
    # By hand: a deviation of 1 over 3 puzzles; t(2, 0.975) = 4.302653.
    error = 4.302653 * math.sqrt(1 / 3 * 1000**2 + 1000) / 2000
    assert (low, high) == pytest.approx((2000 * math.exp(-error), 2000 * math.exp(error)))
    assert projected([[2.0], [2.0]], 10, 1) == (20.0, 20.0, 20.0)
    assert projected([[0.0], [0.0]], 10, 1) == (0.0, 0.0, 0.0)


@pytest.mark.server
def test_a_pilot_is_asked_first_and_the_rest_estimated_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 6)
    with server() as endpoint:
        options = {"api_base": endpoint.url, "pilot": 3, "samples": 2, **PRICED}
        with pytest.raises(UserError, match=r"--pilot: \$27\.00 is above --ask-above 5: expected"):
            bench("m", puzzles, tmp_path / "r", **options)
        assert len(endpoint.bodies) == 3
        line = "estimate: m: 9 requests, $27.00 (from 3 responses to 3 puzzles)"
        assert line in capsys.readouterr().err
        # The pilot is not asked again, and its records are those of the run.
        with (
            terminal("n\n", monkeypatch),
            pytest.raises(UserError, match="--pilot: not confirmed: nothing more was sent"),
        ):
            bench("m", puzzles, tmp_path / "r", **options)
        assert len(endpoint.bodies) == 3
        with terminal("y\n", monkeypatch):
            summary = bench("m", puzzles, tmp_path / "r", **options)
        assert len(endpoint.bodies) == 12
        assert summary.responses == 12
        bench("m", puzzles, tmp_path / "r", **options)
        assert len(endpoint.bodies) == 12
    assert len(list((tmp_path / "r").iterdir())) == 1


@pytest.mark.server
def test_all_pilots_come_first_and_a_limit_holds_for_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    puzzles, _ = write_puzzles(tmp_path, 4)
    with server() as endpoint:
        options = BenchOptions(
            puzzles=str(puzzles), results=tmp_path / "r", api_base=endpoint.url, pilot=2, yes=True
        )
        priced = replace(options, **PRICED)
        run_models(["m", "other"], priced, Silent())
        assert [body["model"] for body in endpoint.bodies[:4]] == ["m", "m", "other", "other"]
        assert len(endpoint.bodies) == 8
        assert "estimate: in all: $12.00" in capsys.readouterr().err
        with pytest.raises(StopError, match="--max-cost 4 is not enough"):
            run_models(["third"], replace(priced, max_cost=4.0, max_tokens=200), Silent())
        # The second of the pilot did not fit, so nothing is estimated.
        assert len(endpoint.bodies) == 9
        assert "estimate" not in capsys.readouterr().err


@pytest.mark.server
def test_a_question_can_be_interrupted(tmp_path: Path) -> None:
    puzzles, _ = write_puzzles(tmp_path, 4)
    code = "import pty, os\nos.dup2(pty.openpty()[1], 0)\n" + DRIVER
    with server() as endpoint:
        options = {"api_base": endpoint.url, "pilot": 2, **PRICED}
        process = spawn("m", puzzles, tmp_path / "r", code, **options)
        assert process.stderr
        shown = ""
        while "continue? [y/N]" not in shown:
            shown += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "the same command resumes" in rest
        assert len(endpoint.bodies) == 2


MODEL = "openai/gpt-4.1-mini"


def test_an_estimate_needs_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    puzzles, _ = write_puzzles(tmp_path, 3)
    for model in (MODEL, "claude-4.6@16k"):
        with pytest.raises(UserError, match=r"no key: set (OPENAI|ANTHROPIC)_API_KEY"):
            bench(model, puzzles, tmp_path / "r", estimate=True, yes=True)
        assert f"estimate: {model}: 3 requests, " in capsys.readouterr().err
        with pytest.raises(UserError, match=r"no key: set (OPENAI|ANTHROPIC)_API_KEY"):
            bench(model, puzzles, tmp_path / "r", pilot=2, yes=True)
        assert "estimate" not in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_dry_run_only_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    write_puzzles(tmp_path, 3)
    arguments = ("--models", f"random,tiny,{MODEL},claude-4.6@16k", "--puzzles", "easy3.jsonl")
    done = call(tmp_path, "bench", *arguments, "--dry-run", "--max-cost", "1", "--hour-usd", "0.2")
    assert (done.returncode, done.stderr) == (0, "nothing was sent\n")
    assert "random: free\ntiny: $0.2 an hour (" in done.stdout
    assert f"{MODEL}: $0.4 in, $1.6 out (" in done.stdout
    assert "random: 3 requests, $0 (free)\n" in done.stdout
    assert "claude-4.6@16k: 3 requests, at most $" in done.stdout
    bills = json.loads(call(tmp_path, "bench", *arguments, "--dry-run", "--json").stdout)
    assert [bill["requests"] for bill in bills] == [3, 3, 3, 3]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["easy3.jsonl"]
    # In a program too, nothing is sent.
    options = BenchOptions(puzzles=str(tmp_path / "easy3.jsonl"), dry_run=True)
    assert run_models(["random"], options) == []
    assert [bill.requests for bill in dry_run(["random"], options)] == [3]
