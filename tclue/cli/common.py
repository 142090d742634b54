"""What several commands share: options, and reading what a command names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click

from tclue.bench.options import flag
from tclue.errors import UserError

if TYPE_CHECKING:
    from tclue.puzzle.puzzle import Puzzle

Command = TypeVar("Command", bound=Callable[..., Any])

GRADERS = click.Choice(["sound", "published"])
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def options_of(kind: type, *names: str) -> Callable[[Command], Command]:
    """Options for the fields of a dataclass that have a help, or for those of these names.

    Their types, defaults and helps are those of the fields.
    """
    hints = get_type_hints(kind)

    def add(command: Command) -> Command:
        for knob in reversed(fields(kind)):
            if "help" in knob.metadata and (not names or knob.name in names):
                click.option(
                    flag(knob.name),
                    knob.name,
                    type=_option_type(hints[knob.name]),
                    default=knob.default,
                    show_default=not isinstance(knob.default, bool | None),
                    is_flag=hints[knob.name] is bool,
                    help=knob.metadata["help"],
                )(command)
        return command

    return add


def _option_type(hint: Any) -> Any:
    """What click reads a field's value as."""
    if NoneType in get_args(hint):
        (hint,) = set(get_args(hint)) - {NoneType}
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    return click.Path(path_type=Path) if hint is Path else hint


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
