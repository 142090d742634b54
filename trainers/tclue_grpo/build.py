"""Builds the parts of a run from its configuration: policy, optimizer, engine, puzzles.

A policy is always built from its base, so that the base can be the reference of a KL term; a
resumed run then loads the trained weights from its last checkpoint (`checkpoint.restore`).
"""

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.initialization import no_init_weights

from tclue.bench.models import loading
from tclue.bench.models.chat_template import (
    end_tokens,
    import_transformers_quietly,
    prompt_ids,
)
from tclue.bench.models.decode import DecodingRow
from tclue.errors import UserError
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
from tclue_grpo import fsdp
from tclue_grpo.config import Config, ModelConfig
from tclue_grpo.data import Puzzles, in_tiny_training_set
from tclue_grpo.distributed import is_rank_zero, world_size
from tclue_grpo.engine_hf import HFEngine
from tclue_grpo.engines import Engine, PerRankEngine, RankZeroEngine, WatchedRow
from tclue_grpo.hf_files import fetch
from tclue_grpo.lora import Reference, add_adapters
from tclue_grpo.master_weights import make_optimizer
from tclue_grpo.model_size import resolve_base
from tclue_grpo.plan import uses_vllm
from tclue_grpo.policy import HfPolicy, Policy
from tclue_grpo.step import TrainState


def build(config: Config, log: Path | None = None) -> TrainState:
    """All that an iteration needs, with the base's weights; vLLM's output goes to `log`."""
    import_transformers_quietly()  # standard error shows the run's own progress
    on_gpu = torch.cuda.is_available()
    base = resolve_base(config.model.base)
    tokenizer = load_tokenizer(base)
    device = "cuda" if on_gpu else "cpu"
    policy = build_policy(config.model, base, config.rollout.temperature, device)
    return TrainState(
        config,
        policy,
        make_optimizer(policy, config.update),
        make_engine(config, policy, tokenizer, on_gpu, log),
        make_puzzles(config, tokenizer),
        tokenizer,
        Reference(policy) if config.loss.kl else None,
    )


def build_policy(model: ModelConfig, base: str, temperature: float, device: str = "cpu") -> Policy:
    """The policy of a run, from its base (a folder or a hub name); sharded over the processes."""
    dtype, recompute = getattr(torch, model.dtype), model.gradient_checkpointing
    scoring = (temperature, model.head_chunk, recompute)
    empty = not is_rank_zero()
    policy: Policy
    if model.backend == "torchtune":
        try:
            from tclue_grpo import backend_torchtune
        except ImportError as error:
            raise UserError(
                f"model.backend = torchtune: {error}: run `pip install 'tclue[torchtune]'`"
            ) from None
        policy = backend_torchtune.load(base, dtype, *scoring, empty=empty)
    else:
        lora = (model.lora_rank, model.lora_alpha)
        policy = load_policy(base, dtype, device, *scoring, *lora, empty=empty)
    if world_size() > 1:
        fsdp.shard(policy, policy.layers())  # it moves each shard to its device
    else:
        policy.to(device)
    return policy


def sampling_module(policy: Policy) -> Any:
    """The transformers model that an engine in this process samples from.

    It is the policy's own; if that is sharded, or not of transformers, it is a second model, whose
    weights the engine synchronizes.
    """
    if isinstance(policy, HfPolicy) and world_size() == 1:
        return policy.module
    device = str(policy.device)
    return load_policy(str(policy.base), policy.dtype, device).module.to(device)


def load_policy(
    name: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    temperature: float = 1.0,
    chunk: int = 1024,
    recompute: bool = False,
    lora_rank: int = 0,
    lora_alpha: float = 32.0,
    empty: bool = False,
) -> HfPolicy:
    """A checkpoint (a folder, or a name on the hub) as a policy, on the CPU.

    Its attention suits `device`, to which the caller moves it. `temperature` is that of sampling;
    `chunk` is the number of targets whose logits are in memory at once; `recompute` keeps only each
    layer's input, and runs the layer again in the backward pass; `lora_rank` above 0 trains
    adapters of that rank instead of the weights. An `empty` policy does not load the checkpoint's
    weights and uses no memory for them: process 0 will send them.
    """
    base = fetch(name)
    # the attention that supports packs (`policy`)
    attention = "sdpa" if torch.device(device).type == "cpu" else "flex_attention"
    common = {"dtype": dtype, "attn_implementation": attention}
    module: Any
    if empty:
        config = transformers.AutoConfig.from_pretrained(base, trust_remote_code=False)
        kind: Any = transformers.AutoModelForCausalLM
        with no_init_weights():  # memory pages that are never written are not allocated
            module = kind.from_config(config, trust_remote_code=False, **common)
    else:
        module = loading.load_model(name, base, **common)
    _check_model(name, module)
    if lora_rank:
        add_adapters(module, lora_rank, lora_alpha)
    if recompute:
        module.activation_checkpointing_enable({"use_reentrant": False})
    return HfPolicy(module, base, temperature, chunk)


def _check_model(name: str, module: Any) -> None:
    """Raise UserError for models that packing or the chunked head would compute wrongly."""
    config = module.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    head = module.get_output_embeddings()
    unsupported = [
        ("attention other than full", kinds != {"full_attention"}),
        ("a bias in its head", getattr(head, "bias", None) is not None),
        ("capped logits", bool(getattr(config, "final_logit_softcapping", None))),
        ("scaled logits", bool(getattr(config, "logit_scale", None))),
        ("quantized weights", hasattr(module, "hf_quantizer")),
    ]
    if present := [words for words, has in unsupported if has]:
        raise UserError(f"{name} has {' and '.join(present)}: expected a Qwen2 or Llama model")


def load_tokenizer(base: str) -> Any:
    """A checkpoint's tokenizer; UserError if it has no chat template."""
    return loading.load_tokenizer(base, fetch(base))


def text_config(base: str) -> Any:
    """The configuration of a checkpoint's language model."""
    with loading.one_line_errors(base):
        return transformers.AutoConfig.from_pretrained(fetch(base)).get_text_config()


def generation_settings(base: str) -> Any:
    """A checkpoint's generation_config.json, or the same from its config.json: the end tokens."""
    try:
        return transformers.GenerationConfig.from_pretrained(fetch(base))
    except OSError:  # a checkpoint needs no generation_config.json
        return transformers.GenerationConfig.from_model_config(text_config(base))


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
    alpha, threshold = rollout.degenerate_alpha, rollout.degenerate_threshold
    watched = partial(WatchedRow, alpha=alpha, threshold=threshold)
    make_row = watched if rollout.stop_degenerate else None
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
            make_row=make_row,
            log=log,
        )
        return RankZeroEngine(server) if distributed else server
    engine = HFEngine(
        sampling_module(policy),
        ends,
        max_tokens=rollout.max_tokens,
        temperature=rollout.temperature,
        max_rows=rollout.max_rows,
        make_row=make_row or DecodingRow,
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
