"""Checkpoints: complete or absent, even after a kill or a full disk, with all that a resume needs.

    step-000040/                           what transformers loads
    step-000040/trainer/optimizer-*        master weights, and AdamW's two moments
    step-000040/trainer/state.json         iteration, data position, guard, best, RNG
    kept.json                              which steps exist, what to benchmark

* A checkpoint is written to a draft folder (`step-000040.partial-PID`), fsynced file by file, and
  renamed. Older checkpoints are removed only after that. Drafts of a killed process are removed
  when the run is resumed; `kept.json` can always be rebuilt from the folders.
* In a sharded run each process writes its own part of the optimizer (process 0 of two writes
  `optimizer-0-of-2.safetensors`), and process 0 writes the rest. A run may resume with another
  number of processes: a weight is sharded along its first dimension; its parts are joined and
  sharded again.
* Nothing is unpickled: tensors are in safetensors, the rest is JSON.
* The best and the last checkpoint are kept, and one every `train.keep_every` iterations.
* Sampling is seeded by (seed, iteration), so torch's and Python's global generators have no effect
  today; their states are saved anyway, for code that may use them later.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tclue.errors import UserError
from tclue.journal import remove_drafts, replace, sync
from tclue.strict import STRICT, CountOrZero, read, read_json
from tclue.trainers import checkpoints
from tclue_grpo.distributed import (
    all_gather,
    broadcast_from_rank_zero,
    is_rank_zero,
    rank,
    world_size,
)
from tclue_grpo.fsdp import local_tensor, shard_like
from tclue_grpo.policy import Policy
from tclue_grpo.step import Optimizer

KEPT = "kept.json"
STATE = Path("trainer/state.json")
_PARTIAL = re.compile(r"step-\d{6,}\.(partial|dropped)-\d+")
_MOMENTS = ("exp_avg", "exp_avg_sq")
_PART = "optimizer-{}-of-{}.safetensors"


@dataclass(frozen=True)
class State:
    """The state of a run besides its weights and moments."""

    __pydantic_config__ = STRICT

    iteration: CountOrZero
    # puzzle seeds used so far, and the difficulty of the puzzles
    position: CountOrZero
    difficulty: str
    # the factor on the learning rate, and how often the run was rolled back
    rate_factor: float = 1.0
    rollbacks: int = 0
    # bytes of metrics.jsonl; a resume cuts off everything after them, which was measured later
    metrics_bytes: CountOrZero = 0
    # seconds of training so far, in all sessions
    trained_s: float = 0.0
    # the guard's memory (`Guard.state`)
    guard: Mapping[str, Any] = field(default_factory=dict)
    # the step with the best validation: {"iteration": 40, "accuracy": 0.7, ...}; None before one
    best: Mapping[str, Any] | None = None


class Checkpoints:
    """The checkpoints of a run's folder, open for writing by one process."""

    def __init__(self, run: Path, manifest: Mapping[str, Any], keep_every: int = 0) -> None:
        """Open a run's folder: drafts of a killed process are removed, `kept.json` is rebuilt.

        `manifest` is what `kept.json` holds besides the steps (base, puzzles, ...).
        """
        self.run, self._keep_every = run, keep_every
        # what `kept.json` holds besides the steps; why the guard stopped the run, or empty
        self.manifest, self.stopped = broadcast_from_rank_zero(partial(self._open_folder, manifest))

    def _open_folder(self, manifest: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """The new manifest, and why the guard stopped the run (empty if it did not)."""
        run = self.run
        with _as_user_error(run):
            run.mkdir(parents=True, exist_ok=True)
            for path in run.iterdir():
                if _PARTIAL.fullmatch(path.name):
                    shutil.rmtree(path)
            remove_drafts(run)
            path = run / KEPT
            previous = _read_kept(path) if path.exists() else {}
            _check_base(path, previous, manifest)
            # The cost of training so far is kept: the caller learns it only after the resume.
            self.manifest = {**previous, **manifest}
            self.stopped = previous.get("stopped", "")
            self._update_kept()
        return self.manifest, self.stopped

    def steps(self) -> list[int]:
        """The iterations of the complete checkpoints."""
        # A folder of another form, such as step-7, is not one that this trainer wrote.
        folders = checkpoints(self.run).items()
        return [step for step, path in folders if path == step_folder(self.run, step)]

    def last(self) -> Path | None:
        """The folder to resume from; None if nothing was saved."""
        saved = self.steps()
        return step_folder(self.run, saved[-1]) if saved else None

    def save(self, policy: Policy, optimizer: Optimizer, state: State) -> Path:
        """Write a checkpoint, then remove those that are no longer kept.

        Raises UserError if the disk is full; earlier checkpoints stay complete.
        """
        final = step_folder(self.run, state.iteration)
        draft = self.run / f"{final.name}.partial-{broadcast_from_rank_zero(os.getpid)}"
        with _as_user_error(final, self.last(), draft):
            broadcast_from_rank_zero(partial((draft / STATE.parent).mkdir, parents=True))
            for error in all_gather(_write(policy, optimizer, draft)):
                if error:
                    raise error
            broadcast_from_rank_zero(lambda: self._finish(draft, final, state))
        return final

    def _finish(self, draft: Path, final: Path, state: State) -> None:
        """Rename the draft to its final name, once all of it is on the disk."""
        text = json.dumps(asdict(state) | {"rng": _rng_states()}, indent=2, allow_nan=False)
        (draft / STATE).write_text(text + "\n")
        for path in (*draft.rglob("*"), draft):
            sync(path)
        draft.rename(final)
        sync(self.run)
        self._update_kept()

    def stop(self, reason: str) -> None:
        """Record that the run has stopped and why; its current weights are not saved."""
        self.stopped = reason
        if is_rank_zero():
            self._update_kept()
        all_gather(None)  # wait for all processes

    def _update_kept(self) -> None:
        """Write to `kept.json` which checkpoints stay, then remove the others."""
        saved, every = self.steps(), self._keep_every
        if not saved:
            return
        best = (read_state(step_folder(self.run, saved[-1])).best or {}).get("iteration")
        kept = [s for s in saved if s in (best, saved[-1]) or (every and s % every == 0)]
        fields: dict[str, Any] = {"best": best if best in kept else None}
        fields |= {"last": saved[-1], "steps": kept}
        if self.stopped:
            fields["stopped"] = self.stopped
        text = json.dumps(self.manifest | fields, indent=2) + "\n"
        path = self.run / KEPT
        if not path.exists() or path.read_text() != text:
            replace(path, [text.encode()])
        for step in set(saved) - set(kept):
            folder = step_folder(self.run, step)
            # Renamed first: a folder with a checkpoint's name is always complete.
            dropped = folder.with_name(f"{folder.name}.dropped-{os.getpid()}")
            folder.rename(dropped)
            shutil.rmtree(dropped)


def _write(policy: Policy, optimizer: Optimizer, folder: Path) -> OSError | None:
    """Write this process's part. An error is returned: all processes finish before all raise it."""
    try:
        policy.save(folder)
        sync(save_optimizer(optimizer, folder / STATE.parent))
    except OSError as error:
        return error
    except SafetensorError as error:
        return OSError(str(error))
    return None


def _check_base(path: Path, previous: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Refuse to resume from another base, or with other prompts, than those of the metrics."""
    for field_name, what in (
        ("base_checkpoint", "a base whose files have"),
        ("prompts_sha256", "validation prompts (which a chat template may date) that have"),
    ):
        old, new = (fields.get(field_name) for fields in (previous, manifest))
        if old and new and old != new:
            raise UserError(
                f"{path}: training began with {what} SHA-256 {old[:8]}, and now they have "
                f"{new[:8]}: restore them, or give another --run"
            )


def _read_kept(path: Path) -> dict[str, Any]:
    """The contents of `kept.json`."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError, RecursionError):
        raise UserError(
            f"{path}: expected a JSON object: remove the file, and it is created again"
        ) from None


def step_folder(run: Path, iteration: int) -> Path:
    """The folder of an iteration's checkpoint."""
    return run / f"step-{iteration:06d}"


def read_state(folder: Path) -> State:
    """The state of the run at a checkpoint. Raises UserError if it cannot be read."""
    path = folder / STATE
    data = read_json(path)
    if not isinstance(data, dict) or "rng" not in data:
        raise UserError(f"{path}: rng is missing: expected the state of a checkpoint")
    return read(State, {name: data[name] for name in data if name != "rng"}, str(path))


def restore(folder: Path, optimizer: Optimizer) -> State:
    """Restore weights, moments and random generators from a checkpoint.

    The optimizer must belong to the same model: its weights are overwritten.
    """
    state = read_state(folder)
    restore_optimizer(optimizer, folder / STATE.parent)
    try:
        _restore_rng(read_json(folder / STATE)["rng"])
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise UserError(
            f"{folder / STATE}: rng cannot be restored ({error}): remove {folder.name}, and the "
            "same command resumes from the checkpoint before it"
        ) from None
    return state


def _rng_states() -> dict[str, Any]:
    """The states of Python's and torch's generators."""
    version, numbers, gauss = random.getstate()
    torch_state = torch.get_rng_state()  # [byte] uint8
    return {"python": [version, list(numbers), gauss], "torch": bytes(torch_state.tolist()).hex()}


def _restore_rng(states: Mapping[str, Any]) -> None:
    version, numbers, gauss = states["python"]
    if not (gauss is None or (isinstance(gauss, float) and math.isfinite(gauss))):
        raise ValueError("python: its last item is no finite number")  # Python does not check it
    random.setstate((version, tuple(numbers), gauss))
    torch.set_rng_state(torch.tensor(list(bytes.fromhex(states["torch"])), dtype=torch.uint8))


@contextmanager
def _as_user_error(
    final: Path, last: Path | None = None, draft: Path | None = None
) -> Iterator[None]:
    """Turn a failed write, most often a full disk, into a UserError, and remove the draft."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if draft:
            shutil.rmtree(draft, ignore_errors=True)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        good = f"the last good checkpoint is {last}" if last else "there is no checkpoint before it"
        raise UserError(
            f"{final}: cannot be saved: {reason}; {good}; once there is space, the same command "
            "resumes the run"
        ) from None


def save_optimizer(optimizer: Optimizer, folder: Path) -> Path:
    """Write this process's part and return its path; 7.master is the master of the 8th weight."""
    tensors = {}
    for i, master in enumerate(optimizer.masters):
        tensors[f"{i}.master"] = master
        for name, value in optimizer.adamw.state.get(master, {}).items():
            tensors[f"{i}.{name}"] = value
    local_tensors = {
        name: local_tensor(value).detach().cpu().contiguous() for name, value in tensors.items()
    }
    path = folder / _PART.format(rank(), world_size())
    save_file(local_tensors, path)
    return path


def restore_optimizer(optimizer: Optimizer, folder: Path) -> None:
    """Overwrite weights and moments from a folder. Raises UserError if it is incomplete."""
    with ExitStack() as stack:
        parts = _open_parts(folder, stack)
        _check_model(folder, parts, optimizer)
        optimizer.adamw.state.clear()
        pairs = zip(optimizer.masters, optimizer.weights, strict=True)
        for i, (master, weight) in enumerate(pairs):
            with torch.no_grad():
                master.copy_(_assemble(parts, f"{i}.master", master))
                if master is not weight:
                    weight.copy_(master)
            if f"{i}.step" in parts[0].keys():  # noqa: SIM118  (a file has no `in`)
                moments = {name: _assemble(parts, f"{i}.{name}", master) for name in _MOMENTS}
                # The number of steps stays on the CPU, where AdamW made it.
                moments["step"] = parts[0].get_tensor(f"{i}.step")
                optimizer.adamw.state[master] = moments


def _open_parts(folder: Path, stack: ExitStack) -> list[Any]:
    """The optimizer files of all processes, in order of rank."""
    found = list(folder.glob("optimizer-*.safetensors"))
    paths = [folder / _PART.format(number, len(found)) for number in range(len(found))]
    if not found or set(found) != set(paths):
        raise UserError(
            f"{folder}: expected N files, optimizer-0-of-N.safetensors and so on, and found "
            f"{len(found)}"
        )
    files = []
    for path in paths:
        try:
            files.append(stack.enter_context(safe_open(path, "pt")))
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from None
    return files


def _assemble(parts: Sequence[Any], name: str, like: Tensor) -> Tensor:
    """Join the parts of a tensor, on the device of `like` and sharded as it is."""
    tensors = [part.get_tensor(name) for part in parts]
    return shard_like(torch.cat(tensors) if len(tensors) > 1 else tensors[0], like)


def _check_model(folder: Path, parts: Sequence[Any], optimizer: Optimizer) -> None:
    """Raise UserError if the checkpoint is of another model."""
    saved: list[list[int]] = []
    while (name := f"{len(saved)}.master") in parts[0].keys():  # noqa: SIM118
        shapes = [part.get_slice(name).get_shape() for part in parts]
        saved.append([sum(shape[0] for shape in shapes), *shapes[0][1:]] if shapes[0] else [])
    expected = [list(master.shape) for master in optimizer.masters]
    if saved != expected:
        pairs = enumerate(zip_longest(saved, expected))
        where = next(i for i, (shape, wanted) in pairs if shape != wanted)
        raise UserError(
            f"{folder}: this checkpoint is of another model ({len(saved)} weights, not "
            f"{len(expected)}; weight {where} is the first that differs): use the run's own "
            "configuration"
        )
