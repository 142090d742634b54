"""The puzzle files of the published benchmark, which are not part of this package.

    tclue puzzles fetch published
    tclue bench --models MODEL --puzzles published-val --grader published

They are fetched from the author's repository at a fixed commit, and kept in the user's cache
folder. A file whose SHA-256 is not the one given below is refused, both when it is fetched and when
it is read. A fetched file is checked in memory before it is written, and is moved into place in one
step, so the cache never holds a part of a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tclue.config_files import cache_folder, write_cached
from tclue.errors import UserError

COMMIT = "e84cf685d110a77209f3c924365bf6db6bcff683"
SOURCE = f"https://raw.githubusercontent.com/bradhilton/temporal-clue/{COMMIT}/puzzles"
COMMAND = "tclue puzzles fetch published"

TIMEOUT_S = 30.0  # for the connection, and between two parts of a file
MAX_BYTES = 50_000_000  # val.json has 285,839 bytes


@dataclass(frozen=True)
class PublishedFile:
    """One of the author's files; its name is relative to the source URL."""

    file: str
    sha256: str


# name of the puzzle set -> its file
FILES = {
    "published-val": PublishedFile(
        "val.json", "44e45bfea7c9cf519112d3406a3a567e29514e3812464e0493baad5aab26f5c8"
    ),
    "published-test": PublishedFile(
        "test.json", "3b112d8da3367caaa9d964ffe4f73334a552294e51b10ebd91fa9a6cca9ffb87"
    ),
}


@dataclass(frozen=True)
class Fetched:
    """A puzzle set that is now in the cache."""

    name: str
    path: Path
    # whether it was fetched just now
    new: bool


def place(name: str) -> Path:
    """The path at which a published puzzle set is cached, whether or not it exists."""
    return cache_folder() / "published" / f"{name}.json"


def cached(name: str, files: Mapping[str, PublishedFile] = FILES) -> Path:
    """The cached file of a published puzzle set.

    Raises UserError, which names the command that fetches it, if it is missing or has other bytes.
    """
    path = place(name)
    if not path.exists():
        raise UserError(f"{name}: not fetched yet: run `{COMMAND}`")
    if (digest := _sha256(path.read_bytes())) != files[name].sha256:
        raise UserError(
            f"{path}: not the published file: its SHA-256 is {digest}, "
            f"expected {files[name].sha256}: `{COMMAND}` fetches it again"
        )
    return path


def fetch(source: str = SOURCE, files: Mapping[str, PublishedFile] = FILES) -> list[Fetched]:
    """Fetch the files that are not in the cache from below `source`, a URL.

    Raises UserError if a file cannot be fetched, has the wrong SHA-256, or cannot be written; the
    files that were fetched before it are kept.
    """
    url = urlsplit(source)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or "@" in url.netloc:
        raise UserError(f"--source: expected a URL such as {SOURCE}, without a password or a query")
    return [_fetch_one(name, source, files) for name in files]


def _fetch_one(name: str, source: str, files: Mapping[str, PublishedFile]) -> Fetched:
    path, expected = place(name), files[name]
    if path.exists() and _sha256(path.read_bytes()) == expected.sha256:
        return Fetched(name, path, new=False)
    url = f"{source.rstrip('/')}/{expected.file}"
    data = _download(url)
    if (digest := _sha256(data)) != expected.sha256:
        raise UserError(
            f"{url}: not the published file: its SHA-256 is {digest}, expected {expected.sha256}; "
            "nothing was kept"
        )
    write_cached(path, data)
    return Fetched(name, path, new=True)


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


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
