"""Sharding: FSDP2 (`fully_shard`, https://arxiv.org/abs/2304.11277) under `torchrun`.

* Each layer, then the whole policy, is a unit: body and head lie within one forward, so the head's
  weights are there when the chunks of logits are made.
* Weights are put together one at a time, on the CPU of process 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tclue_grpo.distributed import full_tensor, is_rank_zero


def shard(policy: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Split weights, gradients and optimizer state over the processes, each on its own device.

    The weights are the first process's: what the others were built with does not count. Gradients
    are summed in fp32. After each forward the weights are split again, the policy's own too: else
    what changes them in between would not be seen.
    """
    whole = {name: weight.detach() for name, weight in policy.named_parameters()}
    precision = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for unit in (*layers, policy):
        fully_shard(unit, mp_policy=precision, reshard_after_forward=True)
    for unit in policy.modules():
        if isinstance(unit, FSDPModule):
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)  # gloo knows no other with a factor
    for name, weight in policy.named_parameters():
        copy_to_shard(weight, whole.pop(name))


def local_tensor(weight: Tensor) -> Tensor:
    """What this process holds of a weight."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def copy_to_shard(weight: Tensor, value: Tensor) -> None:
    """Give a weight the first process's value; all have to bring one of that shape."""
    if isinstance(weight, DTensor):
        value = value.to(weight.device)
        value = distribute_tensor(value, weight.device_mesh, weight.placements)
    with torch.no_grad():
        weight.copy_(value)


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """The part of this process of what it has whole, as another is split; nothing is sent."""
    value = value.to(like.device)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def full_state(module: nn.Module) -> dict[str, Tensor]:
    """The weights, whole; of a sharded module on the CPU of the first process, else empty."""
    state: dict[str, Tensor] = {}
    for name, weight in module.named_parameters():
        whole = full_tensor(weight).detach()
        if not isinstance(weight, DTensor):
            state[name] = whole
        elif is_rank_zero():
            state[name] = whole.cpu()
    return state
