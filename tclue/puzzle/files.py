"""Reading puzzle files.

A puzzle file is JSON Lines, one puzzle per line. A published file is a JSON list of
`{num_clues, prompt, solution}` and can be read too.
"""

from dataclasses import replace
from pathlib import Path

from tclue.config_files import read_records
from tclue.puzzle import controls
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.world import PuzzleError


def read_puzzles(path: Path) -> list[Puzzle]:
    """All puzzles of a file of JSON Lines, or of a published JSON list.

    A file may hold a prompt more than once. Each copy is a separate puzzle, with its number in the
    file added to its id. Raises UserError, which names the file and the line (or the place in the
    list), also for an id with two prompts, and for a stated
    answer that the grader `sound` would not count as right.
    """
    puzzles: dict[str, Puzzle] = {}
    places: dict[str, str] = {}
    for number, where, record in read_records(path, "puzzle"):
        try:
            puzzle = Puzzle.from_dict(record)
            _check_gold(puzzle)
        except PuzzleError as error:
            raise PuzzleError(f"{where}: {error}") from None
        if puzzle.id in puzzles and puzzles[puzzle.id].prompt == puzzle.prompt:
            puzzle = replace(puzzle, id=f"{puzzle.id}-{number}")
        if puzzle.id in puzzles:
            first = places[puzzle.id].removeprefix(f"{path}, ")
            raise PuzzleError(
                f"{where}: its id {puzzle.id} is that of {first}, which has another prompt: "
                "expected different ids, or none"
            )
        puzzles[puzzle.id], places[puzzle.id] = puzzle, where
    return list(puzzles.values())


def _check_gold(puzzle: Puzzle) -> None:
    """Raise PuzzleError if the stated answers are not graded as right."""
    if letters := controls.misread(puzzle):
        line = f"{letters[0]}. {puzzle.solution[letters[0]]}"
        raise PuzzleError(
            f"the grader does not read {line!r} as the stated answer: expected names that differ "
            "in more than signs, and without markup or a letter with a sign (B.) in them"
        )
