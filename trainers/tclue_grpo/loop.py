"""A training run: iterations, validations, checkpoints, until it is done.

    train(config, Path("runs/tiny-seed1"))

The same call resumes an interrupted run from its last checkpoint: the iterations after that are run
again and give the same numbers. A run's folder holds:

    config.toml      every option; another configuration is refused
    metrics.jsonl    a line for each iteration and for each validation
    kept.json        which checkpoints exist, and how they are benchmarked
    step-000040/     a checkpoint that transformers loads; its trainer/ has what a resume needs
    plots/           drawn at each validation

In a run on several GPUs each process runs this loop; process 0 writes the files and shows progress
(`distributed`).
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from tclue import journal
from tclue.bench.models.chat_template import prompts_sha256
from tclue.bench.stats.intervals import mean, mean_interval
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue.trainers import TrainedRun
from tclue_grpo import checkpoint, config_file, metrics
from tclue_grpo.build import build, load_tokenizer, text_config
from tclue_grpo.checkpoint import Checkpoints, State
from tclue_grpo.config import Config
from tclue_grpo.distributed import all_gather, broadcast_from_rank_zero, is_rank_zero
from tclue_grpo.guard import Guard
from tclue_grpo.model_size import resolve_base
from tclue_grpo.rollout import Numbers, describe
from tclue_grpo.run_report import RunReport, Validation
from tclue_grpo.step import TrainState, iterate, sample

# the message for a user who did not wait for the iteration to end
RESUME_HINT = "; the same command resumes from the last checkpoint"


@contextmanager
def on_interrupt(handler: Callable[[], None]) -> Iterator[None]:
    """Call `handler` at Ctrl-C within the block; outside the main thread no signal arrives."""
    try:
        previous = signal.signal(signal.SIGINT, lambda *_: handler())
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def train(config: Config, folder: Path, manifest: Mapping[str, Any]) -> TrainedRun:
    """Train to the end, or resume where an earlier call was interrupted.

    `manifest` is what kept.json holds besides the steps. Raises UserError for a user's mistakes.
    """
    with TrainingRun(config, folder, manifest) as run:
        while not run.done:
            run.advance()
            if run.stop_requested():
                run.save()
                raise KeyboardInterrupt(f"; the same command resumes after {run.progress}")
        return run.result()


def validate(state: TrainState, puzzles: Sequence[Puzzle], samples: int) -> Validation:
    """Sample `samples` responses to each puzzle from the current weights, and grade them.

    A validation selects the best checkpoint, so results are never reported on its puzzles, but on
    the test set, by `tclue bench`. The seeds are the same each time, so two validations differ by
    the weights alone.
    """
    state.engine.sync(state.policy)
    groups = sample(state, puzzles, samples, seed=0, iteration=-1)
    accuracies = [mean(response.grade.accuracy for response in group.responses) for group in groups]
    accuracy, summary = mean_interval(accuracies), describe(groups)
    assert accuracy is not None
    return Validation(accuracy, tuple(accuracies), summary["in_format"], summary["length"])


def lock_folder(folder: Path) -> int:
    """Lock a run's folder until the returned descriptor is closed; UserError if it is locked."""
    return journal.locked(
        folder, "another process trains this run: let it finish, or stop it", "give another --runs"
    )


class TrainingRun:
    """A run in its folder."""

    def __init__(self, config: Config, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.config, self.folder = config, folder
        # seconds of training in all sessions; the step with the best validation so far
        self.trained_s = 0.0
        self.best: Mapping[str, Any] | None = None
        # how often the guard has rolled back to the best step
        self.rollbacks = 0
        self._stop_requested = False
        with ExitStack() as resources:
            if is_rank_zero():
                resources.callback(os.close, lock_folder(folder))
            # Sinks come first: they can fail before anything is started that has to be closed.
            options = config_file.values(config)
            sinks = metrics.sinks(folder, options, config.log) if is_rank_zero() else []
            puzzles = load_set(config.train.validation).puzzles
            self.validation = puzzles[: config.train.validation_puzzles or None]
            base = resolve_base(config.model.base)
            prompts = prompts_sha256(load_tokenizer(base), self.validation, text_config(base))
            manifest = {**manifest, "prompts_sha256": prompts}
            self.checkpoints = Checkpoints(folder, manifest, config.train.keep_every)
            self.state = build(config, log=folder / "vllm.log")
            resources.callback(self.state.engine.close)
            resources.callback(self.state.puzzles.close)
            self.guard = Guard(config.guard, entropy_weight=config.loss.entropy)
            last = broadcast_from_rank_zero(self.checkpoints.last)
            known_bytes = self._restore(last) if last else 0
            # If the guard has stopped the run, the lines that show why stay readable.
            length = None if self.checkpoints.stopped else known_bytes
            written = metrics.Metrics(folder, sinks, length) if is_rank_zero() else None
            self.report = RunReport(folder, config.train.iterations, written, self.hour_usd)
            resources.callback(self.report.close)
            self._resources = resources.pop_all()

    def __enter__(self) -> Self:
        self._resources.enter_context(on_interrupt(self._handle_interrupt))
        self._resources.enter_context(self.report.showing(self.trained_s))
        return self

    def __exit__(self, *error: Any) -> None:
        self._resources.__exit__(*error)

    @property
    def done(self) -> bool:
        """Whether the iterations or the minutes are used up, or the guard has stopped the run."""
        limits = self.config.train
        timeout = bool(limits.minutes) and self.trained_s >= 60 * limits.minutes
        finished = self.state.iteration >= limits.iterations or timeout
        return finished or bool(self.checkpoints.stopped)

    def result(self) -> TrainedRun:
        """The finished run; UserError if the guard stopped it before any step was validated."""
        if self.best is None:
            raise UserError(
                f"{self.folder}: {self.checkpoints.stopped}; no step was validated before: "
                "change the configuration, and give another --run"
            )
        return TrainedRun(self.folder, self.best["iteration"], self.checkpoints.steps()[-1])

    @property
    def progress(self) -> str:
        """How far the run is, in words."""
        return f"iteration {self.state.iteration} of {self.config.train.iterations}"

    def _handle_interrupt(self) -> None:
        """The first Ctrl-C lets the iteration end and saves; a second one exits at once."""
        if self._stop_requested:
            raise KeyboardInterrupt(RESUME_HINT)
        self._stop_requested = True
        if is_rank_zero():
            message = "stopping after this iteration; press Ctrl-C again to exit at once"
            print(message, file=sys.stderr)

    def stop_requested(self) -> bool:
        """Whether the user has asked the run to stop, in any process."""
        return any(all_gather(self._stop_requested))

    def advance(self) -> None:
        """Run one iteration; validate, check for alarms and save if that is due."""
        with self._timed_training():
            if self.state.iteration == 0:
                self._validate()
            numbers = iterate(self.state)
        n, limits = self.state.iteration, self.config.train
        line = {**numbers, "timings": dict(self.state.timings)}
        self.report.iteration(n, line, self.trained_s)
        alarm = self.guard.check_iteration(numbers)
        self._choose_difficulty(numbers)
        validated = n % limits.validate_every == 0 or self.done
        # No validation after an alarm: the weights may be worthless.
        if validated and not alarm:
            with self._timed_training():
                alarm = self._validate()
        self.report.explain_if_flat(n)
        if alarm:
            self._handle_alarm(alarm)
        # A validated step may be the best one. `save` skips the step that the guard stopped at.
        if validated or alarm or n % limits.save_every == 0:
            self.save()

    @contextmanager
    def _timed_training(self) -> Iterator[None]:
        """Count the block's seconds as training, by the clock of process 0."""
        start = time.perf_counter()
        yield
        self.trained_s += broadcast_from_rank_zero(lambda: time.perf_counter() - start)

    def _validate(self) -> str | None:
        """Measure accuracy on the validation puzzles, and remember the best step."""
        state, n = self.state, self.state.iteration
        result = validate(state, self.validation, self.config.train.validation_samples)
        accuracy = result.accuracy
        self.report.validation(n, result, final=self.done)
        alarm = self.guard.check_validation(result.by_puzzle)
        # A step that raises an alarm never counts as the best, even as the first one validated.
        if n and not alarm and (self.best is None or accuracy.value >= self.best["accuracy"]):
            self.best = {"iteration": n, "accuracy": accuracy.value}
        return alarm

    def _handle_alarm(self, alarm: str) -> None:
        """Stop, or roll back to the best step and continue from it, as `guard.action` says."""
        options, state = self.config.guard, self.state
        self.report.say(f"alarm at {self.progress}: {alarm}")
        if options.action == "stop" or self.best is None or self.rollbacks >= options.rollbacks:
            self.checkpoints.stop(f"the guard stopped at {self.progress}: {alarm}")
            return
        step = self.best["iteration"]
        checkpoint.restore(checkpoint.step_folder(self.folder, step), state.optimizer)
        self.rollbacks += 1
        state.rate_factor *= options.rollback_rate
        self.guard.reset_after_rollback()
        self.report.say(f"back to step {step}, at {state.rate_factor:g} times the learning rate")

    def _choose_difficulty(self, numbers: Numbers) -> None:
        """Move along the curriculum when an iteration's accuracy lies outside `data.band`."""
        levels, (low, high) = self.config.data.curriculum, self.config.data.band
        if not levels:
            return
        level = levels.index(self.state.puzzles.difficulty)
        move = (numbers["accuracy"] > high) - (numbers["accuracy"] < low)
        self.state.puzzles.set_difficulty(levels[min(max(level + move, 0), len(levels) - 1)])

    def save(self) -> None:
        """Write a checkpoint, unless this step has one or the guard has stopped the run."""
        state = self.state
        exists = broadcast_from_rank_zero(lambda: state.iteration in self.checkpoints.steps())
        if exists or self.checkpoints.stopped:
            return
        saved = State(
            state.iteration,
            state.puzzles.position,
            state.puzzles.difficulty,
            rate_factor=state.rate_factor,
            rollbacks=self.rollbacks,
            metrics_bytes=self.report.metrics_bytes,
            trained_s=self.trained_s,
            guard=self.guard.state(),
            best=self.best,
        )
        self.checkpoints.manifest |= self._cost()
        self.checkpoints.save(state.policy, state.optimizer, saved)

    @property
    def hour_usd(self) -> float:
        """Dollars for an hour of the training machine; 0 if unknown."""
        price = self.config.price
        if self.state.policy.device.type == "cuda":
            return price.gpu_hour_usd * price.gpus
        return price.hour_usd

    def _cost(self) -> dict[str, float]:
        """Seconds and dollars of training so far."""
        cost = {"training_s": round(self.trained_s, 1)}
        usd = self.trained_s / 3600 * self.hour_usd
        return cost | ({"training_usd": usd} if usd else {})

    def _restore(self, folder: Path) -> int:
        """Restore a checkpoint; return how many bytes metrics.jsonl had when it was written."""
        saved = checkpoint.restore(folder, self.state.optimizer)
        state = self.state
        state.iteration, state.rate_factor = saved.iteration, saved.rate_factor
        state.puzzles.position = saved.position
        state.puzzles.set_difficulty(saved.difficulty)
        self.trained_s, self.best = saved.trained_s, saved.best
        self.rollbacks = saved.rollbacks
        self.guard.restore(saved.guard)
        return saved.metrics_bytes
