"""Twelve bills computed by hand, beside what the program records for the same replies.

Each goes through a whole run, and is read back from its folder. Run with `-rP` to print the table.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from bench_support import Silent, write_puzzles

from tclue.bench.costs.cost import Prices
from tclue.bench.costs.price_book import SHIPPED, read_book
from tclue.bench.costs.usage import merge_usage, read_usage
from tclue.bench.models.failures import MAYBE_PAID, Failure
from tclue.bench.models.model import Completion, Model, Request, ResolvedModel
from tclue.bench.options import BenchOptions
from tclue.bench.records import Response, read_run
from tclue.bench.runs.executor import RunExecutor
from tclue.bench.runs.run import configuration
from tclue.bench.runs.run_folder import RunFolder
from tclue.puzzle.splits import load_set

Counts = Mapping[str, Any]
BUSY = Completion(error="429: slow down", failure=Failure("again", wait_s=0.0))


@dataclass(frozen=True)
class Bill:
    """A reply, its price and its cost, worked out by hand."""

    kind: str
    model: str
    # the usage of the reply, or of the events of its stream
    sent: Sequence[Counts]
    # numbers of tokens, each with its price in dollars per million
    by_hand: Sequence[tuple[int, float]]
    dollars: float
    factor: float = 1.0
    # outside the usage
    service_tier: str | None = None
    # how often the provider said that it was busy before
    busy: int = 0
    complete: bool = True
    prices: Prices | None = None


GPT5: Counts = {
    "prompt_tokens": 2006,
    "completion_tokens": 14736,
    "total_tokens": 16742,
    "prompt_tokens_details": {"cached_tokens": 1920},
    "completion_tokens_details": {"reasoning_tokens": 13888},
}
SONNET: Counts = {
    "input_tokens": 1300,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 5000,
    "output_tokens": 2,
    "service_tier": "standard",
}
# What xAI asked for Grok 4.20, and the counts and the bill of a real reply
# (https://github.com/Wei-Shaw/sub2api/issues/5771).
GROK = Prices(
    "book",
    "2026-08-18",
    prompt_usd_per_million=1.25,
    cached_usd_per_million=0.20,
    completion_usd_per_million=2.50,
)
BILLS = [
    Bill(
        "OpenAI: cached prompt, reasoning within the completion",
        "openai/o1",
        [GPT5],
        [(2006 - 1920, 15.00), (1920, 7.50), (14736, 60.00)],
        0.89985,
    ),
    Bill(
        "OpenAI: the same in the tier priority",
        "openai/gpt-5",
        [GPT5],
        [(86, 2.50), (1920, 0.25), (14736, 20.00)],
        0.295415,
        service_tier="priority",
    ),
    Bill(
        "OpenAI: the same in the tier flex",
        "openai/gpt-5",
        [GPT5],
        [(86, 0.625), (1920, 0.0625), (14736, 5.00)],
        0.07385375,
        service_tier="flex",
    ),
    Bill(
        "OpenAI: a retry, of which only the answer is billed",
        "openai/gpt-5-mini",
        [{"prompt_tokens": 1000, "completion_tokens": 2000, "total_tokens": 3000}],
        [(1000, 0.25), (2000, 2.00)],
        0.00425,
        service_tier="default",
        busy=1,
    ),
    Bill(
        "Anthropic: thinking, and cache writes for 5 minutes and an hour",
        "anthropic/claude-sonnet-5-5",
        [
            {
                "input_tokens": 1300,
                "cache_creation_input_tokens": 3000,
                "cache_read_input_tokens": 5000,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 1000,
                    "ephemeral_1h_input_tokens": 2000,
                },
                "output_tokens": 14516,
                "output_tokens_details": {"thinking_tokens": 13000},
                "service_tier": "standard",
            }
        ],
        [(1300, 2.00), (5000, 0.10), (1000, 2.50), (2000, 4.00), (14516, 10.00)],
        0.15876,
    ),
    Bill(
        "Anthropic: a stream in the US region that ends with an input of 0",
        "anthropic/claude-sonnet-5-5",
        [{**SONNET, "inference_geo": "us"}, {"input_tokens": 0, "output_tokens": 14516}],
        [(1300, 2.00), (5000, 0.10), (14516, 10.00)],
        0.163086,
        factor=1.1,
    ),
    Bill(
        "Anthropic: a stream that broke off; at most 20,000 tokens of output",
        "anthropic/claude-sonnet-5-5",
        [SONNET],
        [(1300, 2.00), (5000, 0.10), (20_000, 10.00)],
        0.2031,
        complete=False,
    ),
    Bill(
        "DeepSeek: cache hits, reasoning within the completion",
        "deepseek/deepseek-reasoner",
        [
            {
                "prompt_tokens": 1129,
                "completion_tokens": 13018,
                "total_tokens": 14147,
                "completion_tokens_details": {"reasoning_tokens": 12500},
                "prompt_cache_hit_tokens": 1024,
                "prompt_cache_miss_tokens": 105,
            }
        ],
        [(105, 0.28), (1024, 0.028), (13018, 0.42)],
        0.005525632,
    ),
    Bill(
        "Gemini: thoughts beside the candidates, cached content",
        "gemini/gemini-2.5-pro",
        [
            {
                "promptTokenCount": 3200,
                "cachedContentTokenCount": 2048,
                "candidatesTokenCount": 700,
                "thoughtsTokenCount": 9300,
                "totalTokenCount": 13200,
                "trafficType": "ON_DEMAND",
            }
        ],
        [(3200 - 2048, 1.25), (2048, 0.125), (700 + 9300, 10.00)],
        0.101696,
    ),
    Bill(
        "Gemini behind OpenAI's protocol: thoughts in the total alone",
        "gemini/gemini-2.5-flash",
        [{"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 9500}],
        [(1200, 0.30), (9500 - 1200, 2.50)],
        0.02111,
    ),
    Bill(
        "xAI: reasoning beside the completion",
        "xai/grok-4.20",
        [
            {
                "prompt_tokens": 10120,
                "completion_tokens": 1499,
                "total_tokens": 14428,
                "prompt_tokens_details": {"cached_tokens": 128},
                "completion_tokens_details": {"reasoning_tokens": 2809},
            }
        ],
        [(10120 - 128, 1.25), (128, 0.20), (1499 + 2809, 2.50)],
        0.0232856,
        prices=GROK,
    ),
    Bill(
        "OpenRouter with a key of one's own: its fee and the provider's bill",
        "openrouter/deepseek/deepseek-r1",
        [
            {
                "prompt_tokens": 1129,
                "completion_tokens": 13018,
                "total_tokens": 14147,
                "cost": 0.0016,
                "is_byok": True,
                "cost_details": {"upstream_inference_cost": 0.032},
            }
        ],
        [(1_000_000, 0.0016), (1_000_000, 0.032)],
        0.0336,
    ),
]


class Replies(Model):
    """A model in this process that gives the completions of a bill, one after another."""

    def __init__(self, bill: Bill, prices: Prices) -> None:
        self.resolved = ResolvedModel(variant="bill", prices=prices, max_tokens=20_000)
        usage = read_usage(
            reduce(merge_usage, bill.sent),
            complete=bill.complete,
            has_text=bill.complete,
            service_tier=bill.service_tier,
        )
        reply = Completion(text="A. x", finish_reason="stop", usage=usage)
        broken = Completion(error="the reply was cut off", failure=MAYBE_PAID, usage=usage)
        self._completions = iter([BUSY] * bill.busy + [reply if bill.complete else broken])

    async def complete(self, batch: Sequence[Request]) -> AsyncIterator[tuple[Request, Completion]]:
        for request in batch:
            yield request, next(self._completions)


def recorded(bill: Bill, folder: Path) -> Response:
    """The one response of a run with the replies of a bill."""
    entry = read_book(SHIPPED).find(bill.model)
    prices = bill.prices or (entry.prices if entry else Prices("unknown", ""))
    path, _ = write_puzzles(folder, 1)
    model, puzzles = Replies(bill, prices), load_set(str(path))
    options = BenchOptions(puzzles=str(path), results=folder / "results")

    async def run(run_folder: RunFolder) -> None:
        await RunExecutor(model, run_folder, puzzles.puzzles, Silent()).run()

    with RunFolder(options.results, configuration("bill", model, options, puzzles)) as run_folder:
        asyncio.run(run(run_folder))
        (response,) = read_run(run_folder.path).responses
    return response


@pytest.mark.parametrize("bill", BILLS, ids=lambda bill: bill.kind)
def test_the_program_agrees_with_the_bill_by_hand(bill: Bill, tmp_path: Path) -> None:
    response = recorded(bill, tmp_path)
    by_hand = math.fsum(tokens * price for tokens, price in bill.by_hand) / 1e6 * bill.factor
    assert by_hand == pytest.approx(bill.dollars, abs=1e-15)
    assert response.tries == bill.busy + 1
    program = response.cost_usd if bill.complete else response.at_most_usd
    assert bill.complete or response.cost_usd is None
    assert program is not None
    most = "" if bill.complete else "at most "
    print(f"| {bill.kind} | {most}${bill.dollars:.9g} | {most}${program:.9g} |")
    assert program == pytest.approx(bill.dollars, rel=1e-12)


def test_there_are_twelve() -> None:
    assert len(BILLS) == len({bill.kind for bill in BILLS}) == 12
