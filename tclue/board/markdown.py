"""The board as a page of Markdown: how to read it, then tables and a picture for each set."""

from __future__ import annotations

from collections.abc import Sequence

from tclue.bench.stats.summary import MAX_LOST
from tclue.board.plot import dollars
from tclue.board.published_figures import PICTURE, Published, PublishedRow
from tclue.board.rows import RankedSet
from tclue.board.tables import (
    ALIKE,
    FRONTIER,
    NOTED,
    by_difficulty,
    effort,
    escaped,
    more_scores,
    ranking,
    remarks,
    table,
    tokens,
)
from tclue.puzzle.published import FILES

_HEAD = f"""\
# Leaderboard

How accurately models solve Temporal Clue puzzles, and what an answer costs. This page, its
pictures and `board.json` are made from the records of runs by `tclue leaderboard`; edits to them
are lost. `tclue leaderboard --check` tells whether they are what the records give.

Each table is one set of puzzles under one grader. Rows are compared within a table, never across.

- **Accuracy**: share of a puzzle's questions answered right, from 0 to 1, averaged over each
  puzzle's samples (avg@k) and then over puzzles, with its 95% interval in brackets. The interval is
  clustered by puzzle: more samples of the same puzzles do not make them more puzzles.
- **Solved**: share of responses with every question right, and its 95% interval, clustered alike.
- **$ a puzzle**: mean US dollars for one response, as billed on the day: a hosted model at its
  price for tokens then, a local one at a price for the hour. *unknown*: there is no known price; it
  is not 0. *Repriced*: the same tokens at the prices of the price book of the date that is given.
- **Tokens**: mean for one response; those out hold the reasoning.
- **Puzzles**, **samples**: puzzles with a scored response; times that each was to be asked.
- **Failed**: requests without a usable reply. They are not scored. Where more than {MAX_LOST:.0%}
  failed or are missing, the row is *incomplete*: the same `tclue bench` command asks for them
  again.
- **{FRONTIER}**: on the frontier. No other row of the table is as accurate for less, or more
  accurate for as much or less. Free models, unknown costs and incomplete rows are left out of it.
- **{ALIKE}**: not told apart from the next {FRONTIER} below it: their difference, puzzle by puzzle,
  may as well be chance (paired t, p of 0.05 or more). *Puzzles needed*: that would tell a
  difference of this size apart in four of five trials.
- **Above its base**: how much more accurate trained weights are than those that training began
  with, puzzle by puzzle; an arrow leads from the one to the other in the picture.
- **{NOTED}**: there is a note below the table.
- **Main five**: accuracy on who, weapon, where, when and why alone. **Pass@k**: chance that one of
  k samples is solved. **Consensus@k**: score of the answers that most of k samples give.
- **Truncated, refused, unparsed**: shares of responses cut off by the output limit, of refusals,
  and of texts without an answer. They are scored for what they hold.
"""


def page(sets: Sequence[RankedSet], published: Published, price_book: str) -> str:
    """The whole page; `price_book` is the day of the price book that costs are repriced with."""
    measured = [_section(ranked, price_book) for ranked in sets]
    sections = measured or ["## Measured\n\nNo runs yet.\n"]
    return "\n".join([_HEAD, *sections, _published(published, sets)])


def _section(ranked: RankedSet, price_book: str) -> str:
    title = escaped(ranked.title)
    parts = [
        f"## {title}\n",
        f"{_count(ranked.puzzles, 'puzzle')}, grader `{ranked.grader}`, puzzle file with SHA-256 "
        f"`{ranked.sha256}`.\n",
        ranking(ranked),
        remarks(ranked),
        f"![{title}: accuracy against cost]({ranked.picture})\n",
        more_scores(ranked),
        by_difficulty(ranked),
        effort(ranked, price_book),
    ]
    return "\n".join(part for part in parts if part)


def _published(published: Published, sets: Sequence[RankedSet]) -> str:
    heads = ["", "model", "organization", "reasoning", "accuracy", "$ a response"]
    heads += ["tokens in", "tokens out", "note"]
    rows = table(heads, "clllrrrrl", [_published_cells(row) for row in published.rows])
    return f"""\
## Published results

**Published, not measured here**, and so not ranked with the rows above. Source:
{escaped(published.source)}. On {escaped(published.benchmark)}. That grader never counts a time as
right: under it the right answers themselves score 0.926.

The source gives no intervals and no scores by puzzle, so none can be computed, and the frontier
is drawn through the figures as they stand. A mean of 64 scores between 0 and 1 may be off by as
much as 0.12 either way (95%). Numbers in notes are in percent, as in the source.

{rows}
{_comparable_rows(sets)}![Published results: accuracy against cost]({PICTURE})
"""


def _comparable_rows(sets: Sequence[RankedSet]) -> str:
    """The measured rows that a published one may be set beside: its puzzles, its grader."""
    lines = [
        f"- {escaped(row.label)}: {accuracy.value:.3f} [{accuracy.low:.3f}, {accuracy.high:.3f}], "
        f"{_count(row.summary.puzzles, 'puzzle')}, "
        f"{_count(row.summary.samples, 'response')} to each\n"
        for ranked in sets
        if ranked.sha256 == FILES["published-val"].sha256 and ranked.grader == "published"
        for row in ranked.rows
        if (accuracy := row.summary.accuracy)
    ]
    if not lines:
        return ""
    return f"Measured here on the same file under the same grader:\n\n{''.join(lines)}\n"


def _published_cells(row: PublishedRow) -> list[str]:
    return [
        FRONTIER if row.on_frontier else "",
        escaped(row.model),
        escaped(row.organization),
        escaped(row.reasoning),
        f"{row.accuracy:.3f}",
        dollars(row.cost_usd),
        tokens(row.prompt_tokens),
        tokens(row.completion_tokens),
        escaped(row.note),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
