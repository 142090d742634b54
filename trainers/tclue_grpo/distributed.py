"""Sharding: FSDP2 (`fully_shard`, https://arxiv.org/abs/2304.11277) under `torchrun`.

* Each layer, then the whole policy, is a unit: body and head lie within one forward, so the head's
  weights are there when the chunks of logits are made.
* Packs are dealt out to the processes; gradients are summed over them, not averaged, because the
  loss of a pack is already its share of the whole batch's. So a batch gives the same gradient, and
  takes the same optimizer step, on any number of processes.
* Weights are put together one at a time, on the CPU of the first process.
* All processes run the same loop on the same numbers: what chance, a clock or a person decides is
  decided by the first one, and told to the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tclue_grpo.policy import Pack, Policy

T = TypeVar("T")

# The others wait while the first one samples, or saves. That a process died is seen by who started
# it, not by the wait.
PATIENCE = timedelta(hours=6)


def start() -> None:
    """Join the other processes, as the environment that `torchrun` makes says."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=PATIENCE)
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)


def end() -> None:
    """Leave them."""
    dist.destroy_process_group()


def world_size() -> int:
    """How many there are; 1 where there was no `start`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_world_size() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if dist.is_initialized() else 1


def is_rank_zero() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return rank() == 0


def broadcast_from_rank_zero(make: Callable[[], T]) -> T:
    """What the first process makes, in all of them; it is sent pickled, from process to process."""
    if not dist.is_initialized():
        return make()
    held = [make() if is_rank_zero() else None]
    dist.broadcast_object_list(held, device=torch.device("cpu"))
    found: T = held[0]  # type: ignore[assignment]  # None only where another process made it
    return found


def all_gather(value: T) -> list[T]:
    """The values of all processes, in their order, in each of them."""
    if not dist.is_initialized():
        return [value]
    found: list[T | None] = [None] * world_size()
    dist.all_gather_object(found, value)
    return found  # type: ignore[return-value]  # filled


def barrier() -> None:
    """Go on when all processes are here."""
    all_gather(None)


def shard(policy: Policy) -> None:
    """Split weights, gradients and optimizer state over the processes, each on its own device.

    The weights are the first process's: what the others were built with does not count. Gradients
    are summed in fp32. After each forward the weights are split again, the policy's own too: else
    what changes them in between would not be seen.
    """
    whole = {name: weight.detach() for name, weight in policy.named_parameters()}
    precision = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for unit in (*policy.layers(), policy):
        fully_shard(unit, mp_policy=precision, reshard_after_forward=True)
    for unit in policy.modules():
        if isinstance(unit, FSDPModule):
            unit.set_gradient_divide_factor(1.0)
            unit.set_force_sum_reduction_for_comms(True)  # gloo knows no other with a factor
    for name, weight in policy.named_parameters():
        copy_to_shard(weight, whole.pop(name))


def packs_of_this_rank(batch: Sequence[Pack]) -> list[Pack]:
    """The packs of a batch that are this process's; all have as many, some of them of no weight.

    Every forward gathers weights from all processes, so all must take the same number.
    """
    packs = list(batch[rank() :: world_size()])
    nothing = replace(batch[0], mask=torch.zeros_like(batch[0].mask))
    return packs + [nothing] * (-(-len(batch) // world_size()) - len(packs))


def local_tensor(weight: Tensor) -> Tensor:
    """What this process holds of a weight."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def full_tensor(value: Tensor) -> Tensor:
    """The whole of a weight, a gradient or a norm; all processes have to ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


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
