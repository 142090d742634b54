"""Small run folders for the tests of the board, written with `RunFolder`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tclue.bench.costs.cost import Prices, Usage
from tclue.bench.records import Outcome, Response, RunConfig
from tclue.bench.runs.run_folder import RunFolder
from tclue.board.rows import RankedSet, read_sets
from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grade

SHA256 = "ab" * 32
QUESTIONS = 120
USAGE = Usage(1000, 50, cached_tokens=400, reasoning_tokens=30)


@dataclass(frozen=True)
class Answer:
    """The grade and cost of a response."""

    accuracy: float = 0.5
    cost_usd: float | None = 0.01
    outcome: Outcome = "answered"
    # by default the same as `cost_usd`
    litellm_usd: float | str | None = "same"
    model_id: str | None = None
    num_clues: int = 20
    # its answer to the only question
    says: str = "Library"
    usage: Usage = USAGE
    latency_s: float = 1.0


def write_run(
    results: Path,
    variant: str = "model",
    answers: Sequence[Answer] = (Answer(0.5), Answer(1.0), Answer(0.75)),
    *,
    puzzles: int | None = None,
    samples: int = 1,
    puzzle_set: str = "test",
    sha256: str = SHA256,
    grader: str = "sound",
    seed: int = 0,
    **settings: Any,
) -> Path:
    """A run with these responses, puzzle by puzzle, and by default just enough puzzles."""
    total = puzzles or -(-len(answers) // samples)
    fields: dict[str, Any] = {
        "variant": variant,
        "model": variant,
        "puzzle_set": puzzle_set,
        "puzzle_sha256": sha256,
        "puzzles": total,
        "limit": None,
        "samples": samples,
        "seed": seed,
        "temperature": None,
        "max_tokens": None,
        "grader": grader,
        "prices": Prices("given", "2026-01-01"),
        "notes": (),
        "served_as": (),
        "given": (),
    }
    with RunFolder(results, RunConfig(**(fields | settings))) as folder:

        async def record() -> None:
            for i, answer in enumerate(answers):
                await folder.record(_response(f"p{i // samples:03}", i % samples, grader, answer))

        asyncio.run(record())
        return folder.path


def ranked_sets(results: Path, *arguments: Any) -> tuple[RankedSet, ...]:
    """The tables of a results folder. Raises UserError if a run was left out."""
    sets, left_out = read_sets(results, *arguments)
    if left_out:
        raise UserError(left_out[0].reason)
    return sets


def _grade(answer: Answer) -> Grade:
    """So many of QUESTIONS letters are right, all with the same answer."""
    letters = ["A", *(f"A{i}" for i in range(1, QUESTIONS))]
    right = tuple(letters[: round(answer.accuracy * QUESTIONS)])
    accuracy, solved = len(right) / QUESTIONS, len(right) == QUESTIONS
    return Grade(accuracy, solved, dict.fromkeys(letters, answer.says), right, accuracy)


def _response(puzzle: str, sample: int, grader: str, answer: Answer) -> Response:
    failed = answer.outcome == "failed"
    litellm = answer.cost_usd if isinstance(answer.litellm_usd, str) else answer.litellm_usd
    return Response(
        puzzle=puzzle,
        sample=sample,
        outcome=answer.outcome,
        grader=grader,
        grade=None if failed else _grade(answer),
        text="" if failed else "A. Library",
        reasoning=None,
        finish_reason=None if failed else "stop",
        usage=Usage() if failed else answer.usage,
        latency_s=answer.latency_s,
        compute_s=None,
        cost_usd=None if failed else answer.cost_usd,
        cost_parts=None,
        cost_litellm_usd=None if failed else litellm,
        model_id=answer.model_id,
        error="no reply" if failed else None,
        num_clues=answer.num_clues,
    )
