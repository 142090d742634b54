"""`--max-cost`: the arithmetic, and runs that stop before the money is passed."""

import threading
from pathlib import Path
from typing import Any

import pytest
from bench_support import (
    Answer,
    Silent,
    bench,
    completion,
    gold,
    prompt_of,
    serving,
    the_run,
    write_puzzles,
)

from tclue.bench.costs.cost import Prices, Usage
from tclue.bench.models.model import ResolvedModel
from tclue.bench.runs.budget import Budget, Ceiling
from tclue.bench.runs.run import BenchOptions, StopError, run_models
from tclue.errors import UserError

REPLY_USD = 0.4  # of a reply of `completion` (1000 + 200 tokens) at these prices
PRICES: dict[str, Any] = {"price_in": 200.0, "price_out": 1000.0}


def test_money_is_set_aside_and_given_back() -> None:
    budget = Budget(1.0, spent_usd=0.4)
    first = budget.reserve(0.5)
    assert first
    assert first.usd == 0.5
    assert budget.reserve(0.2) is None
    budget.settle(first, 0.1)
    assert budget.reserve(0.5)
    assert (budget.spent_usd, budget.open_usd) == (0.5, 0.5)
    unlimited = Budget().reserve(1e9)
    assert unlimited
    assert unlimited.usd == 1e9
    # What is free is asked whatever was spent.
    assert Budget(1.0, spent_usd=1.5).reserve(0.0)


def test_what_nobody_knows_goes_alone() -> None:
    budget = Budget(1.0)
    first = budget.reserve(0.1)
    assert first
    assert budget.reserve(None) is None
    budget.settle(first, 0.1)
    rest = budget.reserve(None)
    assert rest
    assert rest.usd == pytest.approx(0.9)
    assert budget.reserve(0.0001) is None


def test_until_a_reply_has_come_a_tenth_is_set_aside() -> None:
    budget = Budget(10.0)
    assert budget.reserve(0.6, proven=False)
    assert budget.reserve(0.6, proven=False) is None
    assert budget.reserve(0.4, proven=False)
    assert budget.reserve(0.6, proven=True)
    # One request may need more.
    assert Budget(10.0).reserve(5.0, proven=False)


def test_what_is_set_aside_is_raised() -> None:
    budget = Budget(10.0)
    first = budget.reserve(2.0)
    assert first
    budget.reserve(1.0)
    budget.raise_open(3.0)
    assert budget.open_usd == pytest.approx(9.0)
    budget.settle(first, 6.0)
    assert budget.open_usd == pytest.approx(3.0)
    # It may be raised above the limit: then nothing more is sent.
    budget.raise_open(3.0)
    assert budget.reserve(0.01) is None


def test_the_most_that_a_request_may_cost() -> None:
    prices = Prices("given", "", prompt_usd_per_million=10.0, completion_usd_per_million=100.0)
    limited = Ceiling(prices, ResolvedModel(variant="m", prices=prices, max_tokens=1000))
    # 400 bytes: 200 tokens at most, and 64 around them.
    assert limited.max_usd("x" * 400) == pytest.approx((264 * 10 + 1000 * 100) / 1e6)
    # Of a stream that was cut off, the provider has told the prompt.
    cut_off_usd = limited.max_usd("x" * 400, Usage(prompt_tokens=90))
    assert cut_off_usd == pytest.approx((90 * 10 + 1000 * 100) / 1e6)
    bounded = Ceiling(prices, ResolvedModel(variant="m", prices=prices, max_output_tokens=2000))
    assert bounded.max_usd("") == pytest.approx((64 * 10 + 2000 * 100) / 1e6)
    unknown = Ceiling(prices, ResolvedModel(variant="m", prices=prices))
    assert unknown.max_usd("x") is None
    assert unknown.count_cost("x", 0.25) == 1.0
    assert unknown.count_cost("x", 0.1) == 1.0
    assert unknown.max_usd("x") == 2 * 0.25
    assert unknown.count_cost("x", 0.5) == 2.0
    assert unknown.max_usd("x") == 2 * 0.5
    assert (
        Ceiling(Prices("free", ""), ResolvedModel(variant="m", prices=prices)).max_usd("x") == 0.0
    )


def test_the_ceiling_rises_with_what_replies_really_cost() -> None:
    prices = Prices("given", "", prompt_usd_per_million=10.0, completion_usd_per_million=100.0)
    ceiling = Ceiling(prices, ResolvedModel(variant="m", prices=prices, max_tokens=1000))
    usd = ceiling.max_usd("x" * 400)
    assert usd
    assert ceiling.count_cost("x" * 400, None) == 1.0
    assert not ceiling.proven
    assert ceiling.count_cost("x" * 400, usd / 2) == 1.0
    assert ceiling.proven
    assert ceiling.max_usd("x" * 400) == usd
    assert ceiling.count_cost("x" * 400, usd * 3) == pytest.approx(3.0)
    assert ceiling.count_cost("x" * 400, usd * 2) == 1.0
    assert ceiling.count_cost("x" * 400, usd * 6) == pytest.approx(2.0)
    assert ceiling.max_usd("x" * 400) == pytest.approx(usd * 6)
    assert ceiling.max_usd("x" * 400, Usage(prompt_tokens=90)) == pytest.approx(
        6 * (90 * 10 + 1000 * 100) / 1e6
    )


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("max_tokens", [200, None])
def test_a_run_stops_before_the_money_and_goes_on_with_more(
    tmp_path: Path, max_tokens: int | None
) -> None:
    path, puzzles = write_puzzles(tmp_path, 12)
    right = gold(puzzles)

    def behave(body: dict[str, Any]) -> Answer:
        return Answer(completion(right(prompt_of(body))), pause_s=0.02)

    def options(max_cost: float | None) -> BenchOptions:
        return BenchOptions(
            puzzles=str(path),
            results=tmp_path / "r",
            api_base=server.url,
            concurrency=4,
            max_tokens=max_tokens,
            max_cost=max_cost,
            **PRICES,
        )

    with serving(behave) as server:
        with pytest.raises(StopError, match="--max-cost 2 is not enough to continue") as stopped:
            run_models(["m"], options(2.0), Silent())
        (summary,) = stopped.value.summaries
        requests = len(server.bodies)
        assert requests == summary.responses
        assert 1 <= requests * REPLY_USD <= 2.0
        # What is spent counts: no more is asked with the same.
        with pytest.raises(StopError, match=r"\$\d\.\d+ is spent"):
            run_models(["m"], options(2.0), Silent())
        assert len(server.bodies) == requests
        run_models(["m"], options(50.0), Silent())
        assert len(server.bodies) == 12
        # A finished run needs no money.
        run_models(["m"], options(0.01), Silent())


@pytest.mark.server
def test_where_no_limit_is_known_the_first_goes_alone(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 8)
    lock, in_flight, in_flight_at_start, overlapping = threading.Lock(), [0], [], threading.Event()

    def behave(_: dict[str, Any]) -> Answer:
        with lock:
            in_flight[0] += 1
            in_flight_at_start.append(in_flight[0])
            number = len(in_flight_at_start)
        if in_flight[0] > 1:
            overlapping.set()
        # The first two would see others that are sent beside them; the next one waits for another.
        overlapping.wait(0.1 if number <= 2 else 300)
        with lock:
            in_flight[0] -= 1
        return Answer(completion("A. x"))

    with serving(behave) as server:
        bench("m", path, tmp_path / "r", api_base=server.url, max_cost=9.0, **PRICES)
    assert in_flight_at_start[:2] == [1, 1]
    assert max(in_flight_at_start) > 1


@pytest.mark.server
def test_what_an_answer_without_usage_may_have_cost_is_spent(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 2)
    silent = {k: v for k, v in completion("A. x").items() if k != "usage"}
    with serving(lambda _: Answer(silent)) as server:
        options = BenchOptions(
            puzzles=str(path),
            results=tmp_path / "r",
            api_base=server.url,
            max_tokens=1000,
            max_cost=2.0,
            **PRICES,
        )
        with pytest.raises(StopError, match="--max-cost 2 is not enough to continue"):
            run_models(["m"], options, Silent())
        assert len(server.bodies) == 1
    (response,) = the_run(tmp_path / "r").responses
    assert (response.outcome, response.cost_usd) == ("unparsed", None)
    assert response.at_most_usd is not None
    assert 1.0 < response.at_most_usd < 2.0


@pytest.mark.server
def test_an_unknown_price_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 1)
    with serving(lambda _: Answer(completion("A. x"))) as server:
        options = {"api_base": server.url, "max_cost": 1.0}
        with pytest.raises(
            UserError, match="the price of m is unknown: expected --price-in and --price-out"
        ):
            bench("m", path, tmp_path / "r", **options)
        assert not server.bodies
        assert not (tmp_path / "r").exists()
        bench("m", path, tmp_path / "r", **options, price_in=1.0, price_out=1.0)
        # The price of the first call holds.
        bench("m", path, tmp_path / "r", **options)
    assert bench("random", path, tmp_path / "r", max_cost=1.0).cost_usd == 0.0
