"""Statements as text, and text as statements, without loss, for every form in both editions.

The editions differ in one sentence only: the published edition writes "A or B", the house edition
"either A or B, but not both", because the answers of seven of the 64 published evaluation puzzles
change if "or" is read as inclusive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Literal, cast, get_args, get_type_hints

from tclue.puzzle import statements as st
from tclue.puzzle.statements import MURDER_WEAPON, MURDERER, Case, Ref, Statement, named_things
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
        options = enumerate(self.options(world))
        return next(name for number, name in options if st.holds(self.fact(number), case, world))

    def true_fact(self, case: Case, world: World) -> Statement:
        """The statement that the true answer in a case is the answer."""
        facts = map(self.fact, range(len(self.options(world))))
        return next(fact for fact in facts if st.holds(fact, case, world))

    def fact(self, number: int) -> Statement:
        """The statement that the option with this index is the answer."""
        match self.topic:
            case "murderer":
                return st.MurderedBy(Ref("suspect", number))
            case "weapon":
                return st.KilledWith(number)
            case "room":
                return st.MurderedIn(number)
            case "time":
                return st.MurderedAt(number)
            case "motive" | "motive of":
                return st.Motivated(self.who, number)
            case "holder of":
                return st.Motivated(Ref("suspect", number), self.who.number)
            case "position":
                return st.At(self.who, number, self.time)


# The sentence of each form, in the order in which they are tried when a text is read. A slot stands
# for the field of its name; "{room}" includes the word "in" or "at", and "{time}" the word " at".
_SENTENCES: dict[type, str] = {
    st.MurderedBy: "Mr. Boddy was murdered by {who}",
    st.KilledWith: "Mr. Boddy was killed with the {weapon}",
    st.MurderedIn: "Mr. Boddy was murdered {room}",
    st.Same: "{who} was in the same room as {other}{time}",
    st.Beside: "{who} was in the room just {side} of {other}{time}",
    st.Together: "{who} and {other} were {room} together at least once",
    st.Motivated: "{who} is motivated by {motive}",
    st.At: "{who} was {room}{time}",
    st.MurderedAt: "Mr. Boddy was murdered{time}",
    st.Moved: "{who} moved from the {start} to the {end}{time}",
    st.Carried: "{who} moved {weapon} from the {start} to the {end}{time}",
}


@cache
def _ref_fields(kind: type) -> list[str]:
    """The fields of a form that hold a `Ref`; in `KilledWith`, `weapon` is a number instead."""
    return [name for name, hint in get_type_hints(kind).items() if hint is Ref]


def _names(names: tuple[str, ...]) -> str:
    return "|".join(map(re.escape, sorted(names, key=len, reverse=True))) if names else r"(?!)"


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

    def _spoken(self, name: str, value: Ref | int | Side) -> str:
        """The value of a statement's field, as its sentence says it."""
        if isinstance(value, Ref):
            return self.ref(value)
        if isinstance(value, str):  # a side
            return value
        text = self._lists[name][value]
        return f"{'at' if text in AT_ROOMS else 'in'} the {text}" if name == "room" else text

    @cached_property
    def _lists(self) -> dict[str, tuple[str, ...]]:
        """Name of a numeric field of statements -> the words that its numbers stand for."""
        world = self.world
        times = tuple(f" at {time}" for time in world.times) or ("",)
        lists = dict.fromkeys(("room", "start", "end"), world.rooms)
        return lists | {"time": times, "weapon": world.weapons, "motive": world.motives}

    def clause(self, statement: Statement) -> str:
        """A statement in words, without a capital at its start and without a full stop."""
        if isinstance(statement, st.Either | st.Iff):
            first, second = self.clause(statement.first), self.clause(statement.second)
            if isinstance(statement, st.Iff):
                return f"{first} if and only if {second}"
            pair = f"{first} or {second}"
            return f"either {pair}, but not both" if self.edition == "house" else pair
        spoken = {name: self._spoken(name, value) for name, value in vars(statement).items()}
        return _SENTENCES[type(statement)].format_map(spoken)

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
                return f"Where was {self.ref(question.who)}{self._spoken('time', question.time)}?"
            case "motive of":
                return f"What motivates {self.ref(question.who)}?"
            case "holder of":
                return f"Who is motivated by {self.world.motives[question.who.number]}?"
            case topic:
                return next(text for text, t in MAIN_QUESTIONS.items() if t == topic)

    @cached_property
    def _slots(self) -> dict[str, str]:
        """What may stand for a field: name of the field -> pattern; "ref" is for every `Ref`."""
        world = self.world
        names = {name: _names(listed) for name, listed in self._lists.items()}
        slots = {name: f"(?P<{name}>{pattern})" for name, pattern in names.items()}
        return slots | {
            "room": f"(?:in|at) the {slots['room']}",
            "side": f"(?P<side>{'|'.join(get_args(Side))})",
            "ref": rf"{_names(world.suspects)}|Mr\. Boddy|[Tt]he (?:{names['weapon']}|murderer|"
            rf"murder weapon)|(?:[Tt]he|[Aa]) suspect motivated by (?:{names['motive']})",
        }

    @cached_property
    def _patterns(self) -> list[tuple[type, re.Pattern[str]]]:
        patterns = []
        for kind, sentence in _SENTENCES.items():
            refs = {name: f"(?P<{name}>{self._slots['ref']})" for name in _ref_fields(kind)}
            pattern = sentence.replace(".", r"\.").format_map(self._slots | refs)
            if self.world.times or kind not in (st.MurderedAt, st.Moved, st.Carried):
                patterns.append((kind, re.compile(pattern)))
        return patterns

    @cached_property
    def _refs(self) -> dict[str, Ref]:
        """Everybody and everything by what `ref` calls them."""
        motives = [Ref("motive", m) for m in range(len(self.world.motives))]
        everybody = [*motives, MURDERER, MURDER_WEAPON, *named_things(self.world)]
        return {self.ref(who): who for who in everybody}

    def _read_ref(self, text: str) -> Ref:
        # At the start of a sentence, an article has a capital.
        words = text if text in self._refs else text[0].lower() + text[1:]
        if words not in self._refs:  # Only a description can have the wrong article.
            article, _, name = words.partition(" ")
            expected = f"{'a' if article == 'the' else 'the'} {name}"
            raise PuzzleError(
                f'"{text}": expected "{expected}", because the number of suspects with that '
                f"motive is {self.world.motive_counts[self._refs[expected].number]}"
            )
        return self._refs[words]

    def _read_atom(self, text: str) -> Statement | None:
        """The atomic statement that a text makes; None if no form fits."""
        for kind, pattern in self._patterns:
            if matched := pattern.fullmatch(text):
                values: dict[str, object] = {}
                for name, value in matched.groupdict().items():
                    if name in _ref_fields(kind):
                        values[name] = self._read_ref(value)
                    else:
                        values[name] = value if name == "side" else self._lists[name].index(value)
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
        pairs: list[tuple[type[st.Either | st.Iff], str, str]] = [
            (st.Iff, " if and only if ", text)
        ]
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
                    return kind(first, second)
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
        position = rf"Where was (?P<who>{self._slots['ref']}){self._slots['time']}\?"
        if text in MAIN_QUESTIONS:
            question = Question(MAIN_QUESTIONS[text])
        elif match := re.fullmatch(rf"Who is motivated by {self._slots['motive']}\?", text):
            question = Question("holder of", Ref("motive", world.motives.index(match["motive"])))
        elif match := re.fullmatch(rf"What motivates ({_names(world.suspects)})\?", text):
            question = Question("motive of", Ref("suspect", world.suspects.index(match[1])))
        elif match := re.fullmatch(position, text):
            time = self._lists["time"].index(match["time"])
            question = Question("position", self._read_ref(match["who"]), time)
        elif text.startswith("Where was ") and text.endswith("?"):
            when = " at TIME" if world.times else ""
            raise PuzzleError(f'"{text}": expected "Where was WHO{when}?" with listed names')
        else:
            raise PuzzleError(f'"{text}": expected one of the question forms with listed names')
        if not question.options(world):
            raise PuzzleError(f'"{text}": expected a list of its possible answers in the prompt')
        if question.who.kind == "motive" and world.motive_counts[question.who.number] != 1:
            raise PuzzleError(f'"{text}": expected a motive that exactly one suspect has')
        return question
