"""Progress of long work: a bar with time left where a person looks, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

# Seconds between plain lines.
_PLAIN_EVERY_S = 10.0


class ProgressSink(Protocol):
    """Receives reports of how far the work has come."""

    def done(self, count: int, note: str = "") -> None:
        """`count` pieces of work are done so far; `note` is shown beside it (dollars so far)."""


class _Lines:
    """Plain lines on standard error, not more often than every few seconds."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total = what, total
        self._start = self._last = time.monotonic()
        self._first: int | None = None

    def done(self, count: int, note: str = "") -> None:
        now = time.monotonic()
        # What an earlier run had done says nothing of this one's pace.
        if self._first is None:
            self._first = count
        if now - self._last < _PLAIN_EVERY_S:
            return
        self._last = now
        fresh = count - self._first
        remaining_s = (now - self._start) / fresh * (self._total - count) if fresh else None
        remaining = f", {remaining_s:.0f} s left" if remaining_s else ""
        line = f"{count} of {self._total} {self._what}{remaining}{note and f', {note}'}"
        print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(what: str, total: int) -> Iterator[ProgressSink]:
    """Show the progress of `total` pieces of work on standard error while the block runs."""
    if not sys.stderr.isatty():
        yield _Lines(what, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, note="")

        class _Bar:
            def done(self, count: int, note: str = "") -> None:
                bar.update(task, completed=count, note=note)

        yield _Bar()
