"""The shape of a text of which no answer was read. Texts that are alike have the same shape."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tclue.puzzle.grading.answer_text import plain_lines, plain_text
from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.world import World
from tclue.text import clean, counted

_LONGEST = 60


@dataclass(frozen=True)
class Unread:
    """The scored responses of which no answer was read although they have a text."""

    responses: int
    # of so many scored responses
    scored: int
    # the commonest shape, and how many have it; "" where the puzzles are not at hand
    shape: str = ""
    alike: int = 0

    def describe(self) -> str:
        """A sentence for a person, without a full stop."""
        count = f"{self.responses:,} of {counted(self.scored, 'response')}"
        found = f"no answer was read in the text of {count} ({self.responses / self.scored:.1%})"
        if not self.shape:
            return found
        often = "all" if self.alike == self.responses else f"{self.alike:,} of them"
        return f"{found}, {often} of this shape: {self.shape}"


def unread(shapes: Iterable[str], scored: int) -> Unread | None:
    """The unread responses of so many scored ones, by their shapes; None if there are none."""
    counts = Counter(shapes)
    # Of equally common ones the first in the alphabet: the order of the responses does not matter.
    known = [(-count, shape) for shape, count in counts.items() if shape]
    alike, shape = min(known, default=(0, ""))
    return Unread(counts.total(), scored, shape, -alike) if counts else None


def shape(puzzle: Puzzle, text: str) -> str:
    """A short line for a text of which no answer was read.

    It is the last line that names something of the puzzle, or the last with a letter of the puzzle
    and a sign at its start, in lower case, with X for a letter, 9 for a number, and the kind for a
    name ("X: SUSPECT, maybe SUSPECT"); or why there is no such line.
    """
    plain, in_reasoning = plain_lines(text)
    if in_reasoning:
        return "reasoning that never ends"
    lines = [line.text for line in plain]
    names = _names(puzzle.world)
    marks = re.compile(rf"(?<![\w'])[{''.join(puzzle.questions).lower()}](?= ?[.):\]|=>-])")
    for pattern in (names.search, marks.match):
        if line := next(filter(pattern, reversed(lines)), ""):
            line = marks.sub("X", names.sub(lambda found: found.lastgroup or "", line))
            line = clean(re.sub(r"\d+", "9", line))
            # Of a long line, the first name is shown with the words before it.
            kind = re.search("SUSPECT|WEAPON|ROOM|TIME|MOTIVE", line)
            start = max(0, kind.end() - _LONGEST) if kind else 0
            return line[start : start + _LONGEST]
    return "no line names an option" if lines else "no words outside reasoning"


@lru_cache(maxsize=256)
def _names(world: World) -> re.Pattern[str]:
    """A pattern for the names of a world in plain lines, each in the group of its kind."""
    kinds = {
        "SUSPECT": [*world.suspects, *(name.split(" ", 1)[-1] for name in world.suspects)],
        "WEAPON": world.weapons,
        "ROOM": world.rooms,
        "TIME": [*world.times, *(time.split(" ", 1)[0] for time in world.times)],
        "MOTIVE": world.motives,
    }
    groups = []
    for kind, listed in kinds.items():
        if plain := sorted(set(filter(None, map(plain_text, listed))), key=len, reverse=True):
            groups.append(f"(?P<{kind}>{'|'.join(map(re.escape, plain))})")
    return re.compile(rf"(?<!\w)(?:{'|'.join(groups)})(?!\w)")
