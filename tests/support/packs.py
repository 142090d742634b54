"""Shared by the trainer's tests: artificial groups of responses."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tclue.puzzle.grading.grade import Grade
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.rollout import Finish, GradedSample, Group, Sample

VOCABULARY = 549  # of the tiny checkpoint


def group(
    prompt: Sequence[int], responses: Sequence[Sequence[int]], finish: Finish = "stop"
) -> Group:
    """A group with these token ids, and with distinct advantages and log-probabilities."""
    made = Group(Puzzle("", id="p"), list(prompt))
    for number, ids in enumerate(responses):
        sample = Sample(list(ids), [-0.01 * (i + 1) for i in range(len(ids))], finish)
        grade = Grade(0.0, False, {}, (), None)
        made.responses.append(
            GradedSample(sample, "", grade, advantage=(-1) ** number / (number + 1))
        )
    return made


def random_groups(
    seed: int,
    groups: int,
    size: int,
    prompt: Callable[[random.Random], int],
    tokens: tuple[int, int],
) -> list[Group]:
    """Groups of `size` responses with so many tokens. `prompt` draws the length of a prompt."""
    rng = random.Random(seed)

    def ids(count: int) -> list[int]:
        return rng.choices(range(VOCABULARY), k=count)

    return [
        group(ids(prompt(rng)), [ids(rng.randint(*tokens)) for _ in range(size)])
        for _ in range(groups)
    ]
