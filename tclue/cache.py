"""Where this user's cached files are kept: training ranges, published puzzles."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tclue.errors import UserError


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/tclue`, or `~/.cache/tclue`; it may not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tclue"


def write_cached(path: Path, data: bytes) -> None:
    """Put a file into the cache, whole or not at all; UserError where it cannot be written."""
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):  # where no folder is, no draft is
            draft.unlink()
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; XDG_CACHE_HOME names another cache"
        ) from None
