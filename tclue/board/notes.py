"""Notes on a run: what a reader must know before relying on its numbers."""

from __future__ import annotations

from tclue.bench.stats.summary import MAX_LOST, Summary
from tclue.text import counted, dollars


def notes(run: Summary) -> list[str]:
    """The notes of a run, one sentence each; most runs have none."""
    possible = [_incomplete(run), _served(run), _cost(run), *run.notes]
    return [note for note in possible if note]


def _incomplete(run: Summary) -> str | None:
    if run.complete:
        return None
    lost = [
        f"{count} {what}"
        for count, what in ((run.outcomes["failed"], "failed"), (run.missing, "missing"))
        if count
    ]
    return f"incomplete: {', '.join(lost)} of {run.responses_asked}, more than {MAX_LOST:.0%}"


def _served(run: Summary) -> str | None:
    if not run.served_otherwise:
        return None
    others = ", ".join(f"{name} ({run.model_ids[name]})" for name in run.served_otherwise)
    responses = counted(run.responses, "response")
    return f"{others} of {responses} came from a model id that was not asked for"


def _cost(run: Summary) -> str | None:
    if run.cost_note is None:
        return None
    if run.cost_usd is None and run.cost_litellm_usd is None:
        return f"cost: {run.cost_note}"
    costs = [
        f"{whose} {'unknown' if cost is None else dollars(cost, 4)}"
        for whose, cost in (("ours", run.cost_usd), ("litellm's", run.cost_litellm_usd))
    ]
    return f"cost: {run.cost_note} (a response: {', '.join(costs)})"
