"""The picture of a table: accuracy against cost, or against output tokens without any price.

The frontier is a line of steps. Arrows lead from the weights that a training run began with along
the steps that it kept. `random` and `solver` are lines across the picture: chance and the ceiling.
Models that cost nothing stand left of a logarithmic axis, which has no place for 0.
"""

from __future__ import annotations

import contextlib
import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tclue.board.drawing import Theme, digest, heading, sheet, svg
from tclue.board.notes import shorten
from tclue.text import dollars

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# With more points than this, only those on the frontier and trained ones are labelled.
MOST_LABELS = 40
_Line = Sequence[tuple[float, float]]
# Characters of a label's line.
_LABEL_LINE = 34


@dataclass(frozen=True)
class Point:
    """One variant in the picture."""

    label: str
    # US dollars for 1,000 puzzles, or output tokens a response; 0 dollars stand left of the axis
    x: float
    # 0..1, with its 95% interval if there is one
    accuracy: float
    interval: tuple[float, float] | None = None
    on_frontier: bool = False
    # false where answers are missing: drawn hollow
    complete: bool = True


@dataclass(frozen=True)
class Chart:
    """Everything that a picture is drawn from."""

    title: str
    subtitle: str
    points: tuple[Point, ...]
    # whether x is in dollars; it is in tokens where no model has a price
    priced: bool = True
    # the points that a training run leads along, by their index in `points`
    paths: tuple[tuple[int, ...], ...] = ()
    # lines across the picture: a name, and an accuracy
    levels: tuple[tuple[str, float], ...] = ()

    @property
    def trained(self) -> set[int]:
        """The points that training leads from and to."""
        return {i for path in self.paths for i in path}

    @property
    def named(self) -> list[int]:
        """The points that have a label and an error bar: in a crowd, only those that matter."""
        few = len(self.points) <= MOST_LABELS
        return [i for i, p in enumerate(self.points) if few or p.on_frontier or i in self.trained]

    @property
    def digest(self) -> str:
        """The digest of the data, with numbers to the six digits that `board.json` has."""
        return digest(rounded(asdict(self)))

    def draw(self, theme: Theme) -> bytes:
        """The picture, as an SVG file that holds its digest."""
        with sheet(theme, 10, 6) as figure:
            axes = figure.subplots()
            heading(axes, theme, shorten(self.title, 70), shorten(self.subtitle, 75))
            _draw(axes, theme, self)
            return svg(figure, self.digest, self.title, "leaderboard")


def rounded(value: Any) -> Any:
    """Numbers to six digits, so that a last bit that differs between machines does not show."""
    match value:
        case dict():
            return {key: rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [rounded(item) for item in value]
        case float():
            # A fraction's noise near 0 is absolute; the digits of a small cost all count.
            return float(f"{value:.6g}") if abs(value) > 1e-12 else 0.0
        case _:
            return value


def _draw(axes: Axes, theme: Theme, chart: Chart) -> None:
    xs = _set_costs(axes, theme, chart)
    axes.set_ylim(-0.03, 1.05)
    axes.set_yticks([tenths / 10 for tenths in range(0, 11, 2)])
    axes.set_ylabel("accuracy")
    right = axes.get_xlim()[1]
    lines: list[_Line] = []
    for _, accuracy in chart.levels:
        line = [(axes.get_xlim()[0], accuracy), (right, accuracy)]
        axes.plot(*zip(*line, strict=True), ":", color=theme.quiet, linewidth=1.2)
        lines.append(line)
    stairs = sorted((x, p.accuracy) for x, p in zip(xs, chart.points, strict=True) if p.on_frontier)
    if stairs:
        stairs.append((right, stairs[-1][1]))
        line = [c for (x, y), (x1, y1) in pairwise(stairs) for c in ((x, y), (x1, y), (x1, y1))]
        axes.plot(*zip(*line, strict=True), color=theme.best, linewidth=1.5)
        lines.append(line)
    named = set(chart.named)
    for i, (x, point) in enumerate(zip(xs, chart.points, strict=True)):
        colour = theme.best if point.on_frontier else theme.other
        if point.interval and i in named:
            low, high = point.interval
            errors = [[max(0.0, point.accuracy - low)], [max(0.0, high - point.accuracy)]]
            axes.errorbar(x, point.accuracy, errors, color=colour, capsize=3, elinewidth=1)
            lines.append([(x, low), (x, high)])
        axes.plot(
            x, point.accuracy, "o", markersize=7, zorder=3, markeredgecolor=colour,
            markerfacecolor=colour if point.complete else theme.page,
        )  # fmt: skip
    for path in chart.paths:
        for start, end in pairwise((xs[i], chart.points[i].accuracy) for i in path):
            style = {"arrowstyle": "-|>", "color": theme.trained, "shrinkA": 5, "shrinkB": 5}
            axes.annotate("", end, start, arrowprops=style, zorder=2.5)
            lines.append([start, end])
    _legend(axes, theme, chart)
    _label(axes, theme, chart, xs, lines)


def _set_costs(axes: Axes, theme: Theme, chart: Chart) -> list[float]:
    """Set up the x axis; where each point stands on it."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    known = [point.x for point in chart.points if point.x > 0] or [1.0]
    low, high = math.log10(min(known)), math.log10(max(known))
    # At least two decades, so that there are round ticks on it.
    margin = max(0.25, (2 - (high - low)) / 2)
    free = 10 ** (low - margin - 0.2)
    left = 10 ** (low - margin - (0.6 if any(p.x == 0 for p in chart.points) else 0))
    axes.set_xscale("log")
    axes.set_xlim(left, 10 ** (high + margin))
    axes.xaxis.set_major_locator(LogLocator(numticks=9))
    powers = range(math.floor(low - margin), math.ceil(high + margin))
    small = [digit * 10.0**power for power in powers for digit in range(2, 10)]
    axes.xaxis.set_minor_locator(FixedLocator([x for x in small if x > free]))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda x, _: dollars(x) if chart.priced else f"{x:,.10g}")
    )
    axes.set_xlabel("US dollars for 1,000 puzzles" if chart.priced else "output tokens a response")
    if left < free:
        axes.axvspan(left, free, color=theme.grid, alpha=0.5, linewidth=0)
        axes.annotate(
            "free", (math.sqrt(left * free), 0), (0, -14), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", color=theme.quiet,
        )  # fmt: skip
    return [point.x or math.sqrt(left * free) for point in chart.points]


def _legend(axes: Axes, theme: Theme, chart: Chart) -> None:
    """What the marks mean, above the axes; only those that occur."""
    from matplotlib.lines import Line2D

    on = [point.on_frontier for point in chart.points]
    marks = [
        (any(on), theme.best, theme.best, "on the frontier"),
        (any(on) and not all(on), theme.other, theme.other, "not on it"),
        (not all(p.complete for p in chart.points), theme.other, theme.page, "incomplete"),
    ]
    handles = [
        Line2D([], [], color="none", marker="o", mec=edge, mfc=face, label=label)
        for shown, edge, face, label in marks
        if shown
    ]
    if chart.paths:
        line = Line2D([], [], color=theme.trained, marker=">", markevery=[1], label="training")
        handles.append(line)
    if handles:
        axes.legend(
            handles=handles, loc="lower right", bbox_to_anchor=(1.01, 0.99), ncols=len(handles),
            columnspacing=1.2, handletextpad=0.4, borderaxespad=0.2,
        )  # fmt: skip


def _label(
    axes: Axes, theme: Theme, chart: Chart, xs: Sequence[float], lines: Sequence[_Line]
) -> None:
    """Name the points and the levels; a label that fits nowhere clear of the rest is left out."""
    import textalloc

    points = chart.points
    left, right = axes.get_xlim()
    for name, accuracy in chart.levels:
        axes.annotate(
            f"{name}\n{accuracy:.3f}", (right, accuracy), (4, 0), textcoords="offset points",
            va="center", color=theme.quiet, fontsize=8,
        )  # fmt: skip
    if not points:
        axes.text(0.5, 0.5, "no model to show yet", transform=axes.transAxes, ha="center")
        return
    # Those that a reader looks for choose their places first.
    named = sorted(
        chart.named,
        key=lambda i: (not points[i].on_frontier, i not in chart.trained, xs[i], i),
    )
    # It takes no empty list: the left edge of the picture is a line in any case.
    edges = [*lines, [(left, 0.0), (left, 1.0)]]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints if it finds no room
        textalloc.allocate(
            axes,
            [xs[i] for i in named],
            [points[i].accuracy for i in named],
            [wrapped(points[i].label) for i in named],
            x_scatter=list(xs),
            y_scatter=[point.accuracy for point in points],
            x_lines=[[x for x, _ in line] for line in edges],
            y_lines=[[y for _, y in line] for line in edges],
            xlims=(left, right),
            ylims=axes.get_ylim(),
            textsize=8,
            textcolor=theme.ink,
            linecolor=theme.quiet,
            linewidth=0.6,
            va="bottom",
            margin=0.006,
            max_distance=0.35,
            nbr_candidates=1500,
            draw_all=False,
            avoid_label_lines_overlap=True,
            avoid_crossing_label_lines=True,
        )


def wrapped(text: str) -> str:
    """A label on several lines, first broken before its brackets."""
    name, bracket, rest = text.partition(" (")
    parts = [name, f"({rest}"] if bracket else [name]
    return "\n".join(line for part in parts for line in textwrap.wrap(part, _LABEL_LINE) or [""])
