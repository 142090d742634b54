"""The user's own files: texts, JSON records, TOML files that extend the shipped ones; the cache."""

import codecs
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tclue.errors import UserError
from tclue.journal import replace
from tclue.strict import parse_json


def user_file(name: str, given: Path | None) -> Path | None:
    """The given file, else `tclue/NAME` in $XDG_CONFIG_HOME (~/.config) if it exists, else None."""
    if given is not None:
        return given
    default = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tclue" / name
    return default if default.exists() else None


def read_text(path: Path) -> str:
    """The text of a file, as `decode` returns it. Raises UserError if it cannot be read."""
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a name can have characters that no path may have
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path}: cannot be read: {reason}") from None
    return decode(data, str(path))


def decode(data: bytes, where: str) -> str:
    """The text of UTF-8 bytes, as `plain` returns it. Raises UserError, which names `where`."""
    reason = "not UTF-8 text"
    # UTF-16 begins with one of its marks, or one of its first two bytes is 0.
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or data[:2].count(0) == 1:
        reason += ", but UTF-16: expected the file saved as UTF-8"
    else:
        with suppress(UnicodeDecodeError):
            return plain(data.decode())
    raise UserError(f"{where}: cannot be read: {reason}")


def plain(text: str) -> str:
    """The text without a byte order mark, and with line feeds alone as line breaks."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read_records(path: Path, noun: str) -> Iterator[tuple[int, str, Any]]:
    """The values of a file of JSON Lines or of one JSON list: number, place in the file, value.

    Raises UserError, which names the place, if it is not JSON, and if there is no value.
    """
    text, found = read_text(path), False
    if text.lstrip().startswith("["):
        for number, value in enumerate(parse_json(text, str(path)), 1):
            found = True
            yield number, f"{path}, {noun} {number}", value
    else:
        for number, line in enumerate(text.split("\n"), 1):
            # Files that were joined can each have had a byte order mark.
            if line := line.removeprefix("\ufeff").strip():
                found, where = True, f"{path}, line {number}"
                yield number, where, parse_json(line, where)
    if not found:
        raise UserError(f"{path}: it holds no {noun}: expected JSON Lines, one {noun} per line")


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises UserError if it cannot be read or is not valid."""
    try:
        return parse_toml(read_text(path))
    except (ValueError, RecursionError) as error:  # also for numbers of 4,300 digits, deep nesting
        raise UserError(f"{path}: not a TOML file: {error}") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError or RecursionError if it is not valid."""
    # A key takes memory quadratic in its dots: 200 kB of dots took 40 GB. Any equals sign before
    # them may be a part of it, as in "=".a.a.
    if any(line.count(".") > 1000 for line in text.splitlines()):
        raise ValueError("a line has more than 1,000 dots")
    return tomllib.loads(text)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables merged key by key. Values that are not tables are taken from `above`."""
    overlaid = {
        key: merged(below[key], value)
        if isinstance(value, dict) and isinstance(below.get(key), dict)
        else value
        for key, value in above.items()
    }
    return {**below, **overlaid}


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/tclue`, or `~/.cache/tclue`; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tclue"


def write_cached(path: Path, data: bytes) -> None:
    """Write a file to the cache completely or not at all. Raises UserError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, [data])
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; set XDG_CACHE_HOME to another folder"
        ) from None
