"""The capabilities of models: registered ones, those in litellm's map, and self-hosted servers.

litellm's map has whether a model reasons and how many tokens it can give. How the reasoning of a
model is controlled is decided here by its provider. If that is not known, it cannot be set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any, get_args

from tclue.bench.models.reasoning import ModelCapabilities
from tclue.bench.models.registry import Alias, Host, Level, Off, Reasoning, Temperature

# Anthropic's minimum: https://platform.claude.com/docs/en/build-with-claude/extended-thinking
_LEAST_CLAUDE_BUDGET = 1024
# A server may have any model. It is sent the level and the switch, and uses those that it knows.
_ANY_SERVER = Reasoning("effort", ("low", "medium", "high"), "disabled")


def registered(name: str, facts: Alias, host: Host, *, self_hosted: bool) -> ModelCapabilities:
    """The capabilities of a registered model, at a host or on a self-hosted server."""
    if self_hosted:
        control = facts.reasoning if facts.reasoning.kind in ("none", "always") else _ANY_SERVER
        return ModelCapabilities(name, "self-hosted", control, registered=True)
    return ModelCapabilities(
        name,
        host.provider,
        facts.reasoning,
        facts.temperature,
        host.max_output_tokens,
        host.context_tokens,
        host.lift,
        registered=True,
    )


def unregistered(
    litellm: ModuleType, name: str, route: str, api_base: str | None
) -> tuple[ModelCapabilities, tuple[str, ...]]:
    """The capabilities of a model by litellm's map, and the ids with which it may answer.

    Raises litellm.BadRequestError if litellm does not know the provider.
    """
    model_id, provider, _, _ = litellm.get_llm_provider(route, api_base=api_base)
    info = _info(litellm, route)
    if api_base and not info and provider in ("openai", *litellm.openai_compatible_providers):
        return ModelCapabilities(name, "self-hosted", _ANY_SERVER), ()
    control, temperature = _control(model_id, provider, info)
    if info.get("supports_reasoning") and control is None:
        params = litellm.get_supported_openai_params(model_id, custom_llm_provider=provider) or []
        effort = "reasoning_effort" in params
        control = Reasoning("effort", ("low", "medium", "high")) if effort else Reasoning("always")
    model = ModelCapabilities(
        name,
        "anthropic" if _is_claude(model_id, provider) else provider,
        control,
        temperature,
        info.get("max_output_tokens"),
        info.get("max_input_tokens"),
    )
    # A dated snapshot of a name is the same model. A self-hosted server may answer with any id.
    return model, () if api_base else (model_id, f"{model_id}-2*", f"{model_id}@2*")


def _info(litellm: ModuleType, route: str) -> Mapping[str, Any]:
    """The entry of litellm's map itself, because `get_model_info` leaves out some of its flags."""
    try:
        key = litellm.get_model_info(route)["key"]
    except Exception:  # for an unlisted model litellm raises its own errors, and bare Exception
        return {}
    entry: Mapping[str, Any] = litellm.model_cost.get(key, {})
    return entry


def _is_claude(model_id: str, provider: str) -> bool:
    hosts = ("anthropic", "bedrock", "vertex_ai", "azure_ai")
    return provider in hosts and "claude" in model_id


def _control(
    model_id: str, provider: str, info: Mapping[str, Any]
) -> tuple[Reasoning | None, Temperature]:
    """How reasoning is controlled, None if unknown, and which temperatures are accepted."""
    if provider == "openrouter":
        # OpenRouter translates settings for its providers, and the map has few of its models.
        return Reasoning("effort", ("low", "medium", "high"), "disabled"), "any"
    if not info:
        return None, "any"
    if not info.get("supports_reasoning"):
        return Reasoning("none"), "any"
    if _is_claude(model_id, provider):
        temperature: Temperature = (
            "one" if info.get("supports_sampling_params") is False else "one-when-thinking"
        )
        if info.get("supports_adaptive_thinking") and not info.get("supports_legacy_thinking"):
            off: Off | None = None if info.get("thinking_always_on") else "disabled"
            return Reasoning("effort", _levels(info), off), temperature
        return Reasoning("budget", (), "unset", _LEAST_CLAUDE_BUDGET), temperature
    if provider in ("openai", "azure"):
        can_stop = info.get("supports_none_reasoning_effort")
        return Reasoning("effort", _levels(info), "effort-none" if can_stop else None), "one"
    if provider in ("gemini", "vertex_ai") and "gemini-2.5" in model_id:
        # https://ai.google.dev/gemini-api/docs/thinking
        if "pro" in re.split(r"\W", model_id):
            return Reasoning("budget", (), None, 128, 32_768), "any"
        return Reasoning("budget", (), "zero", 512 if "lite" in model_id else 1, 24_576), "any"
    if provider == "deepseek":
        return Reasoning("switch", (), "disabled"), "any"
    return None, "any"


def _levels(info: Mapping[str, Any]) -> tuple[Level, ...]:
    """The effort levels that the flags of an entry name."""
    always = ("low", "medium", "high")
    return tuple(
        level
        for level in get_args(Level)
        if level in always or info.get(f"supports_{level}_reasoning_effort")
    )
