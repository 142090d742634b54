"""From the rows of a table to the picture of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tclue.board.figures import Chart, Point
from tclue.board.published_figures import Published
from tclue.board.rows import RankedSet, Row, request_settings
from tclue.board.wording import clean
from tclue.text import counted


def set_chart(ranked: RankedSet) -> Chart:
    """Accuracy against cost; against output tokens where no model of the table has a price."""
    priced = any(row.cost_usd for row in ranked.rows)
    rows = [row for row in ranked.rows if _x(row, priced) is not None]
    axis = "cost" if priced else "output tokens"
    about = f"{counted(ranked.puzzles, 'puzzle')}, grader {clean(ranked.grader)}"
    return Chart(
        f"{clean(ranked.title)}: accuracy against {axis}",
        f"{about}; bars are 95% intervals",
        tuple(_point(row, priced) for row in rows),
        priced,
        tuple(map(tuple, paths(rows))),
        tuple((row.label, row.accuracy or 0.0) for row in ranked.levels),
    )


def published_chart(published: Published) -> Chart:
    """The published figures, marked as quoted."""
    return Chart(
        "Published results: accuracy against cost",
        "Quoted from OpenPipe, March 2025, not measured here; 64 puzzles",
        tuple(
            Point(row.label, 1000 * row.cost_usd, row.accuracy, on_frontier=row.on_frontier)
            for row in published.rows
        ),
        paths=tuple(
            (before, after)
            for after, row in enumerate(published.rows)
            for before, base in enumerate(published.rows)
            if row.model == f"{base.model}, after GRPO"
        ),
    )


def _x(row: Row, priced: bool) -> float | None:
    """Where a row stands on the x axis; None where that is unknown, and for 0 tokens."""
    if priced:
        return None if row.cost_usd is None else 1000 * row.cost_usd
    return row.summary.completion_tokens or None


def _point(row: Row, priced: bool) -> Point:
    accuracy = row.summary.accuracy
    assert accuracy  # a ranked row has a scored response
    return Point(
        row.label,
        _x(row, priced) or 0.0,
        accuracy.value,
        (accuracy.low, accuracy.high),
        row.on_frontier,
        row.summary.complete,
    )


def paths(rows: Sequence[Row]) -> list[list[int]]:
    """For each training run and each set of request settings: the base's row, then its steps'.

    Rows are given by their index in `rows`. A base that is folded below another seed is that row.
    """
    index_of = {run.run: i for i, row in enumerate(rows) for run in (row, *row.seeds)}
    steps: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if trained := row.config.trained:
            settings = request_settings(row.config)
            steps[trained.run, trained.base_checkpoint, *settings].append(i)
    found = []
    for path in steps.values():
        path.sort(key=lambda i: (_step(rows[i]), rows[i].run))
        base = rows[path[0]].base
        start = [index_of[base.run]] if base and base.run in index_of else []
        found.append(start + path)
    return sorted(path for path in found if len(path) > 1)


def _step(row: Row) -> int:
    assert row.config.trained
    return row.config.trained.step
