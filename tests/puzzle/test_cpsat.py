"""The CP-SAT proof against all cases of tiny worlds, counted one by one, and the published puzzles.

The counting uses `statements.holds` for the clues and its own reading of the rules (`lawful`
below), so a fault would have to be made three times, in three ways, to pass.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tclue.puzzle import cpsat, prompt
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import load_set
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
    named_things,
)
from tclue.puzzle.wording import MAIN_QUESTIONS, Question
from tclue.puzzle.world import PuzzleError, World

SUSPECTS = ("Miss Scarlet", "Mr. Green", "Mrs. White")
WEAPONS = ("Rope", "Knife")
ROOMS = ("Hall", "Study", "Library")
TIMES = ("11:00 PM", "12:00 AM")

ONE_MOMENT = World(SUSPECTS[:2], WEAPONS, ROOMS, plan=((None, 0), (2, 1)))
CORNER = World(SUSPECTS[:2], WEAPONS[:1], ROOMS, plan=((0, 1), (2, None)), times=TIMES)
UNIQUE_MOTIVES = World(
    *(SUSPECTS[:2], WEAPONS, ROOMS[:2], ((0, 1),), TIMES), ("Greed", "Fear"), (1, 1)
)
SHARED_MOTIVES = World(
    *(SUSPECTS, WEAPONS[:1], ROOMS[:2], ((0,), (1,)), TIMES), ("Greed", "Fear"), (2, 1)
)
WORLDS = {
    "one moment": ONE_MOMENT,
    "corner": CORNER,
    "unique motives": UNIQUE_MOTIVES,
    "shared motives": SHARED_MOTIVES,
}

# True of every case: a prompt has one clue or more.
NOTHING = Same(BODDY, BODDY, 0)


# Counting


def histories(world: World) -> Iterator[Case]:
    """Every way to fill in a case, lawful or not."""
    suspects, weapons, times = len(world.suspects), len(world.weapons), world.num_times
    paths = list(product(range(len(world.rooms)), repeat=times))
    motives = [
        holders
        for holders in product(range(len(world.motives)), repeat=suspects if world.motives else 0)
        if all(holders.count(motive) == count for motive, count in enumerate(world.motive_counts))
    ]
    for moves in product(paths, repeat=suspects + weapons + 1):
        for holders, *murder in product(motives, range(suspects), range(weapons), range(times)):
            yield Case(moves[:suspects], moves[suspects:-1], moves[-1], holders, *murder)


def lawful(case: Case, world: World) -> bool:
    """Whether a case keeps the rules of the game, as section "rules" of a prompt tells them."""
    cells = {
        room: complex(row, column)
        for row, rooms in enumerate(world.plan)
        for column, room in enumerate(rooms)
        if room is not None
    }
    people = (*case.suspect_rooms, case.boddy_rooms)
    walks = all(abs(cells[a] - cells[b]) <= 1 for path in people for a, b in pairwise(path))
    moves = [list(pairwise(path)) for path in case.suspect_rooms]
    carried = all(
        start == end or any(made[step] == (start, end) for made in moves)
        for path in case.weapon_rooms
        for step, (start, end) in enumerate(pairwise(path))
    )
    scene = case.boddy_rooms[case.time]
    present = [s for s, path in enumerate(case.suspect_rooms) if path[case.time] == scene]
    return (
        walks
        and carried
        and present == [case.murderer]
        and case.weapon_rooms[case.weapon][case.time] == scene
        and set(case.boddy_rooms[case.time :]) == {scene}
    )


@lru_cache
def lawful_cases(name: str) -> list[Case]:
    return [case for case in histories(WORLDS[name]) if lawful(case, WORLDS[name])]


# Drawing


def people_and_things(world: World) -> list[Ref]:
    return [
        *(BODDY, MURDERER, MURDER_WEAPON),
        *(Ref("suspect", s) for s in range(len(world.suspects))),
        *(Ref("weapon", w) for w in range(len(world.weapons))),
        *(Ref("motive", m) for m in range(len(world.motives))),
    ]


def forms(world: World) -> dict[type, st.SearchStrategy[Statement]]:
    """For each form that the world has, its statements."""
    everything = people_and_things(world)
    who = st.sampled_from(everything)
    killer = st.sampled_from([r for r in everything if r.kind in ("suspect", "murderer", "motive")])
    weapon = st.sampled_from([r for r in everything if r.kind in ("weapon", "murder weapon")])
    room = st.integers(0, len(world.rooms) - 1)
    time = st.integers(0, world.num_times - 1)
    at = st.builds(At, who, room, time)
    strategies: dict[type, st.SearchStrategy[Statement]] = {
        At: at,
        Same: st.builds(Same, who, who, time),
        Together: st.builds(Together, who, who, room),
        Beside: st.builds(Beside, who, st.sampled_from(sorted(world.beside)), who, time),
        MurderedBy: st.builds(MurderedBy, killer),
        KilledWith: st.builds(KilledWith, st.integers(0, len(world.weapons) - 1)),
        MurderedIn: st.builds(MurderedIn, room),
        Either: st.builds(Either, at, at),
        Iff: st.builds(Iff, at, at),
    }
    if world.times:
        later = st.integers(1, world.num_times - 1)
        strategies[MurderedAt] = st.builds(MurderedAt, time)
        strategies[Moved] = st.builds(Moved, who, room, room, later)
        strategies[Carried] = st.builds(Carried, who, weapon, room, room, later)
    if world.motives:
        strategies[Motivated] = st.builds(Motivated, killer, st.integers(0, len(world.motives) - 1))
    return strategies


def all_questions(world: World) -> list[Question]:
    topics = [
        topic
        for topic in MAIN_QUESTIONS.values()
        if (topic != "time" or world.times) and (topic != "motive" or world.motives)
    ]
    one_motive = [Ref("motive", m) for m, count in enumerate(world.motive_counts) if count == 1]
    asked = [who for who in people_and_things(world) if who.kind != "motive"] + one_motive
    return [
        *(Question(topic) for topic in topics),
        *(Question("position", who, t) for who in asked for t in range(world.num_times)),
        *(
            Question("motive of", Ref("suspect", s))
            for s in range(len(world.suspects))
            if topics[4:]
        ),
        *(Question("holder of", who) for who in one_motive),
    ]


def puzzle_of(world: World, clues: list[Statement], questions: list[Question]) -> Puzzle:
    given_clues = (NOTHING, *clues)
    asked = dict(zip(prompt.LETTERS, questions, strict=False))
    puzzle = Puzzle.from_prompt(prompt.write(world, given_clues, asked))
    assert puzzle.clues == given_clues
    return puzzle


@st.composite
def drawn(draw: st.DrawFn) -> tuple[str, Puzzle, Statement]:
    """A world's name, a puzzle in it whose clues may or may not fit a case, and a statement."""
    name = draw(st.sampled_from(sorted(WORLDS)))
    world = WORLDS[name]
    statement = st.one_of(*forms(world).values())
    clues = draw(st.lists(statement, max_size=8))
    if draw(st.integers(0, 3)):
        truth = draw(st.sampled_from(lawful_cases(name)))
        clues = [clue for clue in clues if holds(clue, truth, world)]
    questions = draw(st.lists(st.sampled_from(all_questions(world)), min_size=1, max_size=3))
    return name, puzzle_of(world, clues, questions), draw(statement)


# The tests


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(drawn(), st.booleans())
def test_verdicts_are_those_of_counting(
    given_puzzle: tuple[str, Puzzle, Statement], inclusive_or: bool
) -> None:
    name, puzzle, statement = given_puzzle
    world = WORLDS[name]
    cases = [
        case
        for case in lawful_cases(name)
        if all(holds(clue, case, world, inclusive_or) for clue in puzzle.clues)
    ]
    history = cpsat.prove(puzzle, "history", inclusive_or)
    assert len(history.cases) == min(2, len(cases))
    assert len(set(history.cases)) == len(history.cases)
    assert set(history.cases) <= set(cases)

    answers = cpsat.prove(puzzle, "answers", inclusive_or)
    different = {tuple(puzzle.answers(case).items()) for case in cases}
    answer_sets = {tuple(puzzle.answers(case).items()) for case in answers.cases}
    assert len(answers.cases) == len(answer_sets) == min(2, len(different))
    assert set(answers.cases) <= set(cases)

    truths = {holds(statement, case, world, inclusive_or) for case in cases}
    if cases:
        expected = "open" if len(truths) == 2 else str(truths.pop()).lower()
        assert cpsat.entails(puzzle, statement, inclusive_or) == expected
    else:
        with pytest.raises(PuzzleError, match="no case fits the clues"):
            cpsat.entails(puzzle, statement, inclusive_or)


def facts(case: Case, world: World) -> list[Statement]:
    """Statements that together fit this case and no other."""
    positions = [
        At(who, room, time)
        for who in named_things(world)
        for time, room in enumerate(case.rooms_of(who))
    ]
    motives = [Motivated(Ref("suspect", s), motive) for s, motive in enumerate(case.motives)]
    time = [MurderedAt(case.time)] if world.times else []
    murderer = MurderedBy(Ref("suspect", case.murderer))
    return [*positions, *motives, murderer, KilledWith(case.weapon), *time]


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name, world in WORLDS.items() for form in forms(world)]
)
def test_a_statement_means_in_each_case_what_it_says(name: str, form: type) -> None:
    world = WORLDS[name]

    @settings(max_examples=25, deadline=None)
    @given(forms(world)[form], st.sampled_from(lawful_cases(name)), st.booleans())
    def check(statement: Statement, case: Case, inclusive_or: bool) -> None:
        puzzle = puzzle_of(world, [statement, *facts(case, world)], [Question("murderer")])
        fitting = (case,) if holds(statement, case, world, inclusive_or) else ()
        assert cpsat.prove(puzzle, "history", inclusive_or).cases == fitting

    check()


@st.composite
def almost_lawful(draw: st.DrawFn, name: str) -> Case:
    """A lawful case, but for one path and the murder's time, which may be anything."""
    case, world = draw(st.sampled_from(lawful_cases(name))), WORLDS[name]
    paths = [*case.suspect_rooms, *case.weapon_rooms, case.boddy_rooms]
    room = st.integers(0, len(world.rooms) - 1)
    paths[draw(st.integers(0, len(paths) - 1))] = draw(st.tuples(*[room] * world.num_times))
    return replace(
        case,
        suspect_rooms=tuple(paths[: len(world.suspects)]),
        weapon_rooms=tuple(paths[len(world.suspects) : -1]),
        boddy_rooms=paths[-1],
        time=draw(st.integers(0, world.num_times - 1)),
    )


@pytest.mark.parametrize("name", WORLDS)
def test_a_case_fits_exactly_when_it_keeps_the_rules(name: str) -> None:
    world = WORLDS[name]

    @settings(max_examples=60, deadline=None)
    @given(almost_lawful(name))
    def check(case: Case) -> None:
        puzzle = puzzle_of(world, facts(case, world), [Question("murderer")])
        fitting = (case,) if lawful(case, world) else ()
        assert cpsat.prove(puzzle, "history").cases == fitting

    check()


@pytest.mark.parametrize("name", [name for name, world in WORLDS.items() if world.times])
def test_the_rules_alone_allow_the_moves_that_counting_finds(name: str) -> None:
    world, cases = WORLDS[name], lawful_cases(name)
    puzzle = puzzle_of(world, [], [Question("murderer")])
    rooms = range(len(world.rooms))
    for moved in (Moved(*each, 1) for each in product(people_and_things(world), rooms, rooms)):
        possible = any(holds(moved, case, world) for case in cases)
        assert cpsat.entails(puzzle, moved) == ("open" if possible else "false"), moved


def test_each_side_of_iff_has_a_suspect_of_its_own() -> None:
    greedy = Ref("motive", 0)
    both: list[Statement] = [At(greedy, 0, 0), At(greedy, 1, 0)]
    puzzle = puzzle_of(SHARED_MOTIVES, both, [Question("murderer")])
    assert cpsat.entails(puzzle, Iff(At(greedy, 0, 0), At(greedy, 1, 0))) == "true"
    assert cpsat.entails(puzzle, Either(At(greedy, 0, 0), At(greedy, 1, 0))) == "false"
    assert cpsat.entails(puzzle, Either(At(greedy, 0, 0), At(greedy, 1, 0)), True) == "true"


def test_a_move_needs_one_suspect_who_was_in_both_rooms() -> None:
    greedy = Ref("motive", 0)
    scattered: list[Statement] = [At(greedy, 0, 0), At(greedy, 1, 1)]
    puzzle = puzzle_of(SHARED_MOTIVES, scattered, [Question("murderer")])
    assert cpsat.entails(puzzle, Moved(greedy, 0, 1, 1)) == "open"


def test_clues_that_contradict_each_other_fit_no_case() -> None:
    clues: list[Statement] = [At(BODDY, 0, 0), At(BODDY, 1, 0)]
    puzzle = puzzle_of(CORNER, clues, [Question("murderer")])
    assert cpsat.prove(puzzle).verdict == "none"
    assert cpsat.prove(puzzle, "history").cases == ()
    with pytest.raises(PuzzleError, match="no case fits the clues"):
        cpsat.entails(puzzle, MurderedIn(0))


def test_the_same_puzzle_gives_the_same_cases() -> None:
    puzzle = puzzle_of(SHARED_MOTIVES, [At(MURDERER, 0, 0)], [Question("murderer")])
    first, again = (cpsat.prove(puzzle) for _ in range(2))
    assert first == again
    assert first.verdict == "several"


@pytest.mark.slow
def test_shipped_puzzles_have_one_history() -> None:
    # With presolve, ortools 9.15 ends the process over one of these ("Infeasible solution!").
    for puzzle in load_set("val").puzzles[2::4]:
        proof = cpsat.prove(puzzle, "history")
        assert proof.verdict == "unique", puzzle.id
        assert puzzle.answers(proof.cases[0]) == dict(puzzle.solution)


@pytest.mark.slow
@pytest.mark.skipif(
    "TCLUE_PUBLISHED" not in os.environ,
    reason="TCLUE_PUBLISHED is not set: it names the folder of the published puzzles",
)
def test_published_puzzles_are_as_stated_and_seven_lean_on_the_exclusive_or() -> None:
    puzzles = read_puzzles(Path(os.environ["TCLUE_PUBLISHED"]) / "published-val.json")
    assert len(puzzles) == 64
    loose = 0
    for puzzle in puzzles:
        proof = cpsat.prove(puzzle)
        assert proof.verdict == "unique", puzzle.id
        assert puzzle.answers(proof.cases[0]) == dict(puzzle.solution)
        assert all(holds(clue, proof.cases[0], puzzle.world) for clue in puzzle.clues)
        loose += cpsat.prove(puzzle, inclusive_or=True).verdict == "several"
    assert loose == 7


def run_python(code: str) -> str:
    """What a fresh Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=True
    )
    return done.stdout.strip()


@pytest.mark.server
def test_importing_the_module_imports_no_ortools() -> None:
    assert run_python("import sys, tclue.puzzle.cpsat; print('ortools' in sys.modules)") == "False"


@pytest.mark.slow
@pytest.mark.server
def test_ctrl_c_stops_a_long_search_and_the_next() -> None:
    # Random three-literal clauses near the threshold: minutes of search, were it not stopped.
    code = """
import os, random, signal, threading
from ortools.sat.python import cp_model
from tclue.puzzle.cpsat import _search
# Whoever runs the tests in the background has them ignore Ctrl-C, which is handed on.
signal.signal(signal.SIGINT, signal.default_int_handler)
random.seed(1)
model = cp_model.CpModel()
bools = [model.new_bool_var("") for _ in range(400)]
for _ in range(1690):
    model.add_bool_or(*(random.choice([x, ~x]) for x in random.sample(bools, 3)))
for _ in range(2):
    threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()
    try:
        _search(model, cp_model.CpSolver())
    except KeyboardInterrupt:
        print("stopped")
"""
    assert run_python(code).split() == ["stopped", "stopped"]


def test_a_search_that_ends_without_a_verdict_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from ortools.sat.python import cp_model

    monkeypatch.setattr(cpsat, "_search", lambda cp, solver: cp_model.UNKNOWN)
    puzzle = puzzle_of(ONE_MOMENT, [], [Question("murderer")])
    with pytest.raises(RuntimeError, match="UNKNOWN"):
        cpsat.prove(puzzle)
