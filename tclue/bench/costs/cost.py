"""What a response cost, in US dollars: parts that add up, or None where the price is not known.

* A built-in model is free. A local model costs the wall time it took, at a price for the hour.
* A hosted model costs its tokens, at the run's prices. Completion tokens hold the reasoning tokens,
  as providers bill them. Where the provider itself says what it billed, that is the cost, unless
  the price was given by hand.
* A self-hosted server costs its tokens at a named tier, or its share of the time of its GPUs.
* An unknown price, or a reply that does not say how many tokens it took, makes the cost None. It
  is never 0, and neither is the price of a model that litellm lists at 0.
* There are two calculators, ours (the wire's usage at the run's prices) and litellm's (its own
  reading of the usage, at its own list). Both are recorded, and a difference is reported.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from tclue.strict import CountOrZero, NotNegative
from tclue.text import counted, dollars

HOUR_USD = 0.10  # about what a cloud machine with 2 CPU cores costs
TOLERANCE = 0.005  # by which two calculators may differ


@dataclass(frozen=True)
class Prices:
    """What a run's costs are counted with."""

    source: Literal["free", "hour", "gpu-hour", "tier", "given", "book", "litellm", "unknown"]
    # day of the price, ISO: of the book's entry, or on which it was looked up or given
    date: str
    # source of the price: a page, a tier's name, litellm's version; None where the user gave it
    origin: str | None = None
    # dollars per million tokens; None where tokens are not paid for, or it is unknown
    prompt_usd_per_million: NotNegative | None = None
    # of prompt tokens read from a cache, and written to one that lasts 5 minutes or an hour
    cached_usd_per_million: NotNegative | None = None
    cache_write_5m_usd_per_million: NotNegative | None = None
    cache_write_1h_usd_per_million: NotNegative | None = None
    # of all completion tokens, those of reasoning included
    completion_usd_per_million: NotNegative | None = None
    # dollars for an hour of wall time: of the machine, or of one of its GPUs
    hour_usd: NotNegative | None = None
    gpus: int | None = None

    @property
    def known(self) -> bool:
        """Whether the price of a response can be counted."""
        if self.source in ("free", "hour", "gpu-hour"):
            return True
        tokens = (self.prompt_usd_per_million, self.completion_usd_per_million)
        return self.source != "unknown" and None not in tokens

    def same_as(self, other: Prices) -> bool:
        """Whether both count the same costs, whenever they were looked up."""
        return replace(self, date=other.date) == other


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counts them; None where it does not say."""

    # the whole prompt, tokens read from a cache or written to one included
    prompt_tokens: CountOrZero | None = None
    # reasoning tokens included
    completion_tokens: CountOrZero | None = None
    cached_tokens: CountOrZero | None = None
    cache_write_5m_tokens: CountOrZero | None = None
    cache_write_1h_tokens: CountOrZero | None = None
    reasoning_tokens: CountOrZero | None = None
    # what the provider itself says that the response cost
    reported_usd: NotNegative | None = None
    # what the provider sent
    raw: Mapping[str, Any] = field(default_factory=dict)


def today() -> str:
    """The day, ISO, UTC."""
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def cost_parts(prices: Prices, usage: Usage, compute_s: float | None) -> dict[str, float] | None:
    """The dollars that a response cost, by what they were paid for, or None where unknown.

    `compute_s` is the response's share of the wall time. Cached and cache-written tokens without a
    price of their own are paid for like the rest of the prompt.
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
    """The dollars for the tokens alone, whatever the provider says; None where unknown."""
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
        return None  # a count that contradicts itself is not known
    return {
        "prompt_usd": (prompt_tokens - apart) * full / 1e6,
        **parts,
        "completion_usd": completion_tokens * completion / 1e6,
    }


def worst_case_usd(
    prices: Prices, prompt_tokens: int, max_output_tokens: int | None
) -> float | None:
    """The most that a request can cost: the dearest kind of prompt token, the longest answer.

    None where there is no such bound. Time on a machine has none: it is not paid by the request.
    """
    if prices.source == "free":
        return 0.0
    prompt_prices = (
        prices.prompt_usd_per_million,
        prices.cache_write_5m_usd_per_million,
        prices.cache_write_1h_usd_per_million,
    )
    completion_price = prices.completion_usd_per_million
    if prompt_prices[0] is None or completion_price is None or max_output_tokens is None:
        return None
    dearest = max(price for price in prompt_prices if price is not None)
    return (prompt_tokens * dearest + max_output_tokens * completion_price) / 1e6


def at_most_usd(prices: Prices, usage: Usage, max_output_tokens: int | None) -> float | None:
    """The most that an answer can have cost that was cut off: its prompt, and the longest answer.

    `usage` is what is known of it: the prompt's counts, if the provider sent them first.
    """
    return repriced(replace(usage, completion_tokens=max_output_tokens), prices)


def repriced(usage: Usage, prices: Prices) -> float | None:
    """What the same tokens cost at other prices, such as the price book's of today."""
    parts = token_parts(prices, usage)
    return None if parts is None else math.fsum(parts.values())


def agree(ours_usd: float, theirs_usd: float) -> bool:
    """Whether two calculators come to the same, to 0.5%."""
    return math.isclose(ours_usd, theirs_usd, rel_tol=TOLERANCE)


class Billed(Protocol):
    """The fields of a recorded response by which the two calculators are compared."""

    @property
    def usage(self) -> Usage:
        """Its tokens."""

    @property
    def cost_usd(self) -> float | None:
        """What it cost; None where unknown."""

    @property
    def cost_litellm_usd(self) -> float | None:
        """The cost by litellm's calculator; None where unknown."""


def agreement(prices: Prices, responses: Iterable[Billed]) -> str | None:
    """A note that the calculators differ on a run, or that one has no price; None if they agree.

    Responses are compared one by one, so that errors cannot cancel. Prices that were given by hand,
    and those of a machine or a tier, have no second source, so they are not compared.
    """
    responses = list(responses)
    if not responses:
        return None
    if prices.source == "unknown":
        return "no price is known"
    notes = []
    unpriced = sum(r.cost_usd is None for r in responses)
    if unpriced:
        notes.append(f"{unpriced} of {counted(len(responses), 'response')} without a known cost")
    if prices.source not in ("book", "litellm"):
        return "; ".join(notes) or None
    bills = [
        (repriced(r.usage, prices), r.usage.reported_usd, r.cost_litellm_usd) for r in responses
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
