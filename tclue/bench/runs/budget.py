"""`--max-cost`: money is set aside before a request is sent, so that the limit is not exceeded.

docs/reference/bench.md has the rules, under "Money". `Ceiling` is the most that a request to one
model can cost, and learns from replies that cost more; `Budget` is what is left for all models.
`run_folder` has the amounts on the disk, for a process that is killed.
"""

import math
from dataclasses import dataclass, replace

from tclue.bench.costs.cost import Prices, Usage, repriced, worst_case_usd
from tclue.bench.models.model import ResolvedModel
from tclue.text import money

BYTES_PER_TOKEN = 2
CHAT_FORMAT_TOKENS = 64  # that a chat format adds to a prompt
SAFETY_FACTOR = 2.0  # for the most expensive response so far, if there is no known limit
# Share of the remaining money that is set aside until a reply shows what a request really costs.
UNPROVEN_SHARE = 0.1


@dataclass(eq=False, slots=True)
class Reservation:
    """Dollars that are set aside for requests in flight."""

    usd: float


class Budget:
    """The dollars of a command: the limit, the amount spent and the amounts set aside."""

    def __init__(self, limit_usd: float = math.inf, spent_usd: float = 0.0) -> None:
        self.limit_usd = limit_usd
        self.spent_usd = spent_usd
        # reservations that are not settled yet
        self.open: set[Reservation] = set()

    @property
    def open_usd(self) -> float:
        """Dollars that are set aside."""
        return math.fsum(each.usd for each in self.open)

    def reserve(self, max_usd: float | None, *, proven: bool = True) -> Reservation | None:
        """Set aside the most that a request can cost; None if too little is left.

        If `max_usd` is None, which means unknown, everything that is left is set aside. That needs
        that nothing else is. `proven` is False if no reply has shown yet what a request costs.
        """
        unspent_usd = self.limit_usd - self.spent_usd
        if max_usd is None and math.isinf(unspent_usd):
            max_usd = 0.0
        elif max_usd is None:
            if self.open or unspent_usd <= 0:
                return None
            max_usd = unspent_usd
        share = 1.0 if proven or not self.open else UNPROVEN_SHARE
        left_usd = share * unspent_usd - self.open_usd
        # Sums of the same numbers in another order can differ in the last digits. Free requests are
        # sent even if more than the limit is spent.
        if max_usd and max_usd > left_usd + 1e-12:
            return None
        reservation = Reservation(max_usd)
        self.open.add(reservation)
        return reservation

    def settle(self, reservation: Reservation, cost_usd: float) -> None:
        """Release what was set aside, and count the cost."""
        self.open.remove(reservation)
        self.spent_usd += cost_usd

    def raise_open(self, factor: float) -> None:
        """Multiply what is set aside, after a reply that cost more than expected."""
        for reservation in self.open:
            reservation.usd *= factor

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
        # the largest ratio of a cost to what was computed before, or the most expensive response
        self._worst = 0.0
        # whether a reply has shown what a request costs
        self.proven = False

    def max_usd(self, prompt: str, usage: Usage | None = None) -> float | None:
        """US dollars; None if not known yet.

        `usage` is that of a reply that was cut off. Then the cost is at most that of its prompt, if
        the provider sent these counts before the answer, and of the longest answer.
        """
        computed_usd = self._computed_usd(prompt)
        if usage:
            longest = replace(usage, completion_tokens=self._output_tokens)
            computed_usd = repriced(longest, self._prices) or computed_usd
        if computed_usd is None:
            return self._worst * SAFETY_FACTOR or None
        return computed_usd * max(1.0, self._worst)

    def count_cost(self, prompt: str, cost_usd: float | None) -> float:
        """Take a response's cost into account. Returns the factor by which the ceiling rose."""
        computed_usd = self._computed_usd(prompt)
        if cost_usd is None or computed_usd == 0:
            return 1.0
        self.proven = True
        before = max(self._worst, 1.0 if computed_usd else 0.0) or cost_usd
        self._worst = max(self._worst, cost_usd / (computed_usd or 1.0))
        return max(1.0, self._worst / before) if before else 1.0

    def _computed_usd(self, prompt: str) -> float | None:
        """The cost of the longest prompt and the longest answer at the run's prices."""
        tokens = len(prompt.encode("utf-8", "replace")) // BYTES_PER_TOKEN + CHAT_FORMAT_TOKENS
        return worst_case_usd(self._prices, tokens, self._output_tokens)
