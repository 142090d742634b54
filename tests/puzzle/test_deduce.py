"""Measured difficulty: no step strikes out the truth, and the steps are those one would count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_worlds import WORLDS, cases
from tiny_worlds import puzzle_of as tiny_puzzle
from worlds import published, samples, statements

from tclue.puzzle import prompt, sat
from tclue.puzzle.deduce import Knowledge, mask, measure
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
    holds,
    named_things,
)
from tclue.puzzle.wording import Question
from tclue.puzzle.world import World


def struck_out(known: Knowledge, case: Case) -> list[str]:
    """What is true in the case and no longer possible in what is known."""
    truth: dict[Any, int] = {
        name: getattr(case, name) for name in ("murderer", "weapon", "time", "room")
    }
    truth |= {Ref("suspect", s): motive for s, motive in enumerate(case.motives)}
    truth |= {
        (who, time): room
        for who in named_things(known.world)
        for time, room in enumerate(case.rooms_of(who))
    }
    return [str(key) for key, value in truth.items() if not known.possible[key] >> value & 1]


def deduce(puzzle: Puzzle, case: Case) -> Knowledge:
    """Take clues and rules until nothing is struck out, looking at the truth after each."""
    known = Knowledge(puzzle.world)
    taught = 1
    while taught:
        taught = 0
        for clue in puzzle.clues:
            taught += known.take(clue)
            assert struck_out(known, case) == [], f"{puzzle.id}: {clue}"
        taught += known.apply_rules()
        assert struck_out(known, case) == [], f"{puzzle.id}: rules"
    return known


@pytest.mark.slow
def test_no_step_strikes_out_the_truth() -> None:
    for sample in samples():
        deduce(sample.made.puzzle, sample.made.case)


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_no_step_strikes_out_the_truth_of_any_case(data: st.DataObject) -> None:
    """Tiny worlds, shared motives too, and statements that generation would not choose."""
    name = data.draw(st.sampled_from(list(WORLDS)))
    world = WORLDS[name]
    case = data.draw(st.sampled_from(cases(name)))
    drawn = data.draw(st.lists(statements(world), min_size=1, max_size=10))
    clues = tuple(clue for clue in drawn if holds(clue, case, world)) or (MurderedIn(case.room),)
    deduce(tiny_puzzle(name, clues), case)


@pytest.mark.slow
def test_no_step_strikes_out_the_truth_of_a_published_puzzle() -> None:
    for puzzle in published():
        # Where only the answers are unique, every history that fits must be left possible.
        for case in sat.prove(puzzle, "history").cases:
            deduce(puzzle, case)


@pytest.mark.slow
def test_what_is_measured_is_what_was_deduced() -> None:
    solved = 0
    for sample in samples():
        puzzle = sample.made.puzzle
        difficulty, known = measure(puzzle), deduce(puzzle, sample.made.case)
        assert difficulty.solved == all(map(known.answers, puzzle.questions.values()))
        assert 0 <= difficulty.rounds <= difficulty.steps
        assert difficulty.num_clues == len(puzzle.clues)
        assert sum(difficulty.shares.values()) == pytest.approx(1)
        assert list(difficulty.shares.values()) == sorted(difficulty.shares.values(), reverse=True)
        solved += difficulty.solved
    # The measure tells puzzles apart.
    assert 0.1 * len(samples()) < solved < 0.9 * len(samples())


# Hand-made examples

ANN, BO, CY = (Ref("suspect", s) for s in range(3))
ROPE, KNIFE = Ref("weapon", 0), Ref("weapon", 1)
GREEDY, FEARFUL = Ref("motive", 0), Ref("motive", 1)
MOMENT = World(("Ann", "Bo"), ("Rope", "Knife"), ("Hall", "Study"), ((0, 1),))
MAIN = {"A": Question("murderer"), "B": Question("weapon"), "C": Question("room")}


def puzzle_of(world: World, *clues: Statement) -> Puzzle:
    return Puzzle(prompt.write(world, clues, MAIN))


def test_one_round() -> None:
    # Each clue strikes something out; then the rules of the murder leave Bo with the Knife.
    difficulty = measure(puzzle_of(MOMENT, MurderedIn(0), At(ANN, 1, 0), At(ROPE, 1, 0)))
    assert (difficulty.rounds, difficulty.steps, difficulty.solved) == (1, 4, True)


def test_two_rounds() -> None:
    # The first clue says something only once the second is known.
    hall = Either(At(ANN, 0, 0), At(BO, 0, 0))
    difficulty = measure(puzzle_of(MOMENT, hall, At(ANN, 1, 0)))
    assert (difficulty.rounds, difficulty.steps, difficulty.solved) == (2, 2, False)


def test_a_case_distinction_is_more_than_single_steps() -> None:
    # Mr. Boddy is where Ann is not, and the Rope with neither of two answers known; whichever way
    # it is, Bo did it: but that takes a supposition.
    clues = (
        Iff(At(ANN, 0, 0), At(BODDY, 1, 0)),
        Same(ROPE, BODDY, 0),
        Same(KNIFE, ANN, 0),
    )
    puzzle = puzzle_of(MOMENT, *clues)
    assert sat.entails(puzzle, MurderedBy(BO)) == "true"
    difficulty = measure(puzzle)
    assert (difficulty.rounds, difficulty.steps, difficulty.solved) == (0, 0, False)


NIGHT = World(
    suspects=("Ann", "Bo", "Cy"),
    weapons=("Rope", "Knife"),
    rooms=("Hall", "Study", "Attic"),
    plan=((0, 1, 2),),
    times=("10:00 PM", "11:00 PM", "12:00 AM"),
    motives=("Greed", "Fear", "Spite"),
    motive_counts=(1, 1, 1),
)


def known_after(*clues: Statement, rounds: int = 1) -> Knowledge:
    known = Knowledge(NIGHT)
    for _ in range(rounds):
        for clue in clues:
            known.take(clue)
        known.apply_rules()
    return known


def rooms_of(known: Knowledge, who: Ref) -> list[int]:
    return [known.possible[who, time] for time in range(known.world.num_times)]


def test_steps_go_to_neighbours_only() -> None:
    known = known_after(At(ANN, 0, 0))
    assert rooms_of(known, ANN) == [mask([0]), mask([0, 1]), mask([0, 1, 2])]
    known = known_after(At(ANN, 2, 2))
    assert rooms_of(known, ANN) == [mask([0, 1, 2]), mask([1, 2]), mask([2])]


def test_a_weapon_stays_where_nobody_can_have_taken_it() -> None:
    still = [At(who, 2, time) for who in (ANN, BO, CY) for time in range(3)]
    known = known_after(*still, At(ROPE, 0, 1))
    assert rooms_of(known, ROPE) == [mask([0])] * 3
    # Ann is with it, and goes nowhere.
    known = known_after(*still[3:], At(ANN, 0, 0), At(ANN, 0, 1), At(ROPE, 0, 0))
    assert known.possible[ROPE, 1] == mask([0])


def test_motives_are_counted() -> None:
    known = known_after(Motivated(ANN, 0), Motivated(BO, 1))
    assert [known.possible[s] for s in (ANN, BO, CY)] == [mask([0]), mask([1]), mask([2])]
    assert known.answers(Question("holder of", Ref("motive", 2)))


@pytest.mark.parametrize(
    ("clues", "question"),
    [
        # With the time, the room and one suspect known to be there, he did it.
        ([MurderedAt(1), MurderedIn(0), At(CY, 0, 1)], Question("murderer")),
        ([MurderedBy(CY), MurderedAt(1), At(CY, 0, 1)], Question("room")),
        ([KilledWith(1), MurderedAt(1), MurderedIn(2)], Question("position", KNIFE, 1)),
        # From the murder on Mr. Boddy stays.
        ([MurderedAt(0), MurderedIn(2)], Question("position", BODDY, 2)),
        # So he was not murdered where he left.
        ([At(BODDY, room, time) for room, time in ((0, 0), (1, 1), (2, 2))], Question("time")),
        ([MurderedBy(GREEDY), Motivated(BO, 0)], Question("murderer")),
        # Who alone may have a motive has it.
        ([At(ANN, 0, 0), At(BO, 0, 0), At(GREEDY, 2, 0)], Question("motive of", CY)),
        ([Motivated(BO, 0), At(GREEDY, 1, 1)], Question("position", BO, 1)),
        ([MurderedBy(ANN), At(MURDERER, 1, 1)], Question("position", ANN, 1)),
        ([KilledWith(0), At(MURDER_WEAPON, 1, 1)], Question("position", ROPE, 1)),
        ([At(ANN, 1, 0), Same(ANN, BO, 0)], Question("position", BO, 0)),
        ([At(ANN, 1, 0), Beside(BO, "east", ANN, 0)], Question("position", BO, 0)),
        # Only the middle room has a neighbour on either side.
        ([Beside(ANN, "west", BO, 0), Beside(CY, "east", BO, 0)], Question("position", BO, 0)),
        ([Moved(ANN, 0, 1, 2)], Question("position", ANN, 1)),
        ([Carried(ANN, ROPE, 0, 1, 2)], Question("position", ROPE, 2)),
        ([At(ANN, 0, 0), Together(ANN, BO, 2)], Question("position", BO, 2)),
        ([At(ANN, 0, 0), Iff(At(ANN, 0, 0), At(BO, 2, 1))], Question("position", BO, 1)),
        ([At(ANN, 0, 0), Either(At(BO, 2, 1), At(ANN, 1, 0))], Question("position", BO, 1)),
    ],
)
def test_one_thing_follows(clues: list[Statement], question: Question) -> None:
    assert not known_after().answers(question)
    known = known_after(*clues, rounds=4)
    assert known.answers(question)


def test_a_clue_that_says_nothing_new_is_no_step() -> None:
    known = Knowledge(NIGHT)
    assert known.take(At(ANN, 0, 0))
    assert not known.take(At(ANN, 0, 0))
    assert not known.take(Either(At(ANN, 0, 0), At(ANN, 1, 0)))


def test_a_shared_motive_is_struck_out_of_nobody_for_where_they_were() -> None:
    """Somebody greedy was in the Hall; somebody else may be greedy too, wherever they were."""
    known = Knowledge(WORLDS["shared motives"])
    known.take(At(BO, 1, 0))
    known.take(At(GREEDY, 0, 0))
    assert [known.possible[s] for s in (ANN, BO, CY)] == [mask([0, 1])] * 3
