"""Packing: responses of a group share one copy of their prompt in a sequence of fixed length.

* If packs are padded (`pad_to`, which compiled kernels need), groups are split so that there is
  little padding. If they are not (CPU), a group that fits into one pack is kept whole: another copy
  of its prompt costs more than a short pack.
* `fill` decides which responses share a pack. A pack begins with the rest of the group that was
  split at the end of the pack before, takes the longest groups that fit, and splits one if no
  whole group fits: at most one more copy of a prompt for each pack. A split takes the responses
  whose lengths add up to the greatest sum that fits.
* `dense_mask` and `block_mask` are the same mask; the second never exists as [token, token].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tclue.errors import UserError
from tclue_grpo.distributed import rank, world_size
from tclue_grpo.rollout import GradedSample, Group

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


PADDING = -1
PROMPT = -1
# Number of groups that are considered for a split: those with the shortest prompts.
CANDIDATES = 8


@dataclass(frozen=True)
class Pack:
    """One packed sequence, and what the loss needs to know about its tokens.

    A token attends to itself and to the tokens before it that are in its group's prompt or in its
    own response. Positions restart after the prompt for each response. A response's first token is
    predicted from the prompt's last one, so `source` gives the place that predicts each target.
    """

    ids: Tensor  # [token] int64
    positions: Tensor  # [token] int64, from 0 at each prompt's beginning
    group: Tensor  # [token] int64; PADDING, at the end, belongs to none
    response: Tensor  # [token] int64, number of the response in the pack; PROMPT in a prompt
    # [target] int64: the token whose hidden state predicts the target
    source: Tensor
    target_ids: Tensor  # [target] int64
    target_response: Tensor  # [target] int64, number of the response in the pack
    advantage: Tensor  # [target] float32
    sampler_logprob: Tensor  # [target] float32, nats
    # [target] float32: 1 where the token counts in the loss, 0 where it is masked (truncated
    # responses, sequence masking, an end token that is not trained)
    mask: Tensor
    # [response] int64: tokens of each response
    lengths: Tensor

    def to(self, device: torch.device | str) -> Pack:
        """The same pack on a device."""
        return Pack(*(getattr(self, field.name).to(device) for field in fields(self)))


def pack_groups(
    groups: Sequence[Group],
    length: int,
    pad_to: int | None = None,
    mask_truncated: bool = True,
    train_end: bool = True,
) -> list[Pack]:
    """Put every response into exactly one pack of at most `length` tokens, padded to `pad_to`.

    `mask_truncated` keeps responses that reached the token limit out of the loss (but not those
    stopped as degenerate: more tokens would not have helped), `train_end=False` the end tokens.
    """
    packs = fill(groups, length, keep_whole=pad_to is None)
    return [_build(pieces, pad_to or 0, mask_truncated, train_end) for pieces in packs]


def _build(pieces: list[Group], pad_to: int, mask_truncated: bool, train_end: bool) -> Pack:
    """The tensors of one pack."""
    ids, positions, groups, response_numbers, source = (list[int]() for _ in range(5))
    responses: list[GradedSample] = []
    for number, group in enumerate(pieces):
        prompt_length = len(group.prompt)
        ids += group.prompt
        positions += range(prompt_length)
        response_numbers += [PROMPT] * prompt_length
        last = len(ids) - 1  # predicts the first token of each response
        for response in group.responses:
            count = len(response.sample.ids)
            source += [last, *range(len(ids), len(ids) + count - 1)][:count]
            ids += response.sample.ids
            positions += range(prompt_length, prompt_length + count)
            response_numbers += [len(responses)] * count
            responses.append(response)
        groups += [number] * (len(ids) - len(groups))
    padding = max(0, pad_to - len(ids))
    all_ids = torch.tensor(ids + [0] * padding)
    response_of = torch.tensor(response_numbers + [PROMPT] * padding)
    is_response = response_of != PROMPT
    return Pack(
        ids=all_ids,
        positions=torch.tensor(positions + [0] * padding),
        group=torch.tensor(groups + [PADDING] * padding),
        response=response_of,
        source=torch.tensor(source),
        target_ids=all_ids[is_response],
        target_response=response_of[is_response],
        advantage=torch.tensor([r.advantage for r in responses])[response_of[is_response]],
        sampler_logprob=torch.tensor([p for r in responses for p in r.sample.logprobs]),
        mask=torch.cat([_loss_mask(response, mask_truncated, train_end) for response in responses]),
        lengths=torch.tensor([len(response.sample.ids) for response in responses]),
    )


def _loss_mask(response: GradedSample, mask_truncated: bool, train_end: bool) -> Tensor:
    """[token] 1 where the token counts in the loss, else 0."""
    masked = mask_truncated and response.sample.finish == "length"
    mask = torch.full((_tokens(response),), 0.0 if masked else 1.0)
    if response.sample.finish == "stop" and not train_end:
        mask[-1] = 0
    return mask


def packs_of_this_rank(batch: Sequence[Pack]) -> list[Pack]:
    """The packs of this process, filled up with a pack whose mask is all zero if needed.

    Every forward gathers weights from all processes, so all need the same number of packs.
    """
    packs = list(batch[rank() :: world_size()])
    filler = replace(batch[0], mask=torch.zeros_like(batch[0].mask))
    return packs + [filler] * (-(-len(batch) // world_size()) - len(packs))


def mask_mod(pack: Pack) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Which token attends to which, as the function that flex attention expects."""
    group, response = pack.group, pack.response

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        shared = (response[key] == PROMPT) | (response[key] == response[query])
        return (key <= query) & (group[key] == group[query]) & shared

    return sees


def dense_mask(pack: Pack) -> Tensor:
    """[token, token] bool, true where the row's token attends to the column's: for SDPA on CPU."""
    index = torch.arange(len(pack.ids), device=pack.ids.device)
    return mask_mod(pack)(index, index, index[:, None], index[None, :])


def block_mask(pack: Pack) -> BlockMask:
    """The same mask in blocks of 128 by 128, for flex attention; on CUDA it is never dense."""
    from torch.nn.attention.flex_attention import create_block_mask

    device, tokens = pack.ids.device, len(pack.ids)
    compiled = device.type == "cuda"
    return create_block_mask(mask_mod(pack), None, None, tokens, tokens, device, _compile=compiled)


def fill(groups: Sequence[Group], length: int, keep_whole: bool) -> list[list[Group]]:
    """[pack] The groups, or parts of groups, that go into each pack of `length` tokens.

    `keep_whole` never splits a group that fits into one pack.
    """
    unpacked = []
    for group in groups:
        responses = sorted(group.responses, key=_tokens, reverse=True)
        if responses and (needed := len(group.prompt) + _tokens(responses[0])) > length:
            raise UserError(
                f"packing.length is {length}: expected at least {needed}, for a prompt of "
                f"{len(group.prompt)} tokens and a response of {_tokens(responses[0])}"
            )
        unpacked += [replace(group, responses=responses)] if responses else []
    unpacked.sort(key=_size, reverse=True)
    remainder: Group | None = None
    packs: list[list[Group]] = []
    while unpacked or remainder:
        packs.append([])
        space = length
        while chosen := remainder or _next_group(unpacked, space, not (keep_whole and packs[-1])):
            unpacked = [other for other in unpacked if other is not chosen]
            fitting_part, rest = _split(chosen, space)
            packs[-1].append(fitting_part)
            space -= _size(fitting_part)
            remainder = rest if rest.responses else None
            if remainder:  # the next pack begins with it
                break
    return packs


def _tokens(response: GradedSample) -> int:
    return len(response.sample.ids)


def _size(group: Group) -> int:
    return len(group.prompt) + sum(_tokens(response) for response in group.responses)


def _next_group(unpacked: list[Group], space: int, may_split: bool) -> Group | None:
    """The longest group that fits; else the one whose split wastes the fewest tokens."""
    if fitting := next((group for group in unpacked if _size(group) <= space), None):
        return fitting
    fits = [g for g in unpacked if may_split and len(g.prompt) + _tokens(g.responses[-1]) <= space]
    fits = sorted(fits, key=lambda group: len(group.prompt))[:CANDIDATES]
    # the space that stays empty, and the second copy of the prompt
    wasted = [space - sum(map(_tokens, _split(group, space)[0].responses)) for group in fits]
    return fits[wasted.index(min(wasted))] if fits else None


def _split(group: Group, space: int) -> tuple[Group, Group]:
    """The part that fills the space best, leaving short responses for later, and the rest."""
    sums = [1]  # bit n is set if some of the responses so far have n tokens together
    fitting = (2 << space - len(group.prompt)) - 1
    for response in group.responses:
        sums.append((sums[-1] | sums[-1] << _tokens(response)) & fitting)
    target = sums[-1].bit_length() - 1
    part, rest = replace(group, responses=[]), replace(group, responses=[])
    for before, response in zip(sums[-2::-1], group.responses[::-1], strict=True):
        deferred = before >> target & 1
        target -= 0 if deferred else _tokens(response)
        (rest if deferred else part).responses.insert(0, response)
    return part, rest
