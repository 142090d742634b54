"""Two runs on the same puzzles, compared puzzle by puzzle: `tclue compare RUN RUN`.

The means of each puzzle over its samples are compared. docs/method/statistics.md says why, and how
the interval was chosen.

* The interval is mean +- t(n-1, 0.975) s / sqrt(n) over the n differences, and p is that of the
  paired t test: p < 0.05 exactly if the interval excludes 0.
* If all differences are equal, t cannot be computed. Then the share of puzzles that could have
  another difference is at most u = t^2 / (n + t^2), the upper score bound for 0 of n, and these
  differences may be anything from -1 to 1.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from tclue.bench.records import RunConfig
from tclue.bench.stats.intervals import CONFIDENCE, mean, standard_error, t_inside, t_quantile
from tclue.bench.stats.run_numbers import RunNumbers
from tclue.bench.stats.summary import Scores
from tclue.errors import UserError

POWER = 0.8


@dataclass(frozen=True)
class Difference:
    """The difference of two means over the same puzzles, first minus second, from -1 to 1."""

    first: float
    second: float
    difference: float
    # its 95% interval
    interval: tuple[float, float]
    # two-sided
    p: float
    puzzles: int
    # puzzles to detect such a difference in 80% of trials; None if there is no difference
    puzzles_needed: int | None

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.interval[0] > 0 or self.interval[1] < 0


@dataclass(frozen=True)
class Comparison:
    """The comparison of two runs over the puzzles to which both have a scored response."""

    runs: tuple[str, str]
    variants: tuple[str, str]
    puzzle_set: str
    grader: str
    puzzles: int
    # puzzles to which only one of them has a scored response
    left_out: int
    accuracy: Difference
    solved: Difference


def compare(first: RunNumbers, second: RunNumbers) -> Comparison:
    """Compare two runs.

    Raises UserError if their puzzles or graders differ, or if they share no scored puzzle.
    """
    config = first.config
    _check_comparable(config, second.config)
    runs = config.run_name, second.config.run_name
    differences = compare_scores(first.scores, second.scores)
    if not differences:
        raise UserError(
            f"{runs[0]} and {runs[1]}: expected a puzzle to which both have a scored response"
        )
    accuracy, solved = differences
    return Comparison(
        runs=runs,
        variants=(config.variant, second.config.variant),
        puzzle_set=config.puzzle_set,
        grader=config.grader,
        puzzles=accuracy.puzzles,
        left_out=len(first.scores.keys() ^ second.scores.keys()),
        accuracy=accuracy,
        solved=solved,
    )


def _check_comparable(first: RunConfig, second: RunConfig) -> None:
    if first.puzzle_sha256 != second.puzzle_sha256:
        sets = [f"{config.puzzle_set} ({config.puzzle_sha256[:8]})" for config in (first, second)]
        raise UserError(
            f"the runs have different puzzles, {sets[0]} and {sets[1]}: expected two runs on the "
            "same puzzle file"
        )
    graders = [f"{each.grader} (version {each.grader_version})" for each in (first, second)]
    if graders[0] != graders[1]:
        raise UserError(
            f"the runs were graded by {graders[0]} and by {graders[1]}: expected the same grader; "
            f"`tclue regrade RUN --grader {first.grader}` grades the texts of a run again"
        )


def compare_scores(
    first: Mapping[str, Scores], second: Mapping[str, Scores]
) -> tuple[Difference, Difference] | None:
    """The differences in accuracy and solved rate over the shared puzzles; None without any."""
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    accuracy = paired([first[p].accuracy for p in shared], [second[p].accuracy for p in shared])
    return accuracy, paired([first[p].solved for p in shared], [second[p].solved for p in shared])


def paired(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare values in [0, 1], pair by pair. There must be at least one pair."""
    # Rounded, so that differences of fractions are equal if they are equal in exact arithmetic.
    differences = [round(a - b, 12) for a, b in zip(first, second, strict=True)]
    n, center, error = len(differences), mean(differences), standard_error(differences)
    if n == 1:
        interval, p = (-1.0, 1.0), 1.0
    elif error == 0:
        t2 = t_quantile(n - 1) ** 2
        unseen = t2 / (n + t2)
        interval = (center - unseen * (1 + center), center + unseen * (1 - center))
        # p is that of the t at which the interval would just reach 0.
        p = max(0.0, 1 - t_inside(math.sqrt(n * abs(center)), n - 1))
    else:
        half = t_quantile(n - 1) * error
        interval = (max(-1.0, center - half), min(1.0, center + half))
        p = max(0.0, 1 - t_inside(abs(center) / error, n - 1))
    needed = puzzles_needed(center, error * math.sqrt(n)) if n > 1 else None
    return Difference(mean(first), mean(second), center, interval, p, n, needed)


def puzzles_needed(difference: float, deviation: float) -> int | None:
    """Puzzles to detect a difference with probability POWER; None if there is no difference.

    `deviation` is the standard deviation of the puzzles' differences.
    """
    if difference == 0:
        return None
    normal = NormalDist()
    z_alpha, z_power = normal.inv_cdf(0.5 + CONFIDENCE / 2), normal.inv_cdf(POWER)
    exact = ((z_alpha + z_power) * deviation / difference) ** 2 + z_alpha**2 / 2
    return max(2, math.ceil(exact))
