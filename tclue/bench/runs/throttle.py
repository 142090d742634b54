"""Requests in flight: how many there may be, and how they share the wall time of a machine.

The number is limited by additive increase and multiplicative decrease. This is TCP's method
(Jacobson, "Congestion Avoidance and Control", 1988), counted in requests. A round is the requests
that were sent under one limit: their busy replies have the same cause. docs/reference/bench.md has
the rules, under "Pace".

`Throttle` calculates it and makes tasks wait. `TimeShares` divides the time.
"""

import asyncio
import math
from collections.abc import Callable, Hashable
from contextlib import suppress

from tclue.bench.models.failures import Failure


class Throttle:
    """The limit of one model, for which its tasks wait. A closed one lets none send."""

    def __init__(self, max_in_flight: int, clock: Callable[[], float]) -> None:
        """At most `max_in_flight` requests at once; `clock` counts seconds from any origin."""
        self._max_in_flight = max_in_flight
        self._limit = float(max_in_flight)
        self._clock = clock
        # number of requests in flight
        self.in_flight = 0
        self._round = 0
        # answers that are needed before the limit grows again
        self._answers_before_growth = 0
        self._closed_until_s = -math.inf
        self.closed = False
        self._changed = asyncio.Event()

    @property
    def limit(self) -> int:
        """How many requests may be in flight."""
        return int(self._limit)

    def wait_s(self) -> float | None:
        """Seconds until a request may start, 0 for now; None if another must end first."""
        if self.in_flight >= self.limit:
            return None
        return max(0.0, self._closed_until_s - self._clock())

    def start(self) -> int:
        """Count a request that is sent. Returns its round, for `done`."""
        self.in_flight += 1
        return self._round

    def done(self, round_: int, failure: Failure | None) -> None:
        """Count a request that has ended, with its failure if it failed."""
        self.wake()
        self.in_flight -= 1
        if failure is None:
            if self._answers_before_growth:
                self._answers_before_growth -= 1
            else:
                self._limit = min(self._max_in_flight, self._limit + 1 / self._limit)
            return
        if failure.busy and round_ == self._round:
            self._limit = max(1.0, self._limit / 2)
            self._round += 1
        elif failure.kind == "again" and not failure.busy:
            self._answers_before_growth = self.limit
        if failure.wait_s is not None:
            self._closed_until_s = max(self._closed_until_s, self._clock() + failure.wait_s)

    async def enter(self) -> int | None:
        """Wait for a slot. Returns the round for `done`, or None if it was closed."""
        while not self.closed:
            wait_s = self.wait_s()
            if wait_s == 0:
                return self.start()
            await self.change(wait_s)
        return None

    async def pause(self, seconds: float) -> None:
        """Wait that long, or until it is closed."""
        end_s = self._clock() + seconds
        while not self.closed and (left_s := end_s - self._clock()) > 0:
            await self.change(left_s)

    def close(self) -> None:
        """Let no more tasks in. Waiting tasks return at once."""
        self.closed = True
        self.wake()

    async def change(self, seconds: float | None) -> None:
        """Wait until a slot is returned or it is closed, at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def wake(self) -> None:
        """Let waiting tasks check again."""
        self._changed.set()
        self._changed = asyncio.Event()


class TimeShares:
    """Wall time, divided among the requests that share a machine.

    At each instant the time is divided evenly among the requests in flight (processor sharing, in
    queueing theory). The shares add up to the time in which any request was in flight, so the
    hourly cost of the machine is divided without a remainder. There is no clock: `now` is any
    number of seconds that never decreases.
    """

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
