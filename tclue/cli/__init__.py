"""The command `tclue`: parse, call, print.

Bad input ends in one line on standard error and exit code 2. A "no" from `check`, `solve` or
`leaderboard --check` is exit code 1. An interrupted command exits with 130, and says so if the same
command resumes it. Results go to standard output, everything else to standard error.
Each command imports what is slow to import itself, to keep `tclue --help` fast.
"""

import codecs
import io
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from tclue.cli.asking import bench, models, train
from tclue.cli.puzzles import check, generate, grade, puzzles, show, solve
from tclue.cli.showing import compare, leaderboard, list_results, lm_eval, regrade
from tclue.errors import UserError
from tclue.secrets import guard
from tclue.text import clean, shortened


class _Commands(click.Group):
    """A group that lists its commands in the order in which they are defined."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self.commands)


_GREETING = """\
tclue measures how well language models solve murder mysteries
that provably have one solution.

Try these commands, which need no key and no network:

  tclue show easy-val
  tclue solve easy-val --history
  tclue bench --models random,solver --puzzles easy-val

They show a puzzle, prove its solution, and benchmark two
built-in models. "tclue --help" lists all commands."""


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(package_name="tclue")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Temporal Clue: who killed Mr. Boddy, with what, where, when and why.

    tclue makes puzzles that provably have one solution, asks models to solve them, records what
    each response cost, trains models on them, and makes a leaderboard.
    """
    if ctx.invoked_subcommand is None:
        click.echo(_GREETING)


for command in (generate, show, solve, check, grade, puzzles):
    cli.add_command(command)
for command in (bench, models, train, list_results, compare, regrade, leaderboard, lm_eval):
    cli.add_command(command)


# ASCII for the characters that we print, in an encoding that has no code for them.
_PLAIN = {"─": "-", "━": "-", "–": "-", "…": "...", "•": "-", "≥": ">="}


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    part = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character, "?") for character in part), error.end


codecs.register_error("tclue-plain", _plain)


def _line(message: str) -> str:
    """A message on one line that a person reads to its end."""
    return clean(shortened(message))


def main() -> NoReturn:
    """Run the command; an error becomes one line and an exit code."""
    # A stream that the caller has closed is None.
    sys.stdout, sys.stderr = (
        stream or Path(os.devnull).open("w")  # noqa: SIM115 (open until the end)
        for stream in (sys.stdout, sys.stderr)
    )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="tclue-plain")
    guard()
    try:
        cli(prog_name="tclue", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        # One line, where click would print several.
        path = (
            error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "tclue"
        )
        print(f"{path}: {_line(error.format_message())} (see {path} --help)", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"tclue: {_line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of the output has closed it. Print nothing, not even when Python exits.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # Most often standard output goes to a file on a full disk.
        why = error.strerror or " ".join(str(error).split())  # libraries set no strerror
        where = _line(str(error.filename or "output"))
        print(f"tclue: {where}: {_line(why)}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort) as error:
        # click turns Ctrl-C into its own exception, Abort.
        print(f"tclue: interrupted{error.__cause__ or error}", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
