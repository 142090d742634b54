"""Packing: responses of a group share one copy of their prompt in a sequence of fixed length.

* Where packs are padded (`pad_to`, as compiled kernels want it), groups are broken off so that
  little is padding. Where they are not (CPU), a group that fits a pack alone stays whole: a copy
  of its prompt costs more than a short pack.
* `fill` decides which responses share a pack. A pack begins with the rest of the group that was
  broken off in the one before, takes the longest groups that fit, and breaks one off where none
  fits whole: one more copy of a prompt a pack, at most. Of the sums of its responses' lengths, the
  greatest that fits is taken.
* `dense_mask` and `block_mask` say the same; the second never exists as [token, token].
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
# Groups that are looked at when one is to be broken off: those with the shortest prompts.
CANDIDATES = 8


@dataclass(frozen=True)
class Pack:
    """One packed sequence, and what is to be learned from it.

    A token sees the tokens before it (itself too) of its own group that are in the prompt or in its
    own response. Positions restart after the prompt for each response. A response's first token
    is predicted from the prompt's last one: what predicts a target is named, not shifted.
    """

    ids: Tensor  # [token] int64
    positions: Tensor  # [token] int64, from 0 at each prompt's beginning
    group: Tensor  # [token] int64; PADDING, at the end, belongs to none
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

    def to(self, device: torch.device | str) -> Pack:
        """The same pack on a device."""
        return Pack(*(getattr(self, field.name).to(device) for field in fields(self)))


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
    masked = mask_truncated and response.sample.finish == "length"
    mask = torch.full((_tokens(response),), 0.0 if masked else 1.0)
    if response.sample.finish == "stop" and not train_end:
        mask[-1] = 0
    return mask


def packs_of_this_rank(batch: Sequence[Pack]) -> list[Pack]:
    """The packs of a batch that are this process's; all have as many, some of them of no weight.

    Every forward gathers weights from all processes, so all must take the same number.
    """
    packs = list(batch[rank() :: world_size()])
    nothing = replace(batch[0], mask=torch.zeros_like(batch[0].mask))
    return packs + [nothing] * (-(-len(batch) // world_size()) - len(packs))


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


def fill(groups: Sequence[Group], length: int, whole: bool) -> list[list[Group]]:
    """What goes into which pack of so many tokens: groups, or parts of them.

    `whole` keeps a group that fits a pack alone in one piece.
    """
    left = []
    for one in groups:
        responses = sorted(one.responses, key=_tokens, reverse=True)
        if responses and (needs := len(one.prompt) + _tokens(responses[0])) > length:
            raise UserError(
                f"packing: a prompt of {len(one.prompt)} tokens and a response of "
                f"{_tokens(responses[0])} do not fit a pack of {length}: expected at least {needs}"
            )
        left += [replace(one, responses=responses)] if responses else []
    left.sort(key=_size, reverse=True)
    begun: Group | None = None
    packs: list[list[Group]] = []
    while left or begun:
        packs.append([])
        room = length
        while group := begun or _next(left, room, not (whole and packs[-1])):
            left = [other for other in left if other is not group]
            part, rest = _split(group, room)
            packs[-1].append(part)
            room -= _size(part)
            begun = rest if rest.responses else None
            if begun:  # the next pack begins with it
                break
    return packs


def _tokens(response: GradedSample) -> int:
    return len(response.sample.ids)


def _size(group: Group) -> int:
    return len(group.prompt) + sum(_tokens(response) for response in group.responses)


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
