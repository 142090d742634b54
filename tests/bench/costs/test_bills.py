"""What a response cost, against bills made by hand, and litellm's calculator on the same reply.

Each usage is what the provider sends, in its own form. litellm reads the same reply with the code
that it reads real ones with.
"""

import json
import math
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from tclue.bench.costs.cost import Prices, Usage, agree, cost_parts, repriced, worst_case_usd
from tclue.bench.costs.price_book import SHIPPED, litellm_usd, read_book
from tclue.bench.costs.usage import read_usage
from tclue.bench.models.hosted import load_litellm

BOOK = read_book(SHIPPED)


@pytest.fixture(scope="module")
def litellm() -> ModuleType:
    return load_litellm()


def prices(name: str) -> Prices:
    entry = BOOK.find(name)
    assert entry is not None
    return entry.prices


def chat_usage(litellm: ModuleType, raw: dict[str, Any]) -> Any:
    """What litellm makes of a usage in OpenAI's form, inside a whole reply."""
    from litellm.litellm_core_utils.llm_response_utils.convert_dict_to_response import (
        convert_to_model_response_object,
    )

    message = {"role": "assistant", "content": "A. x", "reasoning_content": "hm"}
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": raw,
    }
    return convert_to_model_response_object(body, litellm.ModelResponse()).usage


def anthropic_usage(raw: dict[str, Any]) -> Any:
    from litellm.llms.anthropic.chat.transformation import AnthropicConfig

    return AnthropicConfig().calculate_usage(usage_object=raw, reasoning_content="hm")


def gemini_usage(raw: dict[str, Any]) -> Any:
    from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import VertexGeminiConfig

    body: Any = {"candidates": [], "usageMetadata": raw}
    return VertexGeminiConfig._calculate_usage(completion_response=body)


def bill(name: str, raw: dict[str, Any], parts: dict[str, float]) -> Usage:
    """Check the parts of a bill, which are those that were worked out by hand."""
    usage = read_usage(raw)
    cost = cost_parts(prices(name), usage, None)
    assert cost == pytest.approx(parts, abs=1e-12)
    assert usage.raw == raw
    return usage


OPENAI = {
    "prompt_tokens": 2006,
    "completion_tokens": 14736,
    "total_tokens": 16742,
    "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 13888,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        # 15 a million in, 7.50 cached, 60 out. 2006 in, of which 1920 cached: 86 at full price.
        #   86 x 15 / 1e6 = 0.00129; 1920 x 7.5 / 1e6 = 0.0144; 14736 x 60 / 1e6 = 0.88416
        # In all 0.89985: the 13888 reasoning tokens are among the 14736, and not paid twice.
        ("openai/o1", {"prompt_usd": 0.00129, "cached_usd": 0.0144, "completion_usd": 0.88416}),
        # 1.25 in, 0.125 cached, 10 out: 86 x 1.25 / 1e6, 1920 x 0.125 / 1e6, 14736 x 10 / 1e6.
        ("gpt-5", {"prompt_usd": 0.0001075, "cached_usd": 0.00024, "completion_usd": 0.14736}),
        # 1.10 in, 0.55 cached, 4.40 out.
        (
            "openai/o3-mini",
            {"prompt_usd": 0.0000946, "cached_usd": 0.001056, "completion_usd": 0.0648384},
        ),
    ],
)
def test_openai_with_reasoning_and_cached_tokens(
    litellm: ModuleType, name: str, parts: dict[str, float]
) -> None:
    usage = bill(name, OPENAI, parts)
    assert (usage.prompt_tokens, usage.completion_tokens) == (2006, 14736)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (1920, 13888)
    litellm_cost_usd = litellm_usd(litellm, name, chat_usage(litellm, OPENAI))
    assert litellm_cost_usd is not None
    assert agree(sum(parts.values()), litellm_cost_usd)


ANTHROPIC = {
    "input_tokens": 1300,
    "cache_creation_input_tokens": 3000,
    "cache_read_input_tokens": 5000,
    "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
    "output_tokens": 14516,
    "output_tokens_details": {"thinking_tokens": 13000},
    "service_tier": "standard",
}
# 2 a million in, 0.10 read from the cache, 2.50 and 4 written to it, 10 out.
#   1300 x 2 / 1e6 = 0.0026     5000 x 0.1 / 1e6 = 0.0005
#   1000 x 2.5 / 1e6 = 0.0025   2000 x 4 / 1e6 = 0.008     14516 x 10 / 1e6 = 0.14516
# In all 0.15876. Thinking is output; input_tokens holds nothing of the cache.
ANTHROPIC_PARTS = {
    "prompt_usd": 0.0026,
    "cached_usd": 0.0005,
    "cache_write_5m_usd": 0.0025,
    "cache_write_1h_usd": 0.008,
    "completion_usd": 0.14516,
}


def test_anthropic_with_thinking_and_both_kinds_of_cache_writes(litellm: ModuleType) -> None:
    name = "anthropic/claude-sonnet-5-5"
    usage = bill(name, ANTHROPIC, ANTHROPIC_PARTS)
    assert (usage.prompt_tokens, usage.completion_tokens) == (9300, 14516)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (5000, 13000)
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (1000, 2000)
    litellm_cost_usd = litellm_usd(litellm, name, anthropic_usage(ANTHROPIC))
    assert litellm_cost_usd is not None
    assert agree(0.15876, litellm_cost_usd)


def test_anthropics_cache_writes_of_no_stated_lifetime_last_5_minutes(litellm: ModuleType) -> None:
    raw = {k: v for k, v in ANTHROPIC.items() if k != "cache_creation"}
    # As above, but 3000 x 2.5 / 1e6 = 0.0075 for the writes.
    parts = {k: v for k, v in ANTHROPIC_PARTS.items() if k != "cache_write_1h_usd"}
    bill("anthropic/claude-sonnet-5-5", raw, parts | {"cache_write_5m_usd": 0.0075})
    litellm_cost_usd = litellm_usd(litellm, "anthropic/claude-sonnet-5-5", anthropic_usage(raw))
    assert litellm_cost_usd is not None
    assert agree(0.15576, litellm_cost_usd)


def test_a_historical_model_has_a_price_that_litellm_has_forgotten(litellm: ModuleType) -> None:
    # Claude 3.7: 3 in, 15 out; without any cache. 1300 x 3 / 1e6 + 14516 x 15 / 1e6.
    raw = {"input_tokens": 1300, "output_tokens": 14516}
    name = "anthropic/claude-3-7-sonnet-20250219"
    usage = bill(name, raw, {"prompt_usd": 0.0039, "completion_usd": 0.21774})
    assert (usage.cached_tokens, usage.reasoning_tokens) == (None, None)
    assert litellm_usd(litellm, name, anthropic_usage(raw)) is None


DEEPSEEK = {
    "prompt_tokens": 1129,
    "completion_tokens": 13018,
    "total_tokens": 14147,
    "prompt_tokens_details": {"cached_tokens": 1024},
    "completion_tokens_details": {"reasoning_tokens": 12500},
    "prompt_cache_hit_tokens": 1024,
    "prompt_cache_miss_tokens": 105,
}


@pytest.mark.parametrize("fields", ["both", "hits alone"])
def test_deepseek_with_reasoning_content_and_cache_hits(litellm: ModuleType, fields: str) -> None:
    raw = dict(DEEPSEEK)
    if fields == "hits alone":
        del raw["prompt_tokens_details"]
    # 0.28 a million for a miss, 0.028 for a hit, 0.42 out.
    #   105 x 0.28 / 1e6 = 0.0000294; 1024 x 0.028 / 1e6 = 0.000028672;
    #   13018 x 0.42 / 1e6 = 0.00546756. In all 0.005525632.
    name = "deepseek/deepseek-reasoner"
    parts = {"prompt_usd": 0.0000294, "cached_usd": 0.000028672, "completion_usd": 0.00546756}
    usage = bill(name, raw, parts)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (1024, 12500)
    litellm_cost_usd = litellm_usd(litellm, name, chat_usage(litellm, raw))
    assert litellm_cost_usd is not None
    assert agree(0.005525632, litellm_cost_usd)


GEMINI = {
    "promptTokenCount": 3200,
    "cachedContentTokenCount": 2048,
    "candidatesTokenCount": 700,
    "thoughtsTokenCount": 9300,
    "totalTokenCount": 13200,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3200}],
    "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 2048}],
}


def test_gemini_with_thoughts(litellm: ModuleType) -> None:
    # 1.25 a million in, 0.125 cached, 10 out. Of 3200 in, 2048 are cached: 1152 at full price.
    # Out are 700 and 9300 thoughts, which stand beside them: 10000.
    #   1152 x 1.25 / 1e6 = 0.00144; 2048 x 0.125 / 1e6 = 0.000256; 10000 x 10 / 1e6 = 0.1
    name = "gemini/gemini-2.5-pro"
    parts = {"prompt_usd": 0.00144, "cached_usd": 0.000256, "completion_usd": 0.1}
    usage = bill(name, GEMINI, parts)
    assert (usage.completion_tokens, usage.reasoning_tokens) == (10000, 9300)
    litellm_cost_usd = litellm_usd(litellm, name, gemini_usage(GEMINI))
    assert litellm_cost_usd is not None
    assert agree(0.101696, litellm_cost_usd)


def test_gemini_that_thought_until_its_limit(litellm: ModuleType) -> None:
    # No candidates: what is 0 is left out. 1000 x 0.3 / 1e6 = 0.0003; 8192 x 2.5 / 1e6 = 0.02048.
    raw = {"promptTokenCount": 1000, "thoughtsTokenCount": 8192, "totalTokenCount": 9192}
    name = "gemini/gemini-2.5-flash"
    bill(name, raw, {"prompt_usd": 0.0003, "completion_usd": 0.02048})
    litellm_cost_usd = litellm_usd(litellm, name, gemini_usage(raw))
    assert litellm_cost_usd is not None
    assert agree(0.02078, litellm_cost_usd)


OPENROUTER = {
    "prompt_tokens": 1129,
    "completion_tokens": 13018,
    "total_tokens": 14147,
    "cost": 0.0329,
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
    "cost_details": {"upstream_inference_cost": None},
    "completion_tokens_details": {"reasoning_tokens": 12500},
}


def test_openrouter_bills_what_its_cost_field_says(litellm: ModuleType) -> None:
    name = "openrouter/deepseek/deepseek-r1"
    usage = bill(name, OPENROUTER, {"reported_usd": 0.0329})
    assert (usage.prompt_tokens, usage.completion_tokens) == (1129, 13018)
    # litellm lists no model of OpenRouter's, and there are no two opinions.
    assert litellm_usd(litellm, name, chat_usage(litellm, OPENROUTER)) is None
    # A model that is in no list has a cost all the same, and a price given by hand goes before it.
    assert cost_parts(Prices("unknown", "2026-11-24"), usage, None) == {"reported_usd": 0.0329}
    given = Prices("given", "", prompt_usd_per_million=1.0, completion_usd_per_million=1.0)
    assert sum((cost_parts(given, usage, None) or {}).values()) == pytest.approx(0.014147)


def test_openrouter_with_a_key_of_ones_own_bills_a_fee_beside_the_provider() -> None:
    byok = OPENROUTER | {
        "is_byok": True,
        "cost": 0.0016,
        "cost_details": {"upstream_inference_cost": 0.032},
    }
    # 0.0016 to OpenRouter and 0.032 to the provider.
    assert read_usage(byok).reported_usd == pytest.approx(0.0336)
    assert read_usage(byok | {"cost_details": {}}).reported_usd is None


def test_vllm_of_ones_own_costs_a_tier_or_its_share_of_the_gpus() -> None:
    raw = {
        "prompt_tokens": 1220,
        "total_tokens": 2100,
        "completion_tokens": 880,
        "prompt_tokens_details": {"cached_tokens": 1216},
    }
    usage = read_usage(raw)
    # The published 14B: 0.20 a million, in and out. 2100 x 0.2 / 1e6 = 0.00042, as published.
    # A tier has no price for cached tokens: they are paid for like the rest.
    tier = BOOK.find_tier("fireworks-16b").prices
    parts = cost_parts(tier, usage, None)
    assert parts == pytest.approx({"prompt_usd": 0.000244, "completion_usd": 0.000176})
    # 2.50 dollars for a GPU-hour, two of them, 3.6 seconds: 3.6 x 2.5 x 2 / 3600 = 0.005.
    gpus = Prices("gpu-hour", "2026-11-24", hour_usd=2.5, gpus=2)
    assert cost_parts(gpus, usage, 3.6) == pytest.approx({"compute_usd": 0.005})
    assert cost_parts(gpus, usage, None) is None


def test_a_streamed_answer_that_was_cut_off_has_a_most_that_it_can_cost() -> None:
    # Anthropic's first event tells the prompt; its count of output is of what came with it.
    start = {
        "input_tokens": 1300,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 5000,
        "output_tokens": 2,
    }
    usage = read_usage(start, complete=False)
    sonnet = prices("anthropic/claude-sonnet-5-5")
    assert (usage.prompt_tokens, usage.completion_tokens) == (6300, None)
    assert cost_parts(sonnet, usage, None) is None
    # 1300 x 2 / 1e6 + 5000 x 0.1 / 1e6 + at most 20000 x 10 / 1e6 = 0.0031 + 0.2
    assert repriced(replace(usage, completion_tokens=20_000), sonnet) == pytest.approx(0.2031)
    assert repriced(usage, sonnet) is None
    assert repriced(Usage(completion_tokens=20_000), sonnet) is None


def test_the_most_that_a_request_can_cost_is_at_the_dearest_prices() -> None:
    # Written to the cache for an hour: 1000 x 4 / 1e6; and 20000 x 10 / 1e6; 1.1 times in the US.
    sonnet = prices("anthropic/claude-sonnet-5-5")
    assert worst_case_usd(sonnet, 1000, 20_000) == pytest.approx(0.204 * 1.1)
    assert worst_case_usd(sonnet, 1000, None) is None
    assert worst_case_usd(Prices("unknown", ""), 1000, 20_000) is None
    assert worst_case_usd(Prices("gpu-hour", "", hour_usd=2.5, gpus=1), 1000, 20_000) is None
    assert worst_case_usd(Prices("free", ""), 1000, None) == 0.0


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"input_tokens": 0, "output_tokens": 0},
        {"promptTokenCount": "many"},
        {"prompt_tokens": -5, "completion_tokens": True},
        {"prompt_tokens": 10, "completion_tokens": None},
        # More from the cache than there is prompt.
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 90},
        },
    ],
)
def test_an_answer_without_usage_costs_nobody_knows_what(raw: dict[str, Any] | None) -> None:
    cached = Prices(
        "book",
        "",
        prompt_usd_per_million=1.0,
        cached_usd_per_million=0.1,
        completion_usd_per_million=1.0,
    )
    assert cost_parts(cached, read_usage(raw), None) is None


def test_reasoning_beside_the_completion_is_told_by_the_total() -> None:
    # xAI's form. 100 + 20 + 300 = 420: the reasoning is in the total, and not in the completion.
    details = {"completion_tokens_details": {"reasoning_tokens": 300}}
    beside = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 420, **details}
    within = {"prompt_tokens": 100, "completion_tokens": 320, "total_tokens": 420, **details}
    assert read_usage(beside).completion_tokens == read_usage(within).completion_tokens == 320


def test_thoughts_among_the_candidates_are_told_by_the_total() -> None:
    among = {"promptTokenCount": 100, "candidatesTokenCount": 320, "totalTokenCount": 420}
    assert read_usage(among | {"thoughtsTokenCount": 300}).completion_tokens == 320


def test_openais_other_form_holds_the_cache_in_its_input() -> None:
    raw = {
        "input_tokens": 2006,
        "input_tokens_details": {"cached_tokens": 1920, "cache_write_tokens": 64},
        "output_tokens": 14736,
        "output_tokens_details": {"reasoning_tokens": 13888},
        "total_tokens": 16742,
    }
    assert read_usage(raw) == Usage(2006, 14736, 1920, 64, None, 13888, None, raw)


def by_json(usage: Any) -> Usage:
    """As `hosted` reads it."""
    return read_usage(json.loads(usage.model_dump_json()))


def test_litellms_object_reads_as_the_wire_does(litellm: ModuleType) -> None:
    for raw, litellm_usage in (
        (OPENAI, chat_usage(litellm, OPENAI)),
        (DEEPSEEK, chat_usage(litellm, DEEPSEEK)),
        (ANTHROPIC, anthropic_usage(ANTHROPIC)),
        (GEMINI, gemini_usage(GEMINI)),
        (OPENROUTER, chat_usage(litellm, OPENROUTER)),
    ):
        usage, fallback = read_usage(raw), by_json(litellm_usage)
        for name in (
            "prompt_tokens",
            "completion_tokens",
            "reasoning_tokens",
            "reported_usd",
            "cached_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
        ):
            assert (getattr(usage, name) or 0) == (getattr(fallback, name) or 0), (name, raw)
    assert by_json(litellm.Usage()).prompt_tokens is None


@pytest.mark.parametrize("cost", [math.nan, math.inf])
def test_what_no_record_could_hold_is_not_taken_over(litellm: ModuleType, cost: float) -> None:
    usage = by_json(litellm.Usage(5, 1, 6, cost=cost))
    assert (usage.prompt_tokens, usage.reported_usd) == (5, None)
    json.dumps(usage.raw, allow_nan=False)
    oversized = read_usage({"prompt_tokens": 5, "completion_tokens": 10**400, "cost": 10**400})
    assert (oversized.completion_tokens, oversized.reported_usd) == (None, None)
