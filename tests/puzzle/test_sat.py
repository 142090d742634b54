"""The proof by clauses against every case of tiny worlds, written out and filtered one by one."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_worlds import WORLDS, cases, puzzle_of
from worlds import anybody, forms_of, people, published, statements, things

from tclue.puzzle import sat
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.sat import Clauses
from tclue.puzzle.statements import (
    BODDY,
    MURDERER,
    At,
    Beside,
    Carried,
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
)
from tclue.puzzle.world import PuzzleError, World

BY_NAME = pytest.mark.parametrize("name", WORLDS)


@BY_NAME
def test_the_rules_allow_just_these_cases(name: str) -> None:
    """Every case fits, and when all are forbidden, no other is left."""
    assert len(cases(name)) > 20
    with Clauses(WORLDS[name]) as clauses:
        for case in cases(name):
            facts = clauses.facts(case)
            assert clauses.solver.solve(facts)
            clauses.add(*(-fact for fact in facts))
        assert clauses.case() is None


# Statements, one at a time


def every_statement(world: World) -> list[Statement]:
    """Every statement of every atomic form, and a few hundred pairs."""
    rooms, times = range(len(world.rooms)), range(world.num_times)
    who = anybody(world)
    positions = [At(*each) for each in product(who, rooms, times)]
    result: list[Statement] = [
        *positions,
        *(Same(*each) for each in product(who, who, times)),
        *(Together(*each) for each in product(who, who, rooms)),
        *(Beside(*each) for each in product(who, world.beside, who, times)),
        *(Motivated(*each) for each in product(people(world), range(len(world.motives)))),
        *map(MurderedBy, people(world)),
        *map(KilledWith, range(len(world.weapons))),
        *map(MurderedIn, rooms),
        *map(MurderedAt, times if world.times else ()),
    ]
    if world.times:
        result += [Moved(*each, 1) for each in product(who, rooms, rooms)]
        result += [
            Carried(*each, 1) for each in product(people(world), things(world), rooms, rooms)
        ]
    pairs = list(product(positions, positions))
    chosen = random.Random(0).sample(pairs, min(200, len(pairs)))
    return [*result, *(Either(*pair) for pair in chosen), *(Iff(*pair) for pair in chosen)]


@BY_NAME
@pytest.mark.parametrize("inclusive_or", [False, True])
def test_a_literal_is_true_exactly_when_its_statement_is(name: str, inclusive_or: bool) -> None:
    world = WORLDS[name]
    every = every_statement(world)
    assert {type(statement) for statement in every} == set(forms_of(world))
    some = random.Random(0).sample(cases(name), 15)
    with Clauses(world, inclusive_or) as clauses:
        literals = [clauses.literal(statement) for statement in every]
        for case in some:
            # With every fact given, one solution is left: the model tells each literal's value.
            assert clauses.solver.solve(clauses.facts(case))
            true = set(clauses.solver.get_model())
            for statement, literal in zip(every, literals, strict=True):
                truth = holds(statement, case, world, inclusive_or)
                assert (literal in true) == truth, (statement, case)
                assert (-literal in true) != truth


def test_these_worlds_can_say_every_form() -> None:
    assert {form for world in WORLDS.values() for form in forms_of(world)} == set(
        Statement.__subclasses__()
    )


# Whole puzzles


@st.composite
def puzzles(draw: st.DrawFn) -> tuple[str, Puzzle, Statement]:
    """A puzzle of a tiny world, and a statement to ask of it.

    Its clues are true of some case more often than not: else most puzzles have no solution.
    """
    name = draw(st.sampled_from(list(WORLDS)))
    world = WORLDS[name]
    clues = draw(st.lists(statements(world), min_size=1, max_size=7))
    if draw(st.booleans()):
        case = draw(st.sampled_from(cases(name)))
        clues = [clue for clue in clues if holds(clue, case, world)] or [
            At(BODDY, case.boddy_rooms[0], 0)
        ]
    return name, puzzle_of(name, tuple(clues)), draw(statements(world))


@pytest.mark.slow
@settings(deadline=None, max_examples=120)
@given(puzzles(), st.booleans())
def test_proofs_and_entailments_are_those_of_the_cases_left(
    drawn: tuple[str, Puzzle, Statement], inclusive_or: bool
) -> None:
    name, puzzle, asked = drawn
    world = puzzle.world
    fitting = [
        case
        for case in cases(name)
        if all(holds(clue, case, world, inclusive_or) for clue in puzzle.clues)
    ]
    answers = {tuple(puzzle.answers(case).items()) for case in fitting}
    history = sat.prove(puzzle, "history", inclusive_or)
    assert history.verdict == ("none", "unique", "several")[min(2, len(fitting))]
    assert set(history.cases) <= set(fitting)
    assert len(set(history.cases)) == len(history.cases)
    answers_proof = sat.prove(puzzle, "answers", inclusive_or)
    assert answers_proof.verdict == ("none", "unique", "several")[min(2, len(answers))]
    assert set(answers_proof.cases) <= set(fitting)
    assert len({tuple(puzzle.answers(case).items()) for case in answers_proof.cases}) == len(
        answers_proof.cases
    )
    truths = {holds(asked, case, world, inclusive_or) for case in fitting}
    if not truths:
        with pytest.raises(PuzzleError, match="contradict each other"):
            sat.entails(puzzle, asked, inclusive_or)
    else:
        expected = "open" if len(truths) == 2 else "true" if truths == {True} else "false"
        assert sat.entails(puzzle, asked, inclusive_or) == expected


# What is easily read wrong

GREEDY, FEARFUL = Ref("motive", 0), Ref("motive", 1)
ANN, BO, CY = (Ref("suspect", s) for s in range(3))
ANN_AND_BO_ARE_GREEDY = Motivated(CY, 1)


def follows(*clues: Statement, statement: Statement, inclusive_or: bool = False) -> str:
    return sat.entails(puzzle_of("shared motives", clues), statement, inclusive_or)


def test_one_and_the_same_suspect_makes_a_move() -> None:
    clues = (ANN_AND_BO_ARE_GREEDY, At(ANN, 0, 0), At(ANN, 0, 1), At(BO, 1, 0), At(BO, 1, 1))
    # Some greedy one was in the Hall, and some greedy one in the Study after; none moved.
    assert follows(*clues, statement=At(GREEDY, 0, 0)) == "true"
    assert follows(*clues, statement=At(GREEDY, 1, 1)) == "true"
    assert follows(*clues, statement=Moved(GREEDY, 0, 1, 1)) == "false"


def test_each_side_of_a_pair_has_a_suspect_of_its_own() -> None:
    clues = (ANN_AND_BO_ARE_GREEDY, At(ANN, 0, 0), At(BO, 1, 0))
    hall, study = At(GREEDY, 0, 0), At(GREEDY, 1, 0)
    assert follows(*clues, statement=Iff(hall, study)) == "true"
    assert follows(*clues, statement=Either(hall, study)) == "false"
    assert follows(*clues, statement=Either(hall, study), inclusive_or=True) == "true"


def test_a_shared_motive_does_not_say_who() -> None:
    clues = (ANN_AND_BO_ARE_GREEDY, MurderedBy(GREEDY))
    assert follows(*clues, statement=MurderedBy(ANN)) == "open"
    assert follows(*clues, statement=MurderedBy(CY)) == "false"
    assert follows(*clues, statement=MurderedBy(MURDERER)) == "true"
    assert follows(*clues, statement=Motivated(MURDERER, 0)) == "true"
    assert follows(*clues, statement=Motivated(FEARFUL, 0)) == "false"
    assert follows(*clues, statement=Motivated(FEARFUL, 1)) == "true"


# The published puzzles


def test_the_published_puzzles_have_the_stated_answers_and_no_others() -> None:
    for puzzle in published():
        proof = sat.prove(puzzle)
        assert proof.verdict == "unique"
        assert puzzle.answers(proof.cases[0]) == dict(puzzle.solution)


def test_seven_published_puzzles_are_not_unique_under_the_inclusive_or() -> None:
    verdicts = [sat.prove(puzzle, inclusive_or=True).verdict for puzzle in published()]
    assert (verdicts.count("unique"), verdicts.count("several")) == (57, 7)
