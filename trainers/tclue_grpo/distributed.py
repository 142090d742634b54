"""Communication between processes, named as in torch.distributed; all of it works with one, too.

* All processes run the same loop on the same numbers: whatever depends on chance, a clock or the
  user is decided by process 0 and sent to the others (`broadcast_from_rank_zero`).
* Packs are distributed over the processes; gradients are summed over them, not averaged, because a
  pack's loss is already its share of the whole batch's. So a batch gives the same gradient, and
  the same optimizer step, on any number of processes.
* `fsdp` shards the weights, and `launch` starts the processes.
"""

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

T = TypeVar("T")


def world_size() -> int:
    """The number of processes; 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_rank_zero() -> bool:
    """Whether this is process 0, which writes files and shows progress."""
    return rank() == 0


def broadcast_from_rank_zero(make: Callable[[], T]) -> T:
    """Call `make` in process 0, and return its value, sent pickled, in all processes."""
    if not dist.is_initialized():
        return make()
    values = [make() if is_rank_zero() else None]
    dist.broadcast_object_list(values, device=torch.device("cpu"))
    return values[0]  # type: ignore[return-value]  # None is replaced by the broadcast


def all_gather(value: T) -> list[T]:
    """The values of all processes, in order of rank, in each of them."""
    if not dist.is_initialized():
        return [value]
    values: list[T | None] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]  # filled


def full_tensor(value: Tensor) -> Tensor:
    """The unsharded weight, gradient or norm; all processes have to call this together."""
    return value.full_tensor() if isinstance(value, DTensor) else value
