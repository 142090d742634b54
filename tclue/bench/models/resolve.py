"""From a name on the command line to models that can be used.

* `random` and `solver` are built in. `hf:PATH-OR-HUB-NAME` is a local checkpoint, `tiny` is the one
  in this package, and `train:RUN@STEP` is one that a training run saved (`trained`).
* An alias of the registry stands for one model per reasoning setting of its weights. Any other name
  is litellm's.
* With `--api-base`, requests go to that server, in OpenAI's protocol. An alias is sent as the name
  of its weights, or as the name after `=`; another name is sent unchanged, unless it begins with
  one of litellm's providers. The server is sent OPENAI_API_KEY if it is set.
* Unknown names and variants, missing keys and retired models are errors here, before any request.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType

from tclue.bench.costs.cost import Prices, today
from tclue.bench.costs.price_book import prices_for
from tclue.bench.models import capabilities
from tclue.bench.models.model import Model, RandomModel, ResolvedModel, SolverModel
from tclue.bench.models.reasoning import Limits, ModelCapabilities, ReasoningPlan, plan
from tclue.bench.models.registry import Alias, Registry, RegistryMatch, load, lookup
from tclue.bench.options import BenchOptions
from tclue.errors import UserError

IN_FLIGHT = 32
# The key for a server that needs none, because litellm sends no request without a key.
NO_KEY = "none"


def resolve_all(name: str, options: BenchOptions) -> list[Model]:
    """The models that a name stands for, one per variant, with the options that concern them.

    Raises UserError if there is none, or if something that it needs is missing.
    """
    if name == "random":
        return [RandomModel(options.seed)]
    if name == "solver":
        return [SolverModel()]
    if name.startswith("hf:") or name == "tiny":
        from tclue.bench.models.local import TINY, LocalModel

        local = LocalModel(str(TINY) if name == "tiny" else name.removeprefix("hf:"), options)
        if name == "tiny":
            local.resolved = replace(local.resolved, variant="tiny")
        return [local]
    if name.startswith("train:"):
        from tclue.bench.models.trained import TrainedModel

        return [TrainedModel(name.removeprefix("train:"), options)]
    registry = load(options.registry)
    match = lookup(name, registry)
    if match.facts and not options.api_base:
        _check_registered(match, registry)
    return _hosted_models(match, registry, options)


def _check_registered(match: RegistryMatch, registry: Registry) -> None:
    """Refuse a retired model or a missing key, before litellm is imported, which takes seconds."""
    facts, host = match.facts, match.host
    assert facts is not None
    assert host is not None
    if facts.retired and facts.retired_by(today()):
        raise UserError(
            f"{match.name} is retired: {host.provider} stopped serving it on {facts.retired.on} "
            f"and recommends {facts.retired.successor}; {_self_hosting(facts)}"
        )
    variables = registry.keys.get(host.provider, ())
    if variables and not any(map(key_is_set, variables)):
        raise _missing_key_error(match.name, variables)


def _self_hosting(facts: Alias) -> str:
    """What a self-hosted copy of some weights needs."""
    if facts.self_hosted is None:
        return "its weights are not published, so you cannot host a copy"
    return f"a copy behind --api-base needs {facts.self_hosted}"


def _missing_key_error(name: str, variables: Sequence[str]) -> UserError:
    return UserError(f"{name}: no key: set {' or '.join(variables)} in the environment")


def key_is_set(variable: str) -> bool:
    """Whether an environment variable is set and not empty."""
    return bool(os.environ.get(variable))


def _hosted_models(match: RegistryMatch, registry: Registry, options: BenchOptions) -> list[Model]:
    from tclue.bench.models.hosted import HostedModel, load_litellm

    litellm = load_litellm()
    route, model, served_as = _find_route(litellm, match, registry, options)
    key_checked = match.host is not None and match.host.provider in registry.keys
    missing = [] if key_checked and not options.api_base else missing_keys(litellm, route)
    if missing and not options.api_base:
        raise _missing_key_error(match.name, missing)
    limits = Limits(options.temperature, options.max_tokens, options.stream)
    plans = [plan(model, setting, limits) for setting in match.settings]
    _check_seed(litellm, route, match.name, options)
    priced = prices(route, options, litellm)
    resolved = [_resolved(one, route, match, served_as, priced, options) for one in plans]
    return [HostedModel(route, one, NO_KEY if missing else None) for one in resolved]


def _find_route(
    litellm: ModuleType, match: RegistryMatch, registry: Registry, options: BenchOptions
) -> tuple[str, ModelCapabilities, tuple[str, ...]]:
    """litellm's name, the capabilities, and the ids with which the model may answer."""
    facts, host = match.facts, match.host
    if facts and host:
        # Unpublished weights behind a URL are a gateway to their provider, in its protocol.
        own_server = options.api_base and (facts.self_hosted or match.server_name)
        if not own_server:
            model = capabilities.registered(match.name, facts, host, self_hosted=False)
            return host.litellm, model, host.served_as
        served = match.server_name or facts.weights
        model = capabilities.registered(match.name, facts, host, self_hosted=True)
        return f"openai/{served}", model, (served,)
    route = match.name
    if options.api_base and route.split("/")[0] not in litellm.provider_list:
        route = f"openai/{route}"
    try:
        return route, *capabilities.unregistered(litellm, match.name, route, options.api_base)
    except litellm.BadRequestError:
        if similar := difflib.get_close_matches(match.name, registry.models, 1):
            raise UserError(f"unknown model {match.name!r}: did you mean {similar[0]}?") from None
        raise UserError(
            f"unknown model {match.name!r}: expected random, solver, hf:PATH-OR-HUB-NAME, tiny, "
            "train:RUN@STEP, an alias that `tclue models` lists, a name that litellm knows such as "
            "openai/gpt-5-mini, or --api-base URL and that server's name for a model"
        ) from None


def missing_keys(litellm: ModuleType, name: str) -> list[str]:
    """The environment variables for the keys of a litellm name that are not set."""
    missing = litellm.validate_environment(name)["missing_keys"]
    return [variable for variable in missing if variable.endswith("_KEY")]


def _check_seed(litellm: ModuleType, route: str, name: str, options: BenchOptions) -> None:
    """Refuse a seed if litellm would not send it."""
    model_id, provider = _provider(litellm, route, options)
    supported = litellm.get_supported_openai_params(model_id, custom_llm_provider=provider)
    if options.seed is not None and supported and "seed" not in supported:
        raise UserError(f"{name}: {provider} accepts no seed: leave --seed out")


def prices(route: str, options: BenchOptions, litellm: ModuleType | None) -> Prices:
    """The prices of a model's responses; if `litellm` is None, litellm's list is not used."""
    provider = None
    if litellm is not None:
        _, provider = _provider(litellm, route, options)
    return prices_for(route, provider, options, litellm)


def _provider(litellm: ModuleType, route: str, options: BenchOptions) -> tuple[str, str]:
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
    chosen: ReasoningPlan,
    routed: str,
    found: RegistryMatch,
    served_as: tuple[str, ...],
    priced: Prices,
    options: BenchOptions,
) -> ResolvedModel:
    concurrency = options.concurrency or IN_FLIGHT
    notes, facts = chosen.notes, found.facts
    if facts and facts.retired and not options.api_base:
        notes += (f"served until {facts.retired.on}, then retired",)
    own_server = routed != (found.host.litellm if found.host else routed)
    return ResolvedModel(
        variant=f"{chosen.label} (self-hosted)" if own_server else chosen.label,
        model=f"{chosen.name}={found.server_name}" if found.server_name else chosen.name,
        prices=priced,
        slots=concurrency,
        seed=options.seed,
        temperature=options.temperature,
        max_tokens=chosen.request.get("max_tokens"),
        concurrency=concurrency,
        timeout_s=options.timeout_s,
        stream=chosen.stream,
        api_base=options.api_base,
        request={"model": routed, **chosen.request},
        reasoning=chosen.setting,
        notes=notes,
        served_as=served_as,
        max_output_tokens=chosen.max_output_tokens,
        packages=("litellm", "openai"),
    )
