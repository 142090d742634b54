"""The arguments of a request that decide its price and do not change the response.

A setting of the account may choose the service tier of OpenAI and Anthropic, so the plain one is
asked for. Gemini's is the plain one unless another is asked for
(https://ai.google.dev/gemini-api/docs/priority-inference). OpenRouter chooses a provider for each
request, and is told the highest price per million tokens
(https://openrouter.ai/docs/features/provider-routing#max-price).
"""

from collections.abc import Mapping
from typing import Any

from tclue.bench.costs.cost import Prices

_PLAIN_TIER: Mapping[str, Mapping[str, Any]] = {
    # https://developers.openai.com/api/docs/guides/priority-processing
    "openai": {"service_tier": "default"},
    # https://platform.claude.com/docs/en/api/service-tiers; litellm refuses it unless it is allowed
    "anthropic": {"service_tier": "standard_only", "allowed_openai_params": ["service_tier"]},
}


def terms(provider: str, prices: Prices) -> dict[str, Any]:
    """The arguments for a provider of litellm's, in litellm's words; none for most providers."""
    prompt, completion = prices.prompt_usd_per_million, prices.completion_usd_per_million
    if provider == "openrouter" and None not in (prompt, completion):
        most = {"prompt": prompt, "completion": completion}
        return {"extra_body": {"provider": {"max_price": most}}}
    return dict(_PLAIN_TIER.get(provider, {}))
