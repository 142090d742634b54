"""`--max-cost`: money is set aside before a request is sent, so that the limit is never exceeded.

* What is set aside is the most that a request can cost: its prompt, and as many output tokens as
  it may take, at the run's prices. A prompt has at most a token for every two of its bytes here
  (English text has one for about four).
* Where no output limit is known, and for prices by the hour, it is twice the dearest response so
  far. The first request then goes alone, with all the money that is left; the limit may be exceeded
  by what it, or a response more than twice as dear as any before, costs beyond that.
* When a response is recorded, its cost replaces the amount that was set aside. Where the cost is
  not known, that amount counts as spent.
* What earlier invocations of the same runs spent counts.
"""

from __future__ import annotations

from tclue.bench.costs.cost import Prices, Usage, at_most_usd, worst_case_usd
from tclue.bench.models.model import ResolvedModel
from tclue.text import money

BYTES_PER_TOKEN = 2
CHAT_FORMAT_TOKENS = 64  # what a chat format adds to a prompt
SAFETY_FACTOR = 2.0  # on the dearest response so far, where the most that one may cost is not known


class Budget:
    """The dollars of a command: a limit, what is spent, and what is set aside."""

    def __init__(self, limit_usd: float | None, spent_usd: float = 0.0) -> None:
        """`limit_usd` None: no limit."""
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = 0.0
        # reservations that are not settled
        self.open = 0

    @property
    def left_usd(self) -> float:
        """Dollars neither spent nor set aside; only for a budget with a limit."""
        assert self.limit_usd is not None
        return self.limit_usd - self.spent_usd - self.reserved_usd

    def reserve(self, max_usd: float | None) -> float | None:
        """Set aside what a request costs at most, and return it; None where too little is left.

        `max_usd` None, where unknown: all that is left, if nothing else is set aside.
        """
        if self.limit_usd is None:
            return 0.0
        if max_usd is None:
            if self.open or self.left_usd <= 0:
                return None
            max_usd = self.left_usd
        # A sum of the same numbers in another order may differ in its last digits. Free requests
        # are sent even where more than the limit is spent.
        if max_usd and max_usd > self.left_usd + 1e-12:
            return None
        self.reserved_usd += max_usd
        self.open += 1
        return max_usd

    def settle(self, reserved_usd: float, cost_usd: float) -> None:
        """Release an amount that was set aside, and count what was spent of it."""
        if self.limit_usd is None:
            return
        self.open -= 1
        # Exactly 0 at the end, without rounding errors.
        self.reserved_usd = self.reserved_usd - reserved_usd if self.open else 0.0
        self.spent_usd += cost_usd

    def exhausted_message(self, max_usd: float | None) -> str:
        """Why no more requests are sent, in a line."""
        next_ = "" if max_usd is None else f", and the next request may cost {money(max_usd)}"
        return (
            f"--max-cost {self.limit_usd:g} leaves nothing to ask with: {money(self.spent_usd)} is "
            f"spent{next_}; a larger one goes on"
        )


class Ceiling:
    """The most that a request of one model can cost."""

    def __init__(self, prices: Prices, resolved: ResolvedModel) -> None:
        self._prices = prices
        self._output_tokens = resolved.max_tokens or resolved.max_output_tokens
        if self._output_tokens is None and prices.completion_usd_per_million == 0:
            self._output_tokens = 0  # however many there are
        self._dearest_usd = 0.0

    def max_usd(self, prompt: str, usage: Usage | None = None) -> float | None:
        """Dollars; None where not known yet. `usage` is that of a reply that was cut off."""
        if usage and (known_usd := at_most_usd(self._prices, usage, self._output_tokens)):
            return known_usd
        tokens = len(prompt.encode("utf-8", "replace")) // BYTES_PER_TOKEN + CHAT_FORMAT_TOKENS
        max_usd = worst_case_usd(self._prices, tokens, self._output_tokens)
        if max_usd is not None:
            return max_usd
        return self._dearest_usd * SAFETY_FACTOR or None

    def count_cost(self, cost_usd: float | None) -> None:
        """Count the cost of a response."""
        self._dearest_usd = max(self._dearest_usd, cost_usd or 0.0)
