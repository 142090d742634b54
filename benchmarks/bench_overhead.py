"""The overhead of `tclue bench`: the time that it needs in addition to the time that it waits.

    python benchmarks/bench_overhead.py           # some minutes
    python benchmarks/bench_overhead.py --quick   # the same with few samples
    python benchmarks/bench_overhead.py --inspect-python PYTHON   # a Python with inspect-ai

Design:
* The time is that of the requests in `run_models`, from the first request to the last record.
  Reading before and the summary after are not included. Records are written to a temporary folder
  (set TMPDIR to choose it), which must be on a disk, so that fsync has an effect.
* "in process": a model that has each reply immediately, so all the time is the executor's. It is
  compared with inspect_ai's `mockllm/model` on the same prompts, replies and grader
  (`inspect_mock.py`).
* "loopback" and "slow server": litellm with a server in a separate process
  (`tests/support/providers`), compared with a plain loop of `litellm.acompletion` with the same
  prompts and the same number in flight. The two alternate in short rounds, and the ratio is the
  median of the ratios of the rounds. The plain loop uses the capturing transport too, without a
  capture. Processor times are shown because other programs affect them less. The plain loop is also
  run with httpx's own transport, which `tclue bench` does not use.
* The slow server answers after half a second. The ideal time is that, multiplied by the number of
  replies and divided by the number in flight.
* "memory": the peak memory of a new process with few and with many samples, without litellm
  (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from unittest.mock import patch

from tclue.bench.costs.cost import Prices, Usage, today
from tclue.bench.models.model import (
    Completion,
    Model,
    Request,
    ResolvedModel,
)
from tclue.bench.models.resolve import resolve_all
from tclue.bench.runs import run
from tclue.bench.runs.run import BenchOptions, run_models
from tclue.bench.runs.run_progress import RunProgress
from tclue.puzzle.puzzle import Puzzle, answer_lines
from tclue.puzzle.splits import load_set

ROOT = Path(__file__).parent.parent
PUZZLES = "easy-test"
IN_FLIGHT = 32
MODEL = "openai/gpt-4.1-mini"
TEXT_CHARS = 2000
LATENCY_S = 0.5
IN_PROCESS_ROUNDS = 3


@dataclass(frozen=True)
class Plan:
    """The extent of the measurement: samples of each of the 256 puzzles, and rounds."""

    in_process: int
    loopback: int
    slow: int
    rounds: int
    # samples in all
    memory: tuple[int, int]


FULL = Plan(in_process=4, loopback=1, slow=4, rounds=9, memory=(1_000, 50_000))
QUICK = Plan(in_process=2, loopback=1, slow=1, rounds=1, memory=(1_000, 5_000))


# Requests


def reply_text(puzzle: Puzzle) -> str:
    """A right answer after reasoning, two kilobytes together."""
    clues = puzzle.prompt.splitlines()
    thought = "\n".join(f"So from this it follows where they were: {clue}" for clue in clues)
    return f"{thought[:TEXT_CHARS]}\n\nThe answers:\n{answer_lines(puzzle.solution)}"


class Instant(Model):
    """A model that has each completion immediately, with a hosted model's price and length."""

    def __init__(self, puzzles: Sequence[Puzzle]) -> None:
        prices = Prices(
            "given", today(), prompt_usd_per_million=1.0, completion_usd_per_million=4.0
        )
        self.resolved = ResolvedModel(
            variant="instant",
            prices=prices,
            slots=IN_FLIGHT,
            concurrency=IN_FLIGHT,
            # As for hosted models: what a request may cost is written before it is sent.
            request={"model": "instant"},
            max_output_tokens=1000,
        )
        self._texts = {puzzle.id: reply_text(puzzle) for puzzle in puzzles}
        raw = {"prompt_tokens": 500, "completion_tokens": 600, "total_tokens": 1100}
        self._usage = Usage(500, 600, 0, raw=raw)

    async def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        """Reply."""
        for request in batch:
            text = self._texts[request.puzzle.id]
            yield (
                request,
                Completion(text=text, finish_reason="stop", usage=self._usage, model_id="instant"),
            )


class Elapsed(NamedTuple):
    """Seconds of wall time, and of processor time of this process."""

    wall_s: float
    cpu_s: float


class Stopwatch(RunProgress):
    """The progress of a run: it shows nothing and measures the time of the requests."""

    def __init__(self) -> None:
        """There is no screen."""

    def start(self, *_: object) -> None:
        """The first request follows."""
        self._start = time.perf_counter(), time.process_time()

    def advance(self, response: object) -> None:
        """Nothing is shown."""

    def pace(self, limit: int) -> None:
        """Nothing is shown."""

    def wait(self, seconds: float, why: str) -> None:
        """Nothing is shown."""

    def stop(self) -> None:
        """The last response is recorded."""
        wall_s, cpu_s = self._start
        self.elapsed = Elapsed(time.perf_counter() - wall_s, time.process_time() - cpu_s)


def bench(model: str, samples: int, builtin: Model | None = None, **options: Any) -> Elapsed:
    """Request, grade and record; every reply must be scored."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        chosen = BenchOptions(
            puzzles=PUZZLES, samples=samples, results=Path(folder), concurrency=IN_FLIGHT, **options
        )
        resolved = (lambda *_: [builtin]) if builtin else resolve_all
        with patch.object(run, "resolve_all", resolved):
            (summary,) = run_models([model], chosen, watch)
    right = summary.accuracy is not None and summary.accuracy.value == 1.0
    if summary.responses != summary.responses_asked or (builtin and not right):
        raise AssertionError(f"not what was asked for: {summary}")
    return watch.elapsed


def bare(prompts: Sequence[str], api_base: str) -> Elapsed:
    """The same requests in a plain loop."""
    import litellm

    remaining = iter(prompts)

    async def work() -> None:
        for prompt in remaining:
            messages = [{"role": "user", "content": prompt}]
            reply = await litellm.acompletion(
                model=MODEL, messages=messages, api_base=api_base, num_retries=0, timeout=600
            )
            if not reply.choices[0].message.content:
                raise AssertionError("a reply without text")

    async def all_of_them() -> None:
        watch.start()
        async with asyncio.TaskGroup() as workers:
            for _ in range(IN_FLIGHT):
                workers.create_task(work())
        watch.stop()

    watch = Stopwatch()
    asyncio.run(all_of_them())
    return watch.elapsed


@contextmanager
def serving(latency_s: float) -> Iterator[str]:
    """A server in a separate process; yields its `api_base`."""
    command = [sys.executable, "-m", "tests.support.providers", "--puzzles", PUZZLES]
    command += ["--latency", str(latency_s), "--shape", "plain"]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout
        yield json.loads(server.stdout.readline())["bases"]["openai"]
        server.communicate()


# Measurements


def in_process(plan: Plan, inspect_python: str | None) -> dict[str, Any]:
    """Samples per second of the executor alone, and of inspect_ai if it is installed."""
    puzzles = load_set(PUZZLES).puzzles
    instant, samples = Instant(puzzles), plan.in_process
    walls_s = [bench("instant", samples, instant).wall_s for _ in range(IN_PROCESS_ROUNDS)]
    total = samples * len(puzzles)
    figures: dict[str, Any] = {
        "samples": total,
        "per_s": total / median(walls_s),
        "rounds_per_s": [total / wall_s for wall_s in walls_s],
        "inspect": None,
    }
    if inspect_python:
        job = {
            "puzzles": PUZZLES,
            "samples": samples,
            "in_flight": IN_FLIGHT,
            "texts": {puzzle.id: reply_text(puzzle) for puzzle in puzzles},
        }
        done = subprocess.run(
            [inspect_python, str(Path(__file__).with_name("inspect_mock.py"))],
            input=json.dumps(job),
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
            stdout=subprocess.PIPE,
            check=True,
        )
        theirs = json.loads(done.stdout.splitlines()[-1])
        if (theirs["samples"], theirs["accuracy"]) != (total, 1.0):
            raise AssertionError(f"not what was asked for: {theirs}")
        figures["inspect"] = {"version": theirs["version"], "per_s": total / theirs["wall_s"]}
    return figures


def over_http(samples: int, rounds: int, latency_s: float) -> dict[str, Any]:
    """The executor and the plain loop: samples per second, and the median ratio of the rounds."""
    prompts = [puzzle.prompt for puzzle in load_set(PUZZLES).puzzles] * samples
    ours, loop, over_httpx = [], [], []
    with serving(latency_s) as api_base:
        options: dict[str, Any] = {"api_base": api_base, "price_in": 1.0, "price_out": 4.0}
        bench(MODEL, 1, **options)  # at its first request litellm imports more modules
        for _ in range(rounds):
            ours.append(bench(MODEL, samples, **options))
            loop.append(bare(prompts, api_base))
            if not latency_s:
                with httpx_transport():
                    over_httpx.append(bare(prompts, api_base))
    total, pairs = len(prompts), list(zip(ours, loop, strict=True))
    figures = {
        "samples": total,
        "per_s": total / median(elapsed.wall_s for elapsed in ours),
        "bare_per_s": total / median(elapsed.wall_s for elapsed in loop),
        "ratio": median(b.wall_s / o.wall_s for o, b in pairs),
        "round_ratios": [b.wall_s / o.wall_s for o, b in pairs],
        "cpu_ratio": median(b.cpu_s / o.cpu_s for o, b in pairs),
        "cpu_s_a_sample": median(elapsed.cpu_s for elapsed in ours) / total,
        "bare_cpu_s_a_sample": median(elapsed.cpu_s for elapsed in loop) / total,
    }
    if latency_s:
        ideal_s = total * latency_s / IN_FLIGHT
        figures["over_ideal"] = median(elapsed.wall_s for elapsed in ours) / ideal_s
        figures["bare_over_ideal"] = median(elapsed.wall_s for elapsed in loop) / ideal_s
    else:
        figures["bare_httpx_per_s"] = total / median(elapsed.wall_s for elapsed in over_httpx)
    return figures


@contextmanager
def httpx_transport() -> Iterator[None]:
    """litellm with httpx's own transport instead of aiohttp's."""
    import litellm

    clients: Any = litellm.in_memory_llm_clients_cache
    clients.flush_cache()
    with patch.object(litellm, "disable_aiohttp_transport", True):
        yield
    clients.flush_cache()


def memory(plan: Plan) -> dict[str, Any]:
    """The peak memory of a new process with few and with many samples."""
    peaks = {}
    for total in plan.memory:
        done = subprocess.run(
            [sys.executable, __file__, "--peak", str(total)],
            text=True,
            stdout=subprocess.PIPE,
            check=True,
        )
        peaks[total] = json.loads(done.stdout)
    few, many = (peaks[total] for total in plan.memory)
    more = many["samples"] - few["samples"]
    return {
        "few": few,
        "many": many,
        "bytes_a_sample": (many["peak_bytes"] - few["peak_bytes"]) / more,
    }


def peak(total: int) -> dict[str, int]:
    """Request a number of samples in this process. Returns that number and the peak memory."""
    puzzles = load_set(PUZZLES).puzzles
    samples = max(1, total // len(puzzles))
    bench("instant", samples, Instant(puzzles))
    # Not getrusage, whose peak includes that of the parent process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return {"samples": samples * len(puzzles), "peak_bytes": int(peak_kib) * 1024}


def measure(plan: Plan, inspect_python: str | None) -> dict[str, Any]:
    """Measure everything."""
    os.environ["OPENAI_API_KEY"] = "sk-loopback-only"
    # litellm leaves connections open when an event loop ends, and each round has its own loop.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return {
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "in_flight": IN_FLIGHT,
        "in_process": in_process(plan, inspect_python),
        "loopback": over_http(plan.loopback, plan.rounds, 0.0),
        "slow_server": over_http(plan.slow, 1, LATENCY_S),
        "memory": memory(plan),
    }


# Output


def show(figures: dict[str, Any]) -> str:
    """The figures as plain text."""
    executor, http, slow = figures["in_process"], figures["loopback"], figures["slow_server"]
    few, many = figures["memory"]["few"], figures["memory"]["many"]
    theirs = executor["inspect"]
    beside = (
        f"inspect_ai {theirs['version']} {theirs['per_s']:.0f}"
        if theirs
        else "inspect_ai left out: no --inspect-python"
    )
    return "\n".join(
        [
            f"{figures['cores']} cores, load {figures['load']:.1f} before, "
            f"Python {figures['python']}; {figures['in_flight']} in flight",
            "",
            "            samples  a second",
            f"in process  {executor['samples']:7} {executor['per_s']:9.0f}  {beside}",
            f"loopback    {http['samples']:7} {http['per_s']:9.0f}  "
            f"bare litellm {http['bare_per_s']:.0f}, ratio {http['ratio']:.2f}",
            f"{28 * ' '}of processor time {http['cpu_ratio']:.2f}: "
            f"{1000 * http['cpu_s_a_sample']:.1f} and {1000 * http['bare_cpu_s_a_sample']:.1f} ms; "
            f"bare over httpx {http['bare_httpx_per_s']:.0f} a second",
            f"slow server {slow['samples']:7} {slow['per_s']:9.1f}  "
            f"{slow['over_ideal']:.3f} of the ideal time, "
            f"bare litellm {slow['bare_over_ideal']:.3f}",
            "",
            *(
                f"memory      {size['samples']:7} {size['peak_bytes'] / 2**20:6.0f} MiB"
                for size in (few, many)
            ),
            f"            {figures['memory']['bytes_a_sample']:.0f} bytes more a sample",
        ]
    )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few samples")
    parser.add_argument("--inspect-python", help="a Python with inspect-ai")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps(peak(options.peak)))
        return
    figures = measure(QUICK if options.quick else FULL, options.inspect_python)
    print(json.dumps(figures) if options.json else show(figures))


if __name__ == "__main__":
    main()
