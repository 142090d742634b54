"""What the five have in common: a request, and how a provider reads it and answers it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .faults import Fault
from .model import Reply

PIECE = 23  # characters of a streamed piece
CREATED = 1763900000  # the second in which everything happens: the same request, the same bytes


@dataclass(frozen=True)
class Request:
    """A request, in no provider's format."""

    prompt: str
    model: str
    # a short name of it, which ids are made of
    id: str
    streamed: bool = False
    seed: int | None = None
    # OpenAI's `stream_options.include_usage`
    wants_usage: bool = False


class Rejection(Exception):  # noqa: N818 (a reply, not an error of ours)
    """A request that the provider would not take: status and body."""

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

    # the root that litellm's `api_base` names, below the provider's own folder
    root: str
    # the header that holds the key, and what stands before the key
    key_header: str
    key_prefix: str

    def read(self, path: str, body: Mapping[str, Any], id: str) -> Request:
        """Read what was posted to a path below the root. Raises Rejection."""

    def full_body(self, request: Request, reply: Reply) -> Mapping[str, Any]:
        """The reply in one piece."""

    def events(self, request: Request, reply: Reply) -> Iterator[bytes]:
        """The reply as server-sent events."""

    def empty(self, request: Request, reply: Reply) -> Reply:
        """A reply that says nothing, in a way this provider is known to do."""

    def problem(self, fault: Fault, key: str) -> Problem:
        """An error, with the key where the provider would repeat it."""

    def error_event(self, fault: Fault) -> bytes:
        """An error within a stream that began well."""


def pieces(text: str) -> Iterator[str]:
    """A text in the pieces in which it is streamed."""
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


def data_line(value: Any) -> bytes:
    """A server-sent event without a name."""
    return b"data: " + compact(value) + b"\n\n"


def compact(value: Any) -> bytes:
    """JSON as servers send it; characters beyond ASCII as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def masked(key: str) -> str:
    """A key as providers repeat it: the last four characters."""
    return f"{'*' * 4}{key[-4:]}"
