"""The faults between a model and its client, and when they occur.

A fault is drawn from the seed, the request and the number of times that the request came before.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

Fault = Literal[
    # errors that pass, in the provider's own form
    "rate-limit",
    "rate-limit-after",  # with Retry-After
    "server-error",
    "bad-gateway",  # HTML, as a proxy before the provider sends
    "unavailable",  # with Retry-After
    "overloaded",
    # replies that nobody can use
    "error-in-200",
    "empty",
    "rubbish",
    # connections
    "reset",  # before any byte of the reply
    "cut",  # within the reply
    "ended",  # an orderly end, but the reply is not whole
    "hang",  # nothing comes
    "stall",  # nothing more comes
    # errors that stay
    "quota",
    "wrong-key",
    "expired-key",
    "forbidden",
    "unknown-model",
    "bad-request",
]
# Those after which the same request may go well: they end by themselves, or only by a time-out.
QUICK: tuple[Fault, ...] = (
    "rate-limit",
    "rate-limit-after",
    "server-error",
    "bad-gateway",
    "unavailable",
    "overloaded",
    "error-in-200",
    "empty",
    "rubbish",
    "reset",
    "cut",
    "ended",
)
SLOW: tuple[Fault, ...] = ("hang", "stall")
FAULTS = QUICK + SLOW
# Those after which asking on makes no sense.
STOPPING: tuple[Fault, ...] = ("quota", "wrong-key", "expired-key", "forbidden", "unknown-model")


def draw(seed: int, rate: float, kinds: Sequence[Fault], request: str, before: int) -> Fault | None:
    """The fault of a request that came `before` times already; None if it succeeds."""
    rng = random.Random(f"{seed}/{request}/{before}")
    return rng.choice(kinds) if rng.random() < rate else None
