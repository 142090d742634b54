"""Log-probabilities that stay as they are while the policy moves: for the ratio and the KL term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tclue_grpo.policy import Pack, Policy

if TYPE_CHECKING:
    from tclue_grpo.config import LossConfig

# [target] what the ratio is taken to, None for the first forward's own; [target] the reference's
Anchors = tuple[Tensor | None, Tensor | None]


def old_and_reference_logprobs(
    policy: Policy, batches: Sequence[Sequence[Pack]], options: LossConfig
) -> list[list[Anchors]]:
    """For each pack of each batch, as the weights are before the first optimizer step."""
    several = len(batches) > 1
    found: list[list[Anchors]] = []
    for batch in batches:
        olds: list[Tensor | None] = [None] * len(batch)
        if options.old == "sampler":
            olds = [one.sampler_logprob for one in batch]
        elif several:  # else the forward that is learned from says it, too
            olds = [*_logprobs(policy, batch)]
        references: list[Tensor | None] = [None] * len(batch)
        if options.kl:
            with policy.reference():
                references = [*_logprobs(policy, batch)]
        found.append(list(zip(olds, references, strict=True)))
    return found


@torch.no_grad()
def _logprobs(policy: Policy, batch: Sequence[Pack]) -> list[Tensor]:
    return [policy(one).logprobs for one in batch]
