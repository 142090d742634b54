"""Puzzles that the tiny base was trained on are recognized under other names."""

from __future__ import annotations

import random
import re

import pytest

from tclue.puzzle import names
from tclue.puzzle.draw import settings
from tclue.puzzle.generate import make
from tclue.puzzle.puzzle import Puzzle, prompt_hash
from tclue.puzzle.splits import load_set
from tclue.puzzle.wording import AT_ROOMS

pytest.importorskip("safetensors")

from tclue_grpo.data import first_seed, in_tiny_training_set, nameless, tiny_hashes

# The same as in scripts/tiny/examples.py.
POOL_SEED = first_seed("easy", 0) + 50_000_000


def easy(seed: int) -> Puzzle:
    return make(seed, "easy", settings("easy")).puzzle


def renamed(puzzle: Puzzle, seed: int) -> Puzzle:
    """The puzzle with its names exchanged for others, as in training."""
    rng = random.Random(seed)
    rooms = [room for room in names.ROOMS[:17] if room not in AT_ROOMS]
    exchange: dict[str, str] = {}
    for pool in (names.SUSPECTS[:10], names.WEAPONS[:8], rooms, names.MOTIVES[:10]):
        exchange |= zip(pool, rng.sample(pool, len(pool)), strict=True)
    pattern = "|".join(sorted(map(re.escape, exchange), key=len, reverse=True))
    return Puzzle.from_prompt(re.sub(pattern, lambda match: exchange[match[0]], puzzle.prompt))


def test_the_pool_is_seen_under_any_names() -> None:
    assert len(tiny_hashes()) == 19_996
    for seed in range(POOL_SEED, POOL_SEED + 20):
        puzzle = easy(seed)
        other = renamed(puzzle, seed)
        assert prompt_hash(other.prompt) != prompt_hash(puzzle.prompt)
        assert in_tiny_training_set(puzzle)
        assert in_tiny_training_set(other)


@pytest.mark.slow
def test_fresh_puzzles_mostly_are_not() -> None:
    first = first_seed("easy", 1)
    assert sum(in_tiny_training_set(easy(seed)) for seed in range(first, first + 50)) <= 2
    for split in ("easy-val", "easy-test"):
        assert not any(map(in_tiny_training_set, load_set(split).puzzles))


def test_what_is_left_without_names_tells_puzzles_apart() -> None:
    puzzles = load_set("easy-test").puzzles
    assert len({nameless(puzzle) for puzzle in puzzles}) == len(puzzles)
    for puzzle in puzzles[:20]:
        text = nameless(puzzle)
        for name in (*puzzle.world.suspects, *puzzle.world.weapons, *puzzle.world.motives):
            assert name not in text
