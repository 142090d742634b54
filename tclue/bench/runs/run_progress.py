"""The progress of a run: a bar with remaining time and dollars, or plain lines in a log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TextIO

from tclue.bench.records import Response, spent_usd

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 10.0


class RunObserver(Protocol):
    """The events that the executor reports."""

    def start(self, variant: str, done: int, total: int, spent_usd: float) -> None:
        """A run begins, of which `done` requests are done and `spent_usd` dollars are spent."""

    def advance(self, response: Response) -> None:
        """A response was recorded."""

    def pace(self, limit: int) -> None:
        """The limit of requests in flight has changed."""

    def stop(self) -> None:
        """The run has ended or stopped."""


class RunProgress:
    """Counts responses, failures and dollars, and shows them: a bar in a terminal, else lines."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._bar: Bar | None = None

    def start(self, variant: str, done: int, total: int, spent_usd: float) -> None:
        """Start to count."""
        self._variant, self._done, self._total = variant, done, total
        self._failed, self._spent_usd = 0, spent_usd
        # number and cost of the responses of this invocation, to estimate the cost of the rest
        self._new, self._new_usd = 0, 0.0
        self._all_priced = True
        self._limit: int | None = None
        self._shown_s = time.monotonic()
        if self._out.isatty():
            from rich.console import Console
            from rich.markup import escape
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn(escape(variant)),
                BarColumn(),
                TextColumn("{task.fields[tally]}"),
                TimeRemainingColumn(),
                console=Console(file=self._out),
            )
            self._task = self._bar.add_task("", completed=done, total=total, tally=self._tally())
            self._bar.start()

    def advance(self, response: Response) -> None:
        """Count a response, and show the count if enough time has passed."""
        self._spent_usd += spent_usd(response)
        if response.scored:
            self._done += 1
            self._all_priced &= response.cost_usd is not None
            self._new, self._new_usd = self._new + 1, self._new_usd + (response.cost_usd or 0.0)
        else:
            self._failed += 1
        self._show()

    def pace(self, limit: int) -> None:
        """Show the limit of requests in flight, from now on."""
        self._limit = limit
        self._show()

    def stop(self) -> None:
        """Show the last count."""
        if self._bar:
            self._bar.stop()
            self._bar = None
        else:
            self._line()

    def _show(self) -> None:
        if self._bar:
            completed = self._done + self._failed
            self._bar.update(self._task, completed=completed, tally=self._tally())
        elif time.monotonic() - self._shown_s >= SECONDS_BETWEEN_LINES:
            self._line()

    def _line(self) -> None:
        self._shown_s = time.monotonic()
        print(f"{self._variant}: {self._tally()}", file=self._out, flush=True)

    def _tally(self) -> str:
        parts = [f"{self._done}/{self._total}", self._dollars()]
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._limit is not None:
            parts.append(f"{self._limit} at once")
        return ", ".join(parts)

    def _dollars(self) -> str:
        if not self._all_priced:
            return "cost unknown"
        spent = f"${self._spent_usd:.4f}"
        remaining = self._total - self._done
        if not remaining or not self._new_usd:
            return spent
        projected_usd = self._spent_usd + remaining * self._new_usd / self._new
        return f"{spent} of about ${projected_usd:.{2 if projected_usd >= 1 else 4}f}"
