"""Texts on a run: its label, notes that a reader must know, and the command that makes it."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from tclue.bench.options import BenchOptions, flag
from tclue.bench.records import RunConfig
from tclue.bench.stats.summary import MAX_LOST, Summary
from tclue.puzzle.splits import is_named, name_of_records
from tclue.text import clean, counted, dollars


def _temperature(config: RunConfig) -> str:
    match config.temperature:
        case None:
            return "default temperature"
        case 0:
            return "greedy"
        case warm:
            return f"temperature {warm:g}"


def seed_text(config: RunConfig) -> str:
    """How a label says the seed."""
    return "no seed" if config.seed is None else f"seed {config.seed}"


# Characters of a label.
LONGEST = 90
# How two runs of a variant may differ, beginning with what a reader wants to know first.
_WORDS: tuple[Callable[[RunConfig], str], ...] = (
    _temperature,
    lambda config: "over HTTP" if config.api_base else "in process",
    lambda config: config.dtype or "default weights",
    lambda config: f"{config.max_tokens:,} tokens" if config.max_tokens else "default length",
    lambda config: "1 sample" if config.samples == 1 else f"{config.samples} samples",
    seed_text,
    lambda config: "streamed" if config.stream else "not streamed",
    lambda config: f"weights {config.checkpoint[:8]}" if config.checkpoint else "",
)


def labels(runs: Sequence[tuple[str, RunConfig]]) -> list[str]:
    """A label for each (folder name, configuration) of one table.

    A label names as few settings as distinguish the runs of a variant; where none do, it has the
    end of the folder's name, which is a hash of everything that shapes the responses.
    """
    variants = Counter(clean(config.variant) for _, config in runs)
    texts = []
    for folder, config in runs:
        variant = clean(config.variant)
        if variants[variant] > 1:
            twins = [other for _, other in runs if clean(other.variant) == variant]
            variant = f"{variant} ({_distinguishing(folder, config, twins)})"
        texts.append(variant)
    return shortened([clean(text).strip() for text in texts])


def _distinguishing(folder: str, config: RunConfig, twins: Sequence[RunConfig]) -> str:
    chosen: list[Callable[[RunConfig], str]] = []
    for word in _WORDS:
        if _distinct([*chosen, word], twins) > _distinct(chosen, twins):
            chosen.append(word)
    words = [word(config) for word in chosen]
    if _distinct(chosen, twins) < len(twins):
        words.append(folder.rpartition("--")[2])
    return ", ".join(words)


def _distinct(words: Sequence[Callable[[RunConfig], str]], configs: Sequence[RunConfig]) -> int:
    return len({tuple(word(config) for word in words) for config in configs})


def shorten(text: str, most: int = LONGEST) -> str:
    """The text, or its two ends if it is longer than so many characters."""
    head = (most - 1) // 2
    return text if len(text) <= most else f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def shortened(texts: Sequence[str]) -> list[str]:
    """The texts, shortened so that those that differ still differ."""
    short = [shorten(text) for text in texts]
    alike: defaultdict[str, set[str]] = defaultdict(set)
    for text, cut in zip(texts, short, strict=True):
        alike[cut].add(text)
    for i, text in enumerate(texts):
        if len(group := alike[short[i]]) > 1:
            # Keep what follows the beginning that the group has in common.
            low, high = min(group), max(group)
            common = next((j for j, c in enumerate(low) if high[j] != c), len(low))
            tails = dict(zip(group, shortened([t[common:] for t in group]), strict=True))
            kept = tails[text][: LONGEST - 12]
            short[i] = f"{text[:10]}…{kept}"
    return short


def notes(run: Summary) -> list[str]:
    """The notes of a run, one sentence each; most runs have none."""
    found = []
    if not run.complete:
        counts = ((run.outcomes["failed"], "failed"), (run.missing, "missing"))
        lost = ", ".join(f"{count} {what}" for count, what in counts if count)
        found.append(f"incomplete: {lost} of {run.responses_asked}, more than {MAX_LOST:.0%}")
    if run.served_otherwise:
        others = ", ".join(f"{name} ({run.model_ids[name]})" for name in run.served_otherwise)
        responses = counted(run.responses, "response")
        found.append(f"{others} of {responses} came from a model id that was not asked for")
    if run.cost_note is not None:
        costs = (("ours", run.cost_usd), ("litellm's", run.cost_litellm_usd))
        shown = ", ".join(f"{whose} {dollars(cost, 4)}" for whose, cost in costs)
        unknown = run.cost_usd is None and run.cost_litellm_usd is None
        found.append(f"cost: {run.cost_note}" + ("" if unknown else f" (a response: {shown})"))
    if run.unread:
        found.append(run.unread.describe())
    return [note for note in (*found, *run.notes) if note]


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
    puzzles = name_of_records(config.puzzle_set)  # a file is recorded without its ending
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
