"""From the records of runs to the rows of the board.

* A row is one run, computed anew from `run.json` and `responses.jsonl`; nothing is taken from
  `summary.json`, which is itself derived.
* Rows share a table only when they were asked the same puzzles and graded alike: the same set
  name, the same SHA-256 of its file, the same number of puzzles from its start, the same grader.
* The frontier is drawn among the complete runs with a known cost above zero. Where answers are
  missing, accuracy stands on other puzzles than the rest, often easier ones.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from tclue.bench.folders import run_folders
from tclue.bench.records import Run, read_run, slug
from tclue.bench.stats import Estimate, summarize
from tclue.board.frontier import frontier
from tclue.board.labels import clean
from tclue.board.sanity import check_run


@dataclass(frozen=True)
class Row:
    """One run on the board. Accuracies and rates are fractions 0..1, costs US dollars."""

    # the variant, and after it the end of the run's name where two runs here share the variant
    label: str
    variant: str
    # name of the run's folder
    run: str
    grader: str
    # mean over puzzles with its 95% interval; None where nothing is scored yet
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    # share of responses with every question right, with its 95% interval
    solved: float | None
    solved_low: float | None
    solved_high: float | None
    # puzzles with a scored response, times that each was to be asked, scored responses
    puzzles: int
    samples: int
    responses: int
    # mean for one scored response; None where any is unknown
    cost_usd: float | None
    prompt_tokens: float | None
    completion_tokens: float | None
    # responses by outcome: scored for what they hold, but for failed ones
    truncated: int
    refused: int
    unparsed: int
    failed: int
    # responses that were to be asked for and have no record yet
    missing: int
    # nothing in the table beats it at its cost or less
    on_frontier: bool = False

    @property
    def complete(self) -> bool:
        """Whether every response that was to be asked for is there and scored."""
        return self.failed + self.missing == 0


@dataclass(frozen=True)
class RankedSet:
    """One table, plot and frontier: runs that were asked the same puzzles and graded alike."""

    # the name, and what tells it from the others where two sets share the name
    title: str
    name: str
    # SHA-256 of the puzzle file, and how many puzzles from its start were asked
    sha256: str
    puzzles: int
    grader: str
    # file name of the picture
    picture: str
    # most accurate first
    rows: tuple[Row, ...]


# What two runs must share to share a table.
_Key = tuple[str, int, str, str]


def read_sets(results: Path) -> tuple[RankedSet, ...]:
    """Every run below a results folder, by puzzle set; none where the folder is not there.

    Raises UserError, naming the file and the line, where a run's records cannot be read.
    """
    tables: defaultdict[_Key, list[Row]] = defaultdict(list)
    for folder in run_folders(results):
        run = read_run(folder)
        check_run(folder, run)
        config = run.config
        key = (clean(config.puzzle_set), config.puzzles, config.grader, config.puzzle_sha256)
        tables[key].append(_row(folder.name, run))
    sets = []
    # The picture of the published results has that name.
    stems = {"published"}
    for key in sorted(tables, key=_place):
        sets.append(_ranked_set(key, tables[key], plain=_stem(key) not in stems))
        stems.add(_stem(key))
    return tuple(sets)


def _place(key: _Key) -> tuple[str, int, bool, _Key]:
    """By name; of those that share it the whole set first, under the default grader.

    The first keeps the plain name, so that a trial on a few puzzles does not rename the others.
    """
    return _stem(key), -key[1], key[2] != "sound", key


def _row(folder_name: str, run: Run) -> Row:
    summary = summarize(run)
    accuracy, solved = _numbers(summary.accuracy), _numbers(summary.solved)
    return Row(
        label=clean(summary.variant),
        variant=summary.variant,
        run=folder_name,
        grader=summary.grader,
        accuracy=accuracy[0],
        accuracy_low=accuracy[1],
        accuracy_high=accuracy[2],
        solved=solved[0],
        solved_low=solved[1],
        solved_high=solved[2],
        puzzles=summary.puzzles,
        samples=summary.samples,
        responses=summary.responses,
        cost_usd=summary.cost_usd,
        prompt_tokens=summary.prompt_tokens,
        completion_tokens=summary.completion_tokens,
        truncated=summary.outcomes["truncated"],
        refused=summary.outcomes["refused"],
        unparsed=summary.outcomes["unparsed"],
        failed=summary.outcomes["failed"],
        missing=summary.missing,
    )


def _numbers(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (estimate.value, estimate.low, estimate.high) if estimate else (None, None, None)


def _stem(key: _Key) -> str:
    return slug(key[0]).lower()


def _ranked_set(key: _Key, rows: list[Row], plain: bool) -> RankedSet:
    name, puzzles, grader, sha256 = key
    title, stem = name, _stem(key)
    if not plain:
        title = f"{name} ({puzzles} puzzles, grader {grader}, file {sha256[:8]})"
        stem = f"{stem}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]}"
    return RankedSet(title, name, sha256, puzzles, grader, f"{stem}.svg", ranked(rows))


def ranked(rows: list[Row]) -> tuple[Row, ...]:
    """The rows of one table, most accurate first, told apart, those on the frontier marked."""
    rows = sorted(rows, key=_rank)
    in_race = [i for i, row in enumerate(rows) if row.complete and row.cost_usd and row.responses]
    on = frontier([(rows[i].cost_usd or 0.0, rows[i].accuracy or 0.0) for i in in_race])
    for i, is_on in zip(in_race, on, strict=True):
        rows[i] = replace(rows[i], on_frontier=is_on)
    runs = Counter(row.label for row in rows)
    return tuple(
        replace(row, label=f"{row.label} ({row.run.rpartition('--')[2]})")
        if runs[row.label] > 1
        else row
        for row in rows
    )


def _rank(row: Row) -> tuple[float, float, str, str]:
    """Most accurate first, then cheapest; the unknown last."""
    accuracy = -1.0 if row.accuracy is None else row.accuracy
    cost = float("inf") if row.cost_usd is None else row.cost_usd
    return -accuracy, cost, row.label, row.run
