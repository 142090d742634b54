"""The scores and costs of a run's responses, without their texts.

Records are read one at a time, without texts (`iter_responses(folder, texts=False)`), and only the
numbers of each are kept. So a run of any size fits into memory.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from tclue.bench.costs.cost import Usage
from tclue.bench.records import Outcome, Response, RunConfig
from tclue.bench.stats.intervals import mean

# US dollars that a response would cost at other prices than its run's; None if unknown.
Reprice = Callable[[RunConfig, Response], float | None]


class Vote(NamedTuple):
    """The answer of one response to one question."""

    letter: str
    # None if it names no option
    answer: str | None
    right: bool


class ResponseScores(NamedTuple):
    """The numbers of a response. Scores are None if it failed; other fields if they are unknown."""

    puzzle: str
    sample: int
    outcome: Outcome
    accuracy: float | None
    solved: bool | None
    main_accuracy: float | None
    votes: tuple[Vote, ...]
    num_clues: int | None
    difficulty: str | None
    usage: Usage
    latency_s: float
    cost_usd: float | None
    cost_litellm_usd: float | None
    repriced_usd: float | None
    model_id: str | None

    @property
    def scored(self) -> bool:
        """Whether it counts for accuracy. Failed responses do not."""
        return self.outcome != "failed"

    @property
    def answer_tokens(self) -> int | None:
        """Completion tokens that are not reasoning."""
        completion, reasoning = self.usage.completion_tokens, self.usage.reasoning_tokens
        return None if completion is None or reasoning is None else completion - reasoning


@dataclass(frozen=True)
class Tally:
    """The numbers of a run, from which its summary, comparisons and row on the board follow."""

    config: RunConfig
    # one for each pair of puzzle and sample with a record, sorted: the first that did not fail, or
    # the last if all failed
    marks: tuple[ResponseScores, ...]
    # attempts that failed, even if a later attempt succeeded
    failed_attempts: int
    # the known cost of failed attempts in US dollars
    failed_usd: float
    # most US dollars that the attempts of unknown cost may have cost; most of them failed
    at_most_usd: float
    # the day of the last scored response (UTC); None where the records do not say
    day: str | None = None

    @property
    def scored(self) -> list[ResponseScores]:
        """The responses that count for accuracy."""
        return [mark for mark in self.marks if mark.scored]

    def by_puzzle(self) -> dict[str, list[ResponseScores]]:
        """puzzle -> its scored responses in the order of the samples; only puzzles with any."""
        groups = groupby(self.scored, key=lambda mark: mark.puzzle)
        return {puzzle: list(marks) for puzzle, marks in groups}


def tally(
    config: RunConfig, responses: Iterable[Response], reprice: Reprice | None = None
) -> Tally:
    """Tally the records of a run. The order matters only for attempts at the same pair."""
    chosen: dict[tuple[str, int], ResponseScores] = {}
    # Most votes are equal to an earlier one, which is then reused to save memory.
    votes: dict[Vote, Vote] = {}
    failed, failed_usd, at_most, day = 0, [], [], ""
    for response in responses:
        if response.scored and (at := re.match(r"\d{4}-\d\d-\d\d", response.at or "")):
            day = max(day, at[0])
        if not response.scored:
            failed += 1
            failed_usd.append(response.cost_usd or 0.0)
        if response.cost_usd is None and response.at_most_usd:
            at_most.append(response.at_most_usd)
        previous = chosen.get(response.pair)
        if previous is None or not previous.scored:
            repriced = reprice(config, response) if reprice and response.scored else None
            chosen[response.pair] = _mark(response, repriced, votes)
    marks = tuple(chosen[pair] for pair in sorted(chosen))
    return Tally(config, marks, failed, math.fsum(failed_usd), math.fsum(at_most), day or None)


def _mark(
    response: Response, repriced_usd: float | None, votes: dict[Vote, Vote]
) -> ResponseScores:
    grade = response.grade
    own_votes = [Vote(k, v, k in grade.right) for k, v in grade.answers.items()] if grade else []
    return ResponseScores(
        puzzle=response.puzzle,
        sample=response.sample,
        outcome=response.outcome,
        accuracy=grade.accuracy if grade else None,
        solved=grade.solved if grade else None,
        main_accuracy=grade.main_accuracy if grade else None,
        votes=tuple(votes.setdefault(vote, vote) for vote in own_votes),
        num_clues=response.num_clues,
        difficulty=response.difficulty,
        usage=response.usage,
        latency_s=response.latency_s,
        cost_usd=response.cost_usd,
        cost_litellm_usd=response.cost_litellm_usd,
        repriced_usd=repriced_usd,
        model_id=response.model_id,
    )


class Scores(NamedTuple):
    """Means over the samples of a puzzle, or over a group of responses, from 0 to 1."""

    accuracy: float
    solved: float


def puzzle_scores(tally: Tally) -> Mapping[str, Scores]:
    """puzzle -> the means over its scored samples."""
    return {puzzle: scores(marks) for puzzle, marks in tally.by_puzzle().items()}


def scores(marks: Iterable[ResponseScores]) -> Scores:
    """The means of one or more scored responses."""
    marks = list(marks)
    return Scores(
        mean(mark.accuracy for mark in marks if mark.accuracy is not None),
        mean(float(mark.solved) for mark in marks if mark.solved is not None),
    )
