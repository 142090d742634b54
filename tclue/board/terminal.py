"""What a person sees in a terminal: puzzles, proofs, grades, runs and the board."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tclue.bench.models.listing import ModelListing
from tclue.bench.results import RunListing
from tclue.bench.stats.compare import Comparison
from tclue.bench.stats.graded import GradeSummary
from tclue.bench.stats.summary import Summary
from tclue.board.leaderboard import Board
from tclue.board.notes import notes
from tclue.board.wording import difference, estimate, p_value, per_thousand
from tclue.puzzle import splits
from tclue.puzzle.deduce import Difficulty
from tclue.puzzle.grading.grade import Graded
from tclue.puzzle.puzzle import Proof, Puzzle
from tclue.puzzle.report import CheckReport, claims, history
from tclue.puzzle.statements import Case
from tclue.puzzle.world import World
from tclue.text import clean, counted, money

if TYPE_CHECKING:
    from tclue.puzzle.sat import Effort

_SCOPES = {"answers": "answers", "history": "whole history"}
_SCORES = ("accuracy", "solved", "$ per 1,000", "failed")
_CLAIMS = {
    "answers_unique": "answers unique",
    "answers_as_stated": "answers as stated",
    "history_unique": "whole history unique",
    "inclusive_or_unique": 'answers unique under an inclusive "or" too',
    "minimal": "every clue needed",
    "controls_hold": "controls as expected",
}

# A name and two intervals take so many columns. On a narrower screen an interval stands below its
# value.
_WIDE = 100


class _Console(Console):
    """A console that leaves a pipe that was closed early to the command line."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _escape(text: str) -> str:
    """A text from outside as markup: neither rich nor the terminal finds commands in it."""
    return escape(clean(text))


def _console() -> Console:
    """Standard output; in a pipe, lines of any table stay whole unless COLUMNS sets a width."""
    folds = sys.stdout.isatty() or "COLUMNS" in os.environ
    # Without a width and a height, rich gives every dumb terminal 80 columns.
    width = shutil.get_terminal_size().columns if folds else 2 * _WIDE
    return _Console(highlight=False, width=width, height=100)


def show_text(
    text: str, console: Console | None = None, style: str | None = None, *, data: bool = False
) -> None:
    """Lines of text without markup: wrapped in a terminal, whole in a pipe, `data` unchanged."""
    console = console or _console()
    if console.is_terminal or not data:
        text = "\n".join(map(clean, text.split("\n")))
    console.print(text, markup=False, soft_wrap=not console.is_terminal, style=style)


def _show_table(
    console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1
) -> None:
    """A plain table, its first `left` columns to the left; cells may hold markup.

    On a narrow screen the names fold. If less than 20 columns are left for them, each row becomes a
    paragraph that begins with its name.
    """
    if not (rows := list(rows)):
        return
    # A column that is empty in every row is left out.
    filled = [i for i in range(len(heads)) if i == 0 or any(row[i] for row in rows)]
    heads, rows = [heads[i] for i in filled], [[row[i] for i in filled] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, head in enumerate(heads):
        justify: Literal["left", "right"] = "left" if number < left else "right"
        table.add_column(head, justify=justify, overflow="fold", no_wrap=number > 0)
    for row in rows:
        table.add_row(*row)
    names = max((Text.from_markup(row[0]).cell_len for row in rows), default=0)
    full = console.measure(table, options=console.options.update(max_width=10**6)).maximum
    if console.width - (full - names) >= min(names, 20):
        console.print(table)
        return
    for name, *cells in rows:
        pairs = zip(heads[1:], cells, strict=True)
        parts = [" ".join(f"{head} {cell}".split()) for head, cell in pairs if cell]
        console.print(name, style="bold", overflow="fold")
        console.print(Padding(Columns(parts, padding=(0, 3)), (0, 0, 0, 2)))


def show_puzzle(puzzle: Puzzle, measured: Difficulty, effort: Effort, solution: bool) -> None:
    """The prompt, and below it how hard it is; in a pipe, line by line as they are."""
    console = _console()
    show_text(puzzle.prompt, console, data=True)
    console.print("─" * min(console.width, _WIDE))
    result = "answers every question" if measured.solved else "leaves questions open"
    show_text(
        f"{puzzle.id}, {puzzle.edition} edition: {counted(measured.num_clues, 'clue')}. One clue "
        f"at a time gives {counted(measured.steps, 'deduction')} in "
        f"{counted(measured.rounds, 'round')} and {result}. The SAT proof took "
        f"{counted(effort.conflicts, 'conflict')} and "
        f"{counted(effort.propagations, 'propagation')}.",
        console,
    )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in measured.shares.items())
    show_text(f"clues by form: {shares}", console)
    if solution:
        questions = puzzle.to_dict()["questions"]
        for letter, answer in puzzle.solution.items():
            show_text(f"{letter}. {questions[letter]} {answer}", console)


def show_sets(listed: Sequence[splits.SplitListing]) -> None:
    """The named puzzle sets, each with the beginning of its file's SHA-256."""
    rows = [
        (
            puzzle_set.name,
            "" if puzzle_set.puzzles is None else str(puzzle_set.puzzles),
            (puzzle_set.sha256 or "")[:12],
            _escape(puzzle_set.about),
        )
        for puzzle_set in listed
    ]
    _show_table(_console(), ("set", "puzzles", "SHA-256", "about"), rows, left=4)


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
    answer_sets = [puzzle.answers(case) for case in proof.cases]
    rows = []
    questions = puzzle.to_dict()["questions"]
    for letter in questions:
        values = [_escape(answer[letter]) for answer in answer_sets]
        if len(set(values)) > 1:
            values = [f"[bold]{value}[/bold]" for value in values]
        rows.append((_escape(f"{letter}. {questions[letter]}"), *values))
    heads = ("", "solution") if proof.verdict == "unique" else ("", "one", "another")
    _show_table(console, heads, rows, left=3)
    if proof.scope == "history":
        _show_rooms(console, puzzle.world, proof.cases)


def _show_rooms(console: Console, world: World, cases: Sequence[Case]) -> None:
    """Who and what was where at each time, by the room's number: its name would not fit."""
    times = [_stacked(_escape(time), " ", console) for time in world.times or ("room",)]
    for case in cases:
        rows = [
            (_escape(who), *(str(world.rooms.index(room) + 1) for room in path))
            for who, path in history(world, case)["rooms"].items()
        ]
        _show_table(console, ("room at" if world.times else "", *times), rows)
    numbers = ", ".join(f"{n} {room}" for n, room in enumerate(world.rooms, 1))
    show_text(numbers, console, style="dim")


def show_reports(reports: Sequence[CheckReport]) -> None:
    """The claims that fail, puzzle by puzzle, then how many puzzles each claim holds for."""
    console = _console()
    for report in reports:
        if not report.sound:
            stated = "" if report.answers != "unique" else ", but not as stated"
            show_text(f"{report.id}: answers {report.answers}{stated}", console)
        if report.needless:
            numbers = ", ".join(map(str, report.needless))
            show_text(f"{report.id}: unnecessary clues: {numbers}", console)
        for control, letters in report.failed_controls.items():
            where = ", ".join(letters)
            show_text(f"{report.id}: control graded wrong: {control}, for {where}", console)
    rows = [
        (_CLAIMS[claim], str(sum(held)), str(len(held)))
        for claim, held in claims(reports).items()
        if held
    ]
    _show_table(console, ("claim", "holds for", "of"), rows)


def show_grades(
    graded: Sequence[Graded], summary: GradeSummary, grader: str, why: Sequence[str] | None = None
) -> None:
    """Each response's grade, or the lines that say `why`; the means, and what is missing."""
    console = _console()
    rows = []
    for response in graded:
        puzzle, grade = response.puzzle, response.grade
        if grade is None:
            continue
        answers = " ".join(
            letter if puzzle.solution[letter] == answer else f"[dim]{letter.lower()}[/dim]"
            for letter, answer in grade.answers.items()
            if answer is not None
        )
        solved = "yes" if grade.solved else ""
        rows.append((_escape(puzzle.id), f"{grade.accuracy:.3f}", solved, answers))
    if why is not None:
        show_text("\n".join(why), console)
    else:
        _show_table(console, ("puzzle", "accuracy", "solved", "answers"), rows)
        console.print("(answers: a capital is right, a small letter wrong)")
    console.print(
        f"{counted(summary.responses, 'response')} to {counted(summary.puzzles, 'puzzle')}, grader "
        f"{grader}: accuracy {estimate(summary.accuracy)}, solved {estimate(summary.solved)} "
        "(95% intervals, clustered by puzzle)"
    )
    for count, noun, what in (
        (summary.responses_without_text, "response", "without a text, scored 0"),
        (summary.puzzles_without_response, "puzzle", "without a response, not scored"),
        (summary.failed, "failed request", "not scored"),
    ):
        if count:
            console.print(f"{counted(count, noun)} {what}")
    if summary.unread:
        show_text(summary.unread.describe(), console)


def show_summaries(summaries: Sequence[Summary]) -> None:
    """The figures of each run, and what a reader must know about it."""
    console = _console()
    rows = [
        (_escape(summary.variant), *_scores(summary, console), _puzzles(summary))
        for summary in summaries
    ]
    _show_table(console, ("model", *_SCORES, "puzzles"), rows)
    for summary in summaries:
        lines = []
        if summary.samples > 1:
            full = summary.at_k[-1]
            solved, consensus = estimate(full.pass_solved), estimate(full.consensus_accuracy)
            lines.append(f"pass@{full.k} {solved}, consensus@{full.k} {consensus}")
        if summary.total_cost_usd:
            lines.append(f"{money(summary.total_cost_usd)} in all")
        if summary.at_most_usd:
            lines.append(
                f"at most {money(summary.at_most_usd)} more, for requests whose cost is unknown"
            )
        for line in (*lines, *notes(summary)):
            show_text(f"{summary.variant}: {line}", console)


def show_runs(runs: Sequence[RunListing]) -> None:
    """The runs of a results folder."""
    console = _console()
    rows = []
    for run in runs:
        cells = [""] * 6
        if found := run.summary:
            cells = [
                _escape(found.variant),
                _escape(found.puzzle_set),
                _stacked(estimate(found.accuracy), " [", console),
                _puzzles(found),
                str(found.outcomes["failed"] or ""),
                money(found.total_cost_usd),
            ]
        rows.append((_escape(run.name), *cells, _escape(run.state), _escape(run.day or "")))
    heads = ("run", "model", "set", "accuracy", "puzzles", "failed", "cost", "state", "day")
    _show_table(console, heads, rows, left=3)


def _puzzles(summary: Summary) -> str:
    """The puzzles with a scored response, of those asked if some have none, and the samples."""
    asked = f"/{summary.puzzles_asked}" if summary.puzzles < summary.puzzles_asked else ""
    return f"{summary.puzzles}{asked}" + (f" x {summary.samples}" if summary.samples > 1 else "")


def show_comparison(comparison: Comparison) -> None:
    """Two runs side by side, and whether their difference may be chance."""
    console = _console()
    rows = [
        (
            name,
            f"{metric.first:.3f}",
            f"{metric.second:.3f}",
            _stacked(difference(metric), " [", console),
            p_value(metric),
            "–" if metric.puzzles_needed is None else f"{metric.puzzles_needed:,}",
        )
        for name, metric in (("accuracy", comparison.accuracy), ("solved", comparison.solved))
    ]
    runs = zip(("first", "second"), comparison.variants, comparison.runs, strict=True)
    for place, variant, run in runs:
        show_text(f"{place}: {variant} ({run})", console)
    heads = ("", "first", "second", "difference", "p", "puzzles needed")
    _show_table(console, heads, rows)
    only_one = counted(comparison.left_out, "puzzle")
    rest = f" (without {only_one} that only one run answered)" if comparison.left_out else ""
    verdict = "significant" if comparison.accuracy.significant else "not significant"
    show_text(
        f"{counted(comparison.puzzles, 'puzzle')} of {comparison.puzzle_set}, grader "
        f"{comparison.grader}{rest}: the difference in accuracy is {verdict}",
        console,
    )


def _scores(summary: Summary, console: Console) -> tuple[str, ...]:
    """The cells below _SCORES; the cost is that of 1,000 responses."""
    return (
        _stacked(estimate(summary.accuracy), " [", console),
        _stacked(estimate(summary.solved), " [", console),
        per_thousand(summary.cost_usd),
        str(summary.outcomes["failed"] + summary.missing or ""),
    )


def _stacked(text: str, at: str, console: Console) -> str:
    """A text; where the console is narrow, it continues on a second line after `at`."""
    return text if console.width >= _WIDE else text.replace(at, "\n" + at.strip())


def show_models(listed: Sequence[ModelListing]) -> None:
    """The models: what each is, its variants, what it needs, and its price with its day."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for model in listed:
        about = "\n".join(map(_escape, model.describe()))
        style = "dim" if model.retired or model.needs else None
        table.add_row(_escape(model.name), about, style=style)
    console = _console()
    console.print(table)
    show_text("Prices are US dollars per million tokens. --json prints every field.", console)


def show_board(board: Board) -> None:
    """The measured tables of the board; the published one is in its Markdown."""
    console = _console()
    for ranked in board.sets:
        count = counted(ranked.puzzles, "puzzle")
        show_text(f"{ranked.title}: {count}, grader {ranked.grader}", console)
        rows = [
            (
                _escape(row.label)
                + (" *" if row.on_frontier else "")
                + (" ~" if row.like_neighbour else ""),
                *_scores(row.summary, console),
            )
            for row in (*ranked.rows, *ranked.levels)
        ]
        _show_table(console, ("variant", *_SCORES), rows)
        if apart := [*ranked.partial, *ranked.unscored]:
            names = ", ".join(row.run for row in apart)
            show_text(f"not ranked (on a part of the set, or without a response): {names}", console)
        for row in ranked.rows:
            if row.base and row.config.trained:
                gain = f"{row.label}: {difference(row.base.accuracy)} above its base"
                show_text(gain, console)
        console.print()
    if any(row.on_frontier for ranked in board.sets for row in ranked.rows):
        show_text("* on the frontier: no row with a price is better at the same cost or less")
    if any(row.like_neighbour for ranked in board.sets for row in ranked.rows):
        console.print(
            "~ not statistically different from the next * below it (paired t, p >= 0.05)"
        )
