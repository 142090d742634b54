"""The settings of the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .faults import FAULTS, Fault
from .ledger import Entry
from .model import Model


@dataclass
class Settings:
    """The settings of the server. They may be changed while it runs."""

    model: Model = field(default_factory=lambda: Model(()))
    # share of requests with a fault, the kinds of faults, and the seed of the draws
    faults: float = 0.0
    kinds: Sequence[Fault] = FAULTS
    seed: int = 0
    # puzzle id -> fault of the first request for the puzzle
    first: Mapping[str, Fault] = field(default_factory=dict)
    # provider -> the error for every request after the first so many
    broken: Mapping[str, Fault] = field(default_factory=dict)
    broken_after: int = 0
    # seconds before a reply begins, and between the writes of a stream
    latency_s: float = 0.0
    pause_s: float = 0.0
    # seconds after which a request that hangs is dropped
    hang_s: float = 600.0
    # called for each request that begins to hang
    on_hang: Callable[[Entry], object] = lambda _: None
    # value of Retry-After in seconds; an unavailable provider sends at least 1
    retry_after: str = "1"
    # whether the key is repeated in every header, error and text
    echo: bool = False
