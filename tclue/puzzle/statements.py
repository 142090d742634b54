"""Statements: typed values that are true or false in a case.

A statement refers to entities by number, and to people and things by `Ref`, which may be a role
("the murderer") or a description ("the suspect motivated by Greed"). `wording` puts statements into
words, `holds` below decides whether one is true in a case, and `sat` and `cpsat` encode them for
the two provers, independently of each other.

If a description fits several suspects ("a suspect motivated by M"), the same suspect must make the
whole atomic statement true: a move needs one suspect who was in both rooms. Each side of "or" and
of "if and only if" is a statement by itself, so the two sides may be about different suspects.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, ClassVar, Literal, NamedTuple

from tclue.puzzle.world import Side, World

RefKind = Literal["suspect", "weapon", "boddy", "murderer", "murder weapon", "motive"]


class Ref(NamedTuple):
    """A person or thing; `number` is that of a suspect, weapon or motive, and 0 for the rest."""

    kind: RefKind
    number: int = 0


BODDY = Ref("boddy")
MURDERER = Ref("murderer")
MURDER_WEAPON = Ref("murder weapon")


def named_things(world: World) -> list[Ref]:
    """Everybody and everything that has a position: the suspects, the weapons, Mr. Boddy."""
    suspects = [Ref("suspect", s) for s in range(len(world.suspects))]
    return [*suspects, *(Ref("weapon", w) for w in range(len(world.weapons))), BODDY]


@dataclass(frozen=True)
class Statement:
    """A claim that is true or false in a case. Entities are `Ref`s, or numbers in the `World`."""

    # the name by which the shares of the forms of clues are reported
    form: ClassVar[str]


@dataclass(frozen=True)
class At(Statement):
    """`who` was in `room` at `time`."""

    form = "position"
    who: Ref
    room: int
    time: int


@dataclass(frozen=True)
class Same(Statement):
    """`who` was in the same room as `other` at `time`."""

    form = "same room"
    who: Ref
    other: Ref
    time: int


@dataclass(frozen=True)
class Together(Statement):
    """`who` and `other` were both in `room` at one time or more."""

    form = "together"
    who: Ref
    other: Ref
    room: int


@dataclass(frozen=True)
class Beside(Statement):
    """`who` was in the room next to that of `other`, on its `side`, at `time`."""

    form = "direction"
    who: Ref
    side: Side
    other: Ref
    time: int


@dataclass(frozen=True)
class Moved(Statement):
    """`who` was in `start` at the time before `time`, and in `end` at `time`."""

    form = "person moved"
    who: Ref
    start: int
    end: int
    time: int


@dataclass(frozen=True)
class Carried(Statement):
    """`who` and `weapon` were both in `start` at the time before `time`, and in `end` at `time`."""

    form = "weapon moved"
    who: Ref
    weapon: Ref
    start: int
    end: int
    time: int


@dataclass(frozen=True)
class Motivated(Statement):
    """`who` has `motive`."""

    form = "motive"
    who: Ref
    motive: int


@dataclass(frozen=True)
class MurderedBy(Statement):
    """`who` is the murderer."""

    form = "solution"
    who: Ref


@dataclass(frozen=True)
class KilledWith(Statement):
    """`weapon` is the murder weapon."""

    form = "solution"
    weapon: int


@dataclass(frozen=True)
class MurderedIn(Statement):
    """The murder happened in `room`."""

    form = "solution"
    room: int


@dataclass(frozen=True)
class MurderedAt(Statement):
    """The murder happened at `time`."""

    form = "solution"
    time: int


@dataclass(frozen=True)
class Either(Statement):
    """Exactly one of two positions is true (one or both, if "or" is read as inclusive)."""

    form = "exactly one"
    first: At
    second: At


@dataclass(frozen=True)
class Iff(Statement):
    """Both positions are true, or neither is."""

    form = "if and only if"
    first: At
    second: At


@dataclass(frozen=True)
class Case:
    """What really happened: every position at every time, the motives, and the murder.

    Rooms, times and motives are numbers in the case's `World`. `motives` is empty if the world has
    none.
    """

    suspect_rooms: tuple[tuple[int, ...], ...]  # [suspect][time]
    weapon_rooms: tuple[tuple[int, ...], ...]  # [weapon][time]
    boddy_rooms: tuple[int, ...]  # [time]
    motives: tuple[int, ...]  # [suspect]
    murderer: int
    weapon: int
    time: int

    @property
    def room(self) -> int:
        """The murder room."""
        return self.boddy_rooms[self.time]

    def rooms_of(self, who: Ref) -> tuple[int, ...]:
        """The room at each time of whoever or whatever is meant (see `meant`)."""
        who = self.meant(who)
        if who.kind == "boddy":
            return self.boddy_rooms
        return (self.suspect_rooms if who.kind == "suspect" else self.weapon_rooms)[who.number]

    def meant(self, who: Ref) -> Ref:
        """The person or thing that is named, has a role, or is the first to fit a description."""
        if who.kind == "murderer":
            return Ref("suspect", self.murderer)
        if who.kind == "murder weapon":
            return Ref("weapon", self.weapon)
        if who.kind == "motive":
            return Ref("suspect", self.motives.index(who.number))
        return who


def refs(statement: Statement) -> Iterator[Ref]:
    """Every person or thing in a statement, in order and with repetitions."""
    for value in vars(statement).values():
        if isinstance(value, At):
            yield value.who
        elif isinstance(value, Ref):
            yield value


def bind(statement: Statement, suspects: dict[Ref, Ref]) -> Statement:
    """An atomic statement with its descriptions replaced by the suspects that they mean."""
    parts = vars(statement).items()
    changes: dict[str, Any] = {n: suspects[value] for n, value in parts if value in suspects}
    return replace(statement, **changes)


def descriptions(statement: Statement) -> tuple[Ref, ...]:
    """The distinct "motivated by" descriptions in a statement, in their order."""
    return tuple(dict.fromkeys(ref for ref in refs(statement) if ref.kind == "motive"))


def holds(statement: Statement, case: Case, world: World, inclusive_or: bool = False) -> bool:
    """Whether a statement is true in a case."""
    if isinstance(statement, Either | Iff):
        first = holds(statement.first, case, world)
        second = holds(statement.second, case, world)
        if isinstance(statement, Iff):
            return first == second
        return first or second if inclusive_or else first != second
    described = descriptions(statement)
    choices = [
        [Ref("suspect", s) for s, motive in enumerate(case.motives) if motive == ref.number]
        for ref in described
    ]
    bound = (bind(statement, dict(zip(described, each, strict=True))) for each in product(*choices))
    return any(_holds(atom, case, world) for atom in bound)


def _holds(statement: Statement, case: Case, world: World) -> bool:
    """`holds` for an atomic statement without descriptions."""
    match statement:
        case At(who, room, time):
            return case.rooms_of(who)[time] == room
        case Same(who, other, time):
            return case.rooms_of(who)[time] == case.rooms_of(other)[time]
        case Together(who, other, room):
            pairs = zip(case.rooms_of(who), case.rooms_of(other), strict=True)
            return any(a == b == room for a, b in pairs)
        case Beside(who, side, other, time):
            return case.rooms_of(who)[time] == world.beside[side][case.rooms_of(other)[time]]
        case Moved(who, start, end, time):
            return case.rooms_of(who)[time - 1 : time + 1] == (start, end)
        case Carried(who, weapon, start, end, time):
            paths = case.rooms_of(who), case.rooms_of(weapon)
            return all(path[time - 1 : time + 1] == (start, end) for path in paths)
        case Motivated(who, motive):
            return case.motives[case.meant(who).number] == motive
        case MurderedBy(who):
            return case.meant(who) == case.meant(MURDERER)
        case KilledWith(weapon_number):
            return weapon_number == case.weapon
        case MurderedIn(room):
            return room == case.room
        case MurderedAt(time):
            return time == case.time
        case _:
            raise TypeError(f"not an atomic statement: {statement}")
