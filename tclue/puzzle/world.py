"""What a puzzle tells of its evening: who and what was there, and the plan of the rooms.

Entities are numbered from 0 in the order in which the prompt lists them; every statement, case and
proof speaks in these numbers, and only `wording` and `prompt` turn them into names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tclue.errors import UserError

Side = Literal["north", "south", "east", "west"]

# (row, column) steps on the plan; north is the first row.
SIDES: dict[Side, tuple[int, int]] = {
    "north": (-1, 0),
    "south": (1, 0),
    "east": (0, 1),
    "west": (0, -1),
}


class PuzzleError(UserError):
    """A text that no puzzle can have; the message names the place and what was expected."""


@dataclass(frozen=True)
class World:
    """The entities of one case and the plan of its rooms.

    `times` and `motives` are empty where the prompt has none: the evening then has one unnamed
    time, or motives play no part.
    """

    suspects: tuple[str, ...]
    weapons: tuple[str, ...]
    rooms: tuple[str, ...]
    # Rows from north to south; a cell holds a room's number, or None where there is no room.
    plan: tuple[tuple[int | None, ...], ...]
    times: tuple[str, ...] = ()
    motives: tuple[str, ...] = ()
    # How many suspects have each motive; their sum is the number of suspects.
    motive_counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        needed = {"suspect": self.suspects, "weapon": self.weapons, "room": self.rooms}
        for what, names in needed.items():
            if not names:
                raise PuzzleError(f"no {what}s: expected at least one")
        for what, names in {**needed, "time": self.times, "motive": self.motives}.items():
            for i, name in enumerate(names):
                if name in names[:i]:
                    raise PuzzleError(f"{what} {name!r} is listed twice: expected distinct names")
        self._check_spoken()
        cells = sorted(room for row in self.plan for room in row if room is not None)
        if cells != list(range(len(self.rooms))):
            raise PuzzleError(
                f"the plan must show each of the {len(self.rooms)} rooms exactly once"
            )
        if len(self.motive_counts) != len(self.motives) or (
            self.motives and sum(self.motive_counts) != len(self.suspects)
        ):
            raise PuzzleError(
                f"the motives' numbers of suspects add up to {sum(self.motive_counts)}: "
                f"expected {len(self.suspects)}, the number of suspects"
            )

    def _check_spoken(self) -> None:
        """Refuse names that would make a sentence speak of two people or things at once."""
        spoken = [
            *("Mr. Boddy", "the murderer", "the murder weapon"),
            *self.suspects,
            *(f"the {weapon}" for weapon in self.weapons),
        ]
        # "The" and "the" begin the same words, at the start of a sentence and within it.
        folded = [name[:1].lower() + name[1:] for name in spoken]
        for i, name in enumerate(folded):
            if name in folded[:i]:
                raise PuzzleError(f"{spoken[i]!r} could mean two: expected distinct names")

    @property
    def num_times(self) -> int:
        """Number of moments in the evening; 1 where the prompt names no time."""
        return max(1, len(self.times))

    @property
    def unique_motives(self) -> bool:
        """True when every motive has exactly one holder."""
        return all(count == 1 for count in self.motive_counts)

    @cached_property
    def _cells(self) -> dict[tuple[int, int], int]:
        return {
            (row, column): room
            for row, cells in enumerate(self.plan)
            for column, room in enumerate(cells)
            if room is not None
        }

    @cached_property
    def beside(self) -> dict[Side, tuple[int | None, ...]]:
        """For each side, the room that adjoins each room on that side, or None."""
        place = {room: cell for cell, room in self._cells.items()}
        return {
            side: tuple(
                self._cells.get((place[room][0] + down, place[room][1] + right))
                for room in range(len(self.rooms))
            )
            for side, (down, right) in SIDES.items()
        }

    @cached_property
    def reach(self) -> tuple[tuple[int, ...], ...]:
        """For each room, those within one step: the room itself and its neighbours, ascending."""
        return tuple(
            tuple(
                sorted(
                    {room}
                    | {near for side in SIDES if (near := self.beside[side][room]) is not None}
                )
            )
            for room in range(len(self.rooms))
        )
