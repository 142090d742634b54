"""The checkout: git has everything, and ignores nothing that it has."""

from __future__ import annotations

from checkout import tracked_files


def test_no_tracked_file_is_ignored() -> None:
    """Changes to such a file are easily left out of a commit, and tools such as ruff pass it by."""
    assert tracked_files("--cached", "--ignored", "--exclude-standard") == []
