"""Means of shares in [0, 1] with their 95% intervals. docs/method/statistics.md says why these.

* A mean has the t interval: mean +- t(n-1, 0.975) s / sqrt(n), cut to [0, 1].
* A rate may be near 0 or 1, where that interval is too short. It gets the score interval (Wilson,
  1927) with the number of puzzles that would have shown the same error had their outcomes been
  independent, p (1 - p) / error^2, as survey statistics do (Korn and Graubard, 1998), and the
  same t.
* Where all values are equal they show no spread, which is not to say there is none. A value in
  [0, 1] with mean p varies at most as much as a coin that falls p of the time, so both get the
  score interval of n coins: 64 of 64 right is [0.94, 1], not [1, 1]. One value says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, 0..1, and its 95% interval."""

    value: float
    low: float
    high: float


def mean(values: Iterable[float]) -> float:
    """The mean of at least one value; the same in whatever order they come."""
    values = list(values)
    return math.fsum(values) / len(values)


def known_mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where there is no value, or one is unknown."""
    known = [value for value in values if value is not None]
    return mean(known) if known and len(known) == len(values) else None


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value below which a share of them lies, by linear interpolation; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def mean_interval(values: Sequence[float]) -> Estimate | None:
    """A mean of values in [0, 1] with its t interval; None without values."""
    if not values:
        return None
    value, error = mean(values), standard_error(values)
    if error == 0:
        return _score_interval(value, len(values), len(values))
    half = t_quantile(len(values) - 1) * error
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def rate_interval(values: Sequence[float], coins: float = math.inf) -> Estimate | None:
    """A mean of rates in [0, 1] with its score interval; None without values.

    `coins` is the most outcomes that a value can stand for: 1 where it is the chance of one.
    """
    if not values:
        return None
    value, error = mean(values), standard_error(values)
    effective = value * (1 - value) / error**2 if error > 0 else len(values)
    return _score_interval(value, min(effective, coins * len(values)), len(values))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean; 0 for a single value and for equal ones."""
    if min(values) == max(values):
        return 0.0
    center = mean(values)
    squares = math.fsum((value - center) ** 2 for value in values)
    return math.sqrt(squares / (len(values) - 1) / len(values))


def _score_interval(p: float, effective: float, n: int) -> Estimate:
    """Wilson's interval of a rate `p` seen on `effective` coins, with the t of `n` puzzles."""
    if n == 1:
        return Estimate(p, 0.0, 1.0)
    t2 = t_quantile(n - 1) ** 2
    center = (p + t2 / (2 * effective)) / (1 + t2 / effective)
    half = math.sqrt(t2 * (p * (1 - p) / effective + t2 / (4 * effective**2)))
    half /= 1 + t2 / effective
    return Estimate(p, max(0.0, min(p, center - half)), min(1.0, max(p, center + half)))


@lru_cache
def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t of a two-sided interval, for whole degrees of freedom from 1.

    By bisection, on Student's distribution as a finite series (Abramowitz and Stegun, 26.7.3-4).
    """
    low, high = 0.0, 2.0
    while t_inside(high, freedom) < confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_inside(middle, freedom) < confidence else (low, middle)
    return high


def t_inside(t: float, freedom: int) -> float:
    """The probability that Student's t lies in [-t, t]."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine2 = math.cos(angle) ** 2
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine2 * (k - 1) / k
    return (angle + math.sin(angle) * total) * 2 / math.pi if odd else math.sin(angle) * total
