"""litellm's price list and its cost calculator.

The calculator gives a second figure: litellm's reading of the usage, at litellm's prices. A price
of 0 counts as unknown here, because litellm lists 0 for a price that it does not know.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from types import ModuleType
from typing import Any

from tclue.bench.costs.cost import Prices, today


def list_prices(litellm: ModuleType, name: str) -> Prices:
    """The prices in litellm's list; they are unknown if it has none or has 0.

    If a price depends on the hour, this is the higher one, and its origin says so.
    """
    try:
        info = litellm.get_model_info(name)
    except Exception:  # for an unlisted model litellm raises its own errors, and bare Exception
        return Prices("unknown", today())

    def price(field: str) -> float | None:
        """Dollars per million tokens, rounded, because the list has dollars per token."""
        usd_per_token = info.get(field)
        return round(usd_per_token * 1e6, 6) if usd_per_token else None

    prompt, completion = price("input_cost_per_token"), price("output_cost_per_token")
    if not prompt and not completion:
        return Prices("unknown", today())
    listed = litellm.model_cost.get(info.get("key"), {})
    peak = "; at peak hours, lower at others" if "off_peak_pricing" in listed else ""
    return Prices(
        "litellm",
        today(),
        f"litellm {version('litellm')}{peak}",
        prompt_usd_per_million=prompt or 0.0,
        cached_usd_per_million=price("cache_read_input_token_cost"),
        cache_write_5m_usd_per_million=price("cache_creation_input_token_cost"),
        cache_write_1h_usd_per_million=price("cache_creation_input_token_cost_above_1hr"),
        completion_usd_per_million=completion or 0.0,
    )


def litellm_usd(litellm: ModuleType, name: str, usage: Any) -> float | None:
    """The cost of a usage object by litellm's calculator; None if it has no price.

    `name` is litellm's name of the model, `usage` the `litellm.Usage` that it read from the reply.
    """
    if usage is None or not (usage.prompt_tokens or usage.completion_tokens):
        return None
    try:
        _, provider, _, _ = litellm.get_llm_provider(name)
        parts = litellm.cost_per_token(model=name, custom_llm_provider=provider, usage_object=usage)
    except Exception:  # as in `list_prices`
        return None
    total = math.fsum(parts)
    return total if total > 0 else None
