"""Files that documents, docstrings and comments name are there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checkout import tracked_files
from places import ROOT

# A path from the checkout's root, as prose and comments write it.
PATH = re.compile(
    r"(?<![\w/.])((?:tclue|trainers|tests|scripts|benchmarks|docs|tasks)/[\w./-]*\w\.(?:py|toml|md|sh|yaml))\b"
)
# Not in the checkout: in a user's configuration folder, and in the built wheel.
ELSEWHERE = {"tclue/models.toml", "tclue/tasks/temporal_clue/temporal_clue_by_difficulty.yaml"}
# What was true on its day stays as it was written.
HISTORY = ("docs/log.md", "results/", "leaderboards/")


def named(text: str) -> Iterator[str]:
    """The paths in a text."""
    yield from (match[1] for match in PATH.finditer(text))


def test_every_path_that_is_named_is_there() -> None:
    kinds = (".py", ".md", ".toml", ".sh", ".yaml", "Makefile", ".ci/run")
    lost = [
        f"{file} names {path}"
        for file in tracked_files()
        if file.endswith(kinds) and not file.startswith(HISTORY) and (ROOT / file).is_file()
        for path in named((ROOT / file).read_text(encoding="utf-8"))
        if path not in ELSEWHERE and not (ROOT / path).exists()
    ]
    assert not lost


def test_paths_are_found_in_prose() -> None:
    lost = "/".join(["tests", "no", "such.py"])  # not as one word: this file is read too
    text = f"see `{lost}`, (scripts/tiny/train.py) and ../docs/log.md, not mytests/x.py"
    assert list(named(text)) == [lost, "scripts/tiny/train.py"]
