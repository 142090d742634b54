"""Trainers: how `tclue train` finds one, what it asks of it, and what it gets back.

A trainer is a class behind an entry point of the group `tclue.trainers`
(docs/howto/write-a-trainer.md shows how to write one). The core never imports one by name: `grpo`,
which comes with this package, is found in the same way as any other.
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
    """What `tclue train` was asked for; None leaves the choice to the trainer."""

    # a configuration that comes with the trainer
    preset: str | None = None
    # a configuration file of the user's
    config: Path | None = None
    # SECTION.KEY=VALUE, applied in this order
    settings: tuple[str, ...] = ()
    seed: int | None = None
    # name of the run, and the folder that runs are in
    run: str | None = None
    runs: Path = Path("runs")


@dataclass(frozen=True)
class TrainedRun:
    """A finished training run."""

    # its folder: the run is known by its name, and `kept.json` in it says what is to be benchmarked
    folder: Path
    # iterations: the best on validation puzzles, and the last; step-000040 is the checkpoint of 40
    best: int
    last: int


@dataclass(frozen=True)
class TrainingPlan:
    """What a request would do, without doing it."""

    # for a person, several lines
    text: str
    # the same for programs
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PresetLine:
    """What `tclue train --presets` says of a preset."""

    name: str
    about: str
    # whether this machine has the memory for it
    fits: bool


class Trainer(Protocol):
    """The interface of an entry point's class, which is called without arguments."""

    def presets(self) -> Sequence[PresetLine]:
        """The configurations that come with it."""

    def plan(self, request: TrainRequest) -> TrainingPlan:
        """What the request would do; quick, and without loading a model."""

    def train(self, request: TrainRequest) -> TrainedRun | None:
        """Train, or continue an interrupted run. Raises UserError for an invalid request.

        Returns None in a process that only helps another, as those that `torchrun` starts do.
        """


def trainer(name: str = DEFAULT) -> Trainer:
    """The trainer of a name; UserError where there is none, or it cannot be loaded."""
    installed = {point.name: point for point in entry_points(group=GROUP)}
    if name not in installed:
        known = ", ".join(sorted(installed)) or "none"
        raise UserError(f"--trainer {name}: no such trainer: installed are {known}")
    point = installed[name]
    # Whatever error a plug-in raises, name the plug-in in the message.
    try:
        instance: Trainer = point.load()()
    except Exception as error:
        raise UserError(
            f"--trainer {name}: {point.value} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    lacks = [part for part in ("presets", "plan", "train") if not hasattr(instance, part)]
    if lacks:
        raise UserError(f"--trainer {name}: {point.value} lacks {', '.join(lacks)}")
    return instance
