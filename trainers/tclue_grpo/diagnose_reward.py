"""Diagnoses a flat reward: one screen that names the likeliest cause, and what to do about it.

Pure functions of the recent iterations' numbers (lines of `metrics.jsonl`). The order of the checks
matters, because one cause leads to others: a gap makes the gradient useless whatever the rewards;
answers that do not parse, or are truncated, earn nothing and so have no spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tclue.bench.stats.intervals import mean, standard_error

# Iterations that are considered, and the fewest that allow a diagnosis.
WINDOW, MIN_ITERATIONS = 20, 4
# Rise of the reward from the first quarter to the later half, in standard errors, beyond which it
# is not flat.
FLAT_STANDARD_ERRORS = 2.0
# Shares of the responses, and of the groups, above which each is named as the cause.
UNPARSED, TRUNCATED, WITHOUT_SPREAD = 0.5, 0.5, 0.7
# nats a trained token: a gap above the first is the cause; steps below the second are too short
GAP, MIN_MOVED = 0.05, 1e-4


@dataclass(frozen=True)
class Diagnosis:
    """The likeliest cause of a flat reward."""

    # gap, format, truncation, spread, rate, or unknown
    cause: str
    # the symptom, with its numbers
    observation: str
    # what to do about it
    advice: str


def is_flat(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the reward has not risen over the last iterations, beyond chance."""
    rewards = [float(line["reward"]) for line in lines[-WINDOW:]]
    if len(rewards) < MIN_ITERATIONS:
        return False
    # Compares the beginning with the later half, so an early rise that stays counts as a rise.
    before, after = rewards[: max(2, len(rewards) // 4)], rewards[-(len(rewards) // 2) :]
    error = (standard_error(before) ** 2 + standard_error(after) ** 2) ** 0.5
    rise = mean(after) - mean(before)
    return bool(rise <= FLAT_STANDARD_ERRORS * error)


def diagnose(lines: Sequence[Mapping[str, Any]]) -> Diagnosis:
    """The likeliest cause of a flat reward, from the last iterations (at least one)."""
    recent = lines[-WINDOW:]

    def usual(name: str) -> float:
        known = [float(line[name]) for line in recent if line.get(name) is not None]
        return mean(known) if known else 0.0

    groups, dropped = usual("groups"), usual("dropped")
    without_spread = dropped / max(1.0, groups + dropped)
    if usual("gap") > GAP:
        return Diagnosis(
            "gap",
            f"The trainer's log-probabilities lie {usual('gap'):.3f} nats a token from the "
            "sampler's: it learns from responses that it would not have given.",
            "Look whether the engine takes the new weights each iteration and samples at "
            "rollout.temperature with no top-p and no top-k. If the gap is only rounding: "
            'loss.old = "trainer" with loss.tis_cap = 2, or loss.sequence_mask.',
        )
    if usual("truncated") > TRUNCATED:
        return Diagnosis(
            "truncation",
            f"{usual('truncated'):.0%} of the responses are cut off at the token limit (mean "
            f"length {usual('length'):.0f}): their answers never come.",
            "Raise rollout.max_tokens, or have shorter responses earn more: reward.length_shaping.",
        )
    if 1 - usual("in_format") > UNPARSED:
        return Diagnosis(
            "format",
            f"{1 - usual('in_format'):.0%} of the responses lack an answer to some question, and "
            f"{usual('unparsed'):.0%} have none at all.",
            "Look at some responses: the base may not follow the answer format. Take an "
            "instruction-tuned base, or set reward.format_penalty.",
        )
    if without_spread > WITHOUT_SPREAD:
        hard = usual("reward") < 0.5
        return Diagnosis(
            "spread",
            f"{without_spread:.0%} of the groups have responses that all earn the same (mean "
            f"reward {usual('reward'):.3f}): nothing in them is better or worse.",
            f"The puzzles are too {'hard' if hard else 'easy'}: take another data.difficulty or a "
            "data.curriculum, more rollout.responses_per_puzzle, or a higher rollout.temperature.",
        )
    if usual("moved") < MIN_MOVED:
        return Diagnosis(
            "rate",
            f"An iteration moves the log-probabilities by {usual('moved'):.1e} nats a token, at a "
            f"learning rate of {usual('rate'):.1e}: next to nothing.",
            "Raise update.learning_rate, three to ten times at first.",
        )
    return Diagnosis(
        "unknown",
        "None of the known causes: responses parse, groups have spread, the policy moves, and "
        "sampler and trainer agree.",
        "Give it more iterations, or more data.puzzles_per_iteration for a less noisy gradient.",
    )


def screen(diagnosis: Diagnosis, lines: Sequence[Mapping[str, Any]]) -> str:
    """The text for the user: the symptom, the advice, and the numbers behind them."""
    recent = lines[-WINDOW:]
    names = ("reward", "in_format", "truncated", "groups", "dropped", "gap", "moved", "rate")
    rows = [
        f"  {name:<10} {_short(recent[0].get(name))} -> {_short(recent[-1].get(name))}"
        for name in names
    ]
    first, last = recent[0]["iteration"], recent[-1]["iteration"]
    head = f"The reward is flat over iterations {first} to {last}. Cause: {diagnosis.cause}."
    return "\n".join([head, "", diagnosis.observation, diagnosis.advice, "", *rows])


def _short(value: Any) -> str:
    return "unknown" if value is None else f"{value:.4g}"
