"""The learning rate of an iteration: it rises, stays, and falls."""

from __future__ import annotations

from tclue_grpo.config import Config


def learning_rate(config: Config, iteration: int) -> float:
    """The rate of an iteration, counted from 0; before what a roll-back makes of it."""
    update = config.update
    warm = min(1.0, (iteration + 1) / (update.warmup_iterations + 1))
    responses = config.data.puzzles_per_iteration * config.rollout.responses_per_puzzle
    share = responses / update.steps_per_iteration / update.scale_responses
    scaled = min(share, update.scale_cap) if update.scale_cap else 1.0
    left = max(0, config.train.iterations - iteration)
    cool = min(1.0, left / (update.decay_iterations + 1))
    return update.learning_rate * warm * cool * scaled


def sampling_rounds(config: Config) -> int:
    """Times that an iteration samples puzzles: once, and to replace groups without spread.

    Of puzzles that come again, a refill would bring the same ones, with the same responses.
    """
    return 1 if config.data.puzzles else 1 + config.rollout.refill_rounds
