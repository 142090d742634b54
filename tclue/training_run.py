"""The folder of a training run: `kept.json`, and a folder for each checkpoint.

The trainer writes `kept.json`. It has the best and the last step, and the settings with which
`tclue.bench_training` benchmarks them. A missing field has its default in `TrainingRunManifest`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tclue.strict import OPEN, STRICT, AsWritten, read, read_json


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
