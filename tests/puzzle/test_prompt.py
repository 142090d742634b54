"""Whole prompts: written and read back, and refused with the line and what was expected there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import (
    BARE,
    FULL,
    ONE_TIME,
    UNIQUE_MOTIVES,
    published,
    samples,
    statements,
    worlds,
)

from tclue.puzzle import prompt
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.statements import BODDY, At, Either, Iff, KilledWith, Moved, MurderedBy, Ref
from tclue.puzzle.wording import Question
from tclue.puzzle.world import PuzzleError

SCARLET, GREEN = Ref("suspect", 0), Ref("suspect", 1)
CLUES = (
    At(SCARLET, 0, 1),
    Moved(GREEN, 0, 1, 1),
    Either(At(GREEN, 0, 0), At(BODDY, 1, 1)),
    Iff(At(SCARLET, 0, 0), At(GREEN, 2, 1)),
    MurderedBy(Ref("motive", 0)),
)
QUESTIONS = {
    "A": Question("murderer"),
    "B": Question("time"),
    "C": Question("position", SCARLET, 0),
    "D": Question("motive of", GREEN),
}
TEXT = prompt.write(FULL, CLUES, QUESTIONS)


def number_of(line: str, text: str = TEXT) -> int:
    """The number of the one line that is `line`."""
    (number,) = (n for n, each in enumerate(text.split("\n"), 1) if each == line)
    return number


def spaced(text: str) -> str:
    """A blank line below each line, as far as the answer format, which ends with a blank line."""
    end = text.index("ormat:\n")
    return text[:end].replace("\n", "\n\n") + text[end:]


# Reading what was written


@pytest.mark.slow
def test_generated_prompts_of_every_size_read_back() -> None:
    for sample in samples():
        puzzle = sample.made.puzzle
        parsed = prompt.read(puzzle.prompt)
        assert parsed.edition == "house"
        assert prompt.write(parsed.world, parsed.clues, parsed.questions) == puzzle.prompt
        assert Puzzle.from_prompt(puzzle.prompt).options == puzzle.options


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_world_reads_back(data: st.DataObject) -> None:
    world = data.draw(worlds())
    clues = tuple(data.draw(st.lists(statements(world), min_size=1, max_size=6)))
    questions = {"A": Question("murderer"), "B": Question("position", BODDY)}
    parsed = prompt.read(prompt.write(world, clues, questions))
    assert (parsed.world, parsed.clues, parsed.questions) == (world, clues, questions)


def test_a_written_prompt_has_the_skeleton_of_the_design() -> None:
    labels = ["Suspects:", "Weapons:", "Rooms:", "Plan:", "Times:", "Motives:"]
    labels += ["Rules:", "Clues:", "Questions:", "Answer format:"]
    assert [line for line in TEXT.split("\n") if line in labels] == labels
    assert "Times:" not in prompt.write(ONE_TIME, (At(SCARLET, 0, 0),), {"A": Question("room")})
    assert "\n- Greed (2 suspects)\n- Fear (1 suspect)\n" in TEXT
    unique = prompt.write(UNIQUE_MOTIVES, CLUES, QUESTIONS)
    assert "\n- Greed\n- Fear\n- Spite\n" in unique
    assert "\n  N N\nW 1|2 E\nW -|3 E\n  S S\n" in TEXT


@pytest.mark.slow
def test_published_prompts_are_read_and_can_be_reworded() -> None:
    for puzzle in published():
        read = Puzzle.from_prompt(puzzle.prompt)
        assert read.edition == "published"
        house = Puzzle.from_prompt(prompt.write(read.world, read.clues, read.questions))
        assert (house.world, house.clues) == (read.world, read.clues)
        assert house.questions == read.questions
        assert set(puzzle.solution) == set(read.questions)


PUBLISHED = """A dinner. The following persons of interest have been identified as suspects:

• Miss Peach
• Mrs. White

And the following weapons were found on the premises:

• Lead Pipe
• Rope

The murder could only have occured in one of the following rooms:

1. Billiard Room
2. Lounge

The rooms are laid out as follows:

  N N\x20\x20
W 1|2 E
  S S\x20\x20

For the murder to occur, the murderer and Mr. Boddy must have been alone in a room.

The available clues are as follows:

- Miss Peach was in the Lounge or the Rope was in the Lounge
- Mr. Boddy was murdered in the Lounge

Please answer the following question(s):

A. Who murdered Mr. Boddy?

And the following bonus question(s):

B. Where was the Rope?

Fill out your final answers in the following format:

A. SUSPECT
B. ROOM

Best of luck, detective."""


def test_a_published_prompt_is_read() -> None:
    parsed = prompt.read(PUBLISHED)
    assert parsed.edition == "published"
    assert parsed.world.rooms == ("Billiard Room", "Lounge")
    assert parsed.clues[0] == Either(At(Ref("suspect", 0), 1, 0), At(Ref("weapon", 1), 1, 0))
    assert parsed.questions == {
        "A": Question("murderer"),
        "B": Question("position", Ref("weapon", 1)),
    }


WITHOUT_BONUS = PUBLISHED.replace("B. Where was the Rope?\n", "").replace("\nB. ROOM", "")


def test_an_optional_label_with_nothing_below_it_is_read_as_left_out() -> None:
    """The published test file has such a prompt: without it, the whole file cannot be used."""
    label = "And the following bonus question(s):\n"
    for text in (WITHOUT_BONUS, WITHOUT_BONUS.replace(label, label + "\n" * 3)):
        assert label in text
        parsed = prompt.read(text)
        assert parsed == prompt.read(text.replace(label, ""))
        assert parsed.questions == {"A": Question("murderer")}
    bare = prompt.write(BARE, (KilledWith(0),), {"A": Question("weapon")})
    empty = bare.replace("\nRules:", "\nTimes:\n\nMotives:\n\nRules:")
    assert empty != bare
    assert prompt.read(empty) == prompt.read(bare)
    # A clue or a question on what is left out is refused.
    lost = re.sub(r"(?<=\nMotives:)(\n.+)+", "", TEXT)
    with pytest.raises(PuzzleError, match=r"^line \d+: .*expected"):
        prompt.read(lost)


def test_an_answer_format_for_a_bonus_question_that_lacks_is_refused() -> None:
    with pytest.raises(PuzzleError, match="does not fit the questions: expected SUSPECT"):
        prompt.read(PUBLISHED.replace("B. Where was the Rope?\n", ""))


@pytest.mark.parametrize("text", [TEXT, PUBLISHED, WITHOUT_BONUS])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="line ends of Windows"),
        pytest.param(lambda text: text.replace("\n", "  \n"), id="blanks at line ends"),
        pytest.param(lambda text: text + "\n\n", id="blank lines at the end"),
        pytest.param(lambda text: spaced(text), id="every other line blank"),
        pytest.param(lambda text: text + "\n\nThink first.\n- Be brief.", id="words below"),
        pytest.param(lambda text: "- Be brief.\n\n" + text, id="words above"),
    ],
)
def test_what_says_the_same_is_read_the_same(text: str, change: Callable[[str], str]) -> None:
    assert prompt.read(change(text)) == prompt.read(text)


# Refusing what cannot be read

DAMAGE: list[tuple[str, str, str, str, str]] = [
    # (what is damaged, old text, new text, the line that is named, what the message says)
    ("a section's label lacks", "Clues:\n", "", "", 'no clues: expected a line "Clues:"'),
    ("the first label lacks", "Suspects:\n", "", "", 'expected a line "Suspects:"'),
    ("a label is misspelt", "\nPlan:", "\nPlans:", "", 'expected a line "Plan:"'),
    ("a section is empty", "- Rope\n- Knife\n", "", "Weapons:", "expected at least one line"),
    ("a label is repeated", "\nPlan:", "\nRooms:\n\nPlan:", "", "is repeated"),
    ("a label is out of place", "Clues:\n", "Clues:\nWeapons:\n", "", "out of order"),
    ("a bullet lacks", "- Knife", "Knife", "Knife", 'expected "- NAME"'),
    (
        "a name is repeated",
        "- Knife",
        "- Rope",
        "",
        '"- Rope": expected a name that is not listed above',
    ),
    ("a room is repeated", "3. Study", "3. Hall", "3. Hall", "not listed above"),
    (
        "a motive is repeated",
        "- Fear (1",
        "- Greed (1",
        "",
        "expected a name that is not listed above",
    ),
    ("a room is misnumbered", "2. Fountain", "4. Fountain", "4. Fountain", 'begin with "2."'),
    ("a room has no number", "2. Fountain", "Fountain", "Fountain", 'expected "1. NAME"'),
    ("a row is too short", "W -|3 E", "W 3 E", "W 3 E", "expected 2 cells"),
    ("a row is too long", "W -|3 E", "W -|3|- E", "W -|3|- E", "expected 2 cells"),
    ("a row is no row", "W -|3 E", "- 3", "- 3", "expected a row of the plan"),
    ("a room is twice on the plan", "W -|3 E", "W 2|3 E", "W 2|3 E", "only once"),
    ("an unknown room is on the plan", "W -|3 E", "W -|4 E", "W -|4 E", "from 1 to 3"),
    ("room 0 is on the plan", "W -|3 E", "W 0|3 E", "W 0|3 E", "from 1 to 3"),
    ("a huge number is on the plan", "W -|3 E", f"W -|{'3' * 5000} E", "", "room numbers"),
    ("a room lacks on the plan", "W -|3 E", "W -|- E", "", "ends without room 3"),
    ("motives do not add up", "(2 suspects)", "(3 suspects)", "- Greed (3 suspects)", "expected 3"),
    ("a clue has no bullet", "- Mr. Green moved", "Mr. Green moved", "", 'expected "- CLUE"'),
    ("a clue names nobody listed", "- Mr. Green moved", "- Ann moved", "", "listed names"),
    ("a clue has a bare or", ", but not both", "", "", "the house edition writes"),
    ("a clue has the wrong article", "by a suspect", "by the suspect", "", '"a suspect motivated'),
    ("a clue is moved in no time", "Fountain at 12:00 AM\n- E", "Fountain\n- E", "", "expected a"),
    ("a clue ends with a full stop", "Hall at 12:00 AM\n", "Hall at 12:00 AM.\n", "", "a clue"),
    ("a question's letter is wrong", "B. When", "C. When", "", 'begin with "B."'),
    ("a question has no letter", "B. When", "When", "", 'expected "A. QUESTION"'),
    ("a question is unknown", "Who murdered", "Who loved", "", "question forms"),
    ("an answer lacks", "\nD. MOTIVE", "", "A. SUSPECT", "SUSPECT, TIME, ROOM, MOTIVE"),
    ("an answer is too many", "D. MOTIVE", "D. MOTIVE\nE. TIME", "A. SUSPECT", "does not fit"),
    ("an answer is of another kind", "B. TIME", "B. ROOM", "A. SUSPECT", "does not fit"),
    ("an answer's letter is wrong", "B. TIME", "C. TIME", "C. TIME", 'begin with "B."'),
    ("nothing is a prompt", TEXT, "", "", 'expected a line "Suspects:"'),
]


@pytest.mark.parametrize(
    ("old", "new", "named", "expected"),
    [each[1:] for each in DAMAGE],
    ids=[each[0] for each in DAMAGE],
)
def test_damage_is_refused_by_line(old: str, new: str, named: str, expected: str) -> None:
    assert TEXT.count(old) == 1, "the damage is done in one place"
    damaged = TEXT.replace(old, new)
    with pytest.raises(PuzzleError) as refused:
        prompt.read(damaged)
    message = str(refused.value)
    assert expected in message
    assert "\n" not in message
    if named:
        assert message.startswith(f"line {number_of(named, damaged)}: ")
    elif "expected a line" not in expected:
        # Only where a whole section lacks is there no line to name.
        match = re.match(r"line (\d+): ", message)
        assert match
        # The line is the damaged one, the one below it, or the last of a damaged section.
        at = TEXT[: TEXT.index(old)].count("\n") + 1
        assert at <= int(match[1]) <= at + old.count("\n") + 2


def test_too_many_questions_are_refused() -> None:
    letters = [*prompt.LETTERS, "A"]
    more = "".join(f"\n{letter}. Who murdered Mr. Boddy?" for letter in letters)
    with pytest.raises(PuzzleError, match="no more than 26"):
        prompt.read(re.sub(r"(?<=Questions:)(\n.+)+", more, TEXT))


def test_a_published_prompt_is_refused_by_line_too() -> None:
    for old, new, named in [
        ("• Rope", "Rope", "Rope"),
        ("B. Where was the Rope?", "B. Where is the Rope?", "B. Where is the Rope?"),
        ("- Miss Peach was in the Lounge or", "- Ann was in the Lounge or", ""),
        ("W 1|2 E", "W 1 2 E", "W 1 2 E"),
        ("W 1|2 E", "W 1/2 E", "W 1/2 E"),
    ]:
        damaged = PUBLISHED.replace(old, new)
        with pytest.raises(PuzzleError, match=r"^line \d+: .*expected") as refused:
            prompt.read(damaged)
        if named:
            assert str(refused.value).startswith(f"line {number_of(named, damaged)}: ")


def operations(lines: int) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    """What is done to lines: (what, to which, and with which other)."""
    place = st.integers(0, lines - 1)
    kinds = st.sampled_from(["delete", "double", "swap", "blank", "cut", "join"])
    return st.lists(st.tuples(kinds, place, place), min_size=1, max_size=4)


def damage(text: str, done: list[tuple[str, int, int]]) -> str:
    lines = text.split("\n")
    for what, first, second in done:
        i, j = first % len(lines), second % len(lines)
        match what:
            case "delete":
                del lines[i]
            case "double":
                lines.insert(j, lines[i])
            case "swap":
                lines[i], lines[j] = lines[j], lines[i]
            case "blank":
                lines.insert(i, "")
            case "cut":
                lines[i] = lines[i][: second % (len(lines[i]) + 1)]
            case "join":
                lines[i] += lines[j]
    return "\n".join(lines)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([TEXT, PUBLISHED, WITHOUT_BONUS]), operations(TEXT.count("\n") + 1))
def test_a_damaged_prompt_raises_nothing_but_a_puzzle_error(
    text: str, done: list[tuple[str, int, int]]
) -> None:
    try:
        parsed = prompt.read(damage(text, done))
    except PuzzleError:
        return
    # What is read is whole: the house writer can say all of it, and it reads back.
    again = prompt.read(prompt.write(parsed.world, parsed.clues, parsed.questions))
    assert (again.world, again.clues) == (parsed.world, parsed.clues)
    assert again.questions == parsed.questions


@settings(deadline=None, max_examples=100)
@given(st.integers(0, TEXT.count("\n")))
def test_no_clue_or_question_is_lost_in_silence(place: int) -> None:
    """A line that is not understood is refused, wherever it stands below the first label."""
    lines = TEXT.split("\n")
    lines.insert(place, "? Colonel Mustard was never there")
    rules = range(lines.index("Rules:") + 1, lines.index("Clues:") + 1)
    if place <= lines.index("Suspects:") or place in rules:
        assert prompt.read("\n".join(lines)) == prompt.read(TEXT)
    else:
        with pytest.raises(PuzzleError, match=rf"^line ({place + 1}|\d+): "):
            prompt.read("\n".join(lines))
