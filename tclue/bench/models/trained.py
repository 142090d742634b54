"""`train:RUN@STEP`: a step that a training run kept, used like any local checkpoint.

    tclue bench --models train:tiny-seed1@best,tiny --puzzles easy-test --samples 4

* RUN is a folder below `--runs` (`runs`, if not given), or a path; STEP an iteration's number,
  `best` or `last`. Those two are looked up in the run's `kept.json`, and recorded as the number:
  where both are one step, that is one variant.
* Never under the wrong step: the checkpoint's own `trainer/state.json` must say the number that its
  folder has, and the weights that are loaded must be those that were hashed for `run.json`. The
  hash is part of the run's name, so other weights under the same step are another run.
* `run.json` says where the weights come from, so that the board can draw the way to them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from tclue.bench.models.local import TINY, LocalModel, fingerprint
from tclue.bench.models.model import CheckpointOrigin
from tclue.bench.options import BenchOptions
from tclue.errors import UserError
from tclue.training_run import (
    CheckpointState,
    TrainingRunManifest,
    checkpoints,
    read_checkpoint_state,
    read_manifest,
)

PREFIX = "train:"


class TrainedModel(LocalModel):
    """A kept step. Its weights are hashed once more when they are loaded."""

    def __init__(self, name: str, options: BenchOptions) -> None:
        """`name` without its prefix. Raises UserError where there is no such run, or no such step.

        Making it reads the base's files too, to know which row of the board it began with.
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
                f"{self._folder}: its trainer/state.json says iteration {state.iteration}: "
                f"expected {iteration}, as the folder does"
            )
        super().__init__(str(self._folder), options)
        self.resolved = replace(
            self.resolved,
            variant=f"{folder.resolve().name}@{iteration}",
            model=f"{PREFIX}{run}@{iteration}",
            trained=_origin(folder, iteration, state, options),
        )

    def open(self) -> None:
        """Load the weights; UserError where they are not those that were hashed."""
        super().open()
        if fingerprint(self._folder) != self.resolved.checkpoint:
            raise UserError(
                f"{self._folder}: has changed since this command began: let its training end, "
                "then give the same command"
            )


def _run_folder(run: str, options: BenchOptions) -> Path:
    for folder in (options.runs / run, Path(run).expanduser()):
        if folder.is_dir():
            return folder
    names = sorted(path.parent.name for path in options.runs.glob("*/kept.json"))
    hint = f"expected a path, or one of {', '.join(names)}" if names else "and none is there"
    raise UserError(f"{PREFIX}{run}: no such training run in {options.runs}: {hint}")


def _iteration(folder: Path, name: str, step: str) -> int:
    """The iteration that a step's text means; UserError where its checkpoint is missing."""
    kept = checkpoints(folder)
    if step in ("best", "last"):
        manifest = read_manifest(folder)
        iteration = manifest.last if step == "last" or manifest.best is None else manifest.best
        if step == "best" and manifest.best is None:
            raise UserError(f"{name}@best: nothing was validated yet: take {name}@last")
    elif re.fullmatch(r"\d{1,9}", step):
        iteration = int(step)
    else:
        raise UserError(f"{name}@{step}: expected a step's number, best or last")
    if iteration not in kept:
        hint = f"there are {', '.join(map(str, kept))}" if kept else "there is none"
        raise UserError(f"{name}@{step}: step {iteration} is not kept in {folder}: {hint}")
    return iteration


def _origin(
    folder: Path, iteration: int, state: CheckpointState, options: BenchOptions
) -> CheckpointOrigin:
    """Where a step comes from, and what training took up to it, as far as its run says."""
    run = folder.resolve().name
    if not (folder / "kept.json").exists():
        return CheckpointOrigin(run, iteration)
    manifest = read_manifest(folder)
    seconds = manifest.training_s if state.trained_s is None else state.trained_s
    cost_usd, price = manifest.training_usd, manifest.price
    if cost_usd is not None and seconds is not None and manifest.training_s:
        cost_usd *= seconds / manifest.training_s  # what `kept.json` says is of the whole run
    if cost_usd is None and seconds is not None and price and price.machine_hour_usd:
        cost_usd = seconds / 3600 * price.machine_hour_usd
    base = base_checkpoint(manifest, options)
    return CheckpointOrigin(run, iteration, manifest.base, base, manifest.preset, seconds, cost_usd)


def base_checkpoint(manifest: TrainingRunManifest, options: BenchOptions) -> str | None:
    """The hash of the base's files, as training found them or as they are; None where unknown."""
    if manifest.base_checkpoint:
        return manifest.base_checkpoint
    if manifest.base == "tiny":
        return fingerprint(TINY)
    if manifest.base.startswith(PREFIX):
        return TrainedModel(manifest.base.removeprefix(PREFIX), options).resolved.checkpoint
    folder = Path(manifest.base.removeprefix("hf:")).expanduser()
    return fingerprint(folder) if folder.is_dir() else None
