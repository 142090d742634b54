"""Grading: how many of a puzzle's questions a text answers right.

    grader("sound").grade(puzzle, text).accuracy

One object serves bench, lm-eval and training. Two graders:

`sound`, the default, finds the final answers in free text and resolves each letter to exactly one
of its question's legal options, or to none. Three modules decide how, each in its docstring:
`answer_text` (what is reasoning or markup), `answer_words` (what the words after a letter commit
to) and `answer_blocks` (which lines count). It takes no model's side: a text scores by its last
answer to each letter, and never gains by giving several.

`published` does exactly what the published evaluation did
(https://github.com/bradhilton/temporal-clue), its faults included: it cannot match a digit, so no
time is ever right, and emphasis hides an answer from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen

from tclue.errors import UserError
from tclue.puzzle.grading.answer_blocks import final_answers
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import MAIN_TOPICS
from tclue.puzzle.world import PuzzleError
from tclue.strict import Share


@dataclass(frozen=True)
class Grade:
    """What one text is worth for one puzzle."""

    # share of the questions answered right, 0 to 1
    accuracy: Share
    # whether all are right
    solved: bool
    # letter -> the option that the text commits to, or None
    answers: Annotated[dict[str, str | None], MinLen(1)]
    # the letters answered right
    right: tuple[str, ...]
    # share of the main questions (who, weapon, where, when, why) answered right; None where the
    # puzzle asks none of them
    main_accuracy: Share | None

    @property
    def answered(self) -> bool:
        """Whether any letter has an answer, right or wrong."""
        return any(answer is not None for answer in self.answers.values())


@dataclass(frozen=True)
class Grader:
    """What bench, lm-eval and training grade with."""

    name: str
    # letter -> the option that a text commits to, or None
    read: Callable[[Puzzle, str], dict[str, str | None]]

    def grade(self, puzzle: Puzzle, text: str) -> Grade:
        """The grade of a text.

        Raises PuzzleError where the puzzle has no solution.
        """
        if not puzzle.solution:
            raise PuzzleError(
                f"puzzle {puzzle.id} has no solution: expected an answer to each of "
                f"{', '.join(puzzle.questions)} to grade by"
            )
        answers, total = self.read(puzzle, text), len(puzzle.questions)
        right = tuple(k for k, answer in puzzle.solution.items() if answers[k] == answer)
        main = [k for k, question in puzzle.questions.items() if question.topic in MAIN_TOPICS]
        main_accuracy = sum(k in right for k in main) / len(main) if main else None
        return Grade(len(right) / total, len(right) == total, answers, right, main_accuracy)


def published_answers(puzzle: Puzzle, text: str) -> dict[str, str | None]:
    """letter -> the option that the published evaluation read, or None."""
    answers: dict[str, str | None] = {}
    for letter, answer in puzzle.solution.items():
        # The letter may end a word, and the class has no digit: both are as published.
        matches = re.findall(rf"{letter}\. ([A-Za-z \.:-]+)", text)
        given = matches[-1].strip().lower() if matches else None
        # The right answer first: options may differ in capitals alone.
        options = (answer, *puzzle.options[letter])
        answers[letter] = next((name for name in options if name.lower() == given), None)
    return answers


GRADERS = {
    "sound": Grader("sound", final_answers),
    "published": Grader("published", published_answers),
}


def grader(name: str) -> Grader:
    """The grader of that name.

    Raises UserError where there is none.
    """
    if name not in GRADERS:
        raise UserError(f"no grader {name!r}: expected one of {', '.join(GRADERS)}")
    return GRADERS[name]
