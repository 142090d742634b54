"""The commands on puzzles: puzzles, generate, show, solve, check, grade."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from tclue.cli.common import GRADERS, JSON, pick, read_source

PROVERS = click.Choice(["sat", "cpsat", "both"])


@click.group()
def puzzles() -> None:
    """List the puzzle sets that have a name, and fetch the published ones."""


@puzzles.command("list")
@JSON
def list_sets(as_json: bool) -> None:
    """List the sets that --puzzles knows by name, with their size and the sum of their file.

    \b
    tclue puzzles list
    tclue puzzles list --json
    """
    from dataclasses import asdict

    from tclue.board import terminal
    from tclue.puzzle import splits

    listed = splits.list_sets()
    if as_json:
        click.echo(json.dumps([asdict(puzzle_set) for puzzle_set in listed]))
    else:
        terminal.show_sets(listed)


@puzzles.command()
@click.argument("which", type=click.Choice(["published"]))
@click.option(
    "--source",
    envvar="TCLUE_PUBLISHED_SOURCE",
    show_envvar=True,
    metavar="URL",
    help="Where the files are, if not in the author's repository.",
)
def fetch(which: str, source: str | None) -> None:  # noqa: ARG001 (there is one choice so far)
    """Get the published puzzle files, check them, and keep them in the cache folder.

    From then on, published-val and published-test are puzzle sets like the others.

    \b
    tclue puzzles fetch published
    tclue check published-val
    tclue bench --models MODEL --puzzles published-val --grader published
    """
    from tclue.puzzle import published

    for file in published.fetch(source or published.SOURCE, published.FILES):
        click.echo(f"{file.name}: {'fetched' if file.new else 'already there'}, in {file.path}")


@click.command()
@click.option("-n", "count", default=10, show_default=True, help="Number of puzzles.")
@click.option(
    "--seed", default=0, show_default=True, help="Seed of the first; the next has the next."
)
@click.option(
    "--difficulty",
    default="published-mix",
    show_default=True,
    help="easy, medium, hard, extreme, published-mix or beyond.",
)
@click.option(
    "-o", "output", type=click.Path(path_type=Path), help="File to write; standard output if none."
)
@click.option("-j", "jobs", default=1, show_default=True, help="Worker processes.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["house", "published"]),
    default="house",
    show_default=True,
    help="JSON Lines, or the published JSON list of {num_clues, prompt, solution}.",
)
@click.option("--reprove", is_flag=True, help="Prove each puzzle again, by the CP-SAT model.")
@click.option("--min-players", type=int, help="Fewest players that sizes are scaled to.")
@click.option("--max-players", type=int, help="Most players that sizes are scaled to.")
@click.option("--suspects", type=int, help="Number of suspects, instead of a drawn one.")
@click.option("--weapons", type=int, help="Number of weapons.")
@click.option("--rooms", type=int, help="Number of rooms.")
@click.option("--times", type=int, help="Number of times.")
@click.option("--max-suspects", type=int, help="Most suspects drawn.")
@click.option("--max-weapons", type=int, help="Most weapons drawn.")
@click.option("--max-rooms", type=int, help="Most rooms drawn.")
@click.option("--max-times", type=int, help="Most times drawn.")
@click.option("--move-probability", type=float, help="Chance that a person moves at a time.")
@click.option("--carry-probability", type=float, help="Chance that a weapon is taken along.")
@click.option(
    "--unique-motives-probability", type=float, help="Chance that no two suspects share a motive."
)
@click.option("--max-questions", type=int, help="Most questions asked.")
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
    """Make puzzles; each has exactly one history, and no clue too many.

    A seed gives the same bytes on any machine. Puzzles of two difficulties that are to differ need
    seeds that differ: where the sizes drawn agree, one seed gives both the same puzzle.

    \b
    tclue generate -n 3 --seed 1 --difficulty easy
    tclue generate -n 3000 --seed 1 -j 2 -o puzzles.jsonl
    tclue generate -n 64 --difficulty hard --reprove --format published -o hard.json
    """
    from tclue.progress import progress
    from tclue.puzzle import batch as batches
    from tclue.puzzle.draw import settings
    from tclue.puzzle.puzzle import Puzzle, published_list

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
    with progress("puzzles", count) as bar:
        batches.write(batch, output, shape, bar.done)
    proofs = "proved by SAT and by CP-SAT" if reprove else "proved by SAT"
    puzzles = "1 puzzle" if count == 1 else f"{count} puzzles"
    click.echo(f"{puzzles}, {proofs}, in {output}", err=True)


@click.command()
@click.argument("source", default="-")
@click.option("--puzzle", "which", default="1", show_default=True, help="Number or id in the file.")
@click.option("--solution", is_flag=True, help="Show the stated solution too.")
@JSON
def show(source: str, which: str, solution: bool, as_json: bool) -> None:
    """Show a puzzle and its measured difficulty.

    SOURCE is a puzzle file, a shipped split, or - for a prompt on standard input.

    \b
    tclue show easy-val --puzzle 3 --solution
    tclue generate -n 1 | tclue show /dev/stdin
    tclue show < prompt.txt
    """
    from dataclasses import asdict

    from tclue.board import terminal
    from tclue.puzzle import deduce, sat

    puzzle = pick(source, which)
    difficulty = deduce.measure(puzzle)
    effort = sat.effort(puzzle)
    if as_json:
        record = {**puzzle.to_dict(), "measured": {**asdict(difficulty), "effort": asdict(effort)}}
        click.echo(json.dumps(record, ensure_ascii=False))
    else:
        terminal.show_puzzle(puzzle, difficulty, effort, solution)


@click.command()
@click.argument("source", default="-")
@click.option("--puzzle", "which", default="1", show_default=True, help="Number or id in the file.")
@click.option("--prover", type=PROVERS, default="both", show_default=True, help="Who proves it.")
@click.option("--history", is_flag=True, help="Ask for the whole history, not only the answers.")
@click.option("--inclusive-or", is_flag=True, help='Read "or" as "one or both".')
@click.option("--ask", metavar="SENTENCE", help="Does this sentence follow? true, false or open.")
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
    """Solve a puzzle from its prompt alone; two different solutions are shown side by side.

    SOURCE is a puzzle file, a shipped split, or - for a prompt on standard input. Exit code 1 if
    there is no solution, or more than one.

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
    if as_json:
        click.echo(json.dumps(report.proof_record(puzzle, proof), ensure_ascii=False))
    else:
        terminal.show_proof(puzzle, proof)
    sys.exit(0 if proof.verdict == "unique" else 1)


@click.command()
@click.argument("file")
@click.option("--prover", type=PROVERS, default="sat", show_default=True, help="Who proves it.")
@click.option("--history", is_flag=True, help="Exit with 1 also if a history is not unique.")
@click.option("--minimal", is_flag=True, help="Also ask whether every clue is needed.")
@JSON
def check(file: str, prover: Any, history: bool, minimal: bool, as_json: bool) -> None:
    """Check that each question of each puzzle has one possible answer, the stated one.

    Reported beside it: whether the whole history is unique, and whether the answers hold when a
    bare "or" is read as inclusive. Exit code 1 if some answers are not unique as stated.

    \b
    tclue check puzzles.jsonl
    tclue check val.json --prover both --minimal --json
    """
    from tclue.board import terminal
    from tclue.progress import progress
    from tclue.puzzle import report

    puzzles = read_source(file)
    reports = []
    with progress("puzzles", len(puzzles)) as bar:
        for puzzle in puzzles:
            reports.append(report.check(puzzle, prover, minimal))
            bar.done(len(reports))
    if as_json:
        click.echo(json.dumps(report.summary(reports)))
    else:
        terminal.show_reports(reports)
    passed = all(
        checked.sound and (checked.history == "unique" or not history) for checked in reports
    )
    sys.exit(0 if passed else 1)


@click.command()
@click.argument("puzzles")
@click.argument("responses", type=click.Path(path_type=Path))
@click.option("--grader", type=GRADERS, default="sound", show_default=True, help="Who grades.")
@JSON
def grade(puzzles: str, responses: Path, grader: str, as_json: bool) -> None:
    """Grade texts made elsewhere.

    RESPONSES has lines {"id": ..., "response": ...} or {"prompt": ..., "response": ...}. With
    --json, one line for each response, in their order.

    \b
    tclue grade test responses.jsonl
    tclue grade val.json responses.jsonl --grader published --json
    """
    from tclue.board import terminal
    from tclue.puzzle.grading.grade import grader as find_grader
    from tclue.puzzle.grading.grade_file import grade_file

    graded = list(grade_file(read_source(puzzles), responses, find_grader(grader)))
    if not as_json:
        terminal.show_grades(graded, grader)
        return
    for response in graded:
        record = {
            "id": response.puzzle.id,
            "accuracy": response.grade.accuracy,
            "solved": response.grade.solved,
            "answers": response.grade.answers,
        }
        click.echo(json.dumps(record, ensure_ascii=False))
