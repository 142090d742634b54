"""Packing: responses of a group share one copy of their prompt in a sequence of fixed length.

* A pack begins with the rest of the group that was broken off in the one before, takes the longest
  groups that fit, and breaks one off where none fits whole: one more copy of a prompt a pack, at
  most. Of the sums of its responses' lengths, the greatest that fits is taken.
* Where packs are padded (`pad_to`, as compiled kernels want it) that leaves little padding. Where
  they are not (CPU), a group that fits a pack alone stays whole: a copy costs more than a short
  pack.
* `dense_mask` and `block_mask` say the same; the second never exists as [token, token].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tclue.errors import UserError
from tclue_grpo.policy import PADDING
from tclue_grpo.policy import PROMPT as PROMPT
from tclue_grpo.policy import Pack as Pack
from tclue_grpo.rollout import Group, Response

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

# Groups that are looked at when one is to be broken off: those with the shortest prompts.
CANDIDATES = 8


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
    left = []
    for group in groups:
        responses = sorted(group.responses, key=_tokens, reverse=True)
        if responses and (needs := len(group.prompt) + _tokens(responses[0])) > length:
            raise UserError(
                f"packing: a prompt of {len(group.prompt)} tokens and a response of "
                f"{_tokens(responses[0])} do not fit a pack of {length}: expected at least {needs}"
            )
        left += [replace(group, responses=responses)] if responses else []
    plan = _plan(left, length, fill=pad_to is not None)
    return [_build(pieces, pad_to or 0, mask_truncated, train_end) for pieces in plan]


def _tokens(response: Response) -> int:
    return len(response.sample.ids)


def _size(group: Group) -> int:
    return len(group.prompt) + sum(_tokens(response) for response in group.responses)


def _plan(left: list[Group], length: int, fill: bool) -> list[list[Group]]:
    """What goes into which pack: groups, or parts of them."""
    left = sorted(left, key=_size, reverse=True)
    begun: Group | None = None
    packs: list[list[Group]] = []
    while left or begun:
        packs.append([])
        room = length
        while group := begun or _next(left, room, fill or not packs[-1]):
            left = [other for other in left if other is not group]
            part, rest = _split(group, room)
            packs[-1].append(part)
            room -= _size(part)
            begun = rest if rest.responses else None
            if begun:  # the next pack begins with it
                break
    return packs


def _next(left: list[Group], room: int, breaking: bool) -> Group | None:
    """The longest group that fits; else the one that breaking off leaves the fewest tokens lost."""
    if whole := next((group for group in left if _size(group) <= room), None):
        return whole
    fits = [g for g in left if breaking and len(g.prompt) + _tokens(g.responses[-1]) <= room]
    fits = sorted(fits, key=lambda group: len(group.prompt))[:CANDIDATES]
    # what stays empty, and the prompt that is copied once more
    lost = [room - sum(map(_tokens, _split(group, room)[0].responses)) for group in fits]
    return fits[lost.index(min(lost))] if fits else None


def _split(group: Group, room: int) -> tuple[Group, Group]:
    """The part that fills the room best, short responses kept back if possible, and the rest."""
    sums = [1]  # bit n: some of the responses so far have n tokens together
    for response in group.responses:
        sums.append(
            (sums[-1] | sums[-1] << _tokens(response)) & ((2 << room - len(group.prompt)) - 1)
        )
    most = sums[-1].bit_length() - 1
    part, rest = replace(group, responses=[]), replace(group, responses=[])
    for before, response in zip(sums[-2::-1], group.responses[::-1], strict=True):
        kept_back = before >> most & 1
        most -= 0 if kept_back else _tokens(response)
        (rest if kept_back else part).responses.insert(0, response)
    return part, rest


def _build(pieces: list[Group], pad_to: int, mask_truncated: bool, train_end: bool) -> Pack:
    """The tensors of one pack."""
    ids, positions, groups, owners, source = (list[int]() for _ in range(5))
    responses: list[Response] = []
    for number, group in enumerate(pieces):
        ids += group.prompt
        positions += range(len(group.prompt))
        owners += [PROMPT] * len(group.prompt)
        last = len(ids) - 1  # predicts the first token of each response
        for response in group.responses:
            count = _tokens(response)
            source += [last, *range(len(ids), len(ids) + count - 1)][:count]
            ids += response.sample.ids
            positions += range(len(group.prompt), len(group.prompt) + count)
            owners += [len(responses)] * count
            responses.append(response)
        groups += [number] * (len(ids) - len(groups))
    padding = max(0, pad_to - len(ids))
    response_of = torch.tensor(owners + [PROMPT] * padding)
    learned = response_of != PROMPT
    advantages = torch.tensor([response.advantage for response in responses])
    return Pack(
        ids=(all_ids := torch.tensor(ids + [0] * padding)),
        positions=torch.tensor(positions + [0] * padding),
        group=torch.tensor(groups + [PADDING] * padding),
        response=response_of,
        source=torch.tensor(source),
        target_ids=all_ids[learned],
        target_response=response_of[learned],
        advantage=advantages[response_of[learned]],
        sampler_logprob=torch.tensor([p for r in responses for p in r.sample.logprobs]),
        mask=torch.cat([_trained(response, mask_truncated, train_end) for response in responses]),
        lengths=torch.tensor([_tokens(response) for response in responses]),
    )


def _trained(response: Response, mask_truncated: bool, train_end: bool) -> Tensor:
    """[token] 1 where the loss takes the token in."""
    mask = torch.ones(_tokens(response))
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
