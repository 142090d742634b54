"""How the board and the terminal write names, numbers and dollars."""

import re

from tclue.bench.stats.compare import Difference
from tclue.bench.stats.intervals import Estimate
from tclue.text import clean, dollars

NONE = "–"


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, in a table's cell too."""
    marked = re.sub(r"([\\`*_\[\]|~])", r"\\\1", clean(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def per_thousand(cost_usd: float | None) -> str:
    """The cost of 1,000 puzzles, from the mean cost of one; or unknown."""
    return dollars(None if cost_usd is None else 1000 * cost_usd)


def estimate(mean: Estimate | None) -> str:
    """A mean with its interval."""
    return f"{mean.value:.3f} [{mean.low:.3f}, {mean.high:.3f}]" if mean else NONE


def difference(result: Difference) -> str:
    """A difference with its interval."""
    low, high = result.interval
    return f"{result.difference:+.3f} [{low:+.3f}, {high:+.3f}]"


def p_value(result: Difference, sign: str = "") -> str:
    """The p of a difference, after a sign; a small one is only said to be small."""
    return f"{sign}{result.p:.3f}" if result.p >= 0.001 else "< 0.001"


def tokens(mean: float | None) -> str:
    """A mean number of tokens."""
    return NONE if mean is None else f"{mean:,.0f}"
