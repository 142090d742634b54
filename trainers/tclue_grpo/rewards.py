"""From grades to rewards, and from a group's rewards to advantages.

The reward is the accuracy by the same grader that bench and lm-eval use; everything else is an
option that is off by default (`shaping`). Responses cut off at the token limit count like any other
here, in their group's mean too; whether they are learned from is decided in `packing`.
"""

from __future__ import annotations

from collections.abc import Sequence

from tclue.bench.stats.intervals import mean
from tclue_grpo.config import RewardConfig
from tclue_grpo.rollout import Group
from tclue_grpo.shaping import overlong, right_share

# Rewards that differ by less are equal: a difference that rounding makes is nothing to learn from.
SAME = 1e-9
# Added to the deviation, as the published run did.
EPSILON = 1e-6


def rewards(group: Group, options: RewardConfig, max_tokens: int) -> list[float]:
    """[response] What each response earns, where `max_tokens` is the most one may have.

    right^power + bonus if solved - penalty * share without answer - penalty * overlong
    """
    earned = []
    for response in group.responses:
        grade, right = response.grade, response.grade.accuracy
        if options.main_weight != 1:
            right = right_share(group.puzzle, grade, options.main_weight)
        unanswered = mean(answer is None for answer in grade.answers.values())
        reward = right**options.power + options.solved_bonus * grade.solved
        reward -= options.format_penalty * unanswered
        if options.length_shaping:
            reward -= options.length_shaping * overlong(len(response.sample.ids), max_tokens)
        earned.append(reward)
    return earned


def advantages(of_responses: Sequence[float], divide_by_std: bool) -> list[float]:
    """[response] How much better than its group's mean each response is.

    Divided by the deviation, as in the first paper (https://arxiv.org/abs/2402.03300), a group
    where almost all are right or wrong weighs as much as one of middling success; undivided
    (https://arxiv.org/abs/2503.20783), groups weigh by their spread.
    """
    if not spread(of_responses):
        return [0.0] * len(of_responses)
    middle = mean(of_responses)
    centred = [reward - middle for reward in of_responses]
    deviation = mean(gain**2 for gain in centred) ** 0.5
    return [gain / (deviation + EPSILON) for gain in centred] if divide_by_std else centred


def spread(of_responses: Sequence[float]) -> float:
    """The distance from the least reward to the greatest; 0 if it is rounding."""
    distance = max(of_responses, default=0.0) - min(of_responses, default=0.0)
    return distance if distance > SAME else 0.0


def has_spread(group: Group) -> bool:
    """Whether there is anything to learn from a group: equal rewards give no gradient."""
    return spread([response.reward for response in group.responses]) > 0
