"""The shipped puzzle sets, and the training range.

`val` and `test` hold 64 house puzzles each in the published mix of sizes; `easy-val` and
`easy-test` hold 256 one-player puzzles each. Use a `val` set to choose models and settings, and a
`test` set for what the board reports. `train` and `easy-train` are ranges of seeds. Their puzzles
are generated on demand, kept in the user's cache folder, and never contain the prompt of a shipped
puzzle. `scripts/make_splits.py` wrote the shipped data.

`published-val` (the 64 puzzles of the published figures) and `published-test` are the author's.
They are not shipped but fetched (`tclue.puzzle.published`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import count, islice
from pathlib import Path
from typing import Any

from tclue.config_files import cache_folder, write_cached
from tclue.errors import UserError
from tclue.puzzle import published
from tclue.puzzle.puzzle import Puzzle, house_line, prompt_hash, read_puzzles
from tclue.puzzle.world import PuzzleError

DATA = Path(str(files("tclue.puzzle") / "data"))
SPLITS = ("val", "test", "easy-val", "easy-test")

# name -> (difficulty, first seed). Each range has 90 million seeds, far from the shipped ones.
TRAIN_RANGES = {"train": ("published-mix", 10_000_000), "easy-train": ("easy", 100_000_000)}
TRAIN_DEFAULT_COUNT = 1000


@dataclass(frozen=True)
class PuzzleSet:
    """The puzzles of a set, with its name and the SHA-256 of its file."""

    name: str
    sha256: str
    puzzles: tuple[Puzzle, ...]


@dataclass(frozen=True)
class SplitListing:
    """What is known of a named set before it is generated or fetched."""

    name: str
    # None if the set is generated on demand or has not been fetched
    puzzles: int | None
    sha256: str | None
    about: str


def is_named(name: str) -> bool:
    """Whether a name is that of a set, and not that of a file."""
    return name in SPLITS or name in published.FILES or name.partition(":")[0] in TRAIN_RANGES


def load_set(name: str) -> PuzzleSet:
    """Load a shipped or published set, `train[:COUNT]` or `easy-train[:COUNT]`, or a puzzle file.

    Raises UserError if the name is none of these, if the published set has not been fetched, or if
    the file cannot be read.
    """
    if name in SPLITS:
        return _read_set(name, DATA / f"{name}.jsonl")
    if name in published.FILES:
        return _read_set(name, published.cached(name))
    split, _, number = name.partition(":")
    if split in TRAIN_RANGES:
        if number and not (number.isdecimal() and int(number) > 0):
            raise UserError(f"{name}: expected {split}:COUNT with a positive number")
        return _train_set(split, int(number or TRAIN_DEFAULT_COUNT))
    path = Path(name)
    if not path.exists():
        raise UserError(
            f"{name}: no such puzzle file: expected a file, or one of the sets "
            f"{', '.join((*SPLITS, *TRAIN_RANGES, *published.FILES))}"
        )
    return _read_set(path.stem, path)


def _read_set(name: str, path: Path) -> PuzzleSet:
    puzzles = tuple(read_puzzles(path))
    for place, puzzle in enumerate(puzzles, 1):
        if not puzzle.solution:
            raise PuzzleError(f"{path}: puzzle {place} has no solution: expected one to grade with")
    return PuzzleSet(name, hashlib.sha256(path.read_bytes()).hexdigest(), puzzles)


def list_sets() -> list[SplitListing]:
    """All named sets."""
    shipped = [
        SplitListing(name, split["puzzles"], split["sha256"], f"shipped; {split['difficulty']}")
        for name, split in _manifest().items()
    ]
    ranges = [
        SplitListing(name, None, None, f"made on demand: {name}:COUNT; {difficulty}")
        for name, (difficulty, _) in TRAIN_RANGES.items()
    ]
    return [*shipped, *ranges, *map(_listed_published, published.FILES)]


def shipped_sizes() -> dict[str, int]:
    """The SHA-256 of each shipped puzzle file -> its number of puzzles."""
    return {split["sha256"]: split["puzzles"] for split in _manifest().values()}


def _listed_published(name: str) -> SplitListing:
    try:
        loaded = load_set(name)
    except UserError as error:
        return SplitListing(name, None, None, str(error).removeprefix(f"{name}: "))
    return SplitListing(
        name, len(loaded.puzzles), loaded.sha256, f"fetched: {published.place(name)}"
    )


@lru_cache(maxsize=1)
def _manifest() -> dict[str, dict[str, Any]]:
    """split -> its entry in the manifest."""
    data: Any = json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))
    return {name: data["splits"][name] for name in SPLITS}


@lru_cache(maxsize=1)
def shipped_hashes() -> frozenset[str]:
    """The prompt hashes of all shipped splits, which must never be trained on."""
    return frozenset(h for split in _manifest().values() for h in split["prompt_sha256"])


def train_puzzles(name: str) -> Iterator[Puzzle]:
    """The puzzles of a training range in the order of their seeds; the iterator never ends."""
    from tclue.puzzle.generate import generate

    difficulty, first = TRAIN_RANGES[name]
    held_out = shipped_hashes()
    for seed in count(first):
        puzzle = generate(seed, difficulty)
        if prompt_hash(puzzle.prompt) not in held_out:
            yield puzzle


def _train_set(name: str, number: int) -> PuzzleSet:
    from tclue.puzzle.generate import VERSION

    path = cache_folder() / f"{name}-v{VERSION}-{number}.jsonl"
    if not path.exists():
        text = "".join(house_line(puzzle) for puzzle in islice(train_puzzles(name), number))
        write_cached(path, text.encode())
    return _read_set(f"{name}-{number}", path)
