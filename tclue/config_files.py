"""The user's own TOML files beside the shipped ones; reading and merging TOML files."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tclue.errors import UserError


def user_file(name: str, given: Path | None) -> Path | None:
    """The file that was given, else `tclue/NAME` in $XDG_CONFIG_HOME (~/.config) if it is there."""
    if given is not None:
        return given
    default = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tclue" / name
    return default if default.exists() else None


def read_text(path: Path) -> str:
    """The text of a file; UserError, naming it, where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UserError(f"{path}: cannot be read: {reason}") from None


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; UserError, naming it, where it is not one."""
    try:
        return tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:  # a number of 4,300 digits; tables in tables
        raise UserError(f"{path}: not a TOML file: {error}") from None


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merged key by key; other values are taken from `above`."""
    overlaid = {
        key: merged(below[key], value)
        if isinstance(value, dict) and isinstance(below.get(key), dict)
        else value
        for key, value in above.items()
    }
    return {**below, **overlaid}
