"""A puzzle: the public side of a case, and the files that hold puzzles.

A puzzle file is JSON Lines, one puzzle a line; a published file is a JSON list of
`{num_clues, prompt, solution}` and is read as it is. Whatever a file says, the entities, clues,
questions and options are read from the prompt: it is what a model sees.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tclue.config_files import read_text
from tclue.puzzle import prompt as prompts
from tclue.puzzle.statements import Case, Statement
from tclue.puzzle.wording import Edition, Question, wording
from tclue.puzzle.world import PuzzleError, World
from tclue.strict import parse_json

# Puzzles by size. The bounds are fixed, so that a band means the same in every set. They cut the
# published mix of sizes, which has no difficulty of its own, in about three: 17, 21 and 26 of the
# 64 puzzles of `test`.
# name -> the fewest clues of the band, in order
BANDS = {"1 to 9 clues": 1, "10 to 29 clues": 10, "30 clues or more": 30}


def prompt_hash(prompt: str) -> str:
    """Hex SHA-256 of a prompt: what keeps splits apart."""
    return hashlib.sha256(prompt.encode()).hexdigest()


@dataclass(frozen=True)
class Puzzle:
    """One puzzle. `solution` is empty where only the prompt is known."""

    prompt: str
    # letter -> answer; empty when unknown
    solution: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    seed: int | None = None
    difficulty: str | None = None

    def __post_init__(self) -> None:
        # JSON, and standard input that is not UTF-8, can bring a text that cannot be written.
        if re.search("[\ud800-\udfff]", self.prompt):
            raise PuzzleError("the prompt holds half a character: expected UTF-8 text")
        if not self.id:
            object.__setattr__(self, "id", f"p-{prompt_hash(self.prompt)[:12]}")
        if self.solution:
            self._check_solution()

    def _check_solution(self) -> None:
        if sorted(self.solution) != sorted(self.questions):
            raise PuzzleError(
                f"the solution answers {', '.join(sorted(self.solution))}: "
                f"expected {', '.join(self.questions)}"
            )
        for letter, answer in self.solution.items():
            if answer not in self.options[letter]:
                raise PuzzleError(
                    f"the solution's {letter} is {answer!r}: "
                    f"expected one of {', '.join(self.options[letter])}"
                )

    @classmethod
    def from_prompt(cls, text: str) -> Puzzle:
        """Read a prompt of either edition, with no other help.

        Raises PuzzleError, naming the line and what was expected there.
        """
        puzzle = cls(prompt=text)
        _ = puzzle.parsed
        return puzzle

    @classmethod
    def from_dict(cls, data: Any) -> Puzzle:
        """Read one puzzle of a puzzle file, house or published.

        Raises PuzzleError where a field is missing or does not fit the prompt.
        """
        if not isinstance(data, dict) or not isinstance(data.get("prompt"), str):
            raise PuzzleError('expected an object with a text "prompt"')
        solution = data.get("solution", {})
        if not isinstance(solution, dict) or not all(
            isinstance(part, str) for pair in solution.items() for part in pair
        ):
            raise PuzzleError('"solution": expected an object from letter to answer')
        puzzle = cls(
            prompt=data["prompt"],
            solution=solution,
            id=str(data.get("id") or ""),
            seed=data.get("seed"),
            difficulty=None if data.get("difficulty") is None else str(data["difficulty"]),
        )
        # This reads the prompt, so that whoever reads a file can say where it cannot be read.
        if (stated := data.get("num_clues", puzzle.num_clues)) != puzzle.num_clues:
            raise PuzzleError(
                f'"num_clues" is {stated}: expected {puzzle.num_clues}, as the prompt has'
            )
        return puzzle

    def to_dict(self) -> dict[str, Any]:
        """The puzzle as a line of a puzzle file holds it."""
        words = wording(self.world, self.edition)
        return {
            "id": self.id,
            "edition": self.edition,
            "seed": self.seed,
            "num_clues": self.num_clues,
            "difficulty": self.difficulty,
            "prompt": self.prompt,
            "questions": {k: words.question(q) for k, q in self.questions.items()},
            "solution": dict(self.solution),
            "options": {k: list(names) for k, names in self.options.items()},
        }

    @cached_property
    def parsed(self) -> prompts.Parsed:
        """The prompt, read."""
        return prompts.read(self.prompt)

    @property
    def edition(self) -> Edition:
        """How the puzzle is worded."""
        return self.parsed.edition

    @property
    def world(self) -> World:
        """The entities and the plan."""
        return self.parsed.world

    @property
    def clues(self) -> tuple[Statement, ...]:
        """The statements that the puzzle gives."""
        return self.parsed.clues

    @property
    def questions(self) -> dict[str, Question]:
        """letter -> question."""
        return self.parsed.questions

    @property
    def num_clues(self) -> int:
        """Number of clues."""
        return len(self.clues)

    @cached_property
    def options(self) -> dict[str, tuple[str, ...]]:
        """letter -> legal answers, in the prompt's order."""
        return {k: question.options(self.world) for k, question in self.questions.items()}

    def answers(self, case: Case) -> dict[str, str]:
        """letter -> the answer that is true of a case of this world."""
        return {k: question.answer(case, self.world) for k, question in self.questions.items()}


def read_puzzles(path: Path) -> list[Puzzle]:
    """Every puzzle of a file: JSON Lines, or a published JSON list.

    Raises UserError, naming the file and the line (or the place in the list).
    """
    text = read_text(path)
    if text.lstrip().startswith("["):
        records = list(enumerate(parse_json(text, str(path)), 1))
        place = "puzzle"
    else:
        records = [
            (number, parse_json(line, f"{path}, line {number}"))
            for number, line in enumerate(text.split("\n"), 1)
            if line.strip()
        ]
        place = "line"
    if not records:
        raise PuzzleError(f"{path}: no puzzle in it: expected JSON Lines, one puzzle a line")
    puzzles: list[Puzzle] = []
    ids: set[str] = set()
    for number, record in records:
        try:
            puzzle = Puzzle.from_dict(record)
        except PuzzleError as error:
            raise PuzzleError(f"{path}, {place} {number}: {error}") from None
        if puzzle.id in ids:
            # A prompt may stand in a file more than once; each copy is a puzzle of its own.
            puzzle = replace(puzzle, id=f"{puzzle.id}-{number}")
        ids.add(puzzle.id)
        puzzles.append(puzzle)
    return puzzles


def house_line(puzzle: Puzzle) -> str:
    """A puzzle as a line of a puzzle file, with its line end."""
    return json.dumps(puzzle.to_dict(), ensure_ascii=False) + "\n"


def published_list(puzzles: Iterable[Puzzle]) -> str:
    """Puzzles in the published shape: a JSON list of {num_clues, prompt, solution}."""
    rows = [
        {"num_clues": p.num_clues, "prompt": p.prompt, "solution": dict(p.solution)}
        for p in puzzles
    ]
    return json.dumps(rows, ensure_ascii=False, indent=4) + "\n"


def band(num_clues: int) -> str:
    """The name of the band that a puzzle with so many clues is in."""
    return [name for name, fewest in BANDS.items() if fewest <= max(1, num_clues)][-1]
