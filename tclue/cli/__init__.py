"""The command `tclue`: parse, call, print.

Bad input ends in one line on standard error and exit code 2. A "no" from `check`, `solve` or
`leaderboard --check` is exit code 1. An interrupted command exits with 130, and says how to go on
where the same command would.
Everything heavy is imported by the command that needs it, so that `tclue --help` is quick.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from tclue.cli.asking import bench, models
from tclue.cli.puzzles import check, generate, grade, puzzles, show, solve
from tclue.cli.showing import compare, leaderboard, lm_eval
from tclue.cli.training import train
from tclue.errors import UserError
from tclue.secrets import guard


class _Commands(click.Group):
    """A group whose commands are listed in the order of a day's work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self.commands)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tclue")
def cli() -> None:
    """Temporal Clue: who killed Mr. Boddy, with what, where, when and why.

    Makes puzzles proved to have one answer, asks models to solve them, counts what each answer
    cost, trains models on them, and keeps a leaderboard.
    """


for command in (generate, show, solve, check, grade, puzzles):
    cli.add_command(command)
for command in (bench, models, train, compare, leaderboard, lm_eval):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command, and turn what went wrong into one line and an exit code."""
    guard()
    try:
        cli(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        # In one line, where click takes several.
        path = (
            error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "tclue"
        )
        print(f"{path}: {error.format_message()} (see {path} --help)", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"tclue: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output has closed it: say nothing, not even when Python closes it.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        # A full disk behind standard output, above all.
        why = error.strerror or " ".join(str(error).split())  # a library's has a message alone
        print(f"tclue: {error.filename or 'output'}: {why}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort) as error:
        # click hands Ctrl-C on as an Abort of its own.
        print(f"tclue: interrupted{error.__cause__ or error}", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)
