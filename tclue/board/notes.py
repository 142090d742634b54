"""Texts on a run: notes that a reader must know, and the command that makes it."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from tclue.bench.options import BenchOptions, flag
from tclue.bench.records import RunConfig
from tclue.bench.stats.summary import MAX_LOST, Summary
from tclue.puzzle.splits import is_named
from tclue.text import counted, dollars


def notes(run: Summary) -> list[str]:
    """The notes of a run, one sentence each; most runs have none."""
    possible = [_incomplete(run), _served(run), _cost(run), *run.notes]
    return [note for note in possible if note]


def _incomplete(run: Summary) -> str | None:
    if run.complete:
        return None
    lost = [
        f"{count} {what}"
        for count, what in ((run.outcomes["failed"], "failed"), (run.missing, "missing"))
        if count
    ]
    return f"incomplete: {', '.join(lost)} of {run.responses_asked}, more than {MAX_LOST:.0%}"


def _served(run: Summary) -> str | None:
    if not run.served_otherwise:
        return None
    others = ", ".join(f"{name} ({run.model_ids[name]})" for name in run.served_otherwise)
    responses = counted(run.responses, "response")
    return f"{others} of {responses} came from a model id that was not asked for"


def _cost(run: Summary) -> str | None:
    if run.cost_note is None:
        return None
    if run.cost_usd is None and run.cost_litellm_usd is None:
        return f"cost: {run.cost_note}"
    costs = [
        f"{whose} {'unknown' if cost is None else dollars(cost, 4)}"
        for whose, cost in (("ours", run.cost_usd), ("litellm's", run.cost_litellm_usd))
    ]
    return f"cost: {run.cost_note} (a response: {', '.join(costs)})"


# Options that `run.json` holds under another name: they are in the prices that they resolved to.
_IN_PRICES: Mapping[str, Callable[[RunConfig], Any]] = {
    "price_in": lambda config: config.prices.prompt_usd_per_million,
    "price_out": lambda config: config.prices.completion_usd_per_million,
    "hour_usd": lambda config: config.prices.hour_usd,
    "gpu_hour_usd": lambda config: config.prices.hour_usd,
    "gpus": lambda config: config.prices.gpus,
    "tier": lambda config: (config.prices.origin or "").partition(" (")[0] or None,
}


def bench_command(config: RunConfig) -> str:
    """The `tclue bench` command, with the options that the user gave and the records hold."""
    # Sets that are made on demand are recorded as `easy-train-64`, and a file without its ending.
    puzzles = re.sub(r"^((easy-)?train)-(\d+)$", r"\1:\3", config.puzzle_set)
    puzzles += "" if is_named(puzzles) else ".jsonl"
    words = ["tclue", "bench", "--models", config.model, "--puzzles", puzzles]
    if config.limit is not None:
        words += ["--limit", str(config.limit)]
    for name in (option.name for option in fields(BenchOptions) if option.name in config.given):
        of = _IN_PRICES.get(name)
        value = of(config) if of else getattr(config, name, None)
        if isinstance(value, bool):
            words += [flag(name)] if value else []
        elif value is not None and name != "limit":
            # The shortest text of a number that gives it again.
            text = repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
            words += [flag(name), text]
    return shlex.join(words)
