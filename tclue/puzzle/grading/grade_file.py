"""Grading texts that were made elsewhere: `tclue grade PUZZLES RESPONSES.jsonl`.

A response is a line `{"id": …, "response": …}` or `{"prompt": …, "response": …}`. The same puzzle
may be answered, or even stand in the puzzle file, more than once.
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

    Raises UserError, naming the line, where one cannot be read or names no known puzzle.
    """
    by_id: dict[str, Puzzle] = {}
    by_prompt: dict[str, Puzzle] = {}
    for puzzle in puzzles:
        first = by_prompt.setdefault(puzzle.prompt, puzzle)
        if first.solution != puzzle.solution:
            raise UserError(f"{first.id} and {puzzle.id} have one prompt and different solutions")
        by_id.setdefault(puzzle.id, puzzle)
    text = read_text(path)
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        record = parse_json(line, where)
        if not isinstance(record, dict) or not isinstance(record.get("response"), str):
            raise UserError(f'{where}: expected an object with a text "response"')
        if "id" in record:
            matched_puzzle = by_id.get(record["id"]) if isinstance(record["id"], str) else None
        else:
            prompt = record.get("prompt")
            matched_puzzle = by_prompt.get(prompt) if isinstance(prompt, str) else None
        if matched_puzzle is None:
            key = "id" if "id" in record else "prompt"
            raise UserError(f'{where}: its "{key}" is that of no puzzle in the puzzle file')
        yield Graded(number, matched_puzzle, grader.grade(matched_puzzle, record["response"]))
