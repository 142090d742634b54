"""What `tclue bench` costs beside what it waits for.

    python benchmarks/bench_overhead.py           # some minutes
    python benchmarks/bench_overhead.py --quick   # the same on few samples
    python benchmarks/bench_overhead.py --inspect-python PYTHON   # one that has inspect-ai

Decided:
* What is timed is `run_models`, whole: reading the puzzles, asking, grading, records on the disk,
  the summary. Imports are not counted. Records go to a temporary folder (TMPDIR says where), which
  must be on a disk for their fsync to mean anything.
* "in process": an answerer that has each reply at once, so all the time is the engine's own. Beside
  it inspect_ai's `mockllm/model`, on the same prompts, replies and grader (`inspect_mock.py`).
* "loopback" and "slow server": litellm to a server in a process of its own (`tests/providers`),
  beside a bare loop of `litellm.acompletion` with the same prompts, as many in flight, and nothing
  else. Both take turns, three rounds each; the ratio is the median of those of the rounds. Bare
  requests go through the tap's transport as well, which finds nobody listening.
* The slow server answers after half a second; ideal is that time, times replies over those in
  flight.
* "memory": the peak of a fresh process at few and at many samples, litellm not imported (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
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
from typing import Any
from unittest.mock import patch

from tclue.bench import run
from tclue.bench.answerers import Answerer, Ask, Builtin, Reply, Setup, answer_lines, today
from tclue.bench.costs import Prices, Usage
from tclue.bench.models import resolve_all
from tclue.bench.progress import Follower
from tclue.bench.run import BenchOptions, run_models
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set

ROOT = Path(__file__).parent.parent
PUZZLES = "easy-test"
IN_FLIGHT = 32
MODEL = "openai/gpt-4.1-mini"
TEXT_CHARS = 2000
LATENCY_S = 0.5


@dataclass(frozen=True)
class Plan:
    """How much is measured: samples of each of the set's 256 puzzles, and rounds."""

    in_process: int
    loopback: int
    slow: int
    rounds: int
    # samples in all
    memory: tuple[int, int]


FULL = Plan(in_process=4, loopback=4, slow=3, rounds=3, memory=(1_000, 50_000))
QUICK = Plan(in_process=2, loopback=1, slow=1, rounds=1, memory=(1_000, 5_000))


# What is asked


def reply_text(puzzle: Puzzle) -> str:
    """A right answer below as much reasoning as makes it two kilobytes."""
    clues = puzzle.prompt.splitlines()
    thought = "\n".join(f"So from this it follows where they were: {clue}" for clue in clues)
    return f"{thought[:TEXT_CHARS]}\n\nThe answers:\n{answer_lines(puzzle.solution)}"


class Instant(Builtin):
    """Has each reply at once, priced and as long as a hosted model's."""

    def __init__(self, puzzles: Sequence[Puzzle]) -> None:
        prices = Prices(
            "given", today(), prompt_usd_per_million=1.0, completion_usd_per_million=4.0
        )
        self.setup = Setup("instant", prices, slots=IN_FLIGHT, concurrency=IN_FLIGHT)
        self._texts = {puzzle.id: reply_text(puzzle) for puzzle in puzzles}
        raw = {"prompt_tokens": 500, "completion_tokens": 600, "total_tokens": 1100}
        self._usage = Usage(500, 600, 0, raw=raw)

    async def ask(self, batch: Sequence[Ask]) -> AsyncIterator[tuple[Ask, Reply]]:
        """Reply."""
        for ask in batch:
            text = self._texts[ask.puzzle.id]
            yield ask, Reply(text=text, finish_reason="stop", usage=self._usage, model_id="instant")


def bench(model: str, samples: int, answerer: Answerer | None = None, **options: Any) -> float:
    """Wall seconds of one run with all its records; every reply has to be scored."""
    with tempfile.TemporaryDirectory() as folder:
        chosen = BenchOptions(
            puzzles=PUZZLES, samples=samples, results=Path(folder), concurrency=IN_FLIGHT, **options
        )
        resolved = (lambda *_: [answerer]) if answerer else resolve_all
        start_s = time.perf_counter()
        with patch.object(run, "resolve_all", resolved):
            (summary,) = run_models([model], chosen, Follower(io.StringIO()))
        wall_s = time.perf_counter() - start_s
    right = summary.accuracy is not None and summary.accuracy.value == 1.0
    if summary.responses != summary.responses_asked or (answerer and not right):
        raise AssertionError(f"not what was asked for: {summary}")
    return wall_s


async def bare(prompts: Sequence[str], api_base: str) -> None:
    """The same requests in a loop, and nothing else."""
    import litellm

    left = iter(prompts)

    async def work() -> None:
        for prompt in left:
            messages = [{"role": "user", "content": prompt}]
            reply = await litellm.acompletion(
                model=MODEL, messages=messages, api_base=api_base, num_retries=0, timeout=600
            )
            if not reply.choices[0].message.content:
                raise AssertionError("a reply without text")

    async with asyncio.TaskGroup() as workers:
        for _ in range(IN_FLIGHT):
            workers.create_task(work())


@contextmanager
def serving(latency_s: float) -> Iterator[str]:
    """A server in a process of its own: its `api_base`."""
    command = [sys.executable, "-m", "tests.providers", "--puzzles", PUZZLES]
    command += ["--latency", str(latency_s), "--shape", "plain"]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout
        yield json.loads(server.stdout.readline())["bases"]["openai"]
        server.communicate()


# What is measured


def in_process(plan: Plan, inspect_python: str | None) -> dict[str, Any]:
    """Samples a second of the engine alone, and of inspect_ai where it is installed."""
    puzzles = load_set(PUZZLES).puzzles
    answerer, samples = Instant(puzzles), plan.in_process
    walls_s = [bench("instant", samples, answerer) for _ in range(plan.rounds)]
    total = samples * len(puzzles)
    found: dict[str, Any] = {
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
        found["inspect"] = {"version": theirs["version"], "per_s": total / theirs["wall_s"]}
    return found


def over_http(samples: int, rounds: int, latency_s: float) -> dict[str, Any]:
    """The engine beside the bare loop: samples a second, and the median ratio of the rounds."""
    prompts = [puzzle.prompt for puzzle in load_set(PUZZLES).puzzles] * samples
    ours_s, bare_s = [], []
    with serving(latency_s) as api_base:
        options: dict[str, Any] = {"api_base": api_base, "price_in": 1.0, "price_out": 4.0}
        bench(MODEL, 1, **options)  # litellm imports more at its first request
        for _ in range(rounds):
            ours_s.append(bench(MODEL, samples, **options))
            start_s = time.perf_counter()
            asyncio.run(bare(prompts, api_base))
            bare_s.append(time.perf_counter() - start_s)
    total = len(prompts)
    found = {
        "samples": total,
        "per_s": total / median(ours_s),
        "bare_per_s": total / median(bare_s),
        "ratio": median(b / o for o, b in zip(ours_s, bare_s, strict=True)),
        "round_ratios": [b / o for o, b in zip(ours_s, bare_s, strict=True)],
    }
    if latency_s:
        ideal_s = total * latency_s / IN_FLIGHT
        found |= {
            "over_ideal": median(ours_s) / ideal_s,
            "bare_over_ideal": median(bare_s) / ideal_s,
        }
    return found


def memory(plan: Plan) -> dict[str, Any]:
    """Peak memory of a fresh process at few samples and at many."""
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
    """Ask about so many samples in this process: how many, and its peak memory."""
    puzzles = load_set(PUZZLES).puzzles
    samples = max(1, total // len(puzzles))
    bench("instant", samples, Instant(puzzles))
    # Not getrusage: its peak holds that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return {"samples": samples * len(puzzles), "peak_bytes": int(peak_kib) * 1024}


def measure(plan: Plan, inspect_python: str | None) -> dict[str, Any]:
    """Measure everything."""
    os.environ["OPENAI_API_KEY"] = "sk-loopback-only"
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


# Words


def show(found: dict[str, Any]) -> str:
    """The figures as plain text."""
    alone, http, slow = found["in_process"], found["loopback"], found["slow_server"]
    few, many = found["memory"]["few"], found["memory"]["many"]
    theirs = alone["inspect"]
    beside = (
        f"inspect_ai {theirs['version']} {theirs['per_s']:.0f}"
        if theirs
        else "inspect_ai left out: no --inspect-python"
    )
    return "\n".join(
        [
            f"{found['cores']} cores, load {found['load']:.1f} before, Python {found['python']}; "
            f"{found['in_flight']} in flight",
            "",
            "            samples  a second",
            f"in process  {alone['samples']:7} {alone['per_s']:9.0f}  {beside}",
            f"loopback    {http['samples']:7} {http['per_s']:9.0f}  "
            f"bare litellm {http['bare_per_s']:.0f}, ratio {http['ratio']:.2f}",
            f"slow server {slow['samples']:7} {slow['per_s']:9.1f}  "
            f"{slow['over_ideal']:.3f} of the ideal time, "
            f"bare litellm {slow['bare_over_ideal']:.3f}",
            "",
            *(
                f"memory      {one['samples']:7} {one['peak_bytes'] / 2**20:6.0f} MiB"
                for one in (few, many)
            ),
            f"            {found['memory']['bytes_a_sample']:.0f} bytes more a sample",
        ]
    )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few samples")
    parser.add_argument("--inspect-python", help="an interpreter that has inspect-ai")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps(peak(options.peak)))
        return
    found = measure(QUICK if options.quick else FULL, options.inspect_python)
    print(json.dumps(found) if options.json else show(found))


if __name__ == "__main__":
    main()
