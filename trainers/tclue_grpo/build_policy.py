"""Builds a policy from the configuration, with either backend.

A policy is always built from its base, so that the base can be the reference of a KL term; a
resumed run then loads the trained weights from its last checkpoint (`checkpoint.restore`).
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.initialization import no_init_weights

from tclue.bench.models.loading import load_model
from tclue.errors import UserError
from tclue_grpo import distributed, fsdp
from tclue_grpo.config import ModelConfig
from tclue_grpo.hf_files import fetch
from tclue_grpo.lora import add_adapters
from tclue_grpo.policy import HfPolicy, Policy


def build(model: ModelConfig, base: str, temperature: float, device: str = "cpu") -> Policy:
    """The policy of a run, from its base (a folder or a hub name); sharded over the processes."""
    dtype, recompute = getattr(torch, model.dtype), model.gradient_checkpointing
    scoring = (temperature, model.head_chunk, recompute)
    empty = not distributed.is_rank_zero()
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
        policy = load(base, dtype, device, *scoring, *lora, empty=empty)
    if distributed.world_size() > 1:
        fsdp.shard(policy, policy.layers())  # it moves each shard to its device
    else:
        policy.to(device)
    return policy


def sampling_module(policy: Policy) -> Any:
    """The transformers model that an engine in this process samples from.

    It is the policy's own; if that is sharded, or not of transformers, it is a second model, whose
    weights the engine synchronizes.
    """
    if isinstance(policy, HfPolicy) and distributed.world_size() == 1:
        return policy.module
    device = str(policy.device)
    return load(str(policy.base), policy.dtype, device).module.to(device)


def load(
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
    module = _causal_model(name, base, dtype, device, empty)
    if lora_rank:
        add_adapters(module, lora_rank, lora_alpha)
    if recompute:
        module.activation_checkpointing_enable({"use_reentrant": False})
    return HfPolicy(module, base, temperature, chunk)


def _causal_model(name: str, base: Path, dtype: torch.dtype, device: str, empty: bool) -> Any:
    """The transformers model of a checkpoint, with an attention that supports packs (`policy`)."""
    attention = "sdpa" if torch.device(device).type == "cpu" else "flex_attention"
    common = {"dtype": dtype, "attn_implementation": attention}
    if empty:
        config = transformers.AutoConfig.from_pretrained(base, trust_remote_code=False)
        kind: Any = transformers.AutoModelForCausalLM
        with no_init_weights():  # memory pages that are never written are not allocated
            module = kind.from_config(config, trust_remote_code=False, **common)
    else:
        module = load_model(name, base, **common)
    _check(name, module)
    return module


def _check(name: str, module: Any) -> None:
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
