"""The executor: what stops it, what it waits for, and what it keeps in memory."""

import asyncio
import errno
import math
import os
import re
import signal
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from itertools import chain, count, cycle
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
    spawn,
    the_run,
    write_puzzles,
)

from tclue.bench.costs.cost import Prices, Usage
from tclue.bench.models.failures import Failure
from tclue.bench.models.model import Completion, Model, Request, ResolvedModel
from tclue.bench.options import BenchOptions
from tclue.bench.records import Run, read_run
from tclue.bench.runs import executor
from tclue.bench.runs.executor import RunExecutor
from tclue.bench.runs.regrade import regrade
from tclue.bench.runs.run import StopError, configuration, run_models
from tclue.bench.runs.run_folder import RunFolder
from tclue.bench.runs.run_progress import RunProgress
from tclue.bench.runs.throttle import Throttle
from tclue.errors import UserError
from tclue.puzzle.splits import load_set


class Scripted(Model):
    """A model in this process that yields the given completions."""

    def __init__(
        self, completions: Iterable[Completion], slots: int = 4, prices: str = "free"
    ) -> None:
        self.resolved = ResolvedModel(
            variant="scripted",
            prices=Prices(prices, "", hour_usd=3600.0),  # type: ignore[arg-type]
            slots=slots,
        )
        self._completions = iter(completions)
        self.requests_sent = 0

    async def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        for request in batch:
            self.requests_sent += 1
            await asyncio.sleep(0.01)
            yield request, next(self._completions)


def ask_all(
    model: Scripted,
    path: Path,
    results: Path,
    samples: int = 1,
    progress: RunProgress | None = None,
) -> tuple[str | None, Path]:
    """Run a model of this process; returns why it stopped, and the run's folder."""
    options = BenchOptions(puzzles=str(path), results=results, samples=samples)
    puzzles = load_set(str(path))
    config = configuration("scripted", model, options, puzzles)

    async def run(folder: RunFolder) -> str | None:
        return await RunExecutor(model, folder, puzzles.puzzles, progress or Silent()).run()

    with RunFolder(results, config) as folder:
        return asyncio.run(run(folder)), folder.path


def always(completion: Completion) -> Iterable[Completion]:
    while True:
        yield completion


def test_a_row_of_requests_that_come_to_nothing_stops(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 12)
    failures = [Completion(error=why, failure=Failure("maybe-paid")) for why in ("lost", "gone")]
    model = Scripted(cycle(failures))
    stop, folder = ask_all(model, path, tmp_path / "r", samples=4)
    assert stop == "20 requests in a row failed (the last: gone)"
    assert executor.MAX_LOST_IN_A_ROW <= model.requests_sent < executor.MAX_LOST_IN_A_ROW + 4
    assert {r.outcome for r in read_run(folder).responses} == {"failed"}


TOO_LONG = Completion(error="400: 901 tokens are too many", failure=Failure("failed"))
ANSWERED = Completion(text="A. x", finish_reason="stop", usage=Usage(1, 1))


@pytest.mark.parametrize("first", [ANSWERED, replace(TOO_LONG, error="400: something else")])
def test_requests_that_cannot_be_answered_do_not_stop_the_others(
    tmp_path: Path, first: Completion
) -> None:
    path, _ = write_puzzles(tmp_path, 12)
    stop, folder = ask_all(Scripted(chain([first], always(TOO_LONG))), path, tmp_path / "r", 3)
    assert stop == (None if first is ANSWERED else "no request was answered")
    assert len(read_run(folder).responses) == 36
    # What was answered in an earlier start counts as well.
    stop, _ = ask_all(Scripted(always(TOO_LONG)), path, tmp_path / "r", 3)
    assert (stop is None) == (first is ANSWERED)


def test_a_model_that_always_fails_in_the_same_way_is_stopped(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 12)
    failures = (
        replace(TOO_LONG, error=f"400: {n} tokens are too many (request {n}a)") for n in range(99)
    )
    model = Scripted(failures)
    stop, folder = ask_all(model, path, tmp_path / "r", 3)
    assert stop == (
        "the first 12 requests failed with the same message "
        "(the last: 400: 11 tokens are too many (request 11a))"
    )
    assert 12 <= model.requests_sent == len(read_run(folder).responses) < 12 + 4


@pytest.mark.parametrize("where", ["complete", "grading", "record", "progress", "batches"])
def test_an_error_that_nobody_expects_lets_the_others_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path, _ = write_puzzles(tmp_path, 12)
    calls = count()

    def once(*_: object) -> None:
        if next(calls) == 3:
            raise ZeroDivisionError("odd")

    class Odd(Scripted):
        async def complete(
            self, batch: Sequence[Request]
        ) -> AsyncIterator[tuple[Request, Completion]]:
            if where == "complete":
                once()
            await asyncio.sleep(0.05)  # the others are in flight when one raises
            async for each in super().complete(batch):
                yield each

        def batches(self, requests: Sequence[Request]) -> Iterable[Sequence[Request]]:
            for request in requests:
                if where == "batches":
                    once()
                yield [request]

    class Advancing(Silent):
        def advance(self, response: object) -> None:
            once()

    def first(function: Any) -> Any:
        def called(*arguments: Any) -> Any:
            once()
            return function(*arguments)

        return called

    if where == "grading":
        monkeypatch.setattr(executor, "regrade", first(regrade))
    if where == "record":
        monkeypatch.setattr(RunFolder, "_line", first(RunFolder._line))
    progress = Advancing() if where == "progress" else Silent()
    model = Odd(always(ANSWERED), prices="given")
    with pytest.raises(ZeroDivisionError, match="odd") as raised:
        ask_all(model, path, tmp_path / "r", progress=progress)
    assert raised.value.__notes__ == [executor.RESUME]
    assert raised.traceback[-1].name == "once"
    responses, sent = the_run(tmp_path / "r").responses, model.requests_sent
    scored = [response for response in responses if response.scored]
    if where in ("complete", "grading"):  # it was sent, and may be paid for
        (failed,) = [response for response in responses if not response.scored]
        assert failed.error == "internal error: ZeroDivisionError('odd')"
        assert failed.text == ("A. x" if where == "grading" else "")
    # Those in flight were recorded, and nothing more was sent.
    assert len(scored) == sent - (where in ("grading", "record")) <= 7
    stop, _ = ask_all(Scripted(always(ANSWERED)), path, tmp_path / "r")
    assert stop is None


class Times:
    """A loop's clock that pauses move on at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pauses: list[float] = []
        self.now_s = 1000.0

        async def pause(throttle: Throttle, seconds: float) -> None:
            self.pauses.append(seconds)
            self.now_s += seconds
            await asyncio.sleep(0)

        monkeypatch.setattr(Throttle, "pause", pause)

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, *_: object) -> asyncio.TimerHandle:
        assert when == math.inf, "a run without a time limit"
        return asyncio.get_running_loop().call_at(when, str)


BUSY = Completion(error="429: slow down", failure=Failure("again", busy=True))
BROKEN = Completion(error="500: oops", failure=Failure("again"))


def ask_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, completions: Iterable[Completion]
) -> tuple[str | None, list[float], Run]:
    path, _ = write_puzzles(tmp_path, 2)
    times = Times(monkeypatch)
    original = RunExecutor.__init__

    def init(self: RunExecutor, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        self._loop = times  # type: ignore[assignment]
        self._throttle._clock = times.time

    monkeypatch.setattr(RunExecutor, "__init__", init)
    stop, folder = ask_all(Scripted(completions, slots=1), path, tmp_path / "r")
    return stop, times.pauses, read_run(folder)


def test_a_busy_provider_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A limit of 80 seconds that says nothing of a time needs 7 tries, and other failures count.
    completions = [*[BUSY] * 8, *[BROKEN] * 4, BUSY, BUSY, ANSWERED, *[BUSY] * 15, ANSWERED]
    stop, pauses, run = ask_busy(tmp_path, monkeypatch, completions)
    assert stop is None
    assert [response.tries for response in run.responses] == [15, 16]
    assert pauses[:14] == sorted(pauses[:14])
    assert pauses[5:14] == [60.0] * 9


@pytest.mark.parametrize("wait_s", [None, 0.0, 240.0])
def test_a_provider_that_stays_busy_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_s: float | None
) -> None:
    busy = replace(BUSY, failure=Failure("again", busy=True, wait_s=wait_s))
    stop, pauses, run = ask_busy(tmp_path, monkeypatch, chain([ANSWERED], always(busy)))
    assert stop == "the provider is busy, and answered nothing for 15 minutes (429: slow down)"
    assert 600 < sum(pauses) <= 900
    assert len(pauses) < 30
    assert [response.outcome for response in run.responses] == ["unparsed"]


def test_the_progress_says_what_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = RunProgress(sys.stderr)
    progress.start("m", 0, 9, 0.0)
    for _ in range(32):  # each of the requests in flight waits
        progress.wait(80.0, "429: slow down " + "x" * 99)
    progress.wait(2.0, "500: oops")
    progress.stop()
    first, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"m: 0/9, \$0, waiting until \d\d:\d\d:\d\d \(429: slow down \.\.\.\)", first
    )
    assert last.endswith("(500: oops)")


def test_a_shared_machine_is_paid_for_once(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 12)
    again = Completion(error="busy", failure=Failure("again", wait_s=0.0))
    good = Completion(text="A. x", finish_reason="stop", usage=Usage(1, 1))
    start = time.perf_counter()
    _, folder = ask_all(
        Scripted([again, *[good] * 12], slots=4, prices="gpu-hour"), path, tmp_path / "r"
    )
    wall_s = time.perf_counter() - start
    responses = read_run(folder).responses
    assert [r.tries for r in responses].count(2) == 1
    # A dollar a second: 13 tries of 0.01 s, up to four at once.
    spent_s = sum(r.cost_usd or 0.0 for r in responses)
    assert 0.03 <= spent_s <= wall_s


@pytest.mark.slow
@pytest.mark.server
def test_the_time_that_the_command_may_take(tmp_path: Path) -> None:
    path, puzzles = write_puzzles(tmp_path, 12)
    right, slow = gold(puzzles), {puzzle.prompt for puzzle in puzzles[3:]}

    def behave(body: dict[str, Any]) -> Answer:
        prompt = prompt_of(body)
        return Answer(completion(right(prompt)), pause_s=300 if prompt in slow else 0)

    with serving(behave) as server:
        bench("m", path, tmp_path / "first", api_base=server.url, limit=1)  # imports take time
        options = {"api_base": server.url, "concurrency": 4, "max_tokens": 100}
        prices = {"price_in": 1.0, "price_out": 1.0}
        start = time.monotonic()
        # What comes at once may be late on a busy machine: it needs no more than more time.
        for total_s in (3.0, 12.0, 48.0):
            results = tmp_path / f"r{total_s:g}"
            with pytest.raises(StopError) as stopped:
                bench("m", path, results, total_timeout_s=total_s, **options, **prices)
            responses = the_run(results).responses
            failed = [r for r in responses if r.outcome == "failed"]
            if len(responses) == 7:
                break
        assert "the time is up; 9 of 12 are left" in str(stopped.value)
        assert time.monotonic() - start < 300  # none of the slow ones was waited for
        assert (len(responses) - len(failed), len(failed)) == (3, 4)
        # They may have been paid for.
        assert {r.error for r in failed} == {"given up at --total-timeout"}
        assert all(r.at_most_usd and r.at_most_usd > 0 for r in failed)
        slow.clear()
        assert bench("m", path, results, **options, **prices).responses == 12


@pytest.mark.parametrize("opening_s", [0.0, 0.1])
def test_nothing_is_sent_once_the_time_is_up(tmp_path: Path, opening_s: float) -> None:
    path, _ = write_puzzles(tmp_path, 6)
    model = Scripted(always(Completion(text="A. Nobody")), prices="unknown")
    model.open = lambda: time.sleep(opening_s)  # type: ignore[method-assign]
    puzzles = load_set(str(path))
    config = configuration("scripted", model, BenchOptions(puzzles=str(path)), puzzles)

    async def run(folder: RunFolder) -> str | None:
        deadline_s = asyncio.get_running_loop().time() + opening_s / 2
        return await RunExecutor(
            model, folder, puzzles.puzzles, Silent(), deadline_s=deadline_s
        ).run()

    with RunFolder(tmp_path / "r", config) as folder:
        assert asyncio.run(run(folder)) == "the time is up"
    # No record of requests that were given up as soon as they were sent, and may be paid for.
    assert (model.requests_sent, the_run(tmp_path / "r").responses) == (0, ())


@pytest.mark.slow
@pytest.mark.server
def test_the_first_ctrl_c_waits_for_what_is_paid_for(tmp_path: Path) -> None:
    path, puzzles = write_puzzles(tmp_path, 12)
    right, go_on = gold(puzzles), threading.Event()

    def behave(body: dict[str, Any]) -> Answer:
        go_on.wait(300)
        return Answer(completion(right(prompt_of(body))))

    with serving(behave) as server:
        process = spawn("m", path, tmp_path / "r", api_base=server.url, concurrency=3)
        while len(server.bodies) < 3:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert "waiting for 3 in flight" in process.stderr.readline()
        go_on.set()
        _, errors = process.communicate()
        assert process.returncode == 130
        assert "the same command resumes" in errors.splitlines()[-1]
        assert len(server.bodies) == 3
    assert [r.outcome for r in the_run(tmp_path / "r").responses] == ["answered"] * 3


@pytest.mark.slow
@pytest.mark.server
def test_a_limit_of_one_server_slows_all_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "FIRST_PAUSE_S", 0.02)
    path, _ = write_puzzles(tmp_path, 60)
    lock, now, refused, slowed = threading.Lock(), [0], [0], threading.Event()

    def behave(_: dict[str, Any]) -> Answer:
        with lock:
            now[0] += 1
            too_many = now[0] > 4
            refused[0] += too_many
        if not too_many:
            # On a busy machine requests come one by one: only if these stay are there too many.
            slowed.wait(300)
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        if too_many:
            return Answer({"error": {"message": "slow down"}}, 429)
        return Answer(completion("A. x"))

    limits: list[int] = []

    class Paced(Silent):
        def pace(self, limit: int) -> None:
            limits.append(limit)
            if limit <= 4:
                slowed.set()

    with serving(behave) as server:
        options = BenchOptions(
            puzzles=str(path), results=tmp_path / "r", api_base=server.url, concurrency=16
        )
        (summary,) = run_models(["m"], options, Paced())
    assert summary.responses == 60
    assert summary.failed_attempts == 0
    assert min(limits) <= 4
    assert refused[0] < 60


def test_a_full_disk_loses_nothing_that_was_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = write_puzzles(tmp_path, 8)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def full(*_: object) -> tuple[int, OSError]:
        return 0, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tclue.journal.Journal.append", full)
    model = Scripted(always(Completion(text="A. x", finish_reason="stop", usage=Usage(1, 1))))
    with pytest.raises(UserError, match=r"No space left on device.*: 4 responses\. The same"):
        ask_all(model, path, tmp_path / "r")
    monkeypatch.undo()
    assert model.requests_sent == 4  # no more is sent
    assert list(tmp_path.glob("r/*/rescued-*.jsonl"))
    # As the message says: the same command adds them.
    ask_all(model, path, tmp_path / "r")
    (folder,) = (tmp_path / "r").iterdir()
    assert not list(folder.glob("rescued-*"))
    assert model.requests_sent == 8
    assert len({response.pair for response in read_run(folder).responses}) == 8


@pytest.mark.slow
def test_memory_does_not_grow_with_the_texts(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 10)

    def peak(samples: int) -> int:
        text = "x" * 50_000
        completions = (
            Completion(text=f"{text}{i}", finish_reason="stop", usage=Usage(1, 1))
            for i in range(10**6)
        )
        tracemalloc.start()
        try:
            ask_all(Scripted(completions, slots=8), path, tmp_path / str(samples), samples)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # what is imported on the way
    few, many = peak(4), peak(40)
    # 360 responses more, 18 MB of text: a twentieth of that is left of them.
    assert many - few < 900_000
