"""The commands on measured runs: results, compare, regrade, leaderboard, lm-eval."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from tclue.cli.common import (
    GRADERS,
    JSON,
    RESULTS,
    complete_puzzles,
    complete_runs,
    emit,
    folder,
    in_folders,
)
from tclue.errors import UserError


@click.command("results")
@RESULTS
@click.option(
    "--remove",
    metavar="RUN",
    shell_complete=complete_runs,
    help="Move a run aside; keep its files.",
)
@click.option("--restore", metavar="RUN", help="Move a run back that was removed.")
@JSON
def list_results(results: Path, remove: str | None, restore: str | None, as_json: bool) -> None:
    """List the runs of a results folder, or move one aside.

    You can shorten a RUN to any unique beginning of its name, in every command. --remove moves a
    run into the folder .removed of the results, where no command reads it.

    \b
    tclue results
    tclue results --remove tiny--easy-test--8a3f
    tclue results --restore tiny--easy-test--8a3f
    """
    from tclue.bench import results as runs
    from tclue.board import terminal

    if remove is not None and restore is not None:
        raise UserError("--remove and --restore: expected only one of them")
    if remove is None and restore is None:
        listed = runs.list_runs(results)
        where = in_folders(results=results)
        hint = f"next: tclue compare RUN RUN{where}, or tclue leaderboard{where}"
        if not listed:
            hint = f"{results}: no runs yet\nnext: tclue bench --models random,solver{where}"
        emit(as_json, listed, lambda: terminal.show_runs(listed), hint)
        return
    move, run = (runs.remove, remove) if restore is None else (runs.restore, restore)
    moved = move(run or "", results)
    emit(as_json, {"moved_to": str(moved)}, lambda: click.echo(f"moved to {moved}"))


@click.command()
@click.argument("first", metavar="RUN", shell_complete=complete_runs)
@click.argument("second", metavar="RUN", shell_complete=complete_runs)
@RESULTS
@JSON
def compare(first: str, second: str, results: Path, as_json: bool) -> None:
    """Compare two runs on the same puzzles, puzzle by puzzle.

    A RUN is a run folder, or a beginning of the name of one in --results. The command prints the
    difference of the means with its 95% interval, the p value of the paired t test, and how many
    puzzles would make such a difference significant in 80% of trials.

    \b
    tclue compare tiny--easy-test--67f1 random--easy-test
    """
    from tclue.bench.results import find_run
    from tclue.bench.stats.compare import compare as compare_runs
    from tclue.bench.stats.run_numbers import read_numbers
    from tclue.board import terminal

    folders = [find_run(name, results) for name in (first, second)]
    if folders[0].resolve() == folders[1].resolve():
        raise UserError(f"{first} and {second} are the same run: expected two runs")
    comparison = compare_runs(*map(read_numbers, folders))
    emit(as_json, comparison, lambda: terminal.show_comparison(comparison))


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_runs)
@click.option(
    "--puzzles",
    shell_complete=complete_puzzles,
    help="The puzzles of the runs, if they are a file of your own.",
)
@click.option("--grader", type=GRADERS, help="Another grader than the one of the runs.")
@RESULTS
@JSON
def regrade(
    runs: tuple[str, ...], puzzles: str | None, grader: str | None, results: Path, as_json: bool
) -> None:
    """Grade the recorded texts of runs again, without asking a model.

    Use it if your version of tclue has a newer version of the grader, because the leaderboard shows
    scores by different versions in different tables, or to correct grades that somebody edited.

    \b
    tclue regrade tiny--easy-test--8a3f
    tclue regrade RUN --puzzles mine.jsonl
    """
    from tclue.bench.results import find_run
    from tclue.bench.runs.regrade import regrade_run
    from tclue.board.wording import estimate

    paths = [find_run(name, results) for name in runs]
    done = []
    for path in paths:
        run = regrade_run(path, puzzles, grader)
        done.append(run)
        if not as_json:  # at once, because the next run may be refused
            before = estimate(run.before) if run.before else "unknown"
            click.echo(
                f"{run.run}: grader {run.grader} (version {run.grader_version}) changed "
                f"{run.changed} of {run.responses} responses; accuracy {before} before, "
                f"{estimate(run.after)} now"
            )
    hint = f"next: tclue leaderboard{in_folders(results=results)}"
    emit(as_json, done, lambda: None, hint)


@click.command()
@RESULTS
@folder("--board", "leaderboards", "Folder of the board.")
@click.option(
    "--only",
    multiple=True,
    metavar="RUN",
    shell_complete=complete_runs,
    help="Show only these runs.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="RUN",
    shell_complete=complete_runs,
    help="Leave these out.",
)
@click.option(
    "--check",
    "checking",
    is_flag=True,
    help="Write nothing, grade all texts again, and exit with 1 if anything differs.",
)
@JSON
def leaderboard(
    results: Path,
    board: Path,
    only: tuple[str, ...],
    without: tuple[str, ...],
    checking: bool,
    as_json: bool,
) -> None:
    """Make the leaderboard from the runs and published figures.

    --only and --without take the beginning of a run's name, or a pattern for the names of runs or
    variants. Both can be given several times.

    A run that cannot be read is left out and named, and the exit code is 2. --check compares the
    board with the records, and the records' grades and costs with what their texts and tokens give.

    \b
    tclue leaderboard
    tclue leaderboard --without 'tiny*'
    tclue leaderboard --check
    """
    from tclue.bench.runs.regrade import check_grades
    from tclue.board import leaderboard as boards
    from tclue.board import terminal

    if not results.exists():
        raise UserError(f"{results}: no such folder: expected the folder of the run folders")
    built = boards.build(results, only, without)
    left_out = built.warnings
    if checking:
        stale = boards.check(built, board, results)
        checked = check_grades([results / run for run in built.runs])
        hints = [f"{board / name} does not match the runs in {results}" for name in stale]
        hints += ["next: the same command without --check"] if stale else []
        data = {"stale": stale, "left_out": built.left_out, **asdict(checked)}
        emit(as_json, data, lambda: None, *checked.lines(), *hints, *left_out)
        wrong = bool(stale or checked.differences)
        sys.exit(2 if left_out else int(wrong))
    boards.write(built, board, results)
    hints, where = [], in_folders(results=results)
    if as_json:
        click.echo((board / "board.json").read_text(encoding="utf-8"), nl=False)
    else:
        terminal.show_board(built)
        hints = [f"board: {board / 'README.md'}", f"next: tclue results{where}"]
    for hint in (*hints, *left_out):
        click.echo(hint, err=True)
    sys.exit(2 if left_out else 0)


@click.command("lm-eval", context_settings={"ignore_unknown_options": True})
@click.option("--register", is_flag=True, help="Make `lm_eval --tasks temporal_clue` work.")
@click.option(
    "--unregister", is_flag=True, help="Undo --register. Do this before you uninstall tclue."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lm_eval(register: bool, unregister: bool, arguments: tuple[str, ...]) -> None:
    """Run lm-eval with the tasks of tclue, or register them.

    \b
    tclue lm-eval --register
    tclue lm-eval --tasks temporal_clue --model hf --model_args pretrained=PATH
    """
    from tclue import lm_eval

    if register or unregister:
        if arguments or (register and unregister):
            raise UserError("--register and --unregister: expected one of them, without arguments")
        click.echo(lm_eval.register() if register else lm_eval.unregister())
        return
    sys.exit(lm_eval.run(list(arguments)))
