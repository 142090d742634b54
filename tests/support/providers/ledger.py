"""The requests and their replies, in the order of the requests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .faults import Fault


@dataclass
class Entry:
    """One request."""

    provider: str
    model: str
    puzzle: str
    # None if the request has none
    seed: int | None
    streamed: bool
    # the fault that was injected, if any
    fault: Fault | None
    # whether a good reply was sent to its last byte, which a provider would bill
    whole: bool = False

    @property
    def request(self) -> tuple[str, str, str, int | None]:
        """Equal for two entries of the same request."""
        return self.provider, self.model, self.puzzle, self.seed


@dataclass
class Ledger:
    """All requests."""

    entries: list[Entry] = field(default_factory=list)
    # request bodies, by the number of the entry
    bodies: list[dict[str, object]] = field(default_factory=list)
    # requests in progress now, and the most at any time
    in_flight: int = 0
    most_in_flight: int = 0
    # request -> how often it was made
    came: Counter[tuple[str, str, str, int | None]] = field(default_factory=Counter)

    def enter(self, entry: Entry, body: dict[str, object]) -> Entry:
        """Enter a request at its start."""
        self.entries.append(entry)
        self.bodies.append(body)
        self.came[entry.request] += 1
        return entry

    def served(self, start: int = 0) -> Counter[tuple[str, str, str, int | None]]:
        """How often each request was served completely, from an entry's number on."""
        return Counter(entry.request for entry in self.entries[start:] if entry.whole)

    def faults(self) -> Counter[Fault | None]:
        """How often each fault was injected."""
        return Counter(entry.fault for entry in self.entries)
