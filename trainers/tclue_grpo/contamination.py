"""The training set of the tiny base: 20,000 easy puzzles, whose names changed all the time.

Each time a puzzle was drawn in that training, its names were replaced at random, so prompts cannot
be compared as they are. Two puzzles count as equal here if they differ only in the names of
suspects, weapons, rooms, motives and times. The Fountain keeps its name: the text says "at the
Fountain" and "in the" for any other room, so training never replaced it.
`scripts/tiny/seen.py` made the file of hashes from the puzzles that trained the base.
"""

import hashlib
import re
from functools import cache
from pathlib import Path

from tclue.puzzle.puzzle import Puzzle
from tclue.puzzle.wording import AT_ROOMS

TINY_SEEN = Path(__file__).parent / "tiny_seen.safetensors"


def nameless(puzzle: Puzzle) -> str:
    """The prompt, with each name replaced by its kind and its index in the prompt's list."""
    world = puzzle.world
    kinds = {"S": world.suspects, "W": world.weapons, "R": world.rooms, "M": world.motives}
    names = {
        name: f"<{kind}{index}>"
        for kind, entries in (kinds | {"T": world.times}).items()
        for index, name in enumerate(entries)
        if name not in AT_ROOMS
    }
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in longest_first)
    return re.sub(pattern, lambda match: names[match[0]], puzzle.prompt)


def nameless_hash(puzzle: Puzzle) -> int:
    """The first 64 bits of the SHA-256 of the nameless prompt."""
    return int.from_bytes(hashlib.sha256(nameless(puzzle).encode()).digest()[:8])


@cache
def tiny_hashes() -> frozenset[int]:
    """The hashes of the puzzles that the tiny base was trained on."""
    from safetensors.numpy import load_file

    return frozenset(load_file(TINY_SEEN)["hashes"].tolist())


def in_tiny_training_set(puzzle: Puzzle) -> bool:
    """Whether the tiny base was trained on this puzzle, with any names."""
    return nameless_hash(puzzle) in tiny_hashes()
