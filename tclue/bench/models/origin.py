"""Where trained weights come from: what `run.json` says of it, and the board tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CheckpointOrigin:
    """A step of a training run. None where the run does not say."""

    # name of the training run, and the iteration after which these weights were kept
    run: str
    step: int
    # the model that it began with, as the command line names it, and the SHA-256 of its files
    base: str | None = None
    base_checkpoint: str | None = None
    preset: str | None = None
    # what training took up to this step
    seconds: float | None = None
    cost_usd: float | None = None

    @property
    def told(self) -> str:
        """A sentence for a reader of the board."""
        words = [f"step {self.step} of training run {self.run}"]
        if self.base:
            words.append(f"from {self.base}")
        if self.preset:
            words.append(f"preset {self.preset}")
        if self.seconds is not None:
            words.append(f"{self.seconds / 60:.1f} minutes of training")
        if self.cost_usd is not None:
            words.append(f"${self.cost_usd:.4f} of training")
        return ", ".join(words)
