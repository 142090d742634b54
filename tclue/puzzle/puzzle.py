"""A puzzle, which is the public side of a case, and as text; the result of a proof.

The entities, clues, questions and options are always read from the prompt and never from other
fields, because the prompt is what a model sees.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from tclue.config_files import plain
from tclue.puzzle import prompt as prompts
from tclue.puzzle.statements import Case, Statement
from tclue.puzzle.wording import Edition, Question, wording
from tclue.puzzle.world import PuzzleError, World

# Name of a band of sizes -> its smallest number of clues, ascending. The bounds are fixed, so a
# band means the same in every set. They divide the published mix of sizes, whose puzzles have no
# named difficulty, into about three equal parts: 17, 21 and 26 of the 64 puzzles of `test`.
BANDS = {"1 to 9 clues": 1, "10 to 29 clues": 10, "30 clues or more": 30}

# "unique" refers to the answers (each question has one possible answer, which is what a published
# puzzle claims) or to the history (exactly one complete case fits, as in a generated puzzle).
Scope = Literal["answers", "history"]
Verdict = Literal["unique", "none", "several"]
# whether the clues make a statement true, make it false, or leave it open
Entailment = Literal["true", "false", "open"]


def prompt_hash(prompt: str) -> str:
    """Hex SHA-256 of a prompt. It identifies a puzzle, so that no two splits share one."""
    return hashlib.sha256(prompt.encode()).hexdigest()


@dataclass(frozen=True)
class Puzzle:
    """One puzzle. Raises PuzzleError if the solution does not fit the prompt's questions.

    The prompt is stored as `plain` gives it, so its line breaks do not change the puzzle's id.
    """

    prompt: str
    # letter -> answer; empty if it is unknown
    solution: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    seed: int | None = None
    difficulty: str | None = None

    def __post_init__(self) -> None:
        # JSON, and standard input that is not UTF-8, can give a text that no UTF-8 file can hold.
        if re.search("[\ud800-\udfff]", self.prompt):
            raise PuzzleError("the prompt has an unpaired surrogate: expected UTF-8 text")
        object.__setattr__(self, "prompt", plain(self.prompt))
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
        """A puzzle without a solution, from a prompt of either edition.

        Raises PuzzleError, which names the line and what was expected there.
        """
        puzzle = cls(prompt=text)
        _ = puzzle.parsed
        return puzzle

    @classmethod
    def from_dict(cls, data: Any) -> Puzzle:
        """Read one puzzle of a puzzle file, house or published. A null is a missing field.

        Raises PuzzleError if a field is missing or does not fit the prompt.
        """
        if not isinstance(data, dict) or not isinstance(data.get("prompt"), str):
            raise PuzzleError('expected an object with a text "prompt"')
        data = {name: value for name, value in data.items() if value is not None}
        solution, own_id = data.get("solution", {}), data.get("id", "")
        if not isinstance(solution, dict) or not all(
            isinstance(part, str) for pair in solution.items() for part in pair
        ):
            raise PuzzleError('"solution": expected an object from letter to answer')
        if isinstance(own_id, bool) or not isinstance(own_id, str | int):
            raise PuzzleError('"id": expected a text')
        puzzle = cls(
            prompt=data["prompt"],
            solution=solution,
            id=str(own_id),
            seed=data.get("seed"),
            difficulty=str(data["difficulty"]) if "difficulty" in data else None,
        )
        # This also reads the prompt, so an error in it is reported with its place in the file.
        if (stated := data.get("num_clues", puzzle.num_clues)) != puzzle.num_clues:
            raise PuzzleError(
                f'"num_clues" is {stated}: expected {puzzle.num_clues}, as in the prompt'
            )
        return puzzle

    def to_dict(self) -> dict[str, Any]:
        """The puzzle as an object of a puzzle file."""
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
        """The content of the prompt."""
        return prompts.read(self.prompt)

    @property
    def edition(self) -> Edition:
        """The edition in which the prompt is written."""
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
        """letter -> legal answers, in the order of the prompt."""
        return {k: question.options(self.world) for k, question in self.questions.items()}

    def answers(self, case: Case) -> dict[str, str]:
        """letter -> the true answer in a case of this world."""
        return {k: question.answer(case, self.world) for k, question in self.questions.items()}


def answer_lines(answers: Mapping[str, str]) -> str:
    """Answers by their letters, in the format that prompts ask for."""
    return "\n".join(f"{letter}. {answer}" for letter, answer in answers.items())


def house_line(puzzle: Puzzle) -> str:
    """A puzzle as a line of a puzzle file, with a line break at its end."""
    return json.dumps(puzzle.to_dict(), ensure_ascii=False) + "\n"


def published_list(puzzles: Iterable[Puzzle]) -> str:
    """Puzzles in the published format: a JSON list of {num_clues, prompt, solution}."""
    rows = [
        {"num_clues": p.num_clues, "prompt": p.prompt, "solution": dict(p.solution)}
        for p in puzzles
    ]
    return json.dumps(rows, ensure_ascii=False, indent=4) + "\n"


def band(num_clues: int) -> str:
    """The name of the band of sizes that a puzzle with this number of clues is in."""
    return [name for name, fewest in BANDS.items() if fewest <= max(1, num_clues)][-1]


@dataclass(frozen=True)
class Proof:
    """The result of a proof.

    `cases` holds one case if the verdict is "unique", none if it is "none", and two if it is
    "several". For scope "answers" the two answer some question differently; for scope "history"
    they only have to be different.
    """

    scope: Scope
    cases: tuple[Case, ...]

    @property
    def verdict(self) -> Verdict:
        """How many solutions there are."""
        verdicts: tuple[Verdict, ...] = ("none", "unique", "several")
        return verdicts[len(self.cases)]
