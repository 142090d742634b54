"""Grading of texts that were made elsewhere: `tclue grade PUZZLES RESPONSES.jsonl`.

A response is a line `{"id": …, "response": …}` or `{"prompt": …, "response": …}`. Several lines may
answer the same puzzle, and the puzzle file may contain a puzzle more than once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tclue.config_files import read_text
from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grade, Grader
from tclue.puzzle.puzzle import Puzzle
from tclue.strict import parse_json


@dataclass(frozen=True)
class Graded:
    """The grade of one line of a response file."""

    line: int
    puzzle: Puzzle
    grade: Grade


def grade_file(puzzles: Sequence[Puzzle], path: Path, grader: Grader) -> Iterator[Graded]:
    """Grade every line of a response file, in order.

    Raises UserError, which names the line, if a line is invalid or its puzzle is not in `puzzles`.
    """
    by_id: dict[str, Puzzle] = {}
    by_prompt: dict[str, Puzzle] = {}
    for puzzle in puzzles:
        first = by_prompt.setdefault(puzzle.prompt, puzzle)
        if first.solution != puzzle.solution:
            raise UserError(
                f"{first.id} and {puzzle.id} have the same prompt: expected the same solution"
            )
        by_id.setdefault(puzzle.id, puzzle)
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        record = parse_json(line, where)
        if not isinstance(record, dict) or not isinstance(record.get("response"), str):
            raise UserError(f'{where}: expected an object with a text "response"')
        key, known = ("id", by_id) if "id" in record else ("prompt", by_prompt)
        value = record.get(key)
        matched_puzzle = known.get(value) if isinstance(value, str) else None
        if matched_puzzle is None:
            raise UserError(f'{where}: expected the "{key}" of a puzzle in the puzzle file')
        yield Graded(number, matched_puzzle, grader.grade(matched_puzzle, record["response"]))
