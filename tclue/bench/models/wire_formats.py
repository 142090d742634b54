"""The facts of a reply, from the bytes that the provider sent (see `http_capture`).

Three forms are told apart by their shape, for any provider, whole or as server-sent events:

* `choices`: OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), and
  what speaks like it: DeepSeek, OpenRouter, vLLM and most others;
* `type: message`: Anthropic's messages (https://docs.claude.com/en/api/messages); a stream has
  the prompt's usage at its start and the rest at its end;
* `candidates`: Gemini's generateContent (https://ai.google.dev/api/generate-content); a prompt that
  is blocked has none, and says why in `promptFeedback`.

Finish reasons are kept in the provider's own words; `failures` knows what they mean. As of 2026-11.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Facts:
    """The facts of a reply; None where it does not state them."""

    # as the provider sent it; of several in a stream, each field's last value
    usage: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    model_id: str | None = None
    # text in place of an answer; a reply may be refused without one
    refusal: str | None = None
    # Gemini blocked the prompt, and this is why
    blocked: str | None = None
    # an error in the place of a reply, or within one
    error: Mapping[str, Any] | None = None


def read(body: bytes) -> Facts | None:
    """The facts of a reply or of its events; None where it has none of the forms."""
    facts, recognised = Facts(), False
    for event in _events(body):
        recognised |= _add_event(facts, event)
    return facts if recognised else None


def _events(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body: of an array, or of the `data:` lines, or the one."""
    if body.lstrip().startswith(b"data:"):
        parts = [line.strip()[5:] for line in body.split(b"\n") if line.startswith(b"data:")]
    else:
        parts = [body]
    for part in parts:
        try:
            parsed = json.loads(part, parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError):
            continue  # "[DONE]", or nothing that can be read
        for event in parsed if isinstance(parsed, list) else [parsed]:
            if isinstance(event, dict):
                yield event


def _finite(text: str) -> float:
    """A number; ValueError for NaN, Infinity and 1e999, which no record could hold."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no number")
    return value


def _add_event(facts: Facts, event: Mapping[str, Any]) -> bool:
    """Add the facts of an event; returns whether it has one of the forms."""
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
