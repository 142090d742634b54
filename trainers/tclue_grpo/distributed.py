"""What several processes tell each other, in torch.distributed's words; each works with one, too.

* All processes run the same loop on the same numbers: what chance, a clock or a person decides is
  decided by process 0, and told to the others (`broadcast_from_rank_zero`).
* Packs are dealt out to the processes; gradients are summed over them, not averaged, because the
  loss of a pack is already its share of the whole batch's. So a batch gives the same gradient, and
  takes the same optimizer step, on any number of processes.
* `fsdp` splits the weights, and `launch` starts the processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

T = TypeVar("T")


def world_size() -> int:
    """How many there are; 1 where none was started."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_rank_zero() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return rank() == 0


def broadcast_from_rank_zero(make: Callable[[], T]) -> T:
    """What the first process makes, in all of them; it is sent pickled, from process to process."""
    if not dist.is_initialized():
        return make()
    held = [make() if is_rank_zero() else None]
    dist.broadcast_object_list(held, device=torch.device("cpu"))
    return held[0]  # type: ignore[return-value]  # None only where another process made it


def all_gather(value: T) -> list[T]:
    """The values of all processes, in their order, in each of them."""
    if not dist.is_initialized():
        return [value]
    found: list[T | None] = [None] * world_size()
    dist.all_gather_object(found, value)
    return found  # type: ignore[return-value]  # filled


def full_tensor(value: Tensor) -> Tensor:
    """The whole of a weight, a gradient or a norm; all processes have to ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value
