"""What a run measured: `metrics.jsonl`, and TensorBoard, Weights & Biases or trackio beside it.

* One line an iteration, `{"iteration": 7, "accuracy": ..., "timings": {...}}`, and one for each
  validation, `{"iteration": 10, "validation": {...}}`. What the clock decides is in `timings`
  alone: without it, a run that was killed and resumed has the lines of one that was not, bit for
  bit.
* A line is on the disk when `write` returns. A resume cuts off what is newer than its checkpoint.
* A number that is not finite is written as null: JSON has no other.
* A sink is imported when it is asked for. It gets numbers and nothing else; keys are its own affair
  (the environment), and are never written.
"""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tclue.errors import UserError
from tclue.journal import Journal

FILE = "metrics.jsonl"
TIMINGS = "timings"


class Sink(Protocol):
    """Whoever else is told of the numbers."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """An iteration's numbers, names with slashes."""

    def close(self) -> None:
        """Nothing more comes."""


class Metrics:
    """A run's metrics, open for writing."""

    def __init__(self, run: Path, sinks: Sequence[Sink] = (), length: int | None = 0) -> None:
        """Keep the first `length` bytes of what is there, those a checkpoint knows of; None all."""
        self.path, self._sinks = run / FILE, sinks
        there = self.path.stat().st_size if self.path.exists() else 0
        length = there if length is None else length
        if there < length:
            raise UserError(
                f"{self.path}: has {there} bytes, its checkpoint knows of {length}: "
                "put the file back as it was, or begin another run"
            )
        if there:
            os.truncate(self.path, length)
        self._journal = Journal(self.path)

    @property
    def length(self) -> int:
        """Bytes on the disk: what a checkpoint remembers."""
        return self.path.stat().st_size

    def write(self, iteration: int, numbers: Mapping[str, Any]) -> None:
        """Append a line. Raises UserError where it cannot be written."""
        line = json.dumps(_finite({"iteration": iteration, **numbers}), allow_nan=False)
        _, failed = self._journal.append([line.encode() + b"\n"])
        if failed:
            raise UserError(
                f"{self.path}: cannot be written: {failed.strerror}. What was measured before is "
                "whole; once that is mended, the same command goes on from the last checkpoint"
            )
        flat = dict(_flat(numbers))
        for sink in self._sinks:
            sink.log(iteration, flat)

    def close(self) -> None:
        """Close the file and the sinks."""
        self._journal.close()
        for sink in self._sinks:
            sink.close()


def read(run: Path) -> list[dict[str, Any]]:
    """A run's whole lines, in order; none where there is no file."""
    path = run / FILE
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def iterations(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines of iterations alone."""
    return [line for line in lines if "accuracy" in line]


def validations(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines of validations alone."""
    return [line for line in lines if "validation" in line]


def without_timings(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What has to be the same in a run that was resumed."""
    return [{name: value for name, value in line.items() if name != TIMINGS} for line in lines]


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(numbers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Names and numbers, tables opened: `timings/sample_s`."""
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{name}", float(value)


class TensorBoard:
    """TensorBoard's event files, in the run's folder."""

    def __init__(self, run: Path) -> None:
        module = _imported("torch.utils.tensorboard", "tensorboard")
        self._writer = module.SummaryWriter(str(run / "tensorboard"))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add scalars."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class _Tracker:
    """Weights & Biases, and trackio, which has its interface."""

    package: str

    def __init__(self, project: str, name: str, config: Mapping[str, Any]) -> None:
        module = _imported(self.package, self.package)
        self._run = module.init(project=project, name=name, config=dict(config))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log a step."""
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


class Wandb(_Tracker):
    """Weights & Biases."""

    package = "wandb"


class Trackio(_Tracker):
    """trackio."""

    package = "trackio"


def sinks(
    run: Path,
    config: Mapping[str, Any],
    *,
    tensorboard: bool = False,
    wandb: bool = False,
    trackio: bool = False,
    project: str = "tclue",
) -> list[Sink]:
    """The sinks that the section `log` asks for; UserError for a package that is missing."""
    made: list[Sink] = []
    if tensorboard:
        made.append(TensorBoard(run))
    if wandb:
        made.append(Wandb(project, run.name, config))
    if trackio:
        made.append(Trackio(project, run.name, config))
    return made


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise no_package(package) from None


def no_package(package: str) -> UserError:
    """What a person is told who asks for a sink whose package is missing."""
    return UserError(
        f"log.{package} is true, and the package {package} is not installed: "
        f"run `pip install {package}`, or set log.{package} to false"
    )
