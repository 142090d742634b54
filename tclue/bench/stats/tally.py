"""The scores and costs of a run's responses, without their texts.

Records are read one at a time and without texts (`iter_responses(folder, texts=False)`), which are
most of the data, so a large run fits into memory too.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from tclue.bench.records import Response, RunConfig
from tclue.bench.stats.intervals import known_mean, mean

# US dollars that a response would cost at other prices than its run's; None if unknown.
Reprice = Callable[[RunConfig, Response], float | None]


@dataclass(frozen=True)
class Tally:
    """The numbers of a run, from which its summary, comparisons and row on the board follow."""

    config: RunConfig
    # one for each pair of puzzle and sample with a record, sorted: the first that did not fail, or
    # the last if all failed
    responses: tuple[Response, ...]
    # attempts that failed, even if a later attempt succeeded
    failed_attempts: int
    # the known cost of failed attempts in US dollars
    failed_usd: float
    # most US dollars that the attempts of unknown cost may have cost; most of them failed
    at_most_usd: float
    # mean US dollars of a scored response at other prices; None if one is unknown
    repriced_usd: float | None
    # the day of the last scored response (UTC); None where the records do not say
    day: str | None = None

    @property
    def scored(self) -> list[Response]:
        """The responses that count for accuracy."""
        return [response for response in self.responses if response.scored]

    def by_puzzle(self) -> dict[str, list[Response]]:
        """puzzle -> its scored responses in the order of the samples; only puzzles with any."""
        groups = groupby(self.scored, key=lambda response: response.puzzle)
        return {puzzle: list(responses) for puzzle, responses in groups}


def tally(
    config: RunConfig, responses: Iterable[Response], reprice: Reprice | None = None
) -> Tally:
    """Tally the records of a run. The order matters only for attempts at the same pair."""
    chosen: dict[tuple[str, int], Response] = {}
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
            chosen[response.pair] = response
    final = tuple(chosen[pair] for pair in sorted(chosen))
    repriced = [reprice(config, each) for each in final if each.scored] if reprice else []
    return Tally(
        config,
        final,
        failed,
        math.fsum(failed_usd),
        math.fsum(at_most),
        known_mean(repriced),
        day or None,
    )


class Scores(NamedTuple):
    """Means over the samples of a puzzle, or over a group of responses, from 0 to 1."""

    accuracy: float
    solved: float


def puzzle_scores(tally: Tally) -> Mapping[str, Scores]:
    """puzzle -> the means over its scored samples."""
    return {puzzle: scores(responses) for puzzle, responses in tally.by_puzzle().items()}


def scores(responses: Iterable[Response]) -> Scores:
    """The means of one or more scored responses."""
    grades = [response.grade for response in responses if response.grade]
    return Scores(mean(grade.accuracy for grade in grades), mean(grade.solved for grade in grades))
