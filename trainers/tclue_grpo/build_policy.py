"""From the configuration to a policy: which backend, which weights, which reference.

A policy is always built from its base, so that the base can be what a KL term refers to; a run that
goes on then gives it what was trained, from its last checkpoint (`checkpoint.restore`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.initialization import no_init_weights

from tclue.errors import UserError
from tclue_grpo import distributed, fsdp
from tclue_grpo.config import ModelConfig
from tclue_grpo.hf_files import fetch
from tclue_grpo.lora import add_adapters
from tclue_grpo.policy import HfPolicy, Policy


def build(
    model: ModelConfig,
    base: str,
    temperature: float,
    device: str = "cpu",
) -> Policy:
    """The policy of a run, from its base (a folder, or a hub name); sharded over the processes."""
    dtype, recompute = getattr(torch, model.dtype), model.gradient_checkpointing
    scoring = (temperature, model.head_chunk, recompute)
    empty = not distributed.is_rank_zero()
    policy: Policy
    if model.backend == "torchtune":
        policy = _torchtune(model).load(base, dtype, *scoring, empty=empty)
    else:
        lora = (model.lora_rank, model.lora_alpha)
        policy = load(base, dtype, device, *scoring, *lora, empty=empty)
    if distributed.world_size() > 1:
        fsdp.shard(
            policy, policy.layers()
        )  # which moves each layer to its device, a part of it to each
    else:
        policy.to(device)
    return policy


def _torchtune(model: ModelConfig) -> Any:
    """The backend, if it can be had."""
    if model.lora_rank:
        raise UserError("model.lora_rank: adapters need model.backend = hf, not torchtune")
    try:
        from tclue_grpo import backend_torchtune
    except ImportError as error:
        raise UserError(
            f"model.backend = torchtune: {error}: pip install 'tclue[torchtune]' brings it"
        ) from None
    return backend_torchtune


def sampled_from(policy: Policy) -> Any:
    """The transformers model that an engine in this process samples from.

    The policy's own; where that is sharded, or of another kind, one beside it, which the engine
    keeps in step.
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

    It attends as suits `device`, which it is to be brought to. `temperature` is the one that is
    sampled at; `chunk` the places whose logits are held at once; `recompute` keeps the input of
    each layer only, and runs it again in the backward pass; `lora_rank` above 0 trains adapters of
    that rank in place of the weights. An `empty` policy has nothing of the checkpoint's weights and
    takes up no memory for them: another process will send them.
    """
    base = fetch(name)
    module = _causal_model(name, base, dtype, device, empty)
    if lora_rank:
        add_adapters(module, lora_rank, lora_alpha)
    if recompute:
        module.activation_checkpointing_enable({"use_reentrant": False})
    return HfPolicy(module, base, temperature, chunk)


def _causal_model(name: str, base: Path, dtype: torch.dtype, device: str, empty: bool) -> Any:
    """The transformers model in a checkpoint's folder, attending as packs are (`backend_hf`)."""
    attention = "sdpa" if torch.device(device).type == "cpu" else "flex_attention"
    kind: Any = transformers.AutoModelForCausalLM
    common = {"dtype": dtype, "attn_implementation": attention, "trust_remote_code": False}
    if empty:
        config = transformers.AutoConfig.from_pretrained(base, trust_remote_code=False)
        with no_init_weights():  # pages that nobody writes to are not there
            module: Any = kind.from_config(config, **common)
    else:
        module = kind.from_pretrained(base, use_safetensors=True, **common)
    _check(name, module)
    return module


def _check(name: str, module: Any) -> None:
    """Refuse what packing or the chunked head would compute wrongly without a word."""
    config = module.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    head = module.get_output_embeddings()
    odd = [
        ("attention other than full", kinds != {"full_attention"}),
        ("a bias in its head", getattr(head, "bias", None) is not None),
        ("capped logits", bool(getattr(config, "final_logit_softcapping", None))),
        ("scaled logits", bool(getattr(config, "logit_scale", None))),
    ]
    if found := [words for words, has in odd if has]:
        raise UserError(
            f"{name}: has {' and '.join(found)}: expected a model of the Qwen2 or Llama kind"
        )
