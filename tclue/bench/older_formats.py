"""Records of older formats, filled in, so that no response is ever requested a second time.

Early records lack the letters that are right, the accuracy on the main questions, and keys. All of
that follows from the puzzle and the text, so an early record is graded again while it is read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grader
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import find_recorded

BUILT_IN = ("random", "solver")


def config_of_format_1(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `run.json` of format 1 as format 2 has them.

    The names of hosted models were litellm's, and were not part of the request.
    """
    prices = data.get("prices")
    if isinstance(prices, dict) and "list_version" in prices:
        origin = prices["list_version"]
        prices = {k: v for k, v in prices.items() if k != "list_version"}
        prices["origin"] = origin and f"litellm {origin}"
    upgraded = {"notes": [], "served_as": [], **data, "prices": prices}
    model, request = data.get("model"), data.get("request")
    if isinstance(request, dict) and not data.get("checkpoint") and model not in BUILT_IN:
        upgraded["request"] = {"model": model, **request}
    return upgraded


def is_early(record: Any) -> bool:
    """Whether a parsed record lacks what early versions did not write."""
    grade = record.get("grade") if isinstance(record, dict) else None
    return isinstance(grade, dict) and not {"right", "main_accuracy"} <= grade.keys()


class Completer:
    """Fills in early records of one run."""

    def __init__(
        self,
        puzzle_set: str,
        sha256: str,
        grader: Grader,
        key: Callable[[str, int], str],
        puzzles: Sequence[Puzzle] | None = None,
    ) -> None:
        """`puzzles` are those of the run; by default they are looked up by name and SHA-256."""
        self._set, self._sha256, self._puzzles = puzzle_set, sha256, puzzles
        self._grader, self._key = grader, key
        self._by_id: dict[str, Puzzle] | None = None

    def complete(self, record: Mapping[str, Any], where: str) -> dict[str, Any]:
        """The record with its grade and its key. Raises UserError if its puzzle is not at hand."""
        if self._by_id is None:
            self._by_id = {puzzle.id: puzzle for puzzle in self._puzzles or self._look_up(where)}
        puzzle = self._by_id.get(str(record.get("puzzle")))
        text, sample = record.get("text"), record.get("sample")
        if puzzle is None or not isinstance(text, str) or not isinstance(sample, int):
            raise UserError(f"{where}: expected a text for a puzzle of {self._set}")
        grade = vars(self._grader.grade(puzzle, text))
        return {**record, "grade": grade, "key": self._key(puzzle.prompt, sample)}

    def _look_up(self, where: str) -> Sequence[Puzzle]:
        if found := find_recorded(self._set, self._sha256):
            return found.puzzles
        raise UserError(
            f"{where}: a record of an early format, which is completed from its puzzle, and the "
            f"puzzles {self._set} are not at hand: run `tclue regrade RUN --puzzles FILE`"
        )
