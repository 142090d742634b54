"""The summary of texts that were made elsewhere (`tclue grade`), with the intervals of runs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tclue.bench.stats.intervals import Estimate, mean, mean_interval, rate_interval
from tclue.puzzle.grading.grade import Grade, Graded
from tclue.puzzle.grading.shape import Unread, shape, unread
from tclue.puzzle.puzzle import Puzzle


@dataclass(frozen=True)
class GradeSummary:
    """The numbers of a response file."""

    # over puzzles, each the mean of its responses; None if nothing was scored
    accuracy: Estimate | None
    solved: Estimate | None
    # puzzles with a scored response, and those of the puzzle file without one
    puzzles: int
    puzzles_without_response: int
    # scored responses, and those of them without a text
    responses: int
    responses_without_text: int
    # requests of a run that failed
    failed: int
    # scored responses with a text of which no answer was read; None if there are none
    unread: Unread | None


def summarize_grades(puzzles: Sequence[Puzzle], graded: Sequence[Graded]) -> GradeSummary:
    """The summary of the grades of a response file to these puzzles."""
    by_puzzle: defaultdict[str, list[Grade]] = defaultdict(list)
    for response in graded:
        if response.grade:
            by_puzzle[response.puzzle.id].append(response.grade)
    # A response that names its prompt answers every copy of that prompt.
    answered = {response.puzzle.prompt for response in graded if response.grade}
    shapes = [
        shape(response.puzzle, response.text)
        for response in graded
        if response.grade and not response.grade.answered and response.text.strip()
    ]
    return GradeSummary(
        mean_interval([mean(each.accuracy for each in grades) for grades in by_puzzle.values()]),
        rate_interval([mean(each.solved for each in grades) for grades in by_puzzle.values()]),
        len(by_puzzle),
        sum(puzzle.prompt not in answered for puzzle in puzzles),
        sum(map(len, by_puzzle.values())),
        sum(bool(response.grade) and not response.text.strip() for response in graded),
        sum(response.grade is None for response in graded),
        unread(shapes, sum(map(len, by_puzzle.values()))),
    )
