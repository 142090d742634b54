"""`train:RUN@STEP`: a checkpoint that a training run saved, used like any local checkpoint.

    tclue bench --models train:tiny-seed1@best,tiny --puzzles easy-test --samples 4

* RUN is a folder below `--runs` (default: `runs`), or a path. STEP is the number of an iteration,
  `best` or `last`. The last two are looked up in the run's `kept.json` and recorded as a number, so
  they are the same variant if they are the same step.
* A step is never recorded under a wrong number: the checkpoint's `trainer/state.json` must have the
  number of its folder, and the weights that are loaded must be those that were hashed for
  `run.json`. The hash is part of the run's name, so other weights of the same step are another run.
* `run.json` says where the weights come from, so that the board can connect them to their base.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from tclue.bench.models.local import TINY, LocalModel, fingerprint
from tclue.bench.models.model import CheckpointOrigin
from tclue.bench.options import BenchOptions
from tclue.errors import UserError
from tclue.trainers import (
    CheckpointState,
    TrainingRunManifest,
    checkpoints,
    read_checkpoint_state,
    read_manifest,
)

PREFIX = "train:"


class TrainedModel(LocalModel):
    """A saved step. Its weights are hashed again when they are loaded."""

    def __init__(self, name: str, options: BenchOptions) -> None:
        """`name` has no prefix. Raises UserError if there is no such run or no such step.

        The files of the base are read too, because their hash identifies its row on the board.
        """
        run, separator, step = name.rpartition("@")
        if not separator or not run:
            raise UserError(f"{PREFIX}{name}: expected {PREFIX}RUN@STEP")
        folder = _run_folder(run, options)
        iteration = _iteration(folder, f"{PREFIX}{run}", step)
        self._folder = checkpoints(folder)[iteration]
        state = read_checkpoint_state(self._folder)
        if state.iteration != iteration:
            raise UserError(
                f"{self._folder}: the iteration in trainer/state.json is {state.iteration}: "
                f"expected {iteration}, as in the folder's name"
            )
        super().__init__(str(self._folder), options)
        self.resolved = replace(
            self.resolved,
            variant=f"{folder.resolve().name}@{iteration}",
            model=f"{PREFIX}{run}@{iteration}",
            trained=_origin(folder, iteration, state, options),
        )

    def open(self) -> None:
        """Load the weights. Raises UserError if they are not those that were hashed."""
        super().open()
        if fingerprint(self._folder) != self.resolved.checkpoint:
            raise UserError(
                f"{self._folder}: it changed after this command began: wait until its training "
                "has ended, then give the same command again"
            )


def _run_folder(run: str, options: BenchOptions) -> Path:
    for folder in (options.runs / run, Path(run).expanduser()):
        if folder.is_dir():
            return folder
    names = sorted(path.parent.name for path in options.runs.glob("*/kept.json"))
    hint = ", or one of " + ", ".join(names) if names else ""
    raise UserError(f"{PREFIX}{run}: no such training run in {options.runs}: expected a path{hint}")


def _iteration(folder: Path, name: str, step: str) -> int:
    """The iteration that a step's text means. Raises UserError if its checkpoint is missing."""
    kept = checkpoints(folder)
    if step in ("best", "last"):
        manifest = read_manifest(folder)
        iteration = manifest.last if step == "last" or manifest.best is None else manifest.best
        if step == "best" and manifest.best is None:
            raise UserError(f"{name}@best: there was no validation yet: expected {name}@last")
    elif re.fullmatch(r"\d{1,9}", step):
        iteration = int(step)
    else:
        raise UserError(f"{name}@{step}: expected the number of a step, best or last")
    if iteration not in kept:
        hint = f"expected one of {', '.join(map(str, kept))}" if kept else "it has no steps"
        raise UserError(f"{name}@{step}: step {iteration} is not in {folder}: {hint}")
    return iteration


def _origin(
    folder: Path, iteration: int, state: CheckpointState, options: BenchOptions
) -> CheckpointOrigin:
    """The origin of a step, and the time and cost of training up to it, as far as known."""
    run = folder.resolve().name
    if not (folder / "kept.json").exists():
        return CheckpointOrigin(run, iteration)
    manifest = read_manifest(folder)
    seconds = manifest.training_s if state.trained_s is None else state.trained_s
    cost_usd, price = manifest.training_usd, manifest.price
    if cost_usd is not None and seconds is not None and manifest.training_s:
        cost_usd *= seconds / manifest.training_s  # the cost in `kept.json` is that of all steps
    if cost_usd is None and seconds is not None and price and price.machine_hour_usd:
        cost_usd = seconds / 3600 * price.machine_hour_usd
    base = base_checkpoint(manifest, options)
    return CheckpointOrigin(run, iteration, manifest.base, base, manifest.preset, seconds, cost_usd)


def base_checkpoint(manifest: TrainingRunManifest, options: BenchOptions) -> str | None:
    """The hash of the base's files when training began, or now; None if unknown."""
    if manifest.base_checkpoint:
        return manifest.base_checkpoint
    if manifest.base == "tiny":
        return fingerprint(TINY)
    if manifest.base.startswith(PREFIX):
        return TrainedModel(manifest.base.removeprefix(PREFIX), options).resolved.checkpoint
    folder = Path(manifest.base.removeprefix("hf:")).expanduser()
    return fingerprint(folder) if folder.is_dir() else None
