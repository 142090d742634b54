"""A server on loopback whose replies are made to harm the client: too long or deep."""

from __future__ import annotations

import gzip
import json
import socketserver
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat

MIB = 1 << 20
TEXT = {"choices": [{"index": 0, "message": {"content": "A. x"}, "finish_reason": "stop"}]}
JSON, SSE = "application/json", "text/event-stream"


def deep(start: str = "[", end: str = "]", inner: str = "", depth: int = 100_000) -> bytes:
    """Brackets in brackets."""
    return (start * depth + inner + end * depth).encode()


def bomb(wbits: int = 31, start: bytes = b'{"choices": [{"message": {"content": "') -> bytes:
    """300 kB that become 300 MB: gzip, or with 15 deflate, with -15 deflate without a header."""
    packer = zlib.compressobj(1, wbits=wbits)
    parts = [packer.compress(start), *(packer.compress(b"a" * MIB) for _ in range(300))]
    return b"".join([*parts, packer.flush()])


def members(start: bytes = b'{"choices": [{"message": {"content": "') -> bytes:
    """The same as gzip, in many members."""
    return gzip.compress(start) + 300 * gzip.compress(b"a" * MIB)


def event(content: str = "a" * 20) -> bytes:
    """An event of a stream."""
    return b"data: %s\n\n" % json.dumps({"choices": [{"delta": {"content": content}}]}).encode()


Case = tuple[int, dict[str, str], Callable[[], Iterator[bytes]]]


def case(*body: bytes, status: int = 200, kind: str = JSON, **headers: str) -> Case:
    """A reply of a few pieces."""
    named = {"Content-Type": kind} | {k.replace("_", "-"): v for k, v in headers.items()}
    return status, named, lambda: iter(body)


def endless(piece: bytes, *, first: bytes = b"", kind: str = JSON, status: int = 200) -> Case:
    """A reply without an end; the pieces are sent many at once."""
    many = piece * (-(-MIB // len(piece)))
    return status, {"Content-Type": kind}, lambda: chain([first], repeat(many))


class _Handler(socketserver.StreamRequestHandler):
    server: Hostile

    def handle(self) -> None:
        with suppress(OSError):
            path = self.rfile.readline().split()[1].decode()
            length = 0
            while (line := self.rfile.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            self.rfile.read(length)
            status, headers, body = self.server.cases[path.split("/")[1]]
            lines = [f"HTTP/1.1 {status} x", *(f"{k}: {v}" for k, v in headers.items())]
            self.wfile.write("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1"))
            for piece in body():
                self.wfile.write(piece)


class Hostile(socketserver.ThreadingTCPServer):
    """The server; the first part of a path names the case."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, cases: dict[str, Case]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.cases = cases
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving(cases: dict[str, Case]) -> Iterator[Hostile]:
    """A running server."""
    server = Hostile(cases)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
