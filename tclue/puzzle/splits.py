"""The shipped puzzle sets, and the training range.

`val` and `test` hold 64 house puzzles each in the published mix of sizes; `easy-val` and
`easy-test` hold 256 one-player puzzles each. Use a `val` set to choose models and settings, and a
`test` set for what the board reports. `train` and `easy-train` are ranges of seeds. Their puzzles
are generated on demand, kept in the user's cache folder, and never contain the prompt of a shipped
puzzle. `scripts/make_splits.py` wrote the shipped data.

`published-val` (the 64 puzzles of the published figures) and `published-test` are the author's.
They are not shipped. `tclue puzzles fetch published` fetches them from the author's repository at a
fixed commit into the user's cache folder. A file whose SHA-256 is not the one given below is
refused, both when it is fetched and when it is read. A fetched file is checked in memory before it
is written, and is moved into place in one step, so the cache never holds a part of a file.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tclue.config_files import cache_folder, write_cached
from tclue.errors import UserError
from tclue.puzzle.files import read_puzzles
from tclue.puzzle.puzzle import Puzzle, house_line, prompt_hash
from tclue.puzzle.world import PuzzleError

DATA = Path(str(files("tclue.puzzle") / "data"))
SPLITS = ("val", "test", "easy-val", "easy-test")

# name -> (difficulty, first seed). Each range has 90 million seeds, far from the shipped ones.
TRAIN_RANGES = {"train": ("published-mix", 10_000_000), "easy-train": ("easy", 100_000_000)}
TRAIN_DEFAULT_COUNT = 1000

COMMIT = "e84cf685d110a77209f3c924365bf6db6bcff683"
SOURCE = f"https://raw.githubusercontent.com/bradhilton/temporal-clue/{COMMIT}/puzzles"
COMMAND = "tclue puzzles fetch published"

TIMEOUT_S = 30.0  # for the connection, and between two parts of a file
MAX_BYTES = 50_000_000  # val.json has 285,839 bytes


# Name of the puzzle set -> the SHA-256 of its file. "published-val" is `val.json` at the source.
PUBLISHED = {
    "published-val": "44e45bfea7c9cf519112d3406a3a567e29514e3812464e0493baad5aab26f5c8",
    "published-test": "3b112d8da3367caaa9d964ffe4f73334a552294e51b10ebd91fa9a6cca9ffb87",
}


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
    return name in SPLITS or name in PUBLISHED or name.partition(":")[0] in TRAIN_RANGES


def load_set(name: str) -> PuzzleSet:
    """Load a shipped or published set, `train[:COUNT]` or `easy-train[:COUNT]`, or a puzzle file.

    Raises UserError if the name is none of these, if the published set has not been fetched, or if
    the file cannot be read.
    """
    if name in SPLITS:
        return _read_set(name, DATA / f"{name}.jsonl")
    if name in PUBLISHED:
        return _read_set(name, _cached(name))
    split, _, number = name.partition(":")
    if split in TRAIN_RANGES:
        if number and not (number.isdecimal() and int(number) > 0):
            raise UserError(f"{name}: expected {split}:COUNT with a positive number")
        return _train_set(split, int(number or TRAIN_DEFAULT_COUNT))
    path = Path(name)
    if not path.exists():
        raise UserError(
            f"{name}: no such puzzle file: expected a file, or one of the sets "
            f"{', '.join((*SPLITS, *TRAIN_RANGES, *PUBLISHED))}"
        )
    if not path.is_file():
        raise UserError(f"{name}: is no regular file: expected one, because it is read twice")
    return _read_set(path.stem, path)


def name_of_records(recorded: str) -> str:
    """The name with which a user asks for a set; `easy-train:64` is recorded as `easy-train-64`."""
    return re.sub(r"^((?:easy-)?train)-(\d+)$", r"\1:\2", recorded)


def find_recorded(recorded: str, sha256: str) -> PuzzleSet | None:
    """The set that records name, by its name and SHA-256; None if it cannot be found."""
    name = name_of_records(recorded)
    try:
        found = load_set(name) if is_named(name) else None
    except UserError:
        return None
    return found if found and found.sha256 == sha256 else None


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
    return [*shipped, *ranges, *map(_listed_published, PUBLISHED)]


def shipped_sizes() -> dict[str, int]:
    """The SHA-256 of each shipped puzzle file -> its number of puzzles."""
    return {split["sha256"]: split["puzzles"] for split in _manifest().values()}


def _listed_published(name: str) -> SplitListing:
    try:
        loaded = load_set(name)
    except UserError as error:
        return SplitListing(name, None, None, str(error).removeprefix(f"{name}: "))
    return SplitListing(
        name, len(loaded.puzzles), loaded.sha256, f"fetched: {published_path(name)}"
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


def published_path(name: str) -> Path:
    """The path at which a published puzzle set is cached, whether or not it exists."""
    return cache_folder() / "published" / f"{name}.json"


def _cached(name: str) -> Path:
    """The cached file of a published puzzle set.

    Raises UserError, which names the command that fetches it, if it is missing or has other bytes.
    """
    path = published_path(name)
    if not path.exists():
        raise UserError(f"{name}: not fetched yet: run `{COMMAND}`")
    if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != PUBLISHED[name]:
        raise UserError(
            f"{path}: not the published file: its SHA-256 is {digest}, "
            f"expected {PUBLISHED[name]}: `{COMMAND}` fetches it again"
        )
    return path


def fetch_published(source: str = SOURCE) -> dict[str, bool]:
    """Fetch the files that are not in the cache from below `source`, a URL.

    Returns, for the name of each set, whether its file was fetched just now. Raises UserError if a
    file cannot be fetched, has the wrong SHA-256, or cannot be written; the files that were fetched
    before it are kept.
    """
    url = urlsplit(source)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or "@" in url.netloc:
        raise UserError(f"--source: expected a URL such as {SOURCE}, without a password or a query")
    return {name: _fetch(name, source) for name in PUBLISHED}


def _fetch(name: str, source: str) -> bool:
    path, expected = published_path(name), PUBLISHED[name]
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == expected:
        return False
    url = f"{source.rstrip('/')}/{name.removeprefix('published-')}.json"
    data = _download(url)
    if (digest := hashlib.sha256(data).hexdigest()) != expected:
        raise UserError(
            f"{url}: not the published file: its SHA-256 is {digest}, expected {expected}; "
            "nothing was kept"
        )
    write_cached(path, data)
    return True


def _download(url: str) -> bytes:
    import httpx

    data = bytearray()
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT_S) as reply:
            reply.raise_for_status()
            for chunk in reply.iter_bytes():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise UserError(f"{url}: more than {MAX_BYTES} bytes: not the published file")
    except httpx.HTTPStatusError as error:
        status = f"{error.response.status_code} {error.response.reason_phrase}".strip()
        raise UserError(
            f"{url}: the server answered {status}: expected the file; --source names another server"
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{url}: cannot be fetched: {reason}; --source names another server"
        ) from None
    return bytes(data)
