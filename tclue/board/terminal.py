"""What a person sees in a terminal: puzzles, proofs, grades, runs and the board, through rich."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tclue.bench.costs.cost import Prices
from tclue.bench.models.listing import ModelListing
from tclue.bench.stats.compare import Comparison
from tclue.bench.stats.intervals import Estimate
from tclue.bench.stats.summary import Summary
from tclue.board.leaderboard import Board
from tclue.board.notes import notes
from tclue.board.plot import dollars
from tclue.board.tables import difference, estimate, p_value
from tclue.puzzle import splits
from tclue.puzzle.deduce import Difficulty
from tclue.puzzle.grading.grade_file import Graded
from tclue.puzzle.puzzle import Proof, Puzzle
from tclue.puzzle.report import CheckReport, claims, history
from tclue.puzzle.statements import Case
from tclue.puzzle.world import World

if TYPE_CHECKING:
    from tclue.puzzle.sat import Effort

_SCOPES = {"answers": "answers", "history": "whole history"}
_CLAIMS = {
    "answers_unique": "answers unique",
    "answers_as_stated": "answers as stated",
    "history_unique": "whole history unique",
    "inclusive_or_unique": 'answers unique under an inclusive "or" too',
    "minimal": "every clue needed",
}

# Columns that a name and two intervals take; with fewer, an interval stands below its value.
_WIDE = 100


def _console() -> Console:
    return Console(highlight=False)


def _results_console() -> Console:
    """For tables of results: nothing folds in a pipe, unless COLUMNS says so."""
    folds = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if folds else 2 * _WIDE)


def _table(*columns: str, title: str | None = None) -> Table:
    """A plain table; all columns but the first are to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        # Names may fold; numbers and their intervals may not.
        if number == 0:
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    return table


def show_puzzle(puzzle: Puzzle, measured: Difficulty, effort: Effort, solution: bool) -> None:
    """The prompt, and below it how hard it is; in a pipe, line by line as they are."""
    console = _console()
    piped = not console.is_terminal
    console.print(puzzle.prompt, markup=False, soft_wrap=piped)
    console.rule()
    enough = (
        "and that answers every question" if measured.solved else "and more than that is needed"
    )
    console.print(
        f"{puzzle.id}, {puzzle.edition} edition: {measured.num_clues} clues; single-clue deduction "
        f"takes {measured.steps} steps in {measured.rounds} rounds, {enough}; the proof took "
        f"{effort.conflicts} conflicts and {effort.propagations} propagations",
        markup=False,
        soft_wrap=piped,
    )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in measured.shares.items())
    console.print(f"clues by form: {shares}", markup=False, soft_wrap=piped)
    if solution:
        for letter, answer in puzzle.solution.items():
            console.print(f"{letter}. {answer}", markup=False)


def show_sets(listed: Sequence[splits.SplitListing]) -> None:
    """The named puzzle sets, each with the beginning of its file's SHA-256."""
    table = _table("set", "puzzles", "SHA-256")
    table.add_column("", overflow="fold")
    for puzzle_set in listed:
        size = "" if puzzle_set.puzzles is None else str(puzzle_set.puzzles)
        table.add_row(puzzle_set.name, size, (puzzle_set.sha256 or "")[:12], puzzle_set.about)
    _console().print(table)


def show_proof(puzzle: Puzzle, proof: Proof) -> None:
    """The solution; or two that differ, side by side; or that there is none."""
    console = _console()
    scope, verb = _SCOPES[proof.scope], "are" if proof.scope == "answers" else "is"
    if proof.verdict == "none":
        console.print(f"no solution: the clues contradict each other (asked of the {scope})")
        return
    if proof.verdict == "unique":
        console.print(f"one solution: the {scope} {verb} proved unique")
    else:
        console.print(f"several solutions: the {scope} {verb} not unique; two of them:")
    columns = ["", "solution"] if proof.verdict == "unique" else ["", "one", "another"]
    answers = _table(*columns)
    answer_sets = [puzzle.answers(case) for case in proof.cases]
    for letter in puzzle.questions:
        values = [answer[letter] for answer in answer_sets]
        answers.add_row(f"{letter}.", *values, style="bold" if len(set(values)) > 1 else None)
    console.print(answers)
    if proof.scope == "history":
        _show_rooms(console, puzzle.world, proof.cases)


def _show_rooms(console: Console, world: World, cases: Sequence[Case]) -> None:
    """Who and what was where when, by room number: names would not fit a dozen times."""
    rooms = _table("room at", *(world.times or ("that evening",)))
    for number, case in enumerate(cases):
        if number:
            rooms.add_section()
        for who, path in history(world, case)["rooms"].items():
            rooms.add_row(who, *(str(world.rooms.index(room) + 1) for room in path))
    console.print(rooms)
    console.print(", ".join(f"{n} {room}" for n, room in enumerate(world.rooms, 1)), style="dim")


def show_reports(reports: Sequence[CheckReport]) -> None:
    """The claims that fail, puzzle by puzzle, then how many puzzles each claim holds for."""
    console = _console()
    for report in reports:
        if not report.sound:
            stated = "" if report.answers != "unique" else ", but not as stated"
            console.print(f"{report.id}: answers {report.answers}{stated}", markup=False)
        if report.needless:
            numbers = ", ".join(map(str, report.needless))
            console.print(f"{report.id}: clues that could be dropped: {numbers}", markup=False)
    table = _table("claim", "holds for", "of")
    for claim, held in claims(reports).items():
        if held:
            table.add_row(_CLAIMS[claim], str(sum(held)), str(len(held)))
    console.print(table)


def show_grades(graded: Sequence[Graded], grader: str) -> None:
    """Each response's grade, and the means."""
    console = _console()
    table = _table("puzzle", "accuracy", "solved", "answers")
    for response in graded:
        puzzle, grade = response.puzzle, response.grade
        answers = " ".join(
            letter if puzzle.solution[letter] == answer else f"[dim]{letter.lower()}[/dim]"
            for letter, answer in grade.answers.items()
            if answer is not None
        )
        table.add_row(puzzle.id, f"{grade.accuracy:.3f}", "yes" if grade.solved else "", answers)
    console.print(table)
    if graded:
        console.print(
            f"{len(graded)} responses, grader {grader}: mean accuracy "
            f"{fmean(response.grade.accuracy for response in graded):.3f}, solved "
            f"{fmean(response.grade.solved for response in graded):.3f}"
        )


def show_summaries(summaries: Sequence[Summary]) -> None:
    """What each run adds up to, what a reader must know of it, and where its records are."""
    console = _results_console()
    table = _table("model", "accuracy", "solved", "puzzles", "$ a puzzle", "failed")
    for summary in summaries:
        unasked = summary.outcomes["failed"] + summary.missing
        table.add_row(
            escape(summary.variant),
            _stacked(summary.accuracy, console),
            _stacked(summary.solved, console),
            str(summary.puzzles) + (f" x {summary.samples}" if summary.samples > 1 else ""),
            _dollars(summary.cost_usd),
            str(unasked) if unasked else "",
        )
    console.print(table)
    for summary in summaries:
        lines = [_at_k(summary)] if summary.samples > 1 else []
        if summary.total_cost_usd:
            lines.append(f"{dollars(summary.total_cost_usd)} in all")
        if summary.at_most_usd:
            lines.append(
                f"at most {dollars(summary.at_most_usd)} more, for what does not say what it cost"
            )
        for line in (*lines, *notes(summary)):
            console.print(f"{summary.variant}: {line}", markup=False, soft_wrap=True)
    for summary in summaries:
        console.print(f"records: {summary.run}", style="dim", soft_wrap=True)


def _at_k(summary: Summary) -> str:
    full = summary.at_k[-1]
    return (
        f"pass@{full.k} {_interval(full.pass_solved)}, "
        f"consensus@{full.k} {_interval(full.consensus_accuracy)}"
    )


def show_comparison(comparison: Comparison) -> None:
    """Two runs side by side, and whether their difference may be chance."""
    console = _console()
    table = _table("", "first", "second", "difference", "p", "puzzles needed")
    for name, metric in (("accuracy", comparison.accuracy), ("solved", comparison.solved)):
        table.add_row(
            name,
            f"{metric.first:.3f}",
            f"{metric.second:.3f}",
            difference(metric),
            p_value(metric),
            "none is enough" if metric.puzzles_needed is None else f"{metric.puzzles_needed:,}",
        )
    runs = zip(("first", "second"), comparison.variants, comparison.runs, strict=True)
    for place, variant, run in runs:
        console.print(f"{place}: {variant} ({run})", markup=False, soft_wrap=True)
    console.print(table)
    left_out = comparison.left_out
    rest = f"; {left_out} that only one has are left out" if left_out else ""
    apart = "are told apart" if comparison.accuracy.significant else "are not told apart"
    console.print(
        f"{comparison.puzzles} puzzles of {comparison.puzzle_set}, grader {comparison.grader}"
        f"{rest}: the two {apart} by accuracy",
        markup=False,
        soft_wrap=True,
    )


def _dollars(cost_usd: float | None) -> str:
    return "unknown" if cost_usd is None else dollars(cost_usd)


def _interval(mean: Estimate | None) -> str:
    return estimate(mean) if mean else "none"


def _stacked(mean: Estimate | None, console: Console) -> str:
    """A mean with its interval, below it where the console is narrow."""
    text = _interval(mean)
    return text if console.width >= _WIDE else text.replace(" [", "\n[")


def show_models(listed: Sequence[ModelListing]) -> None:
    """The models: what each is, its variants, what it needs, and its price with its day."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for model in listed:
        lines = [model.about, _variants_and_needs(model), _price(model.prices)]
        style = "dim" if model.retired or model.needs else None
        table.add_row(escape(model.name), escape("\n".join(filter(None, lines))), style=style)
    console = _console()
    console.print(table)
    console.print("prices: US dollars per million tokens; --json has all there is")


def _variants_and_needs(model: ModelListing) -> str:
    words = []
    labels = [variant.label.removeprefix(model.name) for variant in model.variants]
    if any(labels):
        words.append(", ".join(labels))
    if model.retired_on:
        words.append(f"retired {'on' if model.retired else 'from'} {model.retired_on}")
    if model.retired:
        copy = model.self_hosted and f"a copy of your own needs {model.self_hosted}"
        words.append(copy or "closed weights: no copy to be had")
    if model.needs and not model.retired:
        words.append(f"needs {model.needs}")
    elif model.key_is_set:
        words.append("key is set")
    return "; ".join(words)


def _price(price: Prices | None) -> str:
    """The price, its day and its source; of a URL, only the site."""
    if price is None:
        return ""
    if price.source == "unknown":
        return "price unknown"
    dollars_in, dollars_out = (
        "unknown" if usd is None else f"${usd:g}"
        for usd in (price.prompt_usd_per_million, price.completion_usd_per_million)
    )
    site = re.sub(r"https?://([^/\s]+)\S*", r"\1", price.origin or price.source)
    return f"{dollars_in} in, {dollars_out} out ({price.date}, {site})"


def show_board(board: Board) -> None:
    """The measured tables of the board; the published one is in its Markdown."""
    console = _results_console()
    for ranked in board.sets:
        table = _table(
            "variant",
            "accuracy",
            "solved",
            "$ a puzzle",
            "failed",
            title=f"{escape(ranked.title)}: {ranked.puzzles} puzzles, grader {ranked.grader}",
        )
        for row in ranked.rows:
            table.add_row(
                escape(row.label)
                + (" *" if row.on_frontier else "")
                + (" ~" if row.like_neighbour else ""),
                _stacked(row.summary.accuracy, console),
                _stacked(row.summary.solved, console),
                _dollars(row.cost_usd),
                str(row.summary.outcomes["failed"] + row.summary.missing),
            )
        console.print(table)
        for row in ranked.rows:
            if row.base and row.config.trained:
                gain = f"{row.label}: {difference(row.base.accuracy)} above its base"
                console.print(f"{gain} ({row.config.trained.describe()})", markup=False)
        console.print()
    if any(row.on_frontier for ranked in board.sets for row in ranked.rows):
        console.print("* on the frontier: nothing in its table beats it at its cost or less")
    if any(row.like_neighbour for ranked in board.sets for row in ranked.rows):
        console.print("~ not told apart from the next * below it (paired t, p of 0.05 or more)")
