"""What a provider really sent: captured in the HTTP transport of litellm's clients, and read.

    install()
    with capture() as captured:
        await litellm.acompletion(...)
    captured.status, captured.headers, read(captured.body())

litellm converts every reply into OpenAI's form. It drops fields, and invents finish reasons and
token counts. So the facts are read from the bytes, and only the text is litellm's.

* `install` replaces `AsyncHTTPHandler.create_async_transport`, which in litellm 1.106.2 makes the
  transports of the `openai` package's clients and of litellm's own handlers. That covers OpenAI and
  compatible servers, Anthropic, DeepSeek, Gemini and OpenRouter, with and without streaming
  (tests/bench/models/test_wire_capture.py).
* litellm's aiohttp transport is kept: it is litellm's default, finds proxies by itself, and handled
  more requests per second than httpx's own with 32 in flight (benchmarks/bench_overhead.py). If
  DISABLE_AIOHTTP_TRANSPORT turns it off, nothing is captured, and litellm's objects are read.
* A context variable identifies the request, so any number of requests can be in flight.
* Nothing of a request is kept, and so no key. Only the response headers listed here are kept.
* Bytes are passed on as they arrive. Of a stream only the lines with facts are kept, so that 64k
  tokens in events of 300 bytes do not stay in memory. Everything is dropped with the request.

`read` recognizes three forms by their fields, for any provider, as one object or as events:

* `choices`: OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), which
  DeepSeek, OpenRouter, vLLM and most others use too;
* `type: message`: Anthropic's messages (https://docs.claude.com/en/api/messages). A stream has
  the prompt's usage at its start and the rest at its end;
* `candidates`: Gemini's generateContent (https://ai.google.dev/api/generate-content). A blocked
  prompt has no candidates, and the reason is in `promptFeedback`.

Finish reasons are kept in the provider's words; `failures` interprets them. As of 2026-11.
"""

import json
import math
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx

KEPT_HEADERS = frozenset({"content-type", "retry-after", "retry-after-ms"})
MAX_BYTES = 1 << 26  # of a reply that is not streamed; a hundred times the longest text of a model
MAX_ERROR_BYTES = 1 << 16  # after which no more of an error is read
MAX_LINES = 1024  # of a stream, if every line has facts
# A field with a fact that is neither null nor empty.
_FACT_FIELD = re.compile(
    rb'"(?:usage|usageMetadata|finish_reason|finishReason|stop_reason|refusal|error|promptFeedback)"'
    rb'\s*+:\s*+(?!null|"")'
)


@dataclass
class CapturedReply:
    """The reply to one request; the last one if there were several tries or redirects."""

    # whether a request was sent, and a function that is called at that moment
    sent: bool = False
    when_sent: Callable[[], None] | None = None
    status: int | None = None
    # with names in lower case
    headers: dict[str, str] = field(default_factory=dict)
    _chunks: list[bytes] = field(default_factory=list)
    _size: int = 0
    _lines: deque[bytes] = field(default_factory=lambda: deque(maxlen=MAX_LINES))
    _first: bytes | None = None
    _rest: bytes = b""

    @property
    def streamed(self) -> bool:
        """Whether the reply is a stream of server-sent events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def body(self) -> bytes:
        """The body of the reply; of a stream, the first event and those with facts."""
        if not self.streamed:
            return b"".join(self._chunks)
        lines = [line for line in (self._first, *self._lines, self._rest) if line]
        return b"\n\n".join(lines)

    def _begin_request(self) -> None:
        self.sent, self.status, self.headers = True, None, {}
        self._chunks, self._size, self._first, self._rest = [], 0, None, b""
        self._lines.clear()
        if self.when_sent:
            self.when_sent()

    def _add_chunk(self, chunk: bytes) -> None:
        if not self.streamed:
            self._size += len(chunk)
            if self._size <= MAX_BYTES:
                self._chunks.append(chunk)
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            if self._first is None:
                self._first = line
            elif _FACT_FIELD.search(line):
                self._lines.append(line)


_current_capture: ContextVar[CapturedReply | None] = ContextVar("tclue_http_capture", default=None)


@contextmanager
def capture() -> Iterator[CapturedReply]:
    """Capture the reply to the request that the current task makes."""
    captured = CapturedReply()
    token = _current_capture.set(captured)
    try:
        yield captured
    finally:
        _current_capture.reset(token)


class CapturingTransport(httpx.AsyncBaseTransport):
    """A transport that copies each reply to the capture of its request."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its reply is captured while it is read."""
        captured = _current_capture.get()
        if captured is None:
            return await self._inner.handle_async_request(request)
        # Ask for no compression, so that a reply which is cut off can be read too.
        request.headers["accept-encoding"] = "identity"
        captured._begin_request()
        response = await self._inner.handle_async_request(request)
        captured.status = response.status_code
        captured.headers = {k: v for k, v in response.headers.items() if k in KEPT_HEADERS}
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _CapturedStream(response.stream, captured)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _CapturedStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, captured: CapturedReply) -> None:
        self._inner, self._captured = inner, captured

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._captured._add_chunk(chunk)
            yield chunk
            # litellm searches the body of an error for minutes if it is long.
            if (self._captured.status or 0) >= 400 and self._captured._size > MAX_ERROR_BYTES:
                return

    async def aclose(self) -> None:
        await self._inner.aclose()


def install() -> None:
    """Capture in all transports that litellm makes from now on. A second call does nothing."""
    import litellm
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    create_transport = AsyncHTTPHandler.create_async_transport
    if getattr(create_transport, "capturing", False):
        return

    def capturing(*args: Any, **kwargs: Any) -> httpx.AsyncBaseTransport | None:
        inner = create_transport(*args, **kwargs)
        return inner and CapturingTransport(inner)

    capturing.capturing = True  # type: ignore[attr-defined]
    handler: Any = AsyncHTTPHandler
    handler.create_async_transport = staticmethod(capturing)
    # Remove the clients that were made before, because they do not capture.
    cache: Any = litellm.in_memory_llm_clients_cache
    cache.flush_cache()


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
