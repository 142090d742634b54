"""The TOML files that a user may have beside the shipped ones, and how any of them is read."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from tclue.errors import UserError


def own_file(name: str, given: Path | None) -> Path | None:
    """The file that was given, else `tclue/NAME` in $XDG_CONFIG_HOME (~/.config) if it is there."""
    if given is not None:
        return given
    usual = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tclue" / name
    return usual if usual.exists() else None


def read_toml(path: Path) -> dict[str, Any]:
    """What a file holds; UserError, naming it, where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a TOML file: {error}") from None
