"""The policy as a transformers model: the default backend.

* The body runs once a pack, with the pack's own mask and positions; the head only where a token is
  learned, in chunks (`losses.token_stats`). On a CPU attention is `sdpa` with a boolean mask, on
  CUDA `flex_attention` with a block mask. Never `eager`: it adds a boolean mask to the scores.
* It is loaded, and what it would compute wrongly refused, by `hf_load`; adapters are in `lora`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tclue_grpo.distributed import copy_to_shard
from tclue_grpo.lora import merged_state
from tclue_grpo.losses import token_stats
from tclue_grpo.packing import block_mask, dense_mask
from tclue_grpo.policy import Pack, Policy, TokenStats


class HfPolicy(Policy):
    """A causal language model of transformers."""

    def __init__(self, module: Any, base: Path, temperature: float, chunk: int) -> None:
        super().__init__()
        self.module, self.base = module, base
        self.temperature, self.chunk = temperature, chunk

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
            copy_to_shard(weight, state[name])
