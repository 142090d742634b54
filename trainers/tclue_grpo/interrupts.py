"""Ctrl-C, as the loop and whoever starts its processes heed it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# what a person is told who did not wait for an iteration's end
GOES_ON = "; the same command goes on from the last checkpoint"


@contextmanager
def on_interrupt(heed: Callable[[], None]) -> Iterator[None]:
    """`heed` in place of KeyboardInterrupt, within; outside the main thread no signal comes."""
    try:
        before = signal.signal(signal.SIGINT, lambda *_: heed())
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
