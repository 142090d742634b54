"""Wall time, divided among the requests that share a machine.

At each instant the time is divided evenly among the requests in flight (processor sharing, in
queueing theory). The shares add up to the time in which any request was in flight, so the hourly
cost of the machine is divided without a remainder.

    time_shares.start(request, now); ...; seconds = time_shares.finish(request, now)

It has no clock: `now` is any number of seconds that never decreases.
"""

from __future__ import annotations

from collections.abc import Hashable


class TimeShares:
    """The shares of one machine's time."""

    def __init__(self) -> None:
        # the share until `_now` of a request that has been in flight from the beginning
        self._given_s = 0.0
        self._now = 0.0
        self._given_at_start: dict[Hashable, float] = {}

    def start(self, request: Hashable, now: float) -> None:
        """Count a request as in flight from now on."""
        if request in self._given_at_start:
            raise ValueError(f"{request!r} is in flight already")
        self._advance(now)
        self._given_at_start[request] = self._given_s

    def finish(self, request: Hashable, now: float) -> float:
        """Count a request as no longer in flight. Returns its share in seconds."""
        self._advance(now)
        return self._given_s - self._given_at_start.pop(request)

    def _advance(self, now: float) -> None:
        if self._given_at_start:
            self._given_s += (now - self._now) / len(self._given_at_start)
        self._now = now
