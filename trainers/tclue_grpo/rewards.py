"""From grades to rewards, and from a group's rewards to advantages.

The reward is the accuracy by the same grader that bench and lm-eval use; everything else is an
option that is off by default. Responses cut off at the token limit count like any other here, in
their group's mean too; whether they are learned from is decided in `packing`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tclue.bench.intervals import mean
from tclue.puzzle.grade import Grade
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import MAIN_TOPICS
from tclue_grpo.rollout import Group

if TYPE_CHECKING:
    from tclue_grpo.config import Reward

# Rewards that differ by less are equal: a difference that rounding makes is nothing to learn from.
SAME = 1e-9
# Added to the deviation, as the published run did.
EPSILON = 1e-6


def rewards(group: Group, options: Reward, max_tokens: int) -> list[float]:
    """[response] What each response earns, where `max_tokens` is the most one may have.

    right^power + bonus if solved - penalty * share without answer - penalty * overlong
    """
    return [
        right_share(group.puzzle, response.grade, options.main_weight) ** options.power
        + options.solved_bonus * response.grade.solved
        - options.format_penalty * mean(a is None for a in response.grade.answers.values())
        - options.length_shaping * overlong(len(response.sample.ids), max_tokens)
        for response in group.responses
    ]


def right_share(puzzle: Puzzle, grade: Grade, main_weight: float) -> float:
    """The share of the questions answered right, where main ones have a weight and others 1."""
    if main_weight == 1 or grade.main_accuracy is None:
        return grade.accuracy
    main = sum(question.topic in MAIN_TOPICS for question in puzzle.questions.values())
    others = len(puzzle.questions) - main
    main_right = grade.main_accuracy * main
    right = main_weight * main_right + len(grade.right) - main_right
    return right / (main_weight * main + others)


def overlong(tokens: int, max_tokens: int) -> float:
    """How far a response reaches into the last fifth before the limit, 0 to 1.

    DAPO's soft overlong punishment (https://arxiv.org/abs/2503.14476, equation 13), with the margin
    that it had: 4,096 of 20,480 tokens.
    """
    margin = max_tokens / 5
    return max(0.0, tokens - (max_tokens - margin)) / margin


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


def shuffled(groups: Sequence[Group], seed: int) -> None:
    """Deal the rewards out anew among all responses of the groups: what a control run learns from.

    Nothing about rewards, lengths or numbers of responses changes but whose reward is whose.
    """
    responses = [response for group in groups for response in group.responses]
    dealt = [response.reward for response in responses]
    random.Random(seed).shuffle(dealt)
    for response, reward in zip(responses, dealt, strict=True):
        response.reward = reward
