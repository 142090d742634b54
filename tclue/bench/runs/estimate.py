"""`--estimate`: the bill and its spread before anything is sent, and a question where it is high.

* Only missing responses are counted: a run that is resumed is billed for its rest.
* Where the results folder holds responses of the same variant to the same puzzle file, what is
  missing is taken to be like them. The spread is a 95% interval of the rest's bill, clustered by
  puzzle; it holds both what is not known of the mean and what the rest will differ by. On made-up
  bills with the skew of real ones it held the true one 91 to 96 times in 100, which resampling the
  puzzles did not better.
* Without them, a published mean of the output tokens is the expectation; without that there is
  none. Either way the bounds are those of no output and of the output limit.
* Prompts are counted by their characters, 3.3 to a token. Against the published means of tokens on
  the 64 published prompts that is 9% too many for o1 and o3-mini, 7% for R1, 1% too few for
  Qwen 2.5, and 7 to 10% for Claude 3.7; the output is most of a bill. Real tokenizers are a
  download, or a secret.
* The total is the sum of the models' expectations and of their bounds, as if all were dear at once.
* What counts for the question is the expected total, or its bound where no expectation is known,
  but no more than `--max-cost`. A bill without a bound always needs a yes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from statistics import stdev
from typing import TextIO

from tclue.bench.costs.cost import Prices, Usage, cost_parts, repriced, worst_case_usd
from tclue.bench.models.model import Model
from tclue.bench.options import BenchOptions
from tclue.bench.records import Response, Run, RunConfig, read_run
from tclue.bench.stats.intervals import mean, t_quantile
from tclue.config_files import read_toml
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.text import counted, money

CHARACTERS_PER_TOKEN = 3.3


@dataclass(frozen=True)
class Bill:
    """What some requests are expected to cost, in US dollars."""

    variant: str
    requests: int
    # None where unknown
    usd: float | None
    # what it lies between; None where there is no bound
    low_usd: float | None
    high_usd: float | None
    # what the estimate rests on
    basis: str

    def __str__(self) -> str:
        """In one line."""
        return f"{self.variant}: {counted(self.requests, 'request')}, {self.amount} ({self.basis})"

    @property
    def amount(self) -> str:
        """The dollars, and what they lie between."""
        if self.usd is not None and self.low_usd is not None and self.high_usd is not None:
            spread = f", between {money(self.low_usd)} and {money(self.high_usd)}"
            return money(self.usd) + (spread if self.low_usd < self.high_usd else "")
        if self.usd is not None:
            return f"{money(self.usd)}, without a bound"
        return "unknown" if self.high_usd is None else f"at most {money(self.high_usd)}"


def confirm(
    runs: Sequence[tuple[Model, RunConfig]], puzzles: Sequence[Puzzle], options: BenchOptions
) -> None:
    """Print the expected bill, and ask for a yes where it is above `--ask-above`.

    Raises UserError without a yes: the answer was another, or there is no terminal.
    """
    bills = [estimate(model, config, puzzles, options.results) for model, config in runs]
    total_bill = total(bills)
    for line in [*map(str, bills), f"in all: {total_bill.amount}"]:
        print(f"estimate: {line}", file=sys.stderr)
    _confirm_total(total_bill, options, sys.stdin)


def _confirm_total(total_bill: Bill, options: BenchOptions, answers: TextIO) -> None:
    usd = total_bill.high_usd if total_bill.usd is None else total_bill.usd
    if options.max_cost is not None:
        usd = options.max_cost if usd is None else min(usd, options.max_cost)
    if options.yes or (usd is not None and usd <= options.ask_above_usd):
        return
    reason = "a bill of unknown size" if usd is None else money(usd)
    reason += f" is above --ask-above {options.ask_above_usd:g}" if usd is not None else ""
    if not answers.isatty():
        raise UserError(f"--estimate: {reason}, and nobody is there to be asked: --yes says it")
    print(f"{reason}: go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if answers.readline().strip().lower() not in ("y", "yes"):
        raise UserError("--estimate: nothing was sent")


def estimate(model: Model, config: RunConfig, puzzles: Sequence[Puzzle], results: Path) -> Bill:
    """The expected bill for the missing responses of a run."""
    runs = list(_runs_like(config, results))
    this_run = [run for run in runs if run.config.run_name == config.run_name]
    done = {response.pair for run in this_run for response in run.final() if response.scored}
    rest = [
        puzzle
        for puzzle in puzzles
        for sample in range(config.samples)
        if (puzzle.id, sample) not in done
    ]

    def bill(usd: float | None, low: float | None, high: float | None, basis: str) -> Bill:
        return Bill(config.variant, len(rest), usd, low, high, basis)

    prices = config.prices
    if not rest or prices.source == "free":
        return bill(0.0, 0.0, 0.0, "nothing is missing" if not rest else "free")
    costs = _costs((response for run in runs for response in run.final()), prices)
    if len(costs) > 1:
        count = counted(sum(map(len, costs)), "response")
        basis = f"as {count} to {len(costs)} puzzles were"
        return bill(*projected(costs, len(rest), config.samples), basis)
    if prices.source in ("hour", "gpu-hour"):
        return bill(None, None, None, "paid by the time, and no earlier run to go by")
    if not prices.known:
        return bill(None, None, None, "nobody knows its price")
    limit = model.resolved.max_tokens or model.resolved.max_output_tokens
    tokens = [likely_tokens(puzzle.prompt) for puzzle in rest]
    bounds = (
        _sum(repriced(Usage(count, 0), prices) for count in tokens),
        _sum(worst_case_usd(prices, count, limit) for count in tokens),
    )
    output = typical_tokens().get(config.model)
    if output is None:
        basis = "nobody knows how long its answers are"
        basis += "" if limit is None else f": at most {limit} tokens"
        return bill(None, *bounds, basis)
    output = min(output, limit or output)
    usd = _sum(repriced(Usage(count, output), prices) for count in tokens)
    return bill(usd, *bounds, f"{output} output tokens each, the published mean")


def total(bills: Sequence[Bill]) -> Bill:
    """All bills together; unknown where one is."""
    requests = sum(bill.requests for bill in bills)
    usd = _sum(bill.usd for bill in bills)
    low, high = _sum(bill.low_usd for bill in bills), _sum(bill.high_usd for bill in bills)
    return Bill("in all", requests, usd, low, high, "")


def likely_tokens(prompt: str) -> int:
    """About how many tokens a prompt has."""
    return math.ceil(len(prompt) / CHARACTERS_PER_TOKEN)


def projected(
    costs: Sequence[Sequence[float]], count: int, samples: int
) -> tuple[float, float, float]:
    """The expected sum of `count` more costs, and its 95% interval.

    `costs` are those that are known, by puzzle, of two puzzles or more; `samples` of the new ones
    are of one puzzle. The interval is that of a normal logarithm, for bills are skewed.
    """
    means = [mean(group) for group in costs]
    expected = mean(means) * count
    if not expected:
        return 0.0, 0.0, 0.0
    between, single = stdev(means) ** 2, stdev(cost for group in costs for cost in group) ** 2
    of_mean = between / len(means) * count**2
    of_rest = max(between * samples, single) * count
    error = t_quantile(len(means) - 1) * math.sqrt(of_mean + of_rest) / expected
    return expected, expected * math.exp(-error), expected * math.exp(error)


@lru_cache
def typical_tokens() -> dict[str, int]:
    """Published mean output tokens, by the name that selects a variant."""
    path = Path(str(files("tclue.bench") / "data" / "typical_output.toml"))
    tokens: dict[str, int] = read_toml(path)["tokens"]
    return tokens


def _runs_like(config: RunConfig, results: Path) -> Iterator[Run]:
    """The variant's runs on the puzzle file, at whatever other settings."""
    name = config.run_name.rsplit("--", 1)[0]
    for path in sorted(results.glob(f"{name}--*/run.json")):
        # Unreadable runs are left out. If it is this very run, opening it raises the error.
        with suppress(UserError):
            run = read_run(path.parent, texts=False)
            stored = run.config
            if (stored.variant, stored.puzzle_sha256) == (config.variant, config.puzzle_sha256):
                yield run


def _costs(responses: Iterable[Response], prices: Prices) -> list[list[float]]:
    """The known costs of responses at the present prices, by puzzle."""
    known = [
        (response.puzzle, math.fsum(parts.values()))
        for response in responses
        if response.scored
        and (parts := cost_parts(prices, response.usage, response.compute_s)) is not None
    ]
    known.sort(key=lambda pair: pair[0])
    return [[cost for _, cost in group] for _, group in groupby(known, key=lambda pair: pair[0])]


def _sum(amounts: Iterable[float | None]) -> float | None:
    """The sum; None where an amount is."""
    amounts = list(amounts)
    known = [amount for amount in amounts if amount is not None]
    return math.fsum(known) if len(known) == len(amounts) else None
