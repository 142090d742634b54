"""Several samples of a puzzle: avg@k, pass@k and consensus@k, per puzzle and then over puzzles.

docs/method/statistics.md defines them. pass@k is that of Chen et al., 2021
(https://arxiv.org/abs/2107.03374, equation 1), consensus@k that of Wang et al., 2022
(https://arxiv.org/abs/2203.11171), in which a tie of t answers counts 1/t if one of them is right.
It is averaged over the ways to choose k of the n samples, or over MOST_CHOICES of them.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from itertools import combinations
from operator import mul

import numpy as np
from numpy.typing import NDArray

from tclue.bench.records import Response
from tclue.bench.stats.intervals import Estimate, mean, mean_interval, rate_interval
from tclue.puzzle.grading.grade import Grade

MOST_CHOICES = 100
# The answer of one response to one question, None if it names no option; and whether it is right.
Vote = tuple[str | None, bool]
# The accuracy and the solved rate of a vote, from 0 to 1.
Voted = tuple[float, float]


@dataclass(frozen=True)
class AtK:
    """The scores of k samples, over the puzzles with k scored samples or more."""

    k: int
    puzzles: int
    # None if no puzzle has so many
    avg_accuracy: Estimate | None
    pass_solved: Estimate | None
    consensus_accuracy: Estimate | None
    consensus_solved: Estimate | None


def sizes(samples: int) -> list[int]:
    """The values of k: the powers of two below the number of samples, and that number."""
    return [*(2**i for i in range(samples.bit_length()) if 2**i < samples), samples]


def at_k(by_puzzle: Sequence[Sequence[Response]], ks: Sequence[int]) -> tuple[AtK, ...]:
    """The scores of k samples, for each k. `by_puzzle` has the scored responses of each puzzle."""
    graded = [[each.grade for each in responses if each.grade] for responses in by_puzzle]
    votes = [
        consensus([ballot(grade) for grade in grades], [k for k in ks if k <= len(grades)])
        for grades in graded
    ]
    return tuple(_at_k(graded, votes, k) for k in ks)


def _at_k(graded: list[list[Grade]], votes: list[dict[int, Voted]], k: int) -> AtK:
    enough = [grades for grades in graded if len(grades) >= k]
    voted = [each[k] for each in votes if k in each]
    return AtK(
        k=k,
        puzzles=len(enough),
        avg_accuracy=mean_interval([mean(grade.accuracy for grade in grades) for grades in enough]),
        pass_solved=rate_interval(
            [pass_at(len(grades), sum(grade.solved for grade in grades), k) for grades in enough]
        ),
        consensus_accuracy=mean_interval([accuracy for accuracy, _ in voted]),
        consensus_solved=rate_interval([all_right for _, all_right in voted], coins=1),
    )


def ballot(grade: Grade) -> list[Vote]:
    """The votes of a response, by letter."""
    return [(answer, letter in grade.right) for letter, answer in grade.answers.items()]


def pass_at(n: int, c: int, k: int) -> float:
    """The probability that k of n samples contain one of the c samples that solve the puzzle."""
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def consensus(ballots: Sequence[Sequence[Vote]], ks: Sequence[int]) -> dict[int, Voted]:
    """k -> the scores of the vote of k of a puzzle's samples, averaged over the choices.

    `ballots` has the votes [sample][letter]. All choices of all k are counted at once: choice by
    choice, as in the tests, took nine tenths of the time of a large board. Samples are bits of
    words, because counting bits is quick and, unlike a product of matrices, starts no threads.
    """
    voters, right_voters = _voters(ballots)
    chosen = _members(len(ballots), tuple(ks))[:, None, None]
    # the number of votes for each answer [choice, letter, answer]
    counts = np.bitwise_count(chosen & voters).sum(-1)
    leading = (counts == counts.max(-1, keepdims=True)) & (counts > 0)
    is_right = (leading & (chosen & right_voters).any(-1)).any(-1)
    # the probability that the answer with most votes is right, if ties are broken at random
    shares = is_right / leading.sum(-1).clip(1)
    solved = reduce(mul, shares.T)
    # The sums of the upper and of the lower bits are exact, so only their sum is rounded.
    upper = (shares * 2**26).round() / 2**26
    accuracy = (upper.sum(-1) + (shares - upper).sum(-1)) / len(voters)
    sizes = [min(math.comb(len(ballots), k), MOST_CHOICES) for k in ks]
    parts = [np.split(scores, np.cumsum(sizes)) for scores in (accuracy, solved)]
    return {k: (mean(a.tolist()), mean(s.tolist())) for k, a, s in zip(ks, *parts, strict=False)}


def _voters(ballots: Sequence[Sequence[Vote]]) -> NDArray[np.uint64]:
    """The samples with each answer, and those that are right: [2, letter, answer, word]."""
    # letter -> answer -> its number
    numbers: list[dict[str, int]] = [{} for _ in ballots[0]]
    votes = [
        (letter, numbers[letter].setdefault(answer, len(numbers[letter])), sample, is_right)
        for sample, votes in enumerate(ballots)
        for letter, (answer, is_right) in enumerate(votes)
        if answer is not None
    ]
    words = -(-len(ballots) // 64)
    flags = np.zeros((2, len(numbers), max(1, *map(len, numbers)), 64 * words), bool)
    letter, answer, sample, is_right = np.array(votes, np.intp).reshape(-1, 4).T
    flags[0, letter, answer, sample] = True
    flags[1, letter, answer, sample] = is_right
    return np.packbits(flags, axis=-1).view(np.uint64)


@lru_cache
def _members(n: int, ks: tuple[int, ...]) -> NDArray[np.uint64]:
    """The samples of each choice of each k, in turn: [choice, word]."""
    drawn = [choice for k in ks for choice in choices(n, k)]
    flags = np.zeros((len(drawn), -(-n // 64) * 64), bool)
    for row, choice in zip(flags, drawn, strict=True):
        row[list(choice)] = True
    return np.packbits(flags, axis=-1).view(np.uint64)


@lru_cache
def choices(n: int, k: int) -> tuple[tuple[int, ...], ...]:
    """Ways to choose k of n: all, or MOST_CHOICES of them drawn with a fixed seed."""
    if math.comb(n, k) <= MOST_CHOICES:
        return tuple(combinations(range(n), k))
    # Sorting by draws replaces `sample`: only `random()` is the same in every version of Python.
    rng = random.Random(f"{k} of {n}")
    return tuple(
        tuple(sorted(range(n), key=[rng.random() for _ in range(n)].__getitem__)[:k])
        for _ in range(MOST_CHOICES)
    )
