"""The two graders: how many of a puzzle's questions a text answers correctly.

    grader("sound").grade(puzzle, text).accuracy

The benchmark, lm-eval and training use the same object.

`sound`, the default, finds the final answers in free text and maps each letter to exactly one of
its question's legal options, or to none. The docstrings of three modules give the rules:
`answer_text` (what is reasoning or markup), `answer_words` (which option the words after a letter
name) and `answer_blocks` (which lines count). It favours no model: only the last answer to each
letter counts, and a text never gains by giving several.

`published` does exactly what the published evaluation did
(https://github.com/bradhilton/temporal-clue), including its errors: it cannot match a digit, so no
time is ever right, and it does not see an answer that is emphasized.
"""

import re
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import MinLen

from tclue.config_files import plain, read_records
from tclue.errors import UserError
from tclue.puzzle.grading.answer_blocks import final_answers
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import MAIN_TOPICS
from tclue.puzzle.world import PuzzleError
from tclue.strict import Share


@dataclass(frozen=True)
class Grade:
    """The grade of one text for one puzzle."""

    # share of the questions that are answered correctly, 0 to 1
    accuracy: Share
    # whether all are
    solved: bool
    # letter -> the option that was read, or None
    answers: Annotated[dict[str, str | None], MinLen(1)]
    # the letters with a correct answer
    right: tuple[str, ...]
    # the same share of the main questions (who, weapon, where, when, why); None if there are none
    main_accuracy: Share | None

    @property
    def answered(self) -> bool:
        """Whether any letter has an answer, right or wrong."""
        return any(answer is not None for answer in self.answers.values())


@dataclass(frozen=True)
class Grader:
    """A way to read the answers of a text, and to grade them."""

    name: str
    # the version of its rules, which is higher if they read some text in another way
    version: int
    # letter -> the option that was read, or None
    read: Callable[[Puzzle, str], dict[str, str | None]]

    def grade(self, puzzle: Puzzle, text: str) -> Grade:
        """The grade of a text. Raises PuzzleError if the puzzle has no solution."""
        if not puzzle.solution:
            raise PuzzleError(
                f"puzzle {puzzle.id} has no solution: expected the right answer to each of "
                f"{', '.join(puzzle.questions)}"
            )
        answers, total = self.read(puzzle, text), len(puzzle.questions)
        right = tuple(k for k, answer in puzzle.solution.items() if answers[k] == answer)
        main = [k for k, question in puzzle.questions.items() if question.topic in MAIN_TOPICS]
        main_accuracy = sum(k in right for k in main) / len(main) if main else None
        return Grade(len(right) / total, len(right) == total, answers, right, main_accuracy)


def published_match(letter: str, text: str) -> re.Match[str] | None:
    """The last match of the published pattern for a letter; its first group is the answer.

    As published, the letter may be the end of a word, and the pattern does not match digits.
    """
    # A text can have millions of matches, and a list of all of them would not fit into memory.
    last = deque(re.finditer(rf"{letter}\. ([A-Za-z \.:-]+)", text), maxlen=1)
    return last[0] if last else None


def published_answers(puzzle: Puzzle, text: str) -> dict[str, str | None]:
    """letter -> the option that the published evaluation read, or None."""
    answers: dict[str, str | None] = {}
    for letter, answer in puzzle.solution.items():
        match = published_match(letter, text)
        given = match[1].strip().lower() if match else None
        # The right answer is tried first, because options may differ only in upper and lower case.
        options = (answer, *puzzle.options[letter])
        answers[letter] = next((name for name in options if name.lower() == given), None)
    return answers


GRADERS = {
    "sound": Grader("sound", 2, final_answers),
    "published": Grader("published", 1, published_answers),
}


def grader(name: str) -> Grader:
    """The grader of a name. Raises UserError if there is none."""
    if name not in GRADERS:
        raise UserError(f"unknown grader {name!r}: expected one of {', '.join(GRADERS)}")
    return GRADERS[name]


@dataclass(frozen=True)
class Graded:
    """The grade of one response of a response file."""

    # its place: the file and the line
    where: str
    puzzle: Puzzle
    # None if the request failed: there is nothing to score
    grade: Grade | None
    text: str


def grade_file(puzzles: Sequence[Puzzle], path: Path, grader: Grader) -> list[Graded]:
    """Grade each response of a file, in order (`tclue grade PUZZLES RESPONSES.jsonl`).

    A response is a line `{"id": …, "response": …}` or `{"prompt": …, "response": …}`, with a null
    if there is none, which is graded like an empty text. Several lines may answer the same puzzle,
    and the puzzle file may contain a puzzle more than once. Lines of a run's own `responses.jsonl`
    are read too. Of several attempts at a request of a run, the first that did not fail counts.
    Raises UserError, which names the line, if a line is invalid or its puzzle is not in `puzzles`.
    """
    by_id = {puzzle.id: puzzle for puzzle in puzzles}
    by_prompt: dict[str, Puzzle] = {}
    for puzzle in puzzles:
        first = by_prompt.setdefault(puzzle.prompt, puzzle)
        if first.solution != puzzle.solution:
            raise UserError(
                f"{first.id} and {puzzle.id} have the same prompt: expected the same solution"
            )
    chosen: dict[Any, Graded] = {}
    for number, where, record in read_records(path, "response"):
        is_run = isinstance(record, dict) and "outcome" in record and "response" not in record
        field = "text" if is_run else "response"
        if not isinstance(record, dict) or not isinstance(record.get(field, 0), str | None):
            raise UserError(f'{where}: expected an object with a text or null as "{field}"')
        key = "puzzle" if is_run else "id" if record.get("id") is not None else "prompt"
        name = record.get(key)
        known = by_prompt.get(plain(str(name))) if key == "prompt" else by_id.get(str(name))
        if known is None:
            raise UserError(f'{where}: expected the "{key}" of a puzzle in the puzzle file')
        text = record[field] or ""
        grade = None if is_run and record["outcome"] == "failed" else grader.grade(known, text)
        request = (known.id, str(record.get("sample"))) if is_run else number
        if request not in chosen or chosen[request].grade is None:
            chosen[request] = Graded(where, known, grade, text)
    return list(chosen.values())
