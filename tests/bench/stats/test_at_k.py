"""Several samples: pass@k and consensus@k by their definitions, on every choice of samples."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from itertools import combinations, permutations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tclue.bench.costs.cost import Usage
from tclue.bench.records import Response
from tclue.bench.stats.at_k import (
    MOST_CHOICES,
    Vote,
    at_k,
    ballot,
    choices,
    consensus,
    pass_at,
    sizes,
)
from tclue.bench.stats.intervals import mean
from tclue.puzzle.grading.grade import Grade


def mark(puzzle: int, sample: int, answers: str, right: str) -> Response:
    """A sample that says a letter of `answers` to each question; `-` is no answer."""
    said = {chr(65 + i): None if answer == "-" else answer for i, answer in enumerate(answers)}
    correct = tuple(k for k, expected in zip(said, right, strict=True) if said[k] == expected)
    accuracy = len(correct) / len(right)
    grade = Grade(accuracy, accuracy == 1, said, correct, accuracy)
    return Response(
        f"p{puzzle:03}", sample, "answered", "sound", grade, "", None, "stop", Usage(), 1.0, None,
        0.0, None,
    )  # fmt: skip


ballots = st.integers(1, 3).flatmap(
    lambda letters: st.lists(
        st.text("xyz-", min_size=letters, max_size=letters), min_size=1, max_size=6
    )
)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), st.data())
def test_pass_at_k_is_the_share_of_choices_that_hold_one(
    solved: tuple[int, int], data: st.DataObject
) -> None:
    n, c = solved
    k = data.draw(st.integers(1, n))
    tried = [any(i < c for i in choice) for choice in combinations(range(n), k)]
    assert pass_at(n, c, k) == pytest.approx(fmean(tried))


def test_pass_at_k_is_unbiased() -> None:
    rng, rate, n, k = random.Random(3), 0.3, 6, 4
    draws = [sum(rng.random() < rate for _ in range(n)) for _ in range(4000)]
    assert fmean(pass_at(n, c, k) for c in draws) == pytest.approx(1 - (1 - rate) ** k, abs=0.02)
    # What one would write down first is not: 1 - (1 - c/n)^k.
    assert fmean(1 - (1 - c / n) ** k for c in draws) < 1 - (1 - rate) ** k - 0.02


@given(ballots, st.data())
def test_consensus_at_k_is_a_vote_of_every_k_with_every_order_of_a_tie(
    samples: list[str], data: st.DataObject
) -> None:
    right = "x" * len(samples[0])
    k = data.draw(st.integers(1, len(samples)))
    marks = [mark(0, i, answers, right) for i, answers in enumerate(samples)]
    expected, solved = [], []
    for chosen in combinations(samples, k):
        for order in permutations("xyz"):
            won = [winner([answers[i] for answers in chosen], order) for i in range(len(right))]
            expected.append(fmean(letter == "x" for letter in won))
        # Ties of different letters are drawn apart.
        alone = [
            fmean(winner([a[i] for a in chosen], order) == "x" for order in permutations("xyz"))
            for i in range(len(right))
        ]
        product = 1.0
        for share in alone:
            product *= share
        solved.append(product)
    vote = consensus([ballot(sample.grade) for sample in marks if sample.grade], [k])[k]
    assert vote == pytest.approx((fmean(expected), fmean(solved)))


def winner(votes: list[str], order: tuple[str, ...]) -> str | None:
    """The answer with most votes; of those that tie, the first in an order."""
    counts = {answer: votes.count(answer) for answer in order if answer in votes}
    return max(counts, key=lambda answer: counts[answer]) if counts else None


def vote(votes: Sequence[Vote]) -> float:
    """The probability that the answer with most votes is right, if ties are broken at random."""
    counts = Counter(answer for answer, _ in votes if answer is not None)
    highest = max(counts.values(), default=0)
    leading = {answer for answer, count in counts.items() if count == highest}
    right = any(is_right and answer in leading for answer, is_right in votes)
    return right / len(leading) if leading else 0.0


def plain_consensus(ballots: Sequence[Sequence[Vote]], k: int) -> tuple[float, float]:
    """The definition, choice by choice and letter by letter."""
    columns = list(zip(*ballots, strict=True))
    chosen = choices(len(ballots), k)
    shares = [[vote([column[i] for i in choice]) for column in columns] for choice in chosen]
    return mean(map(mean, shares)), mean(map(math.prod, shares))


# Also more than two choices that tie, and more samples than the 64 bits of a word.
many_ballots = st.builds(
    lambda seed, samples, letters, answers, silent: [
        [
            (None if rng.random() < silent else str(rng.randrange(answers)), rng.random() < 0.4)
            for _ in range(letters)
        ]
        for rng in [random.Random(seed)]
        for _ in range(samples)
    ],
    st.integers(0, 2**32),
    st.integers(1, 12) | st.sampled_from([63, 64, 65, 130]),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.2, 1.0]),
)


@given(many_ballots)
def test_consensus_is_its_plain_definition_to_the_last_bit(
    ballots: list[list[Vote]],
) -> None:
    ks = sizes(len(ballots))
    counted = consensus(ballots, ks)
    assert counted == {k: plain_consensus(ballots, k) for k in ks}


def test_a_tie_is_shared_and_silence_has_no_vote() -> None:
    x, y, silent = ("x", True), ("y", False), (None, False)

    def shared(*votes: Vote) -> float:
        all_of_them = len(votes)
        return consensus([[each] for each in votes], [all_of_them])[all_of_them][0]

    assert shared(x, y) == shared(y, x) == 0.5
    assert shared(x, silent, silent) == 1.0
    assert shared(y, y, x) == 0.0
    assert shared(silent) == 0.0


@given(st.lists(ballots.map(lambda samples: [answers[0] for answers in samples]), max_size=5))
def test_one_sample_is_accuracy_solved_and_its_own_consensus(puzzles: list[list[str]]) -> None:
    by_puzzle = [
        [mark(i, j, answer, "x") for j, answer in enumerate(samples)]
        for i, samples in enumerate(puzzles)
    ]
    (at_1,) = at_k(by_puzzle, [1])
    assert at_1.puzzles == len(puzzles)
    if puzzles:
        assert at_1.avg_accuracy is not None
        assert at_1.consensus_accuracy is not None
        assert at_1.pass_solved is not None
        assert at_1.consensus_accuracy.value == pytest.approx(at_1.avg_accuracy.value)
        assert at_1.pass_solved.value == pytest.approx(at_1.avg_accuracy.value)


def test_puzzles_with_too_few_samples_are_left_out() -> None:
    by_puzzle = [[mark(0, 0, "x", "x")], [mark(1, 0, "y", "x"), mark(1, 1, "x", "x")]]
    at_2, at_3 = at_k(by_puzzle, [2, 3])
    assert at_2.puzzles == 1
    assert at_2.pass_solved is not None
    assert at_2.pass_solved.value == 1.0
    assert at_3.pass_solved is None


def test_the_k_are_powers_of_two_and_the_samples() -> None:
    assert [sizes(n) for n in (1, 2, 3, 4, 6, 16)] == [
        [1], [1, 2], [1, 2, 3], [1, 2, 4], [1, 2, 4, 6], [1, 2, 4, 8, 16],
    ]  # fmt: skip


def test_choices_are_all_or_many_and_always_the_same() -> None:
    assert choices(4, 2) == tuple(combinations(range(4), 2))
    many = choices(16, 8)
    assert len(many) == MOST_CHOICES
    assert all(len(set(choice)) == 8 for choice in many)
    choices.cache_clear()
    assert choices(16, 8) == many
    # Every sample is in about half of them.
    counts = [sum(i in choice for choice in many) for i in range(16)]
    assert min(counts) > 30
    assert max(counts) < 70
