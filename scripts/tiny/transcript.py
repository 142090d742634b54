"""Careful transcripts: a small puzzle is solved in writing, one single-clue deduction per line.

Each line is simple enough for a very small model. The first line says which room is north and which
is south (or west and east). Each later line names a clue or a rule, repeats it, copies the known
facts that it needs, and gives the facts that follow. Facts have a fixed wording ("the Rope at 11:00
PM in the Hall"), so that they can be found by their first words. Then each question is repeated and
answered, and the answers are copied into the answer block.

Clues are tried repeatedly in the order of the prompt and used if they give something new. Rules are
tried if no clue does. Lines that no question needs are left out. If no single clue or rule gives
anything new, a line "By trial: FACT" states a true fact whose deduction is not shown.

All puzzles here have two suspects, weapons and rooms, and at most two times and motives, so every
unknown is a choice of two, numbered as in the puzzle's world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import NamedTuple

from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import (
    BODDY,
    MURDER_WEAPON,
    MURDERER,
    At,
    Beside,
    Carried,
    Case,
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
from tclue.puzzle.wording import AT_ROOMS, Question, Wording, wording


class Unknown(NamedTuple):
    """An unknown with two possible values, such as where somebody was at a time."""

    topic: str  # "at", "motive of", or a part of the solution
    who: Ref = MURDERER
    time: int = 0


Facts = dict[Unknown, int]


@dataclass(frozen=True)
class Constraint:
    """A clue or a rule: the combinations of values that its unknowns can have."""

    label: str
    unknowns: tuple[Unknown, ...]
    allowed: tuple[tuple[int, ...], ...]

    def gives(self, known: Facts) -> Facts:
        """The new facts that follow from the constraint and the known facts."""
        values = [known.get(unknown) for unknown in self.unknowns]
        if None not in values:
            return {}
        rows = self.allowed
        for i, value in enumerate(values):
            if value is not None:
                rows = tuple(row for row in rows if row[i] == value)
        return {
            unknown: rows[0][i]
            for i, unknown in enumerate(self.unknowns)
            if values[i] is None and all(row[i] == rows[0][i] for row in rows)
        }


@dataclass(frozen=True)
class Step:
    """A line: by a constraint, the premises give the facts."""

    constraint: Constraint | None  # None if found by trial
    premises: Facts
    facts: Facts


def constraint(
    label: str, unknowns: Iterable[Unknown], fits: Callable[..., bool | int]
) -> Constraint:
    """The constraint of a predicate on the values of unknowns."""
    names = tuple(dict.fromkeys(unknowns))
    rows = tuple(row for row in product((0, 1), repeat=len(names)) if fits(*row))
    return Constraint(label, names, rows)


class Deduction:
    """The constraints of one puzzle, and the lines that solve it."""

    def __init__(self, puzzle: Puzzle, case: Case) -> None:
        self.world = puzzle.world
        self.case = case
        self.questions = puzzle.questions
        self.words = wording(self.world, "house")
        self.clues = [self._clue(clue) for clue in puzzle.clues]
        self.rules = rules(bool(self.world.times), bool(self.world.motives))
        self.known: Facts = {}
        self.steps: list[Step] = []

    def solve(self) -> list[Step]:
        """The lines that are needed for the questions, in order."""
        needed = [self._needed(question) for question in self.questions.values()]
        cursor = 0
        while any(unknown not in self.known for unknown in needed):
            for i in range(len(self.clues)):
                if self._use(self.clues[(cursor + i) % len(self.clues)]):
                    cursor += i + 1
                    break
            else:
                if not any(self._use(rule) for rule in self.rules):
                    self._try(needed)
        return self._slice(needed)

    def _use(self, used: Constraint) -> bool:
        """Add the line of a constraint if it gives a new fact."""
        facts = used.gives(self.known)
        if not facts:
            return False
        premises = {u: self.known[u] for u in used.unknowns if u in self.known}
        for unknown in list(premises):
            fewer = {u: v for u, v in premises.items() if u != unknown}
            if all(used.gives(fewer).get(u) == v for u, v in facts.items()):
                premises = fewer
        self.steps.append(Step(used, premises, facts))
        self.known |= facts
        return True

    def _try(self, needed: list[Unknown]) -> None:
        """State the unknown fact from which most other facts follow."""
        constraints = [*self.clues, *self.rules]
        unknowns = {u: None for c in constraints for u in c.unknowns}
        open_unknowns = [u for u in [*needed, *unknowns] if u not in self.known]

        def count_needed(unknown: Unknown) -> int:
            known = {**self.known, unknown: self._truth(unknown)}
            while new := {
                u: v for c in (*self.clues, *self.rules) for u, v in c.gives(known).items()
            }:
                known |= new
            return sum(u in known for u in needed)

        best = max(open_unknowns, key=count_needed)
        facts = {best: self._truth(best)}
        self.steps.append(Step(None, {}, facts))
        self.known |= facts

    def _slice(self, needed: list[Unknown]) -> list[Step]:
        """The steps from which the needed facts follow."""
        wanted = set(needed)
        kept = []
        for step in reversed(self.steps):
            if wanted & set(step.facts):
                kept.append(step)
                wanted |= set(step.premises)
        return kept[::-1]

    # Unknowns

    def at(self, who: Ref, time: int) -> Unknown:
        """The room of somebody or something; with one time, the murder's people share a room."""
        if not self.world.times and who in (BODDY, MURDERER, MURDER_WEAPON):
            return Unknown("room")
        return Unknown("at", who, time)

    def _needed(self, question: Question) -> Unknown:
        match question.topic:
            case "position":
                return self.at(question.who, question.time)
            case "motive of":
                return Unknown("motive of", question.who)
            case "holder of":
                holder = self.case.motives.index(question.who.number)
                return Unknown("motive of", Ref("suspect", holder))
            case topic:
                return Unknown(topic)

    def _truth(self, unknown: Unknown) -> int:
        case = self.case
        match unknown.topic:
            case "at":
                who = unknown.who
                if who.kind == "motive":
                    who = Ref("suspect", case.motives.index(who.number))
                return case.rooms_of(who)[unknown.time]
            case "motive of":
                return case.motives[unknown.who.number]
            case "motive":
                return case.motives[case.murderer]
            case topic:
                return int(getattr(case, topic))

    def _clue(self, clue: Statement) -> Constraint:
        """The constraints of a clue on the unknowns."""
        world, at = self.world, self.at

        def says(unknowns: list[Unknown], fits: Callable[..., bool | int]) -> Constraint:
            return constraint(self.words.sentence(clue), unknowns, fits)

        def fixed(facts: Facts) -> Constraint:
            return says(list(facts), lambda *row: row == tuple(facts.values()))

        match clue:
            case At(who, room, time):
                return fixed({at(who, time): room})
            case Beside(who, side, other, time):
                places = {at(who, time): None, at(other, time): None}
                room = next(r for r in (0, 1) if world.beside[side][1 - r] == r)
                return fixed(dict(zip(places, (room, 1 - room), strict=True)))
            case Moved(who, start, end, time):
                return fixed({at(who, time - 1): start, at(who, time): end})
            case Carried(who, weapon, start, end, time):
                path = ((time - 1, start), (time, end))
                return fixed({at(ref, t): room for ref in (who, weapon) for t, room in path})
            case Motivated(who, motive):
                return fixed({Unknown("motive of", who): motive})
            case KilledWith(weapon_number):
                return fixed({Unknown("weapon"): weapon_number})
            case MurderedIn(room):
                return fixed({Unknown("room"): room})
            case MurderedAt(time):
                return fixed({Unknown("time"): time})
            case MurderedBy(Ref("suspect", number)):
                return fixed({Unknown("murderer"): number})
            case MurderedBy(Ref("motive", motive)):
                return fixed({Unknown("motive"): motive})
            case Same(who, other, time):
                return says([at(who, time), at(other, time)], _equal)
            case Together(who, other, room):
                return says(
                    [at(ref, t) for t in range(world.num_times) for ref in (who, other)],
                    lambda *row: (room, room) in (row[:2], row[2:]),
                )
            case Either(first, second) | Iff(first, second):
                same = isinstance(clue, Iff) == (first.room == second.room)
                pair = [at(position.who, position.time) for position in (first, second)]
                return says(pair, _equal if same else _differ)
        raise ValueError(f"{clue}: expected a clue of a one-player puzzle")


def _equal(a: int, b: int | None = None) -> bool:
    return b is None or a == b


def _differ(a: int, b: int) -> bool:
    return a != b


@cache
def rules(times: bool, motives: bool) -> tuple[Constraint, ...]:
    """The rules of the game, each split into the smallest possible parts."""
    return tuple(_rules(times, motives))


def _rules(times: bool, motives: bool) -> Iterator[Constraint]:
    murderer, weapon, time, room, why = (
        Unknown(topic) for topic in ("murderer", "weapon", "time", "room", "motive")
    )
    people = [Ref("suspect", 0), Ref("suspect", 1)]
    things = [Ref("weapon", 0), Ref("weapon", 1)]

    def at(who: Ref, t: int) -> Unknown:
        return Unknown("at", who, t)

    if times:
        yield constraint("Mr. Boddy stayed dead", [at(BODDY, 1), room], _equal)
        for t in (0, 1):
            for name, who in (
                ("Mr. Boddy was there", BODDY),
                ("The murderer was there", MURDERER),
                ("The murder weapon was there", MURDER_WEAPON),
            ):
                yield constraint(
                    name, [time, room, at(who, t)], lambda m, r, a, t=t: m != t or a == r
                )
    for s, who in enumerate(people):
        if not times:
            yield constraint(
                "The murderer was alone",
                [room, at(who, 0), murderer],
                lambda r, a, k, s=s: (k == s) == (a == r),
            )
            continue
        for t in (0, 1):
            yield constraint(
                "The murderer was alone",
                [time, room, at(who, t), murderer],
                lambda m, r, a, k, s=s, t=t: m != t or (k == s) == (a == r),
            )
            yield constraint(
                "Where the murderer was",
                [murderer, at(who, t), at(MURDERER, t)],
                lambda k, a, b, s=s: k != s or a == b,
            )
    for w, thing in enumerate(things):
        if not times:
            yield constraint(
                "The murder weapon was there",
                [room, at(thing, 0), weapon],
                lambda r, a, k, w=w: k != w or a == r,
            )
            continue
        for t in (0, 1):
            yield constraint(
                "The murder weapon was there",
                [time, room, at(thing, t), weapon],
                lambda m, r, a, k, w=w, t=t: m != t or k != w or a == r,
            )
            yield constraint(
                "Where the murder weapon was",
                [weapon, at(thing, t), at(MURDER_WEAPON, t)],
                lambda k, a, b, w=w: k != w or a == b,
            )
    if motives:
        motive_of = [Unknown("motive of", who) for who in people]
        yield constraint("One motive each", motive_of, _differ)
        for s, who in enumerate(people):
            yield constraint(
                "Why the murderer did it",
                [murderer, motive_of[s], why],
                lambda k, a, b, s=s: (k == s) == (a == b),
            )
            for m, t in product((0, 1), range(1 + times)):
                yield constraint(
                    "Who has the motive",
                    [motive_of[s], at(who, t), at(Ref("motive", m), t)],
                    lambda k, a, b, m=m: k != m or a == b,
                )
    if times:
        for t in (0, 1):
            yield constraint(
                "The murderer was alone",
                [time, *(at(who, t) for who in people)],
                lambda m, a, b, t=t: m != t or a != b,
            )
            yield constraint(
                "Where the murder weapon was",
                [*(at(thing, t) for thing in things), at(MURDER_WEAPON, t)],
                lambda a, b, c: a != b or a == c,
            )
            yield constraint(
                "Where the murderer was",
                [*(at(who, t) for who in people), at(MURDERER, t)],
                lambda a, b, c: a != b or a == c,
            )
        for thing in things:
            yield constraint(
                "Somebody took it along",
                [at(ref, t) for ref in (thing, *people) for t in (0, 1)],
                lambda a, b, *paths: a == b or (a, b) in (paths[:2], paths[2:]),
            )


class Writer:
    """Writes the steps of a deduction in words."""

    def __init__(self, deduction: Deduction) -> None:
        self.deduction = deduction
        self.world = deduction.world
        self.words: Wording = deduction.words

    def place(self, room: int) -> str:
        """A room within a fact."""
        name = self.world.rooms[room]
        return f" {'at' if name in AT_ROOMS else 'in'} the {name}"

    def time(self, time: int) -> str:
        """A time within a fact; "" if there is only one time."""
        return f" at {self.world.times[time]}" if self.world.times else ""

    def fact(self, unknown: Unknown, value: int) -> str:
        """A fact in its fixed wording."""
        world, words = self.world, self.words
        match unknown.topic:
            case "at":
                return f"{words.ref(unknown.who)}{self.time(unknown.time)}{self.place(value)}"
            case "motive of":
                return f"{words.ref(unknown.who)} is motivated by {world.motives[value]}"
            case "motive":
                return f"the murderer is motivated by {world.motives[value]}"
            case "murderer":
                return f"the murderer is {world.suspects[value]}"
            case "weapon":
                return f"the murder weapon is the {world.weapons[value]}"
            case "time":
                return f"the murder was{self.time(value)}"
            case "room":
                return f"the murder was{self.place(value)}"
        raise ValueError(f"{unknown}: unknown topic")

    def facts(self, facts: Facts) -> str:
        """Several facts in sequence."""
        return "; ".join(self.fact(unknown, value) for unknown, value in facts.items())

    def line(self, step: Step) -> str:
        """A step as a line. A clue that is itself a fact is written only as that fact."""
        facts = self.facts(step.facts)
        if step.constraint is None:
            return f"By trial: {facts}"
        if len(step.constraint.allowed) == 1 and len(step.constraint.unknowns) == 1:
            return f"- {facts}"
        premises = f"; {self.facts(step.premises)}" if step.premises else ""
        mark = "- " if step.constraint in self.deduction.clues else ""
        return f"{mark}{step.constraint.label}{premises}, so {facts}"

    def plan(self) -> str:
        """The line that says how the rooms are arranged."""
        first, second = self.world.rooms
        across = len(self.world.plan) == 1
        sides = ("west", "east") if across else ("north", "south")
        return f"The {first} is {sides[0]}, the {second} is {sides[1]}."


def careful(puzzle: Puzzle, case: Case) -> str:
    """The careful transcript of a one-player puzzle, with its answer block."""
    deduction = Deduction(puzzle, case)
    writer = Writer(deduction)
    lines = [writer.plan(), *(writer.line(step) for step in deduction.solve())]
    words = deduction.words
    for letter, question in puzzle.questions.items():
        lines.append(f"{words.question(question)} {puzzle.solution[letter]}")
    return "\n".join(lines) + "\n\n" + answer_block(puzzle)


def hasty(puzzle: Puzzle) -> str:
    """A response that gives the answers immediately."""
    return f"A quick guess.\n\n{answer_block(puzzle)}"


def answer_block(puzzle: Puzzle) -> str:
    """The lines of the answer format."""
    return "\n".join(f"{letter}. {answer}" for letter, answer in puzzle.solution.items())
