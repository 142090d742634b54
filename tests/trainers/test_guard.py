"""The guard, on recorded runs of the tiny model, healthy or ruined on purpose.

tests/data/guard_runs/*.jsonl: NAME-SEED.jsonl, made by tests/scripts/collapses.py (its docstring
has the command), timings left out. entropy-1 has 6 puzzles by 6 responses, 2 iterations, and 16
validation puzzles by 1: the bonus is seen long before it has done anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from places import DATA

from tclue_grpo import config
from tclue_grpo.guard import Guard

RUNS = DATA / "guard_runs"
HEALTHY = sorted(path.stem for path in RUNS.glob("healthy-*.jsonl"))


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (RUNS / f"{name}.jsonl").read_text().splitlines()]


def alarms(lines: Sequence[dict[str, Any]], guard: Guard) -> Iterator[tuple[int, str]]:
    """Every alarm, with the line's number; the guard is restored from its state at each line."""
    options = guard._options
    for number, line in enumerate(lines):
        stored = json.loads(json.dumps(guard.state()))
        guard = Guard(options, entropy_weight=guard._entropy_weight).restore(stored)
        alarm = (
            guard.check_validation(line["validation"]["by_puzzle"])
            if "validation" in line
            else guard.check_iteration(line)
        )
        if alarm:
            yield number, alarm


def fall(lines: Sequence[dict[str, Any]]) -> float:
    """How far the lowest accuracy of these lines lies below the base's validation."""
    values = [
        line["validation"]["accuracy"]["value"] if "validation" in line else line["accuracy"]
        for line in lines
    ]
    return float(values[0] - min(values))


def healthy(number: int, **changes: Any) -> dict[str, Any]:
    """The numbers of an iteration of a healthy run."""
    usual = {
        "iteration": number,
        "accuracy": 0.65,
        "entropy": 0.06,
        "length": 90.0,
        "truncated": 0.0,
        "gap": 1e-7,
        "grad_norm": 0.003,
        "moved": 0.01,
        "rate": 5e-4,
    }
    return usual | changes


def feed(guard: Guard, *runs: tuple[int, dict[str, Any]]) -> list[str | None]:
    """Feed the guard iterations, `n` with each of the changes in turn; return its alarms."""
    return [guard.check_iteration(healthy(i, **changes)) for n, changes in runs for i in range(n)]


def test_there_are_three_healthy_runs() -> None:
    assert len(HEALTHY) == 3


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_runs_are_left_alone(name: str) -> None:
    lines = lines_of(name)
    assert sum("accuracy" in line for line in lines) >= 5
    assert list(alarms(lines, Guard(config.GuardConfig()))) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rate-1", "one iteration changed the log-probabilities by"),
        ("gap-1", "the trainer's log-probabilities differ from the sampler's"),
        ("entropy-1", "the entropy term raises entropy"),
    ],
)
def test_a_forced_collapse_is_caught_before_accuracy_falls(name: str, reason: str) -> None:
    lines = lines_of(name)
    weight = 10.0 if name == "entropy-1" else 0.0
    number, alarm = next(alarms(lines, Guard(config.GuardConfig(), entropy_weight=weight)))
    assert alarm.startswith(reason)
    seen = lines[: number + 1]
    assert lines[number]["iteration"] <= 2
    assert fall(seen) < 0.05


def test_a_policy_that_goes_to_pieces_has_fallen_after_the_alarm() -> None:
    accuracies = [line["accuracy"] for line in lines_of("rate-1") if "accuracy" in line]
    assert accuracies[1] < accuracies[0] - 0.3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"grad_norm": 0.2}, "gradient norm is 0.2, usually 0.003"),
        ({"entropy": 0.3}, "entropy is 0.300 nats, usually 0.060"),
        ({"truncated": 0.4}, "40% of the responses are truncated, usually 0%"),
        ({"grad_norm": None}, "grad_norm of the iteration: not a finite number"),
    ],
)
def test_what_is_wrong_several_times_is_told(changes: dict[str, Any], reason: str) -> None:
    raised = feed(Guard(config.GuardConfig()), (8, {}), (1, changes), (1, {}), (2, changes))
    assert raised[:-1] == [None] * 11  # wrong once, then well, then wrong once: patience is 2
    assert raised[-1] == f"{reason} (2 iterations in a row)"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"entropy": 0.001}, "entropy is 0.0010 nats"),
        ({"length": 10.0}, "responses have 10 tokens"),
    ],
)
def test_settled_or_short_answers_alarm_only_where_accuracy_falls(
    changes: dict[str, Any], reason: str
) -> None:
    assert feed(Guard(config.GuardConfig()), (8, {}), (20, changes)) == [None] * 28
    assert (
        feed(Guard(config.GuardConfig()), (8, {}), (20, {**changes, "accuracy": 0.9}))
        == [None] * 28
    )
    raised = feed(Guard(config.GuardConfig()), (8, {}), (9, {**changes, "accuracy": 0.5}))
    first = next(alarm for alarm in raised if alarm)
    assert first.startswith(reason)
    assert "accuracy has fallen" in first


def test_an_entropy_term_is_named() -> None:
    raised = feed(Guard(config.GuardConfig(), entropy_weight=10.0), (8, {}), (2, {"entropy": 0.5}))
    assert raised[-1]
    assert "check the sign of loss.entropy, which is 10" in raised[-1]


@pytest.mark.parametrize("weight", [0.01, 0.1, 1.0, -1.0])
def test_an_entropy_term_that_outweighs_the_reward(weight: float) -> None:
    guard = Guard(config.GuardConfig(), entropy_weight=weight)
    raised = feed(guard, (3, {"surrogate_weight": 0.026}))
    assert [bool(alarm) for alarm in raised] == [False, abs(weight) == 1, abs(weight) == 1]


def test_validation_falls_beyond_chance() -> None:
    best = [0.5 + 0.1 * (i % 5) for i in range(64)]
    guard = Guard(config.GuardConfig())
    assert guard.check_validation(best) is None
    # noise of 0.2 a puzzle, and a mean that falls by 0.02: within the drop that is allowed
    assert guard.check_validation([a - 0.02 + 0.2 * (-1) ** i for i, a in enumerate(best)]) is None
    # a fall of 0.06 whose interval holds 0
    rough = [a - 0.06 + 0.5 * (-1) ** i for i, a in enumerate(best)]
    assert guard.check_validation(rough) is None
    # one whose 95% interval does not, and whose 99.9% interval does
    assert guard.check_validation([a - 0.06 + 0.2 * (-1) ** i for i, a in enumerate(best)]) is None
    alarm = guard.check_validation([a - 0.06 + 0.1 * (-1) ** i for i, a in enumerate(best)])
    assert alarm
    assert alarm.startswith("validation accuracy is")
    assert "0.060 below the best (0.697)" in alarm


def test_a_guard_that_is_off_says_nothing() -> None:
    guard = Guard(replace(config.GuardConfig(), on=False))
    assert feed(guard, (8, {}), (5, {"gap": 5.0, "moved": 9.0})) == [None] * 13
    assert guard.check_validation([1.0, 1.0]) is None
    assert guard.check_validation([0.0, 0.0]) is None


def test_after_a_roll_back_it_watches_on() -> None:
    guard = Guard(config.GuardConfig())
    feed(guard, (8, {}), (1, {"grad_norm": 0.2}))
    guard.reset_after_rollback()
    assert feed(guard, (1, {"grad_norm": 0.2}), (1, {})) == [None, None]
    assert feed(guard, (2, {"grad_norm": 0.2}))[-1]


@pytest.mark.slow
@pytest.mark.model
def test_a_real_step_that_is_too_large() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from collapses import configuration, train_state

    from tclue_grpo.step import iterate

    for name, expected in (
        ("healthy", ""),
        ("rate", "one iteration changed the log-probabilities"),
    ):
        state = train_state(small(configuration(name, 1)))
        try:
            alarm = Guard(state.config.guard).check_iteration(iterate(state))
        finally:
            state.puzzles.close()
        assert (alarm or "")[: len(expected) or None] == expected


def small(full: config.Config) -> config.Config:
    """The same configuration with few responses."""
    return replace(
        full,
        data=replace(full.data, puzzles_per_iteration=4),
        rollout=replace(full.rollout, responses_per_puzzle=4, refill_rounds=0),
    )
