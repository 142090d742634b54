"""The board in Markdown: for each set a sentence, a picture and a table, with more folded below."""

import html
from collections.abc import Mapping, Sequence

from tclue.bench.stats.summary import MAX_LOST
from tclue.board import tables
from tclue.board.published_figures import PICTURE, Published, PublishedRow
from tclue.board.rows import RankedSet, Row, chance_of, compared
from tclue.board.tables import FRONTIER, NOTED, SAME, code, folded, table
from tclue.board.wording import difference, escaped, estimate, p_value, per_thousand, tokens
from tclue.puzzle.splits import PUBLISHED
from tclue.text import counted

_LEGEND = f"""\
- **Accuracy** is the share of a puzzle's questions that were answered right, from 0 to 1,
  averaged over each puzzle's samples and then over the puzzles. The brackets hold its 95%
  interval, which is clustered by puzzle: more samples of the same puzzles do not count as more
  puzzles.
- **Solved** is the share of responses with every question right, with an interval of the same
  kind.
- **$ per 1,000 puzzles** is the mean cost of one response in US dollars, times 1,000, at the
  prices of the day: token prices for a hosted model, a price for the hour for a local one. Costs
  by the hour also depend on the batch size and on what else the machine was doing.
  *Unknown* means that no price is known, not that the price is 0. *Repriced* costs apply the
  price book of the given date to the same tokens.
- **Tokens** are the mean of one response; those out include the reasoning.
- **Puzzles** is the number of puzzles with a scored response, times the samples of each.
- **{FRONTIER}** marks the frontier: no other row of the table is as accurate for less, or more
  accurate for the same cost or less. Free models, unknown costs, incomplete runs and models that
  are no more accurate than `random` are never on it.
- **{SAME}** means that the accuracy is not statistically different from that of the next
  {FRONTIER} below (paired t test over the puzzles, p of 0.05 or more). *Puzzles needed* is the
  number of puzzles that would show a difference of this size in four of five trials.
- **{NOTED}** refers to a note below the table. The shape of texts is their last line that names an
  option or begins with the letter of a question, with X for the letter, 9 for a number, and
  SUSPECT, WEAPON, ROOM, TIME or MOTIVE for a name.
- **Levels**: `random` draws one of the legal answers to each question, and `solver` proves the
  answers. They are the chance level and the ceiling, not models.
- **Incomplete**: more than {MAX_LOST:.0%} of the requests failed or are missing. Failed requests
  are not scored; the same `tclue bench` command asks for them again.
- **Seeds**: runs that differ in nothing but the seed are one row, that of the lowest seed.
- **Above its base** is how much more accurate trained weights are than those that the training
  began with, puzzle by puzzle. In the picture, an arrow leads from the base to the trained
  weights.
- **Main five** is the accuracy on who, weapon, where, when and why alone. **Pass@k** is the
  chance that one of k samples is solved, **consensus@k** the score of the answers that most of k
  samples give.
- **Truncated, refused, unparsed** are the shares of responses that reached the output limit, that
  were refusals, and that hold no answer. They are scored for what they hold.

Rows can be compared within a table, never across tables. `tclue leaderboard` makes this page, its
pictures and `board.json` from the records of the runs and overwrites edits; `tclue leaderboard
--check` tells whether they match the records.
"""


def page(
    sets: Sequence[RankedSet],
    published: Published,
    price_book: str,
    pictures: Mapping[str, str],
    results: str = "../results",
) -> str:
    """The whole page.

    `price_book` is the day of the price book that costs are repriced with, `pictures` has the
    titles of the pictures, by the stem of their file, and `results` is the path from the page to
    the run folders.
    """
    days = [row.day for ranked in sets for row in ranked.measured if row.day]
    day = f" The last response was measured on {max(days)} (UTC)." if days else ""
    parts = [
        "# Leaderboard\n",
        "How accurately models solve Temporal Clue puzzles, and what their answers cost, one table "
        f"for each set of puzzles.{day}\n",
        *(_section(ranked, price_book, pictures.get(ranked.stem), results) for ranked in sets),
        *([] if sets else ["## Measured\n\nNo runs yet.\n"]),
        _published(published, sets),
        folded("How to read this page", _LEGEND),
    ]
    return "\n".join(parts)


def _section(ranked: RankedSet, price_book: str, alt: str | None, results: str) -> str:
    title = escaped(ranked.title)
    parts = [
        f"## {title}\n",
        _verdict(ranked),
        _levels(ranked),
        picture(alt, ranked.stem) if alt else "",
        *tables.ranking(ranked),
        tables.remarks(ranked.rows),
        f"{counted(ranked.puzzles, 'puzzle')}, grader {code(ranked.grader)} (version "
        f"{ranked.grader_version}), puzzle file {code(ranked.sha256[:8])} (SHA-256).\n",
        tables.more_scores(ranked),
        tables.by_difficulty(ranked),
        tables.effort(ranked, price_book),
        tables.other_seeds(ranked),
        tables.set_apart("Runs on a part of the set, which are not ranked", ranked.partial),
        tables.set_apart("Runs without a scored response", ranked.unscored),
        tables.records(ranked, results),
    ]
    return "\n".join(part for part in parts if part)


def picture(alt: str, stem: str) -> str:
    """A picture for light and dark pages; where `<picture>` is unknown, the light one is left."""
    return (
        "<picture>\n"
        f'  <source media="(prefers-color-scheme: dark)" srcset="{stem}-dark.svg">\n'
        f'  <img alt="{html.escape(alt)}" src="{stem}.svg">\n'
        "</picture>\n"
    )


def _verdict(ranked: RankedSet) -> str:
    """Which model is the most accurate, which the best per dollar, and how sure that is."""
    rows = [row for row in ranked.rows if row.summary.complete and row.accuracy is not None]
    if not rows:
        return "No model has been measured completely on all puzzles of this set yet.\n"
    best = rows[0]
    if (best.accuracy or 0.0) <= chance_of(ranked.levels):
        return "No model that was measured here is more accurate than chance.\n"
    sentences = [
        f"The most accurate model is {_named(best)}, on {counted(best.summary.puzzles, 'puzzle')}."
    ]
    value = [row for row in rows if row.on_frontier and row.cost_usd]
    if value:
        # The same for every row: right answers are puzzles x questions x accuracy.
        bargain = max(value, key=lambda row: (row.accuracy or 0.0) / (row.cost_usd or 1.0))
        name = "it" if bargain is best else _named(bargain)
        sentences.append(f"Of those with a price, {name} has the most right answers per dollar.")
    others = [row for row in rows if row.config.variant != best.config.variant]
    if others and (against := compared(best, others[0])):
        result = against.accuracy
        sure = "is" if result.significant else "is not"
        sentences.append(
            f"The lead over the next model, {escaped(others[0].label)}, {sure} statistically "
            f"significant: {difference(result)}, p {p_value(result, sign='= ')}."
        )
    return " ".join(sentences) + "\n"


def _named(row: Row) -> str:
    cost = "at an unknown cost" if row.cost_usd is None else f"for {per_thousand(row.cost_usd)}"
    per = "" if row.cost_usd is None else " per 1,000 puzzles"
    return f"**{escaped(row.label)}** (accuracy {estimate(row.summary.accuracy)}, {cost}{per})"


def _levels(ranked: RankedSet) -> str:
    names = {"random": "chance (`random`)", "solver": "the ceiling (`solver`)"}
    levels = [f"{names[r.config.model]} {estimate(r.summary.accuracy)}" for r in ranked.levels]
    return f"Levels: {', '.join(reversed(levels))}.\n" if levels else ""


def _published(published: Published, sets: Sequence[RankedSet]) -> str:
    heads = ["", "model", "organization", "reasoning", "accuracy", "$ per 1,000 puzzles"]
    heads += ["tokens in", "tokens out", "note"]
    rows = table(heads, "clllrrrrl", [_published_cells(row) for row in published.rows])
    best = published.rows[0]
    rivals = [row for row in published.rows if row.on_frontier and row is not best]
    near = max(rivals, key=lambda row: row.accuracy)
    return f"""\
## Published results

**Quoted, not measured here**: {_quoted(best)} is the most accurate of the published models; \
{_quoted(near)} comes next on the frontier. Whether they differ by more than chance cannot be \
tested, because the source gives no scores for single puzzles.

{picture("Published results: accuracy against cost", PICTURE)}
{rows}
The source is {escaped(published.source)}. The figures are on {escaped(published.benchmark)}. That
grader never counts a time as right, so the right answers themselves score 0.926 under it. The
source gives no intervals, so none are shown and the frontier is drawn through the figures as they
stand: a mean of 64 scores between 0 and 1 may be off by as much as 0.12 either way (95%). Numbers
in notes are in percent, as in the source. These rows are not ranked with those above.

{_comparable_rows(sets)}"""


def _quoted(row: PublishedRow) -> str:
    return (
        f"**{escaped(row.label)}** ({row.accuracy:.3f}, {per_thousand(row.cost_usd)} per 1,000 "
        "puzzles)"
    )


def _comparable_rows(sets: Sequence[RankedSet]) -> str:
    """The measured rows that a published one can be compared with: its puzzles, its grader."""
    lines = [
        f"- {escaped(row.label)}: {estimate(row.summary.accuracy)}, "
        f"{counted(row.summary.puzzles, 'puzzle')}, "
        f"{counted(row.summary.samples, 'response')} to each\n"
        for ranked in sets
        if ranked.sha256 == PUBLISHED["published-val"] and ranked.grader == "published"
        for row in (*ranked.rows, *ranked.levels)
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
        per_thousand(row.cost_usd),
        tokens(row.prompt_tokens),
        tokens(row.completion_tokens),
        escaped(row.note),
    ]
