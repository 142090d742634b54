"""A training run: iterations, validations, checkpoints, until it is done.

    train(config, Path("runs/tiny-seed1"))

The same call takes up what was interrupted: it goes on from the last checkpoint, and the iterations
that were lost since are made again, with the same numbers. A run's folder:

    config.toml      every knob; another configuration is refused
    metrics.jsonl    a line for each iteration and for each validation
    kept.json        which checkpoints there are, and how they are benchmarked
    step-000040/     a checkpoint that transformers loads; trainer/ in it is what a resume needs
    plots/           drawn at each validation

Of a run on several GPUs each process runs this; the first one writes and tells (`sharded`).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from tclue import journal
from tclue.errors import UserError
from tclue.puzzle.splits import load_set
from tclue.trainers import TrainedRun
from tclue_grpo import checkpoint, config_file, metrics
from tclue_grpo.build import build
from tclue_grpo.checkpoint import Checkpoints, State
from tclue_grpo.config import Config
from tclue_grpo.distributed import all_gather, broadcast_from_rank_zero, is_rank_zero
from tclue_grpo.guard import Alarm, Guard
from tclue_grpo.rollout import Numbers
from tclue_grpo.run_report import RunReport
from tclue_grpo.step import iterate
from tclue_grpo.validate import validate

# what a person is told who did not wait for an iteration's end
GOES_ON = "; the same command goes on from the last checkpoint"


@contextmanager
def on_interrupt(heed: Callable[[], None]) -> Iterator[None]:
    """`heed` in place of KeyboardInterrupt, within; outside the main thread no signal comes."""
    try:
        before = signal.signal(signal.SIGINT, lambda *_: heed())
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def train(config: Config, folder: Path, about: Mapping[str, Any]) -> TrainedRun:
    """Train to the end, or go on where an earlier call was interrupted.

    `about` is what kept.json says beside the steps. Raises UserError for what a person can mend.
    """
    with TrainingRun(config, folder, about) as run:
        while not run.done:
            run.advance()
            if run.interrupted():
                run.save()
                raise KeyboardInterrupt(f"; the same command goes on after {run.told}")
        return run.trained()


def locked(folder: Path) -> int:
    """A run's folder, held until it is closed; UserError where another process has it."""
    return journal.locked(
        folder, "another process trains this run: let it finish, or stop it", "take another --runs"
    )


class TrainingRun:
    """A run in its folder."""

    def __init__(self, config: Config, folder: Path, about: Mapping[str, Any]) -> None:
        self.config, self.folder = config, folder
        # seconds of training over all starts; the step with the best validation so far
        self.trained_s = 0.0
        self.best: Mapping[str, Any] | None = None
        # times that the guard has gone back to it
        self.rollbacks = 0
        self._asked_to_stop = False
        with ExitStack() as opened:
            if is_rank_zero():
                opened.callback(os.close, locked(folder))
            # before anything is built that has to be ended again
            sinks = self._sinks() if is_rank_zero() else []
            held = load_set(config.train.validation).puzzles
            self.validation = held[: config.train.validation_puzzles or None]
            self.checkpoints = Checkpoints(folder, about, config.train.keep_every)
            self.learner = build(config, log=folder / "vllm.log")
            opened.callback(self.learner.engine.close)
            opened.callback(self.learner.puzzles.close)
            self.guard = Guard(config.guard, entropy_weight=config.loss.entropy)
            last = broadcast_from_rank_zero(self.checkpoints.last)
            known_bytes = self._restore(last) if last else 0
            self.report = RunReport(
                folder,
                config.train.iterations,
                sinks,
                # what the guard ended it for stays to be read
                None if self.checkpoints.stopped else known_bytes,
                self.hour_usd,
            )
            opened.callback(self.report.close)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        self._opened.enter_context(on_interrupt(self._heed_interrupt))
        self._opened.enter_context(self.report.showing(self.trained_s))
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def _sinks(self) -> list[metrics.Sink]:
        config = self.config
        return metrics.sinks(self.folder, config_file.values(config), **asdict(config.log))

    @property
    def done(self) -> bool:
        """Whether the iterations, or the minutes, are used up, or the guard has ended it."""
        limits = self.config.train
        late = bool(limits.minutes) and self.trained_s >= 60 * limits.minutes
        return self.learner.iteration >= limits.iterations or late or bool(self.checkpoints.stopped)

    def trained(self) -> TrainedRun:
        """What came of it; UserError where the guard ended it with nothing to show."""
        if self.best is None:
            raise UserError(
                f"{self.folder}: {self.checkpoints.stopped}; no step was validated before: "
                "change the configuration, and give another --run"
            )
        return TrainedRun(self.folder, self.best["iteration"], self.checkpoints.steps()[-1])

    @property
    def told(self) -> str:
        """Where it is."""
        return f"iteration {self.learner.iteration} of {self.config.train.iterations}"

    def _heed_interrupt(self) -> None:
        """Ctrl-C lets the iteration end, and saves; a second one leaves at once."""
        if self._asked_to_stop:
            raise KeyboardInterrupt(GOES_ON)
        self._asked_to_stop = True
        if is_rank_zero():
            told = "stopping after this iteration; Ctrl-C again leaves at once"
            print(told, file=sys.stderr)

    def interrupted(self) -> bool:
        """Whether a person wants it to stop."""
        return any(all_gather(self._asked_to_stop))

    def advance(self) -> None:
        """One iteration, with what is due after it."""
        with self._training():
            if self.learner.iteration == 0:
                self._validate()
            numbers = iterate(self.learner)
        n, limits = self.learner.iteration, self.config.train
        told = {**numbers, "timings": dict(self.learner.timings)}
        self.report.iteration(n, told, self.trained_s)
        alarm = self.guard.iteration(numbers)
        self._choose_difficulty(numbers)
        validated = n % limits.validate_every == 0 or self.done
        # Not after an alarm: the weights may be worth nothing.
        if validated and not alarm:
            with self._training():
                alarm = self._validate()
        self.report.explain_if_flat(n)
        if alarm:
            self._heed(alarm)
        # What was validated may be the best. What the guard ended with is worth nothing.
        if validated or alarm or n % limits.save_every == 0:
            self.save()

    @contextmanager
    def _training(self) -> Iterator[None]:
        """Count the block's seconds as training, by the clock of the first process."""
        start = time.perf_counter()
        yield
        self.trained_s += broadcast_from_rank_zero(lambda: time.perf_counter() - start)

    def _validate(self) -> Alarm | None:
        """Measure on the validation puzzles; what is best is remembered."""
        learner, n = self.learner, self.learner.iteration
        learner.engine.sync(learner.policy)
        found = validate(
            *(learner.engine, learner.tokenizer, learner.grader, self.validation),
            self.config.train.validation_samples,
        )
        accuracy = found.accuracy
        self.report.validation(n, found)
        alarm = self.guard.validation(found.by_puzzle)
        # What raises an alarm is not the best, be it the first: it is neither saved nor gone to.
        if n and not alarm and (self.best is None or accuracy.value >= self.best["accuracy"]):
            self.best = {"iteration": n, "accuracy": accuracy.value}
        return alarm

    def _heed(self, alarm: Alarm) -> None:
        """Do what is configured about an alarm: stop, or go back to the best and on from there."""
        options, learner = self.config.guard, self.learner
        self.report.say(f"alarm at {self.told}: {alarm.why}")
        if options.action == "stop" or self.best is None or self.rollbacks >= options.rollbacks:
            self.checkpoints.stop(f"the guard stopped at {self.told}: {alarm.why}")
            return
        step = self.best["iteration"]
        checkpoint.restore(checkpoint.folder_of(self.folder, step), learner.optimizer)
        self.rollbacks += 1
        learner.rate_factor *= options.rollback_rate
        self.guard.rolled_back()
        self.report.say(f"back to step {step}, at {learner.rate_factor:g} of the rate")

    def _choose_difficulty(self, numbers: Numbers) -> None:
        """Take a step along the curriculum where success leaves its band."""
        levels, (low, high) = self.config.data.curriculum, self.config.data.band
        if not levels:
            return
        place = levels.index(self.learner.puzzles.difficulty)
        move = (numbers["accuracy"] > high) - (numbers["accuracy"] < low)
        self.learner.puzzles.change(levels[min(max(place + move, 0), len(levels) - 1)])

    def save(self) -> None:
        """Write a checkpoint, unless it is there, or the guard has ended the run."""
        learner = self.learner
        there = broadcast_from_rank_zero(lambda: learner.iteration in self.checkpoints.steps())
        if there or self.checkpoints.stopped:
            return
        state = State(
            learner.iteration,
            learner.puzzles.position,
            learner.puzzles.difficulty,
            rate_factor=learner.rate_factor,
            rollbacks=self.rollbacks,
            metrics_bytes=self.report.metrics_bytes,
            trained_s=self.trained_s,
            guard=self.guard.state(),
            best=self.best,
        )
        self.checkpoints.about |= self._cost()
        self.checkpoints.save(learner.policy, learner.optimizer, state)

    @property
    def hour_usd(self) -> float:
        """Dollars for an hour of the machine that trains; 0 where unknown."""
        price = self.config.price
        if self.learner.policy.device.type == "cuda":
            return price.gpu_hour_usd * price.gpus
        return price.hour_usd

    def _cost(self) -> dict[str, float]:
        """Seconds and dollars of training so far."""
        told = {"training_s": round(self.trained_s, 1)}
        usd = self.trained_s / 3600 * self.hour_usd
        return told | ({"training_usd": usd} if usd else {})

    def _restore(self, folder: Path) -> int:
        """Take up where a checkpoint was written: the bytes of metrics.jsonl that it knows of."""
        state = checkpoint.restore(folder, self.learner.optimizer)
        learner = self.learner
        learner.iteration, learner.rate_factor = state.iteration, state.rate_factor
        learner.puzzles.position = state.position
        learner.puzzles.change(state.difficulty)
        self.trained_s, self.best = state.trained_s, state.best
        self.rollbacks = state.rollbacks
        self.guard.restored(state.guard)
        return state.metrics_bytes
