"""The first proof of a puzzle, by an incremental SAT solver; generation uses its clauses too.

    from tclue.puzzle.sat import entails, prove
    prove(puzzle).verdict             # "unique", "none" or "several" sets of answers
    prove(puzzle, "history")          # the same for complete histories
    entails(puzzle, statement)        # "true", "false" or "open"

For each suspect, each weapon and Mr. Boddy there is one variable per time and room ("in that room
at that time"), exactly one of which is true at each time. A role ("the murderer") or a description
("the suspect motivated by Greed") gets variables of its own where a statement needs them. They are
tied to the variables of those who may be meant. A statement becomes one literal that is true
exactly when the statement is, so a clue can be assumed, denied, or used in a clause. `cpsat`
models the same game independently.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Self

from pysat.card import CardEnc, EncType
from pysat.solvers import Solver

from tclue.puzzle import statements as st
from tclue.puzzle.puzzle import Entailment, Proof, Puzzle, Scope
from tclue.puzzle.statements import BODDY, MURDERER, Case, Ref, Statement, named_things
from tclue.puzzle.world import PuzzleError, World

# No puzzle depends on this choice: which clues are kept depends on what is true, not on the order
# in which a solver searches.
SOLVER = "cadical195"


class Clauses:
    """The rules of one world in a solver, and the literals of statements about it.

    It is a context manager that frees the solver. The statements in `clues` are required to hold.
    """

    def __init__(
        self, world: World, inclusive_or: bool = False, clues: Iterable[Statement] = ()
    ) -> None:
        self.world = world
        self.inclusive_or = inclusive_or
        self.solver = Solver(name=SOLVER)
        self._top = 0
        self._literals: dict[Statement, int] = {}
        self.murderer = self._choice(len(world.suspects))
        self.weapon = self._choice(len(world.weapons))
        self.time = self._choice(world.num_times)
        self.room = self._choice(len(world.rooms))
        # thing -> [time][room] -> literal
        self._place: dict[Ref, list[list[int]]] = {
            who: [self._choice(len(world.rooms)) for _ in range(world.num_times)]
            for who in named_things(world)
        }
        self._motive = [self._choice(len(world.motives)) for _ in world.suspects if world.motives]
        self._count_motives()
        self._steps()
        self._carrying()
        self._murder()
        for clue in clues:
            self.add(self.literal(clue))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.solver.delete()

    def _new(self) -> int:
        self._top += 1
        return self._top

    def add(self, *literals: int) -> None:
        """Add a clause: at least one of the literals is true."""
        self.solver.add_clause(literals)

    def _choice(self, count: int) -> list[int]:
        """New literals, exactly one of which is true."""
        literals = [self._new() for _ in range(count)]
        self._exactly(1, literals)
        return literals

    def _exactly(self, count: int, literals: list[int]) -> None:
        """Add clauses that allow exactly `count` of the literals to be true."""
        # The fastest encodings in generation, of those that stay small for hundreds of rooms.
        # `bitwise` can only count to 1.
        encoding = EncType.bitwise if count == 1 else EncType.seqcounter
        exactly = CardEnc.equals(literals, count, self._top, encoding=encoding)
        self._top = max(self._top, exactly.nv)
        self.solver.append_formula(exactly.clauses)

    def _count_motives(self) -> None:
        for motive, count in enumerate(self.world.motive_counts):
            self._exactly(count, [row[motive] for row in self._motive])

    def _steps(self) -> None:
        """From one time to the next everybody and everything stays, or goes to the next room."""
        for places in self._place.values():
            for now, then in pairwise(places):
                for room, reach in enumerate(self.world.reach):
                    self.add(-now[room], *(then[neighbour] for neighbour in reach))

    def _carrying(self) -> None:
        """A weapon changes rooms only together with a suspect who makes the same move."""
        world = self.world
        weapons = [self._place[Ref("weapon", w)] for w in range(len(world.weapons))]
        suspects = [self._place[Ref("suspect", s)] for s in range(len(world.suspects))]
        for time in range(world.num_times - 1):
            for start, reach in enumerate(world.reach):
                for end in reach:
                    if start == end:
                        continue
                    carriers = []
                    for places in suspects:
                        carrier = self._new()
                        self.add(-carrier, places[time][start])
                        self.add(-carrier, places[time + 1][end])
                        carriers.append(carrier)
                    someone = self._new()
                    self.add(-someone, *carriers)
                    for places in weapons:
                        self.add(-places[time][start], -places[time + 1][end], someone)

    def _murder(self) -> None:
        """At the murder, no other suspect is with the murderer; from then on Mr. Boddy stays."""
        boddy = self._place[BODDY]
        dead = [self._new() for _ in self.time]
        for time, now in enumerate(self.time):
            self.add(-now, dead[time])
            for room, boddy_here in enumerate(boddy[time]):
                scene = (-now, -boddy_here)
                self.add(*scene, self.room[room])
                for suspect, guilty in enumerate(self.murderer):
                    present = self._place[Ref("suspect", suspect)][time][room]
                    self.add(*scene, -guilty, present)
                    self.add(*scene, guilty, -present)
                for weapon, used in enumerate(self.weapon):
                    self.add(*scene, -used, self._place[Ref("weapon", weapon)][time][room])
        for time in range(len(self.time) - 1):
            self.add(-dead[time], dead[time + 1])
            for before, after in zip(boddy[time], boddy[time + 1], strict=True):
                self.add(-dead[time], -before, after)

    def place(self, who: Ref, time: int, room: int) -> int:
        """The literal of "`who` was in `room` at `time`"; a description must fit one suspect."""
        if who in self._place:
            return self._place[who][time][room]
        return self.literal(st.At(who, room, time))

    def _fillers(self, who: Ref) -> list[tuple[Ref, int]]:
        """All who may be meant by a role or a description, each with the literal that says so."""
        if who.kind == "murder weapon":
            return [(Ref("weapon", w), used) for w, used in enumerate(self.weapon)]
        if who.kind == "murderer":
            return [(Ref("suspect", s), guilty) for s, guilty in enumerate(self.murderer)]
        return [(Ref("suspect", s), row[who.number]) for s, row in enumerate(self._motive)]

    def _tie(self, candidates: Iterable[tuple[int, int | None]]) -> int:
        """A literal equal to the `value` of the one (chosen, value) pair whose `chosen` is true.

        A `value` of None stands for false.
        """
        tied = self._new()
        for chosen, value in candidates:
            if value is None:
                self.add(-tied, -chosen)
            else:
                self.add(-tied, -chosen, value)
                self.add(tied, -chosen, -value)
        return tied

    def _all(self, literals: Sequence[int]) -> int:
        """A literal that is true exactly when all of the literals are."""
        both = self._new()
        for literal in literals:
            self.add(-both, literal)
        self.add(both, *(-literal for literal in literals))
        return both

    def _any(self, literals: Sequence[int]) -> int:
        """A literal that is true exactly when one or more of the literals are."""
        return -self._all([-literal for literal in literals])

    def _equal(self, left: int, right: int) -> int:
        """A literal that is true exactly when both literals are true or both are false."""
        equal = self._new()
        self.add(-equal, -left, right)
        self.add(-equal, left, -right)
        self.add(equal, left, right)
        self.add(equal, -left, -right)
        return equal

    def literal(self, statement: Statement) -> int:
        """The literal that is true exactly when the statement is."""
        if statement not in self._literals:
            self._literals[statement] = self._described(statement)
        return self._literals[statement]

    def _described(self, statement: Statement) -> int:
        """The literal of a statement; one choice of suspects who fit its descriptions is enough."""
        if isinstance(statement, st.Either | st.Iff):
            first, second = self.literal(statement.first), self.literal(statement.second)
            if isinstance(statement, st.Iff):
                return self._equal(first, second)
            return self._any([first, second]) if self.inclusive_or else -self._equal(first, second)
        if isinstance(statement, st.MurderedBy) and statement.who.kind == "motive":
            return self.literal(st.Motivated(MURDERER, statement.who.number))
        ambiguous = [
            ref for ref in st.descriptions(statement) if self.world.motive_counts[ref.number] != 1
        ]
        if not ambiguous:
            return self._definite(statement)
        everyone = [Ref("suspect", s) for s in range(len(self.world.suspects))]
        ways = []
        for chosen in product(everyone, repeat=len(ambiguous)):
            fits = [
                self._motive[suspect.number][ref.number]
                for ref, suspect in zip(ambiguous, chosen, strict=True)
            ]
            bound = st.bind(statement, dict(zip(ambiguous, chosen, strict=True)))
            ways.append(self._all([*fits, self.literal(bound)]))
        return self._any(ways)

    def _definite(self, statement: Statement) -> int:
        """The literal of an atomic statement in which each description fits exactly one suspect."""
        place = self.place
        match statement:
            case st.At(who, room, time):
                if who in self._place:
                    return place(who, time, room)
                fillers = self._fillers(who)
                return self._tie([(fills, place(ref, time, room)) for ref, fills in fillers])
            case st.Same(who, other, time):
                rooms = range(len(self.world.rooms))
                return self._tie([(place(other, time, r), place(who, time, r)) for r in rooms])
            case st.Beside(who, side, other, time):
                return self._tie(
                    (
                        place(other, time, room),
                        None if next_room is None else place(who, time, next_room),
                    )
                    for room, next_room in enumerate(self.world.beside[side])
                )
            case st.Together(who, other, room):
                times = range(self.world.num_times)
                return self._any(
                    [self._all([place(who, t, room), place(other, t, room)]) for t in times]
                )
            case st.Moved(who, start, end, time):
                return self._all([place(who, time - 1, start), place(who, time, end)])
            case st.Carried(who, weapon, start, end, time):
                steps = ((time - 1, start), (time, end))
                return self._all([place(ref, *step) for ref in (who, weapon) for step in steps])
            case st.Motivated(who, motive):
                return self._of_suspect(who, [row[motive] for row in self._motive])
            case st.MurderedBy(who):
                return self._of_suspect(who, self.murderer)
            case st.KilledWith(weapon_number):
                return self.weapon[weapon_number]
            case st.MurderedIn(room):
                return self.room[room]
            case st.MurderedAt(time):
                return self.time[time]
            case _:
                raise TypeError(f"not an atomic statement: {statement}")

    def _of_suspect(self, who: Ref, literals: Sequence[int]) -> int:
        """The literal, of one per suspect, that belongs to the suspect who is meant."""
        if who.kind == "suspect":
            return literals[who.number]
        return self._tie((fills, literals[ref.number]) for ref, fills in self._fillers(who))

    def facts(self, case: Case) -> list[int]:
        """The literals that are all true exactly when everything happened as in this case."""
        facts = [self.murderer[case.murderer], self.weapon[case.weapon], self.time[case.time]]
        facts += [row[motive] for row, motive in zip(self._motive, case.motives, strict=True)]
        for who, places in self._place.items():
            facts += [place[room] for place, room in zip(places, case.rooms_of(who), strict=True)]
        return facts

    def core(self, assumptions: Sequence[int]) -> frozenset[int] | None:
        """The assumptions that already contradict the clauses; None if there are none."""
        if self.solver.solve(assumptions):
            return None
        return frozenset(self.solver.get_core() or ())

    def case(self, assumptions: Sequence[int] = ()) -> Case | None:
        """A case that satisfies the clauses and the assumptions; None if there is none."""
        if not self.solver.solve(assumptions):
            return None
        true = {literal for literal in self.solver.get_model() if literal > 0}

        def index_of_true(literals: Sequence[int]) -> int:
            return next(i for i, literal in enumerate(literals) if literal in true)

        def path(who: Ref) -> tuple[int, ...]:
            return tuple(index_of_true(row) for row in self._place[who])

        return Case(
            suspect_rooms=tuple(path(Ref("suspect", s)) for s in range(len(self.world.suspects))),
            weapon_rooms=tuple(path(Ref("weapon", w)) for w in range(len(self.world.weapons))),
            boddy_rooms=path(BODDY),
            motives=tuple(index_of_true(row) for row in self._motive),
            murderer=index_of_true(self.murderer),
            weapon=index_of_true(self.weapon),
            time=index_of_true(self.time),
        )


def prove(puzzle: Puzzle, scope: Scope = "answers", inclusive_or: bool = False) -> Proof:
    """Whether no solution, one, or several fit a puzzle's clues.

    `inclusive_or` reads "or" as "one or both".
    """
    with Clauses(puzzle.world, inclusive_or, puzzle.clues) as clauses:
        first = clauses.case()
        if first is None:
            return Proof(scope, ())
        if scope == "history":
            same = clauses.facts(first)
        else:
            questions = puzzle.questions.values()
            same = [clauses.literal(q.true_fact(first, puzzle.world)) for q in questions]
        clauses.add(*(-literal for literal in same))
        second = clauses.case()
        return Proof(scope, (first,) if second is None else (first, second))


@dataclass(frozen=True)
class Effort:
    """The solver's work to prove a history unique. It depends on the solver's version."""

    conflicts: int
    decisions: int
    propagations: int


def effort(puzzle: Puzzle) -> Effort:
    """Count the solver's work to prove that only one complete history fits the clues."""
    with Clauses(puzzle.world, clues=puzzle.clues) as clauses:
        if (first := clauses.case()) is not None:
            clauses.add(*(-fact for fact in clauses.facts(first)))
            clauses.case()
        stats = clauses.solver.accum_stats()
        return Effort(stats["conflicts"], stats["decisions"], stats["propagations"])


def entails(puzzle: Puzzle, statement: Statement, inclusive_or: bool = False) -> Entailment:
    """Whether the clues make a statement true, make it false, or leave it open.

    Raises PuzzleError if the clues contradict each other, because then anything follows from them.
    """
    with Clauses(puzzle.world, inclusive_or, puzzle.clues) as clauses:
        literal = clauses.literal(statement)
        can_hold = clauses.solver.solve([literal])
        can_fail = clauses.solver.solve([-literal])
    if not can_hold and not can_fail:
        raise PuzzleError("the clues contradict each other: no conclusion can be drawn from them")
    return "open" if can_hold and can_fail else "true" if can_hold else "false"
