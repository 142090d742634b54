"""Diagnoses a flat reward: one screen that names the most likely cause and what to do about it.

Pure functions of the recent iterations' numbers (lines of `metrics.jsonl`). The order of the checks
matters, because one cause leads to others: a gap makes the gradient useless whatever the rewards;
answers that do not parse, or are truncated, earn nothing, so their rewards are all equal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tclue.bench.stats.intervals import mean, standard_error

# Iterations that are considered, and the fewest that allow a diagnosis.
WINDOW, MIN_ITERATIONS = 20, 4
# Rise of the reward from the first quarter to the later half, in standard errors, beyond which it
# is not flat.
FLAT_STANDARD_ERRORS = 2.0
# Shares of the responses, or of the groups, above which each of these is named as the cause.
UNPARSED, TRUNCATED, WITHOUT_SPREAD = 0.5, 0.5, 0.7
# nats per trained token: a gap above the first is the cause; steps below the second are too small
GAP, MIN_MOVED = 0.05, 1e-4


@dataclass(frozen=True)
class Diagnosis:
    """The most likely cause of a flat reward."""

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
    """The most likely cause of a flat reward, from the last iterations (at least one)."""
    recent = lines[-WINDOW:]

    def usual(name: str) -> float:
        known = [float(line[name]) for line in recent if line.get(name) is not None]
        return mean(known) if known else 0.0

    groups, dropped = usual("groups"), usual("dropped")
    without_spread = dropped / max(1.0, groups + dropped)
    if usual("gap") > GAP:
        return Diagnosis(
            "gap",
            f"The trainer's log-probabilities differ from the sampler's by {usual('gap'):.3f} "
            "nats per token: the trainer learns from responses that it would not have given.",
            "Check that the engine loads the new weights in each iteration, and that it samples at "
            "rollout.temperature without top-p and top-k. If the gap is only rounding, set "
            'loss.old = "trainer" with loss.tis_cap = 2, or loss.sequence_mask.',
        )
    if usual("truncated") > TRUNCATED:
        return Diagnosis(
            "truncation",
            f"{usual('truncated'):.0%} of the responses are truncated at the token limit (mean "
            f"length {usual('length'):.0f}), before they give an answer.",
            "Raise rollout.max_tokens, or reward shorter responses with reward.length_shaping.",
        )
    if 1 - usual("in_format") > UNPARSED:
        return Diagnosis(
            "format",
            f"{1 - usual('in_format'):.0%} of the responses have no answer to some question, and "
            f"{usual('unparsed'):.0%} have no answer at all.",
            "Look at some responses: the base may not follow the answer format. Use an "
            "instruction-tuned base, or set reward.format_penalty.",
        )
    if without_spread > WITHOUT_SPREAD:
        hard = usual("reward") < 0.5
        return Diagnosis(
            "spread",
            f"In {without_spread:.0%} of the groups all responses have the same reward (mean "
            f"reward {usual('reward'):.3f}), so nothing can be learned from them.",
            f"The puzzles are too {'hard' if hard else 'easy'}: set another data.difficulty, a "
            "data.curriculum, more rollout.responses_per_puzzle, or a higher rollout.temperature.",
        )
    if usual("moved") < MIN_MOVED:
        return Diagnosis(
            "rate",
            f"An iteration changes the log-probabilities by only {usual('moved'):.1e} nats per "
            f"token, at a learning rate of {usual('rate'):.1e}.",
            "Raise update.learning_rate, by a factor of three to ten at first.",
        )
    return Diagnosis(
        "unknown",
        "None of the known causes applies: responses parse, rewards differ within groups, the "
        "policy changes, and sampler and trainer agree.",
        "Train for more iterations, or raise data.puzzles_per_iteration for a less noisy gradient.",
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
