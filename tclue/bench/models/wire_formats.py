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
            facts.model_id = _text(message.get("model")) or facts.model_id
            facts.finish_reason = _text(message.get("stop_reason")) or facts.finish_reason
            _add_usage(facts, message.get("usage"))
        case {"type": "message_delta", "delta": dict(delta)}:
            facts.finish_reason = _text(delta.get("stop_reason")) or facts.finish_reason
            _add_usage(facts, event.get("usage"))
        case {"candidates": list()} | {"promptFeedback": dict()} | {"usageMetadata": dict()}:
            _add_candidates(facts, event)
        case _:
            return error is not None
    return True


def _add_choices(facts: Facts, event: Mapping[str, Any], choices: list[Any]) -> None:
    facts.model_id = _text(event.get("model")) or facts.model_id
    _add_usage(facts, event.get("usage"))
    choice = choices[0] if choices and isinstance(choices[0], dict) else {}
    facts.finish_reason = _text(choice.get("finish_reason")) or facts.finish_reason
    if isinstance(error := choice.get("error"), dict):
        facts.error = error
    message = choice.get("message") or choice.get("delta")
    if isinstance(message, dict) and (refusal := _text(message.get("refusal"))):
        facts.refusal = (facts.refusal or "") + refusal


def _add_candidates(facts: Facts, event: Mapping[str, Any]) -> None:
    facts.model_id = _text(event.get("modelVersion")) or facts.model_id
    _add_usage(facts, event.get("usageMetadata"))
    candidates = event.get("candidates") or [{}]
    if isinstance(candidates[0], dict):
        reason = _text(candidates[0].get("finishReason"))
        facts.finish_reason = reason or facts.finish_reason
    feedback = event.get("promptFeedback")
    if isinstance(feedback, dict):
        facts.blocked = _text(feedback.get("blockReason")) or facts.blocked


def _add_usage(facts: Facts, usage: Any) -> None:
    if isinstance(usage, dict):
        facts.usage |= usage


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
