"""The diagnosis of a flat reward."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from places import DATA

from tclue_grpo.diagnose_reward import diagnose, is_flat, screen

RUNS = DATA / "guard_runs"


def iterations(name: str) -> list[dict[str, Any]]:
    lines = (RUNS / f"{name}.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if "accuracy" in line]


def flat(**changes: Any) -> list[dict[str, Any]]:
    """Iterations whose reward only fluctuates."""
    usual = {
        "in_format": 1.0,
        "unparsed": 0.0,
        "length": 90.0,
        "truncated": 0.0,
        "groups": 30,
        "dropped": 2,
        "gap": 1e-7,
        "moved": 0.01,
        "rate": 5e-4,
    }
    return [
        {"iteration": i, "reward": 0.6 + 0.01 * (-1) ** i, **usual, **changes} for i in range(10)
    ]


@pytest.mark.parametrize(
    ("changes", "cause", "advice"),
    [
        ({"gap": 0.4}, "gap", "rollout.temperature"),
        ({"truncated": 0.9, "in_format": 0.1}, "truncation", "rollout.max_tokens"),
        ({"in_format": 0.05, "unparsed": 0.9}, "format", "reward.format_penalty"),
        ({"groups": 3, "dropped": 60}, "spread", "too easy"),
        ({"moved": 1e-6, "rate": 1e-8}, "rate", "update.learning_rate"),
        ({}, "unknown", "more iterations"),
    ],
)
def test_each_cause_is_named(changes: dict[str, Any], cause: str, advice: str) -> None:
    lines = flat(**changes)
    assert is_flat(lines)
    diagnosis = diagnose(lines)
    assert diagnosis.cause == cause
    assert advice in diagnosis.advice
    text = screen(diagnosis, lines)
    assert f"Cause: {cause}." in text
    assert len(text.splitlines()) <= 24


def test_puzzles_that_nobody_solves_are_too_hard() -> None:
    lines = [line | {"reward": 0.0} for line in flat(groups=0, dropped=60)]
    assert "too hard" in diagnose(lines).advice


def test_a_reward_that_rises_is_not_flat() -> None:
    assert not is_flat([{"reward": 0.5 + 0.02 * i} for i in range(12)])
    assert not is_flat([{"reward": 0.5}] * 3)  # too few iterations


def test_recorded_runs() -> None:
    """Real numbers of the tiny model: an injected gap, and a healthy run."""
    assert diagnose(iterations("gap-1")).cause == "gap"
    assert diagnose(iterations("healthy-2")).cause == "unknown"


class Muddled:
    """A tokenizer that garbles answers, like a base with its own answer format."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._tokenizer(*args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def decode(self, *args: Any, **named: Any) -> str:
        return str(self._tokenizer.decode(*args, **named)).replace(".", "").replace("\n", " ")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("cause", ["gap", "truncation", "format", "spread", "rate"])
def test_each_cause_brought_about_on_the_tiny_model(cause: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from collapses import NOISE, configuration, train_state

    from tclue_grpo.step import iterate

    config = configuration("healthy", 1)
    rollout = replace(config.rollout, responses_per_puzzle=4, refill_rounds=0)
    if cause == "truncation":
        rollout = replace(rollout, max_tokens=8)
    if cause == "spread":
        rollout = replace(rollout, temperature=0.001)
    rate = 1e-9 if cause == "rate" else config.update.learning_rate
    state = train_state(
        replace(
            config,
            data=replace(config.data, puzzles_per_iteration=4),
            rollout=rollout,
            update=replace(config.update, learning_rate=rate),
        ),
        noise=NOISE if cause == "gap" else 0.0,
    )
    if cause == "format":
        state.tokenizer = Muddled(state.tokenizer)
    try:
        numbers = iterate(state)
    finally:
        state.puzzles.close()
    assert diagnose([{"iteration": 1, **numbers}]).cause == cause
