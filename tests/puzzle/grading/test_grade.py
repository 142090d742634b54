"""The graders, on surface forms, refusals, blocks, whole responses, and hostile input."""

from __future__ import annotations

import os
import re
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from grading import GOLD, PUZZLE, SOLUTION
from grading_forms import HOSTILE, KINDS_OF_ANSWER, REFUSED, SURFACES
from places import DATA
from worlds import MOTIVES, ROOMS, SUSPECTS, TIMES, WEAPONS

from tclue.errors import UserError
from tclue.puzzle import names
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.generate import generate
from tclue.puzzle.grading.answer_text import plain_text
from tclue.puzzle.grading.answer_words import Commit, answer_reader
from tclue.puzzle.grading.grade import GRADERS, Grade, Grader, grader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import MAIN_TOPICS, Topic
from tclue.puzzle.world import PuzzleError
from tclue.strict import read

SOUND = grader("sound")
PUBLISHED = grader("published")


def read_answers(text: str) -> dict[str, str]:
    """The answers that `sound` finds in a text, less the letters that have none."""
    answers = SOUND.grade(PUZZLE, text).answers
    assert list(answers) == list(PUZZLE.questions)
    return {letter: answer for letter, answer in answers.items() if answer is not None}


@pytest.fixture(scope="module")
def published() -> list[Puzzle]:
    path = os.environ.get("TCLUE_PUBLISHED")
    if not path:
        pytest.skip("TCLUE_PUBLISHED is not set: it names the folder of the published puzzles")
    return read_puzzles(Path(path) / "published-val.json")


def gold(puzzle: Puzzle) -> str:
    return "\n".join(f"{letter}. {answer}" for letter, answer in puzzle.solution.items())


@pytest.mark.parametrize("text", SURFACES)
def test_takes_what_models_write(text: str) -> None:
    assert read_answers(text) == {"A": "Miss Scarlet"}


@pytest.mark.parametrize(("text", "answer"), KINDS_OF_ANSWER)
def test_takes_every_kind_of_answer(text: str, answer: str) -> None:
    letter = re.search("[A-H]", text)
    assert letter
    assert read_answers(text) == {letter[0]: answer}


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_what_commits_to_no_single_option(text: str) -> None:
    grade = SOUND.grade(PUZZLE, text)
    assert read_answers(text) == {}
    assert not grade.answered
    assert grade.accuracy == 0


# Reasoning

OPENING = [
    "<think>",
    "<thinking>",
    "<THINK>",
    "< think>",
    "<think\n>",
    "<think effort='high'>",
    "<reasoning>",
    "<thought>",
    "<scratchpad>",
    "<chain_of_thought>",
    "<|begin_of_thought|>",
    "<seed:think>",
    "[THINK]",
    "◁think▷",
    "<|START_THINKING|>",
    "<|channel|>analysis<|message|>",
]
CLOSING = [
    "</think>",
    "</THINKING>",
    "</ think>",
    "[/THINK]",
    "◁/think▷",
    "<|END_THINKING|>",
    "<|end_of_thought|>",
]


@pytest.mark.parametrize("tag", OPENING)
@pytest.mark.parametrize("gap", ["", "\n", "\nWe need the murderer.\n"])
def test_an_unclosed_thought_holds_no_answer(tag: str, gap: str) -> None:
    assert read_answers(f"{tag}{gap}{GOLD}") == {}
    assert read_answers(f"{tag}hm</think>\n{tag}{gap}{GOLD}") == {}


@pytest.mark.parametrize("tag", CLOSING)
def test_a_thought_that_only_closes_began_with_the_text(tag: str) -> None:
    assert read_answers(f"A. Mr. Green\n{GOLD}\n{tag}\n\nA. Mrs. White") == {"A": "Mrs. White"}
    assert read_answers(f"{GOLD}\n{tag}") == {}


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ("<think>A. Mr. Green</think>A. Miss Scarlet", {"A": "Miss Scarlet"}),
        ("<think>A. Mr. Green</think>I do not know.", {}),
        ("<think>a <think> b </think>A. Miss Scarlet", {"A": "Miss Scarlet"}),
        ("<think>a</think>\nB. Knife\n</think>\nA. Miss Scarlet", {"A": "Miss Scarlet"}),
        ("B. Knife\n<think>a</think>b\n</think>\nA. Miss Scarlet", {"A": "Miss Scarlet"}),
        ("<think />\nA. Miss Scarlet", {"A": "Miss Scarlet"}),
        ("A. Miss Scarlet\n<think>Was it A. Mr. Green?", {"A": "Miss Scarlet"}),
        (
            "<|channel|>analysis<|message|>A. Mr. Green<|end|><|start|>assistant"
            "<|channel|>final<|message|>A. Miss Scarlet",
            {"A": "Miss Scarlet"},
        ),
    ],
)
def test_reasoning_is_cut_away(text: str, answers: dict[str, str]) -> None:
    assert read_answers(text) == answers


# Which block counts


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        # several letters on one line
        ("A. Miss Scarlet, B. Rope; C. Hall", "A=Miss Scarlet B=Rope C=Hall"),
        ("A: Miss Scarlet B: Rope C: Hall", "A=Miss Scarlet B=Rope C=Hall"),
        ("A:Miss Scarlet,B:Rope,C:Hall", "A=Miss Scarlet B=Rope C=Hall"),
        ("A. Miss Scarlet and B. Rope", "A=Miss Scarlet B=Rope"),
        ("(A) Miss Scarlet (B) Rope", "A=Miss Scarlet B=Rope"),
        ("C. Hall | D. 1:00 a.m. | E. Fear", "C=Hall D=01:00 AM E=Fear"),
        ("The answers are: A. Miss Scarlet, B. Rope", "A=Miss Scarlet B=Rope"),
        ("A. Miss Scarlet or Mr. Green, B. Rope", "B=Rope"),
        # the next letter only: others are part of a remark
        ("A. Miss Scarlet (see E. below)", "A=Miss Scarlet"),
        ("A. Miss Scarlet (see E. Greed)", "A=Miss Scarlet"),
        (r"\boxed{A. Miss Scarlet \\ B. Rope}", "A=Miss Scarlet B=Rope"),
        (r"\boxed{\text{A. Miss Scarlet, B. Rope}}", "A=Miss Scarlet B=Rope"),
        ("\\boxed{\n\\text{A. Miss Scarlet} \\\\\n\\text{B. Rope}\n}", "A=Miss Scarlet B=Rope"),
        ('{"B": "Rope", "A": "Miss Scarlet"}', "A=Miss Scarlet B=Rope"),
        ('[{"question":"A","answer":"Miss Scarlet"},{"question":"B","answer":"Rope"}]',
         "A=Miss Scarlet B=Rope"),
        # the answer before its letter could be the letter's before it
        ('[{"answer":"Hall","letter":"C"},{"answer":"Lounge","letter":"F"}]', ""),
        ("<p>A. Miss Scarlet<br>B. Rope</p>", "A=Miss Scarlet B=Rope"),
        # one block, though words stand in it
        ("A. Miss Scarlet\nShe was.\n\nB. Rope\nBonus:\nF. Hall", "A=Miss Scarlet B=Rope F=Hall"),
        ("A. Miss Scarlet\n- She was with Mr. Green before.\nB. Rope", "A=Miss Scarlet B=Rope"),
        ("B. Rope\nA. Miss Scarlet", "A=Miss Scarlet B=Rope"),
        ("A. Miss Scarlet\nB. Rope\nA. Miss Scarlet", "A=Miss Scarlet B=Rope"),
        # the last block counts
        ("A. Mr. Green\nB. Rope\n\nNo.\n\nA. Miss Scarlet\nB. Knife", "A=Miss Scarlet B=Knife"),
        ("A. Mr. Green\nB. Rope\n\nFinal answer:\nA. Mrs. White\nB. Knife", "A=Mrs. White B=Knife"),
        ("A. Mr. Green\nB. Rope\nWait, that fails.\nA. Miss Scarlet", "A=Miss Scarlet"),
        # and the letters that it does not mention keep their answers
        ("B. Rope\n\nA.\nMr. Green\nWait.\nA. Miss Scarlet", "A=Miss Scarlet B=Rope"),
        ("A. Mr. Green\n\n### Final Answers\n\nB. Rope", "A=Mr. Green B=Rope"),
        ("final answers (main)\nA. Mr. Green\nB. Rope\n\nfinal answers (further)\nF. Hall",
         "A=Mr. Green B=Rope F=Hall"),
        # unless they were a draft, or a part, that was found to fail
        ("First guess:\nA. Mr. Green\n\nThat contradicts clue 4.\n\nFinal answer:\nB. Rope",
         "B=Rope"),
        ("A. Mr. Green\nWait, I cannot tell.\nA. Unknown\nB. Rope", "B=Rope"),
        ("A. Mr. Green\nFinal answer:\nA. Mr. Green or Mrs. White\nB. Rope", "B=Rope"),
        ("A. Mr. Green\n<answer>B. Rope</answer>", "A=Mr. Green B=Rope"),
        # an explanation below it is no block
        ("A. Miss Scarlet\nB. Rope\n\nWhy:\nA. She was alone there.\nB. The clues say so.",
         "A=Miss Scarlet B=Rope"),
        ("A. Miss Scarlet\nB. Rope\n\nThis is my final answer.", "A=Miss Scarlet B=Rope"),
    ],
)  # fmt: skip
def test_the_final_block_counts(text: str, answers: str) -> None:
    expected = dict(re.findall(r"([A-H])=(.+?)(?= [A-H]=|$)", answers))
    assert read_answers(text) == expected


def test_a_short_block_corrects_a_full_one() -> None:
    assert read_answers(f"{GOLD}\n\nWait, I misread clue 3.\n\nA. Mr. Green") == {
        **SOLUTION,
        "A": "Mr. Green",
    }
    assert read_answers(f"{GOLD}\n\nNow my final answer is clear.\n\nA. Mr. Green") == {
        **SOLUTION,
        "A": "Mr. Green",
    }
    assert read_answers(f"{GOLD}\n\nCorrection: A. Mr. Green") == {**SOLUTION, "A": "Mr. Green"}
    assert read_answers(f"{GOLD}\n\nOn reflection:\n\nA. Mr. Green or Mrs. White") == {
        letter: answer for letter, answer in SOLUTION.items() if letter != "A"
    }
    assert read_answers(f"{GOLD}\n\nFinal answer:\n\nA. Mr. Green") == {
        **SOLUTION,
        "A": "Mr. Green",
    }


def test_a_full_block_after_a_draft_takes_nothing_from_it() -> None:
    draft = GOLD.replace("Miss Scarlet", "Mr. Green")
    assert read_answers(f"{draft}\nLet me check that again.\n{GOLD}") == SOLUTION
    assert read_answers(f"{GOLD}\nLet me check that again.\n{draft}") == {
        **SOLUTION,
        "A": "Mr. Green",
    }
    # With nothing between them, the text gives two answers to A.
    assert "A" not in read_answers(f"{draft}\n\n{GOLD}")


@pytest.mark.parametrize("name", sorted((DATA / "responses").glob("*.txt")))
def test_whole_responses(name: Path) -> None:
    """Responses in the manner of several model families; their first line says what they answer."""
    first, _, text = name.read_text(encoding="utf-8").partition("\n")
    wrong = dict(
        pair.split("=") for pair in first.removeprefix("gold").strip("; ").split("; ") if pair
    )
    assert first.startswith("gold")
    expected = {**SOLUTION, **wrong}
    assert read_answers(text) == {
        letter: answer for letter, answer in expected.items() if answer != "-"
    }


# Gold answers


def all_right(puzzle: Puzzle) -> Grade:
    return Grade(1.0, True, dict(puzzle.solution), tuple(puzzle.solution), 1.0)


def test_gold_answers_are_right_on_generated_puzzles() -> None:
    for seed in range(12):
        puzzle = generate(seed, ("easy", "medium", "published-mix")[seed % 3])
        assert SOUND.grade(puzzle, gold(puzzle)) == all_right(puzzle)


def test_gold_answers_are_right_on_published_puzzles(published: list[Puzzle]) -> None:
    assert len(published) == 64
    for puzzle in published:
        assert SOUND.grade(puzzle, gold(puzzle)) == all_right(puzzle)


@pytest.mark.parametrize(
    "chosen_grader", [SOUND, PUBLISHED], ids=lambda chosen_grader: chosen_grader.name
)
def test_a_grade_says_what_is_right_and_how_the_main_questions_went(chosen_grader: Grader) -> None:
    main = [k for k, question in PUZZLE.questions.items() if question.topic in MAIN_TOPICS]
    others = [letter for letter in SOLUTION if letter not in main]
    assert len(main) == 5
    # Neither is a time, which `published` cannot match.
    wrong, right = main[0], others[0]
    given = {letter: answer for letter, answer in SOLUTION.items() if letter in main}
    given |= {right: SOLUTION[right]}
    given[wrong] = next(option for option in PUZZLE.options[wrong] if option != SOLUTION[wrong])
    grade = chosen_grader.grade(PUZZLE, "\n".join(f"{k}. {v}" for k, v in given.items()))
    lost = [main[0]] if chosen_grader is SOUND else [main[0], main[3]]
    assert grade.right == tuple(k for k in SOLUTION if k in given and k not in lost)
    assert grade.main_accuracy == (5 - len(lost)) / 5
    assert read(Grade, asdict(grade), "a record") == grade


def test_a_list_of_options_is_no_answer_though_there_are_only_two() -> None:
    for seed in range(40):
        puzzle = generate(seed, "easy")
        lines = []
        for letter, question in puzzle.to_dict()["questions"].items():
            lines.append(f"{letter}. {question}")
            listed = puzzle.options[letter]
            lines += [f"({mark}) {name}" for mark, name in zip("ABCDEFGH", listed, strict=False)]
        if len(puzzle.world.suspects) == 2 and puzzle.questions["B"].topic == "weapon":
            assert SOUND.grade(puzzle, "\n".join(lines[:3])).answers["A"] is None


def test_no_name_is_taken_for_another() -> None:
    times = names.clock_times(12, 15)
    for topic, options in (
        ("murderer", names.SUSPECTS),
        ("weapon", names.WEAPONS),
        ("room", names.ROOMS),
        ("time", times),
        ("motive", names.MOTIVES),
    ):
        reader = answer_reader(topic, "Which one?", options)
        for option in options:
            assert reader.read(plain_text(option)) == Commit(option, bare=True)
            for other in options:
                if other != option:
                    assert reader.read(f"{plain_text(option)}, {plain_text(other)}") == "refused"


def test_names_that_share_words() -> None:
    rooms = answer_reader("room", "Where?", ("Study", "Study Annex", "Annex"))
    assert rooms.read("study annex") == Commit("Study Annex", bare=True)
    assert rooms.read("study") == Commit("Study", bare=True)
    assert rooms.read("annex") == Commit("Annex", bare=True)
    rooms = answer_reader("room", "Where?", ("Servants' Hall", "Cook's Pantry", "Pantry"))
    assert rooms.read("the cook's pantry, as clue 3 says") == Commit("Cook's Pantry", bare=False)
    assert rooms.read("servants' hall, as clue 3 says") == Commit("Servants' Hall", bare=False)
    assert rooms.read("pantry, cook's pantry") == "refused"
    suspects = answer_reader("murderer", "Who?", ("Mr. White", "Mrs. White", "Mr. Green"))
    assert suspects.read("mrs white") == Commit("Mrs. White", bare=True)
    assert suspects.read("green") == Commit("Mr. Green", bare=True)
    assert suspects.read("mr white") == Commit("Mr. White", bare=True)
    assert suspects.read("miss green") == Commit("Mr. Green", bare=True)
    assert suspects.read("white") == "prose"
    # A name in full is never another's short form.
    suspects = answer_reader("murderer", "Who?", ("Scarlet", "Miss Scarlet", "Mr. Green"))
    assert suspects.read("scarlet") == Commit("Scarlet", bare=True)
    assert suspects.read("it was scarlet") == Commit("Scarlet", bare=True)
    assert suspects.read("miss scarlet") == Commit("Miss Scarlet", bare=True)
    times = answer_reader("time", "When?", ("01:00 AM", "12:00 PM", "01:00 PM"))
    assert times.read(plain_text("1:00")) == "prose"
    assert times.read(plain_text("13:00")) == Commit("01:00 PM", bare=True)
    assert times.read(plain_text("noon")) == Commit("12:00 PM", bare=True)


@pytest.mark.parametrize(
    ("topic", "options"),
    [
        ("murderer", SUSPECTS),
        ("weapon", [name for name in WEAPONS if name != "knife"]),
        ("room", ROOMS),
        ("time", TIMES),
        ("motive", MOTIVES),
    ],
)
def test_a_name_as_listed_is_taken_whatever_it_holds(topic: Topic, options: list[str]) -> None:
    reader = answer_reader(topic, "Which one?", tuple(options))
    for option in options:
        assert reader.read(plain_text(option)) == Commit(option, bare=True)


# The published grader


def test_published_is_what_it_was(published: list[Puzzle]) -> None:
    grades = [PUBLISHED.grade(puzzle, gold(puzzle)) for puzzle in published]
    assert sum(grade.accuracy for grade in grades) / 64 == pytest.approx(0.926, abs=5e-4)
    assert sum(grade.solved for grade in grades) == 32


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (GOLD, 7 / 8),  # a time never matches
        ("A. Miss Scarlet", 1 / 8),
        ("A. MISS SCARLET  ", 1 / 8),
        ("**A. Miss Scarlet**", 1 / 8),
        ("**A.** Miss Scarlet", 0),
        ("A. **Miss Scarlet**", 0),
        ("A.  Miss Scarlet", 1 / 8),
        ("A.\nMiss Scarlet", 0),
        ("A.\tMiss Scarlet", 0),
        ("a. Miss Scarlet", 0),
        ("A) Miss Scarlet", 0),
        ("A. Miss Scarlet.", 0),
        ("A. Miss Scarlet (alone)", 1 / 8),
        ("A. Mr. Green\nA. Miss Scarlet", 1 / 8),
        ("A. Miss Scarlet\nA. Mr. Green", 0),
        ("<think>A. Miss Scarlet", 1 / 8),
        ("FINAL. A. Miss Scarlet", 1 / 8),
        ("PLAN A. Miss Scarlet", 1 / 8),
        ("D. AM", 0),
    ],
)
def test_published_faults_are_kept(text: str, right: float) -> None:
    assert PUBLISHED.grade(PUZZLE, text).accuracy == right


def test_published_agrees_with_its_formula() -> None:
    """The formula as published, written out once more, on texts that try its corners."""
    pieces = [
        "A. ",
        "B. Rope",
        "AA. Miss Scarlet",
        ".",
        " ",
        "\n",
        "miss scarlet",
        "A. A. ",
        "-:",
        "1",
    ]
    for first in pieces:
        for second in pieces:
            for third in pieces:
                text = first + second + third
                right = 0
                for letter, answer in SOLUTION.items():
                    matches = re.findall(letter + r"\. ([A-Za-z .:\-]+)", text)
                    if matches and matches[-1].strip().lower() == answer.lower():
                        right += 1
                assert PUBLISHED.grade(PUZZLE, text).accuracy == right / len(SOLUTION)


# The rest


def test_a_grade_adds_up() -> None:
    grade = SOUND.grade(PUZZLE, GOLD.replace("Rope", "Knife").replace("Fear", "?"))
    assert grade.accuracy == 6 / 8
    assert not grade.solved
    assert grade.answered
    assert grade.answers == {**SOLUTION, "B": "Knife", "G": None}
    assert not SOUND.grade(PUZZLE, "I cannot tell.").answered
    assert SOUND.grade(PUZZLE, GOLD).solved


def test_graders_have_names() -> None:
    assert list(GRADERS) == ["sound", "published"]
    assert all(GRADERS[name].name == name for name in GRADERS)
    with pytest.raises(
        UserError, match="unknown grader 'strict': expected one of sound, published"
    ):
        grader("strict")


@pytest.mark.parametrize("name", ["sound", "published"])
def test_a_puzzle_without_a_solution_is_refused(name: str) -> None:
    with pytest.raises(
        PuzzleError, match="has no solution: expected the right answer to each of A, B"
    ):
        grader(name).grade(Puzzle(PUZZLE.prompt), GOLD)


def seconds(text: str) -> float:
    start = time.process_time()
    SOUND.grade(PUZZLE, text)
    return time.process_time() - start


@pytest.mark.parametrize("start", ["", "A. ", "A. Miss Scarlet, ", "A. Miss Scarlet ("])
@pytest.mark.parametrize("unit", HOSTILE)
def test_time_grows_with_length_and_not_with_its_square(unit: str, start: str) -> None:
    """Processor time at four times the length is compared: quadratic growth would be 16 times."""
    short, long = (start + unit * (size // len(unit)) for size in (10_000, 40_000))
    for _ in range(8):
        if seconds(long) < 8 * max(seconds(short), 0.002):
            return
    pytest.fail(f"{unit!r} after {start!r} takes more than linear time")


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["A. ", "<think>", "(", "\\boxed{", "|", "A. Miss Scarlet or "])
def test_a_megabyte_of_nonsense_is_graded(unit: str) -> None:
    assert not SOUND.grade(PUZZLE, unit * (1_000_000 // len(unit))).answered
