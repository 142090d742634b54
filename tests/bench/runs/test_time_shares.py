"""Shares of wall time: by hand, and that they add up."""

import random

import pytest

from tclue.bench.runs.time_shares import TimeShares


def test_alone_it_is_all_ones_own() -> None:
    clock = TimeShares()
    clock.start("a", 100.0)
    assert clock.finish("a", 103.5) == 3.5


def test_time_is_divided_among_those_in_flight() -> None:
    clock = TimeShares()
    clock.start("a", 10.0)
    clock.start("b", 12.0)  # a alone for 2
    clock.start("c", 16.0)  # a and b for 4: 2 each
    assert clock.finish("b", 22.0) == 4.0  # three of them for 6: 2 each
    assert clock.finish("a", 24.0) == 7.0  # a and c for 2: 1 each
    assert clock.finish("c", 25.0) == 4.0  # c alone for 1
    # In flight from 10 to 25, all the time.
    clock.start("a", 40.0)  # nobody pays for the pause
    assert clock.finish("a", 41.0) == 1.0


def test_a_request_is_in_flight_once() -> None:
    clock = TimeShares()
    clock.start("a", 0.0)
    with pytest.raises(ValueError, match="'a' is in flight already"):
        clock.start("a", 1.0)
    clock.finish("a", 2.0)
    with pytest.raises(KeyError):
        clock.finish("a", 3.0)


@pytest.mark.parametrize("seed", range(5))
def test_shares_add_up_to_the_time_in_which_anything_was_in_flight(seed: int) -> None:
    dice, clock = random.Random(seed), TimeShares()
    now, busy, shares, flying = 1e6, 0.0, 0.0, set[int]()
    for request in range(2000):
        step = dice.expovariate(1.0)
        now += step
        busy += step if flying else 0.0
        if flying and dice.random() < 0.5:
            done = dice.choice(sorted(flying))
            flying.remove(done)
            shares += clock.finish(done, now)
        else:
            flying.add(request)
            clock.start(request, now)
    for left in sorted(flying):
        shares += clock.finish(left, now)
    assert shares == pytest.approx(busy, rel=1e-9)
