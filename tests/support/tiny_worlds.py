"""Tiny worlds, and every case that the rules of the game allow in them.

The rules are implemented here again, independently of both provers, and every case is enumerated.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise, product

from tclue.puzzle import prompt
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import Case, Ref, Statement
from tclue.puzzle.wording import Question
from tclue.puzzle.world import World

NAMES = ("Ann", "Bo", "Cy")
WEAPONS = ("Rope", "Knife")
ROOMS = ("Hall", "Study", "Attic")
NIGHT = ("11:00 PM", "12:00 AM")
WORLDS = {
    # Unique motives, and an L-shaped plan, so that two rooms are not next to each other.
    "corner": World(
        suspects=NAMES[:2],
        weapons=WEAPONS,
        rooms=ROOMS,
        plan=((0, 1), (None, 2)),
        motives=("Greed", "Fear"),
        motive_counts=(1, 1),
    ),
    "two times": World(
        suspects=NAMES[:2], weapons=WEAPONS, rooms=ROOMS[:2], plan=((0,), (1,)), times=NIGHT
    ),
    "three rooms, two times": World(
        suspects=NAMES[:2], weapons=WEAPONS[:1], rooms=ROOMS, plan=((2, 0, 1),), times=NIGHT
    ),
    # Two of three share a motive, so "a suspect motivated by Greed" may be either of them.
    "shared motives": World(
        suspects=NAMES,
        weapons=WEAPONS[:1],
        rooms=ROOMS[:2],
        plan=((0, 1),),
        times=NIGHT,
        motives=("Greed", "Fear"),
        motive_counts=(2, 1),
    ),
    "one motive": World(
        suspects=NAMES[:2],
        weapons=WEAPONS[:1],
        rooms=ROOMS[:2],
        plan=((0, 1),),
        times=NIGHT,
        motives=("Greed",),
        motive_counts=(2,),
    ),
}


def place(world: World, room: int) -> tuple[int, int]:
    """(row, column) of a room."""
    ((cell),) = [
        (row, column)
        for row, rooms in enumerate(world.plan)
        for column, other in enumerate(rooms)
        if other == room
    ]
    return cell


def walks(world: World) -> list[tuple[int, ...]]:
    """Every possible path: at each step stay, or go to a room that shares a wall."""
    paths = []
    for path in product(range(len(world.rooms)), repeat=world.num_times):
        cells = [place(world, room) for room in path]
        steps = pairwise(cells)
        if all(abs(r - down) + abs(c - right) <= 1 for (r, c), (down, right) in steps):
            paths.append(path)
    return paths


def carried(path: tuple[int, ...], suspects: tuple[tuple[int, ...], ...]) -> bool:
    """Whether a weapon could have this path: some suspect made each of its moves too."""
    return all(
        path[t] == path[t + 1] or any(s[t : t + 2] == path[t : t + 2] for s in suspects)
        for t in range(len(path) - 1)
    )


def murders(
    suspects: tuple[tuple[int, ...], ...],
    weapons: tuple[tuple[int, ...], ...],
    boddy: tuple[int, ...],
) -> Iterator[tuple[int, int, int]]:
    """(murderer, weapon, time) of every murder that is possible with these paths."""
    for time, room in enumerate(boddy):
        present = [s for s, path in enumerate(suspects) if path[time] == room]
        if len(present) == 1 and set(boddy[time:]) == {room}:
            for weapon, path in enumerate(weapons):
                if path[time] == room:
                    yield present[0], weapon, time


@lru_cache
def cases(name: str) -> tuple[Case, ...]:
    """Every case of a tiny world."""
    world = WORLDS[name]
    anyhow = list(product(range(len(world.rooms)), repeat=world.num_times))
    holders = (
        [()]
        if not world.motives
        else product(range(len(world.motives)), repeat=len(world.suspects))
    )
    motives = [
        motive_of
        for motive_of in holders
        if all(motive_of.count(m) == count for m, count in enumerate(world.motive_counts))
    ]
    return tuple(
        Case(suspects, weapons, boddy, motive_of, *murder)
        for suspects in product(walks(world), repeat=len(world.suspects))
        for weapons in product(anyhow, repeat=len(world.weapons))
        if all(carried(path, suspects) for path in weapons)
        for boddy in walks(world)
        for murder in murders(suspects, weapons, boddy)
        for motive_of in motives
    )


def questions(world: World) -> dict[str, Question]:
    """The main questions, and others that the world allows."""
    asked = [Question("murderer"), Question("weapon"), Question("room")]
    asked += [Question("time")] if world.times else []
    asked += [Question("motive")] if world.motives else []
    asked += [Question("position", Ref("suspect", 1)), Question("position", Ref("weapon", 0))]
    single = [m for m, count in enumerate(world.motive_counts) if count == 1]
    if single:
        asked += [
            Question("holder of", Ref("motive", single[0])),
            Question("motive of", Ref("suspect", 0)),
        ]
        asked += [Question("position", Ref("motive", single[0]))]
    return dict(zip(prompt.LETTERS, asked, strict=False))


def puzzle_of(name: str, clues: tuple[Statement, ...]) -> Puzzle:
    world = WORLDS[name]
    return Puzzle(prompt.write(world, clues, questions(world)))
