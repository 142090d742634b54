"""`--estimate`: the expected bill and its interval before anything is sent, with a confirmation.

`--dry-run` shows it and ends. `--pilot N` asks for one response to each of the first N puzzles, and
then does the same for the rest. docs/method/costs.md has the rules.

* Only missing responses are counted, so the bill of a resumed run is that of its rest.
* The spread is a 95% interval of the bill, clustered by puzzle. It includes the uncertainty of the
  mean and the variation of the missing responses. On simulated bills with the skew of real ones it
  contained the true bill 91 to 96 times in 100; resampling the puzzles was not better.
* The total is the sum of the models' expectations, and of their bounds, as if all were high at
  once.
"""

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from statistics import stdev

from tclue.bench.costs.cost import Prices, Usage, cost_parts, repriced, total_usd, worst_case_usd
from tclue.bench.models.listing import price_text
from tclue.bench.models.model import Model
from tclue.bench.options import BenchOptions
from tclue.bench.records import Response, Run, RunConfig, read_run
from tclue.bench.runs.executor import missing
from tclue.bench.stats.intervals import mean, t_quantile
from tclue.config_files import read_toml
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.text import counted, money

CHARACTERS_PER_TOKEN = 3.3
# Name that selects a variant -> its published mean of output tokens.
TYPICAL_OUTPUT = Path(str(files("tclue.bench") / "data" / "typical_output.toml"))


@dataclass(frozen=True)
class Bill:
    """The expected cost of some requests, in US dollars."""

    variant: str
    requests: int
    # None if unknown
    usd: float | None
    # the interval; None if there is no bound
    low_usd: float | None
    high_usd: float | None
    # what the estimate is based on
    basis: str
    # the prices in words
    prices: str = ""

    def __str__(self) -> str:
        """The bill in one line."""
        return f"{self.variant}: {counted(self.requests, 'request')}, {self.amount} ({self.basis})"

    @property
    def amount(self) -> str:
        """The dollars with their interval."""
        if self.usd is not None and self.low_usd is not None and self.high_usd is not None:
            spread = f", between {money(self.low_usd)} and {money(self.high_usd)}"
            return money(self.usd) + (spread if self.low_usd < self.high_usd else "")
        if self.usd is not None:
            return f"{money(self.usd)}, without a bound"
        return "unknown" if self.high_usd is None else f"at most {money(self.high_usd)}"


def confirm(
    runs: Sequence[tuple[Model, RunConfig]], puzzles: Sequence[Puzzle], options: BenchOptions
) -> None:
    """Print the expected bill, and ask for confirmation if it is above `--ask-above`.

    Raises UserError if the user does not confirm, or if there is no terminal to ask in.
    """
    bills = [estimate(model, config, puzzles, options.results) for model, config in runs]
    total_bill = total(bills)
    for line in bill_lines(bills):
        print(f"estimate: {line}", file=sys.stderr)
    usd = total_bill.high_usd if total_bill.usd is None else total_bill.usd
    if options.max_cost is not None:
        usd = options.max_cost if usd is None else min(usd, options.max_cost)
    if options.yes or (usd is not None and usd <= options.ask_above_usd):
        return
    reason = "a bill of unknown size" if usd is None else money(usd)
    reason += f" is above --ask-above {options.ask_above_usd:g}" if usd is not None else ""
    option, sent = ("--pilot", "nothing more") if options.pilot else ("--estimate", "nothing")
    if not sys.stdin.isatty():
        raise UserError(f"{option}: {reason}: expected --yes, or a terminal to ask in")
    print(f"{reason}: continue? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError(f"{option}: not confirmed: {sent} was sent")


def bill_lines(bills: Sequence[Bill]) -> list[str]:
    """A line for each bill, and one for their total."""
    return [*map(str, bills), f"in all: {total(bills).amount}"]


def estimate(model: Model, config: RunConfig, puzzles: Sequence[Puzzle], results: Path) -> Bill:
    """The expected bill for the missing responses of a run."""
    runs = list(_runs_like(config, results))
    this_run = [run for run in runs if run.config.run_name == config.run_name]
    done = {response.key for run in this_run for response in run.final() if response.scored}
    rest = [request.puzzle for request in missing(puzzles, config, done)]
    prices = config.prices
    bill = partial(Bill, config.variant, len(rest), prices=price_text(prices))
    if not rest or prices.source == "free":
        return bill(0.0, 0.0, 0.0, "nothing is missing" if not rest else "free")
    costs = _costs((response for run in runs for response in run.final()), prices)
    if len(costs) > 1:
        count = counted(sum(map(len, costs)), "response")
        basis = f"from {count} to {len(costs)} puzzles"
        return bill(*projected(costs, len(rest), config.samples), basis)
    if prices.source in ("hour", "gpu-hour"):
        return bill(None, None, None, "priced by time, and there is no earlier run to compare")
    if not prices.known:
        return bill(None, None, None, "its price is unknown")
    limit = model.resolved.max_tokens or model.resolved.max_output_tokens
    tokens = [likely_tokens(puzzle.prompt) for puzzle in rest]
    bounds = (
        total_usd(repriced(Usage(count, 0), prices) for count in tokens),
        total_usd(worst_case_usd(prices, count, limit) for count in tokens),
    )
    output = read_toml(TYPICAL_OUTPUT)["tokens"].get(config.model)
    if output is None:
        basis = "the length of its answers is unknown"
        basis += "" if limit is None else f": at most {limit} tokens"
        return bill(None, *bounds, basis)
    output = min(output, limit or output)
    usd = total_usd(repriced(Usage(count, output), prices) for count in tokens)
    return bill(usd, *bounds, f"{output} output tokens each, the published mean")


def total(bills: Sequence[Bill]) -> Bill:
    """The sum of all bills; unknown if one is."""
    amounts = [(bill.usd, bill.low_usd, bill.high_usd) for bill in bills]
    usd, low_usd, high_usd = map(total_usd, zip(*amounts, strict=True))
    return Bill("in all", sum(bill.requests for bill in bills), usd, low_usd, high_usd, "")


def likely_tokens(prompt: str) -> int:
    """The approximate number of tokens of a prompt."""
    return math.ceil(len(prompt) / CHARACTERS_PER_TOKEN)


def projected(
    costs: Sequence[Sequence[float]], count: int, samples: int
) -> tuple[float, float, float]:
    """The expected sum of `count` more costs, and its 95% interval.

    `costs` has the known costs [puzzle][sample] of two puzzles or more. The new costs have
    `samples` per puzzle. The interval is that of a log-normal distribution, because bills are
    skewed.
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


def _runs_like(config: RunConfig, results: Path) -> Iterator[Run]:
    """The runs of a variant on a puzzle file, with any other settings."""
    name = config.run_name.rsplit("--", 1)[0]
    for path in sorted(results.glob(f"{name}--*/run.json")):
        # Unreadable runs are left out. If it is this run, opening it raises the error later.
        with suppress(UserError):
            run = read_run(path.parent, texts=False)
            stored = run.config
            if (stored.variant, stored.puzzle_sha256) == (config.variant, config.puzzle_sha256):
                yield run


def _costs(responses: Iterable[Response], prices: Prices) -> list[list[float]]:
    """The known costs of responses at the current prices, [puzzle][sample]."""
    costs: defaultdict[str, list[float]] = defaultdict(list)
    for response in responses:
        parts = cost_parts(prices, response.usage, response.compute_s)
        if response.scored and parts is not None:
            costs[response.puzzle].append(math.fsum(parts.values()))
    return list(costs.values())
