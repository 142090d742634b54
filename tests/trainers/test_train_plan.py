"""Derived from a configuration: the learning rate of an iteration, and the needs of GPUs."""

from __future__ import annotations

import pytest
from machines import gpus

from tclue.errors import UserError
from tclue_grpo import plan
from tclue_grpo.config_file import load
from tclue_grpo.model_size import shape_of
from tclue_grpo.step import learning_rate
from tclue_grpo.trainer import joined_machine


def test_the_rate_rises_stays_falls_and_is_never_below_nothing() -> None:
    update = {"warmup_iterations": 1, "decay_iterations": 3, "learning_rate": 1.0}
    settings = [f"update.{name}={value}" for name, value in update.items()]
    config = load("tiny", settings=[*settings, "train.iterations=8"])
    rates = [learning_rate(config, iteration) for iteration in range(10)]
    assert rates == [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    scaled = [f"update.scale_cap={cap}" for cap in (0.5, 4.0)]
    responses = config.data.puzzles_per_iteration * config.rollout.responses_per_puzzle
    step_responses = responses / config.update.steps_per_iteration
    scale_setting = f"update.scale_responses={int(step_responses / 2)}"
    capped_rates = [
        learning_rate(load("tiny", settings=[*settings, scale_setting, cap_setting]), 3)
        for cap_setting in scaled
    ]
    assert capped_rates == [0.5, 2.0]


def test_machines_that_torchrun_joins_count_with_their_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert joined_machine(gpus(8, 80)) == gpus(8, 80)
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    both_machines = joined_machine(gpus(8, 80))
    assert both_machines.gpus == gpus(16, 80).gpus
    config = load("llama-3.1-70b", settings=["price.gpus=16"])
    plan.refuse_unfit("llama-3.1-70b", config, True, both_machines)
    with pytest.raises(UserError, match="needs 16 GPUs, and this machine has 8"):
        plan.refuse_unfit("llama-3.1-70b", config, True, gpus(8, 80))


def test_in_process_sampling_on_several_gpus_takes_a_copy_of_the_weights() -> None:
    config = load("qwen2.5-32b", settings=["rollout.engine=hf"])
    shape = shape_of(config.model.base)
    assert shape
    on_one, on_four = (plan.memory(config, shape, count, 80e9).sampler for count in (1, 4))
    assert on_four - on_one == 2 * shape.parameters
