"""What several commands share: options, completion, and reading what a command names."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click
from click.shell_completion import CompletionItem

from tclue.bench.options import flag
from tclue.config_files import decode
from tclue.errors import UserError

if TYPE_CHECKING:
    from tclue.puzzle.puzzle import Puzzle

Command = TypeVar("Command", bound=Callable[..., Any])

GRADERS = click.Choice(["sound", "published"])
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
FOLDER = click.Path(path_type=Path)


def complete_puzzles(_: Any, __: Any, start: str) -> list[CompletionItem]:
    """The puzzle sets that begin with a text, and files."""
    from tclue.puzzle import splits

    names = (*splits.SPLITS, *splits.TRAIN_RANGES, *splits.PUBLISHED)
    return [*_beginning(start, names), CompletionItem(start, type="file")]


def complete_runs(context: click.Context, _: Any, start: str) -> list[CompletionItem]:
    """The runs of the results folder that begin with a text."""
    from tclue.bench.records import run_folders

    results = Path(context.params.get("results") or "results")
    folders = run_folders(results) if results.is_dir() else []
    return _beginning(start, (folder.name for folder in folders))


def complete_models(_: Any, __: Any, start: str) -> list[CompletionItem]:
    """The models without a setup of their own, and the aliases, that begin like the last name."""
    from tclue.bench.models.registry import load

    before, comma, last = start.rpartition(",")
    names = ("random", "solver", "tiny", *load(None).models)
    return [CompletionItem(before + comma + item.value) for item in _beginning(last, names)]


def _beginning(start: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(start)]


def folder(name: str, default: str, text: str) -> Callable[[Command], Command]:
    """An option for a folder; eager, because the completion of runs reads it."""
    return click.option(
        name, default=default, show_default=True, type=FOLDER, is_eager=True, help=text
    )


def in_folders(**folders: Path) -> str:
    """The options that a hint's command needs for folders other than `results` and `runs`."""
    return "".join(f" --{k} {shlex.quote(str(v))}" for k, v in folders.items() if str(v) != k)


RESULTS = folder("--results", "results", "Folder of the run folders.")
SOURCE = click.argument("source", default="-", shell_complete=complete_puzzles)


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
                    hidden=knob.metadata["rare"],
                    shell_complete=complete_puzzles if knob.name == "puzzles" else None,
                )(command)
        return command

    return add


def _option_type(hint: Any) -> Any:
    """What click reads a field's value as."""
    if NoneType in get_args(hint):
        (hint,) = set(get_args(hint)) - {NoneType}
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    return FOLDER if hint is Path else hint


def emit(as_json: bool, data: Any, show: Callable[[], object], *hints: str) -> None:
    """Print data as JSON; or show them, and on standard error where things are and what is next."""
    if as_json:
        click.echo(json.dumps(data, default=asdict))
        return
    show()
    for hint in hints:
        click.echo(hint, err=True)


def read_source(source: str) -> list[Puzzle]:
    """The puzzles of a named set or a file."""
    from tclue.puzzle import splits
    from tclue.puzzle.files import read_puzzles

    if splits.is_named(source):
        return list(splits.load_set(source).puzzles)
    return read_puzzles(Path(source))


def pick(source: str, which: str) -> Puzzle:
    """One puzzle of a file, or the one whose prompt is on standard input."""
    from tclue.puzzle.puzzle import Puzzle

    if source == "-":
        if sys.stdin and sys.stdin.isatty():
            click.echo("reading a prompt from standard input; Ctrl-D ends it", err=True)
        # Bytes, because the text would depend on the locale. A closed stream is None.
        text = decode(sys.stdin.buffer.read() if sys.stdin else b"", "standard input")
        if not text.strip():
            raise UserError("standard input is empty: expected the prompt of a puzzle")
        if text.lstrip()[0] in "[{":
            raise UserError("standard input is a puzzle file: expected /dev/stdin in place of -")
        return Puzzle.from_prompt(text)
    puzzles = read_source(source)
    matches = [p for n, p in enumerate(puzzles, 1) if which in (str(n), p.id)]
    if not matches:
        raise UserError(
            f"--puzzle {which}: no such puzzle in {source}: expected 1 to {len(puzzles)}, or an id "
            f"such as {puzzles[0].id}"
        )
    return matches[0]
