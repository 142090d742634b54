"""Odd usage objects: those with one reading are read so, and the others have no known cost."""

import json
import random
from itertools import product
from typing import Any

import pytest

from tclue.bench.costs.cost import Prices, Usage, cost_parts
from tclue.bench.costs.usage import merge_usage, read_usage

PRICES = Prices(
    "book",
    "2026-11-28",
    prompt_usd_per_million=1.0,
    cached_usd_per_million=0.1,
    cache_write_5m_usd_per_million=1.25,
    cache_write_1h_usd_per_million=2.0,
    completion_usd_per_million=10.0,
)


def chat(prompt: Any, completion: Any, total: Any = None, **more: Any) -> dict[str, Any]:
    """A usage in OpenAI's form: `cached`, `written` and `reasoning` are in its details."""
    raw = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    details = {
        "prompt_tokens_details": {
            "cached_tokens": more.pop("cached", None),
            "cache_write_tokens": more.pop("written", None),
        },
        "completion_tokens_details": {"reasoning_tokens": more.pop("reasoning", None)},
    }
    return {**raw, **details, **more}


@pytest.mark.parametrize(
    ("raw", "prompt", "completion"),
    [
        # as documented, with and without a total
        (chat(100, 20, 120), 100, 20),
        (chat(100, 20), 100, 20),
        (chat(100, 20, 0), 100, 20),
        (chat(100, 20, 120, reasoning=15, cached=90), 100, 20),
        # xAI: reasoning beside the completion, more than it or less
        (chat(32, 9, 135, reasoning=94), 32, 103),
        (chat(100, 50, 180, reasoning=30), 100, 80),
        # thinking in the total alone: Gemini's OpenAI-compatible replies, with and without a 0
        (chat(20, 198, 623), 20, 603),
        (chat(20, 198, 623, reasoning=0), 20, 603),
        (chat(21, 0, 81, reasoning=60), 21, 60),
        (chat(20, None, 623), 20, 603),
        # Anthropic's cache beside the prompt, in OpenAI's form
        (chat(40, 20, 120, cached=60), 100, 20),
        (chat(40, 20, 160, cached=60, written=40), 140, 20),
        (chat(40, 20, 100, written=40), 80, 20),
        (chat(40, 20, 150, cached=60, reasoning=30), 100, 50),
        # LiteLLM's proxy keeps Anthropic's names inside OpenAI's form
        (chat(100, 20, 120, cache_read_input_tokens=60, cache_creation_input_tokens=30), 100, 20),
        # two forms with the same numbers, or one that was not filled in
        (chat(100, 20, 120, input_tokens=100, output_tokens=20), 100, 20),
        (
            chat(100, 20, 120, input_tokens=40, output_tokens=20, cache_read_input_tokens=60),
            100,
            20,
        ),
        (chat(0, 0, 0, input_tokens=100, output_tokens=20), 100, 20),
        (chat(100, 20, 120, input_tokens=0, output_tokens=0), 100, 20),
        (chat(0, 0, 120, input_tokens=40, output_tokens=20, cache_read_input_tokens=60), 100, 20),
        # Gemini: beside the candidates, among them (Vertex), in the total alone
        (
            {
                "promptTokenCount": 100,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 300,
                "totalTokenCount": 420,
            },
            100,
            320,
        ),
        (
            {"promptTokenCount": 100, "candidatesTokenCount": 20, "thoughtsTokenCount": 300},
            100,
            320,
        ),
        ({"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 420}, 100, 320),
        ({"promptTokenCount": 100, "totalTokenCount": 420}, 100, 320),
        # numbers that are counts, in other clothes
        (chat(100.0, "20", 120.0), 100, 20),
        # a prompt that is all from the cache
        ({"input_tokens": 0, "cache_read_input_tokens": 90, "output_tokens": 5}, 90, 5),
    ],
)
def test_the_one_reading_that_fits_is_taken(
    raw: dict[str, Any], prompt: int, completion: int
) -> None:
    usage = read_usage(raw, has_text=raw.get("completion_tokens") != 0 or "input_tokens" in raw)
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, completion)
    assert usage.problem is None
    assert usage.raw == raw
    assert cost_parts(PRICES, usage, None) is not None


@pytest.mark.parametrize(
    "raw",
    [
        # the total is below its parts, or above them by what no count explains
        chat(100, 20, 110),
        chat(100, 20, 500, reasoning=300),
        chat(100, 320, 450, reasoning=300),
        # more reasoning than completion, and more from the cache than prompt, without such a total
        chat(100, 20, reasoning=300),
        chat(100, 20, 120, reasoning=300),
        chat(10, 5, cached=90),
        chat(10, 5, 15, cached=90),
        chat(10, 5, 15, cached=6, written=6),
        {"promptTokenCount": 10, "cachedContentTokenCount": 20, "candidatesTokenCount": 5},
        # two readings
        chat(100, 50, 230, cached=80, reasoning=40, written=40),
        # nothing completed, or nothing counted, beside a text
        chat(100, 0, 100),
        chat(100, 0),
        chat(100, None),
        chat(100, 0, 160, reasoning=60),
        chat(0, 20, 20),
        chat(0, 0, 0),
        {"input_tokens": 100, "output_tokens": 0},
        {"promptTokenCount": 100, "thoughtsTokenCount": 60, "totalTokenCount": 160},
        {"queue_time": 0.5},
        # two forms that disagree
        chat(100, 20, input_tokens=90, output_tokens=20),
        chat(100, 20, 120, input_tokens=100, output_tokens=25),
        # written for an hour, but not written
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 5,
            "cache_creation": {"ephemeral_1h_input_tokens": 50},
        },
        # no counts
        chat(-100, 20),
        chat(100, -20),
        chat(100.5, 20),
        chat("many", 20),
        chat("-1", 20),
        chat("1" * 20, 20),
        chat(True, 20),
        chat([100], 20),
        chat(10**400, 20),
        chat(float("nan"), 20),
        chat(float("inf"), 20),
        chat(100, 20, "all"),
        chat(100, 20, cached=-90),
    ],
)
def test_what_has_no_one_reading_has_no_known_cost(raw: dict[str, Any]) -> None:
    usage = read_usage(raw, has_text=True)
    assert usage.problem
    assert len(usage.problem) < 300
    assert "\n" not in usage.problem
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (None,) * 3
    assert usage.raw == raw
    assert cost_parts(PRICES, usage, None) is None


def test_a_reading_never_contradicts_the_counts() -> None:
    rng = random.Random(0)
    taken = 0
    for _ in range(20_000):
        small = [rng.choice((None, *range(6))) for _ in range(6)]
        prompt, completion, total, cached, written, reasoning = small
        raw = chat(prompt, completion, total, cached=cached, written=written, reasoning=reasoning)
        has_text = rng.random() < 0.5
        usage = read_usage(raw, has_text=has_text)
        if usage.problem:
            continue
        taken += 1
        assert usage.prompt_tokens is not None
        assert usage.completion_tokens is not None
        assert usage.prompt_tokens >= max(prompt or 0, (cached or 0) + (written or 0))
        assert usage.completion_tokens >= max(completion or 0, reasoning or 0, int(has_text))
        assert not total or usage.prompt_tokens + usage.completion_tokens == total
    assert taken > 1000


def test_a_later_zero_does_not_replace_a_count() -> None:
    start = {
        "input_tokens": 1300,
        "cache_read_input_tokens": 5000,
        "cache_creation": {"ephemeral_1h_input_tokens": 7},
        "output_tokens": 2,
        "service_tier": "standard",
    }
    end: dict[str, Any] = {
        "input_tokens": 0,
        "cache_read_input_tokens": None,
        "output_tokens": 99,
        "cost": 0.0,
    }
    end |= {"cache_creation": {"ephemeral_1h_input_tokens": 0}, "speed": "fast"}
    merged = merge_usage(start, end)
    assert merged == start | {"output_tokens": 99, "cost": 0.0, "speed": "fast"}
    # A later count does: the first event of some proxies has none, or an estimate.
    late = merge_usage({"input_tokens": 0, "output_tokens": 0}, {"input_tokens": 11})
    assert late == {"input_tokens": 11, "output_tokens": 0}
    assert merge_usage({}, {"cached": None}) == {"cached": None}
    assert merge_usage({"details": None}, {"details": {"a": 1}}) == {"details": {"a": 1}}


@pytest.mark.parametrize(
    ("raw", "top_level", "tier"),
    [
        ({}, None, None),
        ({}, "default", "default"),
        ({}, "Priority", "priority"),
        ({"service_tier": "standard"}, None, "standard"),
        ({"service_tier": "batch"}, None, "batch"),
        ({"service_tier": "priority"}, "default", "priority"),
        ({"service_tier": "standard", "speed": "fast"}, None, "fast"),
        ({"service_tier": "standard", "speed": "standard"}, None, "standard"),
        ({"trafficType": "ON_DEMAND"}, None, "on_demand"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, None, "priority"),
        ({"trafficType": "ON_DEMAND_FLEX"}, None, "flex"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, None, "provisioned_throughput"),
        ({"service_tier": 7, "speed": None}, None, None),
    ],
)
def test_the_tier_is_the_replys_word(raw: dict[str, Any], top_level: str, tier: str) -> None:
    assert read_usage(raw, service_tier=top_level).service_tier == tier


@pytest.mark.parametrize(
    ("more", "dollars"),
    [
        ({"cost": 0.5}, 0.5),
        ({"cost": 0.5, "is_byok": True, "cost_details": {"upstream_inference_cost": 2}}, 2.5),
        ({"cost_in_usd_ticks": 232_856_000}, 0.0232856),  # xAI
        ({"cost": {"total_cost": 0.25, "request_cost": 0.2}}, 0.25),  # Perplexity
        ({"cost": -1}, None),
        ({"cost": "free"}, None),
        ({"cost": True}, None),
        ({"cost": 10**400}, None),
    ],
)
def test_a_bill_in_the_reply_is_the_cost(more: dict[str, Any], dollars: float | None) -> None:
    assert read_usage(chat(100, 20, 120) | more).reported_usd == dollars
    broken = read_usage(chat(100, 20, 110) | more, has_text=True)
    assert broken.reported_usd == dollars  # whatever the counts are
    assert read_usage(chat(0, 0, 0, cost=0.0), has_text=True).reported_usd is None
    assert read_usage(chat(100, 20, 120, cost=0.0)).reported_usd == 0.0


def test_whatever_is_sent_can_be_recorded() -> None:
    odd: list[Any] = [None, "", "x", [], {}, 5, -1, 1.5, True, {"a": [1]}, "9" * 5000]
    names = ("prompt_tokens", "prompt_tokens_details", "inference_geo", "service_tier", "cost")
    for name, value, complete in product(names, odd, (True, False)):
        usage = read_usage(chat(100, 20, 120) | {name: value}, complete=complete, has_text=True)
        json.dumps(usage.raw, allow_nan=False)
        assert isinstance(usage, Usage)
        assert complete or usage.completion_tokens is None


def test_of_a_reply_that_was_cut_off_the_prompt_is_checked() -> None:
    usage = read_usage(chat(100, 3, 103, cached=60), complete=False, has_text=True)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (100, None, 60)
    assert read_usage(chat(10, 3, 103, cached=60), complete=False).problem
