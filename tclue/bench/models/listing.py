"""`tclue models`: the models, their prices, and what is missing to use them.

It never shows a key, only whether it is set, and it does not use the network.
"""

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tclue.bench.costs.cost import Prices, today
from tclue.bench.costs.price_book import prices_for
from tclue.bench.models import resolve
from tclue.bench.models.reasoning import plan
from tclue.bench.models.registry import Alias, load, parse_setting
from tclue.bench.options import BenchOptions


@dataclass(frozen=True)
class VariantListing:
    """A reasoning setting of an alias."""

    # the name that selects only this setting, and its label
    name: str
    label: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ModelListing:
    """A line of `tclue models`."""

    name: str
    # what it is, in a few words
    about: str
    variants: tuple[VariantListing, ...] = ()
    # name of the weights, and litellm's name at each host; the first host is used
    weights: str | None = None
    hosts: tuple[str, ...] = ()
    # at the first host; None if it is not paid by the token
    prices: Prices | None = None
    # what is missing to use it
    needs: str | None = None
    # environment variables of the key, any one of which is enough, and whether one is set
    keys: tuple[str, ...] = ()
    key_is_set: bool | None = None
    # the first ISO day on which the host no longer serves it, and whether that day has come
    retired_on: str | None = None
    retired: bool = False
    # what a self-hosted copy needs
    self_hosted: str | None = None
    # the ISO day on which the facts were read, and their sources
    checked: str | None = None
    sources: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """Lines on what it is, on its variants and needs, and on its price with its day."""
        words = []
        labels = [variant.label.removeprefix(self.name) for variant in self.variants]
        if any(labels):
            words.append(", ".join(labels))
        if self.retired_on:
            words.append(
                f"{'retired on' if self.retired else 'will be retired on'} {self.retired_on}"
            )
        if self.retired:
            copy = self.self_hosted and f"a copy of your own needs {self.self_hosted}"
            words.append(copy or "its weights were never published")
        if self.needs and not self.retired:
            words.append(f"needs {self.needs}")
        elif self.key_is_set:
            words.append("key is set")
        return [line for line in (self.about, "; ".join(words), price_text(self.prices)) if line]


def list_models(registry_file: Path | None = None) -> list[ModelListing]:
    """The built-in names, the other kinds of names, and the registry's aliases.

    Raises UserError if the registry file is invalid.
    """
    registry = load(registry_file)
    torch = find_spec("torch") is not None and find_spec("transformers") is not None
    needs = None if torch else "torch and transformers"
    listed = [
        ModelListing("random", "chance: a legal option for each question"),
        ModelListing("solver", "the ceiling: proves the puzzle"),
        ModelListing("tiny", "a small checkpoint that comes with tclue", needs=needs),
        ModelListing("hf:PATH-OR-HUB-NAME", "a checkpoint, on this machine", needs=needs),
        ModelListing("PROVIDER/NAME", "any name that litellm knows, such as openai/gpt-5.6-luna"),
        ModelListing("NAME --api-base URL", "a model of an OpenAI-compatible server"),
    ]
    options = BenchOptions(registry=registry_file)
    routed = [facts.hosts[0].litellm for facts in registry.models.values()]
    priced = [prices_for(name, None, options, None) for name in routed]
    if any(price.source == "unknown" for price in priced) and find_spec("litellm") is not None:
        # It is imported only if needed, because that takes seconds.
        from tclue.bench.models.hosted import load_litellm

        litellm = load_litellm()
        priced = [
            prices_for(name, resolve.provider_of(litellm, name, options)[1], options, litellm)
            for name in routed
        ]
    return listed + [
        _alias(name, facts, registry.keys.get(facts.hosts[0].provider, ()), price)
        for (name, facts), price in zip(registry.models.items(), priced, strict=True)
    ]


def _alias(name: str, facts: Alias, keys: tuple[str, ...], price: Prices) -> ModelListing:
    host = facts.hosts[0]
    model = resolve.registered_capabilities(name, facts, host)
    settings = [parse_setting(text) for text in facts.variants] or [None]
    plans = [plan(model, setting, BenchOptions(), price) for setting in settings]
    is_set = any(map(os.environ.get, keys)) if keys else None
    return ModelListing(
        name,
        facts.about,
        tuple(VariantListing(each.model or name, each.variant, each.notes) for each in plans),
        facts.weights,
        tuple(host.litellm for host in facts.hosts),
        price,
        " or ".join(keys) if is_set is False else None,
        keys,
        is_set,
        facts.retired.on.isoformat() if facts.retired else None,
        facts.retired_by(today()),
        facts.self_hosted,
        facts.checked.isoformat(),
        facts.sources,
    )


def price_text(price: Prices | None) -> str:
    """The price, its day and its source; of a URL, only the site."""
    if price is None or price.source == "free":
        return "" if price is None else "free"
    if price.hour_usd is not None:
        return f"${price.hour_usd * (price.gpus or 1):g} an hour ({price.date})"
    if price.source == "unknown":
        return "price unknown"
    dollars_in, dollars_out = (
        "unknown" if usd is None else f"${usd:g}"
        for usd in (price.prompt_usd_per_million, price.completion_usd_per_million)
    )
    site = re.sub(r"https?://([^/\s]+)\S*", r"\1", price.origin or price.source)
    return f"{dollars_in} in, {dollars_out} out ({price.date}, {site})"
