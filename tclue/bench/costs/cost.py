"""The cost of a response in US dollars, as parts that add up; None if the price is unknown.

* A built-in model is free. A local model is priced by its wall time and a price per hour.
* A hosted model is priced by its tokens at the run's prices. Completion tokens include reasoning
  tokens, as in providers' bills. If the provider reports what it billed, that is the cost, unless
  the user gave the price.
* A self-hosted server is priced by its tokens at a named tier, or by its share of GPU time.
* The cost is None, never 0, if the price is unknown or if the reply does not report its tokens. A
  price of 0 in litellm's list also counts as unknown.
* There are two calculators: ours (the usage that the provider sent, at the run's prices) and
  litellm's (its own reading of the usage, at its own prices). Both are recorded, and a difference
  is reported.
"""

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tclue.strict import Count, CountOrZero, NotNegative
from tclue.text import counted, dollars

HOUR_USD = 0.10  # about the price of a cloud machine with 2 CPU cores
TOLERANCE = 0.005  # relative difference that two calculators may have


@dataclass(frozen=True)
class Prices:
    """The prices of a run."""

    source: Literal["free", "hour", "gpu-hour", "tier", "given", "book", "litellm", "unknown"]
    # ISO day of the price: that of the book's entry, or the day on which it was looked up or given
    date: str
    # where the price is from: a page, a tier's name, litellm's version; None if the user gave it
    origin: str | None = None
    # dollars per million tokens; None if tokens are not billed, or if the price is unknown
    prompt_usd_per_million: NotNegative | None = None
    # prompt tokens that are read from a cache, or written to one that lasts 5 minutes or an hour
    cached_usd_per_million: NotNegative | None = None
    cache_write_5m_usd_per_million: NotNegative | None = None
    cache_write_1h_usd_per_million: NotNegative | None = None
    # all completion tokens, reasoning included
    completion_usd_per_million: NotNegative | None = None
    # dollars per hour of wall time, of the machine or of one of its GPUs
    hour_usd: NotNegative | None = None
    gpus: Count | None = None

    @property
    def known(self) -> bool:
        """Whether the cost of a response can be computed."""
        if self.source in ("free", "hour", "gpu-hour"):
            return True
        tokens = (self.prompt_usd_per_million, self.completion_usd_per_million)
        return self.source != "unknown" and None not in tokens


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counts them; None if it does not report them."""

    # the whole prompt, including tokens that are read from a cache or written to one
    prompt_tokens: CountOrZero | None = None
    # including reasoning tokens
    completion_tokens: CountOrZero | None = None
    cached_tokens: CountOrZero | None = None
    cache_write_5m_tokens: CountOrZero | None = None
    cache_write_1h_tokens: CountOrZero | None = None
    reasoning_tokens: CountOrZero | None = None
    # the cost of the response as the provider reports it
    reported_usd: NotNegative | None = None
    # the usage object that the provider sent
    raw: Mapping[str, Any] = field(default_factory=dict)


def today() -> str:
    """The current ISO day, in UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def cost_parts(prices: Prices, usage: Usage, compute_s: float | None) -> dict[str, float] | None:
    """The parts of a response's cost in dollars, by name; None if the cost is unknown.

    `compute_s` is the response's share of the wall time. Tokens that are read from a cache or
    written to one are priced like the rest of the prompt if they have no price of their own.
    """
    match prices.source:
        case "book" | "litellm" | "unknown" if usage.reported_usd is not None:
            return {"reported_usd": usage.reported_usd}
        case "free":
            return {"free_usd": 0.0}
        case "hour" | "gpu-hour" if compute_s is not None and prices.hour_usd is not None:
            return {"compute_usd": compute_s * prices.hour_usd * (prices.gpus or 1) / 3600}
        case "tier" | "given" | "book" | "litellm":
            return token_parts(prices, usage)
    return None


def token_parts(prices: Prices, usage: Usage) -> dict[str, float] | None:
    """The cost of the tokens alone, whatever the provider reports; None if it is unknown."""
    full, completion = prices.prompt_usd_per_million, prices.completion_usd_per_million
    prompt_tokens, completion_tokens = usage.prompt_tokens, usage.completion_tokens
    if full is None or completion is None or prompt_tokens is None or completion_tokens is None:
        return None
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
    apart = sum(tokens for tokens, price in special.values() if tokens and price is not None)
    if apart > prompt_tokens:
        return None  # the counts contradict each other
    return {
        "prompt_usd": (prompt_tokens - apart) * full / 1e6,
        **parts,
        "completion_usd": completion_tokens * completion / 1e6,
    }


def worst_case_usd(
    prices: Prices, prompt_tokens: int, max_output_tokens: int | None
) -> float | None:
    """The most that a request can cost: the dearest kind of prompt token, and the longest answer.

    None if there is no such bound, as for models that are paid by the hour.
    """
    if prices.source == "free":
        return 0.0
    full, completion = prices.prompt_usd_per_million, prices.completion_usd_per_million
    if full is None or completion is None or max_output_tokens is None:
        return None
    written = (prices.cache_write_5m_usd_per_million, prices.cache_write_1h_usd_per_million)
    dearest = max(full, *(price or 0.0 for price in written))
    return (prompt_tokens * dearest + max_output_tokens * completion) / 1e6


def repriced(usage: Usage, prices: Prices) -> float | None:
    """The cost of the same tokens at other prices, such as those of today's price book."""
    parts = token_parts(prices, usage)
    return None if parts is None else math.fsum(parts.values())


def agree(ours_usd: float, theirs_usd: float) -> bool:
    """Whether the figures of two calculators are equal within 0.5%."""
    return math.isclose(ours_usd, theirs_usd, rel_tol=TOLERANCE)


def agreement(
    prices: Prices, responses: Iterable[tuple[Usage, float | None, float | None]]
) -> str | None:
    """A note if the calculators differ on a run or one has no price; None if they agree.

    `responses` holds the usage of each response, our cost and litellm's cost; None if unknown. They
    are compared one by one, so that errors cannot cancel. Prices that the user gave, and those of a
    machine or a tier, have no second source and are not compared.
    """
    responses = list(responses)
    if not responses:
        return None
    if prices.source == "unknown":
        return "no price is known"
    notes = []
    unpriced = sum(cost_usd is None for _, cost_usd, _ in responses)
    if unpriced:
        notes.append(f"{unpriced} of {counted(len(responses), 'response')} without a known cost")
    if prices.source not in ("book", "litellm"):
        return "; ".join(notes) or None
    bills = [
        (repriced(usage, prices), usage.reported_usd, litellm) for usage, _, litellm in responses
    ]
    if prices.source == "litellm":
        notes.append("not in the price book: counted at litellm's price")
    for name, pairs in (
        ("the provider", [(ours, reported) for ours, reported, _ in bills if reported is not None]),
        ("litellm", [(ours, litellm) for ours, _, litellm in bills if litellm is not None]),
    ):
        known = [(ours, theirs) for ours, theirs in pairs if ours is not None]
        if differing := sum(not agree(ours, theirs) for ours, theirs in known):
            ours_usd, theirs_usd = (math.fsum(column) for column in zip(*known, strict=True))
            notes.append(
                f"calculators differ on {differing} of {counted(len(known), 'response')}: "
                f"{dollars(ours_usd, 6)} by our prices, {dollars(theirs_usd, 6)} by {name}"
            )
    unknown = sum(litellm is None for _, _, litellm in bills)
    if unknown == len(bills):
        notes.append("litellm does not know this model")
    elif unknown:
        notes.append(f"litellm does not know {unknown} of {counted(len(bills), 'response')}")
    return "; ".join(notes) or None
