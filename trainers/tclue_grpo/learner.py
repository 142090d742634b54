"""What an iteration of training changes, and what it needs for that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tclue.puzzle.grading.grade import Grader, grader
from tclue_grpo.config import Config
from tclue_grpo.data import Puzzles
from tclue_grpo.iteration_metrics import Numbers
from tclue_grpo.policy import Policy
from tclue_grpo.rollout import Engine

if TYPE_CHECKING:
    from tclue_grpo.step import Optimizer


@dataclass
class TrainState:
    """What an iteration changes."""

    config: Config
    policy: Policy
    optimizer: Optimizer
    engine: Engine
    puzzles: Puzzles
    tokenizer: Any
    iteration: int = 0
    # what the learning rate is multiplied with: less than 1 after a roll-back
    rate_factor: float = 1.0
    grader: Grader = field(default_factory=lambda: grader("sound"))
    timings: Numbers = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's seconds to a stage's."""
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start
