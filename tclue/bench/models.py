"""From a name on the command line to a model that can be asked.

* `random` and `solver` are built in. `hf:PATH-OR-HUB-NAME` is a local checkpoint, and `tiny` the
  one that this package brings.
* Any other name is litellm's. With `--api-base`, a name without one of litellm's provider prefixes
  is that server's own, spoken to as OpenAI's; the server is sent OPENAI_API_KEY where that is set.
* An unknown name or a missing key is told here, before anything is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tclue.bench.answerers import Answerer, Random, Setup, Solver
from tclue.bench.price_book import prices_for
from tclue.errors import UserError

if TYPE_CHECKING:
    from tclue.bench.run import BenchOptions

# The checkpoint that this package brings.
TINY = Path(str(files("tclue.bench") / "data" / "tiny"))
IN_FLIGHT = 32
# For a server that wants no key: litellm sends none without it.
NO_KEY = "none"
EXAMPLES = (
    "openai/gpt-5-mini",
    "anthropic/claude-sonnet-4-5",
    "gemini/gemini-2.5-flash",
    "deepseek/deepseek-reasoner",
    "groq/openai/gpt-oss-120b",
)


def resolve(name: str, options: BenchOptions) -> Answerer:
    """The model of a name, with the options that concern it.

    Raises UserError where there is none, or something is missing to ask it.
    """
    if name == "random":
        return Random(options.seed)
    if name == "solver":
        return Solver()
    if name.startswith("hf:") or name == "tiny":
        from tclue.bench.local import Local

        local = Local(str(TINY) if name == "tiny" else name.removeprefix("hf:"), options)
        if name == "tiny":
            local.setup = replace(local.setup, variant="tiny")
        return local
    return _hosted(name, options)


def _hosted(name: str, options: BenchOptions) -> Answerer:
    from tclue.bench.hosted import Hosted, load_litellm

    litellm = load_litellm()
    routed = name
    if options.api_base and name.split("/")[0] not in litellm.provider_list:
        routed = f"openai/{name}"
    try:
        _, provider, _, _ = litellm.get_llm_provider(routed, api_base=options.api_base)
    except litellm.BadRequestError:
        raise UserError(
            f"unknown model {name!r}: expected random, solver, hf:PATH-OR-HUB-NAME, tiny, a name "
            "that litellm knows such as openai/gpt-5-mini, or --api-base URL and that server's name"
        ) from None
    missing = missing_keys(routed)
    if missing and not options.api_base:
        raise UserError(f"{name}: no key: set {' or '.join(missing)} in the environment")
    prices = prices_for(routed, provider, options, litellm)
    concurrency = options.concurrency or IN_FLIGHT
    request: dict[str, Any] = {
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
    }
    if options.stream:
        # Otherwise a stream does not say how many tokens it took.
        request |= {"stream": True, "stream_options": {"include_usage": True}}
    setup = Setup(
        variant=name,
        prices=prices,
        slots=concurrency,
        seed=options.seed,
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        concurrency=concurrency,
        timeout_s=options.timeout_s,
        stream=options.stream,
        api_base=options.api_base,
        request={name: value for name, value in request.items() if value is not None},
        packages=("litellm", "openai"),
    )
    return Hosted(routed, setup, NO_KEY if missing else None)


def missing_keys(name: str) -> list[str]:
    """The environment variables with a key that a litellm name needs and that are not set."""
    from tclue.bench.hosted import load_litellm

    missing = load_litellm().validate_environment(name)["missing_keys"]
    return [variable for variable in missing if variable.endswith("_KEY")]


@dataclass(frozen=True)
class Listed:
    """A line of `tclue models`."""

    name: str
    # what it is, or what it needs
    about: str
    # dollars per million tokens; None where there is no such price
    prompt_usd_per_million: float | None = None
    completion_usd_per_million: float | None = None
    # whether what it needs is there
    ready: bool = True


def list_models() -> list[Listed]:
    """The built-in names, the kinds of names, and some hosted examples with litellm's prices.

    Of a key it says whether it is set, and nothing else. Asks no network.
    """
    has_torch = find_spec("torch") is not None and find_spec("transformers") is not None
    listed = [
        Listed("random", "chance: a legal option for each question"),
        Listed("solver", "the ceiling: proves the puzzle"),
        Listed("tiny", "the shipped checkpoint; needs torch and transformers", ready=has_torch),
        Listed(
            "hf:PATH-OR-HUB-NAME", "a checkpoint; needs torch and transformers", ready=has_torch
        ),
    ]
    if find_spec("litellm") is None:
        return [*listed, Listed("PROVIDER/NAME", "hosted; needs litellm", ready=False)]
    from tclue.bench.hosted import load_litellm
    from tclue.bench.run import BenchOptions

    litellm = load_litellm()
    listed.append(Listed("NAME --api-base URL", "an OpenAI-compatible server"))
    for name in EXAMPLES:
        _, provider, _, _ = litellm.get_llm_provider(name)
        prices = prices_for(name, provider, BenchOptions(), litellm)
        keys = missing_keys(name)
        listed.append(
            Listed(
                name,
                f"set {' or '.join(keys)}" if keys else "key is set",
                prices.prompt_usd_per_million,
                prices.completion_usd_per_million,
                ready=not keys,
            )
        )
    return listed
