"""Progress of a run: what is done, failed and paid, on a bar or in plain lines."""

import time
from textwrap import shorten
from typing import TextIO

from tclue.bench.records import Response, add_cost
from tclue.progress import SECONDS_BETWEEN_LINES, Progress
from tclue.text import money


class RunProgress:
    """Counts the responses of a run, and shows the counts."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def start(self, variant: str, done: int, total: int, spent_usd: float | None) -> None:
        """Begin to count; so many requests are done and dollars spent (None where unknown)."""
        self._done, self._total = done, total
        self._failed, self._spent_usd = 0, spent_usd
        # number and cost of the responses of this invocation, to estimate the cost of the rest
        self._new, self._new_usd = 0, 0.0
        self._limit: int | None = None
        # until when a request waits, and why
        self._waiting_until, self._why = 0.0, ""
        self._shown = Progress(variant, total, done=done, text=self._tally(), out=self._out)

    def advance(self, response: Response) -> None:
        """Count a response that was recorded, and show it if it is time."""
        self._spent_usd = add_cost(self._spent_usd, response)
        if response.scored:
            self._done += 1
            self._new, self._new_usd = self._new + 1, self._new_usd + (response.cost_usd or 0.0)
        else:
            self._failed += 1
        self._show()

    def pace(self, limit: int) -> None:
        """Show the limit of requests in flight, from now on."""
        self._limit = limit
        self._show()

    def wait(self, seconds: float, why: str) -> None:
        """Show until when a request waits, and why; at once if that is long and none waits yet."""
        now = time.time()
        at_once = seconds >= SECONDS_BETWEEN_LINES and now > self._waiting_until
        self._waiting_until = max(self._waiting_until, now + seconds)
        self._why = shorten(why, 60, placeholder=" ...")
        self._show(at_once)

    def stop(self) -> None:
        """Leave the last count on the screen."""
        self._shown.close()

    def _show(self, at_once: bool = False) -> None:
        self._shown.show(self._done + self._failed, self._tally(), at_once=at_once)

    def _tally(self) -> str:
        parts = [f"{self._done}/{self._total}", self._dollars()]
        if self._failed:
            parts.append(f"{self._failed} failed")
        if self._limit is not None:
            parts.append(f"{self._limit} at once")
        if self._waiting_until > time.time():
            clock = time.strftime("%H:%M:%S", time.localtime(self._waiting_until))
            parts.append(f"waiting until {clock} ({self._why})")
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
