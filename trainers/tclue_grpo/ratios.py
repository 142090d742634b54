"""Ratios of probabilities: of trainer to sampler (the gap), and of reference to policy (KL).

* Ratios stop at e^20: an infinite one, times the 0 of a clipped or masked token, would be nan.
* The gap between trainer and sampler is always told; what makes up for it is off by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tclue_grpo.policy import Pack

if TYPE_CHECKING:
    from tclue_grpo.config import LossConfig

MAX_LOG_RATIO = 20.0


def ratio_of(log_ratio: Tensor) -> Tensor:
    """The ratio, of its logarithm."""
    return log_ratio.clamp(max=MAX_LOG_RATIO).exp()


def k3(new: Tensor, reference: Tensor) -> Tensor:
    """[target] An estimate of KL(new || reference): never negative, unbiased, of little variance.

    k3 = ρ - 1 - log ρ,  ρ = π_ref / π  (http://joschu.net/blog/kl-approx.html)
    """
    log_ratio = reference - new
    return ratio_of(log_ratio) - 1 - log_ratio


def mismatch_weights(log_ratio: Tensor, pack: Pack, options: LossConfig) -> Tensor:
    """[target] What is left of each target's part for the gap between trainer and sampler.

    Truncated importance sampling (https://fengyao.notion.site/off-policy-rl): min(ratio, cap),
    where the objective's own ratio is to the trainer and so leaves the gap out.
    Sequence masking: 0 for the responses whose mean gap is above a limit.
    """
    weight = torch.ones_like(log_ratio)
    if options.tis_cap and options.old == "trainer":
        weight = ratio_of(log_ratio).clamp(max=options.tis_cap)
    if options.sequence_mask:
        kept = response_means(log_ratio.abs(), pack) <= options.sequence_mask
        weight = weight * kept[pack.target_response]
    return weight


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


def response_means(values: Tensor, pack: Pack) -> Tensor:
    """[response] The mean over each response's learned tokens; 0 where there are none."""
    sums = values.new_zeros(len(pack.lengths))
    return sums.index_add(0, pack.target_response, values * pack.mask) / learned_tokens(pack)


def learned_tokens(pack: Pack) -> Tensor:
    """[response] The number of learned tokens, 1 at the least."""
    zeros = torch.zeros_like(pack.lengths, dtype=pack.mask.dtype)
    return zeros.index_add(0, pack.target_response, pack.mask).clamp(min=1)
