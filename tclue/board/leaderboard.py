"""The leaderboard: `tclue leaderboard [--results DIR] [--board DIR] [--check]`.

A board is `README.md`, a picture for each puzzle set and one of the published results, and
`board.json` with the same rows as data. It is derived from the run folders and the figures in
this package alone: no clock, no path, a fixed order, and numbers rounded before they are written,
so the same records give the same bytes on any machine.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tclue.bench.costs.cost import repriced
from tclue.bench.costs.price_book import SHIPPED, read_book
from tclue.bench.records import Response, RunConfig
from tclue.board.lineage import paths
from tclue.board.markdown import page
from tclue.board.notes import notes
from tclue.board.plot import MADE_BY, Point, svg
from tclue.board.published_figures import PICTURE, Published, read_published
from tclue.board.rows import RankedSet, Row, read_sets
from tclue.errors import UserError


@dataclass(frozen=True)
class Board:
    """What the leaderboard shows: measured sets, and apart from them the published results."""

    sets: tuple[RankedSet, ...]
    published: Published
    # day of the price book that costs are repriced with
    price_book: str


def build(results_dir: Path) -> Board:
    """The board that a results folder gives; an empty or missing one gives published rows alone.

    Raises UserError, naming the file and the line, where records cannot be read.
    """
    book = read_book(SHIPPED)  # not the user's own: the board is the same on any machine

    def reprice(config: RunConfig, response: Response) -> float | None:
        # The price book has no price for a user's own server.
        hosted = config.request.get("model") if not config.api_base else None
        entry = book.find(hosted) if hosted else None
        return repriced(response.usage, entry.prices) if entry else None

    return Board(read_sets(results_dir, reprice), read_published(), book.date)


def files(board: Board) -> dict[str, bytes]:
    """file name -> content, for every file of the board."""
    texts = {
        "README.md": page(board.sets, board.published, board.price_book),
        "board.json": _json(board),
    }
    for table in board.sets:
        count = "1 puzzle" if table.puzzles == 1 else f"{table.puzzles} puzzles"
        subtitle = f"{count}, grader {table.grader}; bars are 95% intervals"
        shown = [(row, point) for row in table.rows if (point := _point(row))]
        texts[table.picture] = svg(
            f"{table.title}: accuracy against cost",
            subtitle,
            [point for _, point in shown],
            paths([row for row, _ in shown]),
        )
    texts[PICTURE] = svg(
        "Published results: accuracy against cost",
        "OpenPipe, March 2025: 64 puzzles, published grader, no intervals given",
        [
            Point(row.label, row.cost_usd, row.accuracy, on_frontier=row.on_frontier)
            for row in board.published.rows
        ],
    )
    return {name: text.encode() for name, text in texts.items()}


def write(board: Board, board_dir: Path) -> None:
    """Write the board's files, and take away pictures that an earlier board left behind.

    Raises UserError where the folder cannot be written.
    """
    expected = files(board)
    try:
        board_dir.mkdir(parents=True, exist_ok=True)
        for name, content in expected.items():
            (board_dir / name).write_bytes(content)
        for path in _left_behind(board_dir, expected):
            path.unlink()
    except OSError as error:
        raise UserError(f"{board_dir}: the board cannot be written: {error.strerror}") from None


def check(results_dir: Path, board_dir: Path) -> list[str]:
    """The names of the board's files that are not what the records give, sorted; none if all are.

    A file that is not there counts, and so does a picture that an earlier board left behind.
    """
    expected = files(build(results_dir))
    wrong = [name for name, content in expected.items() if not _matches(board_dir / name, content)]
    return sorted([*wrong, *(path.name for path in _left_behind(board_dir, expected))])


def _matches(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _left_behind(board_dir: Path, expected: dict[str, bytes]) -> list[Path]:
    pictures = [path for path in sorted(board_dir.glob("*.svg")) if path.name not in expected]
    return [path for path in pictures if MADE_BY.encode() in path.read_bytes()]


def _point(row: Row) -> Point | None:
    """A row in the picture; None where its accuracy or its cost is unknown."""
    accuracy, cost_usd = row.summary.accuracy, row.cost_usd
    if accuracy is None or cost_usd is None:
        return None
    return Point(
        row.label,
        cost_usd,
        accuracy.value,
        (accuracy.low, accuracy.high),
        row.on_frontier,
        row.summary.complete,
    )


def _json(board: Board) -> str:
    sets = [{**vars(table), "rows": [_json_row(row) for row in table.rows]} for table in board.sets]
    data = {
        "sets": sets,
        "price_book": board.price_book,
        "published": {**asdict(board.published), "picture": PICTURE},
    }
    return json.dumps(_rounded(data), indent=2) + "\n"


def _json_row(row: Row) -> dict[str, Any]:
    """The row and all of its summary, accuracy and solved as plain numbers."""
    numbers = asdict(row.summary)
    flat: dict[str, Any] = {"label": row.label, "variant": row.summary.variant, "run": row.run}
    for name in ("accuracy", "solved"):
        mean = numbers.pop(name) or {"value": None, "low": None, "high": None}
        flat |= {name: mean["value"], f"{name}_low": mean["low"], f"{name}_high": mean["high"]}
    outcomes = numbers.pop("outcomes")
    return {
        **flat,
        "on_frontier": row.on_frontier,
        "neighbour": row.neighbour and asdict(row.neighbour),
        **_json_training(row),
        "notes": notes(row.summary),
        "prices": asdict(row.config.prices),
        **outcomes,
        **{name: value for name, value in numbers.items() if name not in flat},
    }


def _json_training(row: Row) -> dict[str, Any]:
    """Of trained weights, where they come from, and how they stand to those."""
    if row.config.trained is None:
        return {}
    return {"trained": asdict(row.config.trained), "base": row.base and asdict(row.base)}


def _rounded(value: Any) -> Any:
    """Numbers to six digits, so that a last bit that differs between machines does not show."""
    match value:
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
        case float():
            # A fraction's noise near 0 is absolute; the digits of a small cost all count.
            return float(f"{value:.6g}") if abs(value) > 1e-12 else 0.0
        case _:
            return value
