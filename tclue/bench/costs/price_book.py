"""The price book: the prices of tokens by provider and model, each with its date and source.

    prices_for("anthropic/claude-sonnet-5-5", "anthropic", options, litellm)

docs/method/costs.md says in which order prices are looked up. The shipped book is
`data/prices.toml`; the comment at its top explains the fields. It is read strictly: an invalid
price, an unknown field or a missing date is an error of one line that names the file and the entry.

litellm's calculator gives a second figure: its own reading of the usage, at its own prices. A price
of 0 counts as unknown, because litellm lists 0 for a price that it does not know.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from annotated_types import MinLen

from tclue.bench.costs.cost import HOUR_USD, Prices, SpecialPrices, today, with_rates
from tclue.bench.options import BenchOptions
from tclue.config_files import read_toml, user_file
from tclue.errors import UserError
from tclue.strict import STRICT, Day, NotNegative, Positive, Text, read

# The price book's names of prices -> litellm's, and service tiers -> litellm's suffixes
_KINDS = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write_5m": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
}
_TIERS = {"flex": "_flex", "balanced": "_balanced", "priority": "_priority"}
_TIERS |= {"ultrafast": "_ultrafast", "batch": "_batches", "": ""}
SHIPPED = Path(str(files("tclue.bench") / "data" / "prices.toml"))
_PLAIN_TIER: Mapping[str, Mapping[str, Any]] = {
    # https://developers.openai.com/api/docs/guides/priority-processing
    "openai": {"service_tier": "default"},
    # https://platform.claude.com/docs/en/api/service-tiers; litellm refuses it unless it is allowed
    "anthropic": {"service_tier": "standard_only", "allowed_openai_params": ["service_tier"]},
}


@dataclass(frozen=True)
class Entry:
    """A provider's prices for some models, in dollars per million tokens."""

    provider: Text
    models: Annotated[tuple[str, ...], MinLen(1)]
    input: NotNegative
    output: NotNegative
    # day of the price, and the page that states it
    date: Day
    source: Text
    # None if the provider has no such price, or does not state it
    cached_input: NotNegative | None = None
    cache_write_5m: NotNegative | None = None
    cache_write_1h: NotNegative | None = None
    # short for the tier "batch"
    batch_input: NotNegative | None = None
    batch_output: NotNegative | None = None
    special: tuple[SpecialPrices, ...] = ()
    # region as replies name it -> factor of all prices
    regions: Mapping[str, Positive] = field(default_factory=dict)
    note: Text | None = None

    @property
    def prices(self) -> Prices:
        """The prices of a run with this entry."""
        special = self.special
        if self.batch_input is not None and self.batch_output is not None:
            special += (SpecialPrices(self.batch_input, self.batch_output, tier="batch"),)
        day, regions = self.date.isoformat(), self.regions
        return with_rates(Prices("book", day, self.source, special=special, regions=regions), self)


@dataclass(frozen=True)
class Tier:
    """A serverless host's prices for all models of a size, in dollars per million tokens."""

    name: Text
    # number of parameters, in words
    parameters: Text
    input: NotNegative
    output: NotNegative
    date: Day
    source: Text
    note: Text | None = None

    @property
    def prices(self) -> Prices:
        """The prices of a run with this tier."""
        origin = f"{self.name} ({self.parameters} parameters): {self.source}"
        return with_rates(Prices("tier", self.date.isoformat(), origin), self)


@dataclass(frozen=True)
class PriceBook:
    """The prices of a file, with the file's field names; the first entry that matches is used."""

    __pydantic_config__ = STRICT

    price: tuple[Entry, ...] = ()
    tier: tuple[Tier, ...] = ()

    @property
    def date(self) -> str:
        """The day of its newest price, ISO."""
        dates = [entry.date for entry in self.price] + [tier.date for tier in self.tier]
        return max(dates).isoformat()

    def find(self, name: str, provider: str | None = None) -> Entry | None:
        """The entry of a model by litellm's name, with or without the provider's prefix."""
        if provider is None and "/" in name:
            provider = name.split("/")[0]
        bare = name.removeprefix(f"{provider}/")
        for entry in self.price:
            matches = any(fnmatchcase(bare, model) for model in entry.models)
            if matches and provider in (None, entry.provider):
                return entry
        return None

    def find_tier(self, name: str) -> Tier:
        """The tier of a name. Raises UserError, which lists the known names, if there is none."""
        for tier in self.tier:
            if tier.name == name:
                return tier
        names = ", ".join(tier.name for tier in self.tier)
        raise UserError(f"--tier is {name!r}: expected one of {names}")


def prices_for(
    name: str, provider: str | None, options: BenchOptions, litellm: ModuleType | None
) -> Prices:
    """The prices of a hosted model's responses.

    `name` and `provider` are litellm's. Without `litellm` its list is not used. Raises UserError if
    the tier is unknown or a price book cannot be read.
    """
    if options.price_in is not None:
        return Prices(
            "given",
            today(),
            prompt_usd_per_million=options.price_in,
            completion_usd_per_million=options.price_out,
        )
    book = price_book(options.prices)
    if options.tier is not None:
        return book.find_tier(options.tier).prices
    if options.gpu_hour_usd is not None:
        return Prices("gpu-hour", today(), hour_usd=options.gpu_hour_usd, gpus=options.gpus)
    if options.api_base is not None:
        return Prices("unknown", today())
    entry = book.find(name, provider)
    if entry is not None:
        return entry.prices
    return Prices("unknown", today()) if litellm is None else list_prices(litellm, name)


def terms(provider: str, prices: Prices) -> dict[str, Any]:
    """A request's arguments that decide its price and do not change the response, for litellm.

    A setting of the account may choose the service tier of OpenAI and Anthropic, so the plain one
    is asked for. Gemini's is the plain one unless another is asked for
    (https://ai.google.dev/gemini-api/docs/priority-inference). OpenRouter chooses a provider for
    each request, and is told the highest price per million tokens
    (https://openrouter.ai/docs/features/provider-routing#max-price).
    """
    prompt, completion = prices.prompt_usd_per_million, prices.completion_usd_per_million
    if provider == "openrouter" and None not in (prompt, completion):
        most = {"prompt": prompt, "completion": completion}
        return {"extra_body": {"provider": {"max_price": most}}}
    return dict(_PLAIN_TIER.get(provider, {}))


def local_prices(options: BenchOptions) -> Prices:
    """The prices of a local model's responses: by the machine's hour if no option sets a price.

    Raises UserError as `prices_for` does.
    """
    if (options.price_in, options.tier, options.gpu_hour_usd) != (None, None, None):
        return prices_for("", None, options, None)
    hour_usd = HOUR_USD if options.hour_usd is None else options.hour_usd
    return Prices("hour", today(), hour_usd=hour_usd)


def price_book(path: Path | None = None) -> PriceBook:
    """The user's own book followed by the shipped one. Raises UserError if one cannot be read."""
    user_path, shipped = user_file("prices.toml", path), _read_shipped()
    if user_path is None:
        return shipped
    user_book = read_book(user_path)
    return PriceBook(user_book.price + shipped.price, user_book.tier + shipped.tier)


@lru_cache
def _read_shipped() -> PriceBook:
    return read_book(SHIPPED)


def read_book(path: Path) -> PriceBook:
    """Read a price book. Raises UserError if it cannot be read or an entry is invalid."""
    book = read(PriceBook, read_toml(path), str(path))
    names = [f"{entry.provider}/{model}" for entry in book.price for model in entry.models]
    names += [tier.name for tier in book.tier]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if duplicates:
        raise UserError(f"{path}: {duplicates[0]} has more than one price: expected one")
    if any(not (each.tier or each.above) for entry in book.price for each in entry.special):
        raise UserError(f"{path}: a special price without a condition: expected `tier` or `above`")
    return book


def litellm_entry(litellm: ModuleType, name: str) -> Mapping[str, Any]:
    """A model's entry in litellm's map, with the flags that `get_model_info` leaves out.

    It is empty if the model is not listed.
    """
    try:
        entry: Mapping[str, Any] = litellm.model_cost[litellm.get_model_info(name)["key"]]
    except Exception:  # for an unlisted model litellm raises its own errors, and bare Exception
        return {}
    return entry


def list_prices(litellm: ModuleType, name: str) -> Prices:
    """The prices in litellm's list; they are unknown if it has none or has 0.

    If a price depends on the hour, this is the higher one, and its origin says so.
    """
    listed = litellm_entry(litellm, name)

    def usd(suffix: str) -> dict[str, Any]:
        """Dollars per million tokens, rounded, because the list has dollars per token."""
        per_token = {kind: listed.get(f"{key}{suffix}") for kind, key in _KINDS.items()}
        return {kind: round(price * 1e6, 6) if price else None for kind, price in per_token.items()}

    plain = usd("")
    if not plain["input"] and not plain["output"]:
        return Prices("unknown", today())
    plain |= {"input": plain["input"] or 0.0, "output": plain["output"] or 0.0}
    lengths = {int(n) for n in re.findall(r"\binput_cost_per_token_above_(\d+)k", " ".join(listed))}
    special = [
        SpecialPrices(**prices, tier=tier or None, above=length * 1000)
        for length in (0, *sorted(lengths))
        for tier, suffix in _TIERS.items()
        for prices in [usd(f"_above_{length}k_tokens{suffix}" if length else suffix)]
        if (tier or length) and prices["input"] and prices["output"]
    ]
    factors = listed.get("provider_specific_entry") or {}  # Anthropic's
    if fast := factors.get("fast"):
        special.append(SpecialPrices(**{k: n and n * fast for k, n in plain.items()}, tier="fast"))
    peak = "; at peak hours, lower at others" if "off_peak_pricing" in listed else ""
    regions = {"us": factors["us"]} if "us" in factors else {}
    origin = f"litellm {version('litellm')}{peak}"
    prices = Prices("litellm", today(), origin, special=tuple(special), regions=regions)
    return with_rates(prices, SpecialPrices(**plain))


def litellm_usd(litellm: ModuleType, name: str, usage: Any) -> float | None:
    """The cost of a usage object by litellm's calculator; None if it has no price.

    `name` is litellm's name of the model, `usage` the `litellm.Usage` that it read from the reply.
    """
    if usage is None or not (usage.prompt_tokens or usage.completion_tokens):
        return None
    try:
        _, provider, _, _ = litellm.get_llm_provider(name)
        parts = litellm.cost_per_token(model=name, custom_llm_provider=provider, usage_object=usage)
    except Exception:  # as in `litellm_entry`
        return None
    total = math.fsum(parts)
    return total if total > 0 else None
