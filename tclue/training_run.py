"""A training run's folder: `kept.json`, and a folder for each checkpoint.

The trainer writes `kept.json`. It names the best step and the last one, and the settings with which
`tclue.bench_training` benchmarks them; a missing field has its default of `TrainingRunManifest`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tclue.strict import OPEN, STRICT, read, read_json


@dataclass(frozen=True)
class ResponsePrice:
    """The price of responses: by a tier, a machine's hours or its GPUs'. 0 is unknown."""

    __pydantic_config__ = STRICT

    tier: str = ""
    hour_usd: float = 0.0
    gpu_hour_usd: float = 0.0
    gpus: int = 1

    @property
    def machine_hour_usd(self) -> float:
        """Dollars for an hour of all GPUs, or of the machine; 0 where unknown."""
        return self.gpu_hour_usd * self.gpus or self.hour_usd


@dataclass(frozen=True)
class TrainingRunManifest:
    """The content of `kept.json`."""

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
    # for every step and the base: a puzzle set, the number of its first puzzles, a seed
    puzzles: str = "test"
    limit: int | None = None
    seed: int | None = None
    # responses to each puzzle, at this temperature
    samples: int = 1
    temperature: float = 1.0
    max_tokens: int | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    # whether to sample greedily too
    greedy: bool = True
    price: ResponsePrice | None = None
    # of the training, for its row on the board
    preset: str | None = None
    training_s: float | None = None
    training_usd: float | None = None


@dataclass(frozen=True)
class CheckpointState:
    """The fields read here of a checkpoint's `trainer/state.json`; the file has more."""

    __pydantic_config__ = OPEN

    iteration: int
    # seconds of training up to it
    trained_s: float | None = None


def read_manifest(folder: Path) -> TrainingRunManifest:
    """The manifest in a training run's folder; UserError where there is no valid one."""
    path = folder / "kept.json"
    data = read_json(path)
    manifest = read(TrainingRunManifest, data, str(path))
    # As it is written: the hash in a benchmark's run name tells 1 from 1.0.
    return replace(manifest, temperature=data.get("temperature", manifest.temperature))


def read_checkpoint_state(checkpoint: Path) -> CheckpointState:
    """The training state of a checkpoint; UserError where there is no valid one."""
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
