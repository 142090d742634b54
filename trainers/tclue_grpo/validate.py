"""Validation: sampled accuracy on puzzles that are neither trained on nor reported.

The best checkpoint is chosen by it, so it is never what a result is reported on: that is the test
set, by `tclue bench`. The same draws each time, so two validations differ by the weights alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tclue.bench.stats.intervals import Estimate, mean, mean_interval
from tclue.puzzle.grading.grade import Grader
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.engines import Engine
from tclue_grpo.rollout import describe, graded, requests_for


@dataclass(frozen=True)
class Validation:
    """What a set of puzzles gave."""

    # mean over puzzles of the mean accuracy of their responses, with its 95% interval
    accuracy: Estimate
    # [puzzle] what it is the mean of
    by_puzzle: tuple[float, ...]
    # share of the responses with an answer to every question
    in_format: float
    # mean tokens of a response
    length: float


def validate(
    engine: Engine, tokenizer: Any, grader: Grader, puzzles: Sequence[Puzzle], samples: int
) -> Validation:
    """Sample each puzzle so many times, and grade."""
    requests = requests_for(tokenizer, puzzles, samples, seed=0, iteration=-1)
    groups = graded(tokenizer, grader, puzzles, requests, engine.sample(requests))
    accuracies = [mean(one.grade.accuracy for one in group.responses) for group in groups]
    accuracy, told = mean_interval(accuracies), describe(groups)
    assert accuracy is not None
    return Validation(accuracy, tuple(accuracies), told["in_format"], told["length"])
