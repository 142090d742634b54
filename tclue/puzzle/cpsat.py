"""The second proof of a puzzle: a CP-SAT model, written independently of `sat`.

The two proofs share the rules of the game and the statement types, and nothing else. This one uses
neither `sat` nor `statements.holds`, and finds the neighbours on the plan by itself. It is also
built differently: there is an integer variable for each person or thing and time (the number of the
room), a table of allowed steps, a carrier for each weapon and step, and element constraints for
roles. Each statement becomes a literal that is true exactly when the statement is.

    from tclue.puzzle.cpsat import entails, prove
    prove(puzzle).verdict                    # "unique", "none" or "several" sets of answers
    prove(puzzle, "history")                 # the same for complete histories
    entails(puzzle, statement)               # "true", "false" or "open"

The same puzzle always gives the same cases (one worker, a fixed seed). There is no time limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise, product
from typing import TYPE_CHECKING

from tclue.puzzle import statements as st
from tclue.puzzle.puzzle import Entailment, Proof, Puzzle, Scope
from tclue.puzzle.statements import Case, Ref, Statement, descriptions
from tclue.puzzle.wording import Question
from tclue.puzzle.world import PuzzleError, Side

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import BoolVarT, CpModel, CpSolver, CpSolverStatus, IntVar

NOWHERE = -1  # the room beyond the edge of the plan


def prove(puzzle: Puzzle, scope: Scope = "answers", inclusive_or: bool = False) -> Proof:
    """Whether no solution, one, or several fit a puzzle's clues."""
    model = _Model(puzzle, inclusive_or)
    if scope == "history":
        variables = model.unknowns
    else:
        variables = [model.answer(question) for question in puzzle.questions.values()]
    first = model.solve()
    if first is None:
        return Proof(scope, ())
    model.require_other(variables, first)
    second = model.solve()
    solvers = (first,) if second is None else (first, second)
    return Proof(scope, tuple(model.case(solver) for solver in solvers))


def entails(puzzle: Puzzle, statement: Statement, inclusive_or: bool = False) -> Entailment:
    """Whether the clues make a statement true, make it false, or leave it open.

    Raises PuzzleError if no case fits the clues, because then anything follows from them.
    """
    model = _Model(puzzle, inclusive_or)
    truth = model.truth(statement)
    first = model.solve()
    if first is None:
        raise PuzzleError(f"{puzzle.id}: no case fits the clues, so anything follows from them")
    true_once = first.boolean_value(truth)
    model.require(~truth if true_once else truth)
    if model.solve() is not None:
        return "open"
    return "true" if true_once else "false"


class _Model:
    """The cases that fit a puzzle's clues, as variables and constraints."""

    def __init__(self, puzzle: Puzzle, inclusive_or: bool) -> None:
        from ortools.sat.python import cp_model

        self.world = world = puzzle.world
        self.inclusive_or = inclusive_or
        self.cp: CpModel = cp_model.CpModel()
        # (variable, value) -> literal that they are equal; (index, *items) -> the item at the index
        self._literals: dict[tuple[int, int], BoolVarT] = {}
        self._picked: dict[tuple[int, ...], IntVar] = {}

        def path() -> list[IntVar]:
            return [self._number(len(world.rooms)) for _ in range(world.num_times)]

        self.suspects = [path() for _ in world.suspects]  # [suspect][time]: room
        self.weapons = [path() for _ in world.weapons]  # [weapon][time]: room
        self.boddy = path()  # [time]: room
        self.motives = [self._number(len(world.motives)) for _ in world.suspects if world.motives]
        self.murderer = self._number(len(world.suspects))
        self.weapon = self._number(len(world.weapons))
        self.time = self._number(world.num_times)
        # The variables that make up a case. All others follow from them.
        self.unknowns = [
            *(room for path in (*self.suspects, *self.weapons, self.boddy) for room in path),
            *self.motives,
            *(self.murderer, self.weapon, self.time),
        ]
        self.room = self._pick(self.time, self.boddy, len(world.rooms))
        self._rule_steps()
        self._rule_carrying()
        self._rule_murder()
        for motive, count in enumerate(world.motive_counts):
            self.cp.add(sum(self._is(variable, motive) for variable in self.motives) == count)
        for clue in puzzle.clues:
            self.require(self.truth(clue))

    def _rule_steps(self) -> None:
        """Suspects and Mr. Boddy stay, or go to a room that shares a wall with theirs."""
        steps = [
            (start, end)
            for (start, (row, column)), (end, (down, right)) in product(self._cells(), repeat=2)
            if abs(row - down) + abs(column - right) <= 1
        ]
        for path in (*self.suspects, self.boddy):
            for before, after in pairwise(path):
                self.cp.add_allowed_assignments([before, after], steps)

    def _rule_carrying(self) -> None:
        """At each step a weapon goes with a suspect, or with nobody (the last number) and stays."""
        for path in self.weapons:
            for time in range(1, self.world.num_times):
                before, after = path[time - 1], path[time]
                carrier = self._number(len(self.suspects) + 1)
                starts, ends = ([path[t] for path in self.suspects] for t in (time - 1, time))
                self.cp.add_element(carrier, [*starts, before], before)
                self.cp.add_element(carrier, [*ends, before], after)

    def _rule_murder(self) -> None:
        """At the murder, no other suspect is with the murderer; from then on Mr. Boddy stays."""
        rooms = len(self.world.rooms)
        for suspect, path in enumerate(self.suspects):
            present = self._equal(self._pick(self.time, path, rooms), self.room)
            self.cp.add(present == self._is(self.murderer, suspect))
        weapons = [self._pick(self.time, path, rooms) for path in self.weapons]
        self.cp.add_element(self.weapon, weapons, self.room)
        for time, room in enumerate(self.boddy):
            dead = self.cp.new_bool_var("")
            self.cp.add(self.time > time).only_enforce_if(~dead)
            self.cp.add(room == self.room).only_enforce_if(dead)

    def truth(self, statement: Statement) -> BoolVarT:
        """The literal that is true exactly when a statement is."""
        if isinstance(statement, st.Either | st.Iff):
            first, second = self.truth(statement.first), self.truth(statement.second)
            if isinstance(statement, st.Iff):
                return self._equal(first, second)
            return self._any(first, second) if self.inclusive_or else ~self._equal(first, second)
        described = descriptions(statement)
        choices = []
        for chosen in product(range(len(self.suspects)), repeat=len(described)):
            bound = dict(zip(described, chosen, strict=True))
            fitting = (self._is(self.motives[s], ref.number) for ref, s in bound.items())
            choices.append(self._all(*fitting, self._atomic(statement, bound)))
        return self._any(*choices)

    def _atomic(self, statement: Statement, bound: Mapping[Ref, int]) -> BoolVarT:
        """The literal of an atomic statement; `bound` maps each description to a suspect."""

        def at(ref: Ref, room: int, time: int) -> BoolVarT:
            return self._is(self._room(ref, time, bound), room)

        match statement:
            case st.At(ref, room, time):
                return at(ref, room, time)
            case st.Same(ref, other, time):
                return self._equal(self._room(ref, time, bound), self._room(other, time, bound))
            case st.Together(ref, other, room):
                times = range(self.world.num_times)
                return self._any(*(self._all(at(ref, room, t), at(other, room, t)) for t in times))
            case st.Beside(ref, side, other, time):
                beyond = self._beyond(side, self._room(other, time, bound))
                return self._equal(self._room(ref, time, bound), beyond)
            case st.Moved(ref, start, end, time):
                return self._all(at(ref, start, time - 1), at(ref, end, time))
            case st.Carried(ref, weapon, start, end, time):
                move, carry = st.Moved(ref, start, end, time), st.Moved(weapon, start, end, time)
                return self._all(self._atomic(move, bound), self._atomic(carry, bound))
            case st.Motivated(ref, motive):
                actual = self._pick(
                    self._suspect(ref, bound), self.motives, len(self.world.motives)
                )
                return self._is(actual, motive)
            case st.MurderedBy(ref):
                return self._equal(self.murderer, self._suspect(ref, bound))
            case st.KilledWith(weapon_number):
                return self._is(self.weapon, weapon_number)
            case st.MurderedIn(room):
                return self._is(self.room, room)
            case st.MurderedAt(time):
                return self._is(self.time, time)
            case _:
                raise TypeError(f"not an atomic statement: {statement}")

    def _suspect(self, ref: Ref, bound: Mapping[Ref, IntVar | int]) -> IntVar | int:
        """The number of a suspect who is named, described, or called the murderer."""
        if ref.kind == "suspect":
            return ref.number
        return self.murderer if ref.kind == "murderer" else bound[ref]

    def _room(self, ref: Ref, time: int, bound: Mapping[Ref, IntVar | int]) -> IntVar:
        """The room of a person or thing at a time."""
        index: IntVar | int
        match ref.kind:
            case "boddy":
                return self.boddy[time]
            case "weapon":
                return self.weapons[ref.number][time]
            case "murder weapon":
                index, paths = self.weapon, self.weapons
            case _:
                index, paths = self._suspect(ref, bound), self.suspects
        return self._pick(index, [path[time] for path in paths], len(self.world.rooms))

    def _beyond(self, side: Side, room: IntVar) -> IntVar:
        """The room next to a room on that side, or NOWHERE."""
        down, right = {"north": (-1, 0), "south": (1, 0), "east": (0, 1), "west": (0, -1)}[side]
        rooms = {cell: room for room, cell in self._cells()}
        beyond = [rooms.get((row + down, column + right), NOWHERE) for row, column in rooms]
        neighbour = self.cp.new_int_var(NOWHERE, len(rooms) - 1, "")
        self.cp.add_element(room, beyond, neighbour)
        return neighbour

    def _cells(self) -> list[tuple[int, tuple[int, int]]]:
        """Each room's number with its row and column on the plan, in the order of the numbers."""
        return sorted(
            (room, (row, column))
            for row, rooms in enumerate(self.world.plan)
            for column, room in enumerate(rooms)
            if room is not None
        )

    def answer(self, question: Question) -> IntVar:
        """The number of a question's answer among its options."""
        who, time = question.who, question.time
        match question.topic:
            case "murderer" | "weapon" | "room" | "time" as topic:
                names = {"murderer": self.murderer, "weapon": self.weapon, "room": self.room}
                return {**names, "time": self.time}[topic]
            case "motive":
                return self._pick(self.murderer, self.motives, len(self.world.motives))
            case "position":
                bound = {who: self._holder(who.number)} if who.kind == "motive" else {}
                return self._room(who, time, bound)
            case "motive of":
                return self.motives[who.number]
            case "holder of":
                return self._holder(who.number)

    def _holder(self, motive: int) -> IntVar:
        """The number of the one suspect who has a motive."""
        holder = self._number(len(self.suspects))
        self.cp.add_element(holder, self.motives, motive)
        return holder

    def _number(self, count: int) -> IntVar:
        """A new variable from 0 to `count` - 1."""
        return self.cp.new_int_var(0, count - 1, "")

    def _pick(self, index: IntVar | int, items: Sequence[IntVar], count: int) -> IntVar:
        """The item at an index. Every item is a number from 0 to `count` - 1."""
        if isinstance(index, int):
            return items[index]
        key = (index.index, *(item.index for item in items))
        if key not in self._picked:
            self._picked[key] = self._number(count)
            self.cp.add_element(index, items, self._picked[key])
        return self._picked[key]

    def _is(self, number: IntVar, value: int) -> BoolVarT:
        """`_equal` of a variable and a value; each literal is made once."""
        key = (number.index, value)
        if key not in self._literals:
            self._literals[key] = self._equal(number, value)
        return self._literals[key]

    def _equal(self, left: IntVar | BoolVarT, right: IntVar | BoolVarT | int) -> BoolVarT:
        """A literal that is true exactly when two numbers, or two truths, are equal."""
        same = self.cp.new_bool_var("")
        self.cp.add(left == right).only_enforce_if(same)
        self.cp.add(left != right).only_enforce_if(~same)
        return same

    def _all(self, *literals: BoolVarT) -> BoolVarT:
        """A literal that is true exactly when all of the literals are."""
        if len(literals) == 1:
            return literals[0]
        every = self.cp.new_bool_var("")
        self.cp.add_bool_and(*literals).only_enforce_if(every)
        self.cp.add_bool_or(every, *(~literal for literal in literals))
        return every

    def _any(self, *literals: BoolVarT) -> BoolVarT:
        """A literal that is true exactly when one or more of the literals are."""
        return ~self._all(*(~literal for literal in literals))

    def require(self, literal: BoolVarT) -> None:
        """Allow only cases in which a literal is true."""
        self.cp.add_bool_or(literal)

    def require_other(self, variables: Sequence[IntVar], solver: CpSolver) -> None:
        """Allow only cases in which one of `variables` differs from its value in a solver."""
        self.cp.add_bool_or(*(~self._is(number, solver.value(number)) for number in variables))

    def solve(self) -> CpSolver | None:
        """A solver that holds a case; None if no case fits."""
        from ortools.sat.python import cp_model

        solver = cp_model.CpSolver()
        status = _search(self.cp, solver)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return solver
        if status == cp_model.INFEASIBLE:
            return None
        reason = self.cp.validate() or "no reason given"
        raise RuntimeError(f"CP-SAT ended with {status.name}: {reason}")

    def case(self, solver: CpSolver) -> Case:
        """The case that a solver holds."""

        def values(numbers: Sequence[IntVar]) -> tuple[int, ...]:
            return tuple(map(solver.value, numbers))

        return Case(
            suspect_rooms=tuple(map(values, self.suspects)),
            weapon_rooms=tuple(map(values, self.weapons)),
            boddy_rooms=values(self.boddy),
            motives=values(self.motives),
            murderer=solver.value(self.murderer),
            weapon=solver.value(self.weapon),
            time=solver.value(self.time),
        )


def _search(cp: CpModel, solver: CpSolver) -> CpSolverStatus:
    """Solve a model without presolve, by one worker; Ctrl-C stops it."""
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 0
    # Presolve is unsound in some releases. In 9.15 it aborts the process because of a wrong
    # solution of its own, or calls a feasible model infeasible
    # (github.com/google/or-tools/issues/5003, 5274).
    solver.parameters.cp_model_presolve = False
    solver.parameters.linearization_level = 0  # the linear relaxation does not help here
    # CP-SAT's own Ctrl-C handler swallows the signal and removes Python's handler. So it is turned
    # off, and the search runs in a thread, so that the main thread can be interrupted.
    solver.parameters.catch_sigint_signal = False
    with ThreadPoolExecutor(1) as pool:
        search = pool.submit(solver.solve, cp)
        try:
            return search.result()
        except KeyboardInterrupt:
            while not search.done():  # a search that has just begun may ignore the first call
                solver.stop_search()
                wait([search], timeout=0.1)
            raise
