"""The curves of a run, in `runs/RUN/plots/`.

`curves.svg` has all of them on one page, `curves-dark.svg` the same for dark pages; both are drawn
at each validation. At the end each curve gets a picture of its own too: `reward.svg`, `length.svg`
and `entropy.svg` (means of each iteration's responses), `accuracy.svg` and `accuracy-loglog.svg`
(validation accuracy with its 95% interval).

The power law is accuracy = a * iteration^b: a least-squares line through the logarithms of the
validations from iteration 1 on, with equal weights. Fewer than 4 validations get no line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression
from typing import TYPE_CHECKING, Any

from tclue.board.drawing import DARK, LIGHT, Theme, digest, heading, sheet, svg
from tclue.journal import replace
from tclue.text import counted
from tclue_grpo.metrics import iterations, validations

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST_FOR_FIT = 4
# The means of an iteration that are drawn: the field in its metrics, and the title.
_MEANS = (
    ("reward", "Reward of a response"),
    ("length", "Tokens of a response"),
    ("entropy", "Entropy, nats per token"),
)


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


@dataclass(frozen=True)
class Curve:
    """A quantity by iteration, and how it is drawn."""

    title: str
    subtitle: str
    points: tuple[MeasuredPoint, ...]
    # on logarithmic axes, with the fitted line
    log: bool = False
    fit: Fit | None = None


def power_law(points: Sequence[MeasuredPoint]) -> Fit | None:
    """The least-squares line through the logarithms; None for too few points."""
    usable = [(math.log(m.iteration), math.log(m.value)) for m in points if _has_logarithm(m)]
    if len(usable) < FEWEST_FOR_FIT:
        return None
    slope, intercept = linear_regression(*zip(*usable, strict=True))
    return Fit(math.exp(intercept), slope)


def draw(folder: Path, lines: Sequence[Mapping[str, Any]], *, singly: bool = False) -> list[Path]:
    """Plot the lines of `metrics.jsonl`; return the files that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    found = curves(lines)
    pages = {"curves": LIGHT, "curves-dark": DARK} if found else {}
    pictures = {name: ([*found.values()], theme) for name, theme in pages.items()}
    if singly:
        pictures |= {name: ([curve], LIGHT) for name, curve in found.items()}
    for name, (shown, theme) in pictures.items():
        replace(folder / f"{name}.svg", [page(shown, theme)])
    return [folder / f"{name}.svg" for name in pictures]


def curves(lines: Sequence[Mapping[str, Any]]) -> dict[str, Curve]:
    """The curves by name; none for what was not measured."""
    found = {}
    for name, title in _MEANS:
        points = tuple(
            MeasuredPoint(line["iteration"], line[name])
            for line in iterations(lines)
            if line.get(name) is not None
        )
        if points:
            found[name] = Curve(title, "mean of each iteration", points)
    validated = tuple(
        MeasuredPoint(line["iteration"], v["value"], (v["low"], v["high"]))
        for line in validations(lines)
        for v in [line["validation"]["accuracy"]]
    )
    if validated:
        found["accuracy"] = Curve("Validation accuracy", "with its 95% interval", validated)
    if usable := tuple(point for point in validated if _has_logarithm(point)):
        fit = power_law(usable)
        about = (
            f"power law {fit.a:.3f} * iteration^{fit.b:.3f}, least squares on logarithms"
            if fit
            else f"{counted(len(usable), 'point')}, too few for a power law ({FEWEST_FOR_FIT})"
        )
        title = "Validation accuracy, logarithmic axes"
        found["accuracy-loglog"] = Curve(title, about, usable, log=True, fit=fit)
    return found


def page(curves: Sequence[Curve], theme: Theme) -> bytes:
    """The curves on one page, two in a row, as an SVG file."""
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    with sheet(theme, 7.2 * columns, 4 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, curve in zip(grid, curves, strict=False):
            heading(axes, theme, curve.title, curve.subtitle)
            _draw(axes, theme, curve)
        for axes in grid[len(curves) :]:
            axes.set_axis_off()
        title = ", ".join(curve.title for curve in curves)
        return svg(figure, digest([asdict(curve) for curve in curves]), title, "train")


def _draw(axes: Axes, theme: Theme, curve: Curve) -> None:
    from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

    xs, ys = ([getattr(p, name) for p in curve.points] for name in ("iteration", "value"))
    axes.plot(xs, ys, "o-", color=theme.best, markersize=3.5, linewidth=1.3)
    if bars := [(p.iteration, *p.interval) for p in curve.points if p.interval]:
        axes.vlines(*zip(*bars, strict=True), color=theme.best, alpha=0.45)
    axes.set_xlabel("iteration")
    if curve.log:
        axes.loglog()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=axis is axes.xaxis))
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_formatter(NullFormatter())
    else:
        axes.margins(y=0.08)
        axes.set_ylim(bottom=min(0.0, *ys))
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if curve.fit:
        ends = (xs[0], xs[-1])
        axes.plot(ends, [curve.fit.at(x) for x in ends], "--", color=theme.quiet, linewidth=1.3)


def _has_logarithm(point: MeasuredPoint) -> bool:
    return point.iteration >= 1 and point.value > 0
