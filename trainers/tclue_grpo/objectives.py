"""Alternatives to the default loss in `losses`; all are off by default.

* `loss.objective` names an objective. The length in `grpo` is that of the whole response, as
  sampled; the sequence ratio of `gspo` covers the trained tokens.
* `mismatch_weights` corrects for the difference between trainer and sampler (`loss.tis_cap`,
  `loss.sequence_mask`).
"""

import torch
from torch import Tensor

from tclue_grpo.config import LossConfig
from tclue_grpo.losses import Objective, Scale, Terms, dr_grpo, ratio_of, surrogate
from tclue_grpo.packing import Pack


def grpo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """Shao et al., 2024 (https://arxiv.org/abs/2402.03300, equation 3): equal weight per response.

    L = -1/G Σ_i 1/|o_i| Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i),  r = π(o_it) / π_old(o_it)
    """
    terms, clipped = surrogate(ratio_of(new - old), pack.advantage, options)
    return terms / pack.lengths[pack.target_response] / scale.responses, clipped


def dapo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """Yu et al., 2025 (https://arxiv.org/abs/2503.14476): equal weight per token; clip higher.

    With high (0.28) above low (0.2), unlikely tokens can become likelier, and entropy stays up.

    L = -1/(Σ_i |o_i|) Σ_i Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i)
    """
    terms, clipped = surrogate(ratio_of(new - old), pack.advantage, options)
    return terms / scale.tokens, clipped


def gspo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """Zheng et al., 2025 (https://arxiv.org/abs/2507.18071): one ratio for the whole response.

    The ratio stays close to 1: the paper uses low 3e-4 and high 4e-4.

    L = -1/G Σ_i min(s_i A_i, clip(s_i, 1 - low, 1 + high) A_i),
    s_i = (π(o_i) / π_old(o_i))^(1/|o_i|)
    """
    ratio = ratio_of(response_means(new - old, pack))[pack.target_response]
    terms, clipped = surrogate(ratio, pack.advantage, options)
    # The response's single term is spread equally over its trained tokens.
    return terms / trained_tokens(pack)[pack.target_response] / scale.responses, clipped


def cispo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """MiniMax, 2025 (https://arxiv.org/abs/2506.13585): no token loses its gradient to the clip.

    The paper uses no lower bound (low 1).

    L = -1/(Σ_i |o_i|) Σ_i Σ_t sg(clip(r, 1 - low, 1 + high)) A_i log π(o_it),  sg: stop gradient
    """
    ratio = ratio_of(new - old).detach()
    weight = ratio.clamp(1 - options.clip_low, 1 + options.clip_high)
    return -weight * pack.advantage * new / scale.tokens, weight != ratio


def mismatch_weights(trainer: Tensor, pack: Pack, options: LossConfig) -> Tensor:
    """[target] Weights of the loss terms that correct the gap between trainer and sampler.

    `trainer` [target] are the trainer's log-probabilities.
    Truncated importance sampling (https://fengyao.notion.site/off-policy-rl): min(ratio, cap), if
    the objective's own ratio has the trainer's old log-probabilities and so leaves out the gap.
    Sequence masking: 0 for the responses whose mean gap is above a limit.
    """
    log_ratio = trainer - pack.sampler_logprob
    weight = torch.ones_like(log_ratio)
    if options.tis_cap and options.old == "trainer":
        weight = ratio_of(log_ratio).clamp(max=options.tis_cap)
    if options.sequence_mask:
        is_kept = response_means(log_ratio.abs(), pack) <= options.sequence_mask
        weight = weight * is_kept[pack.target_response]
    return weight


def response_means(values: Tensor, pack: Pack) -> Tensor:
    """[response] The mean over each response's trained tokens; 0 if there are none."""
    sums = values.new_zeros(len(pack.lengths))
    return sums.index_add(0, pack.target_response, values * pack.mask) / trained_tokens(pack)


def trained_tokens(pack: Pack) -> Tensor:
    """[response] The number of trained tokens, at least 1."""
    zeros = torch.zeros_like(pack.lengths, dtype=pack.mask.dtype)
    return zeros.index_add(0, pack.target_response, pack.mask).clamp(min=1)


OBJECTIVES: dict[str, Objective] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "gspo": gspo,
    "cispo": cispo,
}
