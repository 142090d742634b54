"""Known traps of the house edition: sentences with two readings, questions with no work in them.

Each trap is a function that lists what is wrong with a text or a puzzle. It is held against
generated puzzles of every difficulty and the shipped ones, and against a bad prompt that it must
catch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import pytest
from worlds import FULL, ONE_TIME, UNIQUE_MOTIVES, samples

from tclue.puzzle import prompt, sat
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import DATA, SPLITS
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
    holds,
    refs,
)
from tclue.puzzle.wording import Question

pytestmark = pytest.mark.slow  # most of them need puzzles of every difficulty

Trap = Callable[[Puzzle], list[str]]


def section(text: str, label: str) -> list[str]:
    """The lines below a label of a house prompt."""
    return re.split(rf"(?m)^{label}:\n", text)[1].split("\n\n")[0].split("\n")


def prose_lines(text: str) -> list[str]:
    """Every line that tells something: the narrative, the rules and the clues."""
    return [
        *text.split("\n\n")[0].split("\n"),
        *section(text, "Rules"),
        *section(text, "Clues"),
    ]


# The traps in the words. They look at the text only, as a reader does.

EITHER = re.compile(r"- Either (?:(?! or ).)+ or (?:(?! or ).)+, but not both")


def bare_or(puzzle: Puzzle) -> list[str]:
    """An "or" outside "either A or B, but not both": is it one, or one at least?"""
    lines = prose_lines(puzzle.prompt)
    return [line for line in lines if re.search(r"\bor\b", line) and not EITHER.fullmatch(line)]


def indefinite(puzzle: Puzzle) -> list[str]:
    """Somebody who might be two people: "a suspect", or "the suspect" with a shared motive."""
    text = puzzle.prompt
    motives = section(text, "Motives") if "\nMotives:\n" in text else []
    shared = [m[2:].split(" (")[0] for m in motives if re.search(r"\((?!1 suspect\))", m)]
    bad = re.compile("|".join(["^- [Aa] suspect", " a suspect", *shared]))
    return [line for line in section(text, "Clues") if bad.search(line) and " is m" not in line]


def once_untold(puzzle: Puzzle) -> list[str]:
    """ "At least once" where there is one moment, or where no rule says what it means."""
    lines = [line for line in section(puzzle.prompt, "Clues") if "at least once" in line]
    rule = [line for line in section(puzzle.prompt, "Rules") if "at some listed time" in line]
    timed = "\nTimes:\n" in puzzle.prompt
    return lines if not timed or len(rule) != 1 else []


def alone(puzzle: Puzzle) -> list[str]:
    """ "Alone": with nobody, or with nobody else but the dead?"""
    return [
        line for line in prose_lines(puzzle.prompt) if re.search(r"\balone\b", line, re.IGNORECASE)
    ]


def moved_at_first(puzzle: Puzzle) -> list[str]:
    """A move at the first time comes from a time that is not listed."""
    times = section(puzzle.prompt, "Times") if "\nTimes:\n" in puzzle.prompt else ["- "]
    first = times[0][2:]
    moves = [line for line in section(puzzle.prompt, "Clues") if " moved " in line]
    return [line for line in moves if line.endswith(f" at {first}")]


def iff_unexplained(puzzle: Puzzle) -> list[str]:
    """ "If and only if" is a phrase of the trade, so a rule says what it means."""
    lines = [line for line in section(puzzle.prompt, "Clues") if " if and only if " in line]
    rules = section(puzzle.prompt, "Rules")
    return lines if not any("if and only if" in rule and "means" in rule for rule in rules) else []


def two_linked(puzzle: Puzzle) -> list[str]:
    """Two links in one sentence: which of them binds first?"""
    link = re.compile(r" if and only if | or ")
    return [line for line in section(puzzle.prompt, "Clues") if len(link.findall(line)) > 1]


# The traps in the meaning


@lru_cache(maxsize=1024)
def history(text: str) -> Case:
    """The one history that a prompt's clues leave."""
    (case,) = sat.prove(Puzzle(text), "history").cases
    return case


def meant(who: Ref, case: Case) -> Ref:
    """Who is really meant."""
    if who.kind == "motive":
        return Ref("suspect", case.motives.index(who.number))
    return {
        MURDERER: Ref("suspect", case.murderer),
        MURDER_WEAPON: Ref("weapon", case.weapon),
    }.get(who, who)


def one_under_two_names(puzzle: Puzzle) -> list[str]:
    """A sentence about two people or things that turn out to be one: it says nothing."""
    return [
        str(clue)
        for clue in puzzle.clues
        if isinstance(clue, Same | Together | Beside | Carried)
        and len({meant(who, history(puzzle.prompt)) for who in refs(clue)}) < 2
    ]


def pair_of_one(puzzle: Puzzle) -> list[str]:
    """A pair of one and the same position: "A if and only if A"."""
    pairs = [clue for clue in puzzle.clues if isinstance(clue, Either | Iff)]
    return [str(clue) for clue in pairs if clue.first == clue.second]


def answers_outright(clue: Statement, question: Question, timed: bool) -> bool:
    """Whether a clue by itself, with no reasoning, is the answer to a question."""
    match clue, question.topic:
        case MurderedBy(who), "murderer":
            return who.kind == "suspect"
        case MurderedBy(who), "motive":
            return who.kind == "motive"
        case KilledWith(), "weapon":
            return True
        case MurderedIn(), "room":
            return True
        case MurderedAt(), "time":
            return True
        case Motivated(who, _), "motive of":
            return who == question.who
        case Motivated(_, motive), "holder of":
            return motive == question.who.number
        case At(who, _, time), "position":
            return (who, time) == (question.who, question.time)
        case At(who, _, _), "room":
            return not timed and who in (BODDY, MURDERER, MURDER_WEAPON)
        case Moved(who, _, _, time), "position":
            return who == question.who and question.time in (time - 1, time)
        case Carried(who, weapon, _, _, time), "position":
            return question.who in (who, weapon) and question.time in (time - 1, time)
    return False


def given_away(puzzle: Puzzle) -> list[str]:
    """A question whose answer a clue states."""
    timed = bool(puzzle.world.times)
    return [
        letter
        for letter, question in puzzle.questions.items()
        if any(answers_outright(clue, question, timed) for clue in puzzle.clues)
    ]


def not_one_right(puzzle: Puzzle) -> list[str]:
    """A question with no right option, several equal ones, or only one to choose from."""
    right = puzzle.answers(history(puzzle.prompt))
    return [
        letter
        for letter, options in puzzle.options.items()
        if len(options) < 2
        or len(set(options)) != len(options)
        or [option for option in options if option == right[letter]] != [puzzle.solution[letter]]
    ]


def asked_twice(puzzle: Puzzle) -> list[str]:
    """One question under two letters."""
    asked = list(puzzle.questions.values())
    return [str(each) for i, each in enumerate(asked) if each in asked[:i]]


TRAPS: list[Trap] = [
    bare_or,
    indefinite,
    once_untold,
    alone,
    moved_at_first,
    iff_unexplained,
    two_linked,
    one_under_two_names,
    pair_of_one,
    given_away,
    not_one_right,
    asked_twice,
]


@lru_cache(maxsize=1)
def puzzles() -> tuple[Puzzle, ...]:
    """Generated puzzles of every difficulty, and the shipped ones."""
    shipped = [p for name in SPLITS for p in read_puzzles(DATA / f"{name}.jsonl")[:16]]
    return (*(sample.made.puzzle for sample in samples()), *shipped)


@pytest.mark.parametrize("trap", TRAPS)
def test_no_puzzle_has_the_trap(trap: Trap) -> None:
    caught = {puzzle.id: problems for puzzle in puzzles() if (problems := trap(puzzle))}
    assert caught == {}


def test_the_puzzles_hold_what_the_traps_are_about() -> None:
    """A trap that never meets its phrase would prove nothing."""
    clues = [line for puzzle in puzzles() for line in section(puzzle.prompt, "Clues")]
    for phrase in [
        "Either ",
        "suspect motivated by",
        "at least once",
        " moved ",
        " if and only if ",
        "he murderer ",
    ]:
        assert sum(phrase in clue for clue in clues) > 50, phrase
    shared = [p for p in puzzles() if not p.world.unique_motives]
    assert any(
        ref.kind == "motive" for puzzle in shared for clue in puzzle.clues for ref in refs(clue)
    )
    assert any(not puzzle.world.times for puzzle in puzzles())


def test_every_clue_is_true_of_the_history() -> None:
    for puzzle in puzzles():
        case = history(puzzle.prompt)
        assert all(holds(clue, case, puzzle.world) for clue in puzzle.clues)


# Negative controls: a bad prompt, and the trap that must catch it

SCARLET, GREEN, WINTER = (Ref("suspect", s) for s in range(3))
GREEDY, FEARFUL = Ref("motive", 0), Ref("motive", 1)
MAIN = {"A": Question("murderer")}
IFF = Iff(At(SCARLET, 0, 0), At(GREEN, 0, 0))
TOGETHER = Together(SCARLET, GREEN, 0)

# Mr. Green, who is greedy in UNIQUE_MOTIVES, kills with the Rope in the Hall, at the last time.
CASE = Case(
    suspect_rooms=((1, 1), (0, 0), (2, 2)),
    weapon_rooms=((0, 0), (1, 1)),
    boddy_rooms=(0, 0),
    motives=(1, 0, 2),
    murderer=1,
    weapon=0,
    time=1,
)


def words(*clues: Statement, change: tuple[str, str] = ("", "")) -> Puzzle:
    """A puzzle with shared motives that makes these clues; some of its words changed."""
    return Puzzle(prompt.write(FULL, clues or (IFF,), MAIN).replace(*change))


def solved(*clues: Statement, **asked: Question) -> Puzzle:
    """A puzzle whose history is CASE, told in plain facts beside these clues."""
    everything = [Ref("suspect", s) for s in range(3)] + [Ref("weapon", w) for w in range(2)]
    facts: list[Statement] = [
        At(who, room, time)
        for who in [*everything, BODDY]
        for time, room in enumerate(CASE.rooms_of(who))
    ]
    facts += [Motivated(Ref("suspect", s), motive) for s, motive in enumerate(CASE.motives)]
    facts += [MurderedBy(GREEN), KilledWith(0), MurderedAt(1)]
    text = prompt.write(UNIQUE_MOTIVES, (*facts, *clues), asked or MAIN)
    questions = asked or MAIN
    return Puzzle(text, {k: q.answer(CASE, UNIQUE_MOTIVES) for k, q in questions.items()})


OR_CLUE = "- Miss Scarlet was in the Hall at 11:00 PM or Mr. Green was in the Hall at 11:00 PM"
IFF_CLUE = (
    "- Miss Scarlet was in the Hall at 11:00 PM if and only if Mr. Green was in the Hall at "
    "11:00 PM"
)


@pytest.mark.parametrize(
    ("trap", "bad"),
    [
        (bare_or, words(change=(IFF_CLUE, OR_CLUE))),
        (bare_or, words(change=("nobody who", "no guest or servant who"))),
        (bare_or, words(change=("and one weapon is", "or one weapon is"))),
        (bare_or, words(change=(IFF_CLUE, f"{OR_CLUE} or both".replace("Miss", "Either Miss")))),
        (indefinite, words(At(GREEDY, 0, 0))),
        (indefinite, words(MurderedBy(GREEDY))),
        (indefinite, words(At(GREEDY, 0, 0), change=("A suspect", "The suspect"))),
        (once_untold, Puzzle(prompt.write(ONE_TIME, (TOGETHER,), MAIN))),
        (once_untold, words(TOGETHER, change=("at some listed time", "at times"))),
        (alone, words(change=("no other suspect was in it", "they were alone"))),
        (alone, words(change=(IFF_CLUE, "- Mr. Green was alone in the Hall at 11:00 PM"))),
        (moved_at_first, words(Moved(GREEN, 0, 1, 1), change=("at 12:00 AM", "at 11:00 PM"))),
        (iff_unexplained, words(change=('"A if and only if B" means', '"A iff B" means'))),
        (two_linked, words(change=(IFF_CLUE, f"{IFF_CLUE} or Mr. Green was in the Study"))),
        (one_under_two_names, solved(Same(GREEN, MURDERER, 0))),
        (one_under_two_names, solved(Together(Ref("weapon", 0), MURDER_WEAPON, 0))),
        (one_under_two_names, solved(Same(GREEN, GREEDY, 0))),
        (pair_of_one, solved(Iff(At(GREEN, 0, 0), At(GREEN, 0, 0)))),
        (asked_twice, solved(A=Question("room"), B=Question("room"))),
        (given_away, solved(A=Question("murderer"))),
        (given_away, solved(A=Question("weapon"))),
        (given_away, solved(A=Question("time"))),
        (given_away, solved(MurderedIn(0), A=Question("room"))),
        (given_away, solved(MurderedBy(GREEDY), A=Question("motive"))),
        (given_away, solved(A=Question("motive of", GREEN))),
        (given_away, solved(A=Question("holder of", GREEDY))),
        (given_away, solved(A=Question("position", WINTER, 1))),
        (
            given_away,
            Puzzle(prompt.write(ONE_TIME, (At(MURDERER, 0, 0),), {"A": Question("room")})),
        ),
    ],
)
def test_a_bad_prompt_is_caught(trap: Trap, bad: Puzzle) -> None:
    assert trap(bad) != []


@pytest.mark.parametrize("trap", [bare_or, indefinite, once_untold, alone, iff_unexplained])
def test_a_good_prompt_is_not_caught(trap: Trap) -> None:
    both = Either(At(SCARLET, 0, 0), At(GREEN, 0, 0))
    assert trap(words(IFF, TOGETHER, both, At(FEARFUL, 0, 0))) == []


def test_a_wrong_solution_is_caught() -> None:
    right = solved(A=Question("motive"))
    assert not_one_right(right) == []
    wrong = Puzzle(right.prompt, {"A": "Fear"})
    assert not_one_right(wrong) == ["A"]
