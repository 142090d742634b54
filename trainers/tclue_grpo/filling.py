"""Which responses share a pack.

A pack begins with the rest of the group that was broken off in the one before, takes the longest
groups that fit, and breaks one off where none fits whole: one more copy of a prompt a pack, at
most. Of the sums of its responses' lengths, the greatest that fits is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tclue.errors import UserError
from tclue_grpo.rollout import GradedSample, Group

# Groups that are looked at when one is to be broken off: those with the shortest prompts.
CANDIDATES = 8


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
