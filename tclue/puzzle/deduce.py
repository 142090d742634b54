"""Measured difficulty: how far a reader gets with one clue, or one rule, at a time.

For every position, motive and part of the solution the set of values that are still possible is
kept. A step combines one clue, or one rule of the game, with these sets and removes the values that
are now impossible. A round applies each clue and each rule once. A value that no single step
removes needs more: two clues at once, or an assumption that is followed to a contradiction.

The steps are sound but not as strong as they could be: "a suspect motivated by M", for example, is
used only when a single suspect can be meant. So `solved` is a lower bound on what single steps
give.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from tclue.puzzle import statements as st
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import BODDY, Ref, Statement, form, named_things
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
    forms = Counter(form(clue) for clue in puzzle.clues)
    return Difficulty(
        num_clues=puzzle.num_clues,
        shares={name: count / puzzle.num_clues for name, count in forms.most_common()},
        rounds=rounds,
        steps=steps,
        solved=all(known.answers(question) for question in puzzle.questions.values()),
    )


class Knowledge:
    """The values that are still possible. Each set of numbers is held in the bits of an integer."""

    def __init__(self, world: World) -> None:
        self.world = world
        anywhere = (1 << len(world.rooms)) - 1
        # who -> [time] -> rooms
        self.rooms = {who: [anywhere] * world.num_times for who in named_things(world)}
        self.motives = [(1 << len(world.motives)) - 1] * len(world.suspects)  # [suspect] -> motives
        self.murderer = (1 << len(world.suspects)) - 1
        self.weapon = (1 << len(world.weapons)) - 1
        self.time = (1 << world.num_times) - 1
        self.room = anywhere
        self._changed = False

    def take(self, clue: Statement) -> bool:
        """Apply one clue; returns whether it removed a value."""
        self._changed = False
        self._assert(clue)
        return self._changed

    def apply_rules(self) -> int:
        """Apply each rule of the game once; returns how many of them removed a value."""
        useful = 0
        for rule in (self._steps, self._carrying, self._count_motives, self._murder):
            self._changed = False
            rule()
            useful += self._changed
        return useful

    def _keep_of(self, sets: Any, key: Any, values: int) -> None:
        """Keep only these values of the set `sets[key]`."""
        remaining = sets[key] & values
        self._changed |= remaining != sets[key]
        sets[key] = remaining

    def _narrow(self, who: Ref, time: int, rooms: int) -> None:
        """Keep only these rooms for one definite person or thing."""
        self._keep_of(self.rooms[who], time, rooms)

    def _keep(self, name: str, values: int) -> None:
        """Keep only these values of `murderer`, `weapon`, `time` or `room`."""
        self._keep_of(vars(self), name, values)

    def _keep_motives(self, suspect: int, motives: int) -> None:
        self._keep_of(self.motives, suspect, motives)

    def meant(self, who: Ref) -> list[Ref]:
        """The people or things that may still be meant."""
        match who.kind:
            case "murderer":
                return [Ref("suspect", s) for s in bits(self.murderer)]
            case "murder weapon":
                return [Ref("weapon", w) for w in bits(self.weapon)]
            case "motive":
                holders = enumerate(self.motives)
                return [Ref("suspect", s) for s, motives in holders if motives >> who.number & 1]
            case _:
                return [who]

    def view(self, who: Ref, time: int) -> int:
        """The rooms in which any of those who may be meant may have been."""
        return union(self.rooms[candidate][time] for candidate in self.meant(who))

    def _restrict(self, who: Ref, time: int, rooms: int) -> None:
        """`who` was in one of these rooms: remove candidates, or rooms of the only candidate."""
        meant = self.meant(who)
        if len(meant) == 1:
            self._narrow(meant[0], time, rooms)
            return
        excluded = [candidate for candidate in meant if not self.rooms[candidate][time] & rooms]
        for candidate in excluded:
            if who.kind == "murderer":
                self._keep("murderer", ~(1 << candidate.number))
            elif who.kind == "murder weapon":
                self._keep("weapon", ~(1 << candidate.number))
            elif self.world.motive_counts[who.number] == 1:
                self._keep_motives(candidate.number, ~(1 << who.number))

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
                moments = range(self.world.num_times)
                both = [self.view(who, t) & self.view(other, t) for t in moments]
                times = [t for t, rooms in enumerate(both) if rooms >> room & 1]
                if len(times) == 1:
                    self._restrict(who, times[0], 1 << room)
                    self._restrict(other, times[0], 1 << room)
            case st.Moved(who, start, end, time):
                self._restrict(who, time - 1, 1 << start)
                self._restrict(who, time, 1 << end)
            case st.Carried(who, weapon, start, end, time):
                for ref in (who, weapon):
                    self._restrict(ref, time - 1, 1 << start)
                    self._restrict(ref, time, 1 << end)
            case st.Motivated(who, motive):
                self._assert_motive(who, motive)
            case st.MurderedBy(who):
                self._keep("murderer", mask(ref.number for ref in self.meant(who)))
            case st.KilledWith(weapon_number):
                self._keep("weapon", 1 << weapon_number)
            case st.MurderedIn(room):
                self._keep("room", 1 << room)
            case st.MurderedAt(time):
                self._keep("time", 1 << time)
            case st.Either(first, second) | st.Iff(first, second):
                self._assert_pair(first, second, agree=isinstance(clue, st.Iff))

    def _assert_motive(self, who: Ref, motive: int) -> None:
        meant = self.meant(who)
        if len(meant) == 1:
            self._keep_motives(meant[0].number, 1 << motive)
        elif who.kind == "murderer":
            self._keep("murderer", mask(m.number for m in self.meant(Ref("motive", motive))))

    def _assert_pair(self, first: st.At, second: st.At, agree: bool) -> None:
        """Exactly one position is true, or both agree: if one is known, the other follows."""
        for known, other in ((first, second), (second, first)):
            status = self._status(known)
            if status is None:
                continue
            if status == agree:
                self._restrict(other.who, other.time, 1 << other.room)
            elif other.who.kind != "motive" or self.world.motive_counts[other.who.number] == 1:
                self._restrict(other.who, other.time, ~(1 << other.room))

    def _status(self, position: st.At) -> bool | None:
        """Whether a position is known to be true or false; None if it is not known."""
        rooms = self.view(position.who, position.time)
        if not rooms >> position.room & 1:
            return False
        return True if rooms == 1 << position.room else None

    def _steps(self) -> None:
        """At each step everybody and everything stays or goes to a neighbouring room."""
        reach = [mask(rooms) for rooms in self.world.reach]
        for who, places in self.rooms.items():
            for time in range(1, len(places)):
                ahead = union(reach[room] for room in bits(places[time - 1]))
                self._narrow(who, time, ahead)
            for time in range(len(places) - 2, -1, -1):
                back = union(reach[room] for room in bits(places[time + 1]))
                self._narrow(who, time, back)

    def _carrying(self) -> None:
        """A weapon moves only where some suspect may have moved with it."""
        suspects = [places for who, places in self.rooms.items() if who.kind == "suspect"]
        for who, places in self.rooms.items():
            if who.kind != "weapon":
                continue
            for time in range(1, len(places)):
                pairs = [
                    (start, end)
                    for start in bits(places[time - 1])
                    for end in bits(places[time] & mask(self.world.reach[start]))
                    if start == end
                    or any(s[time - 1] >> start & s[time] >> end & 1 for s in suspects)
                ]
                self._narrow(who, time - 1, mask(start for start, _ in pairs))
                self._narrow(who, time, mask(end for _, end in pairs))

    def _count_motives(self) -> None:
        """If all holders of a motive are known, nobody else has it; if just enough may, they do."""
        for motive, count in enumerate(self.world.motive_counts):
            certain = [s for s, motives in enumerate(self.motives) if motives == 1 << motive]
            possible = [s for s, motives in enumerate(self.motives) if motives >> motive & 1]
            if len(certain) == count:
                for suspect in possible:
                    if suspect not in certain:
                        self._keep_motives(suspect, ~(1 << motive))
            elif len(possible) == count:
                for suspect in possible:
                    self._keep_motives(suspect, 1 << motive)

    def _murder(self) -> None:
        """Keep only the murders that are still possible, and what follows from all of them."""
        boddy = self.rooms[BODDY]
        possible = [
            (time, room, suspect, weapon)
            for time in bits(self.time)
            for room in bits(boddy[time] & self.room)
            if all(later >> room & 1 for later in boddy[time:])
            for suspect in bits(self.murderer)
            if self._alone(suspect, time, room)
            for weapon in bits(self.weapon)
            if self.rooms[Ref("weapon", weapon)][time] >> room & 1
        ]
        for name, position in (("time", 0), ("room", 1), ("murderer", 2), ("weapon", 3)):
            self._keep(name, mask(murder[position] for murder in possible))
        times = bits(self.time)
        for time in range(times[0] if len(times) == 1 else self.world.num_times, len(boddy)):
            self._narrow(BODDY, time, self.room)
        if len(times) == 1:
            self._scene(times[0])

    def _alone(self, suspect: int, time: int, room: int) -> bool:
        """Whether this suspect may have been in the room without any other suspect."""
        others = (Ref("suspect", s) for s in range(len(self.world.suspects)) if s != suspect)
        present = self.rooms[Ref("suspect", suspect)][time] >> room & 1
        return bool(present) and all(self.rooms[other][time] != 1 << room for other in others)

    def _scene(self, time: int) -> None:
        """Who and what was in the murder room, and who was not, if the time is known."""
        self._restrict(Ref("murderer"), time, self.room)
        self._restrict(Ref("murder weapon"), time, self.room)
        if len(bits(self.room)) == 1:
            for suspect in range(len(self.world.suspects)):
                if not self.murderer >> suspect & 1:
                    self._narrow(Ref("suspect", suspect), time, ~self.room)

    def answers(self, question: Question) -> bool:
        """Whether only one answer to a question is still possible."""
        match question.topic:
            case "murderer" | "weapon" | "time" | "room":
                remaining = int(getattr(self, question.topic))
            case "motive":
                remaining = union(self.motives[s] for s in bits(self.murderer))
            case "position":
                remaining = self.view(question.who, question.time)
            case "motive of":
                remaining = self.motives[question.who.number]
            case "holder of":
                remaining = mask(candidate.number for candidate in self.meant(question.who))
        return len(bits(remaining)) == 1


def bits(values: int) -> list[int]:
    """The numbers in a set that is held in the bits of an integer, ascending."""
    return [i for i in range(values.bit_length()) if values >> i & 1]


def mask(numbers: Any) -> int:
    """The integer whose bits hold these numbers."""
    return union(1 << number for number in numbers)


def union(sets: Any) -> int:
    """The union of sets that are held in the bits of integers."""
    result = 0
    for values in sets:
        result |= values
    return result
