"""The arguments about the price are really sent, and only where they are meant."""

import json
import os
from dataclasses import replace
from typing import Any

import pytest
from bench_support import Answer, serving

from tclue.bench.costs.cost import Prices
from tclue.bench.costs.price_book import terms
from tclue.bench.models.hosted import load_litellm
from tclue.bench.models.resolve import resolve_all
from tclue.bench.options import BenchOptions

PRICES = Prices("unknown", "2026-11-28")


@pytest.mark.server
@pytest.mark.parametrize(
    ("provider", "model", "tier"),
    [("openai", "gpt-5", "default"), ("anthropic", "claude-sonnet-5-5", "standard_only")],
)
def test_the_plain_tier_is_asked_for(provider: str, model: str, tier: str) -> None:
    import asyncio

    litellm = load_litellm()
    with serving(lambda _: Answer({"error": {"message": "no"}}, status=400)) as server:
        request: dict[str, Any] = {
            "model": f"{provider}/{model}",
            "messages": [{"role": "user", "content": "x"}],
            "api_base": server.url,
            "api_key": "none",
            "num_retries": 0,
            **terms(provider, PRICES),
        }
        with pytest.raises(litellm.BadRequestError):
            asyncio.run(litellm.acompletion(**request))
    (body,) = server.bodies
    assert body["service_tier"] == tier
    assert body.keys() <= {"model", "messages", "service_tier", "max_tokens"}


def test_openrouter_is_told_the_highest_price() -> None:
    known = replace(PRICES, prompt_usd_per_million=1.5, completion_usd_per_million=6.0)
    most = {"prompt": 1.5, "completion": 6.0}
    assert terms("openrouter", known) == {"extra_body": {"provider": {"max_price": most}}}
    assert terms("openrouter", PRICES) == {}


def test_other_providers_are_sent_nothing() -> None:
    for provider in ("gemini", "deepseek", "xai", "together_ai", "hosted_vllm"):
        assert terms(provider, PRICES) == {}


def test_a_run_records_them_and_ones_own_server_is_sent_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    (hosted,) = resolve_all("openai/gpt-4o", BenchOptions())
    assert hosted.resolved.terms == {"service_tier": "default"}
    assert "service_tier" not in json.dumps(hosted.resolved.request)
    (own,) = resolve_all("openai/gpt-4o", BenchOptions(api_base="http://localhost:1/v1"))
    assert own.resolved.terms == {}
