"""The cost of a response in US dollars, as parts that add up; None if the price is unknown.

docs/method/costs.md has the rules. Each response is priced by the facts in its reply: its service
tier, its region and the length of its prompt. The cost is None, never 0, if the price is unknown,
if the reply does not report its tokens, or if its counts contradict each other.

There are two calculators: ours (the usage that the provider sent, at the run's prices) and
litellm's (its own reading of the usage, at its own prices). Both are recorded, and a difference is
reported.
"""

import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from tclue.strict import Count, CountOrZero, NotNegative
from tclue.text import counted, dollars

HOUR_USD = 0.10  # about the price of a cloud machine with 2 CPU cores
TOLERANCE = 0.005  # relative difference that two calculators may have
# What replies say of the tier and the region that the plain prices are for. None: they say nothing.
PLAIN_TIERS = (None, "", "default", "standard", "on_demand", "auto")
PLAIN_REGIONS = (None, "", "global", "not_available")


@dataclass(frozen=True)
class SpecialPrices:
    """Prices that replace the plain ones for a service tier, for long prompts, or for both."""

    # dollars per million tokens, with the price book's names; None if there is or is stated none
    input: NotNegative
    output: NotNegative
    cached_input: NotNegative | None = None
    cache_write_5m: NotNegative | None = None
    cache_write_1h: NotNegative | None = None
    # the tier in the words of replies, in lower case; None for the plain one
    tier: str | None = None
    # number of prompt tokens above which they apply
    above: CountOrZero = 0


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
    special: tuple[SpecialPrices, ...] = ()
    # region as replies name it -> factor of all prices
    regions: Mapping[str, NotNegative] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The prices as records have them; older versions read those without the last two."""
        return {k: v for k, v in asdict(self).items() if v or k not in ("special", "regions")}

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
    # the service tier and the region of the reply, in lower case; None if it does not name them
    service_tier: str | None = None
    region: str | None = None
    # why the counts cannot be priced; the counts above are then None
    problem: str | None = None


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
    prompt_tokens, completion_tokens = usage.prompt_tokens, usage.completion_tokens
    rates, factor = _rates(prices, usage)
    if rates is None or prompt_tokens is None or completion_tokens is None:
        return None
    full, completion = rates.prompt_usd_per_million, rates.completion_usd_per_million
    if full is None or completion is None:
        return None
    parts, apart = {}, 0
    for kind in ("cached", "cache_write_5m", "cache_write_1h"):
        tokens, name = getattr(usage, f"{kind}_tokens"), f"{kind}_usd_per_million"
        price = getattr(rates, name)
        if tokens and price is not None:
            parts[f"{kind}_usd"] = tokens * price / 1e6 * factor
            apart += tokens
        elif tokens and getattr(prices, name) is not None:
            return None  # such tokens have a price of their own, but not at this tier or length
    if apart > prompt_tokens:
        return None  # the counts contradict each other
    return {
        "prompt_usd": (prompt_tokens - apart) * full / 1e6 * factor,
        **parts,
        "completion_usd": completion_tokens * completion / 1e6 * factor,
    }


def _rates(prices: Prices, usage: Usage) -> tuple[Prices | None, float]:
    """The prices for a reply's tier and prompt length, None if unknown, and its region's factor."""
    if prices.source in ("given", "tier"):
        return prices, 1.0  # the user said what any reply costs
    tier = None if usage.service_tier in PLAIN_TIERS else usage.service_tier
    factor = 1.0 if usage.region in PLAIN_REGIONS else prices.regions.get(str(usage.region))
    # Where long prompts cost more, a tier needs a price for them too.
    lengths = [s.above for s in prices.special if s.above < (usage.prompt_tokens or 0)]
    kind = (tier, max(lengths, default=0))
    special = [s for s in prices.special if (s.tier, s.above) == kind]
    if factor is None or not (special or kind == (None, 0)):
        return None, 1.0
    return (with_rates(prices, special[0]) if special else prices), factor


def with_rates(prices: Prices, rates: Any) -> Prices:
    """Prices with those of an object that has the price book's names."""
    return replace(
        prices,
        prompt_usd_per_million=rates.input,
        cached_usd_per_million=getattr(rates, "cached_input", None),
        cache_write_5m_usd_per_million=getattr(rates, "cache_write_5m", None),
        cache_write_1h_usd_per_million=getattr(rates, "cache_write_1h", None),
        completion_usd_per_million=rates.output,
    )


def worst_case_usd(
    prices: Prices, prompt_tokens: int, max_output_tokens: int | None
) -> float | None:
    """The most that a request can cost: the highest prompt price and the longest answer.

    Prices for long prompts and for regions count. Those of other service tiers do not, because no
    request asks for one, and `terms` asks for the plain one where an account could choose another.
    None if there is no such bound, as for models that are paid by the hour.
    """
    if prices.source == "free":
        return 0.0
    read = Usage(prompt_tokens, max_output_tokens)
    written_5m = replace(read, cache_write_5m_tokens=prompt_tokens)
    written_1h = replace(read, cache_write_1h_tokens=prompt_tokens)
    costs = [repriced(usage, prices) for usage in (read, written_5m, written_1h)]
    known = [cost for cost in costs if cost is not None]
    return max(known) * max((1.0, *prices.regions.values())) if known else None


def repriced(usage: Usage, prices: Prices) -> float | None:
    """The cost of the same tokens at other prices, such as those of today's price book."""
    parts = token_parts(prices, usage)
    return None if parts is None else math.fsum(parts.values())


def total_usd(amounts: Iterable[float | None]) -> float | None:
    """The sum of amounts; None if one is None."""
    amounts = list(amounts)
    known = [amount for amount in amounts if amount is not None]
    return math.fsum(known) if len(known) == len(amounts) else None


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
    unpriced = [usage for usage, cost_usd, _ in responses if cost_usd is None]
    if unpriced:
        note = f"{len(unpriced)} of {counted(len(responses), 'response')} without a known cost"
        reasons = [usage.problem or (usage.prompt_tokens and _special(usage)) for usage in unpriced]
        notes.append(note + next((f": {reason}" for reason in reasons if reason), ""))
    if prices.source not in ("book", "litellm"):
        return "; ".join(notes) or None
    # litellm's calculator is not told the tier and the region.
    bills = [
        (repriced(usage, prices), usage.reported_usd, None if _special(usage) else litellm)
        for usage, _, litellm in responses
    ]
    if prices.source == "litellm":
        notes.append("not in the price book: counted at litellm's price")
    for name, place in (("the provider", 1), ("litellm", 2)):
        pairs = [(bill[0], bill[place]) for bill in bills]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if differing := sum(not agree(ours, theirs) for ours, theirs in known):
            ours_usd, theirs_usd = (math.fsum(column) for column in zip(*known, strict=True))
            notes.append(
                f"calculators differ on {differing} of {counted(len(known), 'response')}: "
                f"{dollars(ours_usd, 6)} by our prices, {dollars(theirs_usd, 6)} by {name}"
            )
    unknown = sum(litellm is None for _, _, litellm in responses)
    if unknown == len(bills):
        notes.append("litellm does not know this model")
    elif unknown:
        notes.append(f"litellm does not know {unknown} of {counted(len(bills), 'response')}")
    return "; ".join(notes) or None


def _special(usage: Usage) -> str | None:
    """What a reply of another tier or region than the plain one is; None for a plain one."""
    if usage.service_tier in PLAIN_TIERS and usage.region in PLAIN_REGIONS:
        return None
    return f"service tier {usage.service_tier or 'default'}, region {usage.region or 'global'}"
