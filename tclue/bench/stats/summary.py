"""The summary of a run: accuracy and solved rate with intervals, other rates, tokens, dollars.

docs/method/statistics.md describes all of it: the puzzle is the unit, and failed requests are
counted, but never scored. `intervals` has the formulas, `at_k` the scores of several samples.

Records are read without texts (`iter_responses` with `texts=False`), which are most of the data, so
a large run fits into memory too.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np

from tclue.bench.costs.cost import Prices, Usage, agreement, repriced
from tclue.bench.models.registry import is_served_as
from tclue.bench.records import Outcome, Response, Run
from tclue.bench.stats.at_k import AtK, at_k, sizes
from tclue.bench.stats.intervals import (
    Estimate,
    known_mean,
    mean,
    mean_interval,
    rate_interval,
)
from tclue.puzzle.grading.shape import Unread
from tclue.puzzle.puzzle import BANDS, band

# Share of the requested responses that may be failed or missing in a complete run.
MAX_LOST = 0.02


class Scores(NamedTuple):
    """Means over the samples of a puzzle, or over a group of responses, from 0 to 1."""

    accuracy: float
    solved: float


def scores(responses: Iterable[Response]) -> Scores:
    """The means of one or more scored responses."""
    grades = [response.grade for response in responses if response.grade]
    return Scores(mean(grade.accuracy for grade in grades), mean(grade.solved for grade in grades))


@dataclass(frozen=True)
class DifficultyGroup:
    """The puzzles of one difficulty, as named in their file, or of one band of sizes."""

    split: str
    name: str
    puzzles: int
    accuracy: Estimate | None
    solved: Estimate | None


@dataclass(frozen=True)
class Summary:
    """The numbers of a run. Means over responses exclude failed ones."""

    run: str
    variant: str
    puzzle_set: str
    grader: str
    grader_version: int
    # puzzles with a scored response, and all puzzles of the run
    puzzles: int
    puzzles_asked: int
    samples: int
    # scored responses, and all that the run requests
    responses: int
    responses_asked: int
    # outcome -> number of requests; requests without a record are missing
    outcomes: Mapping[str, int]
    missing: int
    # the same as shares of the requests with a record
    rates: Mapping[str, float]
    # attempts that failed, even if a later attempt succeeded
    failed_attempts: int
    # whether at most MAX_LOST of the requested responses are failed or missing
    complete: bool
    # None if nothing was scored
    accuracy: Estimate | None
    solved: Estimate | None
    # for the main questions only (who, weapon, where, when, why)
    main_accuracy: Estimate | None
    main_solved: Estimate | None
    # for k = 1, 2, 4, ... and the number of samples
    at_k: tuple[AtK, ...]
    by_difficulty: tuple[DifficultyGroup, ...]
    # means per response; None if a response does not report them
    prompt_tokens: float | None
    cached_tokens: float | None
    completion_tokens: float | None
    reasoning_tokens: float | None
    # completion tokens that are not reasoning
    answer_tokens: float | None
    # seconds from the request to the last token
    latency_median_s: float | None
    latency_p95_s: float | None
    # mean US dollars per response at the run's prices; None if the cost of one is unknown
    cost_usd: float | None
    # US dollars of the whole run, with the known costs of failed requests
    total_cost_usd: float | None
    # responses of unknown cost, and the most that they and failed requests may have cost together
    unpriced: int
    at_most_usd: float
    # mean US dollars per response by litellm, and by today's price book; None if one is unknown
    cost_litellm_usd: float | None
    repriced_usd: float | None
    # a note on the cost, if the two calculators differ or one has no price
    cost_note: str | None
    # model id in the replies -> responses, and the ids that are not those of the requested weights
    model_ids: Mapping[str, int]
    served_otherwise: tuple[str, ...]
    # notes on the requests, such as a budget that was made smaller
    notes: tuple[str, ...]
    # scored responses with a text of which no answer was read; None if there are none
    unread: Unread | None = None


def summary(run: Run, prices: Prices | None = None, unread: Unread | None = None) -> Summary:
    """The summary of a run; its responses are also priced by `prices`, if there are any.

    The caller passes `unread`, because the texts of a run are not kept once it has been read.
    """
    config, final, by_puzzle = run.config, run.final(), list(run.by_puzzle().values())
    scored = [response for responses in by_puzzle for response in responses]
    failed = [response for response in run.responses if not response.scored]
    of_unknown_cost = [each for each in run.responses if each.cost_usd is None]
    failed_usd = math.fsum(response.cost_usd or 0.0 for response in failed)
    counts = Counter(response.outcome for response in final)
    outcomes: dict[str, int] = {outcome: counts[outcome] for outcome in get_args(Outcome)}
    requested = config.puzzles * config.samples
    usages = [each.usage for each in scored]
    accuracy, solved = _estimates(by_puzzle)
    main_accuracy, main_solved = _main_estimates(by_puzzle)
    cost_usd = known_mean([each.cost_usd for each in scored])
    median_s, p95_s = _latency_s(scored)
    ids = Counter(sorted(each.model_id for each in scored if each.model_id))
    return Summary(
        run=config.run_name,
        variant=config.variant,
        puzzle_set=config.puzzle_set,
        grader=config.grader,
        grader_version=config.grader_version,
        puzzles=len(by_puzzle),
        puzzles_asked=config.puzzles,
        samples=config.samples,
        responses=len(scored),
        responses_asked=requested,
        outcomes=outcomes,
        missing=requested - len(final),
        rates={k: n / len(final) if final else 0.0 for k, n in outcomes.items()},
        failed_attempts=len(failed),
        complete=requested - len(scored) <= MAX_LOST * requested,
        accuracy=accuracy,
        solved=solved,
        main_accuracy=main_accuracy,
        main_solved=main_solved,
        at_k=at_k(by_puzzle, sizes(config.samples)),
        by_difficulty=_by_difficulty(by_puzzle),
        prompt_tokens=known_mean([usage.prompt_tokens for usage in usages]),
        cached_tokens=known_mean([usage.cached_tokens for usage in usages]),
        completion_tokens=known_mean([usage.completion_tokens for usage in usages]),
        reasoning_tokens=known_mean([usage.reasoning_tokens for usage in usages]),
        answer_tokens=known_mean([_answer_tokens(usage) for usage in usages]),
        latency_median_s=median_s,
        latency_p95_s=p95_s,
        cost_usd=cost_usd,
        total_cost_usd=None if cost_usd is None else cost_usd * len(scored) + failed_usd,
        unpriced=sum(each.cost_usd is None for each in scored),
        at_most_usd=math.fsum(each.at_most_usd or 0.0 for each in of_unknown_cost),
        cost_litellm_usd=known_mean([each.cost_litellm_usd for each in scored]),
        repriced_usd=known_mean([repriced(u, prices) for u in usages]) if prices else None,
        cost_note=_cost_note(config.prices, scored),
        model_ids=dict(ids),
        served_otherwise=tuple(name for name in ids if not is_served_as(name, config.served_as)),
        notes=config.notes + ((config.trained.describe(),) if config.trained else ()),
        unread=unread,
    )


def _latency_s(responses: list[Response]) -> tuple[float | None, float | None]:
    """The median and the 95th percentile of the latencies, in seconds; None without responses."""
    seconds = [each.latency_s for each in responses]
    if not seconds:
        return None, None
    median_s, p95_s = np.quantile(seconds, (0.5, 0.95)).tolist()
    return median_s, p95_s


def _cost_note(prices: Prices, responses: list[Response]) -> str | None:
    """Whether our costs and those of litellm agree (see `agreement`)."""
    costs = [(each.usage, each.cost_usd, each.cost_litellm_usd) for each in responses]
    return agreement(prices, costs)


def _answer_tokens(usage: Usage) -> int | None:
    """Completion tokens that are not reasoning."""
    completion, reasoning = usage.completion_tokens, usage.reasoning_tokens
    return None if completion is None or reasoning is None else completion - reasoning


def _estimates(by_puzzle: list[list[Response]]) -> tuple[Estimate | None, Estimate | None]:
    """Accuracy and solved rate, from the scored responses of each puzzle."""
    means = [scores(responses) for responses in by_puzzle]
    return mean_interval([m.accuracy for m in means]), rate_interval([m.solved for m in means])


def _main_estimates(by_puzzle: list[list[Response]]) -> tuple[Estimate | None, Estimate | None]:
    """The same for the main questions, over the puzzles that have any."""
    mains = [
        [a for r in responses if r.grade and (a := r.grade.main_accuracy) is not None]
        for responses in by_puzzle
    ]
    all_right = [mean(a == 1 for a in accuracies) for accuracies in mains if accuracies]
    return mean_interval([mean(each) for each in mains if each]), rate_interval(all_right)


def _by_difficulty(by_puzzle: list[list[Response]]) -> tuple[DifficultyGroup, ...]:
    """The named difficulties in alphabetical order, then the bands from small to large."""
    groups: dict[tuple[str, str], list[list[Response]]] = {}
    for name in sorted({first.difficulty for first, *_ in by_puzzle if first.difficulty}):
        groups["difficulty", name] = [each for each in by_puzzle if each[0].difficulty == name]
    sized = [(clues, each) for each in by_puzzle if (clues := each[0].num_clues) is not None]
    for name in BANDS:
        groups["clues", name] = [each for clues, each in sized if band(clues) == name]
    return tuple(
        DifficultyGroup(split, name, len(inside), *_estimates(inside))
        for (split, name), inside in groups.items()
        if inside
    )
