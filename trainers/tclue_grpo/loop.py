"""A training run: iterations, validations, checkpoints, until it is done.

    train(config, Path("runs/tiny-seed1"))

The same call takes up what was interrupted: it goes on from the last checkpoint, and the iterations
that were lost since are made again, with the same numbers. A run's folder:

    config.toml      every knob; another configuration is refused
    metrics.jsonl    a line for each iteration and for each validation
    kept.json        which checkpoints are there, and what to benchmark
    step-000040/     a checkpoint that transformers loads; trainer/ in it is what a resume needs
    plots/           drawn at each validation
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from tclue.bench.models import TINY
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue_grpo import backend_hf, config_file
from tclue_grpo.config import Config
from tclue_grpo.data import Puzzles
from tclue_grpo.engine_hf import HFEngine
from tclue_grpo.rollout import Degeneration, Engine
from tclue_grpo.step import Learner, Optimizer, iterate
from tclue_grpo.validate import Validation, validate


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
        seen=lambda _: False,
    )
