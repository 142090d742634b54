"""Wall time, divided among the requests that share a machine.

At each instant the time is shared evenly by the requests in flight. So a request's share hangs on
its company, and the shares add up to the time in which anything was in flight: what a machine
costs by the hour is divided without a rest. (In queueing theory: processor sharing.)

    clock.start(request, now); ...; seconds = clock.finish(request, now)

It holds no clock of its own: `now` is any count of seconds that does not go back.
"""

from __future__ import annotations

from collections.abc import Hashable


class TimeShares:
    """The shares of one machine's time."""

    def __init__(self) -> None:
        # Seconds that a request in flight from the beginning would have been given by `_now`.
        self._given_s = 0.0
        self._now = 0.0
        self._given_at_start: dict[Hashable, float] = {}

    def start(self, request: Hashable, now: float) -> None:
        """A request is in flight from now on."""
        if request in self._given_at_start:
            raise ValueError(f"{request!r} is in flight already")
        self._advance(now)
        self._given_at_start[request] = self._given_s

    def finish(self, request: Hashable, now: float) -> float:
        """It is no more; returns its share, in seconds."""
        self._advance(now)
        return self._given_s - self._given_at_start.pop(request)

    def _advance(self, now: float) -> None:
        if self._given_at_start:
            self._given_s += (now - self._now) / len(self._given_at_start)
        self._now = now
