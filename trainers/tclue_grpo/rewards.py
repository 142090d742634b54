"""From grades to rewards, and from a group's rewards to advantages.

The reward is the accuracy by the same grader that bench and lm-eval use; everything else is an
option that is off by default (`shaping`). Truncated responses count like any other here, also in
their group's mean; `packing` decides whether the loss uses them.
"""

from collections.abc import Sequence

from tclue.bench.stats.intervals import mean
from tclue_grpo.config import RewardConfig
from tclue_grpo.rollout import Group
from tclue_grpo.shaping import overlong, weighted_accuracy

# Rewards that differ by less count as equal: the difference is rounding.
TOLERANCE = 1e-9
# Added to the deviation, as the published run did.
EPSILON = 1e-6


def rewards(group: Group, options: RewardConfig, max_tokens: int) -> list[float]:
    """[response] The reward of each response; `max_tokens` is the token limit.

    right^power + bonus if solved - penalty * share without answer - penalty * overlong
    """
    result = []
    for response in group.responses:
        grade, accuracy = response.grade, response.grade.accuracy
        if options.main_weight != 1:
            accuracy = weighted_accuracy(group.puzzle, grade, options.main_weight)
        unanswered = mean(answer is None for answer in grade.answers.values())
        reward = accuracy**options.power + options.solved_bonus * grade.solved
        reward -= options.format_penalty * unanswered
        if options.length_shaping:
            reward -= options.length_shaping * overlong(len(response.sample.ids), max_tokens)
        result.append(reward)
    return result


def advantages(group_rewards: Sequence[float], divide_by_std: bool) -> list[float]:
    """[response] How much better than its group's mean each response is.

    Divided by the standard deviation (https://arxiv.org/abs/2402.03300), a group with almost all
    responses right or wrong weighs as much as one of medium success; undivided
    (https://arxiv.org/abs/2503.20783), groups weigh by their spread.
    """
    if not spread(group_rewards):
        return [0.0] * len(group_rewards)
    mean_reward = mean(group_rewards)
    centred = [reward - mean_reward for reward in group_rewards]
    deviation = mean(value**2 for value in centred) ** 0.5
    return [value / (deviation + EPSILON) for value in centred] if divide_by_std else centred


def spread(group_rewards: Sequence[float]) -> float:
    """The difference between the highest and the lowest reward; 0 if it is rounding."""
    distance = max(group_rewards, default=0.0) - min(group_rewards, default=0.0)
    return distance if distance > TOLERANCE else 0.0


def has_spread(group: Group) -> bool:
    """Whether a group's rewards differ: equal rewards give no gradient."""
    return spread([response.reward for response in group.responses]) > 0
