"""Captures what a provider really sent, in the transport of litellm's HTTP clients.

    install()
    with capture() as captured:
        await litellm.acompletion(...)
    captured.status, captured.headers, captured.body()

litellm puts every reply into OpenAI's form, and on the way drops fields, and invents finish reasons
and token counts. So the facts are read from the bytes (`wire_formats`), and the text is litellm's.

* It replaces `AsyncHTTPHandler.create_async_transport`. In litellm 1.106.2, the clients of the
  `openai` package and litellm's own handlers both get their transport there. That covers OpenAI
  and what is compatible, Anthropic, DeepSeek, Gemini and OpenRouter, streamed and not
  (tests/bench/models/test_http_capture.py).
* litellm's aiohttp transport stays: it is the default there, finds proxies by itself, and under 32
  requests at once it carried more of them a second than httpx's own (benchmarks/bench_overhead.py).
  Where DISABLE_AIOHTTP_TRANSPORT turns it off nothing is captured, and litellm's objects are read.
* A context variable says whose request it is, so that any number can be in flight.
* Nothing of a request is kept, so no key is. Of a reply's headers, the ones named here are kept.
* Bytes are passed on as they come. Of a stream only the lines with facts are kept, so that 64k
  tokens in pieces of 300 bytes do not stay in memory; all is dropped with the request.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx

KEPT_HEADERS = frozenset({"content-type", "retry-after", "retry-after-ms", "request-id"})
KEPT_PREFIXES = ("x-request-id", "x-ratelimit-", "anthropic-ratelimit-", "x-generation-id")
MAX_BYTES = 1 << 26  # of a whole reply; the longest text that a model gives is a hundredth of it
MAX_LINES = 1024  # of a stream with facts in every line
# A field with a fact, neither null nor empty.
_FACT_FIELD = re.compile(
    rb'"(?:usage|usageMetadata|finish_reason|finishReason|stop_reason|refusal|error|promptFeedback)"'
    rb'\s*+:\s*+(?!null|"")'
)


@dataclass
class CapturedReply:
    """The reply to one request; of several tries or redirects, the last reply."""

    # whether a request was handed to the network, and a callback for that moment
    sent: bool = False
    when_sent: Callable[[], None] | None = None
    status: int | None = None
    # in lower case
    headers: dict[str, str] = field(default_factory=dict)
    _chunks: list[bytes] = field(default_factory=list)
    _size: int = 0
    _lines: deque[bytes] = field(default_factory=lambda: deque(maxlen=MAX_LINES))
    _first: bytes | None = None
    _rest: bytes = b""

    @property
    def streamed(self) -> bool:
        """Whether the reply is of server-sent events."""
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def body(self) -> bytes:
        """The reply; of a stream, its first event and those with facts."""
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

    def _begin_response(self, status: int, headers: httpx.Headers) -> None:
        self.status = status
        self.headers = {
            name: value
            for name, value in headers.items()
            if name in KEPT_HEADERS or name.startswith(KEPT_PREFIXES)
        }

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
    """Capture the reply to the request that this task makes."""
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
        """Send a request on; its reply is captured as it is read."""
        captured = _current_capture.get()
        if captured is None:
            return await self._inner.handle_async_request(request)
        # Uncompressed, so that a reply that is cut off can be read too.
        request.headers["accept-encoding"] = "identity"
        captured._begin_request()
        response = await self._inner.handle_async_request(request)
        captured._begin_response(response.status_code, response.headers)
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

    async def aclose(self) -> None:
        await self._inner.aclose()


def install() -> None:
    """Capture in the transports that litellm makes from now on; a second call does nothing."""
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
    # Clients that were made before do not capture.
    cache: Any = litellm.in_memory_llm_clients_cache
    cache.flush_cache()
