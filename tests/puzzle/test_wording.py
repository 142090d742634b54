"""Text to statement and back, for every form, every kind of reference and both editions."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import (
    BARE,
    FULL,
    NO_MOTIVE,
    ONE_TIME,
    UNIQUE_MOTIVES,
    anybody,
    forms_of,
    people,
    published,
    statements,
    things,
    worlds,
)

from tclue.puzzle.statements import (
    BODDY,
    MURDER_WEAPON,
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
    refs,
)
from tclue.puzzle.wording import MAIN_QUESTIONS, Edition, Question, Topic, wording
from tclue.puzzle.world import PuzzleError, World

EDITIONS: tuple[Edition, ...] = get_args(Edition)
SCARLET, GREEN, WINTER = (Ref("suspect", s) for s in range(3))
ROPE, KNIFE = (Ref("weapon", w) for w in range(2))
GREEDY, FEARFUL = (Ref("motive", m) for m in range(2))

# What each form looks like in both editions, in the world FULL.
SENTENCES: list[tuple[Statement, str]] = [
    (At(SCARLET, 0, 1), "Miss Scarlet was in the Hall at 12:00 AM"),
    (At(WINTER, 1, 0), "de Winter was at the Fountain at 11:00 PM"),
    (At(GREEDY, 0, 0), "A suspect motivated by Greed was in the Hall at 11:00 PM"),
    (At(FEARFUL, 0, 0), "The suspect motivated by Fear was in the Hall at 11:00 PM"),
    (At(MURDER_WEAPON, 2, 0), "The murder weapon was in the Study at 11:00 PM"),
    (Same(ROPE, BODDY, 0), "The Rope was in the same room as Mr. Boddy at 11:00 PM"),
    (
        Together(MURDERER, KNIFE, 1),
        "The murderer and the Knife were at the Fountain together at least once",
    ),
    (
        Beside(BODDY, "west", GREEN, 1),
        "Mr. Boddy was in the room just west of Mr. Green at 12:00 AM",
    ),
    (Moved(SCARLET, 0, 1, 1), "Miss Scarlet moved from the Hall to the Fountain at 12:00 AM"),
    (
        Carried(MURDERER, MURDER_WEAPON, 2, 1, 1),
        "The murderer moved the murder weapon from the Study to the Fountain at 12:00 AM",
    ),
    (Motivated(GREEN, 1), "Mr. Green is motivated by Fear"),
    (MurderedBy(WINTER), "Mr. Boddy was murdered by de Winter"),
    (MurderedBy(GREEDY), "Mr. Boddy was murdered by a suspect motivated by Greed"),
    (MurderedBy(FEARFUL), "Mr. Boddy was murdered by the suspect motivated by Fear"),
    (KilledWith(1), "Mr. Boddy was killed with the Knife"),
    (MurderedIn(0), "Mr. Boddy was murdered in the Hall"),
    (MurderedAt(0), "Mr. Boddy was murdered at 11:00 PM"),
    (
        Iff(At(GREEN, 0, 0), At(BODDY, 2, 1)),
        "Mr. Green was in the Hall at 11:00 PM if and only if Mr. Boddy was in the Study at "
        "12:00 AM",
    ),
]
PAIR = Either(At(GREEN, 0, 0), At(GREEDY, 1, 1))
PAIR_WORDS: dict[Edition, str] = {
    "published": "Mr. Green was in the Hall at 11:00 PM or a suspect motivated by Greed was at "
    "the Fountain at 12:00 AM",
    "house": "Either Mr. Green was in the Hall at 11:00 PM or a suspect motivated by Greed was at "
    "the Fountain at 12:00 AM, but not both",
}


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize(("statement", "sentence"), SENTENCES)
def test_each_form_has_the_words_of_the_design(
    statement: Statement, sentence: str, edition: Edition
) -> None:
    words = wording(FULL, edition)
    assert words.sentence(statement) == sentence
    assert words.read(sentence) == statement


def test_the_table_holds_every_form() -> None:
    assert {type(statement) for statement, _ in SENTENCES} | {Either} == set(
        Statement.__subclasses__()
    )


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_editions_differ_in_the_word_or(edition: Edition) -> None:
    words = wording(FULL, edition)
    assert words.sentence(PAIR) == PAIR_WORDS[edition]
    assert words.read(PAIR_WORDS[edition]) == PAIR


def every_statement(world: World) -> list[Statement]:
    """Every form with every kind of reference in every place, in one world."""
    last = world.num_times - 1
    result: list[Statement] = [KilledWith(0), MurderedIn(1), *map(MurderedBy, people(world))]
    for who in anybody(world):
        result.append(At(who, 1, last))
        for other in anybody(world):
            result += [Same(who, other, last), Together(who, other, 1)]
            result += [Beside(who, side, other, 0) for side in world.beside]
            result += [make(At(who, 0, 0), At(other, 1, last)) for make in (Either, Iff)]
        if world.times:
            result.append(Moved(who, 0, 1, last))
            result += [Carried(who, thing, 2, 0, last) for thing in things(world)]
    if world.times:
        result.append(MurderedAt(last))
    for motive in range(len(world.motives)):
        result += [Motivated(who, motive) for who in people(world)]
    return result


@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("world", [FULL, UNIQUE_MOTIVES, ONE_TIME, NO_MOTIVE, BARE])
def test_every_form_with_every_reference_reads_back(world: World, edition: Edition) -> None:
    words = wording(world, edition)
    every = every_statement(world)
    assert {type(statement) for statement in every} == set(forms_of(world))
    assert {ref for each in every for ref in refs(each)} == set(anybody(world))
    sentences = [words.sentence(statement) for statement in every]
    assert len(set(sentences)) == len(set(every)), "two statements have one sentence"
    assert [words.read(sentence) for sentence in sentences] == every


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(st.data())
def test_any_statement_of_any_world_reads_back(data: st.DataObject) -> None:
    world = data.draw(worlds())
    edition = data.draw(st.sampled_from(EDITIONS))
    statement = data.draw(statements(world))
    words = wording(world, edition)
    sentence = words.sentence(statement)
    assert words.read(sentence) == statement
    assert words.read(f"  {sentence} ") == statement


def questions(world: World) -> list[Question]:
    """Every question that can be asked of a world."""
    untold: set[Topic] = set()
    untold |= set() if world.times else {"time"}
    untold |= set() if world.motives else {"motive"}
    single = [Ref("motive", m) for m, count in enumerate(world.motive_counts) if count == 1]
    about = [who for who in anybody(world) if who.kind != "motive"] + single
    suspects = [Ref("suspect", s) for s in range(len(world.suspects))]
    return [
        *(Question(topic) for topic in MAIN_QUESTIONS.values() if topic not in untold),
        *(Question("position", who, t) for who in about for t in range(world.num_times)),
        *(Question("motive of", who) for who in suspects if world.motives),
        *(Question("holder of", who) for who in single),
    ]


@settings(deadline=None, max_examples=40)
@given(worlds())
def test_every_question_of_any_world_reads_back(world: World) -> None:
    words = wording(world, "house")
    for question in questions(world):
        assert words.read_question(words.question(question)) == question
        assert question.options(world)


REFUSALS: list[tuple[World, Edition, str, str]] = [
    # A bare "or" has two readings.
    (FULL, "house", PAIR_WORDS["published"], 'the house edition writes "either A or B, but not'),
    (FULL, "published", "A suspect motivated by Fear was in the Hall at 11:00 PM", "the suspect"),
    (FULL, "house", "The suspect motivated by Greed was in the Hall at 11:00 PM", "a suspect"),
    (FULL, "house", "Mrs. White was in the Hall at 11:00 PM", "made of the listed names"),
    (FULL, "house", "Mr. Green was in the Attic at 11:00 PM", "made of the listed names"),
    (FULL, "house", "Mr. Green was in the Hall at 10:00 PM", "made of the listed names"),
    (FULL, "house", "The Axe was in the Hall at 11:00 PM", "made of the listed names"),
    (FULL, "house", "Mr. Green is motivated by Spite", "made of the listed names"),
    (FULL, "house", "Mr. Green moved from the Hall to the Study at 11:00 PM", "before 11:00 PM"),
    (FULL, "house", "Mr. Green moved the Rope from the Hall to the Study at 11:00 PM", "before"),
    (FULL, "house", "Mr. Green moved Mr. Boddy from the Hall to the Study at 12:00 AM", "weapon"),
    (FULL, "house", "The Rope is motivated by Fear", "expected a suspect"),
    (FULL, "house", "Mr. Boddy was murdered by the Rope", "expected a suspect"),
    (FULL, "house", "Mr. Green was in the Hall", "expected a clue"),
    (FULL, "house", "mr. Green was in the Hall at 11:00 PM", "expected a clue"),
    (FULL, "house", "Mr. Green was in the Hall at 11:00 PM.", "expected a clue"),
    (FULL, "house", "Mr. Green was not in the Hall at 11:00 PM", "expected a clue"),
    (FULL, "house", "Mr. Green was alone in the Hall at 11:00 PM", "expected a clue"),
    (FULL, "house", "Mr. Green was in the room just up of the Rope at 11:00 PM", "expected a clue"),
    # Only positions are joined.
    (
        FULL,
        "house",
        "Mr. Green is motivated by Fear if and only if Mr. Green is motivated by Fear",
        "expected a clue",
    ),
    (ONE_TIME, "house", "Mr. Green was in the Hall at 11:00 PM", "expected a clue"),
    (ONE_TIME, "house", "Mr. Green moved from the Hall to the Study", "expected a clue"),
    (NO_MOTIVE, "house", "Mr. Green is motivated by Fear", "expected a clue"),
    (FULL, "house", "", "expected a clue"),
]


@pytest.mark.parametrize(("world", "edition", "text", "expected"), REFUSALS)
def test_a_clue_with_no_one_meaning_is_refused(
    world: World, edition: Edition, text: str, expected: str
) -> None:
    with pytest.raises(PuzzleError) as refused:
        wording(world, edition).read(text)
    assert expected in str(refused.value)
    assert text in str(refused.value) or "motivated by" in text
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("world", "text", "expected"),
    [
        (
            FULL,
            "Where was a suspect motivated by Greed at 11:00 PM?",
            "that exactly one suspect has",
        ),
        (FULL, "Who is motivated by Greed?", "that exactly one suspect has"),
        (FULL, "Who is motivated by Spite?", "one of the question forms"),
        (FULL, "What motivates Mrs. White?", "one of the question forms"),
        (FULL, "Where was Mrs. White at 11:00 PM?", "Where was WHO at TIME?"),
        (FULL, "Where was Mr. Green?", "Where was WHO at TIME?"),
        (FULL, "Who killed Mr. Boddy?", "one of the question forms"),
        (ONE_TIME, "When did the murder occur?", "expected a list of its possible answers"),
        (NO_MOTIVE, "Why did the murderer do it?", "expected a list of its possible answers"),
    ],
)
def test_a_question_with_no_one_answer_is_refused(world: World, text: str, expected: str) -> None:
    with pytest.raises(PuzzleError, match=r".+") as refused:
        wording(world, "house").read_question(text)
    assert text in str(refused.value)
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"suspects": ("Mr. Boddy", "Ann", "Bo")},
        {"suspects": ("The murderer", "Ann", "Bo")},
        {"suspects": ("The Rope", "Ann", "Bo")},
        {"suspects": ("De Winter", "de Winter", "Bo")},
        {"weapons": ("murder weapon", "Rope")},
        {"weapons": ("Rope", "Rope")},
    ],
)
def test_names_that_could_mean_two_are_refused(changes: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(PuzzleError, match="expected distinct names"):
        replace(FULL, **changes)  # type: ignore[arg-type]


def test_published_sentences_come_back_as_they_were() -> None:
    for puzzle in published():
        words = wording(puzzle.world, "published")
        clues = [line[2:] for line in puzzle.prompt.split("\n") if line.startswith("- ")]
        assert [words.sentence(clue) for clue in puzzle.clues] == clues
        for letter, question in puzzle.questions.items():
            assert f"\n{letter}. {words.question(question)}\n" in puzzle.prompt


def test_published_clues_reworded_mean_the_same() -> None:
    for puzzle in published():
        words = wording(puzzle.world, "house")
        for clue in puzzle.clues:
            assert words.read(words.sentence(clue)) == clue
