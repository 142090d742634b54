"""The common parts of the five providers: a request, and reading and answering it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .faults import Fault
from .model import Reply

PIECE = 23  # characters per streamed event
CREATED = 1763900000  # a fixed time, so that the same request gives the same bytes


@dataclass(frozen=True)
class Request:
    """A request, independent of a provider's format."""

    prompt: str
    model: str
    # a short name for ids
    id: str
    streamed: bool = False
    seed: int | None = None
    # OpenAI's `stream_options.include_usage`
    wants_usage: bool = False


class Rejection(Exception):  # noqa: N818 (it is a reply, not our own error)
    """A request that the provider rejects: status and body of the reply."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


@dataclass(frozen=True)
class Problem:
    """An error as a provider sends it."""

    status: int
    body: Any
    headers: Mapping[str, str] | None = None


class Provider(Protocol):
    """One provider's wire format."""

    # the path of litellm's `api_base`, below the provider's folder
    root: str
    # the header with the key, and the text before the key
    key_header: str
    key_prefix: str

    def read(self, path: str, body: Mapping[str, Any], id: str) -> Request:
        """Read a request to a path below the root. Raises Rejection."""

    def full_body(self, request: Request, reply: Reply) -> Mapping[str, Any]:
        """The whole reply."""

    def events(self, request: Request, reply: Reply) -> Iterator[bytes]:
        """The reply as server-sent events."""

    def empty(self, request: Request, reply: Reply) -> Reply:
        """An empty reply, as this provider is known to send it."""

    def problem(self, fault: Fault, key: str) -> Problem:
        """An error, with the key if the provider would repeat it."""

    def error_event(self, fault: Fault) -> bytes:
        """An error in a stream that began normally."""


def pieces(text: str) -> Iterator[str]:
    """A text, split as it is streamed."""
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


def data_line(value: Any) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + compact(value) + b"\n\n"


def compact(value: Any) -> bytes:
    """JSON as servers send it, with non-ASCII characters unchanged."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def masked(key: str) -> str:
    """A key as providers repeat it: the last four characters."""
    return f"{'*' * 4}{key[-4:]}"
