"""The user's own files: TOML files that extend the shipped ones, and the cache."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tclue.errors import UserError
from tclue.journal import replace


def user_file(name: str, given: Path | None) -> Path | None:
    """The given file, else `tclue/NAME` in $XDG_CONFIG_HOME (~/.config) if it exists, else None."""
    if given is not None:
        return given
    default = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tclue" / name
    return default if default.exists() else None


def read_text(path: Path) -> str:
    """The text of a file. Raises UserError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UserError(f"{path}: cannot be read: {reason}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises UserError if it cannot be read or is not valid."""
    try:
        return parse_toml(read_text(path))
    except (ValueError, RecursionError) as error:  # also for numbers of 4,300 digits, deep nesting
        raise UserError(f"{path}: not a TOML file: {error}") from None


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text. Raises ValueError or RecursionError if it is not valid."""
    # Dots take quadratic memory: a key of 200 kB with nothing else took 40 GB.
    if any(line.partition("=")[0].count(".") > 1000 for line in text.splitlines()):
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
