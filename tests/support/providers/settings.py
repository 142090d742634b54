"""How the server behaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from .faults import FAULTS, Fault
from .ledger import Entry
from .model import Model


@dataclass
class Settings:
    """How the server behaves; may be changed while it runs."""

    model: Model = field(default_factory=lambda: Model(()))
    # share of requests that meet a fault, of which kinds, and the seed of the draws
    faults: float = 0.0
    kinds: Sequence[Fault] = FAULTS
    seed: int = 0
    # what the first request for a puzzle meets, by the puzzle's id
    first: Mapping[str, Fault] = field(default_factory=dict)
    # the error that a provider gives to every request, after it has accepted so many
    broken: Mapping[str, Fault] = field(default_factory=dict)
    broken_after: int = 0
    # seconds before a reply begins, and between the writes of a stream
    latency_s: float = 0.0
    pause_s: float = 0.0
    # seconds after which a request that hangs is dropped
    hang_s: float = 600.0
    # told of each request that begins to hang
    on_hang: Callable[[Entry], object] = lambda _: None
    # value of the header, in seconds; an unavailable provider sends at least 1
    retry_after: str = "1"
    # repeat the key in every header, error and text
    echo: bool = False
