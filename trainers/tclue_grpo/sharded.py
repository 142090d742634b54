"""Sharding: FSDP2 (`fully_shard`, https://arxiv.org/abs/2304.11277) under `torchrun`.

* Each layer, then the whole policy, is a unit: body and head lie within one forward, so the head's
  weights are there when the chunks of logits are made.
* Packs are dealt out to the processes; gradients are summed over them, not averaged, because the
  loss of a pack is already its share of the whole batch's. So a batch gives the same gradient, and
  takes the same optimizer step, on any number of processes.
* Weights are put together one at a time, on the CPU of the first process.

    torchrun --nproc-per-node 2 ...     and `start()`, `shard(policy)`, `mine(batch)`, `total(loss)`
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tclue_grpo.policy import Pack, Policy


def start() -> torch.device:
    """Join the processes that `torchrun` started; the device of this one."""
    if not torch.cuda.is_available():
        dist.init_process_group("gloo")
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    return device


def processes() -> int:
    """How many there are; 1 without `torchrun`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return not dist.is_initialized() or dist.get_rank() == 0


def shard(policy: Policy, compute: torch.dtype | None = None) -> None:
    """Split the weights, gradients and optimizer state over the processes.

    `compute` is what weights are cast to where they are used: fp32 shards with bf16 compute are
    master weights at no extra cost. Gradients are summed in fp32. After each forward the weights
    are split again, the policy's own too: else what changes them in between would not be seen.
    """
    precision = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    for unit in (*policy.layers(), policy):
        fully_shard(unit, mp_policy=precision, reshard_after_forward=True)
    for unit in policy.modules():
        if isinstance(unit, FSDPModule):
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)  # gloo knows no other with a factor


def mine(batch: Sequence[Pack]) -> list[Pack]:
    """The packs of a batch that are this process's; all have as many, some of them of no weight.

    Every forward gathers weights from all processes, so all must take the same number.
    """
    first = dist.get_rank() if dist.is_initialized() else 0
    packs = list(batch[first :: processes()])
    nothing = replace(batch[0], mask=torch.zeros_like(batch[0].mask))
    return packs + [nothing] * (-(-len(batch) // processes()) - len(packs))


def total(value: Tensor) -> Tensor:
    """The sum over the processes."""
    value = value.detach().clone()
    if dist.is_initialized():
        dist.all_reduce(value)
    return value


def local(weight: Tensor) -> Tensor:
    """What this process holds of a weight."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def full(weight: Tensor) -> Tensor | None:
    """The whole of a weight; of a sharded one, on the first process's CPU alone."""
    if not isinstance(weight, DTensor):
        return weight.detach()
    whole = weight.full_tensor().detach()
    return whole.cpu() if is_first() else None


def put(weight: Tensor, value: Tensor) -> None:
    """Give a weight, sharded or not, this value; all processes have to bring it."""
    if isinstance(weight, DTensor):
        value = value.to(weight.device)
        value = distribute_tensor(value, weight.device_mesh, weight.placements)
    with torch.no_grad():
        weight.copy_(value)


def full_state(module: nn.Module, part: str = "") -> dict[str, Tensor]:
    """The weights with this in their name, whole; empty where another process has them."""
    named = [(name, weight) for name, weight in module.named_parameters() if part in name]
    whole = ((name, full(weight)) for name, weight in named)
    return {name: weight for name, weight in whole if weight is not None}
