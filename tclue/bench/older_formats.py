"""Completes records of older formats, so that no response is ever requested a second time.

Early records lack the letters that are right, the accuracy on the main questions, and keys. All of
these follow from the puzzle and the text, so an early record is graded again while it is read.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tclue.errors import UserError
from tclue.puzzle.grading.grade import Grader
from tclue.puzzle.puzzle import Puzzle

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


def completed(
    record: Mapping[str, Any],
    puzzles: Mapping[str, Puzzle],
    grader: Grader,
    key: Callable[[str, int], str],
    where: str,
) -> dict[str, Any]:
    """An early record with its grade and its key. Raises UserError if that is impossible.

    `puzzles` are those of the run, by their ids.
    """
    puzzle = puzzles.get(str(record.get("puzzle")))
    text, sample = record.get("text"), record.get("sample")
    if puzzle is None or not isinstance(text, str) or not isinstance(sample, int):
        raise UserError(f"{where}: expected a text for a puzzle of this run")
    return {**record, "grade": vars(grader.grade(puzzle, text)), "key": key(puzzle.prompt, sample)}
