"""The published results, which the board shows in a separate table, unchanged.

`published.json` holds the figures with their source. They are on other puzzles and under another
grader than measured rows, so they have a type of their own and no function here takes both. The
source gives neither intervals nor scores per puzzle, so no interval is computed.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from tclue.board.rows import frontier

FIGURES = Path(__file__).with_name("published.json")
# The beginning of the names of its pictures.
PICTURE = "published"


@dataclass(frozen=True)
class PublishedRow:
    """One published variant."""

    organization: str
    model: str
    # the reasoning setting, as the source names it
    reasoning: str
    # mean share of a puzzle's questions answered right, 0..1
    accuracy: float
    # mean US dollars for one response
    cost_usd: float
    # mean tokens of a prompt and of a response; None if the source gives none
    prompt_tokens: float
    completion_tokens: float | None
    # how this row differs from the others, in the source's terms
    note: str
    # nothing published beats it at its cost or less
    on_frontier: bool

    @property
    def label(self) -> str:
        """A short name for the picture."""
        bare = self.reasoning in ("default", "none")
        return self.model if bare else f"{self.model}, {self.reasoning}"


@dataclass(frozen=True)
class Published:
    """The published results: their source, their benchmark, and the rows, most accurate first."""

    source: str
    benchmark: str
    rows: tuple[PublishedRow, ...]


def read_published() -> Published:
    """The figures that ship with this package."""
    data = json.loads(FIGURES.read_text(encoding="utf-8"))
    figures = data["rows"]
    on = frontier([(figure["cost_usd"], figure["accuracy"]) for figure in figures])
    rows, names = [], [field.name for field in fields(PublishedRow)]
    for figure, is_on in zip(figures, on, strict=True):
        known = {"note": "", **figure, "accuracy": figure["accuracy"] / 100, "on_frontier": is_on}
        rows.append(PublishedRow(**{name: known[name] for name in names}))
    rows.sort(key=lambda row: (-row.accuracy, row.cost_usd, row.label))
    return Published(data["source"], data["benchmark"], tuple(rows))
