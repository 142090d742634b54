"""From log-probabilities to a loss.

* `token_stats` takes log-probabilities and entropies from chunks of logits. A chunk's logits are
  made, used and dropped, and made again in the backward pass: the full ones are never held.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tclue_grpo.policy import TokenStats


def token_stats(
    hidden: Tensor, head: Tensor, target_ids: Tensor, temperature: float, chunk: int
) -> TokenStats:
    """Log-probabilities and entropies of targets, [target], at a temperature.

    `hidden` [target, width] are the states that predict the targets, `head` [vocab, width] what
    turns them into logits. At most [chunk, vocab] logits are held.
    """
    pairs = zip(hidden.split(chunk), target_ids.split(chunk), strict=True)
    parts = [
        checkpoint(
            _chunk_stats,
            rows,
            head,
            ids,
            temperature,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        for rows, ids in pairs
    ]
    return TokenStats(*(torch.cat(several) for several in zip(*parts, strict=True)))


def _chunk_stats(
    hidden: Tensor, head: Tensor, ids: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    logits = hidden @ head.T
    # fp32 from here on (a model in float64, as in tests, stays there)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    logprobs = logits.log_softmax(-1)  # [chunk, vocab]
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(1, ids[:, None])[:, 0], entropy
