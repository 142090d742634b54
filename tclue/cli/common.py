"""What several commands share: options, and reading what a command names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tclue.errors import UserError

if TYPE_CHECKING:
    from tclue.puzzle.puzzle import Puzzle

GRADERS = click.Choice(["sound", "published"])
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def read_source(source: str) -> list[Puzzle]:
    """The puzzles of a named set or a file."""
    from tclue.puzzle import splits
    from tclue.puzzle.puzzle import read_puzzles

    if splits.is_named(source):
        return list(splits.load_set(source).puzzles)
    return read_puzzles(Path(source))


def pick(source: str, which: str) -> Puzzle:
    """One puzzle of a file, or the one whose prompt is on standard input."""
    from tclue.puzzle.puzzle import Puzzle

    if source == "-":
        return Puzzle.from_prompt(sys.stdin.read())
    puzzles = read_source(source)
    matches = [p for n, p in enumerate(puzzles, 1) if which in (str(n), p.id)]
    if not matches:
        raise UserError(
            f"--puzzle {which}: no such puzzle in {source}: expected 1 to {len(puzzles)} or an id"
        )
    return matches[0]
