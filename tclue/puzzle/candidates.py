"""Candidate clues: true statements about a case, in every form that its world allows.

The plain facts state every position, every motive and every part of the solution. They determine
the case, and so does any set of candidates that contains them. The pool holds the statements that
need reasoning. Every candidate has exactly one meaning: a description is used only if it fits one
suspect, and a statement about two people or things never names the same one twice.
"""

from collections.abc import Callable, Sequence
from functools import cached_property

from tclue.puzzle import statements as st
from tclue.puzzle.draw import Rng
from tclue.puzzle.statements import MURDER_WEAPON, MURDERER, Case, Ref, Statement, named_things
from tclue.puzzle.wording import MAIN_QUESTIONS, Question
from tclue.puzzle.world import SIDES, Side, World

# The weights with which each kind of reference is drawn, as measured on the published evaluation
# puzzles: people by name, weapons by name, descriptions, Mr. Boddy, the two roles.
_PEOPLE = {"suspect": 12, "motive": 9, "murderer": 2}
_THINGS = {"weapon": 9, "murder weapon": 1}
_ANYBODY = {**_PEOPLE, **_THINGS, "boddy": 2}
_BY_NAME = {"suspect": 14, "weapon": 8, "boddy": 2}


class Candidates:
    """Draws true statements about one case."""

    def __init__(self, rng: Rng, world: World, case: Case) -> None:
        self.rng = rng
        self.world = world
        self.case = case
        # kind -> all references of this kind that mean one person or thing
        single = [Ref("motive", m) for m, count in enumerate(world.motive_counts) if count == 1]
        self._refs = {"motive": single, "murderer": [MURDERER], "murder weapon": [MURDER_WEAPON]}
        for who in named_things(world):
            self._refs.setdefault(who.kind, []).append(who)
        # The weights with which each form is drawn into the pool. They are chosen so that the clues
        # that remain after removal have the published shares of forms (see
        # `benchmarks/generate.py --shares`). If a case has no statement of a form, it yields None.
        self._draws: list[tuple[int, Callable[[], Statement | None]]] = [
            (115, lambda: self._at(self._draw_ref(_ANYBODY), True)),
            (205, self._moved),
            (68, self._beside),
            (146, self._same),
            (74, self._either),
            (55, self._iff),
            (103, self._together),
            (66, self._carried),
            (6, self._motivated),
            (150, lambda: self.rng.choice(self._solutions)),
        ]

    def plain_facts(self) -> list[Statement]:
        """Statements of every position, motive and part of the solution, in random order."""
        case = self.case
        facts: list[Statement] = [
            st.At(who, room, time)
            for who in named_things(self.world)
            for time, room in enumerate(case.rooms_of(who))
        ]
        facts += [st.Motivated(Ref("suspect", s), m) for s, m in enumerate(case.motives)]
        facts += self._solutions
        self.rng.shuffle(facts)
        return facts

    def pool(self, count: int) -> list[Statement]:
        """About `count` different statements of all forms, in random order."""
        weights = [weight for weight, _ in self._draws]
        drawn = [self._draws[self.rng.weighted(weights)][1]() for _ in range(count)]
        return list(dict.fromkeys(statement for statement in drawn if statement is not None))

    def _draw_ref(self, weights: dict[str, int]) -> Ref:
        """Draw a person or thing, of a kind that this world has."""
        kinds = [kind for kind in weights if self._refs[kind]]
        kind = kinds[self.rng.weighted([weights[kind] for kind in kinds])]
        return self.rng.choice(self._refs[kind])

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
        room = self.case.rooms_of(who)[time]
        if not true:
            rooms = len(self.world.rooms)
            room = (room + self.rng.between(1, rooms - 1)) % rooms
        return st.At(who, room, time)

    def _moved(self) -> st.Moved | None:
        who = self._draw_ref(_PEOPLE)
        path = self.case.rooms_of(who)
        steps = [t for t in range(1, len(path)) if path[t - 1] != path[t]]
        if not steps:
            return None
        time = self.rng.choice(steps)
        return st.Moved(who, path[time - 1], path[time], time)

    def _carried(self) -> st.Carried | None:
        weapon = self._draw_ref(_THINGS)
        path = self.case.rooms_of(weapon)
        moves = [
            st.Carried(who, weapon, path[time - 1], path[time], time)
            for time in range(1, len(path))
            if path[time - 1] != path[time]
            for kind in _PEOPLE
            for who in self._refs[kind]
            if self.case.rooms_of(who)[time - 1 : time + 1] == path[time - 1 : time + 1]
        ]
        return self.rng.choice(moves) if moves else None

    def _same(self) -> st.Same | None:
        who, time = self._draw_ref(_ANYBODY), self._time()
        room = self.case.rooms_of(who)[time]
        other = self._draw_other(who, lambda ref: self.case.rooms_of(ref)[time] == room)
        return other and st.Same(who, other, time)

    def _together(self) -> st.Together | None:
        if not self.world.times:
            return None  # "together at least once" makes no sense if there is only one time
        who = self._draw_ref(_ANYBODY)

        def shared_rooms(ref: Ref) -> list[int]:
            pairs = zip(self.case.rooms_of(who), self.case.rooms_of(ref), strict=True)
            return [a for a, b in pairs if a == b]

        other = self._draw_other(who, lambda ref: bool(shared_rooms(ref)))
        return other and st.Together(who, other, self.rng.choice(shared_rooms(other)))

    def _beside(self) -> st.Beside | None:
        who, time = self._draw_ref(_BY_NAME), self._time()
        room = self.case.rooms_of(who)[time]
        # neighbouring room -> the side of that room on which this room lies
        sides: dict[int, Side] = {
            neighbour: side
            for side in SIDES
            for neighbour in self.world.reach[room]
            if self.world.beside[side][neighbour] == room
        }
        other = self._draw_other(who, lambda ref: self.case.rooms_of(ref)[time] in sides)
        return other and st.Beside(who, sides[self.case.rooms_of(other)[time]], other, time)

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
        suspect = self.rng.choice(self._refs["suspect"])
        return st.Motivated(suspect, self.case.motives[suspect.number])

    @cached_property
    def _solutions(self) -> Sequence[Statement]:
        """Statements of the parts of the solution that a prompt can ask for."""
        case, world = self.case, self.world
        questions = [Question(topic) for topic in MAIN_QUESTIONS.values() if topic != "motive"]
        parts = [each.true_fact(case, world) for each in questions if each.options(world)]
        if case.motives and world.motive_counts[case.motives[case.murderer]] == 1:
            parts.append(st.MurderedBy(Ref("motive", case.motives[case.murderer])))
        return parts
