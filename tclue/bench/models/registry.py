"""The model registry: what an alias means, who serves its weights, and how they can reason.

    lookup("claude@16k", load(None))

* `data/models.toml` is shipped. A user's own file is merged over it key by key; a list replaces a
  list. That file is the one of `--registry`, or `tclue/models.toml` in $XDG_CONFIG_HOME (~/.config)
  if it exists.
* An alias names weights. If they are retired, it stays listed and never means other weights.
* A name is `ALIAS` or `ALIAS@SETTING`, followed by `=NAME` if a self-hosted server calls the
  weights NAME; or it is litellm's name of a model, also with `@SETTING`.
* Reading is strict: an unknown key, a value of another type or an unknown word is an error that
  names the file, the alias and the key. Nothing here imports litellm.
"""

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

# How thinking is controlled: there is none; by a budget in tokens; by levels of effort; on and off;
# or not at all, because the model always thinks.
ReasoningKind = Literal["none", "budget", "effort", "switch", "always"]
Level = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
# How thinking is turned off: by sending nothing; `disabled`; a budget of 0; effort `none`; or
# Anthropic's `between_tools`, which without tools is no thinking.
Off = Literal["unset", "disabled", "zero", "effort-none", "between-tools"]
# The temperatures that are accepted: any; only 1; only 1 while the model thinks.
Temperature = Literal["any", "one", "one-when-thinking"]

# At most six digits, because eight are a date, as in claude-sonnet-4-5@20250929.
_BUDGET = re.compile(r"(\d{1,6})(k?)")


@dataclass(frozen=True)
class Reasoning:
    """The reasoning settings of some weights."""

    kind: ReasoningKind
    # for kind "effort": the levels
    levels: tuple[Level, ...] = ()
    # how thinking is turned off; None if that is impossible
    off: Off | None = None
    # for kind "budget": the smallest and the largest, in tokens
    min_budget: int | None = None
    max_budget: int | None = None


@dataclass(frozen=True)
class Lift:
    """A header with which a model can give more tokens."""

    header: str
    value: str
    max_output_tokens: int


@dataclass(frozen=True)
class Host:
    """A provider that serves some weights."""

    # litellm's name; the provider is the part before the first slash
    litellm: str
    # most tokens of a response, thinking included; None if unknown
    max_output_tokens: Count | None = None
    # most tokens of prompt and response together
    context_tokens: Count | None = None
    # the model ids that it answers with; an id that ends in * is a prefix
    served_as: tuple[str, ...] = ()
    lift: Lift | None = None

    @property
    def provider(self) -> str:
        """The provider, as litellm calls it."""
        return self.litellm.split("/")[0]


@dataclass(frozen=True)
class Retired:
    """The end of the host's service for some weights."""

    # the first day on which they are no longer served
    on: Day
    # what the host recommends instead
    successor: str


@dataclass(frozen=True)
class Alias:
    """Some weights under a short name."""

    # what they are, in a few words
    about: str
    # their name at their developer or on a model hub
    weights: str
    reasoning: Reasoning
    # the first host is used; the others can be selected by litellm's names
    hosts: Annotated[tuple[Host, ...], MinLen(1)]
    # the day on which the sources were read, and where they are
    checked: Day
    sources: tuple[str, ...]
    # the settings that the alias without a setting stands for; if empty, the provider's default
    variants: tuple[str, ...] = ()
    temperature: Temperature = "any"
    retired: Retired | None = None
    # what a self-hosted copy needs; None if the weights are not published
    self_hosted: str | None = None

    def retired_by(self, day: str) -> bool:
        """Whether the host no longer serves them on an ISO day."""
        return self.retired is not None and self.retired.on.isoformat() <= day


@dataclass(frozen=True)
class Registry:
    """All aliases, and the environment variables of the providers' keys."""

    __pydantic_config__ = STRICT

    models: Mapping[str, Alias]
    # provider -> environment variables, any one of which is enough
    keys: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Setting:
    """A reasoning setting: "none", "on", a level, or a budget such as "16k" (16,000 tokens)."""

    text: str
    budget_tokens: int | None = None


@dataclass(frozen=True)
class RegistryMatch:
    """The meaning of a name on the command line."""

    # the name without the setting and the server's name
    name: str
    # the alias, its facts and the host; None if the name is not registered
    alias: str | None = None
    facts: Alias | None = None
    host: Host | None = None
    # the named settings; (None,) if there are none
    settings: tuple[Setting | None, ...] = (None,)
    # the name of the weights on a self-hosted server
    server_name: str | None = None


def parse_setting(text: str) -> Setting | None:
    """The setting that a text names; None if it names none."""
    if text in ("none", "on", *get_args(Level)):
        return Setting(text)
    if match := _BUDGET.fullmatch(text):
        tokens = int(match[1]) * (1000 if match[2] else 1)
        return Setting(text, tokens) if tokens else None
    return None


def is_served_as(model_id: str, served_as: Iterable[str]) -> bool:
    """Whether a server's model id is in a list, in which * ends a prefix; any id if it is empty."""
    names = tuple(served_as)
    return not names or any(
        model_id.startswith(name[:-1]) if name.endswith("*") else model_id == name for name in names
    )


def lookup(name: str, registry: Registry) -> RegistryMatch:
    """The meaning of a name on the command line. Raises UserError if its setting is unknown."""
    model_name, _, server_name = name.partition("=")
    base, separator, suffix = model_name.rpartition("@")
    if not separator or not (base in registry.models or parse_setting(suffix)):
        # The names of some providers contain an @.
        base, suffix = model_name, ""
    setting = parse_setting(suffix)
    by_host = {host.litellm: alias for alias, m in registry.models.items() for host in m.hosts}
    alias = base if base in registry.models else by_host.get(base)
    if alias is None:
        if server_name:
            raise UserError(f"{name}: {base!r} is not an alias: give only the server's name")
        return RegistryMatch(base, settings=(setting,))
    facts = registry.models[alias]
    host = next((h for h in facts.hosts if h.litellm == base), facts.hosts[0])
    if suffix and setting is None:
        listed = ", ".join(f"{base}@{text}" for text in facts.variants) or f"{base} alone"
        raise UserError(
            f"unknown variant {model_name!r}: its variants are {listed}; a budget is written as 16k"
        )
    # A host's own name means one model with its provider's default setting.
    variants = facts.variants if base == alias else ()
    defaults = tuple(parse_setting(text) for text in variants) or (None,)
    return RegistryMatch(
        base, alias, facts, host, (setting,) if setting else defaults, server_name or None
    )


def load(path: Path | None) -> Registry:
    """The shipped registry with the user's own merged over it.

    Raises UserError, which names the file, the alias and the key, if the user's file is invalid.
    """
    data, user_path = read_toml(SHIPPED), user_file("models.toml", path)
    if user_path is not None:
        data = merged(data, read_toml(user_path))
    # The shipped file is valid by itself, so an error must be in the user's.
    path = user_path or SHIPPED
    _check_dots(data.get("models"), path)
    registry = read(Registry, data, str(path))
    for alias, facts in registry.models.items():
        if problem := _problem(alias, facts):
            raise UserError(f"{path}: models.{alias}.{problem}")
    return registry


def _check_dots(models: Any, path: Path) -> None:
    """Refuse `[models.mine-2.5]`, which in TOML is a table "5" in models.mine-2."""
    for alias, table in models.items() if isinstance(models, dict) else ():
        for key in table if isinstance(table, dict) else ():
            if key[:1].isdigit():
                raise UserError(
                    f"{path}: unknown field models.{alias}.{key}: expected quotes around an alias "
                    f'with a dot: models."{alias}.{key}"'
                )


def _problem(alias: str, facts: Alias) -> str | None:
    """An error in an alias that the types of its values do not exclude, with the key first."""
    if re.search(r"[@=,\s]", alias):
        return "about: expected an alias without @, =, comma and space"
    if len({host.litellm for host in facts.hosts}) < len(facts.hosts):
        return "hosts: a host is repeated: expected each once"
    if facts.reasoning.kind == "effort" and not facts.reasoning.levels:
        return "reasoning.levels: expected one or more for kind effort"
    for text in facts.variants:
        if parse_setting(text) is None:
            return f"variants: {text!r} is not a setting: expected none, on, a level, or 16k"
    if len(set(facts.variants)) < len(facts.variants):
        return "variants: a setting is repeated: expected each once"
    return None
