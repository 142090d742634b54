"""Promises of docs/reference/bench.md on money and resuming that no other test holds."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bench_support import (
    Answer,
    Silent,
    bench,
    completion,
    in_turn,
    serving,
    the_run,
    write_puzzles,
)

from tclue.bench.costs.cost import Prices
from tclue.bench.models.model import BuiltinModel, Completion, Request, random_answers
from tclue.bench.options import BenchOptions
from tclue.bench.runs.budget import Budget
from tclue.bench.runs.executor import RunExecutor
from tclue.bench.runs.run import StopError, configuration, dry_run, run_models
from tclue.bench.runs.run_folder import RunFolder
from tclue.errors import UserError
from tclue.puzzle.splits import load_set


@pytest.mark.server
def test_the_models_of_a_command_share_its_money(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 4)
    with serving(lambda _: Answer(completion("A. x"))) as server:
        options = BenchOptions(
            puzzles=str(path),
            results=tmp_path / "r",
            api_base=server.url,
            concurrency=1,
            max_tokens=200,
            max_cost=2.5,
            price_in=200.0,
            price_out=1000.0,
        )
        with pytest.raises(StopError, match=r"other: --max-cost 2\.5 is not enough"):
            run_models(["m", "other"], options, Silent())
        # A reply costs 0.4 dollars.
        assert Counter(body["model"] for body in server.bodies) == {"m": 4, "other": 2}


@pytest.mark.server
def test_each_model_needs_a_known_price(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 1)
    with serving(lambda _: Answer(completion("A. x"))) as server:
        options = BenchOptions(
            puzzles=str(path), results=tmp_path / "r", api_base=server.url, max_cost=1.0
        )
        with pytest.raises(UserError, match="the price of m is unknown"):
            run_models(["random", "m"], options, Silent())
        assert not server.bodies
    assert not (tmp_path / "r").exists()


@pytest.mark.server
def test_what_replies_of_an_earlier_start_cost_is_reserved(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 4)
    # Ten times the output limit: a reply costs 0.2 dollars, and 0.02 are reserved at first.
    with serving(lambda _: Answer(completion("A. x"))) as server:
        for max_cost in (0.25, 0.3):
            options: dict[str, Any] = {"max_tokens": 20, "price_in": 0.0, "price_out": 1000.0}
            with pytest.raises(StopError, match="is not enough to continue"):
                bench(
                    "m",
                    path,
                    tmp_path / "r",
                    api_base=server.url,
                    concurrency=1,
                    max_cost=max_cost,
                    **options,
                )
            assert len(server.bodies) == 1


def test_a_dry_run_loads_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the weights are loaded")

    monkeypatch.setattr("tclue.bench.models.local.LocalModel.open", load)
    path, _ = write_puzzles(tmp_path, 2)
    (bill,) = dry_run(["tiny"], BenchOptions(puzzles=str(path), results=tmp_path / "r"))
    assert bill.requests == 2


# Resuming


@pytest.mark.server
def test_streaming_and_the_price_may_differ_from_the_first_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write_puzzles(tmp_path, 3)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback-0123456789")
    broken = Answer({"error": {"message": "no"}}, 400)
    with serving(in_turn(broken)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        options: dict[str, Any] = {"concurrency": 1, "max_tokens": 100}
        assert bench("openai/gpt-4.1-mini", path, tmp_path / "r", **options).responses == 2
        priced = {
            "service_tier": "flex",
            "extra_body": {"provider": {"max_price": {"prompt": 1.0}}},
        }
        monkeypatch.setattr("tclue.bench.models.resolve.terms", lambda *_: priced)
        summary = bench("openai/gpt-4.1-mini", path, tmp_path / "r", stream=True, **options)
        assert summary.responses == 3
        first, *_, last = server.bodies
    assert ("stream" in first, first["service_tier"]) == (False, "default")
    assert (last["stream"], last["service_tier"]) == (True, "flex")
    assert last["provider"] == {"max_price": {"prompt": 1.0}}


@pytest.mark.server
def test_a_response_is_on_the_disk_before_the_next_request_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write_puzzles(tmp_path, 4)
    synced: dict[tuple[int, int], int] = {}  # file -> its size at the last fsync
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        state = os.fstat(descriptor)
        synced[state.st_dev, state.st_ino] = state.st_size

    monkeypatch.setattr("tclue.journal.os.fsync", fsync)
    seen: list[tuple[int, int]] = []

    def behave(_: dict[str, Any]) -> Answer:
        (file,) = tmp_path.glob("r/*/responses.jsonl")
        state = file.stat()
        unsynced = state.st_size - synced.get((state.st_dev, state.st_ino), 0)
        seen.append((file.read_bytes().count(b"\n"), unsynced))
        return Answer(completion("A. x"))

    with serving(behave) as server:
        bench("m", path, tmp_path / "r", api_base=server.url, concurrency=1)
    assert seen == [(0, 0), (1, 0), (2, 0), (3, 0)]


def run_by_the_hour(tmp_path: Path, model: BuiltinModel, budget: Budget) -> None:
    """Run a model of this process as one whose machine is paid by the hour."""
    path, _ = write_puzzles(tmp_path, 4)
    prices = Prices("gpu-hour", "", hour_usd=0.01)
    model.resolved = replace(model.resolved, prices=prices, slots=4)
    puzzles = load_set(str(path))
    config = configuration("local", model, BenchOptions(puzzles=str(path)), puzzles)

    async def run(folder: RunFolder) -> str | None:
        return await RunExecutor(model, folder, puzzles.puzzles, Silent(), budget).run()

    with RunFolder(tmp_path / "r", config) as folder:
        assert asyncio.run(run(folder)) is None
    assert len(the_run(tmp_path / "r").responses) == 4


def test_local_models_write_no_file_of_requests_in_flight(tmp_path: Path) -> None:
    class Local(BuiltinModel):
        def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
            assert not list(tmp_path.glob("r/*/in_flight.jsonl*"))
            return super().complete(batch)

    run_by_the_hour(tmp_path, Local("random", partial(random_answers, seed=0), 0), Budget(1.0))


def test_where_the_hour_is_paid_for_the_first_request_goes_alone(tmp_path: Path) -> None:
    in_flight, at_start, budget = [0], list[int](), Budget(1.0)
    reserved: list[float] = []

    class Local(BuiltinModel):
        async def complete(
            self, batch: Sequence[Request]
        ) -> AsyncIterator[tuple[Request, Completion]]:
            in_flight[0] += 1
            at_start.append(in_flight[0])
            reserved.append(budget.open_usd)
            for _ in range(100):  # the other workers could begin
                await asyncio.sleep(0)
            async for each in super().complete(batch):
                in_flight[0] -= 1
                yield each

    run_by_the_hour(tmp_path, Local("random", partial(random_answers, seed=0), 0), budget)
    assert (at_start[0], reserved[0]) == (1, 1.0)
    assert max(at_start[1:]) > 1
    first, *_ = the_run(tmp_path / "r").responses
    assert first.cost_usd
    assert reserved[1] == pytest.approx(2 * first.cost_usd)
