"""Where this user's cached files are kept: training ranges, published puzzles."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/tclue`, or `~/.cache/tclue`; it may not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tclue"
