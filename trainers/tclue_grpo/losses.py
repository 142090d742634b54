"""From log-probabilities to a loss.

* An optimizer step covers several packs, one after another, possibly on several processes. So a
  pack's loss is a sum over its targets, already divided by counts of the whole batch (`Scale`):
  how a batch is split makes no difference.
* `Scale.responses` counts every response, `Scale.tokens` only trained tokens. A masked response
  (such as a truncated one) is thus a zero in a mean over responses, and absent in one over tokens.
* `dr_grpo` is the default objective; the others are in `objectives`.
* `token_stats` computes log-probabilities and entropies from chunks of logits. A chunk's logits are
  computed, used and freed, and recomputed in the backward pass: the full logits never exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tclue_grpo.config import LossConfig
from tclue_grpo.packing import Pack
from tclue_grpo.rollout import Numbers


class TokenStats(NamedTuple):
    """The policy's log-probabilities and entropies of a pack's targets."""

    # [target] nats, fp32, at the sampling temperature; with gradient
    logprobs: Tensor
    # [target] nats, fp32, of the whole distribution at each target
    entropy: Tensor


# Ratios are limited to e^20: an infinite one, times the 0 of a masked token, would be nan.
MAX_LOG_RATIO = 20.0


@dataclass(frozen=True)
class Scale:
    """Counts of the batch of one optimizer step, over all of its packs and processes."""

    responses: int
    # trained tokens
    tokens: int
    # the token limit of a response
    max_tokens: int

    @classmethod
    def of(cls, packs: Sequence[Pack], max_tokens: int) -> Scale:
        """The scale of a batch."""
        tokens = sum(int(pack.mask.count_nonzero()) for pack in packs)
        return cls(sum(len(pack.lengths) for pack in packs), max(1, tokens), max_tokens)


# Each target's part of the loss, and whether it is clipped; [target] both. An objective computes
# them from the new and the old log-probabilities [target].
Terms = tuple[Tensor, Tensor]
Objective = Callable[[Tensor, Tensor, Pack, Scale, LossConfig], Terms]


def dr_grpo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """Liu et al., 2025 (https://arxiv.org/abs/2503.20783): a constant in place of the length.

    With 1/|o_i|, each token of a long wrong response is punished less than of a short one.

    L = -1/G Σ_i 1/max_tokens Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i),
    r = π(o_it) / π_old(o_it)
    """
    terms, clipped = surrogate(ratio_of(new - old), pack.advantage, options)
    return terms / scale.max_tokens / scale.responses, clipped


def surrogate(ratio: Tensor, advantage: Tensor, options: LossConfig) -> Terms:
    """PPO's clipped objective (https://arxiv.org/abs/1707.06347, equation 7), to be minimized."""
    unclipped = ratio * advantage
    clipped = ratio.clamp(1 - options.clip_low, 1 + options.clip_high) * advantage
    return -torch.minimum(unclipped, clipped), clipped < unclipped


def pack_loss(
    objective: Objective,
    stats: TokenStats,
    pack: Pack,
    old: Tensor,
    scale: Scale,
    options: LossConfig,
    reference: Tensor | None = None,
    trust: Tensor | None = None,
) -> tuple[Tensor, Numbers]:
    """A pack's part of the batch's loss, and of its numbers (`combine` adds them up).

    `old` [target] are the log-probabilities in the ratio's denominator: the sampler's, or the
    trainer's own at the weights that were sampled from, as `options.old` says. `reference` [target]
    are those of the KL term's reference model. `trust` [target] is the weight of each target
    (`objectives.mismatch_weights`), 1 if None.
    """
    new = stats.logprobs
    terms, clipped = objective(new, old, pack, scale, options)
    trust = torch.ones_like(old) if trust is None else trust
    weighted = terms * trust * pack.mask
    loss = weighted.sum()

    def mean(values: Tensor) -> Tensor:  # this pack's part of the mean over the batch's tokens
        return (values * pack.mask).sum() / scale.tokens

    numbers = {"entropy": mean(stats.entropy), "clip_fraction": mean(clipped), "trust": mean(trust)}
    # total weight of the log-probabilities; the entropy's weight is `options.entropy`
    numbers["surrogate_weight"] = weighted.abs().sum()
    if options.entropy:
        loss = loss - options.entropy * numbers["entropy"]
    if reference is not None:
        numbers["kl"] = mean(k3(new, reference))
        loss = loss + options.kl * numbers["kl"]
    trainer = old if options.old == "trainer" else new.detach()
    numbers |= {"loss": loss} | sampler_mismatch(trainer - pack.sampler_logprob, pack, mean)
    return loss, {name: float(value.detach()) for name, value in numbers.items()}


def token_stats(
    hidden: Tensor, head: Tensor, target_ids: Tensor, temperature: float, chunk: int
) -> TokenStats:
    """Log-probabilities and entropies of targets, [target], at a temperature.

    `hidden` [target, width] are the states that predict the targets; `head` [vocab, width] turns
    them into logits. At most [chunk, vocab] logits are in memory.
    """
    chunks = zip(torch.split(hidden, chunk), torch.split(target_ids, chunk), strict=True)
    # A chunk draws no random numbers, so no generator's state has to be preserved.
    recomputed = partial(checkpoint, _chunk_stats, use_reentrant=False, preserve_rng_state=False)
    parts = [recomputed(rows, head, ids, temperature) for rows, ids in chunks]
    return TokenStats(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _chunk_stats(
    hidden: Tensor, head: Tensor, ids: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    logits = hidden @ head.T
    # fp32 from here on (a model in float64, as in tests, stays there)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature
    logprobs = logits.log_softmax(-1)  # [chunk, vocab]
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(1, ids[:, None])[:, 0], entropy


def ratio_of(log_ratio: Tensor) -> Tensor:
    """The ratio, from its logarithm."""
    return log_ratio.clamp(max=MAX_LOG_RATIO).exp()


def k3(new: Tensor, reference: Tensor) -> Tensor:
    """[target] An estimate of KL(new || reference): never negative, unbiased, of low variance.

    k3 = ρ - 1 - log ρ,  ρ = π_ref / π  (http://joschu.net/blog/kl-approx.html)
    """
    log_ratio = reference - new
    return ratio_of(log_ratio) - 1 - log_ratio


def sampler_mismatch(
    log_ratio: Tensor, pack: Pack, mean: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """How far the trainer's log-probabilities of the trained tokens lie from the sampler's.

    k1 and k3 estimate KL(sampler || trainer) (http://joschu.net/blog/kl-approx.html).
    """
    ratio = ratio_of(log_ratio)
    return {
        "gap": mean(log_ratio.abs()),
        "gap_max": torch.cat([log_ratio.new_zeros(1), (log_ratio * pack.mask).abs()]).max(),
        "gap_k1": mean(-log_ratio),
        "gap_k3": mean(ratio - 1 - log_ratio),
        "gap_ratio": mean(ratio),
    }


def aggregate_steps(steps: Sequence[Sequence[Numbers]]) -> Numbers:
    """The numbers of an iteration, from [step][pack] numbers of its optimizer steps.

    The gap is that of the first step: later steps use other weights than were sampled from.
    """
    first = combine(steps[:1])
    return combine(steps) | {name: first[name] for name in first if name.startswith("gap")}


def combine(steps: Sequence[Sequence[Numbers]]) -> Numbers:
    """Combine [step][pack] numbers: the sum over a step's packs, then the mean over the steps.

    A number whose name ends in _max is the maximum over all packs.
    """
    pack_numbers = list(chain.from_iterable(steps))
    return {
        name: max(n[name] for n in pack_numbers)
        if name.endswith("_max")
        else sum(sum(n[name] for n in packs) for packs in steps) / len(steps)
        for name in dict.fromkeys(chain.from_iterable(pack_numbers))
    }
