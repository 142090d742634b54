"""Texts whose grade is known: a grader that gives another grade is wrong about the puzzle.

The stated answers have to be right. An empty text, the prompt itself, and lists of all options
answer nothing, so no letter of them may be read.
"""

from collections.abc import Callable

from tclue.puzzle.grading.grade import grader
from tclue.puzzle.puzzle import Puzzle, answer_lines

# How a text can list all options of a letter.
_LISTS: dict[str, Callable[[str, tuple[str, ...]], str]] = {
    "all options on a line": lambda letter, options: f"{letter}. {', '.join(options)}",
    "a line for each option": lambda letter, options: "\n".join(
        f"{letter}. {option}" for option in options
    ),
    "all options as a list": lambda letter, options: "\n- ".join([f"{letter}.", *options]),
}


def misread(puzzle: Puzzle) -> list[str]:
    """The letters whose stated answer `sound` does not read in the stated answers."""
    if not puzzle.solution:
        return []
    right = grader("sound").grade(puzzle, answer_lines(puzzle.solution)).right
    return [letter for letter in puzzle.questions if letter not in right]


def failed(puzzle: Puzzle) -> dict[str, list[str]]:
    """What each control that fails is -> the letters that it fails for."""
    several = {letter: each for letter, each in puzzle.options.items() if len(each) > 1}
    lists = {
        name: "\n".join(written(letter, options) for letter, options in several.items())
        for name, written in _LISTS.items()
    }
    found = {"stated answers": misread(puzzle)}
    for name, text in {"empty text": "", "prompt": puzzle.prompt, **lists}.items():
        answers = grader("sound").read(puzzle, text)
        found[name] = [letter for letter, answer in answers.items() if answer is not None]
    return {name: letters for name, letters in found.items() if letters}
