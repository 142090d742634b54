"""What names the repository and the project's version says the same everywhere."""

from __future__ import annotations

import re
import tomllib

from checkout import tracked_files
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/tclue\b")


def test_every_file_names_the_same_repository() -> None:
    """The address stands in [project.urls] and, because TOML has no variables, in other files."""
    source = PROJECT["urls"]["Source"]
    kinds = (".toml", ".md", ".cff", ".yml", ".yaml")
    named = {
        file: set(ADDRESS.findall((ROOT / file).read_text(encoding="utf-8")))
        for file in tracked_files()
        if file.endswith(kinds) and (ROOT / file).is_file()
    }
    assert {"pyproject.toml", "CITATION.cff", "SECURITY.md"} <= {f for f, a in named.items() if a}
    assert set().union(*named.values()) == {source}
