"""The checkout: git has everything, and ignores nothing that it has."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from places import ROOT


def test_no_tracked_file_is_ignored() -> None:
    """Changes to such a file are easily left out of a commit, and tools such as ruff pass it by."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs git, and a checkout of it: here is none")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--ignored", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.splitlines() == []
