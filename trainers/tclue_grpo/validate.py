"""Validation: sampled accuracy on puzzles that are neither trained on nor reported on.

It selects the best checkpoint, so results are never reported on it, but on the test set, by
`tclue bench`. The seeds are the same each time, so two validations differ by the weights alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tclue.bench.stats.intervals import Estimate, mean, mean_interval
from tclue.puzzle.grading.grade import Grader
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.engines import Engine
from tclue_grpo.rollout import describe, grade_samples, requests_for


@dataclass(frozen=True)
class Validation:
    """The result of a validation."""

    # mean over puzzles of the mean accuracy of their responses, with its 95% interval
    accuracy: Estimate
    # [puzzle] mean accuracy of each puzzle's responses
    by_puzzle: tuple[float, ...]
    # share of the responses with an answer to every question
    in_format: float
    # mean tokens of a response
    length: float


def validate(
    engine: Engine, tokenizer: Any, grader: Grader, puzzles: Sequence[Puzzle], samples: int
) -> Validation:
    """Sample `samples` responses to each puzzle, and grade them."""
    requests = requests_for(tokenizer, puzzles, samples, seed=0, iteration=-1)
    groups = grade_samples(tokenizer, grader, puzzles, requests, engine.sample(requests))
    accuracies = [mean(response.grade.accuracy for response in group.responses) for group in groups]
    accuracy, summary = mean_interval(accuracies), describe(groups)
    assert accuracy is not None
    return Validation(accuracy, tuple(accuracies), summary["in_format"], summary["length"])
