"""From a name on the command line to models that can be used.

* `random` and `solver` are built in. `hf:PATH-OR-HUB-NAME` is a local checkpoint, `tiny` is the one
  in this package, and `train:RUN@STEP` is one that a training run saved.
* An alias of the registry stands for one model per reasoning setting of its weights. Any other name
  is litellm's.
* With `--api-base`, requests go to that server, in OpenAI's protocol. An alias is sent as the name
  of its weights, or as the name after `=`; any other name is sent as it is given. Only an alias of
  closed weights is asked in the protocol of its provider. The server is sent TCLUE_API_KEY if it is
  set, and no other key, unless the URL is the provider's own.
* Unknown names and variants, missing keys and retired models are errors here, before any request.
"""

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any, get_args
from urllib.parse import urlsplit

from tclue.bench.costs.cost import today
from tclue.bench.costs.price_book import litellm_entry, prices_for, terms
from tclue.bench.models.model import (
    DEFAULT_SEED,
    BuiltinModel,
    Model,
    ResolvedModel,
    proved_answers,
    random_answers,
)
from tclue.bench.models.reasoning import ModelCapabilities, plan
from tclue.bench.models.registry import (
    Alias,
    Host,
    Level,
    Off,
    Reasoning,
    Registry,
    RegistryMatch,
    Temperature,
    load,
    lookup,
)
from tclue.bench.options import BenchOptions
from tclue.errors import UserError

IN_FLIGHT = 32
# The defaults of time-outs: seconds without a byte, for which OpenAI's models may think unseen; and
# for a whole reply the time that its longest answer takes at a slow host. An unknown output limit
# counts as UNKNOWN_LIMIT tokens.
SILENCE_S = 900.0
SLOWEST_TOKENS_PER_S = 10
UNKNOWN_LIMIT = 128_000
# The key for a server that needs none, because litellm sends no request without a key.
NO_KEY = "none"
OWN_KEY = "TCLUE_API_KEY"
# The hosts of the providers whose URL `get_llm_provider` does not give.
_HOSTS = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "gemini": "generativelanguage.googleapis.com",
    "openrouter": "openrouter.ai",
}
# The variables that OpenAI's client, which litellm uses for any server, sends in headers.
_SENT = ("OPENAI_ORGANIZATION", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS")
# Anthropic's minimum: https://platform.claude.com/docs/en/build-with-claude/extended-thinking
_LEAST_CLAUDE_BUDGET = 1024
# A server may have any model. It is sent the level and the switch, and uses those that it knows.
_ANY_SERVER = Reasoning("effort", ("low", "medium", "high"), "disabled")


def resolve_all(name: str, options: BenchOptions) -> list[Model]:
    """The models that a name stands for, one per variant, with the options that concern them.

    Raises UserError if there is none, or if something that it needs is missing.
    """
    if options.registry:
        load(options.registry)  # a file that is named is read, even if no model needs it
    if name == "random":
        seed = options.seed or DEFAULT_SEED
        return [BuiltinModel("random", partial(random_answers, seed=seed), seed)]
    if name == "solver":
        return [BuiltinModel("solver", proved_answers)]
    if name.startswith(("hf:", "train:")) or name == "tiny":
        from tclue.bench.models.local import TINY, LocalModel, TrainedModel

        if name.startswith("train:"):
            return [TrainedModel(name.removeprefix("train:"), options)]
        local = LocalModel(str(TINY) if name == "tiny" else name.removeprefix("hf:"), options)
        if name == "tiny":
            local.resolved = replace(local.resolved, variant="tiny")
        return [local]
    registry = load(options.registry)
    match = lookup(name, registry)
    if not options.api_base:
        _check_registered(match, registry, options)
    return _hosted_models(match, registry, options)


def _check_registered(match: RegistryMatch, registry: Registry, options: BenchOptions) -> None:
    """Refuse a retired model or a missing key, before litellm is imported, which takes seconds."""
    facts, host = match.facts, match.host
    if not facts or not host:
        return
    if facts.retired and facts.retired_by(today()):
        copy = "its weights are not published, so you cannot host a copy"
        if facts.self_hosted:
            copy = f"a copy behind --api-base needs {facts.self_hosted}"
        raise UserError(
            f"{match.name} is retired: {host.provider} stopped serving it on {facts.retired.on} "
            f"and recommends {facts.retired.successor}; {copy}"
        )
    variables = registry.keys.get(host.provider, ())
    if variables and not options.keyless and not any(map(os.environ.get, variables)):
        raise _missing_key_error(match.name, variables)


def _missing_key_error(name: str, variables: Sequence[str]) -> UserError:
    return UserError(f"{name}: no key: set {' or '.join(variables)} in the environment")


def _hosted_models(match: RegistryMatch, registry: Registry, options: BenchOptions) -> list[Model]:
    from tclue.bench.models.hosted import HostedModel, load_litellm

    litellm = load_litellm()
    route, model, served_as = _find_route(litellm, match, registry, options)
    model_id, provider = provider_of(litellm, route, options)
    key, variables = None, registry.keys.get(provider, (f"{provider.upper()}_API_KEY",))
    if options.api_base and not _is_providers_own(litellm, route, options.api_base):
        key, variables = os.environ.get(OWN_KEY) or NO_KEY, (OWN_KEY,)
        for variable in _SENT:
            os.environ.pop(variable, None)
    elif options.api_base or not match.host or provider not in registry.keys:
        needed = litellm.validate_environment(route)["missing_keys"]
        missing = [variable for variable in needed if variable.endswith("_KEY")]
        if missing and not options.keyless:
            raise _missing_key_error(match.name, missing)
    priced = prices_for(route, provider, options, litellm)
    plans = [plan(model, setting, options, priced) for setting in match.settings]
    supported = litellm.get_supported_openai_params(model_id, custom_llm_provider=provider)
    if options.seed is not None and supported and "seed" not in supported:
        raise UserError(f"{match.name}: {provider} accepts no seed: leave --seed out")
    asked = {} if options.api_base else terms(provider, priced)
    base = options.api_base and _base_url(options.api_base, provider)
    used = next(filter(os.environ.get, variables), None)
    if used and not (os.environ[used].isascii() and os.environ[used].isprintable()):
        raise UserError(f"{used}: expected a key without line breaks, in ASCII")
    key = key or (used and os.environ[used])  # litellm may prefer another of the variables
    advice = f"the key is not accepted: correct {used}" if used else None
    if key == NO_KEY:
        advice = f"the server wants a key: set {OWN_KEY}"
    known = (replace(p, served_as=served_as, terms=asked, key_advice=advice) for p in plans)
    resolved = [_resolved(each, route, match, options) for each in known]
    return [HostedModel(route, each, key, base) for each in resolved]


def _is_providers_own(litellm: ModuleType, route: str, api_base: str) -> bool:
    """Whether a URL is on the host of a model's provider, so that its key can go there."""
    _, provider, _, base = litellm.get_llm_provider(route)
    host, url = _HOSTS.get(provider) or urlsplit(base or "").hostname, urlsplit(api_base)
    # With a dot, because eu.api.openai.com is OpenAI's too.
    return bool(host and url.scheme == "https" and f".{url.hostname}".endswith(f".{host}"))


def _base_url(api_base: str, provider: str) -> str:
    """The URL to which litellm adds a path, from a host, a base or the whole URL of requests."""
    url = api_base.rstrip("/")
    if provider == "anthropic":  # litellm adds /v1/messages
        return re.sub(r"/v1(/messages)?$", "", url)
    if not urlsplit(url).path:
        return f"{url}/v1beta" if provider == "gemini" else f"{url}/v1"
    return re.sub(r"/(chat/completions|completions|models)$", "", url)


def _find_route(
    litellm: ModuleType, match: RegistryMatch, registry: Registry, options: BenchOptions
) -> tuple[str, ModelCapabilities, tuple[str, ...]]:
    """litellm's name, the capabilities, and the ids with which the model may answer."""
    facts, host, route = match.facts, match.host, match.name
    if options.api_base and not match.server_name and match.alias != route:
        # The server of a user has models by any name. Only its own provider splits one.
        known = "/" in route and route.split("/")[0] in litellm.provider_list
        if not (known and _is_providers_own(litellm, route, options.api_base)):
            facts, route = None, f"openai/{route}"
    if facts and host:
        # Unpublished weights behind a URL are a gateway to their provider, in its protocol.
        own_server = options.api_base and (facts.self_hosted or match.server_name)
        if not own_server:
            model = registered_capabilities(match.name, facts, host)
            return host.litellm, model, host.served_as
        served = match.server_name or facts.weights
        control = facts.reasoning if facts.reasoning.kind in ("none", "always") else _ANY_SERVER
        model = ModelCapabilities(match.name, "self-hosted", control)
        return f"openai/{served}", model, (served,)
    try:
        return route, *unregistered_capabilities(litellm, match.name, route, options.api_base)
    except litellm.BadRequestError:
        if similar := difflib.get_close_matches(match.name, registry.models, 1):
            raise UserError(f"unknown model {match.name!r}: did you mean {similar[0]}?") from None
        raise UserError(
            f"unknown model {match.name!r}: expected random, solver, hf:PATH-OR-HUB-NAME, tiny, "
            "train:RUN@STEP, an alias that `tclue models` lists, a name that litellm knows such as "
            "openai/gpt-5-mini, or --api-base URL and that server's name for a model"
        ) from None


def provider_of(litellm: ModuleType, route: str, options: BenchOptions) -> tuple[str, str]:
    """The provider's name of a model, and the provider. Raises UserError if it is unknown."""
    try:
        model_id, provider, _, _ = litellm.get_llm_provider(route, api_base=options.api_base)
    except litellm.BadRequestError:
        raise UserError(
            f"{route}: {route.split('/')[0]!r} is not a provider that litellm knows: correct the "
            "host's `litellm` if the name is from a registry file"
        ) from None
    return model_id, provider


def _resolved(
    planned: ResolvedModel, route: str, match: RegistryMatch, options: BenchOptions
) -> ResolvedModel:
    concurrency = options.concurrency or IN_FLIGHT
    notes, facts = planned.notes, match.facts
    if facts and facts.retired and not options.api_base:
        notes += (f"served until {facts.retired.on}, then retired",)
    own_server = route != (match.host.litellm if match.host else route)
    return replace(
        planned,
        variant=f"{planned.variant} (self-hosted)" if own_server else planned.variant,
        model=f"{planned.model}={match.server_name}" if match.server_name else planned.model,
        slots=concurrency,
        concurrency=concurrency,
        timeout_s=options.timeout_s
        or SILENCE_S + (planned.max_output_tokens or UNKNOWN_LIMIT) / SLOWEST_TOKENS_PER_S,
        silence_timeout_s=options.silence_timeout_s or SILENCE_S,
        api_base=options.api_base,
        request={"model": route, **planned.request},
        notes=notes,
        packages=("litellm", "openai"),
    )


def registered_capabilities(name: str, facts: Alias, host: Host) -> ModelCapabilities:
    """The capabilities of a registered model at a host."""
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


def unregistered_capabilities(
    litellm: ModuleType, name: str, route: str, api_base: str | None
) -> tuple[ModelCapabilities, tuple[str, ...]]:
    """The capabilities of a model by litellm's map, and the ids with which it may answer.

    The map has whether a model reasons and how many tokens it can give. How its reasoning is
    controlled is decided here by its provider; if that is not known, it cannot be set.

    Raises litellm.BadRequestError if litellm does not know the provider.
    """
    model_id, provider, _, _ = litellm.get_llm_provider(route, api_base=api_base)
    info = litellm_entry(litellm, route)
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
