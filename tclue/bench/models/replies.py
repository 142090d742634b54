"""Replies: text, reasoning and facts, read from the bytes that a provider sent.

    reading = ReplyReader()
    reading.feed(chunk)
    reading.finish()
    reading.reply, reading.recognized, reading.streamed

litellm converts every reply into OpenAI's form. It drops fields, invents finish reasons and token
counts, and expects a stream where it asked for one. So the bytes decide: whether they are one JSON
value or server-sent events, and which of four forms, each as one object or as events, they have:

* `choices`: OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), which
  DeepSeek, OpenRouter, vLLM and most others use too. The choice with index 0 counts;
* `object: response`: OpenAI's Responses (https://platform.openai.com/docs/api-reference/responses);
* `type: message`: Anthropic's messages (https://docs.claude.com/en/api/messages). A stream has
  the prompt's usage at its start and the rest at its end;
* `candidates`: Gemini's generateContent (https://ai.google.dev/api/generate-content). A blocked
  prompt has no candidates, and the reason is in `promptFeedback`.

In all forms a content is a text or a list of parts, some of which are reasoning. Finish reasons are
kept in the provider's words; `failures` interprets them. As of 2026-11.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tclue.bench.costs.usage import merge_usage

# Limits of a reply: a longer one is not read to its end. The longest output of a model is 128,000
# tokens, about 600,000 characters, each of at most 12 bytes in JSON. In a stream each token is an
# event of 300 to 700 bytes.
MAX_BYTES = 1 << 24  # of a body, of an event of a stream, and of all text (in characters)
# Brackets and commas outside of texts, in a body or an event. `{"":0},` takes 29 times its length
# in memory when it is parsed, and litellm takes minutes for millions of such values.
MAX_VALUES = 500_000
MAX_USAGE = 1 << 16  # bytes; a longer usage counts nothing, and would be in every record
MAX_STREAM = 1 << 28
MAX_LINES = 1000  # of an event; litellm takes quadratic time for these
_LINE = 64  # bytes that a line of a stream counts in addition, because empty ones take time too
_LONGEST_NAME = 400  # characters of a model's name, a finish reason and other short fields
# Up to the next bracket or comma outside of texts, or to the end. It matches at any place, because
# a search for a place would take quadratic time.
_VALUE = re.compile(
    rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[^\[{,"]++)*+(?:[\[{,]|\Z)', re.DOTALL
)
_TOO_LONG: dict[str, Any] = {}  # stands for a usage of more than MAX_USAGE
_MAX_PIECES = 100_000  # of text, before they are joined; each takes 50 bytes more than its text
# What a stream of server-sent events can begin with (https://html.spec.whatwg.org, 9.2.6).
_EVENT_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
# The fields of a message, or of its parts, that hold reasoning. The first that is there is read,
# because OpenRouter repeats `reasoning` in `reasoning_details`.
_REASONING = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details")


@dataclass
class Reply:
    """A reply. A fact is None if the reply does not have it."""

    # the pieces of the text, of the reasoning and of a refusal, which may have no text
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    # as the provider sent it; a stream may send several, and then the last value of each field
    usage: dict[str, Any] = field(default_factory=dict)
    finish_reason: str | None = None
    # the upstream provider's finish reason, in OpenRouter's replies
    native_finish_reason: str | None = None
    model_id: str | None = None
    # the service tier of the whole reply, and the upstream provider that OpenRouter chose
    service_tier: str | None = None
    provider: str | None = None
    # the reason for which Gemini blocked the prompt
    blocked: str | None = None
    # an error instead of a reply, or within one
    error: Mapping[str, Any] | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.texts)

    @property
    def reasoning(self) -> str:
        """The whole reasoning, as far as the provider shows it."""
        return "".join(self.thoughts)

    @property
    def refusal(self) -> str | None:
        """The whole text of a refusal; None if it has none."""
        return "".join(self.refusals) or None


class TooLargeError(Exception):
    """A reply exceeds a limit."""


class ReplyReader:
    """Reads a body as it arrives. Of a stream only the reply is kept, not the events."""

    def __init__(self) -> None:
        self.reply = Reply()
        # whether any part of the body has one of the forms
        self.recognized = False
        # whether the body consists of server-sent events; None until the first bytes show it
        self.streamed: bool | None = None
        # of a stream, the parts of the last line, which may be incomplete
        self._chunks: list[bytes] = []
        self._size = self._characters = 0
        # the lines of an unfinished event that are not JSON by themselves; its bytes and lines
        self._event: list[bytes] = []
        self._event_size = self._event_lines = 0

    def body(self) -> bytes:
        """A body that is not a stream."""
        return b"" if self.streamed else b"".join(self._chunks)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Raises TooLargeError, which names the limit."""
        self._size += len(chunk)
        if self._size > MAX_BYTES and not self.streamed:
            raise TooLargeError(f"the reply is longer than {MAX_BYTES >> 20} MiB")
        if self._size > MAX_STREAM:
            raise TooLargeError(f"the streamed reply is longer than {MAX_STREAM >> 20} MiB")
        if self.streamed is None:
            chunk = (self.body() + chunk).lstrip(b"\xef\xbb\xbf \t\r\n")
            self._chunks.clear()
            if chunk.startswith(_EVENT_FIELDS):
                self.streamed = True
            elif not any(name.startswith(chunk[: len(name)]) for name in _EVENT_FIELDS):
                self.streamed = False
        if not self.streamed:
            self._chunks.append(chunk)
            return
        first, *lines = chunk.split(b"\n")
        self._size += _LINE * len(lines)
        self._chunks.append(first)
        for line in lines:
            self._read_line(b"".join(self._chunks).strip())
            self._chunks = [line]
        self._event_size += len(chunk)
        if self._event_size > MAX_BYTES or self._event_lines > MAX_LINES:
            limits = f"{MAX_BYTES >> 20} MiB or {MAX_LINES:,} lines"
            raise TooLargeError(f"an event of the streamed reply is longer than {limits}")

    def finish(self) -> None:
        """Read what is left when no more bytes come. Raises TooLargeError, like `feed`."""
        if self.streamed:
            self._read_line(b"".join(self._chunks).strip())
            self._read_event(b"\n".join(self._event))
            self._chunks.clear()
        else:
            self._read_event(self.body())

    def _read_line(self, line: bytes) -> None:
        self._event_lines += 1
        if not line:
            event = b"\n".join(self._event)
            if event and not self._read_event(event) and event.lstrip().startswith(b"{"):
                self.reply.error = {"message": "a part of the reply cannot be read"}
        elif not line.startswith(b"data:"):
            return
        # Some servers do not separate events by an empty line.
        elif not self._read_event(line[5:]):
            self._event.append(line[5:])
            return
        self._event, self._event_size, self._event_lines = [], 0, 0

    def _read_event(self, text: bytes) -> bool:
        """Add JSON to the reply; False if it is invalid or incomplete."""
        if reason := too_many_values(text):
            raise TooLargeError(reason)
        pieces = self.reply.texts, self.reply.thoughts, self.reply.refusals
        before = [len(each) for each in pieces]
        try:
            plain = text.decode("utf-8-sig", "replace")
            parsed = json.loads(plain, parse_constant=_finite, parse_float=_finite, strict=False)
            for event in parsed if isinstance(parsed, list) else [parsed]:
                if isinstance(event, dict):
                    self.recognized |= add_event(self.reply, event)
        except (ValueError, RecursionError):
            return False
        for each, start in zip(pieces, before, strict=True):
            self._characters += sum(map(len, each[start:]))
            if len(each) > _MAX_PIECES:
                each[:] = ["".join(each)]
        if self._characters > MAX_BYTES:
            raise TooLargeError(f"the text is longer than {MAX_BYTES:,} characters")
        return True


def too_many_values(text: bytes) -> str | None:
    """Why JSON must not be parsed; None if it may be."""
    if len(text) > MAX_VALUES and any(islice(_VALUE.finditer(text), MAX_VALUES, None)):
        return f"the reply has more than {MAX_VALUES:,} values"
    return None


def _finite(text: str) -> float | str:
    """A number; NaN, Infinity and 1e999, which no record can hold, stay texts."""
    return value if math.isfinite(value := float(text)) else text


def add_event(reply: Reply, event: Mapping[str, Any]) -> bool:
    """Add an event, or a whole reply, as parsed JSON. Returns whether one of the forms fits."""
    error = event.get("error")
    if error:
        reply.error = error if isinstance(error, dict) else {"message": str(error)}
    match event:
        case {"choices": list(choices)}:
            _add_choices(reply, event, choices)
        case {"object": "response"} | {"response": {"object": "response"}}:
            _add_response(reply, event.get("response", event))
        case {"type": "response.output_text.delta", "delta": str(delta)}:
            reply.texts.append(delta)
        case {"type": "message"} | {"type": "message_start", "message": dict()}:
            message = event.get("message", event)
            reason = message.get("stop_reason")
            _add(reply, message.get("usage"), model_id=message.get("model"), finish_reason=reason)
            _add_parts(reply, message.get("content"))
        case {"type": "content_block_start", "content_block": part} | {
            "type": "content_block_delta",
            "delta": part,
        }:
            _add_parts(reply, [part])
        case {"type": "message_delta", "delta": dict(delta)}:
            _add(reply, event.get("usage"), finish_reason=delta.get("stop_reason"))
        case {"candidates": list()} | {"promptFeedback": dict()} | {"usageMetadata": dict()}:
            _add_candidates(reply, event)
        case _:
            return error is not None
    return True


def _add_choices(reply: Reply, event: Mapping[str, Any], choices: list[Any]) -> None:
    choice = _first(choices)
    _add(
        reply,
        event.get("usage") or choice.get("usage"),
        model_id=event.get("model"),
        provider=event.get("provider"),
        service_tier=event.get("service_tier"),
        finish_reason=choice.get("finish_reason"),
        native_finish_reason=choice.get("native_finish_reason"),
    )
    if isinstance(error := choice.get("error"), dict):
        reply.error = error
    message = _table(choice.get("delta"))
    if not message and (message := _table(choice.get("message"))):
        reply.texts.clear()  # it is whole, also if pieces came before it
        reply.thoughts.clear()
    _add_parts(reply, message.get("content", choice.get("text")))
    reasoning = next((message[name] for name in _REASONING if message.get(name)), None)
    reply.thoughts.append(_text_of(reasoning))
    if isinstance(refusal := message.get("refusal"), str):
        reply.refusals.append(refusal)


def _add_response(reply: Reply, response: Mapping[str, Any]) -> None:
    """Add a reply in the Responses form; the last event of a stream holds all of it."""
    status, why = response.get("status"), _table(response.get("incomplete_details")).get("reason")
    if status in ("queued", "in_progress"):
        return
    if error := response.get("error"):
        reply.error = _table(error) or {"message": str(error)}
    _add(
        reply,
        response.get("usage"),
        model_id=response.get("model"),
        service_tier=response.get("service_tier"),
        finish_reason=why or status,
    )
    reply.texts.clear()
    reply.thoughts.clear()
    for item in _tables(response.get("output")):
        if item.get("type") == "reasoning":
            reply.thoughts.append(_text_of(item.get("content") or item.get("summary")))
        else:
            _add_parts(reply, item.get("content"))


def _add_candidates(reply: Reply, event: Mapping[str, Any]) -> None:
    candidate = _first(event.get("candidates"))
    _add(
        reply,
        event.get("usageMetadata"),
        model_id=event.get("modelVersion"),
        finish_reason=candidate.get("finishReason"),
        blocked=_table(event.get("promptFeedback")).get("blockReason"),
    )
    _add_parts(reply, _table(candidate.get("content")).get("parts"))


def _add_parts(reply: Reply, content: Any) -> None:
    """Add a content: a text, or a list of parts, of which some are reasoning or a refusal."""
    if not isinstance(content, str | list | None):
        neither = {"message": "the content of the reply is neither text nor parts"}
        reply.error = reply.error or neither
        return
    parts: list[Any] = content if isinstance(content, list) else [content]
    for part in parts:
        match part:
            case {"refusal": str(refusal)}:
                reply.refusals.append(refusal)
            case {"thinking": _} | {"thought": True}:
                reply.thoughts.append(_text_of(part.get("thinking") or part.get("text")))
            case {"type": "reasoning" | "summary_text"}:
                reply.thoughts.append(_text_of(part))
            case _:
                reply.texts.append(_text_of(part))


def _text_of(value: Any) -> str:
    """The text of a part, of a list of parts, or of a text itself; "" if it has none."""
    match value:
        case str():
            return value
        case list():
            return "".join(map(_text_of, value))
        case {"text": str(text)} | {"summary": str(text)} | {"content": str(text)}:
            return text
    return ""


def _add(reply: Reply, usage: Any, **texts: Any) -> None:
    """Add the usage and the texts that an event has. Later values replace earlier ones."""
    if usage and reply.usage is not _TOO_LONG:
        merged = merge_usage(reply.usage, _table(_shallow(usage)))
        reply.usage = merged if len(json.dumps(merged)) <= MAX_USAGE else _TOO_LONG
    for name, text in texts.items():
        if isinstance(text, str) and text:
            setattr(reply, name, text[:_LONGEST_NAME])


def _shallow(value: Any, levels: int = 8) -> Any:
    """A usage without deeper levels, because records with many levels cannot be read."""
    if isinstance(value, dict | list) and not levels:
        return None
    if isinstance(value, list):
        return [_shallow(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {name: _shallow(item, levels - 1) for name, item in value.items()}
    return value


def _first(choices: Any) -> dict[str, Any]:
    """The choice with index 0, which a server may send in any place; {} if there is none."""
    return next((each for each in _tables(choices) if each.get("index") in (None, 0, "0")), {})


def _tables(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
