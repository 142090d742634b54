"""Options that change rewards, or exchange them between responses; all are off by default."""

import random
from collections.abc import Sequence

from tclue.puzzle.grading.grade import Grade
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import MAIN_TOPICS
from tclue_grpo.rollout import Group


def weighted_accuracy(puzzle: Puzzle, grade: Grade, main_weight: float) -> float:
    """Accuracy in which each main question has weight `main_weight` and each other one weight 1."""
    if grade.main_accuracy is None:
        return grade.accuracy
    main = sum(question.topic in MAIN_TOPICS for question in puzzle.questions.values())
    others = len(puzzle.questions) - main
    main_right = grade.main_accuracy * main
    weighted_right = main_weight * main_right + len(grade.right) - main_right
    return weighted_right / (main_weight * main + others)


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
