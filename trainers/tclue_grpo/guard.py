"""The guard raises an alarm when a run goes wrong, before its accuracy is lost.

It is pure: it receives each iteration's numbers and each validation, and keeps a few (`state`).

* **At once**, in any iteration: a step that changed the policy too much (`moved`, known before
  anything is sampled from the new weights), and log-probabilities unlike the sampler's (`gap`).
* **For `patience` iterations in a row**, against the median of the first `warmup_iterations`:
  gradient norm, entropy, response length, truncated responses. A policy that learns becomes more
  certain and changes its length, so these bounds are wide, and low entropy counts only if accuracy
  has fallen with it.
* **An entropy term that outweighs the reward** (`surrogate_weight`), `patience` times in a row.
* **At a validation**: accuracy below the best by more than `accuracy_drop`, with the 99.9% interval
  of the paired difference below zero (the same puzzles each time). It is not 95% because a run is
  checked many times, and the best validation was partly lucky.

The accuracy of an iteration is the mean over some hundred responses to new puzzles, which is too
noisy to show a fall of five points in time: no alarm depends on it alone.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Self

from tclue.bench.stats.intervals import mean, standard_error, t_quantile
from tclue_grpo import config

# Largest weight of the entropy term, as a multiple of the weight of all log-probabilities. Beyond
# it the reward hardly counts: on the tiny model a weight of 1 made the gradient norm 38 times as
# large.
ENTROPY_PULL = 5.0
# level of the confidence interval of a validation's change
CONFIDENCE = 0.999
# iterations over which training accuracy is averaged; it only confirms other signs
SMOOTHING = 5
FINITE = ("gap", "grad_norm", "entropy", "moved")
# the attributes that are the guard's memory
REMEMBERED = ("usual", "recent", "best_recent", "streaks", "best")
WATCHED = ("entropy", "length", "truncated", "grad_norm", "accuracy")


class Guard:
    """Watches the numbers of a run. An alarm is a sentence for the user, with the numbers."""

    def __init__(self, options: config.GuardConfig, *, entropy_weight: float = 0.0) -> None:
        """`entropy_weight` is the weight of the loss's entropy term, which alarms may name."""
        self._options, self._entropy_weight = options, entropy_weight
        # numbers of the first iterations by name, and accuracies of the last ones
        self._usual: dict[str, list[float]] = {name: [] for name in WATCHED}
        self._recent: list[float] = []
        self._best_recent = 0.0
        # iterations in a row that something was wrong, by sign
        self._streaks: dict[str, int] = {}
        # [puzzle] accuracy at the best validation
        self._best: list[float] = []

    def state(self) -> dict[str, Any]:
        """The guard's memory, for a checkpoint."""
        return {name: getattr(self, f"_{name}") for name in REMEMBERED}

    def restore(self, state: Mapping[str, Any]) -> Self:
        """Restore the memory from a checkpoint; an empty state changes nothing."""
        for name, value in state.items():
            setattr(self, f"_{name}", value)
        return self

    def reset_after_rollback(self) -> None:
        """Forget the recent iterations, because the best weights are in place again."""
        self._streaks, self._recent = {}, []

    def check_iteration(self, numbers: Mapping[str, Any]) -> str | None:
        """An alarm about an iteration's numbers, or None."""
        # Without a group with spread nothing is learned: that is a flat reward, not a decline.
        if not self._options.on or numbers.get("groups") == 0:
            return None
        # In metrics.jsonl a number that is not finite is null.
        values = {name: numbers.get(name, 0.0) for name in FINITE}
        not_finite = [n for n, value in values.items() if value is None or not math.isfinite(value)]
        reason = f"{' and '.join(not_finite)} of the iteration: not a finite number"
        alarm = self._streak("not finite", bool(not_finite), reason)
        if not_finite:
            return alarm
        alarm = self._check_at_once(numbers) or self._entropy_pull(numbers)
        if alarm is None and len(self._usual["grad_norm"]) >= self._options.warmup_iterations:
            alarm = self._check_in_a_row(numbers)
        self._remember(numbers)
        return alarm

    def check_validation(self, by_puzzle: Sequence[float]) -> str | None:
        """An alarm about a validation, or None; `by_puzzle` [puzzle] are its accuracies."""
        if not self._options.on:
            return None
        alarm = None
        if len(self._best) == len(by_puzzle) and len(by_puzzle) > 1:
            changes = [new - old for new, old in zip(by_puzzle, self._best, strict=True)]
            change = mean(changes)
            high = change + t_quantile(len(changes) - 1, CONFIDENCE) * standard_error(changes)
            if change < -self._options.accuracy_drop and high < 0:
                alarm = (
                    f"validation accuracy is {mean(by_puzzle):.3f}, {-change:.3f} below the best "
                    f"({mean(self._best):.3f}); by the paired 99.9% interval at least {-high:.3f}"
                )
        if not self._best or mean(by_puzzle) > mean(self._best):
            self._best = list(by_puzzle)
        return alarm

    def _check_at_once(self, numbers: Mapping[str, Any]) -> str | None:
        options = self._options
        moved = numbers.get("moved", 0.0)
        if moved > options.moved:
            return (
                f"one iteration changed the log-probabilities by {moved:.2f} nats per token, more "
                f"than {options.moved:g}: the learning rate ({numbers['rate']:.2g}) is too high"
            )
        gap = numbers.get("gap", 0.0)
        if gap > options.gap:
            return (
                f"the trainer's log-probabilities differ from the sampler's by {gap:.3f} nats per "
                f"token, more than {options.gap}: the sampler uses other weights"
            )
        return None

    def _entropy_pull(self, numbers: Mapping[str, Any]) -> str | None:
        """An alarm about an entropy term that outweighs the reward, or None."""
        reward = numbers.get("surrogate_weight", 0.0)
        pull = abs(self._entropy_weight) / reward if reward and self._entropy_weight else 0.0
        effect = "raises" if self._entropy_weight > 0 else "lowers"
        reason = (
            f"the entropy term {effect} entropy with {pull:.0f} times the weight of the reward: "
            f"check the sign and the size of loss.entropy, which is {self._entropy_weight:g}"
        )
        return self._streak("entropy pull", pull > ENTROPY_PULL, reason)

    def _check_in_a_row(self, numbers: Mapping[str, Any]) -> str | None:
        """An alarm about a number that is wrong for several iterations in a row, or None."""
        options = self._options
        usual = {name: median(self._usual[name]) for name in WATCHED}
        norm, entropy, length = (numbers[name] for name in ("grad_norm", "entropy", "length"))
        rise = numbers["truncated"] - usual["truncated"]
        hint = (
            f"; check the sign of loss.entropy, which is {self._entropy_weight:g}"
            if self._entropy_weight
            else ""
        )
        too_long, too_short = options.length_ratio, 1 / options.length_ratio
        length_ratio = length / max(1.0, usual["length"])
        signs = {
            f"gradient norm is {norm:.3g}, usually {usual['grad_norm']:.3g}": (
                norm > options.gradient_ratio * usual["grad_norm"]
            ),
            f"entropy is {entropy:.3f} nats, usually {usual['entropy']:.3f}{hint}": (
                entropy > options.entropy_high * usual["entropy"]
            ),
            f"entropy is {entropy:.4f} nats, usually {usual['entropy']:.3f}, and training accuracy "
            f"has fallen with it{hint}": (
                entropy < options.entropy_low * usual["entropy"] and self._has_fallen()
            ),
            f"{numbers['truncated']:.0%} of the responses are truncated, usually "
            f"{usual['truncated']:.0%}": rise > options.truncated_rise,
            f"responses have {length:.0f} tokens, usually {usual['length']:.0f}, and training "
            "accuracy has fallen with it": (
                not too_short < length_ratio < too_long and self._has_fallen()
            ),
        }
        alarms = [
            self._streak(f"sign {i}", wrong, reason)
            for i, (reason, wrong) in enumerate(signs.items())
        ]
        return next((alarm for alarm in alarms if alarm), None)

    def _streak(self, key: str, wrong: bool, reason: str) -> str | None:
        """Count how often in a row `key` was wrong; an alarm once that reaches `patience`."""
        self._streaks[key] = self._streaks.get(key, 0) + 1 if wrong else 0
        if self._streaks[key] < self._options.patience:
            return None
        return f"{reason} ({self._streaks[key]} iterations in a row)"

    def _has_fallen(self) -> bool:
        """Whether smoothed training accuracy is clearly below its best value."""
        enough = len(self._recent) >= SMOOTHING
        return enough and mean(self._recent) < self._best_recent - self._options.accuracy_drop

    def _remember(self, numbers: Mapping[str, Any]) -> None:
        for name in WATCHED:
            values = self._usual[name]
            if len(values) < self._options.warmup_iterations:
                values.append(float(numbers[name]))
        self._recent = [*self._recent, float(numbers["accuracy"])][-SMOOTHING:]
        if len(self._recent) == SMOOTHING:
            self._best_recent = max(self._best_recent, mean(self._recent))
