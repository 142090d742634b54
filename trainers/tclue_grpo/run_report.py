"""A run's output: metrics, plots and live view. With several processes, process 0 writes it.

On a terminal the view is a live table. In a log each iteration is a line, at most one in ten
seconds; an alarm, a validation and the last iteration are always printed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from tclue.bench.stats.intervals import Estimate
from tclue.progress import SECONDS_BETWEEN_LINES
from tclue.text import clean, money
from tclue_grpo import diagnose_reward, metrics, plots
from tclue_grpo.metrics import Metrics

STAGES = ("puzzles_s", "sample_s", "grade_s", "pack_s", "train_s")


@dataclass(frozen=True)
class Validation:
    """The result of a validation."""

    # mean over puzzles of the mean accuracy of their responses, with its 95% interval
    accuracy: Estimate
    # [puzzle] mean accuracy of each puzzle's responses
    by_puzzle: tuple[float, ...]
    # share of the responses with an answer to every question
    in_format: float
    # mean tokens of a response
    length: float


class RunReport:
    """Writes a run's metrics and plots, and shows its progress; close it at the end."""

    def __init__(
        self,
        folder: Path,
        iterations: int,
        written: Metrics | None,
        hour_usd: float = 0.0,
        out: TextIO | None = None,
    ) -> None:
        """`written` are the metrics, open for writing in process 0, and None in the others.

        `hour_usd` is the machine's price, 0 if unknown.
        """
        self._folder, self._total, self._metrics = folder, iterations, written
        self._name, self._hour_usd, self._out = clean(folder.name), hour_usd, out or sys.stderr
        self._live: Any = None
        # seconds of each stage in this session; of all training, and of earlier sessions
        self._stages: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._trained_s, self._earlier_s = 0.0, 0.0
        self._counted = 0
        self._last_line_s = float("-inf")
        self._validation = ""

    @property
    def metrics_bytes(self) -> int:
        """The size of the metrics file in bytes, for a checkpoint."""
        return self._metrics.length if self._metrics else 0

    @contextmanager
    def showing(self, trained_s: float) -> Iterator[None]:
        """Show the run while the block runs; `trained_s` is the training time so far."""
        self._earlier_s = trained_s
        if not (self._metrics and self._out.isatty()):
            yield
            return
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(file=self._out), auto_refresh=False) as self._live:
            yield
        self._live = None

    def iteration(self, iteration: int, numbers: Mapping[str, Any], trained_s: float) -> None:
        """Record an iteration's numbers, with its `timings`, and the training time so far."""
        if not self._metrics:
            return
        self._metrics.write(iteration, numbers)
        self._trained_s, self._counted = trained_s, self._counted + 1
        for stage in STAGES:
            self._stages[stage] += numbers["timings"].get(stage, 0.0)
        rows = self._rows(iteration, numbers)
        if self._live:
            from rich.table import Table

            table = Table(title=self._name, show_header=False)
            for name, value in rows.items():
                table.add_row(name, value)
            self._live.update(table, refresh=True)
        elif (
            iteration >= self._total
            or time.monotonic() - self._last_line_s >= SECONDS_BETWEEN_LINES
        ):
            self._last_line_s = time.monotonic()
            self.say(", ".join(f"{name} {value}" for name, value in rows.items()))

    def validation(self, iteration: int, result: Validation, *, final: bool = False) -> None:
        """Record a validation, and draw the curves; after the final one, each by itself too."""
        if not self._metrics:
            return
        self._metrics.write(iteration, {"validation": asdict(result)})
        mean = result.accuracy
        self._validation = f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}] at {iteration}"
        if not self._live:
            self.say(f"validation {self._validation}")
        try:
            lines = metrics.read(self._folder)
            plots.draw(self._folder / "plots", lines, singly=final)
        except Exception as error:  # a setting of matplotlib, a full disk: training goes on
            self.say(f"warning: the run's pictures cannot be drawn: {error!r}")

    def explain_if_flat(self, iteration: int) -> None:
        """Explain a flat reward, once, after the first iterations."""
        if self._metrics and iteration == min(diagnose_reward.WINDOW, self._total):
            lines = metrics.iterations(metrics.read(self._folder))
            if diagnose_reward.is_flat(lines):
                self.say(diagnose_reward.screen(diagnose_reward.diagnose(lines), lines))

    def say(self, text: str) -> None:
        """Print a text that stays: an alarm, a rollback, a validation."""
        if self._live:
            self._live.console.print(text, markup=False, highlight=False)
        elif self._metrics:
            print(f"{self._name}: {text}", file=self._out, flush=True)

    def close(self) -> None:
        """Close the file and the sinks."""
        if self._metrics:
            self._metrics.close()

    def _rows(self, iteration: int, numbers: Mapping[str, Any]) -> dict[str, str]:
        """The rows of the table for an iteration: label and text."""
        timings = numbers["timings"]
        sampled = numbers["sampled_tokens"]
        learned = sampled + numbers["prompt_tokens"]
        mean_s = (self._trained_s - self._earlier_s) / self._counted
        total_s = max(1e-9, sum(self._stages.values()))
        shares = (f"{s.removesuffix('_s')} {t / total_s:.0%}" for s, t in self._stages.items())
        rows = {
            "iteration": f"{iteration}/{self._total}",
            "reward": _number(numbers["reward"], 3),
            "accuracy": _number(numbers["accuracy"], 3),
            "validation": self._validation,
            "entropy": _number(numbers.get("entropy"), 4),
            "length": _number(numbers["length"], 0),
            "truncated": f"{numbers['truncated']:.0%}",
            "sampling": f"{sampled / max(1e-9, timings.get('sample_s', 0.0)):,.0f} tokens/s",
            "training": f"{learned / max(1e-9, timings.get('train_s', 0.0)):,.0f} tokens/s",
            "time": " ".join(shares),
            "left": _duration(mean_s * (self._total - iteration)),
            "cost": money(self._trained_s / 3600 * self._hour_usd if self._hour_usd else None),
        }
        return {name: value for name, value in rows.items() if value}


def _number(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:.{digits}f}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
