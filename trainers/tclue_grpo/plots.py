"""A run's pictures, drawn at each validation: `runs/RUN/plots/*.svg`.

* `accuracy.svg`, `accuracy-loglog.svg`: validation accuracy by iteration, with its 95% interval.
* `length.svg`, `entropy.svg`: of the responses of each iteration.

Written by hand like the board's picture, with its marks: the same metrics give the same bytes,
whatever is installed, whatever the time.

The power law is accuracy = a * iteration^b: a least-squares line through the logarithms of the
validations from iteration 1 on, each with the same weight. Fewer than 4 get no line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tclue.bench.stats.intervals import mean
from tclue.board import marks as drawn
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


def power_law(marks: Sequence[MeasuredPoint]) -> Fit | None:
    """The line through the logarithms; None for too few points."""
    usable = [(math.log(m.iteration), math.log(m.value)) for m in marks if _has_logarithm(m)]
    if len(usable) < FEWEST_FOR_FIT:
        return None
    x0, y0 = mean(x for x, _ in usable), mean(y for _, y in usable)
    slope = math.fsum((x - x0) * (y - y0) for x, y in usable)
    slope /= math.fsum((x - x0) ** 2 for x, _ in usable)
    return Fit(math.exp(y0 - slope * x0), slope)


def draw(folder: Path, lines: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Draw what the lines of `metrics.jsonl` hold; the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pictures(lines).items():
        replace(folder / f"{name}.svg", [text.encode()])
        written.append(folder / f"{name}.svg")
    return written


def pictures(lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The pictures by name, as the texts of SVG files."""
    checked = [
        MeasuredPoint(line["iteration"], v["value"], (v["low"], v["high"]))
        for line in validations(lines)
        for v in [line["validation"]["accuracy"]]
    ]
    made = {}
    if checked:
        title, about = "Validation accuracy by iteration", "with its 95% interval"
        made["accuracy"] = chart(title, about, checked, zero=True)
        usable = [mark for mark in checked if _has_logarithm(mark)]
        fit = power_law(usable)
        fitted = (
            f"power law {fit.a:.3f} * iteration^{fit.b:.3f}, least squares on logarithms"
            if fit
            else f"{len(usable)} points, too few for a power law ({FEWEST_FOR_FIT})"
        )
        if usable:
            title = f"{title}, logarithmic axes"
            made["accuracy-loglog"] = chart(title, fitted, usable, log=True, fit=fit)
    for name, title in (("length", "Tokens of a response"), ("entropy", "Entropy, nats a token")):
        marks = [
            MeasuredPoint(line["iteration"], line[name])
            for line in iterations(lines)
            if line.get(name) is not None
        ]
        if marks:
            made[name] = chart(title, "mean of each iteration", marks, zero=True)
    return made


def chart(
    title: str,
    about: str,
    marks: Sequence[MeasuredPoint],
    *,
    log: bool = False,
    zero: bool = False,
    fit: Fit | None = None,
) -> str:
    """Points by iteration, as the text of an SVG file; `zero` begins the axis there."""
    axes = _Axes.around(marks, log, zero)
    parts = [
        drawn.text(_AREA.left, 30, title, 'font-size="17" font-weight="bold"'),
        drawn.text(_AREA.left, 52, about, f'font-size="13" fill="{_QUIET}"'),
        *axes.ticks(),
        drawn.frame(_AREA),
    ]
    if fit:
        first, last = marks[0].iteration, marks[-1].iteration
        ends = [(axes.x(i), axes.y(fit.at(i))) for i in (first, last)]
        style = f'stroke="{_QUIET}" stroke-width="1.5" stroke-dasharray="6 4"'
        parts.append(drawn.line(Segment(*ends[0], *ends[1]), style))
    places = [(axes.x(mark.iteration), axes.y(mark.value)) for mark in marks]
    for mark, (x, _) in zip(marks, places, strict=True):
        if mark.interval:
            bar = Segment(x, axes.y(mark.interval[0]), x, axes.y(mark.interval[1]))
            parts.append(drawn.line(bar, f'stroke="{_LINE}" stroke-opacity="0.45"'))
    for (x0, y0), (x1, y1) in pairwise(places):
        parts.append(drawn.line(Segment(x0, y0, x1, y1), f'stroke="{_LINE}" stroke-width="1.5"'))
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_LINE}"/>' for x, y in places]
    middle = (_AREA.left + _AREA.right) / 2
    parts.append(drawn.text(middle, HEIGHT - 14, "iteration", 'text-anchor="middle"'))
    return drawn.page(WIDTH, HEIGHT, title, parts)


@dataclass(frozen=True)
class _Axes:
    """From numbers to pixels."""

    # the least and the greatest iteration and value, on logarithmic axes their logarithms
    across: tuple[float, float]
    up: tuple[float, float]
    log: bool

    @classmethod
    def around(cls, marks: Sequence[MeasuredPoint], log: bool, zero: bool) -> _Axes:
        values = [v for m in marks for v in (m.value, *(m.interval or ())) if v > 0 or not log]
        numbers = [m.iteration for m in marks]
        if log:
            low, high = math.log(min(values)), math.log(max(values))
            return cls(
                _apart(math.log(min(numbers)), math.log(max(numbers))), _apart(low, high), log
            )
        bottom = min(0.0, *values) if zero else min(values)
        return cls(_apart(min(numbers), max(numbers)), _apart(bottom, max(values)), log)

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
                drawn.line(Segment(_AREA.left, y, _AREA.right, y), f'stroke="{_GRID}"'),
                drawn.text(
                    _AREA.left - 8, y + 4, f"{value:.3g}", f'text-anchor="end" fill="{_QUIET}"'
                ),
                drawn.text(
                    x,
                    _AREA.bottom + 20,
                    f"{iteration:.3g}",
                    f'text-anchor="middle" fill="{_QUIET}"',
                ),
            ]
        return parts

    def _share(self, number: float, ends: tuple[float, float]) -> float:
        if self.log:
            # an interval may reach down to 0, which has no place: cut at the axis
            number = math.log(number) if number > 0 else ends[0]
        share = (number - ends[0]) / (ends[1] - ends[0])
        return min(1.0, max(0.0, share))

    def _at(self, share: float, ends: tuple[float, float]) -> float:
        number = ends[0] + share * (ends[1] - ends[0])
        return math.exp(number) if self.log else number


def _apart(low: float, high: float) -> tuple[float, float]:
    """Two different ends."""
    return (low, high) if high > low else (low, low + 1.0)


def _has_logarithm(mark: MeasuredPoint) -> bool:
    return mark.iteration >= 1 and mark.value > 0
