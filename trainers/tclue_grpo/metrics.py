"""A run's metrics: `metrics.jsonl`, and optionally TensorBoard, Weights & Biases or trackio.

* There is one line for each iteration, `{"iteration": 7, "accuracy": ..., "timings": {...}}`, and
  one for each validation, `{"iteration": 10, "validation": {...}}`. Only `timings` depends on the
  clock: the other numbers of a run that was killed and resumed are identical to those of a run
  that was not.
* A line is on the disk when `write` returns. A resume cuts off lines newer than its checkpoint.
  If the file is removed or replaced during the run, the run ends and saves its lines elsewhere.
* A number that is not finite is written as null, because JSON has no such numbers.
* A sink is imported when it is configured. It receives numbers only; it reads API keys from the
  environment itself, and they are never written.
"""

import importlib
import json
import math
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tclue.errors import UserError
from tclue.journal import Journal
from tclue.strict import parse
from tclue_grpo.config import LogConfig

FILE = "metrics.jsonl"
SINKS = ("tensorboard", "wandb", "trackio")


@dataclass(frozen=True)
class Sink:
    """Another destination of the metrics."""

    # called with an iteration and its numbers; nested names have slashes
    log: Callable[[int, Mapping[str, float]], None]
    # called once, after the last numbers
    close: Callable[[], None]


class Metrics:
    """A run's metrics, open for writing."""

    def __init__(self, run: Path, sinks: Sequence[Sink] = (), length: int | None = 0) -> None:
        """Keep the first `length` bytes of an existing file, as a checkpoint has it; None: all."""
        self.path, self._sinks = run / FILE, sinks
        size = self.path.stat().st_size if self.path.exists() else 0
        length = size if length is None else length
        if size < length:
            raise UserError(
                f"{self.path}: has {size} bytes, and {length} when its checkpoint was written: "
                "restore the file, or start another run"
            )
        try:
            self._journal = Journal(self.path, length)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from None
        self._failed = False

    @property
    def length(self) -> int:
        """The number of bytes that were written, for a checkpoint."""
        return self._journal.length

    def write(self, iteration: int, numbers: Mapping[str, Any]) -> None:
        """Append a line. Raises UserError if it cannot be written."""
        line = json.dumps(_finite({"iteration": iteration, **numbers}), allow_nan=False)
        self._append(line.encode() + b"\n")
        flat = dict(_flat(numbers))
        for sink in self._sinks:
            sink.log(iteration, flat)

    def _append(self, *lines: bytes) -> None:
        _, error = self._journal.append(lines)
        if error is None:
            return
        self._failed = True
        advice = "Correct the cause"
        if self._journal.orphaned:
            try:
                places = (self.path.parent, Path(tempfile.gettempdir()), self.path.parent.parent)
                saved, _ = self._journal.rescue(lines, "rescued-metrics-", places)
                move = f"mv {shlex.quote(str(saved))} {shlex.quote(str(self.path))}"
                folder = shlex.quote(str(self.path.parent))
                advice = f"All lines are in {saved}: run `mkdir -p {folder} && {move}` first"
            except OSError:
                advice = "Its lines cannot be saved elsewhere. Restore the file"
        raise UserError(
            f"{self.path}: cannot be written: {error.strerror}. {advice}, and the same command "
            "resumes from the last checkpoint"
        )

    def close(self) -> None:
        """Close the file and the sinks. Raises UserError if the lines are no longer in the file."""
        try:
            if not self._failed:
                self._append()
        finally:
            self._journal.close()
            for sink in self._sinks:
                sink.close()


def read(run: Path) -> list[dict[str, Any]]:
    """A run's complete lines, in order; none without a file. Raises UserError if one is damaged."""
    path = run / FILE
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [
        parse(dict[str, Any], line, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
    ]


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


def sinks(run: Path, config: Mapping[str, Any], options: LogConfig) -> list[Sink]:
    """The sinks that the section `log` enables; `trainer.preflight` refuses missing packages."""
    return [_sink(name, run, config, options.project) for name in SINKS if getattr(options, name)]


def _sink(name: str, run: Path, config: Mapping[str, Any], project: str) -> Sink:
    """TensorBoard's event files in the run's folder; or Weights & Biases; or trackio, like it."""
    module: Any
    if name != "tensorboard":
        module = importlib.import_module(name)
        tracker = module.init(project=project, name=run.name, config=dict(config))
        return Sink(lambda step, numbers: tracker.log(dict(numbers), step=step), tracker.finish)
    module = importlib.import_module("torch.utils.tensorboard")
    writer = module.SummaryWriter(str(run / "tensorboard"))

    def log(step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            writer.add_scalar(name, value, step)

    return Sink(log, writer.close)
