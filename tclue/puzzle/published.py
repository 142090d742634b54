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
from pathlib import Path
from urllib.parse import urlsplit

from tclue.cache import cache_folder, write_cached
from tclue.errors import UserError

COMMIT = "e84cf685d110a77209f3c924365bf6db6bcff683"
SOURCE = f"https://raw.githubusercontent.com/bradhilton/temporal-clue/{COMMIT}/puzzles"
COMMAND = "tclue puzzles fetch published"

TIMEOUT_S = 30.0  # for the connection, and between two parts of a file
MAX_BYTES = 50_000_000  # val.json has 285,839 bytes


# Name of the puzzle set -> the SHA-256 of its file. "published-val" is `val.json` at the source.
FILES = {
    "published-val": "44e45bfea7c9cf519112d3406a3a567e29514e3812464e0493baad5aab26f5c8",
    "published-test": "3b112d8da3367caaa9d964ffe4f73334a552294e51b10ebd91fa9a6cca9ffb87",
}


def place(name: str) -> Path:
    """The path at which a published puzzle set is cached, whether or not it exists."""
    return cache_folder() / "published" / f"{name}.json"


def cached(name: str) -> Path:
    """The cached file of a published puzzle set.

    Raises UserError, which names the command that fetches it, if it is missing or has other bytes.
    """
    path = place(name)
    if not path.exists():
        raise UserError(f"{name}: not fetched yet: run `{COMMAND}`")
    if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) != FILES[name]:
        raise UserError(
            f"{path}: not the published file: its SHA-256 is {digest}, "
            f"expected {FILES[name]}: `{COMMAND}` fetches it again"
        )
    return path


def fetch(source: str = SOURCE) -> dict[str, bool]:
    """Fetch the files that are not in the cache from below `source`, a URL.

    Returns, for the name of each set, whether its file was fetched just now. Raises UserError if a
    file cannot be fetched, has the wrong SHA-256, or cannot be written; the files that were fetched
    before it are kept.
    """
    url = urlsplit(source)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or "@" in url.netloc:
        raise UserError(f"--source: expected a URL such as {SOURCE}, without a password or a query")
    return {name: _fetch_one(name, source) for name in FILES}


def _fetch_one(name: str, source: str) -> bool:
    path, expected = place(name), FILES[name]
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
