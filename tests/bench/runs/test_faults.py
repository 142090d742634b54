"""Runs against providers that break: what passes, what stops a model, and that scores stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench_support import (
    Answer,
    Silent,
    bench,
    completion,
    gold,
    prompt_of,
    the_run,
    write_puzzles,
)
from bench_support import serving as server_of
from providers import (
    BASE_VARIABLES,
    KEY_VARIABLES,
    MODELS,
    PROVIDERS,
    QUICK,
    SLOW,
    STOPPING,
    Entry,
    Fault,
    Model,
    Settings,
    bases,
    serving,
)

from tclue.bench.models import hosted
from tclue.bench.models.hosted import HostedModel
from tclue.bench.models.model import Completion, Request
from tclue.bench.runs.run import BenchOptions, StopError, run_models
from tclue.puzzle.grading.grade import grader

pytestmark = pytest.mark.server

# The providers that also hang in the long test, one streamed and one not.
HANGS = ("openrouter", "gemini")


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory: pytest.TempPathFactory) -> None:
    """litellm imports more at its first request: that takes its time here, not in a test."""
    folder = tmp_path_factory.mktemp("first")
    path, puzzles = write_puzzles(folder, 1)
    with pytest.MonkeyPatch.context() as patch, serving(Settings(Model(puzzles))) as server:
        as_the_providers(patch)
        for name, base in bases(server).items():
            bench(MODELS[name], path, folder / name, api_base=base)


def as_the_providers(patch: pytest.MonkeyPatch) -> None:
    """The loopback server stands for each provider's own host, and is sent its key, no real one."""
    patch.setattr("tclue.bench.models.resolve._is_providers_own", lambda *_: True)
    for variable in KEY_VARIABLES.values():
        patch.setenv(variable, "sk-of-this-test")


@pytest.fixture(autouse=True)
def keys_and_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real key is read by a test, and pauses are short."""
    as_the_providers(monkeypatch)
    monkeypatch.setattr("tclue.bench.runs.executor.FIRST_PAUSE_S", 0.02)


@pytest.fixture
def give_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[Entry], None]:
    """Lets the time of the request run out that the server hangs on; no other's ever does.

    So a reply that comes is never too late, however busy the machine is. That a time-out of so many
    seconds is one, tests/bench/models/test_hosted.py shows.
    """
    current_request: ContextVar[tuple[str, int]] = ContextVar("asking")
    times: dict[tuple[str, int | None], tuple[asyncio.AbstractEventLoop, asyncio.Timeout]] = {}
    original = HostedModel._complete_request

    async def complete_request(model: HostedModel, request: Request) -> Completion:
        current_request.set((request.puzzle.id, (model.resolved.seed or 0) + request.sample))
        return await original(model, request)

    def timeout(_: float | None) -> asyncio.Timeout:
        time = asyncio.timeout(None)
        times[current_request.get()] = asyncio.get_running_loop(), time
        return time

    def now(entry: Entry) -> None:
        loop, time = times[entry.puzzle, entry.seed]

        def expire() -> None:
            if not time.expired():
                time.reschedule(0.0)
            # Bytes that are still on their way do not put it off.
            vars(time)["reschedule"] = lambda _: None

        loop.call_soon_threadsafe(expire)

    monkeypatch.setattr(HostedModel, "_complete_request", complete_request)
    monkeypatch.setattr(hosted, "asyncio", SimpleNamespace(**vars(asyncio) | {"timeout": timeout}))
    return now


@pytest.mark.slow
@pytest.mark.parametrize("provider", PROVIDERS)
def test_with_faults_in_three_of_ten_replies_all_scores_are_the_same(
    tmp_path: Path, provider: str, give_up: Callable[[Entry], None]
) -> None:
    path, puzzles = write_puzzles(tmp_path, 64)
    samples, sound = 4, grader("sound")
    model = Model(puzzles, seed=3, wrong=0.3, unusable=0.2)
    kinds = QUICK * 6 + SLOW if provider in HANGS else QUICK
    settings = Settings(model, faults=0.3, kinds=kinds, seed=5, retry_after="0.01", on_hang=give_up)
    # Anthropic takes no seed; of its samples each is answered alike.
    seed = None if provider == "anthropic" else 100
    with serving(settings) as server:
        for _ in range(8):  # what failed is asked again by the same command
            summary = bench(
                MODELS[provider],
                path,
                tmp_path / "r",
                samples=samples,
                seed=seed,
                stream=provider in ("openai", "deepseek", "openrouter"),
                api_base=bases(server)[provider],
            )
            if not summary.outcomes.get("failed"):
                break
        ledger = server.ledger
    assert {fault for fault, n in ledger.faults().items() if n} == {None, *kinds}
    final = {response.pair: response for response in the_run(tmp_path / "r").final()}
    assert len(final) == 64 * samples
    expected = []
    for puzzle in puzzles:
        for sample in range(samples):
            reply = model.reply(puzzle.prompt, None if seed is None else seed + sample)
            response = final[puzzle.id, sample]
            assert response.outcome == reply.outcome, response
            assert response.grade is not None
            expected.append(sound.grade(puzzle, reply.text).accuracy)
            assert response.grade.accuracy == expected[-1]
    assert summary.accuracy is not None
    assert summary.accuracy.value == pytest.approx(sum(expected) / len(expected))
    # What was served whole, and so paid for, was asked once.
    assert ledger.served().total() == 64 * samples
    assert set(ledger.served().values()) == {samples if seed is None else 1}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_fault_costs_one_request_and_no_score(
    tmp_path: Path, provider: str, streamed: bool
) -> None:
    path, puzzles = write_puzzles(tmp_path, len(QUICK))
    faults = dict(zip([puzzle.id for puzzle in puzzles], QUICK, strict=True))
    settings = Settings(Model(puzzles), first=faults, retry_after="0.01")
    with serving(settings) as server:
        for _ in range(2):
            summary = bench(
                MODELS[provider],
                path,
                tmp_path / "r",
                stream=streamed,
                api_base=bases(server)[provider],
            )
        came = server.ledger.came
    assert summary.accuracy is not None
    assert (summary.responses, summary.accuracy.value) == (len(QUICK), 1.0)
    # The one that met the fault, and the one that went well.
    assert set(came.values()) == {2}, came
    for response in the_run(tmp_path / "r").responses:
        if not response.scored:
            assert response.error
            assert response.grade is None
            # An empty reply is billed, too, and OpenRouter says so.
            assert response.cost_usd == response.usage.reported_usd


TOLD: dict[Fault, str] = {
    "quota": "credit|quota|paid for",
    "wrong-key": "key",
    "expired-key": "key",
    "forbidden": "key may not",
    "unknown-model": "does not know this model",
}


@pytest.mark.parametrize("fault", STOPPING)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_does_not_pass_stops_the_model_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, fault: Fault
) -> None:
    path, puzzles = write_puzzles(tmp_path, 12)
    other_provider = "deepseek" if provider == "openai" else "openai"
    settings = Settings(Model(puzzles), broken={provider: fault}, broken_after=5)
    with serving(settings) as server:
        for name, base in bases(server).items():
            monkeypatch.setenv(BASE_VARIABLES[name], base)
        options = BenchOptions(puzzles=str(path), results=tmp_path / "r", concurrency=2)
        with pytest.raises(StopError, match=TOLD[fault]) as stopped:
            run_models([MODELS[provider], MODELS[other_provider]], options, Silent())
        assert [summary.responses for summary in stopped.value.summaries] == [5, 12]
        assert sum(n for request, n in server.ledger.came.items() if request[0] == provider) <= 7
        assert "\n" not in str(stopped.value)
        server.settings.broken = {}
        run_models([MODELS[provider]], options, Silent())
        assert server.ledger.served().total() == 24


DEEP = b"[" * 100_000
ODD = {
    "Infinity": Answer({}, 429, {"Retry-After": "Infinity"}),
    "nan": Answer({}, 429, {"Retry-After": "nan"}),
    "digits": Answer({"error": {"details": [{"retryDelay": f"{'9' * 400}s"}]}}, 429),
    "50 MB": Answer(b'{"error": {"message": "' + b"x sk-12345678 " * 3_700_000, 500),
    "deep": Answer(b'{"error": {"message": ' + DEEP, 500),
    "number": Answer({"error": {"message": 7, "code": [1]}}, 500),
    "bytes": Answer(b'{"error": "\xff\x00', 500),
    "not compressed": Answer(b"x", 429, {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_failure_that_is_odd_is_one_that_passes(tmp_path: Path, odd: Answer) -> None:
    path, puzzles = write_puzzles(tmp_path, 3)
    right, replies = gold(puzzles), [odd]

    def behave(body: dict[str, Any]) -> Answer:
        return replies.pop() if replies else Answer(completion(right(prompt_of(body))))

    with server_of(behave) as server:
        summary = bench("m", path, tmp_path / "r", api_base=server.url)
    assert summary.responses == 3
    assert summary.accuracy is not None
    assert summary.accuracy.value == 1.0
    assert sorted(response.tries for response in the_run(tmp_path / "r").responses) == [1, 1, 2]
