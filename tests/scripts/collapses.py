"""Training runs of the tiny model, healthy or ruined on purpose, on which the guard is tested.

    PYTHONPATH=.:trainers python tests/scripts/collapses.py NAME SEED ITERATIONS FILE \
        [--entropy 10] [--validate-every 5]

* `healthy`: the preset `tiny`, with fewer responses.
* `rate`: its learning rate times 100.
* `gap`: log-probabilities unlike the sampler's: noise of half a nat on each token.
* `entropy`: the entropy term with the wrong sign: a strong bonus for high entropy.

Each iteration is one line of `metrics.jsonl`, and so is each validation. The files
tests/data/guard_runs/NAME-SEED.jsonl were made by the command above.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tclue.puzzle.splits import load_set
from tclue_grpo import config_file
from tclue_grpo.build import build
from tclue_grpo.config import Config
from tclue_grpo.engines import Engine
from tclue_grpo.loop import validate
from tclue_grpo.policy import Policy
from tclue_grpo.rollout import Sample, SamplingRequest
from tclue_grpo.step import TrainState, iterate

PUZZLES, RESPONSES = 12, 8  # each iteration; the preset has 32 and 16
VALIDATION_PUZZLES, VALIDATION_SAMPLES = 64, 2
NOISE = 0.5  # nats


class Noisy:
    """An engine whose log-probabilities are not those of its sampling distribution."""

    def __init__(self, engine: Engine, nats: float) -> None:
        self._engine, self._nats = engine, nats
        self._rng = random.Random(1)

    def sync(self, policy: Policy) -> None:
        self._engine.sync(policy)

    def sample(self, requests: Sequence[SamplingRequest]) -> list[list[Sample]]:
        return [
            [
                replace(sample, logprobs=[p + self._noise() for p in sample.logprobs])
                for sample in samples
            ]
            for samples in self._engine.sample(requests)
        ]

    def _noise(self) -> float:
        return self._rng.gauss(0, self._nats)

    def close(self) -> None:
        self._engine.close()


def configuration(name: str, seed: int, entropy: float = 10.0) -> Config:
    """The configuration of a run by name; `entropy` is the weight of the wrong entropy term."""
    config = config_file.preset("tiny").config
    config = replace(
        config,
        train=replace(config.train, seed=seed),
        data=replace(config.data, puzzles_per_iteration=PUZZLES),
        rollout=replace(config.rollout, responses_per_puzzle=RESPONSES),
    )
    if name == "rate":
        rate = 100 * config.update.learning_rate
        config = replace(config, update=replace(config.update, learning_rate=rate))
    if name == "entropy":
        config = replace(config, loss=replace(config.loss, entropy=entropy))
    return config


def train_state(config: Config, *, noise: float = 0.0) -> TrainState:
    """The state of a run at the tiny checkpoint; `noise` is added to the log-probabilities."""
    state = build(config)
    state.engine = Noisy(state.engine, noise) if noise else state.engine
    return state


def lines(
    name: str, seed: int, iterations: int, entropy: float, validate_every: int
) -> Iterator[dict[str, Any]]:
    """The lines of the run's metrics, one after another."""
    held_out = load_set("easy-val").puzzles[:VALIDATION_PUZZLES]
    state = train_state(configuration(name, seed, entropy), noise=NOISE if name == "gap" else 0.0)
    with closing(state.puzzles):
        for iteration in range(iterations + 1):
            if iteration % validate_every == 0:
                validation = validate(state, held_out, VALIDATION_SAMPLES)
                yield {"iteration": iteration, "validation": asdict(validation)}
            if iteration < iterations:
                numbers = iterate(state)
                yield {"iteration": iteration + 1, **numbers, "timings": state.timings}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("healthy", "rate", "gap", "entropy"))
    parser.add_argument("seed", type=int)
    parser.add_argument("iterations", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--entropy", type=float, default=10.0)
    parser.add_argument("--validate-every", type=int, default=5)
    arguments = vars(parser.parse_args())
    with arguments.pop("file").open("w") as file:
        for line in lines(**arguments):
            print(json.dumps(line), file=file, flush=True)


if __name__ == "__main__":
    main()
