"""Reasoning settings: what they come to, and what each provider is really sent for them."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from bench_support import Answer, serving

from tclue.bench.costs.cost import Prices
from tclue.bench.models import hosted, resolve
from tclue.bench.models.model import ResolvedModel
from tclue.bench.models.reasoning import ANSWER_TOKENS, ModelCapabilities, plan
from tclue.bench.models.registry import Lift, Reasoning, load, parse_setting
from tclue.bench.options import BenchOptions
from tclue.errors import UserError

BUDGETS = Reasoning("budget", (), "unset", 1024)
CLAUDE = ModelCapabilities(
    "claude-x", "anthropic", BUDGETS, "one-when-thinking", 64_000, registered=True
)
EFFORT = ModelCapabilities(
    "o9", "openai", Reasoning("effort", ("low", "medium", "high")), "one", 100_000
)
SWITCH = ModelCapabilities("ds", "deepseek", Reasoning("switch", (), "disabled"))
ALWAYS = ModelCapabilities("r9", "novita", Reasoning("always"), registered=True)
PLAIN = ModelCapabilities("llama", "deepinfra", Reasoning("none"), "any", 131_072, registered=True)
SERVER = ModelCapabilities(
    "own", "self-hosted", Reasoning("effort", ("low", "medium", "high"), "disabled")
)


def planned(model: ModelCapabilities, text: str | None, **limits: Any) -> ResolvedModel:
    setting = parse_setting(text) if text else None
    assert (setting is None) == (text is None)
    return plan(model, setting, BenchOptions(**limits), Prices("unknown", ""))


def thinking(budget: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget}


def test_a_budget_leaves_room_for_the_answer() -> None:
    chosen = planned(CLAUDE, "16k")
    assert (chosen.model, chosen.variant, chosen.notes) == ("claude-x@16k", "claude-x@16k", ())
    assert chosen.request == {"max_tokens": 20_000, "thinking": thinking(16_000)}
    assert ("stream" in chosen.request, chosen.max_output_tokens) == (False, 20_000)


def test_a_budget_as_large_as_the_limit_is_made_smaller_and_shown_so() -> None:
    chosen = planned(CLAUDE, "64k")
    assert (chosen.model, chosen.variant) == ("claude-x@64k", "claude-x@64k (60k sent)")
    assert chosen.request["thinking"] == thinking(64_000 - ANSWER_TOKENS)
    assert chosen.request["max_tokens"] == chosen.max_output_tokens == 64_000
    assert chosen.request["stream_options"] == {"include_usage": True}
    assert chosen.request["stream"]
    assert "60000, not 64000" in chosen.notes[0]
    # The last one that fits, and the first that does not.
    assert planned(CLAUDE, "60k").variant == "claude-x@60k"
    assert planned(CLAUDE, "60001").variant == "claude-x@60001 (60k sent)"


def test_a_header_lifts_a_limit_only_where_that_is_needed() -> None:
    model = replace(CLAUDE, lift=Lift("anthropic-beta", "output-128k", 128_000))
    chosen = planned(model, "64k")
    assert chosen.variant == "claude-x@64k"
    assert chosen.request["max_tokens"] == 68_000
    assert chosen.request["extra_headers"] == {"anthropic-beta": "output-128k"}
    assert "anthropic-beta: output-128k" in chosen.notes[0]
    assert "extra_headers" not in planned(model, "16k").request
    assert "extra_headers" in planned(model, "none", max_tokens=65_000).request
    assert planned(model, "128k").variant == "claude-x@128k (124k sent)"


@pytest.mark.parametrize(
    ("model", "text", "limits", "message"),
    [
        (CLAUDE, "65k", {}, "claude-x gives at most 64000 tokens for thinking and answer together"),
        (CLAUDE, "1023", {}, "expected 1024 or more for claude-x"),
        (
            replace(CLAUDE, max_output_tokens=4_500),
            "4k",
            {},
            "500 for the budget: expected a budget of 1024 or more",
        ),
        (CLAUDE, "16k", {"max_tokens": 19_999}, "expected 20000 or more"),
        (CLAUDE, "none", {"max_tokens": 64_001}, "--max-tokens is 64001: claude-x gives at most"),
        (CLAUDE, "16k", {"temperature": 0.3}, "accepts no other while it thinks"),
        (CLAUDE, "high", {}, "claude-x can be set to a budget such as 16k, none"),
        (EFFORT, "medium", {"temperature": 0.0}, "expected 1 or no option"),
        (EFFORT, None, {"temperature": 0.0}, "expected 1 or no option"),
        (EFFORT, "xhigh", {}, "unknown variant 'o9@xhigh': o9 can be set to low, medium, high"),
        (EFFORT, "none", {}, "cannot be turned off"),
        (EFFORT, "on", {}, "can be set to low"),
        (EFFORT, "200k", {}, "gives at most 100000"),
        (ALWAYS, "none", {}, "cannot be turned off"),
        (ALWAYS, "16k", {}, "always thinks"),
        (PLAIN, "16k", {}, "llama has no reasoning settings"),
        (PLAIN, "on", {}, "has no reasoning"),
        (SWITCH, "high", {}, "ds can be set to on, a budget such as 16k, none"),
        (replace(PLAIN, reasoning=None), "none", {}, "it is unknown how llama reasons"),
    ],
)
def test_what_contradicts_is_told_in_a_line(
    model: ModelCapabilities, text: str | None, limits: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        planned(model, text, **limits)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_temperature_as_the_provider_demands() -> None:
    assert planned(CLAUDE, "none", temperature=0.3).request["temperature"] == 0.3
    assert planned(CLAUDE, "16k", temperature=1).request["temperature"] == 1
    assert "temperature" not in planned(CLAUDE, "16k").request
    assert planned(PLAIN, None, temperature=0.0).request["temperature"] == 0.0


@pytest.mark.parametrize(
    ("text", "level"), [("2k", "low"), ("8k", "medium"), ("16k", "high"), ("64k", "high")]
)
def test_budgets_where_only_effort_is_known(text: str, level: str) -> None:
    chosen = planned(EFFORT, text)
    assert chosen.variant == f"o9@{text} (effort {level})"
    assert chosen.request["reasoning_effort"] == level
    assert chosen.request["max_tokens"] == int(text[:-1]) * 1000 + ANSWER_TOKENS
    assert "there are no budgets here" in chosen.notes[0]
    many_levels = replace(EFFORT, reasoning=Reasoning("effort", ("low", "high", "xhigh", "max")))
    assert planned(many_levels, "64k").variant == "o9@64k (effort xhigh)"
    assert planned(many_levels, "96k").variant == "o9@96k (effort xhigh)"
    assert planned(many_levels, "98k").variant == "o9@98k (96k sent, effort xhigh)"


def test_budgets_where_only_on_and_off_are_known() -> None:
    chosen = planned(SWITCH, "16k")
    assert (chosen.variant, chosen.request["thinking"]) == ("ds@16k (on)", {"type": "enabled"})
    assert chosen.request["max_tokens"] == 20_000
    assert "the output limit is not known" in chosen.notes[0]
    assert "there are no budgets here" in chosen.notes[1]


def test_limits_that_nobody_gave() -> None:
    assert planned(PLAIN, None).request == {"max_tokens": 16_000}
    small = replace(PLAIN, max_output_tokens=None, context_tokens=16_384)
    assert planned(small, None).request == {"max_tokens": 8_192}
    assert planned(PLAIN, None, max_tokens=99).request == {"max_tokens": 99}
    # A server of one's own and a name that is not registered are left to themselves.
    assert "max_tokens" not in planned(SERVER, None).request
    assert planned(replace(PLAIN, registered=False), None).request == {}


@pytest.mark.parametrize(
    ("model", "limits", "streamed"),
    [
        (PLAIN, {}, False),
        (PLAIN, {"max_tokens": 20_000}, False),
        (PLAIN, {"max_tokens": 20_001}, True),
        (PLAIN, {"stream": True}, True),
        (EFFORT, {}, True),
        (ALWAYS, {}, False),
        (replace(ALWAYS, context_tokens=163_840), {}, True),
        (replace(CLAUDE, registered=False), {}, True),
        (SERVER, {}, True),
        (replace(SERVER, reasoning=Reasoning("none")), {}, False),
    ],
)
def test_long_requests_are_streamed(
    model: ModelCapabilities, limits: dict[str, Any], streamed: bool
) -> None:
    chosen = planned(model, None, **limits)
    assert ("stream" in chosen.request) == streamed == ("stream_options" in chosen.request)


def body(name: str, request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """What a loopback server gets of a request that litellm sends, and its headers."""
    litellm = hosted.load_litellm()
    refusal = Answer({"error": {"message": "no"}}, 400)
    messages = [{"role": "user", "content": "hi"}]

    async def send(url: str) -> None:
        response = await litellm.acompletion(
            model=name, messages=messages, api_base=url, api_key="k", num_retries=0, **request
        )
        if request.get("stream"):
            # Gemini is not asked before the first piece is.
            await anext(response)

    with serving(lambda _: refusal) as server, suppress(litellm.BadRequestError, litellm.APIError):
        asyncio.run(send(server.url))
    return server.bodies[0], server.headers[0]


def alias_body(alias: str, text: str | None, host: int = 0, **limits: Any) -> dict[str, Any]:
    facts = load(None).models[alias]
    model = resolve.registered_capabilities(alias, facts, facts.hosts[host])
    return body(facts.hosts[host].litellm, dict(planned(model, text, **limits).request))[0]


@pytest.mark.server
@pytest.mark.parametrize(
    ("alias", "text", "sent"),
    [
        ("claude", "none", {"thinking": {"type": "between_tools"}, "max_tokens": 16_000}),
        (
            "claude",
            "16k",
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "high"},
                "max_tokens": 20_000,
            },
        ),
        ("claude", "64k", {"output_config": {"effort": "xhigh"}, "max_tokens": 68_000}),
        ("claude-4.6", "none", {"max_tokens": 16_000}),
        ("claude-4.6", "16k", {"thinking": thinking(16_000), "max_tokens": 20_000}),
        ("claude-4.6", "64k", {"thinking": thinking(64_000), "max_tokens": 68_000}),
        ("claude-4.5", "64k", {"thinking": thinking(60_000), "max_tokens": 64_000}),
        ("o3-mini", "high", {"reasoning_effort": "high", "max_completion_tokens": 100_000}),
        ("gpt-5", "16k", {"reasoning_effort": "high", "max_completion_tokens": 20_000}),
        ("llama-3.3-70b", None, {"max_tokens": 16_000}),
    ],
)
def test_what_the_providers_get(alias: str, text: str | None, sent: dict[str, Any]) -> None:
    sent_body = alias_body(alias, text)
    assert sent_body | sent == sent_body
    if "thinking" not in sent and text == "none":
        assert "thinking" not in sent_body
    assert "temperature" not in sent_body
    # A stream of OpenAI's tells its usage only when asked.
    if sent_body.get("stream") and "gpt" in sent_body["model"]:
        assert sent_body["stream_options"] == {"include_usage": True}


@pytest.mark.server
@pytest.mark.parametrize(
    ("alias", "text", "budget", "limit"),
    [
        ("gemini-2.5", "16k", 16_000, 20_000),
        ("gemini-2.5", "32k", 32_000, 36_000),
        ("gemini-2.5-flash", "none", 0, 16_000),
        ("gemini-2.5-flash", "16k", 16_000, 20_000),
    ],
)
def test_what_gemini_gets(alias: str, text: str, budget: int, limit: int) -> None:
    config = alias_body(alias, text)["generationConfig"]
    assert config["thinkingConfig"]["thinkingBudget"] == budget
    assert config["max_output_tokens"] == limit


@pytest.mark.server
def test_the_header_that_lifts_claude_3_7_goes_out() -> None:
    facts = load(None).models["claude-3.7"]
    model = resolve.registered_capabilities("claude-3.7", facts, facts.hosts[0])
    sent_body, headers = body(facts.hosts[0].litellm, dict(planned(model, "64k").request))
    assert (sent_body["thinking"], sent_body["max_tokens"]) == (thinking(64_000), 68_000)
    assert "output-128k-2025-02-19" in headers["anthropic-beta"]


@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "text", "sent"),
    [
        ("deepseek/deepseek-v4-pro", "none", {"thinking": {"type": "disabled"}}),
        (
            "deepseek/deepseek-v4-pro",
            "16k",
            {"thinking": {"type": "enabled"}, "max_tokens": 20_000},
        ),
        ("openrouter/deepseek/deepseek-v3.2", "high", {"reasoning": {"effort": "high"}}),
        ("openai/gpt-5.6-luna", "none", {"reasoning_effort": "none"}),
        ("anthropic/claude-haiku-4-5", "16k", {"thinking": thinking(16_000), "max_tokens": 20_000}),
        ("anthropic/claude-opus-5", "none", {"thinking": {"type": "disabled"}}),
        ("groq/openai/gpt-oss-120b", "low", {"reasoning_effort": "low"}),
    ],
)
def test_what_the_providers_of_unregistered_models_get(
    name: str, text: str, sent: dict[str, Any]
) -> None:
    model, served_as = resolve.unregistered_capabilities(hosted.load_litellm(), name, name, None)
    assert served_as[0] == name.partition("/")[2]
    sent_body = body(name, dict(planned(model, text).request))[0]
    assert sent_body | sent == sent_body


@pytest.mark.server
@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("none", {"chat_template_kwargs": {"enable_thinking": False}}),
        ("on", {"chat_template_kwargs": {"enable_thinking": True}}),
        ("16k", {"chat_template_kwargs": {"enable_thinking": True}, "max_tokens": 20_000}),
        ("high", {"reasoning_effort": "high"}),
    ],
)
def test_what_a_server_of_ones_own_gets(text: str, sent: dict[str, Any]) -> None:
    sent_body = body("openai/own", dict(planned(SERVER, text).request))[0]
    assert sent_body | sent == sent_body
