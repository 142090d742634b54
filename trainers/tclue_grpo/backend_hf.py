"""The policy as a transformers model: the default backend.

* The body runs once a pack, with the pack's own mask and positions; the head only where a token is
  learned, in chunks (`losses.token_stats`). On a CPU attention is `sdpa` with a boolean mask, on
  CUDA `flex_attention` with a block mask. Never `eager`: it adds a boolean mask to the scores.
* Nothing is unpickled, and no code from a checkpoint is run.
* Checkpoints are what transformers loads: weights in safetensors, everything else copied from the
  base. With LoRA (`lora.py`) the weights are the merged ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

from tclue.errors import UserError
from tclue_grpo.hf_files import ADAPTERS, fetch
from tclue_grpo.lora import adapter_state, add_adapters, merged_state
from tclue_grpo.losses import token_stats
from tclue_grpo.packing import block_mask, dense_mask
from tclue_grpo.policy import Pack, Policy, TokenStats
from tclue_grpo.sharded import put


class HfPolicy(Policy):
    """A causal language model of transformers."""

    def __init__(self, module: Any, base: Path, temperature: float, chunk: int) -> None:
        super().__init__()
        self.module = module
        self.base = base
        self.temperature = temperature
        self.chunk = chunk

    def forward(self, pack: Pack) -> TokenStats:
        """Log-probabilities and entropies of the pack's targets."""
        on_cpu = pack.ids.device.type == "cpu"
        hidden = self.module.base_model(
            input_ids=pack.ids[None],
            attention_mask=dense_mask(pack)[None, None] if on_cpu else block_mask(pack),
            position_ids=pack.positions[None],
            use_cache=False,
        ).last_hidden_state[0]  # [token, width]
        head = self.module.get_output_embeddings().weight  # [vocab, width]
        return token_stats(hidden[pack.source], head, pack.target_ids, self.temperature, self.chunk)

    def layers(self) -> list[nn.Module]:
        """The transformer's blocks, in order."""
        return list(self.module.base_model.layers)

    def hf_state(self) -> dict[str, Tensor]:
        """The weights under their Hugging Face names, adapters merged."""
        return merged_state(self.module)

    def load_hf(self, state: dict[str, Tensor]) -> None:
        """Take weights under their Hugging Face names."""
        for name, weight in self.module.named_parameters():
            put(weight, state[name])

    def save(self, folder: Path) -> None:
        """Write a checkpoint that transformers loads; adapters by themselves, too."""
        super().save(folder)
        if adapters := adapter_state(self):
            (folder / ADAPTERS).parent.mkdir(exist_ok=True)
            save_file(adapters, folder / ADAPTERS)


def load(
    name: str,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    temperature: float = 1.0,
    chunk: int = 1024,
    recompute: bool = False,
    lora_rank: int = 0,
    lora_alpha: float = 32.0,
) -> HfPolicy:
    """A checkpoint (a folder, or a name on the hub) as a policy.

    `temperature` is the one that is sampled at; `chunk` the places whose logits are held at once;
    `recompute` keeps the input of each layer only, and runs it again in the backward pass;
    `lora_rank` above 0 trains adapters of that rank in place of the weights.
    """
    base = fetch(name)
    module: Any = transformers.AutoModelForCausalLM.from_pretrained(
        base,
        dtype=dtype,
        attn_implementation="sdpa" if torch.device(device).type == "cpu" else "flex_attention",
        use_safetensors=True,
        trust_remote_code=False,
    )
    _check(name, module)
    module.to(device)
    if lora_rank:
        add_adapters(module, lora_rank, lora_alpha)
    if recompute:
        module.activation_checkpointing_enable({"use_reentrant": False})
    return HfPolicy(module, base, temperature, chunk)


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
