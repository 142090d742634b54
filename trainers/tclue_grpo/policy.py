"""The policy: a causal language model that the loss can be taken of.

A backend builds one (`backend_hf`, `backend_torchtune`). Its forward takes a packed sequence, runs
the body once, and asks the head, chunk by chunk, only at the places that predict a learned token:
the full logits are never held. Body and head lie within one `forward`, as FSDP2 wants it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

PADDING = -1
PROMPT = -1


@dataclass(frozen=True)
class Pack:
    """One packed sequence, and what is to be learned from it.

    A token sees the tokens before it (itself too) of its own group that are in the prompt or in its
    own response. Positions restart after the prompt for each response. A response's first token
    is predicted from the prompt's last one: what predicts a target is named, not shifted.
    """

    ids: Tensor  # [token] int64
    positions: Tensor  # [token] int64, from 0 at each prompt's beginning
    group: Tensor  # [token] int64; PADDING, at the end, belongs to none
    response: Tensor  # [token] int64, number of the response in the pack; PROMPT in a prompt
    # [target] int64: the place whose hidden state predicts the target
    source: Tensor
    target_ids: Tensor  # [target] int64
    target_response: Tensor  # [target] int64, number of the response in the pack
    advantage: Tensor  # [target] float32
    sampler_logprob: Tensor  # [target] float32, nats
    # [target] float32: 1 where the token takes part in the loss, 0 where it is masked (truncated
    # responses, sequence masking, an end token that is not trained)
    mask: Tensor
    # [response] int64: tokens of each response
    lengths: Tensor

    def to(self, device: torch.device | str) -> Pack:
        """The same pack on a device."""
        return Pack(*(getattr(self, field.name).to(device) for field in fields(self)))


class TokenStats(NamedTuple):
    """What the policy says of the learned tokens of a pack."""

    # [target] nats, fp32, at the sampling temperature; with gradient
    logprobs: Tensor
    # [target] nats, fp32, of the whole distribution at each of these places
    entropy: Tensor


class Policy(nn.Module):
    """What a backend has to bring, and what all have in common."""

    # the checkpoint's folder that it was built from
    base: Path
    # what `keep_reference` remembered, on the CPU
    kept: dict[str, Tensor] | None = None

    def forward(self, pack: Pack) -> TokenStats:
        """Log-probabilities and entropies of the pack's targets."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @torch.no_grad()
    def scored(self, pack: Pack) -> Tensor:
        """Log-probabilities [target] of the pack's targets, on the CPU; nothing is learned."""
        training = self.training
        self.eval()
        found: Tensor = self(pack.to(self.device)).logprobs.cpu()
        self.train(training)
        return found

    def layers(self) -> list[nn.Module]:
        """The transformer's blocks, in order: what FSDP2 shards and what is recomputed."""
        raise NotImplementedError

    def hf_state(self) -> dict[str, Tensor]:
        """The weights under their Hugging Face names, for engines and checkpoints.

        A tied head is not named twice. Of a sharded policy, all processes have to ask, and the
        first one gets them.
        """
        raise NotImplementedError

    def load_hf(self, state: dict[str, Tensor]) -> None:
        """Take weights under their Hugging Face names. Not for a policy with adapters."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write a checkpoint that transformers loads: safetensors, configuration, tokenizer."""
        from tclue_grpo.hf_files import write_checkpoint

        if state := self.hf_state():
            write_checkpoint(state, self.base, folder)

    def keep_reference(self) -> None:
        """Make the weights as they are now the reference. Adapters have no need of it."""
        from tclue_grpo.reference import copied

        self.kept = copied(self)

    def reference(self) -> AbstractContextManager[None]:
        """The reference's weights in place of the policy's, within."""
        from tclue_grpo.reference import swapped_in

        return swapped_in(self, self.kept)
