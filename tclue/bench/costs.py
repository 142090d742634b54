"""What a response cost, in US dollars: parts that add up, or None where the price is not known.

* A built-in model is free. A local model costs the wall time it took, at a price for the hour.
* A hosted model costs its tokens, at the run's prices. Completion tokens hold the reasoning tokens,
  as providers bill them.
* An unknown price, or a reply that does not say how many tokens it took, makes the cost None. It
  is never 0, and neither is the price of a model that litellm lists at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

HOUR_USD = 0.10  # about what a cloud machine with 2 CPU cores costs


@dataclass(frozen=True)
class Prices:
    """What a run's costs are counted with."""

    source: Literal["free", "hour", "gpu-hour", "tier", "given", "book", "litellm", "unknown"]
    # day of the price, ISO: of the book's entry, or on which it was looked up or given
    date: str
    # where it stands: a page, a tier's name, litellm and its version; None where it was given
    origin: str | None = None
    # dollars per million tokens; None where tokens are not paid for, or nobody knows
    prompt_usd_per_million: float | None = None
    # of prompt tokens read from a cache, and written to one that lasts 5 minutes or an hour
    cached_usd_per_million: float | None = None
    cache_write_5m_usd_per_million: float | None = None
    cache_write_1h_usd_per_million: float | None = None
    # of all completion tokens, those of reasoning included
    completion_usd_per_million: float | None = None
    # dollars for an hour of wall time: of the machine, or of one of its GPUs
    hour_usd: float | None = None
    gpus: int | None = None

    def same_as(self, other: Prices) -> bool:
        """Whether both count the same costs, whenever they were looked up."""
        return replace(self, date=other.date) == other


@dataclass(frozen=True)
class Usage:
    """Tokens as the provider counts them; None where it does not say."""

    # the whole prompt, tokens read from a cache or written to one included
    prompt_tokens: int | None = None
    # reasoning tokens included
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    # what the provider itself says that the response cost
    reported_usd: float | None = None
    # what the provider sent
    raw: Mapping[str, Any] = field(default_factory=dict)


def cost_parts(prices: Prices, usage: Usage, compute_s: float | None) -> dict[str, float] | None:
    """The dollars that a response cost, by what they were paid for, or None where unknown.

    `compute_s` is the response's share of the wall time. Cached and cache-written tokens without a
    price of their own are paid for like the rest of the prompt.
    """
    match prices.source:
        case "free":
            return {"free_usd": 0.0}
        case "hour" | "gpu-hour" if compute_s is not None and prices.hour_usd is not None:
            return {"compute_usd": compute_s * prices.hour_usd * (prices.gpus or 1) / 3600}
        case "tier" | "given" | "book" | "litellm":
            return _token_parts(prices, usage)
    return None


def _token_parts(prices: Prices, usage: Usage) -> dict[str, float] | None:
    full, completion = prices.prompt_usd_per_million, prices.completion_usd_per_million
    if None in (full, completion, usage.prompt_tokens, usage.completion_tokens):
        return None
    assert full is not None
    assert completion is not None
    assert usage.prompt_tokens is not None
    assert usage.completion_tokens is not None
    special = {
        "cached_usd": (usage.cached_tokens, prices.cached_usd_per_million),
        "cache_write_5m_usd": (usage.cache_write_5m_tokens, prices.cache_write_5m_usd_per_million),
        "cache_write_1h_usd": (usage.cache_write_1h_tokens, prices.cache_write_1h_usd_per_million),
    }
    parts = {
        name: tokens * price / 1e6
        for name, (tokens, price) in special.items()
        if tokens and price is not None
    }
    apart = sum(t for t, price in special.values() if t and price is not None)
    return {
        "prompt_usd": (usage.prompt_tokens - apart) * full / 1e6,
        **parts,
        "completion_usd": usage.completion_tokens * completion / 1e6,
    }
