"""Builds the parts of a run from its configuration: policy, optimizer, engine, puzzles."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from tclue.bench.models import loading
from tclue.bench.models.chat_template import (
    end_tokens,
    import_transformers_quietly,
    prompt_ids,
)
from tclue.bench.models.decode import DecodingRow
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue_grpo import build_policy
from tclue_grpo.config import Config
from tclue_grpo.data import Puzzles, in_tiny_training_set
from tclue_grpo.degeneration import Degeneration, WatchedRow
from tclue_grpo.distributed import is_rank_zero, world_size
from tclue_grpo.engine_hf import HFEngine
from tclue_grpo.engines import Engine, PerRankEngine, RankZeroEngine
from tclue_grpo.hf_files import fetch
from tclue_grpo.master_weights import make_optimizer
from tclue_grpo.model_size import resolve_base
from tclue_grpo.plan import uses_vllm
from tclue_grpo.policy import Policy
from tclue_grpo.reference import Reference
from tclue_grpo.step import TrainState


def build(config: Config, log: Path | None = None) -> TrainState:
    """All that an iteration needs, with the base's weights; vLLM's output goes to `log`."""
    import_transformers_quietly()  # standard error shows the run's own progress
    on_gpu = torch.cuda.is_available()
    base = resolve_base(config.model.base)
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
    """A checkpoint's tokenizer; UserError if it has no chat template."""
    return loading.load_tokenizer(base, fetch(base))


def generation_settings(base: str) -> Any:
    """A checkpoint's generation_config.json, or the same from its config.json: the end tokens."""
    try:
        return transformers.GenerationConfig.from_pretrained(fetch(base))
    except OSError:  # a checkpoint needs no generation_config.json
        return transformers.GenerationConfig.from_model_config(text_config(base))


def text_config(base: str) -> Any:
    """The configuration of a checkpoint's language model."""
    with loading.one_line_errors(base):
        return transformers.AutoConfig.from_pretrained(fetch(base)).get_text_config()


def max_sequence_length(config: Config, base: str) -> int:
    """The limit of prompt and response together, in tokens: that of a pack and of the model."""
    settings = text_config(base)
    context = getattr(settings, "max_position_embeddings", None) or config.packing.length
    return min(config.packing.length, int(context))


def tensor_parallel_size(base: str, gpus: int) -> int:
    """The most GPUs, up to `gpus`, over which the attention heads of a model can be split."""
    settings = text_config(base)
    heads = settings.num_attention_heads
    kv = getattr(settings, "num_key_value_heads", None) or heads
    fit = (n for n in range(gpus, 0, -1) if heads % n == 0 and (kv % n == 0 or n % kv == 0))
    return next(fit)


def make_engine(
    config: Config, policy: Policy, tokenizer: Any, on_gpu: bool, log: Path | None = None
) -> Engine:
    """The engine that the configuration names; with `auto`, vLLM if there is a GPU."""
    rollout = config.rollout
    ends = end_tokens(generation_settings(str(policy.base)), tokenizer)
    degeneration = (
        Degeneration(rollout.degenerate_alpha, rollout.degenerate_threshold)
        if rollout.stop_degenerate
        else None
    )
    distributed = world_size() > 1
    local_gpus = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if distributed else 1
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
                max_model_len=max_sequence_length(config, str(policy.base)),
                dtype=config.model.dtype,
                gpu_memory=rollout.vllm_memory,
                gpus=tensor_parallel_size(str(policy.base), local_gpus) if on_gpu else 1,
            ),
            degeneration=degeneration,
            log=log,
        )
        return RankZeroEngine(server) if distributed else server
    engine = HFEngine(
        build_policy.sampling_module(policy),
        ends,
        max_tokens=rollout.max_tokens,
        temperature=rollout.temperature,
        max_rows=rollout.max_rows,
        make_row=partial(WatchedRow, watch=degeneration) if degeneration else DecodingRow,
    )
    return PerRankEngine(engine) if distributed else engine


def make_puzzles(config: Config, tokenizer: Any) -> Puzzles:
    """The run's training puzzles, without any that it is validated or benchmarked on.

    Puzzles that are too long, or that the tiny base was trained on, are left out too.
    """
    base = resolve_base(config.model.base)
    evaluation_sets = (config.train.validation, config.bench.puzzles)
    max_prompt = max_sequence_length(config, base) - config.rollout.max_tokens

    def is_unwanted(puzzle: Puzzle) -> bool:
        trained_on = config.model.base == "tiny" and in_tiny_training_set(puzzle)
        return trained_on or len(prompt_ids(tokenizer, puzzle)) > max_prompt

    return Puzzles(
        config.data.curriculum[0] if config.data.curriculum else config.data.difficulty,
        config.train.seed,
        limit=config.data.puzzles,
        ahead=2 * config.data.puzzles_per_iteration,
        jobs=config.data.jobs,
        held_out=[puzzle for name in evaluation_sets for puzzle in load_set(name).puzzles],
        unwanted=is_unwanted,
    )
