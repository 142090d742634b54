"""TRL's trainer in a separate process, one iteration at a time, for `train_step.py`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, TypedDict

from tclue.errors import UserError

ROOT = Path(__file__).parent.parent


class Job(TypedDict):
    """The job that `trl_grpo.py` reads."""

    # the checkpoint's folder
    base: str
    # cpu or cuda
    device: str
    # lines of a puzzle file; each is a prompt in every iteration
    puzzles: list[dict[str, Any]]
    # per puzzle
    responses: int
    # most tokens of a response
    max_tokens: int
    temperature: float
    # responses per forward pass in training
    rows: int
    rate: float
    betas: tuple[float, float]
    weight_decay: float
    clip_norm: float
    iterations: int
    threads: int
    seed: int


class Trl:
    """The process; it waits for its turn."""

    def __init__(self, python: str, job: Job) -> None:
        try:
            self._process = subprocess.Popen(
                [python, str(ROOT / "benchmarks" / "trl_grpo.py")],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise UserError(f"--trl-python {python}: {error.strerror}") from None
        self.version = self._ask(json.dumps(job))["version"]

    def __enter__(self) -> Trl:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def iterate(self) -> dict[str, Any]:
        """One iteration: its times, and what was sampled."""
        return self._ask("next")

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        try:
            print(line, file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise UserError("--trl-python: trl_grpo.py ended: see its output above")
        figures: dict[str, Any] = json.loads(answer)
        return figures
