"""Benchmarking: models answer puzzles; each response is recorded with its grade and its cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas


def frame(results: Path | str = "results", *, texts: bool = False) -> pandas.DataFrame:
    """The responses of every run below a results folder, or of one run folder; one a row.

    Imports pandas when it is called. `frames.build` says what the columns are. Raises UserError,
    naming the file and the line, where records cannot be read.
    """
    from tclue.bench.stats.frames import build

    return build(Path(results), texts=texts)
