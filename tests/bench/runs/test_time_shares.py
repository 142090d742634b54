"""Shares of wall time: by hand, and that they add up."""

import random

import pytest

from tclue.bench.runs.throttle import TimeShares


def test_alone_it_is_all_ones_own() -> None:
    shares_of = TimeShares()
    shares_of.start("a", 100.0)
    assert shares_of.finish("a", 103.5) == 3.5


def test_time_is_divided_among_those_in_flight() -> None:
    shares_of = TimeShares()
    shares_of.start("a", 10.0)
    shares_of.start("b", 12.0)  # a alone for 2
    shares_of.start("c", 16.0)  # a and b for 4: 2 each
    assert shares_of.finish("b", 22.0) == 4.0  # three of them for 6: 2 each
    assert shares_of.finish("a", 24.0) == 7.0  # a and c for 2: 1 each
    assert shares_of.finish("c", 25.0) == 4.0  # c alone for 1
    # In flight from 10 to 25, all the time.
    shares_of.start("a", 40.0)  # nobody pays for the pause
    assert shares_of.finish("a", 41.0) == 1.0


def test_a_request_is_in_flight_once() -> None:
    shares_of = TimeShares()
    shares_of.start("a", 0.0)
    with pytest.raises(ValueError, match="'a' is in flight already"):
        shares_of.start("a", 1.0)
    shares_of.finish("a", 2.0)
    with pytest.raises(KeyError):
        shares_of.finish("a", 3.0)


@pytest.mark.parametrize("seed", range(5))
def test_shares_add_up_to_the_time_in_which_anything_was_in_flight(seed: int) -> None:
    rng, shares_of = random.Random(seed), TimeShares()
    now, busy, shares, flying = 1e6, 0.0, 0.0, set[int]()
    for request in range(2000):
        step = rng.expovariate(1.0)
        now += step
        busy += step if flying else 0.0
        if flying and rng.random() < 0.5:
            done = rng.choice(sorted(flying))
            flying.remove(done)
            shares += shares_of.finish(done, now)
        else:
            flying.add(request)
            shares_of.start(request, now)
    for request in sorted(flying):
        shares += shares_of.finish(request, now)
    assert shares == pytest.approx(busy, rel=1e-9)
