"""The model registry: what an alias means, who serves those weights, how they can reason.

    lookup("claude@16k", load(None))

* `data/models.toml` is shipped. A user's own file is merged over it, key by key; a list replaces a
  list. It is the one that `--registry` names, else `tclue/models.toml` in $XDG_CONFIG_HOME
  (~/.config) where there is one.
* An alias names weights. A retired one stays listed and is not replaced by another.
* A name is `ALIAS`, `ALIAS@SETTING`, either with `=NAME` behind it where a self-hosted server
  calls the weights NAME, or whatever litellm calls a model, with `@SETTING` too.
* Reading is strict: an unknown key, a value of another type or a name that is not on a list is an
  error that names the file, the alias and the key. Nothing here imports litellm.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import MinLen

from tclue.config_files import merged, read_toml, user_file
from tclue.errors import UserError
from tclue.strict import STRICT, Count, Day, read

SHIPPED = Path(str(files("tclue.bench") / "data" / "models.toml"))

# Kinds of control: there is no thinking; a budget in tokens; levels of effort; on and off; or it
# thinks as long as it will.
ReasoningKind = Literal["none", "budget", "effort", "switch", "always"]
Level = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
# How thinking is turned off: by sending nothing; `disabled`; a budget of 0; effort `none`; or
# Anthropic's `between_tools`, which without tools is no thinking.
Off = Literal["unset", "disabled", "zero", "effort-none", "between-tools"]
# What a temperature may be: any; 1 alone; 1 alone while the model thinks.
Temperature = Literal["any", "one", "one-when-thinking"]

# Six digits at most: eight are a date, in names such as claude-sonnet-4-5@20250929.
_BUDGET = re.compile(r"(\d{1,6})(k?)")


@dataclass(frozen=True)
class Reasoning:
    """The reasoning settings of some weights."""

    kind: ReasoningKind
    # of kind "effort": the levels it knows
    levels: tuple[Level, ...] = ()
    # how it is turned off; None where it cannot be
    off: Off | None = None
    # of kind "budget": fewest and most tokens of one
    min_budget: int | None = None
    max_budget: int | None = None


@dataclass(frozen=True)
class Lift:
    """A header that lets a model give more tokens."""

    header: str
    value: str
    max_output_tokens: int


@dataclass(frozen=True)
class Host:
    """A provider that serves some weights."""

    # litellm's name; what stands before the first slash is the provider
    litellm: str
    # most tokens of a response, thinking included; None where unknown
    max_output_tokens: Count | None = None
    # most tokens of prompt and response together
    context_tokens: Count | None = None
    # the model ids it answers with; one that ends in * is a prefix
    served_as: tuple[str, ...] = ()
    lift: Lift | None = None

    @property
    def provider(self) -> str:
        """The provider, as litellm calls it."""
        return self.litellm.split("/")[0]


@dataclass(frozen=True)
class Retired:
    """The end of the host's service for some weights."""

    # the first day without them
    on: Day
    # what the host recommends in their place
    successor: str


@dataclass(frozen=True)
class Alias:
    """Some weights under a short name."""

    # what they are, in a few words
    about: str
    # the name by which their maker, or a model hub, knows them
    weights: str
    reasoning: Reasoning
    # the first is used; the others can be selected by their litellm names
    hosts: Annotated[tuple[Host, ...], MinLen(1)]
    # the day on which the sources were read, and where they are
    checked: Day
    sources: tuple[str, ...]
    # the settings that the bare alias stands for; none: the provider's own default
    variants: tuple[str, ...] = ()
    temperature: Temperature = "any"
    retired: Retired | None = None
    # what a self-hosted copy needs; None where the weights are not published
    self_hosted: str | None = None

    def retired_by(self, day: str) -> bool:
        """Whether the host has stopped serving them on that day, ISO."""
        return self.retired is not None and self.retired.on.isoformat() <= day


@dataclass(frozen=True)
class Registry:
    """All aliases, and the variables that hold the providers' keys."""

    __pydantic_config__ = STRICT

    models: Mapping[str, Alias]
    # provider to environment variables, any one of which will do
    keys: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Setting:
    """A reasoning setting: "none", "on", a level, or a budget such as "16k" (16,000 tokens)."""

    text: str
    budget_tokens: int | None = None


@dataclass(frozen=True)
class RegistryMatch:
    """What a name on the command line refers to."""

    # the name without setting and server's name
    name: str
    # the alias's name and facts, and the host; None for a name that is not registered
    alias: str | None = None
    facts: Alias | None = None
    host: Host | None = None
    # the settings that were named; (None,) where there are none
    settings: tuple[Setting | None, ...] = (None,)
    # what a self-hosted server calls the weights
    server_name: str | None = None


def parse_setting(text: str) -> Setting | None:
    """The setting that a text names, or None."""
    if text in ("none", "on", *get_args(Level)):
        return Setting(text)
    if match := _BUDGET.fullmatch(text):
        tokens = int(match[1]) * (1000 if match[2] else 1)
        return Setting(text, tokens) if tokens else None
    return None


def is_served_as(model_id: str, served_as: Iterable[str]) -> bool:
    """Whether an id that a server answered with is one of those; any is, where none is listed."""
    names = tuple(served_as)
    return not names or any(
        model_id.startswith(name[:-1]) if name.endswith("*") else model_id == name for name in names
    )


def lookup(name: str, registry: Registry) -> RegistryMatch:
    """What a name on the command line refers to.

    Raises UserError for an unknown setting.
    """
    model_name, _, server_name = name.partition("=")
    base, separator, suffix = model_name.rpartition("@")
    if not separator or not (base in registry.models or parse_setting(suffix)):
        # Some providers' own names hold an @.
        base, suffix = model_name, ""
    setting = parse_setting(suffix)
    by_host = {host.litellm: alias for alias, m in registry.models.items() for host in m.hosts}
    alias = base if base in registry.models else by_host.get(base)
    if alias is None:
        if server_name:
            raise UserError(f"{name}: {base!r} is no alias; give the server's own name alone")
        return RegistryMatch(base, settings=(setting,))
    facts = registry.models[alias]
    host = next((h for h in facts.hosts if h.litellm == base), facts.hosts[0])
    if suffix and setting is None:
        listed = ", ".join(f"{base}@{text}" for text in facts.variants) or f"{base} alone"
        raise UserError(
            f"unknown variant {model_name!r}: its variants are {listed}; a budget is written as 16k"
        )
    # A host's own name means what it means there: one model, as its provider sets it.
    variants = facts.variants if base == alias else ()
    defaults = tuple(parse_setting(text) for text in variants) or (None,)
    return RegistryMatch(
        base, alias, facts, host, (setting,) if setting else defaults, server_name or None
    )


def load(path: Path | None) -> Registry:
    """The shipped registry with the user's own merged over it.

    Raises UserError, in one line with the file, the alias and the key, for an invalid file.
    """
    data, user_path = read_toml(SHIPPED), user_file("models.toml", path)
    if user_path is not None:
        data = merged(data, read_toml(user_path))
    # The shipped file is valid by itself, so an error is in the user's.
    path = user_path or SHIPPED
    _check_dots(data.get("models"), path)
    registry = read(Registry, data, str(path))
    for alias, facts in registry.models.items():
        if problem := _problem(alias, facts):
            raise UserError(f"{path}: models.{alias}.{problem}")
    return registry


def _check_dots(models: Any, path: Path) -> None:
    """Refuse `[models.mine-2.5]`, which for TOML is a table 5 in models.mine-2."""
    for alias, table in models.items() if isinstance(models, dict) else ():
        for key in table if isinstance(table, dict) else ():
            if key[:1].isdigit():
                raise UserError(
                    f"{path}: unknown field models.{alias}.{key}: an alias "
                    f'with a dot in it stands in quotes: models."{alias}.{key}"'
                )


def _problem(alias: str, facts: Alias) -> str | None:
    """What is wrong with an alias beyond the types of its values, key first."""
    if re.search(r"[@=,\s]", alias):
        return "about: an alias holds no @, =, comma or space"
    if len({host.litellm for host in facts.hosts}) < len(facts.hosts):
        return "hosts: one is there twice"
    if facts.reasoning.kind == "effort" and not facts.reasoning.levels:
        return "reasoning.levels: expected one or more, of kind effort"
    for text in facts.variants:
        if parse_setting(text) is None:
            return f"variants: {text!r} is no setting: expected none, on, high, 16k or the like"
    if len(set(facts.variants)) < len(facts.variants):
        return "variants: one is there twice"
    return None
