"""Candidate clues: true statements about a case, in every form that its world allows.

The plain facts state every position, every motive and every part of the solution. They determine
the case, and so does any set of candidates that contains them. The pool holds the statements that
need reasoning. Every candidate has exactly one meaning: a description is used only if it fits one
suspect, and a statement about two people or things never names the same one twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tclue.puzzle import statements as st
from tclue.puzzle.draw import Rng
from tclue.puzzle.statements import Case, Ref, Statement, named_things
from tclue.puzzle.world import SIDES, Side, World

# The weights with which each kind of reference is drawn, as measured on the published evaluation
# puzzles: people by name, weapons by name, descriptions, Mr. Boddy, the two roles.
_PEOPLE = {"suspect": 12, "motive": 9, "murderer": 2}
_THINGS = {"weapon": 9, "murder weapon": 1}
_ANYBODY = {**_PEOPLE, **_THINGS, "boddy": 2}
_BY_NAME = {"suspect": 14, "weapon": 8, "boddy": 2}

# The weights with which each form is drawn into the pool. They are chosen so that the clues that
# remain after removal have the published shares of forms (see `benchmarks/generate.py --shares`).
FORM_WEIGHTS: dict[type[Statement], int] = {
    st.At: 115,
    st.Moved: 205,
    st.Beside: 68,
    st.Same: 146,
    st.Either: 74,
    st.Iff: 55,
    st.Together: 103,
    st.Carried: 66,
    st.Motivated: 6,
    st.MurderedBy: 150,  # stands for every part of the solution
}


class Candidates:
    """Draws true statements about one case."""

    def __init__(self, rng: Rng, world: World, case: Case) -> None:
        self.rng = rng
        self.world = world
        self.case = case
        self._numbers = {
            "suspect": list(range(len(world.suspects))),
            "weapon": list(range(len(world.weapons))),
            "motive": [m for m, count in enumerate(world.motive_counts) if count == 1],
            "boddy": [0],
            "murderer": [0],
            "murder weapon": [0],
        }
        self._draws: dict[type[Statement], Callable[[], Statement | None]] = {
            st.At: lambda: self._at(self._draw_ref(_ANYBODY), True),
            st.Moved: self._moved,
            st.Beside: self._beside,
            st.Same: self._same,
            st.Either: self._either,
            st.Iff: self._iff,
            st.Together: self._together,
            st.Carried: self._carried,
            st.Motivated: self._motivated,
            st.MurderedBy: lambda: self.rng.choice(self._solutions()),
        }

    def plain_facts(self) -> list[Statement]:
        """Statements of every position, motive and part of the solution, in random order."""
        case = self.case
        facts: list[Statement] = [
            st.At(who, room, time)
            for who in named_things(self.world)
            for time, room in enumerate(case.rooms_of(who))
        ]
        facts += [st.Motivated(Ref("suspect", s), m) for s, m in enumerate(case.motives)]
        facts += self._solutions()
        self.rng.shuffle(facts)
        return facts

    def pool(self, count: int) -> list[Statement]:
        """About `count` different statements of all forms, in random order."""
        weights = list(FORM_WEIGHTS.values())
        drawn: dict[Statement, None] = {}
        for _ in range(count):
            make = self._draws[list(FORM_WEIGHTS)[self.rng.weighted(weights)]]
            # A form may have no true statement about this case: then a draw yields None.
            if (statement := make()) is not None:
                drawn[statement] = None
        return list(drawn)

    def _draw_ref(self, weights: dict[str, int]) -> Ref:
        """Draw a person or thing, of a kind that this world has."""
        kinds = [kind for kind in weights if self._numbers[kind]]
        kind = kinds[self.rng.weighted([weights[kind] for kind in kinds])]
        return Ref(kind, self.rng.choice(self._numbers[kind]))  # type: ignore[arg-type]

    def _path(self, who: Ref) -> tuple[int, ...]:
        return self.case.rooms_of(self.case.meant(who))

    def _time(self) -> int:
        return self.rng.below(self.world.num_times)

    def _draw_other(self, who: Ref, fits: Callable[[Ref], bool]) -> Ref | None:
        """Draw somebody or something else by name that fits; None if 8 draws find none."""
        for _ in range(8):
            other = self._draw_ref(_BY_NAME)
            if fits(other) and self.case.meant(other) != self.case.meant(who):
                return other
        return None

    def _at(self, who: Ref, true: bool) -> st.At:
        """A true position, or a false one."""
        time = self._time()
        room = self._path(who)[time]
        if not true:
            rooms = len(self.world.rooms)
            room = (room + self.rng.between(1, rooms - 1)) % rooms
        return st.At(who, room, time)

    def _moved(self) -> st.Moved | None:
        who = self._draw_ref(_PEOPLE)
        path = self._path(who)
        steps = [t for t in range(1, len(path)) if path[t - 1] != path[t]]
        if not steps:
            return None
        time = self.rng.choice(steps)
        return st.Moved(who, path[time - 1], path[time], time)

    def _carried(self) -> st.Carried | None:
        weapon = self._draw_ref(_THINGS)
        path = self._path(weapon)
        moves = [
            st.Carried(Ref(kind, number), weapon, path[time - 1], path[time], time)  # type: ignore[arg-type]
            for time in range(1, len(path))
            if path[time - 1] != path[time]
            for kind in _PEOPLE
            for number in self._numbers[kind]
            if self._path(Ref(kind, number))[time - 1 : time + 1] == path[time - 1 : time + 1]  # type: ignore[arg-type]
        ]
        return self.rng.choice(moves) if moves else None

    def _same(self) -> st.Same | None:
        who, time = self._draw_ref(_ANYBODY), self._time()
        room = self._path(who)[time]
        other = self._draw_other(who, lambda ref: self._path(ref)[time] == room)
        return other and st.Same(who, other, time)

    def _together(self) -> st.Together | None:
        if not self.world.times:
            return None  # "together at least once" makes no sense if there is only one time
        who = self._draw_ref(_ANYBODY)

        def shared_rooms(ref: Ref) -> list[int]:
            return [a for a, b in zip(self._path(who), self._path(ref), strict=True) if a == b]

        other = self._draw_other(who, lambda ref: bool(shared_rooms(ref)))
        return other and st.Together(who, other, self.rng.choice(shared_rooms(other)))

    def _beside(self) -> st.Beside | None:
        who, time = self._draw_ref(_BY_NAME), self._time()
        room = self._path(who)[time]
        # neighbouring room -> the side of that room on which this room lies
        sides: dict[int, Side] = {
            neighbour: side
            for side in SIDES
            for neighbour in self.world.reach[room]
            if self.world.beside[side][neighbour] == room
        }
        other = self._draw_other(who, lambda ref: self._path(ref)[time] in sides)
        return other and st.Beside(who, sides[self._path(other)[time]], other, time)

    def _either(self) -> st.Either:
        truths = [True, False]
        self.rng.shuffle(truths)
        first, second = (self._at(self._draw_ref(_ANYBODY), true) for true in truths)
        return st.Either(first, second)

    def _iff(self) -> st.Iff | None:
        true = self.rng.chance(0.85)
        first, second = (self._at(self._draw_ref(_ANYBODY), true) for _ in range(2))
        return st.Iff(first, second) if first != second else None

    def _motivated(self) -> st.Motivated | None:
        if not self.world.motives:
            return None
        suspect = self.rng.choice(self._numbers["suspect"])
        return st.Motivated(Ref("suspect", suspect), self.case.motives[suspect])

    def _solutions(self) -> Sequence[Statement]:
        """Statements of the parts of the solution that a prompt can ask for."""
        case = self.case
        parts: list[Statement] = [
            st.MurderedBy(Ref("suspect", case.murderer)),
            st.KilledWith(case.weapon),
            st.MurderedIn(case.room),
        ]
        if self.world.times:
            parts.append(st.MurderedAt(case.time))
        if case.motives and self.world.motive_counts[case.motives[case.murderer]] == 1:
            parts.append(st.MurderedBy(Ref("motive", case.motives[case.murderer])))
        return parts
