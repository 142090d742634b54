"""What each provider's replies become: text, reasoning, tokens, finish, outcome, dollars."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench_support import bench, the_run, write_puzzles
from providers import (
    BASE_VARIABLES,
    KEY_VARIABLES,
    MODELS,
    PROVIDERS,
    SHAPES,
    Model,
    Reply,
    Settings,
    bases,
    serving,
)
from providers.openrouter import cost_usd

from tclue.bench.records import Response

pytestmark = pytest.mark.server

SERVED_AS = {
    "openai": "gpt-4.1-mini-2026-11-01",
    "anthropic": "claude-opus-4-20250514",
    "deepseek": "deepseek-chat",
    "gemini": "gemini-2.0-flash",
    "openrouter": "qwen/qwen3-max",
}
HIDES_REASONING = ("openai",)
# The text of a refusal does not come with it.
HIDES_REFUSAL = ("gemini",)
TELLS_CACHE_WRITES = ("anthropic",)
# They always tell the tokens, and litellm cannot read a whole reply of theirs without.
TELLS_USAGE = ("anthropic", "gemini")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """No real key is read by a test."""
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    # The loopback server stands for each provider's own host, and is sent its key.
    monkeypatch.setattr("tclue.bench.models.resolve._is_providers_own", lambda *_: True)
    for variable in KEY_VARIABLES.values():
        monkeypatch.setenv(variable, "sk-of-this-test")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_replies_in_every_shape(tmp_path: Path, provider: str, streamed: bool) -> None:
    path, (puzzle,) = write_puzzles(tmp_path, 1)
    with serving(Settings()) as server:
        shapes = set(SHAPES) - ({"no-usage"} if provider in TELLS_USAGE else set())
        for shape in sorted(shapes):
            server.settings.model = Model([puzzle], shape=shape)
            bench(
                MODELS[provider],
                path,
                tmp_path / shape,
                api_base=bases(server)[provider],
                stream=streamed,
                price_in=3.0,
                price_out=15.0,
            )
            (response,) = the_run(tmp_path / shape).responses
            reply = server.settings.model.reply(puzzle.prompt, None)
            problems = differences(provider, response, reply)
            assert not problems, (shape, problems, response)
        assert [entry.whole for entry in server.ledger.entries] == [True] * len(shapes)
        assert {entry.streamed for entry in server.ledger.entries} == {streamed}


def differences(provider: str, response: Response, reply: Reply) -> list[str]:
    """Where a record is not what was served."""
    hidden = reply.finish == "refusal" and provider in HIDES_REFUSAL
    writes = provider in TELLS_CACHE_WRITES
    usage_sent = reply.tells_usage
    usage = response.usage
    dollars = (reply.prompt_tokens * 3 + reply.completion_tokens * 15) / 1e6
    compared = {
        "error": (response.error, None),
        "outcome": (response.outcome, reply.outcome),
        "text": (response.text, "" if hidden else reply.text),
        "reasoning": (response.reasoning, None if provider in HIDES_REASONING else reply.reasoning),
        "model": (response.model_id, SERVED_AS[provider]),
        "provider": (response.provider, "Loopback" if provider == "openrouter" else None),
        "prompt": (usage.prompt_tokens, reply.prompt_tokens if usage_sent else None),
        "completion": (usage.completion_tokens, reply.completion_tokens if usage_sent else None),
        "cached": (usage.cached_tokens or 0, reply.cached_tokens),
        "5m": (usage.cache_write_5m_tokens or 0, reply.cache_write_5m_tokens if writes else 0),
        "1h": (usage.cache_write_1h_tokens or 0, reply.cache_write_1h_tokens if writes else 0),
        "reported": (
            usage.reported_usd,
            cost_usd(reply) if provider == "openrouter" and usage_sent else None,
        ),
        "cost": (response.cost_usd, pytest.approx(dollars) if usage_sent else None),
    }
    # Anthropic does not tell its reasoning tokens.
    if provider != "anthropic":
        compared["reasoning tokens"] = (usage.reasoning_tokens or 0, reply.reasoning_tokens)
    return [f"{name}: {is_} for {ought}" for name, (is_, ought) in compared.items() if is_ != ought]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_environment_says_where_a_provider_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    path, puzzles = write_puzzles(tmp_path, 1)
    with serving(Settings(Model(puzzles))) as server:
        monkeypatch.setenv(BASE_VARIABLES[provider], bases(server)[provider])
        monkeypatch.setenv(KEY_VARIABLES[provider], "sk-of-this-test")
        summary = bench(MODELS[provider], path, tmp_path / "r")
        assert server.keys == {"sk-of-this-test"}
    assert summary.accuracy is not None
    assert summary.accuracy.value == 1.0
