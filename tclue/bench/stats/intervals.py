"""Means of shares in [0, 1] with their 95% intervals. docs/method/statistics.md says why these.

* A mean has the t interval: mean +- t(n-1, 0.975) s / sqrt(n), limited to [0, 1].
* A rate may be near 0 or 1, where that interval is too short. It has the score interval (Wilson,
  1927) with the same t. Its sample size is the effective one, p (1 - p) / error^2: the number of
  independent outcomes with the same standard error, as in survey statistics (Korn and Graubard,
  1998).
* If all values are equal, their spread is 0, but that of the population need not be. A value in
  [0, 1] with mean p varies at most as much as a coin that shows heads with probability p, so means
  and rates get the score interval of n coins: 64 of 64 right is [0.94, 1], not [1, 1]. The interval
  of a single value is [0, 1].
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95
# of at least one value; the sum is exact, so their order has no influence
mean = statistics.fmean


@dataclass(frozen=True)
class Estimate:
    """A mean from 0 to 1 and its 95% interval."""

    value: float
    low: float
    high: float


def known_mean(values: Sequence[float | None]) -> float | None:
    """The mean; None if there is no value, or if one is unknown."""
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """The mean of values in [0, 1] with its t interval; None without values."""
    if not values:
        return None
    value, error = mean(values), standard_error(values)
    if error == 0:
        return _score_interval(value, len(values), len(values))
    half = t_quantile(len(values) - 1) * error
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def rate_interval(values: Sequence[float], coins: float = math.inf) -> Estimate | None:
    """The mean of rates in [0, 1] with its score interval; None without values.

    `coins` is the largest number of outcomes that a value can summarize. It is 1 if the value is
    the probability of a single outcome.
    """
    if not values:
        return None
    value, error = mean(values), standard_error(values)
    effective = value * (1 - value) / error**2 if error > 0 else len(values)
    return _score_interval(value, min(effective, coins * len(values)), len(values))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean; 0 for a single value and for equal values."""
    if min(values) == max(values):
        return 0.0
    center = mean(values)
    squares = math.fsum((value - center) ** 2 for value in values)
    return math.sqrt(squares / (len(values) - 1) / len(values))


def _score_interval(p: float, effective: float, n: int) -> Estimate:
    """Wilson's interval for a rate `p` of `effective` coins, with the t of `n` puzzles."""
    if n == 1:
        return Estimate(p, 0.0, 1.0)
    t2 = t_quantile(n - 1) ** 2
    center = (p + t2 / (2 * effective)) / (1 + t2 / effective)
    half = math.sqrt(t2 * (p * (1 - p) / effective + t2 / (4 * effective**2)))
    half /= 1 + t2 / effective
    return Estimate(p, max(0.0, min(p, center - half)), min(1.0, max(p, center + half)))


@lru_cache
def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t of a two-sided interval, for an integer number of degrees of freedom from 1.

    It is found by bisection, with Student's distribution as a finite series (Abramowitz and Stegun,
    26.7.3-4).
    """
    low, high = 0.0, 2.0
    while t_inside(high, freedom) < confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_inside(middle, freedom) < confidence else (low, middle)
    return high


def t_inside(t: float, freedom: int) -> float:
    """The probability that Student's t is in [-t, t]."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine2 = math.cos(angle) ** 2
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine2 * (k - 1) / k
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total
