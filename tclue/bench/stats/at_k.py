"""Several samples of a puzzle: avg@k, pass@k and consensus@k, per puzzle and then over puzzles.

* avg@k: the mean accuracy of k samples. Its expectation is the same for every k, so all samples are
  averaged.
* pass@k: the probability that at least one of k samples solves the puzzle. With c of n samples
  solved it is 1 - C(n - c, k) / C(n, k) (Chen et al., 2021, https://arxiv.org/abs/2107.03374,
  equation 1), which is unbiased for k <= n.
* consensus@k: the score of a vote of k samples, letter by letter (Wang et al., 2022,
  https://arxiv.org/abs/2203.11171). A sample without an answer to a letter does not vote there. A
  tie counts as much as a random choice would on average: 1/t if t answers lead and the right one is
  among them. So the order of samples or options has no influence. The score is averaged over the
  ways to choose k of the n samples, or over MOST_CHOICES of them, drawn with a fixed seed, if there
  are more.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from tclue.bench.records import Response
from tclue.bench.stats.intervals import Estimate, mean, mean_interval, rate_interval
from tclue.puzzle.grading.grade import Grade

MOST_CHOICES = 100
# The answer of one response to one question, None if it names no option; and whether it is right.
Vote = tuple[str | None, bool]


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


def at_k(by_puzzle: Sequence[Sequence[Response]], k: int) -> AtK:
    """The scores of k samples. `by_puzzle` has the scored responses of each puzzle."""
    enough = [responses for responses in by_puzzle if len(responses) >= k]
    graded = [[each.grade for each in responses if each.grade] for responses in enough]
    votes = [consensus([ballot(grade) for grade in grades], k) for grades in graded]
    return AtK(
        k=k,
        puzzles=len(enough),
        avg_accuracy=mean_interval([mean(grade.accuracy for grade in grades) for grades in graded]),
        pass_solved=rate_interval(
            [pass_at(len(grades), sum(grade.solved for grade in grades), k) for grades in graded]
        ),
        consensus_accuracy=mean_interval([accuracy for accuracy, _ in votes]),
        consensus_solved=rate_interval([all_right for _, all_right in votes], coins=1),
    )


def ballot(grade: Grade) -> list[Vote]:
    """The votes of a response, by letter."""
    return [(answer, letter in grade.right) for letter, answer in grade.answers.items()]


def pass_at(n: int, c: int, k: int) -> float:
    """The probability that k of n samples contain one of the c samples that solve the puzzle."""
    return 1 - math.comb(n - c, k) / math.comb(n, k)


def consensus(ballots: Sequence[Sequence[Vote]], k: int) -> tuple[float, float]:
    """Accuracy and solved rate of the vote of k of a puzzle's samples, averaged over the choices.

    `ballots` has the votes [sample][letter].
    """
    columns = list(zip(*ballots, strict=True))
    accuracies, solved = [], []
    for choice in choices(len(ballots), k):
        shares = [vote([column[i] for i in choice]) for column in columns]
        accuracies.append(mean(shares))
        solved.append(math.prod(shares))
    return mean(accuracies), mean(solved)


def vote(votes: Sequence[Vote]) -> float:
    """The probability that the answer with most votes is right, if ties are broken at random."""
    counts = Counter(answer for answer, _ in votes if answer is not None)
    highest = max(counts.values(), default=0)
    leading = {answer for answer, count in counts.items() if count == highest}
    right = any(is_right and answer in leading for answer, is_right in votes)
    return right / len(leading) if leading else 0.0


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
