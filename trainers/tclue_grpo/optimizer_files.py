"""Master weights and AdamW's moments as safetensors: what a resume needs beside the policy's base.

    trainer/optimizer-0-of-2.safetensors      what the first of two processes holds

Each process of a sharded run writes its own part. A run may go on with another number of processes:
the parts of a weight, cut along its first dimension, are put together and split anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tclue.errors import UserError
from tclue_grpo.distributed import rank, world_size
from tclue_grpo.fsdp import local_tensor, shard_like

_MOMENTS = ("exp_avg", "exp_avg_sq")
_PART = re.compile(r"optimizer-(\d+)-of-(\d+)\.safetensors")


class Updates(Protocol):
    """What `step.Optimizer` has for this."""

    # what AdamW changes, in the order of `weights`, and what the model computes with
    masters: list[Any]
    weights: list[Any]
    adamw: torch.optim.AdamW


def save(optimizer: Updates, folder: Path) -> Path:
    """Write this process's part into a folder: its path. Number 7 is the 8th trained weight."""
    tensors = {}
    for i, master in enumerate(optimizer.masters):
        tensors[f"{i}.master"] = master
        for name, value in optimizer.adamw.state.get(master, {}).items():
            tensors[f"{i}.{name}"] = value
    held = {
        name: local_tensor(value).detach().cpu().contiguous() for name, value in tensors.items()
    }
    path = folder / f"optimizer-{rank()}-of-{world_size()}.safetensors"
    save_file(held, path)
    return path


def restore(optimizer: Updates, folder: Path) -> None:
    """Overwrite weights and moments with what a folder has; UserError where it is not whole."""
    with ExitStack() as stack:
        parts = _opened(folder, stack)
        _check(folder, parts, optimizer)
        optimizer.adamw.state.clear()
        pairs = zip(optimizer.masters, optimizer.weights, strict=True)
        for i, (master, weight) in enumerate(pairs):
            with torch.no_grad():
                master.copy_(_put_together(parts, f"{i}.master", master))
                if master is not weight:
                    weight.copy_(master)
            if f"{i}.step" in parts[0].keys():  # noqa: SIM118  (a file, which cannot be asked)
                found = {name: _put_together(parts, f"{i}.{name}", master) for name in _MOMENTS}
                # The number of steps stays on the CPU, where AdamW made it.
                found["step"] = parts[0].get_tensor(f"{i}.step")
                optimizer.adamw.state[master] = found


def _opened(folder: Path, stack: ExitStack) -> list[Any]:
    """The files of all processes, in their order."""
    found = {
        int(name[1]): (path, int(name[2]))
        for path in folder.iterdir()
        if (name := _PART.fullmatch(path.name))
    }
    if not found or set(found) != set(range(next(iter(found.values()))[1])):
        raise UserError(
            f"{folder}: expected optimizer-0-of-N.safetensors and so on, N files: "
            f"{len(found)} of them found"
        )
    files = []
    for _, (path, _) in sorted(found.items()):
        try:
            files.append(stack.enter_context(safe_open(path, "pt")))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None
    return files


def _put_together(parts: Sequence[Any], name: str, like: Tensor) -> Tensor:
    """A tensor out of its parts, on the device of another, and sharded as that is."""
    pieces = [part.get_tensor(name) for part in parts]
    return shard_like(torch.cat(pieces) if len(pieces) > 1 else pieces[0], like)


def _check(folder: Path, parts: Sequence[Any], optimizer: Updates) -> None:
    """Refuse another model's checkpoint."""
    found: list[list[int]] = []
    while (name := f"{len(found)}.master") in parts[0].keys():  # noqa: SIM118
        shapes = [part.get_slice(name).get_shape() for part in parts]
        found.append([sum(shape[0] for shape in shapes), *shapes[0][1:]] if shapes[0] else [])
    wanted = [list(master.shape) for master in optimizer.masters]
    if found != wanted:
        where = next(
            (i for i, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]),
            min(len(found), len(wanted)),
        )
        raise UserError(
            f"{folder}: of another model ({len(found)} weights, not {len(wanted)}; they differ "
            f"from number {where}): take the run's own configuration"
        )
