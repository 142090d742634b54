"""The policy: a causal language model that the loss can be taken of.

A backend builds one (`backend_hf`, `backend_torchtune`). Its forward takes a packed sequence, runs
the body once, and asks the head, chunk by chunk, only at the places that predict a learned token:
the full logits are never held. Body and head lie within one `forward`, as FSDP2 wants it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

if TYPE_CHECKING:
    from tclue_grpo.packing import Pack


class TokenStats(NamedTuple):
    """What the policy says of the learned tokens of a pack."""

    # [target] nats, fp32, at the sampling temperature; with gradient
    logprobs: Tensor
    # [target] nats, fp32, of the whole distribution at each of these places
    entropy: Tensor


class Policy(nn.Module):
    """What a backend has to bring."""

    def forward(self, pack: Pack) -> TokenStats:
        """Log-probabilities and entropies of the pack's targets."""
        raise NotImplementedError

    def layers(self) -> list[nn.Module]:
        """The transformer's blocks, in order: what FSDP2 shards and what is recomputed."""
        raise NotImplementedError

    def hf_state(self) -> dict[str, Tensor]:
        """The weights under their Hugging Face names, for engines and checkpoints."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write a checkpoint that transformers loads: safetensors, configuration, tokenizer."""
        raise NotImplementedError
