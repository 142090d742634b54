"""git's list of the files in the checkout."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from places import ROOT


def tracked_files(*options: str) -> list[str]:
    """The paths of `git ls-files`. The test is skipped if there is no git or no checkout."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs git, and a checkout of it: here is none")
    listed = subprocess.run(
        ["git", "ls-files", *options], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.splitlines()
