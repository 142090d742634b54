"""How many requests may be in flight, by hand, and tasks that wait for it."""

import asyncio

import pytest

from tclue.bench.models.failures import Failure
from tclue.bench.runs.throttle import Throttle

LIMITED = Failure("again", busy=True)
BROKEN = Failure("again")


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def throttle(max_in_flight: int = 8) -> tuple[Throttle, Clock]:
    clock = Clock()
    return Throttle(max_in_flight, clock), clock


def answered(limiter: Throttle, count: int) -> None:
    for _ in range(count):
        limiter.done(limiter.start(), None)


def test_it_starts_with_what_was_asked_for_and_never_has_more() -> None:
    limiter, _ = throttle()
    assert limiter.limit == 8
    answered(limiter, 100)
    assert limiter.limit == 8


def test_it_is_full_at_its_limit() -> None:
    limiter, _ = throttle(2)
    first = limiter.start()
    assert limiter.wait_s() == 0
    limiter.start()
    assert limiter.wait_s() is None
    limiter.done(first, None)
    assert limiter.wait_s() == 0


def test_a_round_of_429s_halves_once_and_the_next_round_again() -> None:
    limiter, _ = throttle()
    rounds = [limiter.start() for _ in range(8)]
    for round_ in rounds:
        limiter.done(round_, LIMITED)
    assert (limiter.limit, limiter.in_flight) == (4, 0)
    for _ in range(5):
        limiter.done(limiter.start(), LIMITED)
    assert limiter.limit == 1  # and no less


def test_it_grows_by_one_a_round() -> None:
    limiter, _ = throttle()
    limiter.done(limiter.start(), LIMITED)
    assert limiter.limit == 4
    answered(limiter, 4)
    assert limiter.limit == 4  # 4 + 1/4 + 1/4.25 + ... is just below 5
    answered(limiter, 1)
    assert limiter.limit == 5
    answered(limiter, 1000)
    assert limiter.limit == 8


def test_a_5xx_pauses_growth_for_a_round_and_shrinks_nothing() -> None:
    limiter, _ = throttle()
    limiter.done(limiter.start(), LIMITED)
    limiter.done(limiter.start(), BROKEN)
    assert limiter.limit == 4
    answered(limiter, 4)  # the round that has to go well
    answered(limiter, 4)
    assert limiter.limit == 4
    answered(limiter, 1)
    assert limiter.limit == 5


def test_what_cannot_be_answered_says_nothing_of_the_pace() -> None:
    limiter, _ = throttle()
    for kind in ("maybe-paid", "failed", "stop", "refused"):
        limiter.done(limiter.start(), Failure(kind))
    assert limiter.limit == 8


def test_a_time_to_wait_holds_for_everybody() -> None:
    limiter, clock = throttle()
    limiter.done(limiter.start(), Failure("again", wait_s=7.0, busy=True))
    limiter.done(limiter.start(), Failure("again", wait_s=2.0, busy=True))
    clock.now = 3.0
    assert limiter.wait_s() == 4.0
    clock.now = 7.0
    assert limiter.wait_s() == 0


def test_tasks_wait_at_the_gate() -> None:
    async def run() -> int:
        gate = Throttle(3, asyncio.get_running_loop().time)
        highest = 0

        async def work() -> None:
            nonlocal highest
            round_ = await gate.enter()
            assert round_ is not None
            highest = max(highest, gate.in_flight)
            await asyncio.sleep(0)
            gate.done(round_, None)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(work())
        return highest

    assert asyncio.run(run()) == 3


def test_nobody_is_sent_before_the_time_that_one_was_told() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        gate = Throttle(2, loop.time)
        first = await gate.enter()
        assert first is not None
        start = loop.time()
        gate.done(first, Failure("again", wait_s=0.1, busy=True))
        assert await gate.enter() is not None
        return loop.time() - start

    assert asyncio.run(run()) >= 0.099


@pytest.mark.parametrize("waiting", ["slot", "pause"])
def test_a_closed_gate_lets_everybody_go_at_once(waiting: str) -> None:
    async def run() -> None:
        gate = Throttle(1, asyncio.get_running_loop().time)
        assert await gate.enter() is not None
        task = asyncio.create_task(gate.pause(600) if waiting == "pause" else gate.enter())
        await asyncio.sleep(0)
        gate.close()
        async with asyncio.timeout(300):
            assert await task is None
            assert await gate.enter() is None

    asyncio.run(run())
