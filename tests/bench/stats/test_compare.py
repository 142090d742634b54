"""Paired comparison: by scipy, by known sample sizes, by simulation, and from the command line."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from board_runs import Answer, write_run
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tclue.bench.stats.compare import paired, puzzles_needed
from tclue.cli import cli

shares = st.sampled_from([0.0, 0.125, 0.25, 1 / 3, 0.5, 0.8, 1.0])
pairs = st.lists(st.tuples(shares, shares), min_size=3, max_size=70)


@given(pairs)
def test_as_scipy_has_it(values: list[tuple[float, float]]) -> None:
    first, second = (list(column) for column in zip(*values, strict=True))
    compared = paired(first, second)
    assert compared.difference == pytest.approx(compared.first - compared.second)
    if len({round(a - b, 12) for a, b in values}) == 1:
        return
    expected = stats.ttest_rel(first, second)
    assert compared.p == pytest.approx(expected.pvalue, abs=1e-9)
    low, high = expected.confidence_interval(0.95)
    assert compared.interval == pytest.approx((max(-1, low), min(1, high)), abs=1e-9)


@given(pairs)
def test_what_holds_of_any_two_runs(values: list[tuple[float, float]]) -> None:
    first, second = (list(column) for column in zip(*values, strict=True))
    compared, turned = paired(first, second), paired(second, first)
    low, high = compared.interval
    assert -1 <= low <= compared.difference <= high <= 1
    assert (-turned.difference, turned.p) == pytest.approx((compared.difference, compared.p))
    assert (-turned.interval[1], -turned.interval[0]) == pytest.approx(compared.interval)
    assert 0 <= compared.p <= 1
    if abs(compared.p - 0.05) > 1e-9:
        assert compared.significant == (compared.p < 0.05)


def test_equal_differences_are_not_certainty() -> None:
    same = paired([1.0] * 64, [1.0] * 64)
    assert (same.difference, same.p, same.puzzles_needed) == (0.0, 1.0, None)
    # Of 64 puzzles without an event, as many as t^2 / (64 + t^2) may have one.
    assert same.interval == pytest.approx((-0.0587, 0.0587), abs=1e-4)
    assert paired([1.0] * 64, [0.0] * 64).interval == pytest.approx((0.8826, 1.0), abs=1e-4)
    assert not paired([1.0] * 5, [0.0] * 5).significant
    assert paired([1.0], [0.0]).interval == (-1.0, 1.0)


@pytest.mark.parametrize(("effect", "needed"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_puzzles_needed_as_published(effect: float, needed: int) -> None:
    # Cohen (1988) and G*Power, paired t test, two-sided 0.05, power 0.8.
    assert puzzles_needed(effect, 1.0) == needed
    assert puzzles_needed(-2 * effect, 2.0) == needed


def test_so_many_puzzles_do_tell_them_apart_in_four_of_five_trials() -> None:
    needed = puzzles_needed(0.1, 0.3)
    assert needed is not None
    rng, trials = random.Random(0), 600
    significant = sum(
        paired([0.55 + rng.gauss(0.0, 0.3) for _ in range(needed)], [0.45] * needed).significant
        for _ in range(trials)
    )
    assert significant / trials == pytest.approx(0.8, abs=0.04)


Draw = Callable[[random.Random], tuple[float, float]]


def accuracy(rng: random.Random) -> tuple[float, float]:
    """Shares of 8 questions; the second model gets a tenth less of each puzzle's rate."""
    rate = rng.betavariate(2, 2)
    first, second = (sum(rng.random() < r for _ in range(8)) / 8 for r in (rate, 0.9 * rate))
    return first, second


def solved(rng: random.Random) -> tuple[float, float]:
    """All or nothing; most puzzles are clear to both, or to neither."""
    rate = rng.betavariate(0.3, 0.6)
    return float(rng.random() < rate), float(rng.random() < rate)


def rarely_solved(rng: random.Random) -> tuple[float, float]:
    return float(rng.random() < 0.06), float(rng.random() < 0.03)


def four_samples(rng: random.Random) -> tuple[float, float]:
    rate = rng.betavariate(0.3, 0.6)
    first, second = (sum(rng.random() < rate for _ in range(4)) / 4 for _ in range(2))
    return first, second


@pytest.mark.parametrize(
    ("draw", "true"), [(accuracy, 0.05), (solved, 0.0), (rarely_solved, 0.03), (four_samples, 0.0)]
)
def test_the_interval_covers(draw: Draw, true: float) -> None:
    """Why t is the headline: its coverage is right on scores like these, rare events included."""
    rng, trials, covered = random.Random(7), 600, 0
    for _ in range(trials):
        first, second = zip(*(draw(rng) for _ in range(64)), strict=True)
        low, high = paired(first, second).interval
        covered += low <= true <= high
    # 0.95 is meant; the standard error of 600 trials is 0.009.
    assert 0.925 < covered / trials < 0.98


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["compare", *map(str, arguments)])
    output = str(result.exception) if result.exception else result.output
    return result.exit_code, output


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    first = write_run(tmp_path, "first", [Answer(a) for a in (1.0, 0.5, 1.0, 0.75)])
    second = write_run(tmp_path, "second", [Answer(a) for a in (0.5, 0.5, 0.5, 0.25)])
    return first, second


def test_two_runs_by_name_or_by_path(
    two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, by_name = run(two[0].name, two[1].name, "--results", two[0].parent, "--json")
    assert code == 0
    assert run(*two, "--json") == (0, by_name)
    comparison = json.loads(by_name)
    assert comparison["runs"] == [folder.name for folder in two]
    assert comparison["puzzles"] == 4
    assert comparison["accuracy"]["difference"] == 0.375
    assert comparison["accuracy"]["interval"] == pytest.approx([-0.0228, 0.7728], abs=1e-4)
    assert comparison["accuracy"]["p"] == pytest.approx(0.0577, abs=1e-4)
    assert comparison["accuracy"]["puzzles_needed"] == 6
    assert comparison["solved"]["difference"] == 0.5
    monkeypatch.setenv("COLUMNS", "120")
    code, shown = run(*two)
    assert code == 0
    assert "+0.375 [-0.023, +0.773]" in shown
    assert "4 puzzles of test, grader sound: the difference in accuracy is not significant" in shown


def test_only_what_both_answered_is_compared(two: tuple[Path, Path]) -> None:
    answers = [Answer(1.0), Answer(outcome="failed"), Answer(0.0), Answer(0.5)]
    third = write_run(two[0].parent, "third", answers)
    comparison = json.loads(run(two[0], third, "--json")[1])
    assert (comparison["puzzles"], comparison["left_out"]) == (3, 1)
    assert comparison["accuracy"]["first"] == pytest.approx(2.75 / 3)


def test_runs_that_cannot_be_compared(two: tuple[Path, Path]) -> None:
    results = two[0].parent
    other = write_run(results, "other", puzzle_set="easy-test", sha256="cd" * 32)
    graded = write_run(results, "graded", grader="published")
    failed = write_run(results, "failed", [Answer(outcome="failed")])
    for bad, complaint in (
        (other, "different puzzles, test (abababab) and easy-test (cdcdcdcd)"),
        (graded, "graded by sound (version 1) and by published (version 1)"),
        (failed, "expected a puzzle to which both have a scored response"),
        (results / "nowhere", "with such a name: expected one of "),
    ):
        code, output = run(two[0], bad)
        assert code == 1
        assert complaint in output
        assert "\n" not in output
