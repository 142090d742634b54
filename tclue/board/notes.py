"""What a reader must know of a run before relying on its numbers, a sentence each."""

from __future__ import annotations

from tclue.bench.stats.summary import MOST_LOST, Summary
from tclue.board.plot import dollars


def notes(one: Summary) -> list[str]:
    """The notes of a run, none for most."""
    found = [_incomplete(one), _served(one), _cost(one), *one.notes]
    return [note for note in found if note]


def _incomplete(one: Summary) -> str | None:
    if one.complete:
        return None
    lost = [
        f"{count} {what}"
        for count, what in ((one.outcomes["failed"], "failed"), (one.missing, "missing"))
        if count
    ]
    return f"incomplete: {', '.join(lost)} of {one.responses_asked}, more than {MOST_LOST:.0%}"


def _served(one: Summary) -> str | None:
    if not one.served_otherwise:
        return None
    others = ", ".join(f"{name} ({one.model_ids[name]})" for name in one.served_otherwise)
    return f"{others} of {one.responses} responses came from a model id that was not asked for"


def _cost(one: Summary) -> str | None:
    if one.cost_note is None:
        return None
    if one.cost_usd is None and one.cost_litellm_usd is None:
        return f"cost: {one.cost_note}"
    both = [
        f"{whose} {'unknown' if cost is None else dollars(cost, 4)}"
        for whose, cost in (("ours", one.cost_usd), ("litellm's", one.cost_litellm_usd))
    ]
    return f"cost: {one.cost_note} (a response: {', '.join(both)})"
