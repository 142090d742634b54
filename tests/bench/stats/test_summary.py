"""Statistics: intervals against known values, their coverage, and the order of records."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from bench_support import bench, the_run, write_puzzles
from board_runs import Answer, write_run
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tclue.bench.costs.cost import Prices, Usage
from tclue.bench.records import Response, Run, RunConfig, read_run
from tclue.bench.stats.intervals import (
    Estimate,
    known_mean,
    mean_interval,
    rate_interval,
    t_inside,
    t_quantile,
)
from tclue.bench.stats.summary import Summary
from tclue.bench.stats.summary import summary as summary_of
from tclue.board import terminal
from tclue.puzzle.puzzle import band
from tclue.puzzle.wording import MAIN_TOPICS as MAIN

shares = st.lists(
    st.sampled_from([0.0, 0.125, 0.25, 1 / 3, 0.5, 0.8, 1.0]), min_size=1, max_size=70
)


@pytest.mark.parametrize(
    ("freedom", "table"),
    [
        (1, 12.7062),
        (2, 4.3027),
        (3, 3.1824),
        (7, 2.3646),
        (30, 2.0423),
        (63, 1.9983),
        (255, 1.9693),
    ],
)
def test_t_as_in_the_tables(freedom: int, table: float) -> None:
    assert t_quantile(freedom) == pytest.approx(table, abs=5e-5)


@given(st.floats(0, 50), st.integers(1, 400))
def test_t_as_scipy_has_it(t: float, freedom: int) -> None:
    assert t_inside(t, freedom) == pytest.approx(1 - 2 * stats.t.sf(t, freedom), abs=1e-9)


def test_t_nears_the_normal_quantile() -> None:
    assert t_quantile(5000) == pytest.approx(1.959964, abs=1e-3)


def test_accuracy_is_the_mean_of_puzzle_means_with_t() -> None:
    # By hand: mean 0.5, deviation sqrt(0.5/3), error 0.2041, t(3) 3.1824.
    estimate = mean_interval([0.0, 0.5, 0.5, 1.0])
    assert estimate is not None
    assert (estimate.value, estimate.low) == (0.5, 0.0)
    estimate = mean_interval([0.4, 0.5, 0.5, 0.6])
    assert estimate is not None
    assert estimate.low == pytest.approx(0.5 - 3.18245 * 0.0408248, abs=1e-5)
    assert estimate.high == pytest.approx(0.5 + 3.18245 * 0.0408248, abs=1e-5)


def test_no_spread_is_not_certainty() -> None:
    for interval in (mean_interval, rate_interval):
        all_right, all_wrong, single = interval([1.0] * 64), interval([0.0] * 64), interval([1.0])
        assert all_right is not None
        assert all_wrong is not None
        # Wilson's interval of 64 of 64, with t(63) for z: 64 / (64 + t^2).
        assert all_right.low == pytest.approx(64 / (64 + 1.998341**2))
        assert all_right.high == 1.0
        assert (all_wrong.value, all_wrong.low) == (0.0, 0.0)
        assert all_wrong.high == pytest.approx(1 - all_right.low)
        assert single == Estimate(1.0, 0.0, 1.0)
        assert interval([]) is None


@given(shares)
def test_intervals_hold_their_value_within_0_and_1(values: list[float]) -> None:
    for interval in (mean_interval, rate_interval):
        estimate = interval(values)
        assert estimate is not None
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
        assert estimate.low < estimate.high
        assert interval(values[::-1]) == estimate


@pytest.mark.parametrize(("n", "p"), [(10, 0.34), (64, 0.02), (64, 0.06), (64, 0.5), (256, 0.99)])
def test_the_solved_interval_covers(n: int, p: float) -> None:
    rng, trials, covered = random.Random(0), 1000, 0
    for _ in range(trials):
        estimate = rate_interval([float(rng.random() < p) for _ in range(n)])
        assert estimate is not None
        covered += estimate.low <= p <= estimate.high
    # 0.95 is meant; the t interval, which accuracy has, gets 0.89 at (64, 0.06).
    assert covered / trials > 0.925


def test_an_unknown_value_makes_the_mean_unknown() -> None:
    assert known_mean([1.0, 3.0]) == 2.0
    assert known_mean([1.0, None]) is None
    assert known_mean([]) is None


def summarized(config: RunConfig, responses: Iterable[Response]) -> Summary:
    return summary_of(Run(config, tuple(responses)))


def test_more_samples_of_the_same_are_no_new_evidence(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("stats")
    puzzles, _ = write_puzzles(folder, 5)
    bench("random", puzzles, folder / "results", samples=2)
    run = the_run(folder / "results")
    once = [response for response in run.responses if response.sample == 0]
    config = replace(run.config, samples=1)
    single = summarized(config, once)
    again = [replace(response, sample=1) for response in once]
    double = summarized(run.config, [*once, *again])
    assert (double.puzzles, double.responses) == (5, 10)
    assert double.accuracy == single.accuracy
    assert double.solved == single.solved


def test_a_summary_does_not_depend_on_the_order_of_records(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("stats")
    puzzles, _ = write_puzzles(folder, 6)
    bench("random", puzzles, folder / "results", samples=3)
    run = the_run(folder / "results")
    shuffled = list(run.responses)
    random.Random(1).shuffle(shuffled)
    assert summarized(run.config, shuffled) == summarized(run.config, run.responses)


def test_failures_are_counted_and_not_scored(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("stats")
    puzzles, _ = write_puzzles(folder, 4)
    bench("solver", puzzles, folder / "results")
    run = the_run(folder / "results")
    first, second, *rest = run.responses
    failed = replace(first, outcome="failed", grade=None, cost_usd=None, error="no reply")
    retried = replace(second, outcome="failed", grade=None, cost_usd=None, error="no reply")
    summary = summarized(run.config, [failed, retried, second, *rest[:1]])
    assert (summary.puzzles, summary.responses, summary.missing, summary.failed_attempts) == (
        2,
        2,
        1,
        2,
    )
    assert summary.outcomes == {
        "answered": 2, "truncated": 0, "refused": 0, "unparsed": 0, "failed": 1,
    }  # fmt: skip
    assert summary.accuracy is not None
    assert summary.accuracy.value == 1.0
    assert summary.cost_usd == 0.0


def test_what_failed_and_was_paid_for_is_in_the_bill(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = read_run(write_run(tmp_path, "model", [Answer(cost_usd=0.25), Answer(cost_usd=0.5)]))
    first, second = run.responses
    # A reply without any text, say: it says what it cost, and was asked for again.
    empty = replace(second, outcome="failed", grade=None, cost_usd=0.125, error="no text")
    summary = summarized(run.config, [first, empty, second])
    assert (summary.cost_usd, summary.total_cost_usd) == (0.375, 0.875)
    unpriced = replace(empty, cost_usd=None, at_most_usd=0.0625)
    terminal.show_summaries([summarized(run.config, [first, empty, unpriced, second])])
    output = capsys.readouterr().out
    assert "model: $0.88 in all" in output
    assert "model: at most $0.062 more, for requests whose cost is unknown" in output


def summed(folder: Path) -> Summary:
    """A run's summary, of records that come one at a time."""
    run = read_run(folder)
    records: Iterator[Response] = iter(run.responses)
    return summarized(run.config, records)


def test_the_main_questions_alone(tmp_path: Path) -> None:
    puzzles, loaded = write_puzzles(tmp_path, 5)
    bench("random", puzzles, tmp_path / "results", samples=3)
    run = the_run(tmp_path / "results")
    by_id = {puzzle.id: puzzle for puzzle in loaded}
    shares, solved = [], []
    for puzzle in sorted(by_id):
        solution = by_id[puzzle].solution
        main = [k for k, q in by_id[puzzle].questions.items() if q.topic in MAIN]
        answer_sets = [r.grade.answers for r in run.responses if r.puzzle == puzzle and r.grade]
        rights = [[answers[k] == solution[k] for k in main] for answers in answer_sets]
        shares.append(fmean(fmean(right) for right in rights))
        solved.append(fmean(all(right) for right in rights))
    summary = summarized(run.config, run.responses)
    assert summary.main_accuracy == mean_interval(shares)
    assert summary.main_solved == rate_interval(solved)
    assert summary.main_accuracy != summary.accuracy


def test_by_difficulty(tmp_path: Path) -> None:
    puzzles, loaded = write_puzzles(tmp_path, 6)
    bench("solver", puzzles, tmp_path / "results")
    summary = summarized(
        the_run(tmp_path / "results").config, the_run(tmp_path / "results").responses
    )
    assert [(g.split, g.name, g.puzzles) for g in summary.by_difficulty] == [
        ("difficulty", "easy", 6),
        ("clues", "1 to 9 clues", 6),
    ]
    assert {band(puzzle.num_clues) for puzzle in loaded} == {"1 to 9 clues"}
    assert [band(n) for n in (0, 9, 10, 29, 30, 500)] == [
        *["1 to 9 clues"] * 2, *["10 to 29 clues"] * 2, *["30 clues or more"] * 2,
    ]  # fmt: skip


def test_tokens_seconds_and_rates(tmp_path: Path) -> None:
    answered = [
        Answer(latency_s=float(i), usage=Usage(100, 50, 10, reasoning_tokens=30)) for i in (1, 2, 3)
    ]
    summary = summed(
        write_run(tmp_path, "a", [*answered, Answer(outcome="refused", latency_s=10.0)])
    )
    assert (summary.prompt_tokens, summary.answer_tokens) == (325.0, 20.0)
    assert summary.latency_median_s == 2.5
    assert summary.latency_p95_s == pytest.approx(8.95)
    assert summary.rates["refused"] == 0.25
    assert sum(summary.rates.values()) == 1.0
    silent = summed(write_run(tmp_path, "b", [*answered, Answer(usage=Usage())]))
    assert silent.prompt_tokens is silent.answer_tokens is None
    assert summed(write_run(tmp_path, "c", [], puzzles=2)).latency_p95_s is None


@pytest.mark.parametrize(("failed", "complete"), [(0, True), (2, True), (3, False)])
def test_more_than_a_share_of_failures_is_incomplete(
    tmp_path: Path, failed: int, complete: bool
) -> None:
    answers = [Answer()] * (100 - failed) + [Answer(outcome="failed")] * failed
    assert summed(write_run(tmp_path, answers=answers)).complete is complete
    missing = summed(write_run(tmp_path, "m", [Answer()] * (100 - failed), puzzles=100))
    assert missing.complete is complete


def test_who_answered(tmp_path: Path) -> None:
    ids = [Answer(model_id=name) for name in ("m-1", "m-2", "m-1")] + [Answer()]
    summary = summed(write_run(tmp_path, "a", ids, served_as=("m-1",)))
    assert (summary.model_ids, summary.served_otherwise) == ({"m-1": 2, "m-2": 1}, ("m-2",))
    assert summed(write_run(tmp_path, "b", ids)).served_otherwise == ()
    assert summed(write_run(tmp_path, "c", ids, served_as=("m-*",))).served_otherwise == ()


# USAGE: 1,000 prompt and 50 completion tokens, so 0.0011 dollars.
BOOK = Prices("book", "2026-01-01", prompt_usd_per_million=1.0, completion_usd_per_million=2.0)


@pytest.mark.parametrize(
    ("cost_usd", "litellm", "prices", "note"),
    [
        (0.0011, 0.001104, BOOK, None),
        (0.0011, 0.001107, BOOK, "differ on 2 of 2 responses: $0.0022 by our prices, $0.002214"),
        (0.0011, None, BOOK, "litellm does not know this model"),
        (None, 0.0011, BOOK, "2 of 2 responses without a known cost"),
        (0.0011, None, replace(BOOK, source="tier"), None),
        (None, None, replace(BOOK, source="given"), "2 of 2 responses without a known cost"),
        (None, None, Prices("unknown", "2026-01-01"), "no price is known"),
        (0.0011, 0.0011, replace(BOOK, source="litellm"), "not in the price book: counted at"),
    ],
)
def test_two_calculators(
    tmp_path: Path, cost_usd: float | None, litellm: float | None, prices: Prices, note: str | None
) -> None:
    answers = [Answer(0.5, cost_usd, litellm_usd=litellm)] * 2
    summary = summed(write_run(tmp_path, answers=answers, prices=prices))
    assert (summary.cost_note is None) if note is None else note in (summary.cost_note or "")
    assert (summary.cost_usd, summary.cost_litellm_usd) == (cost_usd, litellm)
    assert summary.unpriced == (2 if cost_usd is None else 0)
