"""A run's metrics: `metrics.jsonl`, and optionally TensorBoard, Weights & Biases or trackio.

* There is one line for each iteration, `{"iteration": 7, "accuracy": ..., "timings": {...}}`, and
  one for each validation, `{"iteration": 10, "validation": {...}}`. Only `timings` depends on the
  clock: the other numbers of a run that was killed and resumed are identical to those of a run
  that was not.
* A line is on the disk when `write` returns. A resume cuts off lines newer than its checkpoint.
* A number that is not finite is written as null, because JSON has no such numbers.
* A sink is imported when it is configured. It receives numbers only; it reads API keys from the
  environment itself, and they are never written.
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
from tclue_grpo.config import LogConfig

FILE = "metrics.jsonl"


class Sink(Protocol):
    """Another destination of the metrics."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log an iteration's numbers; nested names have slashes."""

    def close(self) -> None:
        """Finish: no more numbers follow."""


class Metrics:
    """A run's metrics, open for writing."""

    def __init__(self, run: Path, sinks: Sequence[Sink] = (), length: int | None = 0) -> None:
        """Keep the first `length` bytes of an existing file, as a checkpoint has it; None: all."""
        self.path, self._sinks = run / FILE, sinks
        size = self.path.stat().st_size if self.path.exists() else 0
        length = size if length is None else length
        if size < length:
            raise UserError(
                f"{self.path}: has {size} bytes, its checkpoint knows of {length}: "
                "put the file back as it was, or begin another run"
            )
        if size:
            os.truncate(self.path, length)
        self._journal = Journal(self.path)

    @property
    def length(self) -> int:
        """The size of the file in bytes, for a checkpoint."""
        return self.path.stat().st_size

    def write(self, iteration: int, numbers: Mapping[str, Any]) -> None:
        """Append a line. Raises UserError where it cannot be written."""
        line = json.dumps(_finite({"iteration": iteration, **numbers}), allow_nan=False)
        _, error = self._journal.append([line.encode() + b"\n"])
        if error:
            raise UserError(
                f"{self.path}: cannot be written: {error.strerror}. What was measured before is "
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
    """A run's complete lines, in order; none if there is no file."""
    path = run / FILE
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def iterations(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Only the lines of iterations."""
    return [line for line in lines if "accuracy" in line]


def validations(lines: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Only the lines of validations."""
    return [line for line in lines if "validation" in line]


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _flat(numbers: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Names and numbers, with nested tables flattened: `timings/sample_s`."""
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{name}", float(value)


class TensorBoard:
    """TensorBoard's event files, in the run's folder."""

    def __init__(self, run: Path) -> None:
        module = _import_package("torch.utils.tensorboard", "tensorboard")
        self._writer = module.SummaryWriter(str(run / "tensorboard"))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add scalars."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still buffered."""
        self._writer.close()


class Tracker:
    """Weights & Biases, and trackio, which has its interface."""

    def __init__(self, package: str, project: str, name: str, config: Mapping[str, Any]) -> None:
        module = _import_package(package, package)
        self._run = module.init(project=project, name=name, config=dict(config))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Log a step."""
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        """Send what is still buffered."""
        self._run.finish()


def sinks(run: Path, config: Mapping[str, Any], options: LogConfig) -> list[Sink]:
    """The sinks that the section `log` enables; UserError if a package is missing."""
    boards: list[Sink] = [TensorBoard(run)] if options.tensorboard else []
    trackers = [name for name in ("wandb", "trackio") if getattr(options, name)]
    return boards + [Tracker(name, options.project, run.name, config) for name in trackers]


def _import_package(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise missing_package(package) from None


def missing_package(package: str) -> UserError:
    """The error for a sink whose package is missing."""
    return UserError(
        f"log.{package} is true, and the package {package} is not installed: "
        f"run `pip install {package}`, or set log.{package} to false"
    )
