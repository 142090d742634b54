"""From log-probabilities to a loss.

* An optimizer step is taken over several packs, one after another, maybe on several processes. So a
  pack's loss is a sum over its targets, already divided by what the whole batch counts (`Scale`):
  how a batch is split changes nothing.
* `Scale.responses` counts every response, `Scale.tokens` those that are learned from. A masked
  response (truncated, say) is thus a zero in a mean over responses, and no part of one over tokens.
* The length in `grpo` and the limit in `dr_grpo` are those of the whole response, as sampled; the
  sequence ratio of `gspo` is taken of the learned tokens.
* Ratios stop at e^20: an infinite one, times the 0 of a clipped or masked token, would be nan.
* `token_stats` takes log-probabilities and entropies from chunks of logits. A chunk's logits are
  made, used and dropped, and made again in the backward pass: the full ones are never held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from tclue_grpo.policy import Pack, TokenStats

if TYPE_CHECKING:
    from tclue_grpo.config import Loss

Numbers = dict[str, float]
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
    def of(cls, packs: Iterable[Pack], max_tokens: int) -> Scale:
        """The scale of a batch."""
        packs = list(packs)
        tokens = sum(int(pack.mask.count_nonzero()) for pack in packs)
        return cls(sum(len(pack.lengths) for pack in packs), max(1, tokens), max_tokens)


# Of the log-probabilities now and before [target]: each target's part of the loss, and whether it
# is clipped, [target] both.
Terms = tuple[Tensor, Tensor]
Objective = Callable[[Tensor, Tensor, Pack, Scale, "Loss"], Terms]


def grpo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: Loss) -> Terms:
    """Shao et al., 2024 (https://arxiv.org/abs/2402.03300, equation 3): responses weigh the same.

    L = -1/G Σ_i 1/|o_i| Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i),  r = π(o_it) / π_old(o_it)
    """
    terms, clipped = _surrogate(_ratio(new - old), pack.advantage, options)
    return terms / pack.lengths[pack.target_response] / scale.responses, clipped


def dr_grpo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: Loss) -> Terms:
    """Liu et al., 2025 (https://arxiv.org/abs/2503.20783): a constant in place of the length.

    With 1/|o_i|, a long wrong response is punished less a token than a short one.

    L = -1/G Σ_i 1/max_tokens Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i)
    """
    terms, clipped = _surrogate(_ratio(new - old), pack.advantage, options)
    return terms / scale.max_tokens / scale.responses, clipped


def dapo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: Loss) -> Terms:
    """Yu et al., 2025 (https://arxiv.org/abs/2503.14476): each token weighs as much; clip higher.

    With high (0.28) above low (0.2), unlikely tokens have room to grow, and entropy stays up.

    L = -1/(Σ_i |o_i|) Σ_i Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i)
    """
    terms, clipped = _surrogate(_ratio(new - old), pack.advantage, options)
    return terms / scale.tokens, clipped


def gspo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: Loss) -> Terms:
    """Zheng et al., 2025 (https://arxiv.org/abs/2507.18071): a ratio for the whole response.

    It hardly moves: the paper has low 3e-4 and high 4e-4.

    L = -1/G Σ_i min(s_i A_i, clip(s_i, 1 - low, 1 + high) A_i),
    s_i = (π(o_i) / π_old(o_i))^(1/|o_i|)
    """
    ratio = _ratio(response_means(new - old, pack))[pack.target_response]
    terms, clipped = _surrogate(ratio, pack.advantage, options)
    # A response's one term, in equal parts on its learned tokens.
    return terms / _learned(pack)[pack.target_response] / scale.responses, clipped


def cispo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: Loss) -> Terms:
    """MiniMax, 2025 (https://arxiv.org/abs/2506.13585): no token loses its gradient to the clip.

    The paper has no lower bound (low 1).

    L = -1/(Σ_i |o_i|) Σ_i Σ_t sg(clip(r, 1 - low, 1 + high)) A_i log π(o_it),  sg: stop gradient
    """
    ratio = _ratio(new - old).detach()
    weight = ratio.clamp(1 - options.clip_low, 1 + options.clip_high)
    return -weight * pack.advantage * new / scale.tokens, weight != ratio


OBJECTIVES: dict[str, Objective] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "gspo": gspo,
    "cispo": cispo,
}


def pack_loss(
    stats: TokenStats,
    pack: Pack,
    old: Tensor,
    scale: Scale,
    options: Loss,
    reference: Tensor | None = None,
) -> tuple[Tensor, Numbers]:
    """A pack's part of the batch's loss, and what is logged of it (`combined` puts packs together).

    `old` [target] are the log-probabilities that the ratio is taken to, `options.old` says whose:
    the sampler's, or the trainer's own at the weights that were sampled from. `reference` [target]
    are those of the model that the KL term holds on to.
    """
    new = stats.logprobs
    terms, clipped = OBJECTIVES[options.objective](new, old, pack, scale, options)
    trainer = old if options.old == "trainer" else new.detach()
    log_ratio = trainer - pack.sampler_logprob
    trust = gap_weights(log_ratio, pack, options)
    loss = (terms * trust * pack.mask).sum()

    def mean(values: Tensor) -> Tensor:  # over the batch's learned tokens: this pack's part of it
        return (values * pack.mask).sum() / scale.tokens

    entropy = mean(stats.entropy)
    if options.entropy:
        loss = loss - options.entropy * entropy
    numbers = {"entropy": entropy, "clip_fraction": mean(clipped), "trust": mean(trust)}
    # the weight that all log-probabilities have together, as the entropy has `options.entropy`
    numbers["surrogate_weight"] = (terms.detach().abs() * trust * pack.mask).sum()
    if reference is not None:
        numbers["kl"] = mean(k3(new, reference))
        loss = loss + options.kl * numbers["kl"]
    numbers |= {"loss": loss} | gap(log_ratio, pack, mean)
    return loss, {name: float(value.detach()) for name, value in numbers.items()}


def k3(new: Tensor, reference: Tensor) -> Tensor:
    """[target] An estimate of KL(new || reference): never negative, unbiased, of little variance.

    k3 = ρ - 1 - log ρ,  ρ = π_ref / π  (http://joschu.net/blog/kl-approx.html)
    """
    log_ratio = reference - new
    return _ratio(log_ratio) - 1 - log_ratio


def gap_weights(log_ratio: Tensor, pack: Pack, options: Loss) -> Tensor:
    """[target] What is left of each target's part for the gap between trainer and sampler.

    Truncated importance sampling (https://fengyao.notion.site/off-policy-rl): min(ratio, cap),
    where the objective's own ratio is to the trainer and so leaves the gap out.
    Sequence masking: 0 for the responses whose mean gap is above a limit.
    """
    weight = torch.ones_like(log_ratio)
    if options.tis_cap and options.old == "trainer":
        weight = _ratio(log_ratio).clamp(max=options.tis_cap)
    if options.sequence_mask:
        kept = response_means(log_ratio.abs(), pack) <= options.sequence_mask
        weight = weight * kept[pack.target_response]
    return weight


def gap(log_ratio: Tensor, pack: Pack, mean: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """How far the trainer's log-probabilities of the learned tokens lie from the sampler's.

    k1 and k3 estimate KL(sampler || trainer) (http://joschu.net/blog/kl-approx.html).
    """
    ratio = _ratio(log_ratio)
    return {
        "gap": mean(log_ratio.abs()),
        "gap_max": torch.cat([log_ratio.new_zeros(1), (log_ratio * pack.mask).abs()]).max(),
        "gap_k1": mean(-log_ratio),
        "gap_k3": mean(ratio - 1 - log_ratio),
        "gap_ratio": mean(ratio),
    }


def combined(steps: Sequence[Sequence[Numbers]]) -> Numbers:
    """The numbers of several steps' packs: summed over a step's packs, then the mean over steps."""
    totals: Numbers = {}
    for name in {name: None for packs in steps for numbers in packs for name in numbers}:
        of_steps = [[numbers[name] for numbers in packs] for packs in steps]
        if name.endswith("_max"):
            totals[name] = max(value for values in of_steps for value in values)
        else:
            totals[name] = sum(map(sum, of_steps)) / len(steps)
    return totals


def response_means(values: Tensor, pack: Pack) -> Tensor:
    """[response] The mean over each response's learned tokens; 0 where there are none."""
    sums = values.new_zeros(len(pack.lengths))
    return sums.index_add(0, pack.target_response, values * pack.mask) / _learned(pack)


def _learned(pack: Pack) -> Tensor:
    """[response] The number of learned tokens, 1 at the least."""
    zeros = torch.zeros_like(pack.lengths, dtype=pack.mask.dtype)
    return zeros.index_add(0, pack.target_response, pack.mask).clamp(min=1)


def _ratio(log_ratio: Tensor) -> Tensor:
    return log_ratio.clamp(max=MAX_LOG_RATIO).exp()


def _surrogate(ratio: Tensor, advantage: Tensor, options: Loss) -> Terms:
    """PPO's clipped objective (https://arxiv.org/abs/1707.06347, equation 7), to be minimized."""
    free = ratio * advantage
    clipped = ratio.clamp(1 - options.clip_low, 1 + options.clip_high) * advantage
    return -torch.minimum(free, clipped), clipped < free


def token_stats(
    hidden: Tensor, head: Tensor, target_ids: Tensor, temperature: float, chunk: int
) -> TokenStats:
    """Log-probabilities and entropies of targets, [target], at a temperature.

    `hidden` [target, width] are the states that predict the targets, `head` [vocab, width] what
    turns them into logits. At most [chunk, vocab] logits are held.
    """
    parts = [
        checkpoint(
            *(_chunk_stats, rows, head, ids, temperature),
            use_reentrant=False,
            preserve_rng_state=False,  # nothing is drawn
        )
        for rows, ids in zip(
            torch.split(hidden, chunk), torch.split(target_ids, chunk), strict=True
        )
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
