"""How many requests may be in flight, by hand, and tasks that wait for it."""

import asyncio

import pytest

from tclue.bench.models.failures import Failure
from tclue.bench.runs.throttle import Gate, Throttle

LIMITED = Failure("again", rate_limited=True)
BROKEN = Failure("again")


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def throttle(most: int = 8) -> tuple[Throttle, Clock]:
    clock = Clock()
    return Throttle(most, clock), clock


def answered(one: Throttle, count: int) -> None:
    for _ in range(count):
        one.done(one.start(), None)


def test_it_starts_with_what_was_asked_for_and_never_has_more() -> None:
    one, _ = throttle()
    assert one.limit == 8
    answered(one, 100)
    assert one.limit == 8


def test_it_is_full_at_its_limit() -> None:
    one, _ = throttle(2)
    first = one.start()
    assert one.wait_s() == 0
    one.start()
    assert one.wait_s() is None
    one.done(first, None)
    assert one.wait_s() == 0


def test_a_round_of_429s_halves_once_and_the_next_round_again() -> None:
    one, _ = throttle()
    rounds = [one.start() for _ in range(8)]
    for round_ in rounds:
        one.done(round_, LIMITED)
    assert (one.limit, one.in_flight) == (4, 0)
    for _ in range(5):
        one.done(one.start(), LIMITED)
    assert one.limit == 1  # and no less


def test_it_grows_by_one_a_round() -> None:
    one, _ = throttle()
    one.done(one.start(), LIMITED)
    assert one.limit == 4
    answered(one, 4)
    assert one.limit == 4  # 4 + 1/4 + 1/4.25 + ... is just below 5
    answered(one, 1)
    assert one.limit == 5
    answered(one, 1000)
    assert one.limit == 8


def test_a_5xx_pauses_growth_for_a_round_and_shrinks_nothing() -> None:
    one, _ = throttle()
    one.done(one.start(), LIMITED)
    one.done(one.start(), BROKEN)
    assert one.limit == 4
    answered(one, 4)  # the round that has to go well
    answered(one, 4)
    assert one.limit == 4
    answered(one, 1)
    assert one.limit == 5


def test_what_cannot_be_answered_says_nothing_of_the_pace() -> None:
    one, _ = throttle()
    for kind in ("maybe-paid", "failed", "stop", "refused"):
        one.done(one.start(), Failure(kind))
    assert one.limit == 8


def test_a_time_to_wait_holds_for_everybody() -> None:
    one, clock = throttle()
    one.done(one.start(), Failure("again", wait_s=7.0, rate_limited=True))
    one.done(one.start(), Failure("again", wait_s=2.0, rate_limited=True))
    clock.now = 3.0
    assert one.wait_s() == 4.0
    clock.now = 7.0
    assert one.wait_s() == 0


def test_tasks_wait_at_the_gate() -> None:
    async def run() -> int:
        gate = Gate(Throttle(3, asyncio.get_running_loop().time))
        most = 0

        async def work() -> None:
            nonlocal most
            round_ = await gate.enter()
            assert round_ is not None
            most = max(most, gate.throttle.in_flight)
            await asyncio.sleep(0)
            gate.leave(round_, None)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(work())
        return most

    assert asyncio.run(run()) == 3


def test_nobody_is_sent_before_the_time_that_one_was_told() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        gate = Gate(Throttle(2, loop.time))
        first = await gate.enter()
        assert first is not None
        start = loop.time()
        gate.leave(first, Failure("again", wait_s=0.1, rate_limited=True))
        assert await gate.enter() is not None
        return loop.time() - start

    assert asyncio.run(run()) >= 0.099


@pytest.mark.parametrize("waiting", ["slot", "pause"])
def test_a_closed_gate_lets_everybody_go_at_once(waiting: str) -> None:
    async def run() -> None:
        gate = Gate(Throttle(1, asyncio.get_running_loop().time))
        assert await gate.enter() is not None
        task = asyncio.create_task(gate.pause(600) if waiting == "pause" else gate.enter())
        await asyncio.sleep(0)
        gate.close()
        async with asyncio.timeout(300):
            assert await task is None
            assert await gate.enter() is None

    asyncio.run(run())
