"""Responses that degenerate are given up before the token limit; off by default.

Both engines use it: `rollout.stop_degenerate`.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from tclue.bench.models.decode import DecodingRow


@dataclass(frozen=True)
class Degeneration:
    """When a response is given up: its moving average of log-probability has sunk too low.

    The average starts at 0, so a response has some hundred tokens to show what it is.
    """

    # weight of what was before, at each token
    alpha: float = 0.992
    # nats
    threshold: float = -3.0

    def after(self, average: float, logprob: float) -> float:
        """The moving average after another token."""
        return self.alpha * average + (1 - self.alpha) * logprob

    def set_in(self, logprobs: Sequence[float]) -> int | None:
        """The number of tokens at which the average first lies below the threshold, or None."""
        average = 0.0
        for count, logprob in enumerate(logprobs, 1):
            average = self.after(average, logprob)
            if average < self.threshold:
                return count
        return None


@dataclass
class WatchedRow(DecodingRow):
    """A response in the making that is given up where it degenerates."""

    watch: Degeneration = field(default_factory=Degeneration)
    # moving average of the log-probabilities
    average: float = 0.0

    def extend(self, token: int, logprob: float | None, ends: Container[int]) -> None:
        """Add a token, and look whether there is any use in going on."""
        super().extend(token, logprob, ends)
        assert logprob is not None
        self.average = self.watch.after(self.average, logprob)
        if self.finish != "stop" and self.average < self.watch.threshold:
            self.finish = "degenerate"
