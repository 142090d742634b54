"""Packing: responses of a group share one copy of their prompt in a sequence of fixed length."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

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
    group: Tensor  # [token] int64; padding, at the end, is -1
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
