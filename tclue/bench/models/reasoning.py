"""From a reasoning setting to the request for a provider, checked before it is sent.

    plan(model, Setting("16k", 16_000), BenchOptions(), prices)

* A budget and `ANSWER_TOKENS` for the answer must fit into the model's output limit. A budget that
  fits only without the answer is made smaller, and the variant's label says so. A budget that does
  not fit at all is refused.
* If a provider has effort levels, or only on and off, but no budgets, a budget becomes one of those
  and an output limit of budget + `ANSWER_TOKENS` for thinking and answer together. The label and
  the notes say so.
* The requests use litellm's arguments, chosen so that litellm forwards them unchanged. By default
  litellm (1.106.2) turns any budget of 8,192 tokens or more into `xhigh` for Claude models that
  take only effort, drops a budget for DeepSeek, sends Gemini an empty configuration for `disabled`,
  and checks no budget against a limit. `tests/bench/models/test_reasoning.py` has what each
  provider is sent.
* Requests for more than `STREAM_ABOVE_TOKENS` are streamed, and all requests to a self-hosted model
  that may think, because connections that are silent for that long are dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tclue.bench.costs.cost import Prices
from tclue.bench.models.model import ResolvedModel
from tclue.bench.models.registry import Lift, Off, Reasoning, Setting, Temperature
from tclue.bench.options import BenchOptions
from tclue.errors import UserError

# Tokens for the answer, in addition to the budget for thinking.
ANSWER_TOKENS = 4_000
# The output limit of a registered model that does not think. Answers are short, and a provider's
# own limit may be much too low, or so high that --max-cost would have to reserve dollars per
# request.
ANSWER_ONLY_TOKENS = 16_000
STREAM_ABOVE_TOKENS = 20_000
# The effort level for a budget of up to so many tokens. A larger budget gets the highest level
# except `max`, which has no bound.
_EFFORT = ((4_000, "low"), (12_000, "medium"), (32_000, "high"))
_LEVELS = ("minimal", "low", "medium", "high", "xhigh", "max")
_TEMPLATE = "enable_thinking"  # the variable in the chat templates of Qwen 3, GLM and others


@dataclass(frozen=True)
class ModelCapabilities:
    """What a model can do at its host, independent of the chosen setting."""

    # its name on the command line
    name: str
    # litellm's name of the provider, or "self-hosted"
    provider: str
    # None if unknown
    reasoning: Reasoning | None
    temperature: Temperature = "any"
    # most tokens of a response, thinking included; None if unknown
    max_output_tokens: int | None = None
    context_tokens: int | None = None
    lift: Lift | None = None
    # whether it is in the registry; then its limits are set here, not by the provider
    registered: bool = False


@dataclass(frozen=True)
class _Choice:
    """The meaning of a setting: litellm's arguments, and what follows from a budget."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    # the output limit that follows from the budget
    total_tokens: int | None = None
    thinks: bool = True
    # what the label and the notes say
    shown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plan(
    model: ModelCapabilities, setting: Setting | None, options: BenchOptions, prices: Prices
) -> ResolvedModel:
    """The request for a model with a setting, without its route and what follows from that.

    A setting of None leaves it to the provider.
    Raises UserError if the model has no such setting, or does not allow the budget, the limit or
    the temperature.
    """
    name = f"{model.name}@{setting.text}" if setting else model.name
    limit, max_tokens = model.max_output_tokens, options.max_tokens
    if max_tokens is not None and (most := _output_limit(model)) is not None and max_tokens > most:
        raise UserError(f"--max-tokens is {max_tokens}: {model.name} gives at most {most} tokens")
    choice = _choice(model, setting, max_tokens, name)
    _check_temperature(model, options.temperature, choice.thinks, name)
    total = choice.total_tokens or max_tokens or _default_limit(model, choice.thinks)
    notes, headers = choice.notes, None
    if model.lift and limit is not None and (total or 0) > limit:
        headers = {model.lift.header: model.lift.value}
        notes += (f"the output limit is lifted by {model.lift.header}: {model.lift.value}",)
    if model.provider == "anthropic" and total is None and limit is None:
        notes += ("litellm does not know its output limit, and sends 4,096 tokens",)
    most_tokens = total or limit or model.context_tokens
    # Anthropic's requests always have a limit: litellm adds the model's highest one.
    expected = total or (most_tokens if choice.thinks or model.provider == "anthropic" else None)
    own_thinks = model.provider == "self-hosted" and choice.thinks
    stream = options.stream or own_thinks or (expected or 0) > STREAM_ABOVE_TOKENS
    request = {
        "temperature": options.temperature,
        "max_tokens": total,
        **choice.arguments,
        "extra_headers": headers,
        "stream": True if stream else None,
        # Otherwise a stream does not report its tokens.
        "stream_options": {"include_usage": True} if stream else None,
    }
    return ResolvedModel(
        variant=f"{name} ({', '.join(choice.shown)})" if choice.shown else name,
        model=name,
        prices=prices,
        seed=options.seed,
        temperature=options.temperature,
        max_tokens=total,
        stream=stream,
        request={key: value for key, value in request.items() if value is not None},
        reasoning=setting.text if setting else None,
        notes=notes,
        max_output_tokens=most_tokens,
    )


def _output_limit(model: ModelCapabilities) -> int | None:
    """Most tokens that the model can give, with the header that raises its limit if it has one."""
    return model.lift.max_output_tokens if model.lift else model.max_output_tokens


def _default_limit(model: ModelCapabilities, thinks: bool) -> int | None:
    """The output limit if the user gave none; None leaves it to the provider."""
    if not model.registered or model.provider == "self-hosted":
        return None
    if thinks:
        return model.max_output_tokens
    # The prompt and the answer share the context.
    half = model.context_tokens and model.context_tokens // 2
    return min(filter(None, (ANSWER_ONLY_TOKENS, model.max_output_tokens, half)))


def _fit_budget(
    model: ModelCapabilities, budget: int, max_tokens: int | None, name: str
) -> tuple[int, int, tuple[str, ...]]:
    """The budget that fits, the output limit, and notes."""
    most, total = _output_limit(model), budget + ANSWER_TOKENS
    if max_tokens is not None:
        if max_tokens < total:
            raise UserError(
                f"{name}: --max-tokens is {max_tokens}: expected {total} or more, which is the "
                f"budget of {budget} and {ANSWER_TOKENS} for the answer"
            )
        return budget, max_tokens, ()
    if most is None:
        return budget, total, ("the output limit is not known: the budget was not checked",)
    if budget > most:
        raise UserError(
            f"{name}: the budget is {budget}: expected {most - ANSWER_TOKENS} or less, because "
            f"{model.name} gives at most {most} tokens for thinking and answer together"
        )
    if total <= most:
        return budget, total, ()
    sent = most - ANSWER_TOKENS
    note = f"a budget of {sent}, not {budget}: the output limit is {most}, {ANSWER_TOKENS} of it "
    return sent, most, (f"{note}left for the answer",)


def _check_temperature(
    model: ModelCapabilities, temperature: float | None, thinks: bool, name: str
) -> None:
    only_one = model.temperature == "one" or (model.temperature != "any" and thinks)
    if only_one and temperature not in (None, 1):
        when = " while it thinks" if model.temperature == "one-when-thinking" else ""
        raise UserError(
            f"{name}: --temperature is {temperature:g}: expected 1 or no option, because the model "
            f"accepts no other{when}"
        )


def _choice(
    model: ModelCapabilities, setting: Setting | None, max_tokens: int | None, name: str
) -> _Choice:
    """The meaning of a setting for a model. `max_tokens` is --max-tokens."""
    control = model.reasoning
    if setting is None:
        # If nothing has to be sent to turn thinking off, it is off by default.
        thinks = control is not None and control.kind != "none" and control.off != "unset"
        return _Choice(thinks=thinks)
    if control is None:
        raise UserError(
            f"{name}: it is unknown how {model.name} reasons: describe it in a registry file"
        )
    if setting.text == "none":
        if control.kind == "none":
            return _Choice(thinks=False)
        if control.off is None:
            settings = _describe_settings(model, control)
            raise UserError(f"{name}: its thinking cannot be turned off: {settings}")
        return _Choice(_off(model, control.off), thinks=False)
    if setting.budget_tokens is not None:
        return _budget(model, control, setting.budget_tokens, max_tokens, name)
    if setting.text == "on" and _has_switch(model, control):
        return _Choice(_switch(model, on=True))
    if control.kind != "effort" or setting.text not in control.levels:
        raise UserError(f"unknown variant {name!r}: {_describe_settings(model, control)}")
    return _Choice(_effort(model, setting.text))


def _has_switch(model: ModelCapabilities, control: Reasoning) -> bool:
    """Whether thinking can be turned on without a level or a budget."""
    return control.kind == "switch" or (
        control.kind == "effort" and model.provider == "self-hosted"
    )


def _describe_settings(model: ModelCapabilities, control: Reasoning) -> str:
    """The settings of a model, in words for an error."""
    match control.kind:
        case "none":
            return f"{model.name} has no reasoning settings"
        case "always":
            return f"{model.name} always thinks as long as it decides, and has no settings"
    settings: list[str] = [*control.levels, *(["on"] if _has_switch(model, control) else [])]
    # Models with levels or a switch accept a budget too: it becomes one of those and a limit.
    settings += ["a budget such as 16k"]
    settings += ["none"] if control.off else []
    return f"{model.name} can be set to {', '.join(settings)}"


def _budget(
    model: ModelCapabilities, control: Reasoning, requested: int, max_tokens: int | None, name: str
) -> _Choice:
    """The meaning of a budget for a model."""
    if control.kind in ("none", "always"):
        raise UserError(f"unknown variant {name!r}: {_describe_settings(model, control)}")
    low, high = control.min_budget or 1, control.max_budget
    if requested < low or (high is not None and requested > high):
        bounds = f"{low} to {high}" if high is not None else f"{low} or more"
        raise UserError(f"{name}: the budget is {requested}: expected {bounds} for {model.name}")
    budget, total, notes = _fit_budget(model, requested, max_tokens, name)
    if budget < low:
        raise UserError(
            f"{name}: {model.name} gives at most {total} tokens, of which {ANSWER_TOKENS} are for "
            f"the answer and {budget} for the budget: expected a budget of {low} or more"
        )
    shown = () if budget == requested else (f"{budget / 1000:g}k sent",)
    if control.kind == "budget":
        arguments: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": budget}}
        if model.provider == "openrouter":
            arguments = {"extra_body": {"reasoning": {"max_tokens": budget}}}
        return _Choice(arguments, total, shown=shown, notes=notes)
    if _has_switch(model, control):
        word, arguments = "on", _switch(model, on=True)
        note = "thinking is on: there are no budgets here"
    else:
        level = _level(budget, control.levels)
        word, arguments = f"effort {level}", _effort(model, level)
        note = f"effort {level}: there are no budgets here"
    note += f"; thinking and answer together get {total} tokens"
    return _Choice(arguments, total, shown=(*shown, word), notes=(*notes, note))


def _level(budget: int, levels: tuple[str, ...]) -> str:
    """The model's effort level that is nearest to a budget."""
    ideal = next((level for limit, level in _EFFORT if budget <= limit), "xhigh")
    position = _LEVELS.index(ideal)
    available = [level for level in levels if level != "max"] or list(levels)
    return min(available, key=lambda level: abs(_LEVELS.index(level) - position))


def _effort(model: ModelCapabilities, level: str) -> dict[str, Any]:
    match model.provider:
        case "anthropic":
            # With `summarized` there is thinking to record. It is billed in any case.
            thinking = {"type": "adaptive", "display": "summarized"}
            return {"thinking": thinking, "output_config": {"effort": level}}
        case "openrouter":
            return {"extra_body": {"reasoning": {"effort": level}}}
        case "self-hosted":
            return {"extra_body": {"reasoning_effort": level}}
    return {"reasoning_effort": level}


def _switch(model: ModelCapabilities, on: bool) -> dict[str, Any]:
    match model.provider:
        case "deepseek" | "anthropic":
            return {"thinking": {"type": "enabled" if on else "disabled"}}
        case "openrouter":
            return {"extra_body": {"reasoning": {"enabled": on}}}
    return {"extra_body": {"chat_template_kwargs": {_TEMPLATE: on}}}


def _off(model: ModelCapabilities, off: Off) -> dict[str, Any]:
    match off:
        case "unset":
            return {}
        case "zero":
            # litellm turns `disabled` into an empty configuration, with which Gemini thinks.
            return {"thinking": {"type": "enabled", "budget_tokens": 0}}
        case "effort-none":
            return {"reasoning_effort": "none"}
        case "between-tools":
            return {"thinking": {"type": "between_tools"}}
    return _switch(model, on=False)
