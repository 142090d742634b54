"""Progress of a run: a bar with time left and dollars, or plain lines in a log."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Protocol, TextIO

from tclue.bench.records import Response, add_cost
from tclue.text import money

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES = 10.0


class RunObserver(Protocol):
    """The events that the executor reports."""

    def start(self, variant: str, done: int, total: int, spent_usd: float | None) -> None:
        """A run begins; so many requests are done and dollars spent (None where unknown)."""

    def advance(self, response: Response) -> None:
        """A response was recorded."""

    def pace(self, limit: int) -> None:
        """The limit of requests in flight has changed."""

    def stop(self) -> None:
        """The run has ended, or was broken off."""


class RunProgress:
    """Counts what is done, failed and paid, and shows it: a bar on a terminal, else lines."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._bar: Bar | None = None

    def start(self, variant: str, done: int, total: int, spent_usd: float | None) -> None:
        """Begin to count."""
        self._variant, self._done, self._total = variant, done, total
        self._failed, self._spent_usd = 0, spent_usd
        # number and cost of this invocation's responses, to project the cost of the rest
        self._new, self._new_usd = 0, 0.0
        self._limit: int | None = None
        self._shown_s = time.monotonic()
        if self._out.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.markup import escape
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.table import Column

            console = Console(file=self._out)
            # The name and the tally have a line each; on a narrow screen they wrap.
            self._bar = Progress(
                TextColumn("{task.description}\n{task.fields[tally]}", table_column=Column()),
                BarColumn(min(40, max(4, console.width - 72))),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task(
                escape(variant), completed=done, total=total, tally=self._tally()
            )
            self._bar.start()

    def advance(self, response: Response) -> None:
        """Count a response, and show it if it is time."""
        self._spent_usd = add_cost(self._spent_usd, response)
        if response.scored:
            self._done += 1
            self._new, self._new_usd = self._new + 1, self._new_usd + (response.cost_usd or 0.0)
        else:
            self._failed += 1
        self._show()

    def pace(self, limit: int) -> None:
        """Show the limit of requests in flight from now on."""
        self._limit = limit
        self._show()

    def stop(self) -> None:
        """Leave the last count on the screen."""
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
        if self._spent_usd is None:
            return "cost unknown"
        spent = money(self._spent_usd)
        remaining = self._total - self._done
        if not remaining or not self._new_usd:
            return spent
        projected_usd = self._spent_usd + remaining * self._new_usd / self._new
        return f"{spent} of about {money(projected_usd)}"
