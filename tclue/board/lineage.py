"""Which rows a training run links: each step to the row of its base, and the steps in order.

Two rows belong together when they have the same request settings and one holds the weights that
training began with, by their SHA-256. So paths follow from records alone, whatever the models were
called.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol, TypeVar

from tclue.bench.records import RunConfig


class _LineageRow(Protocol):
    @property
    def run(self) -> str: ...

    @property
    def config(self) -> RunConfig: ...


_R = TypeVar("_R", bound=_LineageRow)


def _request_settings(config: RunConfig) -> tuple[object, ...]:
    """The settings of a run's requests; rows of a table share puzzles and grader already."""
    return (
        config.temperature,
        config.samples,
        config.max_tokens,
        config.seed,
        config.dtype,
        config.api_base,
    )


def base_of(row: _R, rows: Sequence[_R]) -> _R | None:
    """The row of the weights that this row's training began with; None where there is none."""
    trained = row.config.trained
    if trained is None or trained.base_checkpoint is None:
        return None
    bases = [
        other
        for other in rows
        if other.config.checkpoint == trained.base_checkpoint
        and _request_settings(other.config) == _request_settings(row.config)
        and other.run != row.run
    ]
    # Runs may hold these weights under several names: prefer the name that training used.
    return min(bases, key=lambda o: (o.config.model != trained.base, o.run), default=None)


def paths(rows: Sequence[_R]) -> list[list[int]]:
    """For each training run and each set of request settings: the base's row, then the steps'.

    Rows are given by their index in `rows`; paths of a single row are left out.
    """
    index_of = {row.run: i for i, row in enumerate(rows)}
    steps: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if trained := row.config.trained:
            steps[trained.run, trained.base_checkpoint, *_request_settings(row.config)].append(i)
    found_paths = []
    for path in steps.values():
        path.sort(key=lambda i: (_step(rows[i]), rows[i].run))
        base = base_of(rows[path[0]], rows)
        found_paths.append(([index_of[base.run]] if base else []) + path)
    return sorted(path for path in found_paths if len(path) > 1)


def _step(row: _LineageRow) -> int:
    assert row.config.trained
    return row.config.trained.step
