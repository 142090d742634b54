"""Checkpoints: whole or not there, whatever is killed or full, and all that a resume needs.

    step-000040/                           what transformers loads
    step-000040/trainer/optimizer-*        master weights, and AdamW's two moments
    step-000040/trainer/state.json         iteration, data position, guard, best, RNG
    kept.json                              which steps there are, what to benchmark

* A checkpoint is written beside its place (`step-000040.partial-PID`), fsynced file by file, and
  renamed. Nothing is removed before that. What a killed process left is removed when the run is
  taken up again; `kept.json` can always be made anew from the folders.
* Of a sharded run each process writes its own part of the optimizer (`optimizer-0-of-2.safetensors`
  is what the first of two holds), and process 0 all else. A run may go on with another number of
  processes: the parts of a weight, cut along its first dimension, are put together and split anew.
* Nothing is unpickled: tensors are in safetensors, the rest is JSON.
* Best, last and every so many iterations are kept.
* Sampling is seeded by (seed, iteration), so torch's and Python's generators decide nothing today;
  their states are kept all the same, for what may use them later.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tclue.errors import UserError
from tclue.journal import replace, sync
from tclue.strict import STRICT, read, read_json
from tclue_grpo.distributed import (
    all_gather,
    broadcast_from_rank_zero,
    is_rank_zero,
    rank,
    world_size,
)
from tclue_grpo.fsdp import local_tensor, shard_like

KEPT = "kept.json"
STATE = Path("trainer/state.json")
_FOLDER = re.compile(r"step-(\d{6,})")
_PARTIAL = re.compile(r"step-\d{6,}\.(partial|dropped)-\d+")
_MOMENTS = ("exp_avg", "exp_avg_sq")
_PART = re.compile(r"optimizer-(\d+)-of-(\d+)\.safetensors")


class Saves(Protocol):
    """What a policy has for this."""

    def save(self, folder: Path) -> None:
        """Write what transformers loads."""


@dataclass(frozen=True)
class State:
    """Where a run is, beside its weights and moments."""

    __pydantic_config__ = STRICT

    iteration: int
    # puzzle seeds used up, and the difficulty they are taken of
    position: int
    difficulty: str
    # what the learning rate is multiplied with, and times it was rolled back
    rate_factor: float = 1.0
    rollbacks: int = 0
    # bytes of metrics.jsonl: what stands after them was measured later, and is cut off on a resume
    metrics_bytes: int = 0
    # seconds of training so far, over all starts
    trained_s: float = 0.0
    # the guard's memory (`Guard.state`)
    guard: Mapping[str, Any] = field(default_factory=dict)
    # the step with the best validation: {"iteration": 40, "accuracy": 0.7, ...}; None before one
    best: Mapping[str, Any] | None = None


class Checkpoints:
    """The checkpoints of a run's folder, open for writing by one process."""

    def __init__(self, run: Path, about: Mapping[str, Any], keep_every: int = 0) -> None:
        """Take up a run's folder: what was half written is removed, `kept.json` made anew.

        `about` is what `kept.json` says beside the steps (base, puzzles, ...).
        """
        self.run, self._keep_every = run, keep_every
        # what `kept.json` says beside the steps; why the guard has ended the run, empty if not
        self.about: dict[str, Any] = {}
        self.stopped = ""
        self.about, self.stopped = broadcast_from_rank_zero(partial(self._take_up, about))

    def _take_up(self, about: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """What `kept.json` is to say beside the steps, and why the guard has ended the run."""
        run = self.run
        with _told(run):
            run.mkdir(parents=True, exist_ok=True)
            for path in run.iterdir():
                if _PARTIAL.fullmatch(path.name):
                    shutil.rmtree(path)
            path = run / KEPT
            before = _read_kept(path) if path.exists() else {}
            _check_base(path, before, about)
            # What training has cost so far stays, though the caller knows it only when it goes on.
            self.about = {**before, **about}
            self.stopped = before.get("stopped", "")
            if self.steps():
                self._keep(self._best())
        return self.about, self.stopped

    def steps(self) -> list[int]:
        """The iterations of the checkpoints that are there, whole."""
        return steps(self.run)

    def last(self) -> Path | None:
        """The folder to go on from; None where nothing was saved."""
        there = self.steps()
        return folder_of(self.run, there[-1]) if there else None

    def save(self, policy: Saves, optimizer: Updates, state: State) -> Path:
        """Write a checkpoint, then remove those that are no longer kept.

        Raises UserError where the disk is full: what was there before is whole, and stays.
        """
        final = folder_of(self.run, state.iteration)
        beside = self.run / f"{final.name}.partial-{broadcast_from_rank_zero(os.getpid)}"
        with _told(final, self.last(), beside):
            broadcast_from_rank_zero(partial((beside / STATE.parent).mkdir, parents=True))
            for failed in all_gather(_failure(partial(_write, policy, optimizer, beside))):
                if failed:
                    raise failed
            broadcast_from_rank_zero(lambda: self._finish(beside, final, state))
        return final

    def _finish(self, beside: Path, final: Path, state: State) -> None:
        """Give what is written its name, once all of it is on the disk."""
        text = json.dumps(asdict(state) | {"rng": _rng()}, indent=2, allow_nan=False)
        (beside / STATE).write_text(text + "\n")
        for path in (*beside.rglob("*"), beside):
            sync(path)
        beside.rename(final)
        sync(self.run)
        self._keep(state.best["iteration"] if state.best else None)

    def stop(self, why: str) -> None:
        """Note that the run has ended here: the weights that it ended with are not kept."""
        self.stopped = why
        if is_rank_zero() and self.steps():
            self._keep(self._best())
        all_gather(None)  # go on when all processes are here

    def _best(self) -> int | None:
        last = self.last()
        best = read_state(last).best if last else None
        return best["iteration"] if best else None

    def _keep(self, best: int | None) -> None:
        """Say in `kept.json` what stays, then remove the others."""
        there = self.steps()
        every = self._keep_every
        kept = [s for s in there if s in (best, there[-1]) or (every and s % every == 0)]
        told: dict[str, Any] = {"best": best if best in kept else None}
        told |= {"last": there[-1], "steps": kept}
        if self.stopped:
            told["stopped"] = self.stopped
        text = json.dumps(self.about | told, indent=2) + "\n"
        path = self.run / KEPT
        if not path.exists() or path.read_text() != text:
            replace(path, [text.encode()])
        for step in set(there) - set(kept):
            folder = folder_of(self.run, step)
            # Renamed first: a folder with its name is whole.
            dropped = folder.with_name(f"{folder.name}.dropped-{os.getpid()}")
            folder.rename(dropped)
            shutil.rmtree(dropped)


def _write(policy: Saves, optimizer: Updates, folder: Path) -> None:
    """What a process writes of a checkpoint."""
    policy.save(folder)
    sync(save_optimizer(optimizer, folder / STATE.parent))


def _failure(write: Callable[[], None]) -> OSError | None:
    """What went wrong in writing; told when all processes have written, so that all end of it."""
    try:
        write()
    except OSError as error:
        return error
    except SafetensorError as error:
        return OSError(str(error))
    return None


def _check_base(path: Path, before: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Refuse to go on from another base: what is gained, and what KL refers to, would change."""
    then, now = (told.get("base_checkpoint") for told in (before, about))
    if then and now and then != now:
        raise UserError(
            f"{path}: training began with a base whose files have SHA-256 {then[:8]}, and they "
            f"have {now[:8]} now: put them back, or give another --run"
        )


def _read_kept(path: Path) -> dict[str, Any]:
    """What `kept.json` says."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        raise UserError(
            f"{path}: expected a JSON object: remove the file, and it is made anew"
        ) from None


def steps(run: Path) -> list[int]:
    """The iterations of a run's whole checkpoints, in order."""
    names = (_FOLDER.fullmatch(path.name) for path in run.iterdir() if path.is_dir())
    return sorted(int(name[1]) for name in names if name)


def folder_of(run: Path, iteration: int) -> Path:
    """Where the checkpoint of an iteration is."""
    return run / f"step-{iteration:06d}"


def read_state(folder: Path) -> State:
    """Where the run was at a checkpoint; UserError where that cannot be read."""
    path = folder / STATE
    data = read_json(path)
    if not isinstance(data, dict) or "rng" not in data:
        raise UserError(f"{path}: rng is missing: not a checkpoint's state")
    return read(State, {name: data[name] for name in data if name != "rng"}, str(path))


def restore(folder: Path, optimizer: Updates) -> State:
    """Put weights, moments and generators back as they were at a checkpoint.

    The optimizer is that of the same model: its weights are overwritten.
    """
    state = read_state(folder)
    restore_optimizer(optimizer, folder / STATE.parent)
    _put_rng(read_json(folder / STATE)["rng"])
    return state


def _rng() -> dict[str, Any]:
    """The states of Python's and torch's generators."""
    version, numbers, gauss = random.getstate()
    of_torch = torch.get_rng_state()  # [byte] uint8
    return {"python": [version, list(numbers), gauss], "torch": bytes(of_torch.tolist()).hex()}


def _put_rng(states: Mapping[str, Any]) -> None:
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    torch.set_rng_state(torch.tensor(list(bytes.fromhex(states["torch"])), dtype=torch.uint8))


@contextmanager
def _told(final: Path, last: Path | None = None, beside: Path | None = None) -> Iterator[None]:
    """A write that fails, for a full disk above all, is told in one line, and leaves nothing."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if beside:
            shutil.rmtree(beside, ignore_errors=True)
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        safe = f"the last good checkpoint is {last}" if last else "there is no checkpoint before it"
        raise UserError(
            f"{final}: cannot be saved: {why}; {safe}; once there is room, the same command goes on"
        ) from None


class Updates(Protocol):
    """What `step.Optimizer` has for this."""

    # what AdamW changes, in the order of `weights`, and what the model computes with
    masters: list[Any]
    weights: list[Any]
    adamw: torch.optim.AdamW


def save_optimizer(optimizer: Updates, folder: Path) -> Path:
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


def restore_optimizer(optimizer: Updates, folder: Path) -> None:
    """Overwrite weights and moments with what a folder has; UserError where it is not whole."""
    with ExitStack() as stack:
        parts = _opened(folder, stack)
        _check_model(folder, parts, optimizer)
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


def _check_model(folder: Path, parts: Sequence[Any], optimizer: Updates) -> None:
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
