"""A run's output: metrics, plots and live view. With several processes, process 0 writes it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tclue_grpo import diagnose_reward, metrics, plots
from tclue_grpo.distributed import is_rank_zero
from tclue_grpo.live_view import View
from tclue_grpo.metrics import Metrics, Sink
from tclue_grpo.validate import Validation


class RunReport:
    """Writes a run's metrics and plots, and shows its progress; close it at the end."""

    def __init__(
        self,
        folder: Path,
        iterations: int,
        sinks: Sequence[Sink] = (),
        known_bytes: int | None = 0,
        hour_usd: float = 0.0,
    ) -> None:
        """Keep the first `known_bytes` of existing metrics; None keeps them all."""
        self._folder, self._iterations = folder, iterations
        self._metrics = Metrics(folder, sinks, known_bytes) if is_rank_zero() else None
        self._view = View(folder.name, iterations, hour_usd=hour_usd)

    @property
    def metrics_bytes(self) -> int:
        """The size of the metrics file in bytes, for a checkpoint."""
        return self._metrics.length if self._metrics else 0

    def showing(self, trained_s: float) -> AbstractContextManager[object]:
        """Show the run while the block runs; `trained_s` is the training time so far."""
        return self._view.showing(trained_s) if self._metrics else nullcontext()

    def iteration(self, iteration: int, numbers: Mapping[str, Any], trained_s: float) -> None:
        """Record an iteration's numbers, and the training time so far."""
        if self._metrics:
            self._metrics.write(iteration, numbers)
            self._view.iteration({"iteration": iteration, **numbers}, trained_s)

    def validation(self, iteration: int, result: Validation, *, final: bool = False) -> None:
        """Record a validation, and draw the curves; after the final one, each by itself too."""
        if self._metrics:
            self._metrics.write(iteration, {"validation": asdict(result)})
            self._view.validation(iteration, result.accuracy)
            try:
                lines = metrics.read(self._folder)
                plots.draw(self._folder / "plots", lines, singly=final)
            except Exception as error:  # a setting of matplotlib, a full disk: training goes on
                self.say(f"warning: the run's pictures cannot be drawn: {error!r}")

    def explain_if_flat(self, iteration: int) -> None:
        """Explain a flat reward, once, after the first iterations."""
        if self._metrics and iteration == min(diagnose_reward.WINDOW, self._iterations):
            lines = metrics.iterations(metrics.read(self._folder))
            if diagnose_reward.is_flat(lines):
                self._view.say(diagnose_reward.screen(diagnose_reward.diagnose(lines), lines))

    def say(self, text: str) -> None:
        """Print a line that stays."""
        if self._metrics:
            self._view.say(text)

    def close(self) -> None:
        """Close the file and the sinks."""
        if self._metrics:
            self._metrics.close()
