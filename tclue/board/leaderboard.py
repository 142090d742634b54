"""The leaderboard: `tclue leaderboard [--results DIR] [--board DIR] [--check]`.

A board is `README.md`, a picture for each puzzle set and one of the published results, each for
light and for dark pages, and `board.json` with the same rows as data. It is derived from the run
folders and the figures in this package alone: no clock, no path, a fixed order, and numbers rounded
before they are written. So the same records give the same Markdown and `board.json`, byte for byte,
on any machine, if the way from the board to the run folders, which the links follow, is the same.
Of a picture, the digest of its data is the same (see `drawing`).
"""

import json
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tclue.bench.costs.price_book import SHIPPED, read_book
from tclue.board.drawing import DARK, LIGHT, data_digest, is_of_a_board
from tclue.board.figures import Chart, Point, rounded
from tclue.board.markdown import page
from tclue.board.notes import notes
from tclue.board.published_figures import PICTURE, Published, read_published
from tclue.board.rows import LeftOut, RankedSet, Row, read_sets, request_settings
from tclue.errors import UserError
from tclue.journal import replace
from tclue.text import clean, counted

# The format of `board.json`.
FORMAT = 2


@dataclass(frozen=True)
class Board:
    """What the leaderboard shows: measured sets, and apart from them the published results."""

    sets: tuple[RankedSet, ...]
    published: Published
    # day of the price book that costs are repriced with
    price_book: str
    # runs that cannot be read
    left_out: tuple[LeftOut, ...] = ()

    @property
    def runs(self) -> list[str]:
        """The names of all run folders that it is made from."""
        groups = ("rows", "levels", "partial", "unscored")
        rows = [row for ranked in self.sets for name in groups for row in getattr(ranked, name)]
        return sorted(run.run for row in rows for run in (row, *row.seeds))

    @property
    def warnings(self) -> list[str]:
        """A line for each run that is left out."""
        return [f"left out of the board: {run.reason}" for run in self.left_out]

    @cached_property  # a digest of each is needed several times
    def charts(self) -> dict[str, Chart]:
        """The beginning of a picture's file name -> its chart; a set without a point has none."""
        charts = {ranked.stem: set_chart(ranked) for ranked in self.sets}
        shown = {stem: chart for stem, chart in charts.items() if chart.points}
        return {**shown, PICTURE: published_chart(self.published)}


def build(results_dir: Path, only: Sequence[str] = (), without: Sequence[str] = ()) -> Board:
    """The board that a results folder gives; an empty or missing one gives published rows alone.

    `only` and `without` choose runs, as `read_sets` describes. Runs that cannot be read are left
    out: whoever shows or writes the board has to say so.
    """
    book = read_book(SHIPPED)  # not the user's own: the board is the same on any machine
    sets, left_out = read_sets(results_dir, book, only, without)
    return Board(sets, read_published(), book.date, left_out)


def texts(board: Board, results: str = "../results") -> dict[str, bytes]:
    """file name -> content, of the page and the data; `results` leads from the page to the runs."""
    titles = {stem: chart.title for stem, chart in board.charts.items()}
    written = page(board.sets, board.published, board.price_book, titles, results)
    return {"README.md": written.encode(), "board.json": _json(board).encode()}


def write(board: Board, board_dir: Path, results_dir: Path) -> None:
    """Write the board's files, and delete pictures that an earlier board left behind.

    A picture that still shows the same data is not drawn again. Raises UserError if the folder
    cannot be written.
    """
    try:
        board_dir.mkdir(parents=True, exist_ok=True)
        contents, pictures = texts(board, _way(board_dir, results_dir)), picture_names(board)
        for name in _wrong(board, board_dir, contents):
            path = board_dir / name
            if name in contents:
                replace(path, [contents[name]])
            elif name in pictures:
                chart = board.charts[name.removesuffix(".svg").removesuffix("-dark")]
                replace(path, [chart.draw(DARK if name.endswith("-dark.svg") else LIGHT)])
            else:
                path.unlink()
    except OSError as error:
        raise UserError(f"{board_dir}: the board cannot be written: {error.strerror}") from None


def check(board: Board, board_dir: Path, results_dir: Path) -> list[str]:
    """The names of the board's files that do not match the records, sorted; none if all do.

    A file that is missing counts, and so does a picture that an earlier board left behind.
    """
    return _wrong(board, board_dir, texts(board, _way(board_dir, results_dir)))


def _wrong(board: Board, board_dir: Path, contents: Mapping[str, bytes]) -> list[str]:
    pictures, wrong = picture_names(board), []
    for name in sorted({*contents, *pictures, *(path.name for path in board_dir.glob("*.svg"))}):
        found = path.read_bytes() if (path := board_dir / name).is_file() else None
        if name in contents:
            differs = found != contents[name]
        elif name in pictures:
            differs = found is None or data_digest(found) != pictures[name]
        else:
            differs = found is not None and is_of_a_board(found)
        wrong += [name] if differs else []
    return wrong


def _way(board_dir: Path, results_dir: Path) -> str:
    """The relative path from the board to the run folders."""
    return Path(os.path.relpath(results_dir.resolve(), board_dir.resolve())).as_posix()


def picture_names(board: Board) -> dict[str, str]:
    """file name of a picture -> the digest of the data that it has to show."""
    return {
        f"{stem}{theme}.svg": chart.digest
        for stem, chart in board.charts.items()
        for theme in ("", "-dark")
    }


def _json(board: Board) -> str:
    data = {
        "format": FORMAT,
        "sets": [_json_set(ranked, f"{ranked.stem}.svg") for ranked in board.sets],
        "price_book": board.price_book,
        "published": {**asdict(board.published), "picture": f"{PICTURE}.svg"},
    }
    return json.dumps(rounded(data), indent=2) + "\n"


def _json_set(ranked: RankedSet, picture: str) -> dict[str, Any]:
    """A set, and its runs by how the page shows them; a row's other seeds follow it."""
    groups = {name: getattr(ranked, name) for name in ("rows", "levels", "partial", "unscored")}
    plain = {name: value for name, value in vars(ranked).items() if name not in {*groups, "stem"}}
    shown = {
        name: [_json_row(run) for row in rows for run in (row, *row.seeds)]
        for name, rows in groups.items()
    }
    return {**plain, "picture": picture, **shown}


def _json_row(row: Row) -> dict[str, Any]:
    """The row and all of its summary, accuracy and solved as plain numbers."""
    numbers = asdict(row.summary)
    flat: dict[str, Any] = {"label": row.label, "variant": row.summary.variant, "run": row.run}
    for name in ("accuracy", "solved"):
        mean = numbers.pop(name) or {"value": None, "low": None, "high": None}
        flat |= {name: mean["value"], f"{name}_low": mean["low"], f"{name}_high": mean["high"]}
    outcomes = numbers.pop("outcomes")
    training: dict[str, Any] = {}
    if trained := row.config.trained:
        training = {"trained": asdict(trained), "base": row.base and asdict(row.base)}
    return {
        **flat,
        "day": row.day,
        "on_frontier": row.on_frontier,
        "neighbour": row.neighbour and asdict(row.neighbour),
        **training,
        "notes": notes(row.summary),
        "prices": row.config.prices.to_dict(),
        **outcomes,
        **{name: value for name, value in numbers.items() if name not in flat},
    }


def set_chart(ranked: RankedSet) -> Chart:
    """Accuracy against cost; against output tokens where no model of the table has a price."""
    priced = any(row.cost_usd for row in ranked.rows)
    rows = [row for row in ranked.rows if _x(row, priced) is not None]
    axis = "cost" if priced else "output tokens"
    grader = f"grader {clean(ranked.grader)} (version {ranked.grader_version})"
    return Chart(
        f"{clean(ranked.title)}: accuracy against {axis}",
        f"{counted(ranked.puzzles, 'puzzle')}, {grader}; bars are 95% intervals",
        tuple(_point(row, priced) for row in rows),
        priced,
        tuple(map(tuple, paths(rows))),
        tuple((row.label, row.accuracy or 0.0) for row in ranked.levels),
    )


def published_chart(published: Published) -> Chart:
    """The published figures, marked as quoted."""
    return Chart(
        "Published results: accuracy against cost",
        "Quoted from OpenPipe, March 2025, not measured here; 64 puzzles",
        tuple(
            Point(row.label, 1000 * row.cost_usd, row.accuracy, on_frontier=row.on_frontier)
            for row in published.rows
        ),
        paths=tuple(
            (before, after)
            for after, row in enumerate(published.rows)
            for before, base in enumerate(published.rows)
            if row.model == f"{base.model}, after GRPO"
        ),
    )


def _x(row: Row, priced: bool) -> float | None:
    """Where a row stands on the x axis; None if that is unknown, and for 0 tokens."""
    if priced:
        return None if row.cost_usd is None else 1000 * row.cost_usd
    return row.summary.completion_tokens or None


def _point(row: Row, priced: bool) -> Point:
    accuracy = row.summary.accuracy
    assert accuracy  # a ranked row has a scored response
    return Point(
        row.label,
        _x(row, priced) or 0.0,
        accuracy.value,
        (accuracy.low, accuracy.high),
        row.on_frontier,
        row.summary.complete,
    )


def paths(rows: Sequence[Row]) -> list[list[int]]:
    """For each training run and each set of request settings: the base's row, then its steps'.

    Rows are given by their index in `rows`. A base that is folded below another seed is that row.
    """
    index_of = {run.run: i for i, row in enumerate(rows) for run in (row, *row.seeds)}
    steps: defaultdict[tuple[object, ...], list[tuple[int, str, int]]] = defaultdict(list)
    for i, row in enumerate(rows):
        if trained := row.config.trained:
            key = trained.run, trained.base_checkpoint, *request_settings(row.config)
            steps[key].append((trained.step, row.run, i))
    found = []
    for group in steps.values():
        path = [i for _, _, i in sorted(group)]
        base = rows[path[0]].base
        start = [index_of[base.run]] if base and base.run in index_of else []
        found.append(start + path)
    return sorted(path for path in found if len(path) > 1)
