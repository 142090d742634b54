"""Which row holds the weights that a row's training began with.

Two rows belong together if they have the same request settings and one holds the weights that the
other's training began with, by their SHA-256, whatever the models were called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from tclue.bench.records import RunConfig


class _LineageRow(Protocol):
    @property
    def run(self) -> str: ...

    @property
    def config(self) -> RunConfig: ...


_R = TypeVar("_R", bound=_LineageRow)


def request_settings(config: RunConfig) -> tuple[object, ...]:
    """The settings of a run's requests, the seed first; a table's rows share puzzles and grader."""
    return (
        config.seed,
        config.temperature,
        config.samples,
        config.max_tokens,
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
        and request_settings(other.config) == request_settings(row.config)
        and other.run != row.run
    ]
    # Runs may hold these weights under several names: prefer the name that training used.
    return min(bases, key=lambda o: (o.config.model != trained.base, o.run), default=None)
