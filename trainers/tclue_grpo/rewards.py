"""From grades to rewards, and from a group's rewards to advantages.

The reward is the accuracy by the same grader that bench and lm-eval use; everything else is an
option that is off by default. Truncated responses count like any other here, also in
their group's mean; `packing` decides whether the loss uses them.
"""

import random
from collections.abc import Sequence

from tclue.bench.stats.intervals import mean
from tclue.puzzle.wording import MAIN_TOPICS
from tclue_grpo.config import RewardConfig
from tclue_grpo.rollout import GradedSample, Group

# Rewards that differ by less count as equal: the difference is rounding.
TOLERANCE = 1e-9
# Added to the deviation, as the published run did.
EPSILON = 1e-6


def reward_of(
    group: Group, response: GradedSample, options: RewardConfig, max_tokens: int
) -> float:
    """The reward of a response of a group; `max_tokens` is the token limit.

    right^power + bonus if solved - penalty * share without answer - penalty * overlong
    """
    grade, accuracy = response.grade, response.grade.accuracy
    if options.main_weight != 1:
        accuracy = weighted_accuracy(group, response, options.main_weight)
    unanswered = mean(answer is None for answer in grade.answers.values())
    reward: float = accuracy**options.power + options.solved_bonus * grade.solved
    reward -= options.format_penalty * unanswered
    return reward - options.length_shaping * overlong(len(response.sample.ids), max_tokens)


def advantages(group_rewards: Sequence[float], divide_by_std: bool) -> list[float]:
    """[response] How much better than its group's mean each response is; 0 if all are equal.

    Divided by the standard deviation (https://arxiv.org/abs/2402.03300), a group with almost all
    responses right or wrong weighs as much as one of medium success; undivided
    (https://arxiv.org/abs/2503.20783), groups weigh by their spread.
    """
    if max(group_rewards, default=0.0) - min(group_rewards, default=0.0) <= TOLERANCE:
        return [0.0] * len(group_rewards)
    mean_reward = mean(group_rewards)
    centred = [reward - mean_reward for reward in group_rewards]
    deviation = mean(value**2 for value in centred) ** 0.5
    return [value / (deviation + EPSILON) for value in centred] if divide_by_std else centred


def weighted_accuracy(group: Group, response: GradedSample, main_weight: float) -> float:
    """Accuracy in which each main question has weight `main_weight` and each other one weight 1."""
    grade, questions = response.grade, group.puzzle.questions
    if grade.main_accuracy is None:
        return grade.accuracy
    main = sum(question.topic in MAIN_TOPICS for question in questions.values())
    main_right = grade.main_accuracy * main
    weighted_right = main_weight * main_right + len(grade.right) - main_right
    return weighted_right / (main_weight * main + (len(questions) - main))


def overlong(tokens: int, max_tokens: int) -> float:
    """How far a response reaches into the last fifth before the limit, 0 to 1.

    DAPO's soft overlong punishment (https://arxiv.org/abs/2503.14476, equation 13), with the
    paper's margin: 4,096 of 20,480 tokens.
    """
    margin = max_tokens / 5
    return max(0.0, tokens - (max_tokens - margin)) / margin


def shuffle_rewards(groups: Sequence[Group], seed: int) -> None:
    """Shuffle the rewards among all responses of the groups, for a control run.

    Rewards, lengths and numbers of responses stay the same; only their assignment changes.
    """
    responses = [response for group in groups for response in group.responses]
    rewards = [response.reward for response in responses]
    random.Random(seed).shuffle(rewards)
    for response, reward in zip(responses, rewards, strict=True):
        response.reward = reward
