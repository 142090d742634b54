"""Sharding: FSDP2 (`fully_shard`, https://arxiv.org/abs/2304.11277) under `torchrun`.

* Each layer is a unit, and then the whole policy is one: body and head are within one forward, so
  the head's weights are gathered when the chunks of logits are computed.
* Full weights are gathered one at a time, on the CPU of process 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tclue_grpo.distributed import full_tensor, is_rank_zero


def shard(policy: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Shard weights, gradients and optimizer state over the processes, each on its own device.

    The weights are those of process 0; the weights of the other processes are overwritten.
    Gradients are summed in fp32. After each forward all weights are sharded again, those of the
    root module too: otherwise the next forward would miss changes made in between.
    """
    full = {name: weight.detach() for name, weight in policy.named_parameters()}
    precision = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for unit in (*layers, policy):
        fully_shard(unit, mp_policy=precision, reshard_after_forward=True)
    for unit in policy.modules():
        if isinstance(unit, FSDPModule):
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)  # gloo supports a factor with sums only
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            assert isinstance(weight, DTensor)
            value = full.pop(name).to(weight.device)
            weight.copy_(distribute_tensor(value, weight.device_mesh, weight.placements))


def local_tensor(weight: Tensor) -> Tensor:
    """The shard of a weight that this process has."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """The shard of `value` of this process, sharded as `like` is; without communication."""
    value = value.to(like.device)
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def full_state(module: nn.Module) -> dict[str, Tensor]:
    """The full weights; of a sharded module only in process 0, on the CPU (else empty)."""
    state: dict[str, Tensor] = {}
    for name, weight in module.named_parameters():
        full = full_tensor(weight).detach()
        if not isinstance(weight, DTensor):
            state[name] = full
        elif is_rank_zero():
            state[name] = full.cpu()
    return state
