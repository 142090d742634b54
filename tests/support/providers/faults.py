"""The faults between a model and its client, and when they occur.

A fault is drawn from the seed, the request and the number of earlier identical requests.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

Fault = Literal[
    # temporary errors in the provider's own form
    "rate-limit",
    "rate-limit-after",  # with Retry-After
    "server-error",
    "bad-gateway",  # HTML, as from a proxy in front of the provider
    "unavailable",  # with Retry-After
    "overloaded",
    # replies that cannot be used
    "error-in-200",
    "empty",
    "rubbish",
    # connections
    "reset",  # before any byte of the reply
    "cut",  # within the reply
    "ended",  # a normal end, but the reply is incomplete
    "hang",  # nothing is sent
    "stall",  # nothing more is sent
    # permanent errors
    "quota",
    "wrong-key",
    "expired-key",
    "forbidden",
    "unknown-model",
    "bad-request",
]
# Faults after which the same request may succeed: those that end by themselves, and time-outs.
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
# Faults after which further requests are useless.
STOPPING: tuple[Fault, ...] = ("quota", "wrong-key", "expired-key", "forbidden", "unknown-model")


def draw(seed: int, rate: float, kinds: Sequence[Fault], request: str, before: int) -> Fault | None:
    """The fault of a request that was made `before` times already; None if it succeeds."""
    rng = random.Random(f"{seed}/{request}/{before}")
    return rng.choice(kinds) if rng.random() < rate else None
