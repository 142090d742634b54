"""Small run folders for the tests of the board, written by the run's own writer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tclue.bench.costs import Prices, Usage
from tclue.bench.records import Outcome, Response, RunConfig, RunFolder
from tclue.puzzle.grade import Grade

SHA256 = "ab" * 32


@dataclass(frozen=True)
class Answer:
    """What one response is worth."""

    accuracy: float = 0.5
    cost_usd: float | None = 0.01
    outcome: Outcome = "answered"


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
) -> Path:
    """A run whose responses are these, puzzle by puzzle; as many puzzles as fit unless said."""
    total = puzzles or -(-len(answers) // samples)
    config = RunConfig(
        variant=variant,
        model=variant,
        puzzle_set=puzzle_set,
        puzzle_sha256=sha256,
        puzzles=total,
        limit=None,
        samples=samples,
        seed=seed,
        temperature=None,
        max_tokens=None,
        grader=grader,
        prices=Prices("given", "2026-01-01"),
    )
    with RunFolder(results, config) as folder:
        for i, answer in enumerate(answers):
            folder.append(_response(f"p{i // samples:03}", i % samples, grader, answer))
        return folder.path


def _grade(answer: Answer) -> Grade:
    right = answer.accuracy == 1
    return Grade(answer.accuracy, right, {"A": "Library"}, ("A",) if right else (), answer.accuracy)


def _response(puzzle: str, sample: int, grader: str, answer: Answer) -> Response:
    failed = answer.outcome == "failed"
    return Response(
        puzzle=puzzle,
        sample=sample,
        outcome=answer.outcome,
        grader=grader,
        grade=None if failed else _grade(answer),
        text="" if failed else "A. Library",
        reasoning=None,
        finish_reason=None if failed else "stop",
        usage=Usage() if failed else Usage(1000, 50),
        latency_s=1.0,
        compute_s=None,
        cost_usd=None if failed else answer.cost_usd,
        cost_parts=None,
        error="no reply" if failed else None,
    )
