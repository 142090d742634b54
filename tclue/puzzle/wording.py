"""Statements as text, and text as statements, without loss, for every form in both editions.

The editions differ in one sentence only: the published edition writes "A or B", the house edition
"either A or B, but not both", because the answers of seven of the 64 published evaluation puzzles
change if "or" is read as inclusive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, cast, get_args

from tclue.puzzle import statements as st
from tclue.puzzle.statements import BODDY, MURDER_WEAPON, MURDERER, Case, Ref, Statement
from tclue.puzzle.world import PuzzleError, Side, World

Edition = Literal["published", "house"]
Topic = Literal[
    "murderer", "weapon", "room", "time", "motive", "position", "motive of", "holder of"
]

# The rooms that are written with "at" instead of "in". Both words are read for every room.
AT_ROOMS = frozenset({"Fountain"})

MAIN_QUESTIONS: dict[str, Topic] = {
    "Who murdered Mr. Boddy?": "murderer",
    "What weapon did the murderer use?": "weapon",
    "Where was the murder committed?": "room",
    "When did the murder occur?": "time",
    "Why did the murderer do it?": "motive",
}

# The kinds of references that can mean a suspect, and those that can mean a weapon.
_SUSPECTS, _WEAPONS = ("suspect", "murderer", "motive"), ("weapon", "murder weapon")

MAIN_TOPICS = frozenset(MAIN_QUESTIONS.values())

# The kind of answer to each topic, as the answer format of a prompt calls it.
ANSWER_KINDS: dict[Topic, str] = {
    "murderer": "SUSPECT",
    "weapon": "WEAPON",
    "room": "ROOM",
    "time": "TIME",
    "motive": "MOTIVE",
    "position": "ROOM",
    "motive of": "MOTIVE",
    "holder of": "SUSPECT",
}


@dataclass(frozen=True)
class Question:
    """A question: its topic, the person or thing that it is about, and the time if it names one."""

    topic: Topic
    who: Ref = MURDERER
    time: int = 0

    def options(self, world: World) -> tuple[str, ...]:
        """The legal answers, in the order of the prompt."""
        return {
            "SUSPECT": world.suspects,
            "WEAPON": world.weapons,
            "ROOM": world.rooms,
            "TIME": world.times,
            "MOTIVE": world.motives,
        }[ANSWER_KINDS[self.topic]]

    def answer(self, case: Case, world: World) -> str:
        """The true answer in a case, one of `options`."""
        return self.options(world)[self.answer_number(case)]

    def answer_number(self, case: Case) -> int:
        """The index in `options` of the true answer in a case."""
        who = case.meant(self.who)
        match self.topic:
            case "murderer" | "holder of":
                return who.number
            case "weapon":
                return case.weapon
            case "room":
                return case.room
            case "time":
                return case.time
            case "motive" | "motive of":
                return case.motives[who.number]
            case "position":
                return case.rooms_of(who)[self.time]


def _names(names: tuple[str, ...]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"(?!)"


@lru_cache(maxsize=256)
def wording(world: World, edition: Edition) -> Wording:
    """The writer and reader of one world's sentences."""
    return Wording(world, edition)


@dataclass(frozen=True)
class Wording:
    """Writes and reads the sentences of one world in one edition."""

    world: World
    edition: Edition

    def ref(self, who: Ref) -> str:
        """A person or thing within a sentence: "Miss Scarlet", "the Rope", "the murderer"."""
        match who.kind:
            case "suspect":
                return self.world.suspects[who.number]
            case "weapon":
                return f"the {self.world.weapons[who.number]}"
            case "boddy":
                return "Mr. Boddy"
            case "motive":
                article = "the" if self.world.motive_counts[who.number] == 1 else "a"
                return f"{article} suspect motivated by {self.world.motives[who.number]}"
            case kind:
                return f"the {kind}"

    def _room(self, room: int) -> str:
        name = self.world.rooms[room]
        return f"{'at' if name in AT_ROOMS else 'in'} the {name}"

    def _time(self, time: int) -> str:
        return f" at {self.world.times[time]}" if self.world.times else ""

    def _step(self, start: int, end: int, time: int) -> str:
        rooms = self.world.rooms
        return f"from the {rooms[start]} to the {rooms[end]}{self._time(time)}"

    def _at(self, statement: st.At) -> str:
        place = self._room(statement.room)
        return f"{self.ref(statement.who)} was {place}{self._time(statement.time)}"

    def clause(self, statement: Statement) -> str:
        """A statement in words, without a capital at its start and without a full stop."""
        ref = self.ref
        match statement:
            case st.At():
                return self._at(statement)
            case st.Same(who, other, time):
                return f"{ref(who)} was in the same room as {ref(other)}{self._time(time)}"
            case st.Together(who, other, room):
                place = self._room(room)
                return f"{ref(who)} and {ref(other)} were {place} together at least once"
            case st.Beside(who, side, other, time):
                return f"{ref(who)} was in the room just {side} of {ref(other)}{self._time(time)}"
            case st.Moved(who, start, end, time):
                return f"{ref(who)} moved {self._step(start, end, time)}"
            case st.Carried(who, weapon, start, end, time):
                return f"{ref(who)} moved {ref(weapon)} {self._step(start, end, time)}"
            case st.Motivated(who, motive):
                return f"{ref(who)} is motivated by {self.world.motives[motive]}"
            case st.MurderedBy(who):
                return f"Mr. Boddy was murdered by {ref(who)}"
            case st.KilledWith(weapon_number):
                return f"Mr. Boddy was killed with the {self.world.weapons[weapon_number]}"
            case st.MurderedIn(room):
                return f"Mr. Boddy was murdered {self._room(room)}"
            case st.MurderedAt(time):
                return f"Mr. Boddy was murdered{self._time(time)}"
            case st.Either(first, second):
                pair = f"{self._at(first)} or {self._at(second)}"
                return f"either {pair}, but not both" if self.edition == "house" else pair
            case st.Iff(first, second):
                return f"{self._at(first)} if and only if {self._at(second)}"

    def sentence(self, statement: Statement) -> str:
        """A statement as a clue: with a capital first letter and without a full stop.

        A suspect's name at the start is not changed, so that it can be read back.
        """
        clause = self.clause(statement)
        if clause.startswith(self.world.suspects):
            return clause
        return clause[0].upper() + clause[1:]

    def question(self, question: Question) -> str:
        """The text of a question."""
        match question.topic:
            case "position":
                return f"Where was {self.ref(question.who)}{self._time(question.time)}?"
            case "motive of":
                return f"What motivates {self.ref(question.who)}?"
            case "holder of":
                return f"Who is motivated by {self.world.motives[question.who.number]}?"
            case topic:
                return next(text for text, t in MAIN_QUESTIONS.items() if t == topic)

    @cached_property
    def _patterns(self) -> list[tuple[type, re.Pattern[str]]]:
        world = self.world
        who = (
            rf"{_names(world.suspects)}|Mr\. Boddy|[Tt]he (?:{_names(world.weapons)}|murderer|"
            rf"murder weapon)|(?:[Tt]he|[Aa]) suspect motivated by (?:{_names(world.motives)})"
        )
        room = _names(world.rooms)
        place = rf"(?:in|at) the (?P<room>{room})"
        time = rf" at (?P<time>{_names(world.times)})" if world.times else ""
        step = rf"from the (?P<start>{room}) to the (?P<end>{room}){time}"
        subject, other = f"(?P<who>{who})", f"(?P<other>{who})"
        weapon = f"(?P<weapon>{_names(world.weapons)})"
        motive = f"(?P<motive>{_names(world.motives)})"
        sides = "|".join(get_args(Side))
        forms: list[tuple[type, str]] = [
            (st.MurderedBy, rf"Mr\. Boddy was murdered by (?P<who>{who})"),
            (st.KilledWith, rf"Mr\. Boddy was killed with the {weapon}"),
            (st.MurderedIn, rf"Mr\. Boddy was murdered {place}"),
            (st.Same, rf"{subject} was in the same room as {other}{time}"),
            (st.Beside, rf"{subject} was in the room just (?P<side>{sides}) of {other}{time}"),
            (st.Together, rf"{subject} and {other} were {place} together at least once"),
            (st.Motivated, rf"{subject} is motivated by {motive}"),
            (st.At, rf"{subject} was {place}{time}"),
        ]
        if world.times:
            forms += [
                (st.MurderedAt, rf"Mr\. Boddy was murdered{time}"),
                (st.Moved, rf"{subject} moved {step}"),
                (st.Carried, rf"{subject} moved {other} {step}"),
            ]
        return [(kind, re.compile(pattern)) for kind, pattern in forms]

    def _read_ref(self, text: str) -> Ref:
        world = self.world
        if text in world.suspects:
            return Ref("suspect", world.suspects.index(text))
        words = text[0].lower() + text[1:]
        fixed = {"mr. Boddy": BODDY, "the murderer": MURDERER, "the murder weapon": MURDER_WEAPON}
        if words in fixed:
            return fixed[words]
        article, _, name = words.partition(" ")
        if name.startswith("suspect motivated by "):
            motive = world.motives.index(name.removeprefix("suspect motivated by "))
            if (article == "the") != (world.motive_counts[motive] == 1):
                raise PuzzleError(
                    f'"{text}": expected "{self.ref(Ref("motive", motive))}", because the number '
                    f"of suspects with that motive is {world.motive_counts[motive]}"
                )
            return Ref("motive", motive)
        return Ref("weapon", world.weapons.index(name))

    def _read_atom(self, text: str) -> Statement | None:
        """The atomic statement that a text makes; None if no form fits."""
        world = self.world
        lists = dict.fromkeys(("room", "start", "end"), world.rooms)
        lists |= {"time": world.times, "weapon": world.weapons, "motive": world.motives}
        for kind, pattern in self._patterns:
            if not (matched := pattern.fullmatch(text)):
                continue
            values: dict[str, object] = {}
            for name, value in matched.groupdict().items():
                if name in lists:
                    values[name] = lists[name].index(value)
                else:
                    values[name] = value if name == "side" else self._read_ref(value)
            if kind is st.Carried:
                values["weapon"] = values.pop("other")
            if "time" not in values and kind in (st.At, st.Same, st.Beside):
                values["time"] = 0
            statement = cast(Statement, kind(**values))
            self._check(statement, text)
            return statement
        return None

    def _check(self, statement: Statement, text: str) -> None:
        """Refuse a statement that fits a pattern but makes no sense, such as a weapon's motive."""
        if isinstance(statement, st.Moved | st.Carried) and statement.time == 0:
            raise PuzzleError(f'"{text}": nothing can move before {self.world.times[0]}')
        if isinstance(statement, st.Carried) and statement.weapon.kind not in _WEAPONS:
            raise PuzzleError(f'"{text}": expected a weapon to be moved')
        if (
            isinstance(statement, st.Motivated | st.MurderedBy)
            and statement.who.kind not in _SUSPECTS
        ):
            raise PuzzleError(f'"{text}": expected a suspect')

    def read(self, sentence: str) -> Statement:
        """The statement that the sentence of a clue makes.

        Raises PuzzleError if no form of this edition fits.
        """
        text = sentence.strip()
        either = re.fullmatch(r"[Ee]ither (?P<pair>.+), but not both", text)
        pairs: list[tuple[type, str, str]] = [(st.Iff, " if and only if ", text)]
        if either:
            pairs.append((st.Either, " or ", either["pair"]))
        elif self.edition == "published":
            pairs.append((st.Either, " or ", text))
        for kind, link, pair in pairs:
            # A name may contain the linking word, so every place to split the text is tried.
            for cut in re.finditer(re.escape(link), pair):
                first = self._read_atom(pair[: cut.start()])
                second = self._read_atom(pair[cut.end() :])
                if isinstance(first, st.At) and isinstance(second, st.At):
                    return st.Either(first, second) if kind is st.Either else st.Iff(first, second)
        atom = self._read_atom(text)
        if atom is None:
            hint = (
                ' (the house edition writes "either A or B, but not both")'
                if self.edition == "house" and " or " in text
                else ""
            )
            raise PuzzleError(
                f'"{text}": expected a clue about a position, a move, a motive or the murder, '
                f"made of the listed names{hint}"
            )
        return atom

    def read_question(self, text: str) -> Question:
        """The question that a text asks.

        Raises PuzzleError if no form fits.
        """
        text = text.strip()
        world = self.world
        if text in MAIN_QUESTIONS:
            question = Question(MAIN_QUESTIONS[text])
        elif match := re.fullmatch(rf"Who is motivated by ({_names(world.motives)})\?", text):
            question = Question("holder of", Ref("motive", world.motives.index(match[1])))
        elif match := re.fullmatch(rf"What motivates ({_names(world.suspects)})\?", text):
            question = Question("motive of", Ref("suspect", world.suspects.index(match[1])))
        elif text.startswith("Where was ") and text.endswith("?"):
            # A question about a position is the sentence of that position without the room.
            body = text.removeprefix("Where was ").removesuffix("?")
            ends = [f" at {time}" for time in world.times] or [""]
            for end in filter(body.endswith, ends):
                at = self._read_atom(f"{body.removesuffix(end)} was in the {world.rooms[0]}{end}")
                if isinstance(at, st.At):
                    question = Question("position", at.who, at.time)
                    break
            else:
                when = " at TIME" if world.times else ""
                raise PuzzleError(f'"{text}": expected "Where was WHO{when}?" with listed names')
        else:
            raise PuzzleError(f'"{text}": expected one of the question forms with listed names')
        if not question.options(world):
            raise PuzzleError(f'"{text}": expected a list of its possible answers in the prompt')
        if question.who.kind == "motive" and world.motive_counts[question.who.number] != 1:
            raise PuzzleError(f'"{text}": expected a motive that exactly one suspect has')
        return question
