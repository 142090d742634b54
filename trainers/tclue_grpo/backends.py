"""From the configuration to a policy: which backend, which weights, which reference.

A policy is always built from its base, so that the base can be what a KL term refers to; a run that
goes on then gives it the weights of its last checkpoint. With LoRA a checkpoint has the merged
weights, for whoever loads it, and beside them the adapters, which the run goes on from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tclue.errors import UserError
from tclue_grpo import backend_hf, hf_load
from tclue_grpo.config import Model
from tclue_grpo.hf_files import ADAPTERS, read_weights
from tclue_grpo.lora import load_adapters
from tclue_grpo.policy import Policy


def build(
    model: Model,
    base: str,
    temperature: float,
    device: str = "cpu",
    checkpoint: Path | None = None,
    reference: bool = False,
) -> Policy:
    """The policy of a run, from a base (a folder, or a hub name), or from a checkpoint of the run.

    `reference` is whether `policy.reference()` will be asked for: it costs a copy on the CPU.
    """
    common = (getattr(torch, model.dtype), device, temperature, model.head_chunk)
    policy: Policy
    if model.backend == "torchtune":
        policy = _torchtune(model).load(base, *common, model.gradient_checkpointing)
    else:
        lora = (model.lora_rank, model.lora_alpha)
        policy = hf_load.load(base, *common, model.gradient_checkpointing, *lora)
    if reference:
        policy.keep_reference()
    if checkpoint and model.lora_rank:
        load_adapters(policy, load_file(checkpoint / ADAPTERS))
    elif checkpoint:
        policy.load_hf(read_weights(checkpoint))
    return policy


def _torchtune(model: Model) -> Any:
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

    The policy's own; where it has none, one beside it, which the engine keeps in step.
    """
    if isinstance(policy, backend_hf.HfPolicy):
        return policy.module
    weight = next(policy.parameters())
    return hf_load.load(str(policy.base), weight.dtype, str(weight.device)).module
