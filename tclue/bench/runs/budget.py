"""`--max-cost`: money is reserved before a request is sent, so that the limit is not exceeded.

* The reserved amount is the most that a request can cost: its prompt, and as many output tokens as
  it may have, at the run's prices. A prompt is assumed to have at most one token per two bytes
  (English text has about one per four).
* If no output limit is known, or the price is by the hour, the amount is twice the cost of the
  most expensive response so far. The first request is then sent alone, with all the money that is
  left. In this case the limit can be exceeded: by the first response, or by one that costs more
  than twice as much as any before.
* When a response is recorded, its cost replaces the reserved amount. If its cost is unknown, the
  reserved amount counts as spent.
* The costs of earlier invocations of the same runs count too.
"""

from dataclasses import replace

from tclue.bench.costs.cost import Prices, Usage, repriced, worst_case_usd
from tclue.bench.models.model import ResolvedModel
from tclue.text import money

BYTES_PER_TOKEN = 2
CHAT_FORMAT_TOKENS = 64  # that a chat format adds to a prompt
SAFETY_FACTOR = 2.0  # for the dearest response so far, if the most that one can cost is unknown


class Budget:
    """The dollars of a command: the limit, the amount spent and the amount reserved."""

    def __init__(self, limit_usd: float | None, spent_usd: float = 0.0) -> None:
        """There is no limit if `limit_usd` is None."""
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        self.reserved_usd = 0.0
        # reservations that are not settled yet
        self.open = 0

    @property
    def left_usd(self) -> float:
        """Dollars that are neither spent nor reserved; only for a budget with a limit."""
        assert self.limit_usd is not None
        return self.limit_usd - self.spent_usd - self.reserved_usd

    def reserve(self, max_usd: float | None) -> float | None:
        """Reserve the most that a request can cost, and return it; None if too little is left.

        If `max_usd` is None, which means unknown, everything that is left is reserved. That needs
        that nothing else is reserved.
        """
        if self.limit_usd is None:
            return 0.0
        if max_usd is None:
            if self.open or self.left_usd <= 0:
                return None
            max_usd = self.left_usd
        # Sums of the same numbers in another order can differ in the last digits. Free requests
        # are sent even if more than the limit is spent.
        if max_usd and max_usd > self.left_usd + 1e-12:
            return None
        self.reserved_usd += max_usd
        self.open += 1
        return max_usd

    def settle(self, reserved_usd: float, cost_usd: float) -> None:
        """Release a reserved amount, and count the cost."""
        if self.limit_usd is None:
            return
        self.open -= 1
        # Exactly 0 at the end, without rounding errors.
        self.reserved_usd = self.reserved_usd - reserved_usd if self.open else 0.0
        self.spent_usd += cost_usd

    def exhausted_message(self, max_usd: float | None) -> str:
        """One line on why no more requests are sent."""
        next_ = "" if max_usd is None else f", and the next request may cost {money(max_usd)}"
        return (
            f"--max-cost {self.limit_usd:g} is not enough to continue: {money(self.spent_usd)} is "
            f"spent{next_}; give a larger one to resume"
        )


class Ceiling:
    """The most that a request to one model can cost."""

    def __init__(self, prices: Prices, resolved: ResolvedModel) -> None:
        self._prices = prices
        self._output_tokens = resolved.max_tokens or resolved.max_output_tokens
        if self._output_tokens is None and prices.completion_usd_per_million == 0:
            self._output_tokens = 0  # output is free, so its length does not matter
        self._dearest_usd = 0.0

    def max_usd(self, prompt: str, usage: Usage | None = None) -> float | None:
        """US dollars; None if not known yet.

        `usage` is that of a reply that was cut off. Then the cost is at most that of its prompt, if
        the provider sent these counts before the answer, and of the longest answer.
        """
        if usage:
            longest = replace(usage, completion_tokens=self._output_tokens)
            if known_usd := repriced(longest, self._prices):
                return known_usd
        tokens = len(prompt.encode("utf-8", "replace")) // BYTES_PER_TOKEN + CHAT_FORMAT_TOKENS
        max_usd = worst_case_usd(self._prices, tokens, self._output_tokens)
        if max_usd is not None:
            return max_usd
        return self._dearest_usd * SAFETY_FACTOR or None

    def count_cost(self, cost_usd: float | None) -> None:
        """Take a response's cost into account."""
        self._dearest_usd = max(self._dearest_usd, cost_usd or 0.0)
