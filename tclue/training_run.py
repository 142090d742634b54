"""What a training run's folder says and holds: `kept.json`, and a folder for each checkpoint.

`kept.json`, which the trainer writes, names the step that is best and the last one, and what
`tclue.bench_training` asks of them; a field that it does not have is at the default that
`TrainingRunManifest` has for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tclue.strict import OPEN, STRICT, read, read_json


@dataclass(frozen=True)
class ResponsePrice:
    """What responses are counted at: a tier, a machine's hours or its GPUs'. 0 is not known."""

    __pydantic_config__ = STRICT

    tier: str = ""
    hour_usd: float = 0.0
    gpu_hour_usd: float = 0.0
    gpus: int = 1

    @property
    def machine_hour_usd(self) -> float:
        """Dollars for an hour of all GPUs, or of the machine; 0 where it is not known."""
        return self.gpu_hour_usd * self.gpus or self.hour_usd


@dataclass(frozen=True)
class TrainingRunManifest:
    """What a training run says of itself: `kept.json`."""

    __pydantic_config__ = OPEN

    # the model that it began with, as `--models` takes it
    base: str
    # iterations: the best on the validation puzzles (None before there was a validation), the last,
    # and all whose checkpoints are kept
    best: int | None
    last: int
    steps: tuple[int, ...] = ()
    # SHA-256 of the base's files when training began; taken now if None
    base_checkpoint: str | None = None
    # what every step and the base are asked: a puzzle set, its first so many, a seed
    puzzles: str = "test"
    limit: int | None = None
    seed: int | None = None
    # responses to each puzzle, at this temperature
    samples: int = 1
    temperature: float = 1.0
    max_tokens: int | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    # ask once more, greedily
    greedy: bool = True
    price: ResponsePrice | None = None
    # of the training, for its row on the board
    preset: str | None = None
    training_s: float | None = None
    training_usd: float | None = None


@dataclass(frozen=True)
class CheckpointState:
    """What a checkpoint says of itself: `trainer/state.json`; the trainer's own has more."""

    __pydantic_config__ = OPEN

    iteration: int
    # seconds of training up to it
    trained_s: float | None = None


def read_manifest(folder: Path) -> TrainingRunManifest:
    """What a training run's folder says was kept; UserError where it says nothing of the kind."""
    path = folder / "kept.json"
    return read(TrainingRunManifest, read_json(path), str(path))


def read_checkpoint_state(checkpoint: Path) -> CheckpointState:
    """Where training was at a checkpoint; UserError where its folder does not say so."""
    path = checkpoint / "trainer" / "state.json"
    return read(CheckpointState, read_json(path), str(path))


def checkpoints(folder: Path) -> dict[int, Path]:
    """Iteration -> the folder of its checkpoint, in a training run's folder, first to last."""
    folders = {
        int(match[1]): path
        for path in folder.glob("step-*")
        if (match := re.fullmatch(r"step-(\d+)", path.name)) and path.is_dir()
    }
    return dict(sorted(folders.items()))
