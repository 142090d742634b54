"""A run's plots, drawn at each validation: `runs/RUN/plots/*.svg`.

* `accuracy.svg`, `accuracy-loglog.svg`: validation accuracy by iteration, with its 95% interval.
* `length.svg`, `entropy.svg`: mean length and entropy of each iteration's responses.

The SVG is written directly, with the marks of the board's picture, so the same metrics always give
the same bytes.

The power law is accuracy = a * iteration^b: a least-squares line through the logarithms of the
validations from iteration 1 on, with equal weights. Fewer than 4 validations get no line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tclue.bench.stats.intervals import mean
from tclue.board import marks
from tclue.board.labels import Box, Segment
from tclue.journal import replace
from tclue_grpo.metrics import iterations, validations

FEWEST_FOR_FIT = 4
WIDTH, HEIGHT = 720, 440
_AREA = Box(64.0, 74.0, WIDTH - 24.0, HEIGHT - 58.0)
_LINE, _QUIET, _GRID = "#0b62d6", "#59636e", "#e4e7eb"
_TICKS = 5


@dataclass(frozen=True)
class MeasuredPoint:
    """A measured point."""

    iteration: int
    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Fit:
    """accuracy = a * iteration^b."""

    a: float
    b: float

    def at(self, iteration: float) -> float:
        """The accuracy on the line."""
        return float(self.a * iteration**self.b)


def power_law(points: Sequence[MeasuredPoint]) -> Fit | None:
    """The least-squares line through the logarithms; None for too few points."""
    usable = [(math.log(m.iteration), math.log(m.value)) for m in points if _has_logarithm(m)]
    if len(usable) < FEWEST_FOR_FIT:
        return None
    x0, y0 = mean(x for x, _ in usable), mean(y for _, y in usable)
    slope = math.fsum((x - x0) * (y - y0) for x, y in usable)
    slope /= math.fsum((x - x0) ** 2 for x, _ in usable)
    return Fit(math.exp(y0 - slope * x0), slope)


def draw(folder: Path, lines: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Plot the lines of `metrics.jsonl`; return the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pictures(lines).items():
        replace(folder / f"{name}.svg", [text.encode()])
        written.append(folder / f"{name}.svg")
    return written


def pictures(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The pictures by name, as the texts of SVG files."""
    validated = [
        MeasuredPoint(line["iteration"], v["value"], (v["low"], v["high"]))
        for line in validations(lines)
        for v in [line["validation"]["accuracy"]]
    ]
    svgs = {}
    if validated:
        title, about = "Validation accuracy by iteration", "with its 95% interval"
        svgs["accuracy"] = chart(title, about, validated, zero=True)
        usable = [point for point in validated if _has_logarithm(point)]
        fit = power_law(usable)
        fitted = (
            f"power law {fit.a:.3f} * iteration^{fit.b:.3f}, least squares on logarithms"
            if fit
            else f"{len(usable)} points, too few for a power law ({FEWEST_FOR_FIT})"
        )
        if usable:
            title = f"{title}, logarithmic axes"
            svgs["accuracy-loglog"] = chart(title, fitted, usable, log=True, fit=fit)
    for name, title in (("length", "Tokens of a response"), ("entropy", "Entropy, nats a token")):
        points = [
            MeasuredPoint(line["iteration"], line[name])
            for line in iterations(lines)
            if line.get(name) is not None
        ]
        if points:
            svgs[name] = chart(title, "mean of each iteration", points, zero=True)
    return svgs


def chart(
    title: str,
    about: str,
    points: Sequence[MeasuredPoint],
    *,
    log: bool = False,
    zero: bool = False,
    fit: Fit | None = None,
) -> str:
    """Points by iteration, as the text of an SVG file; with `zero` the axis starts at 0."""
    axes = _Axes.around(points, log, zero)
    parts = [
        marks.text(_AREA.left, 30, title, 'font-size="17" font-weight="bold"'),
        marks.text(_AREA.left, 52, about, f'font-size="13" fill="{_QUIET}"'),
        *axes.ticks(),
        marks.frame(_AREA),
    ]
    if fit:
        first, last = points[0].iteration, points[-1].iteration
        ends = [(axes.x(i), axes.y(fit.at(i))) for i in (first, last)]
        style = f'stroke="{_QUIET}" stroke-width="1.5" stroke-dasharray="6 4"'
        parts.append(marks.line(Segment(*ends[0], *ends[1]), style))
    positions = [(axes.x(point.iteration), axes.y(point.value)) for point in points]
    for point, (x, _) in zip(points, positions, strict=True):
        if point.interval:
            bar = Segment(x, axes.y(point.interval[0]), x, axes.y(point.interval[1]))
            parts.append(marks.line(bar, f'stroke="{_LINE}" stroke-opacity="0.45"'))
    for (x0, y0), (x1, y1) in pairwise(positions):
        parts.append(marks.line(Segment(x0, y0, x1, y1), f'stroke="{_LINE}" stroke-width="1.5"'))
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_LINE}"/>' for x, y in positions]
    middle = (_AREA.left + _AREA.right) / 2
    parts.append(marks.text(middle, HEIGHT - 14, "iteration", 'text-anchor="middle"'))
    return marks.page(WIDTH, HEIGHT, title, parts)


@dataclass(frozen=True)
class _Axes:
    """Maps numbers to pixels."""

    # the range of iterations and of values, on logarithmic axes of their logarithms
    across: tuple[float, float]
    up: tuple[float, float]
    log: bool

    @classmethod
    def around(cls, points: Sequence[MeasuredPoint], log: bool, zero: bool) -> _Axes:
        values = [v for m in points for v in (m.value, *(m.interval or ())) if v > 0 or not log]
        xs = [m.iteration for m in points]
        if log:
            low, high = math.log(min(values)), math.log(max(values))
            across = _distinct(math.log(min(xs)), math.log(max(xs)))
            return cls(across, _distinct(low, high), log)
        bottom = min(0.0, *values) if zero else min(values)
        return cls(_distinct(min(xs), max(xs)), _distinct(bottom, max(values)), log)

    def x(self, iteration: float) -> float:
        share = self._share(iteration, self.across)
        return round(_AREA.left + 12 + share * (_AREA.right - _AREA.left - 24), 1)

    def y(self, value: float) -> float:
        share = self._share(value, self.up)
        return round(_AREA.bottom - 10 - share * (_AREA.bottom - _AREA.top - 20), 1)

    def ticks(self) -> list[str]:
        """Labelled lines at even distances."""
        parts = []
        for i in range(_TICKS):
            value, iteration = (self._at(i / (_TICKS - 1), ends) for ends in (self.up, self.across))
            y, x = self.y(value), self.x(iteration)
            parts += [
                marks.line(Segment(_AREA.left, y, _AREA.right, y), f'stroke="{_GRID}"'),
                marks.text(
                    _AREA.left - 8, y + 4, f"{value:.3g}", f'text-anchor="end" fill="{_QUIET}"'
                ),
                marks.text(
                    x,
                    _AREA.bottom + 20,
                    f"{iteration:.3g}",
                    f'text-anchor="middle" fill="{_QUIET}"',
                ),
            ]
        return parts

    def _share(self, number: float, ends: tuple[float, float]) -> float:
        if self.log:
            # an interval may reach 0, which has no logarithm: it is cut at the axis
            number = math.log(number) if number > 0 else ends[0]
        share = (number - ends[0]) / (ends[1] - ends[0])
        return min(1.0, max(0.0, share))

    def _at(self, share: float, ends: tuple[float, float]) -> float:
        number = ends[0] + share * (ends[1] - ends[0])
        return math.exp(number) if self.log else number


def _distinct(low: float, high: float) -> tuple[float, float]:
    """The range, widened if both ends are equal."""
    return (low, high) if high > low else (low, low + 1.0)


def _has_logarithm(point: MeasuredPoint) -> bool:
    return point.iteration >= 1 and point.value > 0
