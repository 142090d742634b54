"""How the board, `tclue results` and a start on a finished run grow with the number of responses.

    python benchmarks/board_size.py                  # 200 runs: some minutes, and 2 GB of disk
    python benchmarks/board_size.py --quick          # the same with few runs
    python benchmarks/board_size.py --folder DIR     # keeps the runs in DIR, and uses them again

Design:
* The runs are synthetic and are written by the program's own writer: half of them are the 64
  puzzles of `test` with 40 samples, the others the 256 of `easy-test` with 10. So each has 2,560
  responses. A response has two to three kilobytes, like that of a hosted model: its text, a usage
  object, a price.
* Each command runs in a process of its own, which reports its CPU seconds, those of its own child
  processes included, and its peak memory (Linux). "Cold" is with an empty cache folder, "warm" the
  same command again; the board is made in a new folder each time, so its pictures are drawn too.
  `tclue results` has a cache folder of its own.
* The limits are measured in the same way: `sha256` hashes the bytes of all records, and `json`
  parses all lines with `json.loads` and keeps nothing. Whatever checks records by their digest
  needs the first, and whatever reads them anew needs about the second.
* "A start on a finished run" is `tclue bench` on a run of `random` that lacks nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tclue.bench.costs.cost import Usage, cost_parts
from tclue.bench.costs.price_book import SHIPPED, read_book
from tclue.bench.models.resolve import resolve_all
from tclue.bench.options import BenchOptions
from tclue.bench.records import Response, RunConfig
from tclue.bench.runs.run import configuration
from tclue.bench.runs.run_folder import RunFolder
from tclue.puzzle.grading.grade import Grade
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import PuzzleSet, load_set

MODEL = "openai/gpt-5-mini"
SHAPES = (("test", 40), ("easy-test", 10))
# Runs on the board, and samples of the 256 puzzles of `easy-test` in a finished run.
FULL = (25, 50, 100, 200), (40, 196, 391)
QUICK = (2, 4), (4, 8)
TEXT_CHARS = (1000, 3000)
GROUP = 512  # records that share an fsync


# Runs

shipped_book = cache(lambda: read_book(SHIPPED))
shipped_set = cache(load_set)


def write_board_runs(results: Path, runs: int) -> None:
    """Write the runs that are not there yet."""
    for number in range(runs):
        config, puzzle_set = board_config(number)
        if not (results / config.run_name / "summary.json").exists():
            write(results, config, puzzle_set, number)


def board_config(number: int) -> tuple[RunConfig, PuzzleSet]:
    """The configuration of a hosted model's run, and its puzzles; the shapes take turns."""
    puzzles, samples = SHAPES[number % len(SHAPES)]
    entry, puzzle_set = shipped_book().find(MODEL), shipped_set(puzzles)
    assert entry
    config = RunConfig(
        variant=f"model-{number:03}",
        model=MODEL,
        puzzle_set=puzzle_set.name,
        puzzle_sha256=puzzle_set.sha256,
        puzzles=len(puzzle_set.puzzles),
        limit=None,
        samples=samples,
        grader="sound",
        prices=entry.prices,
        request={"model": MODEL, "run": number},
        served_as=("gpt-5-mini",),
        given=(),
    )
    return config, puzzle_set


def write_finished_run(results: Path, samples: int) -> str:
    """Write a complete run of `random` on `easy-test`; returns its name."""
    options, puzzle_set = (
        BenchOptions(puzzles="easy-test", samples=samples),
        shipped_set("easy-test"),
    )
    (model,) = resolve_all("random", options)
    config = configuration("random", model, options, puzzle_set)
    if not (results / config.run_name / "summary.json").exists():
        write(results, config, puzzle_set, samples)
    return config.run_name


def write(results: Path, config: RunConfig, puzzle_set: PuzzleSet, seed: int) -> None:
    """Write a run through the program's own writer, all first samples first."""
    rng, skill = random.Random(seed), 0.2 + 0.7 * (seed * 0.618 % 1)
    key = config.response_key()
    pairs = [(puzzle, s) for s in range(config.samples) for puzzle in puzzle_set.puzzles]
    with RunFolder(results, config) as folder:

        async def record() -> None:
            for start in range(0, len(pairs), GROUP):
                group = pairs[start : start + GROUP]
                lines = [
                    response(config, puzzle, sample, key(puzzle.prompt, sample), skill, rng)
                    for puzzle, sample in group
                ]
                await asyncio.gather(*map(folder.record, lines))

        asyncio.run(record())
        folder.write_json("summary.json", {})  # the mark of a run that is written to its end


def response(
    config: RunConfig, puzzle: Puzzle, sample: int, key: str, skill: float, rng: random.Random
) -> Response:
    """A response of realistic size, whose answers are right with the probability `skill`."""
    answers = {
        letter: right if rng.random() < skill else rng.choice([*puzzle.options[letter], None])
        for letter, right in puzzle.solution.items()
    }
    right = tuple(letter for letter, answer in answers.items() if answer == puzzle.solution[letter])
    share = len(right) / len(answers)
    text = (puzzle.prompt * 4)[: rng.randint(*TEXT_CHARS)]
    prompt, completion = len(puzzle.prompt) // 4, len(text) // 4
    raw = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    details = {"prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {}}
    usage = Usage(prompt, completion, 0, reasoning_tokens=0, raw={**raw, **details})
    latency_s = rng.uniform(1, 60)
    parts = cost_parts(config.prices, usage, latency_s)
    cost_usd = sum(parts.values()) if parts is not None else None
    return Response(
        puzzle=puzzle.id,
        sample=sample,
        outcome="answered",
        grader="sound",
        grade=Grade(share, share == 1, answers, right, share),
        text=f"{text}\n\n" + "\n".join(f"{k}. {v}" for k, v in answers.items() if v),
        reasoning=None,
        finish_reason="stop",
        usage=usage,
        latency_s=latency_s,
        compute_s=None,
        cost_usd=cost_usd,
        cost_parts=parts,
        cost_litellm_usd=cost_usd,
        model_id="gpt-5-mini-2025-08-07",
        at="2026-11-28T12:00:00+00:00",
        num_clues=puzzle.num_clues,
        difficulty=puzzle.difficulty,
        key=key,
    )


# Measurements


def measured(arguments: list[str], cache_home: Path) -> dict[str, float]:
    """CPU seconds and peak bytes of this program with arguments, in a process of its own."""
    with tempfile.NamedTemporaryFile() as report:
        done = subprocess.run(
            [sys.executable, __file__, "--child", report.name, *arguments],
            env=os.environ | {"XDG_CACHE_HOME": str(cache_home)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{arguments}: {done.stderr}")
        figures: dict[str, float] = json.loads(Path(report.name).read_text(encoding="ascii"))
    return figures


def child(report: str, arguments: list[str]) -> None:
    """Run a command, or measure a limit, and write what it took to a file."""
    start_s, used_s = time.perf_counter(), 0.0
    if arguments[0] in ("sha256", "json"):
        used_s = time.process_time()  # a limit is without the start of the process
    if arguments[0] == "sha256":
        for path in records(Path(arguments[1])):
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")
    elif arguments[0] == "json":
        for path in records(Path(arguments[1])):
            with path.open("rb") as file:
                for line in file:
                    json.loads(line)
    else:
        from tclue.cli import main as tclue

        try:
            sys.argv[1:] = arguments
            tclue()
        except SystemExit as end:
            if end.code:
                raise
    children_s = sum(os.times()[2:4])
    # Not getrusage, whose peak includes that of the parent process.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak_kib,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    figures = {
        "cpu_s": time.process_time() + children_s - used_s,
        "wall_s": time.perf_counter() - start_s,
        "peak_bytes": int(peak_kib) * 1024,
    }
    Path(report).write_text(json.dumps(figures), encoding="ascii")


def records(results: Path) -> Iterator[Path]:
    """The files of records below a results folder."""
    yield from sorted(results.glob("*/responses.jsonl"))


def board(folder: Path, all_runs: Path, runs: int) -> dict[str, Any]:
    """The board of a number of runs, cold and warm, `tclue results`, and the limits."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        part = Path(name)
        results = part / "results"
        results.mkdir()
        for number in range(runs):
            run = board_config(number)[0].run_name
            (results / run).symlink_to(all_runs / run)
        command = ["leaderboard", "--results", str(results), "--board"]
        listing = ["results", "--results", str(results)]
        return {
            "runs": runs,
            "responses": runs * 2560,
            "bytes": sum(path.stat().st_size for path in records(results)),
            "sha256": measured(["sha256", str(results)], part),
            "json": measured(["json", str(results)], part),
            "cold": measured([*command, str(part / "cold")], part),
            "warm": measured([*command, str(part / "warm")], part),
            "results_cold": measured(listing, part / "another"),
            "results_warm": measured(listing, part / "another"),
        }


def start(folder: Path, samples: int) -> dict[str, Any]:
    """`tclue bench` on a finished run, and the limit."""
    results = folder / f"finished-{samples}"
    run = write_finished_run(results, samples)
    command = ["bench", "--models", "random", "--puzzles", "easy-test"]
    command += ["--samples", str(samples), "--results", str(results)]
    before = (results / run / "responses.jsonl").read_bytes()
    with tempfile.TemporaryDirectory() as home:
        figures = {
            "responses": samples * 256,
            "bytes": len(before),
            "json": measured(["json", str(results)], Path(home)),
            "start": measured(command, Path(home)),
        }
    if (results / run / "responses.jsonl").read_bytes() != before:
        raise AssertionError("the run was not complete")
    return figures


# Output


def show(figures: dict[str, Any]) -> str:
    """The figures as plain text."""
    lines = [
        f"{figures['cores']} cores, load {figures['load']:.1f} before, Python {figures['python']}",
        "CPU seconds, of how many times the limit, and peak memory",
        "",
        "runs  responses    MB  sha256    json   board, cold (json)        board, warm (sha256)   "
        "   results, cold        results, warm",
    ]
    for row in figures["boards"]:
        json_s, sha256_s = row["json"]["cpu_s"], row["sha256"]["cpu_s"]
        commands = [
            cell(row["cold"], json_s),
            cell(row["warm"], sha256_s),
            cell(row["results_cold"], json_s),
            cell(row["results_warm"], sha256_s),
        ]
        lines.append(
            f"{row['runs']:4} {row['responses']:10} {row['bytes'] / 1e6:5.0f} {sha256_s:6.2f} s "
            f"{json_s:5.2f} s  {'  '.join(commands)}"
        )
    lines += ["", "      responses    MB             json   a start on a finished run"]
    for row in figures["starts"]:
        json_s = row["json"]["cpu_s"]
        lines.append(
            f"     {row['responses']:10} {row['bytes'] / 1e6:5.0f}          {json_s:5.2f} s  "
            f"{cell(row['start'], json_s)}"
        )
    return "\n".join(lines)


def cell(process: dict[str, float], limit_s: float) -> str:
    """CPU seconds, the ratio to a limit, and peak memory of a process."""
    ratio = process["cpu_s"] / limit_s
    return f"{process['cpu_s']:5.1f} s {ratio:5.1f} {process['peak_bytes'] / 2**20:4.0f} MiB"


def main() -> None:
    """Write the runs, measure, print."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few runs")
    parser.add_argument("--folder", type=Path, help="where the runs are kept")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        all_runs = folder / "runs"
        sizes, samples = QUICK if options.quick else FULL
        write_board_runs(all_runs, max(sizes))
        figures = {
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg()[0],
            "boards": [board(folder, all_runs, runs) for runs in sizes],
            "starts": [start(folder, each) for each in samples],
        }
    print(json.dumps(figures, indent=2) if options.json else show(figures))


if __name__ == "__main__":
    main()
