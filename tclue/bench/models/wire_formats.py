"""The facts of a reply, from the bytes that the provider sent (see `http_capture`).

Three forms are recognized by their fields, for any provider, as one object or server-sent events:

* `choices`: OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), which
  DeepSeek, OpenRouter, vLLM and most others use too;
* `type: message`: Anthropic's messages (https://docs.claude.com/en/api/messages). A stream has
  the prompt's usage at its start and the rest at its end;
* `candidates`: Gemini's generateContent (https://ai.google.dev/api/generate-content). A blocked
  prompt has no candidates, and the reason is in `promptFeedback`.

Finish reasons are kept in the provider's words; `failures` interprets them. As of 2026-11.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Facts:
    """The facts of a reply. A fact is None if the reply does not have it."""

    # as the provider sent it; a stream may send several, and then the last value of each field
    usage: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    model_id: str | None = None
    # the text of a refusal; a reply may be refused without such a text
    refusal: str | None = None
    # the reason for which Gemini blocked the prompt
    blocked: str | None = None
    # an error instead of a reply, or within one
    error: Mapping[str, Any] | None = None


def read(body: bytes) -> Facts | None:
    """The facts of a reply or of its events; None if none of the forms fits."""
    facts, recognised = Facts(), False
    for event in _events(body):
        recognised |= _add_event(facts, event)
    return facts if recognised else None


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body: a single one, those of an array, or those of `data:` lines."""
    if body.lstrip().startswith(b"data:"):
        parts = [line.strip()[5:] for line in body.split(b"\n") if line.startswith(b"data:")]
    else:
        parts = [body]
    for part in parts:
        try:
            parsed = json.loads(part, parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError):
            continue  # "[DONE]", or invalid JSON
        for event in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(event, dict):
                yield event


def _finite(text: str) -> float:
    """A number. Raises ValueError for NaN, Infinity and 1e999, which no record can hold."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return value


def _add_event(facts: Facts, event: Mapping[str, Any]) -> bool:
    """Add the facts of an event. Returns whether one of the forms fits."""
    error = event.get("error")
    if error:
        facts.error = error if isinstance(error, dict) else {"message": str(error)}
    match event:
        case {"choices": list(choices)}:
            _add_choices(facts, event, choices)
        case {"type": "message"} | {"type": "message_start", "message": dict()}:
            message = event.get("message", event)
            reason = message.get("stop_reason")
            _add(facts, message.get("usage"), model_id=message.get("model"), finish_reason=reason)
        case {"type": "message_delta", "delta": dict(delta)}:
            _add(facts, event.get("usage"), finish_reason=delta.get("stop_reason"))
        case {"candidates": list()} | {"promptFeedback": dict()} | {"usageMetadata": dict()}:
            _add_candidates(facts, event)
        case _:
            return error is not None
    return True


def _add_choices(facts: Facts, event: Mapping[str, Any], choices: list[Any]) -> None:
    choice = _table(choices[0]) if choices else {}
    reason = choice.get("finish_reason")
    _add(facts, event.get("usage"), model_id=event.get("model"), finish_reason=reason)
    if isinstance(error := choice.get("error"), dict):
        facts.error = error
    refusal = _table(choice.get("message") or choice.get("delta")).get("refusal")
    if isinstance(refusal, str):
        _add(facts, None, refusal=(facts.refusal or "") + refusal)


def _add_candidates(facts: Facts, event: Mapping[str, Any]) -> None:
    candidates = event.get("candidates") or [{}]
    _add(
        facts,
        event.get("usageMetadata"),
        model_id=event.get("modelVersion"),
        finish_reason=_table(candidates[0]).get("finishReason"),
        blocked=_table(event.get("promptFeedback")).get("blockReason"),
    )


def _add(facts: Facts, usage: Any, **texts: Any) -> None:
    """Add the usage and the texts that an event has. Later values replace earlier ones."""
    facts.usage |= _table(usage)
    for name, text in texts.items():
        if isinstance(text, str) and text:
            setattr(facts, name, text)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
