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
    """What the policy says of the learned tokens of a pack."""

    # [target] nats, fp32, at the sampling temperature; with gradient
    logprobs: Tensor
    # [target] nats, fp32, of the whole distribution at each of these places
    entropy: Tensor


# Ratios stop at e^20: an infinite one, times the 0 of a clipped or masked token, would be nan.
MAX_LOG_RATIO = 20.0


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
    trust: Tensor | None = None,
) -> tuple[Tensor, Numbers]:
    """A pack's part of the batch's loss, and of its numbers (`combined` adds them up).

    `old` [target] are the log-probabilities that the ratio is taken to, `options.old` says whose:
    the sampler's, or the trainer's own at the weights that were sampled from. `reference` [target]
    are those of the model that the KL term holds on to. `trust` [target] is what is left of each
    target's part (`objectives.mismatch_weights`), all of it if None.
    """
    new = stats.logprobs
    terms, clipped = objective(new, old, pack, scale, options)
    trust = torch.ones_like(old) if trust is None else trust
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
    trainer = old if options.old == "trainer" else new.detach()
    numbers |= {"loss": loss} | sampler_mismatch(trainer - pack.sampler_logprob, pack, mean)
    return loss, {name: float(value.detach()) for name, value in numbers.items()}


def token_stats(
    hidden: Tensor, head: Tensor, target_ids: Tensor, temperature: float, chunk: int
) -> TokenStats:
    """Log-probabilities and entropies of targets, [target], at a temperature.

    `hidden` [target, width] are the states that predict the targets, `head` [vocab, width] what
    turns them into logits. At most [chunk, vocab] logits are held.
    """
    chunks = zip(torch.split(hidden, chunk), torch.split(target_ids, chunk), strict=True)
    # Nothing is drawn in a chunk, so no generator's state is to be kept.
    again = partial(checkpoint, _chunk_stats, use_reentrant=False, preserve_rng_state=False)
    parts = [again(rows, head, ids, temperature) for rows, ids in chunks]
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


def ratio_of(log_ratio: Tensor) -> Tensor:
    """The ratio, of its logarithm."""
    return log_ratio.clamp(max=MAX_LOG_RATIO).exp()


def k3(new: Tensor, reference: Tensor) -> Tensor:
    """[target] An estimate of KL(new || reference): never negative, unbiased, of little variance.

    k3 = ρ - 1 - log ρ,  ρ = π_ref / π  (http://joschu.net/blog/kl-approx.html)
    """
    log_ratio = reference - new
    return ratio_of(log_ratio) - 1 - log_ratio


def sampler_mismatch(
    log_ratio: Tensor, pack: Pack, mean: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """How far the trainer's log-probabilities of the learned tokens lie from the sampler's.

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
    """The numbers of an iteration's optimizer steps, each the numbers of its packs.

    Later steps are taken with other weights than were sampled from: that is no gap.
    """
    first = combined(steps[:1])
    return combined(steps) | {name: first[name] for name in first if name.startswith("gap")}


def combined(steps: Sequence[Sequence[Numbers]]) -> Numbers:
    """The numbers of several steps' packs: summed over a step's packs, then the mean over steps.

    Of one whose name ends in _max it is the greatest.
    """
    of_packs = list(chain.from_iterable(steps))
    return {
        name: max(n[name] for n in of_packs)
        if name.endswith("_max")
        else sum(sum(n[name] for n in packs) for packs in steps) / len(steps)
        for name in dict.fromkeys(chain.from_iterable(of_packs))
    }
