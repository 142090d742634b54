"""From the records of runs to the rows of the board.

* A row is one run, computed anew from `run.json` and `responses.jsonl`; nothing is taken from
  `summary.json`, which is itself derived.
* Rows share a table only when they were asked the same puzzles and graded alike: the same set
  name, the same SHA-256 of its file, the same number of puzzles from its start, the same grader.
* The frontier is drawn among the complete runs with a known cost above zero. Where answers are
  missing, accuracy stands on other puzzles than the rest, often easier ones.
* Each row on the frontier is compared with the next cheaper one on it, puzzle by puzzle; each step
  of a training run with the row of the weights that it began with, asked in the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tclue.bench.records import RunConfig, iter_responses, read_config, run_folders, slug
from tclue.bench.stats.compare import Difference, compare_scores
from tclue.bench.stats.summary import Summary, summary
from tclue.bench.stats.tally import Reprice, Scores, Tally, puzzle_scores, tally
from tclue.board.frontier import frontier
from tclue.board.labels import clean
from tclue.board.lineage import base_of
from tclue.board.record_checks import checked
from tclue.board.row_labels import labels
from tclue.text import counted


@dataclass(frozen=True)
class Neighbour:
    """Another row, and how much more accurate this one is."""

    run: str
    accuracy: Difference


@dataclass(frozen=True)
class Row:
    """One run on the board. Accuracies and rates are fractions 0..1, costs US dollars."""

    # the variant, and after it what tells the runs apart where two here share the variant
    label: str
    # name of the run's folder
    run: str
    config: RunConfig
    summary: Summary
    # puzzle -> its means over samples
    scores: Mapping[str, Scores]
    # nothing in the table beats it at its cost or less
    on_frontier: bool = False
    # the next cheaper row on the frontier; None for the cheapest, and for rows that are not on it
    neighbour: Neighbour | None = None
    # of trained weights, the row of those that training began with; None where it is not here
    base: Neighbour | None = None

    @property
    def accuracy(self) -> float | None:
        """None where nothing is scored yet."""
        return self.summary.accuracy.value if self.summary.accuracy else None

    @property
    def cost_usd(self) -> float | None:
        """Mean for one scored response; None where any is unknown."""
        return self.summary.cost_usd

    @property
    def in_race(self) -> bool:
        """Whether it may stand on the frontier."""
        return bool(self.summary.complete and self.summary.cost_usd and self.summary.responses)

    @property
    def like_neighbour(self) -> bool:
        """Whether its difference from its neighbour on the frontier may be chance."""
        return self.neighbour is not None and not self.neighbour.accuracy.significant


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


def read_sets(results: Path, reprice: Reprice | None = None) -> tuple[RankedSet, ...]:
    """Every run below a results folder, by puzzle set; none where the folder is not there.

    `reprice` gives a response's cost at the price book's prices. Raises UserError, naming the file
    and the line, where a run's records cannot be read.
    """
    tables: defaultdict[_Key, list[Row]] = defaultdict(list)
    for folder in run_folders(results):
        run = read_tally(folder, reprice)
        config = run.config
        key = (clean(config.puzzle_set), config.puzzles, config.grader, config.puzzle_sha256)
        label = clean(config.variant)
        tables[key].append(Row(label, folder.name, config, summary(run), puzzle_scores(run)))
    sets = []
    # The picture of the published results has that name.
    stems = {"published"}
    for key in sorted(tables, key=_set_order):
        sets.append(_ranked_set(key, tables[key], plain_name=_stem(key) not in stems))
        stems.add(_stem(key))
    return tuple(sets)


def read_tally(folder: Path, reprice: Reprice | None = None) -> Tally:
    """Read and check a run's records, and keep what its numbers are made of.

    Raises UserError, naming the file and the line, where no run writes them so.
    """
    config = read_config(folder)
    responses = iter_responses(folder, texts=False)
    return tally(config, checked(folder, config, responses), reprice)


def _set_order(key: _Key) -> tuple[str, int, bool, _Key]:
    """Sort by name, then the most puzzles first, then the default grader first.

    The first keeps the plain name, so that a trial on a few puzzles does not rename the others.
    """
    return _stem(key), -key[1], key[2] != "sound", key


def _stem(key: _Key) -> str:
    return slug(key[0]).lower()


def _ranked_set(key: _Key, rows: list[Row], plain_name: bool) -> RankedSet:
    name, puzzles, grader, sha256 = key
    title, stem = name, _stem(key)
    if not plain_name:
        title = f"{name} ({counted(puzzles, 'puzzle')}, grader {grader}, file {sha256[:8]})"
        stem = f"{stem}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]}"
    return RankedSet(title, name, sha256, puzzles, grader, f"{stem}.svg", ranked(rows))


def ranked(rows: list[Row]) -> tuple[Row, ...]:
    """The rows of one table, most accurate first, told apart, those on the frontier marked."""
    rows = sorted(rows, key=_rank)
    in_race = [i for i, row in enumerate(rows) if row.in_race]
    points = [(rows[i].cost_usd or 0.0, rows[i].accuracy or 0.0) for i in in_race]
    best = [i for i, is_on in zip(in_race, frontier(points), strict=True) if is_on]
    # Most accurate first is dearest first: the next of them is the next cheaper.
    for position, i in enumerate(best):
        cheaper = [rows[j] for j in best[position + 1 : position + 2]]
        neighbour = _neighbour(rows[i], cheaper[0]) if cheaper else None
        rows[i] = replace(rows[i], on_frontier=True, neighbour=neighbour)
    for i, row in enumerate(rows):
        if base := base_of(row, rows):
            rows[i] = replace(row, base=_neighbour(row, base))
    row_labels = labels([(row.run, row.config) for row in rows])
    return tuple(replace(row, label=label) for row, label in zip(rows, row_labels, strict=True))


def _neighbour(row: Row, cheaper: Row) -> Neighbour | None:
    differences = compare_scores(row.scores, cheaper.scores)
    return Neighbour(cheaper.run, differences[0]) if differences else None


def _rank(row: Row) -> tuple[float, float, str, str]:
    """Most accurate first, then cheapest; the unknown last."""
    accuracy = -1.0 if row.accuracy is None else row.accuracy
    cost = float("inf") if row.cost_usd is None else row.cost_usd
    return -accuracy, cost, row.label, row.run
