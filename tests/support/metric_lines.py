"""The metrics of a run, for comparison in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tclue_grpo.metrics import read


def without_timings(run: Path) -> list[dict[str, Any]]:
    """The metric lines of a run without times. They are identical in a resumed run."""
    return [{name: line[name] for name in line if name != "timings"} for line in read(run)]
