"""The numbers of a run folder: checked records, and what the board and `tclue results` show.

A record that no run writes is refused, with its file and line.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tclue.bench.costs.price_book import Entry, PriceBook
from tclue.bench.records import (
    Response,
    Run,
    RunConfig,
    iter_responses,
    read_config,
    response_file,
    without_texts,
)
from tclue.bench.stats.cached import entry_name, load, save
from tclue.bench.stats.summary import Scores, Summary, scores, summary
from tclue.errors import UserError
from tclue.puzzle.grading.shape import shape, unread
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.splits import SPLITS, find_recorded
from tclue.strict import STRICT


@dataclass(frozen=True)
class RunNumbers:
    """What a run's records say, without its responses."""

    __pydantic_config__ = STRICT

    config: RunConfig
    summary: Summary
    # puzzle -> its means over samples
    scores: Mapping[str, Scores]
    # the day of the last scored response (UTC); None if the records do not say
    day: str | None


def read_numbers(folder: Path, book: PriceBook | None = None) -> RunNumbers:
    """The numbers of a run folder; with a price book, responses are priced by it too.

    They come from the cache if it has those of the same records, prices and program. Raises
    UserError, naming the file and the line, if no run writes such records.
    """
    name = _entry_name(folder, config := read_config(folder), book)
    if cached := load(RunNumbers, name):
        return cached
    prices = entry.prices if (entry := _entry(config, book)) else None
    shapes: dict[tuple[str, int], str | None] = {}
    responses = []
    for response in checked(folder, config, iter_responses(folder, config)):
        if response.scored and response.pair not in shapes:  # of several, the first counts
            shapes[response.pair] = _shape(response, config)
        responses.append(without_texts(response))
    run = Run(config, tuple(responses))
    by_puzzle = {puzzle: scores(responses) for puzzle, responses in run.by_puzzle().items()}
    days = [
        day[0]
        for response in run.responses
        if response.scored and (day := re.match(r"\d{4}-\d\d-\d\d", response.at or ""))
    ]
    seen = unread([each for each in shapes.values() if each is not None], len(shapes))
    found = RunNumbers(config, summary(run, prices, seen), by_puzzle, max(days, default=None))
    # Records that change while they are read are not kept, because it is unknown what was read.
    if _entry_name(folder, read_config(folder), book) == name:
        save(name, found)
    return found


def _shape(response: Response, config: RunConfig) -> str | None:
    """The shape of a scored text of which no answer was read; None for other responses.

    It is "" unless the puzzles are shipped, so that it is the same on every machine.
    """
    if not response.grade or response.grade.answered or not response.text.strip():
        return None
    puzzle = _shipped(config.puzzle_set, config.puzzle_sha256).get(response.puzzle)
    return shape(puzzle, response.text) if puzzle else ""


@lru_cache(maxsize=len(SPLITS))
def _shipped(name: str, sha256: str) -> Mapping[str, Puzzle]:
    """The puzzles of a shipped set by their ids; none for other sets."""
    found = find_recorded(name, sha256) if name in SPLITS else None
    return {puzzle.id: puzzle for puzzle in found.puzzles} if found else {}


def _entry_name(folder: Path, config: RunConfig, book: PriceBook | None) -> str:
    """The name in the cache of the numbers that these records and prices give."""
    records = hashlib.sha256()
    if path := response_file(folder):  # a run may have no responses so far
        with path.open("rb") as file:
            records = hashlib.file_digest(file, "sha256")
    price = repr(_entry(config, book))
    return entry_name(folder.name, config.to_dict(), price, records.hexdigest())


def _entry(config: RunConfig, book: PriceBook | None) -> Entry | None:
    """The book's entry for a run's model; it has no price for a user's own server."""
    hosted = config.request.get("model") if not config.api_base else None
    return book.find(hosted) if book and hosted else None


def checked(folder: Path, config: RunConfig, responses: Iterable[Response]) -> Iterator[Response]:
    """The responses of a run, in the order of the lines of its file.

    Raises UserError, naming the file and the line, for values that no run writes.
    """
    asked, file = config.puzzles * config.samples, str(folder / "responses.jsonl")
    pairs: set[tuple[str, int]] = set()
    letters: dict[str, list[str]] = {}
    for number, response in enumerate(responses, 1):
        where = f"{file}, line {number}"
        if wrong := _wrong(response, config):
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


def _wrong(response: Response, config: RunConfig) -> str | None:
    """What is wrong with a line, and what is expected; None if nothing is."""
    if response.sample >= config.samples:
        return f"sample is {response.sample}: expected 0 to {config.samples - 1}"
    if not response.scored:
        return None
    if response.grade is None:
        return f"the outcome is {response.outcome}, and there is no grade: expected one"
    graders = [f"{each.grader} (version {each.grader_version})" for each in (response, config)]
    if graders[0] != graders[1]:
        return (
            f"graded by {graders[0]}: expected {graders[1]}, as run.json says; `tclue regrade RUN` "
            "grades the run's texts again"
        )
    return None
