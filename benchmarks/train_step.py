"""The speed of the trainer: tokens per second of its step and of sampling, compared with others.

    python benchmarks/train_step.py                          # the tiny checkpoint, minutes
    python benchmarks/train_step.py --trl-python PYTHON      # compared with TRL: a Python with it
    python benchmarks/train_step.py --shape qwen2.5-0.5b     # on a GPU; weights are random

PYTHON is that of a separate environment with the same versions of torch and transformers:
`scripts/install_torch.sh PYTHON && PYTHON -m pip install trl==1.16.0 transformers==5.23.0`.

Design:
* Everything is compared in one run, with the same model, puzzles, group size and threads. The
  methods alternate in rounds, of which the first is not counted. A figure is the median of the
  rounds, and a ratio is the median of the ratios of the rounds. Processor time is shown in addition
  to wall time, because other programs affect it less.
* The step: `step.update` as in training, on responses that are sampled once. The learning rate is
  0, so that each round is the same work. "unshared" has packs of the same length, but each response
  has its own prompt. "alone" has one response with its prompt at a time. Nothing is reported unless
  all methods have the same gradient norm.
* Tokens: "logical" counts each response with its prompt, "executed" what is computed after sharing,
  with padding, and "loss-bearing" what counts in the loss. A response of a group without spread is
  sampled, but not trained on.
* Iterations: `step.iterate`, on the same puzzles each time, compared with TRL's `GRPOTrainer`
  (`trl_grpo.py`): sampling, grading and update, from the same initial weights. Both sample with
  transformers. The learning rate is low, so that the lengths stay similar; tokens per second are
  compared too. TRL also trains on groups without spread; ours leaves them out.
* A shape has the sizes and the packs of a preset. Its responses are random, so nothing is sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from beside_trl import Job, Trl
from step_words import show
from step_work import (
    Timing,
    Work,
    figures,
    gpu_peak,
    made_up,
    matmul_rate,
    sampling,
    seconds,
    timed,
    work_of,
    write_random,
)

from tclue.bench.models.chat_template import prompt_ids
from tclue.bench.models.local import TINY
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue_grpo import config_file
from tclue_grpo.build import build, build_policy
from tclue_grpo.config import Config, RewardConfig
from tclue_grpo.data import Puzzles
from tclue_grpo.master_weights import make_optimizer
from tclue_grpo.model_size import Shape, shape_of
from tclue_grpo.packing import Pack, pack_groups
from tclue_grpo.plan import this_machine
from tclue_grpo.rollout import Group, SamplingRequest, requests_for
from tclue_grpo.step import TrainState, collect, iterate, learning_rate, make_batch, update

ROOT = Path(__file__).parent.parent
PUZZLES = "easy-val"
SHAPES = ("qwen2.5-0.5b", "qwen2.5-1.5b")
RATE = 1e-6  # TRL's default
# Relative difference of two gradient norms that rounding can cause.
SAME_NORM = {"float32": 1e-3, "bfloat16": 5e-2}


@dataclass(frozen=True)
class Options:
    """The settings of the measurement."""

    puzzles: int
    responses: int
    max_tokens: int
    rounds: int
    seed: int
    trl_python: str | None = None
    trl_rows: int = 32
    shape: str | None = None


class Fixed:
    """A puzzle source with the same puzzles in each iteration."""

    def __init__(self, puzzles: Sequence[Puzzle]) -> None:
        self._puzzles = list(puzzles)

    def take(self, count: int) -> list[Puzzle]:
        """The first puzzles."""
        return self._puzzles[:count]


@dataclass
class Entry:
    """A method for the step."""

    state: TrainState
    batches: list[list[Pack]]
    work: Work


# Methods


def configuration(options: Options) -> Config:
    """The preset's configuration at the given sizes: one optimizer step on fixed puzzles."""
    config = config_file.preset(options.shape or "tiny").config
    rollout = replace(
        config.rollout,
        engine="hf",
        responses_per_puzzle=options.responses,
        max_tokens=options.max_tokens,
        refill_rounds=0,
    )
    changed = replace(
        config,
        data=replace(config.data, puzzles_per_iteration=options.puzzles),
        rollout=rollout,
        reward=RewardConfig(),  # TRL's reward is the grader's accuracy too
        update=replace(
            config.update,
            learning_rate=RATE,
            steps_per_iteration=1,
            warmup_iterations=0,
            decay_iterations=0,
        ),
        train=replace(config.train, seed=options.seed),
    )
    # The random responses are not from a sampler.
    return replace(changed, loss=replace(config.loss, old="trainer")) if options.shape else changed


def train_state(config: Config, puzzles: Sequence[Puzzle]) -> TrainState:
    """A training state of the tiny checkpoint with these puzzles in each iteration."""
    state = build(config)
    state.puzzles.close()
    state.puzzles = cast(Puzzles, Fixed(puzzles))
    return state


def bare_state(config: Config, base: str, backend: str) -> TrainState:
    """A training state of a backend that updates and samples nothing."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = replace(config, model=replace(config.model, backend=cast(Any, backend)))
    policy = build_policy(config.model, base, config.rollout.temperature, device)
    nothing = cast(Any, None)
    return TrainState(
        config, policy, make_optimizer(policy, config.update), nothing, nothing, nothing
    )


def entries(
    config: Config, base: str, shape: Shape, groups: Sequence[Group]
) -> tuple[dict[str, Entry], list[str]]:
    """The methods for the step by name, and a line for each that is left out."""
    ours, left_out = bare_state(config, base, "hf"), []
    singles = [
        replace(group, responses=[response]) for group in groups for response in group.responses
    ]
    batches = {"packed": make_batch(ours, groups), "unshared": make_batch(ours, singles)}
    if ours.policy.device.type == "cpu":
        batches["alone"] = [
            p for response in singles for p in pack_groups([response], config.packing.length)
        ]
    else:
        left_out.append("alone is left out: attention would be compiled for each length")
    ways = {
        name: Entry(ours, [packs], work_of(groups, packs, shape)) for name, packs in batches.items()
    }
    if find_spec("torchtune"):
        theirs = bare_state(config, base, "torchtune")
        ways["torchtune"] = replace(ways["packed"], state=theirs)
    else:
        left_out.append("torchtune is left out: not installed (pip install 'tclue[torchtune]')")
    for entry in ways.values():
        entry.state.rate_factor = 0.0
    return ways, left_out


def check_same(ways: Mapping[str, Entry], dtype: str) -> None:
    """Do each step once, which also loads modules. All must have the same gradient."""
    norms = {name: update(entry.state, entry.batches)["grad_norm"] for name, entry in ways.items()}
    first = norms["packed"]
    if not first or any(abs(norm / first - 1) > SAME_NORM[dtype] for norm in norms.values()):
        raise AssertionError(f"not the same gradient: its norm is {norms}")


def trl_job(options: Options, config: Config, rate: float, puzzles: Sequence[Puzzle]) -> Job:
    """The job for TRL, with the same settings."""
    return Job(
        base=str(TINY),
        device="cuda" if torch.cuda.is_available() else "cpu",
        puzzles=[puzzle.to_dict() for puzzle in puzzles],
        responses=options.responses,
        max_tokens=options.max_tokens,
        temperature=config.rollout.temperature,
        rows=options.trl_rows,
        rate=rate,
        betas=config.update.betas,
        weight_decay=config.update.weight_decay,
        clip_norm=config.update.clip_norm,
        iterations=options.rounds + 1,
        threads=torch.get_num_threads(),
        seed=options.seed,
    )


# Measurements


def measure(options: Options) -> dict[str, Any]:
    """Measure everything. Raises UserError if that is not possible."""
    machine, config = this_machine(), configuration(options)
    if options.shape and not torch.cuda.is_available():
        raise UserError(f"--shape {options.shape} needs a GPU, and here is {machine.summary}")
    report: dict[str, Any] = {
        "commit": commit(),
        "machine": machine.summary,
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "model": options.shape or "tiny",
        **{name: value for name, value in asdict(options).items() if name != "trl_python"},
        "pack_length": config.packing.length,
    }
    shape = shape_of(config.model.base)
    assert shape
    if options.shape:
        with tempfile.TemporaryDirectory() as folder:
            dtype = getattr(torch, config.model.dtype)
            base = write_random(shape, dtype, Path(folder), options.seed)
            groups = made_up(options.puzzles, options.responses, shape.vocab, options.seed)
            return report | steps(config, str(base), shape, groups, options.rounds)
    puzzles = load_set(PUZZLES).puzzles[: options.puzzles]
    if len(puzzles) < options.puzzles:
        raise UserError(f"--puzzles {options.puzzles}: {PUZZLES} has {len(puzzles)}")
    if options.trl_python and len(puzzles) * options.responses % options.trl_rows:
        raise UserError(f"--trl-rows {options.trl_rows}: expected a divisor of all responses")
    sampler = train_state(config, puzzles)
    groups, dropped = collect(sampler)
    if not groups:
        raise UserError("no group has different rewards: expected more --puzzles or --responses")
    sampling_requests = requests(sampler)
    # This is done first, because it fails on a machine without TRL.
    report["iterations"] = iterations(options, config, puzzles)
    report |= steps(
        *(config, str(TINY), shape, groups, options.rounds),
        lambda: sampler.engine.sample(sampling_requests),
    )
    report["sampling"] |= sampling(report, [*groups, *dropped])
    return report


def commit() -> str:
    """The checkout's commit."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def steps(
    config: Config,
    base: str,
    shape: Shape,
    groups: Sequence[Group],
    rounds: int,
    sample: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Tokens per second of each method for the step, and the time of sampling."""
    ways, left_out = entries(config, base, shape, groups)
    check_same(ways, config.model.dtype)
    timings: dict[str, list[Timing]] = {name: [] for name in ways}
    sampled: list[Timing] = []
    on_gpu = torch.cuda.is_available()
    peak = gpu_peak() if on_gpu else 0.0
    for _ in range(rounds):
        if not on_gpu:
            peak = max(peak or 0.0, matmul_rate(getattr(torch, config.model.dtype)))
        for name, way in ways.items():
            timings[name].append(timed(partial(update, way.state, way.batches)))
        if sample:
            sampled.append(timed(sample))
    measured = f"measured here, a large {config.model.dtype} matrix product"
    return {
        "peak": peak,
        "peak_is": "data sheet, dense bfloat16" if on_gpu else measured,
        "left_out": left_out,
        "steps": {
            name: figures(ways[name].work, way_timings, timings["packed"], peak)
            for name, way_timings in timings.items()
        },
        "sampling": seconds(sampled) if sample else None,
    }


def requests(sampler: TrainState) -> list[SamplingRequest]:
    """The requests of the first iteration."""
    config = sampler.config
    puzzles = sampler.puzzles.take(config.data.puzzles_per_iteration)
    responses = config.rollout.responses_per_puzzle
    return requests_for(sampler.tokenizer, puzzles, responses, config.train.seed, 0)


def iterations(options: Options, config: Config, puzzles: Sequence[Puzzle]) -> dict[str, Any]:
    """Complete iterations of ours and of TRL's, alternating; the first of each is not counted."""
    ours = train_state(config, puzzles)
    prompts = options.responses * sum(len(prompt_ids(ours.tokenizer, puzzle)) for puzzle in puzzles)
    rounds: dict[str, list[dict[str, Any]]] = {"ours": []}
    with ExitStack() as stack:
        if options.trl_python:
            job = trl_job(options, config, learning_rate(config, 0), puzzles)
            theirs = stack.enter_context(Trl(options.trl_python, job))
            rounds["trl"] = []
        for _ in range(options.rounds + 1):
            rounds["ours"].append(iteration(ours))
            if options.trl_python:
                rounds["trl"].append(theirs.iterate())
    result: dict[str, Any] = {"trl_version": theirs.version if options.trl_python else None}
    counted = {name: own_rounds[1:] for name, own_rounds in rounds.items()}
    for name, own_rounds in counted.items():
        for round_ in own_rounds:
            if round_["responses"] != options.responses * options.puzzles:
                raise AssertionError(f"{name}: not what was asked for: {round_}")
            round_["logical_per_s"] = (prompts + round_["sampled_tokens"]) / round_["wall_s"]
        result[name] = {key: median(round_[key] for round_ in own_rounds) for key in own_rounds[0]}
        result[name]["rounds"] = own_rounds
    if options.trl_python:
        pairs = list(zip(counted["ours"], counted["trl"], strict=True))
        result["wall_ratio"] = median(t["wall_s"] / o["wall_s"] for o, t in pairs)
        result["cpu_ratio"] = median(t["cpu_s"] / o["cpu_s"] for o, t in pairs)
        result["tokens_ratio"] = median(o["logical_per_s"] / t["logical_per_s"] for o, t in pairs)
    return result


def iteration(ours: TrainState) -> dict[str, Any]:
    """One of our iterations: its times, and what was sampled."""
    numbers: dict[str, float] = {}
    timing = timed(lambda: numbers.update(iterate(ours)))
    reported = ("responses", "sampled_tokens", "accuracy", "groups")
    return {
        **timing._asdict(),
        "sample_s": ours.timings["sample_s"],
        **{name: numbers[name] for name in reported},
    }


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--puzzles", type=int, default=8, help="groups (8)")
    parser.add_argument("--responses", type=int, default=16, help="responses per group (16)")
    parser.add_argument("--max-tokens", type=int, default=450, help="of a response (450)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that are counted (5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of responses and weights (1)")
    parser.add_argument("--trl-python", help="a Python with trl")
    parser.add_argument("--trl-rows", type=int, default=32, help="responses per batch of TRL (32)")
    parser.add_argument("--shape", choices=SHAPES, help="a preset's sizes, random weights: a GPU")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = vars(parser.parse_args())
    as_json = arguments.pop("json")
    if small := [name for name, given in arguments.items() if type(given) is int and given < 1]:
        parser.error(f"{small[0]}: expected at least 1")
    try:
        report = measure(Options(**arguments))
    except UserError as error:
        print(f"train_step: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report) if as_json else show(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
