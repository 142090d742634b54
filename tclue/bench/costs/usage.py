"""Usage objects, which every provider sends in its own form, as token counts with one meaning.

Providers count differently, and every difference changes the cost. The keys show the form:

* OpenAI's chat form (also OpenRouter, DeepSeek, Together, Fireworks, Groq, vLLM): `prompt_tokens`
  includes tokens read from and written to a cache, and `completion_tokens` includes reasoning
  (https://platform.openai.com/docs/guides/prompt-caching, .../guides/reasoning). A few servers
  count reasoning separately, which shows in their total. DeepSeek names cached tokens
  `prompt_cache_hit_tokens` (https://api-docs.deepseek.com/guides/kv_cache).
* OpenAI's Responses form: the same counts under `input_tokens` and `output_tokens`.
* Anthropic: "total input tokens in a request is the summation of input_tokens,
  cache_creation_input_tokens, and cache_read_input_tokens"; `output_tokens` includes thinking
  (https://platform.claude.com/docs/en/api/messages). Cache writes without a stated
  lifetime last 5 minutes, the default.
* Gemini: `promptTokenCount` includes cached content; thoughts are not part of the candidates
  (https://ai.google.dev/api/generate-content#UsageMetadata). Counts of 0 are left out, as always in
  the JSON of Protocol Buffers.
* OpenRouter adds `cost`, in credits of one dollar each. With the user's own key (`is_byok`) that is
  only its fee, and the provider bills `upstream_inference_cost` in addition
  (https://openrouter.ai/docs/use-cases/usage-accounting).

A missing count is None, never 0. So is a prompt of 0 tokens, which some servers send if they do not
count.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tclue.bench.costs.cost import Usage

# A number this large cannot be a count or a cost. Even larger ones could overflow.
_TOO_LARGE = 10**12


def read_usage(
    raw: Mapping[str, Any] | None,
    *,
    complete: bool = True,
    has_text: bool = False,
    service_tier: str | None = None,
) -> Usage:
    """The token counts of a usage object as the provider sent it; the result keeps it as `raw`.

    `complete=False` is for a reply that was cut off: then only the counts of the prompt are final
    (Anthropic sends them first), and the others are None.
    """
    if not raw:
        return Usage()
    if "promptTokenCount" in raw:
        usage = _gemini(raw)
    elif "input_tokens" in raw:
        usage = _responses(raw) if "input_tokens_details" in raw else _anthropic(raw)
    else:
        usage = _chat(raw)
    if not usage.prompt_tokens:
        usage = Usage()
    elif not complete:
        usage = replace(usage, completion_tokens=None, reasoning_tokens=None, reported_usd=None)
    return replace(usage, raw=dict(raw))


def usage_from_litellm(usage: Any) -> Usage:
    """The token counts of litellm's usage object, used if the provider's object was not captured.

    It always has OpenAI's chat form. For Anthropic its reasoning tokens are litellm's estimate. It
    has a cost field for OpenRouter only.
    """
    if usage is None:
        return Usage()
    # By way of JSON, which turns NaN into null, because no record can hold a NaN.
    raw = json.loads(usage.model_dump_json(exclude_none=True))
    counts = read_usage(raw)
    if not counts.prompt_tokens:
        return Usage()
    # litellm keeps Anthropic's cache writes under their own names.
    written = _count(raw, "cache_creation_input_tokens")
    details = _part(raw, "prompt_tokens_details")
    lifetimes = _part(details, "cache_creation_token_details")
    hour = _count(lifetimes, "ephemeral_1h_input_tokens")
    if written:
        counts = replace(
            counts, cache_write_5m_tokens=written - (hour or 0), cache_write_1h_tokens=hour
        )
    return counts


def _chat(raw: Mapping[str, Any]) -> Usage:
    details = _part(raw, "prompt_tokens_details")
    prompt, completion = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens")
    reasoning = _count(_part(raw, "completion_tokens_details"), "reasoning_tokens")
    if None not in (prompt, completion, reasoning) and raw.get("total_tokens") == (
        prompt + completion + reasoning  # type: ignore[operator]
    ):
        completion += reasoning  # type: ignore[operator]
    cached = (
        _count(details, "cached_tokens"),
        _count(raw, "prompt_cache_hit_tokens"),  # DeepSeek
        _count(raw, "cached_tokens"),  # Moonshot, Together
    )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=next((count for count in cached if count is not None), None),
        cache_write_5m_tokens=_count(details, "cache_write_tokens"),  # OpenAI, OpenRouter
        reasoning_tokens=reasoning,
        reported_usd=_reported(raw),
    )


def _responses(raw: Mapping[str, Any]) -> Usage:
    details = _part(raw, "input_tokens_details")
    return Usage(
        prompt_tokens=_count(raw, "input_tokens"),
        completion_tokens=_count(raw, "output_tokens"),
        cached_tokens=_count(details, "cached_tokens"),
        cache_write_5m_tokens=_count(details, "cache_write_tokens"),
        reasoning_tokens=_count(_part(raw, "output_tokens_details"), "reasoning_tokens"),
    )


def _anthropic(raw: Mapping[str, Any]) -> Usage:
    fresh = _count(raw, "input_tokens")
    cache_read = _count(raw, "cache_read_input_tokens")
    cache_written = _count(raw, "cache_creation_input_tokens")
    hour = _count(_part(raw, "cache_creation"), "ephemeral_1h_input_tokens")
    return Usage(
        prompt_tokens=None if fresh is None else fresh + (cache_read or 0) + (cache_written or 0),
        completion_tokens=_count(raw, "output_tokens"),
        cached_tokens=cache_read,
        cache_write_5m_tokens=None if cache_written is None else cache_written - (hour or 0),
        cache_write_1h_tokens=hour,
        reasoning_tokens=_count(_part(raw, "output_tokens_details"), "thinking_tokens"),
    )


def _gemini(raw: Mapping[str, Any]) -> Usage:
    prompt, total = _count(raw, "promptTokenCount"), _count(raw, "totalTokenCount")
    tools = _count(raw, "toolUsePromptTokenCount") or 0
    candidates, thoughts = _count(raw, "candidatesTokenCount"), _count(raw, "thoughtsTokenCount")
    completion = None
    if candidates is not None or total is not None:
        completion = (candidates or 0) + (thoughts or 0)
    # Vertex has included the thoughts in the candidates; then its total does not add them.
    if prompt is not None and candidates is not None and total == prompt + tools + candidates:
        completion = candidates
    return Usage(
        prompt_tokens=None if prompt is None else prompt + tools,
        completion_tokens=completion,
        cached_tokens=_count(raw, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )


def _reported(raw: Mapping[str, Any]) -> float | None:
    cost = _dollars(raw.get("cost"))
    if cost is not None and raw.get("is_byok") is True:
        upstream = _dollars(_part(raw, "cost_details").get("upstream_inference_cost"))
        return None if upstream is None else cost + upstream
    return cost


def _dollars(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _TOO_LARGE else None


def _count(raw: Mapping[str, Any], name: str) -> int | None:
    """A count of tokens; None if it is missing or invalid."""
    value = raw.get(name)
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _TOO_LARGE
    return value if valid else None


def _part(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = raw.get(name)
    return part if isinstance(part, Mapping) else {}
