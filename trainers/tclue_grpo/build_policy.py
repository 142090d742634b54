"""From the configuration to a policy: which backend, which weights, which reference.

A policy is always built from its base, so that the base can be what a KL term refers to; a run that
goes on then gives it what was trained, from its last checkpoint (`checkpoint.restore`).
"""

from __future__ import annotations

from typing import Any

import torch

from tclue.errors import UserError
from tclue_grpo import backend_hf, distributed, hf_load
from tclue_grpo.config import ModelConfig
from tclue_grpo.policy import Policy


def build(
    model: ModelConfig,
    base: str,
    temperature: float,
    device: str = "cpu",
    reference: bool = False,
) -> Policy:
    """The policy of a run, from its base (a folder, or a hub name); sharded over the processes.

    `reference` is whether `policy.reference()` will be asked for: it costs a copy on the CPU.
    """
    dtype, recompute = getattr(torch, model.dtype), model.gradient_checkpointing
    scoring = (temperature, model.head_chunk, recompute)
    empty = not distributed.is_rank_zero()
    policy: Policy
    if model.backend == "torchtune":
        policy = _torchtune(model).load(base, dtype, *scoring, empty=empty)
    else:
        lora = (model.lora_rank, model.lora_alpha)
        policy = hf_load.load(base, dtype, device, *scoring, *lora, empty=empty)
    if distributed.world_size() > 1:
        distributed.shard(policy)  # which moves each layer to its device, a part of it to each
    else:
        policy.to(device)
    if reference:
        policy.keep_reference()
    return policy


def _torchtune(model: ModelConfig) -> Any:
    """The backend, if it can be had."""
    if model.lora_rank:
        raise UserError("model.lora_rank: adapters need model.backend = hf, not torchtune")
    try:
        from tclue_grpo import backend_torchtune
    except ImportError as error:
        raise UserError(
            f"model.backend = torchtune: {error}: pip install 'tclue[torchtune]' brings it"
        ) from None
    return backend_torchtune


def sampled_from(policy: Policy) -> Any:
    """The transformers model that an engine in this process samples from.

    The policy's own; where that is sharded, or of another kind, one beside it, which the engine
    keeps in step.
    """
    if isinstance(policy, backend_hf.HfPolicy) and distributed.world_size() == 1:
        return policy.module
    device = str(policy.device)
    return hf_load.load(str(policy.base), policy.dtype, device).module.to(device)
