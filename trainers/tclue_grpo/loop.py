"""A training run: iterations, validations, checkpoints, until it is done.

    train(config, Path("runs/tiny-seed1"))

The same call takes up what was interrupted: it goes on from the last checkpoint, and the iterations
that were lost since are made again, with the same numbers. A run's folder:

    config.toml      every knob; another configuration is refused
    metrics.jsonl    a line for each iteration and for each validation
    kept.json        which checkpoints there are, and how they are benchmarked
    step-000040/     a checkpoint that transformers loads; trainer/ in it is what a resume needs
    plots/           drawn at each validation
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers

from tclue.bench.costs import HOUR_USD
from tclue.bench.models import TINY
from tclue.errors import UserError
from tclue.puzzle.splits import load_set
from tclue.trainers import TrainedRun
from tclue_grpo import backend_hf, checkpoint, config_file
from tclue_grpo.checkpoint import Checkpoints, State
from tclue_grpo.config import Config
from tclue_grpo.data import Puzzles
from tclue_grpo.engine_hf import HFEngine
from tclue_grpo.metrics import Metrics, sinks
from tclue_grpo.rollout import Degeneration, Engine
from tclue_grpo.seen import is_seen
from tclue_grpo.step import Learner, Optimizer, iterate
from tclue_grpo.validate import validate


def train(config: Config, folder: Path, about: dict[str, Any]) -> TrainedRun:
    """Train to the end, or go on where an earlier call was interrupted.

    `about` is what kept.json says beside the steps. Raises UserError for what a person can mend.
    """
    with Run(config, folder, about) as run, run.heeding_interrupts():
        while not run.done:
            run.advance()
            if run.interrupted:
                run.save()
                raise KeyboardInterrupt(f"; the same command goes on after {run.told}")
        assert run.best
        return TrainedRun(folder, run.best["iteration"], run.learner.iteration)


class Run:
    """A run in its folder."""

    def __init__(self, config: Config, folder: Path, about: dict[str, Any]) -> None:
        self.config, self.folder = config, folder
        self.checkpoints = Checkpoints(folder, about, config.train.keep_every)
        last = self.checkpoints.last()
        self.learner = learner(config, str(last) if last else base_folder(config))
        # seconds of training over all starts; the step with the best validation so far
        self.trained_s = 0.0
        self.best: Mapping[str, Any] | None = None
        metrics_bytes = self._restore(last) if last else 0
        self.metrics = Metrics(
            folder, sinks(folder, config_file.values(config), **asdict(config.log)), metrics_bytes
        )
        held = load_set(config.train.validation).puzzles
        self.validation = held[: config.train.validation_puzzles or None]
        self.interrupted = False

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.learner.engine.close()
        self.learner.puzzles.close()
        self.metrics.close()

    @property
    def done(self) -> bool:
        """Whether the iterations, or the minutes, are used up."""
        limits = self.config.train
        used_up = limits.minutes and self.trained_s >= 60 * limits.minutes
        return self.learner.iteration >= limits.iterations or bool(used_up)

    @property
    def told(self) -> str:
        """Where it is."""
        return f"iteration {self.learner.iteration} of {self.config.train.iterations}"

    @contextmanager
    def heeding_interrupts(self) -> Iterator[None]:
        """Ctrl-C lets the iteration end, and saves; a second one leaves at once."""

        def interrupt(*_: object) -> None:
            if self.interrupted:
                raise KeyboardInterrupt("; the same command goes on from the last checkpoint")
            self.interrupted = True
            told = "stopping after this iteration; Ctrl-C again leaves at once"
            print(told, file=sys.stderr)

        try:
            before = signal.signal(signal.SIGINT, interrupt)
        except ValueError:  # not the main thread
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def advance(self) -> None:
        """One iteration, with what is due after it."""
        start = time.perf_counter()
        if self.learner.iteration == 0:
            self.validate()
        numbers = iterate(self.learner)
        timings = dict(self.learner.timings)
        self.trained_s += time.perf_counter() - start
        self.metrics.write(self.learner.iteration, {**numbers, "timings": timings})
        n, limits = self.learner.iteration, self.config.train
        validated = n % limits.validate_every == 0 or self.done
        if validated:
            start = time.perf_counter()
            self.validate()
            self.trained_s += time.perf_counter() - start
        # What was validated may be the best.
        if validated or n % limits.save_every == 0:
            self.save()

    def validate(self) -> None:
        """Measure on the validation puzzles; what is best is remembered."""
        learner, n = self.learner, self.learner.iteration
        learner.engine.sync(learner.policy)
        found = validate(
            *(learner.engine, learner.tokenizer, learner.grader, self.validation),
            self.config.train.validation_samples,
        )
        self.metrics.write(n, {"validation": asdict(found)})
        if n and (self.best is None or found.accuracy.value >= self.best["accuracy"]):
            self.best = {"iteration": n, "accuracy": found.accuracy.value}

    def save(self) -> None:
        """Write a checkpoint."""
        learner = self.learner
        state = State(
            learner.iteration,
            learner.puzzles.position,
            learner.puzzles.difficulty,
            rate_factor=learner.rate_factor,
            metrics_bytes=self.metrics.length,
            trained_s=self.trained_s,
            best=self.best,
        )
        self.checkpoints.about |= self.cost()
        self.checkpoints.save(learner.policy, learner.optimizer, state)

    def cost(self) -> dict[str, float]:
        """Seconds and dollars of training so far."""
        price = self.config.price
        on_gpu = self.learner.device.type == "cuda"
        hour_usd = price.gpu_hour_usd * price.gpus if on_gpu else price.hour_usd or HOUR_USD
        told = {"training_s": round(self.trained_s, 1)}
        return told | ({"training_usd": self.trained_s / 3600 * hour_usd} if hour_usd else {})

    def _restore(self, folder: Path) -> int:
        """Take up where a checkpoint was written: the bytes of metrics.jsonl that it knows of."""
        state = checkpoint.restore(folder, self.learner.optimizer)
        learner = self.learner
        learner.iteration, learner.rate_factor = state.iteration, state.rate_factor
        learner.puzzles.position = state.position
        learner.puzzles.change(state.difficulty)
        self.trained_s, self.best = state.trained_s, state.best
        return state.metrics_bytes


def base_folder(config: Config) -> str:
    """The folder or the hub name of the checkpoint to start from."""
    return str(TINY) if config.model.base == "tiny" else config.model.base


def learner(config: Config, weights: str) -> Learner:
    """All that an iteration needs, from the weights of some checkpoint."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    policy = backend_hf.load(
        weights,
        getattr(torch, config.model.dtype),
        device,
        config.rollout.temperature,
        config.model.head_chunk,
        config.model.gradient_checkpointing,
    )
    tokenizer = load_tokenizer(weights)
    return Learner(
        config,
        policy,
        Optimizer(policy, config.update),
        engine(config, policy, tokenizer),
        puzzles(config),
        tokenizer,
    )


def load_tokenizer(name: str) -> Any:
    """A checkpoint's tokenizer; UserError where it has no chat template."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    if not tokenizer.chat_template:
        raise UserError(
            f"{name}: its tokenizer has no chat template: expected an instruction-tuned "
            "checkpoint, with chat_template.jinja or chat_template in tokenizer_config.json"
        )
    return tokenizer


def ends(module: Any, tokenizer: Any) -> set[int]:
    """The tokens that end a response."""
    of_module = module.generation_config.eos_token_id
    several = of_module if isinstance(of_module, list) else [of_module]
    return {end for end in (*several, tokenizer.eos_token_id) if end is not None}


def engine(config: Config, policy: Any, tokenizer: Any) -> Engine:
    """The engine that the configuration names."""
    rollout = config.rollout
    degeneration = (
        Degeneration(rollout.degenerate_alpha, rollout.degenerate_threshold)
        if rollout.stop_degenerate
        else None
    )
    return HFEngine(
        policy.module,
        ends(policy.module, tokenizer),
        max_tokens=rollout.max_tokens,
        temperature=rollout.temperature,
        max_rows=rollout.max_rows,
        degeneration=degeneration,
    )


def puzzles(config: Config) -> Puzzles:
    """The run's puzzles, those the base has seen left out."""
    return Puzzles(
        config.data.difficulty,
        config.train.seed,
        limit=config.data.puzzles,
        ahead=2 * config.data.puzzles_per_iteration,
        jobs=config.data.jobs,
        seen=is_seen if config.model.base == "tiny" else lambda _: False,
    )
