"""The tables of one puzzle set, in Markdown: the ranking, and below it what else was measured.

A column that is empty in every row of a table is left out, and so is a table without rows.
"""

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple
from urllib.parse import quote

from tclue.bench.stats.compare import Difference
from tclue.board.notes import bench_command, notes
from tclue.board.rows import Neighbour, RankedSet, Row
from tclue.board.wording import NONE, difference, escaped, estimate, p_value, per_thousand, tokens
from tclue.text import clean, counted, format_number

FRONTIER, SAME, NOTED = "◆", "≈", "†"
# Rows of a ranking that are not folded away.
MOST_ROWS = 40


class Column(NamedTuple):
    """A column: heading, alignment (l, c or r), and the cell of a row; NONE if it is empty."""

    head: str
    side: str
    cell: Callable[[Row], str]


def ranking(ranked: RankedSet) -> list[str]:
    """The main table, most accurate first, and if it is long its end, folded."""
    columns = [
        Column("", "c", _mark),
        Column("variant", "l", _variant),
        Column("accuracy", "r", lambda row: estimate(row.summary.accuracy)),
        Column("solved", "r", lambda row: estimate(row.summary.solved)),
        Column("$ per 1,000 puzzles", "r", _cost),
        Column("tokens out", "r", lambda row: tokens(row.summary.completion_tokens)),
        Column("puzzles", "r", lambda row: f"{row.summary.puzzles} x {row.summary.samples}"),
        Column("failed", "r", lambda row: str(row.summary.outcomes["failed"] or NONE)),
        Column("day", "r", lambda row: row.day or NONE),
    ]
    first, rest = ranked.rows[:MOST_ROWS], ranked.rows[MOST_ROWS:]
    more = folded(counted(len(rest), "more row"), _filled(columns, rest)) if rest else ""
    return [_filled(columns, first) if first else "", more]


def set_apart(title: str, rows: Sequence[Row]) -> str:
    """Runs that are not ranked: how far each came, and what its scored responses are worth."""
    columns = [
        Column("responses", "r", lambda row: f"{row.summary.responses:,}"),
        Column("failed", "r", lambda row: f"{row.summary.outcomes['failed']:,}"),
        Column("missing", "r", lambda row: f"{row.summary.missing:,}"),
        Column("puzzles", "r", lambda row: f"{row.summary.puzzles} of {row.summary.puzzles_asked}"),
        Column("accuracy", "r", lambda row: estimate(row.summary.accuracy)),
        Column("$ per 1,000 puzzles", "r", _cost),
        Column("day", "r", lambda row: row.day or NONE),
    ]
    return _details(title, columns, rows)


def other_seeds(ranked: RankedSet) -> str:
    """The rows that stand for several seeds, seed by seed."""
    seeds = [
        run for row in (*ranked.rows, *ranked.levels) if row.seeds for run in (row, *row.seeds)
    ]
    columns = [
        Column("seed", "r", lambda row: NONE if row.config.seed is None else str(row.config.seed)),
        Column("accuracy", "r", lambda row: estimate(row.summary.accuracy)),
        Column("solved", "r", lambda row: estimate(row.summary.solved)),
        Column("$ per 1,000 puzzles", "r", _cost),
        Column("puzzles", "r", lambda row: f"{row.summary.puzzles} x {row.summary.samples}"),
        Column("run", "l", lambda row: code(row.run)),
    ]
    return _details("Each seed", columns, seeds)


def records(ranked: RankedSet, results: str) -> str:
    """Where the records of each row are, and the command that makes them."""
    rows = [*ranked.measured, *ranked.partial, *ranked.unscored]
    columns = [
        Column("records", "l", lambda row: _link(row.run, f"{results}/{row.run}")),
        Column("command", "l", lambda row: code(bench_command(row.config))),
    ]
    return _details("Records, and the command that makes each", columns, rows)


def _link(text: str, path: str) -> str:
    return f"[{escaped(text)}]({quote(os.fsencode(path))})"


def code(text: str) -> str:
    """A text as a code span, which would end at a backquote and, in a table's cell, at a bar."""
    return f"`{clean(text).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def more_scores(ranked: RankedSet) -> str:
    """The main questions, several samples, and each frontier row beside the next."""
    columns = [
        Column("main five", "r", lambda row: estimate(row.summary.main_accuracy)),
        Column("main five solved", "r", lambda row: estimate(row.summary.main_solved)),
        Column("pass@k", "r", lambda row: _at_k(row, "pass_solved")),
        Column("consensus@k", "r", lambda row: _at_k(row, "consensus_accuracy")),
        Column("consensus@k solved", "r", lambda row: _at_k(row, "consensus_solved")),
        Column("k", "r", lambda row: str(row.summary.samples) if row.summary.samples > 1 else NONE),
        Column(f"above the next {FRONTIER}", "r", lambda row: _than(row.neighbour, difference)),
        Column("p", "r", lambda row: _than(row.neighbour, p_value)),
        Column("puzzles needed", "r", lambda row: _than(row.neighbour, _needed)),
        Column("above its base", "r", lambda row: _than(row.base, difference)),
        Column("p of that", "r", lambda row: _than(row.base, p_value)),
    ]
    title = "Main questions, several samples, and the differences between rows"
    return _details(title, columns, [*ranked.rows, *ranked.levels])


def by_difficulty(ranked: RankedSet) -> str:
    """Accuracy by difficulty, for each way to split the puzzles that gives more than one group."""
    rows = [*ranked.rows, *ranked.levels]
    groups: dict[tuple[str, str], int] = {}
    for group in chain.from_iterable(row.summary.by_difficulty for row in rows):
        key = group.split, group.name
        groups[key] = max(groups.get(key, 0), group.puzzles)
    columns = [
        Column(f"{escaped(name)} ({puzzles})", "r", partial(_of_group, split, name))
        for (split, name), puzzles in groups.items()
        if sum(other == split for other, _ in groups) > 1
    ]
    return _details("Accuracy by difficulty (puzzles)", columns, rows)


def effort(ranked: RankedSet, price_book: str) -> str:
    """Outcomes, seconds, tokens, and the cost by other calculations."""
    repriced = f"$ repriced ({price_book})"
    columns = [
        Column("truncated, refused, unparsed, failed", "r", _rates),
        Column("median s", "r", lambda row: _known(row.summary.latency_median_s, format_number)),
        Column("p95 s", "r", lambda row: _known(row.summary.latency_p95_s, format_number)),
        Column("tokens in", "r", lambda row: tokens(row.summary.prompt_tokens)),
        Column("cached", "r", lambda row: tokens(row.summary.cached_tokens)),
        Column("reasoning", "r", lambda row: tokens(row.summary.reasoning_tokens)),
        Column("answer", "r", lambda row: tokens(row.summary.answer_tokens)),
        Column("$ by litellm", "r", lambda row: _known(row.summary.cost_litellm_usd, per_thousand)),
        Column(repriced, "r", lambda row: _known(row.summary.repriced_usd, per_thousand)),
        Column("prices of", "l", _prices_of),
        Column("answered as", "l", lambda row: escaped(", ".join(row.summary.model_ids)) or NONE),
    ]
    title = "Outcomes, seconds, tokens, and other costs per 1,000 puzzles"
    return _details(title, columns, [*ranked.rows, *ranked.levels])


def remarks(rows: Sequence[Row]) -> str:
    """The notes of all rows, as a list; empty if there are none."""
    return "".join(
        f"- {NOTED} {escaped(row.label)}: {escaped(note)}\n"
        for row in rows
        for note in notes(row.summary)
    )


def folded(title: str, body: str) -> str:
    """A part of the page that opens on a click."""
    return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n"


def _details(title: str, columns: Sequence[Column], rows: Sequence[Row]) -> str:
    if all(column.cell(row) == NONE for column in columns for row in rows):
        return ""
    variant = Column("variant", "l", lambda row: escaped(row.label))
    return folded(title, _filled([variant, *columns], rows))


def _filled(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    shown = [column for column in columns if any(column.cell(row) != NONE for row in rows)]
    cells = [[column.cell(row) for column in shown] for row in rows]
    return table([c.head for c in shown], "".join(c.side for c in shown), cells)


def _mark(row: Row) -> str:
    if not row.on_frontier:
        return ""
    return f"{FRONTIER} {SAME}" if row.like_neighbour else FRONTIER


def _variant(row: Row) -> str:
    noted = f" {NOTED}" if notes(row.summary) else ""
    seeds = f" *({len(row.seeds) + 1} seeds)*" if row.seeds else ""
    return escaped(row.label) + seeds + noted + ("" if row.summary.complete else " *(incomplete)*")


def _at_k(row: Row, name: str) -> str:
    return estimate(getattr(row.summary.at_k[-1], name)) if row.summary.samples > 1 else NONE


def _than(other: Neighbour | None, told: Callable[[Difference], str]) -> str:
    """The difference to another row, written by `told`."""
    return told(other.accuracy) if other else NONE


def _needed(result: Difference) -> str:
    return NONE if result.puzzles_needed is None else f"{result.puzzles_needed:,}"


def _of_group(split: str, name: str, row: Row) -> str:
    groups = [g for g in row.summary.by_difficulty if (g.split, g.name) == (split, name)]
    return estimate(groups[0].accuracy) if groups else NONE


def _rates(row: Row) -> str:
    rates = row.summary.rates
    shown = [rates[name] for name in ("truncated", "refused", "unparsed", "failed")]
    return ", ".join("0" if rate == 0 else f"{rate:.3f}" for rate in shown)


def _prices_of(row: Row) -> str:
    """The day of a row's prices; and what they are of, where that is not tokens at a list price."""
    prices = row.config.prices
    match prices.source:
        case "free":
            return NONE
        case "hour":
            return escaped(f"{prices.date}, ${prices.hour_usd or 0:g} an hour")
        case "gpu-hour":
            return escaped(f"{prices.date}, ${prices.hour_usd or 0:g} a GPU-hour, {prices.gpus}")
        case "tier":
            return escaped(f"{prices.date}, tier {(prices.origin or '').partition(' (')[0]}")
        case "given":
            return escaped(f"{prices.date}, given by hand")
    return escaped(prices.date)


def _known(number: float | None, told: Callable[[float], str]) -> str:
    return NONE if number is None else told(number)


def _cost(row: Row) -> str:
    return "*unknown*" if row.cost_usd is None else per_thousand(row.cost_usd)


def table(heads: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> str:
    """A table; `sides` holds l, c or r for each column."""
    rules = [{"l": ":--", "c": ":-:", "r": "--:"}[side] for side in sides]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, rules, *rows))
