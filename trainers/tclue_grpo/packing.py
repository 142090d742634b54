"""Packing: responses of a group share one copy of their prompt in a sequence of fixed length.

* A pack begins with what is left of the group that was broken off in the one before, takes whole
  groups, the longest that fit first, and breaks one off where none fits whole: each pack costs one
  more copy of a prompt at most. Which responses a broken-off group leaves behind is chosen to fill
  the pack: of all their sums, the greatest that fits.
* Where packs are padded (`pad_to`, as compiled kernels want it) that leaves few tokens of padding.
  Where they are not (CPU), a group that fits a pack alone is not broken off: a copy costs more than
  a short pack.
* `dense_mask` and `block_mask` say the same; the second never exists as [token, token].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tclue.errors import UserError

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

    from tclue_grpo.rollout import Group, Response

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

    def to(self, device: torch.device | str) -> Pack:
        """The same pack on a device."""
        return Pack(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass
class _Left:
    """What of a group is in no pack yet."""

    number: int
    prompt: int  # tokens
    responses: list[int]  # numbers in the group, the longest first
    tokens: list[int]  # of each of these

    @property
    def total(self) -> int:
        return self.prompt + sum(self.tokens)

    def without(self, places: Sequence[int]) -> _Left:
        """What is left when these are taken out."""
        rest = sorted(set(range(len(self.tokens))) - set(places))
        responses, tokens = [self.responses[i] for i in rest], [self.tokens[i] for i in rest]
        return _Left(self.number, self.prompt, responses, tokens)


# The responses (numbers in their group) that a pack holds of a group (its number).
_Piece = tuple[int, list[int]]


def pack(
    groups: Sequence[Group],
    length: int,
    pad_to: int | None = None,
    mask_truncated: bool = True,
    train_end: bool = True,
) -> list[Pack]:
    """Every response in exactly one pack of at most `length` tokens, filled up to `pad_to`.

    `mask_truncated` leaves responses that reached the token limit out of the loss (one that was
    broken off as degenerate stays in: more tokens would not have saved it); `train_end=False`
    leaves out end tokens.
    """
    left = [_left(number, group, length) for number, group in enumerate(groups)]
    plan = _plan([group for group in left if group.responses], length, pad_to is not None)
    return [_build(pieces, groups, pad_to or 0, mask_truncated, train_end) for pieces in plan]


def _left(number: int, group: Group, length: int) -> _Left:
    tokens = [len(response.sample.ids) for response in group.responses]
    order = sorted(range(len(tokens)), key=lambda i: -tokens[i])
    left = _Left(number, len(group.prompt), order, [tokens[i] for i in order])
    if left.tokens and left.prompt + left.tokens[0] > length:
        raise UserError(
            f"packing: a prompt of {left.prompt} tokens with a response of "
            f"{left.tokens[0]} does not fit a pack of {length}: "
            f"expected a length of at least {left.prompt + left.tokens[0]}"
        )
    return left


def _plan(left: list[_Left], length: int, fill: bool) -> list[list[_Piece]]:
    """What goes into which pack."""
    left = sorted(left, key=lambda group: -group.total)
    begun: _Left | None = None
    packs: list[list[_Piece]] = []
    while left or begun:
        pieces: list[_Piece] = []
        room = length
        while group := begun or _whole(left, room) or _part(left, room, fill or not pieces):
            if group is not begun:
                left.remove(group)
            whole = group.total <= room
            places = range(len(group.tokens)) if whole else _fill(group.tokens, room - group.prompt)
            pieces.append((group.number, sorted(group.responses[i] for i in places)))
            room -= group.prompt + sum(group.tokens[i] for i in places)
            begun = None if whole else group.without(places)
            if begun:  # the next pack begins with it
                break
        packs.append(pieces)
    return packs


def _whole(left: list[_Left], room: int) -> _Left | None:
    """The longest group that fits; they come in falling order."""
    return next((group for group in left if group.total <= room), None)


def _part(left: list[_Left], room: int, wanted: bool) -> _Left | None:
    """The group to break off at the least cost: its prompt once more, and what stays empty."""
    fits = [group for group in left if wanted and group.prompt + group.tokens[-1] <= room]

    def cost(group: _Left) -> int:
        places = _fill(group.tokens, room - group.prompt)
        return room - sum(group.tokens[i] for i in places)

    return min(sorted(fits, key=lambda group: group.prompt)[:CANDIDATES], key=cost, default=None)


def _fill(tokens: Sequence[int], room: int) -> list[int]:
    """The places of those that add up to the most that fits; short ones are kept back if possible.

    The sums that can be reached are the bits of a number.
    """
    sums = [1]
    for count in tokens:
        sums.append((sums[-1] | sums[-1] << count) & ((2 << room) - 1))
    most = sums[-1].bit_length() - 1
    places = []
    for i in reversed(range(len(tokens))):
        if not sums[i] >> most & 1:
            places.append(i)
            most -= tokens[i]
    return places


def _build(
    pieces: list[_Piece],
    groups: Sequence[Group],
    pad_to: int,
    mask_truncated: bool,
    train_end: bool,
) -> Pack:
    """The tensors of one pack."""
    ids: list[int] = []
    positions: list[int] = []
    group_of: list[int] = []
    response_of: list[int] = []
    source: list[int] = []
    responses: list[Response] = []
    for number, (index, chosen) in enumerate(pieces):
        prompt = groups[index].prompt
        ids += prompt
        positions += range(len(prompt))
        response_of += [PROMPT] * len(prompt)
        last = len(ids) - 1  # predicts the first token of each response
        for response in (groups[index].responses[i] for i in chosen):
            count = len(response.sample.ids)
            source += [last, *range(len(ids), len(ids) + count - 1)][:count]
            ids += response.sample.ids
            positions += range(len(prompt), len(prompt) + count)
            response_of += [len(responses)] * count
            responses.append(response)
        group_of += [number] * (len(ids) - len(group_of))
    padding = max(0, pad_to - len(ids))
    lengths = torch.tensor([len(response.sample.ids) for response in responses])
    masks = [_trained(response, mask_truncated, train_end) for response in responses]
    return Pack(
        ids=torch.tensor(ids + [0] * padding),
        positions=torch.tensor(positions + [0] * padding),
        group=torch.tensor(group_of + [-1] * padding),
        response=torch.tensor(response_of + [PROMPT] * padding),
        source=torch.tensor(source),
        target_ids=torch.tensor([i for response in responses for i in response.sample.ids]),
        target_response=torch.repeat_interleave(torch.arange(len(responses)), lengths),
        advantage=torch.tensor([response.advantage for response in responses]).repeat_interleave(
            lengths
        ),
        sampler_logprob=torch.tensor([p for r in responses for p in r.sample.logprobs]),
        mask=torch.tensor([trained for mask in masks for trained in mask]),
        lengths=lengths,
    )


def _trained(response: Response, mask_truncated: bool, train_end: bool) -> list[float]:
    """[token] 1 where the loss takes the token in."""
    sample = response.sample
    ended = sample.finish == "stop" and not train_end
    trained = 0.0 if sample.finish == "length" and mask_truncated else 1.0
    return [trained] * (len(sample.ids) - ended) + [0.0] * ended


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
