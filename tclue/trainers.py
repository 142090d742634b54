"""The interface between `tclue train` and trainers, which are plug-ins.

A trainer is a class that an entry point of the group `tclue.trainers` names
(docs/howto/write-a-trainer.md shows how to write one). The core never imports a trainer by its
name: `grpo`, which is part of this package, is found in the same way as any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from tclue.errors import UserError

GROUP = "tclue.trainers"
DEFAULT = "grpo"


@dataclass(frozen=True)
class TrainRequest:
    """The options of `tclue train`. None leaves a choice to the trainer."""

    # a configuration that is part of the trainer
    preset: str | None = None
    # the user's configuration file
    config: Path | None = None
    # SECTION.KEY=VALUE, applied in this order
    settings: tuple[str, ...] = ()
    seed: int | None = None
    # name of the run, and the folder in which runs are
    run: str | None = None
    runs: Path = Path("runs")


@dataclass(frozen=True)
class TrainedRun:
    """A finished training run."""

    # its folder, whose name is that of the run, with `kept.json` for the benchmark
    folder: Path
    # iterations: the best on the validation puzzles, and the last (step-000040 is that of 40)
    best: int
    last: int


@dataclass(frozen=True)
class TrainingPlan:
    """What a request would do."""

    # several lines for people
    text: str
    # the same for programs
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PresetLine:
    """A line of `tclue train --presets`."""

    name: str
    about: str
    # whether this machine has enough memory for it
    fits: bool


class Trainer(Protocol):
    """The interface of a trainer's class, whose constructor has no arguments."""

    def presets(self) -> Sequence[PresetLine]:
        """The configurations that are part of the trainer."""

    def plan(self, request: TrainRequest) -> TrainingPlan:
        """What a request would do. This is fast and loads no model."""

    def train(self, request: TrainRequest) -> TrainedRun | None:
        """Train, or resume an interrupted run. Raises UserError if the request is invalid.

        Returns None in a process that only helps another, such as those that `torchrun` starts.
        """


def trainer(name: str = DEFAULT) -> Trainer:
    """The trainer of a name. Raises UserError if there is none, or if it cannot be loaded."""
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise UserError(f"--trainer {name}: no such trainer: expected one of {known}")
    point = installed[name]
    # A plug-in can raise any error. The message names the plug-in.
    try:
        instance: Trainer = point.load()()
    except Exception as error:
        raise UserError(
            f"--trainer {name}: {point.value} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    lacks = ", ".join(part for part in ("presets", "plan", "train") if not hasattr(instance, part))
    if lacks:
        raise UserError(f"--trainer {name}: {point.value} is not a trainer: it lacks {lacks}")
    return instance
