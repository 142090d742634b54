"""Measured difficulty: how far a reader gets with one clue, or one rule, at a time.

For every position, motive and part of the solution the set of values that are still possible is
kept. A step combines one clue, or one rule of the game, with these sets and removes the values that
are now impossible. A round applies each clue and each rule once. A value that no single step
removes needs more: two clues at once, or an assumption that is followed to a contradiction.

The steps are sound but not as strong as they could be: "a suspect motivated by M", for example, is
used only when a single suspect can be meant. So `solved` is a lower bound on what single steps
give.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise, product
from operator import or_
from typing import Any

from tclue.puzzle import statements as st
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import BODDY, MURDER_WEAPON, MURDERER, Ref, Statement, named_things
from tclue.puzzle.wording import Question
from tclue.puzzle.world import World


@dataclass(frozen=True)
class Difficulty:
    """How hard a puzzle is, as measured."""

    num_clues: int
    # name of a form of clues -> its share of the clues, 0 to 1, the largest first
    shares: dict[str, float]
    # rounds until nothing more is removed, and the steps in them that removed something
    rounds: int
    steps: int
    # whether the remaining values answer every question
    solved: bool


def measure(puzzle: Puzzle) -> Difficulty:
    """Measure a puzzle's difficulty from its prompt alone."""
    known = Knowledge(puzzle.world)
    rounds = steps = 0
    while useful := sum(known.take(clue) for clue in puzzle.clues) + known.apply_rules():
        rounds += 1
        steps += useful
    forms = Counter(clue.form for clue in puzzle.clues)
    return Difficulty(
        num_clues=puzzle.num_clues,
        shares={name: count / puzzle.num_clues for name, count in forms.most_common()},
        rounds=rounds,
        steps=steps,
        solved=all(known.answers(question) for question in puzzle.questions.values()),
    )


class Knowledge:
    """What is still possible in a world.

    `possible` maps what is asked to the set of values that are left, held in the bits of an
    integer: "murderer", "weapon", "time" and "room" to their numbers, a suspect's `Ref` to motives,
    and (who, time) to rooms.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.suspects = [Ref("suspect", s) for s in range(len(world.suspects))]
        self._times = range(world.num_times)
        self.possible: dict[Any, int] = {
            "murderer": mask(range(len(world.suspects))),
            "weapon": mask(range(len(world.weapons))),
            "time": mask(self._times),
            "room": mask(range(len(world.rooms))),
        }
        self.possible |= dict.fromkeys(self.suspects, mask(range(len(world.motives))))
        places = product(named_things(world), self._times)
        self.possible |= dict.fromkeys(places, self.possible["room"])

    def take(self, clue: Statement) -> bool:
        """Apply one clue; returns whether it removed a value."""
        return self._removes(partial(self._assert, clue))

    def apply_rules(self) -> int:
        """Apply each rule of the game once; returns how many of them removed a value."""
        return sum(
            map(self._removes, (self._steps, self._carrying, self._count_motives, self._murder))
        )

    def _removes(self, step: Callable[[], None]) -> bool:
        before = self.possible.copy()
        step()
        return self.possible != before

    def meant(self, who: Ref) -> list[Ref]:
        """The people or things that may still be meant."""
        match who.kind:
            case "murderer":
                return [self.suspects[s] for s in bits(self.possible["murderer"])]
            case "murder weapon":
                return [Ref("weapon", w) for w in bits(self.possible["weapon"])]
            case "motive":
                return [s for s in self.suspects if self.possible[s] >> who.number & 1]
            case _:
                return [who]

    def view(self, who: Ref, time: int) -> int:
        """The rooms in which any of those who may be meant may have been."""
        return union(self.possible[candidate, time] for candidate in self.meant(who))

    def _restrict(self, who: Ref, time: int, rooms: int) -> None:
        """`who` was in one of these rooms: remove candidates, or rooms of the only candidate."""
        meant = self.meant(who)
        if len(meant) == 1:
            self.possible[meant[0], time] &= rooms
            return
        for candidate in meant:
            if self.possible[candidate, time] & rooms:
                continue
            if who.kind == "murderer":
                self.possible["murderer"] &= ~(1 << candidate.number)
            elif who.kind == "murder weapon":
                self.possible["weapon"] &= ~(1 << candidate.number)
            elif self.world.motive_counts[who.number] == 1:
                self.possible[candidate] &= ~(1 << who.number)

    def _assert(self, clue: Statement) -> None:
        match clue:
            case st.At(who, room, time):
                self._restrict(who, time, 1 << room)
            case st.Same(who, other, time):
                shared = self.view(who, time) & self.view(other, time)
                self._restrict(who, time, shared)
                self._restrict(other, time, shared)
            case st.Beside(who, side, other, time):
                beside = self.world.beside[side]
                pairs = [
                    (far, near)
                    for near in bits(self.view(other, time))
                    if (far := beside[near]) is not None and self.view(who, time) >> far & 1
                ]
                self._restrict(who, time, mask(far for far, _ in pairs))
                self._restrict(other, time, mask(near for _, near in pairs))
            case st.Together(who, other, room):
                both = [self.view(who, t) & self.view(other, t) for t in self._times]
                times = [t for t in self._times if both[t] >> room & 1]
                if len(times) == 1:
                    self._restrict(who, times[0], 1 << room)
                    self._restrict(other, times[0], 1 << room)
            case st.Moved(who, start, end, time):
                self._restrict(who, time - 1, 1 << start)
                self._restrict(who, time, 1 << end)
            case st.Carried(who, weapon, start, end, time):
                for ref in (who, weapon):
                    self._assert(st.Moved(ref, start, end, time))
            case st.Motivated(who, motive):
                if len(meant := self.meant(who)) == 1:
                    self.possible[meant[0]] &= 1 << motive
                elif who.kind == "murderer":
                    holders = self.meant(Ref("motive", motive))
                    self.possible["murderer"] &= mask(holder.number for holder in holders)
            case st.MurderedBy(who):
                self.possible["murderer"] &= mask(ref.number for ref in self.meant(who))
            case st.KilledWith(weapon_number):
                self.possible["weapon"] &= 1 << weapon_number
            case st.MurderedIn(room):
                self.possible["room"] &= 1 << room
            case st.MurderedAt(time):
                self.possible["time"] &= 1 << time
            case st.Either(first, second) | st.Iff(first, second):
                self._assert_pair(first, second, agree=isinstance(clue, st.Iff))

    def _assert_pair(self, first: st.At, second: st.At, agree: bool) -> None:
        """Exactly one position is true, or both agree: if one is known, the other follows."""
        for known, other in ((first, second), (second, first)):
            rooms, stated = self.view(known.who, known.time), 1 << known.room
            if rooms & stated and rooms != stated:
                continue
            if (rooms == stated) == agree:
                self._restrict(other.who, other.time, 1 << other.room)
            elif other.who.kind != "motive" or self.world.motive_counts[other.who.number] == 1:
                self._restrict(other.who, other.time, ~(1 << other.room))

    def _steps(self) -> None:
        """At each step everybody and everything stays or goes to a neighbouring room."""
        reach = [mask(rooms) for rooms in self.world.reach]
        forward = list(pairwise(self._times))
        backward = [(then, now) for now, then in reversed(forward)]
        for who in named_things(self.world):
            for known, time in (*forward, *backward):
                near = union(reach[room] for room in bits(self.possible[who, known]))
                self.possible[who, time] &= near

    def _carrying(self) -> None:
        """A weapon moves only where some suspect may have moved with it."""
        possible = self.possible
        weapons = [Ref("weapon", w) for w in range(len(self.world.weapons))]
        for weapon, (now, then) in product(weapons, pairwise(self._times)):
            pairs = [
                (start, end)
                for start in bits(possible[weapon, now])
                for end in bits(possible[weapon, then] & mask(self.world.reach[start]))
                if start == end
                or any(
                    possible[s, now] >> start & possible[s, then] >> end & 1 for s in self.suspects
                )
            ]
            possible[weapon, now] &= mask(start for start, _ in pairs)
            possible[weapon, then] &= mask(end for _, end in pairs)

    def _count_motives(self) -> None:
        """If all holders of a motive are known, nobody else has it; if just enough may, they do."""
        for motive, count in enumerate(self.world.motive_counts):
            holders = self.meant(Ref("motive", motive))
            others = [s for s in holders if self.possible[s] != 1 << motive]
            if len(holders) - len(others) == count:
                for suspect in others:
                    self.possible[suspect] &= ~(1 << motive)
            elif len(holders) == count:
                for suspect in holders:
                    self.possible[suspect] &= 1 << motive

    def _murder(self) -> None:
        """Keep only the murders that are still possible, and what follows from all of them."""
        known = self.possible
        murders = [
            (time, room, suspect, weapon)
            for time in bits(known["time"])
            for room in bits(known[BODDY, time] & known["room"])
            if all(known[BODDY, later] >> room & 1 for later in self._times[time:])
            for suspect in bits(known["murderer"])
            if self._alone(suspect, time, room)
            for weapon in bits(known["weapon"])
            if known[Ref("weapon", weapon), time] >> room & 1
        ]
        for position, key in enumerate(("time", "room", "murderer", "weapon")):
            known[key] &= mask(murder[position] for murder in murders)
        times = bits(known["time"])
        if len(times) == 1:
            for time in self._times[times[0] :]:
                known[BODDY, time] &= known["room"]
            self._scene(times[0])

    def _alone(self, suspect: int, time: int, room: int) -> bool:
        """Whether this suspect may have been in the room without any other suspect."""
        rooms = [self.possible[s, time] for s in self.suspects]
        present = rooms.pop(suspect) >> room & 1
        return bool(present) and 1 << room not in rooms

    def _scene(self, time: int) -> None:
        """Who and what was in the murder room, and who was not, if the time is known."""
        room = self.possible["room"]
        self._restrict(MURDERER, time, room)
        self._restrict(MURDER_WEAPON, time, room)
        if len(bits(room)) == 1:
            for suspect in self.suspects:
                if not self.possible["murderer"] >> suspect.number & 1:
                    self.possible[suspect, time] &= ~room

    def answers(self, question: Question) -> bool:
        """Whether only one answer to a question is still possible."""
        match question.topic:
            case "murderer" | "weapon" | "time" | "room" as topic:
                remaining = self.possible[topic]
            case "motive":
                remaining = union(self.possible[s] for s in self.meant(MURDERER))
            case "position":
                remaining = self.view(question.who, question.time)
            case "motive of":
                remaining = self.possible[question.who]
            case "holder of":
                remaining = mask(candidate.number for candidate in self.meant(question.who))
        return len(bits(remaining)) == 1


def bits(values: int) -> list[int]:
    """The numbers in a set that is held in the bits of an integer, ascending."""
    return [i for i in range(values.bit_length()) if values >> i & 1]


def mask(numbers: Iterable[int]) -> int:
    """The integer whose bits hold these numbers."""
    return union(1 << number for number in numbers)


def union(sets: Iterable[int]) -> int:
    """The union of sets that are held in the bits of integers."""
    return reduce(or_, sets, 0)
