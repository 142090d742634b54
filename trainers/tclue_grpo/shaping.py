"""What may be changed about rewards, and whose they are; by default nothing is."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tclue.puzzle.grading.grade import Grade
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import MAIN_TOPICS
from tclue_grpo.rollout import Group


def right_share(puzzle: Puzzle, grade: Grade, main_weight: float) -> float:
    """The share of the questions answered right, where main ones have a weight and others 1."""
    if grade.main_accuracy is None:
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


def shuffled(groups: Sequence[Group], seed: int) -> None:
    """Deal the rewards out anew among all responses of the groups: what a control run learns from.

    Nothing about rewards, lengths or numbers of responses changes but whose reward is whose.
    """
    responses = [response for group in groups for response in group.responses]
    dealt = [response.reward for response in responses]
    random.Random(seed).shuffle(dealt)
    for response, reward in zip(responses, dealt, strict=True):
        response.reward = reward
