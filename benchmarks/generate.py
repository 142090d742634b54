"""The speed of puzzle generation, the time of its stages, and the published method's speed.

    python benchmarks/generate.py             # everything, some minutes
    python benchmarks/generate.py --quick     # the same with a few puzzles, some seconds
    python benchmarks/generate.py --shares    # only the share of each clue form

Design:
* Seconds are CPU seconds of all threads of this process, so other programs affect them little.
  Imports are not included. Every solver here has one worker.
* The real `generate.make` is measured, with a clock at the end of each of its stages.
* The published method is in `published_way.py`. Its result is a ratio to ours on the same seeds in
  the same run. A puzzle that reaches the time limit counts with the limit, so the ratio is then a
  lower bound, and is marked as one.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil, log, sqrt
from statistics import fmean
from time import process_time
from typing import Any
from unittest.mock import patch

import published_way

from tclue.puzzle import cpsat, generate, sat
from tclue.puzzle.candidates import Candidates
from tclue.puzzle.draw import GenerationSettings, draw_case, settings

STAGES = ("draw", "candidates", "rules and clauses", "removal", "prompt and check")

# The shares of the forms in the clues of the 64 published evaluation puzzles.
PUBLISHED_SHARES = {
    "position": 0.20,
    "person moved": 0.14,
    "direction": 0.13,
    "same room": 0.13,
    "exactly one": 0.11,
    "if and only if": 0.11,
    "together": 0.07,
    "weapon moved": 0.06,
    "motive": 0.03,
    "solution": 0.02,
}


@dataclass(frozen=True)
class Plan:
    """The extent of the measurement."""

    # puzzles for each number of players, of the published mix, and of the largest size
    per_players: int
    mix: int
    largest: int
    # puzzles by the published method for 1, 2 and 3 players, and most CPU seconds for one
    baseline: tuple[int, ...]
    limit_s: float


FULL = Plan(per_players=60, mix=200, largest=10, baseline=(10, 5, 3), limit_s=60.0)
QUICK = Plan(per_players=3, mix=6, largest=1, baseline=(2, 1), limit_s=5.0)

# The sizes: one for each number of players, then the mix, then the largest for 6 players.
PLAYERS = {str(n): settings("published-mix", min_players=n, max_players=n) for n in range(1, 7)}
MIX = settings("published-mix")
LARGEST = settings("extreme", suspects=10, weapons=8, rooms=17, times=12)


@dataclass(frozen=True)
class Sample:
    """The time and work for a puzzle."""

    stages_s: dict[str, float]
    reprove_s: float
    # unknown positions: (people and things) x rooms x times
    cells: int
    clues: int
    # calls of the solver during removal, and its effort to prove the finished puzzle
    questions: int
    effort: sat.Effort

    @property
    def make_s(self) -> float:
        """CPU seconds to generate the puzzle, with the proof."""
        return sum(self.stages_s.values())


class Clock:
    """CPU seconds of each stage. A stage ends when the next begins."""

    def __init__(self) -> None:
        self.stages_s = dict.fromkeys(STAGES, 0.0)
        self.questions = 0
        self._last = process_time()

    def lap(self, stage: str) -> None:
        """End a stage."""
        now = process_time()
        self.stages_s[stage] += now - self._last
        self._last = now

    def after(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that ends a stage when it returns."""

        def timed(*arguments: Any) -> Any:
            result = function(*arguments)
            self.lap(stage)
            return result

        return timed

    def ask(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Count a call of the solver. At the first call, all clauses have been added."""

        def counted(*arguments: Any) -> Any:
            if not self.questions:
                self.lap("rules and clauses")
            self.questions += 1
            return function(*arguments)

        return counted


@contextmanager
def clocked() -> Iterator[Clock]:
    """A clock for one call of `generate.make`."""
    clock = Clock()
    with (
        patch.object(generate, "draw_case", clock.after("draw", draw_case)),
        patch.object(Candidates, "pool", clock.after("candidates", Candidates.pool)),
        patch.object(sat.Clauses, "core", clock.ask(sat.Clauses.core)),
        patch.object(generate, "minimise", clock.after("removal", generate.minimise)),
    ):
        yield clock
    clock.lap("prompt and check")


def measure(seed: int, chosen: GenerationSettings) -> Sample:
    """Generate a puzzle, prove it again, and measure both."""
    with clocked() as clock:
        made = generate.make(seed, "published-mix", chosen)
    world = made.puzzle.world
    start = process_time()
    if cpsat.prove(made.puzzle, "history").cases != (made.case,):
        raise AssertionError(f"seed {seed}: the provers disagree")
    reprove_s = process_time() - start
    things = len(world.suspects) + len(world.weapons) + 1
    return Sample(
        stages_s=clock.stages_s,
        reprove_s=reprove_s,
        cells=things * world.num_times * len(world.rooms),
        clues=made.puzzle.num_clues,
        questions=clock.questions,
        effort=sat.effort(made.puzzle),
    )


def compare(players: int, count: int, seed: int, limit_s: float) -> dict[str, Any]:
    """The published method and ours on the same seeds."""
    chosen = PLAYERS[str(players)]
    seeds = range(seed, seed + count)
    theirs = [published_way.make(puzzle_seed, chosen, limit_s) for puzzle_seed in seeds]
    ours_s = [measure(puzzle_seed, chosen).make_s for puzzle_seed in seeds]
    theirs_s = [spent for spent, _ in theirs]
    return {
        "players": players,
        "puzzles": count,
        "ended": sum(ended for _, ended in theirs),
        "published_way_mean_s": fmean(theirs_s),
        "published_way_max_s": max(theirs_s),
        "ours_mean_s": fmean(ours_s),
        "ratio": fmean(theirs_s) / fmean(ours_s),
        "ratio_is_lower_bound": not all(ended for _, ended in theirs),
    }


# Figures


def percentile(values: Sequence[float], percent: int) -> float:
    """The percentile of values, by the nearest rank."""
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]


def speed(seconds: Sequence[float]) -> dict[str, float]:
    """Puzzles per second, and seconds per puzzle."""
    return {
        "per_s": len(seconds) / sum(seconds),
        "p50_s": percentile(seconds, 50),
        "p99_s": percentile(seconds, 99),
        "max_s": max(seconds),
    }


def row(size: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """The figures of one size."""
    return {
        "size": size,
        "puzzles": len(samples),
        "mean_cells": fmean(sample.cells for sample in samples),
        "mean_clues": fmean(sample.clues for sample in samples),
        "sat": speed([sample.make_s for sample in samples]),
        "sat_and_reprove": speed([sample.make_s + sample.reprove_s for sample in samples]),
        "mean_solver_questions": fmean(sample.questions for sample in samples),
        "mean_conflicts": fmean(sample.effort.conflicts for sample in samples),
        "mean_propagations": fmean(sample.effort.propagations for sample in samples),
    }


def stage_shares(samples: Sequence[Sample]) -> dict[str, float]:
    """The share of each stage in the time of all puzzles."""
    total_s = sum(sample.make_s for sample in samples)
    return {stage: sum(sample.stages_s[stage] for sample in samples) / total_s for stage in STAGES}


def growth(samples: Sequence[Sample]) -> dict[str, float]:
    """The exponent b in seconds = a * cells**b, by least squares of the logarithms."""
    xs = [log(sample.cells) for sample in samples]
    ys = [log(sample.make_s) for sample in samples]
    mean_x, mean_y = fmean(xs), fmean(ys)
    spread = sum((x - mean_x) ** 2 for x in xs)
    exponent = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    unexplained = sum(
        (y - mean_y - exponent * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True)
    )
    return {
        "exponent": exponent,
        # half the width of a 95% interval
        "interval": 1.96 * sqrt(unexplained / (len(xs) - 2) / spread),
        "r_squared": 1 - unexplained / sum((y - mean_y) ** 2 for y in ys),
    }


def form_shares(count: int, seed: int) -> dict[str, Any]:
    """Shares of the clue forms at the published mix."""
    forms: Counter[str] = Counter()
    for puzzle_seed in range(seed, seed + count):
        forms.update(clue.form for clue in generate.generate(puzzle_seed).clues)
    shares = {name: forms[name] / forms.total() for name in PUBLISHED_SHARES}
    return {"puzzles": count, "clues": forms.total(), "shares": shares}


def run(plan: Plan, seed: int) -> dict[str, Any]:
    """Measure everything."""

    def samples(count: int, chosen: GenerationSettings) -> list[Sample]:
        return [measure(puzzle_seed, chosen) for puzzle_seed in range(seed, seed + count)]

    # The first puzzle loads modules.
    measure(seed, PLAYERS["1"])
    published_way.make(seed, PLAYERS["1"], plan.limit_s)
    by_players = {name: samples(plan.per_players, chosen) for name, chosen in PLAYERS.items()}
    mix, largest = samples(plan.mix, MIX), samples(plan.largest, LARGEST)
    return {
        "seed": seed,
        "python": platform.python_version(),
        "python_sat": version("python-sat"),
        "ortools": version("ortools"),
        "solver": sat.SOLVER,
        "generator_version": generate.VERSION,
        "sizes": [
            *(row(f"{name} players", measured) for name, measured in by_players.items()),
            row("published mix", mix),
            row("largest for 6", largest),
        ],
        "stages": {"published mix": stage_shares(mix), "largest for 6": stage_shares(largest)},
        "growth": growth([sample for measured in by_players.values() for sample in measured]),
        "published_way": [
            compare(players, count, seed, plan.limit_s)
            for players, count in enumerate(plan.baseline, 1)
        ],
        "limit_s": plan.limit_s,
    }


# Output


def show(figures: dict[str, Any]) -> str:
    """The figures as plain text."""
    lines = [
        f"CPU seconds on one core; seed {figures['seed']}, Python {figures['python']}, "
        f"python-sat {figures['python_sat']} ({figures['solver']}), ortools {figures['ortools']}",
        "",
        "                          made and proved by SAT       and proved again by CP-SAT",
        "size           puzzles     /s    p50    p99    max      /s    p50    p99    max",
    ]
    for entry in figures["sizes"]:
        speeds = "   ".join(
            f"{entry[key]['per_s']:6.1f} {entry[key]['p50_s']:6.3f} {entry[key]['p99_s']:6.3f} "
            f"{entry[key]['max_s']:6.3f}"
            for key in ("sat", "sat_and_reprove")
        )
        lines.append(f"{entry['size']:14} {entry['puzzles']:7} {speeds}")
    lines += ["", "size             cells  clues  solver questions  conflicts  propagations"]
    for entry in figures["sizes"]:
        lines.append(
            f"{entry['size']:14} {entry['mean_cells']:7.0f} {entry['mean_clues']:6.1f} "
            f"{entry['mean_solver_questions']:17.1f} {entry['mean_conflicts']:10.0f} "
            f"{entry['mean_propagations']:13.0f}"
        )
    lines += ["", "share of time          " + "".join(f"{size:>15}" for size in figures["stages"])]
    for stage in STAGES:
        shares = "".join(f"{shares[stage]:15.1%}" for shares in figures["stages"].values())
        lines.append(f"{stage:23}{shares}")
    fit = figures["growth"]
    lines += [
        "",
        f"seconds grow as cells to the power of {fit['exponent']:.2f} (95% interval +/- "
        f"{fit['interval']:.2f}, r squared {fit['r_squared']:.2f})",
        "",
        f"the published way, at most {figures['limit_s']:.0f} s a puzzle",
        "players  puzzles  ended  mean s   max s  ours, mean s   ratio",
    ]
    for entry in figures["published_way"]:
        least = ">=" if entry["ratio_is_lower_bound"] else ""
        lines.append(
            f"{entry['players']:7} {entry['puzzles']:8} {entry['ended']:6} "
            f"{entry['published_way_mean_s']:7.2f} {entry['published_way_max_s']:7.2f} "
            f"{entry['ours_mean_s']:13.4f} {least + format(entry['ratio'], '.0f'):>7}"
        )
    return "\n".join(lines)


def show_shares(figures: dict[str, Any]) -> str:
    """The shares of clue forms as plain text."""
    lines = [
        f"clue forms of {figures['puzzles']} puzzles at the published mix "
        f"({figures['clues']} clues)",
        "form            here  published",
    ]
    for name, share in figures["shares"].items():
        lines.append(f"{name:14} {share:5.1%} {PUBLISHED_SHARES[name]:10.0%}")
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few puzzles of each size")
    parser.add_argument("--shares", action="store_true", help="only the share of each clue form")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    plan = QUICK if options.quick else FULL
    figures = form_shares(plan.mix, options.seed) if options.shares else run(plan, options.seed)
    if options.json:
        print(json.dumps(figures))
    else:
        print((show_shares if options.shares else show)(figures))


if __name__ == "__main__":
    main()
