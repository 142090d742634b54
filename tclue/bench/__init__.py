"""Benchmarking: models answer puzzles, and each response is recorded with its grade and cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def frame(results: Path | str = "results", *, texts: bool = False) -> pandas.DataFrame:
    """A pandas frame with one row per response, of all runs in a results folder, or of one run.

    `frames.build` describes the columns. Raises UserError, which names the file and the line, if
    records cannot be read.
    """
    from tclue.bench.stats.frames import build

    return build(Path(results), texts=texts)
