"""What a run tells: its metrics, its plots, its view. Of several processes the first one does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tclue_grpo import diagnose_reward, metrics, plots
from tclue_grpo.distributed import is_rank_zero
from tclue_grpo.live_view import View
from tclue_grpo.metrics import Metrics, Sink
from tclue_grpo.validate import Validation


class RunReport:
    """A run's folder and its view; close it, or use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        iterations: int,
        sinks: Sequence[Sink] = (),
        known_bytes: int | None = 0,
        hour_usd: float = 0.0,
    ) -> None:
        """Keep the first `known_bytes` of the metrics that are there; None keeps them all."""
        self._folder, self._iterations = folder, iterations
        self._metrics = Metrics(folder, sinks, known_bytes) if is_rank_zero() else None
        self._view = View(folder.name, iterations, hour_usd=hour_usd)

    @property
    def metrics_bytes(self) -> int:
        """Bytes of metrics on the disk: what a checkpoint remembers."""
        return self._metrics.length if self._metrics else 0

    @contextmanager
    def showing(self, trained_s: float) -> Iterator[None]:
        """Show the run while the block runs; `trained_s` are the seconds of earlier starts."""
        if self._metrics is None:
            yield
            return
        with self._view.showing(trained_s):
            yield

    def iteration(self, iteration: int, numbers: Mapping[str, Any], trained_s: float) -> None:
        """An iteration's numbers, and the seconds of training so far."""
        if self._metrics:
            self._metrics.write(iteration, numbers)
            self._view.iteration({"iteration": iteration, **numbers}, trained_s)

    def validation(self, iteration: int, found: Validation) -> None:
        """What a validation found."""
        if self._metrics:
            self._metrics.write(iteration, {"validation": asdict(found)})
            accuracy = found.accuracy
            self._view.validation(iteration, accuracy.value, accuracy.low, accuracy.high)
            plots.draw(self._folder / "plots", metrics.read(self._folder))

    def explain_if_flat(self, iteration: int) -> None:
        """Say once what keeps the reward flat, when the first iterations have shown nothing."""
        if self._metrics and iteration == min(diagnose_reward.WINDOW, self._iterations):
            lines = metrics.iterations(metrics.read(self._folder))
            if diagnose_reward.is_flat(lines):
                self._view.say(diagnose_reward.screen(diagnose_reward.diagnose(lines), lines))

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._metrics:
            self._view.say(text)

    def close(self) -> None:
        """Close the file and the sinks."""
        if self._metrics:
            self._metrics.close()
