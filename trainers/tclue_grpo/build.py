"""From a configuration to what a run is made of: policy, optimizer, engine, puzzles."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from tclue.bench.models.chat_template import (
    end_tokens,
    import_transformers_quietly,
    missing_template_error,
    prompt_ids,
)
from tclue.bench.models.decode import DecodingRow
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue_grpo import build_policy
from tclue_grpo.config import Config
from tclue_grpo.contamination import in_tiny_training_set
from tclue_grpo.data import Puzzles
from tclue_grpo.degeneration import Degeneration, WatchedRow
from tclue_grpo.distributed import is_rank_zero, world_size
from tclue_grpo.engine_hf import HFEngine
from tclue_grpo.engines import Engine, PerRankEngine, RankZeroEngine
from tclue_grpo.hf_files import fetch
from tclue_grpo.master_weights import make_optimizer
from tclue_grpo.model_size import place_of
from tclue_grpo.plan import uses_vllm
from tclue_grpo.policy import Policy
from tclue_grpo.reference import Reference
from tclue_grpo.step import TrainState


def build(config: Config, log: Path | None = None) -> TrainState:
    """All that an iteration needs, at the base's weights; `log` is where vLLM's output goes."""
    import_transformers_quietly()  # standard error has the run's own bar
    on_gpu = torch.cuda.is_available()
    base = place_of(config.model.base)
    tokenizer = load_tokenizer(base)
    policy = build_policy.build(
        config.model, base, config.rollout.temperature, "cuda" if on_gpu else "cpu"
    )
    return TrainState(
        config,
        policy,
        make_optimizer(policy, config.update),
        make_engine(config, policy, tokenizer, on_gpu, log),
        make_puzzles(config, tokenizer),
        tokenizer,
        Reference(policy) if config.loss.kl else None,
    )


def load_tokenizer(base: str) -> Any:
    """A checkpoint's tokenizer; UserError where it has no chat template."""
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(fetch(base))
    if not tokenizer.chat_template:
        raise missing_template_error(base)
    return tokenizer


def generation_settings(base: str) -> Any:
    """What a checkpoint says of sampling, the tokens that end a text among it; None for nothing."""
    try:
        return transformers.GenerationConfig.from_pretrained(fetch(base))
    except OSError:  # a checkpoint needs no generation_config.json
        return None


def text_config(base: str) -> Any:
    """What a checkpoint's configuration says of its language model."""
    return transformers.AutoConfig.from_pretrained(fetch(base)).get_text_config()


def longest(config: Config, base: str) -> int:
    """Most tokens of prompt and response together: what a pack and the model can hold."""
    settings = text_config(base)
    context = getattr(settings, "max_position_embeddings", None) or config.packing.length
    return min(config.packing.length, int(context))


def sharing_gpus(base: str, most: int) -> int:
    """GPUs that a model's sampling can be split over, at most so many: by its attention's heads."""
    settings = text_config(base)
    heads = settings.num_attention_heads
    shared = getattr(settings, "num_key_value_heads", None) or heads
    fit = (n for n in range(most, 0, -1) if heads % n == 0 and (shared % n == 0 or n % shared == 0))
    return next(fit)


def make_engine(
    config: Config, policy: Policy, tokenizer: Any, on_gpu: bool, log: Path | None = None
) -> Engine:
    """The engine that the configuration names; vLLM where there is a GPU, if it names none."""
    rollout = config.rollout
    ends = end_tokens(generation_settings(str(policy.base)), tokenizer)
    degeneration = (
        Degeneration(rollout.degenerate_alpha, rollout.degenerate_threshold)
        if rollout.stop_degenerate
        else None
    )
    several = world_size() > 1
    gpus_here = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if several else 1
    if uses_vllm(config, on_gpu):
        if not is_rank_zero():
            return RankZeroEngine(None)
        from tclue_grpo.engine_vllm import VLLMEngine
        from tclue_grpo.vllm_server import ServerSettings, find_python

        server = VLLMEngine(
            ends,
            python=find_python(rollout.vllm_python),
            max_tokens=rollout.max_tokens,
            temperature=rollout.temperature,
            settings=ServerSettings(
                on_gpu=on_gpu,
                max_model_len=longest(config, str(policy.base)),
                dtype=config.model.dtype,
                gpu_memory=rollout.vllm_memory,
                gpus=sharing_gpus(str(policy.base), gpus_here) if on_gpu else 1,
            ),
            degeneration=degeneration,
            log=log,
        )
        return RankZeroEngine(server) if several else server
    own = HFEngine(
        build_policy.sampled_from(policy),
        ends,
        max_tokens=rollout.max_tokens,
        temperature=rollout.temperature,
        max_rows=rollout.max_rows,
        make_row=partial(WatchedRow, watch=degeneration) if degeneration else DecodingRow,
    )
    return PerRankEngine(own) if several else own


def make_puzzles(config: Config, tokenizer: Any) -> Puzzles:
    """The run's puzzles: none that it is validated or benchmarked on, or that has no room.

    Nor any that the tiny base was trained on.
    """
    base = place_of(config.model.base)
    measured = (config.train.validation, config.bench.puzzles)
    most = longest(config, base) - config.rollout.max_tokens

    def unwanted(puzzle: Puzzle) -> bool:
        seen = config.model.base == "tiny" and in_tiny_training_set(puzzle)
        return seen or len(prompt_ids(tokenizer, puzzle)) > most

    return Puzzles(
        config.data.curriculum[0] if config.data.curriculum else config.data.difficulty,
        config.train.seed,
        limit=config.data.puzzles,
        ahead=2 * config.data.puzzles_per_iteration,
        jobs=config.data.jobs,
        held_out=[puzzle for name in measured for puzzle in load_set(name).puzzles],
        unwanted=unwanted,
    )
