"""The command that makes a run, from its `run.json`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from tclue.bench.options import flag
from tclue.bench.records import RunConfig

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
    words = ["tclue", "bench", "--models", config.model, "--puzzles", config.puzzle_set]
    if config.limit is not None:
        words += ["--limit", str(config.limit)]
    for name in config.given:
        of = _IN_PRICES.get(name)
        value = of(config) if of else getattr(config, name, None)
        if isinstance(value, bool):
            words += [flag(name)] if value else []
        elif value is not None and name != "limit":
            words += [flag(name), f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)
