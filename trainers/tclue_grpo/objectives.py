"""The objectives that `loss.objective` may name, beside the default one in `losses`.

The length in `grpo` is that of the whole response, as sampled; the sequence ratio of `gspo` is
taken of the learned tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from tclue_grpo.losses import Objective, Scale, Terms, dr_grpo, surrogate
from tclue_grpo.policy import Pack
from tclue_grpo.ratios import learned_tokens, ratio_of, response_means

if TYPE_CHECKING:
    from tclue_grpo.config import LossConfig


def grpo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """Shao et al., 2024 (https://arxiv.org/abs/2402.03300, equation 3): responses weigh the same.

    L = -1/G Σ_i 1/|o_i| Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i),  r = π(o_it) / π_old(o_it)
    """
    terms, clipped = surrogate(ratio_of(new - old), pack.advantage, options)
    return terms / pack.lengths[pack.target_response] / scale.responses, clipped


def dapo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """Yu et al., 2025 (https://arxiv.org/abs/2503.14476): each token weighs as much; clip higher.

    With high (0.28) above low (0.2), unlikely tokens have room to grow, and entropy stays up.

    L = -1/(Σ_i |o_i|) Σ_i Σ_t min(r A_i, clip(r, 1 - low, 1 + high) A_i)
    """
    terms, clipped = surrogate(ratio_of(new - old), pack.advantage, options)
    return terms / scale.tokens, clipped


def gspo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """Zheng et al., 2025 (https://arxiv.org/abs/2507.18071): a ratio for the whole response.

    It hardly moves: the paper has low 3e-4 and high 4e-4.

    L = -1/G Σ_i min(s_i A_i, clip(s_i, 1 - low, 1 + high) A_i),
    s_i = (π(o_i) / π_old(o_i))^(1/|o_i|)
    """
    ratio = ratio_of(response_means(new - old, pack))[pack.target_response]
    terms, clipped = surrogate(ratio, pack.advantage, options)
    # A response's one term, in equal parts on its learned tokens.
    return terms / learned_tokens(pack)[pack.target_response] / scale.responses, clipped


def cispo(new: Tensor, old: Tensor, pack: Pack, scale: Scale, options: LossConfig) -> Terms:
    """MiniMax, 2025 (https://arxiv.org/abs/2506.13585): no token loses its gradient to the clip.

    The paper has no lower bound (low 1).

    L = -1/(Σ_i |o_i|) Σ_i Σ_t sg(clip(r, 1 - low, 1 + high)) A_i log π(o_it),  sg: stop gradient
    """
    ratio = ratio_of(new - old).detach()
    weight = ratio.clamp(1 - options.clip_low, 1 + options.clip_high)
    return -weight * pack.advantage * new / scale.tokens, weight != ratio


OBJECTIVES: dict[str, Objective] = {
    "grpo": grpo,
    "dr_grpo": dr_grpo,
    "dapo": dapo,
    "gspo": gspo,
    "cispo": cispo,
}
