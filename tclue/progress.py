"""Progress of long work: a bar with the time left in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tclue.text import counted

# Seconds between plain lines.
_PLAIN_EVERY_S = 10.0


class ProgressSink(Protocol):
    """Receives reports of how far the work has come."""

    def done(self, count: int) -> None:
        """`count` pieces of work are done so far."""


class _Lines:
    """Plain lines on standard error, not more often than every few seconds."""

    def __init__(self, noun: str, total: int) -> None:
        self._noun, self._total = noun, total
        self._start = self._last = time.monotonic()
        self._first: int | None = None

    def done(self, count: int) -> None:
        now = time.monotonic()
        # Work that an earlier run did says nothing about the pace of this one.
        if self._first is None:
            self._first = count
        if now - self._last < _PLAIN_EVERY_S:
            return
        self._last = now
        fresh = count - self._first
        remaining_s = (now - self._start) / fresh * (self._total - count) if fresh else None
        remaining = f", {remaining_s:.0f} s left" if remaining_s else ""
        line = f"{count} of {counted(self._total, self._noun)}{remaining}"
        print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(noun: str, total: int) -> Iterator[ProgressSink]:
    """Show the progress of `total` pieces of work, each a `noun`, on standard error."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield _Lines(noun, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(f"{noun}s"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(noun, total=total)

        class _Bar:
            def done(self, count: int) -> None:
                bar.update(task, completed=count)

        yield _Bar()
