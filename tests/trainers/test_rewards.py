"""Rewards from real grades of a real puzzle, and advantages."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest

from tclue.puzzle.grading.grade import grader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue.puzzle.wording import MAIN_TOPICS
from tclue_grpo.config import RewardConfig
from tclue_grpo.rewards import advantages, reward_of, shuffle_rewards
from tclue_grpo.rollout import Finish, GradedSample, Group, Sample

LIMIT = 100
PLAIN = RewardConfig()


def mixed_puzzle() -> Puzzle:
    """A puzzle with main questions and others."""
    for puzzle in load_set("easy-test").puzzles:
        mains = sum(q.topic in MAIN_TOPICS for q in puzzle.questions.values())
        if 2 <= mains <= len(puzzle.questions) - 2:
            return puzzle
    raise AssertionError("no such puzzle")


def main_letters(puzzle: Puzzle) -> list[str]:
    return [k for k, q in puzzle.questions.items() if q.topic in MAIN_TOPICS]


def group(right: list[list[str]], wrong: list[list[str]] | None = None, tokens: int = 10) -> Group:
    """Responses that answer these letters right, and those wrong."""
    puzzle = mixed_puzzle()
    assert puzzle.solution
    result = Group(puzzle, [1])
    for i, letters in enumerate(right):
        lines = [f"{letter}. {puzzle.solution[letter]}" for letter in letters]
        for letter in wrong[i] if wrong else []:
            other = next(o for o in puzzle.options[letter] if o != puzzle.solution[letter])
            lines.append(f"{letter}. {other}")
        text = "\n".join(lines)
        sample = Sample([1] * tokens, [-1.0] * tokens, "stop")
        result.responses.append(GradedSample(sample, text, grader("sound").grade(puzzle, text)))
    return result


def rewards(graded_group: Group, options: RewardConfig, limit: int) -> list[float]:
    return [reward_of(graded_group, r, options, limit) for r in graded_group.responses]


def everything() -> tuple[list[str], list[str], list[str]]:
    """All letters, those of main questions, and the others."""
    puzzle = mixed_puzzle()
    main = main_letters(puzzle)
    return list(puzzle.questions), main, [k for k in puzzle.questions if k not in main]


def test_the_reward_is_the_accuracy() -> None:
    letters, _, _ = everything()
    graded_group = group([letters, letters[:1], []])
    assert rewards(graded_group, PLAIN, LIMIT) == [1, 1 / len(letters), 0]


def test_a_bonus_for_those_solved_alone() -> None:
    letters, _, _ = everything()
    graded_group = group([letters, letters[1:]])
    earned = rewards(graded_group, replace(PLAIN, solved_bonus=0.5), LIMIT)
    assert earned == pytest.approx([1.5, 1 - 1 / len(letters)])


def test_main_questions_weigh_more() -> None:
    letters, main, others = everything()
    graded_group = group([main, others, letters, [main[0], others[0]]])
    total = 3 * len(main) + len(others)
    expected = [3 * len(main) / total, len(others) / total, 1, 4 / total]
    assert rewards(graded_group, replace(PLAIN, main_weight=3.0), LIMIT) == pytest.approx(expected)


def test_without_main_questions_their_weight_says_nothing() -> None:
    letters, _, _ = everything()
    graded_group = group([letters[:1], []])
    for response in graded_group.responses:  # as the grader grades such a puzzle
        response.grade = replace(response.grade, main_accuracy=None)
    earned = rewards(graded_group, replace(PLAIN, main_weight=3.0), LIMIT)
    assert earned == [1 / len(letters), 0]


def test_accuracy_to_a_power() -> None:
    letters, _, _ = everything()
    graded_group = group([letters, letters[:2], []])
    earned = rewards(graded_group, replace(PLAIN, power=2.0), LIMIT)
    assert earned == pytest.approx([1, (2 / len(letters)) ** 2, 0])


def test_a_penalty_for_the_share_without_an_answer() -> None:
    letters, _, _ = everything()
    graded_group = group([letters[:1], letters[:1], []], [[], letters[1:], []])
    share = 1 / len(letters)
    earned = rewards(graded_group, replace(PLAIN, format_penalty=0.25), LIMIT)
    assert earned == pytest.approx([share - 0.25 * (1 - share), share, -0.25])


@pytest.mark.parametrize(
    ("tokens", "penalty"), [(1, 0), (80, 0), (81, 0.05), (90, 0.5), (99, 0.95), (100, 1)]
)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_length_is_shaped_over_the_last_fifth(tokens: int, penalty: float, finish: Finish) -> None:
    letters, _, _ = everything()
    graded_group = group([letters], tokens=tokens)
    graded_group.responses[0].sample = replace(graded_group.responses[0].sample, finish=finish)
    earned = rewards(graded_group, replace(PLAIN, length_shaping=0.3), LIMIT)
    assert earned == pytest.approx([1 - 0.3 * penalty])
    assert rewards(graded_group, PLAIN, LIMIT) == [1]


def test_options_add_up() -> None:
    letters, _, _ = everything()
    options = RewardConfig(solved_bonus=0.1, power=2.0, format_penalty=0.2, length_shaping=0.4)
    graded_group = group([letters, letters[:2]], tokens=90)
    share = 2 / len(letters)
    expected = [1 + 0.1 - 0.2, share**2 - 0.2 * (1 - share) - 0.2]
    assert rewards(graded_group, options, LIMIT) == pytest.approx(expected)


def test_advantages_are_mean_centred() -> None:
    assert advantages([1.0, 0.5, 0.0, 0.5], False) == [0.5, 0, -0.5, 0]
    assert advantages([0.2, 0.2, 0.8], False) == pytest.approx([-0.2, -0.2, 0.4])


def test_the_deviation_is_the_populations() -> None:
    earned = [1.0, 0.5, 0.0, 0.25]
    deviation = statistics.pstdev(earned)
    expected = [(r - 0.4375) / (deviation + 1e-6) for r in earned]
    assert advantages(earned, True) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("divide", [False, True])
@pytest.mark.parametrize("earned", [[0.1] * 7, [0.1 + 0.2, 0.3, 0.3], [0.7], []])
def test_without_spread_there_is_no_advantage(earned: list[float], divide: bool) -> None:
    assert advantages(earned, divide) == [0.0] * len(earned)


def test_truncated_responses_count_in_the_mean() -> None:
    letters, _, _ = everything()
    graded_group = group([letters, [], letters[:2]])
    graded_group.responses[1].sample = replace(graded_group.responses[1].sample, finish="length")
    earned = rewards(graded_group, PLAIN, LIMIT)
    mean_reward = math.fsum(earned) / 3
    assert advantages(earned, False) == pytest.approx([r - mean_reward for r in earned])


def earn(graded_group: Group, earned: list[float]) -> Group:
    for response, reward in zip(graded_group.responses, earned, strict=True):
        response.reward = reward
    return graded_group


def test_spread_is_what_rounding_is_not() -> None:
    for divided in (False, True):
        assert not any(advantages([0.0, 0.0, 0.0], divided))
        assert not any(advantages([0.1 + 0.2, 0.3, 0.3], divided))
        assert any(advantages([0.3, 0.3, 0.301], divided))


@pytest.mark.slow
def test_shuffled_rewards_are_the_same_ones_over_the_whole_batch() -> None:
    def batch() -> list[Group]:
        return [earn(group([[]] * 8), [i + j / 8 for j in range(8)]) for i in range(4)]

    def earned(groups: list[Group]) -> list[float]:
        return [r.reward for graded_group in groups for r in graded_group.responses]

    plain, seed_1, seed_1_again, seed_2 = batch(), batch(), batch(), batch()
    shuffle_rewards(seed_1, 1)
    shuffle_rewards(seed_1_again, 1)
    shuffle_rewards(seed_2, 2)
    assert sorted(earned(seed_1)) == earned(plain)
    assert earned(seed_1) == earned(seed_1_again)
    assert len({tuple(map(float, earned(g))) for g in (plain, seed_1, seed_2)}) == 3
    # Rewards leave their group.
    assert {int(r.reward) for r in seed_1[0].responses} != {0}
    # And the texts stay in place.
    assert [r.text for r in seed_1[0].responses] == [r.text for r in plain[0].responses]
