"""The tables of one puzzle set, in Markdown: the ranking, and below it what else was measured.

A column that is empty in every row of a table is left out, and so is a table without rows to show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tclue.bench.stats.compare import Difference
from tclue.bench.stats.intervals import Estimate
from tclue.board.labels import clean
from tclue.board.notes import notes
from tclue.board.plot import dollars, format_number
from tclue.board.rows import Neighbour, RankedSet, Row

FRONTIER, ALIKE, NOTED = "◆", "≈", "†"
NONE = "–"


class Column(NamedTuple):
    """A column: its head, its side (l, c or r), and a row's cell; NONE where there is nothing."""

    head: str
    side: str
    cell: Callable[[Row], str]


def ranking(ranked: RankedSet) -> str:
    """The main table, most accurate first."""
    columns = [
        Column("", "c", _mark),
        Column("variant", "l", _variant),
        Column("accuracy", "r", lambda row: estimate(row.summary.accuracy)),
        Column("solved", "r", lambda row: estimate(row.summary.solved)),
        Column("$ a puzzle", "r", lambda row: cost(row.cost_usd)),
        Column("tokens out", "r", lambda row: tokens(row.summary.completion_tokens)),
        Column("puzzles", "r", lambda row: str(row.summary.puzzles)),
        Column("samples", "r", lambda row: str(row.summary.samples)),
        Column("failed", "r", lambda row: str(row.summary.outcomes["failed"])),
    ]
    return _filled(columns, ranked)


def more_scores(ranked: RankedSet) -> str:
    """The main questions, several samples, and each frontier row beside the next."""
    columns = [
        Column("main five", "r", lambda row: estimate(row.summary.main_accuracy)),
        Column("main five solved", "r", lambda row: estimate(row.summary.main_solved)),
        Column("pass@k", "r", lambda row: _at_k(row, "pass_solved")),
        Column("consensus@k", "r", lambda row: _at_k(row, "consensus_accuracy")),
        Column("consensus@k solved", "r", lambda row: _at_k(row, "consensus_solved")),
        Column("k", "r", lambda row: str(row.summary.samples) if _has_samples(row) else NONE),
        Column(f"above the next {FRONTIER}", "r", lambda row: _than(row.neighbour, difference)),
        Column("p", "r", lambda row: _than(row.neighbour, p_value)),
        Column("puzzles needed", "r", lambda row: _than(row.neighbour, _needed)),
        Column("above its base", "r", lambda row: _than(row.base, difference)),
        Column("p of that", "r", lambda row: _than(row.base, p_value)),
    ]
    return _details("Main questions, several samples, neighbours on the frontier", columns, ranked)


def by_difficulty(ranked: RankedSet) -> str:
    """Accuracy by difficulty, for each way to split the puzzles that gives more than one group."""
    groups = {(g.split, g.name): 0 for row in ranked.rows for g in row.summary.by_difficulty}
    for row in ranked.rows:
        for group in row.summary.by_difficulty:
            key = group.split, group.name
            groups[key] = max(groups[key], group.puzzles)
    columns = [
        Column(f"{escaped(name)} ({puzzles})", "r", _group_cell(split, name))
        for (split, name), puzzles in groups.items()
        if sum(other == split for other, _ in groups) > 1
    ]
    return _details("Accuracy by difficulty (puzzles)", columns, ranked)


def effort(ranked: RankedSet, price_book: str) -> str:
    """Outcomes, seconds, tokens, and the cost by other reckonings."""
    repriced = f"$ repriced ({price_book})"
    columns = [
        Column("truncated, refused, unparsed, failed", "r", _rates),
        Column("median s", "r", lambda row: _known(row.summary.latency_median_s, format_number)),
        Column("p95 s", "r", lambda row: _known(row.summary.latency_p95_s, format_number)),
        Column("tokens in", "r", lambda row: tokens(row.summary.prompt_tokens)),
        Column("cached", "r", lambda row: tokens(row.summary.cached_tokens)),
        Column("reasoning", "r", lambda row: tokens(row.summary.reasoning_tokens)),
        Column("answer", "r", lambda row: tokens(row.summary.answer_tokens)),
        Column("$ by litellm", "r", lambda row: _known(row.summary.cost_litellm_usd, dollars)),
        Column(repriced, "r", lambda row: _known(row.summary.repriced_usd, dollars)),
        Column("prices of", "l", _prices_of),
        Column("answered as", "l", _answered_as),
    ]
    return _details("Outcomes, seconds, tokens, cost", columns, ranked)


def remarks(ranked: RankedSet) -> str:
    """The notes of all rows, as a list; empty where there are none."""
    return "".join(
        f"- {NOTED} {escaped(row.label)}: {escaped(note)}\n"
        for row in ranked.rows
        for note in notes(row.summary)
    )


def _details(title: str, columns: Sequence[Column], ranked: RankedSet) -> str:
    shown = [column for column in columns if any(column.cell(row) != NONE for row in ranked.rows)]
    if not shown:
        return ""
    shown = [Column("variant", "l", lambda row: escaped(row.label)), *shown]
    return f"<details><summary>{title}</summary>\n\n{_filled(shown, ranked)}\n</details>\n"


def _filled(columns: Sequence[Column], ranked: RankedSet) -> str:
    cells = [[column.cell(row) for column in columns] for row in ranked.rows]
    return table([c.head for c in columns], "".join(c.side for c in columns), cells)


def _mark(row: Row) -> str:
    if not row.on_frontier:
        return ""
    return f"{FRONTIER} {ALIKE}" if row.like_neighbour else FRONTIER


def _variant(row: Row) -> str:
    noted = f" {NOTED}" if notes(row.summary) else ""
    return escaped(row.label) + noted + ("" if row.summary.complete else " *(incomplete)*")


def _has_samples(row: Row) -> bool:
    return row.summary.samples > 1


def _at_k(row: Row, name: str) -> str:
    return estimate(getattr(row.summary.at_k[-1], name)) if _has_samples(row) else NONE


def _than(other: Neighbour | None, told: Callable[[Difference], str]) -> str:
    """What is told of the difference to another row."""
    return told(other.accuracy) if other else NONE


def _needed(result: Difference) -> str:
    return NONE if result.puzzles_needed is None else f"{result.puzzles_needed:,}"


def _group_cell(split: str, name: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        groups = row.summary.by_difficulty
        group = next((g for g in groups if (g.split, g.name) == (split, name)), None)
        return estimate(group.accuracy) if group else NONE

    return cell


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


def _answered_as(row: Row) -> str:
    return escaped(", ".join(row.summary.model_ids)) or NONE


def _known(number: float | None, told: Callable[[float], str]) -> str:
    return NONE if number is None else told(number)


def cost(cost_usd: float | None) -> str:
    """A cost that is shown even where it is unknown."""
    return "*unknown*" if cost_usd is None else dollars(cost_usd)


def estimate(mean: Estimate | None) -> str:
    """A mean with its interval."""
    return f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]" if mean else NONE


def difference(result: Difference) -> str:
    """A difference with its interval."""
    low, high = result.interval
    return f"{result.difference:+.3f} [{low:+.3f}, {high:+.3f}]"


def p_value(result: Difference) -> str:
    """The p of a difference."""
    return f"{result.p:.3f}" if result.p >= 0.001 else "< 0.001"


def tokens(mean: float | None) -> str:
    """A mean number of tokens."""
    return NONE if mean is None else f"{mean:,.0f}"


def table(heads: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> str:
    """A table; `sides` holds l, c or r for each column."""
    rules = [{"l": ":--", "c": ":-:", "r": "--:"}[side] for side in sides]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, rules, *rows))


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, in a table's cell too."""
    marked = re.sub(r"([\\`*_\[\]|~])", r"\\\1", clean(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
