"""Accuracy against cost, drawn as SVG.

Written by hand, not by a plotting library: the same points give the same bytes whatever is
installed, and the board needs nothing but Python. Cost runs along a logarithmic axis; a model that
costs nothing has no place on one and stands in a strip beside it. Arrows lead from the weights that
a training run began with along the steps that it kept. White background and system fonts: it reads
the same on a light and on a dark page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tclue.board import marks
from tclue.board.labels import (
    Anchor,
    Box,
    Label,
    Segment,
    clean,
    column,
    place,
    shorten,
    text_width,
)
from tclue.text import dollars as dollars
from tclue.text import format_number as format_number

WIDTH, HEIGHT = 960, 600
RADIUS = 5.0
# stands in every picture, and so tells which files of a folder the board may replace
MADE_BY = "<!-- made by tclue leaderboard -->"
# the area that labels keep free around a point's centre
MARKER_PX = RADIUS + 2

_TOP, _BOTTOM, _LEFT, _RIGHT = 76.0, HEIGHT - 62.0, 58.0, WIDTH - 22.0
# from the strip's left side to its points, and to their labels
_STRIP_POINT, _STRIP_LABEL, _STRIP_LABEL_MAX = 16.0, 30.0, 170.0
# how wide the title and the subtitle would be at the labels' size
_TITLE_PX, _SUBTITLE_PX = 530.0, 520.0
_QUIET, _GRID = "#59636e", "#e4e7eb"
_BEST, _OTHER, _TRAINED = "#0b62d6", "#7a828c", "#b35900"
# of an arrow's head: how long, and half of how wide
_HEAD_PX, _HALF_HEAD_PX = 7.0, 3.5


@dataclass(frozen=True)
class Point:
    """One variant in the picture."""

    label: str
    # US dollars a puzzle; 0 puts the point in the strip
    cost_usd: float
    # 0..1, with its 95% interval where there is one
    accuracy: float
    interval: tuple[float, float] | None = None
    on_frontier: bool = False
    # false where answers are missing: drawn hollow
    complete: bool = True


@dataclass(frozen=True)
class Layout:
    """Where everything stands, in pixels."""

    # the areas of the log axis and of the strip (None where nothing is free)
    axis: Box
    strip: Box | None
    # the common logarithms of the dollars at its two ends
    ends: tuple[float, float]
    # for each point: its centre, and its label where there is room for one
    centres: tuple[tuple[float, float], ...]
    labels: tuple[Label | None, ...]
    # the frontier, a step line from its cheapest point to the right side
    steps: tuple[Segment, ...]
    # the arrows along what training did, from marker to marker
    arrows: tuple[Segment, ...] = ()


def svg(
    title: str, subtitle: str, points: Sequence[Point], paths: Sequence[Sequence[int]] = ()
) -> str:
    """The picture, as the text of an SVG file; `paths` lead from point to point."""
    layout = lay_out(points, paths)
    parts = [
        marks.text(_LEFT, 30, shorten(title, _TITLE_PX), 'font-size="18" font-weight="bold"'),
        marks.text(_LEFT, 52, shorten(subtitle, _SUBTITLE_PX), f'font-size="13" fill="{_QUIET}"'),
        *_heights(layout),
        *_strip(layout),
        *_costs(layout, any(point.cost_usd > 0 for point in points)),
        *(marks.line(step, f'stroke="{_BEST}" stroke-width="2"') for step in layout.steps),
        *_legend(points, bool(layout.arrows)),
    ]
    for point, centre in zip(points, layout.centres, strict=True):
        parts += _bar(point, centre)
    for point, centre in zip(points, layout.centres, strict=True):
        parts.append(_marker(point, centre))
    for arrow in layout.arrows:
        parts += _arrow(arrow)
    parts += [part for label in layout.labels if label for part in _label(label)]
    return marks.page(WIDTH, HEIGHT, title, parts, notice=MADE_BY)


def lay_out(points: Sequence[Point], paths: Sequence[Sequence[int]] = ()) -> Layout:
    """Work out where everything stands."""
    free = [i for i, point in enumerate(points) if point.cost_usd == 0]
    priced = [i for i, point in enumerate(points) if point.cost_usd > 0]
    strip = None
    if free:
        widest = max(text_width(clean(points[i].label)) for i in free)
        right = _LEFT + _STRIP_LABEL + min(widest, _STRIP_LABEL_MAX) + 8
        strip = Box(_LEFT, _TOP, round(right, 1), _BOTTOM)
    axis = Box(strip.right + 12 if strip else _LEFT, _TOP, _RIGHT, _BOTTOM)
    ends = _ends([points[i].cost_usd for i in priced])
    centres = [
        (
            _across(point.cost_usd, axis, ends) if point.cost_usd else _LEFT + _STRIP_POINT,
            _height(point.accuracy),
        )
        for point in points
    ]
    steps = _steps([centres[i] for i in priced if points[i].on_frontier])
    labels: list[Label | None] = [None] * len(points)
    anchors = [Anchor(*centre, point.label) for point, centre in zip(points, centres, strict=True)]
    if strip:
        beside = Box(_LEFT + _STRIP_LABEL, _TOP, strip.right, _BOTTOM)
        for i, label in zip(free, column([anchors[i] for i in free], beside), strict=True):
            labels[i] = label
    # Those on the frontier choose first: they are the ones that a reader looks for.
    order = sorted(priced, key=lambda i: (not points[i].on_frontier, *centres[i], points[i].label))
    bars = [_bar_line(points[i], centres[i]) for i in priced]
    arrows = _arrows(centres, paths)
    lines = [*steps, *arrows, *(bar for bar in bars if bar)]
    markers = [_around(*centres[i]) for i in priced]
    for i, label in zip(
        order, place([anchors[i] for i in order], axis, markers, lines), strict=True
    ):
        labels[i] = label
    return Layout(axis, strip, ends, tuple(centres), tuple(labels), tuple(steps), tuple(arrows))


def _around(x: float, y: float) -> Box:
    return Box(x, y, x, y).grown(MARKER_PX)


def _ends(costs: Sequence[float]) -> tuple[float, float]:
    """The logarithms that an axis for these costs runs between: two decades or more."""
    if not costs:
        return -4.0, 0.0
    low, high = math.log10(min(costs)) - 0.3, math.log10(max(costs)) + 0.3
    short = max(0.0, 2 - (high - low)) / 2
    return round(low - short, 2), round(high + short, 2)


# Positions are rounded before anything is decided by them: a logarithm's last bit may differ
# from one machine to another.
def _across(cost_usd: float, axis: Box, ends: tuple[float, float]) -> float:
    share = (math.log10(cost_usd) - ends[0]) / (ends[1] - ends[0])
    return round(axis.left + share * (axis.right - axis.left), 1)


def _height(accuracy: float) -> float:
    # A few pixels at either end, so that points at 0 and 1 stand whole inside the frame.
    return round(_BOTTOM - 12 - accuracy * (_BOTTOM - _TOP - 24), 1)


def _steps(centres: Sequence[tuple[float, float]]) -> list[Segment]:
    # In pixels y falls as accuracy rises: along the frontier it never grows.
    stairs = sorted(centres, key=lambda centre: (centre[0], -centre[1]))
    steps: list[Segment] = []
    for (x, y), (after_x, after_y) in pairwise([*stairs, *((_RIGHT, y) for _, y in stairs[-1:])]):
        steps += [Segment(x, y, after_x, y), Segment(after_x, y, after_x, after_y)]
    return [step for step in steps if step[:2] != step[2:]]


def _arrows(
    centres: Sequence[tuple[float, float]], paths: Sequence[Sequence[int]]
) -> list[Segment]:
    """From marker to marker; none where two markers touch."""
    arrows = []
    for path in paths:
        for (x0, y0), (x1, y1) in pairwise(centres[i] for i in path):
            length = math.hypot(x1 - x0, y1 - y0)
            if length > 2 * MARKER_PX:
                dx, dy = (x1 - x0) / length * MARKER_PX, (y1 - y0) / length * MARKER_PX
                ends = (x0 + dx, y0 + dy, x1 - dx, y1 - dy)
                arrows.append(Segment(*(round(end, 1) for end in ends)))
    return arrows


def _arrow(arrow: Segment) -> list[str]:
    """A line with a head at its end, which is as long as the line where that is short."""
    x, y = arrow.x1, arrow.y1
    length = math.hypot(x - arrow.x0, y - arrow.y0)
    if length == 0:
        return []
    along_x, along_y = (x - arrow.x0) / length, (y - arrow.y0) / length
    head = min(_HEAD_PX, length)
    wide = _HALF_HEAD_PX * head / _HEAD_PX
    back_x, back_y = x - along_x * head, y - along_y * head
    corners = [
        (x, y),
        (back_x - along_y * wide, back_y + along_x * wide),
        (back_x + along_y * wide, back_y - along_x * wide),
    ]
    corner_text = " ".join(f"{corner_x:.1f},{corner_y:.1f}" for corner_x, corner_y in corners)
    return [
        marks.line(arrow, f'stroke="{_TRAINED}" stroke-width="1.5"'),
        f'<polygon points="{corner_text}" fill="{_TRAINED}"/>',
    ]


def _bar_line(point: Point, centre: tuple[float, float]) -> Segment | None:
    if point.interval is None:
        return None
    low, high = point.interval
    return Segment(centre[0], _height(high), centre[0], _height(low))


def _bar(point: Point, centre: tuple[float, float]) -> list[str]:
    """The interval, with a short cap at either end."""
    if not (bar := _bar_line(point, centre)):
        return []
    style = f'stroke="{_colour(point)}" stroke-opacity="0.6"'
    x = centre[0]
    caps = [Segment(x - 4, y, x + 4, y) for y in (bar.y0, bar.y1)]
    return [marks.line(line, style) for line in (bar, *caps)]


def _marker(point: Point, centre: tuple[float, float]) -> str:
    x, y = centre
    return _dot(x, y, _colour(point), point.complete)


def _dot(x: float, y: float, colour: str, filled: bool) -> str:
    fill, edge = (colour, "#ffffff") if filled else ("#ffffff", colour)
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS:.1f}"'
    return f'<circle {place} fill="{fill}" stroke="{edge}" stroke-width="1.5"/>'


def _colour(point: Point) -> str:
    return _BEST if point.on_frontier else _OTHER


def _label(label: Label) -> list[str]:
    halo = 'stroke="#ffffff" stroke-width="3" stroke-linejoin="round" paint-order="stroke"'
    box = label.box
    x = {"start": box.left, "middle": (box.left + box.right) / 2, "end": box.right}[label.side]
    style = f'text-anchor="{label.side}" {halo}'
    leader = (
        [marks.line(label.leader, f'stroke="{_QUIET}" stroke-width="0.7"')] if label.leader else []
    )
    return [*leader, marks.text(x, box.bottom - 3.5, label.text, style)]


def _heights(layout: Layout) -> list[str]:
    """The accuracy axis."""
    left = layout.strip.left if layout.strip else layout.axis.left
    parts = []
    for tenths in range(0, 11, 2):
        y = _height(tenths / 10)
        parts.append(marks.line(Segment(left, y, _RIGHT, y), f'stroke="{_GRID}"'))
        parts.append(
            marks.text(left - 8, y + 4, f"{tenths / 10:.1f}", f'text-anchor="end" fill="{_QUIET}"')
        )
    middle = (_TOP + _BOTTOM) / 2
    turned = f'text-anchor="middle" transform="rotate(-90 18 {middle:.1f})"'
    return [*parts, marks.text(18, middle, "accuracy", turned)]


def _strip(layout: Layout) -> list[str]:
    if not layout.strip:
        return []
    middle = (layout.strip.left + layout.strip.right) / 2
    return [
        marks.frame(layout.strip),
        marks.text(middle, _BOTTOM + 20, "$0", f'text-anchor="middle" fill="{_QUIET}"'),
        marks.text(middle, _BOTTOM + 44, "free", 'text-anchor="middle"'),
    ]


def _costs(layout: Layout, any_priced: bool) -> list[str]:
    """The frame and the cost axis: a labelled tick each decade, small ones between."""
    axis = layout.axis
    parts = [marks.frame(axis), *_ticks(layout)]
    middle = (axis.left + axis.right) / 2
    parts.append(
        marks.text(middle, axis.bottom + 44, "US dollars a puzzle", 'text-anchor="middle"')
    )
    if not any_priced:
        nothing = "no model here has a known cost above zero"
        style = f'text-anchor="middle" fill="{_QUIET}"'
        parts.append(marks.text(middle, (_TOP + _BOTTOM) / 2 + 30, nothing, style))
    return parts


def _ticks(layout: Layout) -> list[str]:
    axis, (low, high) = layout.axis, layout.ends
    # At most ten labels, and small ticks only where they stand apart.
    every = math.ceil((high - low) / 10)
    digits = range(1, 10) if high - low <= 8 else range(1, 2)
    parts = []
    for power in range(math.floor(low), math.floor(high) + 1):
        for digit in digits:
            cost = float(f"{digit}e{power}")
            if not low <= math.log10(cost) <= high:
                continue
            x = _across(cost, axis, layout.ends)
            length = 6 if digit == 1 else 3
            tick = Segment(x, axis.bottom, x, axis.bottom + length)
            parts.append(marks.line(tick, f'stroke="{_QUIET}"'))
            if digit == 1 and power % every == 0:
                style = f'text-anchor="middle" fill="{_QUIET}"'
                parts.append(marks.text(x, axis.bottom + 20, dollars(cost), style))
    return parts


def _legend(points: Sequence[Point], trained: bool) -> list[str]:
    """What the marks mean, at the right above the frame; only those that occur."""
    any_best = any(p.on_frontier for p in points)
    entries = [
        ("on the frontier", _BEST, True, any_best),
        ("not on it", _OTHER, True, any_best and not all(p.on_frontier for p in points)),
        ("incomplete", _OTHER, False, any(not p.complete for p in points)),
    ]
    parts: list[str] = []
    x = _RIGHT
    if trained:
        x -= text_width("training")
        parts += [marks.text(x, 52, "training"), *_arrow(Segment(x - 24, 48, x - 6, 48))]
        x -= 38
    for text, colour, filled, occurs in reversed(entries):
        if not occurs:
            continue
        x -= text_width(text)
        parts += [marks.text(x, 52, text), _dot(x - 11, 48, colour, filled)]
        x -= 28
    return parts
