"""Stops degenerate responses before the token limit; off by default.

Both engines support it: `rollout.stop_degenerate`.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice

from tclue.bench.models.decode import DecodingRow


@dataclass(frozen=True)
class Degeneration:
    """Stops a response when the moving average of its log-probabilities is too low.

    The average starts at 0, so a response gets at least some hundred tokens.
    """

    # weight of the previous average at each token
    alpha: float = 0.992
    # nats
    threshold: float = -3.0

    def update_average(self, average: float, logprob: float) -> float:
        """The moving average after another token."""
        return self.alpha * average + (1 - self.alpha) * logprob

    def cut_length(self, logprobs: Sequence[float]) -> int | None:
        """The number of tokens after which the average is first below the threshold, or None."""
        averages = islice(accumulate(logprobs, self.update_average, initial=0.0), 1, None)
        return next((n for n, average in enumerate(averages, 1) if average < self.threshold), None)


@dataclass
class WatchedRow(DecodingRow):
    """A response during decoding, which is stopped when it degenerates."""

    watch: Degeneration = field(default_factory=Degeneration)
    # moving average of the log-probabilities
    average: float = 0.0

    def extend(self, token: int, logprob: float | None, ends: Container[int]) -> None:
        """Add a token, and stop the response if it has degenerated."""
        super().extend(token, logprob, ends)
        assert logprob is not None
        self.average = self.watch.update_average(self.average, logprob)
        if self.finish != "stop" and self.average < self.watch.threshold:
            self.finish = "degenerate"
