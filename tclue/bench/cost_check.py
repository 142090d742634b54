"""Two calculators of one bill: ours, and litellm's by its own list and its own reading of tokens.

They must agree to AGREE on every response. Where they do not, or one does not know, the run says
so and keeps both. What is paid for by time, or free, litellm cannot know.
"""

from __future__ import annotations

from collections.abc import Sequence

from tclue.bench.costs import Prices
from tclue.bench.tally import Mark

AGREE = 0.005
_NOT_BY_TOKENS = ("free", "hour", "gpu-hour")


def cost_note(prices: Prices, scored: Sequence[Mark]) -> str | None:
    """What a reader must know of a run's cost; None where both calculators agree."""
    costs = [(mark.cost_usd, mark.cost_litellm_usd) for mark in scored]
    if not costs or prices.source in _NOT_BY_TOKENS:
        return None
    both = [(ours, theirs) for ours, theirs in costs if ours is not None and theirs is not None]
    apart = sum(abs(ours - theirs) > AGREE * max(ours, theirs) for ours, theirs in both)
    unpriced = sum(ours is None for ours, _ in costs)
    unchecked = sum(theirs is None for _, theirs in costs)
    notes = [
        _of(unpriced, len(costs), "without a known cost"),
        _of(unchecked, len(costs), "whose cost litellm does not know"),
        _of(apart, len(both), f"where litellm's cost differs by over {AGREE:.1%}"),
    ]
    if prices.source == "litellm":
        notes.append("the price is litellm's own, so nothing checks it")
    return "; ".join(note for note in notes if note) or None


def _of(count: int, total: int, what: str) -> str:
    if not count:
        return ""
    which = "all" if count == total else f"{count} of {total}"
    return f"{which} responses {what}"
