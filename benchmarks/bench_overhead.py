"""What the engine adds to the time that a model takes, and to the memory.

    python benchmarks/bench_overhead.py --inspect-python ~/inspect/bin/python    # some minutes
    python benchmarks/bench_overhead.py --quick                                  # a minute

Five measurements, each in processes of their own, which share the machine's cores:
* in-process: an answerer that replies at once, graded and recorded durably, beside inspect_ai's
  mockllm on as many samples (installed apart: `pip install inspect_ai`, its Python given here; its
  samples get a generate() and a match(), and its own log);
* loopback: the engine against a bare loop of `litellm.acompletion` at the same concurrency, in one
  process, turn by turn, the best of each; the server is another process and answers at once. Also
  in processor time, which a busy machine distorts less;
* transports: the same bare loop over httpx's own transport in place of aiohttp's;
* slow server: replies that take half a second, against the time that they need at least, and the
  bare loop;
* memory: the peak of a whole run with few samples and with many.

Prints a table and, as its last line, JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tclue.bench.answerers import Answerer, Ask, Reply, Setup, answer_lines
from tclue.bench.costs import Prices, Usage
from tclue.bench.options import BenchOptions
from tclue.bench.run import run_models
from tclue.puzzle.splits import load_set

CONCURRENCY = 32
SLOW_S = 0.5
REASONING = "I see that this cannot be, so it must be that. " * 40  # 2 kB, as a short chain has
PUZZLES = "easy-test"


@dataclass(frozen=True)
class Plan:
    """How many samples each measurement takes."""

    instant: int = 3000
    loopback: int = 1500
    rounds: int = 3
    slow: int = 20 * CONCURRENCY
    memory: tuple[int, int] = (1000, 50_000)


QUICK = Plan(instant=1000, loopback=300, rounds=2, slow=4 * CONCURRENCY, memory=(500, 3000))


class Stopwatch:
    """How long the engine asks; reading puzzles and summing up are not its work."""

    def start(self, *_: object) -> None:
        """The first request is next."""
        self._start_s, self._start_cpu_s = time.perf_counter(), time.process_time()

    def advance(self, response: object) -> None:
        """Nothing is shown."""

    def pace(self, limit: int) -> None:
        """Nothing is shown."""

    def stop(self) -> None:
        """The last response is recorded."""
        self.elapsed_s = time.perf_counter() - self._start_s
        self.cpu_s = time.process_time() - self._start_cpu_s


class Instant:
    """An answerer whose replies take no time."""

    def __init__(self) -> None:
        prices = Prices("given", "", prompt_usd_per_million=1.0, completion_usd_per_million=4.0)
        self.setup = Setup("instant", prices, slots=CONCURRENCY)

    def open(self) -> None:
        """Nothing to load."""

    def batches(self, asks: Sequence[Ask]) -> Iterator[Sequence[Ask]]:
        """Each request by itself."""
        return ([ask] for ask in asks)

    async def ask(self, batch: Sequence[Ask]) -> AsyncIterator[tuple[Ask, Reply]]:
        """The right answers."""
        for ask in batch:
            text = answer_lines(ask.puzzle.solution)
            usage = Usage(1000, 500, raw={"prompt_tokens": 1000, "completion_tokens": 500})
            yield ask, Reply(text, REASONING, finish_reason="stop", usage=usage)


def bench(
    model: str, samples: int, answerer: Answerer | None = None, **options: Any
) -> tuple[float, float]:
    """Seconds, of wall and of processor time, from a run's first request to its last record.

    Of as many samples as fill the puzzles, put down to as many as were asked for.
    """
    from tclue.bench import run

    limit = min(samples, len(load_set(PUZZLES).puzzles))
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        chosen = BenchOptions(
            puzzles=PUZZLES,
            limit=limit,
            samples=-(-samples // limit),
            results=Path(folder),
            concurrency=CONCURRENCY,
            **options,
        )
        if answerer:
            vars(run)["resolve_all"] = lambda *_: [answerer]
        (summary,) = run_models([model], chosen, watch)
    assert summary.responses == chosen.samples * limit
    scale = samples / summary.responses
    return watch.elapsed_s * scale, watch.cpu_s * scale


def instant(samples: int) -> dict[str, float]:
    """The engine with an answerer in this process."""
    return {"seconds": bench("instant", samples, Instant())[0]}


def memory(samples: int) -> dict[str, float]:
    """Peak memory of this process after a run."""
    bench("instant", samples, Instant())
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


async def bare(url: str, samples: int) -> tuple[float, float]:
    """Seconds, of wall and of processor time, of a loop of litellm calls."""
    import litellm

    puzzles = load_set(PUZZLES).puzzles
    turns = iter(range(samples))

    async def work() -> None:
        for turn in turns:
            prompt = puzzles[turn % len(puzzles)].prompt
            messages = [{"role": "user", "content": prompt}]
            await litellm.acompletion(
                model="openai/m", messages=messages, api_base=url, api_key="none"
            )

    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as workers:
        for _ in range(CONCURRENCY):
            workers.create_task(work())
    return time.perf_counter() - start_s, time.process_time() - start_cpu_s


def loopback(samples: int, rounds: int, url: str) -> dict[str, float]:
    """The engine and the bare loop, turn by turn; the best of each, in seconds."""
    from tclue.bench.hosted import load_litellm

    load_litellm()
    asyncio.run(bare(url, CONCURRENCY))  # what litellm imports and opens at its first request
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(asyncio.run(bare(url, samples)))
        ours.append(bench("m", samples, api_base=url))
    best = {
        "engine": map(min, zip(*ours, strict=True)),
        "bare": map(min, zip(*theirs, strict=True)),
    }
    return {
        f"{name}{unit}": seconds
        for name, pair in best.items()
        for unit, seconds in zip(("", "_cpu"), pair, strict=True)
    }


def transport(samples: int, rounds: int, url: str) -> dict[str, float]:
    """The bare loop, over the transport that the environment says."""
    from tclue.bench.hosted import load_litellm

    load_litellm()
    asyncio.run(bare(url, CONCURRENCY))
    return {"seconds": min(asyncio.run(bare(url, samples))[0] for _ in range(rounds))}


def slow(samples: int, url: str) -> dict[str, float]:
    """The engine, and the bare loop, when the server is what takes the time."""
    from tclue.bench.hosted import load_litellm

    load_litellm()
    bench("m", CONCURRENCY, api_base=url)
    theirs, _ = asyncio.run(bare(url, samples))
    return {"seconds": bench("m", samples, api_base=url)[0], "bare": theirs}


REPLY = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A. Miss Scarlet\nB. Rope"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
    }
).encode()


async def serve(delay_s: float) -> None:
    """A server that does no more than it must: one reply for every request."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    reply = head % len(REPLY) + REPLY

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                fields = (line.partition(b":") for line in request.lower().split(b"\r\n"))
                length = next(int(value) for name, _, value in fields if name == b"content-length")
                await reader.readexactly(length)
                await asyncio.sleep(delay_s)
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # connections that are open are of no interest


@contextmanager
def serving(delay_s: float) -> Iterator[str]:
    """The server, in a process of its own: its URL."""
    command = [sys.executable, __file__, "--part", "serve", json.dumps([delay_s])]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout
    try:
        yield server.stdout.readline().strip()
    finally:
        server.communicate()


INSPECT = """
import json, sys, tempfile, time
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import match
from inspect_ai.solver import generate
prompts, samples, connections = json.load(sys.stdin)
reply = ModelOutput.from_content("mockllm/model", "A. Miss Scarlet")
# Told, so that nothing is counted with a tokenizer.
reply.usage = ModelUsage(input_tokens=1000, output_tokens=500, total_tokens=1500)
def replies():
    while True:
        yield reply
dataset = [Sample(prompts[i % len(prompts)], target="Miss Scarlet") for i in range(samples)]
task = Task(dataset, solver=generate(), scorer=match())
with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    (log,) = eval(
        task,
        model=get_model("mockllm/model", custom_outputs=replies()),
        log_dir=folder,
        display="none",
        max_connections=connections,
        max_samples=connections,
    )
    seconds = time.perf_counter() - start
    assert log.status == "success" and log.results.total_samples == samples, log.error
print(json.dumps({"seconds": seconds}))
"""


def inspect(python: str, samples: int) -> float:
    """Seconds of inspect_ai's mockllm on as many samples."""
    prompts = [puzzle.prompt for puzzle in load_set(PUZZLES).puzzles]
    done = subprocess.run(
        [python, "-c", INSPECT],
        input=json.dumps([prompts, samples, CONCURRENCY]),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def part(name: str, *arguments: Any, **environment: str) -> dict[str, float]:
    """One measurement, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--part", name, json.dumps(arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(plan: Plan, inspect_python: str | None) -> Iterator[tuple[str, str, Any]]:
    """Name, words and number of each measurement, as they are made."""
    ours = plan.instant / part("instant", plan.instant)["seconds"]
    yield "instant_per_s", f"in-process: {ours:.0f} samples a second", ours
    if inspect_python:
        theirs = plan.instant / inspect(inspect_python, plan.instant)
        yield "inspect_per_s", f"inspect_ai mockllm: {theirs:.0f} samples a second", theirs
    with serving(0.0) as url:
        both = part("loopback", plan.loopback, plan.rounds, url)
        share = both["bare"] / both["engine"]
        each = [f"{plan.loopback / both[name]:.0f}" for name in ("engine", "bare")]
        words = f"loopback: {each[0]} a second, bare loop {each[1]}: {share:.1%}"
        yield "loopback_share", words, share
        cpu_share = both["bare_cpu"] / both["engine_cpu"]
        yield "loopback_cpu_share", f"in processor time: {cpu_share:.1%}", cpu_share
        httpx = part("transport", plan.loopback, plan.rounds, url, DISABLE_AIOHTTP_TRANSPORT="True")
        per_s = plan.loopback / httpx["seconds"]
        yield "httpx_per_s", f"the bare loop over httpx's transport: {per_s:.0f} a second", per_s
    with serving(SLOW_S) as url:
        ideal_s = plan.slow / CONCURRENCY * SLOW_S
        both = part("slow", plan.slow, url)
        over, bare_over = both["seconds"] / ideal_s, both["bare"] / ideal_s
        words = f"slow server: {over:.3f} of the {ideal_s:g} s that {plan.slow} replies need"
        yield "slow_ratio", f"{words}, bare loop {bare_over:.3f}", over
    for samples in plan.memory:
        peak_mb = part("memory", samples)["peak_mb"]
        yield f"peak_mb_{samples}", f"memory at {samples} samples: {peak_mb:.0f} MB", peak_mb


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--inspect-python", help="a Python that has inspect_ai")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        name, arguments = given.part[0], json.loads(given.part[1])
        if name == "serve":
            asyncio.run(serve(*arguments))
        else:
            parts = {f.__name__: f for f in (instant, memory, loopback, transport, slow)}
            print(json.dumps(parts[name](*arguments)))
        return
    found = {}
    plan = QUICK if given.quick else Plan()
    for name, words, number in measure(plan, given.inspect_python):
        print(words, flush=True)
        found[name] = round(number, 4)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
