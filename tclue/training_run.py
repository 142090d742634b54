"""What a training run's folder says and holds: `kept.json`, and a folder for each checkpoint.

`kept.json`, which the trainer writes, names the step that is best and the last one, and what
`tclue.bench_training` asks of them; a field that it does not have is at the default that
`TrainingRunManifest` has for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from tclue.errors import UserError

_NUMBER, _TEXT = (int, float), (str,)


@dataclass(frozen=True)
class TrainingRunManifest:
    """What a training run says of itself: `kept.json`."""

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
    dtype: str | None = None
    # ask once more, greedily
    greedy: bool = True
    # what responses are counted at: tier, or hour_usd, or gpu_hour_usd and gpus; 0 is not known
    price: Mapping[str, Any] | None = None
    # of the training, for its row on the board
    preset: str | None = None
    training_s: float | None = None
    training_usd: float | None = None


_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("base", "puzzles"), _TEXT),
    **dict.fromkeys(("base_checkpoint", "dtype", "preset"), (str, type(None))),
    **dict.fromkeys(("last", "samples"), (int,)),
    **dict.fromkeys(("best", "limit", "seed", "max_tokens"), (int, type(None))),
    "temperature": _NUMBER,
    "greedy": (bool,),
    "steps": (list,),
    "price": (dict, type(None)),
    **dict.fromkeys(("training_s", "training_usd"), (*_NUMBER, type(None))),
}
_PRICE: Mapping[str, tuple[type, ...]] = {
    "tier": _TEXT,
    "hour_usd": _NUMBER,
    "gpu_hour_usd": _NUMBER,
    "gpus": (int,),
}


def read_manifest(folder: Path) -> TrainingRunManifest:
    """What a training run's folder says was kept; UserError where it says nothing of the kind."""
    path = folder / "kept.json"
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}: expected what a training run kept"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected an object")
    for field in fields(TrainingRunManifest):
        if field.name not in data:
            if field.default is MISSING:
                raise UserError(f"{path}: {field.name} is missing")
            continue
        value, kinds = data[field.name], _KINDS[field.name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
            raise UserError(f"{path}: {field.name} is {value!r}: expected {wanted}")
    steps = data.get("steps", [])
    if not all(isinstance(step, int) for step in steps):
        raise UserError(f"{path}: steps is {steps!r}: expected numbers of iterations")
    for name, value in (data.get("price") or {}).items():
        wants = _PRICE.get(name)
        if wants is None or not isinstance(value, wants) or isinstance(value, bool):
            wanted = "a tier's name as tier, or hour_usd, or gpu_hour_usd and gpus, as numbers"
            raise UserError(f"{path}: price has {name} {value!r}: expected {wanted}")
    known = {field.name for field in fields(TrainingRunManifest)}
    given = {name: value for name, value in data.items() if name in known}
    return TrainingRunManifest(**{**given, "steps": tuple(steps)})


def checkpoints(folder: Path) -> dict[int, Path]:
    """Iteration -> the folder of its checkpoint, in a training run's folder, first to last."""
    found = {
        int(match[1]): path
        for path in folder.glob("step-*")
        if (match := re.fullmatch(r"step-(\d+)", path.name)) and path.is_dir()
    }
    return dict(sorted(found.items()))
