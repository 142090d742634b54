"""Promises of docs/reference/bench.md that no other test holds: outcomes, retries, pace."""

import asyncio
import io
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench_support import (
    Answer,
    Silent,
    bench,
    completion,
    gold,
    in_turn,
    serving,
    stream,
    the_run,
    write_puzzles,
)
from commands import environment

from tclue.bench.models.model import Request
from tclue.bench.models.resolve import resolve_all
from tclue.bench.options import BenchOptions
from tclue.bench.runs import executor
from tclue.bench.runs.run import run_models
from tclue.bench.runs.run_progress import RunProgress
from tclue.puzzle.puzzle import Puzzle

REFUSED = Answer({"error": {"message": "Invalid prompt", "code": "content_filter"}}, 400)


def wrong(puzzle: Puzzle) -> str:
    """An answer to every question, all of them wrong."""
    return "\n".join(
        f"{letter}. {next(o for o in options if o != puzzle.solution[letter])}"
        for letter, options in puzzle.options.items()
    )


# Outcomes


@pytest.mark.server
@pytest.mark.parametrize(
    ("finish", "right", "outcome"),
    [
        ("stop", True, "answered"),
        ("stop", False, "answered"),
        ("length", True, "truncated"),
        ("model_context_window_exceeded", True, "truncated"),
        ("content_filter", True, "refused"),
    ],
)
def test_every_outcome_but_failed_is_scored_by_its_text(
    tmp_path: Path, finish: str, right: bool, outcome: str
) -> None:
    path, (puzzle,) = write_puzzles(tmp_path, 1)
    text = gold([puzzle])(puzzle.prompt) if right else wrong(puzzle)
    with serving(lambda _: Answer(completion(text, finish=finish))) as server:
        summary = bench("m", path, tmp_path / "r", api_base=server.url)
    (response,) = the_run(tmp_path / "r").responses
    assert response.outcome == outcome
    assert response.grade is not None
    assert response.grade.accuracy == summary.accuracy.value == right  # type: ignore[union-attr]


@pytest.mark.server
@pytest.mark.parametrize("asked", [False, True], ids=["whole", "stream"])
def test_how_a_reply_came_is_read_from_its_bytes(tmp_path: Path, asked: bool) -> None:
    """Without a finish reason, a whole reply is complete, and a stream was cut off."""
    path, (puzzle,) = write_puzzles(tmp_path, 1)
    text = gold([puzzle])(puzzle.prompt)
    whole = completion(text)
    whole["choices"][0]["finish_reason"] = None
    answers = {"answered": Answer(whole), "failed": stream({"content": text}, finish=None)}
    for outcome, answer in answers.items():
        with serving(in_turn(answer)) as server:
            bench("m@none", path, tmp_path / outcome, api_base=server.url, stream=asked)
        assert ("stream" in server.bodies[0]) == asked
        assert the_run(tmp_path / outcome).responses[0].outcome == outcome


@pytest.mark.server
def test_a_refusal_that_arrives_as_an_error_is_scored(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 1)
    with serving(lambda _: REFUSED) as server:
        for _ in range(2):  # it is an outcome, so it is not asked for again
            summary = bench("m", path, tmp_path / "r", api_base=server.url)
        assert len(server.bodies) == 1
    assert (summary.outcomes["refused"], summary.responses) == (1, 1)
    assert summary.accuracy is not None
    assert summary.accuracy.value == 0


@pytest.mark.server
@pytest.mark.parametrize(
    ("answers", "latency_s"),
    [
        ((Answer({"error": {"message": "busy"}}, 429, {"Retry-After": "0"}),), 3.0),
        ((Answer({"error": {"message": "too long"}}, 400),), 7.0),
    ],
)
def test_the_latency_is_that_of_the_last_attempt(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: tuple[Answer, ...],
    latency_s: float,
) -> None:
    clock = iter([100.0, 107.0, 200.0, 203.0])
    fake = SimpleNamespace(perf_counter=lambda: next(clock), time=time.time)
    monkeypatch.setattr("tclue.bench.models.hosted.time", fake)
    path, _ = write_puzzles(tmp_path, 1)
    with serving(in_turn(*answers)) as server:
        bench("m", path, tmp_path / "r", api_base=server.url)
    (response,) = the_run(tmp_path / "r").responses
    assert response.latency_s == latency_s


@pytest.mark.server
def test_one_line_has_the_number_of_failures_and_the_most_common_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = write_puzzles(tmp_path, 4)
    answers = [Answer({"error": {"message": why}}, 400) for why in ("odd", "long", "long")]
    with serving(in_turn(*answers)) as server:
        bench("m", path, tmp_path / "r", api_base=server.url, concurrency=1)
    assert capsys.readouterr().err == (
        "m: 3 failed, 2 of them with: 400: long; the same command requests them again\n"
    )


# Retries


def test_pauses_double_to_a_minute_and_vary_by_up_to_a_fifth(tmp_path: Path) -> None:
    _, (puzzle,) = write_puzzles(tmp_path, 1)
    requests = [Request(puzzle, sample) for sample in range(300)]
    for tries, seconds in enumerate((2, 4, 8, 16, 32), 1):
        pauses = [executor._pause_s(request, tries, None) / seconds for request in requests]
        assert 0.8 <= min(pauses) < 0.83
        assert 1.17 < max(pauses) <= 1.2
    for tries in (7, 8, 100):
        assert {executor._pause_s(request, tries, None) for request in requests} == {60.0}


def test_a_provider_that_asks_for_too_short_a_wait_is_believed_five_times(tmp_path: Path) -> None:
    _, (puzzle,) = write_puzzles(tmp_path, 1)
    request = Request(puzzle, 0)
    assert [executor._pause_s(request, tries, 0.5) for tries in range(1, 6)] == [0.5] * 5
    assert executor._pause_s(request, 6, 0.5) > 50
    assert executor._pause_s(request, 6, 700.0) == 700.0


@pytest.mark.server
def test_who_follows_a_run_is_told_what_a_request_waits_for(tmp_path: Path) -> None:
    waits: list[tuple[float, str]] = []

    class Following(Silent):
        def wait(self, seconds: float, why: str) -> None:
            waits.append((seconds, why))

    path, _ = write_puzzles(tmp_path, 1)
    busy = Answer({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.01"})
    with serving(in_turn(busy)) as server:
        options = BenchOptions(puzzles=str(path), results=tmp_path / "r", api_base=server.url)
        run_models(["m"], options, Following())
    assert waits == [(0.01, "429: slow down")]


# A bug: the grader raises an error once, while the other requests are in flight.
BUG = """
from tclue.bench.runs import executor
from tclue.cli import main
right, calls = executor.regrade, []
def once(*arguments):
    calls.append(1)
    if len(calls) == 2:
        raise ZeroDivisionError("odd")
    return right(*arguments)
executor.regrade = once
main()
"""


@pytest.mark.server
def test_a_bug_has_exit_code_1_and_the_same_command_resumes(tmp_path: Path) -> None:
    path, _ = write_puzzles(tmp_path, 4)
    command = ["bench", "--models", "random", "--puzzles", str(path), "--results", "r"]
    done = subprocess.run(
        [sys.executable, "-c", BUG, *command],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ZeroDivisionError: odd\n" in done.stderr
    assert executor.RESUME in done.stderr
    before = the_run(tmp_path / "r").responses
    assert [response.scored for response in before].count(True) < 4
    assert bench("random", path, tmp_path / "r").responses == 4
    assert the_run(tmp_path / "r").responses[: len(before)] == before


# Pace


def test_the_progress_shows_how_many_may_be_in_flight_once_that_has_changed() -> None:
    out = io.StringIO()
    progress = RunProgress(out)
    progress.start("m", 0, 9, 0.0)
    progress.stop()
    progress.pace(3)
    progress.stop()
    assert out.getvalue().splitlines() == ["m: 0/9, $0", "m: 0/9, $0, 3 at once"]


@pytest.mark.server
def test_the_bytes_of_a_reply_put_the_end_of_the_silence_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[float] = []

    def timeout(_: float | None) -> asyncio.Timeout:
        timer = asyncio.timeout(None)
        reschedule = timer.reschedule

        def noted(when: float | None) -> None:
            if when is not None:
                ends.append(when)
            reschedule(when)

        vars(timer)["reschedule"] = noted
        return timer

    patched = SimpleNamespace(**vars(asyncio) | {"timeout": timeout})
    monkeypatch.setattr("tclue.bench.models.hosted.asyncio", patched)
    path, _ = write_puzzles(tmp_path, 1)
    with serving(lambda _: stream({"content": "A. x"})) as server:
        bench("m", path, tmp_path / "r", api_base=server.url)
    # At the start, at the headers, and at what follows them.
    assert len(ends) >= 3
    assert all(sooner < later for sooner, later in pairwise(ends))


@pytest.mark.parametrize(("max_tokens", "timeout_s"), [(None, 13_700.0), (5000, 1400.0)])
def test_the_defaults_of_the_pace(max_tokens: int | None, timeout_s: float) -> None:
    options = BenchOptions(api_base="http://localhost:1/v1", max_tokens=max_tokens)
    (model,) = resolve_all("m", options)
    resolved = model.resolved
    assert resolved.slots == resolved.concurrency == 32
    assert (resolved.silence_timeout_s, resolved.timeout_s) == (900.0, timeout_s)
