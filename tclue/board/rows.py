"""From the records of runs to the rows of the board; docs/howto/leaderboard.md has the rules.

* A row is one run, computed from `run.json` and `responses.jsonl`; `summary.json`, which is derived
  from them too, is not read.
* Rows share a table only if they were asked the same puzzles and graded in the same way: the same
  set name, the same SHA-256 of its file, the same version of the same grader.
* The frontier is drawn among the complete runs that cost something and beat `random`. Where
  responses are missing, the accuracy is that of other puzzles, often easier ones.
* Each row on the frontier is compared with the next cheaper one on it, puzzle by puzzle; each step
  of a training run with the row of the weights that it began with, asked in the same way.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from operator import attrgetter
from pathlib import Path

from tclue.bench.costs.price_book import PriceBook
from tclue.bench.records import read_config, run_folders, slug
from tclue.bench.stats.compare import Difference, compare_scores
from tclue.bench.stats.run_numbers import RunNumbers, read_numbers
from tclue.board.notes import labels, seed_text, shorten
from tclue.errors import UserError
from tclue.puzzle.splits import shipped_sizes
from tclue.text import clean, shortened


@dataclass(frozen=True)
class Neighbour:
    """Another row, and how much more accurate this one is."""

    run: str
    accuracy: Difference


@dataclass(frozen=True, kw_only=True)
class Row(RunNumbers):
    """One run on the board. Accuracies and rates are fractions 0..1, costs US dollars."""

    # the variant, and after it what tells the runs apart where two here share the variant
    label: str
    # name of the run's folder
    run: str
    # nothing in the table beats it at its cost or less
    on_frontier: bool = False
    # the next cheaper row on the frontier; None for the cheapest, and for rows that are not on it
    neighbour: Neighbour | None = None
    # of trained weights, the row of those that training began with; None if it is not here
    base: Neighbour | None = None
    # the same run with other seeds
    seeds: tuple[Row, ...] = ()

    @property
    def accuracy(self) -> float | None:
        """None if nothing is scored yet."""
        return self.summary.accuracy.value if self.summary.accuracy else None

    @property
    def cost_usd(self) -> float | None:
        """Mean for one scored response; None if any is unknown."""
        return self.summary.cost_usd

    @property
    def is_level(self) -> bool:
        """Whether this is `random` or `solver`: chance and the ceiling, not models."""
        return self.config.model in ("random", "solver")

    @property
    def like_neighbour(self) -> bool:
        """Whether its difference from its neighbour on the frontier may be chance."""
        return self.neighbour is not None and not self.neighbour.accuracy.significant


@dataclass(frozen=True)
class RankedSet:
    """One table, plot and frontier: runs that were asked the same puzzles and graded alike."""

    # the name, and what distinguishes it from the others where two sets share the name
    title: str
    name: str
    # SHA-256 of the puzzle file, and its number of puzzles
    sha256: str
    puzzles: int
    grader: str
    grader_version: int
    # what the names of its pictures begin with
    stem: str
    # most accurate first
    rows: tuple[Row, ...]
    # `solver` and `random`
    levels: tuple[Row, ...] = ()
    # runs on a part of the puzzles, and runs without a scored response
    partial: tuple[Row, ...] = ()
    unscored: tuple[Row, ...] = ()

    @property
    def measured(self) -> list[Row]:
        """Every run on all puzzles that has a scored response, the folded ones and levels too."""
        return [run for row in (*self.rows, *self.levels) for run in (row, *row.seeds)]


# What two runs must share to share a table: set, grader, SHA-256, version of the grader.
_Key = tuple[str, str, str, int]


@dataclass(frozen=True)
class LeftOut:
    """A run that is not on the board, because its records cannot be read."""

    run: str
    # one line
    reason: str


# The settings of a run's requests, the seed first; a table's rows share puzzles and grader.
request_settings = attrgetter("seed", "temperature", "samples", "max_tokens", "dtype", "api_base")


def read_sets(
    results: Path,
    book: PriceBook | None = None,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
) -> tuple[tuple[RankedSet, ...], tuple[LeftOut, ...]]:
    """Every run below a results folder, by puzzle set, and the runs that cannot be read.

    If the folder does not exist, there are no runs. `book` prices responses a second time. `only`
    and `without` choose runs, by a pattern for the names of their folders or variants (`tiny*`) or
    the beginning of a folder's name. Raises UserError if a pattern fits no run.
    """
    folders = run_folders(results)
    chosen = set(_fitting("--only", only, folders) if only else folders)
    chosen -= set(_fitting("--without", without, folders))
    if folders and not chosen:
        raise UserError("--only and --without leave no run: expected one or more")
    tables: defaultdict[_Key, list[Row]] = defaultdict(list)
    left_out = []
    for folder in sorted(chosen):
        try:
            run = read_numbers(folder, book)
        except (UserError, OSError) as error:
            left_out.append(LeftOut(folder.name, shortened(str(error))))
            continue
        config = run.config
        if folder.name != config.run_name and (results / config.run_name).exists():
            left_out.append(LeftOut(folder.name, f"{folder}: a second copy of {config.run_name}"))
            continue
        key = (
            *(clean(config.puzzle_set), config.grader, config.puzzle_sha256),
            config.grader_version,
        )
        tables[key].append(Row(**vars(run), label=clean(config.variant), run=folder.name))
    sets = []
    # The picture of the published results has that name.
    stems = {"published"}
    for key in sorted(tables, key=lambda k: (_stem(k), k[1] != "sound", *k[:3], -k[3])):
        # The picture for dark pages has the ending -dark.
        plain = _stem(key) not in stems and not _stem(key).endswith("-dark")
        sets.append(_ranked_set(key, tables[key], plain))
        stems.add(_stem(key))
    return tuple(sets), tuple(left_out)


def _fitting(option: str, patterns: Sequence[str], folders: Sequence[Path]) -> Iterator[Path]:
    for pattern in patterns:
        fitting = [folder for folder in folders if _fits(folder, pattern)]
        if not pattern or not fitting:
            raise UserError(
                f"{option} {pattern}: no run has such a name: expected the beginning of a run's "
                "name, or a pattern such as 'tiny*'; `tclue results` lists the runs"
            )
        yield from fitting


def _fits(folder: Path, pattern: str) -> bool:
    if folder.name.startswith(pattern) or fnmatchcase(folder.name, pattern):
        return True
    try:
        return fnmatchcase(read_config(folder).variant, pattern)
    except UserError:
        return False  # a run that cannot be read can be left out by its name


def _stem(key: _Key) -> str:
    return slug(key[0]).lower()[:200]


def _ranked_set(key: _Key, rows: Sequence[Row], plain_name: bool) -> RankedSet:
    name, grader, sha256, version = key
    title, stem = shorten(name), _stem(key)
    if not plain_name:
        title += f" (grader {grader}, version {version}, file {sha256[:8]})"
        stem = f"{stem}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]}"
    size = shipped_sizes().get(sha256) or max(
        (row.config.puzzles for row in rows if row.config.limit is None), default=0
    )
    whole = [row for row in rows if row.config.puzzles == size]
    scored = [row for row in whole if row.summary.responses]
    levels = _labelled(_fold_seeds([row for row in scored if row.is_level]))
    apart = [row for row in rows if row.config.puzzles != size and row.summary.responses]
    return RankedSet(
        title,
        name,
        sha256,
        size or max(row.config.puzzles for row in rows),
        grader,
        version,
        stem,
        ranked([row for row in scored if not row.is_level], chance_of(levels)),
        levels,
        _labelled(sorted(apart, key=lambda row: (-row.config.puzzles, *_rank(row)))),
        _labelled(sorted((r for r in rows if not r.summary.responses), key=lambda r: r.run)),
    )


def chance_of(levels: Sequence[Row]) -> float:
    """The accuracy of a complete run of `random`, which a row has to beat; -1 without one."""
    complete = [r for r in levels if r.config.model == "random" and r.summary.complete]
    return (complete[0].accuracy or 0.0) if complete else -1.0


def ranked(rows: Sequence[Row], chance: float = -1.0) -> tuple[Row, ...]:
    """The rows of one table, most accurate first, distinguished, those on the frontier marked."""
    everything = list(rows)
    rows = _fold_seeds(rows)
    in_race = [
        i
        for i, row in enumerate(rows)
        if row.summary.complete and row.cost_usd and (row.accuracy or 0.0) > chance
    ]
    points = [(rows[i].cost_usd or 0.0, rows[i].accuracy or 0.0) for i in in_race]
    best = [i for i, is_on in zip(in_race, frontier(points), strict=True) if is_on]
    # Most accurate first is dearest first: the next of them is the next cheaper.
    for position, i in enumerate(best):
        cheaper = [rows[j] for j in best[position + 1 : position + 2]]
        neighbour = compared(rows[i], cheaper[0]) if cheaper else None
        rows[i] = replace(rows[i], on_frontier=True, neighbour=neighbour)
    for i, row in enumerate(rows):
        if base := base_of(row, everything):
            rows[i] = replace(row, base=compared(row, base))
    return _labelled(rows)


def frontier(points: Sequence[tuple[float, float]]) -> list[bool]:
    """For each (cost_usd, accuracy), whether it is on the frontier: no other beats it.

    One beats another if it costs no more, is at least as accurate, and is better in one of the two.
    Any order, O(n log n).
    """
    on = [False] * len(points)
    best_cost, best_accuracy = float("inf"), float("-inf")
    # Cheapest first, and of those the most accurate first: only what came before can beat a point.
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        cost, accuracy = points[i]
        if accuracy > best_accuracy:
            best_cost, best_accuracy = cost, accuracy
        on[i] = (cost, accuracy) == (best_cost, best_accuracy)
    return on


def base_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row of the weights that this row's training began with; None if there is none.

    It holds those weights, by their SHA-256, whatever it is called, and has the same settings.
    """
    trained = row.config.trained
    if trained is None or trained.base_checkpoint is None:
        return None
    bases = [
        other
        for other in rows
        if other.config.checkpoint == trained.base_checkpoint
        and request_settings(other.config) == request_settings(row.config)
        and other.run != row.run
    ]
    # Runs may hold these weights under several names: prefer the name that training used.
    return min(bases, key=lambda o: (o.config.model != trained.base, o.run), default=None)


def _fold_seeds(rows: Sequence[Row]) -> list[Row]:
    """The rows in their order, those that differ in their seed alone below the one shown.

    The one shown is the complete one of the lowest seed, whatever its accuracy.
    """
    groups: defaultdict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        config = row.config
        request = json.dumps(config.request, sort_keys=True)
        key = (config.variant, config.checkpoint, request, *request_settings(config)[1:])
        groups[key].append(row)
    shown = []
    for group in groups.values():
        group.sort(key=lambda row: (not row.summary.complete, row.config.seed or 0, row.run))
        if len({row.config.seed for row in group}) == len(group):
            shown.append(replace(group[0], seeds=tuple(group[1:])))
        else:
            shown += group
    return sorted(shown, key=_rank)


def _labelled(rows: Sequence[Row]) -> tuple[Row, ...]:
    names = labels([(row.run, row.config) for row in rows])
    labelled = []
    for row, name in zip(rows, names, strict=True):
        seeds = [replace(run, label=f"{name}, {seed_text(run.config)}") for run in row.seeds]
        labelled.append(replace(row, label=name, seeds=tuple(seeds)))
    return tuple(labelled)


def compared(row: Row, other: Row) -> Neighbour | None:
    """How a row differs from another, puzzle by puzzle; None if they share too few puzzles."""
    differences = compare_scores(row.scores, other.scores)
    return Neighbour(other.run, differences[0]) if differences else None


def _rank(row: Row) -> tuple[float, float, str, str]:
    """Most accurate first, then cheapest; rows with unknown numbers are last."""
    accuracy = -1.0 if row.accuracy is None else row.accuracy
    cost = float("inf") if row.cost_usd is None else row.cost_usd
    return -accuracy, cost, row.label, row.run
