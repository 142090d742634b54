"""Usage objects, which every provider sends in its own form, as token counts with one meaning.

docs/method/costs.md says how each provider counts, and which servers count differently from the
form that they use. The keys show the form. Sources:

* OpenAI's chat form and its Responses form: https://platform.openai.com/docs/guides/prompt-caching,
  .../guides/reasoning; DeepSeek: https://api-docs.deepseek.com/guides/kv_cache.
* Anthropic: https://platform.claude.com/docs/en/api/messages. Cache writes last 5 minutes by
  default.
* Gemini: https://ai.google.dev/api/generate-content#UsageMetadata. Counts of 0 are left out, as
  always in the JSON of Protocol Buffers.
* Bills: https://openrouter.ai/docs/use-cases/usage-accounting (in credits of one dollar each) and
  https://docs.x.ai/developers/cost-tracking (in units of 1e-10 dollars).

The counts are checked as a whole. If exactly one reading fits the parts and the total, it is taken.
Otherwise all counts are None, and `problem` says why. A missing count is None, never 0, and a
prompt of 0 tokens was not counted.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tclue.bench.costs.cost import PLAIN_TIERS, Usage

# A number this large cannot be a count or a cost. Even larger ones could overflow.
_TOO_LARGE = 10**12
# The names of the counts in OpenAI's chat form, in the two forms with `input_tokens`, and in
# Gemini's; of several, the first that a reply has is read.
_NAMES = {
    "prompt_tokens": ("prompt_tokens", "input_tokens", "promptTokenCount"),
    "completion_tokens": ("completion_tokens", "output_tokens", "candidatesTokenCount"),
    "total": ("total_tokens", "total_tokens", "totalTokenCount"),
    "cached_tokens": (
        # OpenAI and most others, DeepSeek, Moonshot and Together, LiteLLM
        "prompt_tokens_details.cached_tokens prompt_cache_hit_tokens cached_tokens "
        "cache_read_input_tokens",
        "input_tokens_details.cached_tokens cache_read_input_tokens",
        "cachedContentTokenCount",
    ),
    "written": (  # to a cache, for any time
        "prompt_tokens_details.cache_write_tokens cache_creation_input_tokens",
        "input_tokens_details.cache_write_tokens cache_creation_input_tokens",
        "",
    ),
    "cache_write_1h_tokens": (
        "prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens",
        "cache_creation.ephemeral_1h_input_tokens",
        "",
    ),
    "reasoning_tokens": (
        "completion_tokens_details.reasoning_tokens",
        "output_tokens_details.reasoning_tokens output_tokens_details.thinking_tokens",
        "thoughtsTokenCount",
    ),
}
_CHAT, _INPUT, _GEMINI = range(3)


def read_usage(
    raw: Mapping[str, Any] | None,
    *,
    complete: bool = True,
    has_text: bool = False,
    service_tier: str | None = None,
) -> Usage:
    """The token counts of a usage object as the provider sent it; the result keeps it as `raw`.

    `complete=False` is for a reply that was cut off: then only the counts of the prompt are final
    (Anthropic sends them first), and the others are None. A reply that `has_text` must have
    completion tokens. `service_tier` is that of the reply outside its usage.
    """
    raw = raw or {}
    region = raw.get("inference_geo")
    facts = Usage(
        reported_usd=_reported(raw) if complete else None,
        raw=dict(raw),
        service_tier=_tier(raw, service_tier),
        region=region.lower() if isinstance(region, str) else None,
    )
    if not raw:
        return replace(facts, problem="the reply does not report its tokens")
    try:
        stated = [(form, _stated(raw, form, complete)) for form in (_CHAT, _INPUT, _GEMINI)]
        settled = [_settle(raw, *each, has_text and complete) for each in stated if each[1]]
        merged: dict[str, Any] = {name: n for counts in settled for name, n in counts.items()}
        if any(merged[name] != n for counts in settled for name, n in counts.items()):
            raise ValueError("its usage has two forms with different counts")
        if not merged:
            raise ValueError("its usage counts no tokens")
    except ValueError as problem:
        # A bill of 0 for tokens that nobody counted is no bill.
        return replace(facts, reported_usd=facts.reported_usd or None, problem=str(problem))
    usage = replace(facts, **merged)
    return usage if complete else replace(usage, completion_tokens=None, reasoning_tokens=None)


def merge_usage(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """The usage of a stream after one more of its events.

    Counts in a stream are running totals ("cumulative",
    https://platform.claude.com/docs/en/build-with-claude/streaming), so a later one replaces an
    earlier one. A later 0 or null does not, because a running total cannot fall: some servers
    repeat fields that they do not count at that moment, such as an `input_tokens` of 0 at the end.
    """
    merged = dict(earlier)
    for name, value in later.items():
        before = merged.get(name)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[name] = merge_usage(before, value)
        elif value or not before:
            merged[name] = value
    return merged


def _stated(raw: Mapping[str, Any], form: int, complete: bool) -> dict[str, int]:
    """The final counts of a form as they were sent; none if it is missing or was not filled in."""
    counts: dict[str, int] = {}
    for kind, paths in _NAMES.items():
        found = [_count(raw, path) for path in paths[form].split()]
        counts.update((kind, count) for count in reversed(found) if count is not None)
    if not complete:
        counts |= {"completion_tokens": 0, "reasoning_tokens": 0, "total": 0}
    filled = counts.get("prompt_tokens") or counts.get("completion_tokens")
    return counts if filled and "prompt_tokens" in counts else {}


def _settle(
    raw: Mapping[str, Any], form: int, stated: Mapping[str, int], has_text: bool
) -> dict[str, int]:
    """The counts, by their names in `Usage`, in the one reading that fits them and their total.

    Raises ValueError if there is no such reading, or more than one.
    """
    counts = {kind: count for kind, count in stated.items() if kind not in ("total", "written")}
    prompt, completion = counts["prompt_tokens"], counts.get("completion_tokens", 0)
    cached, reasoning = counts.get("cached_tokens", 0), counts.get("reasoning_tokens", 0)
    hour = counts.get("cache_write_1h_tokens", 0)
    written = stated.get("written") or hour
    cache = cached + written
    cache_apart = form == _INPUT and "input_tokens_details" not in raw  # Anthropic's
    documented = prompt + cache * cache_apart, completion + reasoning * (form == _GEMINI)
    total = stated.get("total") or sum(documented)
    fitting = {
        (p, c)
        for p in (prompt, prompt + cached, prompt + written, prompt + cache)
        for c in (completion, completion + reasoning)
        if p + c == total and p >= cache and c >= reasoning and (completion or not has_text)
    }
    if not (fitting or reasoning) and total > sum(documented) and documented[0] >= cache:
        fitting = {(documented[0], total - documented[0])}  # thinking, in the total alone
    if documented in fitting:
        fitting = {documented}
    counted = stated.keys() & {"completion_tokens", "reasoning_tokens", "total"}
    if len(fitting) != 1 or not documented[0] or not counted or hour > written:
        shown = ", ".join(f"{kind} {count}" for kind, count in stated.items())
        raise ValueError(f"its token counts are incomplete or contradictory ({shown})")
    ((counts["prompt_tokens"], counts["completion_tokens"]),) = fitting
    if "written" in stated:
        counts["cache_write_5m_tokens"] = written - hour
    return counts


def _tier(raw: Mapping[str, Any], service_tier: str | None) -> str | None:
    """The service tier that a reply names, in lower case: the first that is not the plain one."""
    # Anthropic's `speed` may be "fast", and Gemini's `trafficType` ON_DEMAND_PRIORITY, for example.
    words = [service_tier, *map(raw.get, ("service_tier", "serviceTier", "speed", "trafficType"))]
    tiers = [word.lower().removeprefix("on_demand_") for word in words if isinstance(word, str)]
    return next((tier for tier in tiers if tier not in PLAIN_TIERS), next(iter(tiers), None))


def _reported(raw: Mapping[str, Any]) -> float | None:
    ticks = _dollars(raw.get("cost_in_usd_ticks"))
    cost = _dollars(_part(raw, "cost").get("total_cost", raw.get("cost")))  # Perplexity, others
    if cost is not None and raw.get("is_byok") is True:
        upstream = _dollars(_part(raw, "cost_details").get("upstream_inference_cost"))
        return None if upstream is None else cost + upstream
    return ticks / 1e10 if cost is None and ticks is not None else cost


def _dollars(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _TOO_LARGE else None


def _count(raw: Mapping[str, Any], path: str) -> int | None:
    """A count of tokens, also as 12.0 or "12"; None if it is missing.

    Raises ValueError if it is anything else.
    """
    *parts, name = path.split(".")
    for part in parts:
        raw = _part(raw, part)
    value = raw.get(name)
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:15])  # more digits are too large in any case
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _TOO_LARGE:
        raise ValueError(f"its usage has {name} {str(value)[:20]!r}: not a count of tokens")
    return value


def _part(raw: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = raw.get(name)
    return part if isinstance(part, Mapping) else {}
