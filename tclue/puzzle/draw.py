"""Drawing a case: sizes, names, walks through the house, and a murder that they allow.

Every draw uses only `random.Random.random()`, whose stream Python promises not to change, and
integer arithmetic. So a seed gives the same case on every machine and every version of Python.
"""

import random
from bisect import bisect_right
from collections.abc import MutableSequence, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from math import isqrt
from typing import Annotated, TypeVar

from annotated_types import Interval

from tclue.errors import UserError
from tclue.puzzle import names
from tclue.puzzle.statements import Case
from tclue.puzzle.world import World
from tclue.strict import STRICT, Count, Share, read

T = TypeVar("T")


class Rng:
    """Seeded draws that are the same on every machine."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def below(self, count: int) -> int:
        """An integer from 0 to count - 1."""
        return int(self._random() * count)

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._random() < probability

    def choice(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put the items in random order, in place (the Fisher-Yates shuffle)."""
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items, in random order."""
        pool = list(items)
        self.shuffle(pool)
        return pool[:count]

    def weighted(self, weights: Sequence[int]) -> int:
        """An index, drawn with the given integer weights."""
        return bisect_right(list(accumulate(weights)), self.below(sum(weights)))


# The most of each entity is the number of its names.
Suspects = Annotated[int, Interval(ge=2, le=len(names.SUSPECTS))]
Weapons = Annotated[int, Interval(ge=2, le=len(names.WEAPONS))]
Rooms = Annotated[int, Interval(ge=2, le=len(names.ROOMS))]
Times = Annotated[int, Interval(ge=1, le=names.MINUTES_A_DAY // names.STEPS_MINUTES[0])]


@dataclass(frozen=True)
class GenerationSettings:
    """The settings of generation. Sizes are drawn as the published generator does if not set."""

    __pydantic_config__ = STRICT

    # fewest and most players of the board game; the sizes are scaled to the number drawn
    min_players: Count = 1
    max_players: Count = 6
    # most of each entity, for any number of players
    max_suspects: Suspects = 10
    max_weapons: Weapons = 8
    max_rooms: Rooms = 17
    max_times: Times = 12
    # the number of each entity; it is drawn if None
    suspects: Suspects | None = None
    weapons: Weapons | None = None
    rooms: Rooms | None = None
    times: Times | None = None
    # greatest width of the plan, in rooms
    max_width: Count = 4
    # probability that a person moves between two times
    move_probability: Share = 0.5
    # probability that a person who moves takes a weapon along from the room
    carry_probability: Share = 0.8
    # probability that each suspect has a motive of their own; otherwise motives may be shared
    unique_motives_probability: Share = 0.5
    # most questions; the alphabet has letters for 26
    max_questions: Annotated[int, Interval(ge=1, le=26)] = 8

    def __post_init__(self) -> None:
        if self.min_players > self.max_players:
            raise UserError(
                f"min_players is {self.min_players} and max_players is {self.max_players}: "
                "expected min_players to be at most max_players"
            )


DIFFICULTIES: dict[str, GenerationSettings] = {
    "easy": GenerationSettings(max_players=1),
    "medium": GenerationSettings(min_players=2, max_players=3),
    "hard": GenerationSettings(min_players=4, max_players=5),
    "extreme": GenerationSettings(min_players=6, max_players=6),
    "published-mix": GenerationSettings(),
    # Larger than the board game, for models that are too good for the benchmark.
    "beyond": GenerationSettings(
        min_players=7,
        max_players=9,
        max_suspects=20,
        max_weapons=16,
        max_rooms=30,
        max_times=18,
        max_width=6,
    ),
}


def settings(difficulty: str, **changes: object) -> GenerationSettings:
    """The settings of a named difficulty with some of them changed; a change to None is ignored.

    Raises UserError if a name is unknown or a value is out of range.
    """
    if difficulty not in DIFFICULTIES:
        raise UserError(
            f"difficulty {difficulty!r} is unknown: expected one of {', '.join(DIFFICULTIES)}"
        )
    # An unknown name is passed on even if it is None, so that `read` reports it.
    known = vars(GenerationSettings)
    given = {k: value for k, value in changes.items() if value is not None or k not in known}
    if not given:
        return DIFFICULTIES[difficulty]
    return read(GenerationSettings, asdict(DIFFICULTIES[difficulty]) | given, "settings")


def draw_world(rng: Rng, chosen: GenerationSettings) -> tuple[World, tuple[int, ...]]:
    """Draw the entities of a case, and the number of each suspect's motive.

    The sizes follow the published generator: the number of weapons is near the number of players,
    there are at least as many suspects as weapons and at least as many rooms as suspects, and at
    most twice as many times as players.
    """
    players = rng.between(chosen.min_players, chosen.max_players)
    most_weapons = min(chosen.max_weapons, 17 * players // 8)
    weapons = max(2, min(players + rng.between(-1, 5), most_weapons))
    suspects = min(weapons + rng.below(weapons), chosen.max_suspects, 5 * players // 2)
    suspects = chosen.suspects or suspects
    rooms = min(suspects + rng.below(suspects - 1), chosen.max_rooms, max(2, 3 * players))
    times = min(rng.between(1, 2 * players), chosen.max_times)
    weapons, rooms = chosen.weapons or weapons, chosen.rooms or rooms
    times = chosen.times or times
    steps = [step for step in names.STEPS_MINUTES if times * step <= names.MINUTES_A_DAY]
    motive_names, motives = _draw_motives(rng, chosen, suspects)
    world = World(
        suspects=_draw_names(rng, names.SUSPECTS, 10, suspects),
        weapons=_draw_names(rng, names.WEAPONS, 8, weapons),
        rooms=_draw_names(rng, names.ROOMS, 17, rooms),
        plan=_draw_plan(rng, chosen, rooms),
        times=names.clock_times(times, rng.choice(steps)),
        motives=motive_names,
        motive_counts=tuple(motives.count(m) for m in range(len(motive_names))),
    )
    return world, motives


def _draw_names(rng: Rng, all_names: Sequence[str], first: int, count: int) -> tuple[str, ...]:
    """`count` different names; only the `first` ones, the board game's, if these are enough."""
    return tuple(rng.sample(all_names[: max(first, count)], count))


def _draw_plan(
    rng: Rng, chosen: GenerationSettings, rooms: int
) -> tuple[tuple[int | None, ...], ...]:
    """A grid that is about square, filled row by row."""
    root = isqrt(rooms)
    width = rng.between(root, root if root * root == rooms else root + 1)
    width = min(width, chosen.max_width)
    cells = [*range(rooms), *[None] * (-rooms % width)]
    return tuple(tuple(cells[i : i + width]) for i in range(0, len(cells), width))


def _draw_motives(
    rng: Rng, chosen: GenerationSettings, suspects: int
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The names of the motives, and each suspect's number; both empty if all would share one."""
    if rng.chance(chosen.unique_motives_probability):
        drawn = list(range(suspects))
        rng.shuffle(drawn)
    else:
        kinds = rng.between(1, suspects)
        raw = [rng.below(kinds) for _ in range(suspects)]
        used = sorted(set(raw))
        drawn = [used.index(motive) for motive in raw]
    count = max(drawn) + 1
    if count == 1:
        return (), ()
    return _draw_names(rng, names.MOTIVES, 10, count), tuple(drawn)


def draw_case(rng: Rng, chosen: GenerationSettings, world: World, motives: tuple[int, ...]) -> Case:
    """Draw walks until they allow a murder, then draw one of those murders.

    Raises UserError if 10,000 draws of walks allow none.
    """
    # Reasonable settings need a few draws. The limit is for houses that are too crowded.
    for _ in range(10_000):
        suspects = [_walk(rng, chosen, world) for _ in world.suspects]
        boddy = _walk(rng, chosen, world)
        weapons = _carry(rng, chosen, world, suspects)
        murders = [
            (present[0], weapon, time)
            for time, room in enumerate(boddy)
            if len(present := [s for s, path in enumerate(suspects) if path[time] == room]) == 1
            for weapon, path in enumerate(weapons)
            if path[time] == room
        ]
        if murders:
            murderer, weapon, time = rng.choice(murders)
            boddy[time + 1 :] = [boddy[time]] * (world.num_times - time - 1)
            return Case(
                suspect_rooms=tuple(map(tuple, suspects)),
                weapon_rooms=tuple(map(tuple, weapons)),
                boddy_rooms=tuple(boddy),
                motives=motives,
                murderer=murderer,
                weapon=weapon,
                time=time,
            )
    raise UserError(
        f"no murder was possible in 10000 evenings with {len(world.suspects)} suspects in "
        f"{len(world.rooms)} rooms: expected more rooms or fewer suspects"
    )


def _walk(rng: Rng, chosen: GenerationSettings, world: World) -> list[int]:
    """A room for each time. Each step stays in the room or goes to a neighbouring one."""
    path = [rng.below(len(world.rooms))]
    for _ in range(world.num_times - 1):
        room = path[-1]
        neighbours = [neighbour for neighbour in world.reach[room] if neighbour != room]
        path.append(rng.choice(neighbours) if rng.chance(chosen.move_probability) else room)
    return path


def _carry(
    rng: Rng, chosen: GenerationSettings, world: World, suspects: list[list[int]]
) -> list[list[int]]:
    """A room for each weapon and time. A person who leaves the room may take the weapon along."""
    weapons = [[rng.below(len(world.rooms))] for _ in world.weapons]
    for time in range(world.num_times - 1):
        for path in weapons:
            room = path[-1]
            holders = [s for s in suspects if s[time] == room]
            end = rng.choice(holders)[time + 1] if holders else room
            moves = end != room and rng.chance(chosen.carry_probability)
            path.append(end if moves else room)
    return weapons
