"""Packing: responses of a group share one copy of their prompt in a sequence of fixed length.

* Where packs are padded (`pad_to`, as compiled kernels want it), groups are broken off so that
  little is padding (`filling`). Where they are not (CPU), a group that fits a pack alone stays
  whole: a copy of its prompt costs more than a short pack.
* `dense_mask` and `block_mask` say the same; the second never exists as [token, token].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tclue_grpo.filling import fill
from tclue_grpo.policy import PADDING, PROMPT, Pack
from tclue_grpo.rollout import GradedSample, Group

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


def pack(
    groups: Sequence[Group],
    length: int,
    pad_to: int | None = None,
    mask_truncated: bool = True,
    train_end: bool = True,
) -> list[Pack]:
    """Every response in exactly one pack of at most `length` tokens, padded to `pad_to`.

    `mask_truncated` keeps responses that reached the token limit out of the loss (not those broken
    off as degenerate: more tokens would not have saved them), `train_end=False` the end tokens.
    """
    packs = fill(groups, length, whole=pad_to is None)
    return [_build(pieces, pad_to or 0, mask_truncated, train_end) for pieces in packs]


def _build(pieces: list[Group], pad_to: int, mask_truncated: bool, train_end: bool) -> Pack:
    """The tensors of one pack."""
    ids, positions, groups, owners, source = (list[int]() for _ in range(5))
    responses: list[GradedSample] = []
    for number, group in enumerate(pieces):
        prompt = len(group.prompt)
        ids += group.prompt
        positions += range(prompt)
        owners += [PROMPT] * prompt
        last = len(ids) - 1  # predicts the first token of each response
        for response in group.responses:
            count = len(response.sample.ids)
            source += [last, *range(len(ids), len(ids) + count - 1)][:count]
            ids += response.sample.ids
            positions += range(prompt, prompt + count)
            owners += [len(responses)] * count
            responses.append(response)
        groups += [number] * (len(ids) - len(groups))
    padding = max(0, pad_to - len(ids))
    all_ids = torch.tensor(ids + [0] * padding)
    response_of = torch.tensor(owners + [PROMPT] * padding)
    learned = response_of != PROMPT
    return Pack(
        ids=all_ids,
        positions=torch.tensor(positions + [0] * padding),
        group=torch.tensor(groups + [PADDING] * padding),
        response=response_of,
        source=torch.tensor(source),
        target_ids=all_ids[learned],
        target_response=response_of[learned],
        advantage=torch.tensor([r.advantage for r in responses])[response_of[learned]],
        sampler_logprob=torch.tensor([p for r in responses for p in r.sample.logprobs]),
        mask=torch.cat([_trained(response, mask_truncated, train_end) for response in responses]),
        lengths=torch.tensor([len(response.sample.ids) for response in responses]),
    )


def _trained(response: GradedSample, mask_truncated: bool, train_end: bool) -> Tensor:
    """[token] 1 where the loss takes the token in."""
    mask = torch.ones(len(response.sample.ids))
    if response.sample.finish == "length" and mask_truncated:
        mask[:] = 0
    if response.sample.finish == "stop" and not train_end:
        mask[-1] = 0
    return mask


def mask_mod(pack: Pack) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Which token sees which, as flex attention asks it."""
    group, response = pack.group, pack.response

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        shared = (response[key] == PROMPT) | (response[key] == response[query])
        return (key <= query) & (group[key] == group[query]) & shared

    return sees


def dense_mask(pack: Pack) -> Tensor:
    """[token, token] bool, true where the row's token sees the column's: for SDPA on a CPU."""
    place = torch.arange(len(pack.ids), device=pack.ids.device)
    return mask_mod(pack)(place, place, place[:, None], place[None, :])


def block_mask(pack: Pack) -> BlockMask:
    """The same in blocks of 128 by 128, for flex attention; compiled on CUDA, so never dense."""
    from torch.nn.attention.flex_attention import create_block_mask

    device, tokens = pack.ids.device, len(pack.ids)
    compiled = device.type == "cuda"
    return create_block_mask(mask_mod(pack), None, None, tokens, tokens, device, _compile=compiled)
