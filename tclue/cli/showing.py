"""The commands on what was measured: compare, leaderboard, lm-eval."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from tclue.cli.common import JSON
from tclue.errors import UserError


@click.command()
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@click.option("--results", default="results", show_default=True, type=click.Path(path_type=Path))
@JSON
def compare(first: str, second: str, results: Path, as_json: bool) -> None:
    """Compare two runs on the same puzzles, puzzle by puzzle.

    A RUN is a run folder, or the name of one in --results. Gives the difference of their means
    with its 95% interval, p of the paired t test, and how many puzzles would tell such a difference
    apart in four of five trials.

    \b
    tclue compare tiny--easy-test--67f19899 random--easy-test--70c352a7
    """
    from dataclasses import asdict

    from tclue.bench.records import find_run
    from tclue.bench.stats.compare import compare as compare_runs
    from tclue.board import terminal
    from tclue.board.rows import read_tally

    first_tally, second_tally = (read_tally(find_run(name, results)) for name in (first, second))
    comparison = compare_runs(first_tally, second_tally)
    if as_json:
        click.echo(json.dumps(asdict(comparison), ensure_ascii=False))
    else:
        terminal.show_comparison(comparison)


@click.command()
@click.option("--results", default="results", show_default=True, type=click.Path(path_type=Path))
@click.option("--board", default="leaderboards", show_default=True, type=click.Path(path_type=Path))
@click.option("--only", multiple=True, metavar="RUN", help="Show these runs alone: see below.")
@click.option("--without", multiple=True, metavar="RUN", help="Leave these runs out.")
@click.option("--check", "checking", is_flag=True, help="Write nothing; exit 1 if it is stale.")
@JSON
def leaderboard(
    results: Path,
    board: Path,
    only: tuple[str, ...],
    without: tuple[str, ...],
    checking: bool,
    as_json: bool,
) -> None:
    """Make the leaderboard from the run folders and the published figures.

    --only and --without take the beginning of a run's name, or a pattern for the names of runs or
    variants. Both can be given several times.

    \b
    tclue leaderboard
    tclue leaderboard --without 'tiny*'
    tclue leaderboard --check
    """
    from tclue.board import leaderboard as boards
    from tclue.board import terminal

    built = boards.build(results, only, without)
    if checking:
        stale = boards.check(built, board, results)
        if as_json:
            click.echo(json.dumps({"stale": stale}))
        for name in stale if not as_json else []:
            click.echo(f"{board / name} is not what {results} gives", err=True)
        sys.exit(1 if stale else 0)
    boards.write(built, board, results)
    if as_json:
        click.echo((board / "board.json").read_text(encoding="utf-8"), nl=False)
    else:
        terminal.show_board(built)
        click.echo(f"written to {board}", err=True)


@click.command("lm-eval", context_settings={"ignore_unknown_options": True})
@click.option("--register", is_flag=True, help="Let plain `lm_eval --tasks temporal_clue` find it.")
@click.option("--unregister", is_flag=True, help="Take that back.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lm_eval(register: bool, unregister: bool, arguments: tuple[str, ...]) -> None:
    """Run lm-eval with the task at hand, or make the task known to lm-eval itself.

    \b
    tclue lm-eval --register
    tclue lm-eval --tasks temporal_clue --model hf --model_args pretrained=PATH
    """
    from tclue import lm_eval

    if register or unregister:
        if arguments or (register and unregister):
            raise UserError("--register and --unregister stand alone")
        click.echo(lm_eval.register() if register else lm_eval.unregister())
        return
    sys.exit(lm_eval.run(list(arguments)))
