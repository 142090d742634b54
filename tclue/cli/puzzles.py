"""The commands on puzzles: puzzles, generate, show, solve, check, grade."""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from tclue.cli.common import (
    GRADERS,
    JSON,
    SOURCE,
    Command,
    complete_puzzles,
    emit,
    pick,
    read_source,
)

PROVERS = click.Choice(["sat", "cpsat", "both"])
_SIZES = ("suspects", "weapons", "rooms", "times")
# Fields of `tclue.puzzle.draw.GenerationSettings`, with their helps.
_KNOBS = {
    "min_players": "Smallest number of players of the board game; it sets the sizes.",
    "max_players": "Largest number of players of the board game.",
    **{size: f"Exact number of {size}." for size in _SIZES},
    **{f"max_{size}": f"Upper limit of the random number of {size}." for size in _SIZES},
    "move_probability": "Probability that a person moves between two times.",
    "carry_probability": "Probability that a person who moves takes a weapon along.",
    "unique_motives_probability": "Probability that no two suspects share a motive.",
    "max_questions": "Largest number of questions.",
}


def _knobs(command: Command) -> Command:
    for name, text in reversed(_KNOBS.items()):
        kind = float if name.endswith("probability") else int
        click.option(f"--{name.replace('_', '-')}", type=kind, help=text)(command)
    return command


@click.group(invoke_without_command=True)
@click.pass_context
def puzzles(context: click.Context) -> None:
    """List the named puzzle sets, or fetch the published ones."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@puzzles.command("list")
@JSON
def list_sets(as_json: bool) -> None:
    """List the named puzzle sets.

    The list has their sizes and the SHA-256 of their files.

    \b
    tclue puzzles list
    tclue puzzles list --json
    """
    from tclue.board import terminal
    from tclue.puzzle import splits

    listed = splits.list_sets()
    hint = "next: tclue show SET --puzzle 1, or tclue bench --models random,solver --puzzles SET"
    emit(as_json, listed, lambda: terminal.show_sets(listed), hint)


@puzzles.command()
@click.argument("which", type=click.Choice(["published"]))
@click.option(
    "--source",
    envvar="TCLUE_PUBLISHED_SOURCE",
    show_envvar=True,
    metavar="URL",
    help="Where to fetch the files from; the author's repository by default.",
)
def fetch(which: str, source: str | None) -> None:  # noqa: ARG001 (there is one choice so far)
    """Fetch the published puzzle files.

    They are checked and stored in the cache folder. Afterwards you can use published-val and
    published-test like the other puzzle sets.

    \b
    tclue puzzles fetch published
    tclue check published-val
    tclue bench --models MODEL --puzzles published-val --grader published
    """
    from tclue.puzzle import splits

    for name, is_new in splits.fetch_published(source or splits.SOURCE).items():
        status = "fetched" if is_new else "already there"
        click.echo(f"{name}: {status}, in {splits.published_path(name)}")
    click.echo("next: tclue check published-val, or tclue show published-val", err=True)


@click.command()
@click.option("-n", "count", default=10, show_default=True, help="Number of puzzles.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    help="Seed of the first puzzle; each further puzzle has the next seed.",
)
@click.option(
    "--difficulty",
    default="published-mix",
    show_default=True,
    help="easy, medium, hard, extreme, published-mix or beyond.",
)
@click.option(
    "-o",
    "output",
    type=click.Path(path_type=Path),
    help="File to write; standard output by default.",
)
@click.option("-j", "jobs", default=1, show_default=True, help="Worker processes.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["house", "published"]),
    default="house",
    show_default=True,
    help="house: JSON Lines. published: a JSON list of {num_clues, prompt, solution}.",
)
@click.option(
    "--reprove", is_flag=True, help="Prove each puzzle a second time, with the CP-SAT model."
)
@_knobs
def generate(
    count: int,
    seed: int,
    difficulty: str,
    output: Path | None,
    jobs: int,
    shape: Any,
    reprove: bool,
    **knobs: Any,
) -> None:
    """Make puzzles that have exactly one solution.

    No clue is unnecessary: without any one of them there are more solutions. The same seed gives
    the same bytes on any machine. For different puzzles at two difficulties, use different seeds:
    if both difficulties happen to draw the same sizes, one seed gives the same puzzle twice.

    \b
    tclue generate -n 3 --seed 1 --difficulty easy
    tclue generate -n 3000 --seed 1 -j 2 -o puzzles.jsonl
    tclue generate -n 64 --difficulty hard --reprove --format published -o hard.json
    """
    from tclue.progress import progress
    from tclue.puzzle import batch as batches
    from tclue.puzzle.draw import settings
    from tclue.puzzle.puzzle import Puzzle, published_list
    from tclue.text import counted

    batch = batches.Batch(count, seed, difficulty, settings(difficulty, **knobs), reprove, jobs)
    if output is None:
        lines = batches.lines(batch)
        if shape == "house":
            for line in lines:
                click.echo(line, nl=False)
        else:
            click.echo(
                published_list(Puzzle.from_dict(json.loads(line)) for line in lines), nl=False
            )
        return
    with progress("puzzle", count) as bar:
        batches.write(batch, output, shape, bar)
    proofs = "proved by SAT and by CP-SAT" if reprove else "proved by SAT"
    file = shlex.quote(str(output))
    click.echo(
        f"wrote {output}: {counted(count, 'puzzle')}, {proofs}\n"
        f"next: tclue show {file}, or tclue bench --models random,solver --puzzles {file}",
        err=True,
    )


@click.command()
@SOURCE
@click.option("--puzzle", "which", default="1", show_default=True, help="Number or id in the file.")
@click.option("--solution", is_flag=True, help="Also show the solution that the file states.")
@JSON
def show(source: str, which: str, solution: bool, as_json: bool) -> None:
    """Show a puzzle and its measured difficulty.

    SOURCE is a puzzle file, the name of a puzzle set, or - for a prompt on standard input.

    \b
    tclue show easy-val --puzzle 3 --solution
    tclue generate -n 1 | tclue show /dev/stdin
    tclue show < prompt.txt
    """
    from tclue.board import terminal
    from tclue.puzzle import deduce, sat

    puzzle = pick(source, which)
    difficulty = deduce.measure(puzzle)
    effort = sat.effort(puzzle)
    emit(
        as_json,
        {**puzzle.to_dict(), "measured": {**vars(difficulty), "effort": effort}},
        lambda: terminal.show_puzzle(puzzle, difficulty, effort, solution),
        f"next: tclue solve {shlex.quote(source)} --puzzle {shlex.quote(which)} --history",
    )


@click.command()
@SOURCE
@click.option("--puzzle", "which", default="1", show_default=True, help="Number or id in the file.")
@click.option("--prover", type=PROVERS, default="both", show_default=True, help="Method of proof.")
@click.option("--history", is_flag=True, help="Solve for the whole history, not only the answers.")
@click.option("--inclusive-or", is_flag=True, help='Read "or" as "one or both".')
@click.option(
    "--ask",
    metavar="SENTENCE",
    help="Print whether this sentence follows: true, false, or open (not decided by the clues).",
)
@JSON
def solve(
    source: str,
    which: str,
    prover: Any,
    history: bool,
    inclusive_or: bool,
    ask: str | None,
    as_json: bool,
) -> None:
    """Solve a puzzle and prove whether its solution is unique.

    Only the prompt is read. SOURCE is a puzzle file, the name of a puzzle set, or - for a prompt on
    standard input. If there are several solutions, two of them are shown side by side. The exit
    code is 1 unless there is exactly one.

    \b
    tclue solve < prompt.txt
    tclue solve test --puzzle 7 --history
    tclue solve easy-val --ask "Colonel Mustard was in the Study"
    """
    from tclue.board import terminal
    from tclue.puzzle import report

    puzzle = pick(source, which)
    if ask is not None:
        answer = report.entails(puzzle, ask, prover, inclusive_or)
        click.echo(json.dumps({"statement": ask, "follows": answer}) if as_json else answer)
        return
    proof = report.prove(puzzle, "history" if history else "answers", prover, inclusive_or)
    hint = "next: the same command with --history shows who was where at each time"
    emit(
        as_json,
        report.proof_record(puzzle, proof),
        lambda: terminal.show_proof(puzzle, proof),
        *([] if history else [hint]),
    )
    sys.exit(0 if proof.verdict == "unique" else 1)


@click.command()
@click.argument("file", shell_complete=complete_puzzles)
@click.option("--prover", type=PROVERS, default="sat", show_default=True, help="Method of proof.")
@click.option("--history", is_flag=True, help="Exit with 1 also if a whole history is not unique.")
@click.option("--minimal", is_flag=True, help="Also check that every clue is needed.")
@JSON
def check(file: str, prover: Any, history: bool, minimal: bool, as_json: bool) -> None:
    """Check that each question has one answer, that of the file, and that it can be graded.

    FILE is a puzzle file or the name of a puzzle set. The
    report also says whether the whole history is unique, and whether the answers stay unique if a
    bare "or" may mean "one or both". The controls are texts whose grade is known: the stated
    answers have to be right, and an empty text, the prompt itself and lists of all options must
    give no answer. The exit code is 1 if any question has another answer, or more than one, or if
    a control is graded wrong.

    \b
    tclue check puzzles.jsonl
    tclue check val.json --prover both --minimal --json
    """
    from tclue.board import terminal
    from tclue.progress import progress
    from tclue.puzzle import report

    puzzles = read_source(file)
    reports = []
    with progress("puzzle", len(puzzles)) as bar:
        for puzzle in puzzles:
            reports.append(report.check(puzzle, prover, minimal))
            bar(len(reports))
    hint = f"next: tclue bench --models random,solver --puzzles {shlex.quote(file)}"
    emit(as_json, report.summary(reports), lambda: terminal.show_reports(reports), hint)
    passed = all(
        each.sound and not each.failed_controls and (each.history == "unique" or not history)
        for each in reports
    )
    sys.exit(0 if passed else 1)


@click.command()
@click.argument("puzzles", shell_complete=complete_puzzles)
@click.argument("responses", type=click.Path(path_type=Path))
@click.option(
    "--grader", type=GRADERS, default="sound", show_default=True, help="Rules for grading."
)
@click.option(
    "--puzzle", "which", help="Only the responses to this puzzle: its number or id in the file."
)
@click.option("--why", is_flag=True, help="Say for each letter which line decided, or why none.")
@JSON
def grade(
    puzzles: str, responses: Path, grader: str, which: str | None, why: bool, as_json: bool
) -> None:
    """Grade responses that were made elsewhere.

    RESPONSES is a file with lines {"id": ..., "response": ...} or {"prompt": ..., "response": ...},
    with null for an empty response, or the responses.jsonl of a run. A response without a text
    scores 0. Puzzles without a response and failed requests are counted and not scored. The means
    are over puzzles, with 95% intervals. --json prints a line for each scored response, in the
    order of the file, and then {"summary": ...}.

    If a score looks wrong, --why shows for each letter the line of the text that decided, as the
    grader read it, or says why there is no answer.

    \b
    tclue grade test responses.jsonl
    tclue grade test responses.jsonl --why --puzzle 1
    tclue grade val.json responses.jsonl --grader published --json
    """
    from tclue.bench.stats.graded import summarize_grades
    from tclue.board import terminal
    from tclue.puzzle.grading import why as reasons
    from tclue.puzzle.grading.grade import grade_file
    from tclue.puzzle.grading.grade import grader as find_grader

    asked = read_source(puzzles)
    graded = grade_file(asked, responses, find_grader(grader))
    if which is not None:
        asked = [pick(puzzles, which)]
        graded = [each for each in graded if each.puzzle.id == asked[0].id]
    summary = summarize_grades(asked, graded)
    if not as_json:
        lines = [line for each in graded for line in reasons.lines(each, grader)] if why else None
        terminal.show_grades(graded, summary, grader, lines)
        return
    for response in graded:
        if found := response.grade:
            record = {
                "id": response.puzzle.id,
                "accuracy": found.accuracy,
                "solved": found.solved,
                "answers": found.answers,
            }
            if why:
                decided = reasons.WHY[grader](response.puzzle, response.text)
                record["why"] = {letter: asdict(each) for letter, each in decided.items()}
            click.echo(json.dumps(record))
    click.echo(json.dumps({"summary": asdict(summary)}))
