"""Worlds and statements for tests of the puzzle engine, and the published puzzles if present."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tclue.puzzle.draw import settings
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.generate import Made, make
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import (
    BODDY,
    MURDER_WEAPON,
    MURDERER,
    At,
    Beside,
    Carried,
    Either,
    Iff,
    KilledWith,
    Motivated,
    Moved,
    MurderedAt,
    MurderedBy,
    MurderedIn,
    Ref,
    Same,
    Statement,
    Together,
)
from tclue.puzzle.world import SIDES, World

# Names that are hard to read: linking words, characters of regular expressions, names within names,
# no capitals, no Latin letters. Every sentence with them still has exactly one meaning.
SUSPECTS = (
    "Miss Scarlet",
    "Mr. Green",
    "de Winter",
    "the Butler",
    "Ann",
    "Ann Lee",
    "Ann or Lee",
    "Bo (the cook)",
    "C. *N. Other+?",
    "Iff if and only if Late",
    "Élodie d'Ark",
    "李",
)
WEAPONS = (
    "Rope",
    "Rope and Stone",
    "Knife [dull|sharp]",
    "knife",
    "Poison",
    "Mr. Boddy's Cane",
)
ROOMS = (
    "Hall",
    "Hall at Dawn",
    "Hall or Study",
    "Fountain",
    "Study",
    "Room (no. 7)",
    "cellar",
    "W 1|2 E",
    "Ann",
)
TIMES = ("Dawn", "11:00 PM", "12:00 AM", "Tea at Dawn", "noon")
MOTIVES = ("Greed", "Greed for the Rope", "Love or Hate", "Fear (of heights)", "pride", "Spite")


@st.composite
def worlds(
    draw: st.DrawFn,
    timed: bool | None = None,
    motives: bool | None = None,
    max_size: int = 4,
) -> World:
    """Worlds with up to `max_size` of each entity, with or without times and motives."""

    def some(names: tuple[str, ...], low: int) -> tuple[str, ...]:
        chosen = st.lists(st.sampled_from(names), min_size=low, max_size=max_size, unique=True)
        return tuple(draw(chosen))

    suspects = some(SUSPECTS, 2)
    rooms = some(ROOMS, 2)
    width = draw(st.integers(1, len(rooms)))
    cells = [*range(len(rooms)), *[None] * (-len(rooms) % width)]
    cells = draw(st.permutations(cells))
    timed = draw(st.booleans()) if timed is None else timed
    motives = draw(st.booleans()) if motives is None else motives
    names: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    if motives:
        motive_of = draw(
            st.lists(st.integers(0, 2), min_size=len(suspects), max_size=len(suspects)),
        )
        counts = tuple(motive_of.count(motive) for motive in sorted(set(motive_of)))
        names = MOTIVES[draw(st.integers(0, 3)) :][: len(counts)]
    return World(
        suspects=suspects,
        weapons=some(WEAPONS, 1),
        rooms=rooms,
        plan=tuple(tuple(cells[i : i + width]) for i in range(0, len(cells), width)),
        times=some(TIMES, 2) if timed else (),
        motives=names,
        motive_counts=counts,
    )


def people(world: World) -> list[Ref]:
    """Every reference to a suspect: by name, as the murderer, by motive."""
    named = [Ref("suspect", s) for s in range(len(world.suspects))]
    return [*named, MURDERER, *(Ref("motive", m) for m in range(len(world.motives)))]


def things(world: World) -> list[Ref]:
    """Every reference to a weapon."""
    return [*(Ref("weapon", w) for w in range(len(world.weapons))), MURDER_WEAPON]


def anybody(world: World) -> list[Ref]:
    """Every kind of reference."""
    return [*people(world), *things(world), BODDY]


def forms_of(world: World) -> list[type]:
    """The types of statements that are possible in a world."""
    untold: set[type] = set()
    if not world.times:
        untold |= {Moved, Carried, MurderedAt}
    if not world.motives:
        untold |= {Motivated}
    return [kind for kind in Statement.__subclasses__() if kind not in untold]


def statements(world: World, kind: type | None = None) -> st.SearchStrategy[Statement]:
    """Statements about a world, of one form or of any, true or false."""
    who, person, thing = (st.sampled_from(f(world)) for f in (anybody, people, things))
    room = st.integers(0, len(world.rooms) - 1)
    time = st.integers(0, world.num_times - 1)
    later = st.integers(1, max(1, world.num_times - 1))
    motive = st.integers(0, max(0, len(world.motives) - 1))
    at = st.builds(At, who, room, time)
    made: dict[type, st.SearchStrategy[Statement]] = {
        At: at,
        Same: st.builds(Same, who, who, time),
        Together: st.builds(Together, who, who, room),
        Beside: st.builds(Beside, who, st.sampled_from(list(SIDES)), who, time),
        Moved: st.builds(Moved, who, room, room, later),
        Carried: st.builds(Carried, person, thing, room, room, later),
        Motivated: st.builds(Motivated, person, motive),
        MurderedBy: st.builds(MurderedBy, person),
        KilledWith: st.builds(KilledWith, st.integers(0, len(world.weapons) - 1)),
        MurderedIn: st.builds(MurderedIn, room),
        MurderedAt: st.builds(MurderedAt, time),
        Either: st.builds(Either, at, at),
        Iff: st.builds(Iff, at, at),
    }
    return made[kind] if kind else st.sampled_from(forms_of(world)).flatmap(made.__getitem__)


# A world that allows every form: shared motives, several times, an empty cell in the plan.
FULL = World(
    suspects=("Miss Scarlet", "Mr. Green", "de Winter"),
    weapons=("Rope", "Knife"),
    rooms=("Hall", "Fountain", "Study"),
    plan=((0, 1), (None, 2)),
    times=("11:00 PM", "12:00 AM"),
    motives=("Greed", "Fear"),
    motive_counts=(2, 1),
)
UNIQUE_MOTIVES = replace(FULL, motives=("Greed", "Fear", "Spite"), motive_counts=(1, 1, 1))
ONE_TIME = replace(FULL, times=())
NO_MOTIVE = replace(FULL, motives=(), motive_counts=())
BARE = replace(ONE_TIME, motives=(), motive_counts=())


@dataclass(frozen=True)
class Sample:
    """A puzzle with the name of its difficulty."""

    difficulty: str
    made: Made


# difficulty: (first seed, number of puzzles). There are enough puzzles to find a mistake in any
# form or size; the mix has every size. The seeds differ, because a seed can give the same puzzle
# twice.
_SAMPLES = {
    "published-mix": (0, 80),
    "easy": (100, 40),
    "medium": (200, 12),
    "hard": (300, 5),
    "extreme": (400, 2),
}


@lru_cache(maxsize=1)
def samples() -> tuple[Sample, ...]:
    """Generated puzzles of all difficulties up to the largest of the board game, generated once."""
    return tuple(
        Sample(name, make(seed, name, settings(name)))
        for name, (first, count) in _SAMPLES.items()
        for seed in range(first, first + count)
    )


def mix() -> list[Made]:
    """The samples of the published mix."""
    return [sample.made for sample in samples() if sample.difficulty == "published-mix"]


def published() -> list[Puzzle]:
    """The 64 published evaluation puzzles. The test is skipped if they are missing."""
    return list(_published(published_path()))


def published_path() -> Path:
    """The file of the published puzzles. The test is skipped if it is missing."""
    path = os.environ.get("TCLUE_PUBLISHED")
    if not path:
        pytest.skip("TCLUE_PUBLISHED is not set: it names the folder of the published puzzles")
    return Path(path) / "published-val.json"


@lru_cache(maxsize=1)
def _published(path: Path) -> tuple[Puzzle, ...]:
    return tuple(read_puzzles(path))
