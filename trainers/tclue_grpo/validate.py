"""Validation: sampled accuracy on puzzles that are neither trained on nor reported.

The best checkpoint is chosen by it, so it is never what a result is reported on: that is the test
set, by `tclue bench`. The same draws each time, so two validations differ by the weights alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tclue.bench.intervals import Estimate, mean, mean_interval
from tclue.puzzle.grade import Grader
from tclue.puzzle.puzzle import Puzzle
from tclue_grpo.rollout import Engine, requests_for


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
    accuracies, complete, lengths = [], [], []
    for puzzle, several in zip(puzzles, engine.sample(requests), strict=True):
        grades = [
            grader.grade(puzzle, tokenizer.decode(one.ids, skip_special_tokens=True))
            for one in several
        ]
        accuracies.append(mean(grade.accuracy for grade in grades))
        complete += [None not in grade.answers.values() for grade in grades]
        lengths += [len(one.ids) for one in several]
    accuracy = mean_interval(accuracies)
    assert accuracy is not None
    return Validation(accuracy, tuple(accuracies), mean(complete), mean(lengths))
