"""From log-probabilities to a loss.

* An optimizer step is taken over several packs, one after another, maybe on several processes. So a
  pack's loss is a sum over its targets, already divided by what the whole batch counts (`Scale`):
  how a batch is split changes nothing.
* `Scale.responses` counts every response, `Scale.tokens` those that are learned from. A masked
  response (truncated, say) is thus a zero in a mean over responses, and no part of one over tokens.
* `dr_grpo` is the default objective; the others are in `objectives`.
* `token_stats` takes log-probabilities and entropies from chunks of logits. A chunk's logits are
  made, used and dropped, and made again in the backward pass: the full ones are never held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tclue_grpo.config import LossConfig
from tclue_grpo.iteration_metrics import Numbers
from tclue_grpo.policy import Pack, TokenStats
from tclue_grpo.ratios import k3, mismatch_weights, ratio_of, sampler_mismatch


@dataclass(frozen=True)
class Scale:
    """What the batch of one optimizer step counts, over all of its packs and processes."""

    responses: int
    # learned from
    tokens: int
    # the longest that a response may be
    max_tokens: int

    @classmethod
    def of(cls, packs: Sequence[Pack], max_tokens: int) -> Scale:
        """The scale of a batch."""
        tokens = sum(int(pack.mask.count_nonzero()) for pack in packs)
        return cls(sum(len(pack.lengths) for pack in packs), max(1, tokens), max_tokens)


# Of the log-probabilities now and before [target]: each target's part of the loss, and whether it
# is clipped, [target] both.
Terms = tuple[Tensor, Tensor]
Objective = Callable[[Tensor, Tensor, Pack, Scale, LossConfig], Terms]


def dr_grpo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """Liu et al., 2025 (https://arxiv.org/abs/2503.20783): a constant in place of the length.

    With 1/|o_i|, a long wrong response is punished less a token than a short one.

    L = -1/G Σ_i 1/max_tokens Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i),
    r = π(o_it) / π_old(o_it)
    """
    terms, clipped = surrogate(ratio_of(new - old), pack.advantage, options)
    return terms / scale.max_tokens / scale.responses, clipped


def surrogate(ratio: Tensor, advantage: Tensor, options: LossConfig) -> Terms:
    """PPO's clipped objective (https://arxiv.org/abs/1707.06347, equation 7), to be minimized."""
    free = ratio * advantage
    clipped = ratio.clamp(1 - options.clip_low, 1 + options.clip_high) * advantage
    return -torch.minimum(free, clipped), clipped < free


def pack_loss(
    objective: Objective,
    stats: TokenStats,
    pack: Pack,
    old: Tensor,
    scale: Scale,
    options: LossConfig,
    reference: Tensor | None = None,
) -> tuple[Tensor, Numbers]:
    """A pack's part of the batch's loss, and of its numbers (`measures.combined` adds them up).

    `old` [target] are the log-probabilities that the ratio is taken to, `options.old` says whose:
    the sampler's, or the trainer's own at the weights that were sampled from. `reference` [target]
    are those of the model that the KL term holds on to.
    """
    new = stats.logprobs
    terms, clipped = objective(new, old, pack, scale, options)
    trainer = old if options.old == "trainer" else new.detach()
    log_ratio = trainer - pack.sampler_logprob
    trust = mismatch_weights(log_ratio, pack, options)
    weighted = terms * trust * pack.mask
    loss = weighted.sum()

    def mean(values: Tensor) -> Tensor:  # over the batch's learned tokens: this pack's part of it
        return (values * pack.mask).sum() / scale.tokens

    numbers = {"entropy": mean(stats.entropy), "clip_fraction": mean(clipped), "trust": mean(trust)}
    # the weight that all log-probabilities have together, as the entropy has `options.entropy`
    numbers["surrogate_weight"] = weighted.abs().sum()
    if options.entropy:
        loss = loss - options.entropy * numbers["entropy"]
    if reference is not None:
        numbers["kl"] = mean(k3(new, reference))
        loss = loss + options.kl * numbers["kl"]
    numbers |= {"loss": loss} | sampler_mismatch(log_ratio, pack, mean)
    return loss, {name: float(value.detach()) for name, value in numbers.items()}


def token_stats(
    hidden: Tensor, head: Tensor, target_ids: Tensor, temperature: float, chunk: int
) -> TokenStats:
    """Log-probabilities and entropies of targets, [target], at a temperature.

    `hidden` [target, width] are the states that predict the targets, `head` [vocab, width] what
    turns them into logits. At most [chunk, vocab] logits are held.
    """
    chunks = zip(torch.split(hidden, chunk), torch.split(target_ids, chunk), strict=True)
    parts = [
        checkpoint(
            *(_chunk_stats, rows, head, ids, temperature),
            use_reentrant=False,
            preserve_rng_state=False,  # nothing is drawn
        )
        for rows, ids in chunks
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
