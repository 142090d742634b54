"""Checks of the records that the board shows numbers from.

Records may be edited by hand or come from elsewhere. Each value was checked when its line was read;
these checks are about values that do not fit together.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from tclue.bench.records import Response, RunConfig
from tclue.errors import UserError


def checked(folder: Path, config: RunConfig, responses: Iterable[Response]) -> Iterator[Response]:
    """The responses of a run, in the order of the lines of its file.

    Raises UserError, naming the file and the line, for values that no run writes.
    """
    asked = config.puzzles * config.samples
    pairs: set[tuple[str, int]] = set()
    letters: dict[str, list[str]] = {}
    for number, response in enumerate(responses, 1):
        where = f"{folder / 'responses.jsonl'}, line {number}"
        if wrong := _wrong(response, config.samples, config.grader):
            raise UserError(f"{where}: {wrong}")
        pairs.add(response.pair)
        if len(pairs) > asked:
            raise UserError(f"{where}: expected at most {asked} responses, as run.json says")
        if response.grade:
            asks = sorted(response.grade.answers)
            if asks != letters.setdefault(response.puzzle, asks):
                expected = ", ".join(letters[response.puzzle])
                raise UserError(f"{where}: answers to {', '.join(asks)}: expected {expected}")
        yield response


def _wrong(response: Response, samples: int, grader: str) -> str | None:
    """What is wrong with a line, and what is expected; None if nothing is."""
    grade = response.grade
    if response.sample >= samples:
        return f"sample is {response.sample}: expected 0 to {samples - 1}"
    if not response.scored:
        return None
    if grade is None:
        return f"the outcome is {response.outcome}, and there is no grade: expected one"
    if not set(grade.right) <= grade.answers.keys():
        return f"right is {list(grade.right)!r}: expected letters of its answers"
    if response.grader != grader:
        return f"graded by {response.grader}: expected {grader}, as run.json says"
    return None
