"""The world of a puzzle: suspects, weapons, rooms, times, motives, and the plan of the rooms.

Entities are numbered from 0 in the order in which the prompt lists them. Statements, cases and
proofs use these numbers; `wording` and `prompt` translate them from and to names.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tclue.errors import UserError

Side = Literal["north", "south", "east", "west"]

# (row, column) step to the next room on the plan; the first row is in the north.
SIDES: dict[Side, tuple[int, int]] = {
    "north": (-1, 0),
    "south": (1, 0),
    "east": (0, 1),
    "west": (0, -1),
}


class PuzzleError(UserError):
    """A puzzle or its prompt is invalid; the message names the place and what was expected."""


@dataclass(frozen=True)
class World:
    """The entities of one case and the plan of its rooms.

    No list has a name twice, and the plan has each room once: `prompt` and `draw` make sure of it.
    Raises PuzzleError if a sentence could mean two people or things.

    `times` is empty if the prompt lists none: then there is a single, unnamed time. `motives` is
    empty if the puzzle has no motives.
    """

    suspects: tuple[str, ...]
    weapons: tuple[str, ...]
    rooms: tuple[str, ...]
    # rows from north to south; a cell is the number of a room, or None if there is no room
    plan: tuple[tuple[int | None, ...], ...]
    times: tuple[str, ...] = ()
    motives: tuple[str, ...] = ()
    # the number of suspects with each motive; the sum is the number of suspects
    motive_counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        spoken = [
            *("Mr. Boddy", "the murderer", "the murder weapon"),
            *self.suspects,
            *(f"the {weapon}" for weapon in self.weapons),
        ]
        # At the start of a sentence, "the" is written "The".
        folded = [name[:1].lower() + name[1:] for name in spoken]
        for i, name in enumerate(folded):
            if name in folded[:i]:
                raise PuzzleError(f"{spoken[i]!r} has two meanings: expected distinct names")

    @property
    def num_times(self) -> int:
        """Number of times; 1 if the prompt lists none."""
        return max(1, len(self.times))

    @property
    def unique_motives(self) -> bool:
        """Whether every motive belongs to exactly one suspect."""
        return all(count == 1 for count in self.motive_counts)

    @cached_property
    def beside(self) -> dict[Side, tuple[int | None, ...]]:
        """side -> [room] -> the next room on that side, or None."""
        rooms = {
            (row, column): room
            for row, cells in enumerate(self.plan)
            for column, room in enumerate(cells)
        }
        cells = {room: cell for cell, room in rooms.items()}
        ordered = [cells[room] for room in range(len(self.rooms))]
        return {
            side: tuple(rooms.get((row + down, column + right)) for row, column in ordered)
            for side, (down, right) in SIDES.items()
        }

    @cached_property
    def reach(self) -> tuple[tuple[int, ...], ...]:
        """[room] -> the room itself and its neighbours, ascending: what one step can reach."""
        return tuple(
            tuple(sorted({room, *(near for near in neighbours if near is not None)}))
            for room, neighbours in enumerate(zip(*self.beside.values(), strict=True))
        )
