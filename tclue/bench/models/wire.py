"""What is really sent and received: captured in the HTTP transport of litellm's clients.

    install()
    with capture() as captured:
        await litellm.acompletion(...)
    captured.status, captured.headers, captured.reading.reply

litellm builds the requests, and converts every reply into OpenAI's form. What counts is in the
bytes, which `replies` reads.

* `install` replaces `AsyncHTTPHandler.create_async_transport`, which in litellm 1.106.2 makes the
  transports of the `openai` package's clients and of litellm's own handlers. That covers OpenAI and
  compatible servers, Anthropic, DeepSeek, Gemini and OpenRouter, with and without streaming
  (tests/bench/models/test_wire_capture.py).
* litellm's aiohttp transport is kept: it is litellm's default, finds proxies by itself, and handled
  more requests per second than httpx's own with 32 in flight (benchmarks/bench_overhead.py).
  Without it nothing is captured, so `hosted.load_litellm` ignores DISABLE_AIOHTTP_TRANSPORT.
* A context variable identifies the request, so any number of requests can be in flight.
* A redirect to another origin is refused, because the HTTP clients would send it the provider's key
  (only the `Authorization` header is dropped, and not `x-api-key`, `x-goog-api-key` or `api-key`).
* `Capture.check` sees the body of a request before it is sent, and can refuse it.
* Only the response headers listed here are kept, and no key. Bytes are passed on as they arrive,
  but decompressed here, in small pieces: httpx would inflate 300 kB to 300 MB at once. A reply that
  exceeds a limit of `replies` is given up, and its connection is closed.
"""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakSet

import httpx

from tclue.bench.models.replies import MAX_STREAM, ReplyReader, TooLargeError, too_many_values

MAX_ERROR_BYTES = 1 << 16  # after which no more of an error is read
_PIECE = 1 << 16  # bytes that are decompressed at once
REDIRECTS = (301, 302, 303, 307, 308)
KEPT_HEADERS = frozenset(("content-type", "retry-after", "retry-after-ms", "x-gemini-service-tier"))


def nothing(*_: Any) -> None:
    """The default of the callbacks."""


@dataclass
class CapturedReply:
    """The reply to one request; the last one if there were several tries or redirects."""

    # called when bytes of the reply arrive
    when_heard: Callable[[], None] = nothing
    # called with the origin and the body of a request; it says why that must not be sent, if so
    check: Callable[[str, Mapping[str, Any]], str | None] = nothing
    # whether a request was sent
    sent: bool = False
    status: int | None = None
    # with names in lower case
    headers: dict[str, str] = field(default_factory=dict)
    reading: ReplyReader = field(default_factory=ReplyReader)
    # the bytes of the reply; `aclose` reads the rest of a stream that litellm gave up
    stream: httpx.AsyncByteStream | None = None
    # why the request was not sent, and why its reply was given up
    refused: str | None = None
    given_up: str | None = None
    _origin: str | None = None
    _inflater: "_Inflater | None" = None
    _size: int = 0

    def _begin_request(self, request: httpx.Request) -> None:
        origin = f"{request.url.scheme}://{request.url.netloc.decode()}"
        if self.status in REDIRECTS and origin != self._origin:
            url = "expected --api-base with that URL"
            self.refused = f"{self._origin} redirects to {origin}: {url}"
        else:
            self.refused = self.check(origin, _json(request))
        if self.refused:
            raise RuntimeError(self.refused)
        self._origin, self.sent, self.status, self.headers = origin, True, None, {}
        self.reading, self.given_up, self._size = ReplyReader(), None, 0

    def _begin_reply(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = {k: v for k, v in response.headers.items() if k in KEPT_HEADERS}
        # Some servers compress although they are asked not to. httpx must not decompress.
        encoding = response.headers.pop("content-encoding", "").strip().lower() or "identity"
        response.headers.pop("content-length", None)
        self._inflater = _Inflater() if encoding in ("gzip", "deflate") else None
        if not self._inflater and encoding != "identity":
            self.given_up = f"the reply is compressed by {encoding[:20]}, which nobody asked for"
        self.when_heard()

    def _add_chunk(self, chunk: bytes) -> Iterator[bytes]:
        """Read a chunk, and pass it on decompressed, in pieces."""
        self.when_heard()
        self._size += len(chunk)
        if self._size > MAX_STREAM:  # compressed bytes can be endless and hold no text
            self.given_up = f"the reply is longer than {MAX_STREAM >> 20} MiB"
        if not self.given_up:
            try:
                for piece in self._inflater.pieces(chunk) if self._inflater else [chunk]:
                    self.reading.feed(piece)
                    yield piece
            except TooLargeError as error:
                self.given_up = str(error)
            except zlib.error:
                self.given_up = "the reply cannot be decompressed"
        if self.given_up:
            raise RuntimeError(self.given_up)

    def finish(self) -> None:
        """Read what is left when no more bytes come."""
        try:
            if not self.given_up:
                self.reading.finish()
        except TooLargeError as error:
            self.given_up = str(error)


class _Inflater:
    """Decompresses gzip, of one member or several, and deflate, with zlib's header or without."""

    def __init__(self) -> None:
        self._stream, self._begun = zlib.decompressobj(zlib.MAX_WBITS | 32), False

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        piece = b""
        while chunk or len(piece) == _PIECE:  # zlib may hold more after a whole piece
            if self._stream.eof:
                if not b"\x1f\x8b".startswith(chunk[:2]):
                    return  # as gzip does, ignore what follows the last member
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
            try:
                piece = self._stream.decompress(chunk, _PIECE)
            except zlib.error:
                if self._begun:
                    raise
                self._stream, self._begun = zlib.decompressobj(-zlib.MAX_WBITS), True
                continue
            self._begun = True
            chunk = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            yield piece


def _json(request: httpx.Request) -> dict[str, Any]:
    """The body of a request; empty if it is not a JSON object."""
    try:
        body = json.loads(request.content)
    except (httpx.RequestNotRead, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


_current_capture: ContextVar[CapturedReply | None] = ContextVar("tclue_http_capture", default=None)


@contextmanager
def capture() -> Iterator[CapturedReply]:
    """Capture the reply to the request that the current task makes; read it after the block."""
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
        _transports.add(self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its reply is captured while it is read."""
        captured = _current_capture.get()
        if captured is None:
            return await self._inner.handle_async_request(request)
        # Ask for no compression, so that a reply which is cut off can be read too.
        request.headers["accept-encoding"] = "identity"
        captured._begin_request(request)
        response = await self._inner.handle_async_request(request)
        captured._begin_reply(response)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        captured.stream = response.stream = _CapturedStream(response.stream, captured)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _CapturedStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, captured: CapturedReply) -> None:
        self._inner, self._captured = inner, captured
        self._chunks = aiter(inner)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size, failed = 0, (self._captured.status or 0) >= 300
        async for chunk in self._chunks:
            for piece in self._captured._add_chunk(chunk):
                yield piece
                size += len(piece)
                # litellm searches the body of an error for minutes if it is long.
                if failed and size > MAX_ERROR_BYTES:
                    return
        # Before litellm parses it.
        if reason := too_many_values(self._captured.reading.body()):
            self._captured.given_up = reason
            raise RuntimeError(reason)

    async def aclose(self) -> None:
        reading, task = self._captured.reading, asyncio.current_task()
        failed = (self._captured.status or 0) >= 300 or self._captured.given_up
        ended = reading.reply.finish_reason
        try:
            # litellm stops at an event that it cannot read. The rest is paid for, and is read here.
            if reading.streamed and not (failed or ended or (task and task.cancelling())):
                async for _ in self:
                    pass
        finally:
            await self._inner.aclose()


async def _send(send: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Send a request; the headers of its reply stay bytes, because httpx accepts any bytes."""
    response = await send(*args, **kwargs)
    response._cache["headers"] = httpx.Headers(list(response.raw_headers))
    return response


_transports: WeakSet[CapturingTransport] = WeakSet()


async def close() -> None:
    """Close all connections; a later request opens new ones.

    litellm would close only those in its cache, and only when Python exits, after their event loop
    has ended.
    """
    for transport in list(_transports):
        with suppress(RuntimeError):  # its event loop is closed
            await transport.aclose()


def install() -> None:
    """Capture in all transports that litellm makes from now on. A second call does nothing."""
    import litellm
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    create_transport = AsyncHTTPHandler.create_async_transport
    if getattr(create_transport, "capturing", False):
        return

    def capturing(*args: Any, **kwargs: Any) -> httpx.AsyncBaseTransport | None:
        inner: Any = create_transport(*args, **kwargs)
        if send := getattr(inner, "_make_aiohttp_request", None):
            inner._make_aiohttp_request = partial(_send, send)
        return inner and CapturingTransport(inner)

    capturing.capturing = True  # type: ignore[attr-defined]
    handler: Any = AsyncHTTPHandler
    handler.create_async_transport = staticmethod(capturing)
    # Remove the clients that were made before, because they do not capture.
    cache: Any = litellm.in_memory_llm_clients_cache
    cache.flush_cache()
