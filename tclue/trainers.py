"""The interface between `tclue train` and trainers, which are plug-ins, and what trainers write.

A trainer is a class that an entry point of the group `tclue.trainers` names
(docs/howto/write-a-trainer.md shows how to write one). The core never imports a trainer by its
name: `grpo`, which is part of this package, is found in the same way as any other.

A trainer writes the folder of a training run: a folder for each checkpoint, and `kept.json`, which
has the best and the last step, and the settings with which `tclue.bench_training` benchmarks them.
A missing field has its default in `TrainingRunManifest`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, Protocol

from tclue.errors import UserError
from tclue.strict import OPEN, STRICT, AsWritten, read, read_json
from tclue.text import clean

GROUP = "tclue.trainers"
DEFAULT = "grpo"
# Names that are devices in Windows, in any folder.
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


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

    def __post_init__(self) -> None:
        """Raise UserError if the name of the run cannot be that of a folder everywhere."""
        if self.run is not None:
            check_run_name(self.run)


def check_run_name(name: str) -> None:
    """Raise UserError if a run's name cannot be a folder's name, or a part of a model's name."""
    plain = re.fullmatch(r"[^\s./\\,:-]([^/\\,:]*[^\s/\\,:])?", name) and clean(name) == name
    if not plain or len(os.fsencode(name)) > 200 or _DEVICE.fullmatch(name):
        raise UserError(
            f"--run {name[:80]!r}: expected a folder name of at most 200 bytes, without / \\ , : "
            "or spaces around it, with no . or - at its start, and not a device's, such as con"
        )


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


@dataclass(frozen=True)
class ResponsePrice:
    """The price of responses: by tier, machine hour or GPU-hour. 0 means unknown."""

    __pydantic_config__ = STRICT

    tier: str = ""
    hour_usd: float = 0.0
    gpu_hour_usd: float = 0.0
    gpus: int = 1

    @property
    def machine_hour_usd(self) -> float:
        """Dollars per hour of all GPUs, or of the machine; 0 if unknown."""
        return self.gpu_hour_usd * self.gpus or self.hour_usd


@dataclass(frozen=True)
class TrainingRunManifest:
    """The content of `kept.json`."""

    __pydantic_config__ = OPEN

    # the model that training began with, by its name for `--models`
    base: str
    # iterations: the best on the validation puzzles (None without a validation), the last, and all
    # with a checkpoint
    best: int | None
    last: int
    steps: tuple[int, ...] = ()
    # SHA-256 of the base's files when training began; computed now if None
    base_checkpoint: str | None = None
    # how the base and each step are benchmarked: puzzle set, number of its first puzzles, seed
    puzzles: str = "test"
    limit: int | None = None
    seed: int | None = None
    # responses per puzzle, and their temperature
    samples: int = 1
    temperature: AsWritten = 1.0
    max_tokens: int | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    # whether to benchmark greedily too
    greedy: bool = True
    price: ResponsePrice | None = None
    # preset, time and cost of the training, for its row on the board
    preset: str | None = None
    training_s: float | None = None
    training_usd: float | None = None


@dataclass(frozen=True)
class CheckpointState:
    """Fields of a checkpoint's `trainer/state.json`, which has more."""

    __pydantic_config__ = OPEN

    iteration: int
    # seconds of training up to this checkpoint
    trained_s: float | None = None


def read_manifest(folder: Path) -> TrainingRunManifest:
    """The manifest of a training run's folder. Raises UserError if it is missing or invalid."""
    path = folder / "kept.json"
    return read(TrainingRunManifest, read_json(path), str(path))


def read_checkpoint_state(checkpoint: Path) -> CheckpointState:
    """The training state of a checkpoint. Raises UserError if it is missing or invalid."""
    path = checkpoint / "trainer" / "state.json"
    return read(CheckpointState, read_json(path), str(path))


def checkpoints(folder: Path) -> dict[int, Path]:
    """iteration -> folder of its checkpoint, in the folder of a training run, ascending."""
    folders = {
        int(match[1]): path
        for path in folder.glob("step-*")
        if (match := re.fullmatch(r"step-(\d+)", path.name)) and path.is_dir()
    }
    return dict(sorted(folders.items()))
